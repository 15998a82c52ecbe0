"""``nemochat eval``: benchmarks, their runs, and own questions."""

from __future__ import annotations

import asyncio
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from importlib import metadata
from pathlib import Path

import msgspec

from nemochat import __version__
from nemochat.chat import ChatSession
from nemochat.chat.session import UNGATED
from nemochat.cli.library import opened
from nemochat.cli.opening import SCRIPT_SUFFIX, LocalModel, devices_here, open_beside, open_session
from nemochat.cli.output import StatusLine, print_json, print_note, print_table, say, say_wrapped
from nemochat.cli.setup import Setup, read_setup
from nemochat.domain.messages import Role
from nemochat.domain.sanitize import shortened, shown
from nemochat.domain.servers import ServedModel
from nemochat.errors import EvaluationError, UsageError
from nemochat.evaluation import own
from nemochat.evaluation import report as reporting
from nemochat.evaluation.asking import Asking
from nemochat.evaluation.benchmarks import BENCHMARKS, Benchmark, Item, benchmark_named, questions, sampled
from nemochat.evaluation.runs import Answer, Run, Setting, Told, Writer, read_run, runs_in, sha256, writing
from nemochat.evaluation.scoring import Difference, check, difference
from nemochat.files import export_file, reason
from nemochat.library.claims import CHAT, REPLY, Claims
from nemochat.numbers import plural, size_text
from nemochat.paths import find_paths
from nemochat.system.limits import let_others_go_first

_LINE_SECONDS = 30.0
"""Between two lines about how far a run is, where there is no terminal."""
_SHOWN = 300
_MOST_CHANGED = 20


class Wish(msgspec.Struct, frozen=True):
    """The command line of ``eval run``."""

    benchmark: str
    data: Path | None
    model: str | None = None
    mmproj: Path | None = None
    limit: int | None = None
    seed: int = 0
    out: Path | None = None
    parallel: int = 4
    grammar: bool = True
    gate: float | None = None


def print_list(*, as_json: bool) -> None:
    """The benchmarks, and the runs of the folder in which they are kept."""
    runs = []
    for folder in runs_in(_folder()):
        try:
            runs.append(read_run(folder))
        except EvaluationError as error:
            print_note(error.message)
    if as_json:
        listed = [{"name": each.name, "title": each.title, "data": each.data, "card": each.card} for each in BENCHMARKS.values()]
        print_json({"benchmarks": listed, "runs": [_json(run) for run in runs]})
        return
    rows = [(each.name, each.title, " / ".join(f"{value:.2f}" for value in each.card.values()) or "-") for each in BENCHMARKS.values()]
    print_table(("benchmark", "set", f"{reporting.CARD} percent"), rows)
    if not runs:
        print_note("There is no run yet. Begin one: nemochat eval run BENCHMARK --data PATH")
    else:
        say()
        print_table(("run", reporting.PERCENT, "questions"), [(run.folder.name, _result(run), _count(run)) for run in runs])


def run(wish: Wish, *, as_json: bool) -> None:
    """Begin a run, or go on with it. Raises NemochatError, also when no answer came at all.

    KeyboardInterrupt comes when the engine has ended and the answers are kept.
    """
    benchmark, data = benchmark_named(wish.benchmark), wish.data or find_paths(os.environ).questions
    if wish.data is None and benchmark.name != "own":
        raise UsageError(f"{benchmark.title} needs its questions: {benchmark.data}.", "Name their file or folder with --data.")
    if wish.data is None and not data.exists():
        raise UsageError("You have kept no questions yet.", "Keep one with /eval in a chat, or name a file with --data.")
    with StatusLine() as status:
        status.show("reading the questions ...")
        items, files = questions(benchmark, data)
        every, items = items, sampled(items, wish.limit, wish.seed)
        if len(items) == len(every):
            wish = msgspec.structs.replace(wish, limit=None)
        check(item.question for item in items)
        root = data if data.is_dir() else data.parent
        digests = {file.relative_to(root).as_posix(): sha256(file) for file in files}
    let_others_go_first()  # also before the engine, whose process begins as this one is
    done = asyncio.run(_run(wish, benchmark, data, items, digests))
    if as_json:
        print_json(_json(done))
    else:
        _tell(done)
    if done.failed == len(done.answers):
        raise EvaluationError("The model gave no answer to any question.", "Find out why above, and run the same command again.")


