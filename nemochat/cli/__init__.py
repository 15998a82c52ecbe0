"""The `nemochat` command. `app` is its shape and imports little; each command imports its own module when it runs."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def main() -> None:
    """Run the command line. The interface, which is `nemochat` alone in a terminal, does without the machinery of commands."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed before the start: else the next file that is opened would take its number
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows a question mark; it is no reason to stop.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if len(sys.argv) > 1 or os.environ.get("TERM") == "dumb" or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from nemochat.cli.app import run_commands

        run_commands()
        return
    from nemochat.cli.start import run

    try:
        run(None, None, {})
    except Exception as error:  # noqa: BLE001  # said in one sentence
        from nemochat.cli.app import fail

        fail(error)


__all__ = ["main"]
