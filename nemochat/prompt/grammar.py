"""A grammar for tool calls: from the JSON Schemas of the offered tools to GBNF for what follows ``<toolcall>``; one for replies of JSON.

What the grammar lets through is a call of one of the tools with arguments that fit its schema; it need not let through all that fits.
Properties come in the order of the schema, objects with declared properties have no others unless the schema speaks of them, recursion
has a largest depth. Nothing else is bounded but by the schema: a model that rambles comes to its end with the reply, whose call is cut
then. Where the grammar cannot be as strict as the schema, the keyword is named in `Grammar.uncovered`; every call is to be validated
afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nemochat.domain.messages import ToolSpec
from nemochat.prompt import gbnf
from nemochat.prompt.gbnf import Rules, TooLargeError
from nemochat.prompt.schema_rules import RECURSIONS, Compiler
from nemochat.prompt.schemas import Schema
from nemochat.prompt.toolcalls import CLOSE_TAG


class Grammar(msgspec.Struct, frozen=True):
    """GBNF for what follows ``<toolcall>``, up to and with ``</toolcall>``; empty when there is none.

    uncovered: what the schemas ask and the grammar does not hold to, as "TOOL: KEYWORD of PLACE".
    """

    text: str
    uncovered: tuple[str, ...] = ()


def tool_call_grammar(tools: Sequence[ToolSpec]) -> Grammar:
    """The grammar of a call to one of these tools. Never raises: a schema that makes no sense allows any arguments.

    >>> print(tool_call_grammar([ToolSpec("now")]).text.splitlines()[0])
    root ::= [ \\n]? (r2) ws "</toolcall>"
    """
    if not tools:
        return Grammar("")
    for recursion in RECURSIONS:
        rules = Rules()
        uncovered: dict[str, None] = {}
        try:
            calls = [_call(tool, rules, recursion, uncovered) for tool in tools]
            root = f"[ \\n]? ({' | '.join(calls)}) ws {gbnf.literal(CLOSE_TAG)}"
            return Grammar(rules.text(root), tuple(uncovered))
        except (TooLargeError, RecursionError):
            continue
    return Grammar("", tuple(f"{tool.name}: the whole schema" for tool in tools))


def json_grammar(schema: Schema) -> Grammar:
    """The grammar of a reply that is JSON fitting a schema and nothing else. Never raises, as `tool_call_grammar`."""
    for recursion in RECURSIONS:
        rules = Rules()
        uncovered: dict[str, None] = {}
        try:
            whole = Compiler(ToolSpec("reply", "", schema), rules, recursion, uncovered).whole()
            return Grammar(rules.text(whole), tuple(uncovered))
        except (TooLargeError, RecursionError):
            continue
    return Grammar("", ("reply: the whole schema",))


def _call(tool: ToolSpec, rules: Rules, recursion: int, uncovered: dict[str, None]) -> str:
    compiler = Compiler(tool, rules, recursion, uncovered)
    head = f'"{{\\"name\\":" ws {gbnf.json_literal(tool.name)} "," ws "\\"arguments\\":" ws'
    return rules.add(f'{head} {compiler.arguments()} "}}"')
