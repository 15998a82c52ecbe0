"""What a person feels in the interface: the first frame, a key that is echoed while a reply streams, and what the screen costs the model.

    python -m benchmarks.interface [--runs N]

The first two in a real pseudo-terminal, the model being played by the scripted engine; each beside a bare Textual app that holds one
TextArea and nothing else. A time ends when the bytes have come out of the program: the terminal emulator reads them afterwards and must
show the same. Then keys in the transcript alone (headless), a long one beside a short one. The last runs the demo model in turns without
a screen and under the whole app (headless).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import select
import statistics
import string
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.heldout.draw import make_picture
from benchmarks.transcript import LONG_SECTIONS, conversation, focusing, until_seen
from nemochat.chat import Attachment, Chat, ChatSession, Talk, TurnResult
from nemochat.chat.pictures import open_picture
from nemochat.cli.bench import Bench
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.tui.app import NemochatApp
from tests.terminal.tty import PATIENCE, ROOT, Terminal, nemochat

PLACEHOLDER = "Ask something"
BARE = f"""
from textual.app import App
from textual.widgets import TextArea
class Bare(App):
    def compose(self):
        yield TextArea(placeholder="{PLACEHOLDER}")
Bare().run()
"""
TOKENS_A_SECOND = 60
KEY_SECONDS = 0.05
LINE = string.ascii_uppercase
"""What is typed: no two of these letters in a row stand in the reply or elsewhere on the screen."""
LONG_CHAT = 2_000
PAGES = 15
LINES = 2
WARM_UP = 8
"""Letters at the beginning of a run that do not count."""
PROSE = "the quick fox sees a *small* river and walks along it until the evening comes, **slowly** and without a word. "
QUESTION = "Describe the picture."
WARM_UP_REPLIES = 2
CLEAR_LINE = "\x15"
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "NEMOCHAT_INTERFACE_PICTURES": "halfblocks", "NEMOCHAT_SAMPLING_MAX_TOKENS": "2000"}
READ_BYTES = 65536

Rows = list[tuple[str, Sequence[float], str, str, Sequence[float]]]
"""What is measured, its values, its bound, what stands beside it, and the values of that."""


class RawTerminal(Terminal):
    """A terminal whose output can be looked at before the emulator spends time on it."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.raw = bytearray()
        self._shown = 0
        super().__init__(command, ENVIRONMENT, folder)

    def until(self, wanted: bytes, start: int = 0) -> float:
        """Read until the output holds some bytes behind `start`; the time at which they had come."""
        deadline = time.monotonic() + PATIENCE
        while self.raw.find(wanted, start) < 0:
            if time.monotonic() > deadline or (not self.take(0.2) and self.process.poll() is not None):
                self.show()
                raise SystemExit(f"the terminal never got {wanted!r}:\n{self.text}")
        return time.perf_counter()

    def take(self, seconds: float) -> bool:
        """Take in what comes within `seconds`; whether anything did."""
        if not select.select([self._master], [], [], max(seconds, 0.0))[0]:
            return False
        self.raw += os.read(self._master, READ_BYTES)
        return True

    def rest(self, until: float) -> None:
        """Take in what comes up to a time (time.perf_counter)."""
        while (left := until - time.perf_counter()) > 0:
            self.take(left)

    def show(self) -> str:
        """Let the emulator read what has come, and return the screen."""
        self._stream.feed(bytes(self.raw[self._shown :]))
        self._shown = len(self.raw)
        return self.text


def bare() -> list[str]:
    """The peer: Textual and one TextArea."""
    return [sys.executable, "-c", BARE]


def first_paint(command: list[str], folder: Path) -> float:
    """Milliseconds from the start of the program to the first frame with the placeholder."""
    started = time.perf_counter()
    with RawTerminal(command, folder) as tty:
        # The cursor stands on the first letter, in colours of its own.
        elapsed = tty.until(PLACEHOLDER[1:].encode()) - started
        tty.rest(time.perf_counter() + 0.1)
        if PLACEHOLDER not in tty.show():
            raise SystemExit(f"the placeholder is not on the screen:\n{tty.text}")
    return elapsed * 1000


