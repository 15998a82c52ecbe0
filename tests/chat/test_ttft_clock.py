"""The clock of the time to first token: when it starts, on every way to a reply, and that its parts add up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace

import msgspec
import pytest

from nemochat.chat import ChatEvent, RoundEnded, ToolsAnswered, TurnResult
from nemochat.domain.events import EngineEvent, Finished, FinishReason, TextDelta, Timings, Usage
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.sampling import Sampling
from nemochat.domain.ttft import reading_of, rows_of
from nemochat.engine.protocol import LoadRequest, ModelInfo
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import FakeEngine
from tests.chat.talking import Talking
from tests.chat.test_tools import ADD, Desk

SECOND = 1000.0


class Clock:
    """A time that stands still but for what the test lets pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        for module in ("session", "turn", "loading"):
            monkeypatch.setattr(f"nemochat.chat.{module}.time", SimpleNamespace(perf_counter=lambda: self.now))


class TimedEngine(FakeEngine):
    """Loading takes 8 s; a reply 1 s of encoding, 2 s of prefill and 0.5 s until its first text."""

    def __init__(self, clock: Clock, *texts: str) -> None:
        timings = Timings(encode_ms=1000, prefill_ms=2000, decode_ms=700, first_token_ms=3500)
        finished = Finished(FinishReason.STOP, Usage(9, 0, 4, 5, 8, 1), timings)
        replies: list[list[EngineEvent | Exception]] = [[TextDelta(text), finished] for text in texts]
        super().__init__(*replies)
        self._clock = clock

    async def load(self, request: LoadRequest, on_progress: object = None) -> ModelInfo:
        await asyncio.sleep(0)
        self._clock.now += 8
        return await super().load(request)

    async def generate(self, request: object) -> AsyncGenerator[EngineEvent, None]:
        self._clock.now += 3.5
        async for event in super().generate(request):  # type: ignore[arg-type]
            yield event
            self._clock.now += 0.1


def session(engine: FakeEngine) -> Talking:
    return Talking(engine, LoadRequest("fake", "fake", None, EngineSettings()), Sampling(max_tokens=10))


def user(text: str) -> Message:
    return Message(Role.USER, (TextPart(text),))


async def play(events: AsyncGenerator[ChatEvent, None]) -> list[ChatEvent]:
    return [event async for event in events]


def adds_up(result: TurnResult) -> bool:
    reading = reading_of(result)
    return reading.ttft_ms == pytest.approx(sum(reading.parts))


async def last(events: AsyncGenerator[ChatEvent, None]) -> TurnResult:
    result = (await play(events))[-1]
    assert isinstance(result, TurnResult)
    assert adds_up(result)
    return result


async def test_it_starts_at_enter_not_when_the_session_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    chat = session(TimedEngine(clock, "a", "b"))
    enter = clock.now
    clock.now += 4  # a picture was still being read, say
    cold = await last(chat.send(user("Hi"), asked_at=enter))
    assert cold.ttft_ms == pytest.approx(15.5 * SECOND)
    # The model was there 12 s after Enter: all of that is the load.
    assert reading_of(cold).parts == pytest.approx((12 * SECOND, 1 * SECOND, 2 * SECOND, 0.5 * SECOND))
    enter = clock.now
    clock.now += 4
    warm = await last(chat.send(user("Again"), asked_at=enter))
    assert warm.ttft_ms == pytest.approx(7.5 * SECOND)
    assert reading_of(warm).parts == pytest.approx((0, 1 * SECOND, 2 * SECOND, 4.5 * SECOND))


async def test_a_model_that_was_loaded_before_enter_costs_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    chat = session(TimedEngine(clock, "a"))
    async for _ in chat.loaded():
        pass
    assert (await last(chat.send(user("Hi")))).timings.load_ms == 0


async def test_another_reply_and_one_that_goes_on_have_a_clock_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    chat = session(TimedEngine(clock, "a", "b", " and on"))
    await last(chat.send(user("Hi")))
    clock.now += 60
    again = await last(chat.regenerate())
    assert again.ttft_ms == pytest.approx(3.5 * SECOND)
    clock.now += 60
    on = await last(chat.continue_reply())
    assert on.ttft_ms == pytest.approx(3.5 * SECOND)
    # The reply that was swiped away counts; of one that was continued the last continuation does.
    assert [row.reading.ttft_ms for row in rows_of(chat.chat)] == pytest.approx([11.5 * SECOND, 3.5 * SECOND])
    assert chat.entries[-1].message.text == "b and on"


async def test_each_reply_of_a_turn_with_tools_has_its_own_and_the_tools_are_in_none(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    desk = Desk(TimedEngine(clock, ADD, "3"))
    turn: list[ChatEvent] = []
    async for event in desk.session.send(user("1 + 2?")):
        turn.append(event)
        if isinstance(event, RoundEnded):
            clock.now += 30  # the tool takes its time
        elif isinstance(event, ToolsAnswered):
            assert clock.now > 130
    first, final = next(event.result for event in turn if isinstance(event, RoundEnded)), turn[-1]
    assert isinstance(final, TurnResult)
    assert adds_up(first)
    assert adds_up(final)
    assert first.ttft_ms == pytest.approx(11.5 * SECOND)
    assert final.ttft_ms == pytest.approx(3.5 * SECOND)
    assert [row.reading.ttft_ms for row in rows_of(desk.session.chat)] == [first.ttft_ms, final.ttft_ms]


async def test_without_text_there_is_no_ttft_and_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    chat = session(TimedEngine(clock, ""))
    result = (await play(chat.send(user("Hi"))))[-1]
    assert isinstance(result, TurnResult)
    assert result.ttft_ms is None
    assert rows_of(chat.chat) == []


async def test_another_reply_waits_from_when_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    chat = session(TimedEngine(clock, "a", "b", " and on"))
    await last(chat.send(user("Hi")))
    for play_again in (chat.regenerate, chat.continue_reply):
        asked_at = clock.now
        clock.now += 4  # it stood in the queue
        again = await last(play_again(asked_at=asked_at))
        assert again.ttft_ms == pytest.approx(7.5 * SECOND)


async def test_a_model_that_had_to_be_loaded_again_before_enter_is_no_wait_of_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    engine = TimedEngine(clock, "a", "b")
    chat = session(engine)
    await last(chat.send(user("Hi")))
    # As after a death while something was read ahead.
    engine._info = msgspec.structs.replace(engine._info, load_ms=8000.0)
    assert (await last(chat.send(user("Again")))).timings.load_ms == 0
