"""Card files built piece by piece, the way other programs write them and the way an attacker would."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def golden(name: str) -> str:
    return (GOLDEN / name).read_text(encoding="utf-8")


def chunk(kind: bytes, content: bytes, *, crc: int | None = None, claims: int | None = None) -> bytes:
    length = len(content) if claims is None else claims
    return struct.pack(">I", length) + kind + content + struct.pack(">I", zlib.crc32(kind + content) if crc is None else crc)


def png(*more: bytes, width: int = 2, height: int = 2) -> bytes:
    """A small picture with further chunks before its end."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + b"\x40\x80\xc0" * 2) * 2))
    return SIGNATURE + header + pixels + b"".join(more) + chunk(b"IEND", b"")


def text_chunk(keyword: str, text: str) -> bytes:
    return chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + base64.b64encode(text.encode()))


def packed_text_chunk(keyword: str, value: bytes) -> bytes:
    return chunk(b"zTXt", keyword.encode("latin-1") + b"\0\0" + zlib.compress(value, 9))


def international_chunk(keyword: str, value: bytes, *, packed: bool) -> bytes:
    head = keyword.encode("latin-1") + b"\0" + (b"\1" if packed else b"\0") + b"\0en\0\0"
    return chunk(b"iTXt", head + (zlib.compress(value) if packed else value))


def charx(members: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as box:
        for name, content in members.items():
            box.writestr(name, content)
    return buffer.getvalue()


def v2(**data: object) -> str:
    return json.dumps({"spec": "chara_card_v2", "spec_version": "2.0", "data": {"name": "Ada", "description": "A clock.", **data}})
