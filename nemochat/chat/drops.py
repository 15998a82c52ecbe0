"""From dropped, pasted or typed text to the files that it names.

A terminal turns a dropped file into text, and each does it in its own way: escaped with backslashes, in quotes, as a ``file://`` URI, or
bare with all its spaces. Whether a text means a file is decided by what exists on the disk and what the file holds, never by its name.

Tried in this order: the whole text; each line; one path after another, as a shell would read them or as long as they exist; and at last
paths inside a sentence, where only pictures and texts count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from nemochat.chat.locations import FileKind, file_kind, has_known_suffix, is_rooted, locations
from nemochat.chat.quoting import BLANKS, LONGEST_PATH, shell_word, unescaped
from nemochat.system import places

__all__ = ["MAX_CHARACTERS", "Drop", "DroppedFile", "FileKind", "attachments_in", "find_drops", "may_name_files", "missing_paths"]

MAX_CHARACTERS = 100_000
"""Longer texts, data URIs not counted, are not searched."""
MAX_MISSES = 256
"""After so many names for which there is no file, the search ends."""
MAX_STARTS = 2000
"""After so many words that look like the beginning of a path, the search ends."""

_SIGNS = ("/", "\\", "file:", "data:image")
_MAX_RUNS = 32
_LONGEST_RUN = 1024
_PUNCTUATION = ".,;:!?)]}>»”’\"'…。，、！？"  # noqa: RUF001
_DATA_URI = re.compile(
    # The last alternative joins base64 that is wrapped into lines, as mails have it.
    r"data:image/[a-z0-9.+-]{1,64};base64,(?:(?:[a-z0-9+/]{40,80}\r?\n)+[a-z0-9+/]+={0,2}(?=\s*$|\s*\n)|[a-z0-9+/]+={0,2})",
    re.IGNORECASE,
)
_START = re.compile(
    r"""(?:^|(?<=\s))[(\[{<]?
    (?P<start>(?P<quote>["'`“‘«])|file:/|~[/\\]|/|\.\.?/|[a-z]:[/\\]|\\\\[\w?]|(?:%\w+%|\$env:\w+)[/\\]|(?![a-z][a-z0-9+.-]*://)[^\s/"'`]+/)""",  # noqa: RUF001
    re.IGNORECASE | re.VERBOSE,
)
_ROOTED_NEXT = re.compile(r"""[ \t]+(?=["']?(?:file:/|~/|/|[a-z]:[/\\]|%\w+%[/\\]))""", re.IGNORECASE)
_SUFFIX_END = re.compile(r"\.[A-Za-z0-9]{1,8}(?![A-Za-z0-9])")
_WORD = re.compile(r"[^ \t\r\n]+")
_SPACE_ESCAPED_WORD = re.compile(r"(?:\\ |[^ \t\r\n])+")
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_CLOSING = {"“": "”", "‘": "’", "«": "»", "`": "`", '"': '"', "'": "'"}  # noqa: RUF001


class DroppedFile(msgspec.Struct, frozen=True):
    """A file that exists; `path` is absolute."""

    path: Path
    kind: FileKind


class Drop(msgspec.Struct, frozen=True):
    """What a text holds.

    files: in the order of the text. rest: the text without them and without the data URIs, "" when nothing else was there. missing: set
    when the whole text is paths of pictures or documents of which some are not on this machine; their text stays in `rest`.
    data_uris: ``data:image/...;base64,`` pictures, in order.
    """

    files: tuple[DroppedFile, ...] = ()
    rest: str = ""
    missing: tuple[str, ...] = ()
    data_uris: tuple[str, ...] = ()


def find_drops(text: str, cwd: Path, home: Path, *, is_command: Callable[[str], bool] = lambda _: False) -> Drop:
    """The files in a text. `cwd` is where relative paths begin, `home` is ``~``. A text that `is_command` is no drop."""
    disk = _Disk(cwd, home)
    if is_command(text):
        file = disk.find(text.strip(BLANKS)) if len(text) <= LONGEST_PATH else None
        return Drop((file,)) if file is not None and file.kind is not FileKind.FOLDER else Drop(rest=text)
    uris = tuple(_LINE_BREAK.sub("", found[0]) for found in _DATA_URI.finditer(text))
    left = _without(text, [found.span() for found in _DATA_URI.finditer(text)]) if uris else text
    if not left or len(left) > MAX_CHARACTERS:
        return Drop(rest=left, data_uris=uris)
    files, rest = _whole(left, disk) or _paths_only(left, disk) or _in_sentence(left, disk)
    return Drop(files, rest, _missing(rest, disk), uris)


def may_name_files(text: str) -> bool:
    """Whether it is worth looking for files in a text."""
    return any(sign in text for sign in _SIGNS)


def missing_paths(text: str, cwd: Path, home: Path) -> tuple[str, ...]:
    """The paths of pictures or documents that are not on this machine, of a text that is paths and nothing else; else none."""
    return _missing(text, _Disk(cwd, home)) if len(text) <= MAX_CHARACTERS else ()


def attachments_in(text: str, find: Callable[[str], Drop], *, all_kinds: bool = False) -> Drop | None:
    """The files that a text names, when they are to become attachments. find: finds the files in a text.

    Typed by hand, only pictures count: the pause after ``/home/`` must not swallow a folder.
    """
    if not may_name_files(text):
        return None
    if text.startswith("/") and " " in text and not text.split()[0].count("/") > 1:
        return None
    drop = find(text)
    is_wanted = all_kinds or all(file.kind is FileKind.PICTURE for file in drop.files)
    return drop if is_wanted and (drop.files or drop.data_uris) else None


Found = tuple[tuple[DroppedFile, ...], str]


class _Disk:
    """What the search knows of the file system: each name is asked for once, and the misses are counted."""

    def __init__(self, cwd: Path, home: Path) -> None:
        self._cwd = cwd
        self._home = home
        self._known: dict[str, DroppedFile | None] = {}
        self._misses = 0
        self.starts = 0
        self.is_sentence = False

    def _may_ask_for(self, share: str) -> bool:
        """Whether to look for a file on another machine tells that machine no more than the user meant: it was dropped, not talked of."""
        return not self.is_sentence and has_known_suffix(share)

    @property
    def is_spent(self) -> bool:
        """Whether the search has cost enough."""
        return self._misses >= MAX_MISSES or self.starts >= MAX_STARTS

    def find(self, value: str) -> DroppedFile | None:
        """What exists at the place that `value` names."""
        if value not in self._known:
            self._known[value] = None
            if not value or self.is_spent or (places.IS_WINDOWS and places.is_share(value) and not self._may_ask_for(value)):
                return None
            for path in locations(value, self._cwd, self._home):
                kind = file_kind(path)
                if kind is not None:
                    self._known[value] = DroppedFile(path, kind)
                    break
            else:
                self._misses += 1
        return self._known[value]

    def has_folder_of(self, value: str) -> bool:
        """Whether the folder in which `value` would lie exists: without it, nothing that begins like `value` does."""
        folder = value[: value.rfind("/") + 1] or value[: value.rfind("\\") + 1]
        file = self.find(folder)
        return file is not None and file.kind is FileKind.FOLDER


Accept = Callable[[str, DroppedFile], bool]


def _may_be_dropped(value: str, file: DroppedFile) -> bool:
    """Whether a text that is nothing but paths means this file. A bare word names a file only with a suffix; a folder comes rooted."""
    if file.kind is FileKind.FOLDER:
        return is_rooted(value) and bool(value.strip("~/"))
    return "/" in value or "\\" in value or bool(file.path.suffix)


def _may_be_meant(is_one_line: bool) -> Accept:
    """The same for a sentence. Texts only in a sentence of one line: in pasted logs and source code, paths of texts are just text."""

    def accept(value: str, file: DroppedFile) -> bool:
        if file.kind is FileKind.TEXT and not is_one_line:
            return False
        if file.kind is FileKind.OTHER and not has_known_suffix(value):
            return False
        return file.kind is not FileKind.FOLDER and _may_be_dropped(value, file)

    return accept


def _whole(text: str, disk: _Disk) -> Found | None:
    """The text, or each of its lines, as one path."""
    file = _one_path(text, disk)
    if file is not None:
        return (file,), ""
    lines = [line for line in _LINE_BREAK.split(text) if line.strip(BLANKS)]
    without_comments = [line for line in lines if not line.startswith("#")]
    if all(line.startswith("file:") for line in without_comments):
        lines = without_comments  # a list of URIs as desktops hand it over
    files = []
    for line in lines:
        file = _one_path(line, disk)
        if file is None:
            return None
        files.append(file)
    return (tuple(files), "") if files else None


def _one_path(text: str, disk: _Disk) -> DroppedFile | None:
    stripped = text.strip(BLANKS)
    if not stripped or len(text) > 2 * LONGEST_PATH:
        return None
    # Raw first: a name may hold backslashes and end with a blank. Some terminals put a blank of their own behind it.
    values = [text, text.removesuffix(" "), text.rstrip("\r\n"), stripped]
    word = shell_word(stripped)
    if word is not None and word[1] == len(stripped):
        values.append(word[0])
    for value in dict.fromkeys(values):
        file = disk.find(value)
        if file is not None and _may_be_dropped(value, file):
            return file
    return None


def _paths_only(text: str, disk: _Disk) -> Found | None:
    """One path after another with nothing between them; None when there is anything else."""
    files: list[DroppedFile] = []
    at = 0
    while at < len(text) and not disk.is_spent:
        if text[at] in BLANKS:
            at += 1
            continue
        start = _START.search(text, at)
        found = _path_at(text, start, disk, _may_be_dropped) if start is not None and start.start("start") == at else None
        if found is None:
            return None
        file, at = found
        files.append(file)
    return (tuple(files), "") if files and at >= len(text.rstrip(BLANKS)) else None


def _in_sentence(text: str, disk: _Disk) -> Found:
    """The files among other words, and those words."""
    disk.is_sentence = True
    accept = _may_be_meant(is_one_line=not _LINE_BREAK.search(text.strip(BLANKS)))
    files: list[DroppedFile] = []
    spans: list[tuple[int, int]] = []
    at = 0
    while not disk.is_spent and (start := _START.search(text, at)) is not None:
        at = start.start("start") + 1
        found = _path_at(text, start, disk, accept)
        if found is not None:
            file, end = found
            files.append(file)
            spans.append((at - 1, end))
            at = end
    return tuple(files), _without(text, spans) if files else text


def _path_at(text: str, start: re.Match[str], disk: _Disk, accept: Accept) -> tuple[DroppedFile, int] | None:
    """The file whose path begins there, and where the path ends."""
    at = start.start("start")
    disk.starts += 1
    candidates = _quoted_at(text, at) if start["quote"] else _bare_at(text, at, disk)
    for value, end in candidates:
        file = disk.find(value)
        if file is not None and accept(value, file):
            return file, end
    return None


def _quoted_at(text: str, at: int) -> Iterator[tuple[str, int]]:
    """What a text in quotes may name, and where it ends: as a shell reads it, as it stands, and with its backslashes taken away."""
    quote = text[at]
    if quote in "\"'" and (word := shell_word(text, at)) is not None and _may_name(word[0]):
        yield word
    end = text.find(_CLOSING[quote], at + 1, at + LONGEST_PATH)
    inner = text[at + 1 : end] if end > 0 else ""
    if _may_name(inner):
        yield inner, end + 1
        yield unescaped(inner), end + 1


def _may_name(value: str) -> bool:
    """Whether it is worth asking the disk for words in quotes."""
    return any(sign in value for sign in "./\\")


def _bare_at(text: str, at: int, disk: _Disk) -> Iterator[tuple[str, int]]:
    """What may be named where no quote is: the longest run of words that exists, the shell's word, a word with only its spaces escaped."""
    first = _WORD.match(text, at)
    if first is None or first.end() - at > _LONGEST_RUN:
        return
    if disk.has_folder_of(first[0]):
        for end in _run_ends(text, at, first.end()):
            yield text[at:end], end
    if "\\" not in first[0] and not any(quote in first[0] for quote in "\"'"):
        return
    words = [shell_word(text, at)]
    spaced = _SPACE_ESCAPED_WORD.match(text, at)
    if spaced is not None:
        words.append((spaced[0].replace("\\ ", " "), spaced.end()))
    for word in words:
        if word is not None:
            value, end = word
            yield word
            n_marks = len(value) - len(value.rstrip(_PUNCTUATION))
            if n_marks and text[at:end].endswith(value[-n_marks:]):
                yield value[:-n_marks], end - n_marks


def _run_ends(text: str, at: int, first_end: int) -> list[int]:
    """Where a path that begins at `at` may end, the farthest first: behind a suffix, a word, before the next path, at the line's end."""
    break_at = _LINE_BREAK.search(text, at, at + _LONGEST_RUN)
    line = text[at : break_at.start() if break_at else at + _LONGEST_RUN]
    n_first = first_end - at
    ends = {n_first, len(line[:n_first].rstrip(_PUNCTUATION))}
    for suffix in _SUFFIX_END.finditer(line):
        word = _WORD.match(line, suffix.end())
        ends |= {suffix.end(), word.end() if word else suffix.end()}
    ends |= {found.start() for found in _ROOTED_NEXT.finditer(line, 1)}
    nearest = set(sorted(ends)[:_MAX_RUNS])
    trimmed = line.rstrip(BLANKS)
    nearest |= {len(trimmed), len(trimmed.rstrip(_PUNCTUATION))}
    return [at + end for end in sorted(nearest, reverse=True) if end > 0]


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with pieces cut out, and with the blanks that they leave behind closed up."""
    left = ""
    at = 0
    for start, end in [*spans, (len(text), len(text))]:
        piece = text[at:start]
        if left.endswith(tuple(BLANKS)) or not left:
            # A path on a line of its own takes its line with it; between words, one blank is enough.
            piece = piece.lstrip(" \t")
            if not left or left.endswith("\n"):
                piece = piece.removeprefix("\r").removeprefix("\n")
            elif piece[:1] in tuple(_PUNCTUATION + "\r\n"):
                left = left.rstrip(" \t")
        left += piece
        at = end
    return left.strip(BLANKS)


def _missing(text: str, disk: _Disk) -> tuple[str, ...]:
    """Paths of which the text consists, of pictures or documents by their names, that are not on this machine."""
    lines = [line.strip(BLANKS) for line in _LINE_BREAK.split(text) if line.strip(BLANKS)]
    names: list[str] = []
    for line in lines:
        found = _path_names(line)
        if not found:
            return ()
        names += found
    return tuple(name for name in names if disk.find(name) is None)


def _path_names(line: str) -> list[str]:
    """The paths of which a line consists; none when it says anything else."""
    if len(line) > LONGEST_PATH or not is_rooted(line.lstrip("\"'")):
        return []
    words = _shell_words(line)
    if words and all(is_rooted(word) and has_known_suffix(word) for word in words):
        return words
    # One bare path with spaces: a name with a suffix at its end and no sign of a second path before.
    name = line.strip("\"'")
    is_one = has_known_suffix(name) and not _ROOTED_NEXT.search(name) and len(_SUFFIX_END.findall(name)) == 1
    return [name] if is_one else []


def _shell_words(line: str) -> list[str]:
    """All words of a line; backslashes stay in the paths of Windows. None of them when a quote is not closed."""
    if re.match(r"""["']?(?:[a-z]:\\|\\\\|(?:%\w+%|\$env:\w+)\\)""", line, re.IGNORECASE):
        return [word.strip("\"'") for word in re.findall(r""""[^"]*"|'[^']*'|\S+""", line)]
    words: list[str] = []
    at = 0
    while at < len(line):
        if line[at] in BLANKS:
            at += 1
            continue
        word = shell_word(line, at)
        if word is None:
            return []
        words.append(word[0])
        at = word[1]
    return words
