"""What the library could not take when a program ended, in files of their own, from which the next start takes it in.

Each is an export of one conversation (nemochat.library.transfer), so that `nemochat library import` reads it too.
"""

from __future__ import annotations

import io
import re
import secrets
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from nemochat.domain.chat import Chat
from nemochat.domain.images import Original
from nemochat.domain.replies import ModelRef
from nemochat.files import is_own_folder, own_folder, write_whole
from nemochat.library.errors import LibraryError, cannot, shown
from nemochat.library.ids import new_id
from nemochat.library.store import Library
from nemochat.library.transfer import import_library, write_conversation, write_manifest
from nemochat.library.values import Saved, StoredChat

_NAME = re.compile(r"(?P<id>[0-9a-z]{1,32})-(?P<version>[0-9]{1,15})-[0-9a-f]{8}\.zip")


def rescue(folders: Sequence[Path], chat: Chat, at: Saved | None, model: ModelRef, find: Callable[[str], Original | None]) -> Path:
    """Keep a conversation in the first of the folders that takes it; the file. It waits for the disk: call it in a thread.

    at: the version of the library that it goes on from, None for a new one. find: the pictures that may not be in the library.
    Raises LibraryError when no folder takes it.
    """
    now = time.time()
    at = at or Saved(new_id(round(now * 1000)), 0)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        write_conversation(file, StoredChat(at.id, at.version, chat, model, (), False, False, now, now), find, set())
        write_manifest(file, 1)
    name = f"{at.id}-{at.version}-{secrets.token_hex(4)}.zip"
    refused: LibraryError | None = None
    for folder in folders:
        try:
            write_whole(own_folder(folder) / name, packed.getvalue())
        except OSError as error:
            refused = refused or cannot("A chat that is not saved cannot be kept in", folder, error)
        else:
            return folder / name
    assert refused is not None
    raise refused


def take_in(library: Library, folders: Sequence[Path]) -> list[str]:
    """Put what an earlier run has rescued into the library; sentences for the user. What cannot be put there stays where it is."""
    found = [path for folder in folders if is_own_folder(folder) for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    taken, sentences = 0, []
    for path in sorted(found, key=lambda path: path.stat().st_mtime):
        name = _NAME.fullmatch(path.name)
        assert name is not None
        try:
            report = import_library(library, path, int(name["version"]))
        except LibraryError as error:
            sentences.append(f"{error.message} {error.hint} What an earlier run could not save stays in {shown(path)}.")
            continue
        sentences += report.problems
        if report.lost:
            sentences.append(f"What an earlier run could not save stays in {shown(path)}.")
            continue
        taken += 1
        with suppress(OSError):  # it is taken for the same the next time
            path.unlink()
            path.parent.rmdir()
    if taken:
        sentences.insert(0, "What could not be saved when nemochat last ended is in your chats now.")
    return sentences