async def _run(wish: Wish, benchmark: Benchmark, data: Path, items: Sequence[Item], digests: dict[str, str]) -> Run:
    setup = read_setup()
    model = await setup.remotes.find(setup.wanted(wish.model), setup.catalogue, waits=print_note) or wish.model
    claims = Claims(setup.paths.claims)
    if not isinstance(model, ServedModel) and claims.is_elsewhere(CHAT):
        await check_room(setup, model, wish.mmproj)
    async with open_session(setup, model, wish.mmproj) as session, AsyncExitStack() as stack:
        stack.callback(claims.close)
        with StatusLine() as status:
            status.show("loading the model ...")
            async for progress in session.loaded():
                status.show_progress(progress)
            setting = await asyncio.to_thread(_setting, setup, wish, benchmark, session, digests)
        if wish.gate is not None and not session.can_gate(session.reader.load.format.style):
            raise UsageError(f"{session.model_name} {UNGATED}.", "Leave --gate out, or take a model of this machine.")
        began = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        told = Told(setting, str(data.absolute()), len(items), _versions(session), began)
        folder = wish.out or _folder() / setting.name
        with writing(folder, told) as writer:
            print_note(f"The answers are kept in {shown(folder)}.")
            sessions = [session]
            if isinstance(model, ServedModel):
                more = min(wish.parallel, len(items)) - 1
                sessions += [await stack.enter_async_context(open_beside(setup, session)) for _ in range(more)]
            is_here = not (isinstance(model, ServedModel) and model.leaves)
            with _Watch(writer, len(items)) as watch:
                asking = Asking(benchmark, items, writer, watch, partial(claims.is_elsewhere, REPLY) if is_here else lambda: False)
                try:
                    await asking.run(sessions)
                except asyncio.CancelledError:
                    watch.stop()
                    print_note(f"Stopped. Kept: {plural(len(writer.answers), 'answer')}. The same command goes on from there.")
                    raise
            return writer.now


async def check_room(setup: Setup, model: str | None, mmproj: Path | None) -> None:
    """Raise NemochatError for a model that does not fit into memory beside those of the chats that are open on this machine."""
    wanted = model or setup.settings.model or None
    if wanted is None or not wanted.endswith(SCRIPT_SUFFIX):
        local = await asyncio.to_thread(LocalModel.of, setup, wanted, mmproj)
        local = local.on(await devices_here(local.settings))
        if local.too_little:
            needs = size_text(sum(each.total for _, each in local.needs))
            problem = f"A chat is open on this machine, and {local.name} does not fit beside it: it needs {needs}, and {local.too_little}."
            raise EvaluationError(problem, "Close the chat, or choose a smaller model or a server's.")


def show(name: str, *, wrong: int, as_json: bool) -> None:
    """A result, and so many of its wrong answers. Raises EvaluationError."""
    done = _read(name)
    missed = [each for each in done.answers.values() if each.is_wrong]
    if as_json:
        print_json({**_json(done), "wrong": missed[:wrong]})
        return
    _tell(done)
    print_table(("", ""), reporting.conditions(done))
    for answer in missed[:wrong]:
        say()
        say(f"Question {answer.id}", strict=True)
        say_wrapped(shortened(answer.prompt, _SHOWN))
        say_wrapped(_line(answer.expected) or "-", "Right:    ")
        say_wrapped(_line(reporting.got(answer)), "Answered: ")
        if answer.score.why:
            say_wrapped(_line(answer.score.why), "Because:  ")
    if len(missed) > wrong:
        print_note(f"{len(missed) - wrong:,} more are wrong: --wrong N shows N, and nemochat eval report --html FILE their pictures too.")


def compare(first: str, second: str, *, as_json: bool) -> None:
    """Two runs beside each other. Raises EvaluationError where they have no question in common."""
    one, other = _read(first), _read(second)
    if one.benchmark.name != other.benchmark.name:
        raise EvaluationError(f"{one.benchmark.title} and {other.benchmark.title} cannot be compared.", "Name two runs of one benchmark.")
    same = [id_ for id_, each in one.answers.items() if id_ in other.answers and each.is_of_same(other.answers[id_])]
    between = difference([one.answers[id_].scored for id_ in same], [other.answers[id_].scored for id_ in same])
    if between is None:
        raise EvaluationError("The two runs have no question in common.", "Name two runs over the same data.")
    if as_json:
        print_json(between)
        return
    _tell_difference(one, other, between)