def echoes(tty: RawTerminal, pace: random.Random) -> list[float]:
    """Milliseconds from each letter to its echo, while letters come every KEY_SECONDS and, at random, a little later."""
    times: list[float] = []
    for _ in range(LINES):
        tty.send(LINE[0])
        for before, letter in pairwise(LINE):
            # Without the jitter all letters would meet the same moment between two flushes of the reply.
            tty.rest(time.perf_counter() + KEY_SECONDS + pace.uniform(0.0, 0.02))
            start = len(tty.raw)
            sent = time.perf_counter()
            tty.send(letter)
            times.append((tty.until(f"{before}{letter}".encode(), start) - sent) * 1000)
        tty.rest(time.perf_counter() + 0.2)
        if LINE not in tty.show():
            raise SystemExit(f"what was typed is not on the screen:\n{tty.text}")
        tty.send(CLEAR_LINE)
        tty.rest(time.perf_counter() + 0.2)
    return times[WARM_UP:]


def echo_while_streaming(folder: Path, pace: random.Random) -> list[float]:
    """Typing into nemochat while the scripted engine writes, in a chat of LONG_CHAT messages."""
    chat = folder / "long.json"
    chat.write_text(json.dumps([{"role": entry.message.role.value, "content": entry.message.text} for entry in conversation(LONG_CHAT)]))
    script = folder / "model.script.json"
    script.write_text(json.dumps({"replies": [{"text": f"{PROSE * 3}\n\n" * 40}], "token_seconds": 1 / TOKENS_A_SECOND}))
    with RawTerminal(nemochat("--model", str(script)), folder) as tty:
        tty.until(b"ready")
        tty.send(f"/open {chat}\r")
        tty.until(f"number {LONG_CHAT - 1}".encode())
        tty.rest(time.perf_counter() + 1.0)
        tty.send("Go on.\r")
        tty.until(b"quick", len(tty.raw))
        times = echoes(tty, pace)
        start = len(tty.raw)
        tty.rest(time.perf_counter() + 0.5)
        if tty.show().count("quick") < 2 or len(tty.raw) == start:
            raise SystemExit(f"the reply did not stream to the end of the typing:\n{tty.text}")
    return times


def echo_idle(folder: Path, pace: random.Random) -> list[float]:
    """Typing into the bare app."""
    with RawTerminal(bare(), folder) as tty:
        tty.until(PLACEHOLDER[1:].encode())
        tty.rest(time.perf_counter() + 0.3)
        return echoes(tty, pace)


def rate(result: TurnResult) -> float:
    """Tokens a second of the decoding alone, as the engine's clock has it."""
    return result.usage.completion_tokens / result.timings.decode_ms * 1000


async def plain_turn(session: ChatSession, attached: Attachment) -> tuple[float, float]:
    """One reply without a screen: its rate, and milliseconds from sending to its end."""
    started = time.perf_counter()
    result: TurnResult | None = None
    async for event in Talk(session).send(Message(Role.USER, (attached.part, TextPart(QUESTION)))):
        if isinstance(event, TurnResult):
            result = event
    assert result is not None
    return rate(result), (time.perf_counter() - started) * 1000


async def app_turn(app: NemochatApp, picture: Path) -> tuple[float, float]:
    """The same reply in the app, with an empty conversation, its picture attached beforehand as a user would have it."""
    screen = app.chat_screen
    screen.desk.change(Chat())
    screen.desk.draft.add_source(str(picture))
    while not all(item.tokens for item in screen.desk.draft.items) or screen.desk.reading.is_at_work:
        await asyncio.sleep(0.01)
    screen.prompt.area.insert_pasted(QUESTION)
    await asyncio.sleep(0.05)
    started = time.perf_counter()
    app.simulate_key("enter")
    while not (screen.desk.chat.entries and screen.desk.chat.entries[-1].record) or screen.desk.turns.is_running:
        await asyncio.sleep(0.001)
    elapsed = (time.perf_counter() - started) * 1000
    record = screen.desk.chat.entries[-1].record
    assert record is not None
    return rate(record.result), elapsed


