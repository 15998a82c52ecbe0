"""A grammar for tool calls: from the JSON Schemas of the offered tools to GBNF for what follows ``<toolcall>``.

What the grammar lets through is a call of one of the tools with arguments that fit its schema; it need not let through all that fits.
Properties come in the order of the schema, objects with declared properties have no others, strings and arrays have a largest length,
recursion a largest depth, because a model that rambles must come to an end. Where it cannot be as strict as the schema, the keyword is
named in `Grammar.uncovered`, and the call is to be validated afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nemochat.domain.messages import ToolSpec
from nemochat.prompt import gbnf
from nemochat.prompt.gbnf import Rules, TooLargeError
from nemochat.prompt.schema_rules import Compiler, Limits
from nemochat.prompt.toolcalls import CLOSE_TAG

__all__ = ["Grammar", "Limits", "tool_call_grammar"]

class Grammar(msgspec.Struct, frozen=True):
    """GBNF for what follows ``<toolcall>``, up to and with ``</toolcall>``; empty when there is none.

    uncovered: what the schemas ask and the grammar does not hold to, as "TOOL: KEYWORD of PLACE".
    """

    text: str
    uncovered: tuple[str, ...] = ()


_DEFAULT_LIMITS = Limits()


def tool_call_grammar(tools: Sequence[ToolSpec], limits: Limits = _DEFAULT_LIMITS) -> Grammar:
    """The grammar of a call to one of these tools. Never raises: a schema that makes no sense allows any arguments.

    >>> print(tool_call_grammar([ToolSpec("now")]).text.splitlines()[0])
    root ::= [ \\n]? (r2) ws "</toolcall>"
    """
    if not tools:
        return Grammar("")
    rules = Rules()
    uncovered: dict[str, None] = {}
    try:
        calls = [_call(tool, rules, limits, uncovered) for tool in tools]
        root = f"[ \\n]? ({' | '.join(calls)}) ws {gbnf.literal(CLOSE_TAG)}"
        return Grammar(rules.text(root), tuple(uncovered))
    except (TooLargeError, RecursionError):
        return Grammar("", tuple(f"{tool.name}: the whole schema" for tool in tools))


def _call(tool: ToolSpec, rules: Rules, limits: Limits, uncovered: dict[str, None]) -> str:
    compiler = Compiler(tool, rules, limits, uncovered)
    head = f'"{{\\"name\\":" ws {gbnf.json_literal(tool.name)} "," ws "\\"arguments\\":" ws'
    return rules.add(f'{head} {compiler.arguments()} "}}"')
