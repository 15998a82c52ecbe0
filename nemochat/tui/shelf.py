"""The conversations of this run that are not on the screen: put aside by a new chat, a fork, an edit or a deletion."""

from __future__ import annotations

from collections import deque

from nemochat.chat import Chat

_MOST = 200


class Shelf:
    """The newest first. An equal one is kept once; an empty one never."""

    def __init__(self) -> None:
        self._chats: deque[Chat] = deque(maxlen=_MOST)

    @property
    def chats(self) -> list[Chat]:
        """All of them, the newest first."""
        return list(self._chats)

    def put(self, chat: Chat) -> None:
        """Keep a conversation."""
        if not chat.entries:
            return
        if chat in self._chats:
            self._chats.remove(chat)
        self._chats.appendleft(chat)

    def take(self, index: int) -> Chat:
        """Take one out, to go on with it."""
        chat = self._chats[index]
        del self._chats[index]
        return chat
