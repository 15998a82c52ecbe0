"""A conversation as the messages that a chat template takes, shaped to the habits of that template.

What holds for every template: the ends of a message's text are stripped; pictures stand before contexts, contexts before words; contexts
are ``<context> ... </context>`` lines, those of the conversation at the end of the system text. Where a template has
- no System role, the system text stands before the user's first words; what is to be remembered always stands behind it;
- no tools, they are told in the system text, calls and results are text in the manner of Hermes models (`told_tools`);
- no place for calls or results, though it knows tools, those are text;
- to have users and assistants in turn, what stands side by side becomes one message;
- to have the user speak first, an assistant's greeting follows on the system text as the user's turn, or on `BEGINNING`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from nemochat.domain.messages import (
    ContextPart,
    Conversation,
    ImagePart,
    Message,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.prompt.call_styles import GENERAL
from nemochat.prompt.foreign import Need, Origin
from nemochat.prompt.format import Label
from nemochat.prompt.replies import ReplyStyle, written

TOLD_STYLE = ReplyStyle(GENERAL)
"""How a model writes calls that is told of tools by `told_tools`."""
BEGINNING = "[Start a new chat]"
"""The user's turn before an assistant who speaks first, where there must be one: the words that models of roleplay know for it."""
_APART = "\n\n"

_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_DATA = frozenset({"const", "enum", "default", "examples", "example"})
_KEYWORDS = frozenset(
    {"type", "title", "description", "required", "items", "prefixItems", "additionalItems", "additionalProperties", "propertyNames",
     "minProperties", "maxProperties", "minItems", "maxItems", "uniqueItems", "contains", "minLength", "maxLength", "pattern", "format",
     "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "anyOf", "oneOf", "allOf", "not", "if", "then", "else",
     "nullable", "readOnly", "writeOnly", "deprecated", "$ref", "$schema", "$id", *_MAPS, *_DATA}
)  # fmt: skip
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_TOOL = Origin(Label.TOOL, need=Need.PERHAPS)
_BITS = 63
"""Larger numbers cannot be given to the template."""
_PLAIN_ID = re.compile(r"[A-Za-z0-9]{9}")


class Habits(msgspec.Struct, frozen=True):
    """What a template takes, found by trying (`nemochat.prompt.probing`).

    content: of a message, a string or a list of parts. no_tools: what `tools` is where none is offered; None is none, False not defined.
    tools, calls, results: it has a place for those; what it has none for is text. descriptions: every property of a tool has one.
    arguments: of a call, as an object or as JSON. one_call: a message has at most one call. words_with_calls: and words beside it. picture:
    what the template writes for a picture that is a part of its own, "" where pictures have to be lines in the text. tool_pictures: where
    those go that a tool gave. reasoning: the key of an assistant's message that holds what it thought, "" where there is none. style: how
    calls are written that are text.
    """

    system_role: bool = True
    alternates: bool = False
    user_first: bool = False
    content: Literal["string", "parts"] = "string"
    no_tools: Literal[False] | tuple[()] | None = None
    tools: bool = True
    calls: bool = True
    results: bool = True
    descriptions: bool = False
    arguments: Literal["object", "json"] = "object"
    one_call: bool = False
    words_with_calls: bool = True
    picture: str = ""
    tool_pictures: Literal["parts", "user", "text"] = "text"
    reasoning: str = ""
    style: ReplyStyle = TOLD_STYLE


class Words(Protocol):
    """Where texts are put: marks for a template (`Foreign`), or the texts themselves for a server."""

    def put(self, segment: Segment, origin: Origin) -> str:
        """What stands for it in a message."""

    def json(self, value: Any) -> str:
        """A value with such texts in it as JSON."""


_Piece = str | tuple[ImageSlot, Origin]


class _Said(msgspec.Struct, frozen=True):
    """A text in a message. part: whose words it is; None for our own. is_stripped: at the ends of the message."""

    text: str
    part: int | None = None
    is_stripped: bool = False


