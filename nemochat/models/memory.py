"""How much memory a model will need at given settings, computed from its files' headers, and what to say when there is less."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

import msgspec

from nemochat.models.card import ModelCard, ProjectorCard
from nemochat.models.checks import MASKED_WINDOWS
from nemochat.numbers import size_text
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
_SHORTEST_WINDOW = 512
"""What a model that would not fit otherwise is still of some use with."""
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
    n_bytes, n_values = _BYTES_PER_VALUE[settings.kv_type]
    is_mapped = settings.on_gpu != 0 if settings.mmap is None else settings.mmap
    projector = card.projector
    return MemoryEstimate(
        weights=card.weights_bytes + card.tied_bytes,
        repacked=int(card.repackable_bytes * _share_on_cpu(card, settings)) if is_mapped else 0,
        projector=projector.weights_bytes if projector else 0,
        kv_cache=_cells(card, settings) * card.kv_values * n_bytes // n_values,
        compute=_text_buffers(card, settings, picture_tokens) + _vision_buffers(projector, picture_tokens),
        process=_PROCESS_BYTES,
    )


def memory_by_device(
    card: ModelCard, settings: EngineSettings, shares: Sequence[float] = (1,), picture_tokens: int = 0
) -> tuple[MemoryEstimate, ...]:
    """The estimate by where it lies: in the machine's own memory, then on each device that takes layers, in their order.

    shares: how the layers are shared among the devices, in any unit; as llama.cpp does, the first layers go to the first device, and the
    output matrix counts as the last layer. What is only looked up stays in the machine's memory, the projector goes to the first device,
    working buffers are on every side.
    """
    whole = estimate_memory(card, settings, picture_tokens)
    if settings.on_gpu == 0 or not shares:
        return (whole,)
    text, vision = _text_buffers(card, settings, picture_tokens), _vision_buffers(card.projector, picture_tokens)
    block = (whole.weights - card.embedding_bytes - card.output_bytes) / card.layers
    devices = []
    for number, (layers, has_output) in enumerate(_layers_on(card, settings, shares)):
        devices.append(
            MemoryEstimate(
                weights=int(block * layers) + card.output_bytes * has_output,
                repacked=0,
                projector=0 if number else whole.projector,
                kv_cache=whole.kv_cache * layers // card.layers,
                compute=(text if layers or has_output else 0) + (0 if number else vision),
                process=0,
            )
        )
    rest = msgspec.structs.replace(
        whole,
        weights=whole.weights - sum(each.weights for each in devices),
        projector=0,
        kv_cache=whole.kv_cache - sum(each.kv_cache for each in devices),
    )
    return rest, *devices


def memory_on_cpu(card: ModelCard, settings: EngineSettings, picture_tokens: int = 0) -> int:
    """The part of the estimate, in bytes, that stays in the machine's own memory when layers go to a GPU with a memory of its own."""
    return memory_by_device(card, settings, picture_tokens=picture_tokens)[0].total


def memory_on_gpu(card: ModelCard, settings: EngineSettings, picture_tokens: int = 0) -> int:
    """The part of the estimate, in bytes, that a GPU with its own memory needs. 0 without layers there."""
    return sum(each.total for each in memory_by_device(card, settings, picture_tokens=picture_tokens)[1:])


def fit_layers(card: ModelCard, settings: EngineSettings, free: Sequence[int], picture_tokens: int = 0) -> int:
    """How many layers fit into the memory that devices have free, in bytes of each: -1 is all of them, 0 none."""
    for layers in range(card.layers + 1, 0, -1):
        if _fits_devices(card, msgspec.structs.replace(settings, gpu_layers=layers), free, picture_tokens):
            return -1 if layers > card.layers else layers
    return 0


