"""What a shell offers at Tab for the names that nemochat knows. Reading them makes, moves and asks nothing, and is quick.

A shell may run what is offered to it: words and descriptions are of letters, digits and a few signs that no shell acts on, and a name of
others is not offered at all.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nemochat.paths import Paths, find_paths

Offer = tuple[str, str]
"""A word, and what stands beside it where the shell shows that."""

_WORD = re.compile(r"[\w.:/@+][\w.:/@+-]*")
_UNSAFE = re.compile(r"[^\w .,-]+")
_MOST_CHATS = 50
_MOST_BYTES = 1 << 20


def _offered(find: Callable[[Paths], Iterable[Offer]]) -> Callable[[str], list[Offer]]:
    """A completion as typer wants it. Where a file is broken nothing is offered: the command that reads it says so."""

    def complete(incomplete: str) -> list[Offer]:
        try:
            found = [*find(find_paths(os.environ))]
        except (OSError, ValueError, LookupError, AttributeError, TypeError):
            return []
        return [(word, _UNSAFE.sub(" ", beside).strip()) for word, beside in found if word.startswith(incomplete) and _WORD.fullmatch(word)]

    return complete


def _models(paths: Paths) -> Iterator[Offer]:
    yield "nemochat-demo", "comes with nemochat"
    if content := _content(paths.models_file):
        for entry in json.loads(content)["models"]:
            yield entry["name"], ""


def _servers(paths: Paths) -> Iterator[Offer]:
    for name, server in tomllib.loads(_content(paths.servers_file)).items():
        yield name, re.sub(r"^https?://", "", server["url"])


def _models_and_servers(paths: Paths) -> Iterator[Offer]:
    yield from _models(paths)
    yield from _servers(paths)


def _personas(paths: Paths) -> Iterator[Offer]:
    from nemochat.personas.store import PRESETS

    for file in sorted((*PRESETS.glob("*.toml"), *paths.personas.glob("*/persona.toml"))):
        yield (file.parent.name if file.name == "persona.toml" else file.stem), ""


def _lorebooks(paths: Paths) -> Iterator[Offer]:
    for file in sorted(paths.lorebooks.glob("*.json")):
        yield file.stem, ""


def _chats(paths: Paths) -> Iterator[Offer]:
    from nemochat.library.database import newest

    yield from newest(paths.library / "library.db", _MOST_CHATS)


def _content(file: Path) -> str:
    """What a file of ours says, "" where there is none. Raises OSError and ValueError."""
    from nemochat.reading import read_regular

    try:
        return read_regular(file, _MOST_BYTES).decode()
    except FileNotFoundError:
        return ""


models, models_and_servers, servers = _offered(_models), _offered(_models_and_servers), _offered(_servers)
personas, lorebooks, chats = _offered(_personas), _offered(_lorebooks), _offered(_chats)
