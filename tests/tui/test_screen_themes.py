"""Changing the colours of the running interface: by name, in the picker with its preview, and what stays of it."""

from __future__ import annotations

from pathlib import Path

from nemochat.settings import Settings, load_settings
from nemochat.tui.screens.theme_picker import ThemePicker
from tests.chat.fake_engine import FakeEngine
from tests.tui.bench import Bench, Driver, running


def _written(driver: Driver) -> Settings:
    """What the next start would find."""
    return load_settings(driver.bench.paths.settings_file, {}, {})


def _background(driver: Driver) -> str:
    return driver.screen.styles.background.hex


async def test_a_theme_by_name_is_put_on_and_written(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        before = _background(driver)
        await driver.send("/theme paper")
        await driver.until(lambda: driver.app.theme == "paper")
        await driver.pilot.pause()
        assert _background(driver) != before
        settings = _written(driver)
    assert settings.interface.theme == "paper"
    async with running(tmp_path, FakeEngine(), settings=settings) as driver:
        assert driver.app.theme == "paper"


async def test_an_unknown_theme_changes_nothing_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.send("/theme nosuch")
        await driver.told("There is no theme nosuch")
        assert driver.app.theme == "nemochat-dark"
        assert not driver.bench.paths.settings_file.exists()


async def test_the_picker_previews_and_escape_goes_back(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        before = _background(driver)
        await driver.send("/theme")
        await driver.dialog(ThemePicker)
        await driver.press(*"paper")
        await driver.until(lambda: driver.app.theme == "paper")
        await driver.pilot.pause()
        assert _background(driver) != before
        assert not driver.bench.paths.settings_file.exists()
        await driver.press("escape")
        await driver.back()
        assert driver.app.theme == "nemochat-dark"
        assert _background(driver) == before
        assert not driver.bench.paths.settings_file.exists()


async def test_what_enter_chooses_in_the_picker_stays(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.send("/theme")
        await driver.dialog(ThemePicker)
        await driver.press(*"fog", "enter")
        await driver.back()
        await driver.until(lambda: driver.bench.paths.settings_file.exists())
        assert driver.app.theme == "fog"
        assert _written(driver).interface.theme == "fog"


async def test_the_mouse_chooses_a_theme(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.send("/theme")
        await driver.dialog(ThemePicker)
        await driver.click("Midnight")
        await driver.back()
        await driver.until(lambda: driver.bench.paths.settings_file.exists())
        assert driver.app.theme == "midnight"
        assert _written(driver).interface.theme == "midnight"


async def test_a_theme_of_the_users_own_folder_can_be_chosen(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"demo": FakeEngine()})
    folder = bench.paths.config_dir / "themes"
    folder.mkdir(parents=True)
    paper = Path(__file__).parents[2] / "themes" / "paper.toml"
    (folder / "mine.toml").write_text(paper.read_text().replace('name = "Paper"', 'name = "Mine alone"'))
    async with running(tmp_path, bench=bench) as driver:
        await driver.send("/theme")
        await driver.dialog(ThemePicker)
        await driver.click("Mine alone")
        await driver.back()
        assert driver.app.theme == "mine"


async def test_a_theme_that_cannot_be_written_is_on_all_the_same(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        driver.bench.paths.config_dir.write_text("a file where the folder should be")
        await driver.send("/theme paper")
        await driver.told("cannot be")
        assert driver.app.theme == "paper"
