"""Values of the documents: what was read, where a passage stands, what was found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum

import msgspec

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


class Kind(StrEnum):
    """How a document is read; decided by what it holds, its name being a hint."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    PDF = "pdf"
    DOCX = "docx"
    OPEN_DOCUMENT = "opendocument"
    RTF = "rtf"
    SHEET = "xlsx"
    MAIL = "mail"
    NOTEBOOK = "notebook"
    TABLE = "table"
    JSON = "json"
    JSON_LINES = "json lines"
    CODE = "code"


class Section(msgspec.Struct, frozen=True):
    """A stretch of a document under one heading and on one page. Paragraphs are parted by empty lines.

    page: from 1, where the document has pages. heading: with those above it, "" for none. line: where it begins, 0 where lines say nothing.
    is_list: its paragraphs are rows or records, each of which stands alone.
    """

    text: str
    page: int | None = None
    heading: str = ""
    line: int = 0
    is_list: bool = False


class Locator(msgspec.Struct, frozen=True):
    """Where in its document a passage begins; `line` is 0 where lines say nothing."""

    page: int | None = None
    heading: str = ""
    line: int = 0

    def in_words(self) -> str:
        """As it stands after the name of the document; "" when nothing is known."""
        if self.page is not None:
            return f"page {self.page:,}"
        if self.heading:
            return self.heading
        return f"line {self.line:,}" if self.line else ""


class Piece(msgspec.Struct, frozen=True):
    """A passage before it is in the index."""

    text: str
    locator: Locator


class LoadedDocument(msgspec.Struct, frozen=True):
    """A document as it was read, sanitised. digest: SHA-256 of the file. notices: sentences for the user, such as what was left out."""

    name: str
    kind: Kind
    pieces: tuple[Piece, ...]
    digest: str
    notices: tuple[str, ...] = ()


class DrawnPages(msgspec.Struct, frozen=True):
    """The first pages of a document as PNG files, and how many it has."""

    pages: tuple[bytes, ...]
    total: int


class Passage(msgspec.Struct, frozen=True):
    """A passage that was found.

    document: the name of its file. score: how well it fits, from 0 to about 1, comparable within one question. place: the path of the file
    (or whatever else it was added under). id, document_id: for `DocumentIndex.passages`, to open it in place.
    """

    text: str
    document: str
    locator: Locator
    score: float
    place: str = ""
    id: int = 0
    document_id: int = 0


class Scale(msgspec.Struct, frozen=True):
    """How alike texts that have nothing to do with each other are to an embedding model: cosines."""

    mean: float
    deviation: float


class Retrieval(msgspec.Struct, frozen=True):
    """The passages for a question, best first, and a sentence for the user when there are none or some did not fit."""

    passages: tuple[Passage, ...] = ()
    notice: str = ""


class Progress(msgspec.Struct, frozen=True):
    """How far a long piece of work has got: `done` of `total` files, now at the one named `name`."""

    done: int
    total: int
    name: str


class Problem(msgspec.Struct, frozen=True):
    """A file that could not be read, and why."""

    place: str
    message: str
    hint: str = ""


class Report(msgspec.Struct, frozen=True):
    """What adding or refreshing has done.

    read: files that were read (anew). unchanged: files that were as they had been. dropped: files that are gone. skipped: files in folders
    that hold no text. stopped: whether it was cancelled; what was done until then is kept.
    """

    read: tuple[str, ...] = ()
    unchanged: int = 0
    dropped: tuple[str, ...] = ()
    skipped: int = 0
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()
    stopped: bool = False


class DocumentRow(msgspec.Struct, frozen=True):
    """A document in the index. `read` is when, in seconds since the epoch."""

    id: int
    collection: str
    place: str
    name: str
    kind: Kind
    passages: int
    size: int
    read: float


class CollectionRow(msgspec.Struct, frozen=True):
    """A collection with how much it holds."""

    name: str
    documents: int
    passages: int


CountMany = Callable[[Sequence[str]], Awaitable[Sequence[int]]]
"""Tokens of each of some texts; asked once for a question."""
OnProgress = Callable[[Progress], None]
Cancelled = Callable[[], bool]
"""Whether the user wants it no more; asked often while something long goes on."""
_CHAT, _NAMED = "chat:", "named:"


def never() -> bool:
    """For what is not cancelled."""
    return False


def chat_collection(id: str) -> str:
    """The collection of a conversation."""
    return f"{_CHAT}{id}"


def named_collection(name: str) -> str:
    """The collection that the user calls so."""
    return f"{_NAMED}{name}"


def collection_name(collection: str) -> str | None:
    """What the user calls a collection; None for a conversation's."""
    return collection.removeprefix(_NAMED) if collection.startswith(_NAMED) else None
