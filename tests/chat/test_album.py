"""Pixels have one owner with one bound: they are decoded again from the file whenever they are needed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from nemochat.chat import TurnResult
from nemochat.chat.album import Album
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.sampling import Sampling
from nemochat.engine import client
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import LoadRequest
from nemochat.images import load
from nemochat.library import Library
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import FakeEngine, reply
from tests.chat.talking import Talking


def jpeg(number: int, size: tuple[int, int] = (40, 30)) -> Original:
    buffer = io.BytesIO()
    Image.new("RGB", size, (number * 25 % 256, 90, 30)).save(buffer, "JPEG", quality=80)
    return Original(buffer.getvalue(), "jpeg")


def add(album: Album, original: Original) -> str:
    return album.add(load(original.data), original)


def test_a_picture_is_known_by_its_file_whatever_a_model_gets_of_it() -> None:
    album, file = Album(), jpeg(1)
    digest = add(album, file)
    assert digest == file.digest
    sizes = {side: album.pixels(digest, side) for side in (None, 8, 16)}
    assert {side: (image.width, image.height) for side, image in sizes.items() if image} == {None: (40, 30), 8: (8, 8), 16: (16, 16)}
    assert {image.digest for image in sizes.values() if image} == {digest}


def test_a_picture_without_a_file_is_kept_as_a_png_of_its_pixels() -> None:
    album, pixels = Album(), RgbImage.from_rgb(2, 1, b"abcdef")
    assert album.add(pixels, None) == pixels.digest
    original = album.original(pixels.digest)
    assert original is not None
    assert load(original.data) == pixels
    assert album.pixels(pixels.digest, None) == pixels


def test_pixels_are_forgotten_within_the_bound_and_decoded_again() -> None:
    album = Album(max_bytes=3 * 40 * 30 * 3)
    digests = [add(album, jpeg(number)) for number in range(9)]
    for _ in range(2):
        for digest in digests:
            assert album.pixels(digest, None) is not None
            assert album.held_bytes <= 3 * 40 * 30 * 3
    big = add(album, jpeg(10, (400, 300)))
    assert album.pixels(big, None) is not None  # larger than the bound, and wanted now
    assert album.held_bytes == 400 * 300 * 3


def test_what_is_shown_is_no_larger_than_a_screen_needs() -> None:
    album = Album()
    digest = add(album, jpeg(1, (2048, 512)))
    shown = album.previews(None).get(digest)
    assert shown is not None
    assert (shown.width, shown.height) == (1024, 256)
    assert album.previews(16)[digest] == album.pixels(digest, 16)


def test_a_damaged_or_missing_file_is_no_picture_and_no_error(tmp_path: Path) -> None:
    library, _ = Library.open(tmp_path)
    with library:
        broken = Original(jpeg(1).data[:200], "jpeg")
        library.put_picture(broken.digest, broken)
        album = Album(library.original)
        assert album.pixels(broken.digest, 8) is None
        assert album.pixels("0" * 64, 8) is None
        assert album.previews(8).get(broken.digest) is None
        good = jpeg(2)
        library.put_picture(good.digest, good)
        assert album.pixels(good.digest, 8) is not None
        next((tmp_path / "originals").glob(f"{good.digest}*")).unlink()
        (tmp_path / "originals" / f"{good.digest}.jpeg").mkdir()  # cannot be read
        assert album.pixels(good.digest, 16) is None


def session(engine: FakeEngine | WorkerEngine, model_path: str = "fake", side: int | None = None) -> Talking:
    return Talking(engine, LoadRequest("fake", model_path, None, EngineSettings()), Sampling(max_tokens=10), side)


async def test_a_conversation_goes_on_without_a_picture_that_is_gone() -> None:
    engine = FakeEngine(reply("Red."), reply("Still."))
    chat = session(engine)
    picture = await chat.attach(load(jpeg(1).data), "a.jpg", jpeg(1))
    [event async for event in chat.send(Message(Role.USER, (picture.part, TextPart("What?"))))]
    later = session(engine)
    later.open_chat(chat.chat)  # its album knows nothing of the picture
    [event async for event in later.send(Message(Role.USER, (TextPart("Sure?"),)))]
    assert not any(getattr(segment, "digest", "") for segment in engine.requests[1].segments)
    assert later.chat.entries[0].message.images == (picture.part,)  # it is still part of the conversation


@pytest.mark.parametrize("in_draft", [True, False])
async def test_pictures_are_given_again_after_the_engines_death(tmp_path: Path, in_draft: bool) -> None:
    script = tmp_path / "a.script.json"
    script.write_text('{"replies": [{"text": "ok"}], "faults": [{"at": "decode", "kind": "kill", "when": "die"}]}')
    chat = session(WorkerEngine(tmp_path / "engine.log", "scripted"), str(script), 8)
    try:
        picture = await chat.attach(load(jpeg(1).data), "a.jpg", jpeg(1))
        if not in_draft:
            [event async for event in chat.send(Message(Role.USER, (picture.part, TextPart("What?"))))]
        with pytest.raises(Exception, match="engine"):
            [event async for event in chat.send(Message(Role.USER, (TextPart("die"),)))]
        events = [event async for event in chat.send(Message(Role.USER, (picture.part, TextPart("And now?"))))]
        assert isinstance(events[-1], TurnResult)
        assert events[-1].text == "ok"
    finally:
        await chat.close()


async def test_more_pictures_than_either_process_may_hold_all_reach_a_model_that_takes_them_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (400, 300)
    bound = 5 * size[0] * size[1] * 3 // 2
    monkeypatch.setattr(client, "WORKER_PIXEL_BYTES", bound)
    script = tmp_path / "a.script.json"
    script.write_text('{"replies": [{"text": "nine"}]}')
    chat = session(WorkerEngine(tmp_path / "engine.log", "scripted"), str(script))
    chat.album = Album(max_bytes=bound)
    try:
        parts = []
        for number in range(9):
            file = jpeg(number, size)
            parts.append((await chat.attach(load(file.data), f"{number}.jpg", file)).part)
            assert chat.album.held_bytes <= bound
        for shown in (parts, parts[:1], parts):
            events = [event async for event in chat.send(Message(Role.USER, (*shown, TextPart("How many?"))))]
            assert isinstance(events[-1], TurnResult)
            assert events[-1].text == "nine"
        assert chat.album.held_bytes <= bound
    finally:
        await chat.close()
