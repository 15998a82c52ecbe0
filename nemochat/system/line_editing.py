"""Lines that are edited where they stand, with GNU Readline or what stands for it; Windows' console edits lines by itself."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

if sys.platform == "win32":
    IS_THERE = False
    """Whether a line can begin with a text and remembers earlier ones."""

    def begin(history: Sequence[str], *, marks_pastes: bool) -> None:
        """Nothing: the console remembers by itself."""

    def typed() -> str:
        """What stands in the line that is being edited: the console does not say."""
        return ""

    def edited(prompt: str, text: str) -> str:
        """A line of the user's. Raises EOFError at the end of input."""
        return input(prompt)

else:
    with contextlib.suppress(ImportError):  # not everywhere
        import readline

    IS_THERE = "readline" in sys.modules
    """Whether a line can begin with a text and remembers earlier ones."""

    def begin(history: Sequence[str], *, marks_pastes: bool) -> None:
        """Prepare for lines. history: earlier ones, the oldest first. marks_pastes: the terminal is told to mark them, so that several
        lines that are pasted are one text."""
        readline.parse_and_bind(f"set enable-bracketed-paste {'on' if marks_pastes else 'off'}")
        readline.parse_and_bind("set enable-active-region off")  # what is pasted is not coloured
        readline.clear_history()
        for text in history:
            readline.add_history(text)

    def typed() -> str:
        """What stands in the line that is being edited."""
        return readline.get_line_buffer()

    def edited(prompt: str, text: str) -> str:
        """A line of the user's, which begins with a text. Raises EOFError at the end of input."""

        def insert() -> None:
            readline.insert_text(text)
            readline.redisplay()

        readline.set_pre_input_hook(insert)
        try:
            return input(prompt)
        finally:
            readline.set_pre_input_hook(None)
