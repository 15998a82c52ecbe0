"""Conversations from other programs: OpenAI messages as JSON, and the export of ChatGPT with its trees.

Accepted are ``conversations.json`` or the zip file that holds it, a list of conversations (each a list of messages, or an object with
``messages``), one such conversation, and JSON Lines of them. Unknown fields do no harm; what cannot be read is left out and named.
Pictures are not in these files, only pointers to them: a line in the message says which one is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from nemochat.domain.chat import Chat, Entry, Node
from nemochat.domain.messages import Message, Part, ReasoningPart, Role, TextPart, ToolResultPart
from nemochat.domain.replies import ModelRef
from nemochat.domain.sanitize import sanitize
from nemochat.library.archives import MIB, open_archive
from nemochat.library.errors import LibraryError, cannot, shown

_MAX_BYTES = 1024 * MIB
_MAX_NAME = 200
_MAX_TIME = 1e12
_CHATGPT = "conversations.json"
_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "tool": Role.TOOL, "function": Role.TOOL}
_UNSEEN = ("user_editable_context", "model_editable_context", "thoughts", "reasoning_recap")
_Json = Mapping[str, Any]
_NOTHING: _Json = {}


class ForeignChat(msgspec.Struct, frozen=True):
    """A conversation from elsewhere. created, updated: seconds since the epoch, None where the file does not say."""

    chat: Chat
    model: ModelRef = ModelRef()
    created: float | None = None
    updated: float | None = None


def read_foreign(path: Path) -> tuple[list[ForeignChat], list[str]]:
    """The conversations in a file that have any messages, and sentences about what could not be read. Raises LibraryError."""
    chats, problems = [], []
    for number, item in enumerate(_items(_bytes(path), path), 1):
        try:
            read = _chatgpt(item) if isinstance(item, dict) and "mapping" in item else _openai(item)
        except LibraryError as error:
            problems.append(f"Conversation {number}: {error.message}")
            continue
        except RecursionError:
            problems.append(f"Conversation {number}: it is too deep.")
            continue
        if read.chat.entries:
            chats.append(read)
    return chats, problems


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            data = b"" if zipped else file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise cannot("The conversations cannot be read from", path, error) from error
    if len(data) > _MAX_BYTES:
        raise LibraryError(f"{shown(path)} is larger than {_MAX_BYTES // MIB} MiB.")
    if not zipped:
        return data
    with open_archive(path) as archive:
        names = [name for name in archive.names if name.rsplit("/", 1)[-1] == _CHATGPT]
        return archive.read(min(names, key=len) if names else _CHATGPT, _MAX_BYTES)


def _items(data: bytes, path: Path) -> list[Any]:
    """One for each conversation."""
    try:
        content = _loads(data)
    except ValueError as error:
        try:
            lines = [_loads(line) for line in data.splitlines() if line.strip()]
        except ValueError:
            lines = []
        if lines:
            return lines
        raise LibraryError(f"{shown(path)} is not a JSON file of conversations.") from error
    if isinstance(content, dict):
        inner = content.get("conversations")
        return inner if isinstance(inner, list) else [content]
    if not isinstance(content, list):
        raise LibraryError(f"{shown(path)} holds no conversations.")
    single = bool(content) and all(isinstance(item, dict) and "role" in item for item in content)
    return [content] if single else content


def _loads(data: bytes) -> Any:
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("too deep") from error


# -- OpenAI messages


def _openai(item: object) -> ForeignChat:
    body: _Json = item if isinstance(item, dict) else {"messages": item}
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise LibraryError("There are no messages in it.")
    system = [_text(body.get("system"))]
    chat = Chat()
    for message in messages:
        if not isinstance(message, dict):
            raise LibraryError("One of its messages is not an object.")
        if message.get("role") in ("system", "developer"):
            system.append(_text(message.get("content")))
        elif (entry := _entry(message.get("role"), _said(message), message)) is not None:
            chat = chat.added(entry)
    chat = chat.framed("\n\n".join(filter(None, system))).named(_name(body.get("title") or body.get("name")))
    return ForeignChat(chat, ModelRef(_name(body.get("model"))), _time(body.get("created")), _time(body.get("updated")))


def _said(message: _Json) -> str:
    """Content and calls; the calls of other programs are history, nothing to be run, so they are text."""
    calls = [call.get("function") for call in _list(message.get("tool_calls")) if isinstance(call, dict)]
    written = [f"{_text(call.get('name'))}({_text(call.get('arguments'))})" for call in calls if isinstance(call, dict)]
    return "\n\n".join(filter(None, [_text(message.get("content")), *written]))


# -- ChatGPT


def _chatgpt(item: _Json) -> ForeignChat:
    mapping = item["mapping"]
    if not isinstance(mapping, dict):
        raise LibraryError("Its messages are not a mapping.")
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
    chat = Chat.of_nodes(tree, chosen[0], Chat(name=_name(item.get("title"))))
    model = next((model for key in reversed(ids) if (model := _metadata(nodes[key], "model_slug"))), "")
    return ForeignChat(chat, ModelRef(_name(model)), _time(item.get("create_time")), _time(item.get("update_time")))


def _node_entry(node: _Json) -> Entry | None:
    """The message of a node; None for what was never shown."""
    message = node.get("message")
    if not isinstance(message, dict) or _metadata(node, "is_visually_hidden_from_conversation") is True:
        return None
    author = message.get("author")
    content = message.get("content")
    if not isinstance(content, dict) or content.get("content_type") in _UNSEEN:
        return None
    return _entry(author.get("role") if isinstance(author, dict) else None, _text(content))


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
    def made(key: str) -> float:
        message = nodes[key].get("message")
        return (_time(message.get("create_time")) if isinstance(message, dict) else None) or 0.0

    return sorted(keys, key=made)


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
    who = _name(message.get("name"))
    if _ROLES[role] is Role.TOOL:
        return Entry(Message(Role.TOOL, (ToolResultPart(_name(message.get("tool_call_id")), text),)))
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
    return f"[picture not in the file: {sanitize(name, strict=True)[:_MAX_NAME]}]"


def _metadata(node: _Json, field: str) -> object:
    message = node.get("message")
    metadata = message.get("metadata") if isinstance(message, dict) else None
    return metadata.get(field) if isinstance(metadata, dict) else None


def _name(value: object) -> str:
    return sanitize(value, strict=True).strip()[:_MAX_NAME] if isinstance(value, str) else ""


def _time(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and abs(value) < _MAX_TIME else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
