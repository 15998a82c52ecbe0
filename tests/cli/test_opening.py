"""What happens between the command and the engine: the warning about memory, and what the engine may keep on the disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nemochat.chat import ChatSession
from nemochat.cli import models, opening
from nemochat.cli.bench import Bench
from nemochat.cli.output import print_note_once
from nemochat.cli.setup import Setup, read_setup
from nemochat.domain.devices import Device
from nemochat.engine import states, trials
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import LoadRequest, ModelInfo
from nemochat.engine.tuning import Hardware
from nemochat.errors import EngineError, SettingsError
from nemochat.settings import EngineSettings
from tests.tiny_gguf import write_language_model

LITTLE = 50_000_000


@pytest.fixture
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "available_memory", lambda: LITTLE)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[LoadRequest]:
    """What is asked of the engine when a session begins."""
    made: list[LoadRequest] = []
    real = ChatSession.__init__

    def record(self: ChatSession, engine: object, request: LoadRequest, *rest: object) -> None:
        made.append(request)
        real(self, engine, request, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ChatSession, "__init__", record)
    return made


@pytest.fixture
def desk() -> Bench:
    return Bench(None, None, {})


@pytest.mark.usefixtures("_little_memory")
async def test_ask_says_on_stderr_what_will_not_fit_and_loads_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    async with opening.open_session(read_setup(), None, None) as session:
        async for _ in session.loaded():
            assert session.model_name == "nemochat-demo"
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("nemochat-demo will need about 0.")
    assert "of memory and 0.05 GB are available" in said.err


async def test_nothing_is_said_where_it_fits(capsys: pytest.CaptureFixture[str]) -> None:
    async with opening.open_session(read_setup(), None, None):
        assert capsys.readouterr().err == ""


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The engine's process may have 30 MB of addresses more than it has when it begins to load."""
    if sys.platform != "linux":
        pytest.skip("limits of another process")
    import resource

    load = WorkerEngine.load

    async def load_within(self: WorkerEngine, request: LoadRequest, *rest: Any) -> ModelInfo:
        (tmp_path / "none.gguf").write_bytes(b"GGUF")
        with pytest.raises(EngineError):  # it has imported llama.cpp when it refuses this
            await load(self, msgspec.structs.replace(request, model_path=str(tmp_path / "none.gguf")))
        assert self.pid is not None
        used = int(Path(f"/proc/{self.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(self.pid, resource.RLIMIT_AS, (used + 30_000_000, used + 30_000_000))
        return await load(self, request, *rest)

    monkeypatch.setattr(WorkerEngine, "load", load_within)


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize(
    ("available", "says"),
    [(16 * 10**9, "By the estimate it fits: close other programs, lift a limit on memory, or choose"), (85_000_000, "It would fit with")],
)
async def test_a_model_that_memory_is_too_short_for_says_what_would_fit(
    available: int, says: str, desk: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the command line and in the interface alike. Fails when the error is only that of llama.cpp."""
    model = str(write_language_model(tmp_path / "long.gguf", context=1_000_000))
    monkeypatch.setattr(opening, "available_memory", lambda: available)
    monkeypatch.setenv("NEMOCHAT_ENGINE_CONTEXT_LENGTH", "1000000")
    setup = read_setup()
    async with opening.open_session(setup, model, None) as session:
        with pytest.raises(EngineError) as caught:
            await session.reader.load.model()
    assert "there is too little memory" in caught.value.message
    assert caught.value.hint.startswith(says)
    assert "context_length = " in caught.value.hint
    shown = await Bench(None, None, {}).open(model)
    try:
        with pytest.raises(EngineError) as caught:
            await shown.reader.load.model()
    finally:
        await shown.close()
    assert caught.value.hint.startswith(says)


async def test_what_would_fit_on_a_device_is_asked_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By what is free there when it has failed, not when it began."""
    free = [20_000_000_000]

    async def look() -> Hardware:
        return Hardware(2, 2, has_gpu=True, devices=(Device("CUDA0", "a card", "gpu", 24_000_000_000, free[-1]),))

    monkeypatch.setattr(trials, "may_have_gpu", lambda: True)
    monkeypatch.setattr(trials, "look_at_hardware", look)
    local = opening.LocalModel.of(read_setup(), None).on(await opening.devices_here(EngineSettings()))
    assert local.settings.gpu_layers == -1
    free.append(305_000_000)
    assert (await local.relief()).startswith("It would fit with gpu_layers = ")


@pytest.mark.usefixtures("_little_memory")
async def test_the_interface_has_the_warning_as_a_notice_before_the_model_is_there(desk: Bench) -> None:
    session = await desk.open(None)
    try:
        assert ["0.05 GB are available" in notice for notice in desk.take_notices()] == [True]
        assert list(desk.take_notices()) == []
    finally:
        await session.close()
        desk.close()


async def test_only_the_interface_keeps_what_was_read(desk: Bench, requests: list[LoadRequest], tmp_path: Path) -> None:
    session = await desk.open(None)
    await session.close()
    desk.close()
    async with opening.open_session(read_setup(), None, None):
        assert [request.states_path for request in requests] == [str(tmp_path / "cache" / "states"), None]


async def test_nothing_is_kept_with_a_budget_of_nothing(requests: list[LoadRequest]) -> None:
    setup = read_setup()
    engine = msgspec.structs.replace(setup.settings.engine, resume_mb=0)
    setup = Setup(setup.paths, msgspec.structs.replace(setup.settings, engine=engine), setup.catalogue)
    session = await opening.new_session(setup, None, None, warn=print, keeps_states=True)
    await session.close()
    assert [request.states_path for request in requests] == [None]


@pytest.mark.parametrize("resume_mb", [0, 100])
async def test_turning_it_off_removes_what_was_kept_before(monkeypatch: pytest.MonkeyPatch, desk: Bench, resume_mb: int) -> None:
    kept = desk.paths.states / f"{'a' * 20}-{'b' * 20}.kv"
    kept.parent.mkdir(parents=True)
    kept.touch()
    monkeypatch.setenv("NEMOCHAT_ENGINE_RESUME_MB", str(resume_mb))
    session = await Bench(None, None, {}).open(None)
    await session.close()
    assert kept.exists() is bool(resume_mb)


def test_a_deleted_chat_leaves_nothing_on_the_disk_also_without_a_model(desk: Bench) -> None:
    def save(path: Path) -> None:
        path.write_bytes(b"kv")

    states.StateFolder(desk.paths.states, "an engine of long ago", 1000).write("chat", b"", 2, save)
    assert len(list(desk.paths.states.iterdir())) == 2
    desk.forget_states("chat")
    assert not list(desk.paths.states.iterdir())


async def loaded_with(requests: list[LoadRequest], *devices: Device, monkeypatch: pytest.MonkeyPatch, **engine: object) -> int | str:
    """The layers that the engine is asked to put on a GPU."""

    async def look() -> Hardware:
        return Hardware(2, 2, has_gpu=bool(devices), devices=devices)

    monkeypatch.setattr(trials, "may_have_gpu", lambda: bool(devices))
    monkeypatch.setattr(trials, "look_at_hardware", look)
    async with opening.open_session(read_setup({"engine": engine}), None, None):
        pass
    return requests[-1].settings.gpu_layers


async def test_layers_go_to_a_gpu_by_themselves_as_far_as_they_fit(requests: list[LoadRequest], monkeypatch: pytest.MonkeyPatch) -> None:
    large, full = Device("CUDA0", "a card", "gpu", 24_000_000_000, 20_000_000_000), Device("CUDA1", "a card", "gpu", 24_000_000_000, 0)
    assert await loaded_with(requests, monkeypatch=monkeypatch) == 0
    assert await loaded_with(requests, large, monkeypatch=monkeypatch) == -1
    assert await loaded_with(requests, full, monkeypatch=monkeypatch) == 0
    assert await loaded_with(requests, large, monkeypatch=monkeypatch, gpu_layers=3) == 3
    assert await loaded_with(requests, large, monkeypatch=monkeypatch, gpu_layers=0) == 0


async def test_a_device_that_is_not_there_is_refused_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, requests: list[LoadRequest]
) -> None:
    card = Device("CUDA0", "a card", "gpu", 24_000_000_000, 20_000_000_000)
    assert await loaded_with(requests, card, monkeypatch=monkeypatch, device="cuda0") == -1
    assert await loaded_with(requests, card, monkeypatch=monkeypatch, device="cpu") == 0
    for wanted in ({"device": "CUDA1"}, {"main_gpu": 1}, {"tensor_split": (1.0, 1.0)}):
        with pytest.raises(SettingsError) as caught:
            await loaded_with(requests, card, monkeypatch=monkeypatch, **wanted)
        assert caught.value.hint == "There are CUDA0 (a card) and the processor (cpu)."
    with pytest.raises(SettingsError, match="There is no device CUDA0 here"):
        await loaded_with(requests, monkeypatch=monkeypatch, device="CUDA0")
    assert len(requests) == 2


def test_where_a_model_runs_can_be_set_for_it_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails when what `models set` keeps of it does not reach the engine, goes before the environment, or is not looked at."""

    async def look() -> Hardware:
        cards = tuple(Device(f"CUDA{number}", "a card", "gpu", 24_000_000_000, 20_000_000_000) for number in range(2))
        return Hardware(2, 2, has_gpu=True, devices=cards)

    def places() -> list[str]:
        models.show("tiny", None, as_json=True)
        return [each["name"] for each in json.loads(capsys.readouterr().out)["by_device"]["devices"]]

    monkeypatch.setattr(trials, "may_have_gpu", lambda: True)
    monkeypatch.setattr(trials, "look_at_hardware", look)
    models.add(write_language_model(tmp_path / "tiny.gguf"), None, "tiny")
    capsys.readouterr()
    assert places() == ["CUDA0", "CUDA1"]
    for setting, found in (
        ("tensor_split=1, 3", ["CUDA0", "CUDA1"]),
        ("tensor_split=", ["CUDA0", "CUDA1"]),
        ("device=cuda1", ["CUDA1"]),
        ("gpu_layers=0", []),
        ("gpu_layers=", ["CUDA1"]),
    ):
        models.set_one("tiny", setting)
        capsys.readouterr()
        assert places() == found, setting
    monkeypatch.setenv("NEMOCHAT_ENGINE_DEVICE", "CUDA0")
    assert places() == ["CUDA0"], "what the environment sets goes before"
    monkeypatch.delenv("NEMOCHAT_ENGINE_DEVICE")
    for wrong in ("device=CUDA2", "main_gpu=4", "tensor_split=1,2,3"):
        with pytest.raises(SettingsError, match=r"There |main_gpu|tensor_split"):
            models.set_one("tiny", wrong)
    assert places() == ["CUDA1"], "and nothing of that was kept"


def test_what_a_model_needs_by_device(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def look() -> Hardware:
        return Hardware(2, 2, has_gpu=True, devices=(Device("CUDA0", "a card", "gpu", 24_000_000_000, 20_000_000_000),))

    models.show("nemochat-demo", None, as_json=True)
    assert json.loads(capsys.readouterr().out)["by_device"]["on_gpu"] == 0
    monkeypatch.setattr(trials, "may_have_gpu", lambda: True)
    monkeypatch.setattr(trials, "look_at_hardware", look)
    models.show("nemochat-demo", None, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["by_device"]["gpu_layers"] == -1
    assert said["by_device"]["on_gpu"] + said["by_device"]["on_cpu"] == said["memory"]["total"] + said["memory"]["compute"]
    models.show("nemochat-demo", None, as_json=False)
    assert "on the GPU for all layers" in " ".join(capsys.readouterr().out.split())


async def test_this_build_of_llama_cpp_is_looked_at_without_starting_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await trials.look_at_hardware()
    assert not found.problem
    assert trials.may_have_gpu() == bool(found.devices or found.has_gpu)


async def test_a_model_is_explained_when_it_is_used_for_the_first_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(write_language_model(tmp_path / "tiny.gguf"))
    print_note_once.cache_clear()  # another test may have had a model of that name
    for _ in range(2):
        async with opening.open_session(read_setup(), model, None):
            pass
    assert capsys.readouterr().err.count("First use of tiny: its files do not say under which licence it may be used.") == 1
    async with opening.open_session(read_setup(), None, None):
        pass
    assert "First use" not in capsys.readouterr().err
