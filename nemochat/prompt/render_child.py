"""The process in which `nemochat.prompt.rendering` has chat templates rendered. It ends with the pipe that they come by.

A template is a program that somebody else wrote. It runs in jinja's sandbox, and that in a process which knows nothing of the user, not
even their words: marks stand for them (`nemochat.prompt.render_wire`).
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, NoReturn, SupportsIndex

import jinja2
import msgspec
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import Namespace
from markupsafe import Markup, escape

from nemochat.prompt import render_wire as wire
from nemochat.prompt.render_wire import ASCII, CLOSE, HTML, JSON_CLOSE, JSON_OPEN, OPEN, json_mark
from nemochat.system import children, limits

_KEPT_TEMPLATES = 8
_LONGEST_REASON = 300


class _Generation(Extension):
    """``{% generation %}``, which marks for training what the model says: here its body alone."""

    tags = {"generation"}  # noqa: RUF012 - as jinja declares it

    def parse(self, parser: Parser) -> list[Node]:
        """The nodes of its body."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(SandboxedEnvironment):
    """The sandbox, with a short way to what a template has put into a namespace itself: some look there for every pair of messages."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """An attribute, as the sandbox allows it."""
        if type(obj) is not Namespace or attribute.startswith("_"):
            return super().getattr(obj, attribute)
        try:
            return getattr(obj, attribute)
        except AttributeError:
            return super().getattr(obj, attribute)


class _Marked(str):
    """A text with marks in it. What is escaped for HTML says so in its marks: templates call text safe, and what they add to it is not."""

    def __html__(self) -> Markup:
        return Markup(escape(str(self)).replace(CLOSE, HTML + CLOSE))  # noqa: S704 - it is escaped


class _Json(_Marked):
    """JSON in marks, if any stand in it. A slice of it is one of the JSON: templates take its last bracket away to add something."""


    def __new__(cls, text: str) -> _Json:
        return super().__new__(cls, json_mark(text))

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        text = str(self)
        return json_mark(text[1:-1][key]) if text.startswith(JSON_OPEN) else text[key]


class _TooLongError(Exception):
    pass


def main() -> None:
    """Render what comes, and answer."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a template makes Python print is no answer
    _limit_powers()
    templates: dict[str, jinja2.Template] = {}
    environment = _environment()
    children.send(answers, b"")
    while (payload := children.receive(sys.stdin.buffer, wire.MAX_REQUEST_BYTES)) is not None:
        request = msgspec.msgpack.decode(payload, type=wire.Request)
        limits.limit_time(request.seconds, 1)
        children.send(answers, msgspec.msgpack.encode(_answer(request, environment, templates)))


def _answer(request: wire.Request, environment: jinja2.Environment, templates: dict[str, jinja2.Template]) -> wire.Answer:
    try:
        template = templates.pop(request.source, None) or environment.from_string(request.source)
        templates[request.source] = template
        if len(templates) > _KEPT_TEMPLATES:
            del templates[next(iter(templates))]
        return wire.Answer(_rendered(template, request.variables))
    except _TooLongError:
        return wire.Answer(problem=wire.Problem.LENGTH)
    except MemoryError:
        return wire.Answer(problem=wire.Problem.MEMORY)
    except RecursionError:
        return wire.Answer(problem=wire.Problem.DEPTH)
    except jinja2.TemplateSyntaxError as error:
        return wire.Answer(problem=wire.Problem.SYNTAX, reason=f"line {error.lineno}: {error.message}"[:_LONGEST_REASON])
    except Exception as error:  # noqa: BLE001 - a template can raise whatever Python can
        return wire.Answer(problem=wire.Problem.REFUSED, reason=(str(error) or type(error).__name__)[:_LONGEST_REASON])


def _rendered(template: jinja2.Template, variables: dict[str, Any]) -> str:
    pieces, characters = [], 0
    for piece in template.generate(**_marked(variables)):
        pieces.append(piece)
        characters += len(piece)
        if characters > wire.MAX_CHARACTERS:
            raise _TooLongError
    return "".join(pieces)


def _marked(value: Any) -> Any:
    """The variables, with the texts that hold marks as such."""
    if isinstance(value, dict):
        return {_marked(name): _marked(below) for name, below in value.items()}
    if isinstance(value, list):
        return [_marked(each) for each in value]
    return _Marked(value) if isinstance(value, str) and OPEN in value else value


def _environment() -> jinja2.Environment:
    """As templates are rendered where they come from (Hugging Face's transformers), but that lists can be appended to, as some want."""
    environment = _Environment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
    environment.filters["tojson"] = _to_json
    environment.filters["safe"] = _safe
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = time.strftime
    return environment


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False) -> str:
    """JSON without jinja's escapes for HTML. Marks in it stay what they are, also where other letters than ASCII's are escaped."""
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    if ensure_ascii:
        for each in (OPEN, CLOSE, JSON_OPEN, JSON_CLOSE):
            text = text.replace(json.dumps(each)[1:-1], ASCII + each if each == CLOSE else each)
    return _Json(text)


def _safe(value: object) -> Markup:
    """As jinja's, for a text with marks too: it is not asked for its escapes."""
    return Markup(str(value))  # noqa: S704 - nothing here is HTML


def _raise_exception(message: object) -> NoReturn:
    raise jinja2.TemplateError(str(message))


def _limit_powers() -> None:
    """Little memory, no file, no other process: what a template that gets out of the sandbox could use."""
    limits.limit("RLIMIT_AS", wire.MEMORY)
    for name in ("RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_CORE"):
        limits.limit(name, 0)


if __name__ == "__main__":
    main()
