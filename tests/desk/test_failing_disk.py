"""What the user wrote is on the disk at every moment, whatever the library can write: in the draft's file while it is nowhere else."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nemochat import files
from nemochat.chat import recall
from nemochat.chat.pictures import OpenedPicture
from nemochat.desk import conversation, draft
from nemochat.domain.images import Original, RgbImage
from nemochat.library import Library, LibraryError, rescue
from nemochat.library.rescue import take_in
from tests.desk.bench import Bench
from tests.desk.sitting import Sitting, drafts, engine_of
from tests.images.pictures import draw_circle


def pictures(sitting: Sitting) -> list[str]:
    return [each for path in sitting.bench.paths.drafts.glob("*.json") for each in msgspec.json.decode(path.read_bytes())["pictures"]]


def in_library(sitting: Sitting) -> list[str]:
    """All that was sent, as far as it is in the library."""
    chats = [sitting.bench.library.load(row.id).chat for row in sitting.bench.library.conversations()]
    said = [node.entry.message.text for chat in chats for node in chat.nodes if node.entry.message.role.value == "user"]
    return [*said, *(each.message.text for chat in chats for each in chat.waiting)]


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The disk takes nothing into the library."""

    def save(*_: Any, **__: Any) -> Any:
        raise LibraryError("The library cannot grow: the disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(Library, "save", save)
        patched.setattr(Library, "add", save)
        yield


def next_start(sitting: Sitting) -> list[str]:
    """What the program does with its library when it starts: the sentences for the user."""
    return take_in(sitting.bench.library, sitting.bench.paths.rescued)


def rescued(sitting: Sitting) -> list[Path]:
    return [path for folder in sitting.bench.paths.rescued if folder.exists() for path in folder.iterdir()]


async def test_a_message_that_cannot_be_written_stays_in_the_draft_and_is_there_in_the_next_run(
    sitting: Sitting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was in the running program only: the draft's file was emptied, and the library had not got it. Its reply was lost at the end."""
    picture = tmp_path / "circle.png"
    draw_circle(picture, (220, 40, 40))
    with failing(monkeypatch):
        sitting.desk.draft.add_source(str(picture))
        await sitting.send("one")
        await sitting.send("//two")
        sitting.type("half a thou")
        await sitting.until(lambda: drafts(sitting) == ["one\n//two\nhalf a thou"])
        assert pictures(sitting) == [str(picture)]
        said = sitting.said
        await sitting.close()
        assert (drafts(sitting), len(rescued(sitting)), len(next_start(sitting))) == (["half a thou"], 1, 2), "it waits for room"
    (told,) = sitting.desk.last_words
    assert str(rescued(sitting)[0]) in told
    assert next_start(sitting) == ["What could not be saved when nemochat last ended is in your chats now."]
    assert not rescued(sitting)
    assert isinstance(sitting.bench, Bench)
    sitting.bench.resume = ""
    again = await Sitting(sitting.bench).begin()
    assert (again.said, again.port.text, again.port.tokens) == (said, "half a thou", [])
    assert again.desk.album.original(again.desk.chat.entries[0].message.images[0].digest) is not None
    await again.close()


async def test_what_was_done_to_a_chat_that_is_in_the_library_comes_back_into_it(sitting: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pin, an edit, the reply to a message that was there, and a chat that had been left: all of it was lost when the disk was full."""
    await sitting.send("an earlier chat")
    sitting.desk.new()
    await sitting.send("one")
    with failing(monkeypatch):
        await sitting.act(0, "pin")
        sitting.port.answers.append("another reply")
        await sitting.act(1, "edit")
        await sitting.send("two")
        sitting.desk.new()
        await sitting.send("three")
        await sitting.close()
    assert [path.parent.name for path in rescued(sitting)] == ["rescued"] * 2
    assert len(next_start(sitting)) == 1
    library = sitting.bench.library
    chats = [[entry.message for entry in library.load(row.id).chat.entries] for row in library.conversations()]
    assert sorted([message.text for message in chat] for chat in chats) == [
        ["an earlier chat", "reply 0"], ["one", "another reply", "two", "reply 2"], ["three", "reply 3"],
    ]  # fmt: skip
    assert [message.pinned for chat in chats for message in chat if message.text == "one"] == [True]


async def test_what_another_program_did_to_the_chat_meanwhile_stays(sitting: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    await sitting.send("one")
    id_ = sitting.desk.conversation.id
    with failing(monkeypatch):
        await sitting.act(0, "pin")
        await sitting.close()
    (path,) = rescued(sitting)
    library, data = sitting.bench.library, path.read_bytes()
    before = library.load(id_)
    library.save(id_, before.version, before.chat, before.chat.named("theirs"))
    assert len(next_start(sitting)) == 1
    path.parent.mkdir()
    path.write_bytes(data)  # a second program that started in the same moment
    assert len(next_start(sitting)) == 1
    assert sorted((row.title, library.load(row.id).chat.entries[0].message.pinned) for row in library.conversations()) == [
        ("one", True), ("one", True), ("theirs", False),
    ]  # fmt: skip


async def test_where_the_disk_has_no_room_at_all_another_one_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draft as well: it was lost."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    sitting = await Sitting(Bench(tmp_path, {"demo": engine_of()})).begin()
    write = files.write_whole

    def full(path: Path, data: bytes, **options: Any) -> None:
        if path.is_relative_to(tmp_path / "data"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, data, **options)

    with failing(monkeypatch), monkeypatch.context() as patched:
        for module in (rescue, recall):
            patched.setattr(module, "write_whole", full)
        await sitting.send("one")
        sitting.type("half a thou")
        await sitting.close()
    assert [path.is_relative_to(tmp_path / "elsewhere") for path in rescued(sitting)] == [True, True]
    assert len(sitting.desk.last_words) == 2
    assert len(next_start(sitting)) == 1
    again = await Sitting(sitting.bench).begin()
    assert (in_library(again), again.port.text) == (["one"], "half a thou")
    await again.close()
    assert (drafts(again), rescued(again)) == (["half a thou"], [])


async def test_where_nothing_takes_it_the_user_is_told_what_is_lost(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A folder of that name which another user has made is none."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    sitting.bench.paths.rescued[1].symlink_to(tmp_path)
    (tmp_path / "data" / "rescued").write_text("in the way")
    with failing(monkeypatch):
        await sitting.send("one")
        await sitting.close()
    (told,) = sitting.desk.last_words
    assert told.startswith("The newest of the chat one is lost.")


async def test_it_is_written_by_itself_when_that_can_be_done_again(sitting: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "RETRY_SECONDS", 0.02)
    with failing(monkeypatch):
        await sitting.send("one")
        sitting.desk.new()
        await sitting.send("two")
        await sitting.until(lambda: drafts(sitting) == ["one\ntwo"])
    await sitting.until(lambda: sorted(in_library(sitting)) == ["one", "two"])
    await sitting.until(lambda: drafts(sitting) == [])


async def test_the_end_of_the_program_tries_once_more(sitting: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written was not tried again unless something was changed: it was lost although the disk had room again."""
    with failing(monkeypatch):
        await sitting.send("one")
        sitting.desk.new()
        await sitting.send("two")
    await sitting.close()
    assert sorted(in_library(sitting)) == ["one", "two"]
    assert drafts(sitting) == []


@pytest.mark.parametrize("how", ["locked", "read-only"])
async def test_a_library_that_another_program_locks_or_nobody_may_write_costs_no_message(tmp_path: Path, how: str) -> None:
    bench = Bench(tmp_path, {"demo": engine_of()})
    bench.library.close()
    bench.library, _ = Library.open(bench.paths.library, busy_seconds=0.05)
    sitting = await Sitting(bench).begin()
    with closing(sqlite3.connect(bench.paths.library / "library.db", isolation_level=None)) as other:
        if how == "locked":
            other.execute("BEGIN IMMEDIATE")
        else:
            other.execute("CREATE TRIGGER no BEFORE INSERT ON conversation BEGIN SELECT RAISE (FAIL, 'read-only'); END")
        await sitting.send("one")
        await sitting.until(lambda: drafts(sitting) == ["one"])
        await sitting.close()
        assert (drafts(sitting), len(rescued(sitting))) == ([], 1)
        other.execute("ROLLBACK" if how == "locked" else "DROP TRIGGER no")
    next_start(sitting)
    assert in_library(sitting) == ["one"]


async def test_esc_takes_a_message_that_was_never_written_back_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = engine_of()
    slow.load_seconds = 5.0
    sitting = Sitting(Bench(tmp_path, {"demo": slow}))
    sitting.desk.start()
    with failing(monkeypatch):
        sitting.enter("one")
        await asyncio.sleep(0.02)
        sitting.desk.stop()
        await sitting.until(lambda: not sitting.desk.is_busy)
        assert (sitting.port.text, drafts(sitting)) == ("one", ["one"])
        await sitting.close()
    assert drafts(sitting) == ["one"]


async def test_the_draft_keeps_a_message_while_the_library_is_slow(sitting: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The letters' own timer emptied the draft's file half a second after the typing, whether or not the message was anywhere by then."""
    monkeypatch.setattr(draft, "SAVE_SECONDS", 0.02)
    save = sitting.bench.library.save
    goes_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(*arguments: Any, **options: Any) -> Any:
        asyncio.run_coroutine_threadsafe(goes_on.wait(), loop).result()
        return save(*arguments, **options)

    monkeypatch.setattr(sitting.bench.library, "save", slow)
    sitting.type("one")
    await sitting.until(lambda: drafts(sitting) == ["one"])
    sitting.enter()
    await asyncio.sleep(0.1)
    assert drafts(sitting) == ["one"]
    goes_on.set()
    await sitting.settle()
    assert (in_library(sitting), drafts(sitting)) == (["one"], [])


async def test_what_is_sent_before_the_resumed_chat_is_there_is_on_the_disk(sitting: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its only copy was in the memory of the program."""
    monkeypatch.setattr(draft, "SAVE_SECONDS", 0.02)
    await sitting.send("one")
    assert isinstance(sitting.bench, Bench)
    sitting.bench.resume = ""
    load = sitting.bench.library.load
    goes_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(id_: str) -> Any:
        asyncio.run_coroutine_threadsafe(goes_on.wait(), loop).result()
        return load(id_)

    monkeypatch.setattr(sitting.bench.library, "load", slow)
    again = Sitting(sitting.bench)
    again.desk.start()
    again.enter("two")
    again.enter("three")
    await again.until(lambda: drafts(again) == ["two\nthree"])
    goes_on.set()
    await again.settle()
    await again.until(lambda: again.said[-2:] == ["three", "reply 2"])
    await again.settle()
    assert drafts(again) == []
    await again.close()


async def test_letters_without_a_pause_are_saved_as_well(sitting: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each letter put the saving off: who typed without a pause for a minute lost a minute."""
    monkeypatch.setattr(draft, "SAVE_SECONDS", 0.1)
    text = ""
    for _ in range(100):
        text += "x"
        sitting.type("x")
        await asyncio.sleep(0.01)
        if drafts(sitting):
            break
    assert drafts(sitting), "half of the typing was never saved"


async def test_what_was_typed_before_an_earlier_prompt_was_looked_at_survives_a_kill(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up put what was being typed into the memory of the program, and the earlier prompt into the draft's file in its place."""
    await sitting.send("an earlier one")
    sitting.type("half a thou")
    earlier = sitting.desk.history.older("half a thou")
    assert earlier == "an earlier one"
    sitting.desk.draft.typed(earlier)
    sitting.desk.draft.save()
    assert drafts(sitting) == ["half a thou"]
    sitting.desk.draft.typed("an earlier one, changed")
    sitting.desk.draft.save()
    assert drafts(sitting) == ["half a thou\nan earlier one, changed"]
    sitting.port.text = ""
    sitting.desk.draft.typed("half a thou" if sitting.desk.history.newer("an earlier one, changed") == "half a thou" else "")
    sitting.desk.draft.save()
    assert drafts(sitting) == ["half a thou"]


async def test_a_picture_of_the_clipboard_that_is_still_read_goes_with_its_message(tmp_path: Path) -> None:
    """At a quit it was in no file, and the message was sent without it in the next run."""
    bench = Bench(tmp_path, {"demo": engine_of()})
    bench.engines["demo"].load_seconds = 5.0
    sitting = Sitting(bench)
    sitting.desk.start()

    def slow() -> OpenedPicture:
        time.sleep(0.1)
        return OpenedPicture(RgbImage.from_rgb(2, 2, b"\x00\xff\x00" * 4))

    sitting.desk.draft.add("clipboard", slow)
    sitting.enter("what is it?")
    await sitting.close()
    (row,) = bench.library.conversations()
    (waiting,) = bench.library.load(row.id).chat.waiting
    assert [image.name for image in waiting.message.images] == ["clipboard"]
    assert bench.library.original(waiting.message.images[0].digest) is not None
    assert not list(sitting.bench.paths.drafts.glob("*"))


async def test_a_picture_of_a_message_that_waits_is_in_the_library_as_soon_as_it_is_read(tmp_path: Path) -> None:
    """The message named a file, which may go: one that was made for the draft was even deleted with the draft."""
    bench = Bench(tmp_path, {"demo": engine_of()})
    bench.engines["demo"].load_seconds = 5.0
    sitting = Sitting(bench)
    sitting.desk.start()
    picture = tmp_path / "data" / "drafts" / "picture-0123456789ab.png"
    picture.parent.mkdir(parents=True)
    draw_circle(picture, (220, 40, 40))
    sitting.desk.draft.add_source(str(picture))
    sitting.desk.draft.save()
    sitting.enter("what is it?")
    await sitting.until(lambda: not picture.exists())
    (row,) = bench.library.conversations()
    (waiting,) = bench.library.load(row.id).chat.waiting
    assert [image.name for image in waiting.message.images] == [picture.name]
    assert not waiting.sources
    await sitting.close()


async def test_a_picture_in_a_text_is_a_file_beside_the_draft(sitting: Sitting, tmp_path: Path) -> None:
    """Megabytes of it stood in the draft's file, which could not be read any more when they were many."""
    import base64

    draw_circle(tmp_path / "circle.png", (220, 40, 40))
    data = (tmp_path / "circle.png").read_bytes()
    sitting.desk.draft.add_source("data:image/png;base64," + base64.b64encode(data).decode())
    await sitting.until(lambda: not sitting.desk.draft.items[0].source.startswith("data:"))
    sitting.desk.draft.save()
    (named,) = pictures(sitting)
    assert Path(named).read_bytes() == data
    sitting.desk.draft.remove(sitting.desk.draft.items[0].key)
    assert Original(data, "png").digest[:12] in named


@pytest.mark.parametrize("presses", [1, 2, 3])
async def test_esc_and_esc_again_put_back_what_waited_in_the_order_in_which_it_was_sent(tmp_path: Path, presses: int) -> None:
    slow = engine_of()
    slow.load_seconds = 5.0
    sitting = Sitting(Bench(tmp_path, {"demo": slow}))
    sitting.desk.start()
    for text in ("one", "two", "three"):
        sitting.desk.draft.add("clipboard", lambda text=text: OpenedPicture(RgbImage.from_rgb(1, 1, text[:3].encode())))  # type: ignore[misc]
        sitting.enter(text)
    sitting.type("half a thou")
    for press in range(presses):
        await sitting.until(lambda left=2 - press: len(sitting.desk.chat.waiting) == left + 1 and sitting.desk.turns.running)  # type: ignore[misc]
        sitting.desk.stop()
        await sitting.until(lambda left=2 - press: len(sitting.desk.chat.waiting) == left)  # type: ignore[misc]
    assert sitting.port.text == "\n".join([*("one", "two", "three")[:presses], "half a thou"]) == sitting.desk.draft.text
    assert [item.number for item in sitting.desk.draft.items] == list(range(1, presses + 1))
    assert [item.key for item in sitting.desk.draft.items] == sitting.port.tokens == ["a1", "a2", "a3"][:presses]
    await sitting.close()


async def test_messages_that_are_taken_out_of_the_queue_come_back_in_the_order_in_which_they_were_sent(tmp_path: Path) -> None:
    slow = engine_of()
    slow.load_seconds = 5.0
    sitting = Sitting(Bench(tmp_path, {"demo": slow}))
    sitting.desk.start()
    for text in ("one", "two", "three", "four"):
        sitting.enter(text)
    await sitting.until(lambda: sitting.port.queue == ("two", "three", "four"))
    sitting.desk.turns.unqueue(2)
    sitting.desk.turns.unqueue(0)
    sitting.desk.turns.unqueue(0)
    sitting.desk.stop()
    await sitting.until(lambda: not sitting.desk.is_busy)
    assert sitting.port.text == "one\ntwo\nthree\nfour"
    sitting.type(" and five")
    sitting.desk.draft.put_back("six", at=time.perf_counter())
    assert sitting.port.text == "six\none\ntwo\nthree\nfour and five", "what the user has changed is not taken apart"
    await sitting.close()


async def test_a_message_that_looks_like_a_command_comes_back_as_a_message(tmp_path: Path) -> None:
    """`//undo` came back as `/undo`, and Enter ran the command."""
    slow = engine_of()
    slow.load_seconds = 5.0
    sitting = Sitting(Bench(tmp_path, {"demo": slow}))
    sitting.desk.start()
    sitting.enter("//undo is a command")
    await sitting.until(lambda: sitting.desk.turns.running)
    sitting.desk.stop()
    await sitting.until(lambda: not sitting.desk.is_busy)
    assert sitting.port.text == "//undo is a command"
    await sitting.close()


async def test_a_command_that_was_sent_as_a_message_is_edited_as_one(sitting: Sitting) -> None:
    await sitting.send("//undo is a command")
    await sitting.act(0, "edit")
    assert sitting.port.text == "//undo is a command"
    await sitting.send("")
    assert sitting.said[0] == "/undo is a command"
