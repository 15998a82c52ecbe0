"""Which model of which server a name means, and what is listed of servers that answer late, wrongly or not at all."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from nemochat.chat import remotes as remotes_module
from nemochat.chat.loading import Loading
from nemochat.chat.remotes import Listing, about
from nemochat.domain.servers import RemoteModel, ServedModel, Server, ServerKind
from nemochat.engine.protocol import LoadRequest
from nemochat.engine.remote import finding
from nemochat.engine.remote.finding import Found
from nemochat.errors import ServerError, UsageError
from nemochat.models import Catalogue
from nemochat.paths import Paths
from nemochat.prompt.nemotron import NemotronFormat
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import FakeEngine
from tests.desk.bench import PlayedRemotes

MANY = ("meta/llama-3.1-8b", "llama3:latest", "llama3:70b", "Qwen2.5-VL", "nvidia/nemovision", "/models/deep/demo-q8.gguf")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "config", tmp_path / "data", tmp_path / "log", tmp_path / "cache")


@pytest.fixture
def catalogue(paths: Paths) -> Catalogue:
    return Catalogue(paths.models_file)


@pytest.fixture
def remotes(paths: Paths) -> PlayedRemotes:
    """The server "gpu" with many models, "one" with a single one, "none" without any."""
    remotes = PlayedRemotes(paths)
    for number, name in enumerate(("gpu", "one", "none")):
        remotes.servers.add(name, f"http://127.0.0.1:{number + 1}")
    remotes.has = {"gpu": [RemoteModel(name) for name in MANY], "one": [RemoteModel("only")]}
    return remotes


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gpu/llama3:70b", "llama3:70b"),
        ("GPU/LLAMA3:70B", "llama3:70b"),
        ("gpu/llama3", "llama3:latest"),
        ("g/qwen", "Qwen2.5-VL"),
        ("gpu/meta", "meta/llama-3.1-8b"),
        ("gpu/meta/llama-3.1-8b", "meta/llama-3.1-8b"),
        ("gpu/nemo", "nvidia/nemovision"),
        ("gpu/demo", "/models/deep/demo-q8.gguf"),
        ("gpu//models/deep/demo-q8.gguf", "/models/deep/demo-q8.gguf"),
        ("one", "only"),
        ("one/", "only"),
        ("on", "only"),
    ],
)
async def test_a_server_and_a_model_may_each_be_begun(remotes: PlayedRemotes, catalogue: Catalogue, typed: str, meant: str) -> None:
    served = await remotes.find(typed, catalogue)
    assert served is not None
    assert served.model.id == meant
    assert served.server.kind is ServerKind.OPENAI
    again = await remotes.find(served.name, catalogue)
    assert again == served


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("gpu/llama3:", "gpu/llama3: may be llama3:latest, llama3:70b."),
        ("gpu", "gpu has several models: meta/llama-3.1-8b, llama3:latest, llama3:70b, Qwen2.5-VL, nvidia/nemovision and 1 more."),
        ("gpu/mistral\x1b[31m", "gpu has no model called mistral[31m."),
        ("none", "none has no model."),
        ("none/x", "none has no model."),
        ("gpuu/llama3", "There is no server called gpuu."),
    ],
)
async def test_what_may_mean_several_or_none_is_said(remotes: PlayedRemotes, catalogue: Catalogue, typed: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        await remotes.find(typed, catalogue)
    assert caught.value.message == says


LOCAL = [None, "", "nemochat-demo", "nemo", "demo.gguf", "/nowhere/model.gguf", "./gpu/x", "other/model", "x.script.json"]


@pytest.mark.parametrize("typed", LOCAL)
async def test_models_of_this_machine_are_left_alone(remotes: PlayedRemotes, catalogue: Catalogue, typed: str | None) -> None:
    assert await remotes.find(typed, catalogue) is None


async def test_a_path_goes_before_the_beginning_of_a_name_and_behind_a_whole_one(
    remotes: PlayedRemotes, catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("on/only", "one/only"):
        (tmp_path / name).mkdir(parents=True)
    assert await remotes.find("on/only", catalogue) is None
    assert await remotes.find("one/only", catalogue) is not None


async def test_of_several_the_only_one_that_is_loaded_is_meant(remotes: PlayedRemotes, catalogue: Catalogue) -> None:
    remotes.has["gpu"] = [RemoteModel("a", is_loaded=False), RemoteModel("b", is_loaded=True), RemoteModel("c", is_loaded=False)]
    served = await remotes.find("gpu", catalogue)
    assert served is not None
    assert served.name == "gpu/b"


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_without_a_list_is_taken_at_the_typed_word(remotes: PlayedRemotes, catalogue: Catalogue, status: int) -> None:
    remotes.has["gpu"] = ServerError("gpu has nothing there.", status=status)
    assert await remotes.find("gpu/some-model", catalogue) == ServedModel(
        Server("gpu", "http://127.0.0.1:1", ServerKind.OPENAI), RemoteModel("some-model")
    )
    with pytest.raises(ServerError):
        await remotes.find("gpu", catalogue)


async def test_a_server_that_is_loading_its_model_is_waited_for(
    remotes: PlayedRemotes, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotes_module, "_LOOKS_AGAIN", 0.001)
    remotes.has["one"] = ServerError("one is not ready: Loading model.", status=503)
    told: list[str] = []

    def waits(sentence: str) -> None:
        told.append(sentence)
        remotes.has["one"] = [RemoteModel("only")]

    served = await remotes.find("one", catalogue, waits=waits)
    assert served is not None
    assert (served.model.id, told) == ("only", ["one is loading its model ..."])
    remotes.has["one"] = ServerError("one is not ready: Service Unavailable.", status=503)
    with pytest.raises(ServerError, match="Service Unavailable"):
        await remotes.find("one", catalogue, waits=waits)
    monkeypatch.setattr(remotes_module, "_LOADING_SECONDS", -1.0)
    remotes.has["one"] = ServerError("one is not ready: Loading model.", status=503)
    with pytest.raises(ServerError, match="Loading model"):
        await remotes.find("one", catalogue, waits=waits)


async def test_a_server_that_cannot_be_asked_is_an_error(remotes: PlayedRemotes, catalogue: Catalogue) -> None:
    remotes.has["gpu"] = ServerError("gpu wants a key.", status=401)
    with pytest.raises(ServerError, match="gpu wants a key"):
        await remotes.find("gpu/llama3", catalogue)


async def test_the_model_in_use_of_a_server_that_is_gone_is_not_taken_for_another(remotes: PlayedRemotes, catalogue: Catalogue) -> None:
    catalogue.use_served("on/only")
    assert catalogue.served == "on/only"
    with pytest.raises(UsageError, match="The model in use is on/only, but there is no server called on any more"):
        await remotes.find("on/only", catalogue)
    catalogue.use("nemochat-demo")
    assert catalogue.served == ""


async def _listed(remotes: PlayedRemotes, *, discovers: bool = False) -> dict[str, list[Listing]]:
    async with aclosing(remotes.listings(remotes.servers.all(), discovers=discovers)) as answers:
        return {name: list(listings) async for name, listings in answers}


async def test_a_server_that_is_down_or_late_costs_the_others_nothing(remotes: PlayedRemotes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remotes_module, "_PATIENCE_SECONDS", 0.05)
    remotes.gates["gpu"] = asyncio.Event()
    remotes.has["none"] = ServerError("none does not answer.")
    began = time.monotonic()
    listed = await _listed(remotes)
    assert time.monotonic() - began < 30
    assert [served.name for served in listed["one"][0].models] == ["one/only"]
    errors = [str(listed[name][0].error) for name in ("gpu", "none")]
    assert errors == ["gpu has not said in 0 s which models it has.", "none does not answer."]


async def test_answers_come_in_the_order_in_which_they_are_given(remotes: PlayedRemotes) -> None:
    remotes.gates["gpu"] = asyncio.Event()
    seen: list[str] = []
    async with aclosing(remotes.listings(remotes.servers.all())) as answers:
        async for name, _ in answers:
            seen.append(name)
            if len(seen) == 2:
                remotes.gates["gpu"].set()
    assert seen[-1] == "gpu"


async def test_what_runs_here_and_is_known_is_not_found_again(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    class Real(PlayedRemotes):
        discovered = remotes_module.Remotes.discovered

    remotes = Real(paths)
    remotes.servers.add("mine", "http://localhost:8080")
    remotes.servers.add("ollama", "http://127.0.0.1:1")

    async def discover() -> list[Found]:
        kinds = {8080: ServerKind.LLAMA_SERVER, 11434: ServerKind.OLLAMA, 1234: ServerKind.LM_STUDIO}
        return [Found(Server(kind.value, f"http://127.0.0.1:{port}", kind), ()) for port, kind in kinds.items()]

    monkeypatch.setattr(finding, "discover", discover)
    listed = await _listed(remotes, discovers=True)
    assert [(each.server.name, each.server.url, each.is_new) for each in listed[""]] == [
        ("ollama-2", "http://127.0.0.1:11434", True),
        ("lm-studio", "http://127.0.0.1:1234", True),
    ]


def test_what_is_known_of_a_model_in_few_words() -> None:
    here, away = Server("a", "http://127.0.0.1"), Server("b", "https://example.org")
    assert about(ServedModel(here, RemoteModel("m"))) == ""
    assert about(ServedModel(away, RemoteModel("m"))) == "↗"
    assert about(ServedModel(away, RemoteModel("m", 8192, has_vision=True, is_loaded=False))) == "↗ 8,192 tokens, sees pictures, not loaded"


async def test_what_may_be_typed_is_what_was_seen_last(remotes: PlayedRemotes) -> None:
    assert remotes.names() == ["gpu/", "one/", "none/"]
    remotes.has["gpu"] = ServerError("gpu does not answer.")
    await _listed(remotes)
    assert remotes.names() == ["gpu/", "one/only"]


async def test_a_loading_beside_another_takes_its_format_and_leaves_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    request = LoadRequest("gpu/m", "", None, EngineSettings())
    first, second = Loading(FakeEngine(), request), Loading(FakeEngine(), request)
    second.beside = first
    await second.model()
    assert second.format is first.format
    assert first.loaded is not None
    closed: list[object] = []

    async def close(self: NemotronFormat) -> None:
        closed.append(self)

    monkeypatch.setattr(NemotronFormat, "close", close)
    await second.close()
    assert closed == []
    await first.close()
    assert closed == [first.format]
