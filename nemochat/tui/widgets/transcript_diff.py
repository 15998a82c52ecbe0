"""What of a shown conversation can stay when another state of it is shown. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nemochat.chat import Entry


class Change(msgspec.Struct, frozen=True):
    """From `old` to `new` entries: the first `prefix` and the last `suffix` are the same."""

    old: int
    new: int
    prefix: int
    suffix: int

    @property
    def is_other(self) -> bool:
        """Nothing is the same: another conversation, or the first message of this one."""
        return self.prefix == 0 and self.suffix == 0 and not self.is_none

    @property
    def is_none(self) -> bool:
        """Everything is the same."""
        return self.prefix == self.old == self.new

    def place_of(self, index: int) -> int | None:
        """Where the entry at `index` stands now; entries in the changed middle keep their place as long as there is one."""
        if index < self.prefix:
            return index
        if index >= self.old - self.suffix:
            return index + self.new - self.old
        return index if index < self.new - self.suffix else None


def compare(old: Sequence[Entry], new: Sequence[Entry]) -> Change:
    """Find the same beginning and end. Values that are the same object cost nothing."""
    shorter = min(len(old), len(new))
    prefix = next((i for i in range(shorter) if old[i] is not new[i] and old[i] != new[i]), shorter)
    rest = shorter - prefix
    suffix = next((i for i in range(rest) if old[-1 - i] is not new[-1 - i] and old[-1 - i] != new[-1 - i]), rest)
    return Change(len(old), len(new), prefix, suffix)
