"""How much memory a model will need at given settings, computed from its files' headers."""

from __future__ import annotations

import msgspec

from nemochat.models.card import ModelCard, ProjectorCard
from nemochat.settings import EngineSettings, KvType

_PROCESS_BYTES = 60_000_000
"""The engine's process without a model: Python and llama.cpp."""

_CONTEXT_STEP = 256  # llama.cpp rounds the window up to this many tokens
_BYTES_PER_VALUE = {KvType.F16: (2, 1), KvType.Q8_0: (34, 32)}  # bytes and the values in them


class MemoryEstimate(msgspec.Struct, frozen=True):
    """Bytes, by what they are for. With layers on a GPU it is the sum of both memories.

    weights: the language model. repacked: the second copy of the weights on a CPU when the file is mapped. projector: vision encoder and
    projector. kv_cache: keys and values of the whole window. compute: working buffers. process: the engine's process itself.
    """

    weights: int
    repacked: int
    projector: int
    kv_cache: int
    compute: int
    process: int

    @property
    def total(self) -> int:
        """All parts together."""
        return self.weights + self.repacked + self.projector + self.kv_cache + self.compute + self.process


def estimate_memory(card: ModelCard, settings: EngineSettings) -> MemoryEstimate:
    """What loading `card` with `settings` will take.

    On a CPU llama.cpp keeps matrices of some types in a second, interleaved layout. Read without mmap they exist only so; a mapped file
    counts as well. The figures are for a full window: at the shape of Nemovision-4B in Q4_0 they are 4 to 8 % above the resident memory
    measured after short prompts.
    """
    context = min(settings.context_length or card.context_length, card.context_length)
    tokens = -(-context // _CONTEXT_STEP) * _CONTEXT_STEP
    n_bytes, n_values = _BYTES_PER_VALUE[settings.kv_type]
    layers_on_cpu = 0 if settings.gpu_layers < 0 else max(0, card.layers + 1 - settings.gpu_layers)  # the output matrix counts as a layer
    is_mapped = settings.gpu_layers != 0 if settings.mmap is None else settings.mmap
    return MemoryEstimate(
        weights=card.weights_bytes + card.tied_bytes,
        repacked=card.repackable_bytes * layers_on_cpu // (card.layers + 1) if is_mapped else 0,
        projector=card.projector.weights_bytes if card.projector else 0,
        kv_cache=tokens * card.kv_values * n_bytes // n_values,
        compute=_text_buffers(card, settings, tokens) + (_vision_buffers(card.projector) if card.projector else 0),
        process=_PROCESS_BYTES,
    )


def _text_buffers(card: ModelCard, settings: EngineSettings, tokens: int) -> int:
    """Activations of one batch in F32: three of the model's width, two of the feed-forward width, the scores unless flash attention avoids
    them, and the logits of one token twice."""
    batch = min(settings.batch, tokens)
    scores = 0 if settings.flash_attention else card.heads * tokens
    return 4 * (batch * (3 * card.width + 2 * card.ffn_width + scores) + 2 * card.vocab_size)


def _vision_buffers(projector: ProjectorCard) -> int:
    """The same for one square picture: activations and the attention scores of all patches, with the class token."""
    patches = (projector.image_size // projector.patch_size) ** 2 + 1
    return 4 * patches * (3 * projector.width + 2 * projector.ffn_width + projector.heads * patches)
