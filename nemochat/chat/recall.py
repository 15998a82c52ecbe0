"""What was typed before, kept across runs, and the draft that survives a crash."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from nemochat.domain.images import Original
from nemochat.domain.sanitize import sanitize, shown
from nemochat.errors import NemochatError
from nemochat.files import is_own_folder, open_to_append, own_folder, reason, write_whole
from nemochat.reading import open_regular, read_beginning
from nemochat.system.disk import REPLACES_OPEN_FILES
from nemochat.system.locks import lock

LIMIT = 1000
"""How many prompts are kept."""
LONGEST = 100_000
"""Longer prompts are recalled in this run only."""

_MAX_BYTES = 8 * 1024 * 1024
_MAX_DRAFT = 64 * 1024 * 1024
_EARLY = "-early"
_LOCK_ATTEMPTS = 20
_LOCK_PAUSE_SECONDS = 0.005


class PromptHistory:
    """Earlier prompts in a file of JSON lines, the newest last. Several programs may add to it at once.

    `older` and `newer` walk through it; what was being typed comes back at the end of the walk, and is remembered when the walk does not
    get there. The file is read when a walk begins, so prompts of other programs are there. A file that cannot be read or written costs
    nothing but the recall in later runs.
    """

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._path = path
        self._limit = limit
        self._stored: list[str] = []
        self._unstored: list[str] = []
        self._signature: tuple[int, int, int] | None = None
        self._walk: list[str] | None = None
        self._at = 0
        self._typed = ""

    def add(self, text: str) -> None:
        """Remember a prompt and end the walk; one that equals the last is not kept twice. Never raises."""
        self.leave()
        self._remember(text)

    def leave(self) -> None:
        """End the walk where it is: what was being typed before it was not sent, and is remembered. Never raises."""
        typed = self._typed
        self.reset()
        self._remember(typed)

    def _remember(self, text: str) -> None:
        text = sanitize(text).strip()
        texts = self._texts()
        if not text or texts[-1:] == [text]:
            return
        # Losing the recall of a prompt on a full disk must not stop the prompt itself.
        is_stored = len(text) <= LONGEST and self._append(text)
        # What is added behind a prompt that could not be stored stays behind it for this run.
        if not is_stored or self._unstored:
            self._unstored = [*self._unstored, text][-self._limit :]

    def older(self, current: str) -> str | None:
        """The prompt before the one shown, None at the oldest. `current` is what the prompt holds now; it comes back at the end."""
        if self._walk is None:
            self._walk = self._texts()
            self._at = len(self._walk)
            self._typed = current
        elif self._at < len(self._walk) and current != self._walk[self._at]:
            self._remember(self._typed)
            self._typed = current  # a recalled prompt that was changed is worth keeping
        if self._at == 0:
            return None
        self._at -= 1
        return self._walk[self._at]

    def newer(self, current: str = "") -> str | None:
        """The prompt after the one shown, at the end what was being typed; None when nothing older is shown. `current` as in `older`."""
        if self._walk is None or self._at >= len(self._walk):
            return None
        if current != self._walk[self._at]:
            self._remember(current)
        self._at += 1
        if self._at < len(self._walk):
            return self._walk[self._at]
        typed = self._typed
        self.reset()
        return typed

    def to_keep(self, current: str) -> str:
        """What a crash must not take of a prompt that holds `current`: all of it that is not in the file already. That is what was being
        typed when the walk began, and of an earlier prompt that is shown only what was made of it."""
        if self._walk is None or self._at >= len(self._walk):
            return current
        return "\n".join(each for each in (self._typed, "" if current == self._walk[self._at] else current) if each)

    def reset(self) -> None:
        """Begin the next walk at the newest."""
        self._walk = None
        self._typed = ""

    def _texts(self) -> list[str]:
        signature = _signature(self._path)
        if signature != self._signature:
            self._stored = _read_lines(self._path)
            self._signature = signature
        return [text for text in self._stored[-self._limit :] if text not in self._unstored] + self._unstored

    def _append(self, text: str) -> bool:
        """Write one line at the end; False when that is not possible."""
        try:
            with _opened_alone(self._path) as handle:
                # A crash may have left half a line, which must not spoil this one.
                begin = b"" if _ends_with_line_break(self._path) else b"\n"
                line = begin + _line(text)
                is_whole = os.write(handle, line) == len(line)
                self._shorten(handle)
        except OSError:
            return False
        return is_whole

    def _shorten(self, handle: int) -> None:
        """Leave the newest when the file has grown to twice what is kept. The file is locked, and open."""
        if len(self._stored) < 2 * self._limit and self._path.stat().st_size <= _MAX_BYTES:
            return
        lines = [_line(text) for text in reversed(_read_lines(self._path)[-self._limit :])]
        sizes = itertools.accumulate(map(len, lines))
        kept = [line for line, size in zip(lines, sizes, strict=True) if size <= _MAX_BYTES // 2]
        data = b"".join(reversed(kept))
        if not REPLACES_OPEN_FILES:
            os.ftruncate(handle, 0)
            os.write(handle, data)
            return
        # A file that stays long is no loss.
        with contextlib.suppress(NemochatError):
            _write(self._path, data)


class KeptDraft(msgspec.Struct, frozen=True):
    """What was being typed, the pictures beside it (paths, data URIs), and what was being typed in dialogs."""

    text: str = ""
    pictures: tuple[str, ...] = ()
    dialogs: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.pictures or self.dialogs)

    @property
    def clean(self) -> KeptDraft:
        """Without what a terminal would act on."""
        return KeptDraft(sanitize(self.text), self.pictures, sanitize(self.dialogs))


class DraftFile:
    """The draft of this program, in a file of its own in `folder`. What a program that is gone has left is taken over.

    A picture that never was a file (of the clipboard, say) is kept beside it as long as the draft names it. Version 0.1 had one text beside
    the folder for all programs. is_early: the file for what is typed before there is a draft. spare: a folder for what could not be
    written by the end of a program.
    """

    def __init__(self, folder: Path, *, is_early: bool = False, spare: Path | None = None) -> None:
        self._folder, self._spare = folder, spare
        self._earlier = folder.with_name("draft.txt")
        self._own = folder / f"{_process_name(os.getpid())}{_EARLY if is_early else ''}.json"
        self._pictures: tuple[str, ...] = ()
        self._taken_over: Path | None = None
        """Where what was loaded still is, because it could not be written to this program's own file."""

    def load(self) -> KeptDraft:
        """The newest draft that a program has left which does not run any more; empty when there is none. It is this program's now.

        One that cannot be read stays where it is.
        """
        spare = _files(self._spare) if self._spare is not None and is_own_folder(self._spare) else []
        for path in [*sorted([*_files(self._folder), *spare], key=_changed, reverse=True), self._earlier]:
            if path == self._earlier or path.name == self._own.name or not _is_alive(path.stem):
                kept = _read_earlier(path) if path == self._earlier else _read_draft(path)
                if kept is None:
                    continue
                self._taken_over = path if path != self._own else None
                if not kept:
                    self._let_go_of_taken_over()
                    continue
                with contextlib.suppress(NemochatError):  # then it goes when the draft can be written
                    self.save(kept)
                return kept
        return KeptDraft()

    def _let_go_of_taken_over(self) -> None:
        path, self._taken_over = self._taken_over, None
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def keep_picture(self, picture: Original) -> str:
        """Keep a picture that is no file elsewhere; its path, for a draft to name (see `take_over`). Raises NemochatError."""
        path = self._folder / f"picture-{picture.digest[:12]}.{picture.suffix}"
        _write(path, picture.data)
        return str(path)

    def take_over(self, path: str) -> None:
        """A file of `keep_picture` goes with the first `save` that neither names nor needs it."""
        self._pictures = (*self._pictures, path)

    def save(self, draft: KeptDraft, needed: Sequence[str] = ()) -> None:
        """Keep the draft; an empty one leaves nothing behind. needed: pictures that stay although it does not name them.

        Raises NemochatError.
        """
        if draft := draft.clean:
            _write(self._own, msgspec.json.encode(draft))
        else:
            with contextlib.suppress(OSError):
                self._own.unlink(missing_ok=True)
        self._let_go_of_taken_over()
        self._let_go((*draft.pictures, *needed))

    def save_elsewhere(self, draft: KeptDraft) -> Path:
        """Keep the draft in the spare folder, where the next program finds it as well; the file. Raises NemochatError."""
        assert self._spare is not None
        path = self._spare / self._own.name
        try:
            own_folder(self._spare)
        except OSError as error:
            raise _cannot_write(path, error) from error
        _write(path, msgspec.json.encode(draft.clean))
        return path

    def _let_go(self, pictures: tuple[str, ...]) -> None:
        """Pictures that were kept for the draft before, and that no draft names any more, go."""
        gone = {Path(each) for each in self._pictures} - {Path(each) for each in pictures}
        self._pictures = pictures
        if ours := [path for path in gone if path.parent == self._folder]:
            named = {each for path in _files(self._folder) if (kept := _read_draft(path)) is not None for each in kept.pictures}
            for path in ours:
                if str(path) not in named:
                    with contextlib.suppress(OSError):
                        path.unlink()

    def clear(self) -> None:
        """There is no draft any more. Never raises: at worst it is offered once more."""
        self.save(KeptDraft())


