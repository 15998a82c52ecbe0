"""Many commands in one process with little memory, each with a time limit, and one JSON line about each.

It is a fork (`forking`), or run as a program. Standard input: a JSON list of [name, [argument, ...], {variable: value}]. The commands are
those that users run (`nemochat.cli.main`).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence

from nemochat.cli import main

MEMORY = 1 << 30
LIMIT_SECONDS = 60.0
"""By the clock: whoever waits is stopped then, however busy the machine is."""


class _Late(BaseException):
    """A command has taken too long."""


def run(arguments: Sequence[str]) -> tuple[int | None, str, float]:
    """Exit code, all that was printed, and the seconds it took of a processor. None for one that had to be stopped."""
    output = io.StringIO()
    began = time.process_time()
    sys.argv = ["nemochat", *arguments]
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    code: int | None = 0
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except _Late:
        code = None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return code, output.getvalue(), time.process_time() - began


def _stop(*_: object) -> None:
    raise _Late


def run_all() -> None:
    """Run those that standard input names. They end with this process, which is given no more memory again."""
    signal.signal(signal.SIGALRM, _stop)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for name, wanted, variables in json.loads(sys.stdin.read()):
        os.environ.update(variables)
        sys.__stdout__.write(json.dumps([name, *run(wanted)]) + "\n")  # type: ignore[union-attr]


if __name__ == "__main__":
    run_all()
