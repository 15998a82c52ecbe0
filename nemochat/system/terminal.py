"""The terminal outside of the full-screen interface: what it says of itself, and what is typed there."""

from __future__ import annotations

import contextlib
import os
import re
import select
import struct
import sys
import time
from typing import Any

_MOST = 1 << 12
_DEVICE = re.compile(rb"\x1b\[\?[\d;]*c")


if sys.platform == "win32":
    import msvcrt

    CAN_SUSPEND = False
    """Whether Ctrl+Z may give the terminal back to the shell that nemochat was started from."""

    def ask(question: bytes, seconds: float = 0.5) -> bytes:
        """Nothing: the console is not asked."""
        return b""

    def open_keyboard() -> int:
        """A handle of the keyboard, whatever standard input is. Raises OSError."""
        return os.open("CONIN$", os.O_RDWR | os.O_BINARY)  # to forget what was typed is to write

    def forget_typed(keyboard: int) -> None:
        """Throw away what was typed and not read yet."""
        import win32console

        with contextlib.suppress(OSError, win32console.error):
            win32console.PyConsoleScreenBufferType(msvcrt.get_osfhandle(keyboard)).FlushConsoleInputBuffer()

    def modes() -> Any:
        """How the terminal is set: nothing here changes it."""
        return None

    def set_modes(before: Any) -> None:
        """As it was."""

    def cell_pixels() -> tuple[int, int] | None:
        """Width and height of a cell in pixels; None, as the console does not say."""
        return None

else:
    import fcntl
    import termios
    import tty

    CAN_SUSPEND = True
    """Whether Ctrl+Z may give the terminal back to the shell that nemochat was started from."""

    def ask(question: bytes, seconds: float = 0.5) -> bytes:
        """What the terminal answers; b"" where there is none, or it says nothing. Ask `\\x1b[c` last: every terminal answers that one."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            return b""
        try:
            before = termios.tcgetattr(0)
            tty.setcbreak(0, termios.TCSAFLUSH)
        except termios.error:
            return b""
        answer, until = b"", time.monotonic() + seconds
        try:
            os.write(1, question)
            while len(answer) < _MOST and not _DEVICE.search(answer) and (left := until - time.monotonic()) > 0:
                if select.select([0], [], [], left)[0]:
                    answer += os.read(0, _MOST)
        except OSError:
            return b""
        finally:
            termios.tcsetattr(0, termios.TCSAFLUSH, before)
        return answer

    def open_keyboard() -> int:
        """A handle of the keyboard, whatever standard input is. Raises OSError."""
        return os.open("/dev/tty", os.O_RDONLY)

    def forget_typed(keyboard: int) -> None:
        """Throw away what was typed and not read yet."""
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(keyboard, termios.TCIFLUSH)

    def modes() -> Any:
        """How the terminal is set, for `set_modes`; None where there is none."""
        with contextlib.suppress(OSError, termios.error):
            return termios.tcgetattr(0)
        return None

    def set_modes(before: Any) -> None:
        """As it was."""
        if before is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN, before)

    def cell_pixels() -> tuple[int, int] | None:
        """Width and height of a cell in pixels; None where the terminal does not say. Either is 0 where it does not know that one."""
        try:
            rows, columns, width, height = struct.unpack("HHHH", fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8)))
            return width // columns, height // rows
        except (OSError, ZeroDivisionError):
            return None
