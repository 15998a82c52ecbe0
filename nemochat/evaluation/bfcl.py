"""BFCL: are these the calls that were to be made?

The rules are those of the Berkeley Function Calling Leaderboard for Python functions (`ast_checker.py` of `bfcl-eval`), on calls that are
already read; `benchmarks/scoring.py` compares the verdicts with it. Where that program would fail on odd data, a call does not fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nemochat.chat.toolbox import misfit
from nemochat.domain.messages import ToolCall, ToolSpec
from nemochat.errors import UsageError
from nemochat.evaluation.values import Kind, Question, Reply, Score
from nemochat.numbers import plural
from nemochat.reading import listed, mapping

_TYPES: Mapping[str, type] = {
    "string": str, "integer": int, "float": float, "number": float, "boolean": bool,
    "array": list, "tuple": list, "dict": dict, "object": dict,
}  # fmt: skip
"""What a value has to be, by BFCL's names of types and those of JSON Schema; BFCL takes "any", and so what has no type, for a text."""
_OPTIONAL = ""
"""Among a parameter's accepted values: it may be left out."""


def score(question: Question, reply: Reply) -> Score:
    """1 or 0. CALLS: as many calls as expected, each of which fits one of them, in any order. NO_CALL: no call was made.

    parts: "with a call", and for a reply with one "calls fit": whether each of them fits its tool's schema. Raises UsageError where the
    question has no calls that its tools can make.
    """
    parts = {"with a call": float(bool(reply.calls))}
    if reply.calls:
        parts["calls fit"] = float(not any(misfit(call, question.tools) for call in reply.calls))
    if question.kind is Kind.NO_CALL:
        return Score(float(not reply.calls), parts, why=f"{_named(reply.calls)} is called, and no tool fits" if reply.calls else "")
    why = _difference(expected_calls(question), question.tools, reply.calls)
    return Score(float(not why), parts, why=why)


def summary(scores: Sequence[Score]) -> Mapping[str, float]:
    """The share of replies with a call, and of those the share whose calls fit; nothing where there are none."""
    named = {name: [score.parts[name] for score in scores if name in score.parts] for name in ("with a call", "calls fit")}
    return {name: sum(values) / len(values) for name, values in named.items() if values}


def expected_calls(question: Question) -> Sequence[tuple[str, Mapping[str, Sequence[Any]]]]:
    """Name and accepted values of each call that is right. Raises UsageError where the question has none that its tools can make."""
    wrong = UsageError(f'The question "{question.id}" does not say which calls are right.', "Use BFCL's own possible_answer files.")
    made = []
    for text in question.answers:
        try:
            call = json.loads(text)
        except ValueError:
            raise wrong from None
        if not isinstance(call, dict) or len(call) != 1:
            raise wrong
        [(name, accepted)] = call.items()
        if not isinstance(accepted, dict) or not all(isinstance(values, list) for values in accepted.values()):
            raise wrong
        if _tool(question.tools, name) is None:
            raise UsageError(f'The question "{question.id}" expects a call of {name[:80]!r}, which is none of its tools.')
        made.append((name, accepted))
    if not made:
        raise wrong
    return made


def _tool(tools: Sequence[ToolSpec], name: str) -> ToolSpec | None:
    """By its name in the data, also where it is offered with underscores for the dots that some models' names must not have."""
    return next((tool for wanted in (name, name.replace(".", "_")) for tool in tools if tool.name == wanted), None)


def _named(calls: Sequence[ToolCall]) -> str:
    return ", ".join(call.name for call in calls)


def _difference(expected: Sequence[tuple[str, Mapping[str, Sequence[Any]]]], tools: Sequence[ToolSpec], calls: Sequence[ToolCall]) -> str:
    """Why the calls are not the expected ones, "" where they are. The first call that fits an expected one is taken for it."""
    if len(calls) != len(expected):
        return f"{plural(len(calls), 'call')} instead of {len(expected)}"
    left = list(calls)
    for name, accepted in expected:
        tool = _tool(tools, name)
        assert tool is not None
        reasons = [_misfit(call, tool, accepted) for call in left]
        if "" not in reasons:
            # For people: what is wrong with a call of the right tool says more than that another tool was called.
            return next((why for call, why in zip(left, reasons, strict=True) if call.name == tool.name), reasons[0])
        del left[reasons.index("")]
    return ""


