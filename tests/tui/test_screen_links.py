"""A link in a reply: shown in full before anything is opened; copying text out of the screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemochat.tui import clipboard
from nemochat.tui.chat import screen
from nemochat.tui.screens.approval import ApprovalScreen
from tests.chat.fake_engine import FakeEngine, reply
from tests.tui.bench import Driver, running

URL = "https://example.com/a/rather/long/path?with=values&and=more#part"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that the browser was given; there is none."""
    urls: list[str] = []

    def open_in_browser(url: str) -> bool:
        urls.append(url)
        return False

    monkeypatch.setattr(screen, "open_in_browser", open_in_browser)
    monkeypatch.setattr(clipboard, "PROGRAMS", ())
    monkeypatch.delenv("TMUX", raising=False)
    return urls


async def _ask(driver: Driver, url: str = URL) -> None:
    await driver.send("Where?")
    await driver.click("the place")
    screen = await driver.dialog(ApprovalScreen)
    await driver.until(lambda: screen.is_open)
    assert url in driver.asked


async def test_yes_opens_the_address_in_the_browser(tmp_path: Path, opened: list[str]) -> None:
    async with running(tmp_path, FakeEngine(reply(f"See [the place]({URL})."))) as driver:
        await _ask(driver)
        assert opened == []
        await driver.click("Open in the browser")
        await driver.back()
        assert opened == [URL]
        await driver.told("No browser could be started here")


@pytest.mark.parametrize("keys", [["enter"], ["escape"]])
async def test_enter_alone_and_escape_open_nothing(tmp_path: Path, opened: list[str], keys: list[str]) -> None:
    async with running(tmp_path, FakeEngine(reply(f"See [the place]({URL})."))) as driver:
        await _ask(driver)
        await driver.press(*keys)
        await driver.back()
        assert opened == []


async def test_the_address_can_be_copied(tmp_path: Path, opened: list[str]) -> None:
    async with running(tmp_path, FakeEngine(reply(f"See [the place]({URL})."))) as driver:
        await _ask(driver)
        await driver.click("Copy it")
        await driver.told("Sent")
        assert driver.app.clipboard == URL
        assert opened == []


async def test_a_link_that_looks_like_another_one_shows_where_it_leads(tmp_path: Path, opened: list[str]) -> None:
    async with running(tmp_path, FakeEngine(reply("See [https://good.example - the place](https://evil.example/x)."))) as driver:
        await _ask(driver, "https://evil.example/x")
        assert opened == []


@pytest.mark.parametrize("url", ["vscode://x/y", "mailto:somebody@example.com", "ftp://example.com/x"])
async def test_what_is_no_web_address_is_refused(tmp_path: Path, opened: list[str], url: str) -> None:
    async with running(tmp_path, FakeEngine(reply(f"See [the place]({url})."))) as driver:
        await driver.send("Where?")
        await driver.click("the place")
        await driver.told(f"Only web addresses are opened, and this is not one: {url}")
        assert driver.app.screen is driver.screen
        assert opened == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:alert(1)"])
async def test_what_is_dangerous_is_no_link_at_all(tmp_path: Path, opened: list[str], url: str) -> None:
    async with running(tmp_path, FakeEngine(reply(f"See [the place]({url})."))) as driver:
        await driver.send("Where?")
        await driver.click("the place")
        assert driver.app.screen is driver.screen
        assert opened == []


async def test_control_c_copies_what_is_selected_and_does_not_quit(tmp_path: Path, opened: list[str]) -> None:
    """Of the prompt, and of the conversation with the mouse."""
    async with running(tmp_path, FakeEngine(reply("A rose is red."))) as driver:
        await driver.type("some words")
        driver.screen.prompt.area.select_all()
        await driver.press("ctrl+c", "ctrl+c")
        await driver.told("Sent 10 characters")
        assert driver.app.clipboard == "some words"
        assert driver.app.is_running
        driver.screen.prompt.load_text("")
        await driver.send("What is red?")
        row = next(row for row, words in enumerate(driver.rows) if "A rose is red." in words)
        column = driver.rows[row].index("A rose")
        await driver.pilot.mouse_down(offset=(column, row))
        await driver.pilot.hover(offset=(column + 6, row))
        await driver.pilot.mouse_up(offset=(column + 6, row))
        await driver.press("ctrl+c")
        await driver.until(lambda: driver.app.clipboard != "some words")
        assert driver.app.clipboard in ("A rose", "A rose ")
