"""What llama.cpp can use on this machine, asked in a process of its own: looking for a GPU can crash, print, and take hold of it.

``python -m nemochat.engine.llama.hardware`` prints one line of JSON, a `nemochat.engine.tuning.Hardware`.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

import llama_cpp
import msgspec
import psutil

from nemochat.engine.llama.amx import has_amx
from nemochat.engine.llama.threads import SMALL_MODEL, physical_cores
from nemochat.engine.tuning import Device, Hardware

_KINDS = {1: "gpu", 2: "igpu"}
"""Of ggml's kinds of devices (ggml_backend_dev_type) those that layers can be put on."""


def look() -> Hardware:
    """Cores that this process may use, and whether llama.cpp has a GPU to put layers on."""
    cores = physical_cores()
    return Hardware(
        cores=cores,
        logical=max(cores, psutil.cpu_count() or cores),
        has_gpu=bool(llama_cpp.llama_supports_gpu_offload()),
        has_amx=has_amx(),
        small_model=SMALL_MODEL,
        devices=tuple(_devices()),
        build=f"llama-cpp-python {llama_cpp.__version__}: {llama_cpp.llama_print_system_info().decode(errors='replace').strip(' |')}",
    )


def _devices() -> Iterator[Device]:
    """The devices of ggml. llama-cpp-python does not bind these functions; a build that has none of them has no devices."""
    ggml = _library()
    if ggml is None:
        return
    llama_cpp.llama_backend_init()
    for number in range(ggml.ggml_backend_dev_count()):
        device = ctypes.c_void_p(ggml.ggml_backend_dev_get(number))
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        kind = _KINDS.get(ggml.ggml_backend_dev_type(device))
        if kind is not None:
            ggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
            name, description = ggml.ggml_backend_dev_name(device), ggml.ggml_backend_dev_description(device)
            yield Device(name.decode(errors="replace"), description.decode(errors="replace"), kind, total.value, free.value)


def _library() -> ctypes.CDLL | None:
    """The library that knows the devices, with the types of its functions."""
    folder = Path(llama_cpp.__file__).parent / "lib"
    for path in sorted(folder.glob("*ggml*")):
        try:
            ggml = ctypes.CDLL(str(path))
            for name, result, arguments in (
                ("ggml_backend_dev_count", ctypes.c_size_t, ()),
                ("ggml_backend_dev_get", ctypes.c_void_p, (ctypes.c_size_t,)),
                ("ggml_backend_dev_type", ctypes.c_int, (ctypes.c_void_p,)),
                ("ggml_backend_dev_name", ctypes.c_char_p, (ctypes.c_void_p,)),
                ("ggml_backend_dev_description", ctypes.c_char_p, (ctypes.c_void_p,)),
                ("ggml_backend_dev_memory", None, (ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t))),
            ):
                function = getattr(ggml, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        return ggml
    return None


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(look()).decode() + "\n")
