"""A conversation as Markdown that stays what it is when it is rendered.

The rule: the exporter alone writes headings and pictures, and nobody writes HTML. A message keeps what it says in Markdown (lists, tables,
code, emphasis, quotes, links to the web), but a backslash takes the force from what reaches out of it:

- HTML tags and comments are shown as they are written;
- a picture becomes a link, because showing it would fetch it; a link to anything but http, https or mail becomes text;
- a heading becomes bold, and a definition of a link or a footnote text, since these would count for other messages as well;
- a code block that is left open is closed.

What comes out is read again as a renderer would, and a message that still does anything else is shown as a block of code.
"""

from __future__ import annotations

import re
import urllib.parse
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from nemochat.chat.export_html import heading_of, is_markdown, remarks, waiting_entry
from nemochat.domain.chat import Entry, Waiting
from nemochat.domain.messages import ContextPart, ImagePart, Part, ReasoningPart, Role, TextPart, ToolCallPart, ToolResultPart
from nemochat.domain.sanitize import sanitize
from nemochat.prompt.replies import written

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_BACKTICKS = re.compile("`+")
_IN_NAMES = re.compile(r"([\[\]\\`*_<>!&~|$])")
_SAFE_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_FORCE = re.compile(
    r"\\[!-/:-@\[-`{-~]|`+|<(?!https?://|mailto:)(?=[A-Za-z/!?])|!(?=\[)|\](?=:)|\](?=\((?!(?:https?://|mailto:)))", re.IGNORECASE
)
_FOOTNOTE = re.compile(r"^\[\^[^\]]+\]:", re.MULTILINE)
_ATX = re.compile(r"(?P<before>[^#]*)(?P<signs>#{1,6})(?P<words>.*?)(?:[ \t]+#*)?[ \t]*")
_END = "\n\n## end"


def to_markdown(
    entries: Iterable[Entry],
    system: str,
    picture_links: Mapping[str, str],
    waiting: Iterable[Waiting] = (),
    notes: Mapping[str, str] = {},
) -> str:
    """Markdown with a heading for each note and each turn.

    `picture_links` says by digest where a picture is; without a link, its name stands there.
    """
    blocks = [f"## {heading}\n\n{tamed(text)}" for heading, text in {"System": system, **notes}.items() if text.strip()]
    for entry in (*entries, *map(waiting_entry, waiting)):
        heading = f"## {_name(heading_of(entry))}"
        said = [f"*({_name(remark)})*" for remark in remarks(entry)]
        parts = [_part(part, entry.message.role, picture_links) for part in entry.message.parts]
        blocks.append("\n\n".join([heading, *said, *(part for part in parts if part)]))
    return "\n\n".join(blocks) + "\n"


def tamed(text: str) -> str:
    """A message's Markdown so that it can do nothing outside of itself."""
    text = sanitize(text).strip()
    if not is_markdown(text):
        return _fenced(text)
    for keeps_code in (True, False):
        written = text
        # An escape may turn what follows into something else (a definition into a paragraph, its underline into a heading).
        for _ in range(4):
            if _is_tame(written):
                return written
            written = _closed(_escaped(written, keeps_code=keeps_code))
    return _fenced(text)


def _part(part: Part, role: Role, picture_links: Mapping[str, str]) -> str:
    match part:
        case TextPart() if role is Role.TOOL:
            return _fenced(sanitize(part.text).strip())
        case TextPart():
            return tamed(part.text)
        case ImagePart():
            name, link = _name(part.name) or "picture", picture_links.get(part.digest)
            return f"*[picture: {name}]*" if link is None else f"![{name}]({urllib.parse.quote(link, safe='/:#?&=%+,;@~')})"
        case ToolCallPart():
            return _fenced(sanitize(written(part)).strip(), "json")
        case ToolResultPart():
            shown = [_part(image, role, picture_links) for image in part.images]
            return "\n\n".join([*shown, _fenced(sanitize(part.text).strip())])
        case ReasoningPart():
            return _quoted("Thought", part.text)
        case ContextPart():
            return _quoted(_name(part.source) or "context", part.text)


def _quoted(source: str, text: str) -> str:
    lines = [f"*{source}*", "", *tamed(text).split("\n")]
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _name(text: str) -> str:
    return _IN_NAMES.sub(r"\\\1", sanitize(text, strict=True).strip())


