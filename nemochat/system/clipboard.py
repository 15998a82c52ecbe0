"""The user's clipboard: by the programs of macOS, Wayland, X11 and tmux, by Windows' own calls."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nemochat.system import environments, processes

if TYPE_CHECKING:
    from PIL.Image import Image

PROGRAMS: tuple[tuple[str, ...], ...] = (
    ("pbcopy",),
    ("wl-copy",),
    ("xclip", "-selection", "clipboard"),
    ("xsel", "--clipboard", "--input"),
)
"""What takes a text from standard input."""
_NEEDS = {"wl-copy": "WAYLAND_DISPLAY", "xclip": "DISPLAY", "xsel": "DISPLAY"}
_WAYLAND = ("wl-paste", "--no-newline", "--type", "image/png")
_MACOS = ("osascript", "-e", "get the clipboard as «class PNGf»")
_X11 = ("xclip", "-selection", "clipboard", "-target", "image/png", "-out")
# What the tools say when the clipboard is empty or holds something else.
_NO_PICTURE = ("nothing is copied", "no selection", "no suitable type", "not available", "cannot convert", "there is no owner")


class ClipboardError(Exception):
    """It cannot be asked, or does not answer; the message is a clause, as its programs say it. missing: the package that is not there."""

    def __init__(self, reason: str, missing: str = "") -> None:
        super().__init__(reason)
        self.missing = missing


# -- text


def reaches_the_user(program: str, environment: Mapping[str, str]) -> bool:
    """Whether this program's clipboard is the one that the user pastes from: over SSH only a forwarded display is."""
    needed = _NEEDS.get(program)
    return not environment.get("SSH_CONNECTION") if needed is None else bool(environment.get(needed))


def fed(command: Sequence[str], text: str, environment: Mapping[str, str], seconds: float) -> bool:
    """Whether the program is there and took the text. Its output goes nowhere: wl-copy and xclip stay behind and would hold a pipe open."""
    data, nowhere = text.encode("utf-8", "replace"), processes.NOWHERE
    try:
        done = processes.run(command, environments.desktop(environment), data=data, seconds=seconds, stdout=nowhere, stderr=nowhere)
    except (OSError, processes.TooSlow):
        return False
    return done.returncode == 0


if sys.platform == "win32":

    def put_text(text: str, environment: Mapping[str, str], seconds: float) -> bool:
        """Whether the system's own call took a text. Another program may have the clipboard open for a moment: that is waited for."""
        import win32clipboard
        import win32con

        if environment.get("SSH_CONNECTION"):
            return False
        until = time.monotonic() + seconds
        while True:
            try:
                win32clipboard.OpenClipboard()
            except win32clipboard.error:
                if time.monotonic() > until:
                    return False
                time.sleep(0.02)
            else:
                break
        try:
            win32clipboard.EmptyClipboard()  # type: ignore[no-untyped-call]
            win32clipboard.SetClipboardText(text, win32con.CF_UNICODETEXT)  # type: ignore[no-untyped-call]
        except win32clipboard.error:
            return False
        finally:
            win32clipboard.CloseClipboard()  # type: ignore[no-untyped-call]
        return True

else:

    def put_text(text: str, environment: Mapping[str, str], seconds: float) -> bool:
        """Whether the system's own call took a text: here programs do (`fed`)."""
        return False


# -- pictures


def picture(limit_seconds: float) -> bytes | Path | Image | None:
    """The picture: a file's bytes, the path of a file that was copied, or Pillow's; None when there is none.

    May take up to `limit_seconds`: call it in a thread. Raises ClipboardError.
    """
    if sys.platform == "win32":
        found = _from_system
    elif sys.platform == "darwin":
        found = _from_macos
    else:
        found = _from_tool
    return found(limit_seconds)


def _from_macos(limit_seconds: float) -> bytes | None:
    """The system's own tool, which writes the bytes of a PNG as ``«data PNGf89504E...»``; it fails when there is no picture."""
    pipe = processes.PIPE
    try:
        done = processes.run(_MACOS, environments.desktop(), seconds=limit_seconds, stdin=processes.NOWHERE, stdout=pipe, stderr=pipe)
    except processes.TooSlow:
        raise ClipboardError("no answer") from None
    except OSError as error:
        raise ClipboardError(f"{_MACOS[0]}: {error.strerror or error}") from error
    found = re.fullmatch(rb"\s*\S*data PNGf((?:[0-9A-Fa-f]{2})+)\S*\s*", done.stdout)
    return bytes.fromhex(found.group(1).decode()) if found else None


def _from_tool(limit_seconds: float) -> bytes | None:
    """Linux: Wayland's or X11's tool."""
    is_wayland = bool(os.environ.get("WAYLAND_DISPLAY"))
    search_path = os.environ.get("PATH", os.defpath)
    tools = [tool for tool in ((_WAYLAND, _X11) if is_wayland else (_X11, _WAYLAND)) if processes.find_program(tool[0], search_path)]
    if not tools:
        package = "wl-clipboard" if is_wayland else "xclip" if os.environ.get("DISPLAY") else "wl-clipboard (Wayland) or xclip (X11)"
        raise ClipboardError("no tool to read it", missing=package)
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
            return done.stdout or None
        said = done.stderr.decode(errors="replace").strip()
        if any(phrase in said.lower() for phrase in _NO_PICTURE):
            return None
        problem = problem or said or f"{tool[0]} failed"
    raise ClipboardError(problem)


def _from_system(limit_seconds: float) -> Path | Image | None:
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
        raise ClipboardError(str(errors[0]) or type(errors[0]).__name__) from errors[0]
    if not answers:
        raise ClipboardError("no answer")
    answer = answers[0]
    if isinstance(answer, list):
        # Files that were copied in the file manager.
        return Path(answer[0]) if answer else None
    return answer
