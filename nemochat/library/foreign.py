"""Conversations from other programs: OpenAI messages as JSON, the export of ChatGPT with its trees, and those of roleplay programs
(`nemochat.library.roleplay_chats`).

Accepted are ``conversations.json`` or the zip file that holds it, a list of conversations (each a list of messages, or an object with
``messages``), one such conversation, and JSON Lines of them. Unknown fields do no harm; what cannot be read is left out and named.
Pictures are not in these files, only pointers to them: a line in the message says which one is missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from nemochat.domain.chat import Chat, Entry, Node
from nemochat.domain.messages import Message, Part, ReasoningPart, Role, TextPart, ToolResultPart
from nemochat.domain.replies import ModelRef
from nemochat.domain.sanitize import sanitize, shown
from nemochat.library import roleplay_chats
from nemochat.library.archives import MIB, open_archive
from nemochat.library.errors import LibraryError, cannot, taking
from nemochat.library.ids import id_of
from nemochat.library.roleplay_chats import MAX_MESSAGES, MAX_NAME, Beside, check_number, one_line
from nemochat.library.store import Library
from nemochat.library.values import ForeignChat
from nemochat.reading import TooLargeError, TooMuchError, check_json, mapping, member, read_beginning, read_regular, tables

_MAX_BYTES = 256 * MIB
_MAX_CONVERSATIONS, _TRIED_LINES = 100_000, 20
_MAX_VALUES = 8_000_000  # in the whole file; of them only those of one conversation at a time are values
_HEAD = 8 * MIB  # within it the first two lines of a conversation of SillyTavern end
_BLANK = b" \t\r\n"
# One escape of JSON after the other, so that no backslash is taken for another's; what is in the group is half a character.
_ESCAPE = re.compile(rb"\\(?:[^u]|u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|u)", re.DOTALL)
_MAX_TIME = 1e12
_CHATGPT = "conversations.json"
_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "tool": Role.TOOL, "function": Role.TOOL}
_UNSEEN = ("user_editable_context", "model_editable_context", "thoughts", "reasoning_recap")
_Json = Mapping[str, Any]
_NOTHING: _Json = {}
_Item = bytes | msgspec.Raw | dict[str, Any] | list[Any]
Decoded = TypeVar("Decoded")


class _Envelope(msgspec.Struct):
    """An object that may hold a list of conversations, which is left as it is."""

    conversations: msgspec.Raw = msgspec.Raw()


class _Said(msgspec.Struct):
    """Anything with a role: a message."""

    role: msgspec.Raw


def keep(library: Library, read: ForeignChat) -> tuple[str, bool]:
    """Store a conversation; its id, and whether it is new: one that is here stays as it has gone on since, and is taken out of the bin.

    Raises LibraryError.
    """
    id_ = id_of(round(read.created * 1000) if read.created else None, read.mark or _digest(read.chat))
    if not library.holds(id_):
        return library.add(read.chat, model=read.model, created=read.created, updated=read.updated, id=id_).id, True
    if not library.load(id_).deleted:
        return id_, False
    library.restore(id_)
    return id_, True


def _digest(chat: Chat) -> bytes:
    """Of all that was said in it, wherever in the tree: by this it is known again."""
    nodes = sorted(chat.nodes, key=lambda each: each.id)
    told = [[node.id, node.parent, node.entry.message.role, node.entry.message.text] for node in nodes]
    return hashlib.sha256(msgspec.json.encode([chat.frame.system, told])).digest()


def read_foreign(path: Path, beside: Beside | None = None) -> Iterator[ForeignChat | str]:
    """The conversations in a file one after the other, or a sentence about one that cannot be read. beside: what lies beside the file.

    Raises LibraryError.
    """
    data = _bytes(path)
    if (lines := _tavern_lines(data)) is not None:
        with taking("It cannot be read"):
            yield roleplay_chats.silly_tavern(*lines, beside)
        return
    for number, item in enumerate(_items(data, path), 1):
        try:
            with taking(f"Conversation {number} cannot be read"):
                value = _loads(item)
                problems: list[str] = []
                if (reads := roleplay_chats.of_value(value)) is not None:
                    yield from reads(value)
                    continue
                read = _chatgpt(value) if isinstance(value, dict) and "mapping" in value else _openai(value, problems)
        except LibraryError as error:
            yield error.message if error.message.startswith("Conversation ") else f"Conversation {number}: {error.message}"
        else:
            yield msgspec.structs.replace(read, problems=tuple(f"Conversation {number}: {problem}" for problem in problems))


def _tavern_lines(data: bytes) -> tuple[list[object], list[str]] | None:
    """The lines of a conversation of SillyTavern, and what is wrong with some; None where it is none."""
    first, second = (_json_or_none(line) for line in [*(line for line in data[:_HEAD].splitlines() if line.strip()), b"", b""][:2])
    if not roleplay_chats.of_lines(first, second):
        return None
    if data.count(b"\n") > 2 * MAX_MESSAGES:
        raise LibraryError(f"It holds more than {MAX_MESSAGES:,} messages.")
    check = list(enumerate((line for line in data.splitlines() if line.strip()), 1))
    read = [(number, _json_or_none(line)) for number, line in check]
    bad = [number for number, line in read if not isinstance(line, dict)]
    lines = f"Line {bad[0]:,}" if len(bad) == 1 else f"{len(bad):,} lines, the first of them number {bad[0]:,}," if bad else ""
    said = f"{lines} could not be read: left out." if bad else ""
    return [line for _, line in read if isinstance(line, dict)], [said] if said else []


def _json_or_none(line: bytes) -> object:
    try:
        return _loads(line.removeprefix(b"\xef\xbb\xbf")) if line.strip() else None
    except ValueError:
        return None


def _bytes(path: Path) -> bytes:
    try:
        if not _is_zip(path):
            return read_regular(path, _MAX_BYTES)
    except TooLargeError:
        raise LibraryError(f"{shown(path)} is larger than {_MAX_BYTES // MIB} MiB.") from None
    except OSError as error:
        raise cannot("The conversations cannot be read from", path, error) from error
    with open_archive(path) as archive:
        names = [name for name in archive.names if name.rsplit("/", 1)[-1] == _CHATGPT]
        return archive.read(min(names, key=len) if names else _CHATGPT, _MAX_BYTES)


def _is_zip(path: Path) -> bool:
    """Whether a file begins as a zip does, also an empty one. Raises LibraryError when it cannot be read."""
    try:
        return read_beginning(path, 4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError as error:
        raise cannot("The conversations cannot be read from", path, error) from error


def _items(data: bytes, path: Path) -> Iterable[_Item]:
    """One for each conversation, taken apart no further than to its end: one that is broken or a bomb costs itself alone."""
    try:
        check_json(data, _MAX_VALUES)
    except TooMuchError as error:
        raise LibraryError(f"{shown(path)} cannot be read: {error}.", "Split it into smaller files.") from None
    # Python's reader, below, takes more: numbers that are none, line breaks in texts, other encodings.
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        items = _raw_items(data)
        if len(items) > _MAX_CONVERSATIONS:
            raise LibraryError(f"{shown(path)} holds more than {_MAX_CONVERSATIONS:,} things, which are no conversations.")
        return items
    try:
        content = _loads(data)
    except ValueError as error:
        lines = io.BytesIO(data)
        if data.count(b"\n") > _MAX_CONVERSATIONS or not any(map(_is_json, itertools.islice(lines, _TRIED_LINES))):
            raise LibraryError(f"{shown(path.name)} is not a JSON file of conversations.") from error
        lines.seek(0)
        return (line for line in lines if line.strip())
    if isinstance(content, dict):
        inner = content.get("conversations")
        return inner if isinstance(inner, list) else [content]
    if not isinstance(content, list):
        raise LibraryError(f"{shown(path)} holds no conversations.")
    single = bool(content) and all(isinstance(item, dict) and "role" in item for item in content)
    return [content] if single else content


def _raw_items(data: bytes) -> list[_Item]:
    """The same as pieces of the file. Raises what msgspec does for all that is not strictly JSON."""
    if data.lstrip(_BLANK)[:1] == b"{":
        inner = bytes(_strict(data, _Envelope).conversations)
        return list(_strict(inner, list[msgspec.Raw])) if inner.lstrip(_BLANK)[:1] == b"[" else [data]
    items = _strict(data, list[msgspec.Raw])
    try:
        _strict(data, list[_Said])
    except msgspec.ValidationError:
        return list(items)
    return [data] if items else []


def _strict(data: bytes, kind: type[Decoded]) -> Decoded:
    """Half a character (a lone surrogate), which programs do write, counts as one that cannot be shown."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return msgspec.json.decode(_ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], data), type=kind)


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(_loads(line), dict | list)
    except ValueError:
        return False


