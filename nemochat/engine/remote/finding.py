"""Which program a server is, which models it has, and what runs on this machine: asked by each program's own routes.

What servers say of their models is checked like anything that they send: a model is offered by the very name that the server knows it by,
and one whose name could not be shown as it is (control characters, say) is not offered at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.domain.servers import RemoteModel, Server, ServerKind
from nemochat.engine.remote.client import Limits, ServerClient
from nemochat.errors import ServerError
from nemochat.reading import mapping, member, tables

USUAL_PORTS = (8080, 8000, 11434, 1234)
"""Where llama-server, vLLM and NIM, Ollama, and LM Studio listen unless they are told otherwise."""

QUICK = Limits(connect=5.0, look=10.0, first=10.0, retries=0)
"""For those who wait for a list, not for a reply."""

_NEARBY = Limits(connect=0.5, look=2.0, first=2.0, retries=0)
_SECONDS_TO_DISCOVER = 3.0
_MOST_MODELS = 1000
_LONGEST_NAME = 200
_ASKED_AT_ONCE = 4  # models that are told of one by one
_SECONDS_FOR_EACH = 5.0  # after which no more are asked about
_LARGEST_CONTEXT = 1 << 31
_NIM_SAYS = frozenset({"modelinfo", "licenseinfo", "assetinfo"})


class Found(msgspec.Struct, frozen=True):
    """What was found at an address. models: those that write text; embedding models are left out."""

    server: Server
    models: tuple[RemoteModel, ...]


async def look(client: ServerClient) -> Found:
    """Which program answers, unless the server's kind is known, and its models. Raises ServerError."""
    kind = client.server.kind or await find_kind(client)
    return Found(msgspec.structs.replace(client.server, kind=kind), await list_models(client, kind))


async def find_kind(client: ServerClient) -> ServerKind:
    """Which program answers. Raises ServerError where none does, or none that has models."""
    routes = ("/v1/models", "/props", "/v1/metadata", "/api/version", "/api/tags", "/api/v1/models", "/api/v0/models")
    answers = await asyncio.gather(*(_try(client, route) for route in routes))
    listed, props, metadata, version, tags, lm_studio, older = answers
    owners = {_text(item.get("owned_by")) for item in items(listed, "data")}
    is_llama_server = isinstance(props, dict) and ("default_generation_settings" in props or props.get("role") == "router")
    if is_llama_server or "llamacpp" in owners:  # it answers some routes of the others too, so it is the first to be looked for
        return ServerKind.LLAMA_SERVER
    if isinstance(metadata, dict) and _NIM_SAYS & {str(name).replace("_", "").lower() for name in metadata}:
        return ServerKind.NIM
    if member(version, str, "version") is not None and isinstance(tags, dict) and "models" in tags:
        return ServerKind.OLLAMA
    if any("key" in item for item in items(lm_studio, "models")) or any("state" in item for item in items(older, "data")):
        return ServerKind.LM_STUDIO
    if "vllm" in owners:
        return ServerKind.VLLM
    if member(listed, list, "data") is not None:
        return ServerKind.OPENAI
    raise listed if isinstance(listed, ServerError) else client.misread("lists no models")


async def list_models(client: ServerClient, kind: ServerKind) -> tuple[RemoteModel, ...]:
    """The models that write text, in the server's order. Raises ServerError."""
    match kind:
        case ServerKind.OLLAMA:
            found = await _of_ollama(client)
        case ServerKind.LM_STUDIO:
            found = await _of_lm_studio(client)
        case ServerKind.LLAMA_SERVER:
            found = await _of_llama_server(client)
        case _:
            found = [_of_openai(item) for item in _listed(client, await client.get("/v1/models"), "data")]
    by_id = {model.id: model for model in found if _is_fit(model.id)}
    return tuple(by_id.values())


async def discover(ports: Sequence[int] = USUAL_PORTS) -> list[Found]:
    """What runs on this machine on these ports, in their order, without a key; a server is called what its program is called."""

    async def ask(port: int) -> Found | None:
        client = ServerClient(Server(f"localhost:{port}", f"http://127.0.0.1:{port}"), limits=_NEARBY)
        try:
            async with asyncio.timeout(_SECONDS_TO_DISCOVER):
                found = await look(client)
        except (ServerError, TimeoutError):
            return None  # nothing there, or something else, which is no failure of anything
        finally:
            await client.close()
        assert found.server.kind is not None
        return Found(msgspec.structs.replace(found.server, name=found.server.kind.value), found.models)

    return [found for found in await asyncio.gather(*map(ask, ports)) if found is not None]


async def _of_llama_server(client: ServerClient) -> list[RemoteModel]:
    answer, props = await asyncio.gather(_try(client, "/v1/models"), _try(client, "/props"))
    if isinstance(props, ServerError) and props.status in (401, 403):
        raise props  # which models there are is told to everybody, the rest is not
    models = [(item, _of_openai(item)) for item in _listed(client, answer, "data")]
    if not (isinstance(props, dict) and props.get("role") == "router"):
        return [_with_props(msgspec.structs.replace(model, is_loaded=True), props) for _, model in models]
    loaded = [
        msgspec.structs.replace(model, is_loaded=member(item, str, "status", "value") in ("loaded", "sleeping")) for item, model in models
    ]
    untold = [
        (f"/props?model={quote(model.id, safe='')}&autoload=false", None) if model.is_loaded and not model.context_length else None
        for model in loaded
    ]
    return list(map(_with_props, loaded, await _ask_each(client, untold)))


