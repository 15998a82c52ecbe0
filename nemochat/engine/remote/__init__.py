"""Servers that run models, behind the one engine protocol: spoken to over HTTP, each by its own ways where those tell more."""

from __future__ import annotations

from nemochat.domain.servers import Server, ServerKind
from nemochat.engine.protocol import Engine
from nemochat.engine.remote.chat_server import ChatServer
from nemochat.engine.remote.client import ServerClient
from nemochat.engine.remote.llama_server import LlamaServerEngine
from nemochat.engine.remote.messages_engine import MessagesEngine
from nemochat.engine.remote.ollama import Ollama


def open_engine(server: Server, model: str, key: str = "") -> Engine:
    """The engine for a model of a server, by what the server calls it. Nothing is asked of the server before `load`.

    A server whose kind is not known is spoken to by OpenAI's routes alone. Raises ServerError for an address or a key that can be none.
    """
    client = ServerClient(server, key)
    match server.kind:
        case ServerKind.LLAMA_SERVER:
            return LlamaServerEngine(client, model)
        case ServerKind.OLLAMA:
            return MessagesEngine(Ollama(client, model))
        case _:
            return MessagesEngine(ChatServer(client, model))
