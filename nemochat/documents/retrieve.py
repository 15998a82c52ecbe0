"""From a question to the passages that go into the prompt: relevant, varied, and within a budget of tokens."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec

from nemochat.documents.index import DocumentIndex
from nemochat.documents.matching import Match, content_words
from nemochat.documents.text import stem, words
from nemochat.documents.values import CountMany, Passage, Retrieval, Scale
from nemochat.documents.vectors import Embedder, nearest, pack

MOST = 6
"""Passages for one question."""
PER_DOCUMENT = 3
"""Passages of one document, as long as others have something to say."""
NOTHING = "Nothing relevant was found in the documents."
NO_DOCUMENTS = "There are no documents to search."
TOO_LARGE = "What was found does not fit beside the conversation."
BEGINNINGS = "The question names nothing to look for: the beginnings of the documents were taken."

FLOOR = 0.3
"""A passage must hold this share of the weight of the question's words."""
ALONE = 0.46
"""The same for one that holds a single word of them."""
_RELATIVE_FLOOR = 0.5
_RIVAL = 0.7  # another document has something to say when its best passage scores this share of the best of all
_SAME = 0.8
_ALIKE = 0.35
_NEIGHBOURS = 40
_TO_CHOOSE_FROM = 3
ALIKE_FLOOR = 4.1
"""By how many deviations a passage must be more like the question than texts are that have nothing to do with each other.

The best passages for 32 questions about nothing in the documents are 2.81 above, give or take 0.82: 28 of 30 such questions find nothing.
"""
_SURE = 0.6
"""Of the way from there to the very same text: no model is asked for more."""
_WORDS_WEIGHT = 1.5
"""How many such deviations holding all words of the question is worth."""
_MOST_WORDS = 0.75
"""A passage that holds this share of the question's words answers to it, whatever a model makes of them."""
_GENERAL_WORDS = """
    summarise summarize summary summaries overview document documents doc docs file files text content contents attached attachment page
    pages pdf read explain describe outline main points point key gist short brief briefly sentence sentences paper report article whole
    entire uploaded added paragraph words bullet bullets list
"""
_GENERAL = frozenset(map(stem, _GENERAL_WORDS.split()))


class _Candidate(msgspec.Struct, frozen=True):
    passage: Passage
    order: float
    stems: frozenset[str]


class Retriever:
    """Searches an index; with an embedder, by words and by meaning together, otherwise by words alone."""

    def __init__(self, index: DocumentIndex, embedder: Embedder | None = None) -> None:
        self._index = index
        self._embedder = embedder

    async def retrieve(
        self, question: str, collections: Sequence[str], budget_tokens: int, count: CountMany, *, most: int = MOST
    ) -> Retrieval:
        """The best passages that fit into the budget as `as_context` writes them. Raises DocumentError."""
        rows = await asyncio.to_thread(self._index.collections)
        if not any(row.passages for row in rows if row.name in collections):
            return Retrieval(notice=NO_DOCUMENTS)
        if is_general(question):
            return await _fitting(await asyncio.to_thread(self._beginnings, collections, most), budget_tokens, count, BEGINNINGS)
        match = await asyncio.to_thread(self._index.match, question, collections)
        candidates = above_floor(match)
        if self._embedder is not None:
            candidates = await self._with_meaning(question, collections, match, candidates, self._embedder)
        chosen = varied(candidates, most)
        if not chosen:
            return Retrieval(notice=NOTHING)
        return await _fitting(chosen, budget_tokens, count, "")

    async def _with_meaning(
        self, question: str, collections: Sequence[str], match: Match, by_words: list[Passage], embedder: Embedder
    ) -> list[Passage]:
        """Those that are alike enough, and those that hold so many words that it does not matter; the more of both, the earlier."""
        scale = await asyncio.to_thread(self._index.scale, embedder.model)
        if scale is None:
            return by_words  # no passage has a vector yet
        [asked] = await embedder.embed([question])

        def look_up() -> list[Passage]:
            alike = nearest(self._index.vectors(embedder.model, collections), pack(asked))
            floor = alike_floor(scale)
            covered = {each.passage.id: each.covered for each in match.found}
            standing = {id: cosine / scale.deviation + _WORDS_WEIGHT * covered.get(id, 0.0) for id, cosine in alike.items()}
            known = {passage.id: passage for passage in by_words}
            fitting = (id for id, cosine in alike.items() if cosine >= floor or covered.get(id, 0.0) >= _MOST_WORDS)
            order = sorted(fitting, key=lambda id: (-standing[id], id))[:_NEIGHBOURS]
            known |= {passage.id: passage for passage in self._index.fetch([id for id in order if id not in known], collections)}
            order += [id for id in known if id not in alike]  # those that have no vector yet
            scored = (msgspec.structs.replace(known[id], score=max(known[id].score, alike.get(id, 0.0))) for id in order if id in known)
            return [msgspec.structs.replace(passage, score=min(1.0, passage.score)) for passage in scored]

        return await asyncio.to_thread(look_up)

    def _beginnings(self, collections: Sequence[str], most: int) -> list[Passage]:
        """The first passages of each document, turn and turn about."""
        documents = [row for collection in collections for row in self._index.documents(collection)][: most * 2]
        firsts = [self._index.passages(row.id)[:most] for row in documents]
        return [each[at] for at in range(most) for each in firsts if at < len(each)][:most]


