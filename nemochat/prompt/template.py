"""A chat format that is made from the template in a model's file.

The template says where a turn begins and ends; what stands between the marks (`nemochat.prompt.foreign`) is its control text, and the words
of everybody else are plain. A message's group holds its words and the template's text around them: the text between the words of two
messages is cut behind what closes a message of that role, as far as probing could tell; else it belongs to the second one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from nemochat.domain.messages import Conversation, Message, Part, ReasoningPart, Role, TextPart, ToolCallPart, ToolSpec
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.prompt.adapting import Habits, call_segments
from nemochat.prompt.call_styles import opened_by
from nemochat.prompt.foreign import Bit
from nemochat.prompt.format import Label, Layout, Piece, Traits, as_text, segments_of
from nemochat.prompt.probing import MARKER_BEGINNINGS, MARKER_ENDS, Findings, Template, probe
from nemochat.prompt.rendering import RefusedError, Renderer
from nemochat.prompt.replies import ReplyStyle, ends_open

_MARKER = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+[\[\]]")


class TemplateFormat:
    """Lays conversations out as a template does. begin: the text of the begin token. adds_begin: it is put in front by who tokenises."""

    def __init__(self, template: Template, findings: Findings, *, begin: str, adds_begin: bool, renderer: Renderer) -> None:
        self._template = template
        self._findings = findings
        self._begin = begin if adds_begin else ""
        self._renderer = renderer

    @classmethod
    async def probed(cls, name: str, source: str, *, begin: str, end: str, adds_begin: bool, renderer: Renderer) -> TemplateFormat:
        """The format of a template. name: what people know it by. Raises TemplateError when it cannot be used, with the reason."""
        template = Template(name, source, begin, end, renderer)
        known = renderer.known.get((source, begin, end))
        if known is None:
            known = renderer.known[source, begin, end] = await probe(template)
        return cls(template, known, begin=begin, adds_begin=adds_begin, renderer=renderer)

    @property
    def name(self) -> str:
        """What people choose it by."""
        return self._template.name

    @property
    def traits(self) -> Traits:
        """What was found by probing."""
        return self._findings.traits

    @property
    def habits(self) -> Habits:
        """How conversations are shaped for it."""
        return self._findings.habits

    @property
    def style(self) -> ReplyStyle:
        """How its model writes replies."""
        return self._findings.style

    @property
    def stops(self) -> tuple[str, ...]:
        """The markers around a turn, spelled out as text: what closes a reply, and what opens a turn of the user."""
        closer, opener = self._findings.closers.get(Role.ASSISTANT, ""), self._findings.openers.get(Role.USER, "")
        # One that stands within replies too does not end them.
        markers = (found[0] for found in _MARKER.finditer(closer or opener) if found[0] not in self.style.markers)
        begins = [text for text in opener.split()[:1] if closer and text.startswith(MARKER_BEGINNINGS)]
        return tuple(dict.fromkeys([*islice(markers, 1), *begins]))

    async def lay_out(
        self, conversation: Conversation, *, continue_reply: bool = False, speaks: Role = Role.ASSISTANT, thinks: bool | None = None
    ) -> Layout:
        """As `ChatFormat.lay_out`. Raises RefusedError for what the template cannot say, TemplateError when it is broken."""
        last = conversation.messages[-1] if conversation.messages else None
        if continue_reply:
            if last is None or last.role is not Role.ASSISTANT:
                raise ValueError("only a reply of the Assistant can be continued")
            earlier = msgspec.structs.replace(conversation, messages=conversation.messages[:-1])
            before = await self._laid_out(earlier, Role.ASSISTANT, thinks)
            group = (*before.reply_head, *_left_open(last.parts, opened_by(self.style, as_text(segments_of(before.reply_head)))))
            return Layout(conversation, before.system, (*before.messages, group), (), _words_at(group))
        layout = await self._laid_out(conversation, speaks, thinks)
        return msgspec.structs.replace(layout, conversation=conversation)

    async def tool_segments(self, tool: ToolSpec) -> tuple[Segment, ...]:
        """What offering this tool adds to a prompt, but for what is said before the first one."""
        layout = await self.lay_out(Conversation(tools=(tool,), messages=(Message(Role.USER, (TextPart("?"),)),)))
        told = [at for at, piece in enumerate(layout.pieces) if piece.label is Label.TOOL]
        return segments_of(layout.pieces[told[0] : told[-1] + 1]) if told else ()

    async def close(self) -> None:
        """End the process that renders: nothing can be laid out any more."""
        await self._renderer.close()

    async def _laid_out(self, conversation: Conversation, speaks: Role, thinks: bool | None) -> Layout:
        if speaks is not Role.USER:
            _, bits = await self._said(conversation, asks_reply=True, thinks=thinks)
            return self._layout(conversation, bits)
        beginning = Message(Role.USER, ())
        opened = msgspec.structs.replace(conversation, messages=(*conversation.messages, beginning))
        _, bits = await self._said(opened, asks_reply=False, thinks=None)
        layout = self._layout(opened, bits)
        head = layout.messages[-1][: layout.words_at]
        if head and _ends_in_space(last := head[-1].segment.text if isinstance(head[-1].segment, Control) else ""):
            head = (*head[:-1], Piece(Control(last[:-1]), Label.TEMPLATE))
        groups = layout.messages[:-1]
        return Layout(conversation, layout.system, groups, head, _words_at(groups[-1]) if groups else 0)

    async def _said(self, conversation: Conversation, *, asks_reply: bool, thinks: bool | None) -> tuple[Habits, list[Bit]]:
        """What the template says, with its own habits or, when it refuses, with plainer ones."""
        refused: RefusedError | None = None
        begins_words = bool(conversation.messages) and conversation.messages[-1].role is Role.USER
        for habits in _plainer(self._findings.habits):
            try:
                how = {"asks_reply": asks_reply, "begins_words": begins_words}
                return habits, await self._template.said(conversation, habits, thinks=thinks, **how)
            except RefusedError as error:
                refused = refused or error
        assert refused is not None
        raise refused

    def _layout(self, conversation: Conversation, bits: list[Bit]) -> Layout:
        roles = [message.role for message in conversation.messages]
        if self._begin and bits and bits[0].control.startswith(self._begin):
            rest = bits[0].control.removeprefix(self._begin)
            bits = [*([Bit(Control(rest))] if rest else []), *bits[1:]]
        groups: list[list[Bit]] = [[] for _ in range(len(roles) + 1)]
        at, gap = -1, list[Bit]()
        for bit in bits:
            gap.append(bit)
            owner = bit.origin.message
            if owner is None:
                continue
            if owner > at:
                left, gap = self._parted(gap, roles[at] if at >= 0 else None, roles[owner])
                groups[at + 1] += left
                at = owner
            groups[at + 1] += gap
            gap = []
        left, head = self._parted(gap, roles[at] if at >= 0 else None, None)
        groups[at + 1] += left
        pieces = [tuple(_pieces(group, index - 1)) for index, group in enumerate(groups)]
        words_at = _words_at(pieces[-1])
        if len(pieces) > 1:
            pieces[-1] = tuple(piece for piece in pieces[-1] if piece.segment != Plain(""))
        return Layout(conversation, pieces[0], tuple(pieces[1:]), tuple(_pieces(head, -1)), words_at)

    def _parted(self, gap: list[Bit], closed: Role | None, opened: Role | None) -> tuple[list[Bit], list[Bit]]:
        """What stands between the words of two messages, as what belongs to the first and what to the second.

        A cut never goes through what could be one token: only beside a marker. closed, opened: None for the system text and for the reply.
        """
        closer = "" if closed is None else self._findings.closers.get(closed, "")
        first = gap[0].control if gap else ""
        if closer and first.startswith(closer):
            rest = first.removeprefix(closer)
            if not rest or closer.endswith(MARKER_ENDS) or rest.startswith(MARKER_BEGINNINGS):
                return [Bit(Control(closer))], [*([Bit(Control(rest))] if rest else []), *gap[1:]]
        if closed is not None:
            return [], gap
        # The bit that begins the message's words is the last one here.
        before = len(gap) - 2 if opened is not None else len(gap) - 1
        opener = self._findings.openers.get(opened or Role.ASSISTANT, "")
        last = gap[before].control if before >= 0 else ""
        if opener and last.endswith(opener):
            rest = last.removesuffix(opener)
            return [*gap[:before], *([Bit(Control(rest))] if rest else [])], [Bit(Control(opener)), *gap[before + 1 :]]
        return gap[: before + 1], gap[before + 1 :]


def _left_open(parts: Sequence[Part], style: ReplyStyle) -> Iterator[Piece]:
    """A reply as its model wrote it, so far: nothing closes what comes last (see `replies.as_left_open`)."""
    pieces: list[Piece] = []
    is_opened = style.begins_in_reasoning
    for at, part in enumerate(parts):
        thinks = style.reasoning or ("", "")
        match part:
            case ReasoningPart() if style.reasoning is not None:
                around, said = ("" if is_opened else thinks[0], thinks[1]), [Piece(Plain(part.text), Label.REASONING, at)]
            case ToolCallPart():
                segments = call_segments(part, style)
                around, said = ("", ""), [Piece(each, *_label(each, at)) for each in segments]
            case TextPart():
                around, said = style.text, [Piece(Plain(part.text), Label.HISTORY, at)]
            case _:
                continue
        before = (style.between if pieces else "") + (thinks[1] if is_opened and not isinstance(part, ReasoningPart) else "") + around[0]
        pieces += [Piece(Control(before), Label.TEMPLATE), *said, Piece(Control(around[1]), Label.TEMPLATE)]
        is_opened = False
    if pieces:
        pieces[-1] = Piece(Control(""), Label.TEMPLATE)
        if ends_open(parts, style) and isinstance(parts[-1], ToolCallPart) and isinstance(pieces[-2].segment, Control):
            del pieces[-2]
        first = pieces[0].segment
        assert isinstance(first, Control)
        pieces[0] = Piece(Control(first.text.removeprefix(style.starts)), Label.TEMPLATE)
    return (piece for piece in pieces if not isinstance(piece.segment, ImageSlot) and piece.segment.text)


def _label(segment: Segment, at: int) -> tuple[Label, int | None]:
    return (Label.TEMPLATE, None) if isinstance(segment, Control) else (Label.HISTORY, at)


def _plainer(habits: Habits) -> Iterator[Habits]:
    """The habits of a template, and what is tried where it refuses a conversation that probing did not foresee: one change, then all."""
    changes: tuple[dict[str, Any], ...] = (
        {"reasoning": ""},
        {"system_role": False},
        {"picture": "", "tool_pictures": "text"},
        {"alternates": True, "user_first": True},
        {"calls": False, "results": False},
        {"calls": False, "results": False, "tools": False},
    )
    together = {name: value for change in changes for name, value in change.items()}
    tried = [habits]
    for change in (*changes, together):
        plainer = msgspec.structs.replace(habits, **change)
        if plainer not in tried:
            tried.append(plainer)
    yield from tried


def _pieces(bits: Sequence[Bit], message: int) -> Iterator[Piece]:
    """The bits of a message's group as pieces, the template's own joined.

    A space before words belongs to them, because the tokenizer joins it with the first word.
    """
    control = ""
    for bit in bits:
        if bit.control:
            control += bit.control
            continue
        segment = bit.segment
        if isinstance(segment, Plain) and segment.text and _ends_in_space(control):
            segment, control = Plain(f" {segment.text}"), control[:-1]
        if control:
            yield Piece(Control(control), Label.TEMPLATE)
            control = ""
        is_own = bit.origin.message == message
        yield Piece(segment, bit.origin.label, bit.origin.part if is_own or message < 0 else None)
    if control:
        yield Piece(Control(control), Label.TEMPLATE)


def _ends_in_space(text: str) -> bool:
    return text.endswith(" ") and text[-2:-1] not in ("", " ", "\n")


def _words_at(pieces: Sequence[Piece]) -> int:
    """Where in a message's group its words begin: at its end, when there are none."""
    return next((at for at, piece in enumerate(pieces) if piece.label is Label.HISTORY), len(pieces))
