"""What the conversation on the screen costs: opening a long one, scrolling through it, and a reply that streams.

    python -m benchmarks.transcript [--messages N] [--tokens N]

Headless, 120 x 40. Beside each figure stands Textual's own Markdown widget, in the same run: one mounted per message, and fed with
`append` (once a token, not paced) and with `get_stream` (paced as ours). Streaming is counted in CPU time, so that pacing does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from collections.abc import Awaitable, Callable

import psutil
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
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
REPLY = "Reply {0} with **bold** text and `code`.\n\n- one\n- two\n\nAnd a last paragraph, number {0}, a little longer than the others."
CODE = "".join(f"    total_{i} = add(total_{i}, {i})\n" for i in range(1000))


class _Host(App[None]):
    """Nothing but the widget to measure."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


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
            transcript.append(piece)

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


async def measure(messages: int, tokens: int) -> None:
    """All of it, one after another."""
    print("| figure | nemochat | bound | Textual's Markdown | ratio |\n|---|---|---|---|---|")
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
    ours, theirs = await streaming(tokens), await peer_streaming(tokens)
    print(f"| CPU a token, open fence of {tokens:,}, get_stream | {ours:.2f} ms | 5 ms | {theirs:.2f} ms | {ours / theirs:.2f} |")
    theirs = await peer_appending(PEER_APPENDS)
    print(f"| the same, append of the first {PEER_APPENDS} | {ours:.2f} ms | 5 ms | {theirs:.2f} ms | {ours / theirs:.2f} |")


def main() -> None:
    """Read the sizes and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=2_000)
    options = parser.parse_args()
    asyncio.run(measure(options.messages, options.tokens))


if __name__ == "__main__":
    main()
