"""Reads the header of a GGUF file: metadata and tensor descriptions, never the weights.

Every count, length and offset is checked against the file's size and fixed bounds before it is used, so a damaged or hostile file costs an
error, not memory or time. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little endian. What
llama.cpp's own reader refuses (gguf.cpp) is refused here too, with a sentence that says what is wrong.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from nemochat.domain.sanitize import sanitize
from nemochat.errors import ModelFileError
from nemochat.files import reason
from nemochat.models.ggml_types import TENSOR_TYPES, TensorType
from nemochat.reading import NotAFileError, all_parts, open_regular, part_of

_MAX_HEADER = 128 * 1024 * 1024
_MAX_METADATA = 65_536
_MAX_TENSORS = 65_536
_MAX_KEY = 65_535
_MAX_STRING = 16 * 1024 * 1024
_MAX_STRINGS = 1_000_000
_MAX_DIMENSIONS = 4
_MAX_VALUES = 1 << 50
# Longer arrays (a vocabulary, its scores) are skipped.
_KEPT_NUMBERS = 1024
_KEPT_TEXTS = 64
_VOCABULARY = "tokenizer.ggml.tokens"
_CHUNK = 1024 * 1024
_DOWNLOAD_AGAIN = "Download the file again."
_STRING, _ARRAY = 8, 9
# Struct codes by GGUF value type.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class SkippedArray(NamedTuple):
    """Stands for an array of more than 1024 numbers or 64 texts. `has_repeats`, of the vocabulary only: a token comes twice."""

    length: int
    has_repeats: bool = False


Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...] | SkippedArray


class Tensor(NamedTuple):
    """`shape` in GGML's order (fastest dimension first); `offset` in bytes from the start of the data; `n_bytes` without padding."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    n_bytes: int

    @property
    def n_values(self) -> int:
        """How many values it holds."""
        return math.prod(self.shape)


class GgufFile(NamedTuple):
    """What the header says. All text in it is sanitised. `file_bytes` is the size on disk, `data_start` where the tensors begin."""

    path: Path
    version: int
    metadata: dict[str, Value]
    tensors: dict[str, Tensor]
    data_start: int
    file_bytes: int

    def text(self, key: str) -> str:
        """A string, "" when the key is missing or holds something else."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    def integer(self, key: str) -> int | None:
        """An integer, None when the key is missing or holds something else."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def number(self, key: str) -> float | None:
        """A number, None when the key is missing or holds something else."""
        value = self.metadata.get(key)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def length(self, key: str) -> int:
        """The length of an array, 0 when the key is missing or holds no array."""
        value = self.metadata.get(key)
        if isinstance(value, SkippedArray):
            return value.length
        return len(value) if isinstance(value, tuple) else 0


def read(path: Path) -> GgufFile:
    """The header of a GGUF file. Raises ModelFileError for a file that is missing, not GGUF, cut short or inconsistent."""
    shown = sanitize(str(path), strict=True)
    try:
        with open_regular(path) as file:
            return _parse(path, _Cursor(file, os.fstat(file.fileno()).st_size, shown))
    except NotAFileError as error:
        raise ModelFileError(f"This is {error.kind}, not a file: {shown}", "Name a .gguf file.") from None
    except (FileNotFoundError, NotADirectoryError):
        raise ModelFileError(f"There is no such model file: {shown}", "See `nemochat models list`.") from None
    except PermissionError:
        raise ModelFileError(f"The model file may not be read: {shown}", "Check the file's permissions.") from None
    except OSError as error:
        raise ModelFileError(f"The model file cannot be read: {shown} ({reason(error)})") from None


def read_whole(path: Path) -> GgufFile:
    """The header of a model, with the tensors and the sizes of all files where it was split.

    Raises ModelFileError as `read` does, and when a part is missing or another one than the first was named.
    """
    first = read(path)
    count = first.integer("split.count") or 1
    if count <= 1:
        return first
    shown = sanitize(str(path), strict=True)
    _, number, named = part_of(path) or ("", 0, 0)
    if named != count:
        hint = f"llama.cpp wants the names that the parts were made with, such as model-00001-of-{count:05}.gguf."
        raise ModelFileError(f"{shown} is one of {count} parts of a model, but its name does not say so.", hint)
    if number != 1:
        hint = f"Name its first part: {sanitize(all_parts(path)[0].name, strict=True)}."
        raise ModelFileError(f"{shown} is part {number} of a model.", hint)
    others = [read(part) for part in all_parts(path)[1:]]
    tensors = dict(first.tensors)
    for part in others:
        if part.integer("split.count") != count or tensors.keys() & part.tensors.keys():
            raise ModelFileError(f"{sanitize(str(part.path), strict=True)} is no part of the same model.", _DOWNLOAD_AGAIN)
        tensors |= part.tensors
    if first.integer("split.tensors.count") not in (None, len(tensors)):
        raise ModelFileError(f"{shown} and the other parts of the model do not go together.", _DOWNLOAD_AGAIN)
    return first._replace(tensors=tensors, file_bytes=first.file_bytes + sum(part.file_bytes for part in others))


