"""What may come next while a command, its argument or a path is being typed."""

from __future__ import annotations

import heapq
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from nemochat.chat.locations import has_picture_suffix
from nemochat.chat.quoting import quoted, unescaped
from nemochat.desk.commands import COMMANDS, ArgumentKind, Command, find_command
from nemochat.domain.sanitize import sanitize

MOST = 50
"""The most candidates that are given."""
_MOST_ENTRIES = 20_000
"""The most entries of a folder that are read."""
_TAKE_FOLDERS = ("doc", "import")
_COMMAND_WORD = re.compile(r"/[^\s/]*")
_COMMAND_AND_ARGUMENT = re.compile(r"/([^\s/]+)[ \t]+(?P<argument>\S[^\r\n]*)?")
# A word that begins like a path, its blanks escaped, or such a path in a quote that is still open. A lone slash is no path yet.
_PATH_WORD = re.compile(r"(?:^|(?<=\s))((?:~|\.{1,2})/(?:\\.|[^\s\\])*|/(?:\\.|[^\s\\])+)$")
_QUOTED_PATH = re.compile(r"""(?:^|(?<=\s))(?:"((?:~|\.{1,2})?/[^"\r\n]*)|'((?:~|\.{1,2})?/[^'\r\n]*))$""")


class Candidate(msgspec.Struct, frozen=True):
    """What is inserted, what is shown, and a few words about it."""

    insert: str
    label: str
    help: str = ""


class Completion(msgspec.Struct, frozen=True):
    """`candidates` replace the text from `start` (an index into the text before the cursor) to the cursor.

    is_enough: what stands there is a folder that the command takes as it is, so no candidate is chosen until the user does.
    """

    start: int
    candidates: tuple[Candidate, ...]
    is_enough: bool = False


def complete(text_before_cursor: str, choices: Mapping[str, Sequence[str]], cwd: Path, home: Path) -> Completion | None:
    """Candidates for what stands before the cursor; None when there are none or nothing is left to complete.

    `choices` are the values of commands that take one of several, by command name. Folders end with a slash; a path that needs quotes has
    them, left open behind a folder.
    """
    text = text_before_cursor
    if _COMMAND_WORD.fullmatch(text):
        if _is_finished(text[1:]):
            return None
        commands = _commands(text[1:])
        is_sure = text == "/" or any(candidate.insert.startswith(text.lower()) for candidate in commands)
        return _completion(text, 0, commands if is_sure else commands + _paths(text, cwd, home))
    if (line := _COMMAND_AND_ARGUMENT.fullmatch(text)) is not None and (command := find_command(line[1])) is not None:
        return _argument(command, text, line["argument"] or "", choices, cwd, home)
    if (in_quotes := _QUOTED_PATH.search(text)) is not None:
        typed = in_quotes[1] or in_quotes[2]
        return _completion(text, in_quotes.start(), _paths(typed, cwd, home))
    if (word := _PATH_WORD.search(text)) is not None:
        return _completion(text, word.start(), _paths(unescaped(word[0]), cwd, home))
    return None


def _argument(
    command: Command, text: str, argument: str, choices: Mapping[str, Sequence[str]], cwd: Path, home: Path
) -> Completion | None:
    """What may follow a command; `text` ends with the argument."""
    start = len(text) - len(argument)
    if command.name in choices:
        names = [name for name in _ranked(argument, choices[command.name]) if name == sanitize(name)]
        return _completion(text, start, [Candidate(name, sanitize(name, strict=True)) for name in names])
    if command.argument_kind is not ArgumentKind.PATH:
        return None
    typed = argument[1:] if argument[:1] in ("'", '"') else argument
    if typed != argument and typed.endswith(argument[0]):
        return None  # the quote is closed
    paths = _paths(typed, cwd, home, pictures_first=command.name == "image")
    if not paths and "\\" in argument:
        paths = _paths(unescaped(typed), cwd, home)
    found = _completion(text, start, paths)
    is_enough = command.name in _TAKE_FOLDERS and typed.endswith("/")
    return msgspec.structs.replace(found, is_enough=True) if found is not None and is_enough else found


def _is_finished(name: str) -> bool:
    """Whether it is a command that nothing can follow and no other begins with: Enter shall run it."""
    command = find_command(name)
    others = [each for each in COMMANDS if each is not command and each.name.startswith(name.lower())]
    return command is not None and not command.argument and not others


def _commands(typed: str) -> list[Candidate]:
    """Commands by name or alias, each once."""
    by_name = {name: command for command in COMMANDS for name in (command.name, *command.aliases)}
    commands = dict.fromkeys(by_name[name].name for name in _ranked(typed, by_name))
    found = (by_name[name] for name in commands)
    return [Candidate(f"/{command.name}{' ' if command.argument else ''}", command.usage, command.help) for command in found]


def _ranked(typed: str, names: Iterable[str]) -> list[str]:
    """The names that begin with what was typed, then those that hold it, then those that hold its letters in order."""
    wanted = typed.lower()
    ranks = ((_rank(wanted, name.lower()), name) for name in names)
    return [name for _, name in sorted((pair for pair in ranks if pair[0] < 3), key=lambda pair: pair[0])]


def _rank(wanted: str, name: str) -> int:
    if name.startswith(wanted):
        return 0
    if len(wanted) < 2:
        return 3  # one letter is in nearly every name
    if wanted in name:
        return 1
    letters = iter(name)
    return 2 if all(letter in letters for letter in wanted) else 3


def _paths(typed: str, cwd: Path, home: Path, *, pictures_first: bool = False) -> list[Candidate]:
    """Files and folders that go on from a path; hidden ones only when their dot is typed."""
    head, beginning = typed[: typed.rfind("/") + 1], typed[typed.rfind("/") + 1 :]
    if not head and beginning.startswith("~"):
        return [Candidate("~/", "~/", "folder")] if beginning == "~" else []
    folder = home / head[2:] if head.startswith("~/") else cwd / head
    names = [pair for pair in _entries(folder) if _fits(beginning, pair[0])]

    def order(pair: tuple[str, bool]) -> tuple[bool, bool, str, str]:
        name, is_folder = pair
        is_aside = pictures_first and not is_folder and not has_picture_suffix(name)
        return is_aside, not name.startswith(beginning), name.casefold(), name

    return [_path_candidate(head, name, is_folder) for name, is_folder in heapq.nsmallest(MOST, names, key=order)]


def _fits(beginning: str, name: str) -> bool:
    """Whether a name goes on from what was typed, and can be typed at all: one with escape sequences cannot."""
    if name.startswith(".") and not beginning.startswith("."):
        return False
    return name.casefold().startswith(beginning.casefold()) and sanitize(name) == name and "\n" not in name and "\t" not in name


def _path_candidate(head: str, name: str, is_folder: bool) -> Candidate:
    shown = sanitize(name, strict=True)
    if is_folder:
        return Candidate(quoted(f"{head}{name}/", is_open=True), f"{shown}/", "folder")
    return Candidate(quoted(f"{head}{name}"), shown, "picture" if has_picture_suffix(name) else "")


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """The names in a folder and whether each is a folder; none when it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, _is_folder(entry)) for entry in itertools.islice(entries, _MOST_ENTRIES)]
    except (OSError, ValueError):  # ValueError: a NUL character in the path
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _completion(text: str, start: int, candidates: Sequence[Candidate]) -> Completion | None:
    """None as well where a candidate is already there in full: Enter shall send it."""
    if not candidates or any(candidate.insert == text[start:] for candidate in candidates):
        return None
    return Completion(start, tuple(candidates[:MOST]))
