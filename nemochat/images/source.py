"""The bytes of a picture file, or of one inside text (`data:image/png;base64,...`): no kind of path hangs or floods the memory."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from nemochat.domain.sanitize import sanitize
from nemochat.errors import ImageError
from nemochat.files import reason
from nemochat.reading import NotAFileError, TooLargeError, read_regular

MAX_BYTES = 100 * 1024 * 1024
"""The largest picture file that is read."""

_SSH_HINT = "Over SSH, paths dropped from your own computer are not visible here."


def read_picture(path: Path) -> bytes:
    """The content of a regular file.

    Raises ImageError for a missing, empty, too large or unreadable file, and for anything that is not a file.
    """
    shown = sanitize(str(path), strict=True)
    try:
        data = read_regular(path, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"There is no such file on this machine: {shown}", _SSH_HINT) from None
    except PermissionError:
        raise ImageError(f"The picture may not be read: {shown}", "Check the file's permissions.") from None
    except NotAFileError as error:
        raise ImageError(f"This is {error.kind}, not a picture: {shown}", "Name one picture file.") from None
    except TooLargeError as error:
        raise _too_large(error.size, shown) from None
    except OSError as error:
        raise ImageError(f"The picture cannot be read: {shown} ({reason(error)})") from None
    check_size(len(data), shown)
    return data


def check_size(n_bytes: int, shown: str) -> None:
    """Raise ImageError for no bytes at all and for more than MAX_BYTES."""
    if n_bytes == 0:
        raise ImageError(f"The picture file is empty: {shown}")
    if n_bytes > MAX_BYTES:
        raise _too_large(n_bytes, shown)


def _too_large(n_bytes: int, shown: str) -> ImageError:
    megabytes, limit = n_bytes / 1024 / 1024, MAX_BYTES // 1024 // 1024
    return ImageError(f"The picture file is larger than {limit} MiB ({megabytes:.0f} MiB): {shown}", "Save a smaller copy.")


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
