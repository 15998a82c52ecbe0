"""A persona as TOML that people read and edit: long texts over several lines, fields that say nothing left out.

What other programs keep in a card (`extensions`, `card`) is one line of JSON, because TOML has no null; a table is read too.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from nemochat.domain.personas import Lorebook, LoreEntry, Persona, PersonaSampling
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError
from nemochat.personas.cleaning import clean
from nemochat.personas.files import MAX_ENTRIES, MAX_TOML, Unreadable
from nemochat.reading import TooMuchError, check_toml

_GROUPS = (
    ("", ("name", "nickname", "summary", "tags", "model", "accent", "user_name", "lorebooks")),
    ("Who they are. {{char}} and {{user}} stand for the two names.", ("description", "personality", "scenario")),
    ("In place of the user's own system text ({{original}} puts that back in), and again behind the history.", ("system", "post_history")),
    ("What you have told it to remember in every chat.", ("remembered",)),
    ("How a conversation begins, and other ways that it may.", ("greeting", "greetings")),
    ("How a conversation might go: dialogues that begin with <START>.", ("examples",)),
    ("For people; the model does not see it.", ("creator_notes", "creator", "version")),
    ("Kept for other programs.", ("extensions", "card")),
)
_SAMPLING_COMMENT = "Sampling; what is not here is as the user has set it."
_BOOK_COMMENT = "What is known about the world: entries that enter the prompt when one of their keys is read."
_ENTRY = (
    "name", "comment", "keys", "secondary_keys", "content", "enabled", "constant", "selective", "use_regex", "case_sensitive", "order",
    "priority", "position", "id", "extensions",
)  # fmt: skip
_JSON_FIELDS = {"extensions", "card"}
_ESCAPES = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\r": "\\r"}
_TO_ESCAPE = re.compile(r"[\\\x00-\x08\x0b-\x1f\x7f]")
_ENDS = re.compile(r'"{3,}|"+\Z')
_WIDTH = 100


def write_toml(persona: Persona) -> str:
    """The persona as TOML; `read_toml` gives the same persona again."""
    blocks = [_block(comment, persona, fields) for comment, fields in _GROUPS]
    if persona.sampling != PersonaSampling():
        blocks.append(_block(_SAMPLING_COMMENT, persona.sampling, persona.sampling.__struct_fields__, "[sampling]"))
    if persona.book is not None:
        fields = tuple(field for field in persona.book.__struct_fields__ if field != "entries")
        blocks.append(_block(_BOOK_COMMENT, persona.book, fields, "[book]"))
        blocks += [_block("", entry, _ENTRY, "[[book.entries]]") for entry in persona.book.entries]
    return "\n".join(block for block in blocks if block)


def read_toml(text: str, name: str = "The persona") -> Persona:
    """Read a persona from TOML; `name` is the file's, for messages. Raises NemochatError with one sentence about what is wrong."""
    shown = sanitize(name, strict=True)
    try:
        return clean(_convert(_parse(text)))
    except Unreadable as problem:
        raise NemochatError(f"{shown} cannot be read as a persona: {problem}.", "Correct it in an editor.") from None


def _block(comment: str, value: msgspec.Struct, fields: Iterable[str], table: str = "") -> str:
    lines = [table] if table else []
    defaults = {field.name: field.default for field in msgspec.structs.fields(type(value))}
    for field in fields:
        content = getattr(value, field)
        if content != defaults[field] and content not in ({}, ()):
            lines.append(f"{field} = {_value(field, content)}")
    if not lines:
        return ""
    return "\n".join([*([f"# {comment}"] if comment else []), *lines, ""])


def _value(field: str, content: object) -> str:
    if field in _JSON_FIELDS:
        return toml_string(json.dumps(content, ensure_ascii=False, allow_nan=False))
    match content:
        case bool():
            return "true" if content else "false"
        case int() | float():
            return repr(content)
        case tuple():
            return _array([toml_string(str(each)) for each in content])
    return toml_string(str(content))


