"""Streaming: however the text is cut, the end looks as if it had been rendered whole; and finished blocks are rendered once."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.highlight import highlight
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Markdown, Static
from textual.widgets.markdown import MarkdownBlock, MarkdownFence

from nemochat.domain.messages import Part, TextPart
from nemochat.prompt.replies import StreamParser, parse_reply
from nemochat.tui.widgets import markdown_blocks, reply_stream, reply_text
from nemochat.tui.widgets.markdown_blocks import split
from nemochat.tui.widgets.markdown_table import Table, lay_out
from tests.idle import until_idle

BLOCKS = [
    "A paragraph with **bold**, `code` and [a link](https://example.com/a%20b).\n\n",
    "# Heading\n",
    "Setext\n---\n\n",
    "- one\n- two\n  - nested\n\n  more of two\n- three\n\n",
    "1. one\n\n2. two\n10. three\n\n",
    "* star\n\n",
    "```python\ndef f():\n\n    return '`'\n```\n",
    "~~~\n```\n~~~\n",
    "````\n```\n````\n\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n",
    "para before\n| a | b |\n|---|---|\n| [/foo] | [@click=app.quit]x[/] |\n\n",
    "> quote\n> ```\n> code\n\n",
    "lazy\n> quote\ngoes on\n\n",
    "    indented\n\n    code\n\n",
    "***\n",
    "<b>not html</b> <div>\n\n",
    "\\[\nx = a\n+ b\n- c\n\\]\n",
    "Words\n$$ a_1 $$\n",
    "$$\nnever closed\n",
    "\\begin{aligned}\na \\\\\n=\n\\end{aligned}\n\n",
    "1. list\n   \\[ a\n   \\]\n",
    "\\(a\nb\\) and これは**「重要」**です<br>next\n\n",
    "word\n",
    "\n\n",
    "2\n",
    "-",
    "**bold start** of a line\n",
    "[ref] is defined elsewhere\n\n",
    "```\nnever closed\n",
]
REFERENCE = "[ref]: https://example.com/reference\n\n"


class Host(App[None]):
    """A column for a reply."""

    def __init__(self) -> None:
        super().__init__()
        self.column = VerticalScroll()

    def compose(self) -> ComposeResult:
        yield self.column


def looks(widget: Widget) -> Any:
    """What a tree of widgets shows."""
    if isinstance(widget, Table):
        return type(widget).__name__, lay_out(widget._rows, widget._aligns, 80).plain, widget.source_range
    if isinstance(widget, MarkdownBlock) and not isinstance(widget, MarkdownFence) and not widget.children:
        content = widget.visual
        assert isinstance(content, Content)
        return type(widget).__name__, content.plain, content.spans, widget.source_range
    shown = widget.code if isinstance(widget, MarkdownFence) else str(widget.content) if isinstance(widget, Static) else ""
    return type(widget).__name__, shown, [looks(child) for child in widget.children]


class StreamHost(Host):
    """Streams into one home widget."""

    async def stream(self, pieces: list[str]) -> tuple[list[Any], tuple[Part, ...]]:
        home = VerticalScroll()
        await self.column.mount(home)
        stream = reply_stream.ReplyStream(self.column)
        await stream.open(home)  # type: ignore[arg-type]
        parser = StreamParser()
        for piece in pieces:
            stream.append(parser.push(piece))
            await stream.flush()
        stream.append(parser.finish())
        await stream.finish()
        await until_idle()
        shown = [looks(child) for child in home.children]
        await home.remove()
        return shown, stream.parts

    async def whole(self, text: str) -> list[Any]:
        home = VerticalScroll()
        await self.column.mount(home)
        await home.mount_all(reply_stream.widgets_of(reply_stream.joined(parse_reply(text))))
        await until_idle()  # a list mounts its items, and they mount theirs later
        shown = [looks(child) for child in home.children]
        await home.remove()
        return shown


def cut(text: str, chance: random.Random, pieces: int) -> list[str]:
    places = sorted(chance.randrange(len(text) + 1) for _ in range(pieces))
    return [text[start:stop] for start, stop in zip([0, *places], [*places, len(text)], strict=True)]


def tokens_of(source: str) -> list[tuple[str, str, str]]:
    tokens = markdown_blocks.parser().parse(source)
    return [(each.type, each.content, each.markup) for token in tokens for each in (token, *(token.children or ()))]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(BLOCKS), max_size=6), st.randoms(use_true_random=False), st.integers(1, 12))
def test_finished_blocks_put_together_are_the_whole(blocks: list[str], chance: random.Random, pieces: int) -> None:
    """Fails when a block is called finished that later text still changes."""
    source, rest, found = "".join(blocks), "", []
    for piece in cut(source, chance, pieces):
        done = split(rest + piece)
        assert done.finished + done.open == rest + piece
        rest = done.open
        found += tokens_of(done.finished)
    assert found + tokens_of(rest) == tokens_of(source)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.endswith("\n\n") and block.strip()])
def test_a_block_does_not_wait_longer_than_needed(block: str) -> None:
    """Fails when finished blocks stay plain text although the next one has surely begun."""
    assert split(block + "Next").open in ("Next", "\nNext")


def test_a_code_fence_is_finished_with_its_closing_line() -> None:
    assert split("```py\nx\n```\n").open == ""
    assert split("```py\nx\n``").is_fence
    assert split("```py\nx\n```").open == "```py\nx\n```"


def test_a_long_number_is_not_taken_for_a_paragraph_after_a_list() -> None:
    """`2` may still become `2.`, which goes on with the list."""
    assert split("1. one\n\n2").finished == ""


@pytest.mark.parametrize("seed", range(12))
async def test_the_end_looks_like_a_whole_rendering(seed: int) -> None:
    """Fails when a streamed reply differs from the same reply opened later: other blocks, texts or line numbers."""
    chance = random.Random(seed)
    app = StreamHost()
    async with app.run_test(size=(80, 24)):
        text = "".join(chance.choices(BLOCKS, k=7)) + (REFERENCE if seed % 3 == 0 else "")
        if seed % 4 == 1:
            text += '<toolcall> {"name": "add", "arguments": {"a": 1}} </toolcall>' + "".join(chance.choices(BLOCKS, k=2))
        shown, parts = await app.stream(cut(text, chance, 20))
        assert shown == await app.whole(text)
        assert parts == reply_stream.joined(parse_reply(text))


async def test_references_are_resolved_in_blocks_that_came_before() -> None:
    app = StreamHost()
    async with app.run_test(size=(80, 24)):
        shown, _ = await app.stream(["See [ref] there.\n\nMore.\n\n", REFERENCE])
        assert shown[0][2][0][1] == "See ref there."
        shown, _ = await app.stream(["See [ref] there.\n\nMore.\n\n[ref]: https://example.com"])
        assert shown[0][2][0][1] == "See ref there."


async def test_finished_blocks_are_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when streaming becomes quadratic: a fence coloured again and again, a paragraph made anew."""
    coloured: list[str] = []

    def coloring(code: str, **options: Any) -> Content:
        coloured.append(code)
        return highlight(code, **options)

    monkeypatch.setattr("nemochat.tui.widgets.reply_text.highlight", coloring)
    app = StreamHost()
    async with app.run_test(size=(80, 24)):
        code = "".join(f"x = {i}\n" for i in range(50))
        pieces = ["Look:\n\n```python\n", *code.splitlines(keepends=True), "```\n", "and ", "more ", "words\n\n", "- x\n"]
        await app.stream(pieces)
    assert coloured == [code.rstrip()]