def gate(names: Sequence[str], seed: int, *, as_json: bool) -> None:
    """The best threshold of runs, and what it does to the questions that it was not chosen on. Raises EvaluationError."""
    from nemochat.evaluation.gating import sweep

    found = sweep([_read(name) for name in names], seed)
    if as_json:
        print_json({**msgspec.structs.asdict(found), "difference": found.difference, "verdict": found.verdict})
        return
    say(f"{found.model}: {found.wanted:,} questions want a call, {found.unwanted:,} want none", strict=True)
    if found.left_out:
        say(f"Left out for want of an answer, or of the probability of a call: {found.left_out:,}.")
    say(f"The probability of a call tells them apart with an AUC of {found.auc:.3f} (0.5 is chance, 1 is always).")
    say(f"Threshold, from half of them: {found.threshold:g}. On the other half:")
    pairs = zip(msgspec.structs.astuple(found.without), msgspec.structs.astuple(found.with_gate), strict=True)
    rows = [(one.name, one.in_words, other.in_words) for one, other in pairs]
    rows.append(("rightly decided, mean", f"{100 * found.without.decided:.2f}", f"{100 * found.with_gate.decided:.2f}"))
    print_table(("", "without a gate (95 %)", "with it"), rows)
    say(found.verdict)


def report(names: Sequence[str], page: Path | None) -> None:
    """Print the Markdown, and write the page. Raises EvaluationError."""
    runs = [_read(name) for name in names]
    say(reporting.markdown(runs), end="")
    if page is not None:
        try:
            export_file(page, reporting.html(runs).encode(), replace=True)
        except OSError as error:
            raise EvaluationError(f"The page cannot be written to {shown(page)}: {reason(error)}.", "Name another file.") from None
        print_note(f"The page is {shown(page)}.")


def add(file: Path | None, chat: str, *, answers: tuple[str, ...], regex: str, call: str, message: int | None) -> None:
    """Append a question of the user's to a file of own questions. Raises NemochatError."""
    try:
        wanted = msgspec.json.decode(call, type=own.OwnCall) if call else None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"--call is no call: {error}.", 'Write {"name": "tool", "arguments": {...}}.') from None
    if sum(map(bool, (answers, regex, call))) != 1:
        raise UsageError("It has to be said what would have been right.", "Give one of --answer, --regex and --call.")
    file = file or find_paths(os.environ).questions
    with opened() as library:
        stored = library.load(library.find(chat).id)
        users = [index for index, entry in enumerate(stored.chat.entries) if entry.message.role is Role.USER]
        if not users:
            raise UsageError("There is no message of yours in this chat.", "Choose another one: nemochat library list shows them.")
        if message is not None and message > len(users):
            raise UsageError(f"The chat has {plural(len(users), 'message')} of yours.", "Choose one of them with --message N.")
        number = message or len(users)
        right = own.OwnQuestion("", answers, regex, wanted)
        own.keep(file, stored.chat, users[number - 1], right, library.original, f"{stored.id}-{number}")
    data = "" if file == find_paths(os.environ).questions else f" --data {shlex.quote(shown(file))}"
    say(f"Kept in {shown(file)}. Ask it with: nemochat eval run own{data}", strict=True)


# -- what a result depends on


def _setting(setup: Setup, wish: Wish, benchmark: Benchmark, session: ChatSession, digests: dict[str, str]) -> Setting:
    """Reads the model's files as a whole."""
    setting = Setting(
        benchmark.name,
        digests,
        session.model_name,
        limit=wish.limit,
        seed=wish.seed,
        grammar=wish.grammar,
        gate=wish.gate,
        max_tokens=benchmark.max_tokens,
    )
    if (served := session.served) is not None:
        return msgspec.structs.replace(setting, server=f"{served.server.name} {served.server.url}")
    engine = {name: value for name, value in msgspec.to_builtins(session.reader.request.settings).items() if name in _ENGINE}
    engine["format"] = session.reader.load.format.name
    model, projector = session.reader.request.model_path, session.reader.request.mmproj_path
    return msgspec.structs.replace(
        setting, model_sha256=sha256(Path(model)), projector_sha256=sha256(Path(projector)) if projector else "", engine=engine
    )


_ENGINE = ("context_length", "kv_type", "flash_attention", "batch")
"""The others are of the machine: a run may go on with more or fewer layers on the GPU."""