def _loads(item: _Item) -> Any:
    """Raises ValueError."""
    if not isinstance(item, bytes | msgspec.Raw):
        return item
    data = bytes(item)
    check_json(data)
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("it is too deep") from error


# -- OpenAI messages


def _openai(item: object, problems: list[str]) -> ForeignChat:
    body: _Json = item if isinstance(item, dict) else {"messages": item}
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise LibraryError("There are no messages in it.")
    check_number(len(messages))
    system = [_text(body.get("system"))]
    said: list[Entry] = []
    bad: list[int] = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict):
            bad.append(number)
        elif message.get("role") in ("system", "developer"):
            system.append(_text(message.get("content")))
        elif (entry := _entry(message.get("role"), _said(message), message)) is not None:
            said.append(entry)
    if bad:
        problems.append(f"{len(bad):,} of its messages, the first of them number {bad[0]:,}, are not objects and were left out.")
    chat = Chat().with_messages([entry.message for entry in said], [entry.speaker for entry in said])
    chat = chat.framed("\n\n".join(filter(None, system))).named(one_line(body.get("title") or body.get("name")))
    return ForeignChat(chat, ModelRef(one_line(body.get("model"))), _time(body.get("created")), _time(body.get("updated")))


def _said(message: _Json) -> str:
    """Content and calls; the calls of other programs are history, nothing to be run, so they are text."""
    calls = [call["function"] for call in tables(message, "tool_calls") if isinstance(call.get("function"), dict)]
    written = [f"{_text(call.get('name'))}({_text(call.get('arguments'))})" for call in calls]
    return "\n\n".join(filter(None, [_text(message.get("content")), *written]))


