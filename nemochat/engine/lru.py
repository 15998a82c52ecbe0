"""A mapping of bounded weight that forgets what was used least recently."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LruCache(Generic[Key, Value]):
    """Holds values until their weights (1 each unless `weigh` says otherwise) exceed `capacity`."""

    def __init__(self, capacity: int, weigh: Callable[[Value], int] | None = None) -> None:
        self._capacity = capacity
        self._weigh = weigh or (lambda _: 1)
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self.weight = 0

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Key) -> bool:
        return key in self._values

    def get(self, key: Key) -> Value | None:
        """The value, which becomes the most recently used, or None."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def items(self) -> list[tuple[Key, Value]]:
        """All of them, the least recently used first."""
        return list(self._values.items())

    def put(self, key: Key, value: Value) -> None:
        """Keep a value. One that alone outweighs the capacity is not kept."""
        self.discard(key)
        self._values[key] = value
        self.weight += self._weigh(value)
        while self.weight > self._capacity:
            self.discard(next(iter(self._values)))

    def discard(self, key: Key) -> None:
        """Forget a value, if it is there."""
        value = self._values.pop(key, None)
        if value is not None:
            self.weight -= self._weigh(value)
