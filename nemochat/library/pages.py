"""Rows out of a damaged SQLite file, page by page, without SQLite.

A row stands whole in one leaf page of its table, or goes on in a chain of overflow pages. So every leaf page that is still there gives its
rows, whatever has become of the pages above it, of the schema and of the header. What is in the write-ahead journal counts.

Source: "Database File Format" and "WAL-mode File Format" on sqlite.org.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from nemochat.reading import NotAFileError, open_regular
from nemochat.system import disk

Value = int | float | str | bytes | None

_MAGIC = b"SQLite format 3\0"
_WAL_MAGIC = (0x377F0682, 0x377F0683)
_HEADER, _WAL_HEADER, _FRAME_HEADER = 100, 32, 24
_USUAL_PAGE = 4096
_PAGE_SIZES = tuple(1 << power for power in range(9, 17))
_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR = 0x0D, 0x0A, 0x02
_MAX_ROW = 256 << 20
_ROOM = 4
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class _BrokenError(Exception):
    """What stands here is not what it should be."""


class Row(msgspec.Struct, frozen=True):
    """A row of a table, or an entry of an index or of a table without row ids (rowid None)."""

    rowid: int | None
    values: tuple[Value, ...]


class Pages:
    """The pages of a database file, those of its journal before those in the file itself. Raises OSError."""

    def __init__(self, file: Path) -> None:
        self._open = contextlib.ExitStack()
        self._file = self._open.enter_context(open_regular(file))
        self._wal: BinaryIO | None = None
        with contextlib.suppress(FileNotFoundError, NotAFileError):
            self._wal = self._open.enter_context(open_regular(file.with_name(f"{file.name}-wal")))
        head = (self._file.read(_HEADER) or b"").ljust(_HEADER, b"\0")
        self.size = self._page_size(head)
        reserved = head[20] if head.startswith(_MAGIC) else 0
        self.usable = self.size - reserved
        self._newer = self._frames()
        self._written = list(_written(self._file, self.size))
        self.count = -(-self._file.seek(0, 2) // self.size)
        # Rows of a healthy file do not share any bytes. In one that was made to exhaust its reader, all of them may be one long chain.
        self._left = _ROOM * self.size * (self.count + len(self._newer) + 1)

    def __enter__(self) -> Pages:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def read(self, number: int) -> bytes:
        """A page, the first one being 1; what is missing at the end of the file reads as zeros."""
        if self._wal is not None and number in self._newer:
            self._wal.seek(self._newer[number])
            return self._wal.read(self.size).ljust(self.size, b"\0")
        self._file.seek((number - 1) * self.size)
        return self._file.read(self.size).ljust(self.size, b"\0")

    def rows(self) -> Iterator[Row]:
        """Every row that can be read, in no order."""
        for number in itertools.chain(*self._written, sorted(number for number in self._newer if number > self.count)):
            page = self.read(number)
            start = _HEADER if number == 1 else 0
            kind = page[start]
            if kind in (_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR):
                for pointer in _pointers(page, start, kind):
                    with contextlib.suppress(_BrokenError, IndexError):  # this one is lost
                        yield self._row(page, pointer, kind)

    def _page_size(self, head: bytes) -> int:
        size = int.from_bytes(head[16:18], "big") if head.startswith(_MAGIC) else 0
        size = 65536 if size == 1 else size
        if size not in _PAGE_SIZES and self._wal is not None:
            size = int.from_bytes(self._wal.read(12)[8:12], "big")
        return size if size in _PAGE_SIZES else _USUAL_PAGE

    def _frames(self) -> dict[int, int]:
        """Where in the journal the pages of its whole transactions begin, the last one of each."""
        if self._wal is None:
            return {}
        self._wal.seek(0)
        header = self._wal.read(_WAL_HEADER)
        if int.from_bytes(header[:4], "big") not in _WAL_MAGIC or int.from_bytes(header[8:12], "big") != self.size:
            return {}
        done: dict[int, int] = {}
        pending: dict[int, int] = {}
        at = _WAL_HEADER
        while len(frame := self._wal.read(_FRAME_HEADER)) == _FRAME_HEADER and frame[8:16] == header[16:24]:
            pending[int.from_bytes(frame[:4], "big")] = at + _FRAME_HEADER
            if int.from_bytes(frame[4:8], "big"):  # the end of a transaction
                done.update(pending)
                pending = {}
            at += _FRAME_HEADER + self.size
            self._wal.seek(at)
        return done

    def _row(self, page: bytes, at: int, kind: int) -> Row:
        if kind == _INDEX_INTERIOR:
            at += 4
        length, at = _varint(page, at)
        rowid = None
        if kind == _TABLE_LEAF:
            rowid, at = _varint(page, at)
        return Row(rowid, _record(self._payload(page, at, length, kind)))

    def _payload(self, page: bytes, at: int, length: int, kind: int) -> bytes:
        self._left -= max(length, 0)
        if not 0 <= length <= _MAX_ROW or self._left < 0:
            raise _BrokenError
        usable = self.usable
        most = usable - 35 if kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
        if length <= most:
            return page[at : at + length]
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        local = local if local <= most else least
        payload = bytearray(page[at : at + local])
        following = int.from_bytes(page[at + local : at + local + 4], "big")
        while len(payload) < length:
            if not 1 < following <= self.count and following not in self._newer:
                raise _BrokenError
            overflow = self.read(following)
            following = int.from_bytes(overflow[:4], "big")
            payload += overflow[4 : min(usable, 4 + length - len(payload))]
        return bytes(payload)


def _written(file: BinaryIO, size: int) -> Iterator[range]:
    """The numbers of the pages that were ever written: what is between them may be terabytes that are nowhere on the disk."""
    handle, at, end = file.fileno(), 0, os.fstat(file.fileno()).st_size
    while at < end:
        at, stop = disk.written_part(handle, at, end)
        yield range(at // size + 1, -(-stop // size) + 1)
        at = -(-stop // size) * size


def _pointers(page: bytes, start: int, kind: int) -> list[int]:
    first = start + (12 if kind == _INDEX_INTERIOR else 8)
    number = int.from_bytes(page[start + 3 : start + 5], "big")
    pointers = [int.from_bytes(page[at : at + 2], "big") for at in range(first, min(first + 2 * number, len(page)), 2)]
    return [pointer for pointer in pointers if first < pointer < len(page)]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends: seven bits a byte, the ninth one whole."""
    value = 0
    for count in range(8):
        byte = data[at + count]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + count + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64 if value >> 63 else 0), at + 9


def _record(payload: bytes) -> tuple[Value, ...]:
    length, at = _varint(payload, 0)
    if not 0 < length <= len(payload):
        raise _BrokenError
    kinds = []
    while at < length:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values: list[Value] = []
    for kind in kinds:
        value, at = _value(payload, at, kind)
        values.append(value)
    if at != len(payload):
        raise _BrokenError
    return tuple(values)


def _value(payload: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in _INTEGER_BYTES:
        end = at + _INTEGER_BYTES[kind]
        return int.from_bytes(payload[at:end], "big", signed=True), end
    if kind in (8, 9):
        return kind - 8, at
    if kind == 7:
        return float(int.from_bytes(payload[at : at + 8], "big")), at + 8  # the library has none; its bits do not matter
    if kind < 12:
        raise _BrokenError
    end = at + (kind - 12) // 2
    data = payload[at:end]
    return (data.decode(errors="replace") if kind % 2 else data), end
