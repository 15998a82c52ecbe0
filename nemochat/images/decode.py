"""From a picture file, or one inside text, to upright RGB pixels on white, and those to the size that a vision encoder gets."""

from __future__ import annotations

import base64
import binascii
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nemochat.domain.images import RgbImage
from nemochat.domain.sanitize import sanitize
from nemochat.errors import ImageError
from nemochat.files import reason
from nemochat.images.formats import ACCEPTED, describe_other, picture_format, what_to_do
from nemochat.pixels import MAX_SIDE, BadPictureError, decoded
from nemochat.reading import NotAFileError, TooLargeError, read_regular

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 100 * 1024 * 1024
"""The largest picture file that is read."""

_SSH_HINT = "Over SSH, paths dropped from your own computer are not visible here."


def read_picture(path: Path) -> bytes:
    """The content of a regular file.

    Raises ImageError for a missing, empty, too large or unreadable file, and for anything that is not a file.
    """
    shown = sanitize(str(path), strict=True)
    try:
        data = read_regular(path, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"There is no such file on this machine: {shown}", _SSH_HINT) from None
    except PermissionError:
        raise ImageError(f"The picture may not be read: {shown}", "Check the file's permissions.") from None
    except NotAFileError as error:
        raise ImageError(f"This is {error.kind}, not a picture: {shown}", "Name one picture file.") from None
    except TooLargeError as error:
        raise _too_large(error.size, shown) from None
    except OSError as error:
        raise ImageError(f"The picture cannot be read: {shown} ({reason(error)})") from None
    check_size(len(data), shown)
    return data


def check_size(n_bytes: int, shown: str) -> None:
    """Raise ImageError for no bytes at all and for more than MAX_BYTES."""
    if n_bytes == 0:
        raise ImageError(f"The picture file is empty: {shown}")
    if n_bytes > MAX_BYTES:
        raise _too_large(n_bytes, shown)


def _too_large(n_bytes: int, shown: str) -> ImageError:
    megabytes, limit = n_bytes / 1024 / 1024, MAX_BYTES // 1024 // 1024
    return ImageError(f"The picture file is larger than {limit} MiB ({megabytes:.0f} MiB): {shown}", "Save a smaller copy.")


_HEADER = re.compile(r"data:image/[a-z0-9.+-]{1,64};base64,", re.IGNORECASE)
_LONGEST_HEADER = 128


def decode_data_uri(text: str) -> bytes:
    """The file's bytes in a `data:image/...;base64,` URI, for `load`. The subtype is not believed: the bytes say what they are.

    Raises ImageError for any other URI, for characters that are not base64 and for more than MAX_BYTES.
    """
    text = text.strip()
    header = _HEADER.match(text[:_LONGEST_HEADER])
    if header is None:
        raise ImageError("This is not a picture as a data URI.", "It must begin with data:image/png;base64, or another image type.")
    encoded_length = len(text) - header.end()
    if encoded_length > MAX_BYTES // 3 * 4 + 4:
        check_size(encoded_length // 4 * 3, "the data URI")
    try:
        data = base64.b64decode(text[header.end() :], validate=True)
    except (binascii.Error, ValueError):  # ValueError: characters outside ASCII
        raise ImageError("The picture's data URI is not valid base64; it may be cut short.") from None
    check_size(len(data), "the data URI")
    return data


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


PAD_COLOUR = (122, 116, 104)
"""The mean colour of CLIP's training pictures; LLaVA pads with it, and so does llama.cpp."""

_PAD_FIRST_UP_TO = 4096


def fit(image: RgbImage, size: int) -> RgbImage:
    """The picture padded to a centred square with PAD_COLOUR and resized to size x size, bicubic with antialiasing.

    A picture that has this size is returned as it is, with the same digest.
    """
    if image.width == size == image.height:
        return image
    from PIL import Image

    picture = Image.frombytes("RGB", (image.width, image.height), image.rgb)
    side = max(picture.size)
    square = (side, side)
    if side > _PAD_FIRST_UP_TO:
        # The square around a long strip would be huge. Resampling works on one axis at a time, so the long axis may go first: the same
        # pixels but for rounding, without ever holding the square.
        is_tall = image.height == side
        picture = picture.resize((image.width, size) if is_tall else (size, image.height), Image.Resampling.BICUBIC)
        square = (side, size) if is_tall else (size, side)
    if picture.size != square:
        padded = Image.new("RGB", square, PAD_COLOUR)
        padded.paste(picture, ((square[0] - picture.width) // 2, (square[1] - picture.height) // 2))
        picture = padded
    picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    return RgbImage.from_rgb(size, size, picture.tobytes())


def halved(image: RgbImage) -> RgbImage:
    """The picture with half of its pixels."""
    return within(image, max(1, round(max(image.width, image.height) / math.sqrt(2))))


def within(image: RgbImage, side: int) -> RgbImage:
    """The picture with neither side longer than `side` pixels, scaled down where it has to be."""
    longest = max(image.width, image.height)
    if longest <= side:
        return image
    from PIL import Image

    size = (max(1, image.width * side // longest), max(1, image.height * side // longest))
    picture = Image.frombytes("RGB", (image.width, image.height), image.rgb).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return RgbImage.from_rgb(*size, picture.tobytes())
