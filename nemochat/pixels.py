"""Pictures that we did not make, decoded by Pillow within bounds: what counts is what is there, not what the file's first bytes say.

Pillow is imported where it is used: start-up stays fast.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE = 65_536
"""The longest side in pixels."""
MAX_STREAMED = 250_000_000
"""Pixels of the largest JPEG that is decoded to a half or less of its size, row by row."""

# Pillow registers these two only with its whole set of plugins, which takes ten times as long to import.
_PLUGINS = {"WEBP": "PIL.WebPImagePlugin", "AVIF": "PIL.AvifImagePlugin"}
_MAX_SCANS = 200  # a photograph has about ten
# The markers of a JPEG that begin a frame; what the others among them mean is no frame.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}


class BadPictureError(Exception):
    """Why a picture cannot be decoded, as a clause. size: when it is too large, in pixels, else None."""

    def __init__(self, clause: str, size: tuple[int, int] | None = None) -> None:
        super().__init__(clause)
        self.size = size


@contextlib.contextmanager
def decoded(data: bytes, kinds: Collection[str], most: int, *, reduced_above: int = 0) -> Iterator[Image]:
    """The first frame of a picture of one of these kinds (Pillow's names), decoded, of at most `most` pixels.

    reduced_above: JPEGs of more pixels come out at a half, a quarter or an eighth of their size, which is nearly free; 0 for none. What is
    done with the picture within the block counts as decoding it: whatever Pillow raises becomes a BadPictureError.
    """
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        # Pillow warns about odd metadata, and stderr would be drawn over the screen. The limits here are lower than those it warns about.
        warnings.simplefilter("ignore")
        try:
            for kind in kinds:
                if kind in _PLUGINS:
                    importlib.import_module(_PLUGINS[kind])
            with Image.open(io.BytesIO(data), formats=list(kinds)) as image:
                _limit(image, data, most, reduced_above)
                image.load()
                _check(image, most)
                yield image
        except BadPictureError:
            raise
        except Image.DecompressionBombError:
            raise BadPictureError("it has too many pixels", (0, 0)) from None
        except UnidentifiedImageError:
            raise BadPictureError("it is broken at its beginning") from None
        except Exception as error:  # noqa: BLE001 - a decoder that meets a broken file raises anything, and each of it means that
            raise BadPictureError(str(error) or type(error).__name__) from None


def _limit(image: Image, data: bytes, most: int, reduced_above: int) -> None:
    """Refuse what is too large before any pixel is decoded; let a big JPEG decode itself smaller."""
    width, height = image.size
    if image.format in ("JPEG", "MPO"):
        if data.count(b"\xff\xda") > _MAX_SCANS:
            raise BadPictureError(f"it consists of more than {_MAX_SCANS} scans")
        # libjpeg holds the whole picture, at its full size, unless all of it comes in one scan.
        if width * height > (MAX_STREAMED if reduced_above and _is_one_scan(data) else most):
            raise BadPictureError("it has too many pixels", (width, height))
    if reduced_above and width * height > reduced_above:
        divisor = next((n for n in (2, 4, 8) if width * height <= reduced_above * n * n), 8)
        image.draft(None, (max(1, width // divisor), max(1, height // divisor)))  # None: keep the colour mode
    _check(image, most)


def _check(image: Image, most: int) -> None:
    if not 0 < image.width * image.height <= most or max(image.size) > MAX_SIDE:
        raise BadPictureError("it has too many pixels", image.size)


def _is_one_scan(data: bytes) -> bool:
    """Whether a JPEG is decoded row by row: its first scan holds all of its colours, and none comes back finer later."""
    at, n_colours = 2, 0
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _PROGRESSIVE:
            return False
        if marker in _FRAMES:
            n_colours = data[at + 9] if at + 9 < len(data) else 0
        if marker == 0xDA:
            return n_colours > 0 and data[at + 4 : at + 5] == bytes([n_colours])
        at += 1 if marker == 0xFF else 2 + length
    return False
