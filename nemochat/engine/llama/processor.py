"""What llama.cpp gets of the processor: threads, and never Intel's AMX units, with which it cannot be trusted.

Compiled with GCC 12, llama.cpp loads a tile configuration that was never written, and every quantised model ends the process (SIGSEGV,
seen with llama-cpp-python 0.3.36). There is no switch, but it asks the kernel for the units when a model is first loaded, and the kernel
refuses a process one of whose alternate signal stacks could not hold their registers. llama.cpp then takes its AVX-512 kernels.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SMALL_MODEL = 50_000_000
"""Parameters below which one thread is chosen: a second one gains next to nothing, and when another process holds its core, the
first spins at every operation until it comes back (measured: 75 times slower)."""


def physical_cores() -> int:
    """Physical cores that this process may use, at least 1."""
    process = psutil.Process()
    # macOS has no affinity.
    allowed = len(process.cpu_affinity() or ()) if hasattr(process, "cpu_affinity") else psutil.cpu_count()
    physical = psutil.cpu_count(logical=False) or allowed or 1
    return max(1, min(physical, allowed or physical))


_SMALL_STACK_BYTES = 8192
"""Enough for a handler with AVX-512 registers, too little for those of AMX, which take 8 KiB by themselves."""


class _SignalStack(ctypes.Structure):
    _fields_ = (("ss_sp", ctypes.c_void_p), ("ss_flags", ctypes.c_int), ("ss_size", ctypes.c_size_t))


def has_amx() -> bool:
    """Whether this processor has the units and this system hands them out."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    try:
        return " amx_tile" in Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return False


@contextmanager
def amx_refused() -> Iterator[None]:
    """A block in which the kernel refuses the units to this process. Who asks there does not ask again."""
    if not has_amx():
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    memory = ctypes.create_string_buffer(_SMALL_STACK_BYTES)
    small, before = _SignalStack(ctypes.addressof(memory), 0, _SMALL_STACK_BYTES), _SignalStack()
    is_set = libc.sigaltstack(ctypes.byref(small), ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if is_set:
            libc.sigaltstack(ctypes.byref(before), None)
