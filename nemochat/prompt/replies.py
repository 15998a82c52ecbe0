"""What a model wrote, from text to parts: words, reasoning and tool calls, whole or while it streams, by the style of its chat format.

In Nemotron's a call is ``<toolcall> {"name": "...", "arguments": {...}} </toolcall>``; `nemochat.prompt.calls` knows the other forms. How
parallel calls look is documented nowhere: several in one pair of tags, a list, and one pair of tags per call are all seen, and all are
read. Nothing here raises: what cannot be understood becomes a `ToolCallPart` without calls, which still holds its text. What a model wrote
is kept where `written` would write the calls otherwise, so rendering the parts gives the reply back, letter for letter, and the KV cache
stays valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto

import msgspec

from nemochat.domain.messages import Part, ReasoningPart, TextPart, ToolCallPart, ToolSpec
from nemochat.prompt.calls import ANY, CallStyle, is_unfinished, read_calls, write_calls

FORMAT = "nemotron"
"""What Nemotron's form is called where a part says in which one it was written (`ToolCallPart.format`)."""
OPEN_TAG = "<toolcall>"
CLOSE_TAG = "</toolcall>"

ReplyPart = TextPart | ReasoningPart | ToolCallPart


class ReplyStyle(msgspec.Struct, frozen=True):
    """How a model writes a reply.

    reasoning: the texts around what it only thinks; begins_in_reasoning: the prompt has opened it. text: the texts around its words.
    hidden: other texts that are never shown. starts: text that the prompt ends with and that belongs to what the reply begins with.
    headers, header_closes: texts that begin the head of a piece of the reply, and the one that ends it (harmony): the last channel that the
    head names tells reasoning from words. between: what stands between two pieces.
    """

    calls: CallStyle | None = None
    reasoning: tuple[str, str] | None = None
    begins_in_reasoning: bool = False
    text: tuple[str, str] = ("", "")
    hidden: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    header_closes: str = ""
    between: str = ""
    starts: str = ""

    @property
    def trigger(self) -> str:
        """The text behind which a grammar holds a call; "" where words begin with the same: only a call that is forced is held there."""
        return "" if self.calls is None or self.starts else self.calls.opens

    @property
    def call_openings(self) -> tuple[str, ...]:
        """Texts that a call begins with, the right one first, where that tells it from words; none where both begin alike."""
        if self.calls is None or self.starts or self.headers:
            return ()
        within = self.calls.before.strip()
        others = [f'{lead}{{"{key}"' for lead in ("", "[") for key in _BARE_KEYS] if self.calls.is_bare else []
        others += [within] if within.startswith("<") else []
        return tuple(dict.fromkeys((self.calls.opens.lstrip(), *others)))

    @property
    def calls_first(self) -> bool:
        """Whether what opens a call does so only where nothing was said before it: elsewhere it is a word like others."""
        return self.calls is not None and (bool(self.headers) or self.calls.is_bare or self.calls.opens.isalnum())

    @property
    def forced_call(self) -> str:
        """What is put behind the prompt where the reply has to be a call, and what that begins with then: the opening text, and before it
        the end of reasoning that the prompt has begun. A grammar holds what follows.
        """
        if self.calls is None:
            return ""
        thought = self.reasoning[1] if self.reasoning is not None and self.begins_in_reasoning else ""
        return thought + self.calls.opens.removeprefix(self.starts)

    @property
    def markers(self) -> tuple[str, ...]:
        """Every text that tells the parts of a reply apart, and the tags within it: tokens of these must reach the parser as text."""
        texts = [*(self.reasoning or ()), *self.text, *self.hidden, *self.headers, self.header_closes, self.between, self.starts]
        if self.calls is not None:
            calls = self.calls
            texts += [calls.opens, calls.closes, calls.before, calls.after, calls.end]
            texts += [calls.key_opens, calls.key_closes, calls.value_closes, *(calls.shields if calls.kind == "gemma" else ())]
            texts += [calls.key_opens.removesuffix("<")] if calls.kind == "elements" else []
        found = [marker for text in texts for marker in (text.strip(), *_MARKER.findall(text)) if marker]
        return tuple(dict.fromkeys(found))