class _Turn(msgspec.Struct):
    """A message on its way to the template. content: texts, and pictures that may be parts."""

    role: str
    content: list[_Piece]
    calls: list[dict[str, Any]] = []
    extra: dict[str, Any] = {}


class Adapted(msgspec.Struct, frozen=True):
    """What is given to a template. pictures: those that are parts, in their order."""

    variables: dict[str, Any]
    pictures: list[tuple[ImageSlot, Origin]]


def adapt(conversation: Conversation, habits: Habits, words: Words, *, begins_words: bool = False) -> Adapted:
    """The messages and tools as variables of a template. begins_words: the last message has words, be they empty."""
    return _Adapter(conversation, habits, words, begins_words).adapted()


def told_tools(tools: Sequence[str]) -> str:
    """The system text that tells a model of tools whose template cannot. tools: each one as JSON."""
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n" + "\n".join(tools) + "\n</tools>\n\n"
        "For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n"
        '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    )


def call_segments(part: ToolCallPart, style: ReplyStyle) -> tuple[Control | Plain, ...]:
    """Calls as text in a prompt: as a model of this style writes them, or letter for letter as it wrote them."""
    around = ("", "") if style.calls is None or style.calls.is_bare else (style.calls.opens, style.calls.closes)
    return tuple(each for each in (Control(around[0]), Plain(written(part, style)), Control(around[1])) if each.text)


