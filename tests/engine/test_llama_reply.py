"""Replies of a scripted model: its greedy reply is a given sequence of tokens, whatever is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nemochat.domain.events import FinishReason, TextDelta
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Plain
from nemochat.engine.protocol import GenerateRequest
from nemochat.prompt.nemotron import render
from tests.calls import call_part
from tests.engine.llama_harness import Reply, Talk, ask, gather, loaded, never, question
from tests.tiny_gguf import token_ids, write_language_model

EURO = ["<0xE2>", "<0x82>", "<0xAC>"]


def reply_of(tmp_path: Path, script: Sequence[str], **sampling: Any) -> Reply:
    backend = loaded(write_language_model(tmp_path / "scripted.gguf", script=script))
    reply = ask(backend, question("x"), **{"max_tokens": 40, **sampling})
    backend.close()
    return reply


@pytest.mark.parametrize("end", ["</s>", "<extra_id_0>", "<extra_id_1>", "<extra_id_2>"])
def test_end_tokens_end_the_reply_unseen(tmp_path: Path, end: str) -> None:
    reply = reply_of(tmp_path, ["hello", "▁", end, "z"])
    assert (reply.text, reply.finished.reason, reply.finished.usage.completion_tokens) == ("hello", FinishReason.STOP, 2)


def test_a_turn_marker_that_the_model_spells_out_ends_the_reply_unseen(tmp_path: Path) -> None:
    reply = reply_of(tmp_path, ["hello", "▁", *"<extra_id", "<0x5F>", "1", ">", "z"])
    assert (reply.text, reply.finished.reason) == ("hello", FinishReason.STOP)


def test_what_only_begins_like_a_marker_is_shown(tmp_path: Path) -> None:
    reply = reply_of(tmp_path, ["hello", *"<extra_id", "!", "</s>"])
    assert reply.text == "hello<extra_id!"


def test_stop_strings_are_found_across_tokens(tmp_path: Path) -> None:
    reply = reply_of(tmp_path, ["hello", "a", *"ENDz", "</s>"], stop=["END", "never"])
    assert (reply.text, reply.finished.reason) == ("helloa", FinishReason.STOP)


def test_characters_from_byte_tokens_come_out_whole(tmp_path: Path) -> None:
    backend = loaded(write_language_model(tmp_path / "scripted.gguf", script=["a", *EURO, "b", "</s>"]))
    events = list(backend.generate(GenerateRequest(question("x"), Sampling(temperature=0.0, max_tokens=40)), never))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["a", "€", "b"]
    backend.close()


def test_an_incomplete_character_at_the_limit_is_dropped(tmp_path: Path) -> None:
    reply = reply_of(tmp_path, ["a", *EURO, "b"], max_tokens=3)
    assert (reply.text, reply.finished.reason) == ("a", FinishReason.LENGTH)


def test_tool_call_tags_come_out_as_text(tmp_path: Path) -> None:
    reply = reply_of(tmp_path, ["<toolcall>", "▁", "{", "}", "</toolcall>", "<extra_id_1>"])
    assert reply.text == "<toolcall> {}</toolcall>"


@pytest.mark.parametrize(
    ("markers", "text"),
    [((), "OK. x"), (("<toolcall>", "</toolcall>"), "OK.<toolcall> x</toolcall>"), (("<context>", "<never>"), "OK.<context> x</context>")],
)
def test_special_tokens_are_shown_only_where_the_format_reads_them(tmp_path: Path, markers: tuple[str, ...], text: str) -> None:
    kind = "toolcall" if "<toolcall>" in markers else "context"
    script = [*"OK.", f"<{kind}>", "▁", "x", f"</{kind}>", "</s>"]
    backend = loaded(write_language_model(tmp_path / "scripted.gguf", script=script))
    markers = (*markers, "</context>") if "<context>" in markers else markers
    reply = gather(backend.generate(GenerateRequest(question("x"), Sampling(max_tokens=40), markers=markers), never))
    assert (reply.text, reply.finished.usage.completion_tokens) == (text, 7)
    backend.close()


def test_what_a_reply_said_between_unseen_tokens_is_known_by_heart(tmp_path: Path) -> None:
    backend = loaded(write_language_model(tmp_path / "scripted.gguf", script=[*"he", "<tool>", *"lo", "</s>"]))
    assert ask(backend, question("x")).text == "helo"
    ids = token_ids()
    assert backend._model().tokenizer.tokens(Plain("helo")) == tuple(ids[letter] for letter in "helo")
    backend.close()


@pytest.mark.parametrize("stop", ["<tool>", "EN", "<note>"])
def test_the_stops_of_the_format_end_a_reply_as_tokens_and_spelled_out(tmp_path: Path, stop: str) -> None:
    end = [stop] if stop.startswith("<") else [*stop]
    backend = loaded(write_language_model(tmp_path / "scripted.gguf", script=["hello", "<extra_id_1>", "a", *end, "z", "</s>"]))
    request = GenerateRequest(question("x"), Sampling(max_tokens=40), stops=(stop,))
    reply = gather(backend.generate(request, never))
    assert (reply.text, reply.finished.reason) == ("helloa", FinishReason.STOP)
    backend.close()


def test_white_space_before_the_text_is_shown_and_after_it_is_not(tmp_path: Path) -> None:
    reply = reply_of(tmp_path, ["▁", "hello", "<0x09>", "red", "<0x0D>", "</s>"])
    assert reply.text == " hello\tred"


def test_the_reply_ends_at_max_tokens(tmp_path: Path) -> None:
    reply = reply_of(tmp_path, ["a", "b", "c", "d", "</s>"], max_tokens=3)
    assert (reply.text, reply.finished.reason, reply.finished.usage.completion_tokens) == ("abc", FinishReason.LENGTH, 3)
    assert reply_of(tmp_path, ["a", "b"], max_tokens=0).finished.reason is FinishReason.LENGTH


@pytest.mark.parametrize("end", ["<extra_id_1>", "</s>"])
def test_the_next_turn_reuses_a_reply_that_no_tokeniser_would_spell_so(tmp_path: Path, end: str) -> None:
    backend = loaded(write_language_model(tmp_path / "scripted.gguf", script=[*"helo", "he", "ll", *EURO, "▁", end]))
    talk = Talk(backend)
    known = 0
    for number in range(3):
        reply = talk.ask(f"question {number}", max_tokens=40)
        usage = reply.finished.usage
        assert (reply.text, reply.finished.reason) == ("helohell€", FinishReason.STOP)
        assert usage.evaluated_tokens <= usage.prompt_tokens - known + 1
        known = usage.prompt_tokens + usage.completion_tokens
    backend.close()


def test_the_next_turn_reuses_a_tool_call(tmp_path: Path) -> None:
    script = [*"OK.", "<toolcall>", "▁", *'{"helo', "</toolcall>", "<extra_id_1>"]
    backend = loaded(write_language_model(tmp_path / "scripted.gguf", script=script))
    talk = Talk(backend)
    talk.add(Role.USER, "x")
    usage = ask(backend, render(talk.conversation), max_tokens=40).finished.usage
    call = Message(Role.ASSISTANT, (TextPart("OK."), call_part(' {"helo')))
    result = Message(Role.TOOL, (TextPart("5"),))
    talk.conversation = msgspec.structs.replace(talk.conversation, messages=(*talk.conversation.messages, call, result))
    again = ask(backend, render(talk.conversation), max_tokens=40).finished.usage
    assert again.reused_tokens == usage.prompt_tokens + usage.completion_tokens
    backend.close()


def test_the_repeat_penalty_looks_back_into_the_prompt(tmp_path: Path) -> None:
    backend = loaded(write_language_model(tmp_path / "scripted.gguf", script=["a", "b", "</s>"]))
    assert ask(backend, question("a")).text == "ab"
    assert not ask(backend, question("a"), repeat_penalty=1000.0).text.startswith("a")
    assert ask(backend, question("a"), repeat_penalty=1000.0, repeat_last_n=2).text.startswith("a")
    assert ask(backend, question("a"), repeat_penalty=1000.0, repeat_last_n=0).text == "ab"
    backend.close()


def test_a_reply_can_be_continued(tmp_path: Path) -> None:
    backend = loaded(write_language_model(tmp_path / "scripted.gguf", script=["a", "b", "c", "d", "</s>"]))
    talk = Talk(backend)
    first = talk.ask("x", max_tokens=2)
    rest = ask(backend, render(talk.conversation, continue_reply=True), max_tokens=9)
    assert (first.text, rest.text) == ("ab", "cd")
    assert rest.finished.usage.evaluated_tokens == 2
    assert talk.conversation.messages[-1].role is Role.ASSISTANT
    backend.close()