def _fits_devices(card: ModelCard, settings: EngineSettings, free: Sequence[int], picture_tokens: int) -> bool:
    """Whether each device has room for its part, and some is left."""
    room = [max(0, each - max(_LEFT_FREE, each // 20)) for each in free]
    _, *needs = memory_by_device(card, settings, settings.tensor_split or free, picture_tokens)
    return bool(needs) and all(each.total <= has for each, has in zip(needs, room, strict=True))


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


def what_would_fit(
    card: ModelCard,
    settings: EngineSettings,
    available: int,
    free: Sequence[int] = (),
    *,
    is_shared: bool = False,
    picture_tokens: int = 0,
) -> str:
    """What to do about a model that could not be loaded for want of memory, in a sentence, by the estimate.

    available: bytes of the machine's own memory; free: of each device that takes layers. is_shared: as for `memory_warning`.
    """

    def parts(wanted: EngineSettings) -> Sequence[int]:
        return [each.total for each in memory_by_device(card, wanted, wanted.tensor_split or free, picture_tokens)]

    def fits(wanted: EngineSettings) -> bool:
        own, *of_devices = parts(wanted)
        is_on_devices = not of_devices or _fits_devices(card, wanted, free, picture_tokens)
        return is_on_devices and (own + sum(of_devices) if is_shared else own) <= available

    def fewer_layers(wanted: EngineSettings) -> EngineSettings:
        layers = fit_layers(card, wanted, free, picture_tokens) if free else 0
        is_fewer = 0 <= layers < wanted.on_gpu or (layers >= 0 > wanted.on_gpu)
        return msgspec.structs.replace(wanted, gpu_layers=layers) if is_fewer else wanted

    other = "a smaller model or a smaller quantisation of it"
    smaller = [*_smaller(card, settings)]
    if fits(settings):
        # What is free was used by others a moment ago, or something holds this program to less than what is free.
        whole = sum(parts(settings))
        saved = {words: whole - sum(parts(less)) for words, less in smaller}
        ways = [f"{words} (saves {size_text(n_bytes)})" for words, n_bytes in saved.items() if n_bytes * 100 > whole]
        return f"By the estimate it fits: close other programs, lift a limit on memory, or choose {', '.join([*ways, ''])}{other}."
    longer = [each for each in _shorter(card, settings) if each.context_length >= _SHORT_WINDOW]
    wanted = [fewer_layers(settings), *(less for _, less in smaller), *longer]
    alone = [_changed(settings, each) for each in dict.fromkeys(wanted) if fits(each)]
    windows = [words for words in alone if words.startswith("context_length")]
    alone = [words for words in alone if words not in windows[1:]]  # of windows the longest
    if alone:
        return f"It would fit with {', or with '.join(alone)}, or choose {other}."
    mmap = None if settings.mmap is None else False
    least = msgspec.structs.replace(settings, mmap=mmap, kv_type=KvType.Q8_0, flash_attention=True, spare_tokens=0)
    for each in map(fewer_layers, (least, *_shorter(card, least))):
        if fits(each):
            return f"It would fit with {_changed(settings, each)} together, or choose {other}."
    return f"It needs about {_gigabytes(sum(parts(settings)))}, and no setting makes it fit: choose {other}."


def _changed(before: EngineSettings, after: EngineSettings) -> str:
    """In which settings they differ, as the file has them."""
    names = [name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name)]
    return ", ".join(f"{name} = {msgspec.json.encode(getattr(after, name)).decode()}" for name in names)


def _shorter(card: ModelCard, settings: EngineSettings) -> Iterator[EngineSettings]:
    """With windows that are shorter and shorter."""
    window = min(settings.context_length or card.context_length, card.context_length) // 2
    while window >= _SHORTEST_WINDOW:
        yield msgspec.structs.replace(settings, context_length=window)
        window //= 2


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


def _layers_on(card: ModelCard, settings: EngineSettings, shares: Sequence[float]) -> list[tuple[int, bool]]:
    """For each device how many layers it takes, and whether the output matrix is there."""
    layers = card.layers + 1
    taken = layers if settings.on_gpu < 0 else min(layers, settings.on_gpu)
    ends = list(accumulate(shares if any(shares) else [1] * len(shares)))
    where = [bisect_right(ends, ends[-1] * number / taken) for number in range(taken)]
    return [(where[:-1].count(number), where[-1] == number) for number in range(len(shares))]


def _cells(card: ModelCard, settings: EngineSettings) -> int:
    """Tokens that the KV cache has room for."""
    context = min(settings.context_length or card.context_length, card.context_length)
    return -(-(context + settings.spare_tokens) // _CONTEXT_STEP) * _CONTEXT_STEP


def _text_buffers(card: ModelCard, settings: EngineSettings, picture_tokens: int) -> int:
    """Activations of one batch in F32: three of the model's width, two of the feed-forward width, the scores unless flash attention avoids
    them, and twice the logits of every token whose distribution can be asked for."""
    tokens = _cells(card, settings)
    batch = min(max(settings.batch, card.projector.least_batch(picture_tokens) if card.projector else 1), tokens)
    scores = 0 if settings.flash_attention else card.heads * tokens
    return 4 * (batch * (3 * card.width + 2 * card.ffn_width + scores) + 2 * min(_ROWS, batch) * card.vocab_size)


def _vision_buffers(projector: ProjectorCard | None, picture_tokens: int) -> int:
    """The same for the largest picture or tile: activations of all patches and, where their number is fixed, the attention scores with the
    class token. Of dynamic resolution only flash attention is practical, which avoids them; a mask for windows is held all the same."""
    if projector is None:
        return 0
    if not projector.most_tokens:
        patches = (projector.image_size // projector.patch_size) ** 2 + 1
        return 4 * patches * (3 * projector.width + 2 * projector.ffn_width + projector.heads * patches)
    patches = projector.tokens(picture_tokens) * projector.merged**2
    if projector.kind in MASKED_WINDOWS:  # two of the feed-forward width for its gate, and the mask in F32 and F16
        return _ENCODER_BYTES + 4 * patches * (3 * projector.width + 2 * projector.ffn_width) + 6 * patches * patches
    return _ENCODER_BYTES + 2 * patches * (6 * projector.width + 3 * projector.ffn_width)  # the feed-forward width in F32 and F16
