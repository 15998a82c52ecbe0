"""What a run leaves in its folder: `run.json` says all that its result depends on, `answers.jsonl` has a line for each answer.

A line is written whole with the answer, so whatever ends the program costs the questions under way and nothing else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from nemochat.domain.sanitize import shortened, shown
from nemochat.errors import EvaluationError
from nemochat.evaluation import own
from nemochat.evaluation.benchmarks import Benchmark, Item, benchmark_named
from nemochat.evaluation.scoring import Figure, Scored, figures
from nemochat.evaluation.values import Kind, Reply, Score
from nemochat.files import end_line, export_file, open_to_append, reason, write_all
from nemochat.numbers import plural
from nemochat.reading import open_regular, read_regular
from nemochat.system.locks import lock

_RUN, _ANSWERS = "run.json", "answers.jsonl"
_MAX_RUN, _MAX_LINE, _MAX_ANSWERS = 1 << 20, 16 << 20, 1 << 31
_CHUNK = 1 << 20
_SHOWN = 2_000
_WORDS = {
    "files": "file of questions", "model_sha256": "file of the model", "projector_sha256": "projector", "max_tokens": "longest reply",
    "engine": "engine's setting",
}  # fmt: skip


class Setting(msgspec.Struct, frozen=True):
    """What a result depends on; a run goes on only under the same.

    files: of the questions, with their SHA-256. model, projector: SHA-256 of the files, "" for a server's. limit: of how many questions,
    drawn by `seed`, which replies are made with too. engine: the settings of a local model's engine. grammar: calls are held to the tools'
    schemas while they are written. gate: how likely a call has to be for a reply to call, None where the model did as it liked.
    """

    benchmark: str
    files: Mapping[str, str]
    model: str
    model_sha256: str = ""
    projector_sha256: str = ""
    server: str = ""
    limit: int | None = None
    seed: int = 0
    grammar: bool = True
    gate: float | None = None
    max_tokens: int = 0
    temperature: float = 0.0
    engine: Mapping[str, Any] = {}

    @property
    def name(self) -> str:
        """Of its folder, where the user names none."""
        digest = hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:8]
        model = "".join(each if each.isalnum() or each in "-." else "-" for each in f"{self.model}").strip("-.")
        return f"{self.benchmark}-{model[:60]}-{digest}"


class Told(msgspec.Struct, frozen=True):
    """`run.json`. data: where the questions are, absolute. count: of the questions. versions: of what made the answers."""

    setting: Setting
    data: str
    count: int
    versions: Mapping[str, str]
    began: str = ""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of `answers.jsonl`. error: why there is no answer; such a question is asked again when the run goes on.

    calls: with the name and the arguments of each. prompt, expected: for people. seconds: that it took. read, reused, said: tokens.
    pictures: that were encoded. call_chance: as in `TurnResult`. wants_call: whether a call would have been right, None where no tool was
    offered.
    """

    id: str
    text: str = ""
    calls: tuple[Mapping[str, Any], ...] = ()
    score: Score = Score(0)
    group: str = ""
    error: str = ""
    prompt: str = ""
    expected: str = ""
    seconds: float = 0.0
    read: int = 0
    reused: int = 0
    said: int = 0
    pictures: int = 0
    call_chance: float | None = None
    wants_call: bool | None = None

    def __post_init__(self) -> None:
        if not all(isinstance(each.get("name"), str) and isinstance(each.get("arguments"), Mapping) for each in self.calls):
            raise ValueError("a call has a name and arguments")

    @property
    def scored(self) -> Scored:
        """What it is worth."""
        return Scored(self.id, self.group, self.score, bool(self.error))

    def is_of_same(self, other: Answer) -> bool:
        """Whether another run asked the same: an id alone may be the number of a line in another file."""
        return (self.id, self.prompt, self.expected) == (other.id, other.prompt, other.expected)

    @property
    def is_wrong(self) -> bool:
        """Whether it is worth less than it could be."""
        return bool(self.error) or self.score.right < 1


class Run(msgspec.Struct, frozen=True):
    """A run that is read. answers: by the ids of their questions, the last one of each."""

    folder: Path
    told: Told
    answers: Mapping[str, Answer]

    @property
    def benchmark(self) -> Benchmark:
        """Its questions'."""
        return benchmark_named(self.told.setting.benchmark)

    @property
    def figures(self) -> list[Figure]:
        """Its result so far."""
        return figures(self.benchmark, self.scored)

    @property
    def scored(self) -> list[Scored]:
        """What each answer is worth."""
        return [each.scored for each in self.answers.values()]

    @property
    def failed(self) -> int:
        """Questions that the model gave no answer to."""
        return sum(bool(each.error) for each in self.answers.values())

    @property
    def guesses(self) -> int:
        """Answers that the official rule drew at random."""
        return sum(each.score.guessed for each in self.answers.values())

    @property
    def is_whole(self) -> bool:
        """Whether every question has its answer."""
        return len(self.answers) - self.failed >= self.told.count

    @property
    def remarks(self) -> list[str]:
        """Sentences about what the result is and is not."""
        setting = self.told.setting
        said = [f"{len(self.answers) - self.failed:,} of {self.told.count:,} questions answered."] if not self.is_whole else []
        for error in [each.error for each in self.answers.values() if each.error][-1:]:
            said.append(f"No answer came to {plural(self.failed, 'question')}, counted as wrong: the same command asks again. Why: {error}")
        said += [f"The official rule drew {plural(self.guesses, 'answer')} at random, with seed {setting.seed}."] if self.guesses else []
        said += [f"{self.told.count:,} of the questions, drawn with seed {setting.seed}."] if setting.limit is not None else []
        return said + ([self.benchmark.note] if self.benchmark.note else [])


