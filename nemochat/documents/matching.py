"""Which passages share words with a question, and how well they fit.

The index of words (BM25 over stems) names the candidates. Each is then judged by itself: which of the question's words it holds, weighed by
how rare they are, whether they stand beside each other as in the question, and whether headings or the name of the file hold them.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Container, Sequence
from itertools import accumulate, pairwise

import msgspec

from nemochat.documents import rows
from nemochat.documents.text import is_ideograph, stem, words
from nemochat.documents.values import Passage

CANDIDATES = 40
MAX_TERMS = 24
_MANY = 400  # from so many passages on, words that stand in a quarter of them are not looked up when rarer ones are at hand
_COMMON_SHARE = 0.25
_ENOUGH = 2
_MOST_RANKED = 8_000  # SQLite ranks about a million places of words in a second
_NEAR = 4
_WEIGHTS = "bm25(1.0, 1.5, 0.8)"  # text, heading, name of the file
_IN_HEADING, _IN_TITLE = 0.8, 0.55
_LONGEST_QUESTION = 4000

_STOP_WORDS = """
    a about above after again all also am an and any anybody anyone anything are as at be because been before being below between both but
    by can cannot could did do does doing done down during each either else ever every few for from further get gets give given go goes
    got had has have having he her here hers him his how i if in into is it its itself just know let like many may me might mine more most
    much must my need needs no nor not now of off on once one only onto or other our ours out over own per please same say says shall she
    should show so some such tell than that the their theirs them then there these they thing things this those through to too under until
    up upon us very want was way we were what whatever when where whether which while who whom whose why will with within without would
    yes yet you your yours s t d ll re ve m don doesn didn isn wasn aren won
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
_WEAK_WORDS = """
    use used using work works working call called happen happens happened mean means meant long often big large small old keep make makes
    made take takes took kind type way best better good bad wrong right find want possible allowed ok okay put set ask help many first
    last next new somebody someone question answer name named thing number come comes came become think see look looks looking people
    person place time exactly actually really usually currently
"""
_WEAK = frozenset(map(stem, _WEAK_WORDS.split()))
_WEAK_SHARE = 0.4
"""Of the weight of a word that says little."""
_NAME_SHARE = 2.0
"""Of the weight of a name or a number: what lacks it is about something else."""
_UNKNOWN_SHARE = 0.85
_NAME = re.compile(r"(?<![.!?:\s])\s+[\"'“‘(]*(\w*(?:[A-ZÀ-Þ]|\d)\w*)")  # noqa: RUF001


class Term(msgspec.Struct, frozen=True):
    """A word of the question, or two neighbouring ideographs. weight: the rarer, the heavier. found: in how many passages it stands."""

    words: tuple[str, ...]
    stems: tuple[str, ...]
    weight: float
    found: int


class Scored(msgspec.Struct, frozen=True):
    """A candidate. covered: the weight of the question's words that it holds, as a share of the weight of all."""

    passage: Passage
    covered: float
    held: int


class Match(msgspec.Struct, frozen=True):
    """Candidates, best first, and the words that were looked for."""

    found: tuple[Scored, ...] = ()
    terms: tuple[Term, ...] = ()


def content_words(question: str) -> list[tuple[str, ...]]:
    """What a question is about: its words without those that stand in every sentence, unless it has no others."""
    every = words(question[:_LONGEST_QUESTION])
    kept = [word for word in every if word not in STOP_WORDS] or every
    terms: list[tuple[str, ...]] = []
    alone = True
    for at, word in enumerate(kept):
        if not is_ideograph(word):
            terms.append((word,))
            alone = True
        elif at + 1 < len(kept) and is_ideograph(kept[at + 1]):
            terms.append((word, kept[at + 1]))
            alone = False
        elif alone:
            terms.append((word,))
    unique = {tuple(stem(word) for word in term): term for term in reversed(terms)}
    return list(reversed(unique.values()))[:MAX_TERMS]


def match(db: sqlite3.Connection, question: str, collections: Sequence[str]) -> Match:
    """The candidates of these collections for a question."""
    total = int(db.execute("SELECT count(*) FROM passage").fetchone()[0])
    if not total or not collections:
        return Match()
    names = {word for found in _NAME.finditer(question[:_LONGEST_QUESTION]) for word in words(found[1])}
    terms = tuple(_term(db, each, total, names) for each in content_words(question))
    asked = _worth_asking(terms, total)
    if not asked:
        return Match(terms=terms)
    statement = (
        "SELECT p.id, -w.rank FROM word_index AS w CROSS JOIN passage AS p ON p.id = w.rowid CROSS JOIN document AS d ON d.id = p.document "
        "WHERE w.word_index MATCH ? AND w.rank MATCH ? AND d.collection IN "
    )
    # A word that stands nearly everywhere says nothing about which passages are better.
    order = "ORDER BY w.rank" if asked[0].found <= _MOST_RANKED else ""
    found = db.execute(
        f"{statement} ({rows.marks(collections)}) {order} LIMIT ?",
        (" OR ".join(_quoted(term.words) for term in asked), _WEIGHTS, *collections, CANDIDATES),
    ).fetchall()
    relevance = {int(id): float(score) for id, score in found}
    if not relevance:
        return Match(terms=terms)
    best = max(max(relevance.values()), 1e-9)
    ids = tuple(relevance)
    passages = rows.passages(db, f"p.id IN ({rows.marks(ids)})", ids)
    scored = [_judged(passage, terms, relevance[passage.id] / best) for passage in passages]
    scored.sort(key=lambda each: (-each.passage.score, each.passage.id))
    return Match(tuple(scored), terms)


