"""What a user can do on the chat screen, by keyboard, with the real app and a played engine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.events import Paste

from nemochat.domain.events import EngineEvent, Finished, FinishReason, TextDelta, Timings, Usage
from nemochat.domain.messages import Role
from nemochat.errors import EngineDiedError
from nemochat.tui.screens.dialogs import Choose, Menu, Read, Write
from nemochat.tui.screens.help import HelpScreen
from nemochat.tui.widgets.hint_line import PromptState
from nemochat.tui.widgets.transcript import Transcript
from tests.chat.fake_engine import FakeEngine, reply
from tests.images.pictures import draw_circle
from tests.tui.bench import Bench, running


async def test_a_question_gets_its_answer(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Hel", "lo."))) as driver:
        await driver.send("Hi there")
        assert driver.said == ["Hi there", "Hello."]
        assert driver.screen.prompt.plain_text == ""
        assert driver.desk.reading.view is not None
        assert driver.desk.reading.view.cached > 0


async def test_what_is_sent_during_a_reply_waits_and_is_sent_after_it(tmp_path: Path) -> None:
    engine = FakeEngine(reply("One."), reply("Two."))
    engine.gate = asyncio.Semaphore(0)
    async with running(tmp_path, engine) as driver:
        await driver.type("first")
        await driver.press("enter")
        await driver.until(lambda: engine.requests)
        assert driver.screen.prompt.state is PromptState.QUEUES
        await driver.type("second")
        await driver.press("enter")
        assert driver.waiting == ["second"]
        engine.gate.release()
        engine.gate.release()
        await driver.settle()
        assert driver.said == ["first", "One.", "second", "Two."]
        assert not driver.waiting


async def test_a_queued_message_can_be_taken_back(tmp_path: Path) -> None:
    engine = FakeEngine(reply("One."))
    engine.gate = asyncio.Semaphore(0)
    async with running(tmp_path, engine) as driver:
        await driver.type("first")
        await driver.press("enter")
        await driver.until(lambda: engine.requests)
        await driver.type("second")
        await driver.press("enter")
        await driver.press("f9")
        assert not driver.waiting
        assert driver.screen.prompt.plain_text == "second"
        engine.gate.release()
        await driver.settle()
        assert driver.said == ["first", "One."]


async def test_escape_stops_the_reply_and_keeps_what_came(tmp_path: Path) -> None:
    stopped: list[EngineEvent | Exception] = [TextDelta("Once upon"), Finished(FinishReason.CANCELLED, Usage(), Timings())]
    engine = FakeEngine(stopped)
    cancelled: list[bool] = []

    async def cancel() -> None:
        cancelled.append(True)
        assert engine.gate is not None
        engine.gate.release()

    engine.gate = asyncio.Semaphore(0)
    engine.cancel = cancel  # type: ignore[method-assign]
    async with running(tmp_path, engine) as driver:
        await driver.type("Tell me a story")
        await driver.press("enter")
        await driver.until(lambda: engine.requests)
        await driver.press("escape")
        await driver.settle()
        assert cancelled
        assert driver.said == ["Tell me a story", "Once upon"]
        await driver.press("escape", "escape")
        assert driver.said == ["Tell me a story", "Once upon"]


async def test_typing_and_sending_do_not_wait_for_the_model(tmp_path: Path) -> None:
    engine = FakeEngine(reply("Here."))
    engine.load_seconds = 0.3
    bench = Bench(tmp_path, {"demo": engine})
    async with running(tmp_path, bench=bench) as driver:
        await driver.send("early")
        assert driver.said == ["early", "Here."]


async def test_the_engines_death_is_a_sentence_and_the_next_message_works(tmp_path: Path) -> None:
    engine = FakeEngine([TextDelta("Half"), EngineDiedError("The engine was killed.", "Send it again.")], reply("Whole."))
    async with running(tmp_path, engine) as driver:
        await driver.send("one")
        assert any("The engine was killed." in notice for notice in driver.notices)
        assert driver.said == ["one", "Half"]
        await driver.send("two")
        assert driver.said == ["one", "Half", "two", "Whole."]


async def test_a_model_that_cannot_be_loaded_says_why_and_offers_the_demo_model(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"demo": FakeEngine(reply("Hi."))})
    bench.first = "broken"
    async with running(tmp_path, bench=bench) as driver:
        await driver.until(lambda: isinstance(driver.app.screen, Choose))
        await driver.press("enter")
        await driver.until(lambda: driver.screen.desk.model.is_loaded)
        assert driver.screen.desk.model.name == "demo"
        await driver.send("hello")
        assert driver.said == ["hello", "Hi."]


async def test_another_reply_stands_beside_the_old_one(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."), reply("Two."))) as driver:
        await driver.send("hello")
        await driver.send("/regen")
        assert driver.said == ["hello", "Two."]
        await driver.until(lambda: "2/2" in driver.shown)
        await driver.focus_message(1)
        await driver.press("left")
        assert driver.said == ["hello", "One."]
        await driver.press("right")
        assert driver.said == ["hello", "Two."]


async def test_a_reply_goes_on_from_its_end(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Once"), reply(" upon"))) as driver:
        await driver.send("story")
        await driver.send("/continue")
        assert driver.said == ["story", "Once upon"]


async def test_an_edited_message_is_sent_again_and_the_old_chat_stays(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."), reply("Two."))) as driver:
        await driver.send("first")
        await driver.press("ctrl+up")
        assert driver.screen.prompt.plain_text == "first"
        assert driver.screen.prompt.state is PromptState.EDITS
        await driver.send(" again")
        assert driver.said == ["first again", "Two."]
        assert driver.desk.chat.counters == {0: (2, 2)}


async def test_escape_gives_an_edit_up(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."))) as driver:
        await driver.send("first")
        await driver.press("ctrl+up", "escape")
        assert driver.screen.prompt.state is PromptState.SENDS
        assert driver.said == ["first", "One."]


@pytest.mark.parametrize(("key", "attribute"), [("p", "pinned"), ("x", "excluded")])
async def test_messages_are_pinned_and_excluded_by_key(tmp_path: Path, key: str, attribute: str) -> None:
    async with running(tmp_path, FakeEngine(reply("One."))) as driver:
        await driver.send("first")
        driver.screen.query_one(Transcript).focus_last()
        await driver.pilot.pause()
        await driver.press(key)
        assert [getattr(entry.message, attribute) for entry in driver.desk.chat.entries] == [False, True]
        await driver.settle()
        await driver.press(key)
        assert not any(getattr(entry.message, attribute) for entry in driver.desk.chat.entries)


async def test_a_deletion_is_taken_back_and_a_fork_leaves_the_chat_as_it_was(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."), reply("Two."))) as driver:
        await driver.send("first")
        await driver.send("second")
        transcript = driver.screen.query_one(Transcript)
        transcript.focus_last()
        await driver.pilot.pause()
        await driver.press("d")
        assert driver.said == ["first", "One.", "second"]
        await driver.send("/undo")
        assert driver.said == ["first", "One.", "second", "Two."]
        before = driver.desk.conversation.id
        await driver.desk.messages.act(driver.desk.chat.entries[0].id, "fork")
        assert driver.said == ["first"]
        await driver.until(lambda: driver.desk.conversation.id not in ("", before))
        assert len(driver.bench.library.load(before).chat.entries) == 4


async def test_the_menu_of_a_message_opens_and_its_details_show_the_prompt(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."))) as driver:
        await driver.send("first")
        driver.screen.query_one(Transcript).focus_last()
        await driver.pilot.pause()
        await driver.press("enter")
        await driver.until(lambda: isinstance(driver.app.screen, Menu))
        await driver.press("i")
        await driver.until(lambda: isinstance(driver.app.screen, Read))
        await driver.press("escape")
        await driver.until(lambda: driver.app.screen is driver.screen)


async def test_a_reply_can_be_rewritten(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."))) as driver:
        await driver.send("first")
        driver.screen.query_one(Transcript).focus_last()
        await driver.pilot.pause()
        await driver.press("e")
        await driver.until(lambda: isinstance(driver.app.screen, Write))
        await driver.press(*"more", "ctrl+s")
        await driver.until(lambda: driver.app.screen is driver.screen)
        assert driver.said == ["first", "One.more"]


async def test_a_new_chat_leaves_the_old_one_in_the_list(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."), reply("Two."))) as driver:
        await driver.send("first")
        await driver.press("ctrl+n")
        assert driver.said == []
        await driver.press("ctrl+r")
        await driver.until(lambda: len(driver.screen.drawer.rows) == 1)
        await driver.press("enter")
        await driver.until(lambda: driver.said == ["first", "One."])


async def test_a_dropped_picture_becomes_a_token_and_goes_with_the_message(tmp_path: Path) -> None:
    picture = tmp_path / "a circle.png"
    draw_circle(picture, (220, 40, 40))
    engine = FakeEngine(reply("Red."))
    async with running(tmp_path, engine) as driver:
        driver.screen.prompt.area.post_message(_paste(f"'{picture}' "))
        await driver.until(lambda: driver.desk.draft.items and driver.desk.draft.items[0].tokens)
        await driver.settle()
        assert "[image 1: a circle.png 240x240, 5 tokens]" in driver.screen.prompt.area.text
        assert engine.prepared
        await driver.send("What colour?")
        message = driver.desk.chat.entries[0].message
        assert [part.name for part in message.images] == ["a circle.png"]
        assert message.text == "What colour?"


async def test_a_deleted_token_takes_its_picture_along(tmp_path: Path) -> None:
    picture = tmp_path / "circle.png"
    draw_circle(picture, (220, 40, 40))
    async with running(tmp_path, FakeEngine(reply("No."))) as driver:
        driver.screen.prompt.area.post_message(_paste(str(picture)))
        await driver.until(lambda: driver.desk.draft.items and driver.desk.draft.items[0].tokens)
        await driver.settle()
        await driver.press("backspace", "backspace")
        assert driver.desk.draft.items == []
        assert driver.screen.prompt.area.text.strip() == ""


async def test_a_file_that_is_no_picture_is_a_sentence_and_the_text_stays(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type("Look at this")
        driver.screen.prompt.area.post_message(_paste(f" '{tmp_path / 'broken.png'}'"))
        await driver.until(lambda: any("broken" in notice for notice in driver.notices))
        await driver.pilot.pause()
        assert driver.desk.draft.items == []
        assert driver.screen.prompt.plain_text == "Look at this"


async def test_a_path_that_is_not_here_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        driver.screen.prompt.area.post_message(_paste("/nowhere/at/all.png"))
        await driver.until(lambda: any("no such file on this machine" in notice for notice in driver.notices))


async def test_an_unknown_command_is_never_sent(tmp_path: Path) -> None:
    engine = FakeEngine()
    async with running(tmp_path, engine) as driver:
        await driver.type("/hlep")
        await driver.press("escape", "enter")
        await driver.pilot.pause()
        assert engine.requests == []
        assert any("/help" in notice for notice in driver.notices)


async def test_two_slashes_send_one(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Yes."))) as driver:
        await driver.send("//help me")
        assert driver.said == ["/help me", "Yes."]


async def test_system_text_is_sent_and_kept_for_a_new_chat(tmp_path: Path) -> None:
    engine = FakeEngine(reply("Arr."))
    async with running(tmp_path, engine) as driver:
        await driver.send("/system You are a pirate.")
        await driver.send("hello")
        assert any("You are a pirate." in getattr(segment, "text", "") for segment in engine.requests[0].segments)
        await driver.press("ctrl+n")
        assert driver.desk.chat.frame.system == "You are a pirate."


async def test_another_model_goes_on_with_the_same_conversation(tmp_path: Path) -> None:
    first, second = FakeEngine(reply("One.")), FakeEngine(reply("Two."))
    async with running(tmp_path, first, second) as driver:
        await driver.send("hello")
        await driver.send("/model second")
        await driver.until(lambda: driver.screen.desk.model.name == "second" and driver.screen.desk.model.is_loaded)
        assert first.is_closed
        assert driver.bench.used == ["second"]
        await driver.send("again")
        assert driver.said == ["hello", "One.", "again", "Two."]


async def test_help_lists_the_keys_of_the_focused_part(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.press("f1")
        await driver.until(lambda: isinstance(driver.app.screen, HelpScreen))
        await driver.press("escape")
        await driver.until(lambda: driver.app.screen is driver.screen)


async def test_control_c_quits_at_the_second_press(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.press("ctrl+c")
        assert driver.app.is_running
        assert any("again" in notice for notice in driver.notices)
        await driver.press("ctrl+c")
        assert driver.app.return_code == 0


async def test_the_draft_is_there_at_the_next_start(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type("unfinished")
        await driver.until(lambda: list(driver.bench.paths.drafts.glob('*')))
    async with running(tmp_path, FakeEngine()) as driver:
        assert driver.screen.prompt.plain_text == "unfinished"


async def test_earlier_prompts_come_back_with_up(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."), reply("Two."))) as driver:
        await driver.send("first")
        await driver.send("second")
        await driver.press("up", "up")
        assert driver.screen.prompt.plain_text == "first"
        await driver.press("down", "down")
        assert driver.screen.prompt.plain_text == ""


async def test_keys_can_be_remapped(tmp_path: Path) -> None:
    from nemochat.settings import Settings

    async with running(tmp_path, FakeEngine(reply("One.")), settings=Settings(keys={"chat.new": "f10"})) as driver:
        await driver.send("first")
        await driver.press("f10")
        assert driver.said == []


async def test_a_narrow_screen_has_a_drawer(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(), size=(80, 24)) as driver:
        states = [driver.screen.side.is_open]
        for key in ("f2", "escape"):
            await driver.press(key)
            states.append(driver.screen.side.is_open)
        assert states == [False, True, False]


async def test_roles_alternate_after_everything(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(*(reply(f"{n}.") for n in range(4)))) as driver:
        for text in ("a", "b"):
            await driver.send(text)
        await driver.send("/regen")
        await driver.send("c")
        roles = [entry.message.role for entry in driver.desk.chat.entries]
        assert roles == [Role.USER, Role.ASSISTANT] * 3


def _paste(text: str) -> Paste:
    return Paste(text)
