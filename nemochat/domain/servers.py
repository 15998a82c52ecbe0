"""Servers that run models: which there are, and what is known of their models. No keys: those are never part of a value that is kept."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec


class ServerKind(StrEnum):
    """Which program a server is: each is spoken to by its own ways where those tell more, any other by OpenAI's routes alone."""

    LLAMA_SERVER = "llama-server"
    VLLM = "vllm"
    NIM = "nim"
    OLLAMA = "ollama"
    LM_STUDIO = "lm-studio"
    OPENAI = "openai"

    @property
    def label(self) -> str:
        """What people call the program."""
        return _LABELS.get(self, self.value)


_LABELS = {
    ServerKind.VLLM: "vLLM",
    ServerKind.NIM: "NVIDIA NIM",
    ServerKind.OLLAMA: "Ollama",
    ServerKind.LM_STUDIO: "LM Studio",
    ServerKind.OPENAI: "a server with OpenAI's API",
}


class Server(msgspec.Struct, frozen=True, omit_defaults=True):
    """A server by the name that people gave it. url: its address without a path of OpenAI's (``http://host:8080``, no ``/v1``), or with the
    path before that where there is one. kind: None where that is to be found out."""

    name: str
    url: str
    kind: ServerKind | None = None

    @property
    def is_here(self) -> bool:
        """Whether its address is this machine's own. A name that only leads here says nothing: what it leads to may change."""
        host = urlsplit(self.url).hostname or ""
        if host == "localhost" or host.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback

    def is_at(self, other: Server) -> bool:
        """Whether it is at the same address as another one, however this machine is written there."""
        mine, theirs = urlsplit(self.url), urlsplit(other.url)
        same = self.is_here and other.is_here and (mine.scheme, mine.port, mine.path) == (theirs.scheme, theirs.port, theirs.path)
        return same or self.url == other.url


class RemoteModel(msgspec.Struct, frozen=True):
    """A model of a server. id: what the server calls it. context_length: in tokens, 0 is not known. has_vision: None is not known.

    is_loaded: None is not known. is_elsewhere: the server hands it on to another machine, whatever its own address (Ollama's ``:cloud``).
    """

    id: str
    context_length: int = 0
    has_vision: bool | None = None
    is_loaded: bool | None = None
    is_elsewhere: bool = False

    @property
    def label(self) -> str:
        """What people call it: of a file's path, which llama-server takes for a name, the file's name."""
        return re.sub(r"\.gguf$", "", re.split(r"[/\\]", self.id)[-1]) if self.id.endswith(".gguf") else self.id


class ServedModel(msgspec.Struct, frozen=True):
    """A model of a server, as it was found there."""

    server: Server
    model: RemoteModel

    @property
    def name(self) -> str:
        """What people call it: ``server/model``."""
        return f"{self.server.name}/{self.model.label}"

    @property
    def leaves(self) -> bool:
        """Whether what it is asked leaves this machine."""
        return self.model.is_elsewhere or not self.server.is_here

    @property
    def leaving(self) -> str:
        """The sentence that says what leaves this machine; "" where nothing does."""
        if not self.leaves:
            return ""
        if self.server.is_here:
            return f"Words and pictures leave this machine: {self.server.name} hands them on for {self.model.label}."
        way = " They are not encrypted on the way (http)." if self.server.url.startswith("http:") else ""
        return f"Words and pictures leave this machine: they go to {self.server.name} at {self.server.url}.{way}"
