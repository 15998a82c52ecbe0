"""The devices of ggml, which llama-cpp-python 0.3.36 does not bind: what they are, and llama.cpp's handles for them."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp

from nemochat.domain.devices import Device, chosen
from nemochat.engine.llama.native_log import native_log
from nemochat.settings import EngineSettings

_KINDS = {1: "gpu", 2: "igpu"}
"""Of ggml's kinds of devices (ggml_backend_dev_type) those that layers can be put on."""


class _Properties(ctypes.Structure):
    """ggml_backend_dev_props, up to what is read of it; its capabilities have grown with time."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("capabilities", ctypes.c_bool * 64),
    )


_FUNCTIONS = (
    ("ggml_backend_dev_count", ctypes.c_size_t),
    ("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t),
    ("ggml_backend_dev_get_props", None, ctypes.c_void_p, ctypes.POINTER(_Properties)),
)


class Placement(NamedTuple):
    """Where a model goes, as llama.cpp has it. handles: of the devices that take layers, the first of which takes the projector, none for
    the processor alone. split: a part of the layers for each of them, none where llama.cpp shares them by what they have free.
    """

    handles: tuple[int, ...] = ()
    split: tuple[float, ...] = ()
    names: tuple[str, ...] = ()


ON_PROCESSOR = Placement()


def placement(settings: EngineSettings) -> Placement:
    """Where the settings want a model. Raises SettingsError, which names the devices that there are, where they mean others."""
    if settings.on_gpu == 0:
        return ON_PROCESSOR
    found = _found()
    handles = {device.name: handle for device, handle in found}
    names = [device.name for device in chosen(settings, [device for device, _ in found])]
    return Placement(tuple(handles[name] for name in names), settings.tensor_split if len(names) > 1 else (), tuple(names))


def all_devices() -> Sequence[Device]:
    """Those that layers can be put on."""
    return [device for device, _ in _found()]


def _found() -> Sequence[tuple[Device, int]]:
    """Each with its handle. A build that has none of these functions has no devices."""
    count, get, tell = (_function(*each) for each in _FUNCTIONS)
    if count is None or get is None or tell is None:
        return []
    native_log()  # makes the backends ready
    found = []
    for number in range(count()):
        handle, told = get(number), _Properties()
        tell(handle, ctypes.byref(told))
        if kind := _KINDS.get(told.type):
            name, description, hardware = ((text or b"").decode(errors="replace") for text in (told.name, told.description, told.device_id))
            found.append((Device(name, description, kind, told.memory_total, told.memory_free, hardware), handle))
    return found


def _function(name: str, result: type[ctypes._SimpleCData[Any]] | None, *arguments: Any) -> Any:
    """A function of ggml's libraries, None where they have it not."""
    for path in sorted((Path(llama_cpp.__file__).parent / "lib").iterdir()):
        if re.match(r"(lib)?ggml(-base)?\.", path.name):
            with suppress(OSError, AttributeError):
                function = getattr(ctypes.CDLL(str(path)), name)
                function.restype, function.argtypes = result, arguments
                return function
    return None
