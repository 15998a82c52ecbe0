"""Reading ahead: what comes first, what makes way for what, what is asked again, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import pytest

from nemochat.chat import Chat
from nemochat.chat.warming import WarmAhead
from nemochat.domain.edits import Trim, applied
from nemochat.domain.events import Progress
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Segment
from nemochat.engine.protocol import Asked, LoadRequest, Place
from nemochat.errors import EngineError, NemochatError
from nemochat.prompt.format import as_text
from nemochat.settings import EngineSettings, WhenFull
from tests.chat.fake_engine import FakeEngine, reply
from tests.chat.talking import Talking

PATIENCE = 20_000
"""Turns of the event loop that something may take."""


class Desk:
    """A session, what reads ahead for it, and all that it was told."""

    def __init__(self, engine: FakeEngine, settings: EngineSettings | None = None, pause: float = 0.0, reserve: int = 10) -> None:
        self.engine = engine
        request = LoadRequest("fake", "fake.gguf", None, settings or EngineSettings(spare_tokens=1000))
        self.session = Talking(engine, request, Sampling(max_tokens=reserve))
        self.is_free = True
        self.read: list[tuple[str, bool]] = []
        self.progress: list[Progress] = []
        self.errors: list[NemochatError] = []
        self.forgotten = 0
        self.warming = WarmAhead(lambda: self.session.at_hand if self.is_free else None, self, pause)

    def reads_ahead(self, progress: Progress) -> None:
        self.progress.append(progress)

    def read_ahead(self, draft: Message, *, is_complete: bool) -> None:
        self.read.append((draft.text, is_complete))

    def forgot_ahead(self, trim: Trim) -> None:
        self.forgotten += 1
        self.session.chat = applied(self.session.chat, trim)

    def failed_ahead(self, error: NemochatError) -> None:
        self.errors.append(error)

    @property
    def ends(self) -> list[str]:
        """What was evaluated ahead: what follows the last turn's marker."""
        return [as_text(segments).rpartition("<extra_id_1>User\n")[2] for segments in self.engine.prepared]

    async def say(self, *texts: str) -> None:
        for text in texts:
            self.warming.stop()
            async for _ in self.session.send(draft(text)):
                await asyncio.sleep(0)

    async def until(self, holds: Callable[[], object]) -> None:
        for _ in range(PATIENCE):
            if holds():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it never came true")

    async def settle(self) -> None:
        await self.until(lambda: not self.warming.is_reading)


def draft(text: str) -> Message:
    return Message(Role.USER, (TextPart(text),))


async def test_an_opened_conversation_is_read_up_to_the_users_turn() -> None:
    desk = Desk(FakeEngine())
    desk.session.open_chat(Chat().framed("Be kind.").with_messages([draft("Hi")]), key="c1")
    desk.warming.opened()
    await desk.settle()
    assert [as_text(each) for each in desk.engine.prepared] == [
        "<extra_id_0>System\nBe kind.\n\n<extra_id_1>User\nHi\n<extra_id_1>User\n"
    ]
    assert desk.engine.places == [Place("c1")]
    assert desk.warming.warm == sum(len(each.text) for each in desk.engine.prepared[0] if hasattr(each, "text")) + 1
    assert desk.read == [("", True)]


async def test_typing_is_read_word_by_word_without_the_last_one() -> None:
    desk = Desk(FakeEngine())
    for text in ("W", "Wh", "What", "What ", "What i", "What is", "What is t"):
        desk.warming.draft_changed(draft(text))
        await desk.settle()
    assert desk.ends == ["What", "What is"]


async def test_where_nothing_can_be_taken_back_no_draft_is_read() -> None:
    engine = FakeEngine()
    engine._info = msgspec.structs.replace(engine._info, can_take_back=False)
    desk = Desk(engine)
    desk.warming.opened()
    await desk.settle()
    for text in ("What ", "What is ", "Where"):
        desk.warming.draft_changed(draft(text))
        await desk.settle()
    assert set(desk.ends) == {""}
    assert {text for text, _ in desk.read} == {""}