_MARKER = re.compile(r"<[^<>\s]+>|\[[A-Z_/]+\]")
NEMOTRON = ReplyStyle(CallStyle(FORMAT, OPEN_TAG, CLOSE_TAG, lead=" ", trail=" "))
_LONGEST_HEADER = 256
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_BARE_KEYS = ("name", "type", "function", "parameters", "arguments")
_BARE_BEGIN = re.compile(r"\[?\s*(?:\{\s*(?:\"(?P<key>\w*)(?P<closed>\")?)?)?")
_BRACKETS = "[]{}()"


def parse_reply(text: str, style: ReplyStyle = NEMOTRON, tools: Sequence[ToolSpec] = ()) -> tuple[ReplyPart, ...]:
    """Split a whole reply into words, reasoning and tool calls, in order. Never raises.

    tools: those that were offered; where arguments stand in tags, only a schema tells the text ``12`` from the number.

    >>> parse_reply('Let me see. <toolcall> {"name": "add", "arguments": {"a": 1}} </toolcall>')[1].calls
    (ToolCall(name='add', arguments={'a': 1}, id=''),)
    """
    parser = StreamParser(style, tools)
    return _joined([*parser.push(text), *parser.finish()])


def as_generated(parts: Iterable[Part], style: ReplyStyle = NEMOTRON) -> str:
    """The parts of a reply as the text that they were read from, calls in their tags. Reasoning is left out where the style has none."""
    pieces: list[str] = []
    is_opened = style.begins_in_reasoning
    for part in parts:
        match part:
            case ReasoningPart() if style.reasoning is not None:
                pieces.append(f"{'' if is_opened else style.reasoning[0]}{part.text}{style.reasoning[1]}")
            case ToolCallPart():
                pieces.append(generated_call(part, style))
            case TextPart():
                pieces.append(f"{style.text[0]}{part.text}{style.text[1]}")
            case _:
                continue
        if is_opened and style.reasoning is not None and not isinstance(part, ReasoningPart):
            pieces[-1] = style.reasoning[1] + pieces[-1]
        is_opened = False
    return style.between.join(pieces).removeprefix(style.starts)


def as_left_open(parts: Sequence[Part], style: ReplyStyle = NEMOTRON) -> str:
    """The same for a reply that goes on: what follows belongs to the words, the reasoning or the call in the middle of which it ends."""
    closes = ""
    match parts[-1] if parts else None:
        case TextPart():
            closes = style.text[1]
        case ReasoningPart() if style.reasoning is not None:
            closes = style.reasoning[1]
        case ToolCallPart() if ends_open(parts, style):
            closes = _calls(style).closes
    return as_generated(parts, style).removesuffix(closes)


def ends_open(parts: Sequence[Part], style: ReplyStyle = NEMOTRON) -> bool:
    """Whether a reply ends in the middle of a call, or of reasoning."""
    match parts[-1] if parts else None:
        case ReasoningPart():
            return style.reasoning is not None
        case ToolCallPart(calls=(), verbatim=raw):
            return is_unfinished(raw, _calls(style))
    return False


def written(part: ToolCallPart, style: ReplyStyle = NEMOTRON) -> str:
    """What stands between a pair of tags: letter for letter what a model wrote in this form, or the calls as it should write them."""
    calls = _calls(style)
    if not part.calls or (part.verbatim and part.format == calls.name):
        return part.verbatim
    return write_calls(part.calls, calls)


def generated_call(part: ToolCallPart, style: ReplyStyle = NEMOTRON) -> str:
    """Calls as the text that they are read from."""
    calls = _calls(style)
    return written(part, style) if calls.is_bare else f"{calls.opens}{written(part, style)}{calls.closes}"


def _calls(style: ReplyStyle) -> CallStyle:
    calls = style.calls or NEMOTRON.calls
    assert calls is not None
    return calls


class _Mode(Enum):
    TEXT = auto()
    REASONING = auto()
    HEADER = auto()
    CALL = auto()


