"""What a model is, from the headers of its files, after every check that must pass before it is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from nemochat.domain.sampling import SAMPLING_KEYS, Sampling, recommended
from nemochat.domain.sanitize import sanitize
from nemochat.models import gguf
from nemochat.models.checks import (
    MERGED_PATCHES,
    PICTURE_TOKENS,
    READS_BOTH_WAYS,
    READS_FORWARD_WIDTHS,
    check_projector,
    check_text_model,
    per_layer,
    required,
    wrong,
)
from nemochat.models.ggml_types import FILE_TYPES, REPACKED
from nemochat.models.gguf import GgufFile, Tensor

_LONGEST_LABEL = 200
_LOOKED_UP = frozenset({"token_embd.weight", "per_layer_token_embd.weight"})


class ProjectorCard(msgspec.Struct, frozen=True):
    """The vision encoder and projector of a model.

    kind: clip.projector_type. image_size, patch_size: pixels. image_tokens: what a picture costs in the prompt; None is known only after
    loading. is_fixed_size: the encoder gets one square of image_size pixels (`nemochat.images.decode`). width, layers, heads, ffn_width: of
    the vision encoder. weights_bytes: tensor data; file_bytes: size on disk. merged: patches of each side that become one token.
    least_tokens, most_tokens: of a picture of dynamic resolution, 0 where there is none. is_whole: a picture has to be evaluated in one
    batch, because its tokens attend to those behind them.
    """

    kind: str
    image_size: int
    patch_size: int
    image_tokens: int | None
    is_fixed_size: bool
    width: int
    layers: int
    heads: int
    ffn_width: int
    parameters: int
    weights_bytes: int
    file_bytes: int
    merged: int = 1
    least_tokens: int = 0
    most_tokens: int = 0
    is_whole: bool = False

    def budget(self, wanted: int) -> int:
        """The most tokens of a picture that llama.cpp can be asked for when so many are wanted; 0 leaves it to the file."""
        return max(wanted, self.least_tokens) if wanted and self.most_tokens else 0

    def tokens(self, wanted: int = 0) -> int:
        """The most tokens of a picture, or of a tile of one, when so many are wanted at most (0: as the file has it)."""
        if self.image_tokens is not None:
            return self.image_tokens
        return self.budget(wanted) or self.most_tokens or (self.image_size // (self.patch_size * self.merged)) ** 2

    def least_batch(self, wanted: int = 0) -> int:
        """Tokens that a batch has to have room for, whatever the settings say."""
        return self.tokens(wanted) if self.is_whole else 1


class ModelCard(msgspec.Struct, frozen=True):
    """A language model and, where there is one, its projector. All text is sanitised and of one line.

    context_length: tokens. width: values of an embedding. heads, kv_heads: the most in any layer; kv_values: keys and values of one token
    in the KV cache, over all layers. licence: "" when the file does not say. weights_bytes: tensor data; file_bytes: size on disk.
    repackable_bytes: the part of the weights that llama.cpp may hold in a second layout on a CPU. tied_bytes: the token embeddings where
    they serve as the output matrix too, which llama.cpp then holds twice; else 0. embedding_bytes: what is only looked up, and stays with
    the processor wherever layers go. output_bytes: the output matrix, which goes where the last layer does. recommended: the sampling that
    its maker recommends.
    """

    architecture: str
    name: str
    parameters: int
    quantisation: str
    context_length: int
    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    kv_values: int
    ffn_width: int
    licence: str
    has_chat_template: bool
    weights_bytes: int
    repackable_bytes: int
    tied_bytes: int
    embedding_bytes: int
    output_bytes: int
    file_bytes: int
    recommended: Sampling = Sampling()
    projector: ProjectorCard | None = None

    @property
    def size_on_disk(self) -> int:
        """Both files, in bytes."""
        return self.file_bytes + (self.projector.file_bytes if self.projector else 0)


def inspect(model_path: Path, mmproj_path: Path | None = None) -> ModelCard:
    """What the files say of themselves. Reads headers only.

    Raises ModelFileError when a file is missing, damaged, of the wrong kind, or when the two do not belong together.
    """
    header = gguf.read_whole(model_path)
    card = _model_card(header, check_text_model(header))
    if mmproj_path is None:
        return card
    projector = gguf.read(mmproj_path)
    return msgspec.structs.replace(card, projector=_projector_card(projector, check_projector(projector, card.width), card.width))


def _model_card(header: GgufFile, architecture: str) -> ModelCard:
    layers = required(header, f"{architecture}.block_count")
    width = required(header, f"{architecture}.embedding_length")
    heads = per_layer(header, f"{architecture}.attention.head_count", layers, default=0)  # none: a recurrent model
    kv_heads = per_layer(header, f"{architecture}.attention.head_count_kv", layers, default=max(heads))
    head_width = width // max(1, *heads)
    key_width = header.integer(f"{architecture}.attention.key_length") or head_width
    value_width = header.integer(f"{architecture}.attention.value_length") or head_width
    if not (0 < key_width <= 1 << 20 and 0 < value_width <= 1 << 20):
        raise wrong(header, "has attention heads of an impossible width")
    embeddings, output = header.tensors["token_embd.weight"], header.tensors.get("output.weight")
    return ModelCard(
        architecture=architecture,
        name=_label(header, "general.name") or _line(header.path.stem),
        parameters=_parameters(header),
        quantisation=_quantisation(header),
        context_length=required(header, f"{architecture}.context_length", at_most=1 << 30),
        vocab_size=header.length("tokenizer.ggml.tokens"),
        width=width,
        layers=layers,
        heads=max(heads),
        kv_heads=max(kv_heads),
        kv_values=sum(kv_heads) * (key_width + value_width),
        ffn_width=max(per_layer(header, f"{architecture}.feed_forward_length", layers, default=4 * width)),
        licence=_label(header, "general.license.name") or _label(header, "general.license"),
        has_chat_template=bool(header.text("tokenizer.chat_template")),
        weights_bytes=_weights(header.tensors.values()),
        repackable_bytes=_weights(tensor for tensor in header.tensors.values() if _is_repacked(tensor)),
        tied_bytes=0 if output is not None else embeddings.n_bytes,
        embedding_bytes=_weights(tensor for name, tensor in header.tensors.items() if name in _LOOKED_UP),
        output_bytes=(output or embeddings).n_bytes,
        file_bytes=header.file_bytes,
        recommended=recommended({name: number for name, key in SAMPLING_KEYS.items() if (number := header.number(key)) is not None}),
    )


def _projector_card(header: GgufFile, kind: str, text_width: int) -> ProjectorCard:
    image_size = required(header, "clip.vision.image_size")
    patch_size = required(header, "clip.vision.patch_size")
    # LLaVA 1.6 cuts a picture into tiles by these keys; without them the plain 'mlp' projector sees one square.
    is_tiled = header.length("clip.vision.image_grid_pinpoints") > 0 or header.text("clip.vision.mm_patch_merge_type") == "spatial_unpad"
    is_fixed_size = kind == "mlp" and not is_tiled
    width = required(header, "clip.vision.embedding_length")
    merged = max(1, min(image_size // patch_size, _merged(header, kind)))
    image_tokens = {"mlp": (image_size // patch_size) ** 2 if is_fixed_size else None, "gemma3": (image_size // patch_size // merged) ** 2}
    least, most = PICTURE_TOKENS.get(kind, (0, 0))
    return ProjectorCard(
        kind=kind,
        image_size=image_size,
        patch_size=patch_size,
        image_tokens=image_tokens.get(kind),
        is_fixed_size=is_fixed_size,
        width=width,
        layers=required(header, "clip.vision.block_count"),
        heads=required(header, "clip.vision.attention.head_count"),
        ffn_width=header.integer("clip.vision.feed_forward_length") or 4 * width,
        parameters=_parameters(header),
        weights_bytes=_weights(header.tensors.values()),
        file_bytes=header.file_bytes,
        merged=merged,
        least_tokens=least,
        most_tokens=most,
        is_whole=kind in READS_BOTH_WAYS and text_width not in READS_FORWARD_WIDTHS.get(kind, ()),
    )


def _merged(header: GgufFile, kind: str) -> int:
    """Patches of each side that become one token."""
    said = header.integer("clip.vision.projector.scale_factor") or header.integer("clip.vision.spatial_merge_size")
    return said or MERGED_PATCHES.get(kind, 1)


def _quantisation(header: GgufFile) -> str:
    """The recipe that the file names, else the tensor type that holds most of the weights."""
    named = FILE_TYPES.get(header.integer("general.file_type") or 0)
    n_bytes: Counter[str] = Counter()
    for tensor in header.tensors.values():
        n_bytes[tensor.type.name] += tensor.n_bytes
    dominant = n_bytes.most_common(1)[0][0]
    # Type 0 means F32 and is what careless writers leave there.
    return named if named and named != "F32" else dominant


def _is_repacked(tensor: Tensor) -> bool:
    """Matrices that are multiplied; token embeddings are only looked up."""
    return tensor.type.name in REPACKED and len(tensor.shape) > 1 and tensor.name != "token_embd.weight"


def _parameters(header: GgufFile) -> int:
    return sum(tensor.n_values for tensor in header.tensors.values())


def _weights(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.n_bytes for tensor in tensors)


def _label(header: GgufFile, key: str) -> str:
    return _line(header.text(key))


def _line(text: str) -> str:
    return sanitize(text, strict=True).strip()[:_LONGEST_LABEL]
