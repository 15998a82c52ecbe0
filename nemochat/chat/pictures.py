"""From where a picture is said to be to its pixels."""

from __future__ import annotations

from pathlib import Path

from nemochat import images
from nemochat.domain.images import RgbImage
from nemochat.errors import ImageError


def open_picture(source: str) -> RgbImage:
    """The picture behind a data URI or a path (relative to the working directory; ``~`` is the home). Raises ImageError."""
    if source.startswith("data:"):
        return images.load(images.decode_data_uri(source), "the picture in the data URI")
    if source.startswith(("http://", "https://")):
        raise ImageError("nemochat does not fetch pictures from the network.", "Save the picture first and give its path.")
    try:
        return images.load(Path(source).expanduser())
    except RuntimeError:
        raise ImageError(f"There is no home folder for {Path(source).parts[0]}.") from None


def picture_name(source: str) -> str:
    """What people call it: the file's name, or "picture" for a data URI."""
    return "picture" if source.startswith("data:") else Path(source).name