def read_run(folder: Path) -> Run:
    """A run from its folder. Raises EvaluationError."""
    try:
        told = msgspec.json.decode(read_regular(folder / _RUN, _MAX_RUN), type=Told)
        benchmark_named(told.setting.benchmark)
        run = Run(folder, told, {each.id: each for each in _answers(folder / _ANSWERS)})
        try:
            _ = run.figures
        except KeyError as error:
            raise ValueError(f"an answer has no {error}, which {run.benchmark.title} counts") from None
        return run
    except FileNotFoundError:
        raise EvaluationError(f"There is no run in {shown(folder)}.", "nemochat eval list shows the runs that there are.") from None
    except OSError as error:
        raise EvaluationError(f"The run in {shown(folder)} cannot be read: {reason(error)}.") from None
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        raise EvaluationError(f"{shown(folder / _RUN)} is no run: {shown(shortened(str(error), 200)).rstrip('.')}.") from None


def runs_in(folder: Path) -> list[Path]:
    """The folders of runs in a folder, by name."""
    return sorted(each.parent for each in folder.glob(f"*/{_RUN}"))


class Writer:
    """A run under way, which no other program writes at the same time. run: as it was found."""

    def __init__(self, run: Run, handle: int) -> None:
        self.run = run
        self.answers = dict(run.answers)
        self._handle = handle

    def add(self, answer: Answer) -> None:
        """Keep an answer. Raises EvaluationError when the disk refuses."""
        line = msgspec.json.encode(answer) + b"\n"
        try:
            write_all(self._handle, line)
        except OSError as error:
            raise EvaluationError(f"An answer cannot be written: {reason(error)}.", "Make room, and run the same command again.") from None
        self.answers[answer.id] = answer

    @property
    def now(self) -> Run:
        """As far as it has come."""
        return Run(self.run.folder, self.run.told, self.answers)


@contextmanager
def writing(folder: Path, told: Told) -> Iterator[Writer]:
    """Begin a run in a folder, or go on with the one that is there. Raises EvaluationError where that is another."""
    try:
        handle = open_to_append(folder / _ANSWERS, in_own_folder=False)
    except OSError as error:
        raise _unkept(folder, error) from None
    try:
        yield Writer(_begun(folder, told, handle), handle)
    finally:
        os.close(handle)


def _begun(folder: Path, told: Told, handle: int) -> Run:
    if not lock(handle):
        raise EvaluationError(f"Another program works on the run in {shown(folder)}.", "Wait for it, or give --out another folder.")
    try:
        if (folder / _RUN).exists():
            run = read_run(folder)
            found = _unlike(run.told.setting, told.setting) or ("number of questions differs" if run.told.count != told.count else "")
            if found:
                raise EvaluationError(f"The run in {shown(folder)} is another: its {found}.", "Give --out another folder.")
            end_line(folder / _ANSWERS, handle)
            return run
        if os.fstat(handle).st_size:
            raise EvaluationError(f"{shown(folder / _ANSWERS)} is of no run.", "Give --out another folder.")
        export_file(folder / _RUN, msgspec.json.format(msgspec.json.encode(told)))
    except OSError as error:
        raise _unkept(folder, error) from None
    return Run(folder, told, {})


def _unkept(folder: Path, error: OSError) -> EvaluationError:
    return EvaluationError(f"The run cannot be kept in {shown(folder)}: {reason(error)}.", "Give --out another folder.")


def answered(item: Item, reply: Reply, score: Score, **counts: Any) -> Answer:
    """The line of an answer."""
    question = item.question
    calls = tuple({"name": call.name, "arguments": call.arguments} for call in reply.calls)
    counts["wants_call"] = bool(question.meta.get("call") or question.kind is Kind.CALLS) if question.tools else None
    return Answer(question.id, reply.text, calls, score, item.group, "", shortened(question.prompt, _SHOWN), _expected(item), **counts)


def failed(item: Item, error: str) -> Answer:
    """The line of a question that was asked in vain."""
    return Answer(item.question.id, group=item.group, error=error, prompt=shortened(item.question.prompt, _SHOWN), expected=_expected(item))


def _expected(item: Item) -> str:
    question = item.question
    if question.meta.keys() & {"regex", "call"}:
        return shortened(own.expected(question), _SHOWN)
    joined = " and " if question.kind is Kind.CALLS else " or "
    return shortened(joined.join(dict.fromkeys(question.answers)) or ", ".join(question.meta.get("instruction_id_list", ())), _SHOWN)


def sha256(path: Path) -> str:
    """Of a file. Raises EvaluationError."""
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while piece := file.read(_CHUNK):
                digest.update(piece)
    except OSError as error:
        raise EvaluationError(f"{shown(path)} cannot be read: {reason(error)}.") from None
    return digest.hexdigest()


def _answers(path: Path) -> Iterator[Answer]:
    """The lines that are whole."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > _MAX_ANSWERS:
            raise ValueError("its answers take more than 2 GiB")
        while line := file.readline(_MAX_LINE):
            try:
                yield msgspec.json.decode(line, type=Answer)
            except (msgspec.DecodeError, ValueError, RecursionError):
                continue  # it was torn when the program was ended, or is none of nemochat's: its question is asked again


def _unlike(one: Setting, other: Setting) -> str:
    names = [_WORDS.get(name, name) for name in Setting.__struct_fields__ if getattr(one, name) != getattr(other, name)]
    return f"{' and '.join(names)} {'differ' if names[1:] else 'differs'}" if names else ""