async def test_many_letters_at_once_are_one_question() -> None:
    desk = Desk(FakeEngine(), pause=0.02)
    text = "What is the answer to everything?"
    for end in range(len(text)):
        desk.warming.draft_changed(draft(text[:end]))
    await desk.settle()
    assert desk.ends == ["What is the answer to"]


async def test_what_is_typed_comes_before_what_is_being_read() -> None:
    desk = Desk(FakeEngine())
    desk.engine.prepare_gate = asyncio.Semaphore(0)
    desk.warming.opened()
    await desk.until(lambda: desk.engine.prepared)
    desk.warming.draft_changed(draft("Hello there"))
    await desk.until(lambda: len(desk.engine.prepared) == 2)
    desk.engine.prepare_gate.release()
    await desk.settle()
    await asyncio.sleep(0.1)
    assert desk.ends == ["", "Hello"], "the first was left, and not asked for again"
    assert desk.read == [("Hello there", True)]


async def test_a_real_request_is_never_in_its_queue() -> None:
    desk = Desk(FakeEngine(reply("Hi.")))
    desk.engine.prepare_gate = asyncio.Semaphore(0)
    desk.warming.opened()
    await desk.until(lambda: desk.engine.prepared)
    await desk.say("Hello")
    assert len(desk.engine.requests) == 1
    await asyncio.sleep(0.1)
    assert len(desk.engine.prepared) == 1, "it was stopped, so it does not ask again"


async def test_nothing_is_read_while_the_engine_works_for_the_user() -> None:
    desk = Desk(FakeEngine())
    desk.is_free = False
    desk.warming.draft_changed(draft("Hello there"))
    await desk.settle()
    assert not desk.engine.prepared
    desk.is_free = True
    desk.warming.replied(draft("Hello there"))
    await desk.settle()
    assert desk.ends == ["Hello"]


async def test_what_was_interrupted_is_asked_for_again() -> None:
    desk = Desk(FakeEngine())
    desk.engine.interruptions = [3, 8]
    desk.warming.opened()
    await desk.settle()
    assert len(desk.engine.prepared) == 3
    assert desk.read == [("", True)]


async def test_an_engine_that_does_not_get_on_is_left_alone() -> None:
    """It never spins: each time that nothing was read the pause is twice as long, and after some it is given up."""
    desk = Desk(FakeEngine())
    desk.engine.interruptions = [0] * 100
    loop = asyncio.get_running_loop()
    started = loop.time()
    desk.warming.opened()
    await asyncio.wait_for(desk.warming.finished(), 60)
    assert len(desk.engine.prepared) <= 6
    assert loop.time() - started > 0.5
    assert desk.read == [("", False)]


async def test_a_failure_is_said_once_and_typing_does_not_repeat_it() -> None:
    desk = Desk(FakeEngine())
    desk.engine.prepare_errors = [EngineError("The engine has died.") for _ in range(2)]
    desk.warming.opened()
    await desk.settle()
    for text in ("one", "one two", "one two three"):
        desk.warming.draft_changed(draft(text))
        await desk.settle()
    assert len(desk.errors) == 1
    assert len(desk.engine.prepared) == 1
    desk.engine.prepare_errors.clear()
    desk.warming.attached(draft("one two three"))
    await desk.settle()
    assert desk.ends == ["", "one two"]


async def test_it_can_be_switched_off() -> None:
    desk = Desk(FakeEngine(), EngineSettings(warm_ahead=False))
    desk.warming.replied(draft("Hello there"))
    await desk.settle()
    assert not desk.engine.prepared
    assert not desk.engine.counted


async def test_closing_ends_what_is_under_way() -> None:
    desk = Desk(FakeEngine())
    desk.engine.prepare_gate = asyncio.Semaphore(0)
    desk.warming.opened()
    await desk.until(lambda: desk.engine.prepared)
    await asyncio.wait_for(desk.warming.close(), 60)
    assert not desk.warming.is_reading


# Each turn is about 100 tokens: "x" * 20 and "y" * 40, with the marker of each.
LONG = [reply("y" * 40) for _ in range(20)]


def long_desk(settings: EngineSettings | None = None, reserve: int = 60) -> Desk:
    return Desk(FakeEngine(*LONG, context_length=1060), settings, reserve=reserve)


