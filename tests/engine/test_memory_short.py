"""When memory is too short for a model: the real worker under a real limit, and drivers of devices as they complain."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import llama_cpp
import pytest

from nemochat.domain.events import Progress, Stage
from nemochat.engine import process
from nemochat.engine.client import WorkerEngine
from nemochat.engine.llama import context
from nemochat.engine.llama.context import FirstTimes
from nemochat.engine.llama.devices import Placement, all_devices, placement
from nemochat.engine.llama.model import Model
from nemochat.engine.llama.native_log import native_log
from nemochat.engine.protocol import LoadRequest
from nemochat.errors import EngineDiedError, EngineError, SettingsError
from nemochat.settings import EngineSettings
from tests.tiny_gguf import write_language_model

SAID = "It would fit with context_length = 2048."
ERROR, CONTINUED = 4, 5


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[WorkerEngine]:
    """A worker that has begun, and knows somebody who can tell what would fit."""

    async def relief() -> str:
        return SAID

    made = WorkerEngine(tmp_path / "engine.log")
    made.relief = relief
    await made.start()
    yield made
    await made.close()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process")
@pytest.mark.parametrize("context_length", [1_000_000, 200_000])
async def test_a_model_that_the_limit_of_the_process_leaves_no_room_for(engine: WorkerEngine, tmp_path: Path, context_length: int) -> None:
    """Fails when the error does not say that it is the memory, or not what would fit."""
    import resource

    assert engine.pid is not None
    model = write_language_model(tmp_path / "tiny.gguf", context=context_length)
    settings = EngineSettings(threads=1, context_length=0)
    await wait_for_imports(engine, tmp_path)
    used = int(Path(f"/proc/{engine.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(engine.pid, resource.RLIMIT_AS, (used + 30_000_000, used + 30_000_000))
    with pytest.raises(EngineError) as caught:
        await engine.load(LoadRequest("tiny", str(model), None, settings))
    assert caught.value.for_memory
    assert caught.value.hint == SAID


async def wait_for_imports(engine: WorkerEngine, tmp_path: Path) -> None:
    """Until the worker has llama.cpp: a refusal of a file that is none comes from there."""
    (tmp_path / "none.gguf").write_bytes(b"GGUF")
    with pytest.raises(EngineError) as caught:
        await engine.load(LoadRequest("none", str(tmp_path / "none.gguf"), None, EngineSettings()))
    assert not caught.value.for_memory
    assert caught.value.hint != SAID


async def test_a_worker_that_the_system_kills_is_told_what_would_fit(engine: WorkerEngine, tmp_path: Path) -> None:
    model = write_language_model(tmp_path / "tiny.gguf")
    loading = asyncio.ensure_future(engine.load(LoadRequest("tiny", str(model), None, EngineSettings())))
    await asyncio.sleep(0)
    assert engine._model is not None
    engine._model.process.kill()
    with pytest.raises(EngineDiedError) as caught:
        await loading
    assert (caught.value.for_memory, caught.value.hint) == (True, SAID)


def test_only_a_kill_is_taken_for_a_want_of_memory(tmp_path: Path) -> None:
    assert [process.cause_of_death(code, tmp_path).for_memory for code in (-9, -6, -11, 1)] == [True, False, False, False]


@pytest.mark.parametrize(
    ("said", "is_memory"),
    [
        ("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: out of memory", True),
        ("llama_model_load: error loading model: unable to allocate CUDA0 buffer", True),
        ("ggml_vulkan: Device memory allocation of size 9437184000 failed.", True),
        ("ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory", True),
        ("ggml_metal_buffer_init: error: failed to allocate buffer, size =  9000.00 MiB", True),
        ("llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache", True),
        ("llama_model_load: error loading model: mmap failed: Cannot allocate memory", True),
        ("llama_model_load: error loading model: std::bad_alloc", True),
        ("alloc_tensor_range: failed to allocate CPU buffer of size 943718400", True),
        ("llama_model_load: error loading model: tensor 'blk.0.attn_q.weight' has wrong shape", False),
        ("llama_model_load: error loading model: unknown model architecture: 'memory'", False),
        ("gguf_init_from_file: failed to open GGUF file", False),
    ],
)
def test_how_llama_cpp_and_drivers_complain(said: str, is_memory: bool) -> None:
    log = native_log()
    log.forget_errors()
    logging.disable(logging.CRITICAL)
    try:
        log._receive(ERROR, b"something failed", None)
        log._receive(ERROR, said.encode(), None)
    finally:
        logging.disable(logging.NOTSET)
    error = log.refusal("could not load x.gguf", "Check the file.")
    log.forget_errors()
    reason = "there is too little memory (something failed)" if is_memory else "something failed"
    assert (error.message, error.hint) == (f"llama.cpp could not load x.gguf: {reason}.", "Check the file.")
    assert error.for_memory is is_memory


# -- devices, as the engine's own process sees them


def test_where_settings_put_a_model_is_asked_of_this_build() -> None:
    """The build for the processor alone that tests run on; where there are devices, they are taken by their names."""
    names = [device.name for device in all_devices()]
    assert placement(EngineSettings(gpu_layers=0, device="nonsense")) == Placement()
    assert len(placement(EngineSettings(gpu_layers=-1)).handles) == min(1, len(names))
    assert placement(EngineSettings(gpu_layers=-1, device="cpu")) == Placement()
    with pytest.raises(SettingsError, match="There is no device nonsense here"):
        placement(EngineSettings(gpu_layers=-1, device="nonsense"))


def test_a_placement_reaches_llama_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its own parameters hold when it is called."""
    seen: list[tuple[list[int | None], int, list[float]]] = []

    def load(_: bytes, params: llama_cpp.llama_model_params) -> None:
        import ctypes

        handles = ctypes.cast(params.devices, ctypes.POINTER(ctypes.c_void_p))
        count = next(number for number in range(9) if not handles[number])
        split = params.tensor_split[:4] if params.tensor_split else []
        seen.append(([handles[number] for number in range(count)], params.split_mode, split))

    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", load)
    for place in (Placement(), Placement((77,)), Placement((77, 88), (3.0, 1.0)), Placement((88, 77))):
        with pytest.raises(EngineError):
            Model("x.gguf", gpu_layers=5, place=place, mmap=True, on_progress=lambda _: None)
    layer, none = llama_cpp.LLAMA_SPLIT_MODE_LAYER, llama_cpp.LLAMA_SPLIT_MODE_NONE
    assert seen == [([], layer, []), ([77], none, []), ([77, 88], layer, [3.0, 1.0, 0.0, 0.0]), ([88, 77], layer, [])]


