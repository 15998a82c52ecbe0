"""Waits that are there for people are short here: what comes after them comes all the same."""

from __future__ import annotations

import pytest

from nemochat.desk import reading
from nemochat.tui.screens.approval import ApprovalScreen

SHORT = 0.01


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApprovalScreen, "DELAY", 5 * SHORT)
    monkeypatch.setattr(reading, "PAUSE", SHORT)
    monkeypatch.setattr(reading.Reading.count, "__defaults__", (SHORT,))
