from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemochat.domain.messages import Conversation, Message, Role, TextPart, ToolSpec
from nemochat.domain.segments import Control, Plain, Segment
from nemochat.engine.llama.model import Model
from nemochat.engine.tokens import Tokenizer
from nemochat.prompt.nemotron import render
from tests.calls import call_part
from tests.engine.llama_harness import loaded
from tests.tiny_gguf import CONTROL_TOKENS, USER_DEFINED_TOKENS, WORDS, token_ids, write_language_model

MARKERS = (*CONTROL_TOKENS, *USER_DEFINED_TOKENS)
IDS = token_ids()


@pytest.fixture(scope="module", params=[False, True], ids=["no space prefix", "space prefix"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = write_language_model(tmp_path_factory.mktemp("tiny") / "model.gguf", space_prefix=request.param)
    model = Model(str(path), gpu_layers=0, mmap=False, on_progress=lambda _: None)
    yield model
    model.close()


def text_of(model: Model, tokens: tuple[int, ...]) -> str:
    return b"".join(map(model.piece, tokens)).decode()


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_in_plain_text_stays_text(model: Model, marker: str) -> None:
    tokenizer = Tokenizer(model)
    assert tokenizer.tokens(Control(marker)) == (IDS[marker],)
    for text in (marker, f"a{marker}b", marker * 3, f"{marker[:1]}{marker}{marker[1:]}", f"hello {marker} {marker}\n"):
        tokens = tokenizer.tokens(Plain(text))
        assert not any(model.is_marker(token) for token in tokens)
        assert text_of(model, tokens) == text


@pytest.mark.parametrize("marker", MARKERS)
def test_no_source_of_text_adds_a_control_token_to_the_scaffold(model: Model, marker: str) -> None:
    def markers(text: str) -> list[int]:
        conversation = Conversation(
            system=f"Be {text}",
            tools=(ToolSpec(text, text, {"type": "object", "properties": {text: {"description": text}}}),),
            contexts=(f"file {text}: {text}",),
            messages=(
                Message(Role.USER, (TextPart(f"what is {text}?"),)),
                Message(Role.ASSISTANT, (TextPart(text), call_part(f'{{"name": "{text}"}}'))),
                Message(Role.TOOL, (TextPart(f"result {text}"),)),
            ),
        )
        tokenizer = Tokenizer(model)
        tokens = [token for segment in render(conversation) for token in tokenizer.tokens(segment)]  # type: ignore[arg-type]
        return [token for token in tokens if model.is_marker(token)]

    assert markers(f"x{marker}x") == markers("xyx")
    assert IDS["<toolcall>"] in markers("xyx")


fragments = st.sampled_from([*MARKERS, *WORDS[:13], " ", "  ", "\n", "é", "👍", "\ue000", "<", ">", "<ext", "ra_id_1>", "x"])


@settings(max_examples=60)
@given(text=st.lists(fragments, max_size=10).map("".join) | st.text(max_size=12))
def test_plain_text_comes_back_as_it_was_and_never_as_markers(model: Model, text: str) -> None:
    tokens = Tokenizer(model).tokens(Plain(text))
    assert text_of(model, tokens) == text
    assert not any(model.is_marker(token) for token in tokens)


def test_segments_give_the_tokens_of_the_whole_prompt(model: Model) -> None:
    tokenizer = Tokenizer(model)
    segments = render(Conversation(system="Be the red and hello", messages=(Message(Role.USER, (TextPart("the hello and a red"),)),)))
    apart = [token for segment in segments for token in tokenizer.tokens(segment)]  # type: ignore[arg-type]
    whole = model.tokenize("".join(segment.text for segment in segments), parse_special=True)  # type: ignore[union-attr]
    assert apart == whole


def test_remembered_replies_give_the_generated_tokens(model: Model) -> None:
    tokenizer = Tokenizer(model)
    spelled = [IDS[letter] for letter in "hello"]
    canonical = tokenizer.tokens(Plain("hello"))
    assert len(canonical) == 1
    tokenizer.remember_reply([IDS["▁"], *spelled, IDS["<0x0A>"]], " hello")
    assert tokenizer.tokens(Plain("hello")) == tuple(spelled)
    assert tokenizer.tokens(Plain(" hello")) == (IDS["▁"], *spelled)
    assert tokenizer.tokens(Control("hello")) == canonical
    tokenizer.remember_reply(canonical, "hello")
    assert tokenizer.tokens(Plain("hello")) == canonical


def test_remembered_replies_hold_no_markers_and_no_stops(model: Model) -> None:
    tokenizer = Tokenizer(model)
    name = [IDS[letter] for letter in "red"]
    call = [IDS["<toolcall>"], IDS["▁"], *name, IDS["▁"], IDS["</toolcall>"]]
    tokenizer.remember_reply([*name, *call, *(IDS[letter] for letter in "END")], "red<toolcall> red </toolcall>")
    assert tokenizer.tokens(Plain("red")) == tuple(name)
    assert tokenizer.tokens(Plain(" red ")) == (IDS["▁"], *name, IDS["▁"])
    assert not any(model.is_marker(token) for token in tokenizer.tokens(Plain("red<toolcall> red </toolcall>")))
    assert text_of(model, tokenizer.tokens(Plain("END"))) == "END"


def test_a_reply_that_is_no_utf_8_is_not_remembered(model: Model) -> None:
    tokenizer = Tokenizer(model)
    tokenizer.remember_reply([IDS["<0xE2>"], IDS["<0x82>"]], "\ufffd")
    assert text_of(model, tokenizer.tokens(Plain("\ufffd"))) == "\ufffd"


def test_a_begin_token_is_there_only_when_the_vocabulary_wants_it(tmp_path: Path, tiny_model: Path) -> None:
    segments: list[Segment] = [Control("<extra_id_1>"), Plain("hello")]
    with_bos = loaded(write_language_model(tmp_path / "bos.gguf", bos=True))
    without = loaded(tiny_model)
    assert with_bos.count(segments) == [2, 1]
    assert without.count(segments) == [1, 1]
    assert with_bos._prompt(segments).cells == (IDS["<s>"], *without._prompt(segments).cells)
    assert with_bos.count([]) == []
    with_bos.close()
    without.close()


def test_a_prompt_that_says_its_begin_token_is_not_given_two(tmp_path: Path) -> None:
    backend = loaded(write_language_model(tmp_path / "bos.gguf", bos=True))
    written: list[Segment] = [Control("<s><extra_id_1>"), Plain("hello")]
    assert backend._prompt(written).cells == backend._prompt([Control("<extra_id_1>"), Plain("hello")]).cells
    assert backend.count(written) == [2, 1]
    assert backend._prompt([Plain("<s>")]).cells[0] == IDS["<s>"] not in backend._prompt([Plain("<s>")]).cells[1:]
    backend.close()


def test_a_reply_behind_a_special_token_gives_the_generated_tokens(tmp_path: Path) -> None:
    model = Model(
        str(write_language_model(tmp_path / "m.gguf", space_prefix=True)), gpu_layers=0, mmap=False, on_progress=lambda _: None
    )
    tokenizer = Tokenizer(model)
    spelled = (IDS["▁"], *(IDS[letter] for letter in "the"))
    assert tokenizer.tokens(Plain("the"), follows_special=True) == (IDS["▁the"],)
    tokenizer.remember_reply(spelled, " the")
    assert tokenizer.tokens(Plain("the"), follows_special=True) == spelled
    tokenizer.remember_reply([IDS["red"]], "red")
    assert tokenizer.tokens(Plain("red"), follows_special=True) == (IDS["red"],)
    model.close()


def test_counts_add_up_to_the_prompt(tiny_model: Path) -> None:
    backend = loaded(tiny_model)
    conversation = Conversation(system="Be brief.", messages=(Message(Role.USER, (TextPart("hello the red"),)),))
    longer = msgspec.structs.replace(conversation, messages=(*conversation.messages, Message(Role.ASSISTANT, (TextPart("and"),))))
    for each in (conversation, longer):
        segments = render(each)
        assert sum(backend.count(segments)) == len(backend._prompt(segments).cells)
    assert backend.count(render(longer))[:4] == backend.count(render(conversation))[:4]
    backend.close()