async def decoding(picture: Path, replies: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Replies in turns: by the app, and by the session alone. Both have a process of their own for the model."""
    greedy = {"sampling": {"temperature": 0.0}}
    session = await Bench(None, None, greedy).open(None)
    attached = await session.reader.attach(open_picture(str(picture)).image, picture.name)
    app = NemochatApp(Bench(None, None, greedy))
    ours: list[tuple[float, float]] = []
    alone: list[tuple[float, float]] = []
    async with app.run_test(size=(120, 40)) as pilot:
        while len(app.screen_stack) < 2 or not app.chat_screen.desk.model.is_loaded:
            await pilot.pause(0.05)
        for index in range(replies + 2):
            plain, whole = await plain_turn(session, attached), await app_turn(app, picture)
            if index >= WARM_UP_REPLIES:
                alone.append(plain)
                ours.append(whole)
    await session.close()
    return ours, alone


async def keys_in_the_transcript() -> Rows:
    """Focusing a long message beside one of one line, and Page Up in a long conversation beside a short one; without a terminal."""
    long, line = [await until_seen(*focusing(sections)) for sections in (LONG_SECTIONS, 0)]
    pages = [await until_seen(conversation(length), ["pageup"] * PAGES) for length in (10_000, 200)]
    return [
        ("focus a message of 8,000 tokens, ms", long, "ratio 2", "of one line", line),
        (f"Page Up seen, the last {PAGES} screenfuls of 10,000 messages, ms", pages[0], "p95 ratio 1.5", "of 200 messages", pages[1]),
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def measure(folder: Path, runs: int) -> Rows:
    """All of it, in turns with its peer, so that a slow spell of the machine meets both."""
    pace = random.Random(1)
    paints: tuple[list[float], list[float]] = ([], [])
    keys: tuple[list[float], list[float]] = ([], [])
    for command in (nemochat(), bare()):
        first_paint(command, folder)
    for _ in range(runs):
        paints[0].append(first_paint(nemochat(), folder))
        paints[1].append(first_paint(bare(), folder))
        keys[0].extend(echo_while_streaming(folder, pace))
        keys[1].extend(echo_idle(folder, pace))
    picture = make_picture(random.Random(1), folder, 4).path
    ours, alone = asyncio.run(decoding(Path(picture), max(20, runs * 8)))
    rates, alone_rates = ([first for first, _ in each] for each in (ours, alone))
    whole, alone_whole = ([second for _, second in each] for each in (ours, alone))
    typing = f"key to echo, {TOKENS_A_SECOND} tokens/s streaming, {LONG_CHAT:,} messages, ms"
    return [
        ("first frame that takes keys, ms", paints[0], "ratio 1.5", "bare TextArea app", paints[1]),
        (typing, keys[0], "p95 ratio 1.2", "bare TextArea app, idle", keys[1]),
        *asyncio.run(keys_in_the_transcript()),
        ("decode, demo model, tokens/s", rates, "ratio 0.97", "session without a screen", alone_rates),
        ("Enter to the reply's end, ms", whole, "", "session without a screen", alone_whole),
    ]


def print_table(rows: Rows) -> None:
    """Medians and 95th percentiles; the ratio is of the medians, for the echo of the percentiles."""
    print("| figure | median | p95 | bound | peer or base | its median | its p95 | ratio |\n|---|---|---|---|---|---|---|---|")
    for name, ours, bound, peer, theirs in rows:
        mine = statistics.median(ours), percentile(ours, 0.95)
        other = statistics.median(theirs), percentile(theirs, 0.95)
        at = 1 if bound.startswith("p95") else 0
        figures = f"{mine[0]:,.1f} | {mine[1]:,.1f} | {bound} | {peer} | {other[0]:,.1f} | {other[1]:,.1f} | {mine[at] / other[at]:.3f}"
        print(f"| {name} | {figures} |")


def main() -> None:
    """Measure in a temporary folder that is also the user's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        for kind in ("CONFIG", "DATA", "LOG", "CACHE"):
            os.environ[f"NEMOCHAT_{kind}_DIR"] = str(Path(name) / kind.lower())
        rows = measure(Path(name), runs)
    print_table(rows)
    if load > 1:
        print(f"\nOther programs kept the machine busy meanwhile (load average {load:.1f} at the beginning, on {os.cpu_count()} cores).")


if __name__ == "__main__":
    main()
