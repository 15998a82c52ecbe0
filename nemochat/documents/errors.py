"""What can go wrong with documents, told to a person."""

from __future__ import annotations

from nemochat.errors import NemochatError


class DocumentError(NemochatError):
    """A document cannot be read, or the index of documents cannot be used."""


class NotTextError(DocumentError):
    """A file holds nothing that can be read as text; in a folder it is passed over."""


class StoppedError(DocumentError):
    """The user, or the end of the program, has stopped the reading."""

    def __init__(self) -> None:
        super().__init__("Reading was stopped.")


def too_large(name: str, size: int) -> DocumentError:
    """A file of so many bytes is not read."""
    return DocumentError(f"{name} is too large ({size / 1e6:,.0f} MB).", "Split it into smaller files.")
