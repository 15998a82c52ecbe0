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
from nemochat.domain.sanitize import shown
from nemochat.files import is_own_folder, own_folder, write_whole
from nemochat.library.errors import LibraryError, cannot
from nemochat.library.ids import new_id
from nemochat.library.store import Library
from nemochat.library.transfer import export_library, import_library, write_conversation, write_manifest
from nemochat.library.values import ImportReport, ListQuery, Saved, StoredChat

_NAME = re.compile(r"[0-9a-z]{1,32}-(?P<version>[0-9]{1,15})-[0-9a-f]{8}\.zip")

_WHOLE = "all-0"


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
    return _keep(folders, f"{at.id}-{at.version}", lambda path: write_whole(path, packed.getvalue()))


def rescue_all(folders: Sequence[Path], library: Library) -> Path | None:
    """The same with a whole library which stood in for the user's; None when nothing is in it."""
    if not library.conversations(ListQuery(archived=None, limit=1)):
        return None
    return _keep(folders, _WHOLE, lambda path: export_library(library, path))


def _keep(folders: Sequence[Path], name: str, write: Callable[[Path], object]) -> Path:
    refused: list[LibraryError] = []
    for folder in folders:
        path = folder / f"{name}-{secrets.token_hex(4)}.zip"
        try:
            own_folder(folder)
            write(path)
        except LibraryError as error:
            refused.append(error)
        except OSError as error:
            refused.append(cannot("What is not saved cannot be kept in", folder, error))
        else:
            return path
    raise refused[0]


def take_in(library: Library, folders: Sequence[Path]) -> list[str]:
    """Put what an earlier run has rescued into the library; sentences for the user. What cannot be put there stays where it is."""
    taken = 0
    sentences: list[str] = []
    for version, path in sorted(each for folder in folders if is_own_folder(folder) for each in _files(folder)):
        try:
            report = import_library(library, path, version)
        except LibraryError as error:
            report = ImportReport((), 0, (f"{error.message} {error.hint}",), 1)
        if not path.exists():  # another program has taken it in, which started in the same moment
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


def _files(folder: Path) -> list[tuple[int, Path]]:
    """What was rescued, each with the version that it goes on from, 0 for none."""
    try:
        return [(int(name["version"]), path) for path in folder.iterdir() if (name := _NAME.fullmatch(path.name))]
    except OSError:
        return []