def _fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text."""
    fence = "`" * (max([2, *map(len, _BACKTICKS.findall(text))]) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


@cache
def _reader(*, html: bool, tables: bool) -> MarkdownIt:
    """CommonMark as the most obliging renderer reads it: whatever a link leads to is a link."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": html})
    reader.validateLink = lambda url: True  # type: ignore[method-assign]
    return reader.enable(["table", "strikethrough"]) if tables else reader


def _is_tame(text: str) -> bool:
    """Whether it makes no HTML, heading, picture, definition or odd link, and what follows it is outside of it."""
    return all(_has_no_force(_reader(html=True, tables=tables), text) for tables in (True, False))


def _has_no_force(reader: MarkdownIt, text: str) -> bool:
    known: dict[str, object] = {}
    tokens = reader.parse(text + _END, known)
    headings = [token for token in tokens if token.type == "heading_open"]
    inline = [child for token in tokens for child in token.children or ()]
    return (
        not known.get("references")
        and len(headings) == 1
        and tokens[-1].type == "heading_close"  # of the end, which an open fence would have swallowed
        and tokens[-1].level == 0
        and not any(token.type == "inline" and _FOOTNOTE.search(token.content) for token in tokens)
        and not any(token.type in ("html_block", "html_inline", "image") for token in (*tokens, *inline))
        and all(_SAFE_LINK.match(str(child.attrs.get("href", ""))) for child in inline if child.type == "link_open")
    )


def _escaped(text: str, *, keeps_code: bool) -> str:
    lines = text.split("\n")
    tokens = _reader(html=False, tables=True).parse(text)
    spans = {line: (line, line + 1) for line in range(len(lines))}
    for token in tokens:
        if token.map is not None and token.type == "inline":
            spans.update(dict.fromkeys(range(*token.map), (token.map[0], token.map[1])))
    for token in tokens:
        if token.map is not None and token.type in ("fence", "code_block"):
            for line in range(*token.map):
                spans.pop(line, None)
    for first, end in dict.fromkeys(spans.values()):
        lines[first:end] = _without_force("\n".join(lines[first:end]), keeps_code=keeps_code).split("\n")
    for token in tokens:
        if token.map is not None and token.type == "heading_open":
            _demote(lines, token)
    return "\n".join(lines)


def _demote(lines: list[str], heading: Token) -> None:
    assert heading.map is not None
    first, end = heading.map
    if not heading.markup.startswith("#"):
        lines[end - 1] = re.sub(r"(?=[=-]+[ \t]*$)", r"\\", lines[end - 1], count=1)
    elif found := _ATX.fullmatch(lines[first]):
        words = found["words"].strip()
        is_plain = words and not re.search(r"[*_\\]", words)
        # Two blanks break the line where text follows at once.
        lines[first] = f"{found['before']}**{words}**  " if is_plain else f"{found['before']}\\{lines[first][found.start('signs'):]}"


def _without_force(text: str, *, keeps_code: bool) -> str:
    """The text of one paragraph, heading or row with backslashes before what has force; code in it stays as it is."""
    ends: dict[int, list[int]] = defaultdict(list)
    for run in _BACKTICKS.finditer(text):
        ends[len(run[0])].append(run.start())
    pieces, at = [], 0
    while found := _FORCE.search(text, at):
        pieces.append(text[at : found.start()])
        piece, at = found[0], found.end()
        if piece[0] == "`" and keeps_code:
            same = ends[len(piece)]
            after = bisect_right(same, found.start())
            if after < len(same):
                at = same[after] + len(piece)
                piece = text[found.start() : at]
        elif piece[0] == "]":
            piece = "]\\"
        elif piece[0] in "<!":
            piece = f"\\{piece}"
        pieces.append(piece)
    return "".join([*pieces, text[at:]])


def _closed(text: str) -> str:
    """With an end to a code block that goes on to the end of the text."""
    tokens = _reader(html=True, tables=True).parse(text + _END)
    is_open = bool(tokens) and tokens[-1].type == "fence" and tokens[-1].level == 0
    return f"{text}\n{tokens[-1].markup}" if is_open else text
