"""What llama.cpp can use on this machine, asked in a process of its own: looking for a GPU can crash, print, and take hold of it.

``python -m nemochat.engine.llama.hardware`` prints one line of JSON, a `nemochat.engine.tuning.Hardware`.
"""

from __future__ import annotations

import sys

import llama_cpp
import msgspec
import psutil

from nemochat.engine.llama.devices import all_devices
from nemochat.engine.llama.processor import SMALL_MODEL, has_amx, physical_cores
from nemochat.engine.tuning import Hardware


def look() -> Hardware:
    """Cores that this process may use, and whether llama.cpp has a GPU to put layers on."""
    cores = physical_cores()
    return Hardware(
        cores=cores,
        logical=max(cores, psutil.cpu_count() or cores),
        has_gpu=bool(llama_cpp.llama_supports_gpu_offload()),
        has_amx=has_amx(),
        small_model=SMALL_MODEL,
        devices=tuple(all_devices()),
        build=f"llama-cpp-python {llama_cpp.__version__}: {llama_cpp.llama_print_system_info().decode(errors='replace').strip(' |')}",
    )


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(look()).decode() + "\n")
