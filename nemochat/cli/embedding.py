"""The embedding model that the settings name, for commands that search documents."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nemochat.cli.output import print_note_once
from nemochat.files import log_problem
from nemochat.paths import Paths

if TYPE_CHECKING:
    from nemochat.engine.embedder import EmbeddingProcess


def make_embedder(model: str, paths: Paths, warn: Callable[[str], None]) -> EmbeddingProcess | None:
    """For the setting ``tools.embedding_model``; None where that is empty. Nothing is started yet.

    warn: gets a sentence when there can be no log.
    """
    if not model.strip():
        return None
    from nemochat.engine.embedder import EmbeddingProcess

    log = paths.engine_log.with_name("embedder.log")
    if problem := log_problem(log):
        warn(problem)
    return EmbeddingProcess(Path(model.strip()), log)


@asynccontextmanager
async def open_embedder(model: str, paths: Paths) -> AsyncGenerator[EmbeddingProcess | None, None]:
    """The same, its process gone with the block."""
    embedder = make_embedder(model, paths, print_note_once)
    try:
        yield embedder
    finally:
        if embedder is not None:
            await embedder.close()
