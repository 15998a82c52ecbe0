"""The search for settings, on machines that are made up: each has its law of speed and memory, and a clock that only trials move."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from nemochat.domain.devices import Device
from nemochat.engine.tuning import Failed, Hardware, Measured, Outcome, Row, Search, Task, Trial, setting_text
from nemochat.settings import EngineSettings, KvType

GB = 1_000_000_000
DEFAULTS = EngineSettings()
TWO_CORES = Hardware(cores=2, logical=2)
Law = Callable[[EngineSettings], Outcome]


def measured(prefill: float, decode: float, memory: float = 3.4, load: float = 4.0, prompt: int = 64) -> Measured:
    return Measured(prefill, decode, int(memory * GB), load * 1000, prompt)


class Made:
    """A machine with a law; a trial takes 8 s unless it says otherwise."""

    def __init__(
        self,
        law: Law,
        *,
        base: EngineSettings = DEFAULTS,
        hardware: Hardware = TWO_CORES,
        available: float = 16,
        seconds: float = 100,
        trial_seconds: float = 8,
        predict: Callable[[EngineSettings], float] = lambda settings: 3.4,
        locked: frozenset[str] = frozenset(),
        least_batch: int = 1,
        misfit: Callable[[EngineSettings], str] = lambda _: "",
    ) -> None:
        self.now = 1000.0
        self.trials: list[Trial] = []
        task = Task(base, hardware, 32, hardware.cores, int(available * GB), locked, least_batch)
        self.search = Search(task, lambda settings: int(predict(settings) * GB), seconds, lambda: self.now, misfit)
        while (trial := self.search.next()) is not None:
            self.trials.append(trial)
            self.now += trial_seconds
            self.search.report(trial, law(trial.settings))

    @property
    def settings(self) -> EngineSettings:
        return self.search.settings

    @property
    def tried(self) -> list[str]:
        return [trial.what for trial in self.trials]

    def row(self, what: str) -> Row:
        return next(row for row in self.search.rows if row.trial.what == what)


def two_cores(settings: EngineSettings) -> Outcome:
    """The full shape as it was measured on two cores (performance.md)."""
    share = 0.52 if settings.threads == 1 else 1.0
    mapped = 1.8 if settings.mmap else 0.0
    match settings.flash_attention, settings.kv_type:
        case True, KvType.Q8_0:
            return measured(23 * share, 4.6 * share, 3.33 + mapped)
        case True, _:
            return measured(24 * share, 3.4 * share, 3.58 + mapped)
        case _:
            return measured(20 * share, 3.8 * share, 3.6 + mapped)


def test_the_defaults_stay_where_they_are_best() -> None:
    machine = Made(two_cores)
    assert machine.search.changes == ()
    assert machine.settings == DEFAULTS
    assert machine.tried == [
        "the present settings",
        "threads = 1",
        "kv_type = f16",
        "flash_attention = false, kv_type = f16",
        "mmap = true",
    ]


def test_one_thing_at_a_time_from_settings_that_are_bad_in_every_way() -> None:
    bad = replace(DEFAULTS, threads=1, flash_attention=False, kv_type=KvType.F16, mmap=True)
    machine = Made(two_cores, base=bad)
    assert machine.settings == DEFAULTS
    assert machine.search.changes == ("threads", "flash_attention", "kv_type", "mmap")
    assert machine.search.base == two_cores(bad)


def test_a_machine_where_flash_attention_hurts() -> None:
    def law(settings: EngineSettings) -> Outcome:
        return measured(20, 4) if settings.flash_attention else measured(30, 5)

    machine = Made(law)
    assert machine.search.changes == ("flash_attention", "kv_type")
    assert (machine.settings.flash_attention, machine.settings.kv_type) == (False, KvType.F16), "q8_0 needs flash attention"


def test_q8_0_that_is_slower_is_left_only_where_memory_allows() -> None:
    def law(settings: EngineSettings) -> Outcome:
        return measured(20, 4, 3.3) if settings.kv_type is KvType.Q8_0 else measured(24, 5, 3.6)

    assert Made(law).settings.kv_type is KvType.F16
    tight = Made(law, available=3.5)
    assert tight.settings == DEFAULTS
    assert tight.row("kv_type = f16").outcome == Failed("takes 3.60 GB, which is more than is available")


def test_what_will_not_fit_is_not_even_tried() -> None:
    machine = Made(two_cores, available=4, predict=lambda settings: 5.2 if settings.mmap else 3.4)
    assert "mmap = true" not in machine.tried
    outcome = machine.row("mmap = true").outcome
    assert outcome == Failed("not tried: needs about 5.20 GB, and 4.00 GB are available", was_tried=False)


def test_present_settings_that_do_not_fit_shrink_first() -> None:
    base = replace(DEFAULTS, kv_type=KvType.F16, mmap=True)
    machine = Made(two_cores, base=base, available=4, predict=lambda settings: 3.6 if not settings.mmap else 5.4)
    assert machine.tried[0] == "mmap = automatic"
    assert machine.settings == DEFAULTS, "and go on from there"
    assert machine.search.base is None
    assert "threads = 1" in machine.tried


def test_a_crash_is_a_row_and_not_the_end() -> None:
    crash = Failed("The engine crashed (SIGSEGV).")

    def law(settings: EngineSettings) -> Outcome:
        return crash if settings.amx else two_cores(settings)

    machine = Made(law, hardware=replace(TWO_CORES, has_amx=True))
    assert machine.row("amx = true").outcome == crash
    assert machine.settings == DEFAULTS
    assert machine.tried[-1] == "mmap = true"


def test_present_settings_that_crash_are_left_behind() -> None:
    def law(settings: EngineSettings) -> Outcome:
        return Failed("The engine crashed (SIGSEGV).") if settings.amx else two_cores(settings)

    machine = Made(law, base=replace(DEFAULTS, amx=True), hardware=replace(TWO_CORES, has_amx=True))
    assert machine.search.changes == ("amx",)
    assert machine.search.base is None


def test_nothing_is_chosen_where_nothing_works() -> None:
    machine = Made(lambda _: Failed("The engine crashed (SIGSEGV)."))
    assert machine.search.best is None
    assert machine.search.changes == ()


@pytest.mark.parametrize("gain", [0.97, 1.0, 1.03])
def test_differences_within_the_noise_change_nothing(gain: float) -> None:
    def law(settings: EngineSettings) -> Outcome:
        noise = 1.0 if settings == DEFAULTS else gain
        return measured(20 * noise, 4 * noise)

    assert Made(law).search.changes == ()


def test_a_measurement_that_jumps_about_must_gain_more() -> None:
    def law(spread: float) -> Law:
        def at(settings: EngineSettings) -> Outcome:
            found = measured(20, 4) if settings.kv_type is KvType.Q8_0 else measured(22, 4.4)
            return replace(found, spread=spread)

        return at

    assert Made(law(0.0)).search.changes == ("kv_type",)
    assert Made(law(0.12)).search.changes == ()


def test_of_equally_quick_settings_those_with_less_memory_then_the_defaults_then_the_quicker_load() -> None:
    def memory(settings: EngineSettings) -> Outcome:
        return measured(20, 4, 3.0 if settings.threads == 1 else 3.4)

    assert Made(memory).search.changes == ("threads",)
    assert Made(lambda _: measured(20, 4), base=replace(DEFAULTS, threads=1)).settings.threads == 0

    def loading(settings: EngineSettings) -> Outcome:
        return measured(20, 4, load=1.0 if settings.mmap else 4.0)

    assert Made(loading).search.changes == (), "a default is not left for it"
    unusual = replace(DEFAULTS, mmap=False)
    assert Made(loading, base=unusual).search.changes == ("mmap",)


def test_it_does_not_grow_slower_step_by_step() -> None:
    """Each step is within the noise of the one before and saves memory; together they would cost a tenth."""
    steps = {0: 1.0, 2: 0.97, 4: 0.94, 6: 0.91}

    def law(settings: EngineSettings) -> Outcome:
        factor = steps.get(settings.threads, 0.9)
        return measured(20 * factor, 4 * factor, 3.4 * factor)

    machine = Made(law, hardware=Hardware(cores=8, logical=16))
    assert machine.settings.threads in (0, 6)
    chosen = machine.search.best
    assert chosen is not None
    assert isinstance(chosen.outcome, Measured)
    assert chosen.outcome.turn_seconds < measured(20, 4).turn_seconds * 1.05


def test_a_moment_in_which_the_machine_was_busy_does_not_decide() -> None:
    seen: list[EngineSettings] = []

    def law(settings: EngineSettings) -> Outcome:
        seen.append(settings)
        return measured(12, 2) if len(seen) == 1 else measured(20, 4)

    machine = Made(law)
    assert machine.tried[-1] == "the present settings again"
    assert machine.search.changes == ()
    assert machine.search.base == measured(20, 4)


@pytest.mark.parametrize(("gain", "threads"), [(1.6, 0), (2.2, 16)])
def test_more_threads_than_cores_must_gain_a_lot(gain: float, threads: int) -> None:
    def law(settings: EngineSettings) -> Outcome:
        factor = gain if settings.threads == 16 else 1.0
        return measured(100 * factor, 20 * factor)

    assert Made(law, hardware=Hardware(cores=8, logical=16)).settings.threads == threads


def test_threads_go_down_as_long_as_that_helps() -> None:
    best = {16: 1.0, 32: 0.8, 12: 1.1, 8: 1.3, 4: 1.5, 2: 0.9}

    def law(settings: EngineSettings) -> Outcome:
        factor = best[settings.threads or 16]
        return measured(200 * factor, 10 * factor)

    machine = Made(law, hardware=Hardware(cores=16, logical=32), seconds=1000)
    assert machine.settings.threads == 4
    assert [what for what in machine.tried if what.startswith("threads")] == [f"threads = {n}" for n in (32, 12, 8, 4, 2)]


def test_no_batch_is_tried_that_a_picture_would_not_fit_into() -> None:
    machine = Made(lambda settings: measured(2000, 400, prompt=4096), least_batch=300)
    assert [trial.settings.batch for trial in machine.trials if trial.what.startswith("batch")] == [512, 1024]


def test_batches_are_tried_where_the_prompt_is_long_enough_to_tell() -> None:
    def law(settings: EngineSettings) -> Outcome:
        return measured(2000 * (settings.batch / 256) ** 0.3, 400, prompt=2048)

    machine = Made(law)
    assert machine.settings.batch == 1024
    slow = Made(two_cores)
    assert "batch" in slow.search.untried
    assert not any(what.startswith("batch") for what in slow.tried)


def with_gpu(room: int) -> Law:
    """A GPU whose memory holds so many layers."""

    def law(settings: EngineSettings) -> Outcome:
        layers = 33 if settings.on_gpu < 0 else settings.on_gpu
        if layers > room:
            return Failed("llama.cpp could not load model.gguf: out of memory.")
        return measured(24 + 60 * layers, 4.6 + 3 * layers, 3.4 - 0.08 * layers)

    return law


GPU = Hardware(cores=8, logical=8, has_gpu=True)


def test_layers_go_to_a_gpu_only_where_llama_cpp_has_one() -> None:
    machine = Made(with_gpu(33), hardware=GPU)
    assert machine.settings.gpu_layers == -1
    assert machine.tried[1:3] == ["gpu_layers = -1", "the same, measured longer"]
    assert machine.trials[2].is_longer
    assert not any("gpu_layers" in what for what in Made(two_cores).tried)


def test_a_gpu_with_little_memory_gets_as_many_layers_as_fit() -> None:
    machine = Made(with_gpu(20), hardware=GPU)
    assert [what for what in machine.tried if "gpu" in what] == ["gpu_layers = -1", "gpu_layers = 24", "gpu_layers = 16"]
    assert machine.settings.gpu_layers == 16


TWO = replace(GPU, devices=tuple(Device(name, "a card", "gpu", 8 * GB, 8 * GB) for name in ("CUDA0", "CUDA1")))


def by_device(**seconds: float) -> Law:
    """A machine on which a layer takes so many seconds on each device, and as long again to get from one to the other."""

    def law(settings: EngineSettings) -> Outcome:
        if settings.on_gpu == 0:
            return measured(10, 2)
        factor = seconds.get(settings.device, sum(seconds.values()))
        return measured(1000 / factor, 200 / factor)

    return law


@pytest.mark.parametrize("quick", ["CUDA0", "CUDA1"])
def test_of_two_devices_the_quicker_one_alone_is_found(quick: str) -> None:
    times = {"CUDA0": 3.0, "CUDA1": 3.0, quick: 1.0}
    machine = Made(by_device(**times), hardware=TWO, seconds=1000)
    assert (machine.settings.device, machine.settings.gpu_layers) == (quick, -1)
    assert {"device = CUDA0", "device = CUDA1"} <= set(machine.tried)
    assert any("tensor_split = [1, 1]" in what for what in machine.tried)


def test_devices_that_gain_nothing_alone_share_as_before() -> None:
    machine = Made(lambda settings: measured(10, 2) if settings.on_gpu == 0 else measured(1000, 200), hardware=TWO, seconds=1000)
    assert (machine.settings.device, machine.settings.tensor_split) == ("auto", ())


def test_one_device_is_not_tried_against_itself() -> None:
    machine = Made(with_gpu(33), hardware=replace(TWO, devices=TWO.devices[:1]), seconds=1000)
    assert not any("device" in what or "tensor_split" in what for what in machine.tried)


def test_the_processor_is_left_for_a_device_that_is_quicker() -> None:
    machine = Made(by_device(auto=1.0), base=replace(DEFAULTS, device="cpu", gpu_layers=0), hardware=replace(TWO, devices=TWO.devices[:1]))
    assert (machine.settings.device, machine.settings.gpu_layers) == ("auto", -1)


@pytest.mark.parametrize("name", ["device", "gpu_layers", "tensor_split", "main_gpu"])
def test_devices_stay_as_the_environment_has_them(name: str) -> None:
    machine = Made(by_device(CUDA0=1.0, CUDA1=3.0), hardware=TWO, seconds=1000, locked=frozenset({name}))
    assert not any("device" in what for what in machine.tried)


def test_what_a_device_has_no_room_for_is_not_tried() -> None:
    def misfit(settings: EngineSettings) -> str:
        return "1 GB is free on CUDA1" if settings.device == "CUDA1" else ""

    machine = Made(by_device(CUDA0=3.0, CUDA1=1.0), hardware=TWO, seconds=1000, misfit=misfit)
    assert machine.row("device = CUDA1").outcome == Failed("not tried: 1 GB is free on CUDA1", was_tried=False)
    assert machine.settings.device == "CUDA0"


def test_what_the_environment_sets_is_left_alone() -> None:
    machine = Made(two_cores, base=replace(DEFAULTS, threads=1), locked=frozenset({"threads", "kv_type"}))
    assert machine.settings.threads == 1
    assert not any("threads" in what or "kv_type" in what for what in machine.tried)


def test_it_stops_when_the_time_will_not_allow_another_trial() -> None:
    machine = Made(two_cores, seconds=20)
    assert machine.now - 1000 <= 20
    assert len(machine.trials) == 2
    assert machine.search.untried == ["attention and KV cache", "batch", "mmap"]


def test_the_present_settings_are_measured_however_short_the_time() -> None:
    machine = Made(two_cores, seconds=1)
    assert machine.tried == ["the present settings"]
    assert machine.search.base is not None


def test_a_trial_gets_no_more_time_than_there_is_reason_for() -> None:
    machine = Made(two_cores, trial_seconds=8)
    assert machine.trials[0].seconds == 110, "the first one may take all of it"
    assert machine.trials[1].seconds == 20
    assert Made(two_cores, trial_seconds=1).trials[1].seconds == 10
    assert Made(two_cores, seconds=30, trial_seconds=9).trials[-1].seconds <= 30 - 18 + 10


def test_values_as_they_stand_in_the_file() -> None:
    assert [setting_text(value) for value in (None, True, 4, KvType.Q8_0)] == ["automatic", "true", "4", "q8_0"]
