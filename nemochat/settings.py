"""Settings: documented groups, each value checked when read. Passed down by the command line; nothing below it reads them by itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec


class KvType(StrEnum):
    """How the KV cache is stored. q8_0 halves its memory and needs flash attention."""

    F16 = "f16"
    Q8_0 = "q8_0"


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that matter for memory and speed.

    context_length: tokens of the window; 0 or more than the file's own limit means the file's limit.
    gpu_layers: layers on the GPU; -1 is all of them, 0 none. threads: 0 is one per physical core. batch: tokens evaluated at once.
    kv_type: storage of the KV cache. flash_attention: needed by q8_0. mmap: None maps the file only when layers go to a GPU,
    because on a CPU the repacked weights would be held twice. image_cache_mb: bound on cached image embeddings.
    hang_seconds: an engine that does not answer for this long is stopped and started again.
    """

    context_length: Annotated[int, msgspec.Meta(ge=0, le=1_048_576)] = 4096
    gpu_layers: Annotated[int, msgspec.Meta(ge=-1)] = 0
    threads: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    batch: Annotated[int, msgspec.Meta(ge=1, le=8192)] = 512
    kv_type: KvType = KvType.Q8_0
    flash_attention: bool = True
    mmap: bool | None = None
    image_cache_mb: Annotated[int, msgspec.Meta(ge=0)] = 256
    hang_seconds: Annotated[float, msgspec.Meta(gt=0)] = 20.0
