"""Starts the programs, hands them their commands, and keeps what was measured."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.first_word.texts import Writer
from benchmarks.first_word.values import Attach, Command, Idle, Memory, Open, Pair, Peak, Said, Send, Spec, Turn, Type

OURS, HANDLER, SERVER, BARE = "nemochat", "llama-cpp-python", "llama-server", "bare loop"
PEERS = (HANDLER, SERVER)
SHOWN = 12
"""Turns, the last ones, that are told of while it is measured."""


class Row(msgspec.Struct, frozen=True):
    """What one program did in one scenario with one pair. note: what is to be known about the row."""

    scenario: str
    pair: str
    program: str
    turns: tuple[Turn, ...]
    memory: Memory
    note: str = ""


class Client:
    """A program in its own process."""

    def __init__(self, spec: Spec, log: Path) -> None:
        self._name = spec.program
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.first_word.program", msgspec.json.encode(spec).decode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._answer()

    def open(self, chat: str, system: str, said: Sequence[Said] = (), *, cold: bool = False) -> None:
        """Go on with this conversation; see Open."""
        self._ask(Open(chat, system, tuple(said), cold))

    def attach(self, picture: str) -> float:
        """Put a picture to the next message; the seconds that took."""
        began = time.perf_counter()
        self._ask(Attach(picture))
        return time.perf_counter() - began

    def idle(self, seconds: float) -> None:
        """The user does nothing."""
        self._ask(Idle(seconds))

    def write(self, text: str, words_per_second: float = 5) -> None:
        """Write the next message."""
        self._ask(Type(text, words_per_second))

    def send(self, text: str) -> Turn:
        """One turn."""
        turn: Turn = self._ask(Send(text), Turn)
        return turn

    def peak(self) -> Memory:
        """Memory resident at most."""
        memory: Memory = self._ask(Peak(), Memory)
        return memory

    def close(self) -> None:
        """End the program."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.wait() != 0:
            raise self._broken()

    def _ask(self, command: Command, kind: type[Turn | Memory] | None = None) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(command) + b"\n")
        self._process.stdin.flush()
        return self._answer(kind)

    def _answer(self, kind: type[Turn | Memory] | None = None) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._broken()
        return msgspec.json.decode(line, type=kind or type(None))

    def _broken(self) -> SystemExit:
        said = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        return SystemExit("\n".join([f"{self._name} ended with status {self._process.wait()}:", *said]))


class Lab:
    """programs: whose figures are wanted. runs: how often what is quick is repeated. server: the binary of llama-server, "" for none.

    whole_window: 4,096 tokens around a trim with a large pair too, where they take half an hour.
    """

    def __init__(self, programs: Sequence[str], runs: int, server: str, folder: Path, *, whole_window: bool = False) -> None:
        self.programs = programs
        self.runs = runs
        self.folder = folder
        self.rows: list[Row] = []
        self.same: dict[str, tuple[int, int]] = {}
        """By the name of a pair: how many replies were the same with everything on and off, and of how many."""
        self._server = server
        self._whole_window = whole_window

    def runs_of(self, pair: Pair, slow: int = 1) -> int:
        """How often something is done; at most `slow` times with a large pair."""
        return self.runs if pair.is_small else min(slow, self.runs)

    def context_of(self, pair: Pair) -> int:
        """The window in which the oldest turns are forgotten."""
        return 4096 if pair.is_small or self._whole_window else 1536

    def writer(self, pair: Pair) -> Writer:
        """Texts for a program: the same for each."""
        return Writer(1, pair.words, self.folder)

    @contextmanager
    def start(self, program: str, pair: Pair, **changes: Any) -> Iterator[Client]:
        """A program with a model; `changes` are those to its Spec."""
        spec = Spec(program, pair, server=self._server, **changes)
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as log:
            client = Client(spec, Path(log.name))
        try:
            yield client
        finally:
            client.close()

    @contextmanager
    def start_all(self, pair: Pair) -> Iterator[dict[str, Client]]:
        """All programs beside one another, by name; one that has nothing to do takes no time of the others."""
        with ExitStack() as stack:
            yield {program: stack.enter_context(self.start(program, pair)) for program in self.programs}

    def record(self, scenario: str, pair: Pair, program: str, turns: Sequence[Turn], client: Client, note: str = "") -> None:
        """Keep the figures, and say them at once."""
        row = Row(scenario, pair.name, program, tuple(turns), client.peak(), note)
        self.rows.append(row)
        shown = turns[-SHOWN:]
        first = ", ".join(f"{turn.ttft:.3f}" for turn in shown)
        read = ", ".join(f"{turn.evaluated}/{turn.prompt}" for turn in shown)
        say(f"{scenario} | {pair.name} | {program}: first word after {first} s; read {read}")

    def compare(self, pair: Pair, ones: Sequence[str], others: Sequence[str]) -> None:
        """Count the replies that are the same."""
        same, total = self.same.get(pair.name, (0, 0))
        self.same[pair.name] = same + sum(one == other for one, other in zip(ones, others, strict=True)), total + len(ones)
        say(f"greedy replies, everything on and off | {pair.name}: {self.same[pair.name][0]} of {self.same[pair.name][1]} the same")

    def find(self, scenario: str, pair: str, program: str) -> Row | None:
        """What was measured, None where it was not."""
        wanted = (scenario, pair, program)
        return next((row for row in self.rows if (row.scenario, row.pair, row.program) == wanted), None)


def say(line: str) -> None:
    """Progress, beside the table."""
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)
