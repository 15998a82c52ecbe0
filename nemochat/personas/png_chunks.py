"""The chunks of a PNG, looked at without decoding the picture: where a card lies in it, and how one is put in.

Only chunks that hold a card are read, and none of them further than a card may be large. Checksums are not looked at: many programs that
write cards get them wrong, and the base64 and the JSON inside say clearly enough whether they are whole.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

import msgspec

from nemochat.personas.files import MAX_JSON, Unreadable

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORDS = ("ccv3", "chara")
"""Keywords of chunks that hold a card, the one that wins first."""

_MAX_CHUNKS = 100_000
_MAX_VALUE = MAX_JSON * 4 // 3 + 65_536
_MAX_PIXELS = 64_000_000
_ASSET = "chara-ext-asset_"


class Chunk(msgspec.Struct, frozen=True):
    """A piece of the file: its four letters, where its content begins and how long that is. whole: it does not end before the file says."""

    kind: bytes
    start: int
    length: int
    whole: bool

    @property
    def stop(self) -> int:
        """Where the next one begins."""
        return self.start + self.length + 4


def chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks up to the one that ends the picture, or up to the first that claims more than there is."""
    place = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if place + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, place)
        chunk = Chunk(kind, place + 8, length, place + 8 + length <= len(data))
        yield chunk
        if kind == b"IEND" or not chunk.whole:
            return
        place = chunk.stop
    raise Unreadable(f"it consists of more than {_MAX_CHUNKS:,} pieces, which no picture does")


def card_values(data: bytes, keywords: Iterable[str] = KEYWORDS) -> dict[str, bytes | Unreadable]:
    """What the chunks of each keyword hold, or why that cannot be read. Of two with one keyword the first readable one counts."""
    found: dict[str, bytes | Unreadable] = {}
    for chunk in chunks(data):
        keyword = _keyword(data, chunk)
        if keyword not in keywords or isinstance(found.get(keyword), bytes):
            continue
        try:
            found[keyword] = _value(data, chunk)
        except Unreadable as problem:
            found[keyword] = problem
    return found


def cut_off(data: bytes) -> Chunk | None:
    """The chunk in whose middle the file ends."""
    return next((chunk for chunk in chunks(data) if not chunk.whole), None)


def is_picture(data: bytes) -> bool:
    """Whether the file looks like a picture that can be shown: one header of a sensible size, and pixels."""
    found = list(chunks(data))
    if not found or found[0].kind != b"IHDR" or found[0].length != 13 or not found[0].whole:
        return False
    width, height = struct.unpack_from(">II", data, found[0].start)
    others = {chunk.kind for chunk in found[1:] if chunk.whole}
    return 0 < width * height <= _MAX_PIXELS and b"IDAT" in others and b"IHDR" not in others


def without_cards(data: bytes) -> bytes:
    """The picture alone: chunks that hold a card or its assets left out, and what stands behind its end."""
    return _joined(data, ())


def with_texts(data: bytes, texts: Iterable[tuple[str, bytes]]) -> bytes:
    """The picture with these texts in it, in place of any card that it held."""
    return _joined(data, (_chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + value) for keyword, value in texts))


def make(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """A picture of one colour."""
    rows = (b"\0" + bytes(colour) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")


def _joined(data: bytes, more: Iterable[bytes]) -> bytes:
    kept = [
        data[chunk.start - 8 : chunk.stop]
        for chunk in chunks(data)
        if chunk.whole and chunk.kind != b"IEND" and not (keyword := _keyword(data, chunk)).startswith(_ASSET) and keyword not in KEYWORDS
    ]
    # Behind the header: some readers look no further than to the pixels.
    return b"".join([SIGNATURE, *kept[:1], *more, *kept[1:], _chunk(b"IEND", b"")])


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _keyword(data: bytes, chunk: Chunk) -> str:
    """What a chunk of text is called, in small letters; "" for any other chunk."""
    if chunk.kind not in (b"tEXt", b"zTXt", b"iTXt"):
        return ""
    name, end, _ = data[chunk.start : chunk.start + min(chunk.length, 512)].partition(b"\0")
    return name.decode("latin-1").strip().lower() if end else ""


def _value(data: bytes, chunk: Chunk) -> bytes:
    if not chunk.whole:
        raise Unreadable(f"it ends in the middle of a card that claims {chunk.length:,} bytes")
    if chunk.length > _MAX_VALUE:
        raise Unreadable(f"the card in it is larger than {MAX_JSON // 1024 // 1024} MiB")
    rest = data[chunk.start : chunk.start + chunk.length].partition(b"\0")[2]
    if chunk.kind == b"tEXt":
        return rest
    if chunk.kind == b"zTXt":
        return _inflated(rest[1:])
    compressed, rest = rest[:1] == b"\1", rest[2:]
    rest = rest.partition(b"\0")[2].partition(b"\0")[2]  # past the language and the translated keyword
    return _inflated(rest) if compressed else rest


def _inflated(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        value = stream.decompress(data, _MAX_VALUE + 1)
    except zlib.error:
        raise Unreadable("the compressed card in it is broken") from None
    if len(value) > _MAX_VALUE:
        raise Unreadable(f"the card in it is larger than {MAX_JSON // 1024 // 1024} MiB")
    return value
