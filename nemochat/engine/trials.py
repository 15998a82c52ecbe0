"""Trying engine settings out: a process, a load, prompts read and replies written, and what that took.

What is tried, and what follows from it, is up to `nemochat.engine.tuning`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import statistics
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from nemochat.domain.events import Finished, FinishReason
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Plain
from nemochat.engine.client import WorkerEngine
from nemochat.engine.process import BackendName
from nemochat.engine.protocol import Engine, GenerateRequest, LoadRequest, ModelInfo
from nemochat.engine.tuning import Failed, Hardware, Measured, Outcome, Trial
from nemochat.errors import EngineError, NemochatError
from nemochat.system import environments, processes, trees

_TEXT = (
    "the old ship came slowly over a grey sea towards our small green island while two men on its deck looked out for some light "
    "in every window of that house above them because they had not seen any other fire since last summer when rain fell all night"
)
_WARM_WORDS = 24
_SHORT_MS = 200.0
"""A measurement that is over so soon says little: a longer one is made."""
_MOST_PROMPT, _LEAST_PROMPT = 2048, 64
_MOST_REPLY, _LEAST_REPLY = 128, 8
_MOST_REPEATS = 20
_SEEDS = range(8)
_READ_BYTES = 64 * 1024 * 1024
_PROBE_SECONDS = 30.0


class _Size(NamedTuple):
    """How much is measured: words of the prompt and tokens of the reply."""

    words: int
    reply: int


class _Run(NamedTuple):
    """One measurement."""

    tokens: int
    milliseconds: float

    @property
    def per_second(self) -> float:
        """Tokens a second."""
        return self.tokens * 1000 / max(self.milliseconds, 0.001)


class Bench:
    """Tries settings on one model, one process after the other. How much is measured is found at the first trial and kept for all."""

    def __init__(self, request: LoadRequest, log_path: Path, *, seconds: float, backend: BackendName = "llama") -> None:
        """request: the files. seconds: how long reading, and after it writing, is measured; at least one measurement is made of each."""
        self._request = request
        self._log_path = log_path
        self._seconds = seconds
        self._backend: BackendName = backend
        self._size: _Size | None = None

    async def run(self, trial: Trial) -> Outcome:
        """Load and measure. A crash, a refusal and a trial that takes too long are outcomes too."""
        # Without guesses: how often they are right depends on the text, not on the settings.
        settings = msgspec.structs.replace(trial.settings, prompt_lookup=False)
        request = msgspec.structs.replace(self._request, settings=settings, states_path=None)
        if trial.is_longer:
            self._size = None
        engine = WorkerEngine(self._log_path, self._backend)
        try:
            async with asyncio.timeout(trial.seconds):
                info = await engine.load(request)
                reads, writes = await self._measure(_Talk(engine), info, compiles=settings.on_gpu != 0)
                prefill, prefill_spread = _middle([run.per_second for run in reads])
                decode, decode_spread = _middle([run.per_second for run in writes])
                return Measured(
                    prefill_per_second=prefill,
                    decode_per_second=decode,
                    memory=peak_memory(engine.pid),
                    load_ms=info.load_ms,
                    prompt_tokens=max(run.tokens for run in reads),
                    spread=max(prefill_spread, decode_spread),
                )
        except TimeoutError:
            return Failed(f"too slow: given up after {trial.seconds:.0f} s")
        except NemochatError as error:
            return Failed(error.message)
        finally:
            await engine.close()

    async def _measure(self, talk: _Talk, info: ModelInfo, *, compiles: bool) -> tuple[list[_Run], list[_Run]]:
        """Reading and writing, each a few times, behind the first evaluation, in which memory is touched that nobody had used. compiles: a
        device gets its programs for prompts of each length when it meets the first of them, which is not measured either."""
        words = min(_WARM_WORDS, info.context_length // 8)
        await talk.read(words)
        size = self._size = self._size or await self._sizes(talk, words, info.context_length)
        if compiles:
            await talk.read(size.words)
            await talk.write(size.reply)
        reads = await self._repeated(lambda: talk.read(size.words))
        return reads, await self._repeated(lambda: talk.write(size.reply))

    async def _sizes(self, talk: _Talk, words: int, window: int) -> _Size:
        """As much as fills the time; of the prompt a power of two, so that batches are full."""
        most = min(_MOST_PROMPT, window // 2)
        read = await talk.read(words)
        while read.milliseconds < _SHORT_MS and 4 * read.tokens <= most:
            words *= 4
            read = await talk.read(words)
        prompt = min(most, max(_LEAST_PROMPT, int(read.per_second * self._seconds)))
        prompt = 1 << prompt.bit_length() - 1
        write = await talk.write(min(_LEAST_REPLY, window // 8))
        reply = min(window // 4, _MOST_REPLY, max(_LEAST_REPLY, int(write.per_second * self._seconds)))
        return _Size(max(1, int(prompt * 0.98 * words / read.tokens)), reply)

    async def _repeated(self, measure: Callable[[], Awaitable[_Run]]) -> list[_Run]:
        runs: list[_Run] = []
        while not runs or (len(runs) < _MOST_REPEATS and sum(run.milliseconds for run in runs) < self._seconds * 1000):
            runs.append(await measure())
        return runs


class _Talk:
    """Prompts that no earlier one begins like, and replies to the last of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked = 0
        self._prompt = ""
        self._has_silent_replies = False

    async def read(self, words: int) -> _Run:
        """Evaluate a new prompt of so many words, in full batches."""
        self._asked += 1
        text = _TEXT.split()
        self._prompt = " ".join([f"{self._asked:03}", *(text[index % len(text)] for index in range(words - 1))])
        finished = await self._generate(Sampling(temperature=0.0, max_tokens=1))
        return _Run(finished.usage.evaluated_tokens, finished.timings.prefill_ms)

    async def write(self, tokens: int) -> _Run:
        """Write a reply of at most so many tokens to the last prompt. A model that says nothing is made to say anything at all."""
        if not self._has_silent_replies:
            run = _written(await self._generate(Sampling(temperature=0.0, max_tokens=tokens)))
            if run.tokens:
                return run
            self._has_silent_replies = True
        for seed in _SEEDS:
            run = _written(await self._generate(Sampling(temperature=5.0, top_k=0, top_p=1.0, min_p=0.0, seed=seed, max_tokens=tokens)))
            if run.tokens:
                return run
        raise EngineError("The model ends every reply at once, so that its speed cannot be measured.")

    async def _generate(self, sampling: Sampling) -> Finished:
        async with aclosing(self._engine.generate(GenerateRequest((Plain(self._prompt),), sampling))) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event
        raise EngineError("The engine stopped in the middle of a reply.")