class _Adapter:
    def __init__(self, conversation: Conversation, habits: Habits, words: Words, begins_words: bool) -> None:
        self._conversation = conversation
        self._habits = habits
        self._words = words
        self._begins_words = begins_words
        self._asked: dict[str, str] = {}

    def adapted(self) -> Adapted:
        tools = [self._tool(tool) for tool in self._conversation.tools]
        turns = [turn for index, message in enumerate(self._conversation.messages) for turn in self._turns(index, message)]
        system = self._system(tools)
        if not self._habits.words_with_calls:
            turns = [each for turn in turns for each in _words_apart(turn)]
        if self._habits.one_call:
            turns = _one_call_each(turns)
        if self._habits.user_first and not (system and not self._habits.system_role) and turns and turns[0].role == "assistant":
            turns.insert(0, _Turn("user", [self._words.put(Plain(BEGINNING), Origin(Label.TEMPLATE))]))
        if system:
            turns = self._with_system(system, turns)
        if self._habits.alternates:
            turns = _alternating(turns)
        pictures: list[tuple[ImageSlot, Origin]] = []
        variables: dict[str, Any] = {"messages": [self._message(turn, pictures) for turn in turns]}
        if tools and self._habits.tools:
            variables["tools"] = tools
        elif self._habits.no_tools is not False:
            variables["tools"] = self._habits.no_tools
        # For the templates of functionary and firefunction, which want them as text.
        variables["functions"] = self._words.json([tool["function"] for tool in tools] if self._habits.tools else [])
        return Adapted(variables, pictures)

    # -- the system text and tools

    def _system(self, tools: list[dict[str, Any]]) -> list[str]:
        texts = []
        if text := self._conversation.system.strip():
            texts.append(self._words.put(Plain(text), Origin(Label.SYSTEM)))
        if text := self._conversation.memory.strip():
            texts += [_APART] * bool(texts) + [self._words.put(Plain(text), Origin(Label.MEMORY))]
        if tools and not self._habits.tools:
            texts += [_APART] * bool(texts) + [told_tools([self._words.json(tool) for tool in tools])]
        for index, context in enumerate(self._conversation.contexts):
            texts += ["\n"] * bool(texts) + self._context(context, Origin(Label.CONTEXT, part=index))
        return texts

    def _context(self, text: str, origin: Origin, end: str = "") -> list[str]:
        words = self._words.put(Plain(f" {text.strip()}"), origin)
        return [self._own("<context>", origin.message), words, self._own(f" </context>{end}", origin.message)]

    def _own(self, text: str, message: int | None) -> str:
        """Words of ours in a message: marked as its own, so that it is plain where the template's begin."""
        return self._words.put(Control(text), Origin(Label.TEMPLATE, message, need=Need.PERHAPS))

    def _with_system(self, system: list[str], turns: list[_Turn]) -> list[_Turn]:
        if self._habits.system_role:
            return [_Turn("system", [*system]), *turns]
        if not turns or turns[0].role != "user":
            return [_Turn("user", [*system]), *turns]
        first = turns[0]
        return [_Turn("user", [*system, _APART, *first.content]), *turns[1:]]

    def _tool(self, tool: ToolSpec) -> dict[str, Any]:
        for name in sorted(_names_in(tool.parameters), key=str.lower):
            self._words.put(Plain(name), _TOOL)  # in their order, because templates sort them by what stands for them
        needed = Origin(Label.TOOL, need=Need.SOMEWHERE)
        function = {
            "name": self._words.put(Plain(tool.name), needed),
            "description": self._description(tool.description, needed if tool.description else _TOOL),
            "parameters": self._schema(tool.parameters),
        }
        return {"type": "function", "function": function}

    def _description(self, text: str, origin: Origin) -> str:
        """A description whose full stop stays what it is, because templates add one where there is none."""
        stop = "." * text.endswith(".")
        return self._words.put(Plain(text.removesuffix(".")), origin) + stop

    def _schema(self, value: Any, key: str = "") -> Any:
        """A JSON Schema: its keywords and types stay what they are, because templates look for them; everything else is somebody's text."""
        if isinstance(value, dict):
            if key in _MAPS:
                added = {"description": ""} if self._habits.descriptions and key == "properties" else {}
                described = {name: {**added, **below} if isinstance(below, dict) else below for name, below in value.items()}
                return {self._words.put(Plain(name), _TOOL): self._schema(below) for name, below in described.items()}
            return {
                name if name in _KEYWORDS else self._words.put(Plain(name), _TOOL): self._schema(below, name)
                if name in _KEYWORDS - _DATA
                else self._data(below, _TOOL)
                for name, below in value.items()
            }
        if isinstance(value, list):
            return [self._schema(each, key) for each in value]
        if key == "description" and isinstance(value, str):
            return self._description(value, _TOOL)
        return value if key == "type" and value in _TYPES else self._data(value, _TOOL)

    def _data(self, value: Any, origin: Origin) -> Any:
        """A value of JSON with all of its texts put."""
        if isinstance(value, dict):
            return {self._words.put(Plain(str(name)), origin): self._data(below, origin) for name, below in value.items()}
        if isinstance(value, list | tuple):
            return [self._data(each, origin) for each in value]
        if isinstance(value, int) and value.bit_length() > _BITS:
            return self._words.put(Plain(str(value)), origin)
        return self._words.put(Plain(value), origin) if isinstance(value, str) else value

    # -- messages

    def _turns(self, index: int, message: Message) -> list[_Turn]:
        match message.role:
            case Role.USER:
                return [_Turn("user", self._user(index, message))]
            case Role.ASSISTANT:
                return [self._assistant(index, message)]
        return self._results(index, message)

    def _before_words(self, index: int, message: Message, *, has_words: bool = True) -> list[_Piece]:
        """The pictures and contexts of a message, each on a line of its own."""
        content: list[_Piece] = []
        for at, part in enumerate(message.parts):
            if isinstance(part, ImagePart):
                content.append((ImageSlot(part.digest), Origin(Label.PICTURE, index, at)))
        contexts = [(at, part.text) for at, part in enumerate(message.parts) if isinstance(part, ContextPart)]
        for at, text in contexts:
            end = "\n" if has_words or at != contexts[-1][0] else ""  # what stands at the end of a message is stripped
            content += self._context(text, Origin(Label.CONTEXT, index, at), end)
        return content

    def _user(self, index: int, message: Message) -> list[_Piece]:
        said = self._said(index, [_Said(part.text, at, True) for at, part in enumerate(message.parts) if isinstance(part, TextPart)])
        if not said and self._begins_words and index == len(self._conversation.messages) - 1:
            said = [self._words.put(Plain(""), Origin(Label.HISTORY, index))]
        return [*self._before_words(index, message, has_words=bool(said)), *said]

    def _assistant(self, index: int, message: Message) -> _Turn:
        said: list[_Said] = []
        calls: list[dict[str, Any]] = []
        for at, part in enumerate(message.parts):
            match part:
                case TextPart():
                    said.append(_Said(part.text, at, True))
                case ToolCallPart() if part.calls and self._habits.calls:
                    calls += [self._call(call, index, at) for call in part.calls]
                case ToolCallPart():
                    for call in part.calls:
                        self._asked[self._id(call.id)] = self._words.put(Plain(call.name), Origin(Label.HISTORY, need=Need.PERHAPS))
                    said += [_Said("\n")] * bool(said)
                    for segment in call_segments(part, self._habits.style):
                        said.append(_Said(segment.text, at if isinstance(segment, Plain) else None))
        extra = {}
        thoughts = [(at, part.text.strip()) for at, part in enumerate(message.parts) if isinstance(part, ReasoningPart)]
        if self._habits.reasoning and any(text for _, text in thoughts):
            marks = [self._words.put(Plain(text), Origin(Label.REASONING, index, at, Need.PERHAPS)) for at, text in thoughts if text]
            extra[self._habits.reasoning] = "\n".join(marks)
        return _Turn("assistant", [*self._before_words(index, message), *self._said(index, said)], calls, extra)

    def _said(self, index: int, said: list[_Said]) -> list[str]:
        """What is said in a message, without the white space around the whole."""
        while said and said[0].is_stripped and not said[0].text.strip():
            said = said[1:]
        while said and said[-1].is_stripped and not said[-1].text.strip():
            said = said[:-1]
        texts = [each.text for each in said]
        if said and said[0].is_stripped:
            texts[0] = texts[0].lstrip()
        if said and said[-1].is_stripped:
            texts[-1] = texts[-1].rstrip()
        return [
            self._own(text, index) if each.part is None else self._words.put(Plain(text), Origin(Label.HISTORY, index, each.part))
            for each, text in zip(said, texts, strict=True)
            if text
        ]

    def _call(self, call: ToolCall, index: int, at: int) -> dict[str, Any]:
        origin = Origin(Label.HISTORY, index, at, Need.SOMEWHERE)
        # Its name stands beside its result too; with arguments it is clear whose it is.
        name = self._words.put(Plain(call.name), Origin(Label.HISTORY, None if call.arguments else index, None, Need.SOMEWHERE))
        arguments: Any = call.arguments
        if self._habits.arguments == "json":
            arguments = self._words.put(Plain(json.dumps(call.arguments, ensure_ascii=False)), origin)
        else:
            for key in sorted(_names_in(arguments), key=str.lower):
                self._words.put(Plain(key), origin)
            arguments = self._data(arguments, origin)
        id_ = self._id(call.id)
        self._asked[id_] = name
        return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}

    def _id(self, id_: str) -> str:
        """An id of nine letters and digits, as Mistral's templates want them: what stands for a text has nine characters too."""
        short = id_ if _PLAIN_ID.fullmatch(id_) else hashlib.sha256(id_.encode(errors="surrogatepass")).hexdigest()[:9]
        return self._words.put(Plain(short), Origin(Label.HISTORY, need=Need.PERHAPS))

    def _results(self, index: int, message: Message) -> list[_Turn]:
        turns: list[_Turn] = []
        shown = self._before_words(index, message)
        for at, part in enumerate(message.parts):
            if not isinstance(part, TextPart | ToolResultPart):
                continue
            result = part if isinstance(part, ToolResultPart) else ToolResultPart("", part.text)
            pictures: list[_Piece] = [(ImageSlot(image.digest), Origin(Label.PICTURE, index, at)) for image in result.images]
            text = self._said(index, [_Said(result.text, at, True)])
            id_ = self._id(result.call)
            if not self._habits.results or id_ not in self._asked:
                before, after = "<tool_response>\n", "\n</tool_response>"  # in a user's turn, where the template knows no results
                turns.append(_Turn("user", [*pictures, self._own(before, index), *text, self._own(after, index)]))
                continue
            if self._habits.tool_pictures == "user":
                shown, pictures = [*shown, *pictures], []
            turns.append(_Turn("tool", [*pictures, *text], extra={"tool_call_id": id_, "name": self._asked[id_]}))
        return [*turns, _Turn("user", shown)] if shown else turns

    def _message(self, turn: _Turn, pictures: list[tuple[ImageSlot, Origin]]) -> dict[str, Any]:
        calls = {"tool_calls": turn.calls} if turn.calls else {}
        return {"role": turn.role, "content": self._content(turn, pictures), **turn.extra, **calls}

    def _content(self, turn: _Turn, pictures: list[tuple[ImageSlot, Origin]]) -> str | list[dict[str, str]]:
        has_parts = bool(self._habits.picture) and (turn.role == "user" or self._habits.tool_pictures == "parts")
        parts: list[dict[str, str]] = []
        text = ""
        for piece in turn.content:
            if isinstance(piece, str):
                text += piece
            elif has_parts:
                parts += [*_text_parts(text), {"type": "image"}]
                pictures.append(piece)
                text = ""
            else:
                text += self._words.put(*piece) + self._own("\n", piece[1].message)
        return [*parts, *_text_parts(text)] if parts or self._habits.content == "parts" else text


