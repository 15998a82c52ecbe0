"""Which engine settings suit a machine: what is tried next, and what is kept. Nothing here runs a model (see `nemochat.engine.trials`).

What is compared is what the user feels: the seconds of a typical turn (`Measured.turn_seconds`). Memory is a limit, and decides between
settings that are equally quick; after that the defaults do, and then the time to load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from nemochat.domain.devices import CPU
from nemochat.domain.devices import Device as Device
from nemochat.settings import AUTO, EngineSettings, KvType
from nemochat.settings import setting_text as setting_text

TURN_PROMPT_TOKENS = 400
TURN_REPLY_TOKENS = 150
"""A typical turn: what has to be read in it (a picture is 576 tokens, a question 30; much is read ahead), and a paragraph in reply."""

NOISE = 0.04
"""Measurements that differ by less than this part are equal, or by as much as their own repetitions did, up to _MOST_NOISE."""
_MOST_NOISE = 0.15
_CROWDED_GAIN = 1 / 2
"""What more threads than the automatic number must gain: as soon as another program wants a core they wait for one another, and a turn
may take many times as long (measured: 75 times, with a very small model)."""
_MEMORY_NOISE = 0.02
_LOAD_GAIN = 0.8
_LOAD_SECONDS = 0.5
_PATIENCE = 2.5
"""A trial that takes so many times as long as the first one is given up."""
_LEAST_PATIENCE_SECONDS = 10.0
_LAST_SECONDS = 10.0
"""How far a trial that takes longer than any before may exceed the time."""
_MUCH_QUICKER = 0.5
_BATCHES = (128, 256, 512, 1024)

TUNED = ("device", "main_gpu", "tensor_split", "gpu_layers", "threads", "amx", "flash_attention", "kv_type", "batch", "mmap")
"""The settings that are tried, in the order of what they usually bring."""


class Hardware(msgspec.Struct, frozen=True):
    """What the engine can use here. cores: physical ones; logical: with hyper-threads; has_amx: Intel's matrix units.

    small_model: parameters below which a model gets one thread when the settings leave that open. devices: those that this build of
    llama.cpp can put layers on. build: its version and what it was built with. problem: why nothing is known, "" where something is.
    """

    cores: int
    logical: int
    has_gpu: bool = False
    has_amx: bool = False
    small_model: int = 0
    devices: tuple[Device, ...] = ()
    build: str = ""
    problem: str = ""


class Task(msgspec.Struct, frozen=True):
    """What is to be tuned. layers: of the model. auto_threads: what 0 threads mean for it. available: bytes of memory.

    locked: settings that cannot be changed, because the environment sets them. least_batch: what a picture needs, whatever is set.
    """

    base: EngineSettings
    hardware: Hardware
    layers: int
    auto_threads: int
    available: int
    locked: frozenset[str] = frozenset()
    least_batch: int = 1


class Measured(msgspec.Struct, frozen=True):
    """What a trial found. memory: the most that the engine's process held, in bytes. prompt_tokens: how long the measured prompt was.

    spread: how far apart repeated measurements lay, as a part of them.
    """

    prefill_per_second: float
    decode_per_second: float
    memory: int
    load_ms: float
    prompt_tokens: int
    spread: float = 0.0

    @property
    def turn_seconds(self) -> float:
        """The score: what a typical turn takes, the model loaded, its prompt new."""
        return TURN_PROMPT_TOKENS / self.prefill_per_second + TURN_REPLY_TOKENS / self.decode_per_second


class Failed(msgspec.Struct, frozen=True):
    """Why a trial gave no figures. was_tried: it was begun; otherwise it was known before that it would not do."""

    reason: str
    was_tried: bool = True


Outcome = Measured | Failed


class Trial(msgspec.Struct, frozen=True):
    """Settings to try. what: what is new in them, in words. seconds: how long it may take.

    is_longer: measure anew for how long a measurement has to be, because these are much quicker than those before.
    """

    settings: EngineSettings
    what: str
    seconds: float
    is_longer: bool = False


class Row(msgspec.Struct, frozen=True):
    """A trial with its outcome. is_kept: it was the best so far."""

    trial: Trial
    outcome: Outcome
    is_kept: bool


class Search:
    """The search, step by step: `next` says what to try, `report` takes what came of it.

    It begins with the present settings and changes one thing at a time, keeping the best so far. It ends early when the time will not
    allow another trial. When something better was found and there is time, the present settings are tried once more, so that a moment in
    which the machine was busy does not decide.
    """

    def __init__(
        self,
        task: Task,
        predict: Callable[[EngineSettings], int],
        seconds: float,
        clock: Callable[[], float],
        misfit: Callable[[EngineSettings], str] = lambda _: "",
    ) -> None:
        """predict: bytes of the machine's own memory that settings will need. misfit: why devices have no room for their part, "" where
        they have. seconds: the budget, by `clock`, which may start anywhere."""
        self.rows: list[Row] = []
        self.best: Row | None = None
        self.untried: list[str] = []
        """What the time was too short for."""
        self._task = task
        self._predict = predict
        self._misfit = misfit
        self._seconds = seconds
        self._clock = clock
        self._started = clock()
        self._begun = self._started
        self._durations: list[float] = []
        self._measured_since = 0
        self._trials = self._walk()

    @property
    def settings(self) -> EngineSettings:
        """The best settings so far; the present ones until something was measured."""
        return self.best.trial.settings if self.best is not None else self._task.base

    @property
    def base(self) -> Measured | None:
        """What the present settings gave, the better of two times; None when they gave nothing."""
        found = [row for row in self.rows if row.trial.settings == self._task.base and not row.trial.is_longer]
        outcomes = [row.outcome for row in found if isinstance(row.outcome, Measured)]
        return min(outcomes, key=lambda outcome: outcome.turn_seconds, default=None)

    @property
    def changes(self) -> tuple[str, ...]:
        """The settings in which the best differ from the present ones."""
        return tuple(name for name in TUNED if getattr(self.settings, name) != getattr(self._task.base, name))

    def next(self) -> Trial | None:
        """What to try now; None at the end."""
        trial = next(self._trials, None)
        self._begun = self._clock()
        return trial

    def report(self, trial: Trial, outcome: Outcome) -> Row:
        """Take what came of the trial that `next` gave last."""
        if isinstance(outcome, Measured):
            self._durations.append(self._clock() - self._begun)
            if outcome.memory > self._task.available:
                outcome = Failed(f"takes {outcome.memory / 1e9:.2f} GB, which is more than is available")
        if trial.is_longer and isinstance(outcome, Measured):
            self._measured_since = len(self.rows)
        row = Row(trial, outcome, isinstance(outcome, Measured) and (trial.is_longer or self._is_better(outcome, trial.settings)))
        self.rows.append(row)
        if row.is_kept:
            self.best = row
        return row

    # -- what is tried

    def _walk(self) -> Iterator[Trial]:
        base = self._task.base
        yield from self._attempt(base, "the present settings")
        # Settings that do not fit into memory have to shrink first.
        if self.rows and not _was_tried(self.rows[0]):
            yield from self._dimension("attention and KV cache", self._attention())
            yield from self._dimension("mmap", self._mmap())
        yield from self._dimension("GPU layers", self._gpu_layers())
        yield from self._dimension("devices", self._devices())
        if self.best is not None and self.base is not None and self._seconds_of(self.best) < self.base.turn_seconds * _MUCH_QUICKER:
            yield from self._attempt(self.settings, "the same, measured longer", is_longer=True)
        yield from self._dimension("threads", self._threads())
        yield from self._dimension("AMX", self._amx())
        yield from self._dimension("attention and KV cache", self._attention())
        yield from self._dimension("batch", self._batch())
        yield from self._dimension("mmap", self._mmap())
        if self.changes and self.base is not None and self._measured_since == 0:
            yield from self._confirm()

    def _dimension(self, name: str, candidates: Iterator[EngineSettings]) -> Iterator[Trial]:
        """The candidates of one kind, of which each may depend on what came of those before."""
        for settings in candidates:
            if settings in [row.trial.settings for row in self.rows]:
                continue
            if not self._has_time():
                self.untried.append(name)
                return
            yield from self._attempt(settings, self._in_words(settings))

    def _attempt(self, settings: EngineSettings, what: str, *, is_longer: bool = False) -> Iterator[Trial]:
        """A trial, unless it is known that it does not fit into memory: a machine that runs out of it is no good for anything."""
        trial = Trial(settings, what, self._limit(), is_longer)
        needs, available = self._predict(settings), self._task.available
        if needs > available and self.best is None and self.rows and needs >= self._predict(self._task.base):
            return  # the present settings do not fit, and nothing larger will
        reason = self._misfit(settings)
        if needs > available:
            reason = f"needs about {needs / 1e9:.2f} GB, and {available / 1e9:.2f} GB are available"
        if reason:
            reason = f"not tried: {reason}"
            self.rows.append(Row(trial, Failed(reason, was_tried=False), is_kept=False))
        else:
            yield trial

    def _gpu_layers(self) -> Iterator[EngineSettings]:
        if not self._task.hardware.has_gpu or "gpu_layers" in self._task.locked:
            return
        base, layers = self._task.base.on_gpu, self._task.layers
        on_any: dict[str, Any] = {}
        if self._task.base.device.lower() == CPU:
            if "device" in self._task.locked:
                return
            on_any = {"device": AUTO}
        for number in dict.fromkeys((-1, layers * 3 // 4, layers // 2)):
            if number != base:
                yield self._changed(gpu_layers=number, **on_any)
            if self._has_worked(number):
                break  # fewer are for a GPU whose memory is too small for these
        if base:
            yield self._changed(gpu_layers=0)

    def _devices(self) -> Iterator[EngineSettings]:
        """Each device alone, which spares the way from one to another, and all of them in equal parts."""
        devices, layers = self._task.hardware.devices, self.settings.on_gpu or -1
        if len(devices) < 2 or not self._task.locked.isdisjoint(("device", "main_gpu", "tensor_split", "gpu_layers")):
            return
        for device in devices:
            yield self._changed(device=device.name, main_gpu=AUTO, tensor_split=(), gpu_layers=layers)
        names = ",".join(device.name for device in devices)
        yield self._changed(device=names, main_gpu=AUTO, tensor_split=(1.0,) * len(devices), gpu_layers=layers)

    def _threads(self) -> Iterator[EngineSettings]:
        hardware, auto = self._task.hardware, self._task.auto_threads
        if "threads" in self._task.locked:
            return
        tried = {self.settings.threads or auto}
        wanted = [hardware.cores, hardware.logical, hardware.cores * 3 // 4, hardware.cores // 2]
        while wanted:
            number = max(1, wanted.pop(0))
            if number in tried:
                continue
            tried.add(number)
            yield self._changed(threads=0 if number == auto else number)
            if not wanted and number > 1 and self._was_kept():
                wanted.append(number // 2)

    def _amx(self) -> Iterator[EngineSettings]:
        if self._task.hardware.has_amx and "amx" not in self._task.locked:
            yield self._changed(amx=not self.settings.amx)

    def _attention(self) -> Iterator[EngineSettings]:
        before = self.settings
        for flash, kv_type in ((True, KvType.Q8_0), (True, KvType.F16), (False, KvType.F16)):
            wanted: dict[str, Any] = {"flash_attention": flash, "kv_type": kv_type}
            changed = {name for name, value in wanted.items() if getattr(before, name) != value}
            if changed and not changed & self._task.locked:
                yield self._changed(**wanted)

    def _batch(self) -> Iterator[EngineSettings]:
        """Batches that are full at least twice in the prompt that is measured: others cannot be told apart."""
        if self.best is None or not isinstance(self.best.outcome, Measured) or "batch" in self._task.locked:
            return
        before, most = self.settings.batch, self.best.outcome.prompt_tokens // 2
        least = self._task.least_batch
        wanted = [batch for batch in _BATCHES if batch != before and least <= batch and max(batch, before) <= most]
        if not wanted:
            self.untried.append("batch")
        for batch in wanted:
            yield self._changed(batch=batch)

    def _mmap(self) -> Iterator[EngineSettings]:
        settings = self.settings
        if "mmap" not in self._task.locked:
            automatic = settings.on_gpu != 0
            wanted = not (automatic if settings.mmap is None else settings.mmap)
            yield self._changed(mmap=None if wanted == automatic else wanted)

    def _confirm(self) -> Iterator[Trial]:
        """The present settings again. `report` keeps them when they are as good as the best after all."""
        if self._has_time():
            yield from self._attempt(self._task.base, "the present settings again")

    # -- what is kept

    def _is_better(self, new: Measured, settings: EngineSettings) -> bool:
        """Whether these are to be preferred to the best so far."""
        best = self.best
        if best is None or not isinstance(best.outcome, Measured):
            return True
        old = best.outcome
        noise = min(_MOST_NOISE, max(NOISE, new.spread, old.spread))
        if self._is_crowded(settings) and not self._is_crowded(best.trial.settings):
            return new.turn_seconds < old.turn_seconds * (1 - _CROWDED_GAIN)
        if new.turn_seconds < old.turn_seconds * (1 - noise):
            return True
        # Not to grow slower step by step, each of them within the noise.
        fastest = min((self._seconds_of(row) for row in self.rows[self._measured_since :]), default=old.turn_seconds)
        if new.turn_seconds > min(old.turn_seconds, fastest) * (1 + noise):
            return False
        if abs(new.memory - old.memory) > _MEMORY_NOISE * max(new.memory, old.memory):
            return new.memory < old.memory
        unusual, unusual_before = _unusual(settings), _unusual(best.trial.settings)
        if unusual != unusual_before:
            return unusual < unusual_before
        return new.load_ms < old.load_ms * _LOAD_GAIN and new.load_ms < old.load_ms - _LOAD_SECONDS * 1000

    def _is_crowded(self, settings: EngineSettings) -> bool:
        return settings.threads > self._task.auto_threads

    @staticmethod
    def _seconds_of(row: Row) -> float:
        return row.outcome.turn_seconds if isinstance(row.outcome, Measured) else float("inf")

    def _has_worked(self, gpu_layers: int) -> bool:
        return any(row.trial.settings.on_gpu == gpu_layers and isinstance(row.outcome, Measured) for row in self.rows)

    def _was_kept(self) -> bool:
        return bool(self.rows) and self.rows[-1].is_kept

    # -- time

    def _left(self) -> float:
        return self._seconds - (self._clock() - self._started)

    def _has_time(self) -> bool:
        """Whether another trial, as long as the longest so far, will end in time."""
        return self._left() >= max(self._durations, default=0.0)

    def _limit(self) -> float:
        """How long the next trial may take."""
        patience = max(_LEAST_PATIENCE_SECONDS, self._durations[0] * _PATIENCE) if self._durations else float("inf")
        return max(1.0, min(patience, self._left() + _LAST_SECONDS))

    # -- words

    def _changed(self, **values: Any) -> EngineSettings:
        return msgspec.structs.replace(self.settings, **values)

    def _in_words(self, settings: EngineSettings) -> str:
        now = self.settings
        names = [name for name in TUNED if getattr(settings, name) != getattr(now, name)]
        return ", ".join(f"{name} = {setting_text(getattr(settings, name))}" for name in names)


def _was_tried(row: Row) -> bool:
    return not isinstance(row.outcome, Failed) or row.outcome.was_tried


def _unusual(settings: EngineSettings) -> int:
    """How many of the tuned settings are not the default."""
    default = EngineSettings()
    return sum(getattr(settings, name) != getattr(default, name) for name in TUNED)
