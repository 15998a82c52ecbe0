"""Getting a model in the interface: what there is, what it needs, and a download that goes on beside a chat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import OptionList

from nemochat.models import download
from nemochat.tui.screens.dialogs import Choose
from nemochat.tui.screens.picker import Picker
from tests.chat.fake_engine import FakeEngine, reply
from tests.models.hub import Hub
from tests.tiny_gguf import write_language_model, write_projector
from tests.tui.bench import Driver, running

SLOW = 4_000
"""Bytes in a second: too few to come to an end before it is looked at, on a busy machine too."""
MODEL, PROJECTOR = "tiny-Q4_K_M.gguf", "mmproj-tiny-F16.gguf"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.001)
    files = write_language_model(tmp_path / MODEL), write_projector(tmp_path / PROJECTOR)
    served = Hub({path.name: path.read_bytes() for path in files})
    yield served
    served.close()


async def asked_for(screen: Driver, source: str) -> None:
    """As far as the question whether it shall come."""
    await screen.send(f"/get {source}")
    await screen.until(lambda: isinstance(screen.app.screen, Choose))


async def test_the_list_says_what_fits_and_what_it_is_good_for(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Hello."))) as screen:
        await screen.press("f3")
        await screen.dialog(Picker)
        await screen.click("Get a model…")
        await screen.until(lambda: "nemovision-4b-instruct" in screen.shown)
        rows = [str(option.prompt) for option in screen.app.screen.query_one(OptionList).options]
        assert rows[0].startswith("nemovision-4b-instruct")
        assert "fits · sees pictures · NVIDIA AI Foundation Models Community License" in rows[0]
        assert "too large for the memory that is free" in "".join(rows)
        assert rows[-1].startswith("Another one…")


async def test_it_comes_beside_a_chat_that_goes_on(tmp_path: Path, hub: Hub) -> None:
    async with running(tmp_path, FakeEngine(reply("Hello."))) as screen:
        screen.bench.elsewhere = hub.environment
        hub.rate = SLOW
        await asked_for(screen, "owner/model")
        await screen.until(lambda: "apache-2.0" in screen.shown)
        await screen.click("Download")
        await screen.until(lambda: "↓" in screen.shown)
        await screen.send("hello")
        await screen.until(lambda: screen.desk.last is not None)
        hub.rate = 0
        await screen.told("tiny has come. F3 or /model tiny lets it answer.")
        assert "↓" not in screen.shown
        assert (screen.bench.paths.models / "hf/owner/model" / MODEL).read_bytes() == hub.files[MODEL]


async def test_stopped_it_is_kept_and_goes_on(tmp_path: Path, hub: Hub) -> None:
    async with running(tmp_path, FakeEngine(reply("Hello."))) as screen:
        screen.bench.elsewhere = hub.environment
        hub.rate = SLOW
        await asked_for(screen, "owner/model")
        await screen.click("Download")
        await screen.until(lambda: "↓" in screen.shown and "%" in screen.shown)
        await screen.send("/get")
        await screen.dialog(Picker)
        await screen.until(lambda: "choose it to stop it" in screen.shown)
        await screen.press("enter")
        await screen.until(lambda: isinstance(screen.app.screen, Choose))
        await screen.click("Stop it")
        await screen.told("is stopped")
        hub.rate = 0
        await screen.send("/get")
        await screen.dialog(Picker)
        await screen.until(lambda: "begun and not finished" in screen.shown)
        await screen.press("enter")
        await screen.until(lambda: isinstance(screen.app.screen, Choose))
        await screen.click("Go on")
        await screen.until(lambda: "Download" in screen.shown)
        await screen.click("Download")
        await screen.told("tiny has come")


async def test_what_cannot_come_is_said(tmp_path: Path, hub: Hub) -> None:
    async with running(tmp_path, FakeEngine(reply("Hello."))) as screen:
        screen.bench.elsewhere = hub.environment
        await screen.send("/get owner/other")
        await screen.told("or is not there at all")
        hub.promised[MODEL] = "0" * 64
        await asked_for(screen, "owner/model")
        await screen.click("Download")
        await screen.told("checksum")
        assert not screen.desk.downloads.is_running


async def test_a_download_does_not_hold_up_the_end(tmp_path: Path, hub: Hub) -> None:
    async with running(tmp_path, FakeEngine(reply("Hello."))) as screen:
        screen.bench.elsewhere = hub.environment
        models = screen.bench.paths.models
        hub.rate = SLOW
        await asked_for(screen, "owner/model")
        await screen.click("Download")
        await screen.until(lambda: "↓" in screen.shown)
    assert not (models / "hf/owner/model" / MODEL).exists()
