"""What the user has accepted of each server: what is run for it, and every tool as it was then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from nemochat.files import reason, write_whole
from nemochat.reading import read_regular
from nemochat.tools.mcp.config import ServerConfig
from nemochat.tools.mcp.launch import Launch, bind, current_folder, resolve, search_path
from nemochat.tools.mcp.offering import usable_name
from nemochat.tools.mcp.values import McpError, shown

_MAX_BYTES = 16 << 20


class _Pinned(msgspec.Struct, frozen=True):
    """identity: of the launch that was allowed, empty for none. entry: the identity of its entry. args, cwd: as they were bound.

    tools: fingerprints by the name that the server gives.
    """

    identity: str = ""
    entry: str = ""
    args: tuple[str, ...] = ()
    cwd: str = ""
    tools: dict[str, str] = {}


class Pins:
    """A file of what was accepted. A file that cannot be understood accepts nothing: everything is asked about again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def launch(self, server: ServerConfig, environment: Mapping[str, str]) -> Launch:
        """What the entry comes to now: bound to the folder in which it was allowed, to the current one when it was not or has changed."""
        pinned = self._pinned(server.name)
        if pinned.entry == server.identity():
            bound = msgspec.structs.replace(server, args=pinned.args, cwd=pinned.cwd)
        else:
            bound = bind(server, current_folder())
        return resolve(bound, search_path(environment, server.env))

    def is_trusted(self, launch: Launch) -> bool:
        """Whether the user has allowed exactly this to be run or called."""
        return self._pinned(launch.config.name).identity == launch.identity()

    def has_changed(self, launch: Launch) -> bool:
        """Whether the user has allowed something else under this name."""
        return self._pinned(launch.config.name).identity not in ("", launch.identity())

    def trust(self, server: ServerConfig, launch: Launch) -> None:
        """Allow what an entry came to. Another entry than before loses what was accepted of its tools."""
        pinned = self._pinned(server.name)
        if pinned.identity != launch.identity():
            tools = pinned.tools if pinned.entry == server.identity() else {}
            self._save(server.name, _Pinned(launch.identity(), server.identity(), launch.config.args, launch.config.cwd, tools))

    def changes(self, server: str, tools: Mapping[str, str]) -> list[str]:
        """The tools (name to fingerprint) that are new or not as they were accepted."""
        known = self._pinned(server).tools
        return [name for name, fingerprint in tools.items() if known.get(name) != fingerprint]

    def is_known(self, server: str, tool: str) -> bool:
        """Whether a tool of that name was accepted once, in whatever form."""
        return tool in self._pinned(server).tools

    def known_tools(self, server: str) -> frozenset[str]:
        """The names of its tools that were accepted once, as the model can write them."""
        return frozenset(map(usable_name, self._pinned(server).tools))

    def knows_tools(self, server: str) -> bool:
        """Whether any tool of it was accepted once."""
        return bool(self._pinned(server).tools)

    def accept(self, server: str, tools: Mapping[str, str], names: Iterable[str] | None = None) -> None:
        """Accept tools as they are now: the named ones, or all, and then those that are gone are forgotten."""
        pinned = self._pinned(server)
        accepted = dict(tools) if names is None else {**pinned.tools, **{name: tools[name] for name in names if name in tools}}
        self._save(server, msgspec.structs.replace(pinned, tools=accepted))

    def forget(self, server: str) -> None:
        """Forget everything about a server, for one that is removed."""
        self._save(server, None)

    def _pinned(self, server: str) -> _Pinned:
        return self._read().get(server, _Pinned())

    def _read(self) -> dict[str, _Pinned]:
        try:
            return msgspec.json.decode(read_regular(self._path, _MAX_BYTES), type=dict[str, _Pinned])
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        except OSError as error:
            raise McpError(f"What you have allowed servers cannot be read from {shown(self._path)}: {reason(error)}.") from error

    def _save(self, server: str, pinned: _Pinned | None) -> None:
        others = {name: value for name, value in self._read().items() if name != server}
        whole = others if pinned is None else {**others, server: pinned}
        try:
            write_whole(self._path, msgspec.json.format(msgspec.json.encode(whole), indent=2))
        except OSError as error:
            raise McpError(f"What you have allowed servers cannot be kept in {shown(self._path)}: {reason(error)}.") from error
