"""A conversation as one HTML file that needs nothing else and lets nothing run: no scripts, no requests, everything escaped."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from nemochat.chat.pictures import picture_name
from nemochat.domain.chat import Entry, Waiting
from nemochat.domain.images import Original
from nemochat.domain.messages import ContextPart, ImagePart, Part, ReasoningPart, Role, TextPart, ToolCallPart, ToolResultPart
from nemochat.domain.sanitize import sanitize
from nemochat.errors import ImageError
from nemochat.images import shareable
from nemochat.prompt.replies import written

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_HEADINGS = {Role.USER: "You", Role.ASSISTANT: "Assistant", Role.TOOL: "Tool result"}

_LONGEST, _MOST_BRACKETS = 100_000, 2_000
_LINKS = ("http://", "https://", "mailto:")
_STYLE = """
:root { color-scheme: light dark; --text: #1c1e21; --page: #ffffff; --soft: #f3f4f6; --line: #d5d8dd; --muted: #5b626c; --link: #0b57d0; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e6ea; --page: #16181c; --soft: #21242a; --line: #383d45; --muted: #9aa2ad; --link: #8ab4f8; }
}
body { margin: 0 auto; max-width: 46rem; padding: 1.5rem 1rem 4rem; color: var(--text); background: var(--page);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; }
article { padding: 0.4rem 0 0.6rem; border-top: 1px solid var(--line); unicode-bidi: isolate; }
article > h2 { margin: 0.4rem 0; font-size: 0.9rem; color: var(--muted); }
h2 small { font-weight: normal; }
article.user, article.system { background: var(--soft); padding: 0.4rem 0.8rem 0.6rem; border: 0; border-radius: 0.5rem; margin: 0.8rem 0; }
p.plain { white-space: pre-wrap; margin: 0.3rem 0; }
pre { background: var(--soft); padding: 0.7rem; border-radius: 0.4rem; white-space: pre-wrap; }
code { font-family: ui-monospace, monospace; font-size: 0.92em; }
figure { margin: 0.6rem 0; }
figure img { max-width: 100%; height: auto; border-radius: 0.4rem; }
figcaption { color: var(--muted); font-size: 0.85rem; }
blockquote { margin: 0.5rem 0; padding-left: 0.8rem; border-left: 3px solid var(--line); }
table { display: block; overflow-x: auto; border-collapse: collapse; }
th, td { border: 1px solid var(--line); padding: 0.25rem 0.6rem; overflow-wrap: break-word; }
.left { text-align: left; }
.center { text-align: center; }
.right { text-align: right; }
a { color: var(--link); }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; img-src data:; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"


def to_html(
    entries: Iterable[Entry],
    system: str,
    originals: Mapping[str, Original],
    waiting: Iterable[Waiting] = (),
    notes: Mapping[str, str] = {},
    *,
    title: str = "Conversation",
) -> str:
    """The file. Pictures are in it, without what cameras write beside them; one that is not in `originals` leaves its name."""
    markdown = _markdown()
    told = {"System": system, **notes}
    articles = [_article("system", _escaped(heading), [_plain(text)]) for heading, text in told.items() if text.strip()]
    for entry in (*entries, *map(waiting_entry, waiting)):
        parts = [_part(part, entry.message.role, originals, markdown) for part in entry.message.parts]
        articles.append(_article(entry.message.role.value, _escaped(heading_of(entry)), parts, remarks(entry)))
    shown = _escaped(sanitize(title, strict=True))
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{shown}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            f"<h1>{shown}</h1>",
            *articles,
            "</body>",
            "</html>",
            "",
        ]
    )


def waiting_entry(waiting: Waiting) -> Entry:
    """What waits, as a message that has not become one yet."""
    unread = (ImagePart("", picture_name(source)) for source in waiting.sources)
    message = msgspec.structs.replace(waiting.message, parts=(*unread, *waiting.message.parts))
    return Entry(message, speaker="You (waiting)")