def _process_name(pid: int) -> str:
    """What tells a process from a later one that has its number."""
    import psutil

    try:
        return f"{pid}-{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return f"{pid}-0"


def _is_alive(name: str) -> bool:
    """Whether the process of this name still runs."""
    pid = name.partition("-")[0]
    return pid.isdecimal() and _process_name(int(pid)) == name.removesuffix(_EARLY)


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.glob("*.json"))
    except OSError:
        return []


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read_draft(path: Path) -> KeptDraft | None:
    """What is in the file, None where it cannot be read."""
    try:
        return msgspec.json.decode(read_beginning(path, _MAX_DRAFT), type=KeptDraft).clean
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _read_earlier(path: Path) -> KeptDraft | None:
    try:
        return KeptDraft(sanitize(read_beginning(path, _MAX_BYTES).decode(errors="replace")))
    except OSError:
        return None


def _write(path: Path, data: bytes) -> None:
    """Replace a file, readable for its owner alone. Raises NemochatError when the system refuses."""
    try:
        write_whole(path, data)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> NemochatError:
    return NemochatError(f"{shown(path)} cannot be written: {reason(error)}.", "Free some space, or check the folder.")


def _signature(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_lines(path: Path) -> list[str]:
    """The prompts in the file, at most its last 8 MiB; lines that a crash cut short, or that are no string, are passed over."""
    try:
        with open_regular(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _MAX_BYTES))
            lines = file.read(_MAX_BYTES).split(b"\n")
    except OSError:
        return []
    texts: list[str] = []
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            texts.append(sanitize(msgspec.json.decode(line, type=str)))
    return texts


def _line(text: str) -> bytes:
    return msgspec.json.encode(text) + b"\n"


@contextlib.contextmanager
def _opened_alone(path: Path) -> Iterator[int]:
    """The file for appending, private, and locked as far as the system can. A program that hangs with the lock is not waited for."""
    handle = open_to_append(path)
    try:
        _lock(handle)
        if os.fstat(handle).st_ino != path.stat().st_ino:
            # Another program has shortened it meanwhile; what is written to the old file would be lost.
            os.close(handle)
            handle = open_to_append(path)
            _lock(handle)
        yield handle
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    for _ in range(_LOCK_ATTEMPTS):
        if lock(handle):
            return
        time.sleep(_LOCK_PAUSE_SECONDS)


def _ends_with_line_break(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return size == 0 or file.read(1) == b"\n"