# -- what a device compiles


def test_what_a_device_compiles_is_told_once_and_only_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "_QUICK_SECONDS", 0.01)
    told: list[Progress] = []
    first = FirstTimes(told.append)
    with first.of("prompt"):
        until = time.monotonic() + 30
        while len(told) < 2 and time.monotonic() < until:
            time.sleep(0.005)
    assert told[:2] == [Progress(Stage.COMPILE, 0, 0)] * 2
    count = len(told)
    with first.of("prompt"):
        time.sleep(0.05)
    assert len(told) == count, "the second time nothing is compiled"
    with pytest.raises(EngineError), first.of("picture"):
        raise EngineError("failed")
    with first.of("picture"):
        time.sleep(0.1)
    assert len(told) > count, "what failed is done for the first time again"


def test_nothing_is_compiled_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "_QUICK_SECONDS", 0.0)
    with FirstTimes(None).of("prompt"):
        time.sleep(0.02)


@pytest.mark.parametrize(("tokens", "same", "other"), [(1, 1, 2), (3, 3, 4), (8, 8, 9), (200, 255, 256), (513, 900, 511)])
def test_batches_of_about_one_size_are_of_one_kind(tokens: int, same: int, other: int) -> None:
    assert context._shape(tokens) == context._shape(same) != context._shape(other)
