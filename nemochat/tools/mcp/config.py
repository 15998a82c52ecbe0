"""The `mcpServers` file that other clients use too: read with its mistakes named, changed without touching what is not understood."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec

from nemochat.files import reason, write_whole
from nemochat.reading import read_regular
from nemochat.tools.mcp.values import McpError, shown

SERVERS = "mcpServers"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ @/-]{0,63}")
_FILE_BYTES = 1024 * 1024
_STDIO_TYPES = ("", "stdio")
_HTTP_TYPES = ("", "http", "streamable-http", "streamableHttp", "streamable_http")


class ServerConfig(msgspec.Struct, frozen=True):
    """How a server is reached: a command that is run, or an address. All as it is written; `launch` says what it comes to."""

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    is_on: bool = True

    def identity(self) -> str:
        """A hash of all that the entry says of what is run."""
        parts = [self.command, list(self.args), self.env, self.cwd, self.url, self.headers]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def entry(self) -> dict[str, Any]:
        """The entry as it stands in the file."""
        wire: dict[str, Any] = {"url": self.url} if self.url else {"command": self.command}
        if self.args:
            wire["args"] = list(self.args)
        for name, value in (("env", self.env), ("cwd", self.cwd), ("headers", self.headers)):
            if value:
                wire[name] = value
        return wire if self.is_on else {**wire, "disabled": True}


class McpConfig(msgspec.Struct, frozen=True):
    """The servers of a file, and a sentence for each entry that cannot be meant."""

    servers: tuple[ServerConfig, ...] = ()
    problems: dict[str, str] = {}


def read_config(path: Path) -> McpConfig:
    """The configured servers; none when there is no file. Raises McpError when the file as a whole is unreadable."""
    servers: list[ServerConfig] = []
    problems: dict[str, str] = {}
    for name, entry in _entries(_read(path), path).items():
        try:
            servers.append(check_entry(name, entry))
        except McpError as error:
            problems[shown(name)] = error.message
    return McpConfig(tuple(servers), problems)


def add(path: Path, server: ServerConfig, *, replace: bool = False) -> None:
    """Write a server into the file; fields of the file that are not ours stay. Raises McpError."""
    check_entry(server.name, server.entry())
    whole = _read(path)
    entries = _entries(whole, path)
    old = entries.get(server.name)
    if old is not None and not replace:
        raise McpError(f"There is a server named “{shown(server.name)}” already.", "Choose another name or remove it first.")
    ours = {"command", "args", "env", "cwd", "url", "headers", "disabled", "type", "transport"}
    kept = {name: value for name, value in old.items() if name not in ours} if isinstance(old, dict) else {}
    _write(path, {**whole, SERVERS: {**entries, server.name: {**server.entry(), **kept}}})


def remove(path: Path, name: str) -> None:
    """Take a server out of the file. Raises McpError when it is not there."""
    whole = _read(path)
    entries = _entries(whole, path)
    if name not in entries:
        raise McpError(f"There is no server named “{shown(name)}”.", "`nemochat mcp list` shows them.")
    _write(path, {**whole, SERVERS: {other: entry for other, entry in entries.items() if other != name}})


def check_entry(name: str, entry: object) -> ServerConfig:
    """The server that an entry of the file describes. Raises McpError with one sentence saying what is wrong."""
    where = f"The server “{shown(name)}”"
    if not _NAME.fullmatch(name):
        raise McpError(f"{where} has a name that is not made of up to 64 letters, digits, spaces and . _ - @ /.")
    if not isinstance(entry, dict):
        raise McpError(f"{where} is not described by an object with a command or a url.")
    command, url, cwd, kind = (_text(where, entry, field) for field in ("command", "url", "cwd", "type"))
    kind = kind or _text(where, entry, "transport")
    if bool(command) == bool(url):
        raise McpError(f"{where} needs either a command or a url" + (", not both." if command else "."))
    if url and not re.fullmatch(r"https?://[^\s/]+\S*", url):
        raise McpError(f"{where} has a url that does not begin with http:// or https://.")
    if kind not in (_HTTP_TYPES if url else _STDIO_TYPES):
        raise McpError(f"{where} is of the kind “{shown(kind)}”, which is not understood here; stdio and streamable HTTP are.")
    args = entry.get("args") or []
    if not isinstance(args, list) or not all(isinstance(item, str) and "\0" not in item for item in args):
        raise McpError(f"{where} has args that are not a list of texts.")
    disabled = entry.get("disabled", False)
    if not isinstance(disabled, bool):
        raise McpError(f"{where} has a “disabled” that is neither true nor false.")
    env, headers = _texts(where, entry, "env"), _texts(where, entry, "headers")
    return ServerConfig(name, command, tuple(args), env, cwd, url, headers, not disabled)


def _text(where: str, entry: dict[str, Any], field: str) -> str:
    value = entry.get(field)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise McpError(f"{where} has a {field} that is not a text.")
    return value


def _texts(where: str, entry: dict[str, Any], field: str) -> dict[str, str]:
    value = entry.get(field) or {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise McpError(f"{where} has {field} that are not an object of texts.")
    if bad := next((name for name in value if not re.fullmatch(r"[^=\0\s:]+", name)), None):
        raise McpError(f"{where} has a name in {field} that cannot be one: “{shown(bad)}”.")
    return dict(value)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = read_regular(path, _FILE_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise McpError(f"The file of servers {shown(path)} cannot be read: {reason(error)}.") from error
    try:
        whole = json.loads(data or b"{}")
    except (ValueError, RecursionError) as error:
        raise McpError(f"The file of servers {shown(path)} is not JSON: {shown(str(error))}.", "Correct it by hand.") from error
    if not isinstance(whole, dict):
        raise McpError(f"The file of servers {shown(path)} does not hold an object.", "Correct it by hand.")
    return whole


def _entries(whole: dict[str, Any], path: Path) -> dict[str, Any]:
    entries = whole.get(SERVERS, {})
    if not isinstance(entries, dict):
        raise McpError(f"In the file of servers {shown(path)}, “{SERVERS}” is not an object.", "Correct it by hand.")
    return entries


def _write(path: Path, whole: dict[str, Any]) -> None:
    try:
        write_whole(path, json.dumps(whole, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n", by_hand=True)
    except OSError as error:
        raise McpError(f"The file of servers {shown(path)} cannot be written: {reason(error)}.", "Check the permissions.") from error
