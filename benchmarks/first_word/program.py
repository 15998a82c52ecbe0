"""The process that a program is measured in: it takes commands on its standard input and answers each on its standard output."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Protocol

import msgspec

from benchmarks.first_word.values import Attach, Command, Idle, Memory, Open, Peak, Said, Send, Spec, Turn, Type

PROGRAMS = {"nemochat": "ours", "llama-cpp-python": "handler", "llama-server": "server", "bare loop": "bare"}
"""The modules by the names of the programs; each has a function `program` that makes one."""
NICE = 10
"""All engines run as nemochat's does, so that what else the machine does meets all of them alike."""


class Program(Protocol):
    """A program that holds conversations with a model. What it cannot do ahead of a turn it leaves undone."""

    async def start(self) -> None:
        """Load the model."""

    async def open(self, command: Open) -> None:
        """Go on with another conversation."""

    async def attach(self, picture: str) -> None:
        """A picture for the next message."""

    async def idle(self, seconds: float) -> None:
        """Nothing happens for so long."""

    async def type(self, command: Type) -> None:
        """The next message is being written."""

    async def send(self, command: Send) -> Turn:
        """One turn."""

    def memory(self) -> Memory:
        """Resident at most so far."""

    async def close(self) -> None:
        """End it as a user would."""


def peak_of(process: int | str = "self") -> int:
    """Bytes of a process that were resident at most."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


class Peer:
    """A program that does nothing ahead, and whose user takes the oldest turns out by hand when the window is full."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.system = ""
        self.said: list[Said] = []
        self._pictures: list[str] = []

    async def open(self, command: Open) -> None:
        """Go on with another conversation."""
        self.system, self.said, self._pictures = command.system, list(command.said), []

    async def attach(self, picture: str) -> None:
        """It goes with the message."""
        self._pictures.append(picture)

    async def idle(self, seconds: float) -> None:
        """There is nothing to wait for."""

    async def type(self, command: Type) -> None:
        """Nobody looks at it."""

    def sent(self, text: str) -> None:
        """The user's message is part of the conversation."""
        self.said.append(Said("user", text, self._pictures.pop() if self._pictures else ""))

    def replied(self, text: str) -> None:
        """So is what the model said."""
        self.said.append(Said("assistant", text))

    def forget_turn(self) -> None:
        """The oldest question goes, with its reply."""
        following = next((at for at, said in enumerate(self.said) if at and said.role == "user"), 0)
        if not following:
            raise SystemExit("One message alone does not fit into the window.")
        del self.said[:following]

    @property
    def messages(self) -> list[dict[str, object]]:
        """The conversation as OpenAI has it."""
        return [{"role": "system", "content": self.system}, *map(_as_openai, self.said)]


def _as_openai(said: Said) -> dict[str, object]:
    if not said.picture:
        return {"role": said.role, "content": said.text}
    url = "data:image/png;base64," + base64.b64encode(Path(said.picture).read_bytes()).decode("ascii")
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": f"\n{said.text}"}]  # a picture has its own line
    return {"role": said.role, "content": parts}


async def _serve(program: Program, answers: int) -> None:
    loop = asyncio.get_running_loop()
    commands = msgspec.json.Decoder(Command)
    await program.start()
    os.write(answers, b"null\n")
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        answer: Turn | Memory | None = None
        match command := commands.decode(line):
            case Open():
                await program.open(command)
            case Attach():
                await program.attach(command.picture)
            case Idle():
                await program.idle(command.seconds)
            case Type():
                await program.type(command)
            case Send():
                answer = await program.send(command)
            case Peak():
                answer = program.memory()
        os.write(answers, msgspec.json.encode(answer) + b"\n")
    await program.close()


def main() -> None:
    """Keep the real standard output for the answers: what the libraries print goes where errors go."""
    answers = os.dup(1)
    os.dup2(2, 1)
    spec = msgspec.json.decode(sys.argv[1], type=Spec)
    if spec.program != "nemochat":
        os.nice(NICE)
    module = import_module(f"benchmarks.first_word.{PROGRAMS[spec.program]}")
    asyncio.run(_serve(module.program(spec), answers))


if __name__ == "__main__":
    main()
