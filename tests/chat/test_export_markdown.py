"""Exported Markdown, rendered by a renderer that takes everything: nothing of a message reaches out of it, and what it says stays."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from nemochat.chat import Entry, ReplyRecord, TurnResult
from nemochat.chat.export import to_html, to_markdown
from nemochat.chat.export_markdown import tamed
from nemochat.domain.events import FinishReason, Timings, Usage
from nemochat.domain.messages import ContextPart, ImagePart, Message, Part, ReasoningPart, Role, TextPart, ToolResultPart
from nemochat.domain.replies import ModelRef
from nemochat.domain.sampling import Sampling
from tests.calls import call_part
from tests.chat.test_export import Page

RENDERERS = [MarkdownIt("commonmark", {"html": True}), MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])]
for _renderer in RENDERERS:
    _renderer.validateLink = lambda url: True  # type: ignore[method-assign]
OF_MARKDOWN = {
    "h2", "p", "ul", "ol", "li", "em", "strong", "s", "code", "pre", "blockquote", "hr", "br", "a", "table", "thead", "tbody", "tr", "th",
    "td",
}  # fmt: skip
FRAGMENTS = [
    "<img src=http://evil/x.png onerror=alert(1)>", "<script>alert(1)</script>", "<!-- ", "-->", "<details open>", "</p>", "<style>",
    "<?x", "<![CDATA[",
    "<a href='`'>", "<b", ">", "![p](http://evil/p.png)", "![p][r]", "![", "](http://evil/x)", "[r]: http://evil", "[r]:\nhttp://evil 't'",
    "[^1]: n", "[r]",
    "[x](javascript:alert(1))", "[x](&#106;avascript:alert(1))", "[x](<javascript:alert(1)>)", "<javascript:alert(1)>",
    "<https://ok.example>",
    "[You]: http://evil", "# You", "## Assistant", "##", "# *a* \\", "You\n---", "Assistant\n===", "---", "===", "***", "```", "````",
    "~~~", "`", "``",
    "```html", "- ", "1. ", "> ", "    ", "\t", "|", "| a |\n|---|\n", "\\", "\n", "\n\n", "&lt;img&gt;", "words", "**b**", "*", "_", "]",
    "[", "(", ")", "!",
    "\u2028", "\x1b]0;x\x07", "\r", "\u202e",
]  # fmt: skip
HOSTILE = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join)


def reply(*parts: Part) -> Entry:
    return Entry(Message(Role.ASSISTANT, parts))


def pages(text: str) -> list[Page]:
    return [Page(renderer.render(text)) for renderer in RENDERERS]


def assert_tame(text: str, headings: list[str], pictures: list[str]) -> None:
    for renderer in RENDERERS:
        tokens = renderer.parse(text)
        found = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
        assert found == headings, text
        assert all(token.level == 0 for token in tokens if token.type == "heading_open")
    for page in pages(text):
        assert {tag for tag, _ in page.tags} <= OF_MARKDOWN | {"img"}, text
        assert [image["src"] for image in page.of("img")] == pictures, text
        assert all(str(link["href"]).lower().startswith(("http://", "https://", "mailto:")) for link in page.of("a")), text
        allowed = {"href", "src", "alt", "title", "class", "style", "start"}
        assert {name for _, attributes in page.tags for name in attributes} <= allowed, text


@given(HOSTILE, HOSTILE, HOSTILE)
@example("", "# You| a |\n|---|\n```", "")
@settings(max_examples=150)
def test_no_text_of_a_message_reaches_out_of_it(first: str, second: str, name: str) -> None:
    turn = TurnResult("", FinishReason.STOP, (), Usage(1, 1, 0), Timings(), None, ())
    chat = (
        Entry(Message(Role.USER, (ContextPart(first, name), TextPart(second), ImagePart("1", name), ImagePart("2", name)))),
        Entry(
            Message(Role.ASSISTANT, (ReasoningPart(second), TextPart(first), call_part(second))),
            ReplyRecord(turn, Sampling(), ModelRef(name), ()),
        ),
        Entry(Message(Role.TOOL, (ToolResultPart("", second), TextPart(second)))),
        reply(TextPart(second)),
    )
    text = to_markdown(chat, first, {"1": "chat-pictures/1.png"})
    system = ["System"] if first.strip() else []
    assert_tame(text, [*system, "You", "Assistant", "Tool result", "Assistant"], ["chat-pictures/1.png"])


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("A <b>tag</b>, 1 < 2, `<b>` and <https://ok.example>", r"A \<b>tag\</b>, 1 < 2, `<b>` and <https://ok.example>"),
        ("Look: ![cat](http://evil/c.png)", r"Look: \![cat](http://evil/c.png)"),
        ("[a](javascript:x) [b](https://x) [c](mailto:a@b) [d](file.md)",
        r"[a]\(javascript:x) [b](https://x) [c](mailto:a@b) [d]\(file.md)"),
        ("# Steps\nFirst", "**Steps**  \nFirst"),
        ("## *One* two ##\n\n- # three", "\\## *One* two ##\n\n- **three**  "),
        ("You\n---\n\nAssistant\n===", "You\n\\---\n\nAssistant\n\\==="),
        ("[You]: http://evil", r"[You]\: http://evil"),
        ("See[^1]\n\n[^1]: two words", "See[^1]\n\n[^1]\\: two words"),
        ("`[^1]: code`\n\n    [^1]: code", "`[^1]: code`\n\n    [^1]: code"),
        ("```\n# <b> in code", "```\n# <b> in code\n```"),
        ("~~~~html\n```\n<b>", "~~~~html\n```\n<b>\n~~~~"),
        (r"already \<b> and \![x](http://y)", r"already \<b> and \![x](http://y)"),
    ],
)
def test_the_least_is_changed(text: str, written: str) -> None:
    assert tamed(text) == written
    assert tamed(written) == written.strip()


def test_what_reaches_nowhere_stays_as_it_was_written() -> None:
    text = (
        "**Bold**, *soft*, ~~gone~~ and `<code>`.\n\n- one\n  1. two\n\n| a | b |\n|:-:|---|\n| 1 | `<x>` |\n\n> said\n\n"
        "```python\n# no heading\nif a < b: print('<b>')  # ![x](y)\n```\n\n    <indented>\n\n"
        "[web](https://example.org) x < y && y > z\n\n---\n\nEnd"
    )
    assert tamed(text) == text
    assert_tame(f"{text}\n", [], [])


def test_code_across_the_cells_of_a_table_is_no_code() -> None:
    text = "| a | b | c |\n|---|---|---|\n| ` | <img src=x> | ` |"
    assert_tame(tamed(text), [], [])


PIECES = ["<", "![", "[", "`", "` ", "``` ", "*", "# \n", "<!--", "[a]: b\n", "](", "> ", "- ", "&", "|", "a\n---\n", "\\"]


@pytest.mark.parametrize("piece", PIECES)
def test_a_long_text_is_written_soon(piece: str) -> None:
    text = (piece * 12_000)[:12_000]
    began = time.process_time()
    tamed(text)
    to_html((reply(TextPart(text)),), "", {})
    assert time.process_time() - began < 20