def _text_parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}] if text else []


def _names_in(value: Any) -> set[str]:
    """The keys of all objects in a value of JSON."""
    if isinstance(value, dict):
        return {str(name) for name in value}.union(*map(_names_in, value.values()))
    return set().union(*map(_names_in, value)) if isinstance(value, list | tuple) else set()


def _words_apart(turn: _Turn) -> list[_Turn]:
    """The words of a message that has calls as a message of their own before them."""
    if not (turn.calls and turn.content):
        return [turn]
    return [_Turn(turn.role, turn.content), _Turn(turn.role, [], turn.calls, turn.extra)]


def _one_call_each(turns: Sequence[_Turn]) -> list[_Turn]:
    """Several calls of one message as messages of their own, each before its result."""
    apart: list[_Turn] = []
    rest = list(turns)
    while rest:
        turn = rest.pop(0)
        if len(turn.calls) < 2:
            apart.append(turn)
            continue
        count = next((at for at, each in enumerate(rest) if each.role != "tool"), len(rest))
        results, rest = rest[:count], rest[count:]
        for at, call in enumerate(turn.calls):
            apart.append(_Turn("assistant", [], [call]) if at else _Turn("assistant", turn.content, [call], turn.extra))
            apart += [each for each in results if each.extra["tool_call_id"] == call["id"]]
    return apart


def _alternating(turns: Sequence[_Turn]) -> list[_Turn]:
    """Neighbours of one role as one message."""
    joined: list[_Turn] = []
    for turn in turns:
        last = joined[-1] if joined else None
        if last is not None and last.role == turn.role and turn.role in ("user", "assistant") and not last.calls:
            between = [_APART] if last.content and turn.content else []
            joined[-1] = _Turn(turn.role, [*last.content, *between, *turn.content], turn.calls, {**last.extra, **turn.extra})
        else:
            joined.append(turn)
    return joined
