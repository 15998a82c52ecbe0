"""The picture on the clipboard."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nemochat.domain.images import RgbImage
from nemochat.domain.sanitize import sanitize
from nemochat.errors import ImageError
from nemochat.images.decode import MAX_PIXELS, load
from nemochat.system import clipboard
from nemochat.system.clipboard import ClipboardError

if TYPE_CHECKING:
    from PIL.Image import Image

LIMIT_SECONDS = 5.0
"""How long the program that owns the clipboard may take to answer."""

_NAME = "the picture on the clipboard"
_DROP_HINT = "Drop the picture's file instead, or name it with /image."



def read_clipboard_picture(limit_seconds: float = LIMIT_SECONDS) -> RgbImage | None:
    """The picture; None when the clipboard holds none. May take up to `limit_seconds`: call it in a thread.

    Raises ImageError when the clipboard cannot be asked, does not answer, or holds a picture that cannot be read.
    """
    try:
        found = clipboard.picture(limit_seconds)
    except ClipboardError as error:
        if error.missing:
            raise ImageError("nemochat needs a tool to read the clipboard.", f"Install {error.missing}. {_DROP_HINT}") from error
        hint = "Over SSH, your own computer's clipboard is out of reach. " if os.environ.get("SSH_CONNECTION") else ""
        reason = sanitize(str(error), strict=True).strip().rstrip(".")
        raise ImageError(f"The clipboard cannot be read ({reason}).", hint + _DROP_HINT) from error
    match found:
        case None:
            return None
        case bytes():
            return load(found, _NAME)
        case Path():
            return load(found)
    return _checked(found)


def _checked(image: Image) -> RgbImage:
    """Pillow's picture through the same checks as any file: its size, and transparency on white."""
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"The picture on the clipboard has more than {MAX_PIXELS // 1_000_000} million pixels.", "Copy a part of it.")
    buffer = io.BytesIO()
    try:
        picture = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGB")
        picture.save(buffer, "PNG", compress_level=1)
    except Exception as error:
        raise ImageError(f"The picture on the clipboard is broken ({sanitize(str(error), strict=True)}).", "Copy it again.") from error
    return load(buffer.getvalue(), _NAME)
