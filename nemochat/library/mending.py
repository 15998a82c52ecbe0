"""Trees and texts that come from outside, or from a damaged file, made fit to be used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import TypeVar, cast

import msgspec

from nemochat.domain.chat import Chat, Node
from nemochat.domain.sanitize import sanitize

Kind = TypeVar("Kind")

_ONE_LINE = {"name", "nickname", "speaker", "speaking", "model", "source", "reason", "creator", "version", "accent", "user_name", "summary"}


def cleaned(value: Kind) -> Kind:
    """The same value with every text in it sanitised; names of things are one line."""
    return cast("Kind", _cleaned(value, False))


def mended(nodes: Collection[Node], chosen: int, bare: Chat) -> tuple[Chat, bool]:
    """A conversation of nodes of which some may be missing, and whether it was whole.

    What has lost the message before it follows the newest one that is older; a path that has lost its way goes on with the newest branch.
    Messages that follow each other in a circle begin with the oldest of them.
    """
    ids = sorted({node.id for node in nodes})
    older = dict(zip(ids, [0, *ids], strict=False))
    parents = {node.id: node.parent if node.parent in older or node.parent == 0 else older[node.id] for node in nodes}
    _break_circles(parents)
    children: dict[int, list[int]] = {}
    for id_ in ids:
        children.setdefault(parents[id_], []).append(id_)
    after = {node.id: _branch(node.chosen, children.get(node.id, [])) for node in nodes}
    first = _branch(chosen, children.get(0, []))
    whole = first == chosen and all((node.parent, node.chosen) == (parents[node.id], after[node.id]) for node in nodes)
    chat = Chat.of_nodes([Node(node.entry, parents[node.id], after[node.id]) for node in nodes], first, bare)
    return chat, whole


def _break_circles(parents: dict[int, int]) -> None:
    rooted = {0}
    for id_ in parents:
        way: dict[int, None] = {}
        at = id_
        while at not in rooted and at not in way:
            way[at] = None
            at = parents[at]
        if at in way:
            circle = list(way)[list(way).index(at) :]
            parents[min(circle)] = 0
        rooted.update(way)


def _branch(chosen: int, children: list[int]) -> int:
    """The one that the path goes on with: as it was, or the newest where that one is lost."""
    return chosen if chosen == 0 or chosen in children else max(children, default=0)


def _cleaned(value: object, one_line: bool) -> object:
    match value:
        case Enum():
            return value
        case str():
            return sanitize(value, strict=one_line)
        case msgspec.Struct():
            fields = {name: _cleaned(getattr(value, name), name in _ONE_LINE) for name in value.__struct_fields__}
            return msgspec.structs.replace(value, **fields)
        case tuple():
            return tuple(_cleaned(item, one_line) for item in value)
        case list():
            return [_cleaned(item, False) for item in value]
        case Mapping():
            return {_cleaned(key, True): _cleaned(item, False) for key, item in value.items()}
    return value
