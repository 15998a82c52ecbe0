"""What travels between the client and its worker process: frames of msgpack, each one tagged struct.

A frame is its payload's length (4 bytes, big-endian) and the payload. The pipes keep the order, and the worker does one request
at a time, so answers need no number: every request is answered by any number of Progress and TextDelta reports and then exactly
one closing report (Loaded, ImageCost, Counts, PreparedReport, Forgotten, Finished or Failed).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

from nemochat.domain.events import Finished, Progress, TextDelta
from nemochat.domain.images import RgbImage
from nemochat.domain.segments import Segment
from nemochat.engine.protocol import UNNAMED, GenerateRequest, LoadRequest, ModelInfo, Place, Prepared

MAX_FRAME_BYTES = 256 * 1024 * 1024
"""Longest payload. The longest real one is a picture: 89 megapixels fit."""

LENGTH = struct.Struct(">I")
"""A frame's payload has its length before it."""
_encoder = msgspec.msgpack.Encoder()


class WireError(ValueError):
    """A frame that cannot be sent, or bytes that are not a frame."""


class Load(msgspec.Struct, frozen=True, tag=True):
    """Load a model. A worker loads one model in its life."""

    request: LoadRequest


class AddImage(msgspec.Struct, frozen=True, tag=True):
    """The pixels of a picture. forget: those that the worker need not hold any longer, to make room."""

    image: RgbImage
    forget: tuple[str, ...] = ()


class Count(msgspec.Struct, frozen=True, tag=True):
    """Count the tokens of each segment."""

    segments: tuple[Segment, ...]


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """Encode pictures and evaluate ahead."""

    segments: tuple[Segment, ...]
    place: Place = UNNAMED


class Forget(msgspec.Struct, frozen=True, tag=True):
    """Remove what the KV cache holds of a conversation."""

    conversation: str


class Generate(msgspec.Struct, frozen=True, tag=True):
    """Make one reply."""

    request: GenerateRequest


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Stop the request sent before this; has no effect on one sent after. The encoder gives up on a picture unless `spares` has it.

    for_reply: a reply is waited for.
    """

    spares: tuple[str, ...] = ()
    for_reply: bool = False


class Ping(msgspec.Struct, frozen=True, tag=True):
    """Answered at once, also in the middle of native work."""


class Close(msgspec.Struct, frozen=True, tag=True):
    """Free the model and end."""


Request = Load | AddImage | Count | Prepare | Generate | Forget | Close
Command = Request | Cancel | Ping


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """The model is ready."""

    info: ModelInfo


class ImageCost(msgspec.Struct, frozen=True, tag=True):
    """What a picture costs in the prompt."""

    tokens: int


class Counts(msgspec.Struct, frozen=True, tag=True):
    """Tokens of each segment."""

    tokens: list[int]


class PreparedReport(msgspec.Struct, frozen=True, tag=True):
    """A prompt was evaluated ahead, in whole or until cancelled."""

    prepared: Prepared


class Forgotten(msgspec.Struct, frozen=True, tag=True):
    """The KV cache holds nothing of the conversation any more."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A request failed. `kind` is the name of a class in nemochat.errors; after a fatal failure the worker ends itself.

    for_memory: there was too little of it.
    """

    kind: str
    message: str
    hint: str = ""
    fatal: bool = False
    for_memory: bool = False


class Pong(msgspec.Struct, frozen=True, tag=True):
    """The answer to a ping."""


Report = Loaded | ImageCost | Counts | PreparedReport | Forgotten | Progress | TextDelta | Finished | Failed | Pong


# -- the process that makes vectors: it first says Ready or Failed, then answers each Embed by a Vector for each text, or by Failed


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


# -- frames

Frame = TypeVar("Frame")


def encode(frame: Command | Report | Embed | Answer) -> bytes:
    """One frame as bytes. Raises WireError when it is too long or holds what msgpack cannot (half a surrogate pair, a huge integer)."""
    try:
        payload = _encoder.encode(frame)
    except (UnicodeEncodeError, OverflowError) as error:
        raise WireError(f"{type(frame).__name__} cannot be sent: {error}") from error
    if len(payload) > MAX_FRAME_BYTES:
        raise WireError(f"{type(frame).__name__} is {len(payload)} bytes long, more than the limit of {MAX_FRAME_BYTES}")
    return LENGTH.pack(len(payload)) + payload


class FrameReader(Generic[Frame]):
    """Turns a stream of bytes, cut anywhere, into frames. It does no I/O and reserves nothing on the word of a length field."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[Frame]) -> None:
        self._decoder = decoder
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that `data` completes. Raises WireError for an impossible length or a payload that is not a known frame."""
        self._held += data
        while len(self._held) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._held)
            if length > MAX_FRAME_BYTES:
                raise WireError(f"a frame claims to be {length} bytes long")
            end = LENGTH.size + length
            if len(self._held) < end:
                return
            with memoryview(self._held) as held, held[LENGTH.size : end] as payload:
                frame = self._decode(payload)
            del self._held[:end]
            yield frame

    def _decode(self, payload: memoryview) -> Frame:
        try:
            return self._decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WireError(f"a frame cannot be read: {error}") from error


def command_reader() -> FrameReader[Command]:
    """The worker's end of the wire."""
    return FrameReader(msgspec.msgpack.Decoder(Command))


def report_reader() -> FrameReader[Report]:
    """The client's end of the wire."""
    return FrameReader(msgspec.msgpack.Decoder(Report))


def embed_reader() -> FrameReader[Embed]:
    """The end of the process that makes vectors."""
    return FrameReader(msgspec.msgpack.Decoder(Embed))
