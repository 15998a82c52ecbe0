"""What a path means here that another system, or another program, has written: drive letters, network shares, ``%USERPROFILE%``, the WSL.

Texts in, texts out: nothing is asked of the disk.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Final

_VARIABLE = re.compile(r"(?:%(\w+)%|\$env:(\w+))(?=[/\\]|$)", re.IGNORECASE)
_DRIVE = re.compile(r"/?([a-z]):[/\\]", re.IGNORECASE)
_DRIVE_ELSEWHERE = re.compile(r"/(?:mnt/|cygdrive/)?([a-z])/", re.IGNORECASE)
_LONG = re.compile(r"\\\\\?\\(?=[a-z]:\\)", re.IGNORECASE)
_DEVICE = re.compile(
    r"[/\\]{2}[?.][/\\].*|(?:.*[/\\])?(?:con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)[ .:]*(?:\.[^/\\]*)?", re.IGNORECASE | re.DOTALL
)
_WSL = re.compile(r"\\\\wsl(?:\.localhost|\$)\\[^\\]+\\", re.IGNORECASE)
_QUOTES = "\"'`“‘«([{<"  # noqa: RUF001
_SHARE = re.compile(r"(?:file:(?=[/\\]{2,}))?(?:[/\\]{4,}|[/\\]{2})(?![/\\])(?P<host>[^/\\]*)", re.IGNORECASE)
_NO_HOSTS = ("", ".", "localhost", "wsl$", "wsl.localhost")


def _expanded(written: str, environment: Mapping[str, str]) -> str:
    """With a variable at its beginning as the folder that it names, if it names one."""
    if (variable := _VARIABLE.match(written)) is None:
        return written
    name = (variable[1] or variable[2]).upper()
    folder = next((value for each, value in environment.items() if each.upper() == name), "")
    is_folder = _DRIVE.match(folder) or folder.startswith(("/", "\\\\"))
    return folder.rstrip("/\\") + written[variable.end() :] if is_folder else written


def on_windows(written: str, environment: Mapping[str, str]) -> str | None:
    """A path as Windows takes it, Git's and Cygwin's and the WSL's names for drives among them. None for a device, which is no file."""
    written = _expanded(written, environment)
    if (drive := _DRIVE_ELSEWHERE.match(written)) is not None:
        written = f"{drive[1]}:/{written[drive.end() :]}"
    written = _LONG.sub("", written)
    if _DRIVE.match(written):
        written = written.removeprefix("/")  # as in file:///C:/x
    return None if _DEVICE.fullmatch(written) else written


def on_posix(written: str, environment: Mapping[str, str], drives: str) -> str:
    """A path of Windows as the WSL has it: its drives are folders below `drives`, and its name for the WSL's own files is left out."""
    written = _LONG.sub("", _expanded(written, environment))
    if (drive := _DRIVE.match(written)) is not None:
        return "/".join((drives, drive[1].lower(), *PureWindowsPath(written.removeprefix("/")).parts[1:]))
    if (share := _WSL.match(written)) is not None:
        return "/" + written[share.end() :].replace("\\", "/")
    return written


def is_share(written: str) -> bool:
    """Whether it names a file on another machine as Windows does: ``\\\\SERVER\\SHARE``, also in quotes and as a ``file:`` address.

    There, to look whether it exists is to connect to that machine, and to send it what proves who the user is.
    """
    bare = written.lstrip(_QUOTES)
    if bare[:8].upper() == "\\\\?\\UNC\\":
        return True
    share = _SHARE.match(bare)
    return share is not None and share["host"].lower() not in (*_NO_HOSTS, "?") and not _DRIVE.match(bare)


IS_WINDOWS: Final = sys.platform == "win32"


def local(written: str, drives: str) -> str | None:
    """What it means on this system; None when that can be no file. drives: where the drives of Windows are inside the WSL."""
    return on_windows(written, os.environ) if IS_WINDOWS else on_posix(written, os.environ, drives)
