"""Vectors of passages: made by an embedding model, kept in the index as float32, compared one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from nemochat.documents.errors import DocumentError
from nemochat.documents.index import DocumentIndex
from nemochat.documents.values import Cancelled, OnProgress, Progress

if TYPE_CHECKING:
    import numpy

_BATCH = 32


class Embedder(Protocol):
    """A model that turns texts into vectors of one length."""

    @property
    def model(self) -> str:
        """What tells its vectors from those of other models: its digest, say."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text."""


async def embed_missing(
    index: DocumentIndex, embedder: Embedder, *, progress: OnProgress | None = None, cancelled: Cancelled | None = None
) -> int:
    """Make the vectors that are missing, in batches that are kept as they come; how many were made."""
    made = 0
    while not (cancelled is not None and cancelled()):
        waiting = await asyncio.to_thread(index.without_vectors, embedder.model, _BATCH)
        if not waiting:
            break
        vectors = await embedder.embed([text for _, text in waiting])
        if len(vectors) != len(waiting):
            raise DocumentError("The embedding model returned too few vectors.", "Choose another one.")
        packed = [(id, pack(vector)) for (id, _), vector in zip(waiting, vectors, strict=True)]
        await asyncio.to_thread(index.put_vectors, embedder.model, packed)
        made += len(waiting)
        if progress is not None:
            progress(Progress(made, made, ""))
    return made


def pack(vector: Sequence[float]) -> bytes:
    """As float32 of length 1; zeros stay zeros."""
    import numpy

    values = numpy.asarray(vector, dtype=numpy.float32)
    length = float(numpy.linalg.norm(values))
    return (values / length if length > 0 and numpy.isfinite(length) else numpy.zeros_like(values)).astype("<f4").tobytes()


def nearest(vectors: Iterable[tuple[int, bytes]], asked: bytes, limit: int) -> list[tuple[int, float]]:
    """The ids whose vectors are most like the one asked for, with their cosines, best first. Vectors of another length are left out."""
    import numpy

    usable = [(id, vector) for id, vector in vectors if len(vector) == len(asked)]
    if not usable:
        return []
    matrix: numpy.ndarray = numpy.frombuffer(b"".join(vector for _, vector in usable), dtype="<f4").reshape(len(usable), -1)
    cosines = matrix @ numpy.frombuffer(asked, dtype="<f4")
    best = numpy.argsort(-cosines, kind="stable")[:limit]
    return [(usable[int(at)][0], float(cosines[int(at)])) for at in best]