def _middle(values: list[float]) -> tuple[float, float]:
    """The median, and how far the values lie from it on average, as a part of it."""
    median = statistics.median(values)
    return median, statistics.fmean(abs(value - median) for value in values) / median


def _written(finished: Finished) -> _Run:
    """The tokens that were evaluated to write a reply: the distribution of the first comes with the prompt, the last one is only drawn."""
    tokens = finished.usage.completion_tokens
    return _Run(tokens if finished.reason is FinishReason.STOP else max(0, tokens - 1), finished.timings.decode_ms)


def peak_memory(pid: int | None) -> int:
    """The most bytes that a process has had in memory; what it has now where the system does not keep that. 0 when it is gone."""
    if pid is None:
        return 0
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    with suppress(psutil.Error):
        memory = psutil.Process(pid).memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    return 0


def may_have_gpu() -> bool:
    """Whether this build of llama.cpp has a part for a GPU, by the names of its files: nothing is started to know that it has none."""
    try:
        found = importlib.util.find_spec("llama_cpp")
    except (ImportError, ValueError):
        return False
    folders = found.submodule_search_locations if found is not None and found.submodule_search_locations else ()
    names = [path.name for folder in folders for path in Path(folder, "lib").glob("*ggml-*")]
    return any(not re.search(r"ggml-(base|cpu|blas|rpc)", name) for name in names)


async def look_at_hardware() -> Hardware:
    """What llama.cpp can use here. Where looking for it fails, the processor alone, and why."""
    command, nowhere = processes.module_command("nemochat.engine.llama.hardware"), processes.NOWHERE
    process = await processes.start(command, environments.engine(), stdin=nowhere, stdout=processes.PIPE, stderr=processes.PIPE)
    complaint = b""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            told, complaint = await process.communicate()
        return msgspec.json.decode(told, type=Hardware)
    except (TimeoutError, msgspec.DecodeError) as error:
        cores = psutil.cpu_count(logical=False) or 1
        lines = complaint.decode(errors="replace").strip().splitlines()
        why = "it did not answer in time" if isinstance(error, TimeoutError) else lines[-1][:200] if lines else "it ended without a word"
        return Hardware(cores=cores, logical=max(cores, psutil.cpu_count() or 1), problem=why)
    finally:
        if process.returncode is None:
            trees.kill(process)
            await process.wait()


async def read_through(files: Iterable[Path]) -> None:
    """Read files once, so that the first trial does not wait for the disk longer than the others. One that cannot be read is left."""
    for file in files:
        with suppress(OSError), file.open("rb") as stream:
            while await asyncio.to_thread(stream.read, _READ_BYTES):
                await asyncio.sleep(0)
