"""What has to be written when one value of a conversation takes the place of another."""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_

import msgspec

from nemochat.domain.chat import Chat, Entry, Node


class Difference(msgspec.Struct, frozen=True):
    """removed: ids. written: new messages and those with other content. moved: those that only go on from or with another one."""

    removed: tuple[int, ...] = ()
    written: tuple[Node, ...] = ()
    moved: tuple[Node, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.removed or self.written or self.moved)


def difference(before: Chat, after: Chat) -> Difference:
    """By identity first: of a long conversation only the neighbourhood of what has changed is looked at closely."""
    old, new = before.entries, after.entries
    head = _common(old, new)
    tail = _common(old[:head - 1 if head else None:-1], new[:head - 1 if head else None:-1])
    was = _path(old, head, tail)
    now = _path(new, head, tail)
    if before.aside is not after.aside:
        was.update((id_, node) for id_, node in before.aside.items() if after.aside.get(id_) is not node)
        now.update((id_, node) for id_, node in after.aside.items() if before.aside.get(id_) is not node)
    written, moved = [], []
    for id_, node in now.items():
        earlier = was.get(id_)
        if earlier is None or (earlier.entry is not node.entry and earlier.entry != node.entry):
            written.append(node)
        elif (earlier.parent, earlier.chosen) != (node.parent, node.chosen):
            moved.append(node)
    return Difference(tuple(id_ for id_ in was if id_ not in now), tuple(written), tuple(moved))


def first_of(chat: Chat) -> int:
    """Id of the message that the path begins with, 0 for none."""
    return chat.entries[0].id if chat.entries else 0


def _common(one: tuple[Entry, ...], other: tuple[Entry, ...]) -> int:
    """How many they begin with that are the very same."""
    same = list(map(is_, one, other))
    return same.index(False) if False in same else len(same)


def _path(entries: tuple[Entry, ...], head: int, tail: int) -> dict[int, Node]:
    """The part of a path whose nodes may differ: between the common ends, and the neighbours of that part."""
    start, stop = max(0, head - 1), min(len(entries), len(entries) - tail + 1)
    nodes: Mapping[int, Node] = {
        entries[index].id: Node(
            entries[index],
            entries[index - 1].id if index else 0,
            entries[index + 1].id if index + 1 < len(entries) else 0,
        )
        for index in range(start, stop)
    }
    return dict(nodes)
