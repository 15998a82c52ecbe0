"""Evaluates the tokens of a reply, several at once where a guess of what follows is likely to be right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from nemochat.engine.llama.evaluator import Evaluator
from nemochat.engine.llama.lookup import NO_GUESS, Lookup, Pace

Row = npt.NDArray[np.float32]


class Guesser:
    """What `Evaluator.append` is, for one reply: each token that was drawn is evaluated, and guesses of the next ones along with it.

    Guesses that were evaluated are in the cache and its ledger until another token is drawn in their place, or until `finish`.
    """

    def __init__(
        self, evaluator: Evaluator, pace: Pace, cells: Iterable[int | None], *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """`cells`: the prompt, None for each picture. They are looked at when the first token was drawn, so that it is not kept waiting."""
        self._evaluator = evaluator
        self._pace = pace
        self._clock = clock
        self._cells = cells
        self._lookup: Lookup | None = None
        self._guess = NO_GUESS
        self._came_true = 0
        self._along = 0
        self._row = 0
        self._rehearsal: _Rehearsal | None = None

    def row_after(self, token: int, room: int) -> int:
        """Have a drawn token evaluated; returns the row of the distribution after it. `room`: how many more may be drawn, at least one."""
        lookup = self._lookup = self._lookup or Lookup(self._cells)
        lookup.append(token)
        is_right = self._learn(token)
        if self._along:
            if is_right:
                self._along -= 1
                self._row += 1
                return self._row
            self.finish()
        self._row = self._came_true = 0
        self._guess = lookup.guess(min(room, self._evaluator.context.rows) - 1)
        if self._rehearsal is not None:
            self._evaluate([token])
            self._compare(token)
            return 0
        held = self._evaluator.position
        plan = self._pace.plan(self._guess, held)
        tokens = [token, *self._guess.tokens[: plan.rows - 1]]
        if plan.is_rehearsal:
            self._evaluate(tokens, is_rehearsal=True)
            self._rehearsal = _Rehearsal(held, tokens, [self._evaluator.context.distribution(row).copy() for row in range(plan.rows)])
            self._evaluator.take_back(plan.rows)
            self._evaluate([token])
            self._compare(token)
        else:
            self._evaluate(tokens)
            self._along = plan.rows - 1
        return 0

    def finish(self) -> None:
        """Take the guesses out of the cache that have not come true."""
        if self._along:
            self._evaluator.take_back(self._along)
            self._along = 0

    def _learn(self, token: int) -> bool:
        """Whether a token is what was guessed, whether or not the guess was evaluated."""
        guess, number = self._guess, self._came_true
        if number >= len(guess.tokens):
            return False
        is_right = guess.tokens[number] == token
        self._pace.drawn(guess.matched + number, is_right=is_right)
        self._came_true += is_right
        return is_right

    def _evaluate(self, tokens: Sequence[int], *, is_rehearsal: bool = False) -> None:
        started = self._clock()
        if len(tokens) == 1:
            self._evaluator.append(tokens[0])
        else:
            self._evaluator.append_all(tokens)
        self._evaluator.context.wait()
        self._pace.evaluated(len(tokens), (self._clock() - started) * 1000, is_rehearsal=is_rehearsal)

    def _compare(self, token: int) -> None:
        """Go on with the rehearsal: the row of this token, now evaluated by itself, must be what it was in the batch."""
        rehearsal = self._rehearsal
        assert rehearsal is not None
        number = rehearsal.compared
        if rehearsal.tokens[number] != token:
            self._rehearsal = None  # the guess was wrong, and the rows from here on are those of another text
            return
        is_same = bool(np.array_equal(rehearsal.rows[number], self._evaluator.context.distribution(0)))
        rehearsal.compared += 1
        if not is_same or rehearsal.compared == len(rehearsal.rows):
            self._pace.rehearsed(len(rehearsal.rows), rehearsal.held, is_exact=is_same)
            self._rehearsal = None


class _Rehearsal:
    """A batch that was evaluated only to compare its rows with those of the same tokens one by one."""

    def __init__(self, held: int, tokens: Sequence[int], rows: Sequence[Row]) -> None:
        self.held, self.tokens, self.rows = held, tokens, rows
        self.compared = 0
