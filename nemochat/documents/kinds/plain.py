"""Text without any form, and source code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nemochat.documents.values import Section

_DEFINITION = re.compile(
    r"^(?P<indent>[ \t]*)(?:@?(?:export|default|pub(?:\([a-z]+\))?|public|private|protected|static|final|abstract|async|inline|unsafe)\s+)*"
    r"(?P<word>def|class|function|func|fn|impl|struct|enum|trait|interface|type|module|sub|namespace|record|CREATE\s+TABLE|create\s+table)\b"
    r"\s*\*?\s*(?:\([^)]*\)\s*)?(?P<name>[A-Za-z_$][\w$.]*)?"
)
_C_HEAD = re.compile(r"(?P<indent>)[A-Za-z_][\w\s*&:<>,]*[\s*&:<>,](?P<name>[A-Za-z_]\w*)\s*")
_ASSIGNED = re.compile(r"^(?P<indent>)(?:export\s+)?(?:const|let|var)\s+(?P<name>[\w$]+)\s*=\s*(?:async\s*)?(?:function\b|\(|[\w$]+\s*=>)")
_BEFORE = re.compile(r"^\s*(?:@|#\[|#(?!include|define|if|endif)|//|/\*|\*|--|\"\"\")")
_DEEPEST = 4
_KEYWORDS = frozenset({"if", "for", "while", "switch", "return", "else", "do", "catch"})


def code_sections(text: str) -> Iterator[Section]:
    """A section for each function or class, roughly, with the comment above it; `Shop.open` for a method."""
    lines = text.split("\n")
    starts: list[tuple[int, str]] = []
    outer: list[tuple[int, str]] = []
    for at, line in enumerate(lines):
        found = _definition(line)
        if found is None:
            continue
        indent, name = found
        while outer and outer[-1][0] >= indent:
            outer.pop()
        if len(outer) > 1 or (indent and not outer):
            continue  # a function inside of a method, or a stray line
        starts.append((_with_comment(lines, at, starts[-1][0] + 1 if starts else 0), ".".join([*(each for _, each in outer), name])))
        outer.append((indent, name))
    bounds = [(0, ""), *starts]
    for (first, name), (after, _) in zip(bounds, [*bounds[1:], (len(lines), "")], strict=True):
        body = "\n".join(lines[first:after])
        if body.strip():
            yield Section(body.rstrip(), heading=name, line=first + 1)


def _definition(line: str) -> tuple[int, str] | None:
    if len(line) > 400:
        return None
    found = _DEFINITION.match(line) or _ASSIGNED.match(line) or _c_function(line)
    if found is None or not found["name"] or found["name"] in _KEYWORDS:
        return None
    indent = len(found["indent"].expandtabs(_DEEPEST))
    return (indent, found["name"]) if indent <= _DEEPEST else None


def _c_function(line: str) -> re.Match[str] | None:
    head, _, rest = line.partition("(")
    rest = rest.rstrip().removesuffix("{").rstrip().removesuffix("const").rstrip()
    return _C_HEAD.fullmatch(head) if rest.endswith(")") and ";" not in rest else None


def _with_comment(lines: list[str], at: int, lowest: int) -> int:
    """Where the decorators and comments directly above a definition begin."""
    while at > lowest and _BEFORE.match(lines[at - 1]):
        at -= 1
    return at
