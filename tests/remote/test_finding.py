"""Which program a server is and which models it has, by the shapes that the programs' own documents give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from nemochat.domain.servers import RemoteModel, ServerKind
from nemochat.engine.remote import finding
from nemochat.engine.remote.client import Limits, ServerClient
from nemochat.engine.remote.finding import Found, discover, look
from nemochat.errors import ServerError
from tests.remote.hostile import DROP, HOLD, HostileServer, Request, Says, answer, begin
from tests.remote.llama_server import LlamaServer

ONCE = Limits(retries=0)

LLAMA = {
    "/v1/models": {
        "models": [{"name": "gemma", "capabilities": ["completion", "multimodal"]}],
        "object": "list",
        "data": [{"id": "gemma", "object": "model", "owned_by": "llamacpp", "meta": {"n_ctx_train": 32768, "n_params": 268098176}}],
    },
    "/props": {
        "default_generation_settings": {"n_ctx": 8192, "params": {}},
        "total_slots": 4,
        "modalities": {"vision": True, "audio": False},
        "chat_template": "{{ messages }}",
    },
    "/api/tags": {"models": [{"name": "gemma", "model": "gemma"}]},
}
ROUTER = {
    "/props": {"role": "router", "max_instances": 4, "models_autoload": True, "default_generation_settings": {"params": {}, "n_ctx": 0}},
    "/v1/models": {
        "object": "list",
        "data": [
            {
                "id": "ggml-org/gemma-3-4b-it-GGUF:Q4_K_M",
                "owned_by": "llamacpp",
                "status": {"value": "loaded", "args": ["llama-server", "-ctx", "4096"]},
                "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
                "meta": {"n_ctx": 4096, "n_ctx_train": 131072},
            },
            {"id": "asleep", "owned_by": "llamacpp", "status": {"value": "sleeping"}},
            {
                "id": "smol",
                "owned_by": "llamacpp",
                "status": {"value": "unloaded"},
                "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
            },
        ],
    },
}
VLLM = {
    "/v1/models": {
        "object": "list",
        "data": [{"id": "Qwen/Qwen3-VL-8B", "object": "model", "owned_by": "vllm", "root": "Qwen/Qwen3-VL-8B", "max_model_len": 40960}],
    },
    "/version": {"version": "0.11.0"},
}
NIM = {
    "/v1/models": {
        "object": "list",
        "data": [{"id": "nvidia/cosmos-reason2-2b", "object": "model", "owned_by": "system", "parent": None, "max_model_len": 131072}],
    },
    "/v1/health/ready": {"object": "health.response", "message": "Service is ready."},
    "/v1/metadata": {"version": "1.7.0", "modelInfo": [{"modelUrl": "ngc://nim/nvidia/cosmos-reason2-2b", "shortName": "cosmos"}]},
}
OLLAMA_MODELS = {
    "gemma3:4b": {"capabilities": ["completion", "vision"], "model_info": {"general.type": "x", "gemma3.context_length": 131072}},
    "nomic-embed-text:latest": {"capabilities": ["embedding"], "model_info": {"nomic-bert.context_length": 2048}},
    "gpt-oss:120b-cloud": {"capabilities": ["completion", "tools"], "remote_model": "gpt-oss:120b", "remote_host": "https://ollama.com:443"},
    "glm:cloud": {},
    "mine": {"capabilities": ["completion"], "remote_host": "https://ollama.com:443"},
    "old": {"details": {"family": "llama"}},
}
LM_STUDIO = {
    "/api/v1/models": {
        "models": [
            {
                "type": "llm",
                "publisher": "lmstudio-community",
                "key": "gemma-3-270m-it-qat",
                "display_name": "Gemma 3 270m Instruct Qat",
                "loaded_instances": [{"id": "gemma-3-270m-it-qat", "config": {"context_length": 4096}}],
                "max_context_length": 32768,
                "capabilities": {"vision": False, "trained_for_tool_use": False},
            },
            {
                "type": "llm",
                "key": "qwen/qwen3-vl-4b",
                "loaded_instances": [],
                "max_context_length": 262144,
                "capabilities": {"vision": True, "trained_for_tool_use": True},
            },
            {"type": "embedding", "key": "nomic", "loaded_instances": [], "max_context_length": 2048},
        ]
    },
    "/v1/models": {"object": "list", "data": [{"id": "gemma-3-270m-it-qat", "object": "model", "owned_by": "organization_owner"}]},
}
OLDER_LM_STUDIO = {
    "/api/v0/models": {
        "object": "list",
        "data": [
            {"id": "qwen2-vl-7b-instruct", "type": "vlm", "state": "not-loaded", "max_context_length": 32768},
            {"id": "llama", "type": "llm", "state": "loaded", "max_context_length": 131072, "loaded_context_length": 4096},
            {"id": "nomic", "type": "embeddings", "state": "not-loaded", "max_context_length": 2048},
        ],
    },
    "/v1/models": LM_STUDIO["/v1/models"],
}
OTHER = {
    "/v1/models": {
        "object": "list",
        "data": [
            {"id": "gpt-5", "object": "model", "created": 1, "owned_by": "openai"},
            {"id": "meta/llama", "context_length": 8192, "architecture": {"input_modalities": ["text", "image"]}},
            {"id": "groq", "context_window": 131072},
        ],
    }
}
# LM Studio answers everything that it does not know with this, under 200.
UNEXPECTED = {"error": "Unexpected endpoint or method. (GET /props)"}


def says(routes: Mapping[str, Any], otherwise: bytes | None = None) -> dict[str, Any]:
    found = {path: answer(value) for path, value in routes.items()}
    return found | ({} if otherwise is None else {"*": otherwise})


def ollama() -> dict[str, Any]:
    def show(request: Request, _: object) -> Says:
        return [answer(OLLAMA_MODELS[request.json["model"]])]

    routes = {
        "/api/version": {"version": "0.12.6"},
        "/api/tags": {"models": [{"name": name, "model": name, "size": 1} for name in OLLAMA_MODELS]},
        "/api/ps": {"models": [{"name": "gemma3:4b", "model": "gemma3:4b", "context_length": 4096}]},
        "/v1/models": {"object": "list", "data": [{"id": name, "owned_by": "library"} for name in OLLAMA_MODELS]},
    }
    return says(routes) | {"/api/show": show}


async def found_at(hostile: HostileServer, kind: ServerKind | None = None) -> Found:
    client = ServerClient(hostile.as_server(kind), limits=ONCE)
    try:
        return await look(client)
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("routes", "kind", "models"),
    [
        (says(LLAMA), ServerKind.LLAMA_SERVER, [RemoteModel("gemma", 8192, has_vision=True, is_loaded=True)]),
        (
            says(ROUTER),
            ServerKind.LLAMA_SERVER,
            [
                RemoteModel("ggml-org/gemma-3-4b-it-GGUF:Q4_K_M", 4096, has_vision=True, is_loaded=True),
                RemoteModel("asleep", 0, has_vision=None, is_loaded=True),
                RemoteModel("smol", 0, has_vision=False, is_loaded=False),
            ],
        ),
        (says(VLLM), ServerKind.VLLM, [RemoteModel("Qwen/Qwen3-VL-8B", 40960)]),
        (says(NIM), ServerKind.NIM, [RemoteModel("nvidia/cosmos-reason2-2b", 131072)]),
        (
            ollama(),
            ServerKind.OLLAMA,
            [
                RemoteModel("gemma3:4b", 131072, has_vision=True, is_loaded=True),
                RemoteModel("gpt-oss:120b-cloud", 0, has_vision=False, is_loaded=False, is_elsewhere=True),
                RemoteModel("glm:cloud", 0, is_loaded=False, is_elsewhere=True),
                RemoteModel("mine", 0, has_vision=False, is_loaded=False, is_elsewhere=True),
                RemoteModel("old", 0, is_loaded=False),
            ],
        ),
        (
            says(LM_STUDIO, answer(UNEXPECTED)),
            ServerKind.LM_STUDIO,
            [
                RemoteModel("gemma-3-270m-it-qat", 4096, has_vision=False, is_loaded=True),
                RemoteModel("qwen/qwen3-vl-4b", 262144, has_vision=True, is_loaded=False),
            ],
        ),
        (
            says(OLDER_LM_STUDIO, answer(UNEXPECTED)),
            ServerKind.LM_STUDIO,
            [
                RemoteModel("qwen2-vl-7b-instruct", 32768, has_vision=True, is_loaded=False),
                RemoteModel("llama", 4096, has_vision=False, is_loaded=True),
            ],
        ),
        (
            says(OTHER, answer(b"<html>")),
            ServerKind.OPENAI,
            [RemoteModel("gpt-5"), RemoteModel("meta/llama", 8192, has_vision=True), RemoteModel("groq", 131072)],
        ),
    ],
    ids=["llama-server", "router", "vllm", "nim", "ollama", "lm-studio", "older-lm-studio", "other"],
)
async def test_each_program_is_known_by_its_own_routes(routes: dict[str, Any], kind: ServerKind, models: list[RemoteModel]) -> None:
    with HostileServer(routes) as hostile:
        found = await found_at(hostile)
        assert found.server.kind == kind
        assert list(found.models) == models
        # Somebody who says which program it is gets the same.
        assert await found_at(hostile, kind) == found


async def test_a_sleeping_model_of_a_router_is_not_woken_to_be_listed() -> None:
    with HostileServer(says(ROUTER)) as hostile:
        await found_at(hostile)
        asked = [path for path in hostile.paths() if path.startswith("/props?")]
        assert asked == ["/props?model=asleep&autoload=false"]


async def test_a_real_llama_server(demo_server: LlamaServer) -> None:
    client = ServerClient(demo_server.server)
    found = await look(client)
    await client.close()
    assert found.server.kind == ServerKind.LLAMA_SERVER
    (model,) = found.models
    assert (model.context_length, model.has_vision, model.is_loaded) == (4096, True, True)


@pytest.mark.parametrize("kind", [None, *ServerKind])
@pytest.mark.parametrize(
    "said",
    [
        answer(b"<html>"), answer([]), answer("hello"), answer({}), answer({"data": {}, "models": {}}), answer({"data": 5, "models": 5}),
        answer({"error": "no"}), answer({"error": "no"}, "401 Unauthorized"), answer(b"", "500 Oh"), answer(b"[" * 10_000), [DROP],
        [begin("application/json", content_length="9"), b"{"], answer({"version": "1"}),
    ],
)  # fmt: skip
async def test_what_has_no_models_is_an_error(said: Any, kind: ServerKind | None) -> None:
    with HostileServer({"*": said}) as hostile, pytest.raises(ServerError):
        await found_at(hostile, kind)


@pytest.mark.parametrize("kind", [*ServerKind])
async def test_a_server_without_models_lists_none(kind: ServerKind) -> None:
    with HostileServer({"*": answer({"data": None, "models": None})}) as hostile:
        assert (await found_at(hostile, kind)).models == ()


NONSENSE: list[Any] = [None, 5, "x", [], {}, [1], {"id": 5, "key": 5, "model": 5, "name": []}, {"id": "ok", "model": "ok", "key": "ok"}]
NONSENSE[-1] |= {
    "max_model_len": True, "context_length": -5, "context_window": 1e400, "max_context_length": 10**30, "meta": 3, "architecture": [],
    "status": "loaded", "loaded_instances": [5, {"config": 5}], "capabilities": 7, "model_info": 7, "owned_by": [],
}  # fmt: skip


@pytest.mark.parametrize("kind", [None, *ServerKind])
async def test_nonsense_about_models_is_passed_over(kind: ServerKind | None) -> None:
    lists: dict[str, Any] = {"data": NONSENSE, "models": NONSENSE}
    routes = dict.fromkeys(("/v1/models", "/api/v1/models", "/api/tags", "/api/ps"), lists)
    with HostileServer(says({**routes, "/api/show": NONSENSE[-1], "/props": [5]})) as hostile:
        (model,) = (await found_at(hostile, kind)).models
        assert (model.id, model.context_length) == ("ok", 0)


@pytest.mark.parametrize("name", ["", " a", "\x1b]0;x\x07", "a\u202eb", "a\nb", "x" * 201, "a\u200bb"])
async def test_a_model_that_cannot_be_named_is_not_offered(name: str) -> None:
    with HostileServer(says({"/v1/models": {"data": [{"id": name}, {"id": "good"}, {"id": "good"}]}})) as hostile:
        assert [model.id for model in (await found_at(hostile)).models] == ["good"]


async def test_endless_lists_are_cut() -> None:
    models = [{"id": f"m{number}"} for number in range(5000)]
    with HostileServer(says({"/v1/models": {"data": models}})) as hostile:
        assert len((await found_at(hostile)).models) == 1000


async def test_a_wrong_key_is_said_although_the_list_is_public() -> None:
    refused = answer({"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}}, "401 Unauthorized")
    with HostileServer(says({"/v1/models": LLAMA["/v1/models"]}) | {"/props": refused}) as hostile:
        with pytest.raises(ServerError, match="wants a key: Invalid API Key") as caught:
            await found_at(hostile)
        assert caught.value.status == 401


async def test_what_runs_here_is_found_and_the_rest_is_passed_over() -> None:
    page = answer(b"<html>", kind="text/html")
    with (
        HostileServer(says(LLAMA)) as llama, HostileServer(ollama()) as of_ollama, HostileServer({"*": page}) as web,
        HostileServer({"*": [DROP]}) as broken, HostileServer() as gone,
    ):  # fmt: skip
        gone.__exit__(None, None, None)
        ports = [urlsplit(server.url).port or 0 for server in (llama, web, broken, gone, of_ollama)]
        found = await discover(ports)
    assert [(each.server.name, len(each.models)) for each in found] == [("llama-server", 1), ("ollama", 5)]
    assert found[0].server.url == llama.url


async def test_what_hangs_does_not_hold_up_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_SECONDS_TO_DISCOVER", 0.5)
    with HostileServer({"*": [HOLD]}) as hangs, HostileServer({"*": [begin("application/json"), HOLD]}) as slow:
        assert await discover([urlsplit(server.url).port or 0 for server in (hangs, slow)]) == []


async def test_a_server_that_tells_of_no_model_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when each of very many models is waited for by itself."""
    monkeypatch.setattr(finding, "_SECONDS_FOR_EACH", 0.2)
    tags = answer({"models": [{"name": f"m{number}", "model": f"m{number}"} for number in range(500)]})
    with HostileServer({"/api/tags": tags, "/api/show": [HOLD], "*": answer({"version": "1"})}) as hostile:
        client = ServerClient(hostile.as_server(ServerKind.OLLAMA), limits=Limits(first=0.3, retries=0))
        found = await look(client)
        await client.close()
    assert len(found.models) == 500
    assert hostile.paths().count("/api/show") < 20
