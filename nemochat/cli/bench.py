"""What the desk works with on this machine, put together from its parts: settings, models, files. The interface and `--plain` share it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nemochat.chat import Chat, ChatSession
from nemochat.cli.offering import add_servers, build_toolset, open_servers
from nemochat.cli.opening import SCRIPT_SUFFIX, available_memory, devices_here, new_session, refuse_projector
from nemochat.cli.output import print_note
from nemochat.cli.passages import make_embedder
from nemochat.cli.setup import Setup
from nemochat.desk.port import ModelChoice, ToolChest
from nemochat.documents.index import DocumentIndex
from nemochat.documents.vectors import Embedder
from nemochat.domain.devices import PLACING, chosen
from nemochat.domain.images import Original
from nemochat.domain.servers import ServedModel
from nemochat.engine import states
from nemochat.errors import NemochatError, SettingsError
from nemochat.files import reason, scratch_folder
from nemochat.library import Library
from nemochat.library.rescue import rescue_all, take_in
from nemochat.models import Catalogue
from nemochat.models.catalogue import DEMO_NAME, Entry
from nemochat.models.pull import Puller
from nemochat.paths import find_paths
from nemochat.personas.lorebooks import LorebookStore
from nemochat.personas.store import PersonaStore
from nemochat.settings import Settings
from nemochat.settings_file import load_or_set_aside, locked_settings, write_setting
from nemochat.tools.builtin.search import Search
from nemochat.tools.registry import Registry
from nemochat.tui.graphics import protocol_for

if TYPE_CHECKING:
    from nemochat.engine.embedder import EmbeddingProcess
    from nemochat.tools.mcp.servers import McpServers


class Bench:
    """The `Workbench` of the desk (nemochat.desk.port): settings, models and the sessions with them."""

    def __init__(
        self, model: str | None, mmproj: Path | None, overrides: Mapping[str, Mapping[str, object]], resume: str | None = None
    ) -> None:
        paths = find_paths(os.environ)
        settings, notices = load_or_set_aside(paths.settings_file, os.environ, overrides)
        self._setup = Setup(paths, settings, Catalogue(paths.models_file, os.environ), locked_settings(os.environ, overrides))
        self.paths, self.locked, self.remotes = paths, self._setup.locked, self._setup.remotes
        self.demo_model = DEMO_NAME
        self._overrides = overrides
        self._model, self._mmproj = model, mmproj
        self._servers: McpServers | None = None
        self._documents: DocumentIndex | None = None
        self._embedders: dict[str, EmbeddingProcess | None] = {}
        self._open = contextlib.ExitStack()
        self._notices = list(notices)
        self._warned: set[str] = set()
        self.resume = resume
        self.personas = PersonaStore(paths.personas)
        self.lorebooks = LorebookStore(paths.lorebooks)
        self.library = self._open_library(paths.library)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._setup.settings

    @property
    def pictures(self) -> str:
        """How this terminal shows pictures."""
        return protocol_for(self.settings.interface.pictures)

    @property
    def documents(self) -> DocumentIndex:
        """The index of documents, opened when it is first needed. Raises DocumentError."""
        if self._documents is None:
            self._documents, notices = DocumentIndex.open(self.paths.documents)
            self._notices += notices
        return self._documents

    @property
    def embedder(self) -> Embedder | None:
        """The one for the model that the settings name, the same each time. Its process starts when it is first needed."""
        model = self.settings.tools.embedding_model
        if model not in self._embedders:
            self._embedders[model] = make_embedder(model, self.paths, self._warn_once)
        return self._embedders[model]

    def _open_library(self, folder: Path) -> Library:
        """The user's library; one that lasts as long as the program where that cannot be used."""
        try:
            library, notices = Library.open(folder)
            notices = [*notices, *take_in(library, self.paths.rescued)]
        except NemochatError as error:
            library, notices = Library.open(self._open.enter_context(scratch_folder()))
            hint = "This run's conversations are kept beside it, and taken in when it can be used again."
            notices = [f"{error.in_full} {hint}", *notices]
            self._open.callback(self._rescue, library)
        self._notices += notices
        return self._open.enter_context(library)

    def _rescue(self, library: Library) -> None:
        """Keep the conversations of a library that stood in for the user's."""
        try:
            with library:
                path = rescue_all(self.paths.rescued, library)
        except NemochatError as error:
            print_note(f"This run's conversations are lost. {error.in_full}")
        else:
            if path is not None:
                print_note(f"This run's conversations are in {path}: they are taken in when the library can be used again.")

    def close(self) -> None:
        """Give the library's files back."""
        self._open.close()
        if self._documents is not None:
            self._documents.close()

    def tools(self, picture: Callable[[int], bytes | None], search: Search) -> ToolChest:
        """nemochat's own tools and the user's."""
        return build_toolset(self._setup, picture, search)

    async def mcp_servers(self) -> McpServers:
        """The MCP servers of the configuration, read anew."""
        if self._servers is None:
            self._servers = open_servers(self.paths)
        await self._servers.reload()
        return self._servers

    async def add_server_tools(self, registry: Registry) -> frozenset[str]:
        """Take in the tools of the MCP servers that the user trusts."""
        if not self.paths.mcp_servers.exists():
            return frozenset()
        try:
            servers = await self.mcp_servers()
            unaccepted = await add_servers(servers, registry)
        except NemochatError as error:
            self._notices.append(error.in_full)
            return frozenset()
        self._notices += servers.problems.values()
        self._notices += [f"{name} is new or has changed, so it is asked about." for name in sorted(unaccepted)]
        return unaccepted

    async def close_servers(self) -> None:
        """End the MCP servers that were started, and the embedding models' processes."""
        for embedder in self._embedders.values():
            if embedder is not None:
                await embedder.close()
        if self._servers is not None:
            await self._servers.close()

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._notices.append(text)

    def keep_question(self, chat: Chat, index: int, right: str, original: Callable[[str], Original | None], id_: str) -> None:
        """Keep it among the user's own questions. Raises EvaluationError."""
        from nemochat.evaluation import own

        own.keep(self.paths.questions, chat, index, own.right_of(right), original, id_)

    def take_notices(self) -> Sequence[str]:
        """What was found while files were read, each once."""
        for notice in (*self._setup.catalogue.notices, *self.remotes.servers.notices):
            self._warn_once(notice)
        notices, self._notices = self._notices, []
        return notices

    def models(self) -> Sequence[ModelChoice]:
        """The catalogue."""
        catalogue = self._setup.catalogue
        return [ModelChoice(entry.name, _about(entry), entry.model_path) for entry in (*catalogue.entries(), *catalogue.of_others())]

    @property
    def puller(self) -> Puller:
        """Gets models into a folder of nemochat's own."""
        return Puller(self.paths.models, self._setup.catalogue)

    async def doctor(self) -> str:
        """The lines of ``nemochat doctor``. The terminal is not asked: it is in use."""
        from nemochat.cli.doctor import Check, examine, text_of

        return text_of(await examine([Check("pictures", f"drawn as {self.pictures}")]))

    def available_memory(self) -> int:
        """Bytes that programs can still get without swapping."""
        return available_memory()

    def add_model(self, path: Path) -> str:
        """Take a model into the catalogue."""
        return self._setup.catalogue.add(path).name

    async def find(self, model: str | None) -> ServedModel | None:
        """The model of a server that a name means."""
        served = await self.remotes.find(self._setup.wanted(model or self._model), self._setup.catalogue)
        if served is not None and model is None:
            refuse_projector(served, self._mmproj)
        return served

    async def open(self, model: ServedModel | str | None) -> ChatSession:
        """A session with a model; a projector of the command line belongs to its model alone."""
        projector = self._mmproj if model is None else None
        return await new_session(self._setup, model or self._model, projector, warn=self._warn_once, keeps_states=True)

    def forget_states(self, conversation: str) -> None:
        """Remove what engines have kept of a conversation on the disk."""
        try:
            states.forget(self.paths.states, conversation)
        except OSError as error:
            raise NemochatError(f"What was kept of the chat cannot be removed: {reason(error)}.") from error

    def use_model(self, name: str) -> None:
        """Remember a server's model, or one of the catalogue; one that was opened by its path is for this run only."""
        if "/" in name:
            self._setup.catalogue.use_served(name)
        elif not name.endswith(SCRIPT_SUFFIX) and name in {choice.name for choice in self.models()}:
            self._setup.catalogue.use(name)

    async def misplaced(self, changes: Mapping[str, object]) -> str:
        """By the devices that llama.cpp has here, which are only looked for where the changes say something of them."""
        placing = {key.removeprefix("engine."): value for key, value in changes.items() if key.removeprefix("engine.") in PLACING}
        wanted = msgspec.structs.replace(self.settings.engine, **placing)
        try:
            if placing:
                chosen(wanted, await devices_here(wanted))
        except SettingsError as error:
            return error.in_full
        return ""

    def change_setting(self, key: str, value: object) -> None:
        """Write one setting and read all of them again."""
        write_setting(self.paths.settings_file, key, value)
        settings, notices = load_or_set_aside(self.paths.settings_file, os.environ, self._overrides)
        self._setup = msgspec.structs.replace(self._setup, settings=settings)
        self._notices += notices


def _about(entry: Entry) -> str:
    if entry.is_builtin:
        return "built in, for trying things out"
    return f"of {entry.origin.program}, where it lies" if entry.origin.program else entry.model_path
