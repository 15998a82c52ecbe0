"""Tool calls in a reply: from the text that a model wrote to parts, whole or while it streams.

The form is ``<toolcall> {"name": "...", "arguments": {...}} </toolcall>``. How parallel calls look is documented nowhere: several objects
in one tag, a list, and one tag per call are all seen, and all are read. Nothing here raises: what cannot be understood becomes a
`ToolCallPart` without calls, which still holds its text. What a model wrote is kept where `written` would write the calls otherwise, so
rendering the parts gives the reply back, letter for letter, and the KV cache stays valid.

Mended, because the meaning is plain: trailing commas, single quotes, ``True``/``False``/``None``, raw line breaks in strings, and closing
brackets missing before the closing tag. Without the closing tag the reply was cut, so what is incomplete stays unread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from nemochat.domain.messages import Part, TextPart, ToolCall, ToolCallPart

FORMAT = "nemotron"
"""What this form is called where a part says in which one it was written (`ToolCallPart.format`)."""
OPEN_TAG = "<toolcall>"
CLOSE_TAG = "</toolcall>"
MAX_DEPTH = 64
"""Brackets within brackets in one call; deeper ones are malformed."""
MAX_CHARACTERS = 100_000
"""Text between one pair of tags; longer ones are malformed."""

ReplyPart = TextPart | ToolCallPart

_STRING_OR_CLOSE = re.compile(r'"|\\.|' + re.escape(CLOSE_TAG), re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<double>"[^"\\]*(?:\\.[^"\\]*)*") | (?P<single>'[^'\\]*(?:\\.[^'\\]*)*')
      | (?P<open>[\[{]) | (?P<close>[\]}]) | (?P<comma>,) | (?P<word>[^\s\[\]{},:"']+) | (?P<other>[\s:]+)""",
    re.DOTALL | re.VERBOSE,
)
_CALL_BREAK = "\n"
_BRACKET = re.compile(r"[\[{]")
_CLOSER = {"{": "}", "[": "]"}
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}


def parse_reply(text: str) -> tuple[ReplyPart, ...]:
    """Split a whole reply into text and tool calls, in order. Never raises.

    >>> parse_reply('Let me see. <toolcall> {"name": "add", "arguments": {"a": 1}} </toolcall>')[1].calls
    (ToolCall(name='add', arguments={'a': 1}, id=''),)
    """
    parser = StreamParser()
    return _joined([*parser.push(text), *parser.finish()])


def as_generated(parts: Iterable[Part]) -> str:
    """The parts of a reply as the text that they were read from, calls in their tags. What the model only thought is left out."""
    return "".join(
        f"{OPEN_TAG}{written(part)}{CLOSE_TAG}" if isinstance(part, ToolCallPart) else part.text if isinstance(part, TextPart) else ""
        for part in parts
    )


def as_left_open(parts: Sequence[Part]) -> str:
    """The same for a reply that goes on: what follows belongs into a call in the middle of which it ends."""
    return as_generated(parts).removesuffix(CLOSE_TAG if ends_open(parts) else "")


def ends_open(parts: Sequence[Part]) -> bool:
    """Whether a reply ends in the middle of a call."""
    last = parts[-1] if parts else None
    if not isinstance(last, ToolCallPart) or last.calls:
        return False
    try:
        return not list(_json_values(last.verbatim, may_close=False))
    except ValueError:
        return True


def written(part: ToolCallPart) -> str:
    """What stands between a pair of tags: letter for letter what a model wrote in this form, or the calls as it should write them."""
    if not part.calls or (part.verbatim and part.format == FORMAT):
        return part.verbatim
    return _as_json(part.calls)


def _as_json(calls: Iterable[ToolCall]) -> str:
    objects = (json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False) for call in calls)
    return f" {_CALL_BREAK.join(objects)} "


