"""A grammar for tool calls: from the JSON Schemas of the offered tools to GBNF for what follows the text that opens a call, in the style
of the model's chat format; one for replies of JSON.

What the grammar lets through is a call of one of the tools with arguments that fit its schema; it need not let through all that fits.
Properties come in the order of the schema, objects with declared properties have no others unless the schema speaks of them, recursion
has a largest depth. Nothing else is bounded but by the schema: a model that rambles comes to its end with the reply, whose call is cut
then. Where the grammar cannot be as strict as the schema, the keyword is named in `Grammar.uncovered`; every call is to be validated
afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from nemochat.domain.messages import ToolSpec
from nemochat.prompt import gbnf
from nemochat.prompt.calls import ANY, ELEMENT_NAME, GEMMA_QUOTE, PYTHON_NAME, CallStyle, as_gemma
from nemochat.prompt.gbnf import Notation, Rules, TooLargeError
from nemochat.prompt.replies import NEMOTRON, ReplyStyle
from nemochat.prompt.schema_rules import RECURSIONS, Compiler
from nemochat.prompt.schemas import Schema


def _gemma_key(name: str) -> str:
    if not re.fullmatch(r"[^\n{}\[\],:\"<]+", name):
        raise ValueError(f"{name!r} can be no key")
    return gbnf.literal(name)


def _other_gemma_key(names: Iterable[str]) -> str:
    """A key that begins as none of these does."""
    taken = {name[:1] for name in names}
    free = "".join(char for char in "abcdefghijklmnopqrstuvwxyz" if char not in taken)
    return f"[{free}] [a-zA-Z0-9_]*"


GEMMA = Notation(GEMMA_QUOTE, "[^<]", lambda value: gbnf.literal(as_gemma(value)), _gemma_key, _other_gemma_key)
"""Values as Gemma 4 writes them."""


class Grammar(msgspec.Struct, frozen=True):
    """GBNF for what follows the text that opens a call, up to and with the one that closes it; empty when there is none.

    uncovered: what the schemas ask and the grammar does not hold to, as "TOOL: KEYWORD of PLACE".
    """

    text: str
    uncovered: tuple[str, ...] = ()


def tool_call_grammar(tools: Sequence[ToolSpec], style: ReplyStyle = NEMOTRON) -> Grammar:
    """The grammar of a call to one of these tools. Never raises: a schema that makes no sense allows any arguments.

    >>> print(tool_call_grammar([ToolSpec("now")]).text.splitlines()[0])
    root ::= [ \\n]? (r2) ws "</toolcall>"
    """
    if not tools or style.calls is None:
        return Grammar("")
    notation = GEMMA if style.calls.kind == "gemma" else gbnf.JSON
    for recursion in RECURSIONS:
        rules = Rules()
        uncovered: dict[str, None] = {}
        try:
            calls = []
            for tool in tools:
                if style.calls.kind != "json" and not style.calls.names.fullmatch(tool.name):
                    uncovered[f"{tool.name}: its name"] = None
                else:
                    calls.append(_call(tool, style.calls, Compiler(tool, rules, recursion, uncovered, notation), rules))
            if not calls:
                return Grammar("", tuple(uncovered))
            return Grammar(rules.text(_root(calls, style.calls, rules)), tuple(uncovered))
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


def behind_trigger(grammar: str, trigger: str, ends: Sequence[str], *, is_open: bool) -> str:
    """A grammar for the whole of a reply from its first trigger on, for an engine that holds to one from there to the end.

    What follows each trigger is held to `grammar`; between and behind calls stands any text that begins neither with the trigger nor with
    one of `ends`, the texts that end a reply. is_open: the prompt ends with the trigger; otherwise one of `ends` may come in its place.
    """
    first = "".join(dict.fromkeys(text[:1] for text in (trigger, *ends) if text))
    other = "[^" + "".join(f"\\{char}" if char in '\\]"[' else f"\\x{ord(char):02X}" if char in "^-" else char for char in first) + "]*"
    end = f"({' | '.join(map(gbnf.literal, ends))})" if ends else ""
    call = f"{gbnf.literal(trigger)} held {other}"
    root = f"held {other} ({call})*" if is_open else f"({call})+"
    whole = f"{root} {end}?" if end else root
    return f"root ::= {whole if is_open or not end else f'{whole} | {end}'}\n" + re.sub("(?m)^root(?= ::=)", "held", grammar)


def _root(calls: Sequence[str], style: CallStyle, rules: Rules) -> str:
    """A call, or several where they stand in one pair of tags, with the white space around them."""
    call = f"({' | '.join(calls)})"
    has_list = style.kind == "python" or (style.kind == "json" and style.is_list)
    if has_list or (style.has_several and style.kind in ("named", "tagged", "elements")):
        one = rules.add(call)
        separator = '"," ws' if has_list else "[ \\n]?"
        call = f"{one} ({separator} {one})*"
        call = f'"[" {call} "]"' if has_list else call
    if style.is_bare:
        # The opening text is the beginning of the JSON: it is said already.
        return call
    lead = "[ \\n]?" if style.lead in ("", " ", "\n") else gbnf.literal(style.lead)
    trail = "ws" if style.trail in ("", " ") else "[ \\n]?"
    return f"{lead} {call} {trail} {gbnf.literal(style.closes)}" if style.closes else f"{lead} {call}"


def _call(tool: ToolSpec, style: CallStyle, compiler: Compiler, rules: Rules) -> str:
    name = gbnf.json_literal(tool.name)
    match style.kind:
        case "json":
            if not style.name_key:
                return rules.add(f'"{{" {name} ":" ws {compiler.arguments()} "}}"')
            name_key, arguments_key = gbnf.json_literal(style.name_key)[1:-1], gbnf.json_literal(style.arguments_key)[1:-1]
            opens = "" if style.is_bare else f'"{{{name_key}:" '
            return rules.add(f'{opens}ws {name} "," ws "{arguments_key}:" ws {compiler.arguments()} "}}"')
        case "python":
            return rules.add(f"{gbnf.literal(f'{tool.name}(')} {_keywords(compiler)} \")\"")
        case "gemma":
            return rules.add(f"{gbnf.literal(f'call:{tool.name}')} {compiler.arguments()}")
        case "tagged":
            arguments = _tagged(style, compiler)
        case "elements":
            arguments = _elements(style, compiler)
        case "named":
            arguments = compiler.arguments()
    before, after = (_with_ids(text) for text in (style.before, style.after))
    parts = [before, gbnf.literal(tool.name), after, arguments, gbnf.literal(style.end) if style.end else ""]
    return rules.add(" ".join(part for part in parts if part))


def _with_ids(text: str) -> str:
    """A text of a style, with something that can be an id or a number where it has one."""
    return " [a-zA-Z0-9]{1,16} ".join(gbnf.literal(piece) if piece else "" for piece in text.split(ANY)).strip()


def _keywords(compiler: Compiler) -> str:
    """Arguments as Python has them, their values as JSON."""
    pairs = []
    for parameter in compiler.parameters():
        value = compiler.value(parameter) if PYTHON_NAME.fullmatch(parameter.name) else None
        if value is None:
            compiler.give_up(parameter)
        else:
            pairs.append((f"{gbnf.literal(f'{parameter.name}=')} {value}", parameter.is_required))
    return compiler.pairs(pairs)


def _tagged(style: CallStyle, compiler: Compiler) -> str:
    """Arguments in tags: text as it is, anything else as JSON."""
    tagged = []
    for parameter in compiler.parameters():
        ways = []
        text = compiler.text(parameter, style.value_closes.strip())
        value = compiler.value(parameter) if text is None or ANY in style.key_closes else None
        for type_name, expression in (("string", text), ("", value)):
            if expression is not None:
                ways.append(f"{_closing_key(style, type_name)} {expression}")
        if ways:
            body = f"{gbnf.literal(style.key_opens + parameter.name)} ({' | '.join(ways)}) {gbnf.literal(style.value_closes)}"
            tagged.append(body if parameter.is_required else f"({body})?")
    return " ".join(tagged)


def _elements(style: CallStyle, compiler: Compiler) -> str:
    """Arguments as elements, in the order of the schema."""
    elements = []
    for parameter in compiler.parameters():
        element = None
        if ELEMENT_NAME.fullmatch(parameter.name):
            element = compiler.element(parameter, style.key_opens, style.value_closes, style.key_closes)
        if element is None:
            compiler.give_up(parameter)
        else:
            elements.append(element if parameter.is_required else f"({element})?")
    return " ".join(elements)


def _closing_key(style: CallStyle, type_name: str) -> str:
    """What stands between the name of an argument and its value, with the type where it says that."""
    before, has_type, after = style.key_closes.partition(ANY)
    if not has_type:
        return gbnf.literal(style.key_closes)
    types = ("true", "false") if before.endswith('string="') else ("string", "[a-z]+")
    said = gbnf.literal(types[0]) if type_name else (types[1] if "[" in types[1] else gbnf.literal(types[1]))
    return f"{gbnf.literal(before)} {said} {gbnf.literal(after)}"
