"""Retrieval: documents are read, split into passages, indexed, and the passages for a question found again.

A document is data. Its text is sanitised where it comes in, and nothing here interprets it.
"""

from nemochat.documents.errors import DocumentError, NotTextError
from nemochat.documents.index import DocumentIndex
from nemochat.documents.load import load_bytes, load_file
from nemochat.documents.retrieve import Retriever, as_context
from nemochat.documents.split import estimate_tokens, split_sections
from nemochat.documents.values import (
    CollectionRow,
    DocumentRow,
    Kind,
    LoadedDocument,
    Locator,
    Passage,
    Piece,
    Problem,
    Progress,
    Report,
    Retrieval,
    Section,
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
    "LoadedDocument",
    "Locator",
    "NotTextError",
    "Passage",
    "Piece",
    "Problem",
    "Progress",
    "Report",
    "Retrieval",
    "Retriever",
    "Section",
    "as_context",
    "chat_collection",
    "collection_name",
    "embed_missing",
    "estimate_tokens",
    "load_bytes",
    "load_file",
    "named_collection",
    "split_sections",
]
