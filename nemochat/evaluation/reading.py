"""Files of questions as people have them, row by row: TSV, JSON, JSONL, parquet, and the pictures in them or beside them.

A picture inside a file is kept as the place where it is (`Embedded`) and read when its question is asked: a file of questions may hold
gigabytes of them. Whatever a file holds, memory and time are bounded, and what is wrong with it is one sentence.
"""

from __future__ import annotations

import ast
import base64
import binascii
import csv
import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import msgspec

from nemochat.domain.sanitize import shortened, shown
from nemochat.errors import EvaluationError
from nemochat.evaluation import parquet
from nemochat.files import reason
from nemochat.reading import TooMuchError, check_json, open_regular, read_regular

MAX_ROWS = 500_000
"""Of a file: twice as many as VQAv2's validation set has."""
_MAX_FILE = 1 << 30
_MAX_ROW = 64 << 20
_MAX_VALUES = 16_000_000
"""Of a JSON file: twice as many as VQAv2's answers are."""
_MAX_FILES = 1_000_000
_MAX_LITERAL = 100_000
_SHORTEST = 64
"""In characters: what is shorter in the column of pictures is a name, as in VLMEvalKit."""
_PICTURE_COLUMN = re.compile(r"(?:image|picture)s?(?:_\d)?")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]{64,}")

Row = dict[str, Any]


class Embedded(msgspec.Struct, frozen=True):
    """A picture in a file of questions. start, length: of its row, in bytes; in parquet, the row's number and 0.

    number: among the pictures of the cell.
    """

    file: Path
    start: int
    length: int
    column: str
    number: int = 0
    header: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.column} in {self.file.name}"

    def data(self) -> bytes:
        """The file of the picture. Raises EvaluationError when the file of questions has changed."""
        try:
            if self.file.suffix.lower() == ".parquet":
                return parquet.picture(self.file, self.start, self.column, self.number)
            with open_regular(self.file) as file:
                file.seek(self.start)
                raw = file.read(self.length)
            row = _cells(raw, self.header) if self.header else msgspec.json.decode(raw)
            return _decoded(_texts(row[self.column])[self.number])
        except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError, csv.Error, msgspec.DecodeError):
            raise EvaluationError(f"A picture cannot be read from {shown(self.file)} any more.", "Has the file changed?") from None


Picture = Path | bytes | Embedded


def rows(path: Path) -> Iterator[Row]:
    """The rows of a file by its ending; a picture in a row is an `Embedded`, or a list of them. Raises EvaluationError."""
    kind = path.suffix.lower()
    read = {".tsv": _tsv, ".jsonl": _jsonl, ".json": _json, ".parquet": _parquet}.get(kind)
    if read is None:
        raise EvaluationError(f"{shown(path)} is no file of questions.", "It has to end in .tsv, .jsonl, .json or .parquet.")
    try:
        for number, row in enumerate(read(path)):
            if number >= MAX_ROWS:
                raise EvaluationError(f"{shown(path)} has more than {MAX_ROWS:,} questions.", "Cut it into parts.")
            yield row
    except OSError as error:
        raise EvaluationError(f"{shown(path)} cannot be read: {reason(error)}.") from None
    except (ValueError, RecursionError, MemoryError, csv.Error, msgspec.DecodeError) as error:
        wrong = "it is nested too deeply" if isinstance(error, RecursionError) else shortened(shown(str(error)), 200).rstrip(".")
        raise EvaluationError(f"{shown(path)} cannot be understood: {wrong}.") from None


def decode_file(path: Path) -> Any:
    """A whole JSON file. Raises OSError, and ValueError or RecursionError for what is none."""
    data = read_regular(path, _MAX_FILE)
    check_json(data, _MAX_VALUES)
    return msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))


def literal(value: Any) -> Any:
    """What a text of Python's says, as pandas writes lists into tables; any other value is itself."""
    if isinstance(value, str) and value[:1] in "[{" and len(value) <= _MAX_LITERAL:
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return value
    return value


# -- kinds of files


