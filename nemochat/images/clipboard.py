"""The picture on the clipboard."""

from __future__ import annotations

import io
import os
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nemochat.domain.images import RgbImage
from nemochat.domain.sanitize import sanitize
from nemochat.errors import ImageError
from nemochat.images.decode import MAX_PIXELS, load
from nemochat.system import environments, processes

if TYPE_CHECKING:
    from PIL.Image import Image

LIMIT_SECONDS = 5.0
"""How long the program that owns the clipboard may take to answer."""

_NAME = "the picture on the clipboard"
_DROP_HINT = "Drop the picture's file instead, or name it with /image."
_WAYLAND = ("wl-paste", "--no-newline", "--type", "image/png")
_MACOS = ("osascript", "-e", "get the clipboard as «class PNGf»")
_X11 = ("xclip", "-selection", "clipboard", "-target", "image/png", "-out")
# What the tools say when the clipboard is empty or holds something else.
_NO_PICTURE = ("nothing is copied", "no selection", "no suitable type", "not available", "cannot convert", "there is no owner")


def read_clipboard_picture(limit_seconds: float = LIMIT_SECONDS) -> RgbImage | None:
    """The picture; None when the clipboard holds none. May take up to `limit_seconds`: call it in a thread.

    Raises ImageError when the clipboard cannot be asked, does not answer, or holds a picture that cannot be read.
    """
    if sys.platform == "win32":
        return _from_system(limit_seconds)
    return _from_macos(limit_seconds) if sys.platform == "darwin" else _from_tool(limit_seconds)


def _from_macos(limit_seconds: float) -> RgbImage | None:
    """The system's own tool, which writes the bytes of a PNG as ``«data PNGf89504E...»``; it fails when there is no picture."""
    pipe = processes.PIPE
    try:
        done = processes.run(_MACOS, environments.desktop(), seconds=limit_seconds, stdin=processes.NOWHERE, stdout=pipe, stderr=pipe)
        found = re.fullmatch(rb"\s*\S*data PNGf((?:[0-9A-Fa-f]{2})+)\S*\s*", done.stdout)
    except processes.TooSlow:
        raise ImageError("The clipboard cannot be read (no answer).", _DROP_HINT) from None
    except OSError as error:
        raise ImageError(f"The clipboard cannot be read ({_MACOS[0]}: {error.strerror or error}).", _DROP_HINT) from error
    return load(bytes.fromhex(found.group(1).decode()), _NAME) if found else None


def _from_tool(limit_seconds: float) -> RgbImage | None:
    """Linux: Wayland's or X11's tool. They give bytes, which go through the same checks as any file."""
    is_wayland = bool(os.environ.get("WAYLAND_DISPLAY"))
    search_path = os.environ.get("PATH", os.defpath)
    tools = [tool for tool in ((_WAYLAND, _X11) if is_wayland else (_X11, _WAYLAND)) if processes.find_program(tool[0], search_path)]
    if not tools:
        package = "wl-clipboard" if is_wayland else "xclip" if os.environ.get("DISPLAY") else "wl-clipboard (Wayland) or xclip (X11)"
        raise ImageError("nemochat needs a tool to read the clipboard.", f"Install {package}. {_DROP_HINT}")
    problem, environment, pipe = "", environments.desktop(), processes.PIPE
    for tool in tools:
        try:
            done = processes.run(tool, environment, seconds=limit_seconds / len(tools), stdin=processes.NOWHERE, stdout=pipe, stderr=pipe)
        except processes.TooSlow:
            problem = problem or f"{tool[0]} got no answer"
            continue
        except OSError as error:
            problem = problem or f"{tool[0]}: {error.strerror or error}"
            continue
        if done.returncode == 0:
            return load(done.stdout, _NAME) if done.stdout else None
        said = sanitize(done.stderr.decode(errors="replace"), strict=True).strip()
        if any(phrase in said.lower() for phrase in _NO_PICTURE):
            return None
        problem = problem or said or f"{tool[0]} failed"
    hint = "Over SSH, your own computer's clipboard is out of reach. " if os.environ.get("SSH_CONNECTION") else ""
    raise ImageError(f"The clipboard cannot be read ({problem.rstrip('.')}).", hint + _DROP_HINT)


def _from_system(limit_seconds: float) -> RgbImage | None:
    """Windows: Pillow asks the system. It has no time limit of its own, so it is asked in a thread that may be left behind."""
    from PIL import ImageGrab

    answers: list[Image | list[str] | None] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(ImageGrab.grabclipboard())
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller's thread gets it
            errors.append(error)

    thread = threading.Thread(target=ask, name="clipboard", daemon=True)
    thread.start()
    thread.join(limit_seconds)
    if errors:
        reason = sanitize(str(errors[0]), strict=True) or type(errors[0]).__name__
        raise ImageError(f"The clipboard cannot be read ({reason.rstrip('.')}).", _DROP_HINT) from errors[0]
    if not answers:
        raise ImageError("The clipboard cannot be read (no answer).", _DROP_HINT)
    answer = answers[0]
    if isinstance(answer, list):
        # Files that were copied in the file manager.
        return load(Path(answer[0])) if answer else None
    return None if answer is None else _checked(answer)


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
