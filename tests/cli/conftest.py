"""The command as users run it: a process of its own, its files in a temporary folder, a scripted model unless a test brings another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nemochat.domain.images import RgbImage
from nemochat.images import save_png

ROOT = Path(__file__).parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]
WriteScript = Callable[..., str]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("NEMOCHAT_")]:
        monkeypatch.delenv(name)
    for kind in ("CONFIG", "DATA", "LOG", "CACHE"):
        monkeypatch.setenv(f"NEMOCHAT_{kind}_DIR", str(tmp_path / kind.lower()))
    monkeypatch.setenv("COLUMNS", "100")
    # The tree under test, installed or not, whatever folder the command runs in.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def nemochat(tmp_path: Path) -> Run:
    """Run the command to its end; standard input is empty unless `input` is given."""

    def run(*arguments: str, input: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env=os.environ | environment,
            check=False,
        )

    return run


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nemochat", *arguments]


@pytest.fixture
def script(tmp_path: Path) -> WriteScript:
    """Write a script for the scripted engine (nemochat.engine.scripted) and return its path, ready for --model."""

    def write(*texts: str, **fields: Any) -> str:
        path = tmp_path / "model.script.json"
        replies = {"replies": [{"text": text} for text in texts]} if texts else {}
        path.write_text(json.dumps(replies | fields))
        return str(path)

    return write


@pytest.fixture
def red(tmp_path: Path) -> str:
    """A red picture, 6 x 4 pixels."""
    path = tmp_path / "red.png"
    save_png(RgbImage.from_rgb(6, 4, b"\xff\x00\x00" * 24), path)
    return str(path)
