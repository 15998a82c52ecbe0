"""How much memory a model will need at given settings, computed from its files' headers, and what to say when there is less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from nemochat.models.card import ModelCard, ProjectorCard
from nemochat.models.kinds import MASKED_WINDOWS
from nemochat.settings import EngineSettings, KvType

_PROCESS_BYTES = 60_000_000
"""The engine's process without a model: Python and llama.cpp."""

_ENCODER_BYTES = 40_000_000
"""What an encoder of dynamic resolution takes however small the picture is: measured with `benchmarks.pictures`."""
_CONTEXT_STEP = 256  # llama.cpp rounds the KV cache up to this many tokens
_ROWS = 8
"""Tokens of one batch whose distributions can be asked for: one for each sequence, and as many to check guesses from the prompt."""
_SHORT_WINDOW = 2048
"""Windows up to this length are not worth halving for the memory."""
_LEFT_FREE = 300_000_000
"""Bytes of a device that are left to the screen and to what its driver needs."""
_BYTES_PER_VALUE = {KvType.F16: (2, 1), KvType.Q8_0: (34, 32)}  # bytes and the values in them


class MemoryEstimate(msgspec.Struct, frozen=True):
    """Bytes, by what they are for. With layers on a GPU it is the sum of both memories.

    weights: the language model. repacked: the second copy of the weights on a CPU when the file is mapped. projector: vision encoder and
    projector. kv_cache: keys and values of the whole window and of the spare room. compute: working buffers. process: the engine's process
    itself.
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


def estimate_memory(card: ModelCard, settings: EngineSettings, picture_tokens: int = 0) -> MemoryEstimate:
    """What loading `card` with `settings` will take, with pictures of at most `picture_tokens` (0: as the file has it).

    On a CPU llama.cpp keeps matrices of some types in a second, interleaved layout. Read without mmap they exist only so; a mapped file
    counts as well. The figures are for a full window: at the shape of Nemovision-4B in Q4_0 they are 1 to 8 % above the resident memory
    measured after short prompts.
    """
    context = min(settings.context_length or card.context_length, card.context_length)
    tokens = -(-(context + settings.spare_tokens) // _CONTEXT_STEP) * _CONTEXT_STEP
    n_bytes, n_values = _BYTES_PER_VALUE[settings.kv_type]
    is_mapped = settings.on_gpu != 0 if settings.mmap is None else settings.mmap
    projector = card.projector
    batch = max(settings.batch, projector.least_batch(picture_tokens) if projector else 1)
    return MemoryEstimate(
        weights=card.weights_bytes + card.tied_bytes,
        repacked=int(card.repackable_bytes * _share_on_cpu(card, settings)) if is_mapped else 0,
        projector=projector.weights_bytes if projector else 0,
        kv_cache=tokens * card.kv_values * n_bytes // n_values,
        compute=_text_buffers(card, settings, tokens, batch) + (_vision_buffers(projector, picture_tokens) if projector else 0),
        process=_PROCESS_BYTES,
    )


def memory_on_cpu(card: ModelCard, settings: EngineSettings, picture_tokens: int = 0) -> int:
    """The part of the estimate, in bytes, that stays in the machine's own memory when layers go to a GPU with a memory of its own.

    The token embeddings always stay; the projector goes as soon as any layer does.
    """
    estimate = estimate_memory(card, settings, picture_tokens)
    if settings.on_gpu == 0:
        return estimate.total
    share = _share_on_cpu(card, settings)
    embeddings = min(card.weights_bytes, card.weights_bytes * card.vocab_size * card.width // max(1, card.parameters))
    weights = embeddings + int((estimate.weights - embeddings) * share)
    return weights + estimate.repacked + int(estimate.kv_cache * share) + estimate.compute + estimate.process


def memory_on_gpu(card: ModelCard, settings: EngineSettings, picture_tokens: int = 0) -> int:
    """The part of the estimate, in bytes, that GPUs of their own memory need; working buffers are on both sides. 0 without layers there."""
    if settings.on_gpu == 0:
        return 0
    estimate = estimate_memory(card, settings, picture_tokens)
    return estimate.total - memory_on_cpu(card, settings, picture_tokens) + estimate.compute


def fit_layers(card: ModelCard, settings: EngineSettings, free: Sequence[int], picture_tokens: int = 0) -> int:
    """How many layers fit into the memory that devices have free, in bytes of each: -1 is all of them, 0 none."""
    room = sum(max(0, each - max(_LEFT_FREE, each // 20)) for each in free)
    for layers in range(card.layers + 1, 0, -1):
        if memory_on_gpu(card, msgspec.structs.replace(settings, gpu_layers=layers), picture_tokens) <= room:
            return -1 if layers > card.layers else layers
    return 0


def memory_warning(
    name: str, card: ModelCard, settings: EngineSettings, available: int, *, is_shared: bool = False, picture_tokens: int = 0
) -> str | None:
    """What to tell the user before a model is loaded that needs more than `available` bytes; None when it fits.

    name: what people call the model, sanitised. is_shared: the GPU has no memory of its own, so that all of the model counts.
    """

    def needed(wanted: EngineSettings) -> int:
        return estimate_memory(card, wanted, picture_tokens).total if is_shared else memory_on_cpu(card, wanted, picture_tokens)

    needs = needed(settings)
    if needs <= available:
        return None
    savings = [f"{words} (saves {_gigabytes(needs - needed(less))})" for words, less in _smaller(card, settings) if needed(less) < needs]
    ways = " or ".join(filter(None, (", ".join(savings), "a smaller quantisation of the model")))
    return (
        f"{name} will need about {_gigabytes(needs)} of memory and {_gigabytes(available)} are available: it may be ended by the system "
        f"or make the machine slow. Less is needed with {ways}."
    )


def _smaller(card: ModelCard, settings: EngineSettings) -> Iterator[tuple[str, EngineSettings]]:
    """Settings that need less, each with its words, the ones that cost the user the least first."""
    if settings.mmap and settings.on_gpu >= 0:
        yield "mmap = false", msgspec.structs.replace(settings, mmap=False)
    if settings.kv_type is not KvType.Q8_0:
        quick = msgspec.structs.replace(settings, kv_type=KvType.Q8_0, flash_attention=True)
        yield 'kv_type = "q8_0"' + ("" if settings.flash_attention else " with flash_attention"), quick
    if settings.spare_tokens:
        yield "spare_tokens = 0", msgspec.structs.replace(settings, spare_tokens=0)
    window = min(settings.context_length or card.context_length, card.context_length)
    if window > _SHORT_WINDOW:
        half = max(_SHORT_WINDOW, window // 2)
        yield f"context_length = {half}", msgspec.structs.replace(settings, context_length=half)


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB"


def _share_on_cpu(card: ModelCard, settings: EngineSettings) -> float:
    """The part of the layers that stays on the CPU; the output matrix counts as a layer."""
    layers = card.layers + 1
    return 0.0 if settings.on_gpu < 0 else max(0, layers - settings.on_gpu) / layers


def _text_buffers(card: ModelCard, settings: EngineSettings, tokens: int, batch: int) -> int:
    """Activations of one batch in F32: three of the model's width, two of the feed-forward width, the scores unless flash attention avoids
    them, and twice the logits of every token whose distribution can be asked for."""
    batch = min(batch, tokens)
    scores = 0 if settings.flash_attention else card.heads * tokens
    return 4 * (batch * (3 * card.width + 2 * card.ffn_width + scores) + 2 * min(_ROWS, batch) * card.vocab_size)


def _vision_buffers(projector: ProjectorCard, picture_tokens: int) -> int:
    """The same for the largest picture or tile: activations of all patches and, where their number is fixed, the attention scores with the
    class token. Of dynamic resolution only flash attention is practical, which avoids them; a mask for windows is held all the same."""
    if not projector.most_tokens:
        patches = (projector.image_size // projector.patch_size) ** 2 + 1
        return 4 * patches * (3 * projector.width + 2 * projector.ffn_width + projector.heads * patches)
    patches = projector.tokens(picture_tokens) * projector.merged**2
    if projector.kind in MASKED_WINDOWS:  # two of the feed-forward width for its gate, and the mask in F32 and F16
        return _ENCODER_BYTES + 4 * patches * (3 * projector.width + 2 * projector.ffn_width) + 6 * patches * patches
    return _ENCODER_BYTES + 2 * patches * (6 * projector.width + 3 * projector.ffn_width)  # the feed-forward width in F32 and F16
