"""Tool calls as models write them, read and written by a style: what stands between the text that opens calls and the one that closes them.

Three classes hold for most models: JSON (``{"name": ..., "arguments": {...}}``, alone, one below the other or in a list), a name with JSON
(``name[ARGS]{...}``), and a name with arguments in tags (``<function=name><parameter=key>value</parameter></function>``). Three more are
those of single families: a call of Python (``[name(key="value")]``), Gemma's own notation of JSON, and MiniMax's elements within elements
(``<key><item>value</item></key>``, with a mark of its own before every tag).

Mended, because the meaning is plain: trailing commas, single quotes, ``True``/``False``/``None``, raw line breaks in strings, and closing
brackets missing before the closing tag. Without the closing tag the reply was cut, so what is incomplete stays unread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from nemochat.domain.messages import ToolCall, ToolSpec
from nemochat.prompt.schemas import Known, known_of

MAX_DEPTH = 64
"""Brackets within brackets in one call; deeper ones are malformed."""
MAX_CHARACTERS = 100_000
"""Text between one pair of tags; longer ones are malformed."""
ANY = "\0"
"""In a text of a style: something that is another one each time, an id, a number or the type of a value."""

PYTHON_NAME = re.compile(r"[^\s()\[\],=\"']{1,256}")
"""What can be the name of a function or an argument in a call of Python."""


class CallStyle(msgspec.Struct, frozen=True):
    """How calls stand in a reply.

    name: what `ToolCallPart.format` says. opens: text that begins calls, behind which a grammar may hold them; where it is the beginning of
    the JSON itself (`is_bare`), the calls are the whole of what is said. closes: text behind them; "" where they end with their last
    bracket. lead, trail, between: white space as it is written behind `opens`, before `closes` and between two calls.

    has_several: several calls may stand between `opens` and `closes`.

    json: is_list: the calls stand in a list. name_key, arguments_key: "" for both where the name itself is the key of the arguments.
    named, tagged: before, after: what stands around a name; after_as_read: a regular expression for what else may stand behind it. end:
    what stands behind the arguments.
    tagged: key_opens, key_closes, value_closes: what stands around the name of an argument and behind its value.
    elements: key_opens, key_closes: what stands around the name of an argument before its value, value_closes, key_closes: behind it.
    """

    name: str
    opens: str
    closes: str = ""
    kind: Literal["json", "named", "tagged", "python", "gemma", "elements"] = "json"
    lead: str = ""
    trail: str = ""
    between: str = "\n"
    is_list: bool = False
    name_key: str = "name"
    arguments_key: str = "arguments"
    has_several: bool = False
    before: str = ""
    after: str = ""
    after_as_read: str = ""
    end: str = ""
    key_opens: str = ""
    key_closes: str = ""
    value_closes: str = ""

    @property
    def is_bare(self) -> bool:
        """Whether nothing but JSON shows that there is a call."""
        return self.kind == "json" and self.opens.startswith("{")

    @property
    def names(self) -> re.Pattern[str]:
        """What can be the name of a function."""
        if self.kind == "python":
            return PYTHON_NAME
        is_alone = self.kind == "tagged" and not (self.before + self.after).strip()
        return re.compile(r"[^\s{}]{1,256}" if is_alone else r"[^\n{}]{1,256}")

    @property
    def shields(self) -> dict[str, str]:
        """What begins a string within calls, and what ends it: nothing that stands between closes the calls."""
        match self.kind:
            case "tagged":
                return {self.key_opens.strip(): self.value_closes.strip()}
            case "elements":
                return {}
            case "gemma":
                return {GEMMA_QUOTE: GEMMA_QUOTE}
            case "python":
                return {'"': '"', "'": "'"}
        return {'"': '"'}


ELEMENT_NAME = re.compile(r"[^<>/\n][^<>\n]{0,255}")
"""What can be the name of an element."""
ITEM = "item"
"""What an element is called that is one of a list."""
GEMMA_QUOTE = '<|"|>'
_TOKEN = re.compile(
    r"""(?P<double>"[^"\\]*(?:\\.[^"\\]*)*") | (?P<single>'[^'\\]*(?:\\.[^'\\]*)*')
      | (?P<open>[\[{]) | (?P<close>[\]}]) | (?P<comma>,) | (?P<word>[^\s\[\]{},:"']+) | (?P<other>[\s:]+)""",
    re.DOTALL | re.VERBOSE,
)
_BRACKET = re.compile(r"[\[{]")
_CLOSER = {"{": "}", "[": "]"}
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}
_BETWEEN = re.compile(r"[\s,;]*")
_GEMMA_HEAD = re.compile(r"\s*+(?:call:)?(?P<name>[^\n{}]{1,256}?)\s*+(?=\{)")
_GEMMA_TOKEN = re.compile(r'<\|"\|>(?P<string>.*?)<\|"\|>|(?<=[{,])\s*+(?P<key>[^\n{}\[\],:"<]{1,256}?)\s*+:', re.DOTALL)
_PYTHON_HEAD = re.compile(rf"(?P<name>{PYTHON_NAME.pattern})\s*+\(")
_PYTHON_KEY = re.compile(rf"\s*+(?P<key>{PYTHON_NAME.pattern})\s*+=\s*+")
_PYTHON_VALUE = re.compile(r"\"[^\"\\]*(?:\\.[^\"\\]*)*\"|'[^'\\]*(?:\\.[^'\\]*)*'|[^\s()\[\]{},=\"']+", re.DOTALL)


def read_calls(raw: str, style: CallStyle, tools: Sequence[ToolSpec] = (), *, is_cut: bool = False) -> tuple[ToolCall, ...]:
    """The calls that stand between the opening and the closing text. `is_cut`: the closing one is missing.

    tools: their schemas tell whether an argument in tags is text that only looks like a number. Raises ValueError for what is malformed.
    """
    if len(raw) > MAX_CHARACTERS:
        raise ValueError("too long")
    try:
        match style.kind:
            case "json":
                return tuple(_json_calls(raw, style, is_cut=is_cut))
            case "named" | "gemma":
                return tuple(_named_calls(raw, style, is_cut=is_cut))
            case "tagged":
                return tuple(_tagged_calls(raw, style, tools))
            case "python":
                return tuple(_python_calls(raw))
            case "elements":
                return tuple(_element_calls(raw, style, tools))
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def is_unfinished(raw: str, style: CallStyle) -> bool:
    """Whether calls that could not be read, and have no closing text, end in the middle of one."""
    if style.kind != "json":
        return True
    try:
        return not list(_json_values(raw, may_close=False))
    except ValueError:
        return True


def write_calls(calls: Iterable[ToolCall], style: CallStyle) -> str:
    """The calls as a model of this style should write them between the opening and the closing text."""
    written = [_written(call, index, style) for index, call in enumerate(calls)]
    if style.kind == "python":
        return f"{style.lead}[{', '.join(written)}]{style.trail}"
    if style.kind == "json" and style.is_list:
        return f"{style.lead}[{', '.join(written)}]{style.trail}"
    return f"{style.lead}{style.between.join(written)}{style.trail}"


def _written(call: ToolCall, index: int, style: CallStyle) -> str:
    arguments = _dumped(call.arguments)
    match style.kind:
        case "json":
            named = {style.name_key: call.name, style.arguments_key: call.arguments} if style.name_key else {call.name: call.arguments}
            return _dumped(named)
        case "gemma":
            return f"call:{call.name}{as_gemma(call.arguments)}"
        case "python":
            return f"{call.name}({', '.join(f'{key}={_dumped(value)}' for key, value in call.arguments.items())})"
        case "elements":
            arguments = _as_elements(call.arguments, style)
        case "tagged":
            arguments = "".join(
                style.key_opens + key + style.key_closes.replace(ANY, _type_name(value, style)) + _as_tagged(value) + style.value_closes
                for key, value in call.arguments.items()
            )
    before, after = (text.replace(ANY, call.id or str(index)) for text in (style.before, style.after))
    return f"{before}{call.name}{after}{arguments}{style.end}"


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _as_tagged(value: object) -> str:
    return value if isinstance(value, str) else _dumped(value)


def _as_elements(value: object, style: CallStyle) -> str:
    if not isinstance(value, dict | list):
        return _as_tagged(value)
    pairs = value.items() if isinstance(value, dict) else ((ITEM, each) for each in value)
    closes = style.key_closes
    return "".join(f"{style.key_opens}{key}{closes}{_as_elements(each, style)}{style.value_closes}{key}{closes}" for key, each in pairs)


def _type_name(value: object, style: CallStyle) -> str:
    """What stands for the type of a value where its tag names that: whether it is text, or which type of JSON."""
    if 'string="' in style.key_closes:
        return "true" if isinstance(value, str) else "false"
    names = {str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def as_gemma(value: object) -> str:
    """A value as Gemma 4 writes it."""
    match value:
        case str():
            return f"{GEMMA_QUOTE}{value}{GEMMA_QUOTE}"
        case dict():
            return "{" + ",".join(f"{key}:{as_gemma(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ",".join(map(as_gemma, value)) + "]"
    return _dumped(value)


def pattern(text: str) -> str:
    """A regular expression for a text of a style that allows for other white space; what is another one each time may be left out."""
    *ids, last = re.split(f"({ANY})", text)
    optional = "".join(r'(?P<hint>[^\s"<>\[\]]{0,64}?)' if piece == ANY else _loose(piece) for piece in ids)
    return f"(?:{optional})?{_loose(last)}" if ids else _loose(last)


def _loose(text: str) -> str:
    return re.sub(r"\s+", r"\\s*+", re.sub(r"\S+", lambda found: re.escape(found[0]), text))


def _json_calls(raw: str, style: CallStyle, *, is_cut: bool) -> Iterator[ToolCall]:
    for text in _json_values(raw, may_close=not is_cut):
        value = msgspec.json.decode(text)
        for item in value if isinstance(value, list) else [value]:
            yield _json_call(item, style)


def _json_call(value: object, style: CallStyle) -> ToolCall:
    """One call from its decoded JSON: ``{"name", "arguments"}``, bare or as the function that a tool's definition wraps it in."""
    if not style.name_key and isinstance(value, dict) and len(value) == 1:
        ((name, arguments),) = value.items()
        return _checked(name, arguments)
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(function, dict):
        raise ValueError("a call is an object")
    arguments = function.get(style.arguments_key, function.get("arguments", function.get("parameters")))
    return _checked(function.get(style.name_key, function.get("name")), arguments)


def _checked(name: object, arguments: object) -> ToolCall:
    if isinstance(arguments, str) and arguments.strip():
        arguments = _only_value(arguments)
    if not isinstance(name, str) or not name.strip() or not isinstance(arguments or {}, dict):
        raise ValueError("a call has a name, and its arguments are an object")
    return ToolCall(name.strip(), arguments or {})  # type: ignore[arg-type]


def _named_calls(raw: str, style: CallStyle, *, is_cut: bool) -> Iterator[ToolCall]:
    if style.kind == "gemma":
        raw = _GEMMA_TOKEN.sub(lambda found: _dumped(found["key"]) + ":" if found["key"] else _dumped(found["string"]), raw)
        head, end = _GEMMA_HEAD, re.compile("")
    else:
        after = style.after_as_read or _renamed(pattern(style.after))
        head = re.compile(rf"\s*+{_renamed(pattern(style.before))}\s*+(?P<name>{style.names.pattern}?)\s*+{after}\s*+(?=\{{)")
        end = re.compile(rf"\s*+(?:{pattern(style.end)})?")
    position = 0
    while position < len(raw) or not position:
        if not (found := head.match(raw, position)):
            raise ValueError("a call begins with a name")
        value, position = _mended_value(raw, found.end(), may_close=not is_cut)
        yield _checked(found["name"], msgspec.json.decode(value))
        position = _end(_BETWEEN, raw, _end(end, raw, position))


def _renamed(expression: str) -> str:
    """A pattern that can stand beside another one that has the same group."""
    return expression.replace("(?P<hint>", "(?:")


def _end(expression: re.Pattern[str], text: str, position: int) -> int:
    """Where what matches here ends, or here where nothing does."""
    found = expression.match(text, position)
    return found.end() if found else position


def _tagged_calls(raw: str, style: CallStyle, tools: Sequence[ToolSpec]) -> Iterator[ToolCall]:
    opens, end = pattern(style.key_opens), pattern(style.end)
    behind = "|".join(rf"\s*+{pattern(each)}" for each in (style.key_opens, style.end.strip(), style.before) if each) + r"|\s*+$"
    behind = _renamed(behind)
    before, after = _renamed(pattern(style.before)), _renamed(pattern(style.after.strip()))
    head = re.compile(rf"\s*+{before}\s*+(?P<name>{style.names.pattern}?)\s*+{after}(?={behind})")
    gap = r"\n?" if style.key_closes.endswith("\n") else ""
    key = re.compile(rf"\s*+{opens}(?P<key>[^\n]{{1,256}}?){pattern(style.key_closes.rstrip())}{gap}" if style.key_closes else r"(?!)")
    closes = style.value_closes.strip()
    position = 0
    while position < len(raw) or not position:
        if not (found := head.match(raw, position)):
            raise ValueError("a call begins with a name")
        position = found.end()
        name, arguments = found["name"], {}
        known = known_of(next((tool.parameters for tool in tools if tool.name == name), {}))
        while at := key.match(raw, position):
            if (stop := raw.find(closes, at.end())) < 0:
                raise ValueError("an argument has no end")
            text = raw[at.end() : stop]
            if style.value_closes.startswith("\n"):
                text = text.removesuffix("\n")
            hint, argument = at.groupdict().get("hint"), at["key"].strip()
            allowed = {"string"} if hint in ("true", "string") else known.below(argument).types if hint is None else None
            arguments[argument] = _typed(text, allowed)
            position = _end(_BETWEEN, raw, stop + len(closes))
        yield ToolCall(name, arguments)
        position = _end(_BETWEEN, raw, _end(re.compile(rf"\s*+{end}"), raw, position))


def _element_calls(raw: str, style: CallStyle, tools: Sequence[ToolSpec]) -> Iterator[ToolCall]:
    head = re.compile(rf"\s*+{pattern(style.before)}(?P<name>{style.names.pattern}?){pattern(style.after)}")
    end = re.compile(rf"\s*+{pattern(style.end)}\s*+")
    position = 0
    while position < len(raw) or not position:
        if not (found := head.match(raw, position)):
            raise ValueError("a call begins with a name")
        known = known_of(next((tool.parameters for tool in tools if tool.name == found["name"]), {}))
        elements, position = _elements(raw, found.end(), style, known, MAX_DEPTH)
        if not (closed := end.match(raw, position)):
            raise ValueError("a call has no end")
        yield ToolCall(found["name"], dict(elements))
        position = closed.end()


def _elements(raw: str, position: int, style: CallStyle, known: Known, depth: int) -> tuple[list[tuple[str, Any]], int]:
    """Elements beside each other, by their names, and where they end. known: of the value that they make."""
    if not depth:
        raise ValueError("nested too deep")
    opens = re.compile(rf"\s*+{re.escape(style.key_opens)}(?P<key>{ELEMENT_NAME.pattern}){re.escape(style.key_closes)}")
    found: list[tuple[str, Any]] = []
    while at := opens.match(raw, position):
        key, start = at["key"], at.end()
        closes, below = f"{style.value_closes}{key}{style.key_closes}", known.below(key)
        types = below.types
        value: Any
        if (types is None or "string" not in types) and opens.match(raw, start):
            within, stop = _elements(raw, start, style, below, depth - 1)
            stop = _end(re.compile(r"\s*+"), raw, stop)
            is_list = all(name == ITEM for name, _ in within) and (types is None or "array" in types)
            value = [each for _, each in within] if is_list else dict(within)
        elif (stop := raw.find(closes, start)) >= 0:
            text = raw[start:stop]
            is_empty = not text.strip() and types in ({"object"}, {"array"})
            value = ({} if types == {"object"} else []) if is_empty else _typed(text, types)
        if stop < 0 or not raw.startswith(closes, stop):
            raise ValueError("an argument has no end")
        found.append((key, value))
        position = stop + len(closes)
    return found, position


def _typed(text: str, allowed: set[str] | None) -> object:
    """A value in tags: text, or JSON where that is allowed, or nothing says anything and it is JSON of another type."""
    if allowed == {"string"}:
        return text
    try:
        value = _scalar_or_value(text.strip())
    except (ValueError, msgspec.DecodeError):
        return text
    if allowed is None or "string" not in allowed:
        return value
    return text if isinstance(value, str) or not allowed & _types(value) else value


def _types(value: object) -> set[str]:
    match value:
        case bool():
            return {"boolean"}
        case int():
            return {"integer", "number"}
        case float():
            return {"number"}
        case None:
            return {"null"}
        case list():
            return {"array"}
        case dict():
            return {"object"}
    return {"string"}


def _scalar_or_value(text: str) -> object:
    """Decode a value of JSON, mended. Raises ValueError and msgspec.DecodeError."""
    return _only_value(text) if text[:1] in ("{", "[") else msgspec.json.decode(_PYTHON_WORDS.get(text, text))


def _python_calls(raw: str) -> Iterator[ToolCall]:
    """``[name(key="value", other=1)]``: the values are JSON or as Python writes them."""
    body = raw.strip()
    if not body.startswith("[") or not body.endswith("]"):
        raise ValueError("calls stand in a list")
    position, end = _end(_BETWEEN, body, 1), len(body) - 1
    while position < end:
        if not (found := _PYTHON_HEAD.match(body, position)):
            raise ValueError("a call begins with a name")
        arguments: dict[str, Any] = {}
        position = _end(_BETWEEN, body, found.end())
        while key := _PYTHON_KEY.match(body, position):
            position = key.end()
            if body[position : position + 1] in ("{", "["):
                text, position = _mended_value(body, position, may_close=False)
            elif value := _PYTHON_VALUE.match(body, position):
                text, position = value[0], value.end()
                text = _json_string(text) if text[0] in "\"'" else _PYTHON_WORDS.get(text, text)
            else:
                raise ValueError("an argument has no value")
            arguments[key["key"]] = msgspec.json.decode(text)
            position = _end(_BETWEEN, body, position)
        if body[position : position + 1] != ")":
            raise ValueError("a call ends with a bracket")
        yield ToolCall(found["name"], arguments)
        position = _end(_BETWEEN, body, position + 1)


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
