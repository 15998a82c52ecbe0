"""Own questions: a JSONL of picture, question, and what is right: accepted answers, a regular expression, or a call of a tool."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import regex

from nemochat.domain.chat import Chat
from nemochat.domain.images import Original
from nemochat.domain.messages import Role, ToolSpec
from nemochat.domain.sanitize import shown
from nemochat.errors import EvaluationError, UsageError
from nemochat.evaluation.values import Question, Reply, Score
from nemochat.files import alone, end_line, export_file, make_missing, reason, write_all
from nemochat.reading import TooMuchError, expression

_SECONDS = 1.0
"""That a regular expression may take over one reply."""
_MAX_PATTERN = 10_000
_HINT = "Check the space on the disk and the permissions of the folder, or take another file."
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
    if not all(each.strip() for each in question.answers):
        raise ValueError("one of its answers is empty")
    if question.call is not None and question.call.name not in {tool.name for tool in question.tools}:
        raise ValueError("its call is of none of its tools")
    if question.regex:
        try:
            _pattern(question.regex)
        except TooMuchError:
            raise ValueError("its regex is too long") from None
        except ValueError as error:
            raise ValueError(f"its regex is none: {error}") from None


def right_of(text: str) -> OwnQuestion:
    """What somebody has typed as right, without its question: accepted answers, one a line, or a regular expression between slashes."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and len(lines[0]) > 2 and lines[0][0] == lines[0][-1] == "/":
        return OwnQuestion("", regex=lines[0][1:-1])
    return OwnQuestion("", tuple(lines))


def keep(file: Path, chat: Chat, index: int, right: OwnQuestion, original: Callable[[str], Original | None], id_: str = "") -> None:
    """Append a message of the user's, with the last pictures up to it, as one of the questions in a file that may not be there yet.

    index: of the message in the chat. right: what would have been right. original: finds the file of a picture. id_: of the question.
    Raises EvaluationError, and UsageError for what no reply could be scored by.
    """
    if file.suffix.lower() != ".jsonl":  # a line more would spoil a file of another kind
        raise UsageError(f"{shown(file)} is no file of own questions.", "Name one that ends in .jsonl.")
    entries = chat.entries[: index + 1]
    tools = chat.frame.tools if right.call is not None else ()
    question = msgspec.structs.replace(right, question=entries[-1].message.text, system=chat.frame.system, tools=tools, id=id_)
    try:
        check(question)
    except ValueError as error:
        raise UsageError(f"The question cannot be kept: {error}.", "Say what would have been right in another way.") from None
    users = (entry.message for entry in reversed(entries) if entry.message.role is Role.USER)
    originals = [original(image.digest) for image in next((each.images for each in users if each.images), ())]
    names = []
    try:
        for each in originals:
            if each is None:
                raise EvaluationError("A picture of this message is not in the library any more.", "Choose another message.")
            names.append(f"{file.stem}-pictures/{each.digest[:16]}.{each.suffix}")
            _keep_picture(file.parent / names[-1], each.data)
        line = msgspec.json.encode({"pictures": names, **msgspec.to_builtins(question)}) + b"\n"
        _append(file, line)
    except OSError as error:
        raise EvaluationError(f"{shown(file)} cannot be written: {reason(error)}.", _HINT) from None


def _append(file: Path, line: bytes) -> None:
    """Add a line behind what other programs add at the same time: all of it, or nothing where the disk refuses. Raises OSError."""
    with alone(file, in_own_folder=False) as handle:
        size = os.fstat(handle).st_size
        try:
            end_line(file, handle)
            write_all(handle, line)
            os.fsync(handle)
        except BaseException:
            os.ftruncate(handle, size)
            raise


def _keep_picture(path: Path, data: bytes) -> None:
    """Its name is that of what it holds, so that one which is there is the same."""
    make_missing(path.parent)
    with contextlib.suppress(FileExistsError):
        export_file(path, data)


def score(question: Question, reply: Reply) -> Score:
    """Whether it is right: 1 or 0."""
    if (call := question.meta.get("call")) is not None:
        is_right = [(each.name, each.arguments) for each in reply.calls] == [(call.name, call.arguments)]
    elif pattern := question.meta.get("regex"):
        try:
            is_right = _pattern(pattern).search(reply.text, timeout=_SECONDS) is not None
        except (TimeoutError, MemoryError):
            return Score(0, why="The regular expression takes too long.")
    else:
        is_right = _plain(reply.text) in map(_plain, question.answers)
    return Score(float(is_right))


def expected(question: Question) -> str:
    """What is right, for people."""
    if (call := question.meta.get("call")) is not None:
        return f"{call.name} {msgspec.json.encode(call.arguments).decode()}"
    return f"/{question.meta['regex']}/" if question.meta.get("regex") else " or ".join(question.answers)


def _pattern(pattern: str) -> regex.Pattern[str]:
    """Raises ValueError."""
    return expression(pattern, "i", _MAX_PATTERN)


def _plain(text: str) -> str:
    plain = _SPACES.sub(" ", text).strip()
    return (plain.strip(" .,;:!?\"'") or plain).casefold()  # a mark alone is what was said
