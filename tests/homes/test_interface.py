"""The interface on what an earlier version has left."""

from __future__ import annotations

import shutil
from pathlib import Path

from nemochat.desk.tools import runs_of
from nemochat.domain.messages import ImagePart
from nemochat.settings_file import load_or_set_aside
from tests.chat.fake_engine import FakeEngine, reply
from tests.homes.test_homes import HOMES, PICTURES, TOOLS
from tests.tui.bench import Bench, running


def bench(folder: Path, resume: str) -> Bench:
    shutil.copytree(HOMES / "v0_1", folder, dirs_exist_ok=True)
    settings, notices = load_or_set_aside(folder / "config" / "config.toml", {}, {})
    assert notices == []
    made = Bench(folder, {"demo": FakeEngine(reply("Still green."))}, settings)
    made.resume = resume
    return made


async def test_a_conversation_with_pictures_goes_on(tmp_path: Path) -> None:
    desk = bench(tmp_path, PICTURES[:9])
    async with running(tmp_path, bench=desk) as driver:
        await driver.until(lambda: driver.said[-1:] == ["Green, all over."])
        await driver.until(lambda: "photo.jpg" in driver.shown and "clipboard" in driver.shown)
        assert driver.screen.prompt.plain_text == "What about the moon? \U0001f319", "the draft is there"
        await driver.press("ctrl+u")
        driver.screen.prompt.load_text("")
        await driver.send("and now?")
        assert driver.said[-1] == "Still green."
        engine = desk.engines["demo"]
        shown = [part.digest for entry in driver.desk.chat.entries for part in entry.message.parts if isinstance(part, ImagePart)]
        assert {image.digest for image in engine.images} == set(shown)
        assert (engine.images[0].width, engine.images[0].height) in {(200, 320), (84, 84)}
    assert len(desk.library.load(PICTURES).chat.entries) == 6


async def test_calls_are_shown_each_with_its_result(tmp_path: Path) -> None:
    async with running(tmp_path, bench=bench(tmp_path, TOOLS)) as driver:
        await driver.until(lambda: driver.said[-1:] == ["I am sorry."])
        runs = [(run.name, run.result) for run in runs_of(driver.desk.chat.entries)]
        assert runs[:3] == [("calculator", "42"), ("calculator", "2"), ("calculator", "4")]


async def test_a_damaged_picture_leaves_its_conversation_open(tmp_path: Path) -> None:
    desk = bench(tmp_path, PICTURES)
    for path in (tmp_path / "data" / "library").rglob("*.*"):
        if path.suffix in (".png", ".jpeg"):
            path.write_bytes(path.read_bytes()[:60])
    async with running(tmp_path, bench=desk) as driver:
        await driver.until(lambda: driver.said[-1:] == ["Green, all over."])
        driver.screen.prompt.load_text("")
        await driver.send("and now?")
        assert driver.said[-1] == "Still green."
        assert desk.engines["demo"].images == []
    assert any("is damaged" in sentence for sentence in desk.library.check())
