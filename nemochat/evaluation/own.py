"""Own questions: a JSONL of picture, question, and what is right: accepted answers, a regular expression, or a call of a tool."""

from __future__ import annotations

from typing import Any

import msgspec
import regex

from nemochat.domain.messages import ToolSpec
from nemochat.evaluation.values import Question, Reply, Score

_SECONDS = 1.0
"""That a regular expression may take over one reply."""
_SPACES = regex.compile(r"\s+")


class OwnCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The call that is right: this tool, with just these arguments."""

    name: str
    arguments: dict[str, Any] = {}


class OwnQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line, beside `picture` or `pictures`: paths from the folder of the file. One of answers, regex and call is given.

    answers: a reply is right that is one of them, case, spaces and punctuation at its ends aside. regex: one in which it is found, case
    aside. note: for people. What else a line has is left alone.
    """

    question: str
    answers: tuple[str, ...] = ()
    regex: str = ""
    call: OwnCall | None = None
    system: str = ""
    tools: tuple[ToolSpec, ...] = ()
    id: str = ""
    note: str = ""


def check(question: OwnQuestion) -> None:
    """Raise ValueError for a question that no reply could be scored by."""
    if sum(map(bool, (question.answers, question.regex, question.call))) != 1:
        raise ValueError("it has to have one of answers, regex and call")
    if question.call is not None and question.call.name not in {tool.name for tool in question.tools}:
        raise ValueError("its call is of none of its tools")
    if question.regex:
        try:
            regex.compile(question.regex)
        except regex.error as error:
            raise ValueError(f"its regex is none: {error}") from None


def score(question: Question, reply: Reply) -> Score:
    """Whether it is right: 1 or 0."""
    if (call := question.meta.get("call")) is not None:
        is_right = [(each.name, each.arguments) for each in reply.calls] == [(call.name, call.arguments)]
    elif pattern := question.meta.get("regex"):
        try:
            is_right = regex.search(pattern, reply.text, regex.IGNORECASE, timeout=_SECONDS) is not None
        except TimeoutError:
            return Score(0, why="The regular expression takes too long.")
    else:
        is_right = _plain(reply.text) in map(_plain, question.answers)
    return Score(float(is_right))


def expected(question: Question) -> str:
    """What is right, for people."""
    if (call := question.meta.get("call")) is not None:
        return f"{call.name} {msgspec.json.encode(call.arguments).decode()}"
    return f"/{question.meta['regex']}/" if question.meta.get("regex") else " or ".join(question.answers)


def _plain(text: str) -> str:
    return _SPACES.sub(" ", text).strip(" .,;:!?\"'").casefold()