class _Cursor:
    """A position in the header. Reads the file in chunks; never past its end."""

    def __init__(self, file: BinaryIO, size: int, shown: str) -> None:
        self.size = size
        self.shown = shown
        self.position = 0
        self._file = file
        self._buffer = b""
        self._start = 0

    def broken(self, what: str) -> ModelFileError:
        return ModelFileError(f"{self.shown} is damaged: {what}.", _DOWNLOAD_AGAIN)

    def need(self, n_bytes: int) -> None:
        """Raise unless the file and the bounds have room for so many more bytes."""
        missing = self.position + n_bytes - self.size
        if missing > 0:
            raise ModelFileError(f"{self.shown} is cut short: at least {missing:,} bytes of its header are missing.", _DOWNLOAD_AGAIN)
        if self.position + n_bytes > _MAX_HEADER:
            raise self.broken("its header is larger than any model's")

    def view(self, n_bytes: int) -> tuple[bytes, int]:
        """A buffer and the index in it of the next `n_bytes`, without moving on."""
        self.need(n_bytes)
        at = self.position - self._start
        if at < 0 or at + n_bytes > len(self._buffer):
            self._file.seek(self.position)
            self._buffer = self._file.read(max(n_bytes, min(_CHUNK, self.size - self.position)))
            self._start = self.position
            at = 0
            if len(self._buffer) < n_bytes:
                raise self.broken("it became shorter while it was read")
        return self._buffer, at

    def take(self, n_bytes: int) -> bytes:
        buffer, at = self.view(n_bytes)
        self.position += n_bytes
        return buffer[at : at + n_bytes]

    def number(self, code: str) -> int:
        """An integer by its struct code."""
        value: int = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]
        return value

    def string(self, longest: int = _MAX_STRING) -> str:
        n_bytes = self.number("Q")
        if n_bytes > longest:
            raise self.broken(f"a text of {n_bytes:,} bytes in its header")
        return sanitize(self.take(n_bytes).decode("utf-8", "replace"))

    def skip(self, n_bytes: int) -> None:
        self.need(n_bytes)
        self.position += n_bytes

    def skip_strings(self, count: int, find_repeats: bool) -> bool:
        """Walk over strings and, on demand, say whether any but "" comes twice; like llama.cpp, a string ends at its first NUL.

        The tight loop takes 0.1 s for a vocabulary of 256,000 tokens.
        """
        unpack = struct.Struct("<Q").unpack_from
        distinct: set[bytes] = set()
        n_empty = 0
        left = count
        while left:
            length: int = unpack(*self.view(8))[0]
            if length > _MAX_STRING:
                raise self.broken(f"a text of {length:,} bytes in its header")
            buffer, start = self.view(8 + length)
            at, size = start, len(buffer)
            while left and at + 8 <= size and at + 8 + (length := unpack(buffer, at)[0]) <= size:
                if find_repeats:
                    word = buffer[at + 8 : at + 8 + length].partition(b"\0")[0]
                    distinct.add(word)
                    n_empty += not word
                at += 8 + length
                left -= 1
            self.skip(at - start)
        return find_repeats and len(distinct) - (b"" in distinct) < count - n_empty


def _parse(path: Path, cursor: _Cursor) -> GgufFile:
    version = _version(cursor)
    n_tensors, n_metadata = cursor.number("Q"), cursor.number("Q")
    if n_tensors > _MAX_TENSORS or n_metadata > _MAX_METADATA:
        raise cursor.broken(f"its header announces {n_tensors:,} tensors and {n_metadata:,} metadata entries")
    metadata: dict[str, Value] = {}
    for _ in range(n_metadata):
        key = cursor.string(_MAX_KEY)
        if key in metadata:
            raise cursor.broken(f"the metadata key {_shown(key)} comes twice")
        metadata[key] = _value(cursor, key, cursor.number("I"))
    tensors: dict[str, Tensor] = {}
    for _ in range(n_tensors):
        tensor = _tensor(cursor)
        if tensor.name in tensors:
            raise cursor.broken(f"the tensor {_shown(tensor.name)} comes twice")
        tensors[tensor.name] = tensor
    data_start = _check_layout(cursor, metadata.get("general.alignment", 32), tensors)
    return GgufFile(path, version, metadata, tensors, data_start, cursor.size)


