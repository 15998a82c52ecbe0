"""Retrieval: documents are read, split into passages, indexed, and the passages for a question found again.

A document is data. Its text is sanitised where it comes in, and nothing here interprets it.
"""

from nemochat.documents.errors import DocumentError, NotTextError, StoppedError
from nemochat.documents.index import DocumentIndex
from nemochat.documents.retrieve import Retriever, as_context
from nemochat.documents.split import estimate_tokens
from nemochat.documents.values import (
    CollectionRow,
    DocumentRow,
    Kind,
    Locator,
    Passage,
    Piece,
    Problem,
    Progress,
    Report,
    Retrieval,
    chat_collection,
    collection_name,
    named_collection,
)
from nemochat.documents.vectors import Embedder, embed_missing

__all__ = [
    "CollectionRow",
    "DocumentError",
    "DocumentIndex",
    "DocumentRow",
    "Embedder",
    "Kind",
    "Locator",
    "NotTextError",
    "Passage",
    "Piece",
    "Problem",
    "Progress",
    "Report",
    "Retrieval",
    "Retriever",
    "StoppedError",
    "as_context",
    "chat_collection",
    "collection_name",
    "embed_missing",
    "estimate_tokens",
    "named_collection",
]
