"""What a vision encoder of fixed input size gets."""

from __future__ import annotations

import math

from nemochat.domain.images import RgbImage

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
