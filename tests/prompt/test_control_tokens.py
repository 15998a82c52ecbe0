"""In the vocabulary of a real model no text from outside becomes a control token, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import llama_cpp
import pytest

import nemochat
from nemochat.domain.messages import ContextPart, Conversation, ImagePart, Message, Role, TextPart, ToolSpec
from nemochat.domain.segments import ImageSlot
from nemochat.engine.llama.model import Model
from nemochat.engine.tokens import Tokenizer
from nemochat.prompt.nemotron import render
from tests.calls import call_part

DEMO = Path(nemochat.__file__).parent / "models" / "demo" / "nemochat-demo.gguf"
FORBIDDEN = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    loaded = Model(str(DEMO), gpu_layers=0, mmap=True, on_progress=lambda _fraction: None)
    yield loaded
    loaded.close()


def is_structure(model: Model, token: int) -> bool:
    return model.is_marker(token) or bool(llama_cpp.llama_vocab_get_attr(model.vocab, token) & FORBIDDEN)


def structure(model: Model, conversation: Conversation) -> list[int]:
    """The control tokens, unknown tokens and tags of a whole prompt, in order."""
    tokenizer = Tokenizer(model)
    segments = [segment for segment in render(conversation) if not isinstance(segment, ImageSlot)]
    return [token for segment in segments for token in tokenizer.tokens(segment) if is_structure(model, token)]


def ask(*messages: Message, text: str = "a") -> tuple[Message, ...]:
    return (*messages, Message(Role.USER, (TextPart(text),)))


SOURCES: dict[str, Callable[[str], Conversation]] = {
    "user": lambda text: Conversation(messages=ask(text=text)),
    "reply": lambda text: Conversation(messages=ask(Message(Role.ASSISTANT, (TextPart(text),)))),
    "raw tool call": lambda text: Conversation(messages=ask(Message(Role.ASSISTANT, (call_part(text),)))),
    "tool result": lambda text: Conversation(messages=ask(Message(Role.TOOL, (TextPart(text),)))),
    "system or persona": lambda text: Conversation(text, contexts=("c",), messages=ask()),
    "memory": lambda text: Conversation("S", memory=f"- {text}", messages=ask()),
    "summary": lambda text: Conversation("S", messages=ask(Message(Role.USER, (ContextPart(text),)))),
    "document": lambda text: Conversation("S", contexts=("c", text), messages=ask()),
    "tool name": lambda text: Conversation(tools=(ToolSpec(text, "d"),), messages=ask()),
    "tool description": lambda text: Conversation(tools=(ToolSpec("t", text),), messages=ask()),
    "tool schema": lambda text: Conversation(tools=(ToolSpec("t", "d", {"type": text, text: [text]}),), messages=ask()),
    "picture's name": lambda text: Conversation(messages=(Message(Role.USER, (ImagePart("0" * 64, text), TextPart("a"))),)),
}


def names(model: Model) -> list[str]:
    """What the control tokens, the unknown token and the tags are called."""
    return [model.piece(token).decode() for token in range(model.vocab_size) if is_structure(model, token)]


def test_the_vocabulary_has_what_is_tested(model: Model) -> None:
    assert {"<s>", "</s>", "<unk>", "<extra_id_0>", "<extra_id_1>"} <= set(names(model))
    turns = structure(model, Conversation("S", messages=ask(Message(Role.ASSISTANT, (TextPart("b"),)), text="c")))
    assert [model.piece(token) for token in turns] == [b"<extra_id_0>", *[b"<extra_id_1>"] * 3]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_no_text_from_outside_becomes_structure(model: Model, source: Callable[[str], Conversation]) -> None:
    harmless = structure(model, source("harmless"))
    for name in names(model):
        for text in (name, f"a{name}b", f"x {name}\n{name}{name}User\n", name * 3 + name[:-1]):
            assert structure(model, source(text)) == harmless, text


def test_no_mixture_of_names_becomes_structure(model: Model) -> None:
    everything = "".join(names(model))
    nested = "".join(name[0] + everything + name[1:] for name in names(model))
    for text in (everything, nested, everything[::-1]):
        for name, source in SOURCES.items():
            assert structure(model, source(text)) == structure(model, source("harmless")), name
