"""What the interface needs from outside: models, settings and places. The command line puts it together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from nemochat.chat import ChatSession
from nemochat.documents.index import DocumentIndex
from nemochat.documents.vectors import Embedder
from nemochat.library import Library
from nemochat.paths import Paths
from nemochat.personas.store import PersonaStore
from nemochat.settings import Settings
from nemochat.tools.approval import Rules
from nemochat.tools.registry import Registry

if TYPE_CHECKING:
    from nemochat.tools.mcp.servers import McpServers


class ModelChoice(msgspec.Struct, frozen=True):
    """A model to choose from. `detail` says what it is in a few words."""

    name: str
    detail: str


class ToolChest(msgspec.Struct, frozen=True):
    """Tools, what the settings say about them, and sentences about those that cannot be used."""

    registry: Registry
    rules: Rules
    notices: tuple[str, ...] = ()


class Workbench(Protocol):
    """Opens sessions and keeps settings. Every method raises NemochatError with one sentence when it fails."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""

    @property
    def locked(self) -> Mapping[str, str]:
        """Settings (``group.name``) that the environment or the command line has set, with who did."""

    @property
    def paths(self) -> Paths:
        """Where files lie."""

    @property
    def library(self) -> Library:
        """The conversations that are kept."""

    @property
    def documents(self) -> DocumentIndex:
        """The documents that can be searched for a message."""

    @property
    def embedder(self) -> Embedder | None:
        """The embedding model that the settings name, by which passages are found by meaning as well; None for words alone."""

    @property
    def personas(self) -> PersonaStore:
        """Whom the model can play."""

    def tools(self, picture: Callable[[int], bytes | None]) -> ToolChest:
        """The tools that need no server. picture: the file of a picture of the conversation by its number."""

    async def add_server_tools(self, registry: Registry) -> frozenset[str]:
        """Take in the tools of the MCP servers that the user trusts; what does not work is told in `take_notices`.

        Returns the names (``server/name``) of those that are not as they were accepted: no rule lets them run unasked.
        """

    async def mcp_servers(self) -> McpServers:
        """The servers of the user's configuration, read anew."""

    async def close_servers(self) -> None:
        """End the servers, and the embedding model's process."""

    @property
    def resume(self) -> str | None:
        """The conversation to begin with: the beginning of its id, "" for the last one, None for a new one."""

    @property
    def pictures(self) -> str:
        """How this terminal shows pictures (see `nemochat.tui.widgets.picture`)."""

    @property
    def demo_model(self) -> str:
        """The name of the model that is always there."""

    def take_notices(self) -> Sequence[str]:
        """Sentences for the user about what was found while files were read; each is given once."""

    def models(self) -> Sequence[ModelChoice]:
        """The models that can be chosen."""

    async def open(self, model: str | None) -> ChatSession:
        """A session with a model, by name or path, or with the one in use (None). It is being loaded."""

    def forget_states(self, conversation: str) -> None:
        """Remove what engines have kept of a conversation on the disk."""

    def use_model(self, name: str) -> None:
        """Remember the model for the next start."""

    def change_setting(self, key: str, value: object) -> None:
        """Write a setting (``group.name``) and put it in force."""
