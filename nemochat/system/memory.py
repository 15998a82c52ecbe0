"""How much memory a program can have here: the machine's, and what a container or a service is held to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

_NO_LIMIT = 1 << 60
"""The first version of control groups writes a number about so large where there is no limit."""


class Memory(NamedTuple):
    """Bytes. available: what programs can still get without swapping, of the limit where there is one. limit: 0 where there is none."""

    total: int
    available: int
    limit: int = 0


def memory(root: Path = Path("/")) -> Memory:
    """What there is. root: where the system's own files are looked for."""
    machine = psutil.virtual_memory()
    limits = list(_limits(root)) if sys.platform == "linux" else []
    narrowest = min(limits, key=lambda each: each[0] - each[1], default=None)
    if narrowest is None or narrowest[0] >= machine.total:
        return Memory(int(machine.total), int(machine.available))
    limit, used = narrowest
    return Memory(int(machine.total), max(0, min(int(machine.available), limit - used)), limit)


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """The limit and the use of every control group that this process is in, with those above it."""
    for line in _text(root / "proc/self/cgroup").splitlines()[:64]:
        _, controllers, name = (*line.split(":", 2), "", "")[:3]
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("" if not controllers else "memory")
        files = ("memory.max", "memory.current") if not controllers else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        inner = Path(name.lstrip("/"))
        # Within a container its own group is the root, whatever its name is outside.
        for at in (inner, *inner.parents):
            folder = base / at
            if (limit := _number(folder / files[0])) and limit < _NO_LIMIT:
                yield limit, max(0, _number(folder / files[1]) - _cache(folder))


def _cache(folder: Path) -> int:
    """Bytes of files that are only kept because there is room: they count as used and make way."""
    names = ("inactive_file", "total_inactive_file")
    values = [line.split() for line in _text(folder / "memory.stat").splitlines()]
    return next((int(words[1]) for words in reversed(values) if len(words) == 2 and words[0] in names and words[1].isdecimal()), 0)


def _number(path: Path) -> int:
    text = _text(path).strip()
    return int(text) if text.isdecimal() and len(text) < 25 else 0


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1 << 16).decode("ascii", "replace")
    except OSError:
        return ""
