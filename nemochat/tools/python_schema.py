"""From a Python function to a tool: its docstring, and the JSON Schema of its annotations. The text is read, nothing is run."""

from __future__ import annotations

import ast
import re
from typing import Any

from nemochat.domain.messages import ToolSpec
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError

Function = ast.FunctionDef | ast.AsyncFunctionDef

_SIMPLE = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}
_LISTS = ("list", "List", "Sequence")
_DICTS = ("dict", "Dict", "Mapping")
_TOLD = re.compile(r"\s*:?(?:param\s+)?(\w+)\s*(?:\([^)]*\))?\s*:\s*(.+)")
_KNOWN = "int, float, str, bool, list[...], dict[str, ...], Literal[...] and Optional[...] are known"


def functions_of(tree: ast.Module) -> list[Function]:
    """The functions that are meant as tools: at the top, without a leading underscore, with a docstring."""
    found = [node for node in tree.body if isinstance(node, Function)]
    return [node for node in found if not node.name.startswith("_") and ast.get_docstring(node)]


def spec_of(function: Function) -> ToolSpec:
    """The tool that a function is. Raises NemochatError saying what is missing."""
    doc = sanitize(ast.get_docstring(function) or "").strip()
    first, *others = doc.splitlines()
    told = {found[1]: found[2].strip() for line in others if (found := _TOLD.fullmatch(line))}
    properties: dict[str, Any] = {}
    required = []
    arguments = function.args
    if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        raise NemochatError(f"{function.name} takes * arguments or such by place alone, which a tool cannot.")
    without: list[ast.expr | None] = [None] * (len(arguments.args) - len(arguments.defaults))
    defaults = [*without, *arguments.defaults, *arguments.kw_defaults]
    for argument, default in zip([*arguments.args, *arguments.kwonlyargs], defaults, strict=True):
        if argument.annotation is None:
            raise NemochatError(f"{function.name}: the parameter {argument.arg} has no type.", _KNOWN.capitalize() + ".")
        schema = _schema(argument.annotation, f"{function.name}: the parameter {argument.arg}")
        if description := told.get(argument.arg):
            schema = {**schema, "description": description}
        if default is None:
            required.append(argument.arg)
        else:
            schema = {**schema, **_default(default)}
        properties[argument.arg] = schema
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return ToolSpec(function.name, first.strip(), parameters)


def _schema(node: ast.expr, where: str) -> dict[str, Any]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return _schema(ast.parse(node.value, mode="eval").body, where)
        except SyntaxError:
            raise _unknown(node, where) from None
    if isinstance(node, ast.Constant) and node.value is None:
        return {"type": "null"}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _any_of([_schema(node.left, where), _schema(node.right, where)])
    name = _name(node)
    if name in _SIMPLE:
        return {"type": _SIMPLE[name]}
    if name in _LISTS:
        return {"type": "array"}
    if name in _DICTS:
        return {"type": "object"}
    if isinstance(node, ast.Subscript):
        return _subscript(_name(node.value), node.slice, where, node)
    raise _unknown(node, where)


def _subscript(name: str, inner: ast.expr, where: str, node: ast.expr) -> dict[str, Any]:
    several = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name in _LISTS and len(several) == 1:
        return {"type": "array", "items": _schema(inner, where)}
    if name in _DICTS and len(several) == 2 and _name(several[0]) == "str":
        return {"type": "object", "additionalProperties": _schema(several[1], where)}
    if name == "Optional" and len(several) == 1:
        return _any_of([_schema(inner, where), {"type": "null"}])
    if name == "Union":
        return _any_of([_schema(one, where) for one in several])
    if name == "Literal":
        try:
            values = [ast.literal_eval(one) for one in several]
        except ValueError:
            raise _unknown(node, where) from None
        if all(isinstance(value, str | int | bool | None) for value in values):
            return {"enum": values}
    raise _unknown(node, where)


def _any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    flat = [one for schema in schemas for one in schema.get("anyOf", [schema])]
    if all(set(schema) == {"type"} for schema in flat):
        return {"type": [schema["type"] for schema in flat]}
    return {"anyOf": flat}


def _default(node: ast.expr) -> dict[str, Any]:
    """The default, where it is written out; else only the function knows it."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return {}
    return {"default": value} if isinstance(value, str | int | float | bool | list | dict) else {}


def _name(node: ast.expr) -> str:
    """``Literal`` for ``Literal`` and for ``typing.Literal``."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _unknown(node: ast.expr, where: str) -> NemochatError:
    return NemochatError(f"{where} has the type {sanitize(ast.unparse(node), strict=True)[:80]}, which a tool cannot have.", f"{_KNOWN}.")