class _Lines:
    """The lines of a file as text, with the place of the next one."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self.at = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(_MAX_ROW + 1):
            if len(line) > _MAX_ROW:
                raise TooMuchError(f"a line is longer than {_MAX_ROW >> 20} MiB")
            self.at += len(line)
            yield line.decode("utf-8-sig" if self.at == len(line) else "utf-8")


def _tsv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_MAX_ROW)
    with open_regular(path) as file:
        lines = _Lines(path, file)
        reader = csv.reader(lines, delimiter="\t")
        header = tuple(next(reader, ()))
        if len(header) < 2:
            raise TooMuchError("its first line does not name columns that are separated by tabs")
        start = lines.at
        for cells in reader:
            end = lines.at
            if end - start > _MAX_ROW:
                raise TooMuchError(f"a row is longer than {_MAX_ROW >> 20} MiB")
            if cells:
                yield _taken(dict(zip(header, cells, strict=False)), path, start, end - start, header)
            start = end


def _cells(raw: bytes, header: tuple[str, ...]) -> Row:
    csv.field_size_limit(_MAX_ROW)
    return dict(zip(header, next(csv.reader(io.StringIO(raw.decode(), newline=""), delimiter="\t"), ()), strict=False))


def _jsonl(path: Path) -> Iterator[Row]:
    with open_regular(path) as file:
        lines = _Lines(path, file)
        start = 0
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    check_json(line)
                    row = msgspec.json.decode(line)
                except (ValueError, msgspec.DecodeError) as error:
                    raise ValueError(f"line {number}: {error}") from None
                if not isinstance(row, dict):
                    raise TooMuchError(f"line {number} is no JSON object")
                yield _taken(row, path, start, lines.at - start)
            start = lines.at


def _json(path: Path) -> Iterator[Row]:
    data = read_regular(path, _MAX_FILE)
    beginning = data[:1 << 20].lstrip(b"\xef\xbb\xbf \t\r\n")
    if re.match(rb"\{[^\n]*\}\s*\n\s*\{", beginning):  # JSONL under the name of JSON, as BFCL and POPE have it
        del data
        yield from _jsonl(path)
        return
    check_json(data, _MAX_VALUES)
    value = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    if isinstance(value, dict):
        listed = next((value[name] for name in ("questions", "data", "annotations") if isinstance(value.get(name), list)), None)
        if listed is not None:
            value = listed
        elif value and all(isinstance(each, dict) for each in value.values()):
            value = [{"id": key, **each} for key, each in value.items()]
        else:
            value = [value]
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise TooMuchError("it holds no list of questions")
    for row in value:
        yield {name: _in_memory(each) if _PICTURE_COLUMN.fullmatch(name) else each for name, each in row.items()}


def _parquet(path: Path) -> Iterator[Row]:
    for number, (row, counts) in enumerate(parquet.rows(path, _PICTURE_COLUMN)):
        places = {name: [Embedded(path, number, 0, name, each) for each in range(count)] for name, count in counts.items()}
        yield row | {name: each if len(each) > 1 else each[0] for name, each in places.items() if each}


# -- pictures


def _taken(row: Row, path: Path, start: int, length: int, header: tuple[str, ...] = ()) -> Row:
    """The row with the places of its pictures in place of them."""
    taken = dict(row)
    for name, value in row.items():
        texts = _texts(value) if _PICTURE_COLUMN.fullmatch(name) else []
        if any(map(_is_picture, texts)):
            places = [Embedded(path, start, length, name, n, header) if _is_picture(text) else text for n, text in enumerate(texts)]
            taken[name] = places if len(places) > 1 else places[0]
    return taken


def _texts(value: Any) -> list[str]:
    """The texts of a cell: one, or several in a list; Python's list in a text is what VLMEvalKit writes."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("url") or value.get("path") or ""
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    if isinstance(value, str) and value.startswith("["):
        return _BASE64.findall(value) or _texts(None if (read := literal(value)) == value else read)
    return [value] if isinstance(value, str) else []


def _is_picture(text: str) -> bool:
    return text.startswith("data:") or (len(text) > _SHORTEST and _BASE64.fullmatch(text) is not None)


def _in_memory(value: Any) -> Any:
    texts = _texts(value)
    if not any(map(_is_picture, texts)):
        return value
    pictures = [_decoded(text) if _is_picture(text) else text for text in texts]
    return pictures if len(pictures) > 1 else pictures[0]


def _decoded(text: str) -> bytes:
    """Raises ValueError."""
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"a picture is no base64 ({error})") from error


class Folder:
    """The pictures in a folder and below it, by name. Names that lead out of it are none."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_name: dict[str, list[Path]] | None = None
        self._by_id: dict[str, Embedded] | None = None

    def find(self, *names: str) -> Path | None:
        """The first of these names that there is, with or without the folders that lead to it."""
        for name in names:
            wanted = PurePosixPath(name.replace("\\", "/"))
            if not wanted.name or wanted.is_absolute() or ".." in wanted.parts or "\0" in name:
                continue
            for path in self._known().get(wanted.name, ()):
                if path.parts[-len(wanted.parts) :] == wanted.parts:
                    return path
        return None

    def find_embedded(self, id_: str) -> Embedded | None:
        """The picture with an id in a table of pictures, as lmms-eval has those of GQA. Raises EvaluationError."""
        if self._by_id is None:
            tables = sorted(self.root.glob("*images/*.parquet"))
            found = ((str(row.get("id", "")), row.get("image")) for path in tables for row in rows(path))
            self._by_id = {name: image for name, image in found if isinstance(image, Embedded)}
        return self._by_id.get(id_)

    def _known(self) -> dict[str, list[Path]]:
        if self._by_name is None:
            self._by_name = {}
            count = 0
            for folder, folders, names in os.walk(self.root):
                folders.sort()
                for name in sorted(names):
                    self._by_name.setdefault(name, []).append(Path(folder, name))
                if (count := count + len(names)) > _MAX_FILES:
                    raise EvaluationError(f"There are more than {_MAX_FILES:,} files below {shown(self.root)}.", "Name a smaller folder.")
        return self._by_name