async def test_the_open_block_is_plain_text_until_it_closes() -> None:
    app = StreamHost()
    async with app.run_test(size=(80, 24)):
        stream = reply_stream.ReplyStream(app.column)
        await stream.open(app.column)  # type: ignore[arg-type]
        stream.append([TextPart("Some **bold** text.\n\n```python\nx = 1\ny")])
        await stream.flush()
        (text,) = app.column.children
        paragraph, tail = text.children
        assert isinstance(tail, reply_text.OpenBlock)
        assert str(tail.content) == "python\nx = 1\ny"
        stream.append([TextPart("\n```\n")])
        await stream.flush()
        assert text.children[0] is paragraph
        assert isinstance(text.children[1], MarkdownFence)
        assert not tail.display
        await stream.finish()


async def test_flushes_are_at_most_ten_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when every token costs a repaint. The first text is not held back."""
    delays: list[float] = []
    now = 100.0
    monkeypatch.setattr(reply_stream, "time", SimpleNamespace(monotonic=lambda: now))
    app = StreamHost()
    async with app.run_test(size=(80, 24)):

        def set_timer(delay: float, _: object) -> Timer:
            delays.append(delay)
            return app.set_timer(60, lambda: None)

        monkeypatch.setattr(app.column, "set_timer", set_timer)
        stream = reply_stream.ReplyStream(app.column)
        await stream.open(app.column)  # type: ignore[arg-type]
        stream.append([TextPart("a")])
        await stream.flush()
        now += 0.03
        for _ in range(5):
            stream.append([TextPart("b")])
        await stream.flush()
        assert delays == pytest.approx([0.001, 0.07])
        stream.append([TextPart("the tail")])
        await stream.finish()
        assert stream.parts == reply_stream.joined(parse_reply("abbbbbthe tail"))


async def test_a_tool_call_is_one_line_and_its_tags_are_never_shown() -> None:
    app = StreamHost()
    async with app.run_test(size=(80, 24)):
        good = '<toolcall> {"name": "calc\\u001b", "arguments": {"expression": "2 + 2"}} </toolcall>'
        shown, _ = await app.stream(list(f"Let me see. {good}<toolcall>{{bad \x1b]52;c;x\x07</toolcall>"))
        assert [entry[1] for entry in shown[1:]] == ['⚙ calc(expression="2 + 2")', "⚙ a tool call that could not be read: {bad ]52;c;x"]


async def test_hostile_markdown_becomes_text() -> None:
    """Markup, escapes and HTML are shown as they were written, in a table too."""
    app = StreamHost()
    async with app.run_test(size=(80, 24)) as pilot:
        markdown = reply_text.ReplyText("x [/foo] [@click=app.quit]y[/] <b>z</b>\n\n| [/foo] |\n|---|\n| [bold] |\n")
        await app.column.mount(markdown)
        await pilot.pause()
        assert str(markdown.query(MarkdownBlock).first().visual) == "x [/foo] [@click=app.quit]y[/] <b>z</b>"
        assert str(markdown.query_one(Table).render()) == "[/foo]\n──────\n[bold]"
        assert isinstance(markdown, Markdown)


def test_the_language_of_code_is_never_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guessing runs every lexer that pygments has: a second of stillness for a long block."""
    monkeypatch.setattr("textual.highlight.guess_language", lambda *_: pytest.fail("guessed"))
    assert reply_text.Fence.highlight("#!/bin/sh\nls", "").plain == "#!/bin/sh\nls"
    assert reply_text.Fence.highlight("x", "no-such-language title=y").plain == "x"
    assert not reply_text.Fence.highlight("x = 1\n" * 20_000, "python").spans[1:]


def test_while_the_user_types_a_flush_waits_for_the_gap_behind_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    delays: list[float] = []
    clock = [100.0]
    monkeypatch.setattr(reply_stream, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    class Driver:
        def set_timer(self, delay: float, callback: object) -> Driver:
            delays.append(round(delay, 3))
            return self

        def stop(self) -> None:
            return

    stream = reply_stream.ReplyStream(Driver())  # type: ignore[arg-type]
    stream._last_flush = 100.0
    stream.append([TextPart("a")])
    assert delays == [0.1]  # nobody types: at the next tenth of a second
    stream.typed()
    assert delays[-1] == 0.35  # too soon after the last flush: the next key brings it forward
    clock[0] += 0.09
    stream.typed()
    assert delays[-1] == reply_stream.ECHO_SECONDS


async def test_a_line_break_of_the_model_is_one_on_the_screen() -> None:
    from nemochat.tui.widgets.markdown_blocks import parser

    (inline,) = [token for token in parser().parse("*She nods.*\nCome in.") if token.type == "inline"]
    assert "hardbreak" in [child.type for child in inline.children or ()]
