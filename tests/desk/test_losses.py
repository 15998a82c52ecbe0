"""Nothing that the user did is ever lost: each loss that was seen once, by its name. The desk alone, without a screen."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nemochat.chat import Chat
from nemochat.chat.pictures import OpenedPicture, open_picture
from nemochat.desk import commands
from nemochat.desk.port import Answer, AskOne, Event, QueueChanged, TurnOpened
from nemochat.domain.events import Finished, FinishReason, TextDelta, Timings, Usage
from nemochat.domain.images import RgbImage
from nemochat.errors import EngineDiedError, EngineError
from tests.desk.bench import Bench
from tests.desk.sitting import Sitting, drafts, engine, engine_of, slow_down
from tests.images.pictures import draw_circle


def stored(sitting: Sitting, id_: str = "") -> list[str]:
    """What the library has of a conversation, the one on the desk unless another is named."""
    chat = sitting.bench.library.load(id_ or sitting.desk.conversation.id).chat
    return [entry.message.text for entry in chat.entries]


async def test_1_undo_takes_back_a_pin_and_no_turns(sitting: Sitting) -> None:
    await sitting.send("one")
    await sitting.act(1, "pin")
    await sitting.send("two")
    await sitting.send("three")
    await sitting.send("/undo")
    assert len(stored(sitting)) == 6
    assert not any(entry.message.pinned for entry in sitting.desk.chat.entries)


async def test_1_renaming_during_a_reply_and_undo_leave_the_reply(sitting: Sitting) -> None:
    gate = engine(sitting).gate = asyncio.Semaphore(0)
    sitting.enter("one")
    await sitting.until(lambda: engine(sitting).requests)
    await sitting.until(lambda: not sitting.desk.chat.waiting)
    sitting.enter("/rename A name")
    await sitting.until(lambda: sitting.desk.chat.name == "A name")
    gate.release()
    await sitting.settle()
    await sitting.send("/undo")
    assert stored(sitting) == ["one", "reply 0"]
    assert sitting.desk.chat.name == ""


async def test_2_what_is_sent_while_another_chat_is_being_opened_stays_in_its_chat(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sitting.send("in b")
    b = sitting.desk.conversation.id
    sitting.desk.new()
    await sitting.send("in a")
    a = sitting.desk.conversation.id
    slow_down(monkeypatch, sitting.bench.library, "load", 0.1)
    gate = engine(sitting).gate = asyncio.Semaphore(0)
    opening = asyncio.create_task(sitting.desk.chats.open(b))
    await asyncio.sleep(0.02)
    sitting.enter("more in a")
    await opening
    assert sitting.desk.conversation.id == a, "a turn holds the chat on the desk"
    gate.release()
    await sitting.settle()
    monkeypatch.undo()
    assert stored(sitting, b)[0] == "in b"
    assert len(stored(sitting, b)) == 2
    assert "more in a" in stored(sitting, a)
    assert len(stored(sitting, a)) == 4


async def test_3_a_stop_while_the_model_loads_leaves_the_picture_usable(tmp_path: Path) -> None:
    picture = tmp_path / "circle.png"
    draw_circle(picture, (220, 40, 40))
    slow = engine_of()
    slow.load_seconds = 0.3
    sitting = Sitting(Bench(tmp_path, {"demo": slow}))
    sitting.desk.start()
    sitting.desk.draft.add_source(str(picture))
    sitting.enter("what is it?")
    await asyncio.sleep(0.05)
    assert sitting.desk.stop()
    await sitting.until(lambda: not sitting.desk.is_busy)
    assert sitting.port.text == "what is it?"
    await sitting.until(lambda: sitting.desk.draft.items and sitting.desk.draft.items[0].tokens)
    await sitting.send("")
    assert sitting.said == ["what is it?", "reply 0"]
    assert sitting.desk.chat.entries[0].message.images
    await sitting.close()


async def test_3_a_stop_while_a_picture_is_read_leaves_it_usable(sitting: Sitting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "circle.png"
    draw_circle(picture, (220, 40, 40))

    def slow(source: str) -> OpenedPicture:
        time.sleep(0.2)
        return open_picture(source)

    monkeypatch.setattr("nemochat.desk.draft.open_picture", slow)
    sitting.desk.draft.add_source(str(picture))
    sitting.enter("what is it?")
    await asyncio.sleep(0.05)
    assert sitting.desk.stop()
    await sitting.until(lambda: not sitting.desk.is_busy)
    assert (sitting.port.text, len(sitting.port.tokens)) == ("what is it?", 1)
    await sitting.until(lambda: sitting.desk.draft.items[0].tokens)
    await sitting.send("")
    assert sitting.said == ["what is it?", "reply 0"]
    assert sitting.desk.chat.entries[0].message.images


@pytest.mark.parametrize("at", ["counting", "retrieval"])
async def test_4_a_stop_is_heard_wherever_the_turn_is(sitting: Sitting, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def wait(*_: Any) -> list[Any]:
        begun.set()
        await asyncio.sleep(60)
        return []

    if at == "counting":
        monkeypatch.setattr(engine(sitting), "count", wait)
    else:
        session = await sitting.desk.ready()
        session.reader.find_passages = wait
        sitting.desk.conversation.change(lambda chat: msgspec.structs.replace(chat, collections=("notes",)))
        await sitting.settle()
    sitting.enter("hello")
    await begun.wait()
    sitting.desk.stop()
    await sitting.until(lambda: not sitting.desk.is_busy)
    monkeypatch.undo()
    await asyncio.sleep(0.05)
    assert sitting.said == ["hello"]
    assert not engine(sitting).requests


async def test_7_editing_a_message_asks_before_a_draft_goes(sitting: Sitting) -> None:
    await sitting.send("first")
    sitting.type("half a thou")
    sitting.port.answers.append("no")
    await sitting.act(0, "edit")
    assert sitting.port.text == "half a thou"
    assert isinstance(sitting.port.asked[-1], AskOne)
    assert sitting.port.asked[-1].answers[0] == Answer("no", "Keep what I was writing")
    sitting.port.answers.append("yes")
    await sitting.act(0, "edit")
    assert sitting.port.text == "first"
    assert sitting.desk.history.older("") == "half a thou"


async def test_17_what_waits_is_on_the_disk_and_goes_on_in_the_next_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"demo": engine_of()})
    sitting = await Sitting(bench).begin()
    bench.engines["demo"].gate = asyncio.Semaphore(0)
    for text in ("one", "two", "three"):
        sitting.enter(text)
    await sitting.until(lambda: engine(sitting).requests)
    await sitting.desk.conversation.stored()
    kept = bench.library.load(sitting.desk.conversation.id).chat
    assert [entry.message.text for entry in kept.entries] + [each.message.text for each in kept.waiting] == ["one", "two", "three"]
    await sitting.close()
    bench.engines["demo"].gate = None
    bench.resume = ""
    again = await Sitting(bench).begin()
    await again.until(lambda: len(again.said) >= 5)
    await again.settle()
    assert [text for text in again.said if not text.startswith("reply")] == ["one", "two", "three"]
    assert not again.desk.chat.waiting
    await again.close()


async def test_17_nothing_is_shown_as_sent_before_it_is_on_the_disk(sitting: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    await sitting.send("before")
    library = sitting.bench.library
    slow_down(monkeypatch, library, "save", 0.1)
    id_ = sitting.desk.conversation.id
    seen: list[tuple[str, bool]] = []
    tell = sitting.port.tell

    def look(event: Event) -> None:
        tell(event)
        match event:
            case TurnOpened():
                shown = tuple(entry.message.text for entry in sitting.desk.turns.said())
            case QueueChanged(labels):
                shown = labels
            case _:
                return
        chat = library.load(id_).chat
        kept = {message.text for message in (*(each.message for each in chat.waiting), *(entry.message for entry in chat.entries))}
        seen.extend((text, text in kept) for text in shown)

    monkeypatch.setattr(sitting.port, "tell", look)
    for text in ("one", "two", "three"):
        sitting.enter(text)
    await sitting.settle()
    assert {text for text, _ in seen} == {"one", "two", "three"}
    assert all(is_kept for _, is_kept in seen), seen


async def test_17_quitting_while_the_model_loads_leaves_the_message_where_it_is(tmp_path: Path) -> None:
    slow = engine_of()
    slow.load_seconds = 5.0
    bench = Bench(tmp_path, {"demo": slow})
    sitting = Sitting(bench)
    sitting.desk.start()
    sitting.enter("one")
    sitting.enter("two")
    sitting.type("half a thou")
    await asyncio.sleep(0.02)
    await sitting.close()
    kept = bench.library.load(sitting.desk.conversation.id).chat
    assert [each.message.text for each in kept.waiting] == ["one", "two"]
    assert sitting.desk.draft.text == "half a thou"


async def test_quitting_waits_for_a_chat_that_has_just_left_the_desk(sitting: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    await sitting.send("one")
    id_ = sitting.desk.conversation.id
    slow_down(monkeypatch, sitting.bench.library, "save", 0.05)
    sitting.enter("/rename A name")
    await asyncio.sleep(0.01)
    sitting.enter("/rename Another name")
    sitting.enter("/new")
    await sitting.desk.close()
    assert sitting.bench.library.load(id_).chat.name == "Another name"


async def test_19_a_model_that_dies_while_it_loads_leaves_the_message_waiting(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"demo": engine_of()})
    bench.engines["demo"].load_errors = [EngineDiedError("The engine was killed.")]
    sitting = Sitting(bench, "demo")
    sitting.enter("hello")
    sitting.desk.start()
    await sitting.until(lambda: sitting.said == ["hello", "reply 0"])
    await sitting.settle()
    assert stored(sitting) == ["hello", "reply 0"]
    assert [ask.title for ask in sitting.port.asked if isinstance(ask, AskOne)] == ["The model cannot be loaded"]
    await sitting.close()


async def test_20_a_regeneration_that_is_killed_leaves_the_reply_before(sitting: Sitting) -> None:
    await sitting.send("one")
    engine(sitting).gate = asyncio.Semaphore(0)
    sitting.enter("/regen")
    await sitting.until(lambda: len(engine(sitting).requests) == 2)
    await sitting.desk.conversation.stored()
    assert stored(sitting) == ["one", "reply 0"]


async def test_2_what_is_sent_before_the_resumed_chat_is_there_belongs_to_it(sitting: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    await sitting.send("one")
    assert isinstance(sitting.bench, Bench)
    sitting.bench.resume = ""
    slow_down(monkeypatch, sitting.bench.library, "load", 0.1)
    again = Sitting(sitting.bench)
    again.desk.start()
    again.enter("two")
    await again.until(lambda: again.said[:1] == ["one"])
    await again.settle()
    monkeypatch.undo()
    assert again.said == ["one", "reply 0", "two", "reply 1"]
    third = Sitting(sitting.bench)
    third.desk.start()
    third.enter("three")
    await third.close()
    assert third.desk.draft.text == "three"


async def test_2_what_is_sent_in_a_new_chat_stays_there_although_the_resumed_one_comes_later(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sitting.send("one")
    assert isinstance(sitting.bench, Bench)
    sitting.bench.resume = ""
    slow_down(monkeypatch, sitting.bench.library, "load", 0.1)
    again = Sitting(sitting.bench)
    again.desk.start()
    again.enter("/new")
    again.enter("two")
    await again.until(lambda: again.said == ["two", "reply 1"])
    await again.settle()
    assert stored(sitting) == ["one", "reply 0"]
    await again.close()


@pytest.mark.parametrize(("keys", "in_chat", "in_prompt"), [
    (("/new", "two"), [], ""),
    (("more", "/new", "two"), ["more"], "two"),
])  # fmt: skip
async def test_2_what_is_sent_behind_a_new_chat_never_lands_in_the_resumed_one_in_which_something_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...], in_chat: list[str], in_prompt: str
) -> None:
    """What waits there is answered at once, so no new chat could be begun, and the message behind went into the resumed one."""
    bench = Bench(tmp_path, {"demo": engine_of()})
    first = await Sitting(bench).begin()
    bench.engines["demo"].gate = asyncio.Semaphore(0)
    for text in ("one", "waits"):
        first.enter(text)
    await first.until(lambda: engine(first).requests)
    await first.close()
    id_ = first.desk.conversation.id
    bench.engines["demo"].gate = None
    bench.resume = id_
    slow_down(monkeypatch, bench.library, "load", 0.05)
    again = Sitting(bench)
    again.desk.start()
    for each in keys:
        again.enter(each)
    await again.until(lambda: again.desk.model.is_loaded and not again.desk.sending.is_resuming)
    await again.settle()
    monkeypatch.undo()
    kept = bench.library.load(id_).chat
    messages = [*(entry.message for entry in kept.entries), *(waiting.message for waiting in kept.waiting)]
    resumed = [message.text for message in messages]
    assert [text for text in resumed if text in keys] == in_chat
    assert again.port.text == in_prompt
    assert in_prompt or [text for text in again.said if "reply" not in text] == ["two"]
    await again.close()


async def test_2_commands_and_messages_of_one_burst_come_in_their_order(sitting: Sitting) -> None:
    await sitting.send("one")
    before = sitting.desk.conversation.id
    sitting.enter("/rename A name")
    sitting.enter("/new")
    sitting.enter("two")
    await sitting.settle()
    assert sitting.said == ["two", "reply 1"]
    assert stored(sitting, before) == ["one", "reply 0"]
    assert sitting.bench.library.load(before).chat.name == "A name"


async def test_22_an_edit_finds_its_message_although_another_one_was_deleted(sitting: Sitting) -> None:
    await sitting.send("a")
    await sitting.send("b")
    await sitting.act(2, "edit")
    assert sitting.port.text == "b"
    await sitting.act(0, "delete")
    sitting.port.text = ""
    await sitting.send("better b")
    assert sitting.said == ["reply 0", "better b", "reply 2"]


async def test_23_lines_that_look_like_a_command_are_not_lost(sitting: Sitting) -> None:
    await sitting.send("/etc is a folder\n/usr is one\n/var too")
    assert sitting.said[0] == "/etc is a folder\n/usr is one\n/var too"
    await sitting.send("/etcetera")
    assert sitting.port.text == "/etcetera"
    assert "There is no command /etcetera" in sitting.port.notices[-1]


async def test_24_words_that_are_typed_while_the_model_writes_a_draft_stay(sitting: Sitting) -> None:
    await sitting.send("hello")
    engine(sitting).replies.append([TextDelta("The model's "), TextDelta("words"), Finished(FinishReason.STOP, Usage(), Timings())])
    gate = engine(sitting).gate = asyncio.Semaphore(1)
    commands.run(sitting.desk, "impersonate")
    await sitting.until(lambda: sitting.port.text == "The model's ")
    sitting.port.text = "mine"
    sitting.desk.draft.typed("mine")
    gate.release()
    await sitting.settle()
    assert sitting.port.text == "mine"


async def test_13_a_message_that_never_fits_stays_in_the_prompt_and_says_by_how_much(tmp_path: Path) -> None:
    sitting = await Sitting(Bench(tmp_path, {"demo": engine_of(context_length=3000)})).begin()
    await sitting.send("x" * 4000)
    assert sitting.port.text == "x" * 4000
    assert sitting.said == []
    assert any("4018 tokens" in notice for notice in sitting.port.notices), sitting.port.notices
    await sitting.close()


async def test_an_engine_that_dies_in_a_reply_leaves_what_came_and_the_next_message_goes_on(sitting: Sitting) -> None:
    engine(sitting).replies.append([TextDelta("Half an"), EngineError("died")])
    await sitting.send("one")
    assert stored(sitting) == ["one", "Half an"]
    assert sitting.desk.chat.entries[-1].interrupted
    await sitting.send("two")
    assert sitting.said[-2:] == ["two", "reply 0"]


async def test_what_is_taken_back_is_in_the_draft_before_it_leaves_the_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Esc, and a kill within the half second after which a draft is saved: the message was nowhere."""
    slow = engine_of()
    slow.load_seconds = 5.0
    sitting = Sitting(Bench(tmp_path, {"demo": slow}))
    sitting.desk.start()
    sitting.enter("one")
    await sitting.until(lambda: not sitting.desk.conversation.chat.waiting or sitting.desk.conversation.is_stored)
    kept: list[str] = []
    monkeypatch.setattr(sitting.desk.conversation, "change", lambda *_, **__: kept.extend(drafts(sitting)))
    sitting.desk.stop()
    await sitting.until(lambda: not sitting.desk.is_busy)
    assert kept == ["one"]
    monkeypatch.undo()
    await sitting.close()