class StreamParser:
    """The same while the reply streams: `push` gives what is certain, `finish` the rest. However the text is cut, the parts are the same.

    Text that may still turn out to be a tag is held back, so a tag is never shown. Adjacent parts of text or reasoning are not joined.
    """

    def __init__(self, style: ReplyStyle = NEMOTRON, tools: Sequence[ToolSpec] = ()) -> None:
        self._style = style
        self._calls = style.calls
        self._tools = tools
        self._pending = style.starts
        self._mode = _Mode.REASONING if style.begins_in_reasoning else _Mode.TEXT
        self._is_fresh = True
        """Whether nothing was said yet, or since the last reasoning or call."""
        self._blank = ""
        """White space that reasoning begins with; it is none as long as there is nothing else."""
        self._line = ""
        """The last line of the reasoning so far."""
        self._has_thought = False
        """Whether there was more than white space in the reasoning."""
        self._header = ""
        reasoning = style.reasoning or ("", "")
        opens = style.calls.opens if style.calls is not None and not style.calls.is_bare else ""
        self._is_first = bool(style.headers) or opens.isalnum()
        """Whether what opens a call does so only where nothing was said before it: elsewhere it is a word like others."""
        before = style.calls.before.strip() if style.calls is not None else ""
        self._begun = before if before.startswith("<") and not self._is_first else ""
        """What begins a call within `opens`, which some models leave out."""
        sections = [self._begun] if self._begun and style.calls is not None and style.calls.has_several else []
        self._text_tags = _Tags([reasoning[0], *style.text, *style.hidden, *style.headers, "" if self._is_first else opens, self._begun])
        self._reasoning_tags = _Tags([*reasoning, style.text[0], "" if self._is_first else opens, *sections])
        self._header_tags = _Tags([style.header_closes, opens])
        if style.calls is not None:
            self._shields = style.calls.shields
            self._call_tokens = _call_tokens(style.calls)
            escapes = [r"\\."] if style.calls.kind in ("json", "named", "python") else []
            brackets = [] if style.calls.closes else [f"[{re.escape(_BRACKETS)}]"]
            self._call_pattern = re.compile("|".join([*escapes, *map(re.escape, self._call_tokens), *brackets]), re.DOTALL)
        self._reset_call()

    def push(self, delta: str) -> tuple[ReplyPart, ...]:
        """Take a piece of the reply; return the text that may be shown now and the calls that are closed."""
        self._pending += delta
        return tuple(self._certain_parts(is_last=False))

    def finish(self) -> tuple[ReplyPart, ...]:
        """The reply has ended: return what was held back. A call whose closing tag is missing is read when it is complete."""
        parts = list(self._certain_parts(is_last=True))
        rest, self._pending = self._pending, ""
        match self._mode:
            case _Mode.TEXT if rest:
                parts.append(TextPart(rest))
            case _Mode.REASONING if rest.strip():
                parts.append(ReasoningPart(self._blank + rest))
            case _Mode.HEADER:
                parts.append(TextPart(self._header + rest))
            case _Mode.CALL:
                parts += self._unclosed_parts(rest)
        self._mode = _Mode.TEXT
        return tuple(parts)

    def _certain_parts(self, *, is_last: bool) -> Iterator[ReplyPart]:
        steps = {_Mode.TEXT: self._text, _Mode.REASONING: self._reasoning, _Mode.HEADER: self._heading, _Mode.CALL: self._call}
        while True:
            before = (self._mode, len(self._pending))
            yield from steps[self._mode](is_last)
            if not self._pending or before == (self._mode, len(self._pending)):
                return

    def _text(self, is_last: bool) -> Iterator[ReplyPart]:
        if self._is_fresh and self._may_begin_call(is_last):
            if self._mode is _Mode.TEXT and not self._style.headers:
                yield from self._shown(len(self._pending) - len(self._pending.lstrip()))
            return
        found, safe = self._text_tags.find(self._pending, is_last=is_last)
        yield from self._shown(found[0] if found else safe)
        if found is None:
            return
        tag = found[1]
        if tag == self._begun:
            self._begin_call()
            return
        self._pending = self._pending[len(tag) :]
        if self._style.reasoning is not None and tag == self._style.reasoning[0]:
            self._think()
        elif tag in self._style.headers:
            self._mode, self._header = _Mode.HEADER, tag
        elif self._calls is not None and tag == self._calls.opens:
            self._begin_call()

    def _shown(self, size: int) -> Iterator[TextPart]:
        text, self._pending = self._pending[:size], self._pending[size:]
        if text:
            self._is_fresh = self._is_fresh and not text.strip()
            yield TextPart(text)

    def _may_begin_call(self, is_last: bool) -> bool:
        """Look for a call that has no tag of its own, behind nothing but white space: whether what is pending is one, or may become one."""
        if self._calls is None or is_last:
            return False
        text, opens = self._pending.lstrip(), self._calls.opens
        if self._is_first:
            if opens[0].isspace():
                text = self._pending
            if text.startswith(opens) and text == self._pending:
                self._pending = self._pending[len(opens) :]
                self._begin_call()
            return self._mode is _Mode.CALL or text.startswith(opens) or (bool(text) and opens.startswith(text))
        if not self._calls.is_bare or text[:1] not in ("{", "["):
            return False
        found = _BARE_BEGIN.match(text)
        assert found is not None
        if found.end() < len(text) and not found["closed"]:
            return False
        key = found["key"]
        if key is not None and not any(key == each if found["closed"] else each.startswith(key) for each in _BARE_KEYS):
            return False
        if found["closed"] and text == self._pending:
            self._begin_call()
        return True

    def _reasoning(self, is_last: bool) -> Iterator[ReplyPart]:
        assert self._style.reasoning is not None
        found, safe = self._reasoning_tags.find(self._pending, is_last=is_last)
        size = found[0] if found else safe
        text, self._pending = self._blank + self._pending[:size], self._pending[size:]
        self._blank = "" if self._has_thought or text.strip() else text
        if text and not self._blank:
            yield ReasoningPart(text)
            self._has_thought = True
        self._line = (self._line + text).rpartition("\n")[2]
        if found is None:
            return
        tag = found[1]
        is_mention = self._calls is not None and tag == self._calls.opens and bool(self._line.strip()) and not self._calls.has_several
        if tag == self._style.reasoning[0] or is_mention:
            # What opens it once more is dropped where the prompt has opened it, and is part of it anywhere else; a call within a line is
            # one that the model thinks about. One that begins a line, or a section, is made: the model forgot to end its reasoning.
            self._pending = self._pending[len(tag) :]
            if self._has_thought:
                yield ReasoningPart(tag)
            return
        self._mode, self._is_fresh, self._blank = _Mode.TEXT, True, ""
        if tag == self._style.reasoning[1]:
            self._pending = self._pending[len(tag) :]

    def _heading(self, is_last: bool) -> Iterator[ReplyPart]:
        found, _ = self._header_tags.find(self._pending, is_last=is_last)
        if found is None and len(self._pending) < 2 * _LONGEST_HEADER:
            return
        if found is None or found[0] > _LONGEST_HEADER:
            yield TextPart(self._header)
            self._mode, self._is_fresh = _Mode.TEXT, False
            return
        self._header += self._pending[: found[0]]
        self._pending = self._pending[found[0] + len(found[1]) :]
        if self._calls is not None and found[1] == self._calls.opens:
            self._begin_call()
        else:
            channels = _CHANNEL.findall(self._header)
            self._mode, self._is_fresh = _Mode.TEXT, True
            if channels[-1:] == ["analysis"] and self._style.reasoning is not None:
                self._think()

    def _think(self) -> None:
        self._mode, self._blank, self._line, self._has_thought = _Mode.REASONING, "", "", False

    def _begin_call(self) -> None:
        self._mode = _Mode.CALL
        self._reset_call()

    def _reset_call(self) -> None:
        self._scanned, self._shield, self._depth = 0, "", 0

    def _call(self, is_last: bool) -> Iterator[ReplyPart]:
        assert self._calls is not None
        end = self._find_close()
        if end < 0:
            return
        yield self._call_part(self._pending[:end])
        self._pending = self._pending[end + len(self._calls.closes) :]
        self._mode, self._is_fresh = _Mode.TEXT, True

    def _find_close(self) -> int:
        """Where the calls end, which is not inside a string; -1 while they do not. Goes on from where it stopped."""
        assert self._calls is not None
        closes = self._calls.closes
        while match := self._call_pattern.search(self._pending, self._scanned):
            self._scanned = match.end()
            found = match[0]
            if self._shield:
                self._shield = "" if found == self._shield else self._shield
            elif found in self._shields:
                self._shield = self._shields[found]
            elif closes and found == closes:
                return match.start()
            elif not closes and found in _BRACKETS:
                if any(each.startswith(self._pending[match.start() :]) for each in self._call_tokens):
                    self._scanned = match.start()
                    return -1
                self._depth += 1 if found in "[{(" else -1
                if self._depth <= 0:
                    return match.end()
        unfinished = max(_held_back(self._pending, token) for token in (*self._call_tokens, "\\."))
        self._scanned = max(self._scanned, len(self._pending) - unfinished)
        return -1

    def _call_part(self, raw: str, *, is_cut: bool = False) -> TextPart | ToolCallPart:
        """Read the calls between two tags: all of them, or none when one is malformed. `is_cut`: the closing tag is missing."""
        assert self._calls is not None
        try:
            calls = read_calls(raw, self._calls, self._tools, is_cut=is_cut)
        except ValueError:
            calls = ()
        if self._calls.is_bare and not calls:
            return TextPart(raw)
        return ToolCallPart(calls) if calls and write_calls(calls, self._calls) == raw else ToolCallPart(calls, raw, self._calls.name)

    def _unclosed_parts(self, text: str) -> list[ReplyPart]:
        """Split what follows an opening tag that was not closed outside a string: one call that was cut, or a call with a quote astray."""
        assert self._calls is not None
        call = self._call_part(text, is_cut=True)
        if not self._calls.closes or (isinstance(call, ToolCallPart) and call.calls):
            return [call]
        parts: list[ReplyPart] = []
        opened = self._calls.opens
        while opened:
            raw, closed, after = text.partition(self._calls.closes)
            parts.append(self._call_part(raw, is_cut=not closed))
            shown, opened, text = after.partition(self._calls.opens)
            if shown:
                parts.append(TextPart(shown))
        return parts


