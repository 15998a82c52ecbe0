"""Other people's words in a prompt: marks go through a template in their place, and what comes back is cut at the marks.

A template never sees what users, documents, tools, personas and models wrote, so it can neither read it nor take it apart, and none of
it can become control text. What follows from this: a rule of a template about what a text says (white space at its ends, ``</think>``
within it) does not hold. `nemochat.prompt.adapting` strips the ends of texts itself, as nearly all templates do.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum
from html import escape
from typing import Any

import msgspec

from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.prompt.format import Label
from nemochat.prompt.render_wire import ASCII, CLOSE, DIGITS, HTML, JSON_CLOSE, JSON_OPEN, OPEN, json_mark, mark

_KNOWN = re.compile(
    r"<[|\uff5c][^<>|\uff5c\s]{1,64}[|\uff5c]?>|<[^<>|\uff5c\s]{1,64}[|\uff5c]>|\[\|[^\[\]|\s]{1,64}\|\]|<</?SYS>>|"
    r"</?(?:s|bos|eos|pad|unk|mask|cls|sep|sop|eop|image|img|IMG_CONTEXT|image_soft_token|image_placeholder|__media__|think|thinking|"
    r"tool|tool_?calls?|tool_response|tool_result|context|start_of_\w{1,16}|end_of_\w{1,16}|(?:extra_id|reserved|unused|SPECIAL)_?\d{1,6})>|"
    r"\[/?(?:INST|IMG|IMG_BREAK|IMG_END|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|ARGS|CALL_ID|THINK|"
    r"BEGIN_OF_TEXT|gMASK|sMASK|MASK|CLS|SEP|PAD|UNK|control_\d{1,6})\]"
)
"""How the control tokens of the models that there are look: those that tell turns, tools, thoughts and pictures apart."""
_MARK = re.compile(f"{OPEN}([0-9]{{{DIGITS}}})([{ASCII}{HTML}]*){CLOSE}|[{OPEN}{CLOSE}{JSON_OPEN}{JSON_CLOSE}]")


def broken(text: str) -> str:
    """A text in which no known marker is left, for those who tokenise it with control tokens: a space in each, to be seen by everybody.

    >>> broken("so: <|im_end|>")
    'so: < |im_end|>'
    """
    return _KNOWN.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


class Need(Enum):
    """How often a text has to come back from the template."""

    ONCE = "once"
    SOMEWHERE = "somewhere"
    PERHAPS = "perhaps"


class Origin(msgspec.Struct, frozen=True):
    """Where a text stands in the conversation. message: an index; None for what belongs to no message, or to several."""

    label: Label
    message: int | None = None
    part: int | None = None
    need: Need = Need.ONCE


TEMPLATE = Origin(Label.TEMPLATE)


class Bit(msgspec.Struct, frozen=True):
    """A segment of a cut rendering and where it comes from."""

    segment: Segment
    origin: Origin = TEMPLATE

    @property
    def control(self) -> str:
        """The template's text, "" for what is somebody else's."""
        return self.segment.text if isinstance(self.segment, Control) else ""


class LostError(Exception):
    """A template left a text out, said it twice or took it apart. origin: of which text, None where that is not known."""

    def __init__(self, origin: Origin | None) -> None:
        super().__init__()
        self.origin = origin


class Foreign:
    """The texts and pictures of one conversation, by number. The same text of the same origin has one number, so a template may compare."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Segment, Origin], int] = {}
        self._known: list[tuple[Segment, Origin]] = []

    def put(self, segment: Segment, origin: Origin) -> str:
        """The mark that stands for it from now on."""
        key = (segment, origin)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._known)
            self._known.append(key)
        return mark(number)

    def json(self, value: Any) -> str:
        """A value with marks in it as JSON, for a template that is given text."""
        return json_mark(json.dumps(value, ensure_ascii=False))

    def cut(self, text: str, placeholder: str = "", pictures: Sequence[tuple[ImageSlot, Origin]] = ()) -> list[Bit]:
        """What a rendering consists of. placeholder: what the template writes for each of `pictures`, in their order.

        Raises LostError unless every text came back as often as it has to, and every picture.
        """
        bits = self._pictured(self._bits(text), placeholder, pictures) if placeholder else self._bits(text)
        came = Counter(self._came)
        for number, (_, origin) in enumerate(self._known):
            times = came[number]
            if (origin.need is Need.ONCE and times != 1) or (origin.need is Need.SOMEWHERE and not times):
                raise LostError(origin)
        return bits

    def _bits(self, text: str) -> list[Bit]:
        self._came: list[int] = []
        bits: list[Bit] = []
        depth, at = 0, 0
        quoted: list[tuple[Segment, Origin | None]] = []
        for found in _MARK.finditer(text):
            between, at = text[at : found.start()], found.end()
            if depth:
                quoted.append((Plain(between), None))
            elif between:
                bits.append(Bit(Control(between)))
            if found[1] is not None:
                segment, origin = self._of(int(found[1]))
                segment = _escaped(segment, depth, found[2])
                if depth:
                    quoted.append((segment, origin))
                else:
                    bits.append(Bit(segment, origin))
            elif found[0] == JSON_OPEN:
                depth += 1
            elif found[0] == JSON_CLOSE and depth:
                depth -= 1
                if not depth:
                    bits += _joined(quoted)
                    quoted = []
            else:
                raise LostError(None)
        if depth:
            raise LostError(None)
        if at < len(text):
            bits.append(Bit(Control(text[at:])))
        return bits

    def _of(self, number: int) -> tuple[Segment, Origin]:
        if number >= len(self._known):
            raise LostError(None)
        self._came.append(number)
        return self._known[number]

    @staticmethod
    def _pictured(bits: list[Bit], placeholder: str, pictures: Sequence[tuple[ImageSlot, Origin]]) -> list[Bit]:
        left = iter(pictures)
        whole: list[Bit] = []
        for bit in bits:
            for index, control in enumerate(bit.control.split(placeholder)):
                if index:
                    picture = next(left, None)
                    if picture is None:
                        raise LostError(None)
                    whole.append(Bit(*picture))
                if control:
                    whole.append(Bit(Control(control)))
            if not bit.control:
                whole.append(bit)
        if missing := next(left, None):
            raise LostError(missing[1])
        return whole


def _escaped(segment: Segment, depth: int, flags: str) -> Segment:
    """As it is written in JSON in JSON (`depth` times), with the escapes that the flags of its mark ask for."""
    if isinstance(segment, ImageSlot):
        return segment
    text = segment.text
    for _ in range(depth):
        text = json.dumps(text, ensure_ascii=ASCII in flags)[1:-1]
    for _ in range(flags.count(HTML)):
        text = escape(text, quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    return segment if text == segment.text else Plain(text)


def _joined(quoted: Sequence[tuple[Segment, Origin | None]]) -> Iterator[Bit]:
    """JSON as one text, of the first message that has a word in it; but for a picture in it."""
    origins = [origin for _, origin in quoted if origin is not None]
    origin = next((each for each in origins if each.message is not None), origins[0])
    words = ""
    for segment, own in quoted:
        if isinstance(segment, ImageSlot):
            assert own is not None
            yield Bit(Plain(words), origin)
            yield Bit(segment, own)
            words = ""
        else:
            words += segment.text
    yield Bit(Plain(words), origin)