def _with_props(model: RemoteModel, props: Any) -> RemoteModel:
    context = _tokens(member(props, int, "default_generation_settings", "n_ctx"))
    vision = member(props, bool, "modalities", "vision")
    has_vision = model.has_vision if vision is None else vision
    return msgspec.structs.replace(model, context_length=context or model.context_length, has_vision=has_vision)


async def _of_ollama(client: ServerClient) -> list[RemoteModel]:
    answer, running = await asyncio.gather(_try(client, "/api/tags"), _try(client, "/api/ps"))
    loaded = set(map(_name, items(running, "models")))

    listed = [item for item in _listed(client, answer, "models") if _is_fit(_name(item))]
    told = await _ask_each(client, [("/api/show", {"model": _name(item)}) for item in listed])
    models = []
    for item, shown in zip(listed, told, strict=True):
        name, about, capabilities = _name(item), mapping(shown, "model_info"), member(shown, list, "capabilities")
        contexts = [value for key, value in about.items() if key.endswith(".context_length")]
        if capabilities and "completion" not in capabilities:
            continue
        is_elsewhere = name.endswith((":cloud", "-cloud")) or any(
            member(where, str, key) for where in (item, shown) for key in ("remote_host", "remote_model")
        )
        models.append(
            RemoteModel(
                name,
                context_length=_tokens(contexts[0]) if contexts else 0,
                has_vision="vision" in capabilities if capabilities is not None else None,
                is_loaded=name in loaded if isinstance(running, dict) else None,
                is_elsewhere=is_elsewhere,
            )
        )
    return models


async def _of_lm_studio(client: ServerClient) -> list[RemoteModel]:
    answer = await _try(client, "/api/v1/models")
    if not isinstance(answer, dict):  # before 0.4
        return [
            RemoteModel(
                _text(item.get("id")),
                context_length=_tokens(item.get("loaded_context_length")) or _tokens(item.get("max_context_length")),
                has_vision=item.get("type") == "vlm",
                is_loaded=item.get("state") == "loaded",
            )
            for item in _listed(client, await client.get("/api/v0/models"), "data")
            if item.get("type") != "embeddings"
        ]
    return [
        RemoteModel(
            _text(item.get("key")),
            context_length=next(
                (length for one in items(item, "loaded_instances") if (length := _tokens(member(one, int, "config", "context_length")))),
                _tokens(item.get("max_context_length")),
            ),
            has_vision=member(item, bool, "capabilities", "vision") is True,
            is_loaded=bool(items(item, "loaded_instances")),
        )
        for item in _listed(client, answer, "models")
        if item.get("type") != "embedding"
    ]


def _of_openai(item: dict[str, Any]) -> RemoteModel:
    """A model of ``/v1/models``; OpenAI's shape has its id alone, most add how long a prompt may be, and some what it takes."""
    lengths = [item.get(key) for key in ("max_model_len", "context_length", "context_window", "max_context_length")]
    taken = member(item, list, "architecture", "input_modalities")
    return RemoteModel(
        _text(item.get("id")),
        context_length=next(filter(None, map(_tokens, [*lengths, member(item, int, "meta", "n_ctx")])), 0),
        has_vision="image" in taken if taken is not None else None,
    )


async def _ask_each(client: ServerClient, questions: Sequence[tuple[str, dict[str, Any] | None] | None]) -> list[Any]:
    """The answers, a few at a time; None where nothing is asked, and once that takes too long."""
    clock = asyncio.get_running_loop().time
    until, turn = clock() + _SECONDS_FOR_EACH, asyncio.Semaphore(_ASKED_AT_ONCE)

    async def one(question: tuple[str, dict[str, Any] | None] | None) -> Any:
        async with turn:
            return None if question is None or clock() > until else await _try(client, *question)

    return list(await asyncio.gather(*map(one, questions)))


async def _try(client: ServerClient, path: str, body: dict[str, Any] | None = None) -> Any:
    """The answer, or the error where there is none: one route that is missing says something too."""
    try:
        return await (client.get(path) if body is None else client.post(path, body))
    except ServerError as error:
        return error


def _listed(client: ServerClient, answer: Any, name: str) -> list[dict[str, Any]]:
    """The objects of a list that has to be there; those without any models say null."""
    if isinstance(answer, ServerError):
        raise answer
    if not isinstance(answer, dict) or not isinstance(answer.get(name, 0), list | None):
        raise client.misread("lists no models")
    return items(answer, name)


def items(answer: Any, name: str) -> list[dict[str, Any]]:
    """The objects of a list in an answer, so many of them as can be meant; none where there is no such list."""
    return tables(answer, name)[:_MOST_MODELS]


def _name(item: dict[str, Any]) -> str:
    """What Ollama calls a model."""
    return _text(item.get("model") or item.get("name"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _tokens(value: Any) -> int:
    """A number of tokens that can be meant, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST_CONTEXT else 0


def _is_fit(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_NAME and name == name.strip() and sanitize(name, strict=True) == name
