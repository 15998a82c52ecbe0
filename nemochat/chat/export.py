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

from nemochat.chat.export_html import to_html
from nemochat.chat.export_markdown import to_markdown
from nemochat.domain.chat import Entry
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ImagePart, Message, Role, TextPart, ToolCallPart
from nemochat.domain.sanitize import escape_json, sanitize
from nemochat.errors import NemochatError, UsageError
from nemochat.files import export_file, make_missing
from nemochat.images import to_png
from nemochat.prompt.toolcalls import as_generated

__all__ = ["SUFFIXES", "export", "to_html", "to_json", "to_markdown"]

SUFFIXES = (".md", ".json", ".html")
"""The endings of file names that `export` knows."""


def export(path: Path, entries: Sequence[Entry], system: str, pictures: Mapping[str, RgbImage], *, replace: bool = False) -> None:
    """Write the conversation to a file; its suffix says how. With Markdown, the pictures lie in a folder beside it.

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
            content = to_markdown(entries, system, _write_pictures(path, entries, pictures))
        elif suffix == ".json":
            content = to_json(entries, system, pictures)
        else:
            content = to_html(entries, system, pictures, title=path.stem)
        export_file(path, content.encode(errors="replace"), replace=replace)
    except FileExistsError:
        raise UsageError(f"{shown} exists already.", "Choose another name.") from None
    except OSError as error:
        raise NemochatError(f"{shown} cannot be written: {error.strerror or error}.", "Check the folder, or choose another.") from error


def to_json(entries: Iterable[Entry], system: str, pictures: Mapping[str, RgbImage]) -> str:
    """A list of OpenAI messages under ``messages``, pictures as data URIs. Reading it again gives the same conversation.

    A picture that is not in `pictures` leaves a note in its place.
    """
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    waiting: list[str] = []
    n_calls = 0
    for entry in entries:
        message = entry.message
        match message.role:
            case Role.USER:
                messages.append({"role": "user", "content": _user_content(message, pictures)})
            case Role.ASSISTANT:
                calls = _tool_calls(message, n_calls)
                n_calls += len(calls)
                waiting = [call["id"] for call in calls]
                said = {"content": message.text or None, "tool_calls": calls} if calls else {"content": as_generated(message.parts)}
                messages.append({"role": "assistant"} | said)
            case Role.TOOL:
                # A Tool message may hold the results of several calls; it is put to the first that has none yet.
                of_call = {"tool_call_id": waiting.pop(0)} if waiting else {}
                messages.append({"role": "tool", "content": message.text} | of_call)
    return escape_json(json.dumps({"messages": messages}, ensure_ascii=False, indent=2)) + "\n"


def _user_content(message: Message, pictures: Mapping[str, RgbImage]) -> str | list[dict[str, Any]]:
    if len(message.parts) == 1 and isinstance(part := message.parts[0], TextPart):
        return part.text
    pieces: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            pieces.append({"type": "text", "text": part.text})
        elif isinstance(part, ImagePart):
            picture = pictures.get(part.digest)
            if picture is None:
                pieces.append({"type": "text", "text": f"[picture: {part.name or 'no name'}]"})
            else:
                url = f"data:image/png;base64,{base64.b64encode(to_png(picture)).decode()}"
                pieces.append({"type": "image_url", "image_url": {"url": url}})
    return pieces


def _tool_calls(message: Message, n_before: int) -> list[dict[str, Any]]:
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
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for number, call in enumerate(message.tool_calls, n_before + 1)
    ]


def _write_pictures(path: Path, entries: Iterable[Entry], pictures: Mapping[str, RgbImage]) -> dict[str, str]:
    """Put the pictures of the conversation into a folder beside the file; their links by digest. Their names tell their content."""
    digests = dict.fromkeys(image.digest for entry in entries for image in entry.message.images if image.digest in pictures)
    folder = path.with_name(f"{path.stem}-pictures")
    if digests:
        _make_picture_folder(folder)
    links: dict[str, str] = {}
    for digest in digests:
        target = folder / f"{digest[:16]}.png"
        if not target.exists():
            with contextlib.suppress(FileExistsError):  # another export was quicker with the same picture
                export_file(target, to_png(pictures[digest]))
        links[digest] = urllib.parse.quote(f"{folder.name}/{target.name}")
    return links


def _make_picture_folder(folder: Path) -> None:
    """Raises OSError, also when a link has its name: pictures do not go where somebody else wants them."""
    with contextlib.suppress(NotADirectoryError):
        make_missing(folder)
    if folder.is_symlink() or not folder.is_dir():
        name = sanitize(folder.name, strict=True)
        raise NotADirectoryError(errno.ENOTDIR, f"{name}, where its pictures would go, is not a folder")
