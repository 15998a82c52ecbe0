"""How the system asks a program to end: the signals of a closed terminal and of a shutdown, or what Windows says of a closed window."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import sys
import time
from collections.abc import Callable

_STANDARD = (0, 1, 2)

if sys.platform == "win32":
    import win32api
    import win32con

    _CLOSED = 129
    """What a program ends with whose terminal has hung up, as on Linux."""
    _CLOSING = (win32con.CTRL_CLOSE_EVENT, win32con.CTRL_LOGOFF_EVENT, win32con.CTRL_SHUTDOWN_EVENT)
    _GRACE_SECONDS = 10.0
    """Longer than Windows waits (5 seconds for a closed window) before it ends the program itself."""

    def when_asked(end: Callable[[int], None]) -> None:
        """Call `end` in the running event loop with the exit code, when the window is closed or the user logs off."""
        loop = asyncio.get_running_loop()

        def asked(event: int) -> bool:
            """In a thread of Windows'. When it returns, the program is ended: so it waits until the program has ended by itself."""
            if event not in _CLOSING:
                return False
            with contextlib.suppress(RuntimeError):  # the loop is closed: it ends already
                loop.call_soon_threadsafe(end, _CLOSED)
            time.sleep(_GRACE_SECONDS)
            return True

        win32api.SetConsoleCtrlHandler(asked, True)

    def when_interrupted(interrupt: Callable[[], None]) -> None:
        """Call `interrupt` in the running event loop for each Ctrl+C."""
        loop = asyncio.get_running_loop()

        def asked(*_: object) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(interrupt)

        # The loop has no way of its own to do it, but wakes up for what the main thread is to do.
        for number in (signal.SIGINT, signal.SIGBREAK):
            signal.signal(number, asked)

else:

    def when_asked(end: Callable[[int], None]) -> None:
        """Call `end` in the running event loop with the exit code, when the terminal is closed or somebody asks for the end.

        What a dead terminal would get goes nowhere then.
        """
        loop = asyncio.get_running_loop()

        def asked(code: int) -> None:
            _let_go_of_dead_terminal()
            end(code)

        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, asked, 128 + number)

    def when_interrupted(interrupt: Callable[[], None]) -> None:
        """Call `interrupt` in the running event loop for each Ctrl+C."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)


def _let_go_of_dead_terminal() -> None:
    """A terminal that has hung up is a device that is no terminal any more; writing to it fails, or waits for ever."""
    for handle in _STANDARD:
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(handle).st_mode) and not os.isatty(handle):
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, handle)
                os.close(null)