def alike_floor(scale: Scale) -> float:
    """The cosine from which on a model finds a passage alike enough."""
    return scale.mean + min(ALIKE_FLOOR * scale.deviation, _SURE * (1 - scale.mean))


def is_general(question: str) -> bool:
    """Whether a question is about the documents as a whole ("Summarise this document"), so that no words could be looked up."""
    terms = content_words(question)
    return bool(terms) and all(len(term) == 1 and stem(term[0]) in _GENERAL for term in terms)


def above_floor(match: Match) -> list[Passage]:
    """The candidates that answer to enough of the question, best first. One word of several is not enough unless it is a rare one."""
    kept = [each for each in match.found if each.covered >= FLOOR and (each.held >= 2 or each.covered >= ALONE)]
    if not kept:
        return []
    best = kept[0].passage.score
    return [each.passage for each in kept if each.passage.score >= best * _RELATIVE_FLOOR]


def varied(passages: Sequence[Passage], most: int) -> list[Passage]:
    """Up to so many, without near repetitions, and not all of one document when another has something to say (MMR)."""
    if not passages:
        return []
    left = [
        _Candidate(passage, 1 / (1 + 0.15 * at), frozenset(map(stem, words(passage.text))))
        for at, passage in enumerate(passages[: most * _TO_CHOOSE_FROM])
    ]
    best = max(passage.score for passage in passages)
    rivals = {passage.document_id for passage in passages if passage.score >= best * _RIVAL}
    chosen: list[_Candidate] = []
    taken: Counter[int] = Counter()
    while left and len(chosen) < most:
        pick = max(left, key=lambda each: each.order - _ALIKE * max((_likeness(each, other) for other in chosen), default=0.0))
        left.remove(pick)
        if any(_likeness(pick, other) >= _SAME for other in chosen):
            continue
        if taken[pick.passage.document_id] >= PER_DOCUMENT and len(rivals - set(taken)) > 0:
            continue
        taken[pick.passage.document_id] += 1
        chosen.append(pick)
    return [each.passage for each in chosen]


def _likeness(one: _Candidate, other: _Candidate) -> float:
    """The share of words that two passages have in common."""
    either = len(one.stems | other.stems)
    return len(one.stems & other.stems) / either if either else 1.0


async def _fitting(passages: Sequence[Passage], budget: int, count: CountMany, notice: str) -> Retrieval:
    """As many as the budget takes, in their order; one that is too large makes room for a smaller one after it."""
    sizes = await count([as_context(passage) for passage in passages])
    kept, left = [], budget
    for passage, size in zip(passages, sizes, strict=True):
        if size <= left:
            kept.append(passage)
            left -= size
    return Retrieval(tuple(kept), notice) if kept else Retrieval(notice=TOO_LARGE)


def as_context(passage: Passage) -> str:
    """``name, page 3: text``, as the model reads it. The text is what the document says and is told as such, whatever it asks for.

    A page is worth the model's reading; a heading or a line is for people.
    """
    page = f", {passage.locator.in_words()}" if passage.locator.page is not None else ""
    return f"{passage.document}{page}: {passage.text}"
