"""What the screen lets the engine read ahead, and when: a chat is opened, a picture comes, words are typed, a reply has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nemochat.desk import reading
from nemochat.domain.events import Progress, Stage
from nemochat.engine.protocol import Place
from nemochat.errors import EngineError
from nemochat.prompt.format import as_text
from nemochat.settings import EngineSettings, SamplingSettings, Settings
from tests.chat.fake_engine import FakeEngine, reply
from tests.images.pictures import draw_circle
from tests.tui.bench import Driver, running


def ends(engine: FakeEngine) -> list[str]:
    """What was read ahead, from the last turn's marker on."""
    return [as_text(segments).rpartition("<extra_id_1>User\n")[2] for segments in engine.prepared]


async def typed(driver: Driver, text: str) -> None:
    """Type some more, and wait until it was read."""
    await driver.type(text)
    await driver.settle()


async def test_what_is_opened_typed_and_replied_is_read_ahead(tmp_path: Path) -> None:
    engine = FakeEngine(reply("A circle."))
    async with running(tmp_path, engine) as driver:
        assert ends(engine) == [""], "the system text"
        await typed(driver, "What is")
        await typed(driver, " it")
        assert ends(engine)[1:] == ["What", "What is"]
        await driver.press("enter")
        await driver.settle()
        assert engine.places[-1] == Place(driver.desk.conversation.id)
        assert engine.places[-1].conversation
        assert as_text(engine.prepared[-1]).endswith("A circle.\n<extra_id_1>User\n")
        assert engine.requests[0].conversation == driver.desk.conversation.id
        assert driver.screen.presenter.state == "ready"


async def test_a_command_is_not_read_and_two_slashes_are_words(tmp_path: Path) -> None:
    engine = FakeEngine()
    async with running(tmp_path, engine) as driver:
        await typed(driver, "/image some thing")
        assert ends(engine) == [""]
        await driver.press("ctrl+u")
        await driver.settle()
        await typed(driver, "//image some thing")
        assert ends(engine)[-1] == "/image some"


async def test_a_picture_is_read_when_it_is_attached(tmp_path: Path) -> None:
    engine = FakeEngine(reply("A circle."))
    picture = tmp_path / "circle.png"
    draw_circle(picture, (220, 40, 40))
    async with running(tmp_path, engine) as driver:
        await driver.paste(str(picture))
        assert ends(engine)[-1] == "<image>\n"
        assert [item.state for item in driver.desk.draft.items] == ["encoded"]
        await typed(driver, "What is it")
        assert ends(engine)[-1] == "<image>\nWhat is"


async def test_each_chat_has_its_place_and_a_deleted_one_is_forgotten(tmp_path: Path) -> None:
    engine = FakeEngine(reply("They are far."), reply("They are red."))
    async with running(tmp_path, engine) as driver:
        await driver.send("tell me of stars")
        stars = driver.desk.conversation.id
        await driver.press("ctrl+n")
        await driver.settle()
        assert engine.places[-1] == Place("")
        await driver.send("tell me of apples")
        apples = driver.desk.conversation.id
        assert engine.places[-1] == Place(apples)
        await driver.screen.desk.chats.open(stars)
        await driver.settle()
        assert engine.places[-1] == Place(stars)
        assert "tell me of stars" in as_text(engine.prepared[-1])
        await driver.act_on(apples, "delete")
        assert engine.forgotten == [apples]
        await driver.act_on(stars, "delete")
        await driver.settle()
        assert engine.forgotten == [apples, stars]
        assert engine.places[-1] == Place("")


async def test_another_model_reads_the_chat_anew(tmp_path: Path) -> None:
    first, second = FakeEngine(reply("Hi.")), FakeEngine()
    async with running(tmp_path, first, second) as driver:
        await driver.send("Hello")
        driver.desk.do(lambda: driver.desk.open_model("second"))
        await driver.until(lambda: second.prepared)
        await driver.settle()
        assert as_text(second.prepared[-1]).endswith("Hi.\n<extra_id_1>User\n")
        assert second.places[-1] == Place(driver.desk.conversation.id)


