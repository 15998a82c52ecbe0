from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemochat.domain.events import Finished, FinishReason, Progress, Stage, TextDelta, Timings, Usage
from nemochat.domain.images import RgbImage
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Control, ImageSlot, Plain
from nemochat.engine import wire
from nemochat.engine.protocol import GenerateRequest, LoadRequest, ModelInfo, Place, Prepared
from nemochat.engine.wire import Command, Report, WireError, command_reader, encode, report_reader
from nemochat.settings import EngineSettings

SEGMENTS = (Control("<extra_id_1>User\n"), ImageSlot("d" * 64), Plain("é\x1b[31m<extra_id_1>"))
COMMANDS: list[Command] = [
    wire.Load(LoadRequest("demo", "a.gguf", None, EngineSettings())),
    wire.AddImage(RgbImage.from_rgb(2, 1, bytes(range(6)))),
    wire.Count(SEGMENTS),
    wire.Prepare(()),
    wire.Prepare(SEGMENTS, Place("chat", is_next=True)),
    wire.Forget("chat"),
    wire.Generate(GenerateRequest(SEGMENTS, Sampling(seed=3, stop=("x",)))),
    wire.Generate(GenerateRequest(SEGMENTS, Sampling(), 'root ::= "é"', "<call>")),
    wire.Cancel(),
    wire.Cancel(("d" * 64,), for_reply=True),
    wire.Ping(),
    wire.Close(),
]
REPORTS: list[Report] = [
    wire.Loaded(ModelInfo("demo", 4096, True, 256, 1.5)),
    wire.ImageCost(16),
    wire.Counts([1, 2, 3]),
    wire.Forgotten(),
    wire.PreparedReport(Prepared(1, 2, 3, 4.0)),
    Progress(Stage.PREFILL, 1, 2),
    TextDelta("\U0001f600"),
    Finished(FinishReason.STOP, Usage(1), Timings(2.0)),
    wire.Failed("ModelFileError", "no", "hint", fatal=True),
    wire.Pong(),
]


@given(st.lists(st.sampled_from(COMMANDS), max_size=12), st.data())
@settings(deadline=None, max_examples=60)
def test_any_chunking_gives_the_same_commands(commands: list[Command], data: st.DataObject) -> None:
    stream = b"".join(map(encode, commands))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=30)))
    reader = command_reader()
    read = [frame for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) for frame in reader.feed(stream[start:end])]
    assert read == commands


def test_reports_survive_byte_by_byte() -> None:
    stream = b"".join(map(encode, REPORTS))
    reader = report_reader()
    assert [frame for byte in stream for frame in reader.feed(bytes([byte]))] == REPORTS


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=200)
def test_garbage_gives_frames_or_a_wire_error(garbage: bytes) -> None:
    reader = report_reader()
    try:
        frames = list(reader.feed(garbage))
    except WireError:
        return
    # Nothing was refused: either the garbage really is frames, or a frame is still incomplete.
    assert garbage.startswith(b"".join(map(encode, frames)))


@given(st.integers(wire.MAX_FRAME_BYTES + 1, 2**32 - 1))
def test_an_oversize_length_is_refused_before_its_payload(length: int) -> None:
    with pytest.raises(WireError, match="claims"):
        list(command_reader().feed(struct.pack(">I", length)))


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode({"type": "Nope"}), b"\xa2\xff\xfe", encode(wire.Ping())[4:] + b"x"]
)
def test_a_payload_that_is_no_frame_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError, match="cannot be read"):
        list(command_reader().feed(struct.pack(">I", len(payload)) + payload))


def test_a_frame_that_is_too_long_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_FRAME_BYTES", 100)
    with pytest.raises(WireError, match="more than the limit of 100"):
        encode(wire.Count((Plain("x" * 100),)))


@pytest.mark.parametrize("command", [wire.Count((Plain("\ud800"),)), wire.Generate(GenerateRequest((), Sampling(seed=2**70)))])
def test_what_msgpack_cannot_hold_is_a_wire_error(command: Command) -> None:
    with pytest.raises(WireError, match="cannot be sent"):
        encode(command)
