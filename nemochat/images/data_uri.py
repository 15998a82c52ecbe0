"""Pictures inside text: `data:image/png;base64,...`."""

from __future__ import annotations

import base64
import binascii
import re

from nemochat.errors import ImageError
from nemochat.images.source import MAX_BYTES, check_size

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
