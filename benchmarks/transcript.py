"""What the conversation on the screen costs: opening a long one, scrolling through it, and a reply that streams.

    python -m benchmarks.transcript [--messages N] [--tokens N] [--only-keys]

Headless, 120 x 40. Scrolling from end to end is done by keys, as the user does it, each one pressed when everything that the one before
brought about is on the screen; `--only-keys` measures nothing else. Beside each other figure stands Textual's own Markdown widget, in the
same run: one mounted per message, and fed with `append` (once a token, not paced) and with `get_stream` (paced as ours). Streaming is
counted in CPU time, so that pacing does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import psutil
from rich.console import RenderableType
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.events import Key
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Markdown

from nemochat.chat import Entry
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.tui.widgets.transcript import Transcript

SIZE = (120, 40)
RATE = 100
PEER_MESSAGES = 100
PEER_APPENDS = 300
SCROLLED = 120
JUMPS = 10
PATIENCE = 2.0
FRAME, STILL = 0.02, 4
"""Nothing may have changed for so many frames of so many seconds before a key counts as done."""
REPLY = "Reply {0} with **bold** text and `code`.\n\n- one\n- two\n\nAnd a last paragraph, number {0}, a little longer than the others."
SECTION = (
    "## Part {0}\n\nA paragraph with **bold** text, number {0}.\n\n- one\n- two\n- three\n\n"
    "```python\ndef f{0}(x):\n    return x\n```\n"
)
LONG_SECTIONS = 140
"""Of a message of about 8,000 tokens."""
FOCUS_CHANGES = 12
CODE = "".join(f"    total_{i} = add(total_{i}, {i})\n" for i in range(1000))


class _Host(App[None]):
    """Nothing but the widget to measure. `painted` is called whenever the screen is painted."""

    def __init__(self, widget: Widget, painted: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.widget = widget
        self._painted = painted

    def compose(self) -> ComposeResult:
        yield self.widget

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        # There is no public place that every update of the screen comes past.
        super()._display(screen, renderable)
        if renderable is not None and not self._batch_count:
            self._painted()


def conversation(length: int) -> list[Entry]:
    """Questions and replies in turn."""
    return [
        Entry(Message(Role.ASSISTANT, (TextPart(REPLY.format(i)),)) if i % 2 else Message(Role.USER, (TextPart(f"Question {i}?"),)))
        for i in range(length)
    ]


def resident_mb() -> float:
    """Memory of this process now."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


async def opening(length: int) -> tuple[float, float]:
    """Seconds until the end of the conversation is on the screen, and MB over an empty one, its values included."""
    transcript = Transcript()
    async with _Host(transcript).run_test(size=SIZE) as pilot:
        await pilot.pause()
        before = resident_mb()
        entries = conversation(length)
        started = time.perf_counter()
        transcript.show(entries, None, "model")
        while not transcript.max_scroll_y:
            await asyncio.sleep(0.001)
        seconds = time.perf_counter() - started
        await pilot.pause(0.5)
        if transcript.stop != len(entries):
            raise SystemExit("the end of the conversation is not on the screen")
        return seconds, resident_mb() - before


async def scrolling(entries: list[Entry]) -> tuple[float, float, int]:
    """Milliseconds of CPU a message, the longest pause, and the screenfuls, from the last message to the first."""
    transcript = Transcript()
    async with _Host(transcript).run_test(size=SIZE) as pilot:
        transcript.show(entries, None, "model")
        await pilot.pause(0.5)
        cpu, pages, longest = time.process_time(), 0, 0.0
        while transcript.first or transcript.scroll_y:
            before = time.process_time()
            transcript.action_page(-1)
            await asyncio.sleep(0.03)
            longest = max(longest, time.process_time() - before)
            pages += 1
        return (time.process_time() - cpu) / len(entries) * 1000, longest * 1000, pages


Place = tuple[float, float, int, int]
"""Where the view is: its row, the last row, the first message that is mounted and the one after the last."""


class Keys(NamedTuple):
    """Scrolling by keys. By name, milliseconds until the page is seen and until everything is done that the key brought about, which holds
    up the next one; and MB over an empty conversation, at the end and at most."""

    seen: dict[str, list[float]]
    done: dict[str, list[float]]
    megabytes: float
    most: float


