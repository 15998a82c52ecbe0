"""A conversation as a file: Markdown to read, JSON to go on with, HTML to show."""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nemochat.chat.export_html import to_html, waiting_entry
from nemochat.chat.export_markdown import to_markdown
from nemochat.domain.chat import Chat, Entry, Waiting
from nemochat.domain.images import Original
from nemochat.domain.messages import ImagePart, Message, Part, ReasoningPart, Role, TextPart, ToolCallPart, ToolResultPart
from nemochat.domain.sanitize import escape_json, sanitize
from nemochat.errors import ImageError, NemochatError, UsageError
from nemochat.files import export_file, make_missing
from nemochat.images import shareable
from nemochat.numbers import plural
from nemochat.prompt.replies import as_generated

__all__ = ["SUFFIXES", "export", "notes_of", "to_html", "to_json", "to_markdown"]

SUFFIXES = (".md", ".json", ".html")
"""The endings of file names that `export` knows."""


Originals = Mapping[str, Original]
"""The files of pictures, by digest."""
Notes = Mapping[str, str]
"""Texts by their headings."""
NO_NOTES: Notes = {}


def export(
    path: Path,
    entries: Sequence[Entry],
    system: str,
    originals: Originals,
    *,
    waiting: Sequence[Waiting] = (),
    notes: Notes = NO_NOTES,
    replace: bool = False,
) -> None:
    """Write the conversation to a file, what waits in it at the end; its suffix says how. With Markdown, the pictures lie in a folder
    beside it. notes: what the model is told beside the messages (see `notes_of`).

    The file appears whole or not at all, and only `replace` lets it take the place of another. Raises UsageError for any other suffix
    and for a file that exists, NemochatError when the system refuses.
    """
    suffix = path.suffix.lower()
    shown = sanitize(str(path), strict=True)
    if suffix not in SUFFIXES:
        raise UsageError(f"{shown}: the name of an exported file ends with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if not replace and os.path.lexists(path):
        raise UsageError(f"{shown} exists already.", "Choose another name.")
    try:
        if suffix == ".md":
            content = to_markdown(entries, system, _write_pictures(path, entries, waiting, originals), waiting, notes)
        elif suffix == ".json":
            content = to_json(entries, system, originals, waiting, notes)
        else:
            content = to_html(entries, system, originals, waiting, notes, title=path.stem)
        export_file(path, content.encode(errors="replace"), replace=replace)
    except FileExistsError:
        raise UsageError(f"{shown} exists already.", "Choose another name.") from None
    except OSError as error:
        raise NemochatError(f"{shown} cannot be written: {error.strerror or error}.", "Check the folder, or choose another.") from error


def notes_of(chat: Chat) -> dict[str, str]:
    """What the model is told beside the messages of a chat, by what people call it: what is remembered, and the summary."""
    summary = chat.summary
    notes = {"Remembered": "\n".join(f"- {text}" for text in chat.remembered)}
    if summary is not None:
        heading = f"Summary of the first {plural(len(summary.covers), 'message')}{'' if summary.is_on else ' (off)'}"
        notes[heading] = summary.text
    return {heading: text for heading, text in notes.items() if text}


def to_json(
    entries: Iterable[Entry], system: str, originals: Originals, waiting: Iterable[Waiting] = (), notes: Notes = NO_NOTES
) -> str:
    """A list of OpenAI messages under ``messages``, pictures as data URIs: the very files that were given. What waits is under ``waiting``,
    and the notes are under ``notes``.

    Reading it again gives the same conversation, but that each result of a tool stays a message of its own. A picture that
    is not in `originals` leaves a note in its place.
    """
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for entry in entries:
        message = entry.message
        who = {"name": entry.speaker} if entry.speaker else {}
        match message.role:
            case Role.USER:
                messages.append({"role": "user", "content": _content(message.parts, originals)} | who)
            case Role.ASSISTANT:
                calls = _tool_calls(message)
                said = {"content": message.text or None, "tool_calls": calls} if calls else {"content": as_generated(message.parts)}
                thought = "".join(part.text for part in message.parts if isinstance(part, ReasoningPart))
                messages.append({"role": "assistant"} | said | ({"reasoning_content": thought} if thought else {}) | who)
            case Role.TOOL:
                messages += _results(message, originals)
    queued = [{"content": _waiting_content(each, originals), "when": each.when} for each in waiting]
    whole = {"messages": messages} | ({"waiting": queued} if queued else {}) | ({"notes": dict(notes)} if notes else {})
    return escape_json(json.dumps(whole, ensure_ascii=False, indent=2)) + "\n"


def _results(message: Message, originals: Originals) -> list[dict[str, Any]]:
    results = [part for part in message.parts if isinstance(part, ToolResultPart)]
    if not results:
        return [{"role": "tool", "content": message.text}]
    return [
        {"role": "tool", "content": _content((*part.images, TextPart(part.text)), originals)}
        | ({"tool_call_id": part.call} if part.call else {})
        | ({"is_error": True} if part.is_error else {})
        for part in results
    ]


def _content(parts: Sequence[Part], originals: Originals) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(part := parts[0], TextPart):
        return part.text
    pieces: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, TextPart):
            pieces.append({"type": "text", "text": part.text})
        elif isinstance(part, ImagePart):
            original = originals.get(part.digest)
            if original is None:
                pieces.append({"type": "text", "text": f"[picture: {part.name or 'no name'}]"})
            else:
                url = f"data:image/{original.suffix};base64,{base64.b64encode(original.data).decode()}"
                pieces.append({"type": "image_url", "image_url": {"url": url}})
    return pieces


