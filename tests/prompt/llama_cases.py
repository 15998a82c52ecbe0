"""What llama.cpp expects of parsing replies: the cases of its ``tests/test-chat.cpp``, read out of the C++ where they are plain values."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from nemochat.domain.messages import ToolSpec

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/) | R"(?P<fence>[^(\s]*)\((?P<raw>.*?)\)(?P=fence)" | "(?P<text>(?:[^"\\]|\\.)*)"
      | (?P<name>[A-Za-z_][A-Za-z0-9_:]*) | (?P<number>\d+) | (?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x(?P<byte>[0-9a-fA-F]{2})|(?P<char>.))", re.DOTALL)


_LFM = "LFM2-8B-A1B.jinja"
"""The template of the cases that the file has in a function, which it calls for this one."""


class Case(NamedTuple):
    """One reply, and what llama.cpp makes of it: content, reasoning and calls as pairs of a name and arguments."""

    template: str
    line: int
    reply: str
    settings: dict[str, Any]
    tools: tuple[ToolSpec, ...]
    content: str
    reasoning: str
    calls: list[tuple[str, Any]]


class _Unknown(Exception):
    """Something that is no plain value."""


class _Reader:
    """Expressions of C++ as values: texts, numbers, names that are known, lists, and calls of known functions."""

    def __init__(self, source: str, known: dict[str, Any]) -> None:
        self.tokens = [found for found in _TOKEN.finditer(source) if not found["space"]]
        self.at = 0
        self.known = known

    def peek(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        text = self.peek()
        if expected and text not in expected:
            raise _Unknown(text)
        self.at += 1
        return text

    def value(self) -> Any:
        value = self.one()
        while self.peek() == "+":
            self.take()
            value += self.one()
        return value

    def one(self) -> Any:
        if self.at >= len(self.tokens):
            raise _Unknown
        token = self.tokens[self.at]
        if token["text"] is not None or token["raw"] is not None:
            text = ""
            while self.at < len(self.tokens) and ((piece := self.tokens[self.at])["text"] is not None or piece["raw"] is not None):
                text += piece["raw"] if piece["raw"] is not None else _unescaped(piece["text"])
                self.at += 1
            return text
        if token["mark"] == "{":
            self.take()
            return self.listed("}")
        if token["number"]:
            return int(self.take())
        if token["name"]:
            name = self.take()
            if self.peek() == "(":
                self.take()
                arguments = self.listed(")")
                if name == "std::string":
                    return arguments[0]
                if name not in _FUNCTIONS:
                    raise _Unknown(name)
                return _FUNCTIONS[name](*arguments)
            if name in ("true", "false"):
                return name == "true"
            if name.startswith("COMMON_"):
                return name
            if name in self.known:
                return self.known[name]
        raise _Unknown(token[0])

    def listed(self, end: str) -> list[Any]:
        values = []
        while self.peek() != end:
            values.append(self.value())
            if self.peek() == ",":
                self.take()
        self.take(end)
        return values


def _unescaped(text: str) -> str:
    """A literal; bytes are what they are in UTF-8."""
    plain = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
    data = _ESCAPE.sub(lambda found: chr(int(found["byte"], 16)) if found["byte"] else plain.get(found["char"], found["char"]), text)
    return data.encode("latin-1").decode() if "\\x" in text else data


def _message(content: str, reasoning: str = "", name: str = "", arguments: str = "", _id: str = "") -> dict[str, Any]:
    return {"content": content, "reasoning": reasoning, "calls": [(name, arguments)] if name else []}


_FUNCTIONS: dict[str, Any] = {
    "simple_assist_msg": _message,
    "message_with_tool_calls": lambda name, arguments: _message("", "", name, arguments),
    "message_with_tool_calls_and_reasoning": lambda name, arguments, reasoning: _message("", reasoning, name, arguments),
    "message_with_reasoning_and_tool_call": lambda reasoning, name, arguments: _message("", reasoning, name, arguments),
    "message_with_content_and_tool_call": lambda content, name, arguments: _message(content, "", name, arguments),
    "message_with_reasoning_content_and_multiple_tool_calls": lambda reasoning, content, calls: {
        "content": content, "reasoning": reasoning, "calls": [(name, arguments) for name, arguments in calls]
    },
}  # fmt: skip


def cases(source: str) -> Iterator[Case | tuple[str, int, str]]:
    """The cases of the file; for one that cannot be read its template, line and why."""
    known: dict[str, Any] = {"message_user": {}, "user_start": {}}
    for found in re.finditer(r"^(?:static|const) (?:common_chat_tool|common_chat_msg)\s+(\w+)\s*(=|(?=\{))", source, re.MULTILINE):
        reader = _Reader(source[found.end() : found.end() + 6000], known)
        try:
            value = reader.value()
            known[found[1]] = value if found[2] else _tool(value)
        except (_Unknown, ValueError):
            continue
    template = ""
    local = dict(known)
    pattern = r"peg_tester\((?:\"models/templates/([^\"]+)\"|\w+)|const (?:std::string|char \*) (\w+)\s*=|(?:tst2?|t)\.test\("
    lines = _Lines(source)
    for found in re.finditer(pattern, source):
        if found[0].startswith("peg_tester"):
            named = re.findall(r"\"models/templates/([^\"]+)\"", source[: found.start()])
            template = found[1] or (named[-1] if named else _LFM)
            continue
        reader = _Reader(source[found.end() : found.end() + 12000], local)
        if found[2]:
            with contextlib.suppress(_Unknown):
                local[found[2]] = reader.value()
            continue
        try:
            yield _case(reader, template, lines.of(found.start()))
        except (_Unknown, TypeError, ValueError, IndexError) as error:
            yield template, lines.of(found.start()), f"{type(error).__name__}: {error}"


class _Lines:
    def __init__(self, source: str) -> None:
        self._source = source

    def of(self, position: int) -> int:
        return self._source.count("\n", 0, position) + 1


def _case(reader: _Reader, template: str, line: int) -> Case:
    reply = reader.value()
    reader.take(")")
    settings: dict[str, Any] = {}
    expected = _message("")
    tools: list[ToolSpec] = []
    while reader.peek() == ".":
        reader.take()
        method = reader.take()
        reader.take("(")
        arguments = reader.listed(")")
        match method:
            case "run":
                break
            case "expect":
                expected = dict(arguments[0])
            case "expect_content" | "expect_reasoning":
                expected[method.removeprefix("expect_")] = arguments[0]
            case "expect_tool_calls":
                expected["calls"] = [(each[0], each[1]) for each in arguments[0]]
            case "tools":
                tools = [each if isinstance(each, ToolSpec) else _tool(each) for each in arguments[0]]
            case _:
                settings[method] = arguments[0] if arguments else True
    calls = [(name, _arguments(text)) for name, text in expected["calls"]]
    return Case(template, line, reply, settings, tuple(tools), expected["content"], expected["reasoning"], calls)


def _arguments(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def _tool(value: Any) -> ToolSpec:
    name, description, parameters = value
    return ToolSpec(name, description, json.loads(parameters) if parameters.strip() else {})
