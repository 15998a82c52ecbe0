"""Documents on the screen: dropped or named, searched for each message, shown with where the words are from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil

from nemochat.chat.meaning import WORDS_ALONE
from nemochat.desk import commands
from nemochat.documents.values import named_collection
from nemochat.errors import EngineError
from nemochat.prompt.format import as_text
from nemochat.tui.screens.dialogs import Choose, Read
from nemochat.tui.screens.picker import Picker
from tests.chat.fake_engine import FakeEngine, reply
from tests.documents.bombs import bombs
from tests.documents.test_isolated import SLOW
from tests.tui.bench import Driver, running

NOTES = "# Garden\n\nThe pond is drained every October, because of the ice.\n\n# House\n\nThe spare key lies under the blue pot.\n"


class KeyMeanings:
    """An embedder to which whatever has to do with keys is alike. With `fails`, one that does not work."""

    model = "keys"

    def __init__(self, *, fails: bool = False) -> None:
        self._fails = fails

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if self._fails:
            raise EngineError("The embedding model is broken.")
        return [[1.0, 0.0] if "key" in text or "unlock" in text else [0.0, 1.0] for text in texts]


def prompt(driver: Driver) -> str:
    return as_text(driver.bench.engines["demo"].requests[-1].segments)


async def test_a_dropped_file_is_searched_for_each_message_and_named_beside_it(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(NOTES)
    async with running(tmp_path, FakeEngine(reply("Under the blue pot."), reply("In October."))) as driver:
        await driver.paste(f"'{tmp_path / 'notes.md'}'")
        await driver.dialog(Choose)
        await driver.press("enter")
        await driver.told("1 document in this chat")
        await driver.send("Where does the spare key lie?")
        assert "<context> notes.md: " in prompt(driver)
        assert "blue pot" in prompt(driver)
        await driver.until(lambda: "notes.md, " in driver.shown)
        await driver.focus_message(0)
        await driver.press("s")
        await driver.dialog(Read)
        assert "The spare key lies under the blue pot." in driver.shown
        await driver.press("escape")
        await driver.back()
        await driver.send("When is the pond drained?")
        assert prompt(driver).count("<context>") == 1, "what is in the window already is not said again"


async def test_a_file_that_was_changed_is_read_again_and_one_that_is_away_is_kept(tmp_path: Path) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text(NOTES)
    async with running(tmp_path, FakeEngine(reply("One."), reply("Two."))) as driver:
        await driver.send(f"/doc {notes}")
        await driver.told("1 document in this chat")
        notes.write_text(NOTES.replace("blue pot", "old barrel beside the door"))
        await driver.send("Where does the spare key lie?")
        assert "old barrel" in prompt(driver)
        await driver.told("Read again")
        notes.unlink()
        await driver.press("ctrl+up")
        await driver.send(" I mean the spare key.")
        assert "old barrel" in prompt(driver)


async def test_nothing_relevant_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(NOTES)
    async with running(tmp_path, FakeEngine(reply("I do not know."))) as driver:
        await driver.send(f"/doc {tmp_path / 'notes.md'}")
        await driver.told("1 document in this chat")
        await driver.send("Who won the chess championship in Reykjavik?")
        await driver.told("Nothing")
        assert "<context>" not in prompt(driver)


async def test_documents_are_listed_read_and_taken_out(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(NOTES)
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.send(f"/doc {tmp_path / 'notes.md'}")
        await driver.told("1 document in this chat")
        await driver.send("/doc")
        await driver.dialog(Picker)
        await driver.press("enter")
        await driver.dialog(Choose)
        await driver.press("enter")
        await driver.dialog(Read)
        assert "drained every October" in driver.shown
        await driver.press("escape")
        await driver.back()
        await driver.send("/doc")
        await driver.dialog(Picker)
        await driver.press("enter")
        await driver.dialog(Choose)
        await driver.press("right", "enter")
        await driver.told("was removed from this chat")


async def test_a_named_collection_is_searched_in_the_chats_that_want_it(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(NOTES)
    async with running(tmp_path, FakeEngine(reply("In October."))) as driver:
        driver.bench.documents.add(tmp_path / "notes.md", named_collection("garden"))
        await driver.send("/doc")
        await driver.dialog(Picker)
        await driver.press("enter")
        await driver.back()
        assert driver.desk.chat.collections == (named_collection("garden"),)
        await driver.send("When is the pond drained?")
        assert "October" in prompt(driver)


async def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.send(f"/doc {tmp_path / 'broken.pdf'}")
        await driver.told("broken.pdf")
        assert driver.desk.chat.collections == ()


async def test_with_an_embedding_model_passages_are_found_by_meaning(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(NOTES)
    async with running(tmp_path, FakeEngine(reply("With that."))) as driver:
        driver.bench.embedder = KeyMeanings()
        await driver.send(f"/doc {tmp_path / 'notes.md'}")
        await driver.told("1 document in this chat")
        await driver.until(lambda: not driver.bench.documents.without_vectors("keys", 1))
        await driver.send("How could somebody unlock it?")
        assert "blue pot" in prompt(driver)


async def test_an_embedding_model_that_fails_is_told_once_and_the_words_are_used(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(NOTES)
    async with running(tmp_path, FakeEngine(reply("There."), reply("Then."))) as driver:
        driver.bench.embedder = KeyMeanings(fails=True)
        await driver.send(f"/doc {tmp_path / 'notes.md'}")
        await driver.told(WORDS_ALONE)
        await driver.send("Where does the spare key lie?")
        assert "blue pot" in prompt(driver)
        assert sum(WORDS_ALONE in notice for notice in driver.notices) == 1


async def test_esc_stops_the_reading_of_a_document_and_ends_its_process(tmp_path: Path) -> None:
    (tmp_path / "slow.txt").write_bytes(SLOW)
    async with running(tmp_path, FakeEngine()) as driver:
        before = set(psutil.Process().children())
        commands.run(driver.desk, "doc", str(tmp_path / "slow.txt"))
        await driver.until(lambda: "reading slow.txt" in driver.shown)
        await driver.until(lambda: set(psutil.Process().children()) - before)
        await driver.press("escape")
        await driver.told("Reading documents was stopped.")
        assert set(psutil.Process().children()) <= before
        assert driver.desk.chat.collections == ()


async def test_a_message_that_is_stopped_while_a_changed_document_is_read_waits_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(NOTES)
    async with running(tmp_path, FakeEngine(reply("Under the pot."))) as driver:
        await driver.send(f"/doc {path}")
        await driver.told("1 document in this chat")
        path.write_bytes(SLOW)
        await driver.type("Where does the spare key lie?")
        await driver.press("enter")
        await driver.until(lambda: driver.desk.turns.is_running)
        await driver.press("escape")
        await driver.until(lambda: not driver.desk.turns.is_running)


async def test_a_bomb_that_is_dropped_is_a_document_like_others(tmp_path: Path) -> None:
    (tmp_path / "long key.json").write_bytes(bombs()["long key of a record.json"])
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.paste(f"'{tmp_path / 'long key.json'}'")
        await driver.dialog(Choose)
        await driver.press("enter")
        await driver.told("1 document in this chat")
        await driver.send("/doc")
        await driver.dialog(Picker)
        await driver.press("enter")
        await driver.dialog(Choose)
        await driver.press("enter")
        await driver.dialog(Read)
