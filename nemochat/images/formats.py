"""Which kind of file some bytes are, by what they hold and never by their name."""

from __future__ import annotations

from collections.abc import Callable

ACCEPTED = "PNG, JPEG, WebP, GIF, BMP or AVIF"
"""The accepted formats, for messages."""

_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def _starts(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(prefixes)


def _riff(kind: bytes) -> Callable[[bytes], bool]:
    return lambda data: data[:4] == b"RIFF" and data[8:12] == kind


def _is_base_media(data: bytes) -> bool:
    return data[4:8] == b"ftyp"


def _brands(data: bytes) -> tuple[bytes, ...]:
    """The major and the compatible brands of an ISO base media file (AVIF, HEIC, MP4), in order."""
    if not _is_base_media(data):
        return ()
    end = min(int.from_bytes(data[:4], "big"), 256)
    return (data[8:12], *(data[at : at + 4] for at in range(16, end, 4)))


def _is_svg(data: bytes) -> bool:
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!--", b"<!doctype")) and b"<svg" in head)


# Pillow's name of each accepted format and how its files begin.
_PICTURES: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("PNG", _starts(b"\x89PNG\r\n\x1a\n")),
    ("JPEG", _starts(b"\xff\xd8\xff")),
    ("WEBP", _riff(b"WEBP")),
    ("GIF", _starts(b"GIF87a", b"GIF89a")),
    ("BMP", _starts(b"BM")),
    ("AVIF", lambda data: any(brand in _AVIF_BRANDS for brand in _brands(data))),
)

# What people try as well; named so that the message can say what the file is.
_OTHERS: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("a HEIC picture", lambda data: any(brand in _HEIC_BRANDS for brand in _brands(data))),
    ("an MP4 or QuickTime video", _is_base_media),
    ("a TIFF picture", _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("a JPEG XL picture", _starts(b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    ("a JPEG 2000 picture", _starts(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")),
    ("a Photoshop picture", _starts(b"8BPS")),
    ("an icon", _starts(b"\0\0\1\0")),
    ("an SVG drawing", _is_svg),
    ("a PDF document", _starts(b"%PDF")),
    ("a ZIP archive or Office document", _starts(b"PK\x03\x04")),
    ("a GGUF model", _starts(b"GGUF")),
    ("a web page", lambda data: data[:256].lstrip().lower().startswith((b"<!doctype html", b"<html"))),
    ("an AVI video", _riff(b"AVI ")),
    ("a WAV sound", _riff(b"WAVE")),
)


def picture_format(data: bytes) -> str | None:
    """Pillow's name of the accepted format that the bytes begin like, None for anything else."""
    return next((name for name, matches in _PICTURES if matches(data)), None)


def what_to_do(data: bytes) -> str:
    """A sentence for somebody whose file is no accepted picture."""
    if data.startswith(b"%PDF"):
        return "Drop it into the prompt: its pages can be attached as pictures."
    return "Export it as PNG: any browser or drawing program can." if _is_svg(data) else "Convert it, or take a screenshot of it."


def describe_other(data: bytes) -> str:
    """A noun phrase with its article for bytes that are no accepted picture: "a PDF document"."""
    return next((phrase for phrase, matches in _OTHERS if matches(data)), "not a picture")
