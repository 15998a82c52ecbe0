"""The keys of servers: from the environment, the system's keyring, or a file for the user's eyes only; never anywhere else.

What is kept belongs to a server's name and its address, so that a key is not sent to whoever the name leads to later.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nemochat.domain.servers import Server
from nemochat.errors import NemochatError, UsageError
from nemochat.files import reason, set_aside, write_whole
from nemochat.models.checks import shown
from nemochat.models.servers import variable_of
from nemochat.reading import check_toml, read_regular
from nemochat.system.desktop import has_desktop

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "nemochat"
"""Under which the keyring has the keys, by the names of the servers."""
_MAX_BYTES = 1 << 20
_LONGEST = 8192
_KEYRING_SECONDS = 20.0
"""A keyring that is locked asks the user; one that does not come back is none."""
_RECOMMENDED = 1
"""The least priority of the system's own keyrings; those below ask at the terminal, or keep what they are given in the open."""


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept for a server. key: "" where the keyring has it, or where there is none. is_allowed: the user lets words leave for it."""

    url: str
    key: str = ""
    in_keyring: bool = False
    is_allowed: bool = False


class Keys:
    """The keys by server. path: keys.toml, which need not exist. Everything here waits for files or the keyring: called in a thread.

    environment: where a key goes before all others, in the variable that `variable_of` names.
    """

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self._path, self._environment = path, environment

    def get(self, server: Server) -> str:
        """The key of a server, "" where it has none. Raises NemochatError when there is one that cannot be had."""
        if key := self._environment.get(variable_of(server.name), "").strip():
            return _checked(key, variable_of(server.name))
        kept = self._read().get(server.name)
        if kept is None or not (kept.key or kept.in_keyring):
            return ""
        if kept.url != server.url:
            again = f"Give it again: nemochat servers add {server.name} {server.url} --key"
            raise NemochatError(f"The key of {server.name} was given for another address, so it is not sent.", again)
        if not kept.in_keyring:
            return kept.key
        if key := self._in_keyring(lambda keyring: keyring.get_password(SERVICE, server.name)):
            return str(key)
        missing = f"The key of {server.name} is in the system's keyring, which does not give it."
        raise NemochatError(missing, f"Set {variable_of(server.name)}.")

    def place(self, server: Server) -> str:
        """Where the key of a server is, in words; "" where it has none. The keyring is not asked."""
        if self._environment.get(variable_of(server.name), "").strip():
            return variable_of(server.name)
        kept = self._read().get(server.name)
        return "" if kept is None else "the keyring" if kept.in_keyring else shown(self._path) if kept.key else ""

    def put(self, server: Server, key: str) -> str:
        """Keep a key: in the keyring where there is one, else in the file. Where it is now, in words. Raises NemochatError."""
        key = _checked(key.strip())
        is_in = bool(self._in_keyring(lambda keyring: keyring.set_password(SERVICE, server.name, key) or True))
        stored = msgspec.structs.replace(self._of(server), key="" if is_in else key, in_keyring=is_in)
        self._write({**self._read(), server.name: stored})
        return self.place(server)

    def is_allowed(self, server: Server) -> bool:
        """Whether the user has let words and pictures leave for this server at this address."""
        return self._of(server).is_allowed

    def allow(self, server: Server) -> None:
        """Remember that. Raises NemochatError."""
        self._write({**self._read(), server.name: msgspec.structs.replace(self._of(server), is_allowed=True)})

    def forget(self, name: str) -> None:
        """Remove all that is kept for a server. Raises NemochatError."""
        kept = self._read()
        if name not in kept:
            return
        if kept[name].in_keyring:
            self._in_keyring(lambda keyring: keyring.delete_password(SERVICE, name))
        self._write({other: each for other, each in kept.items() if other != name})

    def _of(self, server: Server) -> _Stored:
        """What is kept for a server at this address."""
        kept = self._read().get(server.name)
        return kept if kept is not None and kept.url == server.url else _Stored(server.url)

    def _in_keyring(self, work: Callable[[KeyringBackend], Any]) -> Any:
        """What a keyring gives, None where there is none or it fails. It never asks at the terminal, and is not waited for without end."""
        if not has_desktop(self._environment):
            return None
        done: list[Any] = []

        def run() -> None:
            try:
                done.append(work(keyring) if (keyring := _keyring()) is not None else None)
            except Exception as error:  # noqa: BLE001  # each backend has errors of its own, and some say what they were given
                logging.getLogger(__name__).warning("the keyring failed: %s", type(error).__name__)

        asking = threading.Thread(target=run, name="keyring", daemon=True)
        asking.start()
        asking.join(_KEYRING_SECONDS)
        return done[0] if done else None

    def _read(self) -> dict[str, _Stored]:
        try:
            text = read_regular(self._path, _MAX_BYTES).decode()
            check_toml(text)
            return msgspec.toml.decode(text, type=dict[str, _Stored])
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise NemochatError(f"The keys of servers cannot be read: {shown(self._path)} ({reason(error)}).") from None
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise self._set_aside() from None  # without what is wrong in it: that may be a key

    def _set_aside(self) -> NemochatError:
        """Move a broken file out of the way, and say so."""
        try:
            kept = set_aside(self._path)
        except OSError as error:
            return NemochatError(f"The file with the keys of servers is broken: {shown(self._path)} ({reason(error)}).")
        broken = f"The file with the keys of servers was broken; it is kept as {shown(kept)}."
        return NemochatError(broken, "Give the keys again: nemochat servers add NAME URL --key")

    def _write(self, kept: Mapping[str, _Stored]) -> None:
        import tomlkit

        try:
            write_whole(self._path, tomlkit.dumps(msgspec.to_builtins(kept)).encode())
        except OSError as error:
            raise NemochatError(f"The key cannot be saved: {shown(self._path)} ({reason(error)}).") from None


def _keyring() -> KeyringBackend | None:
    """The system's keyring, None where there is none or the package is not installed."""
    try:
        import keyring
    except ImportError:
        return None
    chosen = keyring.get_keyring()
    each: list[KeyringBackend] = list(getattr(chosen, "backends", [chosen]))
    return next((backend for backend in each if backend.priority >= _RECOMMENDED), None)


def _checked(key: str, what: str = "This") -> str:
    """A key that can stand in a header. Raises UsageError, which does not repeat it."""
    if not key or len(key) > _LONGEST or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"{what} cannot be a key: keys are made of letters, digits and signs, without spaces.", "Copy it once more.")
    return key
