"""Keeps a reply while it grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from nemochat.domain.chat import Chat

SAVE_SECONDS = 1.0


class Growing:
    """Saves a reply about once a second. The stream does not wait for the disk, and one save is under way at a time.

    with_reply: the conversation with the reply as far as it has come.
    """

    def __init__(self, save: Callable[[Chat], Awaitable[None]] | None, with_reply: Callable[[str], Chat | None]) -> None:
        self._save = save
        self._with_reply = with_reply
        self._at = time.monotonic()
        self._task: asyncio.Future[None] | None = None

    def grown(self, pieces: Sequence[str]) -> None:
        """More text has come."""
        now = time.monotonic()
        if self._save is None or now - self._at < SAVE_SECONDS or (self._task is not None and not self._task.done()):
            return
        self._at = now
        chat = self._with_reply("".join(pieces))
        if chat is not None:
            self._task = asyncio.ensure_future(self._save(chat))
