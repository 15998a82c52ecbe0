"""llama.cpp's own messages, into `logging`. Without this they go to standard error, or llama-cpp-python swallows the errors."""

from __future__ import annotations

import ctypes
import functools
import logging
import re

import llama_cpp
from llama_cpp import mtmd_cpp

from nemochat.errors import EngineError

_log = logging.getLogger(__name__)
_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
"""ggml.h's `ggml_log_level`. 0 is no level at all, 5 continues the message before."""
_CONTINUED = 5
_FOR_MEMORY = re.compile(
    r"(unable|failed) to (re)?alloc|alloc\w* (.{0,40} )?failed|bad_?alloc|out ?of ?(\w+ ?)?memory|cannot allocate|mmap failed|"
    r"not enough (\w+ )?memory|insufficient memory",
    re.IGNORECASE,
)
"""How llama.cpp and the drivers of devices say that there was too little memory."""
_FUNCTION = re.compile(r"^(\w+: )+(error: |error loading model: )?")
"""Messages begin with the names of the functions that they come from."""


class NativeLog:
    """Receives the native messages, and remembers the reason when a native call fails."""

    def __init__(self) -> None:
        self._first_error, self._is_for_memory = "", False
        self._level = logging.INFO
        self._callback = llama_cpp.llama_log_callback(self._receive)

    def install(self) -> None:
        """Receive everything from now on, for the whole process."""
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))
        mtmd_cpp.mtmd_helper_log_set(self._callback, ctypes.c_void_p(0))

    def forget_errors(self) -> None:
        """A call that may fail is about to begin."""
        self._first_error, self._is_for_memory = "", False

    @property
    def reason(self) -> str:
        """The first error since `forget_errors`, in one line: later ones only say that something failed."""
        line = " ".join(self._first_error.split())
        return _FUNCTION.sub("", line).rstrip(".") or "it gave no reason"

    def refusal(self, what: str, hint: str = "") -> EngineError:
        """The error of a native call that failed. what: as in "could not load x.gguf"."""
        reason = f"there is too little memory ({self.reason})" if self._is_for_memory else self.reason
        return EngineError(f"llama.cpp {what}: {reason}.", hint, for_memory=self._is_for_memory)

    def _receive(self, level: int, text: bytes, _user_data: int | None) -> None:
        if level != _CONTINUED:
            self._level = _LEVELS.get(level, logging.INFO)
        message = text.decode("utf-8", "replace").strip()
        # Progress is written as single dots.
        if not message.strip("."):
            return
        if self._level >= logging.ERROR:
            self._first_error = self._first_error or message
            self._is_for_memory = self._is_for_memory or _FOR_MEMORY.search(message) is not None
        _log.log(self._level, "%s", message)


@functools.cache
def native_log() -> NativeLog:
    """The one receiver of this process, with llama.cpp's backends made ready."""
    log = NativeLog()
    log.install()
    llama_cpp.llama_backend_init()
    return log
