"""Pictures: from a file or bytes to the RGB pixels that the model gets. Pillow is imported where it is used: start-up stays fast."""

from nemochat.images.decode import load
from nemochat.images.fit import fit, halved, within
from nemochat.images.formats import picture_format
from nemochat.images.png import crop, is_flat, sample_picture, sample_source, save_png, shareable, to_png
from nemochat.images.source import decode_data_uri, read_picture

__all__ = [
    "crop", "decode_data_uri", "fit", "halved", "is_flat", "load", "picture_format", "read_picture", "sample_picture", "sample_source",
    "save_png", "shareable", "to_png", "within",
]  # fmt: skip
