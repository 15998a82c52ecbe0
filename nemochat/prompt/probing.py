"""What a chat template takes, found by rendering small conversations with it and looking at what comes back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import msgspec

from nemochat.domain.messages import (
    Conversation,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from nemochat.domain.sanitize import sanitize
from nemochat.domain.segments import ImageSlot
from nemochat.errors import TemplateError
from nemochat.prompt import call_styles
from nemochat.prompt.adapting import Adapted, Habits, adapt
from nemochat.prompt.call_styles import CALL, QUESTION, REPLY, SECOND, THOUGHT, TOOL, Renderings
from nemochat.prompt.foreign import Bit, Foreign, LostError
from nemochat.prompt.format import Label, Traits
from nemochat.prompt.rendering import HINT, RefusedError, Renderer
from nemochat.prompt.replies import ReplyStyle

MARKER_BEGINNINGS, MARKER_ENDS = ("<", "["), (">", "]")
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
_TOOL = ToolSpec(
    "get_time",
    "Says what time it is.",
    {"type": "object", "properties": {"place": {"type": "string", "description": "A town"}}, "required": ["place"]},
)
_BARE_TOOL = ToolSpec("get_day", "", {"type": "object", "properties": {"place": {"type": "string"}}})
_NAMES = {
    Label.SYSTEM: "the system text", Label.MEMORY: "what is remembered", Label.CONTEXT: "a context", Label.TOOL: "a tool",
    Label.PICTURE: "a picture",
}  # fmt: skip


class Findings(msgspec.Struct, frozen=True):
    """What was found out about a template. style: how its model writes replies.

    closers, openers: its text behind and before a message's words, by role, where it is known.
    """

    habits: Habits
    traits: Traits
    style: ReplyStyle
    closers: dict[Role, str] = {}
    openers: dict[Role, str] = {}


class Template:
    """A template with the tokens that it may write, and the process that renders it."""

    def __init__(self, name: str, source: str, begin: str, end: str, renderer: Renderer) -> None:
        self.name = sanitize(name, strict=True)
        self.source = source
        self._tokens = {"bos_token": begin, "eos_token": end}
        self._renderer = renderer

    async def said(
        self,
        conversation: Conversation,
        habits: Habits,
        *,
        asks_reply: bool = True,
        thinks: bool | None = None,
        begins_words: bool = False,
    ) -> list[Bit]:
        """A conversation in the words of the template. asks_reply: up to where the Assistant begins.

        Raises RefusedError when the template cannot say it or loses a part of it, TemplateError when it is broken.
        """
        foreign = Foreign()
        try:
            adapted = adapt(conversation, habits, foreign, begins_words=begins_words)
        except RecursionError as error:
            raise TemplateError("A tool, or a call of one, is nested too deep for any chat template.", "Offer other tools.") from error
        text = await self.render(adapted, asks_reply=asks_reply, thinks=thinks)
        try:
            return foreign.cut(text, habits.picture if adapted.pictures else "", adapted.pictures)
        except LostError as lost:
            origin = lost.origin
            what = "a text" if origin is None else _NAMES.get(origin.label, f"message {(origin.message or 0) + 1}")
            message = f"The chat template {self.name} leaves out {what}, says it twice or takes it apart."
            raise RefusedError(message, HINT) from lost

    async def render(self, adapted: Adapted, *, asks_reply: bool = True, thinks: bool | None = None) -> str:
        """The same as one text, with marks in it."""
        return await self._renderer.render(self.name, self.source, self.variables(adapted, asks_reply=asks_reply, thinks=thinks))

    def variables(self, adapted: Adapted, *, asks_reply: bool = True, thinks: bool | None = None) -> dict[str, Any]:
        """All that the template is given."""
        switch = {} if thinks is None else {"enable_thinking": thinks, "thinking": thinks}
        today = time.strftime("%Y-%m-%d")
        return {**adapted.variables, **self._tokens, "add_generation_prompt": asks_reply, "datetime": today, **switch}


async def probe(template: Template) -> Findings:
    """Find out what a template takes. Raises TemplateError when it cannot even say one message."""
    return await _Prober(template).findings()


class _Prober:
    def __init__(self, template: Template) -> None:
        self._template = template

    async def findings(self) -> Findings:
        habits = await self._messages(await self._basics())
        habits = await self._reasoning(await self._pictures(await self._tools(habits)))
        style = await self._style(habits)
        habits = msgspec.structs.replace(habits, style=style)
        closers, openers = await self._seams(habits)
        switched = [await self._said(habits, _user(), thinks=thinks) for thinks in (True, False)]
        kept = await self._said(habits, _user(), _reply(thought=True), _user())
        start = await self._said(habits, _user())
        begin = self._template.variables(Adapted({}, []))["bos_token"]
        traits = Traits(
            has_system_role=habits.system_role,
            takes_tools=habits.tools,
            pictures="parts" if habits.picture else "text",
            reasoning_switch=switched[0] != switched[1],
            keeps_reasoning=_thinks(kept),
            writes_begin=bool(begin and start and start[0].control.startswith(begin)),
        )
        return Findings(habits, traits, style, closers, openers)

    async def _said(self, habits: Habits, *messages: Message, system: str = "", tools: bool = False, **how: Any) -> list[Bit] | None:
        try:
            return await self._template.said(_conversation(messages, system, tools), habits, **how)
        except RefusedError:
            return None

    async def _basics(self) -> Habits:
        refused: RefusedError | None = None
        for content in ("string", "parts"):
            for no_tools in (None, False, ()):
                habits = Habits(content=content, no_tools=no_tools)
                try:
                    await self._template.said(_conversation([_user()]), habits)
                    return habits
                except RefusedError as error:
                    refused = refused or error
        assert refused is not None
        raise refused

    async def _messages(self, habits: Habits) -> Habits:
        if await self._said(habits, _user(), system="S") is None:
            habits = msgspec.structs.replace(habits, system_role=False)
        neighbours = (_user(), _user(), _reply(), _reply(), _user())
        if await self._said(habits, *neighbours) is None:
            habits = msgspec.structs.replace(habits, alternates=True)
        if await self._said(habits, _reply(), _user()) is None:
            habits = msgspec.structs.replace(habits, user_first=True)
        return habits

    async def _tools(self, habits: Habits) -> Habits:
        if await self._said(habits, _user(), tools=True) is None:
            return msgspec.structs.replace(habits, tools=False, calls=False, results=False)
        try:
            await self._template.said(Conversation(tools=(_BARE_TOOL,), messages=(_user(),)), habits)
        except RefusedError:
            habits = msgspec.structs.replace(habits, descriptions=True)
        asked = (_user(), _calls(1), _results(1))
        for arguments in ("object", "json"):
            called = msgspec.structs.replace(habits, arguments=arguments)
            bits = await self._said(called, *asked, tools=True)
            # A template that writes an object as Python does wants JSON instead.
            if bits is None or any(
                before.control.endswith("{'") and bit.origin.label is Label.HISTORY for before, bit in pairwise(bits)
            ):
                continue
            for one_call in (False, True):
                called = msgspec.structs.replace(called, one_call=one_call)
                if await self._said(called, _user(), _calls(2), _results(2), _reply(), _user(), tools=True) is not None:
                    return await self._words_with_calls(called)
        for results in (True, False):
            told = msgspec.structs.replace(habits, calls=False, results=results)
            if await self._said(told, *asked, tools=True) is not None:
                break
        return told

    async def _words_with_calls(self, habits: Habits) -> Habits:
        messages = (_user(), _calls(1, words="W"), _results(1), _reply(), _user())
        apart = msgspec.structs.replace(habits, words_with_calls=False)
        if await self._said(habits, *messages, tools=True) is None and await self._said(apart, *messages, tools=True) is not None:
            return apart
        return habits

    async def _pictures(self, habits: Habits) -> Habits:
        if placeholder := await self._placeholder(habits):
            pictured = msgspec.structs.replace(habits, picture=placeholder)
            if await self._said(pictured, _user(), _reply(), _user(pictures=2)) is not None:
                habits = pictured
        if not habits.results:
            return habits
        for place in ("parts", "user") if habits.picture else ("user",):
            placed = msgspec.structs.replace(habits, tool_pictures=place)
            if await self._said(placed, _user(), _calls(1), _results(1, pictures=1), _reply(), _user(), tools=True) is not None:
                return placed
        return habits

    async def _placeholder(self, habits: Habits) -> str:
        """What the template writes for a picture that is a part of its own; "" when that does not work."""
        texts = []
        for pictures in (0, 1):
            conversation = _conversation([_user(), _reply(), _user(pictures=pictures)])
            adapted = adapt(conversation, msgspec.structs.replace(habits, picture="as a part", content="parts"), Foreign())
            try:
                texts.append(await self._template.render(adapted))
            except RefusedError:
                return ""
        without, pictured = texts
        if "'type': '" in pictured:  # it writes a list as Python does
            return ""
        before = next((at for at, (one, other) in enumerate(zip(without, pictured, strict=False)) if one != other), len(without))
        size = len(pictured) - len(without)
        # Where both texts go on alike, it is not plain where the placeholder begins: with its marker.
        for start in range(before, max(before - size, -1), -1):
            placeholder = pictured[start : start + size]
            if without[:start] + placeholder + without[start:] != pictured:
                break
            if placeholder.startswith(MARKER_BEGINNINGS):
                return placeholder
        placeholder = pictured[before : before + size]
        return placeholder if placeholder.strip() and without[:before] + placeholder + without[before:] == pictured else ""

    async def _reasoning(self, habits: Habits) -> Habits:
        for key in REASONING_KEYS:
            thinking = msgspec.structs.replace(habits, reasoning=key)
            for messages in (
                [_user(), _reply(thought=True), _user()],
                [_user(), _calls(1, thought=True), _results(1)],
                [_user(), _reply(thought=True)],
            ):
                if _thinks(await self._said(thinking, *messages, tools=habits.tools, asks_reply=messages[-1].role is not Role.ASSISTANT)):
                    return thinking
        return habits

    async def _style(self, habits: Habits) -> ReplyStyle:
        """How replies are written, looked for in what the template makes of known ones."""
        question, reply = Message(Role.USER, (TextPart(QUESTION),)), TextPart(REPLY)

        async def said(*parts: Part, tools: tuple[ToolSpec, ...] = ()) -> str:
            messages = (question, Message(Role.ASSISTANT, parts)) if parts else (question,)
            try:
                bits = await self._template.said(Conversation(tools=tools, messages=messages), habits, asks_reply=not parts)
            except RefusedError:
                return ""
            return "".join("" if isinstance(bit.segment, ImageSlot) else bit.segment.text for bit in bits)

        # What a template has no place for would be found in the form in which it was just told.
        tells_calls = habits.calls or not habits.tools
        return call_styles.find(
            Renderings(
                source=self._template.source,
                prompt=await said(),
                text=await said(reply),
                reasoned=await said(ReasoningPart(THOUGHT), reply),
                call=await said(ToolCallPart((CALL,)), tools=(TOOL,)) if tells_calls else "",
                calls=await said(ToolCallPart((CALL, SECOND)), tools=(TOOL,)) if tells_calls else "",
            )
        )

    async def _seams(self, habits: Habits) -> tuple[dict[Role, str], dict[Role, str]]:
        """What closes a message of each role, and what opens one of the user and of the Assistant."""
        closers: dict[Role, str] = {}
        openers: dict[Role, str] = {}
        whole = {
            Role.USER: [_user()],
            Role.ASSISTANT: [_user(), _reply()],
            Role.TOOL: [_user(), _calls(1), _results(1)],
        }
        for role, messages in whole.items():
            bits = await self._said(habits, *messages, tools=role is Role.TOOL and habits.tools, asks_reply=False)
            if bits and bits[-1].control and len(bits) > 1:
                closers[role] = bits[-1].control
        bits = await self._said(habits, _user(), _reply(), _user()) or []
        words = [at for at, bit in enumerate(bits) if bit.origin.label is Label.HISTORY]
        for (first, then), closed, opened in zip(
            pairwise(words), (Role.USER, Role.ASSISTANT), (Role.ASSISTANT, Role.USER), strict=False
        ):
            between = "".join(bit.control for bit in bits[first + 1 : then])
            closer = closers.get(closed, "")
            if between.startswith(closer) and between != closer:
                openers[opened] = between[len(closer) :]
        return closers, openers


def _conversation(messages: Iterable[Message], system: str = "", tools: bool = False) -> Conversation:
    return Conversation(system, (_TOOL,) if tools else (), (), tuple(messages))


def _user(pictures: int = 0) -> Message:
    return Message(Role.USER, (*_images(pictures), TextPart("U")))


def _reply(thought: bool = False) -> Message:
    return Message(Role.ASSISTANT, (*_thoughts(thought), TextPart("A")))


def _calls(count: int, thought: bool = False, words: str = "") -> Message:
    calls = tuple(ToolCall("get_time", {"place": f"P{number}"}, f"call{number}") for number in range(count))
    return Message(Role.ASSISTANT, (*_thoughts(thought), *([TextPart(words)] if words else []), ToolCallPart(calls)))


def _results(count: int, pictures: int = 0) -> Message:
    return Message(Role.TOOL, tuple(ToolResultPart(f"call{n}", f"T{n}", images=tuple(_images(pictures))) for n in range(count)))


def _images(count: int) -> Iterator[ImagePart]:
    return (ImagePart(f"{number:064}") for number in range(count))


def _thoughts(thought: bool) -> tuple[ReasoningPart, ...]:
    return (ReasoningPart("R"),) if thought else ()


def _thinks(bits: list[Bit] | None) -> bool:
    return any(bit.origin.label is Label.REASONING for bit in bits or ())
