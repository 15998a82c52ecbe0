"""The gate before a call, in a turn: which replies it is asked of, and what is kept and told of it."""

from __future__ import annotations

import msgspec
import pytest

from nemochat.chat import ChatEvent, TurnResult
from nemochat.chat.session import UNGATED
from nemochat.chat.values import ReplyForm, RoundEnded
from nemochat.desk.tools import gated
from nemochat.engine.gate import Gate
from nemochat.engine.protocol import Capabilities
from nemochat.library.codec import from_columns, to_columns
from tests.chat.fake_engine import FakeEngine, reply
from tests.chat.test_tools import ADD, Desk, play, user


def results(events: list[ChatEvent]) -> list[TurnResult]:
    return [event.result if isinstance(event, RoundEnded) else event for event in events if isinstance(event, RoundEnded | TurnResult)]


async def test_it_is_asked_of_the_reply_to_a_message_and_not_of_those_behind_the_tools() -> None:
    engine = FakeEngine(reply(ADD, call_chance=0.9), reply("It is 3."), reply("Hello.", call_chance=0.2))
    desk = Desk(engine)
    desk.session.session.gate = 0.5
    called, answered = results(await play(desk.session.send(user("1 + 2?"))))
    assert [request.gate for request in engine.requests] == [Gate(("<toolcall>",), 0.5), None]
    assert (called.call_chance, called.gate, answered.call_chance, answered.gate) == (0.9, 0.5, None, None)
    assert gated(desk.session.entries) == (0.9, 0.5)
    await play(desk.session.send(user("Hello!")))
    assert engine.requests[2].gate == Gate(("<toolcall>",), 0.5)
    assert gated(desk.session.entries) == (0.2, 0.5)


async def test_without_a_threshold_it_is_only_looked() -> None:
    engine = FakeEngine(reply("Hello.", call_chance=0.7))
    desk = Desk(engine)
    [result] = results(await play(desk.session.send(user("Hello!"))))
    assert engine.requests[0].gate == Gate(("<toolcall>",))
    assert (result.call_chance, result.gate) == (0.7, None)
    assert gated(desk.session.entries) is None


async def test_what_has_to_call_or_cannot_is_not_asked() -> None:
    engine = FakeEngine(*(reply("Hello.") for _ in range(7)))
    desk = Desk(engine)
    session = desk.session.session
    session.gate = 0.5
    for form in (ReplyForm(calls=True), ReplyForm(schema={"type": "string"})):
        session.form = form
        await play(desk.session.send(user("x")))
    session.form = ReplyForm()
    await play(desk.session.continue_reply())
    await play(desk.session.impersonate())
    await desk.session.suggest_title()
    desk.session.open_chat(msgspec.structs.replace(desk.session.chat, frame=msgspec.structs.replace(desk.session.chat.frame, tools=())))
    await play(desk.session.send(user("x")))
    assert [request.gate for request in engine.requests] == [None] * 7  # the first was asked again, having made no call


async def test_another_reply_to_the_message_is_asked_again() -> None:
    engine = FakeEngine(reply("Hello.", call_chance=0.2), reply("Hi.", call_chance=0.3))
    desk = Desk(engine)
    desk.session.session.gate = 0.5
    await play(desk.session.send(user("Hello!")))
    await play(desk.session.regenerate())
    assert all(request.gate is not None for request in engine.requests)
    assert gated(desk.session.entries) == (0.3, 0.5)


async def test_of_an_engine_that_cannot_it_is_said_once() -> None:
    engine = FakeEngine(reply("Hello."), reply("Hello."))
    engine.capabilities = Capabilities(can_gate=False)
    desk = Desk(engine)
    desk.session.session.gate = 0.5
    [said] = results(await play(desk.session.send(user("Hello!"))))
    [again] = results(await play(desk.session.send(user("Hello!"))))
    assert (UNGATED in said.note, again.note) == (True, "")
    assert [request.gate for request in engine.requests] == [None, None]
    assert (said.call_chance, said.gate) == (None, None)


@pytest.mark.parametrize("threshold", [None, 0.0, 0.5])
async def test_it_is_stored_and_read_back_with_the_reply(threshold: float | None) -> None:
    engine = FakeEngine(reply("Hello.", call_chance=0.25))
    desk = Desk(engine)
    desk.session.session.gate = threshold
    await play(desk.session.send(user("Hello!")))
    entry = desk.session.entries[-1]
    read = from_columns(entry.id, *to_columns(entry)).entry
    assert read.record is not None
    assert (read.record.result.call_chance, read.record.result.gate) == (0.25, threshold)
