"""Which chat format a model is spoken to in: what somebody chose, or what its file says."""

from __future__ import annotations

from nemochat.engine.protocol import ModelInfo
from nemochat.prompt.format import ChatFormat
from nemochat.prompt.nemotron import NemotronFormat


async def choose(info: ModelInfo, wanted: str) -> ChatFormat:
    """The format of a loaded model; `wanted` as in `LoadRequest.format`."""
    return NemotronFormat()
