"""Guessing the next tokens of a reply by what followed the same words before, and deciding when guessing pays. Pure.

A guess is checked by evaluating it along with the last token: the rows of a batch give what the model says after each of them. Whether
such a row is bit for bit what the same token gives alone depends on the model's number formats, the kernels and the size of the batch, so
it is not assumed: a size is used only after a rehearsal in which every row agreed. With that, guessing changes the time and not the text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

MOST_ROWS = 8
"""Tokens of the largest batch: each row costs memory for a distribution over the vocabulary."""
_SIZES = (2, 3, 4, 6, 8)
"""Batches that are considered. Kernels like some sizes: four rows cost what one costs where weights are repacked for four."""
_REHEARSED_FIRST = (4, 8, 2, 6, 3)
_MATCHES = (5, 3, 2)
"""Tokens that have to be the same as before, tried in this order. Of the repository's own texts, 4 instead of 5 finds 1 % less."""
_LONGEST = 12
"""The longest match that is told apart."""
_PRIOR = (0.0, 0.0, 0.35, 0.5, 0.55, 0.55, 0.6, 0.7, 0.7, 0.75, 0.75, 0.75, 0.8)
"""How often the token after a match is the same again, by the length of the match, before anything was seen."""
_NEW_OUTCOME = 1 / 16
_WORSE_AT_ONCE = 1 / 8
_FADING = 1 / 1024
"""How fast a cost that is not measured again is doubted, with each evaluation of another size, if it was measured once."""
_SURE = 16
"""Measurements after which a cost is doubted least: so many times slower."""
_LEAST_GAIN = 1.1
"""Guessing has to promise this many times the rate: what is saved is small, and a cost is a measurement."""
_REHEARSAL_SHARE = 1 / 64
_REHEARSAL_CREDIT = 6


class Guess(msgspec.Struct, frozen=True):
    """What may follow, and how many tokens before it were the same where it was found."""

    tokens: tuple[int, ...] = ()
    matched: int = 0


NO_GUESS = Guess()


class Lookup:
    """An index over prompt and reply: where the last few tokens stood before, and what followed there."""

    def __init__(self, cells: Iterable[int | None]) -> None:
        """`cells`: token ids, and None for each picture; nothing is matched or guessed across one."""
        self._cells = list(cells)
        ends = range(len(self._cells))
        # The latest occurrence wins, because it is put in last. One at the very end is not in yet: nothing follows it.
        self._after = {
            size: dict(zip(zip(*(self._cells[start:] for start in range(size)), strict=False), ends[size:], strict=False))
            for size in _MATCHES
        }

    def append(self, token: int) -> None:
        """One more token of the reply."""
        cells, end = self._cells, len(self._cells)
        for size, after in self._after.items():
            if end >= size:
                after[tuple(cells[end - size :])] = end
        cells.append(token)

    def guess(self, limit: int) -> Guess:
        """At most `limit` tokens: the continuation of the latest of the longest matches. Behind the end it repeats itself."""
        cells, end = self._cells, len(self._cells)
        if limit < 1:
            return NO_GUESS
        for size, after in self._after.items():
            if end < size:
                continue
            tail = tuple(cells[end - size :])
            start = after.get(tail)
            if start is not None and None not in tail and (tokens := self._continuation(start, limit)):
                return Guess(tokens, self._match(start, size))
        return NO_GUESS

    def _continuation(self, start: int, limit: int) -> tuple[int, ...]:
        cells, end = self._cells, len(self._cells)
        tokens: list[int] = []
        for source in range(start, start + limit):
            cell = cells[source] if source < end else tokens[source - end]
            if cell is None:
                break
            tokens.append(cell)
        return tuple(tokens)

    def _match(self, start: int, known: int) -> int:
        """How many tokens before `start` are the same as at the end, of which `known` are known to be."""
        cells, end, length = self._cells, len(self._cells), known
        while length < min(_LONGEST, start) and cells[start - length - 1] == cells[end - length - 1] is not None:
            length += 1
        return length


class Plan(msgspec.Struct, frozen=True):
    """How many tokens to evaluate at once. `is_rehearsal`: only to compare; they are taken back and evaluated one by one."""

    rows: int = 1
    is_rehearsal: bool = False


