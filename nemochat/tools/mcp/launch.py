"""What a server's entry comes to on this machine: the program, its arguments and its folder, whatever folder nemochat is run in.

An entry may be written as one would type it in some folder. When it is added or allowed it is bound to that folder, and means the same ever
after. Where it leads through links is part of what is allowed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.system import environments, processes
from nemochat.tools.mcp.config import ServerConfig
from nemochat.tools.mcp.values import McpError, shown

_RUNNERS = {"npx", "uvx", "pipx", "bunx", "pnpx"}
"""They run what a registry has under a name. In a folder that has something of that name they would run that."""
_SEPARATORS = re.compile(r"[=:,;]")
_LINE_BYTES = 256
_MODULE = re.compile(r"-[A-Za-z]*m")


class Launch(msgspec.Struct, frozen=True):
    """What is run, or called.

    config: the entry, bound. program: the absolute path of its command, empty when there is none of that name. folder: where it runs.
    links: which of these lead elsewhere, and where to; also the program that a script is run by.
    """

    config: ServerConfig
    program: str = ""
    folder: str = ""
    links: tuple[tuple[str, str], ...] = ()

    def line(self) -> str:
        """Exactly what is run or called, on one line for people: nothing is cut, and what cannot be seen is written as an escape.

        Only secrets that are written out in the entry are hidden; `${NAME}` is shown.
        """
        config = self.config
        if config.url:
            headers = "".join(f" {name}: {shown_value(name, value)};" for name, value in config.headers.items())
            return _made_visible(f"connect to {config.url}" + (f" with{headers.rstrip(';')}" if headers else ""))
        values = ((name, shown_value(name, value)) for name, value in config.env.items())
        variables = "".join(f"{name}={value if value == HIDDEN else shlex.quote(value)} " for name, value in values)
        command = shlex.join((self.program or config.command, *config.args))
        notes = [f"{name} is {real}" for name, real in self.links] + ([] if self.program else [f"{config.command} is not installed"])
        return _made_visible(f"cd {shlex.quote(self.folder)} && {variables}{command}" + (f"  ({'; '.join(notes)})" if notes else ""))

    def identity(self) -> str:
        """A hash of all that decides what is run, so that anything else is asked about again."""
        return hashlib.sha256(json.dumps([self.config.identity(), self.program, self.folder, self.links]).encode()).hexdigest()


def resolve(config: ServerConfig, search_path: str) -> Launch:
    """What a bound entry comes to now. search_path: the server's own ``PATH``."""
    if config.url:
        return Launch(config)
    folder = Path(os.path.realpath(_expanded(config.cwd))) if config.cwd else processes.neutral_folder()
    command = _expanded(config.command)
    found = folder / command if _is_path(command) else processes.find_program(command, search_path)
    program = os.path.normpath(found) if found else ""
    links = {}
    if (interpreter := _interpreter(program)) and (runs := processes.find_program(interpreter, search_path)):
        links[interpreter] = os.path.realpath(runs)
    for word in (program, *(word for argument in config.args for word in _words(argument))):
        path = folder / word
        if word and (real := os.path.realpath(path)) != os.path.normpath(path):
            links[word] = real
    return Launch(config, program, str(folder), tuple(links.items()))


def bind(config: ServerConfig, base: Path) -> ServerConfig:
    """The entry as it is meant in a folder, so that it means the same in any other.

    Where the command or an argument names something in that folder, the server runs there; else where there is nothing to be found. What a
    package runner is given stays as it is, apart from paths that can be nothing else.
    """
    if config.url:
        return config
    if config.cwd:
        return msgspec.structs.replace(config, cwd=os.path.normpath(base / _expanded(config.cwd)))
    command, arguments = _expanded(config.command), config.args
    is_runner = Path(command).stem.lower() in _RUNNERS
    if is_runner:
        arguments = tuple(_absolute_argument(argument, base) for argument in arguments)
    is_relative = _is_path(command) and not Path(command).is_absolute()
    cwd = str(base) if is_relative or _names_something(arguments, base, is_runner=is_runner) else ""
    return msgspec.structs.replace(config, args=arguments, cwd=cwd)


def current_folder() -> Path:
    """Where nemochat is run; the neutral folder when that has been removed."""
    try:
        return Path.cwd()
    except OSError:
        return processes.neutral_folder()


