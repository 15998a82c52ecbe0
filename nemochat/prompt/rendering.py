"""Rendering chat templates in a process of their own (`nemochat.prompt.render_child`), with limits on time, memory and output.

The process starts with the first template and is kept. One that was over a limit, or died, is replaced with the next rendering.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.errors import TemplateError
from nemochat.prompt import render_wire as wire
from nemochat.prompt.render_wire import Problem
from nemochat.system import children, environments

_START_SECONDS = 60.0
_WALL = 5
"""A busy machine gives the process a part of a processor; one that has got nothing for so many times its seconds is not waited for."""
HINT = "Choose another format for this model with --format, or with nemochat models set NAME format=..."
_decoder = msgspec.msgpack.Decoder(wire.Answer)


class RefusedError(TemplateError):
    """The template cannot say this conversation; another one it may."""


class Renderer:
    """Renders templates, one at a time; others wait. The process starts with the first one; `close` ends it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._child: _Child | None = None
        self._is_closed = False
        self.known: dict[tuple[str, str, str], Any] = {}
        """What was found out about a template, by its source and its begin and end tokens."""

    @property
    def pid(self) -> int | None:
        """The process, None when none runs."""
        child = self._child
        return None if child is None else child.process.pid

    async def render(self, name: str, source: str, variables: dict[str, Any]) -> str:
        """What the template of this name makes of the variables. Raises RefusedError when it says no, TemplateError for the rest.

        One who stops waiting stops nothing: the next rendering follows on this one.
        """
        return await asyncio.to_thread(self._rendered, name, source, variables)

    async def close(self) -> None:
        """End the process, whatever it is at. Whoever asks from now on gets a TemplateError."""
        self._is_closed = True
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def _rendered(self, name: str, source: str, variables: dict[str, Any]) -> str:
        named = f"The chat template {sanitize(name, strict=True)}"
        if len(source) > wire.MAX_SOURCE_CHARACTERS:
            raise TemplateError(f"{named} is longer than {wire.MAX_SOURCE_CHARACTERS:,} characters.", HINT)
        seconds = wire.SECONDS + wire.SECONDS_A_MESSAGE * len(variables.get("messages", ()))
        try:
            request = msgspec.msgpack.encode(wire.Request(source, variables, seconds))
        except (ValueError, RecursionError) as error:  # half a character, or a tool whose schema has no end
            raise TemplateError(f"{named} cannot be given this conversation: it holds what is no text.", HINT) from error
        with self._turn:
            if self._child is not None and self._child.process.poll() is not None:
                self._child.end()
                self._child = None
            child = self._child = None if self._is_closed else self._child or _Child(named)
            if child is None or self._is_closed:  # closing does not wait for its turn
                self._child = None
                if child is not None:
                    child.end()
                raise TemplateError(f"{named} is not in use any more: its model was closed.")
            answer = child.ask(request, seconds)
            if answer is None or answer.problem is Problem.MEMORY:
                child.end()
                if self._child is child:
                    self._child = None
        match answer:
            case None:
                raise TemplateError(f"{named} takes too long, or it broke the process that reads it.", HINT)
            case wire.Answer(problem=Problem.NONE):
                return answer.text
            case wire.Answer(problem=Problem.SYNTAX):
                raise TemplateError(f"{named} cannot be read: {_said(answer.reason)}", HINT)
            case wire.Answer(problem=Problem.REFUSED):
                raise RefusedError(f"{named} refuses this conversation: {_said(answer.reason)}", HINT)
            case wire.Answer(problem=Problem.DEPTH):
                raise RefusedError(f"{named} goes round in circles with this conversation.", HINT)
            case wire.Answer(problem=Problem.LENGTH):
                raise TemplateError(f"{named} writes more than {wire.MAX_CHARACTERS:,} characters.", HINT)
        raise TemplateError(f"{named} takes too much memory.", HINT)


def _said(reason: str) -> str:
    """A template's own words, as part of a sentence."""
    return " ".join(sanitize(reason, strict=True).split()).rstrip(".") + "."


class _Child:
    """One life of the process. `named` is the template for which it is started."""

    def __init__(self, named: str) -> None:
        try:
            self._child = children.Child("nemochat.prompt.render_child", environments.bare())
        except (OSError, ValueError) as error:
            raise TemplateError(f"{named} cannot be read: no process could be started.", "Close other programs and try again.") from error
        self.process, self.end = self._child.process, self._child.end
        self._is_ready = False

    def ask(self, request: bytes, seconds: float) -> wire.Answer | None:
        """Its answer; None when it has died, talks nonsense or takes too long."""
        watch = threading.Timer(seconds * _WALL + (0 if self._is_ready else _START_SECONDS), self.process.kill)
        watch.daemon = True
        watch.start()
        try:
            if not self._is_ready:
                self._is_ready = children.receive(self._child.stdout, 0) == b""
            children.send(self._child.stdin, request)
            payload = children.receive(self._child.stdout, wire.MAX_ANSWER_BYTES)
            return None if payload is None else _decoder.decode(payload)
        except (OSError, ValueError, MemoryError):
            return None
        finally:
            watch.cancel()
