"""llama.cpp's own messages, into `logging`. Without this they go to standard error, or llama-cpp-python swallows the errors."""

from __future__ import annotations

import ctypes
import functools
import logging
import re

import llama_cpp
from llama_cpp import mtmd_cpp

_log = logging.getLogger(__name__)
_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
"""ggml.h's `ggml_log_level`. 0 is no level at all, 5 continues the message before."""
_CONTINUED = 5
_FUNCTION = re.compile(r"^(\w+: )+(error: |error loading model: )?")
"""Messages begin with the names of the functions that they come from."""


class NativeLog:
    """Receives the native messages, and remembers the reason when a native call fails."""

    def __init__(self) -> None:
        self._first_error = ""
        self._level = logging.INFO
        self._callback = llama_cpp.llama_log_callback(self._receive)

    def install(self) -> None:
        """Receive everything from now on, for the whole process."""
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))
        mtmd_cpp.mtmd_helper_log_set(self._callback, ctypes.c_void_p(0))

    def forget_errors(self) -> None:
        """A call that may fail is about to begin."""
        self._first_error = ""

    @property
    def reason(self) -> str:
        """The first error since `forget_errors`, in one line: later ones only say that something failed."""
        line = " ".join(self._first_error.split())
        return _FUNCTION.sub("", line).rstrip(".") or "it gave no reason"

    def _receive(self, level: int, text: bytes, _user_data: int | None) -> None:
        if level != _CONTINUED:
            self._level = _LEVELS.get(level, logging.INFO)
        message = text.decode("utf-8", "replace").strip()
        # Progress is written as single dots.
        if not message.strip("."):
            return
        if self._level >= logging.ERROR and not self._first_error:
            self._first_error = message
        _log.log(self._level, "%s", message)


@functools.cache
def native_log() -> NativeLog:
    """The one receiver of this process, with llama.cpp's backends made ready."""
    log = NativeLog()
    log.install()
    llama_cpp.llama_backend_init()
    return log
