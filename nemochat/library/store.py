"""The library: every conversation, kept for good."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from nemochat.domain.chat import Chat
from nemochat.domain.images import Original
from nemochat.domain.library import ConversationRow, Hit, SearchFilters
from nemochat.domain.replies import ModelRef
from nemochat.domain.sanitize import sanitize
from nemochat.domain.ttft import ReplyRow
from nemochat.library import checking, figures, listing, saving, searching
from nemochat.library.database import INDICES, Database
from nemochat.library.errors import LibraryError
from nemochat.library.ids import key_of
from nemochat.library.pictures import Pictures
from nemochat.library.saving import Circumstances
from nemochat.library.values import ListQuery, ReplyQuery, Saved, StoredChat

BUSY_SECONDS = 5.0
_FILE = "library.db"
_ANY_LIST = ListQuery()
_ANY_MESSAGE = SearchFilters()
_ANY_REPLY = ReplyQuery()
_NO_MODEL = ModelRef()


class Library:
    """Conversations and their pictures in one folder, which several programs may use at once. Times are seconds since the epoch.

    Everything here waits for the disk: call it in a thread. It may be called from several; every error is a LibraryError, after which the
    library works on as soon as what was wrong has passed.
    """

    def __init__(self, folder: Path, clock: Callable[[], float], busy_seconds: float) -> None:
        self._clock = clock
        self._database = Database(folder / _FILE, busy_seconds)
        self._pictures = Pictures(folder)
        self.folder = folder

    @classmethod
    def open(
        cls, folder: Path, *, clock: Callable[[], float] = time.time, busy_seconds: float = BUSY_SECONDS
    ) -> tuple[Library, list[str]]:
        """The library in a folder, which is made, and sentences for the user: a broken database is kept aside and a new one begun.

        Raises LibraryError.
        """
        library = cls(folder, clock, busy_seconds)
        today = datetime.fromtimestamp(clock(), UTC).date()
        return library, library._database.open(today)

    def close(self) -> None:
        """Give the files back. A later call would open them again."""
        self._database.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- conversations

    def save(self, id: str | None, version: int, before: Chat | None, after: Chat, *, model: ModelRef = _NO_MODEL) -> Saved:
        """Store what has changed since version `version`, which `before` is (None: not at hand); id None stores a new one.

        All of it is on the disk when this returns, or nothing. Raises ConflictError when another program has changed the conversation
        meanwhile: saved with id None, it becomes a copy.
        """
        with self._database.write() as db:
            if id is None:
                return saving.create(db, after, Circumstances(model=model, created=self._now(), updated=self._now()))
            return saving.save(db, Saved(id, version), before, after, model, self._now())

    def add(
        self,
        chat: Chat,
        *,
        model: ModelRef = _NO_MODEL,
        created: float | None = None,
        updated: float | None = None,
        tags: Iterable[str] = (),
        archived: bool = False,
        id: str | None = None,
    ) -> Saved:
        """Store a conversation that comes from elsewhere with its own dates, under an id that must be free."""
        made = self._now() if created is None else saving.milliseconds(created)
        around = Circumstances(
            model=model,
            created=made,
            updated=max(made, made if updated is None else saving.milliseconds(updated)),
            tags=_names(tags),
            archived=archived,
        )
        with self._database.write() as db:
            return saving.create(db, chat, around, id)

    def load(self, id: str) -> StoredChat:
        """A conversation as it was saved, except for the prompts in the records of its replies."""
        with self._database.read() as db:
            return saving.load(db, id)

    def holds(self, id: str) -> bool:
        """Whether there is a conversation with this id, the bin included."""
        with self._database.read() as db:
            return key_of(db, id) is not None

    def find(self, beginning: str) -> ConversationRow:
        """The conversation whose id this is, or the only one outside of the bin whose id begins so."""
        with self._database.read() as db:
            return listing.find(db, beginning)

    def conversations(self, query: ListQuery = _ANY_LIST) -> list[ConversationRow]:
        """A list, newest first."""
        with self._database.read() as db:
            return listing.conversations(db, query)

    def search(self, words: str, filters: SearchFilters = _ANY_MESSAGE, limit: int = 50) -> list[Hit]:
        """Messages of every tree and given titles that hold all the words; a few titles first, each newest first.

        Case and accents do not count; "words in quotes" stand together; a last word may be unfinished.
        """
        with self._database.read() as db:
            return searching.search(db, words, filters, limit)

    def replies(self, query: ReplyQuery = _ANY_REPLY) -> list[ReplyRow]:
        """How the replies were made, the newest first (see `nemochat.domain.ttft`)."""
        return figures.reply_rows(self._database, query)

    # -- order

    def set_title(self, id: str, title: str) -> None:
        """Name a conversation that is not open; who has it open keeps saving it, and the name stays unless they name it themselves."""
        title = sanitize(title, strict=True).strip()
        if not title:
            raise LibraryError("A title cannot be empty.")
        with self._database.write() as db:
            listing.set_title(db, id, title)

    def set_tags(self, id: str, tags: Iterable[str]) -> None:
        """Give a conversation these tags and no others."""
        with self._database.write() as db:
            listing.set_tags(db, id, _names(tags))

    def tags(self) -> list[tuple[str, int]]:
        """The tags in use, by name, each with how many conversations have it."""
        with self._database.read() as db:
            return listing.tags(db)

    def personas(self) -> list[tuple[str, int]]:
        """The personas of the conversations, by name, each with how many it speaks in."""
        with self._database.read() as db:
            return listing.personas(db)

    def archive(self, id: str, archived: bool = True) -> None:
        """Put a conversation out of the way, or back."""
        self._set(id, "archived", int(archived))

    def delete(self, id: str) -> None:
        """Put a conversation into the bin. A save brings it back, and so does `restore`."""
        self._set(id, "deleted", self._now())

    def restore(self, id: str) -> None:
        """Take a conversation out of the bin."""
        self._set(id, "deleted", 0)

    def purge(self, older_than: float) -> int:
        """Remove for good what was deleted before then, with the pictures that nobody uses; return how many conversations went."""
        with self._database.write() as db:
            gone = db.execute(
                "DELETE FROM conversation WHERE deleted > 0 AND deleted < ?", (saving.milliseconds(older_than),)
            ).rowcount
        with self._database.write() as db:
            self._pictures.remove_unused(db, self._now())
        self._pictures.remove_torn()
        if gone:
            with self._database.write() as db:  # the words stay in the index until its parts are merged
                for index in INDICES:
                    db.execute(f"INSERT INTO {index} ({index}) VALUES ('optimize')")  # noqa: S608
            with self._database.bare() as db:  # and in the journal until it is emptied
                db.execute("PRAGMA wal_checkpoint (TRUNCATE)").fetchall()
        return gone

    # -- pictures

    def put_picture(self, digest: str, original: Original) -> None:
        """Store a picture before the message that shows it: the file as it came (see `nemochat.domain.images.Original`)."""
        with self._database.write() as db:
            self._pictures.put(db, digest, original, self._now())

    def original(self, digest: str) -> Original | None:
        """The file as it came; None where it is not here."""
        with self._database.read() as db:
            return self._pictures.original(db, digest)

    # -- health

    def check(self) -> list[str]:
        """Read everything and return what is wrong with it."""
        with self._database.bare() as db:
            found = [str(row[0]) for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
            found += [f"A row of {row[0]} belongs to nothing." for row in db.execute("PRAGMA foreign_key_check")]
            for index in INDICES:
                try:
                    db.execute(f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)")  # noqa: S608
                except sqlite3.DatabaseError as error:
                    found.append(f"The index {index} does not fit what it is made of ({error}).")
        with self._database.read() as db:
            found += [problem.sentence for problem in checking.problems(db)]
            found += self._pictures.problems(db)
        return found

    def mend(self) -> tuple[Path, int, int]:
        """Write what can be read in the place of what is damaged, after a copy of the database was made.

        Return the copy, how many conversations were mended, and how many were made of messages that had lost theirs.
        """
        copy = self._database.copy("before-repair")
        with self._database.write() as db:
            counts = checking.mend(db, self._now())
            for index in INDICES:
                db.execute(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")  # noqa: S608
        return copy, *counts

    def _set(self, id_: str, column: str, value: int) -> None:
        with self._database.write() as db:
            db.execute(f"UPDATE conversation SET {column} = ? WHERE key = ?", (value, listing.key_of(db, id_)))  # noqa: S608

    def _now(self) -> int:
        return round(self._clock() * 1000)


def _names(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags as they are kept: one line each, no two the same."""
    clean = (sanitize(tag, strict=True).strip() for tag in tags)
    return tuple(dict.fromkeys(tag for tag in clean if tag))