ONE_BY_ONE = Plan()


class Pace:
    """What guessing has brought and cost with one model, and so how much of a guess to try next.

    The outcomes of guesses that were not tried count too: what would have been right is seen in any case, and costs nothing.
    """

    def __init__(self) -> None:
        self._costs: dict[int, float] = {}
        self._measured: Counter[int] = Counter()
        self._right = list(_PRIOR)
        self._exact: set[tuple[int, int]] = set()
        self._inexact: set[int] = set()
        self._total = 0.0
        self._rehearsals = 0.0

    def plan(self, guess: Guess, held: int) -> Plan:
        """What to do with a guess when the cache holds `held` tokens of the sequence."""
        one = self._costs.get(1)
        if one is None or not guess.tokens:
            return ONE_BY_ONE
        expected = self._expected(guess)
        sizes = [size for size in _SIZES if size < len(expected) and size not in self._inexact and _stratum(held, size) is not None]
        best, best_rate = 1, 1 / one
        for size in sizes:
            if self._is_exact(size, held) and (rate := expected[size] / max(self._costs[size], one)) > best_rate * _LEAST_GAIN:
                best, best_rate = size, rate
        for size in _REHEARSED_FIRST:
            if size not in sizes or self._is_exact(size, held):
                continue
            least = self._least_cost(size)
            if expected[size] / least > best_rate * _LEAST_GAIN:
                return Plan(size, is_rehearsal=True) if self._can_afford(least) else Plan(best)
        return Plan(best)

    def evaluated(self, rows: int, milliseconds: float, *, is_rehearsal: bool = False) -> None:
        """So many tokens were evaluated at once, in so much time.

        The least that was seen is what a size costs, because other programs only ever add to it. It is forgotten slowly, upwards when
        it costs more, and downwards while it is not measured: a bad moment must not rule a size out for good.
        """
        self._total += milliseconds
        if is_rehearsal:
            self._rehearsals += milliseconds
        for size, cost in self._costs.items():
            self._costs[size] = cost * (1 - _FADING / min(self._measured[size], _SURE))
        self._measured[rows] += 1
        known = self._costs.get(rows, milliseconds)
        self._costs[rows] = known + min(milliseconds - known, known * _WORSE_AT_ONCE)

    def drawn(self, matched: int, *, is_right: bool) -> None:
        """The token guessed behind a match of this length, tried or not, was drawn; or another one was."""
        kind = min(matched, _LONGEST)
        self._right[kind] += (is_right - self._right[kind]) * _NEW_OUTCOME

    def rehearsed(self, rows: int, held: int, *, is_exact: bool) -> None:
        """A rehearsal came to its end: every row was as it is alone, or one was not. A size that was inexact once is never used again."""
        stratum = _stratum(held, rows)
        if not is_exact:
            self._inexact.add(rows)
        elif stratum is not None:
            self._exact.add((rows, stratum))

    def _expected(self, guess: Guess) -> list[float]:
        """The tokens that a batch of each size is expected to bring, by the size: one, and each guess that is right up to there."""
        expected, chance = [0.0, 1.0], 1.0
        for number in range(min(len(guess.tokens), MOST_ROWS - 1)):
            chance *= self._right[min(guess.matched + number, _LONGEST)]
            expected.append(expected[-1] + chance)
        return expected

    def _is_exact(self, size: int, held: int) -> bool:
        return size not in self._inexact and (size, _stratum(held, size)) in self._exact

    def _least_cost(self, size: int) -> float:
        """What a batch of a size costs at least: what it cost before, and what a smaller one costs."""
        return max(self._costs.get(size, 0.0), *(cost for smaller, cost in self._costs.items() if smaller < size))

    def _can_afford(self, cost: float) -> bool:
        """Whether a rehearsal of this cost keeps to the share of the time that rehearsals may take."""
        return self._rehearsals + cost <= self._costs[1] * _REHEARSAL_CREDIT + self._total * _REHEARSAL_SHARE


def _stratum(held: int, rows: int) -> int | None:
    """Which rehearsals hold for a batch: kernels change with how much is held, at powers of two. None for a batch across such a line."""
    first = held.bit_length()
    return first if (held + rows - 1).bit_length() == first else None
