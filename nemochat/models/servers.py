"""Which servers there are: those that the user added, kept in a TOML file that can be written by hand. It holds no key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.domain.servers import Server, ServerKind
from nemochat.errors import NemochatError, UsageError
from nemochat.files import reason, set_aside, write_whole
from nemochat.models.checks import shown
from nemochat.reading import TooMuchError, check_toml, read_regular

_MAX_BYTES = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_NOT_IN_ADDRESSES = re.compile(r"[\x00-\x20\x7f-\x9f\\]")
_ROUTES = re.compile(r"(/v1(/chat/completions|/completions|/models)?)?/*$")
_EXAMPLE = "Such as http://127.0.0.1:8080 or https://gpu.example.org/v1."
_KEY_ASIDE = "Leave it out, and give the key with --key, which asks for it."
_PORTS = {"http": 80, "https": 443}


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What stands below a server's name."""

    url: Annotated[str, msgspec.Meta(max_length=2048)]
    kind: ServerKind | None = None


class Servers:
    """The servers by name. Reads the file anew for each request, so several running programs agree.

    path: servers.toml in the user's configuration; it need not exist. A broken one is set aside under another name, and `notices` says so.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._notices: list[str] = []

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the user about what was found wrong while reading."""
        return tuple(self._notices)

    def all(self) -> tuple[Server, ...]:
        """In the order in which they were added. Raises NemochatError when the file cannot be read."""
        return tuple(self._read().values())

    def get(self, name: str) -> Server:
        """A server by its name or the beginning of it. Raises UsageError when none or several are meant."""
        found = self.meant(name)
        if len(found) == 1:
            return found[0]
        said = sanitize(name, strict=True)[:80]
        if found:
            raise UsageError(f"{said} may be {' or '.join(server.name for server in found[:5])}.", "Write more of the name.")
        near = difflib.get_close_matches(name.lower()[:80], [server.name for server in self.all()], n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else "See `nemochat servers list`."
        raise UsageError(f"There is no server called {said}.", hint)

    def meant(self, name: str) -> tuple[Server, ...]:
        """The servers that a typed name may mean: the one of that name, else those that begin so."""
        wanted, servers = name.strip().lower(), self._read()
        if wanted in servers:
            return (servers[wanted],)
        return tuple(server for server in servers.values() if wanted and server.name.startswith(wanted))

    def add(self, name: str, url: str, kind: ServerKind | None = None) -> Server:
        """Remember a server. The same one once more gets this kind.

        Raises UsageError for a name or an address that cannot be one, and for a name that another server has.
        """
        server = Server(named(name), normal_url(url), kind)
        servers = self._read()
        before = servers.get(server.name)
        if before is not None and before.url != server.url:
            hint = f"Choose another name, or remove it first: nemochat servers remove {server.name}"
            raise UsageError(f"There is a server called {server.name} already, at {before.url}.", hint)
        if taken := next((each for each in servers if each != server.name and variable_of(each) == variable_of(server.name)), ""):
            both = f"The keys of {taken} and {server.name} would both be {variable_of(taken)}."
            raise UsageError(both, "Choose a name that differs in more than its dots and dashes.")
        if before is not None and kind is None:
            server = before
        self._write({**servers, server.name: server})
        return server

    def remove(self, name: str) -> Server:
        """Forget a server. Raises UsageError when there is none of exactly that name."""
        server = self.get(name)
        if server.name != name.strip().lower():
            raise UsageError(f"A server is removed by its whole name, {server.name}.", "Write that.")
        self._write({other: each for other, each in self._read().items() if other != server.name})
        return server

    def _read(self) -> dict[str, Server]:
        try:
            return _decode(read_regular(self._path, _MAX_BYTES))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise NemochatError(f"The list of servers cannot be read: {shown(self._path)} ({reason(error)}).") from None
        except (msgspec.MsgspecError, TooMuchError, NemochatError, ValueError, RecursionError) as error:
            self._set_aside(sanitize(str(error), strict=True)[:200].rstrip("."))
            return {}

    def _set_aside(self, why: str) -> None:
        """Move a broken file out of the way without losing what is in it."""
        try:
            kept = set_aside(self._path)
        except OSError as error:
            raise NemochatError(f"The list of servers is broken: {shown(self._path)} ({why}; {reason(error)}).") from None
        self._notices.append(f"The list of servers was broken ({why}); it is kept as {shown(kept)}, and a new one begins.")

    def _write(self, servers: Mapping[str, Server]) -> None:
        import tomlkit

        tables = {name: {"url": server.url, **({"kind": str(server.kind)} if server.kind else {})} for name, server in servers.items()}
        try:
            write_whole(self._path, tomlkit.dumps(tables).encode(), by_hand=True)
        except OSError as error:
            raise NemochatError(f"The list of servers cannot be saved: {shown(self._path)} ({reason(error)}).") from None


def variable_of(name: str) -> str:
    """The environment variable that holds a server's key."""
    return f"NEMOCHAT_KEY_{re.sub('[^A-Z0-9]', '_', name.upper())}"


def named(name: str) -> str:
    """The name of a server, in small letters. Raises UsageError for what can be none."""
    wanted = name.strip().lower()
    if not _NAME.fullmatch(wanted):
        said = sanitize(name, strict=True)[:80]
        hint = "Use up to 40 letters, digits, dots, dashes and underscores, such as gpu."
        raise UsageError(f"{said!r} cannot be the name of a server.", hint)
    return wanted


def normal_url(text: str) -> str:
    """The address of a server as it is kept: without the path of OpenAI's routes, which people copy along (``/v1``).

    Raises UsageError, which never repeats what was typed: a key may be in it.
    """
    text = text.strip()
    if not text or _NOT_IN_ADDRESSES.search(text) or len(text) > 2048:
        raise UsageError("This cannot be the address of a server.", _EXAMPLE)
    try:
        parts = _parts(text)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise UsageError("This cannot be the address of a server: its host or its port is wrong.", _EXAMPLE) from None
    if parts.scheme not in _PORTS or not host:
        raise UsageError("The address of a server begins with http:// or https://.", _EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise UsageError("A key or a password does not belong into the address.", _KEY_ASIDE)
    if parts.query or parts.fragment:
        raise UsageError("The address of a server ends before ? and #: a key does not belong into it.", _KEY_ASIDE)
    if host in ("0.0.0.0", "::"):  # noqa: S104 - where a server listens; it is reached here
        host = "127.0.0.1"
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[parts.scheme]:
        place = f"{place}:{port}"
    return f"{parts.scheme}://{place}{_ROUTES.sub('', parts.path)}"


def _parts(text: str) -> SplitResult:
    """An address of this machine may come without its scheme; any other has to say whether the way there is encrypted."""
    if "://" not in text and Server("", f"http://{text}").is_here:
        return urlsplit(f"http://{text}")
    return urlsplit(text)


def _decode(content: bytes) -> dict[str, Server]:
    text = content.decode("utf-8-sig")
    check_toml(text)
    stored = msgspec.toml.decode(text, type=dict[str, _Stored])
    servers = {name: Server(name, normal_url(each.url), each.kind) for name, each in stored.items()}
    for name in servers:
        if named(name) != name:
            raise msgspec.ValidationError("names are written in small letters")
    if len({variable_of(name) for name in servers}) != len(servers):
        raise msgspec.ValidationError("two names differ in their dots and dashes only")
    return servers
