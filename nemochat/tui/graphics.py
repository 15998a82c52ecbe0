"""How this terminal shows pictures: as the settings say, as its environment tells, or as it answers itself."""

from __future__ import annotations

import os
from collections.abc import Mapping

KITTY, SIXEL, HALFBLOCKS, NONE = "kitty", "sixel", "halfblocks", "none"
_PLAIN_TERMINALS = {"", "dumb", "linux"}
"""Terminals that draw no graphics."""
_KITTY_LIKE = {"xterm-kitty", "xterm-ghostty", "ghostty"}
"""Values of TERM and TERM_PROGRAM of those that draw by Kitty's placeholders."""


class _Answer:
    """What the terminal has said of itself."""

    has_sixel = False


def told_protocol(setting: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The protocol for the wanted one, which may be ``auto``; None where only the terminal itself can tell."""
    if setting in (HALFBLOCKS, NONE):
        return setting
    names = (environment.get("TERM", ""), environment.get("TERM_PROGRAM", ""))
    if names[0] in _PLAIN_TERMINALS or "NO_COLOR" in environment:
        return HALFBLOCKS
    if setting in (KITTY, SIXEL):
        return setting
    return KITTY if "KITTY_WINDOW_ID" in environment or any(name in _KITTY_LIKE for name in names) else None


def protocol_for(setting: str) -> str:
    """The protocol that is used: kitty, sixel, halfblocks or none. Half-blocks until the terminal has answered."""
    return told_protocol(setting) or (SIXEL if _Answer.has_sixel else HALFBLOCKS)


def terminal_answered(*, has_sixel: bool) -> None:
    """Take in what the terminal has said of itself."""
    _Answer.has_sixel = has_sixel
