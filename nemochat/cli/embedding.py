"""The embedding model that the settings name, for commands that search documents."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nemochat.paths import Paths

if TYPE_CHECKING:
    from nemochat.engine.embedder import EmbeddingProcess


def make_embedder(model: str, paths: Paths) -> EmbeddingProcess | None:
    """For the setting ``tools.embedding_model``; None where that is empty. Nothing is started yet."""
    if not model.strip():
        return None
    from nemochat.engine.embedder import EmbeddingProcess

    return EmbeddingProcess(Path(model.strip()), paths.engine_log.with_name("embedder.log"))


@asynccontextmanager
async def open_embedder(model: str, paths: Paths) -> AsyncGenerator[EmbeddingProcess | None, None]:
    """The same, its process gone with the block."""
    embedder = make_embedder(model, paths)
    try:
        yield embedder
    finally:
        if embedder is not None:
            await embedder.close()
