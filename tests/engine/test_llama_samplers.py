"""The samplers that roleplayers ask for: DRY and XTC held against references written from their descriptions, texts that are banned."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nemochat.domain.events import FinishReason
from nemochat.domain.sampling import Sampling, Settled
from nemochat.engine.llama.banned import Banned, Drawn
from nemochat.engine.llama.candidates import Candidates
from nemochat.engine.llama.model import Model
from nemochat.engine.llama.sampler import Samplers
from nemochat.engine.protocol import GenerateRequest
from nemochat.engine.tokens import Tokenizer
from tests.engine.llama_harness import ask, clear_cache, gather, loaded, never, question
from tests.tiny_gguf import token_ids, write_language_model, write_recurrent_model

Row = npt.NDArray[Any]
OFF: dict[str, Any] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = write_language_model(tmp_path_factory.mktemp("vocabulary") / "model.gguf")
    model = Model(str(path), gpu_layers=0, mmap=False, on_progress=lambda _: None, use_amx=False)
    yield model
    model.close()


@pytest.fixture(scope="module")
def samplers(model: Model) -> Iterator[Samplers]:
    samplers = Samplers(model, Tokenizer(model).spelled, 1024)
    yield samplers
    samplers.close()


def drawn(samplers: Samplers, sampling: Settled, history: Sequence[int], logits: Row, count: int = 1) -> list[int]:
    """Tokens drawn one after the other from the same logits, each remembered."""
    sampler = samplers.sampler(sampling, history)
    tokens = []
    for _ in range(count):
        tokens.append(sampler.choose(Candidates.of(logits)))
        sampler.accept(tokens[-1])
    sampler.close()
    return tokens


# -- DRY


def dry(history: Sequence[int], logits: Row, sampling: Settled, breakers: set[int]) -> Row:
    """From the description: a token that would make a run longer that has stood before is penalised by how long the run is."""
    said = list(history)[-sampling.dry_penalty_last_n :] if sampling.dry_penalty_last_n > 0 else list(history)
    longest: dict[int, int] = {}
    for at in range(len(said) - 1):
        length = 0
        while length <= at and said[at - length] == said[-1 - length] and said[at - length] not in breakers:
            length += 1
        following = said[at + 1]
        if length and following not in breakers:
            longest[following] = max(longest.get(following, 0), length)
    result = logits.astype(np.float64)
    for token, length in longest.items():
        if length >= sampling.dry_allowed_length:
            result[token] -= sampling.dry_multiplier * sampling.dry_base ** (length - sampling.dry_allowed_length)
    return result


@pytest.mark.parametrize("seed", range(40))
def test_dry_is_as_described(model: Model, samplers: Samplers, seed: int) -> None:
    """Fails when DRY is switched on with other numbers, another order, another history, or without its breakers."""
    rng = random.Random(seed)
    letters = [token_ids()[letter] for letter in "abcd"]
    breaker = token_ids()["z"]
    sampling = Settled(
        temperature=0.0,
        dry_multiplier=rng.choice([0.3, 0.8, 2.0]),
        dry_base=rng.choice([1.1, 1.75, 2.5]),
        dry_allowed_length=rng.choice([1, 2, 3, 5]),
        dry_penalty_last_n=rng.choice([-1, 12, 64]),
        dry_sequence_breakers=("z",),
    )
    history = [rng.choice([*letters, breaker] if seed % 2 else letters) for _ in range(rng.choice([1, 5, 40, 90]))]
    logits = np.array([rng.gauss(0, 0.1) for _ in range(model.vocab_size)], np.float32)
    logits[[*letters, breaker]] += 4
    expected, said = [], list(history)
    for _ in range(12):
        expected.append(int(np.argmax(dry(said, logits, sampling, {breaker}))))
        said.append(expected[-1])
    assert drawn(samplers, sampling, history, logits, 12) == expected


def test_a_copy_of_a_dry_stage_remembers_nothing_of_the_reply_before(samplers: Samplers, model: Model) -> None:
    sampling = Settled(temperature=0.0, dry_multiplier=50.0, dry_allowed_length=1)
    a, b = token_ids()["a"], token_ids()["b"]
    logits = np.zeros(model.vocab_size, np.float32)
    logits[[a, b]] = 9, 8
    first = drawn(samplers, sampling, [a, b, a, b], logits, 4)
    assert drawn(samplers, sampling, [a, b, a, b], logits, 4) == first
    assert drawn(samplers, sampling, [], logits, 1) == [a]


# -- XTC


def xtc(logits: Row, sampling: Settled, chance: float) -> int:
    """From the description: with the probability, of the tokens above the threshold all but the least likely are left out."""
    order = np.argsort(-logits, kind="stable")
    p = np.exp(logits[order].astype(np.float64) - logits.max())
    p /= p.sum()
    above = int((p >= sampling.xtc_threshold).sum())
    return int(order[above - 1 if chance <= sampling.xtc_probability and above >= 2 else 0])


@pytest.mark.parametrize("seed", range(40))
def test_xtc_is_as_described(model: Model, samplers: Samplers, seed: int) -> None:
    rng = random.Random(seed)
    sampling = Settled(
        temperature=0.0001, seed=seed, xtc_probability=rng.choice([0.3, 0.5, 1.0]), xtc_threshold=rng.choice([0.02, 0.1, 0.3]), **OFF
    )
    # What std::mt19937 and std::uniform_real_distribution<float> give for the seed.
    chances = [number / 2**32 for number in np.random.RandomState(seed)._bit_generator.random_raw(20)]
    logits = np.array([rng.gauss(0, 3) for _ in range(model.vocab_size)], np.float32)
    assert drawn(samplers, sampling, [], logits, 20) == [xtc(logits, sampling, chance) for chance in chances]


# -- the others


def test_the_chain_is_that_of_llama_cpp_without_what_is_off() -> None:
    everything = Settled(
        logit_bias={"a": 1.0}, repeat_penalty=1.1, dry_multiplier=0.8, top_n_sigma=1.0, typical_p=0.9, xtc_probability=0.5,
        dynatemp_range=0.5,
    )  # fmt: skip
    order = ("logit_bias", "penalties", "dry", "top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc", "temperature", "draw")
    assert everything.chain == order
    assert Settled().chain == ("top_k", "top_p", "min_p", "temperature", "draw")
    assert Settled(mirostat=2, presence_penalty=0.5).chain == ("penalties", "temperature", "mirostat")
    assert Settled(temperature=0.0, xtc_probability=1.0, frequency_penalty=1.0).chain == ("penalties", "likeliest")
    assert Settled(repeat_penalty=1.1, repeat_last_n=0).chain == Settled().chain


def test_each_value_has_its_effect(samplers: Samplers, model: Model) -> None:
    """Fails when a value does not reach llama.cpp: each of these makes another token the only one or the likeliest."""
    a, b, c = (token_ids()[letter] for letter in "abc")
    logits = np.full(model.vocab_size, -30, np.float32)
    logits[[a, b, c]] = 3.0, 2.5, 0.0

    def taken(history: Sequence[int] = (), **values: Any) -> set[int]:
        wanted = {**OFF, "temperature": 1.0, **values}
        return {token for seed in range(30) for token in drawn(samplers, Settled(seed=seed, **wanted), history, logits)}

    assert taken() == {a, b, c}
    assert taken(top_n_sigma=0.1) == {a}
    assert taken(typical_p=0.1) == {b}  # whose surprise is nearest to the usual one
    assert taken(logit_bias={"b": 20.0}) == {b}
    assert taken(logit_bias={"a": -50.0, "b": -50.0}) == {c}
    assert taken([a, a, b], temperature=0.0, frequency_penalty=2.0) == {b}
    assert taken([a, b, b], temperature=0.0, presence_penalty=2.0) == {a}
    assert taken([a], temperature=0.0, presence_penalty=2.0) == {b}
    assert taken(dynatemp_range=1.0) != taken(temperature=0.001) == {a}
    for version in (1, 2):
        assert taken(mirostat=version, mirostat_tau=0.01) == {a}


# -- banned texts


def banned(texts: Sequence[str], pieces: Sequence[str | bytes], *, can_go_back: bool = True) -> list[object]:
    """What happens for each of the pieces: the released text so far, or how many tokens are drawn anew (the rest is not pushed then)."""
    watch, shown, events = Banned(texts, can_go_back=can_go_back), b"", list[object]()
    for number, piece in enumerate(pieces):
        if count := watch.push(Drawn(number, piece if isinstance(piece, bytes) else piece.encode())):
            return [*events, count]
        shown += b"".join(each.piece for each in watch.release())
        events.append(shown.decode("utf-8", "surrogateescape"))
    return [*events, (shown + b"".join(each.piece for each in watch.release(everything=True))).decode("utf-8", "surrogateescape")]


@pytest.mark.parametrize(
    ("texts", "pieces", "events"),
    [
        (["shiver"], ["a ", "shi", "p", "s"], ["a ", "a ", "a ship", "a ship", "a ships"]),
        (["shiver"], ["a ", "shi", "VER", "s"], ["a ", "a ", 2]),
        (["shivers down"], ["a sh", "ivers", " do", "wn"], ["", "", "", 4]),
        (["ab", "abc"], ["a", "b"], ["", 2]),
        (["a barely above"], ["a", " ", "a", " barely", " ab"], ["", "", "a ", "a ", "a ", "a a barely ab"]),
        (["a barely"], ["a", " ", "a", " ", "barely"], ["", "", "a ", "a ", 3]),
        (["é!"], ["x", b"\xc3", b"\xa9", "!"], ["x", "x", "x", 3]),
        (["рай"], ["x", b"\xd0", b"\xa0", "АЙ"], ["x", "x", "x", 3]),
        (["xyz"], ["x", b"\xff", "é", b"\xc3"], ["", "x\udcff", "x\udcffé", "x\udcffé", "x\udcffé\udcc3"]),
        ([""], ["a"], ["a", "a"]),
        (["x"], ["", "x"], ["", 1]),
    ],
)
def test_what_may_become_a_banned_text_is_held_back(texts: list[str], pieces: list[str | bytes], events: list[object]) -> None:
    assert banned(texts, pieces) == events


def test_where_nothing_can_be_taken_back_the_last_token_alone_is_drawn_anew() -> None:
    assert banned(["shiver"], ["shi", "ver"], can_go_back=False) == ["", 1]


@pytest.mark.parametrize("is_recurrent", [False, True])
def test_a_reply_never_holds_a_banned_text(tmp_path: Path, is_recurrent: bool) -> None:
    """Fails when the cache, the history or the guesses are not brought back to where the reply goes back to."""
    write = write_recurrent_model if is_recurrent else write_language_model
    backend = loaded(write(tmp_path / "model.gguf"))
    usual = ask(backend, question("hello there"), max_tokens=60).text
    gone = [usual[at : at + 3] for at in (2, 9, 20, 31)] + [usual[40]]
    reply = ask(backend, question("hello there"), max_tokens=60, banned_strings=[text.upper() for text in gone])
    assert reply.finished.reason is FinishReason.LENGTH
    assert reply.finished.usage.completion_tokens == 60
    assert not [text for text in gone if text.lower() in reply.text.lower()]
    # What is in the cache is what was said: going on from it is the same as from a cold cache.
    asked = [*question("hello there"), *question(reply.text)]
    warm = ask(backend, asked, max_tokens=20)
    clear_cache(backend)
    assert ask(backend, asked, max_tokens=20).text == warm.text
    backend.close()


def test_a_banned_text_in_the_middle_of_a_script_is_said_otherwise(tmp_path: Path) -> None:
    script = ["hello", "▁", *"world", "</s>"]
    backend = loaded(write_language_model(tmp_path / "scripted.gguf", script=script))
    assert ask(backend, question("x"), max_tokens=12).text == "hello world"
    text = ask(backend, question("x"), max_tokens=12, banned_strings=["WORLD"]).text
    assert text.startswith("hello")
    assert "world" not in text.lower()
    backend.close()


def test_stops_and_limits_end_a_reply_that_holds_back(tmp_path: Path) -> None:
    backend = loaded(write_language_model(tmp_path / "scripted.gguf", script=["hello", "▁", *"worlEND", "</s>"]))
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"max_tokens": 4}, "hello wo"), ({"stop": ["END"]}, "hello worl"), ({"max_tokens": 40}, "hello worlEND"),
    )  # fmt: skip
    for values, text in cases:
        assert ask(backend, question("x"), **{"max_tokens": 40, **values, "banned_strings": ["world"]}).text == text
    backend.close()


def test_calls_are_left_alone_and_what_is_said_before_them_is_not(tmp_path: Path) -> None:
    backend = loaded(write_language_model(tmp_path / "scripted.gguf", script=[*"abgo:", "</s>"]))
    for gone, begins in ((("123",), "abgo:123"), (("ab",), "")):
        asked = GenerateRequest(question("x"), Sampling(temperature=0.0, max_tokens=30, banned_strings=gone), 'root ::= "123"', "go:")
        text = gather(backend.generate(asked, never)).text
        assert text.startswith(begins)
        assert "ab" not in text or gone != ("ab",)
    backend.close()