def _interpreter(program: str) -> str:
    """The name behind ``#!/usr/bin/env`` in a script, which is looked for when it starts; empty for any other program."""
    try:
        # A pipe of that name would be waited for.
        with Path(program).open("rb") if Path(program).is_file() else io.BytesIO() as file:
            line = file.readline(_LINE_BYTES)
    except OSError:
        return ""
    words = os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []
    if not words or not words[0].endswith("/env"):
        return ""
    return next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")


def _is_path(command: str) -> bool:
    return os.path.basename(command) != command  # noqa: PTH119 - Path("./x") is Path("x")


def _absolute_argument(argument: str, base: Path) -> str:
    option, equals, value = argument.rpartition("=")
    is_path = value in (".", "..") or value.startswith(("./", "../", ".\\", "..\\"))
    return f"{option}{equals}{os.path.normpath(base / value)}" if is_path else argument


def _names_something(arguments: Sequence[str], base: Path, *, is_runner: bool) -> bool:
    """Whether an argument names a file or folder below `base`, or (behind ``-m``) a Python module in it."""
    before = ""
    for argument in arguments:
        words = (word for word in _words(argument) if word.startswith(".") or not is_runner)
        if any(not Path(word).is_absolute() and os.path.lexists(base / word) for word in words):
            return True
        module = argument if _MODULE.fullmatch(before) else argument[2:] if argument.startswith("-m") else ""
        top = module.partition(".")[0]
        if top and not is_runner and any(os.path.lexists(base / f"{top}{ending}") for ending in ("", ".py")):
            return True
        before = argument
    return False


def _words(argument: str) -> Iterator[str]:
    """What in an argument may be a path: all of it, its parts (``--file=a``, ``a:/b``, ``type=bind,source=a``), and what follows ``-C``."""
    pieces = [argument, *_SEPARATORS.split(argument)]
    if re.match(r"-[A-Za-z]", argument):
        pieces.append(argument[2:])
    yield from dict.fromkeys(piece for piece in pieces if piece and not piece.startswith("-"))


def _expanded(text: str) -> str:
    """With the user's folder in place of ``~``. Not a Path, which takes the dot of ``./x`` away."""
    return os.path.expanduser(text)  # noqa: PTH111


def _made_visible(text: str) -> str:
    return "".join(char if sanitize(char, strict=True) == char else char.encode("unicode_escape").decode() for char in text)


HIDDEN = "•••"
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|(?<!ASK)PASS|PWD|CREDENTIAL|AUTH|COOKIE|WEBHOOK|(^|[_-])PAT($|[_-])", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
"""A password inside an address, as in DATABASE_URL."""
_CURRENT_FOLDER = ("PWD", "OLDPWD", "CD")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def shown_value(name: str, value: str) -> str:
    """The value of a variable or header for people: hidden where it looks like a secret, which is nothing that decides what is passed."""
    is_secret = _SECRET_NAME.search(name) is not None or _SECRET_VALUE.search(value) is not None
    return HIDDEN if is_secret and "${" not in value else value


def child_environment(own: Mapping[str, str], configured: Mapping[str, str]) -> dict[str, str]:
    """What a server gets to see. Anything but plain names reaches it only when its entry names it. Raises McpError like `expand`."""
    return {**environments.foreign(own), **expand(configured, own)}


def search_path(own: Mapping[str, str], configured: Mapping[str, str]) -> str:
    """Where a server's command is looked for: its own ``PATH``, as far as that is known."""
    try:
        return child_environment(own, configured).get("PATH", os.defpath)
    except McpError:
        return environments.foreign(own).get("PATH", os.defpath)


def expand(values: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The values with `${NAME}` and `${NAME:-otherwise}` filled in. Raises McpError for a variable that is not set, and for `${PWD}`."""

    def fill(match: re.Match[str]) -> str:
        name, otherwise = match.group(1), match.group(2)
        if name in _CURRENT_FOLDER:
            raise McpError(f"The server's entry refers to {name}, which is another folder each time.", "Write the folder out.")
        value = environment.get(name, otherwise)
        if value is None:
            raise McpError(f"The variable {name} is not set, and the server's entry refers to it.", f"Set {name} and start nemochat again.")
        return value

    filled = {name: _REFERENCE.sub(fill, value) for name, value in values.items()}
    for name, value in filled.items():
        if "\0" in value:
            raise McpError(f"The value of {shown(name)} in the server's entry holds a NUL character.")
    return filled
