"""Pictures written out, so that anybody can look at what the model got."""

from __future__ import annotations

import io
from pathlib import Path

from nemochat.domain.images import RgbImage
from nemochat.domain.sanitize import sanitize
from nemochat.errors import ImageError
from nemochat.files import export_file


def to_png(image: RgbImage) -> bytes:
    """The picture as a PNG file's bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.frombytes("RGB", (image.width, image.height), image.rgb).save(buffer, "PNG")
    return buffer.getvalue()


def save_png(image: RgbImage, path: Path) -> None:
    """Write the picture as a PNG file, over one that is there. Raises ImageError when the file cannot be written."""
    try:
        export_file(path, to_png(image), replace=True)
    except OSError as error:
        raise ImageError(f"The picture cannot be written to {sanitize(str(path), strict=True)} ({error.strerror or error}).") from None