async def test_it_is_said_softly_and_the_next_turn_never_waits_for_it(tmp_path: Path) -> None:
    engine = FakeEngine(reply("Hi."))
    async with running(tmp_path, engine) as driver:
        engine.prepare_gate = asyncio.Semaphore(0)
        driver.screen.desk.reading.opened()
        await driver.until(lambda: len(engine.prepared) == 2)
        driver.screen.desk.reading.reads_ahead(Progress(Stage.PREFILL, 120, 800))
        assert driver.screen.presenter.state == "reading ahead 120 of 800"
        await driver.type("Hello")
        await driver.press("enter")
        await driver.until(lambda: driver.said == ["Hello", "Hi."])
        assert driver.screen.presenter.state == "ready"
        engine.prepare_gate = None
        driver.screen.presenter.set_state("stopped by you")
        driver.screen.desk.reading.reads_ahead(Progress(Stage.ENCODE, 0, 1))
        assert driver.screen.presenter.state == "reading the picture"
        driver.screen.desk.reading.opened()
        await driver.settle()
        assert driver.screen.presenter.state == "stopped by you", "what was said before is said again"


async def test_a_failure_shows_in_the_status_line(tmp_path: Path) -> None:
    engine = FakeEngine()
    async with running(tmp_path, engine) as driver:
        engine.prepare_errors = [EngineError("The engine has died.")]
        driver.screen.desk.reading.opened()
        await driver.until(lambda: driver.screen.presenter.state == "stopped: The engine has died.")


async def test_an_edited_message_is_not_read_behind_the_last_one(tmp_path: Path) -> None:
    engine = FakeEngine(reply("Hi."))
    async with running(tmp_path, engine) as driver:
        await driver.send("Hello there you")
        engine.prepared.clear()
        await driver.press("ctrl+up")
        await driver.settle()
        assert not engine.prepared


async def test_switched_off_it_reads_nothing(tmp_path: Path) -> None:
    engine = FakeEngine(reply("Hi."))
    async with running(tmp_path, engine, settings=Settings(engine=EngineSettings(warm_ahead=False))) as driver:
        await driver.send("Hello there you")
        assert not engine.prepared


async def test_the_line_of_forgetting_moves_in_idle_time(tmp_path: Path) -> None:
    engine = FakeEngine(*(reply("y" * 40) for _ in range(9)), context_length=1060)
    settings = Settings(sampling=SamplingSettings(max_tokens=60))
    async with running(tmp_path, engine, settings=settings) as driver:
        for number in range(9):
            await driver.send(f"{number}" + "x" * 19)
        await driver.told("the oldest messages are forgotten now")
        await driver.settle()
        kept = driver.desk.chat.first_kept
        assert kept > 0
        view = driver.desk.reading.view
        assert view is not None
        assert view.forgotten == tuple(range(kept))
        assert view.to_read <= len("<extra_id_1>Assistant\n")
        await driver.until(lambda: driver.bench.library.load(driver.desk.conversation.id).chat.first_kept == kept)


async def test_after_a_title_the_next_turn_begins_warm_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TITLE_SECONDS", 0.0)
    engine = FakeEngine(reply("Hi."), reply("A short talk"))
    async with running(tmp_path, engine) as driver:
        driver.bench.demo_model = "none"
        await driver.send("Hello")
        await driver.until(lambda: driver.desk.chat.name == "A short talk")
        n_asked = len(engine.requests)
        assert n_asked == 2
        await driver.settle()
        assert as_text(engine.prepared[-1]).endswith("Hi.\n<extra_id_1>User\n")
        assert engine.prepared[-1] == engine.prepared[-2], "once after the reply, and once after the title"
