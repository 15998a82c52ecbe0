"""What the terminal says of itself when it is asked, outside of the full-screen interface."""

from __future__ import annotations

import os
import re
import select
import sys
import time

_MOST = 1 << 12
_DEVICE = re.compile(rb"\x1b\[\?[\d;]*c")


if sys.platform == "win32":

    def ask(question: bytes, seconds: float = 0.5) -> bytes:
        """Nothing: the console is not asked."""
        return b""

else:
    import termios
    import tty

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