def heading_of(entry: Entry) -> str:
    """Who speaks, for people, on one line."""
    return sanitize(entry.speaker, strict=True).strip() or _HEADINGS[entry.message.role]


def remarks(entry: Entry) -> list[str]:
    """What is worth knowing of a message besides what it says."""
    named = [
        (entry.record is not None, sanitize(str(entry.record.model), strict=True) if entry.record else ""),
        (entry.interrupted, "interrupted"),
        (entry.message.pinned, "pinned"),
        (entry.message.excluded, "not shown to the model"),
    ]
    return [remark for is_so, remark in named if is_so and remark]


def is_markdown(text: str) -> bool:
    """Whether a text is read as Markdown: not one so long or so full of brackets that it would take minutes."""
    return len(text) <= _LONGEST and text.count("[") <= _MOST_BRACKETS


def _article(kind: str, heading: str, parts: Iterable[str], notes: Iterable[str] = ()) -> str:
    small = "".join(f" <small>· {_escaped(note)}</small>" for note in notes)
    body = "\n".join(part for part in parts if part)
    return f'<article class="{kind}">\n<h2>{heading}{small}</h2>\n<div>\n{body}\n</div>\n</article>'


def _part(part: Part, role: Role, originals: Mapping[str, Original], markdown: MarkdownIt) -> str:
    match part:
        case TextPart() if role is Role.ASSISTANT and is_markdown(part.text):
            return _rendered(part.text, markdown)
        case TextPart() if role is Role.TOOL:
            return f"<pre>{_escaped(part.text)}</pre>"
        case TextPart():
            return _plain(part.text)
        case ToolCallPart():
            return f"<pre><code>{_escaped(written(part).strip())}</code></pre>"
        case ToolResultPart():
            figures = "".join(_figure(image, originals.get(image.digest)) for image in part.images)
            return f"{figures}<pre>{_escaped(part.text)}</pre>"
        case ReasoningPart():
            return f"<details><summary>Thought</summary>{_plain(part.text)}</details>"
        case ContextPart():
            return f"<blockquote><small>{_escaped(part.source or 'context')}</small>{_plain(part.text)}</blockquote>"
        case ImagePart():
            return _figure(part, originals.get(part.digest))


def _figure(part: ImagePart, original: Original | None) -> str:
    name = _escaped(sanitize(part.name, strict=True)) or "picture"
    try:
        if original is None:
            raise ImageError("This picture is not there.")
        data, kind = shareable(original)
    except ImageError:
        return f"<figure><figcaption>[picture: {name}]</figcaption></figure>"
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return f'<figure><img alt="{name}" src="{source}"><figcaption>{name}</figcaption></figure>'


def _plain(text: str) -> str:
    shown = _escaped(text.strip())
    return f'<p class="plain">{shown}</p>' if shown else ""


def _escaped(text: str) -> str:
    return html.escape(sanitize(text))


def _markdown() -> MarkdownIt:
    """CommonMark with tables; HTML is text, and pictures become links, because showing them would fetch them."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable(["image", "html_block", "html_inline"])


def _rendered(text: str, markdown: MarkdownIt) -> str:
    tokens = markdown.parse(sanitize(text))
    for token in tokens:
        # The policy forbids style attributes; tables use them for their columns.
        style = str(token.attrs.pop("style", ""))
        if style.startswith("text-align:"):
            token.attrSet("class", style.removeprefix("text-align:").strip())
        refused = 0
        for child in token.children or ():
            if child.type == "link_open":
                refused = 0 if str(child.attrs.get("href", "")).lower().startswith(_LINKS) else 1
                child.attrs = {} if refused else {"href": child.attrs["href"], "rel": "noopener noreferrer nofollow"}
            if child.type in ("link_open", "link_close") and refused:
                child.tag = "span"
    return str(markdown.renderer.render(tokens, markdown.options, {})).strip()