async def scrolling_by_keys(length: int) -> Keys:
    """From the last message to the first by Page Up, down again by Page Down, and to both ends by Home and End."""
    transcript = Transcript()
    paints: list[tuple[float, Place]] = []

    def place() -> Place:
        return transcript.scroll_y, transcript.max_scroll_y, transcript.first, transcript.stop

    app = _Host(transcript, lambda: paints.append((time.perf_counter(), place())))
    seen: dict[str, list[float]] = {name: [] for name in ("pageup", "pagedown", "home", "end")}
    done: dict[str, list[float]] = {name: [] for name in seen}
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        before = most = resident_mb()
        transcript.show(conversation(length), None, "model")
        transcript.focus_last()
        await pilot.pause(0.5)

        async def press(key: str) -> None:
            """Press a key, and wait until nothing moves any more and no more messages are mounted."""
            paints.clear()
            started, before = time.perf_counter(), place()
            app.post_message(Key(key, None))
            while all(at == before for _, at in paints) and time.perf_counter() < started + PATIENCE:
                await asyncio.sleep(0.001)
            states: list[tuple[int, Place]] = []
            while len(states) < STILL or len(set(states[-STILL:])) > 1:
                states.append((len(paints), place()))
                drawn = asyncio.Event()
                # After what is drawn now, and after what that has put into the widget's queue: more messages to be mounted.
                transcript.call_after_refresh(transcript.call_later, drawn.set)
                await drawn.wait()
                await asyncio.sleep(FRAME)
            seen[key].append(next((at - started for at, where in paints if where != before), PATIENCE) * 1000)
            done[key].append((max((at for at, _ in paints), default=started + PATIENCE) - started) * 1000)

        async def go(key: str, arrived: Callable[[], bool], most_presses: int) -> None:
            nonlocal most
            for count in range(most_presses):
                await press(key)
                if arrived():
                    return
                if count % 100 == 0:
                    most = max(most, float(psutil.Process().memory_info().rss) / 1e6)
            raise SystemExit(f"{key} never came to the end of the conversation: {place()} of {length:,} messages")

        def is_first() -> bool:
            return transcript.first == 0 and transcript.scroll_y == 0

        def is_last() -> bool:
            return transcript.stop == length and transcript.scroll_y == transcript.max_scroll_y

        for _ in range(JUMPS):
            await go("home", is_first, 1)
            await go("end", is_last, 1)
        await go("pageup", is_first, length)
        await go("pagedown", is_last, length)
        megabytes = resident_mb()
    return Keys(seen, done, megabytes - before, max(most, megabytes) - before)


async def until_seen(entries: list[Entry], keys: Sequence[str], *, rest: float = 0.25) -> list[float]:
    """Milliseconds from each key to the frame that shows what it did. Between the keys everything comes to rest."""
    transcript, painted = Transcript(), asyncio.Event()
    times = []
    async with (app := _Host(transcript, painted.set)).run_test(size=SIZE):
        transcript.show(entries, None, "model")
        transcript.focus_last()
        while not transcript.max_scroll_y or transcript.focused_view() is None:
            await asyncio.sleep(0.01)
        await asyncio.sleep(8 * rest)
        for key in keys:
            await asyncio.sleep(rest)
            painted.clear()
            started = time.perf_counter()
            app.post_message(Key(key, None))
            await asyncio.wait_for(painted.wait(), 20 * PATIENCE)
            times.append((time.perf_counter() - started) * 1000)
    return times


def focusing(sections: int) -> tuple[list[Entry], list[str]]:
    """A conversation whose last message but one has so many sections (0: one line), and the keys that focus it and the last one in turn."""
    text = "\n".join(SECTION.format(n) for n in range(sections)) or "One line."
    entries = [*conversation(30), Entry(Message(Role.ASSISTANT, (TextPart(text),))), Entry(Message(Role.USER, (TextPart("And then?"),)))]
    return entries, ["k", "j"] * FOCUS_CHANGES


async def peer_mounting(entries: list[Entry]) -> float:
    """Seconds of CPU to mount one Markdown widget for each message."""
    column = VerticalScroll()
    async with _Host(column).run_test(size=SIZE) as pilot:
        started = time.process_time()
        await column.mount_all(Markdown(entry.message.text) for entry in entries)
        await pilot.pause()
        return time.process_time() - started


async def paced(tokens: int, write: Callable[[str], Awaitable[None]]) -> float:
    """Milliseconds of CPU a token while code comes in at RATE tokens a second."""
    pieces = ["```python\n", *(CODE[i * 4 : i * 4 + 4] for i in range(tokens - 1))]
    started, cpu = time.perf_counter(), time.process_time()
    for count, piece in enumerate(pieces):
        await write(piece)
        await asyncio.sleep(max(0.0, started + count / RATE - time.perf_counter()))
    return (time.process_time() - cpu) / tokens * 1000


