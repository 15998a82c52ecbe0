"""The documents' part in a turn: passages for the user's message are put beside it, late in the prompt, and stay there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nemochat.documents.retrieve import Retriever, as_context
from nemochat.documents.split import estimate_tokens
from nemochat.documents.values import DocumentError
from nemochat.domain.chat import Chat
from nemochat.domain.messages import ContextPart, Message

FindPassages = Callable[[Chat, Message], Awaitable[Sequence[ContextPart]]]
"""What belongs beside a message that is about to be sent. Raises NemochatError."""


class Passages:
    """Finds passages in the collections of a chat. budget: tokens that they may take; said: told what the user should know of it."""

    def __init__(self, retriever: Retriever, budget: int, said: Callable[[str], None]) -> None:
        self._retriever = retriever
        self._budget = budget
        self._said = said

    async def find(self, chat: Chat, message: Message) -> Sequence[ContextPart]:
        """The passages that fit best, less those that the window still holds; none, and a sentence, when the index cannot be read."""
        try:
            found = await self._retriever.retrieve(message.text, chat.collections, self._budget, _estimates)
        except DocumentError as error:
            self._said(f"{error.message} {error.hint}".strip())
            return ()
        if found.notice:
            self._said(found.notice)
        kept = {context.text for entry in chat.entries[chat.first_seen :] for context in entry.message.contexts}
        parts = []
        for passage in found.passages:
            text, where = as_context(passage), passage.locator.in_words()
            source = f"{passage.document}, {where}" if where else passage.document
            if text not in kept:
                parts.append(ContextPart(text, source, f"score {passage.score:.2f}"))
        return parts


async def _estimates(texts: Sequence[str]) -> Sequence[int]:
    return [estimate_tokens(text) for text in texts]