def _term(db: sqlite3.Connection, term: tuple[str, ...], total: int, names: Container[str]) -> Term:
    counting = "SELECT count(*) FROM (SELECT 1 FROM word_index WHERE word_index MATCH ? LIMIT ?)"
    found = int(db.execute(counting, (_quoted(term), _MOST_RANKED + 1)).fetchone()[0])
    stems = tuple(stem(word) for word in term)
    seen = max(found, 1)
    weight = math.log(1 + (total - seen + 0.5) / (seen + 0.5))
    if term[0] in names:
        weight *= _NAME_SHARE
    elif len(term) == 1 and stems[0] in _WEAK:
        weight *= _WEAK_SHARE
    elif not found:
        weight *= _UNKNOWN_SHARE  # it may just be another way of saying it
    return Term(term, stems, weight, found)


def _quoted(term: tuple[str, ...]) -> str:
    """For FTS5, as a string: no word of a question is part of its query language."""
    return '"' + " ".join(term) + '"'


def _worth_asking(terms: Sequence[Term], total: int) -> list[Term]:
    """Without words so common that ranking all that hold them takes long and says little."""
    known = sorted((term for term in terms if term.found), key=lambda term: term.found)
    if total < _MANY:
        return known
    rare = [term for term in known if term.found <= total * _COMMON_SHARE]
    wanted = rare if len(rare) >= _ENOUGH else known[:_ENOUGH]
    sums = accumulate(term.found for term in wanted)
    return [term for at, (term, reached) in enumerate(zip(wanted, sums, strict=True)) if at == 0 or reached <= _MOST_RANKED]


def _judged(passage: Passage, terms: Sequence[Term], relevance: float) -> Scored:
    heading, _, _ = rows.indexed(passage.locator.heading, "", "", is_code=True)
    _, _, title = rows.indexed("", "", passage.document, is_code=False)
    body_words = words(rows.indexed(passage.text, "", "", is_code=_CODE_LIKE.search(passage.text) is not None)[0])
    body = [stem(word) for word in body_words]
    places: dict[str, list[int]] = {}
    for at, each in enumerate(body):
        places.setdefault(each, []).append(at)
    in_heading = {stem(word) for word in words(heading)}
    in_title = {stem(word) for word in words(title)}
    exact = set(body_words)
    whole = sum(term.weight for term in terms) or 1.0
    covered = value = 0.0
    held = 0
    spots: list[list[int]] = []
    for term in terms:
        stands = _positions(term.stems, places)
        spots.append(stands)
        part = 0.0
        if stands:
            part = 0.82 + 0.1 * (1 - 1 / len(stands)) + (0.04 if set(term.words) <= exact else 0.0)
        if in_heading.issuperset(term.stems):
            part = max(part + 0.12, _IN_HEADING)
        if in_title.issuperset(term.stems):
            part = max(part + 0.06, _IN_TITLE)
        held += bool(part)
        covered += term.weight * min(part, 1.0)
        value += term.weight * part
    near = _nearness(terms, spots)
    score = 0.7 * value / whole + 0.15 * near + 0.15 * relevance
    return Scored(msgspec.structs.replace(passage, score=min(1.0, score)), min(1.0, covered / whole), held)


_CODE_LIKE = re.compile(r"[a-z][A-Z]")


def _positions(stems: tuple[str, ...], places: dict[str, list[int]]) -> list[int]:
    first = places.get(stems[0], [])
    if len(stems) == 1:
        return first
    after = set(places.get(stems[1], []))
    return [at for at in first if at + 1 in after]


def _nearness(terms: Sequence[Term], spots: Sequence[list[int]]) -> float:
    """How much of the question's neighbouring words stand near each other, in the same order counting most."""
    whole = reached = 0.0
    for (one, at_one), (other, at_other) in pairwise(zip(terms, spots, strict=True)):
        weight = min(one.weight, other.weight)
        whole += weight
        if at_one and at_other:
            gap = min((abs(b - a) + (0 if b > a else 1) for a in at_one[:12] for b in at_other[:12]), default=_NEAR + 1)
            reached += weight * (1.0 if gap == 1 else 0.6 if gap <= _NEAR else 0.2 if gap <= _NEAR * 4 else 0.0)
    return reached / whole if whole else 0.0
