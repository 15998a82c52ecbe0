"""From a picture file to upright RGB pixels on white, at their natural size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nemochat.domain.images import RgbImage
from nemochat.domain.sanitize import sanitize
from nemochat.errors import ImageError
from nemochat.images.formats import ACCEPTED, describe_other, picture_format, what_to_do
from nemochat.images.source import check_size, read_picture
from nemochat.pixels import MAX_SIDE, BadPictureError, decoded

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 50_000_000
"""The most pixels that are decoded: 150 MB of RGB."""
REDUCED_ABOVE = 24_000_000
"""JPEGs with more pixels are decoded at a half, a quarter or an eighth of their size, which is nearly free."""

_EXIF_ORIENTATION = 0x0112


def load(source: Path | bytes, name: str = "") -> RgbImage:
    """The picture in a file or in a file's bytes: first frame, upright by its EXIF orientation, transparency on white, 8 bits a channel.

    `name` is what messages call it; without it the path, or "the picture". JPEGs above REDUCED_ABOVE pixels come out smaller than they are.
    Raises ImageError for anything that is not a whole picture in an accepted format (`formats.ACCEPTED`) within the limits.
    """
    shown = sanitize(name or (str(source) if isinstance(source, Path) else "the picture"), strict=True)
    if isinstance(source, Path):
        data = read_picture(source)
    else:
        data = source
        check_size(len(data), shown)
    kind = picture_format(data)
    if kind is None:
        raise ImageError(f"{shown} is {describe_other(data)}; pictures are read as {ACCEPTED}.", what_to_do(data))
    try:
        with decoded(data, (kind,), MAX_PIXELS, reduced_above=REDUCED_ABOVE) as image:
            upright = _upright(_flat(image), _orientation(image))
            return RgbImage.from_rgb(upright.width, upright.height, upright.tobytes())
    except BadPictureError as error:
        if error.size is None:
            reason = sanitize(str(error), strict=True)
            raise ImageError(f"{shown} is cut short or broken ({reason}).", "Save or download it again.") from None
        size = f"is {error.size[0]} x {error.size[1]} pixels" if all(error.size) else "has too many pixels"
        limits = f"{MAX_PIXELS // 1_000_000} million pixels and {MAX_SIDE} on a side"
        raise ImageError(f"{shown} {size}; the limits are {limits}.", "Save a smaller copy.") from None


def _flat(image: Image) -> Image:
    """8-bit RGB: 16-bit grey scaled to 8, palettes and CMYK resolved, transparency composited on white."""
    from PIL import Image

    if image.mode.startswith("I"):
        # A plain convert() clips at 255, which turns nearly all of a 16-bit picture white. 65535 / 257 = 255; F to L cuts fractions off.
        grey = image.convert("I").convert("F").point(lambda value: value * (1 / 257) + 0.5)
        return grey.convert("L").convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.convert("RGB")


def _orientation(image: Image) -> int:
    """EXIF orientation 1 to 8; 1 where the metadata is missing or broken, because the picture is still good."""
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(image: Image, orientation: int) -> Image:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image
