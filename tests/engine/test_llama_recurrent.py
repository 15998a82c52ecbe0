"""A model whose state cannot be taken back: what a turn costs there is said as it is, and what was read ahead is of use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nemochat.domain.messages import Role
from nemochat.domain.segments import Plain, Segment
from nemochat.engine.llama import LlamaBackend
from nemochat.engine.protocol import LoadRequest
from nemochat.prompt.nemotron import render
from tests.engine.llama_harness import ANSWER, HEAD, QUICK, Talk, ask, loaded, never
from tests.tiny_gguf import write_recurrent_model


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recurrent_model(tmp_path_factory.mktemp("mamba") / "model.gguf")


@pytest.fixture
def backend(path: Path) -> Iterator[LlamaBackend]:
    backend = loaded(path)
    yield backend
    backend.close()


def prompt(text: str) -> list[Segment]:
    return [HEAD, Plain(text), ANSWER]


def test_it_says_that_nothing_can_be_taken_back(path: Path) -> None:
    backend = LlamaBackend()
    info = backend.load(LoadRequest("mamba", str(path), None, QUICK), lambda _: None)
    assert (info.architecture, info.can_take_back) == ("mamba", False)
    backend.close()


def test_a_conversation_that_goes_on_reads_only_what_is_new(backend: LlamaBackend) -> None:
    talk, known = Talk(backend), 0
    for number in range(4):
        usage = talk.ask(f"question {number}").finished.usage
        assert usage.prompt_tokens == usage.reused_tokens + usage.evaluated_tokens
        assert usage.evaluated_tokens <= usage.prompt_tokens - known + 1
        known = usage.prompt_tokens + usage.completion_tokens


def test_whatever_else_is_asked_is_read_as_a_whole_and_counted_so(backend: LlamaBackend, path: Path) -> None:
    for text in ("hello the red", "hello the rod", "hello the rod"):
        reply = ask(backend, prompt(text))
        assert (reply.finished.usage.reused_tokens, reply.finished.usage.encoded_images) == (0, 0)
        assert reply.finished.usage.evaluated_tokens == sum(backend.count(prompt(text)))
    fresh = loaded(path)
    assert ask(fresh, prompt("hello the rod")).text == reply.text
    fresh.close()


@pytest.mark.parametrize("more", ["", " and more"])
def test_what_was_read_ahead_is_of_use(backend: LlamaBackend, path: Path, more: str) -> None:
    talk = Talk(backend)
    talk.add(Role.USER, "hello the red")
    segments = render(talk.conversation)
    prepared = backend.prepare(segments if not more else segments[:2], never, lambda _: None)
    assert prepared.evaluated_tokens == sum(backend.count(segments if not more else segments[:2])) - 1
    reply = ask(backend, segments)
    assert reply.finished.usage.reused_tokens == prepared.evaluated_tokens
    fresh = loaded(path)
    assert ask(fresh, segments).text == reply.text
    fresh.close()