# -- ChatGPT


def _chatgpt(item: _Json) -> ForeignChat:
    mapping = item["mapping"]
    if not isinstance(mapping, dict):
        raise LibraryError("Its messages are not a mapping.")
    check_number(len(mapping))
    nodes = {key: node for key, node in mapping.items() if isinstance(node, dict)}
    entries = {key: entry for key, node in nodes.items() if (entry := _node_entry(node)) is not None}
    order = list(_walk(nodes))
    ids = {key: number for number, (key, _) in enumerate((pair for pair in order if pair[0] in entries), 1)}
    parents = _kept_parents(order, ids)
    children: dict[int, list[int]] = {}
    for key, id_ in ids.items():
        children.setdefault(parents[key], []).append(id_)
    following = _path(_current(item.get("current_node"), nodes, ids), {ids[key]: parents[key] for key in ids})
    chosen = {id_: following.get(id_, max(children.get(id_, [0]))) for id_ in (0, *ids.values())}
    tree = [Node(msgspec.structs.replace(entries[key], id=id_), parents[key], chosen[id_]) for key, id_ in ids.items()]
    chat = Chat.of_nodes(tree, chosen[0], Chat(name=one_line(item.get("title"))))
    model = next((model for key in reversed(ids) if (model := _metadata(nodes[key], "model_slug"))), "")
    return ForeignChat(chat, ModelRef(one_line(model)), _time(item.get("create_time")), _time(item.get("update_time")))