def _version(cursor: _Cursor) -> int:
    if cursor.size == 0:
        raise ModelFileError(f"The model file is empty: {cursor.shown}", _DOWNLOAD_AGAIN)
    if cursor.size < 4 or cursor.take(4) != b"GGUF":
        raise ModelFileError(f"{cursor.shown} is not a GGUF file.", "nemochat runs models in the GGUF format of llama.cpp.")
    version = cursor.number("I")
    if version & 0xFFFF == 0 and version:
        raise ModelFileError(f"{cursor.shown} is a big-endian GGUF file.", "Convert it, or use a little-endian one.")
    if version not in (2, 3):
        hint = "Convert the model again, or update nemochat."
        raise ModelFileError(f"{cursor.shown} has GGUF version {version}; versions 2 and 3 are read.", hint)
    return version


def _value(cursor: _Cursor, key: str, kind: int) -> Value:
    if kind != _ARRAY:
        return _scalar(cursor, kind)
    element, length = cursor.number("I"), cursor.number("Q")
    if element == _ARRAY:
        raise cursor.broken("an array of arrays in its metadata")
    if element != _STRING and element not in _SCALARS:
        raise cursor.broken(f"an unknown type of value ({element}) in its metadata")
    width = 8 if element == _STRING else struct.calcsize("<" + _SCALARS[element])
    cursor.need(length * width)
    if length <= (_KEPT_TEXTS if element == _STRING else _KEPT_NUMBERS):
        return tuple(_scalar(cursor, element) for _ in range(length))
    if element != _STRING:
        cursor.skip(length * width)
    elif length > _MAX_STRINGS:
        raise cursor.broken(f"a list of {length:,} texts in its metadata")
    else:
        return SkippedArray(length, cursor.skip_strings(length, find_repeats=key == _VOCABULARY))
    return SkippedArray(length)


def _scalar(cursor: _Cursor, kind: int) -> Scalar:
    if kind == _STRING:
        return cursor.string()
    if kind not in _SCALARS:
        raise cursor.broken(f"an unknown type of value ({kind}) in its metadata")
    code = "<" + _SCALARS[kind]
    value: Scalar = struct.unpack(code, cursor.take(struct.calcsize(code)))[0]
    return value


def _tensor(cursor: _Cursor) -> Tensor:
    name = cursor.string(_MAX_KEY)
    n_dimensions = cursor.number("I")
    if not 1 <= n_dimensions <= _MAX_DIMENSIONS:
        raise cursor.broken(f"the tensor {_shown(name)} has {n_dimensions} dimensions")
    shape = tuple(cursor.number("Q") for _ in range(n_dimensions))
    type_id, offset = cursor.number("I"), cursor.number("Q")
    n_values = math.prod(shape)
    if not 0 < n_values <= _MAX_VALUES:
        raise cursor.broken(f"the tensor {_shown(name)} has the impossible shape {' x '.join(map(str, shape))}")
    if type_id not in TENSOR_TYPES:
        sentence = f"{cursor.shown} stores the tensor {_shown(name)} in an unknown type ({type_id})."
        raise ModelFileError(sentence, "It is damaged, or newer than nemochat.")
    kind = TENSOR_TYPES[type_id]
    if shape[0] % kind.block:
        raise cursor.broken(f"the tensor {_shown(name)} has rows of {shape[0]} values, which {kind.name} cannot hold")
    return Tensor(name, shape, kind, offset, n_values // kind.block * kind.size)


def _check_layout(cursor: _Cursor, alignment: Value, tensors: dict[str, Tensor]) -> int:
    """Where the tensor data starts. Raises unless the tensors follow one another and all lie inside the file."""
    if not isinstance(alignment, int) or not 8 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        raise cursor.broken(f"its alignment is {alignment if isinstance(alignment, int) else 'no number'}")
    data_start = _pad(cursor.position, alignment)
    expected = 0
    missing = 0
    for tensor in tensors.values():
        if tensor.offset != expected:
            raise cursor.broken(f"the tensor {_shown(tensor.name)} is not where the one before it ends")
        missing = data_start + tensor.offset + tensor.n_bytes - cursor.size
        expected = _pad(expected + tensor.n_bytes, alignment)
    if missing > 0:
        total = cursor.size + missing
        raise ModelFileError(f"{cursor.shown} is cut short: {missing:,} of {total:,} bytes are missing.", _DOWNLOAD_AGAIN)
    return data_start


def _pad(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _shown(name: str) -> str:
    return sanitize(name, strict=True)[:80]
