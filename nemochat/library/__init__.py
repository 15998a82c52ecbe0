"""Conversations kept for good: stored as they happen, and found again.

What is seldom needed is in modules of its own: `transfer` (export and import), `foreign` (files of other programs), `repair`.
"""

from nemochat.library.errors import ConflictError, DamagedError, LibraryError, NewerError
from nemochat.library.store import Library
from nemochat.library.values import (
    ImportReport,
    ListQuery,
    RepairReport,
    ReplyQuery,
    Saved,
    StoredChat,
)

__all__ = [
    "ConflictError",
    "DamagedError",
    "ImportReport",
    "Library",
    "LibraryError",
    "ListQuery",
    "NewerError",
    "RepairReport",
    "ReplyQuery",
    "Saved",
    "StoredChat",
]
