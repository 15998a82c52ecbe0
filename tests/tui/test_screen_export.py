"""Writing the conversation to a file, from the screen: the command, its dialog, and files that are there already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nemochat.tui.screens.approval import ApprovalScreen
from nemochat.tui.screens.dialogs import Write
from tests.chat.fake_engine import FakeEngine, reply
from tests.images.pictures import draw_circle
from tests.tui.bench import Driver, running


async def _talk(driver: Driver) -> None:
    await driver.send("What is red?")
    assert driver.said == ["What is red?", "A **rose**."]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("talk.md", ["What is red?", "A **rose**."]),
        ("talk.json", ['"role": "user"', '"content": "A **rose**."']),
        ("talk.html", ["<html", "What is red?", "<strong>rose</strong>"]),
    ],
)
async def test_the_ending_of_the_name_says_what_is_written(tmp_path: Path, name: str, wanted: list[str]) -> None:
    async with running(tmp_path, FakeEngine(reply("A **rose**."))) as driver:
        await _talk(driver)
        await driver.send(f"/export {tmp_path / name}")
        await driver.told(f"Written to {tmp_path / name}")
        content = (tmp_path / name).read_text()
        assert [words for words in wanted if words not in content] == []


async def test_system_text_and_picture_are_in_the_file(tmp_path: Path) -> None:
    draw_circle(tmp_path / "circle.png", (220, 40, 40))
    async with running(tmp_path, FakeEngine(reply("Red."))) as driver:
        await driver.send("/system Be short.")
        await driver.paste(str(tmp_path / "circle.png"))
        await driver.send("Which colour?")
        await driver.send(f"/export '{tmp_path}/my talk.json'")
        await driver.told("Written to")
        messages = json.loads((tmp_path / "my talk.json").read_text())["messages"]
        assert messages[0] == {"role": "system", "content": "Be short."}
        kinds = [piece["type"] for piece in messages[1]["content"]]
        assert kinds == ["image_url", "text"]


async def test_the_dialog_asks_for_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with running(tmp_path, FakeEngine(reply("A **rose**."))) as driver:
        await _talk(driver)
        await driver.send("/export")
        await driver.dialog(Write)
        assert "chat.md" in driver.shown
        await driver.press(*["backspace"] * 2, *"html", "enter")
        await driver.told("Written to chat.html")
        await driver.back()
        assert "<strong>rose</strong>" in (tmp_path / "chat.html").read_text()


async def test_escape_in_the_dialog_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with running(tmp_path, FakeEngine(reply("A **rose**."))) as driver:
        await _talk(driver)
        await driver.send("/export")
        await driver.dialog(Write)
        await driver.press("escape")
        await driver.back()
        assert not list(tmp_path.glob("chat.*"))


@pytest.mark.parametrize(("answer", "is_replaced"), [("Keep the old file", False), ("Replace it", True)])
async def test_a_file_that_is_there_is_replaced_only_when_told_so(tmp_path: Path, answer: str, is_replaced: bool) -> None:
    file = tmp_path / "talk.md"
    file.write_text("old")
    async with running(tmp_path, FakeEngine(reply("A **rose**."))) as driver:
        await _talk(driver)
        await driver.send(f"/export {file}")
        screen = await driver.dialog(ApprovalScreen)
        await driver.until(lambda: screen.is_open)
        assert "talk.md" in driver.shown
        await driver.click(answer)
        await driver.back()
        await driver.settle()
        assert (file.read_text() != "old") is is_replaced
        assert any("Written to" in notice for notice in driver.notices) is is_replaced


async def test_enter_alone_keeps_the_file(tmp_path: Path) -> None:
    """Fails when the answer that destroys something has the focus at first."""
    file = tmp_path / "talk.md"
    file.write_text("old")
    async with running(tmp_path, FakeEngine(reply("A **rose**."))) as driver:
        await _talk(driver)
        await driver.send(f"/export {file}")
        screen = await driver.dialog(ApprovalScreen)
        await driver.until(lambda: screen.is_open)
        await driver.press("enter")
        await driver.back()
        assert file.read_text() == "old"


@pytest.mark.parametrize(("name", "says"), [("talk.txt", "ends with .md, .json or .html"), ("no/such/folder/talk.md", "cannot be written")])
async def test_what_cannot_be_written_is_one_sentence(tmp_path: Path, name: str, says: str) -> None:
    async with running(tmp_path, FakeEngine(reply("A **rose**."))) as driver:
        await _talk(driver)
        await driver.send(f"/export {tmp_path / name}")
        await driver.told(says)
        assert not (tmp_path / name).exists()
        assert driver.said == ["What is red?", "A **rose**."]


async def test_an_empty_chat_is_not_exported(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.send(f"/export {tmp_path / 'talk.md'}")
        await driver.told("nothing to export")
        assert not (tmp_path / "talk.md").exists()
