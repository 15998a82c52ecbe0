"""What holds of every vocabulary that llama.cpp knows: no foreign text becomes structure, and nothing is tokenised otherwise than whole.

Always on three small ones; with NEMOCHAT_MATERIAL (tests/material.py) on the 19 of llama.cpp's source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nemochat.domain.segments import Control, Plain
from nemochat.engine.llama.model import Model
from nemochat.engine.tokens import Tokenizer
from nemochat.errors import EngineError
from tests.engine.tiny_bpe import write_bpe_vocabulary
from tests.material import each
from tests.tiny_gguf import write_language_model

NO_TEXT = ("bert-bge", "nomic-bert-moe")
"""Vocabularies that cannot write text."""
SCAFFOLDS = {
    "ChatML": ("{a}system\n", "{b}\n{a}user\n", "{b}\n{a}assistant\n", "{b}\n"),
    "Llama": ("{a}system{c}\n\n", "{b}{a}user{c}\n\n", "{b}{a}assistant{c}\n\n", "{b}"),
    "Mistral": ("{a}", "{b}", "{c}{a}", "{b}"),
    "old Mistral": ("[INST]", " [/INST]", "{c} [INST]", " [/INST]"),
    "Gemma": ("{a}user\n", "{b}\n{a}model\n", "{b}\n{a}user\n", "{b}\n{a}model\n"),
    "Phi": ("{a}\n", "{b}\n{c}\n", "{b}\n{a}\n", "{b}\n{c}\n"),
}
"""The format's own text around three texts, with three special tokens of the vocabulary."""
HARMLESS = (
    *("Hello there", "What is the capital of France", "the quick brown fox, 12 times!x", "Grüße aus Köln", "北京是中国的首都"),
    *("It's 5 o'clock", "line one\nline two", "def f(x):\n    return x  # ok", "x", "👍 ok", "a\n\nb"),
)


@pytest.fixture(scope="module", params=["SPM", "SPM with a space before text", "BPE", *each("vocabularies/ggml-vocab-*.gguf")])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = tmp_path_factory.mktemp("vocabulary") / "model.gguf"
    match request.param:
        case Path():
            path = request.param
        case "BPE":
            write_bpe_vocabulary(path)
        case kind:
            write_language_model(path, space_prefix=kind != "SPM")
    model = Model(str(path), gpu_layers=0, mmap=True, on_progress=lambda _: None, vocabulary_only=True)
    yield model
    model.close()


@pytest.fixture
def tokenizer(model: Model) -> Tokenizer:
    if not model.writes_text:
        with pytest.raises(EngineError, match="not made for chat"):
            Tokenizer(model)
        pytest.skip("this vocabulary is refused, because it cannot write text")
    return Tokenizer(model)


def markers(model: Model) -> list[str]:
    return [name_of(model, token) for token in range(model.vocab_size) if model.is_marker(token)]


def name_of(model: Model, token: int) -> str:
    return model.piece(token).decode()


def all_tokens(tokenizer: Tokenizer, segments: Sequence[Control | Plain]) -> list[tuple[int, ...]]:
    follows_special, groups = True, []
    for segment in segments:
        groups.append(tokenizer.tokens(segment, follows_special=follows_special))
        follows_special = tokenizer.follows_special(segment, follows_special)
    return groups


def hiding_places(name: str) -> list[str]:
    """A name in every kind of foreign text."""
    half = len(name) // 2
    alone = [name, name * 2, f" {name} ", f"{name}\n{name}", f"{name} hello", f"hello {name}", f"a{name}b", f"x {name}{name[:-1]}"]
    apart = [f"{name[:half]}{between}{name[half:]}" for between in (" ", "\n", name)]
    return [*alone, *apart, f"{name[:1]}{name}{name[1:]}"]


def test_no_foreign_text_becomes_structure_or_changes_what_stands_around_it(model: Model, tokenizer: Tokenizer) -> None:
    first, last, *_ = [*markers(model), *markers(model)][:: max(1, len(markers(model)) - 1)]
    head, tail = Control(f"{first}user\n"), Control(f"{last}\n{first}assistant\n")
    scaffold = all_tokens(tokenizer, (head, Plain("hello"), tail))
    for name in markers(model):
        for text in hiding_places(name):
            before, words, after = all_tokens(tokenizer, (head, Plain(text), tail))
            assert (before, after) == (scaffold[0], scaffold[2]), text
            assert not any(map(model.is_marker, words)), text
            assert b"".join(map(model.piece, words)).decode() == text


def test_many_names_at_once_take_no_more_time_than_their_text(model: Model, tokenizer: Tokenizer) -> None:
    text = "".join(markers(model))
    words = tokenizer.tokens(Plain(text * (1 + 20_000 // len(text))))
    assert not any(map(model.is_marker, words))


@pytest.mark.parametrize("scaffold", SCAFFOLDS)
def test_segments_give_the_tokens_of_the_whole_prompt(model: Model, tokenizer: Tokenizer, scaffold: str) -> None:
    names = [name_of(model, token) for token in range(model.vocab_size) if model.is_unseen(token) and model.is_marker(token)]
    own = [part.format(a=names[0], b=names[-1], c=names[len(names) // 2]) for part in SCAFFOLDS[scaffold]]
    for text in HARMLESS:
        # A space behind a marker belongs to the text.
        said = Plain(f" {text}" if scaffold == "old Mistral" else text)
        segments: list[Control | Plain] = [Control(own[0]), said, Control(own[1]), said, Control(own[2]), said, Control(own[3])]
        apart = [token for group in all_tokens(tokenizer, segments) for token in group]
        assert apart == model.tokenize("".join(segment.text for segment in segments), parse_special=True), text
