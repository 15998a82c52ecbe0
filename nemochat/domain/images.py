"""A picture as the model gets it, and the file that it came from."""

from __future__ import annotations

import hashlib

import msgspec


class RgbImage(msgspec.Struct, frozen=True):
    """Pixels: `rgb` is height x width x 3 bytes, row by row. digest: by which they are known: SHA-256 over size and pixels, or, when they
    were made of a picture for a model, the digest of that picture."""

    width: int
    height: int
    rgb: bytes
    digest: str

    @classmethod
    def from_rgb(cls, width: int, height: int, rgb: bytes) -> RgbImage:
        """Make the value and compute its digest. Raises ValueError when the number of bytes is not width * height * 3."""
        if width < 1 or height < 1 or len(rgb) != width * height * 3:
            raise ValueError(f"{len(rgb)} bytes are not {width} x {height} RGB pixels")
        digest = hashlib.sha256(b"%d %d " % (width, height) + rgb).hexdigest()
        return cls(width, height, rgb, digest)


class Original(msgspec.Struct, frozen=True):
    """A picture's file as it came. suffix: what it holds, as the ending of a name, without the dot.

    Its SHA-256 identifies the picture. One that never was a file has the digest of its pixels (`RgbImage.digest`), and is kept as a PNG.
    """

    data: bytes
    suffix: str

    @property
    def digest(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.data).hexdigest()