async def streaming(tokens: int) -> float:
    """Ours: one open fence."""
    transcript = Transcript()
    async with _Host(transcript).run_test(size=SIZE) as pilot:
        transcript.show(conversation(20), None, "model")
        transcript.begin_reply("model")
        await pilot.pause(0.5)

        async def write(piece: str) -> None:
            transcript.append([TextPart(piece)])

        return await paced(tokens, write)


async def peer_streaming(tokens: int) -> float:
    """Textual's stream: the same fence at the same pace."""
    markdown = Markdown()
    column = VerticalScroll(markdown)
    async with _Host(column).run_test(size=SIZE):
        column.anchor()
        stream = Markdown.get_stream(markdown)
        cost = await paced(tokens, stream.write)
        await stream.stop()
        return cost


async def peer_appending(tokens: int) -> float:
    """Textual's append, once a token."""
    markdown = Markdown()
    async with _Host(VerticalScroll(markdown)).run_test(size=SIZE):
        cpu = time.process_time()
        await markdown.append("```python\n")
        for i in range(tokens):
            await markdown.append(CODE[i * 4 : i * 4 + 4])
        return (time.process_time() - cpu) / tokens * 1000


def p95(values: list[float]) -> float:
    """What 95 of 100 are not above."""
    return statistics.quantiles(values, n=20)[-1]


async def measure_keys(messages: int) -> None:
    """From end to end."""
    keys = await scrolling_by_keys(messages)
    for name, title in (("pageup", "Page Up from the last to the first"), ("pagedown", "Page Down to the last again")):
        for what, each in (("until seen", keys.seen[name]), ("until all is done", keys.done[name])):
            figures = f"median {statistics.median(each):.0f} ms, p95 {p95(each):.0f} ms, longest {max(each):.0f} ms"
            print(f"| {title} of {messages:,} messages, {len(each):,} keys, {what} | {figures} | p95 100 ms | | |")
    jumps = keys.done["home"] + keys.done["end"]
    print(f"| Home and End, {len(jumps)} keys | median {statistics.median(jumps):.0f} ms, longest {max(jumps):.0f} ms | | | |")
    print(f"| memory over an empty one, then | {keys.megabytes:.0f} MB, at most {keys.most:.0f} MB | 150 MB | | |")


async def measure(messages: int, tokens: int, *, only_keys: bool) -> None:
    """All of it, one after another."""
    print("| figure | nemochat | bound | Textual's Markdown | ratio |\n|---|---|---|---|---|")
    if only_keys:
        await measure_keys(messages)
        return
    seconds, megabytes = await opening(messages)
    entries = conversation(max(PEER_MESSAGES, SCROLLED))
    peer = await peer_mounting(entries[:PEER_MESSAGES])
    row = f"{peer:.2f} s for {PEER_MESSAGES} | {seconds / peer:.2f}"
    print(f"| open {messages:,} messages | {seconds:.2f} s | 1 s | {row} |")
    print(f"| memory over an empty one | {megabytes:.0f} MB | 150 MB | | |")
    cost, longest, pages = await scrolling(entries[:SCROLLED])
    each = peer / PEER_MESSAGES * 1000
    print(f"| scroll {SCROLLED} messages, {pages} keys, CPU a message | {cost:.1f} ms | | {each:.1f} ms mounted | {cost / each:.2f} |")
    print(f"| the longest key press | {longest:.0f} ms | | | |")
    await measure_keys(messages)
    ours, theirs = await streaming(tokens), await peer_streaming(tokens)
    print(f"| CPU a token, open fence of {tokens:,}, get_stream | {ours:.2f} ms | 5 ms | {theirs:.2f} ms | {ours / theirs:.2f} |")
    theirs = await peer_appending(PEER_APPENDS)
    print(f"| the same, append of the first {PEER_APPENDS} | {ours:.2f} ms | 5 ms | {theirs:.2f} ms | {ours / theirs:.2f} |")


def main() -> None:
    """Read the sizes and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=2_000)
    parser.add_argument("--only-keys", action="store_true")
    options = parser.parse_args()
    asyncio.run(measure(options.messages, options.tokens, only_keys=options.only_keys))


if __name__ == "__main__":
    main()
