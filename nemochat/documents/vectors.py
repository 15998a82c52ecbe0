"""Vectors of passages: made by an embedding model, kept in the index as float16, compared one by one.

A passage has several: a question asks for what one of its sentences says, which is lost in the vector of the whole. Models differ in what
they call alike, so each is measured once with sentences that have nothing to do with each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, islice
from typing import TYPE_CHECKING, Protocol

from nemochat.documents.index import DocumentIndex
from nemochat.documents.split import sentences
from nemochat.documents.values import DocumentError, OnProgress, Progress, Scale

if TYPE_CHECKING:
    import numpy

_BATCH = 16
_AT_ONCE = 10_000
_LEAST_WORDS = 6
"""A sentence of fewer is joined to the next one."""
_LEAST_DEVIATION = 0.02
_WHOLE_SHARE = 1 / 3
UNRELATED = """
    The train leaves the station at a quarter past eight. | She painted the fence green last weekend. | The committee will publish its
    annual report in spring. | Two cups of sugar are dissolved in boiling water. | The river rose by a metre after the storm. | He plays the
    violin in a small orchestra. | The company's shares fell by three percent on Monday. | Whales migrate thousands of kilometres each year.
    | The function returns a list of all open files. | The king was crowned in the old cathedral. | Patients should rest for a week after
    the operation. | The match ended without a goal. | Click the button to save your changes. | The bridge is closed for repairs until
    August. | Our neighbours have bought a new car. | Copper conducts electricity better than iron. | The novel tells the story of two
    sisters. | Please send the signed contract to our office. | The volcano erupted for the first time in a century. | Children learn
    languages faster than adults. | The museum is open from Tuesday to Sunday. | The defendant was found guilty by the jury. | Wear gloves
    when you handle the chemicals. | The satellite orbits the planet every ninety minutes. | Prices include taxes and delivery. | The dog
    barked at the postman. | Voters will choose a new mayor next month. | Mix the colours until the shade is right. | The theorem follows
    from the two lemmas above. | They danced until the musicians went home. | The password must have at least ten characters. | Wheat is
    harvested at the end of July.
"""


class Embedder(Protocol):
    """A model that turns texts into vectors of one length."""

    @property
    def model(self) -> str:
        """What tells its vectors from those of other models: its digest, say."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text."""


async def embed_missing(index: DocumentIndex, embedder: Embedder, *, progress: OnProgress | None = None) -> int:
    """Make the vectors that are missing, in batches that are kept as they come; how many were made."""
    made = 0
    while waiting := await asyncio.to_thread(index.without_vectors, embedder.model, _BATCH):
        if await asyncio.to_thread(index.scale, embedder.model) is None:
            await asyncio.to_thread(index.put_scale, embedder.model, await _measured(embedder))
        texts = [(id, list(_parts(heading, text))) for id, heading, text in waiting]
        vectors = iter(await _embedded(embedder, [part for _, parts in texts for part in parts]))
        packed = [(id, [pack(next(vectors)) for _ in parts]) for id, parts in texts]
        await asyncio.to_thread(index.put_vectors, embedder.model, packed)
        made += len(waiting)
        if progress is not None:
            progress(Progress(made, made, ""))
    return made


async def _embedded(embedder: Embedder, texts: Sequence[str]) -> list[list[float]]:
    vectors = await embedder.embed(texts)
    if len(vectors) != len(texts):
        raise DocumentError("The embedding model returned too few vectors.", "Choose another one.")
    return vectors


async def _measured(embedder: Embedder) -> Scale:
    import numpy

    texts = [" ".join(each.split()) for each in UNRELATED.split("|")]
    vectors = [_unit(vector) for vector in await _embedded(embedder, texts)]
    cosines = [float(one @ other) for one, other in combinations(vectors, 2)]
    return Scale(float(numpy.mean(cosines)), max(float(numpy.std(cosines)), _LEAST_DEVIATION))


def _parts(heading: str, text: str) -> Iterator[str]:
    """The passage, and its sentences where there are several, each below its heading."""
    above = f"{heading}\n" if heading else ""
    yield above + text
    held: list[str] = []
    parts: list[str] = []
    for sentence in sentences(text):
        held.append(sentence)
        if sum(len(each.split()) for each in held) >= _LEAST_WORDS:
            parts.append(" ".join(held))
            held = []
    if held:
        parts.append(" ".join(held))
    if len(parts) > 1:
        yield from (above + part for part in parts)


def _unit(vector: Sequence[float]) -> numpy.ndarray:
    """Of length 1; zeros stay zeros."""
    import numpy

    values = numpy.asarray(vector, dtype=numpy.float32)
    length = float(numpy.linalg.norm(values))
    return values / length if length > 0 and numpy.isfinite(length) else numpy.zeros_like(values)


def pack(vector: Sequence[float]) -> bytes:
    """As float16 of length 1; zeros stay zeros."""
    packed: bytes = _unit(vector).astype("<f2").tobytes()
    return packed


def nearest(vectors: Iterable[tuple[int, int, bytes]], asked: bytes) -> dict[int, float]:
    """How alike each passage of `DocumentIndex.vectors` is to what is asked: the cosine of its most alike part, for a share the whole's.

    A sentence may be alike by chance; in a passage on the same matter that is less likely. Vectors of another length are left out.
    """
    import numpy

    question = numpy.frombuffer(asked, dtype="<f2").astype(numpy.float32)
    usable = (each for each in vectors if len(each[2]) == len(asked))
    best: dict[int, float] = {}
    wholes: dict[int, float] = {}
    while some := list(islice(usable, _AT_ONCE)):
        matrix = numpy.frombuffer(b"".join(vector for _, _, vector in some), dtype="<f2").reshape(len(some), -1)
        for (id, part, _), cosine in zip(some, (matrix.astype(numpy.float32) @ question).tolist(), strict=True):
            best[id] = max(best.get(id, -1.0), cosine)
            if part == 0:
                wholes[id] = cosine
    return {id: best[id] + (whole - best[id]) * _WHOLE_SHARE for id, whole in wholes.items()}