async def test_what_will_follow_is_read_beside_it_once_the_window_fills_up() -> None:
    desk = long_desk()
    seen: list[tuple[float, int]] = []
    for number in range(8):
        await desk.say(f"{number}" + "x" * 19)
        desk.engine.prepared.clear()
        desk.engine.places.clear()
        desk.warming.replied()
        await desk.settle()
        seen.append(((await desk.session.preview()).filled, len(desk.engine.places)))
        assert [place.is_next for place in desk.engine.places] == [False, True][: len(desk.engine.places)], "the present one comes first"
    assert [share > 0.6 for share, _ in seen] == [places == 2 for _, places in seen]
    assert {places for _, places in seen} == {1, 2}
    present, following = desk.engine.prepared
    assert len(following) < len(present)
    assert following[-3:] == present[-3:]


async def test_the_window_forgets_in_idle_time_what_was_read_without_before() -> None:
    desk = long_desk()
    following: list[str] = []
    for number in range(12):
        await desk.say(f"{number}" + "x" * 19)
        desk.engine.prepared.clear()
        desk.warming.replied()
        await desk.settle()
        if desk.forgotten:
            break
        following.append(as_text(desk.engine.prepared[-1]))
    assert desk.forgotten == 1
    assert desk.session.chat.first_kept > 0
    present = as_text(desk.engine.prepared[0])
    assert present.startswith(following[-1]), "it was read before"
    kept = desk.session.chat.first_kept
    await desk.say("next")
    assert desk.session.chat.first_kept == kept, "sending finds the same cut"
    assert as_text(desk.engine.requests[-1].segments).startswith(present)


async def test_where_shifting_is_free_or_there_is_no_room_nothing_is_read_beside() -> None:
    for settings in (EngineSettings(spare_tokens=1000, when_full=WhenFull.SHIFT), EngineSettings(spare_tokens=0)):
        desk = long_desk(settings)
        await desk.say(*(f"{number}" + "x" * 19 for number in range(8)))
        desk.warming.replied()
        await desk.settle()
        assert (await desk.session.preview()).filled > 0.6
        assert {place.is_next for place in desk.engine.places} == {False}


async def test_with_little_spare_memory_the_window_forgets_as_long_as_what_will_be_left_is_held() -> None:
    """A full reading in idle time would still be in the way of a user who answers at once."""
    kept_at: dict[int, float] = {}
    for spare in (220, 1000):
        desk = long_desk(EngineSettings(spare_tokens=spare))
        for number in range(12):
            await desk.say(f"{number}" + "x" * 19)
            share = (await desk.session.preview()).filled
            desk.engine.prepared.clear()
            desk.warming.replied()
            await desk.settle()
            if desk.forgotten:
                kept_at[spare] = share
                break
    assert 0.8 < kept_at[220] <= 0.9 < kept_at[1000]


@pytest.mark.parametrize(("size", "blocks"), [(300, 1), (650, 2)])
async def test_a_draft_that_makes_the_window_move_is_read_behind_what_will_be_left(size: int, blocks: int) -> None:
    desk = long_desk()
    await desk.say(*(f"{number}" + "x" * 19 for number in range(8)))
    shown = await desk.session.preview(draft("z" * size + " and"))
    assert shown.now == ()
    async for _ in desk.session.send(draft("z" * size + " and more")):
        await asyncio.sleep(0)
    request = as_text(desk.engine.requests[-1].segments)
    assert request.startswith(as_text(shown.following))
    assert request.count("x" * 19) == 8 - 4 * blocks


async def test_a_conversation_that_changed_meanwhile_is_not_overwritten() -> None:
    desk = long_desk()
    await desk.say(*(f"{number}" + "x" * 19 for number in range(9)))
    other = msgspec.structs.replace(desk.session.chat, name="Another value")
    count = desk.engine.count

    async def slow(segments: Sequence[Segment], asked: Asked | None = None) -> list[int]:
        desk.session.open_chat(other)
        return await count(segments)

    desk.engine.count = slow  # type: ignore[method-assign]
    desk.warming.replied()
    await desk.settle()
    assert desk.session.chat == other
    assert not desk.forgotten
