"""Times that are there for people: waits are short, what comes after them comes all the same; and on a busy machine nothing runs out."""

from __future__ import annotations

import pytest
from textual.notifications import Notification

from nemochat.desk import reading
from nemochat.tui import app
from nemochat.tui.screens.approval import ApprovalScreen

SHORT = 0.01
LONG = 3600.0


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApprovalScreen, "DELAY", 5 * SHORT)
    monkeypatch.setattr(reading, "PAUSE", SHORT)
    monkeypatch.setattr(reading.Reading.count, "__defaults__", (SHORT,))


@pytest.fixture(autouse=True)
def _long_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notice is still there when the test looks, the second Ctrl+C is not too late, no key is passed before the one ahead of it, and
    no reply of the played engine is taken for a title.
    """
    monkeypatch.setattr(Notification, "time_left", LONG)
    monkeypatch.setattr(app, "_AGAIN_SECONDS", LONG)
    monkeypatch.setattr(app, "_KEY_SECONDS", LONG)
    monkeypatch.setattr(reading, "TITLE_SECONDS", LONG)
