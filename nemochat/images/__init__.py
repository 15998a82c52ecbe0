"""Pictures: from a file or bytes to the RGB pixels that the model gets. Pillow is imported where it is used: start-up stays fast."""

from nemochat.images.decode import decode_data_uri, fit, halved, load, read_picture, within
from nemochat.images.formats import picture_format
from nemochat.images.png import crop, is_flat, sample_picture, sample_source, save_png, shareable, to_png

__all__ = [
    "crop", "decode_data_uri", "fit", "halved", "is_flat", "load", "picture_format", "read_picture", "sample_picture", "sample_source",
    "save_png", "shareable", "to_png", "within",
]  # fmt: skip