def _misfit(call: ToolCall, tool: ToolSpec, accepted: Mapping[str, Sequence[Any]]) -> str:
    """Why a call is not the one that is expected of this tool, "" where it is. accepted: the values of each parameter."""
    if call.name != tool.name:
        return f"{call.name} is called instead of {tool.name}"
    properties = mapping(tool.parameters, "properties")
    for name in listed(tool.parameters, "required"):
        if isinstance(name, str) and name not in call.arguments:
            return f"{name} is missing"
    for name, value in call.arguments.items():
        if name not in properties or name not in accepted:
            return f"{name} is not expected"
        if not _is_accepted(value, mapping(properties, name), accepted[name]):
            return f"{name} is {json.dumps(value, ensure_ascii=False)}"
    missing = (name for name, values in accepted.items() if name not in call.arguments and _OPTIONAL not in values)
    return next((f"{name} is missing" for name in missing), "")


def _is_accepted(given: Any, schema: Mapping[str, Any], accepted: Sequence[Any]) -> bool:
    """Whether a value is of the parameter's type and among the accepted ones.

    A value of another type is right where the accepted ones are of that type: BFCL takes it for a variable's name.
    """
    wanted, inner = _type(schema), _type(mapping(schema, "items")) if schema.get("type") in ("array", "tuple") else None
    value: Any = float(given) if wanted is float and type(given) is int else given
    kind = type(value)
    usual = _usual_type(accepted)
    if kind is not wanted:
        return kind is usual and value in accepted
    if inner is not None and not any(not isinstance(each, list) or _all_of_type(value, inner, each) for each in accepted):
        return False
    if usual not in (None, wanted):
        return value in accepted
    if wanted is dict:
        return any(_is_same_object(value, each) for each in accepted)
    if inner is dict:
        return any(_are_same_objects(value, each) for each in accepted)
    if wanted is list:
        return _plain_items(value) in [_plain_items(each) for each in accepted if isinstance(each, list | str)]
    return _plain(value) in [_plain(each) for each in accepted if wanted is not str or isinstance(each, str)]


def _type(schema: Mapping[str, Any]) -> type:
    return _TYPES.get(str(schema.get("type")), str)


def _usual_type(accepted: Sequence[Any]) -> type | None:
    """That of the first accepted value; None where a parameter may only be left out."""
    return next((type(each) for each in accepted if each != _OPTIONAL), None)


def _all_of_type(values: Sequence[Any], wanted: type, accepted: Sequence[Any]) -> bool:
    return all(type(value) in (wanted, _usual_type(accepted)) for value in values)


def _plain(value: Any) -> Any:
    """A text without spaces, case and the marks that dates and names are written with in different ways."""
    return re.sub(r"[ ,./\-_*^]", "", value).lower().replace("'", '"') if isinstance(value, str) else value


def _plain_items(values: Sequence[Any]) -> list[Any]:
    return [_plain(value) for value in values]


def _is_same_object(value: Any, accepted: Any) -> bool:
    """accepted: the accepted values of each key; any object is nothing like one that may only be left out."""
    if not isinstance(value, dict) or not isinstance(accepted, dict):
        return False
    for key, each in value.items():
        if not isinstance(accepted.get(key), list) or _plain(each) not in _plain_items(accepted[key]):
            return False
    return all(key in value or _OPTIONAL in values for key, values in accepted.items())


def _are_same_objects(values: Sequence[Any], accepted: Any) -> bool:
    """As many, in the same order. accepted: what each may be."""
    return len(values) == len(accepted) and all(_is_same_object(value, each) for value, each in zip(values, accepted, strict=True))
