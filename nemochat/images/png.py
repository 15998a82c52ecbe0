"""Pictures written out, so that anybody can look at what the model got."""

from __future__ import annotations

import io
from pathlib import Path

from nemochat.domain.images import Original, RgbImage
from nemochat.domain.sanitize import shown
from nemochat.errors import ImageError
from nemochat.files import export_file
from nemochat.images.decode import load
from nemochat.images.formats import picture_format


def to_png(image: RgbImage) -> bytes:
    """The picture as a PNG file's bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.frombytes("RGB", (image.width, image.height), image.rgb).save(buffer, "PNG")
    return buffer.getvalue()


def shareable(original: Original) -> tuple[bytes, str]:
    """A picture's file for others, and its media type: upright, and without what cameras write beside it (places, times, names).

    Raises ImageError for a file that is damaged.
    """
    from PIL import Image

    picture = load(original.data, "a picture of the conversation")
    if picture_format(original.data) != "JPEG":
        return to_png(picture), "image/png"
    buffer = io.BytesIO()
    Image.frombytes("RGB", (picture.width, picture.height), picture.rgb).save(buffer, "JPEG", quality=90)
    return buffer.getvalue(), "image/jpeg"


def save_png(image: RgbImage, path: Path) -> None:
    """Write the picture as a PNG file, over one that is there. Raises ImageError when the file cannot be written."""
    try:
        export_file(path, to_png(image), replace=True)
    except OSError as error:
        raise ImageError(f"The picture cannot be written to {shown(path)} ({error.strerror or error}).") from None