class StreamParser:
    """The same while the reply streams: `push` gives what is certain, `finish` the rest. However the text is cut, the parts are the same.

    Text that may still turn out to be a tag is held back, so a tag is never shown. Adjacent text parts are not joined.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._in_call = False
        self._scanned = 0
        self._in_string = False

    def push(self, delta: str) -> tuple[ReplyPart, ...]:
        """Take a piece of the reply; return the text that may be shown now and the calls that are closed."""
        self._pending += delta
        return tuple(self._certain_parts())

    def finish(self) -> tuple[ReplyPart, ...]:
        """The reply has ended: return what was held back. A call whose closing tag is missing is read when it is complete."""
        rest, self._pending = self._pending, ""
        if not self._in_call:
            return (TextPart(rest),) if rest else ()
        self._in_call = False
        return _unclosed_parts(rest)

    def _certain_parts(self) -> Iterator[ReplyPart]:
        while True:
            if self._in_call:
                end = self._find_close()
                if end < 0:
                    return
                yield _call_part(self._pending[:end])
                self._pending = self._pending[end + len(CLOSE_TAG) :]
                self._in_call = False
                continue
            start = self._pending.find(OPEN_TAG)
            shown = start if start >= 0 else len(self._pending) - _held_back(self._pending, OPEN_TAG)
            if shown:
                yield TextPart(self._pending[:shown])
            if start < 0:
                self._pending = self._pending[shown:]
                return
            self._pending = self._pending[start + len(OPEN_TAG) :]
            self._in_call, self._scanned, self._in_string = True, 0, False

    def _find_close(self) -> int:
        """Where the closing tag begins that is not inside a JSON string; -1 while there is none. Goes on from where it stopped."""
        while match := _STRING_OR_CLOSE.search(self._pending, self._scanned):
            self._scanned = match.end()
            if match[0] == '"':
                self._in_string = not self._in_string
            elif match[0] == CLOSE_TAG and not self._in_string:
                return match.start()
        unfinished = max(_held_back(self._pending, CLOSE_TAG), _held_back(self._pending, "\\."))
        self._scanned = max(self._scanned, len(self._pending) - unfinished)
        return -1


def _unclosed_parts(text: str) -> tuple[ReplyPart, ...]:
    """Split what follows an opening tag that was not closed outside a string: one call that was cut, or a call with a quote astray."""
    call = _call_part(text, is_cut=True)
    if call.calls:
        return (call,)
    parts: list[ReplyPart] = []
    opened = OPEN_TAG
    while opened:
        raw, closed, after = text.partition(CLOSE_TAG)
        parts.append(_call_part(raw, is_cut=not closed))
        shown, opened, text = after.partition(OPEN_TAG)
        if shown:
            parts.append(TextPart(shown))
    return tuple(parts)


def _held_back(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)


def _joined(parts: Iterable[ReplyPart]) -> tuple[ReplyPart, ...]:
    """The parts with adjacent texts made one."""
    joined: list[ReplyPart] = []
    for part in parts:
        if isinstance(part, TextPart) and joined and isinstance(last := joined[-1], TextPart):
            joined[-1] = TextPart(last.text + part.text)
        else:
            joined.append(part)
    return tuple(joined)


def _call_part(raw: str, *, is_cut: bool = False) -> ToolCallPart:
    """Read the calls between two tags: all of them, or none when one is malformed. `is_cut`: the closing tag is missing."""
    if len(raw) > MAX_CHARACTERS:
        return ToolCallPart((), raw, FORMAT)
    try:
        values = [msgspec.json.decode(text) for text in _json_values(raw, may_close=not is_cut)]
        objects = [item for value in values for item in (value if isinstance(value, list) else [value])]
        calls = tuple(_call(item) for item in objects)
        is_usual = bool(calls) and _as_json(calls) == raw
    except (ValueError, msgspec.DecodeError):
        calls, is_usual = (), False
    return ToolCallPart(calls) if is_usual else ToolCallPart(calls, raw, FORMAT)


def _call(value: object) -> ToolCall:
    """One call from its decoded JSON: ``{"name", "arguments"}``, bare or as the function that a tool's definition wraps it in."""
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(function, dict):
        raise ValueError("a call is an object")
    name = function.get("name")
    arguments = function.get("arguments", function.get("parameters"))
    if isinstance(arguments, str) and arguments.strip():
        arguments = _only_value(arguments)
    if not isinstance(name, str) or not name.strip() or not isinstance(arguments or {}, dict):
        raise ValueError("a call has a name, and its arguments are an object")
    return ToolCall(name.strip(), arguments or {})


def _only_value(text: str) -> Any:
    """Decode arguments that were given as a string of JSON."""
    (value,) = _json_values(text, may_close=False)
    return msgspec.json.decode(value)


def _json_values(text: str, *, may_close: bool) -> Iterator[str]:
    """The objects and lists in `text`, each as mended JSON; what stands between them is passed over.

    Raises ValueError where one has no end (and `may_close` does not allow to add its closing brackets) or is nested too deep.
    """
    position = 0
    while bracket := _BRACKET.search(text, position):
        value, position = _mended_value(text, bracket.start(), may_close=may_close)
        yield value


def _mended_value(text: str, position: int, *, may_close: bool) -> tuple[str, int]:
    """Mend the value that begins at `position` and say where it ends. Only the spelling is mended: the decoder judges the grammar."""
    closers: list[str] = []
    pieces: list[str] = []
    comma = ""
    while token := _TOKEN.match(text, position):
        position = token.end()
        kind, piece = token.lastgroup, token[0]
        if kind == "other":
            pieces.append(piece)
            continue
        if kind != "close":
            pieces.append(comma)
        comma = piece if kind == "comma" else ""
        match kind:
            case "open":
                closers.append(_CLOSER[piece])
                if len(closers) > MAX_DEPTH:
                    raise ValueError("nested too deep")
                pieces.append(piece)
            case "close":
                pieces.append(piece)
                closers.pop()
                if not closers:
                    return "".join(pieces), position
            case "double" | "single":
                pieces.append(_json_string(piece))
            case "word":
                pieces.append(_PYTHON_WORDS.get(piece, piece))
    if position < len(text) or not may_close:
        raise ValueError("no end")
    return "".join([*pieces, *reversed(closers)]), position


def _json_string(literal: str) -> str:
    """A quoted string as strict JSON: double quotes, no escaped single ones, control characters (line breaks above all) escaped."""
    body = re.sub(r"\\.|\"", lambda found: {"\\'": "'", '"': '\\"'}.get(found[0], found[0]), literal[1:-1], flags=re.DOTALL)
    return '"' + re.sub(r"[\x00-\x1f]", lambda found: json.dumps(found[0])[1:-1], body) + '"'
