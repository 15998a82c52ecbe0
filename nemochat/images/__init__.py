"""Pictures: from a file or bytes to the RGB pixels that the model gets. Pillow is imported where it is used: start-up stays fast."""

from nemochat.images.data_uri import decode_data_uri
from nemochat.images.decode import load
from nemochat.images.fit import fit
from nemochat.images.png import save_png, to_png

__all__ = ["decode_data_uri", "fit", "load", "save_png", "to_png"]
