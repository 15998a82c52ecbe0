"""What can compute beside the processor, and which of it settings mean."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.errors import SettingsError
from nemochat.settings import AUTO, EngineSettings

CPU = "cpu"
"""The device that is none: everything stays on the processor."""
PLACING = ("gpu_layers", "device", "main_gpu", "tensor_split")
"""The settings that say where a model runs."""
_MOST_NAMED = 8


class Device(msgspec.Struct, frozen=True):
    """A device as llama.cpp lists it. kind: "gpu" with a memory of its own, "igpu" with the machine's. total, free: its memory in bytes, 0
    where it does not say. hardware: what tells the same hardware under two names (a PCI address), "" where that is not known."""

    name: str
    description: str
    kind: str
    total: int
    free: int
    hardware: str = ""


def chosen(settings: EngineSettings, devices: Sequence[Device]) -> tuple[Device, ...]:
    """Those that take layers, in the order in which they do; the first one also takes the projector. None: all stays on the processor.

    devices: all that there are. Raises SettingsError, which names them, where the settings mean others.
    """
    wanted = settings.device.strip().lower()
    if wanted == CPU:
        return ()
    found = _usual(devices) if wanted == AUTO else _named(settings.device, devices)
    if settings.gpu_layers == 0:
        return ()
    if settings.main_gpu != AUTO:
        if settings.tensor_split:
            raise SettingsError("main_gpu puts all layers on one device, tensor_split shares them among several.", "Set one of the two.")
        if settings.main_gpu >= len(found):
            raise SettingsError(f"main_gpu is {settings.main_gpu}, counted from 0, and there is no such device.", _there(found))
        return (found[settings.main_gpu],)
    if settings.tensor_split and len(settings.tensor_split) != len(found):
        parts = ", ".join(f"{part:g}" for part in settings.tensor_split)
        raise SettingsError(f"tensor_split ({parts}) must have one part for each device that takes layers.", _there(found))
    if settings.tensor_split and not sum(settings.tensor_split):
        raise SettingsError("tensor_split leaves nothing to any device: one part at least must be more than 0.", _there(found))
    return found


def _usual(devices: Sequence[Device]) -> tuple[Device, ...]:
    """As llama.cpp chooses: those with a memory of their own, else those with the machine's; the same hardware once."""
    of_own = [each for each in devices if each.kind == "gpu"]
    seen: dict[str, Device] = {}
    for number, each in enumerate(of_own or devices):
        seen.setdefault(each.hardware or str(number), each)
    return tuple(seen.values())


def _named(wanted: str, devices: Sequence[Device]) -> tuple[Device, ...]:
    known = {each.name.lower(): each for each in devices}
    found: dict[str, Device] = {}
    for name in (part.strip() for part in wanted.split(",")):
        if name.lower() in (CPU, AUTO):
            raise SettingsError(f"device is {sanitize(wanted, strict=True)}: {name} cannot stand beside others.", _there(devices))
        if name.lower() not in known:
            raise SettingsError(f"There is no device {sanitize(name, strict=True) or 'without a name'} here.", _there(devices))
        found[name.lower()] = known[name.lower()]
    return tuple(found.values())


def _there(devices: Sequence[Device]) -> str:
    """Which there are to choose from, in a sentence."""
    if not devices:
        return "The processor (cpu) is all that this build of llama.cpp can use here; see `nemochat doctor`."
    named = [f"{each.name} ({sanitize(each.description, strict=True)})" for each in devices[:_MOST_NAMED]]
    return f"There are {', '.join(named)} and the processor (cpu)."
