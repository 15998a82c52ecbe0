"""A `Workbench` (nemochat.desk.port) on a temporary folder, whose engines are played (tests.chat.fake_engine)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from nemochat.chat import Chat, ChatSession
from nemochat.chat.remotes import Listing, Remotes
from nemochat.desk.port import ModelChoice, ToolChest
from nemochat.documents.index import DocumentIndex
from nemochat.documents.vectors import Embedder
from nemochat.domain.images import Original
from nemochat.domain.servers import RemoteModel, ServedModel, Server, ServerKind
from nemochat.engine.protocol import LoadRequest
from nemochat.engine.remote.finding import Found
from nemochat.errors import ModelFileError, NemochatError
from nemochat.evaluation import own
from nemochat.library import Library
from nemochat.models import Catalogue, Keys, Servers
from nemochat.models.pull import Puller
from nemochat.paths import Paths
from nemochat.personas.lorebooks import LorebookStore
from nemochat.personas.store import PersonaStore
from nemochat.settings import Settings
from nemochat.settings_file import sampling_layers, write_setting
from nemochat.tools.approval import Rules
from nemochat.tools.builtin.search import Search
from nemochat.tools.making import Tool
from nemochat.tools.mcp.servers import McpServers
from nemochat.tools.registry import Registry
from tests.chat.fake_engine import FakeEngine


class PlayedRemotes(Remotes):
    """Servers that are played. has: what each of them has, by its name; a NemochatError is raised. gates: waited for before it is said,
    by the name of a server or of a model. here: what runs on this machine besides."""

    def __init__(self, paths: Paths) -> None:
        super().__init__(Servers(paths.servers_file), Keys(paths.keys_file, {}))
        self.has: dict[str, Sequence[RemoteModel] | NemochatError] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.here: list[Listing] = []

    async def asked(self, name: str) -> None:
        if name in self.gates:
            await self.gates[name].wait()
        if isinstance(error := self.has.get(name), NemochatError):
            raise error

    async def look_at(self, server: Server) -> Found:
        await self.asked(server.name)
        has = self.has.get(server.name, ())
        assert not isinstance(has, NemochatError)
        return Found(msgspec.structs.replace(server, kind=ServerKind.OPENAI), tuple(has))

    async def discovered(self) -> list[Listing]:
        await self.asked("")
        return self.here


class Bench:
    """A `Workbench` on a temporary folder. `engines` by model name; a name that is missing cannot be loaded."""

    def __init__(
        self,
        folder: Path,
        engines: Mapping[str, Any],  # fakes of one class, or whole engines of servers
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings or Settings()
        self.locked: Mapping[str, str] = {}
        self.paths = Paths(folder / "config", folder / "data", folder / "log", folder / "cache")
        self.pictures = "halfblocks"
        self.demo_model = "demo"
        self.engines = engines
        self.first = next(iter(engines), "none")
        self.model_paths: dict[str, str] = {}
        """Files of models, where their engines are real."""
        self.used: list[str] = []
        self.forgotten: list[str] = []
        self.resume: str | None = None
        self.own_tools: list[Tool] = []
        self.elsewhere: dict[str, str] = {}
        """The environment that says where models come from."""
        self.servers = McpServers(self.paths.mcp_servers, self.paths.mcp_pins, self.paths.log_dir)
        self.documents, _ = DocumentIndex.open(self.paths.documents)
        self.embedder: Embedder | None = None
        self.library, _ = Library.open(self.paths.library, clock=clock)
        self.personas = PersonaStore(self.paths.personas)
        self.lorebooks = LorebookStore(self.paths.lorebooks)
        self.remotes = PlayedRemotes(self.paths)
        self.served: dict[str, ServedModel] = {}
        """Those of `engines` that are models of servers."""

    def tools(self, picture: Callable[[int], bytes | None], search: Search) -> ToolChest:
        return ToolChest(Registry(self.own_tools), Rules())

    async def add_server_tools(self, registry: Registry) -> frozenset[str]:
        await self.servers.reload()
        for tool in await self.servers.tools():
            registry.add(tool)
        return frozenset()

    async def mcp_servers(self) -> McpServers:
        await self.servers.reload()
        return self.servers

    async def close_servers(self) -> None:
        await self.servers.close()

    def keep_question(self, chat: Chat, index: int, right: str, original: Callable[[str], Original | None], id_: str) -> None:
        own.keep(self.paths.questions, chat, index, own.right_of(right), original, id_)

    def take_notices(self) -> Sequence[str]:
        return ()

    def models(self) -> Sequence[ModelChoice]:
        return [ModelChoice(name, "a played engine") for name in self.engines if name not in self.served]

    @property
    def puller(self) -> Puller:
        return Puller(self.paths.models, Catalogue(self.paths.models_file), self.elsewhere)

    async def doctor(self) -> str:
        return "ok     everything"

    def available_memory(self) -> int:
        return 4_000_000_000

    def add_model(self, path: Path) -> str:
        if not path.is_file():
            raise ModelFileError(f"There is no file {path.name}.", "Give another one.")
        self.engines = {**self.engines, path.stem: FakeEngine()}
        return path.stem

    async def find(self, model: str | None) -> ServedModel | None:
        await self.remotes.asked(model or self.first)
        return self.served.get(model or self.first)

    async def open(self, model: ServedModel | str | None) -> ChatSession:
        name = model.name if isinstance(model, ServedModel) else model or self.first
        if name not in self.engines:
            raise ModelFileError(f"There is no model {name}.", "Choose another one.")
        server = model.server.name if isinstance(model, ServedModel) else ""
        path = "" if server else self.model_paths.get(name, f"{name}.gguf")
        request = LoadRequest(name, path, None, self.settings.engine, server=server)
        session = ChatSession(self.engines[name], request, sampling_layers(self.settings, self.locked))
        session.served = model if isinstance(model, ServedModel) else None
        return session

    def forget_states(self, conversation: str) -> None:
        self.forgotten.append(conversation)

    def use_model(self, name: str) -> None:
        self.used.append(name)

    async def misplaced(self, changes: Mapping[str, object]) -> str:
        return f"There is no device {changes['engine.device']} here." if changes.get("engine.device", "auto") != "auto" else ""

    def change_setting(self, key: str, value: object) -> None:
        write_setting(self.paths.settings_file, key, value)
        group, _, name = key.partition(".")
        changed = msgspec.structs.replace(getattr(self.settings, group), **{name: value})
        self.settings = msgspec.structs.replace(self.settings, **{group: changed})