def _node_entry(node: _Json) -> Entry | None:
    """The message of a node; None for what was never shown."""
    message = node.get("message")
    if not isinstance(message, dict) or _metadata(node, "is_visually_hidden_from_conversation") is True:
        return None
    content = message.get("content")
    if not isinstance(content, dict) or content.get("content_type") in _UNSEEN:
        return None
    return _entry(member(message, str, "author", "role"), _text(content))


def _walk(nodes: Mapping[str, _Json]) -> Iterator[tuple[str, str]]:
    """Every node once, parents first, each with its parent ("" for none); a circle is cut where it is entered."""
    children: dict[str, list[str]] = {}
    for key, node in nodes.items():
        parent = node.get("parent")
        children.setdefault(parent if isinstance(parent, str) and parent in nodes else "", []).append(key)
    seen: set[str] = set()
    for root in (*children.get("", ()), *nodes):
        stack = [(root, "")]
        while stack:
            key, parent = stack.pop()
            if key in seen:
                continue
            seen.add(key)
            yield key, parent
            stack.extend((child, key) for child in reversed(_in_time(children.get(key, []), nodes)))


def _in_time(keys: list[str], nodes: Mapping[str, _Json]) -> list[str]:
    return sorted(keys, key=lambda key: _time(mapping(nodes[key], "message").get("create_time")) or 0.0)


def _kept_parents(order: list[tuple[str, str]], ids: Mapping[str, int]) -> dict[str, int]:
    """Of each node the id of the nearest one above that is kept."""
    nearest = {"": 0}
    parents: dict[str, int] = {}
    for key, parent in order:
        parents[key] = nearest[parent]
        nearest[key] = ids.get(key, parents[key])
    return parents


def _current(key: object, nodes: Mapping[str, _Json], ids: Mapping[str, int]) -> int:
    """The message that was on the screen last, 0 where that is not known."""
    seen: set[str] = set()
    while isinstance(key, str) and key in nodes and key not in seen:
        if key in ids:
            return ids[key]
        seen.add(key)
        key = nodes[key].get("parent")
    return 0


def _path(last: int, parents: Mapping[int, int]) -> dict[int, int]:
    """Of each message on the way to `last` the one behind it. Parents have smaller ids, so it ends."""
    following = {}
    while last:
        following[parents[last]] = last
        last = parents[last]
    return following


# -- pieces


def _entry(role: object, text: str, message: _Json = _NOTHING) -> Entry | None:
    if not isinstance(role, str) or role not in _ROLES or not text.strip():
        return None
    who = one_line(message.get("name"))
    if _ROLES[role] is Role.TOOL:
        return Entry(Message(Role.TOOL, (ToolResultPart(one_line(message.get("tool_call_id")), text),)))
    thought = message.get("reasoning_content")
    parts: tuple[Part, ...] = (TextPart(text),)
    if _ROLES[role] is Role.ASSISTANT and isinstance(thought, str) and thought.strip():
        parts = (ReasoningPart(sanitize(thought)), *parts)
    return Entry(Message(_ROLES[role], parts), speaker=who)


def _text(content: object) -> str:
    """The words of any content that the two formats know."""
    match content:
        case str():
            return sanitize(content)
        case list():
            return "\n".join(filter(None, map(_text, content[:10_000]))) if len(content) != 1 else _text(content[0])
        case {"content_type": "image_asset_pointer", "asset_pointer": str(pointer)}:
            return _missing(pointer)
        case {"type": "image_url", "image_url": {"url": str(url)} | str(url)}:
            return _missing("inline" if url.startswith("data:") else url)
        case {"parts": list(parts)}:
            return _text(parts)
        case {"text": str(text)} | {"result": str(text)} | {"content": str(text)}:
            return sanitize(text)
        case {"content_type": str(kind)} if "pointer" in kind:
            return _missing(kind)
    return ""


def _missing(name: str) -> str:
    return f"[picture not in the file: {sanitize(name, strict=True)[:MAX_NAME]}]"


def _metadata(node: _Json, field: str) -> object:
    return mapping(node, "message", "metadata").get(field)


def _time(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and abs(value) < _MAX_TIME else None
