"""The `nemochat` command. `app` is its shape and imports little; each command imports its own module when it runs."""

from __future__ import annotations

import os
import sys

from nemochat import __version__
from nemochat.system.streams import make_ready


def main() -> None:
    """Run the command line. The interface, which is `nemochat` alone in a terminal, does without the machinery of commands."""
    make_ready()
    if sys.argv[1:] == ["--version"]:  # other programs ask for it, and it needs nothing of what follows
        sys.stdout.write(f"nemochat {__version__}\n")
        return
    is_alone = len(sys.argv) == 1 and "_NEMOCHAT_COMPLETE" not in os.environ  # which is how a shell asks what to offer
    if not is_alone or os.environ.get("TERM") == "dumb" or not (sys.stdin.isatty() and sys.stdout.isatty()):
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