def _waiting_content(waiting: Waiting, originals: Originals) -> str | list[dict[str, Any]]:
    """Pictures that have not been read are named by where they are."""
    content = _content(waiting.message.parts, originals)
    if not waiting.sources:
        return content
    said = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [*({"type": "image_url", "image_url": {"url": source}} for source in waiting.sources), *said]


def _tool_calls(message: Message) -> list[dict[str, Any]]:
    """The calls as OpenAI has them; none when that would lose something: a malformed call, or text behind a call."""
    seen_call = False
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            seen_call = True
            if not part.calls:
                return []
        elif seen_call:
            return []
    return [
        {
            "id": call.id or f"call_{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for number, call in enumerate(message.tool_calls, 1)
    ]


def _write_pictures(path: Path, entries: Iterable[Entry], waiting: Iterable[Waiting], originals: Originals) -> dict[str, str]:
    """Put the pictures of the conversation into a folder beside the file; their links by digest. Their names tell their content."""
    shown = (image for entry in (*entries, *map(waiting_entry, waiting)) for image in entry.message.images)
    digests = [digest for digest in dict.fromkeys(image.digest for image in shown) if digest in originals]
    folder = path.with_name(f"{path.stem}-pictures")
    if digests:
        _make_picture_folder(folder)
    links: dict[str, str] = {}
    for digest in digests:
        original = originals.get(digest)
        if original is None:
            continue
        try:
            data, kind = shareable(original)
        except ImageError:  # a damaged picture has a name, and no link
            continue
        target = folder / f"{digest[:16]}.{kind.rpartition('/')[2]}"
        if not target.exists():
            with contextlib.suppress(FileExistsError):  # another export was quicker with the same picture
                export_file(target, data)
        links[digest] = urllib.parse.quote(f"{folder.name}/{target.name}")
    return links


def _make_picture_folder(folder: Path) -> None:
    """Raises OSError, also when a link has its name: pictures do not go where somebody else wants them."""
    with contextlib.suppress(NotADirectoryError):
        make_missing(folder)
    if folder.is_symlink() or not folder.is_dir():
        name = sanitize(folder.name, strict=True)
        raise NotADirectoryError(errno.ENOTDIR, f"{name}, where its pictures would go, is not a folder")
