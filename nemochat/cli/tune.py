"""``nemochat tune``: find the fastest settings for this machine, show how they were found, and keep them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from nemochat.cli.opening import SCRIPT_SUFFIX, LocalModel, available_memory
from nemochat.cli.output import StatusLine, print_json, print_note, print_note_once, print_notes, say
from nemochat.cli.setup import Setup, read_setup
from nemochat.domain.sanitize import sanitize
from nemochat.engine.installed import is_installed, not_installed
from nemochat.engine.process import BackendName
from nemochat.engine.protocol import LoadRequest
from nemochat.engine.trials import Bench, look_at_hardware, read_through
from nemochat.engine.tuning import (
    TUNED,
    TURN_PROMPT_TOKENS,
    TURN_REPLY_TOKENS,
    Failed,
    Measured,
    Row,
    Search,
    Task,
    setting_text,
)
from nemochat.errors import EngineError, UsageError
from nemochat.files import log_problem
from nemochat.settings import EngineSettings, KvType, WhenFull
from nemochat.settings_file import locked_settings, replace_settings, write_setting

if TYPE_CHECKING:
    from rich.table import Table

_MEASURED_SHARE = 0.02
"""The part of the whole time for which reading, and then writing, is measured in each trial."""
_COLUMNS = ("tried", "reads tok/s", "writes tok/s", "a turn", "memory", "loads", "")


class Change(msgspec.Struct, frozen=True, rename={"before": "from", "after": "to"}):
    """One setting that is better another way."""

    before: Any
    after: Any


class JsonTrial(msgspec.Struct, frozen=True):
    """A trial. Figures are null when there are none, and `error` says why."""

    tried: str
    settings: dict[str, Any]
    is_kept: bool
    prefill_per_second: float | None
    decode_per_second: float | None
    turn_seconds: float | None
    memory_bytes: int | None
    load_ms: float | None
    error: str | None

    @classmethod
    def of(cls, row: Row) -> JsonTrial:
        """Figures to the thousandth."""
        settings, outcome = _tuned(row.trial.settings), row.outcome
        if isinstance(outcome, Failed):
            return cls(row.trial.what, settings, row.is_kept, None, None, None, None, None, outcome.reason)
        read, write, turn = (round(n, 3) for n in (outcome.prefill_per_second, outcome.decode_per_second, outcome.turn_seconds))
        return cls(row.trial.what, settings, row.is_kept, read, write, turn, outcome.memory, round(outcome.load_ms, 3), None)


class JsonTuning(msgspec.Struct, frozen=True):
    """What ``--json`` prints. settings: the best found, of those that are tuned. untried: what the time was too short for."""

    model: str
    seconds: float
    turn: dict[str, int]
    available_bytes: int
    trials: tuple[JsonTrial, ...]
    settings: dict[str, Any]
    changes: dict[str, Change]
    untried: tuple[str, ...]
    is_stored: bool


class _Plan(msgspec.Struct, frozen=True):
    """What is tuned and with what."""

    name: str
    request: LoadRequest
    backend: BackendName
    task: Task
    predict: Callable[[EngineSettings], int]
    misfit: Callable[[EngineSettings], str] = lambda _: ""


def run(model: str | None, mmproj: Path | None, *, seconds: float, is_dry: bool, as_json: bool) -> None:
    """Serve the command. Raises NemochatError, and KeyboardInterrupt with the settings as they were."""
    if not os.environ.get("NEMOCHAT_DEBUG"):
        # A crash is a row of the table; the log repeats it for those who debug.
        logging.getLogger("nemochat").addHandler(logging.NullHandler())
    setup = read_setup()
    started = time.monotonic()
    try:
        plan, search = asyncio.run(_search(setup, model, mmproj, seconds, is_quiet=as_json))
    except KeyboardInterrupt:
        print_note("Stopped: the settings are as they were.")
        raise
    if search.best is None:
        reasons = [row.outcome.reason for row in search.rows if isinstance(row.outcome, Failed)]
        raise EngineError(f"None of the settings could be measured: {reasons[0].rstrip('.')}.", "Nothing was changed.")
    changes = _changes(plan.task.base, search)
    is_stored = bool(changes) and not is_dry
    if is_stored:
        _store(setup.paths.settings_file, {key: change.after for key, change in changes.items()})
    if as_json:
        print_json(
            JsonTuning(
                model=plan.name,
                seconds=round(time.monotonic() - started, 1),
                turn={"prompt_tokens": TURN_PROMPT_TOKENS, "reply_tokens": TURN_REPLY_TOKENS},
                available_bytes=plan.task.available,
                trials=tuple(JsonTrial.of(row) for row in search.rows),
                settings=_tuned(search.settings),
                changes=changes,
                untried=tuple(search.untried),
                is_stored=is_stored,
            )
        )
        return
    _tell(search, changes, setup.paths.settings_file if is_stored else None)


async def _search(setup: Setup, model: str | None, mmproj: Path | None, seconds: float, *, is_quiet: bool) -> tuple[_Plan, Search]:
    """Try settings until the time is over, and show each result as it comes."""
    print_note_once(log_problem(setup.paths.engine_log))
    with StatusLine() as status:
        status.show("looking at the model and the machine ...")
        plan = await _planned(setup, model, mmproj)
        search = Search(plan.task, plan.predict, seconds, time.monotonic, plan.misfit)
        bench = Bench(plan.request, setup.paths.engine_log, seconds=seconds * _MEASURED_SHARE, backend=plan.backend)
        files = [Path(path) for path in (plan.request.model_path, plan.request.mmproj_path) if path is not None]
        if sum(file.stat().st_size for file in files) < plan.task.available // 2:
            status.show("reading the files once ...")
            await read_through(files)
    with _Board(plan.name, seconds, search, is_quiet=is_quiet) as board:
        while (trial := search.next()) is not None:
            board.show(trial.what)
            outcome = await bench.run(trial)
            search.report(trial, outcome)
            board.show()
    return plan, search


async def _planned(setup: Setup, model: str | None, mmproj: Path | None) -> _Plan:
    """Look at the model's files and at the hardware. Raises NemochatError, UsageError for a model that runs elsewhere."""
    if (server := await setup.remotes.server_of(setup.wanted(model), setup.catalogue)) is not None:
        name = sanitize(server.name, strict=True)
        raise UsageError(
            f"There is nothing to tune here for a model of {name}: how fast it is, is set where that server is started.",
            "Name a model of this machine: nemochat tune MODEL",
        )
    settings = setup.settings.engine
    hardware = await look_at_hardware()
    available = available_memory()
    locked = {key.removeprefix("engine."): who for key, who in locked_settings(os.environ, {}).items()}
    if settings.when_full is WhenFull.SHIFT and settings.kv_type is KvType.F16:
        locked.setdefault("kv_type", "when_full, which needs it,")
    for name in TUNED:
        if name in locked:
            print_note(f"{name} stays as {locked[name]} sets it.")
    task = Task(settings, hardware, 0, hardware.cores, available, frozenset(locked) & frozenset(TUNED))
    wanted = model or setup.settings.model or None
    if wanted is not None and wanted.endswith(SCRIPT_SUFFIX):
        script = Path(wanted).absolute()
        return _Plan(script.name, LoadRequest(script.name, str(script), None, settings), "scripted", task, lambda _: 0)
    if not is_installed():
        raise not_installed()
    local = LocalModel.of(setup, wanted, mmproj).on(hardware.devices)
    print_notes(setup.catalogue.notices)
    card, tokens = local.card, local.picture_tokens
    least_batch = card.projector.least_batch(tokens) if card.projector else 1
    threads = 1 if card.parameters < hardware.small_model else hardware.cores
    task = msgspec.structs.replace(task, base=local.settings, layers=card.layers, auto_threads=threads, least_batch=least_batch)

    def predict(wanted: EngineSettings) -> int:
        placed = local.at(wanted, hardware.devices)
        return sum(each.total for name, each in placed.needs if not name or placed.shares_memory)

    def misfit(wanted: EngineSettings) -> str:
        return local.at(wanted, hardware.devices).too_little_there

    return _Plan(local.name, local.request(), "llama", task, predict, misfit)


