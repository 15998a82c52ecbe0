"""Standard input, output and error, as they have to be before anything is read or written."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

_PIPED = "utf-8" if sys.platform == "win32" else None
"""What is piped is UTF-8 on Windows too, where Python would take the code page of the old programs, which knows few letters."""


def make_ready() -> None:
    """Open those that were closed before the start, and let no character that cannot be shown stop the program."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # else the next file that is opened would take its number
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character shows a question mark.
            stream.reconfigure(encoding=None if stream.isatty() else _PIPED, errors=stream.errors if stream is sys.stdin else "replace")