def _array(items: list[str]) -> str:
    one_line = f"[{', '.join(items)}]"
    if "\n" not in one_line and len(one_line) <= _WIDTH:
        return one_line
    return "\n".join(["[", *(f"  {item}," for item in items), "]"])


def toml_string(text: str) -> str:
    """A text as a TOML string, over several lines when it is long."""
    escaped = _TO_ESCAPE.sub(lambda match: _ESCAPES.get(match[0]) or f"\\u{ord(match[0]):04x}", text)
    if "\n" not in text and len(text) <= _WIDTH:
        if '"' in text and "'" not in text and "\\" not in text and escaped == text:
            return f"'{text}'"
        return '"' + escaped.replace('"', '\\"').replace("\t", "\\t") + '"'
    if "\\" in text and "'''" not in text and not text.endswith("'") and not _TO_ESCAPE.search(text.replace("\\", "")):
        return f"'''\n{text}'''"
    # Three quotation marks end the text, and so would those at its end.
    body = _ENDS.sub(lambda match: match[0].replace('"', '\\"'), escaped)
    return f'"""\n{body}"""'


def _parse(text: str) -> dict[str, Any]:
    import tomllib

    if len(text) > MAX_TOML:
        raise Unreadable(f"it is larger than {MAX_TOML // 1024 // 1024} MiB")
    try:
        check_toml(text)
    except TooMuchError as problem:
        raise Unreadable(str(problem)) from None
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(f"it is no valid TOML ({sanitize(str(error), strict=True)[:200]})") from None
    except (RecursionError, ValueError, OverflowError):
        raise Unreadable("it is no valid TOML") from None


def _convert(fields: dict[str, Any]) -> Persona:
    _check_names(fields, Persona, "")
    _check_names(fields.get("sampling"), PersonaSampling, "sampling.")
    _read_json(fields)
    book = fields.get("book")
    _check_names(book, Lorebook, "book.")
    if isinstance(book, dict):
        _read_json(book)
        entries = book.get("entries")
        if isinstance(entries, list):
            if len(entries) > MAX_ENTRIES:
                raise Unreadable(f"its lorebook holds {len(entries):,} entries, more than {MAX_ENTRIES:,}")
            for entry in entries:
                _check_names(entry, LoreEntry, "book.entries.")
                _read_json(entry)
    try:
        return msgspec.convert(fields, Persona)
    except msgspec.ValidationError as error:
        raise Unreadable(_in_words(error)) from None


def _check_names(fields: object, kind: type[msgspec.Struct], prefix: str) -> None:
    """A name that does not exist is most likely misspelt, and what it says would silently have no effect."""
    known = kind.__struct_fields__
    for name in fields if isinstance(fields, dict) else ():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            perhaps = f", perhaps “{near[0]}” is meant" if near else ""
            raise Unreadable(f"there is no field “{prefix}{sanitize(name, strict=True)[:100]}”{perhaps}")


def _read_json(fields: Mapping[str, Any]) -> None:
    """Put in place what is written as JSON."""
    if not isinstance(fields, dict):
        return
    for field in _JSON_FIELDS & fields.keys():
        if isinstance(fields[field], str):
            try:
                fields[field] = json.loads(fields[field])
            except (ValueError, RecursionError):
                raise Unreadable(f"the field “{field}” holds no valid JSON") from None


def _in_words(error: msgspec.ValidationError) -> str:
    what, _, where = str(error).partition(" - at `$.")
    where = where.rstrip("`").replace("[...]", "")
    kinds = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false", "array": "a list", "object": "a table"}
    match = re.fullmatch(r"Expected `([^`]*)`, got `([^`]*)`", what)
    if match is None or not where:
        return sanitize(str(error), strict=True).replace("$.", "").replace("Object missing", "it is missing the").rstrip(".")
    wanted, got = (" or ".join(kinds.get(kind.strip(), kind.strip()) for kind in names.split("|")) for names in match.groups())
    return f"the field “{sanitize(where, strict=True)}” holds {got} where {wanted} belongs"
