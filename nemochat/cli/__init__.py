"""The `nemochat` command. `app` is its shape and imports little; each command imports its own module when it runs."""

from __future__ import annotations

import os
import sys

from nemochat import __version__
from nemochat.system.streams import make_ready


def main() -> None:
    """Run the command line. The interface, which is `nemochat` alone in a terminal, does without the machinery of commands."""
    make_ready()
    try:
        if sys.argv[1:] == ["--version"]:  # other programs ask for it, and it needs nothing of what follows
            sys.stdout.write(f"nemochat {__version__}\n")
            sys.stdout.flush()
        elif _is_for_the_interface():
            from nemochat.cli.start import run

            run(None, None, {})
        else:
            from nemochat.cli.app import run_commands

            run_commands()
    except Exception as error:  # noqa: BLE001  # said in one sentence
        from nemochat.cli.app import fail

        fail(error)


def _is_for_the_interface() -> bool:
    is_alone = len(sys.argv) == 1 and "_NEMOCHAT_COMPLETE" not in os.environ  # which is how a shell asks what to offer
    return is_alone and os.environ.get("TERM") != "dumb" and sys.stdin.isatty() and sys.stdout.isatty()


__all__ = ["main"]
