"""Choosing a file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.types import CSSPathType
from textual_fspicker import FileOpen, Filters
from textual_fspicker.icons import Icons
from textual_fspicker.parts.directory_navigation import DirectoryEntry
from textual_fspicker.safe_tests import is_dir

from nemochat.desk.port import AskFile
from nemochat.tui.screens.modal import Modal

_FOLDER, _FILE, _LINK = Text("▸"), Text(" "), Text("→")
"""No emoji: not every terminal has them, nor takes them for two cells."""


class FilePicker(FileOpen, Modal[Path | None]):
    """Returns the path of a file, or None. has_filter: whether there is room for the choice between what is looked for and all files."""

    CSS_PATH: ClassVar[CSSPathType | None] = "file_picker.tcss"

    def __init__(self, ask: AskFile, folder: Path, *, has_filter: bool) -> None:
        DirectoryEntry.LINK_ICON = _LINK  # type: ignore[misc]
        Icons.set_picker(lambda path: _FOLDER if is_dir(Path(path)) else _FILE)
        filters = Filters((ask.kind, lambda path: path.suffix.lower() in ask.endings), ("All files", lambda _: True))
        super().__init__(folder, f"{ask.title} · Enter opens, Esc cancels", filters=filters if has_filter else None)
