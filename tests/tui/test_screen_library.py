"""Conversations on the screen and in the library: resumed, listed, searched, renamed, deleted and brought back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nemochat.library import ListQuery
from nemochat.tui.screens.dialogs import Write
from nemochat.tui.screens.search import SearchScreen
from tests.chat.fake_engine import FakeEngine, reply
from tests.images.pictures import draw_circle
from tests.tui.bench import Bench, Driver, running


async def two_chats(driver: Driver) -> None:
    """One about stars, and then one about apples, which is open."""
    await driver.send("tell me of stars")
    await driver.press("ctrl+n")
    await driver.send("tell me of apples")
    await driver.until(lambda: len(driver.bench.library.conversations()) == 2)


def engine() -> FakeEngine:
    return FakeEngine(reply("They are far."), reply("They are red."), reply("More."))


async def drawer(driver: Driver) -> None:
    """Open the list, with the cursor on the first row."""
    await driver.press("ctrl+r")
    await driver.until(lambda: bool(driver.screen.drawer.rows))
    driver.screen.drawer.list.focus()
    await driver.press("home")


async def test_a_conversation_goes_on_in_the_next_run_with_its_picture_and_its_figures(tmp_path: Path) -> None:
    picture = tmp_path / "circle.png"
    draw_circle(picture, (220, 40, 40))
    first = Bench(tmp_path, {"demo": engine()})
    async with running(tmp_path, bench=first) as driver:
        await driver.paste(str(picture))
        await driver.send("what is it?")
        before = driver.desk.chat
    again = Bench(tmp_path, {"demo": FakeEngine(reply("Still red."))})
    again.resume = ""
    async with running(tmp_path, bench=again) as driver:
        await driver.until(lambda: driver.said == ["what is it?", "They are far."])
        assert driver.desk.chat.entries[0] == before.entries[0]
        record = driver.desk.chat.entries[1].record
        assert record is not None
        assert record.result.usage == before.entries[1].record.result.usage if before.entries[1].record else False
        await driver.until(lambda: "circle.png" in driver.shown)
        await driver.send("and now?")
        assert again.engines["demo"].images, "the engine of the new run was given the picture"
        original = again.library.original(before.entries[0].message.images[0].digest)
        assert original is not None
        assert original.data == picture.read_bytes()


async def test_the_list_opens_renames_and_deletes_and_brings_back(tmp_path: Path) -> None:
    async with running(tmp_path, engine()) as driver:
        await two_chats(driver)
        await drawer(driver)
        await driver.press("down", "enter")
        await driver.until(lambda: driver.said == ["tell me of stars", "They are far."])
        await drawer(driver)
        await driver.press("down", "r")
        await driver.dialog(Write)
        await driver.press("end", "ctrl+u", *"Night", "enter")
        await driver.until(lambda: "Night" in {row.title for row in driver.screen.drawer.rows})
        opened = driver.desk.conversation.id
        assert driver.bench.library.load(opened).chat.name == "Night"
        driver.screen.drawer.list.focus()
        await driver.press("d")
        await driver.until(lambda: len(driver.bench.library.conversations()) == 1)
        assert driver.said == [], "the deleted conversation has left the screen"
        await driver.press("u")
        await driver.until(lambda: len(driver.bench.library.conversations()) == 2)


async def test_a_search_goes_to_the_message_even_on_a_branch_that_was_left(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("The comet."), reply("The moon."), reply("Red."))) as driver:
        await driver.send("what shines?")
        await driver.send("/regen")
        await driver.press("ctrl+n")
        await driver.send("apples?")
        await driver.send("/search comet")
        search = await driver.dialog(SearchScreen)
        await driver.until(lambda: bool(search.results.hits))
        assert search.results.hits[0].snippet == "The comet."
        await driver.press("enter")
        await driver.until(lambda: driver.said == ["what shines?", "The comet."])


async def test_tags_and_the_archive(tmp_path: Path) -> None:
    async with running(tmp_path, engine()) as driver:
        await two_chats(driver)
        await drawer(driver)
        await driver.press("t")
        await driver.dialog(Write)
        await driver.press(*"fruit, red", "enter")
        await driver.until(lambda: driver.bench.library.conversations()[0].tags == ("fruit", "red"))
        await driver.until(lambda: driver.screen.drawer.rows[0].tags == ("fruit", "red"))
        await driver.press("a")
        await driver.until(lambda: len(driver.bench.library.conversations(ListQuery(archived=True))) == 1)


async def test_leaving_in_the_middle_of_a_reply_keeps_what_came(tmp_path: Path) -> None:
    played = FakeEngine(reply("one ", "two ", "three"))
    played.gate = asyncio.Semaphore(2)
    first = Bench(tmp_path, {"demo": played})
    async with running(tmp_path, bench=first) as driver:
        await driver.type("count")
        await driver.press("enter")
        await driver.until(lambda: "one two" in driver.shown)
    again = Bench(tmp_path, {"demo": FakeEngine()})
    again.resume = ""
    async with running(tmp_path, bench=again) as driver:
        await driver.until(lambda: [text.strip() for text in driver.said] == ["count", "one two"])


async def test_a_full_disk_is_told_and_the_chat_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path, engine()) as driver:
        driver.bench.library.close()
        database = driver.bench.paths.library / "library.db"
        for file in database.parent.glob("library.db*"):
            file.unlink()
        database.mkdir()  # whatever is written there fails
        await driver.send("hello")
        await driver.send("again")
        assert driver.said == ["hello", "They are far.", "again", "They are red."]
        assert len([notice for notice in driver.notices if "library" in notice]) == 1
        database.rmdir()
        await driver.send("more")
        await driver.until(lambda: bool(driver.desk.conversation.id))
        kept = driver.bench.library.load(driver.desk.conversation.id).chat
        assert [entry.message.text for entry in kept.entries] == driver.said
