"""From a source of a picture to its pixels."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from nemochat.chat.pictures import OpenedPicture, open_picture, picture_name
from nemochat.domain.images import Original, RgbImage
from nemochat.errors import ImageError
from nemochat.images import to_png

RED = RgbImage.from_rgb(2, 2, b"\xff\x00\x00" * 4)


def test_a_path_and_a_data_uri_give_the_same_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "red.png").write_bytes(to_png(RED))
    uri = "data:image/png;base64," + base64.b64encode(to_png(RED)).decode()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    data = to_png(RED)
    assert open_picture(uri) == OpenedPicture(RED, Original(data, "png"))
    for source in ("red.png", "~/red.png", str(tmp_path / "red.png")):
        assert open_picture(source) == OpenedPicture(RED, Original(data, "png"))
    assert (picture_name(uri), picture_name("a/red.png")) == ("picture", "red.png")


def test_nothing_is_fetched() -> None:
    with pytest.raises(ImageError, match="does not fetch"):
        open_picture("https://example.org/x.png")


@pytest.mark.parametrize(
    "source", ["", "missing.png", "data:text/plain,hello", "data:image/png;base64,!!", "~nobody-of-that-name/x.png", "a\0b"]
)
def test_what_cannot_be_read_is_an_image_error(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError):
        open_picture(source)
