"""Settings changed on the screen: written, put into force at once where that can be, and said where it cannot."""

from __future__ import annotations

from pathlib import Path

from textual.widgets import Input

from nemochat.settings import Settings, load_settings
from nemochat.tui.screens.settings import SettingsScreen
from tests.chat.fake_engine import FakeEngine, reply
from tests.tui.bench import Driver, running


def _written(driver: Driver) -> Settings:
    return load_settings(driver.bench.paths.settings_file, {}, {})


async def _open(driver: Driver, name: str) -> None:
    """The settings with the focus on one of them, as a user finds it: by its name."""
    await driver.press("f4")
    screen = await driver.dialog(SettingsScreen)
    screen.query_one("#settings-filter", Input).value = name.replace(" ", "_")
    await driver.press("enter")
    await driver.until(lambda: driver.app.focused is not None and driver.app.focused.id != "settings-filter")


async def _set(driver: Driver, name: str, text: str) -> None:
    """Type a value over the one that is there, and save."""
    await _open(driver, name)
    focused = driver.app.focused
    assert isinstance(focused, Input)
    focused.select_all()
    await driver.press(*text, "ctrl+s")
    await driver.back()
    await driver.settle()


async def test_the_side_panes_go_and_come_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        assert "Attachments" in driver.shown
        for is_shown in (False, True):
            await _open(driver, "side panes")
            await driver.press("space", "ctrl+s")
            await driver.back()
            assert ("Attachments" in driver.shown) is is_shown
            assert _written(driver).interface.side_panes is is_shown


async def test_how_replies_are_made_holds_for_the_next_one(tmp_path: Path) -> None:
    engine = FakeEngine(reply("One."), reply("Two."))
    async with running(tmp_path, engine) as driver:
        await driver.send("first")
        await _set(driver, "temperature", "0.7")
        await _set(driver, "max tokens", "33")
        await driver.send("second")
        assert [(request.sampling.temperature, request.sampling.max_tokens) for request in engine.requests] == [(0.8, 512), (0.7, 33)]
        assert (_written(driver).sampling.temperature, _written(driver).sampling.max_tokens) == (0.7, 33)
        assert not any("/model" in notice for notice in driver.notices)


async def test_a_longer_reply_leaves_less_of_the_window_free(tmp_path: Path) -> None:
    """Fails when the numbers on the screen are those of the settings before."""
    async with running(tmp_path, FakeEngine()) as driver:
        before = driver.screen.prompt.room
        await _set(driver, "max tokens", "1012")
        assert before is not None
        await driver.until(lambda: driver.screen.prompt.room == before - 500)


async def test_a_setting_of_the_engine_says_that_the_model_must_be_loaded_again(tmp_path: Path) -> None:
    engine = FakeEngine(reply("One."))
    async with running(tmp_path, engine) as driver:
        await _set(driver, "batch", "128")
        await driver.told("apply when the model is loaded again")
        assert _written(driver).engine.batch == 128
        assert engine.loads == 1
        await driver.send("/model demo")
        await driver.until(lambda: engine.loads == 2 and driver.screen.desk.model.is_loaded)


async def test_the_theme_is_put_on_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await _open(driver, "theme")
        await driver.press("enter")
        await driver.click("Paper")
        await driver.press("ctrl+s")
        await driver.back()
        assert driver.app.theme == "paper"
        assert _written(driver).interface.theme == "paper"


async def test_escape_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await _open(driver, "side panes")
        await driver.press("space", "escape")
        await driver.back()
        assert "Attachments" in driver.shown
        assert not driver.bench.paths.settings_file.exists()


async def test_what_cannot_be_written_is_one_sentence_and_nothing_stops(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("One."))) as driver:
        driver.bench.paths.config_dir.write_text("a file where the folder should be")
        await _set(driver, "temperature", "0.7")
        await driver.told("cannot be")
        await driver.send("first")
        assert driver.said == ["first", "One."]


async def test_comments_of_the_users_file_stay(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        file = driver.bench.paths.settings_file
        file.parent.mkdir(parents=True)
        file.write_text("# mine\n[sampling]\ntop_k = 7  # few\n")
        await _set(driver, "temperature", "0.7")
        assert "# mine" in file.read_text()
        assert "top_k = 7  # few" in file.read_text()
        assert _written(driver).sampling.temperature == 0.7


async def test_the_gate_before_calls_is_switched_on_and_off(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        session = driver.desk.model.session
        assert session is not None
        for text, value in (("0.25", 0.25), ("0", 0.0)):
            await _set(driver, "gate", text)
            assert (_written(driver).tools.gate, session.gate) == (value, value)
        await _open(driver, "gate")
        assert isinstance(driver.app.focused, Input)
        driver.app.focused.select_all()
        await driver.press("backspace", "ctrl+s")
        await driver.back()
        await driver.settle()
        assert (_written(driver).tools.gate, session.gate) == (None, None)
