"""Which of the built-in tools there are, given what they need."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from nemochat.tools.builtin.arithmetic import calculator
from nemochat.tools.builtin.clock import current_time
from nemochat.tools.builtin.fetch import fetch_url
from nemochat.tools.builtin.notes import Notes, note_tools
from nemochat.tools.builtin.pictures import Crop, Original, look_at_picture
from nemochat.tools.builtin.reading import file_tools
from nemochat.tools.builtin.roots import FileRoots
from nemochat.tools.builtin.search import Search, search_documents
from nemochat.tools.builtin.units import convert_units
from nemochat.tools.making import FunctionTool


class Needs(msgspec.Struct, frozen=True):
    """What the tools work with. A tool whose need is None or empty is not there. may_fetch: the user turned the internet on."""

    clock: Callable[[], datetime]
    roots: FileRoots | None = None
    notes: Notes | None = None
    original: Original | None = None
    crop: Crop | None = None
    search: Search | None = None
    may_fetch: bool = False


def builtin_tools(needs: Needs) -> tuple[FunctionTool, ...]:
    """The tools, the most useful first."""
    tools = [calculator(), current_time(needs.clock), convert_units()]
    if needs.search:
        tools.append(search_documents(needs.search))
    if needs.roots and needs.roots.folders:
        tools += file_tools(needs.roots)
    if needs.notes:
        tools += note_tools(needs.notes, needs.clock)
    if needs.original and needs.crop:
        tools.append(look_at_picture(needs.original, needs.crop))
    if needs.may_fetch:
        tools.append(fetch_url())
    return tuple(tools)