class _Tags:
    """Texts that are looked for together: the first one that stands in a text, and the longest of those that begin there."""

    def __init__(self, tags: Iterable[str]) -> None:
        self._tags = sorted({tag for tag in tags if tag}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._tags)) or r"(?!)")

    def find(self, text: str, *, is_last: bool) -> tuple[tuple[int, str] | None, int]:
        """Where which of them begins, and how much of the text is none of them. Unless it is the last text, a longer one may still come."""
        found = self._pattern.search(text)
        if found is None:
            return None, len(text) - (0 if is_last else max((_held_back(text, tag) for tag in self._tags), default=0))
        rest = text[found.start() :]
        if not is_last and any(len(tag) > len(rest) and tag.startswith(rest) for tag in self._tags):
            return None, found.start()
        return (found.start(), found[0]), found.start()


def _call_tokens(style: CallStyle) -> list[str]:
    """What may end calls, or keep something from ending them: the ends of strings, the closing text, or brackets where there is none."""
    tokens = [*style.shields, *style.shields.values(), *([style.closes] if style.closes else style.after.split(ANY))]
    return [token.strip() for token in dict.fromkeys(tokens) if token.strip()]


def _held_back(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)


def _joined(parts: Iterable[ReplyPart]) -> tuple[ReplyPart, ...]:
    """The parts with adjacent texts, or pieces of reasoning, made one."""
    joined: list[ReplyPart] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, TextPart) and isinstance(last, TextPart):
            joined[-1] = TextPart(last.text + part.text)
        elif isinstance(part, ReasoningPart) and isinstance(last, ReasoningPart):
            joined[-1] = ReasoningPart(last.text + part.text)
        else:
            joined.append(part)
    return tuple(joined)