def _versions(session: ChatSession) -> dict[str, str]:
    versions = {"nemochat": __version__, "Python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    if session.served is None and not session.reader.request.model_path.endswith(SCRIPT_SUFFIX):
        settings = session.reader.request.settings
        versions["llama-cpp-python"] = metadata.version("llama-cpp-python")
        versions |= {"threads": str(settings.threads or "auto"), "GPU layers": str(settings.gpu_layers)}
    return versions


# -- what is told


class _Watch:
    """How far a run is: a line that moves on a terminal, a line now and then elsewhere. All on stderr."""

    def __init__(self, writer: Writer, count: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._writer, self._count = writer, count
        self._is_terminal = sys.stderr.isatty()
        self._bar = Progress(
            BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False),
            console=Console(stderr=True), disable=not self._is_terminal, transient=True, expand=True,
        )  # fmt: skip
        before = [each for each in writer.answers.values() if not each.error]
        self._begun_with, self._done = len(before), len(before)
        self._right = sum(each.score.right for each in before)
        self._task = self._bar.add_task("", total=count, completed=self._done)
        self._began = self._said = time.monotonic()
        self._has_waited = False

    def __enter__(self) -> _Watch:
        if self._begun_with:
            print_note(f"{self._begun_with:,} of {self._count:,} questions are answered already.")
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the moving line away."""
        self._bar.stop()

    def see(self, answer: Answer) -> None:
        """Tell of one more answer."""
        self._done += 1
        self._right += answer.score.right
        self._bar.update(self._task, completed=self._done, description=self._so_far)
        now = time.monotonic()
        if not self._is_terminal and now - self._said >= _LINE_SECONDS and self._done < self._count:
            self._said = now
            left = (now - self._began) / (self._done - self._begun_with) * (self._count - self._done)
            print_note(f"{self._done:,} of {self._count:,}, {self._so_far}, about {_time(left)} left.")

    def wait(self, *, waits: bool) -> None:
        """A chat on this machine comes first, or has had its reply."""
        self._bar.update(self._task, description="waiting for a chat on this machine" if waits else self._so_far)
        if waits and not self._is_terminal and not self._has_waited:
            self._has_waited = True
            print_note("Waiting for a chat on this machine: questions are asked while no reply is being written there.")

    @property
    def _so_far(self) -> str:
        return f"{100 * self._right / self._done:.1f} % so far" if self._done else ""


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(1, minutes)} min"


def _tell(done: Run) -> None:
    has_card = any(figure.of_card for figure in done.figures)
    header = ("", reporting.PERCENT, reporting.CARD)[: 2 + has_card]
    rows = [(figure.name, figure.in_words, figure.of_card)[: len(header)] for figure in done.figures]
    say(f"{done.benchmark.title}, {done.told.setting.model}: {_count(done)} questions", strict=True)
    print_table(header, rows)
    for remark in done.remarks:
        say_wrapped(remark)


def _tell_difference(one: Run, other: Run, between: Difference) -> None:
    is_chance = between.low <= 0 <= between.high
    moved = 100 * (between.second - between.first)
    say(f"{one.benchmark.title}, {plural(between.count, 'question')} that both have", strict=True)
    print_table(("", "right"), [(_name(one), f"{100 * between.first:.2f}"), (_name(other), f"{100 * between.second:.2f}")])
    chance = "That may be chance." if is_chance else "That is more than chance."
    say_wrapped(f"Difference: {moved:+.2f} (95 % range {100 * between.low:+.2f} to {100 * between.high:+.2f}). {chance}")
    say(f"{len(between.better):,} better, {len(between.worse):,} worse.")
    for word, names in (("better", between.better), ("worse", between.worse)):
        for name in names[:_MOST_CHANGED]:
            then, now = (run.answers.get(name) for run in (one, other))
            if then is not None and now is not None:
                say_wrapped(f"{_line(reporting.got(then), 60)} -> {_line(reporting.got(now), 60)}", f"  {word}: question {name}: ")
        if len(names) > _MOST_CHANGED:
            say(f"  {len(names) - _MOST_CHANGED:,} more {word}")


def _line(text: str, most: int = _SHOWN) -> str:
    return shortened(" ".join(text.split()), most)


def _name(run: Run) -> str:
    return f"{run.told.setting.model} ({run.folder.name})"


def _result(run: Run) -> str:
    return run.figures[0].in_words if run.figures else "-"


def _count(run: Run) -> str:
    return f"{len(run.answers):,} of {run.told.count:,}"


def _json(run: Run) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(run.told)
    counts = {"answered": len(run.answers) - run.failed, "failed": run.failed, "guesses": run.guesses}
    return {"run": str(run.folder), **told, **counts, "figures": run.figures}


# -- where things are


def _folder() -> Path:
    return find_paths(os.environ).evaluations


def _read(name: str) -> Run:
    folder = Path(name)
    return read_run(folder if folder.is_dir() or not (_folder() / name).is_dir() else _folder() / name)