class _Board:
    """The table of results: it grows in a terminal, and is printed at the end elsewhere."""

    def __init__(self, name: str, seconds: float, search: Search, *, is_quiet: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._name, self._seconds, self._search = name, seconds, search
        self._started = time.monotonic()
        self._is_quiet = is_quiet
        self._status = StatusLine()
        self._console = Console(soft_wrap=not sys.stdout.isatty())
        is_live = sys.stdout.isatty() and not is_quiet
        self._live = Live(console=self._console, auto_refresh=False) if is_live else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._status.clear()
        if self._live is not None:
            self._live.update(self._table(""), refresh=True)
            self._live.stop()
        elif kind is None and not self._is_quiet:
            self._console.print(self._table(""))

    def show(self, trying: str = "") -> None:
        """The results so far, and what is being tried."""
        spent = time.monotonic() - self._started
        doing = f"trying {trying} ({spent:.0f} of {self._seconds:.0f} s; Ctrl+C leaves the settings as they are) ..." if trying else ""
        if self._live is not None:
            self._live.update(self._table(doing), refresh=True)
        elif doing:
            self._status.show(doing)

    def _table(self, doing: str) -> Table:
        from rich.table import Table
        from rich.text import Text

        title = f"{self._name}: a turn is {TURN_PROMPT_TOKENS} tokens read and {TURN_REPLY_TOKENS} written"
        table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left", caption_justify="left")
        table.title, table.caption = Text(title), Text(doing)
        for number, column in enumerate(_COLUMNS):
            table.add_column(Text(column), justify="right" if 0 < number < len(_COLUMNS) - 1 else "left", overflow="fold")
        best = self._search.best
        for row in self._search.rows:
            table.add_row(*(Text(sanitize(cell, strict=True)) for cell in _cells(row, is_best=row is best)))
        return table


def _cells(row: Row, *, is_best: bool) -> tuple[str, ...]:
    outcome = row.outcome
    if isinstance(outcome, Failed):
        return (row.trial.what, "", "", "", "", "", outcome.reason)
    return (
        row.trial.what,
        _speed(outcome.prefill_per_second),
        _speed(outcome.decode_per_second),
        _seconds(outcome),
        _memory(outcome),
        f"{outcome.load_ms / 1000:.1f} s",
        "best" if is_best else "",
    )


def _speed(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.1f}"


def _seconds(outcome: Measured) -> str:
    return f"{outcome.turn_seconds:.2f} s"


def _memory(outcome: Measured) -> str:
    return f"{outcome.memory / 1e9:.2f} GB"


def _tuned(settings: EngineSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in TUNED}


def _changes(base: EngineSettings, search: Search) -> dict[str, Change]:
    return {f"engine.{name}": Change(getattr(base, name), getattr(search.settings, name)) for name in search.changes}


def _store(file: Path, values: Mapping[str, object]) -> None:
    """Write all of the settings or none. A default is left out of the file. Raises SettingsError."""
    default = EngineSettings()
    before = file.read_bytes() if file.exists() else None
    try:
        for key, value in values.items():
            write_setting(file, key, None if value == getattr(default, key.removeprefix("engine.")) else value)
    except BaseException:
        if before is not None:
            replace_settings(file, before)
        else:
            file.resolve().unlink(missing_ok=True)
        raise


def _tell(search: Search, changes: Mapping[str, Change], stored_in: Path | None) -> None:
    """What came of it, below the table."""
    say()
    if not changes:
        say("The present settings are the best of those that were tried; nothing was changed.")
    else:
        say(_gain(search))
        for key, change in changes.items():
            say(f"  {key}: {setting_text(change.before)} -> {setting_text(change.after)}", strict=True)
        if stored_in is None:
            say("Nothing was stored (--dry-run).")
        else:
            say(f"Stored in {stored_in}, for every model from its next loading on.", strict=True)
    if search.untried:
        say(f"The time was too short for: {', '.join(dict.fromkeys(search.untried))}. --seconds gives it more.")


def _gain(search: Search) -> str:
    best, base = search.best.outcome if search.best is not None else None, search.base
    if not isinstance(best, Measured):
        raise AssertionError("there is no change without a measurement")
    if base is None:
        return f"The present settings do not work here. With these a turn takes {_seconds(best)} and {_memory(best)}:"
    memory = "" if _memory(best) == _memory(base) else f", and {_memory(best)} instead of {_memory(base)},"
    return f"A turn takes {_seconds(best)} instead of {_seconds(base)}{memory} with:"