@pytest.mark.parametrize("then", ["quit", "open"])
async def test_a_message_that_was_taken_back_while_it_was_being_written_is_not_sent_later(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """The chat left the desk as one without a word while its first value was on the way to the disk: there the message waited on."""
    slow_down(monkeypatch, sitting.bench.library, "save", 0.1)
    sitting.enter("one")
    first = sitting.desk.conversation
    await asyncio.sleep(0.02)
    sitting.desk.stop()
    await sitting.until(lambda: not sitting.desk.is_busy)
    sitting.desk.new()
    assert sitting.desk.conversation is not first
    if then == "quit":
        await sitting.desk.close()
    else:
        await sitting.until(lambda: first.id)
        await sitting.desk.chats.open(first.id)
        await sitting.settle()
    assert not sitting.bench.library.load(first.id).chat.waiting
    assert sitting.port.text == "one"
    assert not any("copy" in notice for notice in sitting.port.notices)


async def test_chats_that_have_left_the_desk_are_not_held_for_ever(sitting: Sitting) -> None:
    await sitting.send("one")
    left = sitting.desk.conversation
    sitting.desk.new()
    for number in range(5):
        left.change(partial(Chat.named, name=f"name {number}"))
    assert len(sitting.desk._before) <= 1
    await left.stored()
    sitting.desk.new()
    assert not sitting.desk._before


async def test_21_a_picture_that_is_no_file_is_in_the_draft_after_a_kill(sitting: Sitting, tmp_path: Path) -> None:
    picture = RgbImage.from_rgb(2, 2, b"\x00\xff\x00" * 4)
    sitting.desk.draft.add("clipboard", lambda: OpenedPicture(picture))
    await sitting.until(lambda: sitting.desk.draft.items[0].source)
    sitting.desk.draft.save()
    (own,) = sitting.bench.paths.drafts.glob("*.json")
    own.rename(own.with_name("1-0.json"))  # of a program that is gone
    again = Sitting(sitting.bench)
    again.desk.draft.restore()
    await again.until(lambda: again.desk.draft.items and again.desk.draft.items[0].part)
    again.enter("what is it?")
    await again.until(lambda: not list(sitting.bench.paths.drafts.iterdir()))
    for item in sitting.desk.draft.items:
        sitting.desk.draft.remove(item.key)


@contextmanager
def another_program(bench: Bench, id_: str, *, may_have_it: bool = True) -> Iterator[subprocess.Popen[str]]:
    """A program that is at work in this conversation until it is told to end."""
    other = """
import sys, pathlib
from nemochat.library.claims import Claims
print(Claims(pathlib.Path(sys.argv[1])).claim(sys.argv[2]), flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", other, str(bench.paths.data_dir / "open.lock"), id_]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{may_have_it}\n"
        yield process


@pytest.mark.parametrize("how", ["send", "rename", "regenerate"])
async def test_17_who_writes_into_a_chat_whose_messages_wait_elsewhere_goes_on_in_a_copy(tmp_path: Path, how: str) -> None:
    """What waited was stored with both: the window in which it waited went on in a copy, and each sent it once."""
    bench = Bench(tmp_path, {"demo": engine_of()})
    first = await Sitting(bench).begin()
    await first.send("one")
    bench.engines["demo"].gate = asyncio.Semaphore(0)
    first.enter("two")
    first.enter("waits")
    await first.until(lambda: len(engine(first).requests) == 2)
    await first.close()
    id_ = first.desk.conversation.id
    before = bench.library.load(id_)
    bench.engines["demo"].gate = None
    bench.resume = id_
    with another_program(bench, id_):
        again = await Sitting(bench).begin()
        await again.settle()
        match how:
            case "send":
                await again.send("here")
            case "rename":
                again.enter("/rename A name")
            case _:
                again.enter("/regen")
        await again.until(lambda: again.desk.conversation.id not in ("", id_))
        await again.settle()
        assert not again.desk.chat.waiting
        assert bench.library.load(id_) == before, "the other window's chat is as it was"
        assert any("as a copy" in notice for notice in again.port.notices)
        if how == "send":
            assert "here" in stored(again)
        await again.close()


async def test_17_a_chat_is_this_programs_while_something_waits_or_runs_in_it(sitting: Sitting) -> None:
    """Whoever had it open had it for ever, idle or not."""
    assert isinstance(sitting.bench, Bench)
    await sitting.send("one")
    id_ = sitting.desk.conversation.id
    with another_program(sitting.bench, id_):
        await sitting.send("two")
        assert sitting.desk.conversation.id != id_, "it is at work there"
    id_ = sitting.desk.conversation.id
    gate = engine(sitting).gate = asyncio.Semaphore(0)
    sitting.enter("three")
    await sitting.until(lambda: len(engine(sitting).requests) == 3)
    with another_program(sitting.bench, id_, may_have_it=False):
        pass
    gate.release()
    await sitting.settle()
    assert stored(sitting) == ["one", "reply 0", "two", "reply 1", "three", "reply 2"]
    with another_program(sitting.bench, id_):
        pass


async def test_17_what_waits_in_a_chat_that_another_program_has_open_is_sent_by_that_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"demo": engine_of()})
    first = await Sitting(bench).begin()
    bench.engines["demo"].gate = asyncio.Semaphore(0)
    first.enter("one")
    first.enter("two")
    await first.until(lambda: engine(first).requests)
    await first.desk.conversation.stored()
    id_ = first.desk.conversation.id
    await first.close()
    with another_program(bench, id_) as process:
        bench.engines["demo"].gate = None
        bench.resume = id_
        again = await Sitting(bench).begin()
        await again.settle()
        assert [each.message.text for each in again.desk.chat.waiting] == ["two"]
        assert "This chat is open in another nemochat, which sends what waits there." in again.port.notices
        process.communicate("")
    again.desk.new()
    await again.desk.chats.open(id_)
    await again.settle()
    assert "two" in again.said
    await again.close()


async def test_a_chat_in_which_something_only_waits_is_listed_by_its_words(tmp_path: Path) -> None:
    slow = engine_of()
    slow.load_seconds = 5.0
    sitting = Sitting(Bench(tmp_path, {"demo": slow}))
    sitting.desk.start()
    sitting.enter("a question")
    await sitting.until(lambda: sitting.desk.conversation.is_stored)
    await sitting.close()
    (row,) = sitting.bench.library.conversations()
    assert (row.title, row.n_messages, row.preview) == ("a question", 1, "a question")
