"""Which models and servers there are, where their files lie, and what a GGUF file says of itself; reads headers, never weights."""

from nemochat.models.card import ModelCard, ProjectorCard, inspect
from nemochat.models.catalogue import Catalogue, Entry, ModelFiles
from nemochat.models.keys import Keys
from nemochat.models.memory import (
    MemoryEstimate,
    estimate_memory,
    fit_layers,
    memory_by_device,
    memory_on_cpu,
    memory_on_gpu,
    memory_warning,
    what_would_fit,
)
from nemochat.models.servers import Servers

__all__ = [
    "Catalogue",
    "Entry",
    "Keys",
    "MemoryEstimate",
    "ModelCard",
    "ModelFiles",
    "ProjectorCard",
    "Servers",
    "estimate_memory",
    "fit_layers",
    "inspect",
    "memory_by_device",
    "memory_on_cpu",
    "memory_on_gpu",
    "memory_warning",
    "what_would_fit",
]
