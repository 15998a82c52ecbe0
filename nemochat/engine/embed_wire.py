"""What travels between `EmbeddingProcess` and its worker: frames as in nemochat.engine.wire.

The worker first says Ready or Failed. Each Embed is then answered by one Vector for each text, or by Failed, which ends the answer.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from nemochat.engine.wire import MAX_FRAME_BYTES, Failed, FrameReader

LENGTH = struct.Struct(">I")
"""A frame's payload has its length before it."""
_encoder = msgspec.msgpack.Encoder()


class Embed(msgspec.Struct, frozen=True, tag=True):
    """Make the vectors of these texts."""

    texts: tuple[str, ...]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The model is loaded; its vectors have so many values."""

    length: int


class Vector(msgspec.Struct, frozen=True, tag=True):
    """The vector of the next text."""

    values: tuple[float, ...]


Answer = Ready | Vector | Failed
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def pack(frame: Embed | Answer) -> bytes:
    """One frame as bytes."""
    payload = _encoder.encode(frame)
    return LENGTH.pack(len(payload)) + payload


def unpack_answer(payload: bytes) -> Answer:
    """What a payload holds. Raises msgspec.DecodeError."""
    return _answers.decode(payload)


def spoken(texts: Sequence[str]) -> Embed:
    """The request for these texts; what UTF-8 cannot say (half a surrogate pair) becomes a question mark."""
    return Embed(tuple(text.encode("utf-8", "replace").decode() for text in texts))


def request_reader() -> FrameReader[Embed]:
    """The worker's end."""
    return FrameReader(msgspec.msgpack.Decoder(Embed))


__all__ = ["LENGTH", "MAX_FRAME_BYTES", "Answer", "Embed", "Failed", "Ready", "Vector", "pack", "request_reader", "spoken", "unpack_answer"]
