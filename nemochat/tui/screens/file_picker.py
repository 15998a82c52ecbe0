"""Choosing a picture's file."""

from __future__ import annotations

from pathlib import Path

from textual_fspicker import FileOpen, Filters

from nemochat.tui.screens.modal import Modal

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif")


class PictureFile(FileOpen, Modal[Path | None]):
    """Returns the path of a file, or None. has_filter: whether there is room for the choice between pictures and all files."""

    def __init__(self, folder: Path, *, has_filter: bool) -> None:
        filters = Filters(("Pictures", lambda path: path.suffix.lower() in _ENDINGS), ("All files", lambda _: True))
        super().__init__(folder, "Attach a picture", filters=filters if has_filter else None)
