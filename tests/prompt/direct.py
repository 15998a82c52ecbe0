"""A chat template rendered as anybody would: jinja, the real texts, no marks. What `TemplateFormat` is held against."""

from __future__ import annotations

import json
import time
from typing import Any

from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import SandboxedEnvironment

from nemochat.domain.messages import (
    ContextPart,
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
from nemochat.domain.segments import Control, ImageSlot, Segment
from nemochat.prompt.adapting import Adapted, adapt
from nemochat.prompt.foreign import Origin
from nemochat.prompt.format import Layout
from nemochat.prompt.template import TemplateFormat

BEGIN, END = "<BEGIN>", "<END>"
PICTURE = "[[picture]]"


class _Generation(Extension):
    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Real:
    """The real texts, and a word for pictures."""

    def put(self, segment: Segment, origin: Origin) -> str:
        return PICTURE if isinstance(segment, ImageSlot) else segment.text

    def json(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)


def direct(source: str, variables: dict[str, Any]) -> str:
    def to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def refuse(message: str) -> None:
        raise ValueError(message)

    environment = SandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = time.strftime
    return environment.from_string(source).render(**variables)


async def expected(form: TemplateFormat, source: str, conversation: Conversation) -> str:
    """What the template says, given the real texts in the messages that the format would give it."""
    habits, _ = await form._said(conversation, asks_reply=True, thinks=None)
    adapted: Adapted = adapt(conversation, habits, _Real())
    tokens = {"bos_token": BEGIN, "eos_token": END, "add_generation_prompt": True, "datetime": time.strftime("%Y-%m-%d")}
    return direct(source, {**adapted.variables, **tokens})


def said(form: TemplateFormat, layout: Layout) -> str:
    """The pieces of a layout as one text."""
    picture = form.habits.picture or PICTURE
    return "".join(picture if isinstance(segment, ImageSlot) else segment.text for segment in layout.segments)


SYSTEM = "You answer briefly."
TOOLS = (
    ToolSpec(
        "get_weather",
        "Says what the weather is like.",
        {
            "type": "object",
            "properties": {
                "town": {"type": "string", "description": "The town, such as \"Paris\"."},
                "days": {"type": "integer", "description": "How many days ahead.", "default": 1, "minimum": 0},
                "as": {"type": "string", "enum": ["text", "table"]},
                "near": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["town", "days"],
        },
    ),
    ToolSpec("now", "Says what time it is."),
)


def user(text: str, pictures: int = 0) -> Message:
    return Message(Role.USER, (*(ImagePart(f"{n:064}", f"{n}.png") for n in range(pictures)), TextPart(text)))


def reply(text: str, thought: str = "") -> Message:
    return Message(Role.ASSISTANT, (*([ReasoningPart(thought)] if thought else []), TextPart(text)))


def calls(*asked: ToolCall, text: str = "", thought: str = "") -> Message:
    parts: list[Part] = [*([ReasoningPart(thought)] if thought else []), *([TextPart(text)] if text else []), ToolCallPart(asked)]
    return Message(Role.ASSISTANT, tuple(parts))


def results(**told: str) -> Message:
    return Message(Role.TOOL, tuple(ToolResultPart(call, text) for call, text in told.items()))


_WEATHER = ToolCall("get_weather", {"town": "Trá Lí", "days": 2, "near": ["a \"b\"", "c"]}, "call_1_1")
_NOW = ToolCall("now", {}, "call_1_2")

CONVERSATIONS: dict[str, Conversation] = {
    "system": Conversation(SYSTEM, messages=(user("What is the capital of France?"),)),
    "no system": Conversation(messages=(user("Hello."),)),
    "several turns": Conversation(
        SYSTEM, messages=(user("One?"), reply("Two."), user("Three?"), reply("Four.\n\nFive."), user("Six?"))
    ),
    "tools offered": Conversation(SYSTEM, TOOLS, messages=(user("Hello."),)),
    "one call": Conversation(
        SYSTEM, TOOLS, messages=(user("Weather?"), calls(_WEATHER), results(call_1_1='{"sky": "blue"}'), reply("It is blue."), user("Yes."))
    ),
    "result last": Conversation("", TOOLS, messages=(user("Weather?"), calls(_WEATHER), results(call_1_1="blue"))),
    "system, result last": Conversation(SYSTEM, TOOLS, messages=(user("Weather?"), calls(_WEATHER), results(call_1_1="blue"))),
    "two calls": Conversation(
        SYSTEM, TOOLS, messages=(user("And?"), calls(_WEATHER, _NOW), results(call_1_1="blue", call_1_2="noon"), reply("Blue."), user("O"))
    ),
    "words and a call": Conversation("", TOOLS, messages=(user("And?"), calls(_NOW, text="I look."), results(call_1_2="noon"))),
    "a call without a result": Conversation(SYSTEM, TOOLS, messages=(user("And?"), calls(_WEATHER), user("Never mind."))),
    "a result without a call": Conversation(SYSTEM, TOOLS, messages=(results(call_1_1="blue"), reply("Blue."), user("So?"))),
    "calls in a row": Conversation(
        SYSTEM,
        TOOLS,
        messages=(user("I?"), calls(_WEATHER), results(call_1_1="blue"), calls(_NOW), results(call_1_2="noon"), reply("Blue."), user("O")),
    ),
    "pictures": Conversation(SYSTEM, messages=(user("What is this?", 1), reply("A cat."), user("And these?", 2))),
    "reasoning": Conversation(
        SYSTEM, messages=(user("2 + 2?"), reply("4.", "Two and two."), user("3 + 3?"), reply("6.", "Three twice."), user("Why?"))
    ),
    "reasoning and a call": Conversation("", TOOLS, messages=(user("And?"), calls(_NOW, thought="A clock."), results(call_1_2="noon"))),
    "contexts": Conversation(SYSTEM, contexts=("Rome is old.",), messages=(user("How old?"),)),
    "summary and memory": Conversation(
        SYSTEM,
        memory="Remember:\n- It rains.",
        messages=(Message(Role.USER, (ContextPart("They met."),)), user("So?"), reply("So."), user("Why?")),
    ),
    "memory alone": Conversation(memory="Remember:\n- It rains.", messages=(user("So?"),)),
    "greeting first": Conversation("You are a pirate.", messages=(reply("Ahoy!"), user("Hello."))),
    "greeting, no system": Conversation(messages=(reply("Ahoy!"), user("Hello."))),
    "neighbours": Conversation(SYSTEM, messages=(user("One."), user("Two?"), reply("Three."), reply("Four."), user("Five?"))),
}


def every(text: str) -> Conversation:
    """The text everywhere where somebody else's text can stand."""
    schema = {"type": "object", "properties": {text: {"type": text, "enum": [text], text: [text]}}, "required": [text]}
    arguments = {text: text, f"{text} deep": [{text: [text]}], "n": 1, "none": None}
    return Conversation(
        text,
        (ToolSpec(text, text, schema), ToolSpec("plain", f"{text}.", {"type": "object", "properties": {"type": {"description": text}}})),
        (text,),
        (
            Message(Role.USER, (ImagePart("0" * 64, text), ContextPart(text, text, text), TextPart(text))),
            Message(Role.ASSISTANT, (ReasoningPart(text), TextPart(text), ToolCallPart((ToolCall(text, arguments, text),)))),
            Message(Role.TOOL, (ToolResultPart(text, text, images=(ImagePart("1" * 64, text),)),)),
            Message(Role.ASSISTANT, (ToolCallPart((), text, text),)),
            Message(Role.TOOL, (ToolResultPart("", text, is_error=True),)),
            Message(Role.USER, (TextPart(text), TextPart(text))),
        ),
    )


def scaffold(layout: Layout) -> str:
    return "".join(piece.segment.text for piece in layout.pieces if isinstance(piece.segment, Control))
