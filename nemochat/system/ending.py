"""How the system asks a program to end: the signals of a closed terminal and of a shutdown. Windows ends programs without asking."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from collections.abc import Callable

_SIGNALS = ("SIGTERM", "SIGHUP")
_STANDARD = (0, 1, 2)


def when_asked(end: Callable[[int], None]) -> None:
    """Call `end` in the running event loop with the exit code of whoever is ended so. What a dead terminal would get goes nowhere then."""
    loop = asyncio.get_running_loop()

    def asked(code: int) -> None:
        _let_go_of_dead_terminal()
        end(code)

    for number in (getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, asked, 128 + number)


def _let_go_of_dead_terminal() -> None:
    """A terminal that has hung up is a device that is no terminal any more; writing to it fails, or waits for ever."""
    for handle in _STANDARD:
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(handle).st_mode) and not os.isatty(handle):
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, handle)
                os.close(null)
