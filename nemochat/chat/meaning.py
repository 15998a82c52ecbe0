"""The documents' part in a turn: passages for the user's message are put beside it, late in the prompt, and stay there.

They are found by meaning as far as the embedding model goes: when it fails, the words alone are used, and that is said once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nemochat.documents.index import DocumentIndex
from nemochat.documents.retrieve import MOST, Retriever, as_context
from nemochat.documents.split import estimate_tokens
from nemochat.documents.values import CountMany, DocumentError, Progress, Retrieval
from nemochat.documents.vectors import Embedder, embed_missing
from nemochat.domain.chat import Chat
from nemochat.domain.messages import ContextPart, Message
from nemochat.errors import EngineError

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


WORDS_ALONE = "Documents are searched by their words alone."


class Meaning:
    """Knows which embedder has failed: that one is not asked again. said: told the sentence about it."""

    def __init__(self, said: Callable[[str], None]) -> None:
        self._said = said
        self._failed: Embedder | None = None

    def retriever(self, index: DocumentIndex, embedder: Embedder | None) -> Retriever:
        """Searches by words, and by meaning as long as the embedder does its work."""
        return Retriever(index) if embedder is None or embedder is self._failed else _Careful(index, embedder, self)

    async def complete(self, index: DocumentIndex, embedder: Embedder | None, progress: Callable[[str], None]) -> int:
        """Make the vectors that passages of the index lack, telling how far it is; how many were made. Raises DocumentError."""
        made = 0

        def tell(at: Progress) -> None:
            nonlocal made
            made = at.done
            progress(f"making vectors of passages: {at.done:,} ...")

        if embedder is None or embedder is self._failed:
            return 0
        try:
            await embed_missing(index, embedder, progress=tell)
        except EngineError as error:
            self.give_up(embedder, error)
        return made

    def give_up(self, embedder: Embedder, error: EngineError) -> None:
        """Use this embedder no more."""
        if embedder is not self._failed:
            self._failed = embedder
            self._said(" ".join(filter(None, (error.message, WORDS_ALONE, error.hint))))


class _Careful(Retriever):
    def __init__(self, index: DocumentIndex, embedder: Embedder, meaning: Meaning) -> None:
        super().__init__(index, embedder)
        self._words = Retriever(index)
        self._meaning = meaning
        self._asked = embedder

    async def retrieve(
        self, question: str, collections: Sequence[str], budget_tokens: int, count: CountMany, *, most: int = MOST
    ) -> Retrieval:
        try:
            return await super().retrieve(question, collections, budget_tokens, count, most=most)
        except EngineError as error:
            self._meaning.give_up(self._asked, error)
            return await self._words.retrieve(question, collections, budget_tokens, count, most=most)
