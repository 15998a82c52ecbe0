from __future__ import annotations

from pathlib import Path

import pytest

from nemochat.domain.images import RgbImage
from nemochat.errors import ImageError
from nemochat.images import load, save_png, to_png
from tests.images.pictures import noise

IMAGE = RgbImage.from_rgb(13, 7, noise(13, 7).tobytes())


def test_png_holds_the_very_pixels() -> None:
    assert load(to_png(IMAGE)) == IMAGE


def test_save_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"old" * 10_000)
    save_png(IMAGE, path)
    assert load(path).digest == IMAGE.digest


def test_save_says_why_it_cannot(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be written"):
        save_png(IMAGE, tmp_path / "missing" / "out.png")
    with pytest.raises(ImageError, match="cannot be written"):
        save_png(IMAGE, tmp_path)
