"""What must hold before llama.cpp may see a file.

llama.cpp answers most bad files with a clean error, but some kill the process: a projector without its tensors, for one. And its errors are
lines in a log; these are sentences for people.
"""

from __future__ import annotations

from pathlib import Path

from nemochat.domain.sanitize import sanitize
from nemochat.errors import ModelFileError
from nemochat.models.gguf import GgufFile, SkippedArray

NOT_FOR_CHAT = frozenset(
    {
        *("bert", "modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "eurobert"),
        *("gemma-embedding", "t5encoder", "wavtokenizer-dec", "whisper", "imatrix", "adapter", "control_vector"),
        *("sd1", "sdxl", "sd3", "flux", "lumina2", "wan", "hidream", "cosmos", "ltxv"),
    }
)
"""Architectures of files that hold something else than a model that writes text."""

PICTURE_PROJECTORS = frozenset(
    {
        *("mlp", "ldp", "ldpv2", "resampler", "adapter", "qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "qwen2.5o"),
        *("gemma3", "gemma3nv", "gemma4v", "gemma4uv", "phi4", "idefics3", "pixtral", "internvl", "llama4", "lfm2", "kimivl"),
        *("ling3vl", "step3vl", "paddleocr", "lightonocr", "cogvlm", "janus_pro", "dots_ocr", "dots3note_v", "deepseekocr"),
        *("deepseekocr2", "deepseek4v", "glm4v", "glm5v", "youtuvl", "yasa2", "kimik25", "nemotron_v2_vl", "exaone4_5"),
        *("hunyuanvl", "minicpmv4_6", "mimovl", "minimax_m3", "granite4_vision", "muse-glimmer"),
    }
)
"""Projectors for pictures that llama.cpp runs (tools/mtmd/clip-impl.h), as vendored by llama-cpp-python 0.3.36."""

READS_BOTH_WAYS = frozenset({"gemma3", "gemma4v", "gemma4uv", "deepseek4v"})
"""Projectors whose pictures the language model reads in both directions, so that one has to be evaluated at once (tools/mtmd/mtmd.cpp)."""
READS_FORWARD_WIDTHS = {"gemma4v": frozenset({1536, 2560})}
"""Widths of the language models (Gemma 4 E2B and E4B) for which that does not hold."""

PICTURE_TOKENS = {
    **dict.fromkeys(("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "ling3vl", "glm4v"), (8, 4096)),
    **dict.fromkeys(("pixtral", "kimivl"), (8, 1024)),
    **dict.fromkeys(("gemma4v", "gemma4uv"), (70, 1120)),
    "lfm2": (64, 256),
    "kimik25": (2, 4096),
    "minimax_m3": (8, 576),
    "muse-glimmer": (1, 4096),
    "youtuvl": (1, 62_500),
    "hunyuanvl": (256, 16_384),
    "deepseek4v": (16, 384),
}
"""Projectors of dynamic resolution: the fewest and the most tokens of a picture unless somebody says otherwise (tools/mtmd/clip.cpp)."""

MERGED_PATCHES = {
    **dict.fromkeys(("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "ling3vl", "glm4v", "glm5v", "youtuvl", "hunyuanvl"), 2),
    **dict.fromkeys(("minimax_m3", "muse-glimmer", "mimovl", "exaone4_5", "paddleocr"), 2),
    "gemma3": 4,
    "gemma4v": 3,
    "gemma4uv": 3,
    "step3vl": 4,
}
"""How many patches of each side become one token, where the file does not say."""

MASKED_WINDOWS = frozenset({"qwen2.5vl_merger", "youtuvl"})
"""Projectors whose encoder holds a mask of patches by patches, because most of its layers look at windows of the picture."""


Shape = tuple[int, ...]

_NORM_PARTS = ("weight", "bias")
_WITHOUT_PICTURES = "Leave the projector out to chat without pictures."


def shown(path: Path) -> str:
    """A path as messages spell it."""
    return sanitize(str(path), strict=True)


def wrong(gguf: GgufFile, what: str) -> ModelFileError:
    """The error for a file whose contents do not fit together; `what` goes on the sentence that begins with its path."""
    return ModelFileError(f"{shown(gguf.path)} {what}.", "It is damaged or was converted wrongly.")


def required(gguf: GgufFile, key: str, *, at_most: int = 1 << 31) -> int:
    """A positive integer of the metadata. Raises ModelFileError when it is missing or out of bounds."""
    value = gguf.integer(key)
    if value is None:
        raise wrong(gguf, f"lacks the metadata {key}")
    if not 1 <= value <= at_most:
        raise wrong(gguf, f"says that {key} is {value}, which cannot be")
    return value


def per_layer(gguf: GgufFile, key: str, layers: int, default: int) -> tuple[int, ...]:
    """One figure per layer, from a list or from one figure for all. Raises ModelFileError for figures that cannot be."""
    value = gguf.metadata.get(key, default)
    figures = value if isinstance(value, tuple) else (value,) * layers
    checked = tuple(figure for figure in figures if isinstance(figure, int) and 0 <= figure <= 1 << 20)[:layers]
    if len(checked) != layers:
        raise wrong(gguf, f"has impossible figures under {key}")
    return checked


def check_text_model(gguf: GgufFile) -> str:
    """The architecture. Raises ModelFileError unless the file is a whole model that writes text."""
    path = shown(gguf.path)
    architecture = sanitize(gguf.text("general.architecture"), strict=True)
    if not 0 < len(architecture) <= 64:
        raise wrong(gguf, "does not say what kind of model it is (general.architecture)")
    if architecture == "clip":
        hint = "Give the model's own .gguf as the model, and this file as its projector (mmproj)."
        raise ModelFileError(f"{path} is a projector for pictures, not a language model.", hint)
    if architecture in NOT_FOR_CHAT or gguf.text("general.type") in ("adapter", "mmproj", "imatrix"):
        raise ModelFileError(f"{path} is a {architecture} file, which does not write text.", "Give a chat model.")
    if gguf.text("tokenizer.ggml.model") in ("", "no_vocab", "none"):
        raise ModelFileError(f"{path} has no tokenizer.", "It was converted without one; get another file.")
    if gguf.text("tokenizer.ggml.model") in ("bert", "t5"):
        raise ModelFileError(f"{path} has a vocabulary that cannot give text back as it was.", "Give a chat model.")
    n_tokens = gguf.length("tokenizer.ggml.tokens")
    if not n_tokens:
        raise wrong(gguf, "has no vocabulary (tokenizer.ggml.tokens)")
    tokens = gguf.metadata["tokenizer.ggml.tokens"]
    if isinstance(tokens, SkippedArray) and tokens.has_repeats:  # an assertion of llama.cpp ends the process
        raise wrong(gguf, "has a vocabulary in which a token comes twice")
    layers = required(gguf, f"{architecture}.block_count", at_most=4096)
    width = required(gguf, f"{architecture}.embedding_length", at_most=1 << 20)
    _expect_shapes(gguf, {"token_embd.weight": (width, n_tokens)})
    present = {name.split(".")[1] for name in gguf.tensors if name.startswith("blk.")}
    missing = next((layer for layer in range(layers) if str(layer) not in present), None)
    if missing is not None:
        raise wrong(gguf, f"lacks the tensors of its layer {missing}")
    if architecture == "nemotron":
        _check_nemotron(gguf, width, layers, n_tokens)
    return architecture


def _check_nemotron(gguf: GgufFile, width: int, layers: int, n_tokens: int) -> None:
    """The keys and tensors that llama.cpp needs for the `nemotron` architecture, with their shapes."""
    heads = required(gguf, "nemotron.attention.head_count", at_most=4096)
    kv_heads = required(gguf, kv_key, at_most=4096) if (kv_key := "nemotron.attention.head_count_kv") in gguf.metadata else heads
    ffn_width = required(gguf, "nemotron.feed_forward_length")
    head_width = gguf.integer("nemotron.attention.key_length") or width // heads
    rope_width = required(gguf, "nemotron.rope.dimension_count", at_most=1 << 16)
    _check_epsilon(gguf, "nemotron.attention.layer_norm_epsilon")
    if width % heads or heads % kv_heads or rope_width > head_width or rope_width % 2:
        figures = f"width {width}, {heads} heads, {kv_heads} KV heads, {rope_width} rotated values"
        raise wrong(gguf, f"has figures that do not go together ({figures})")
    queries, keys = heads * head_width, kv_heads * head_width
    shapes: dict[str, Shape] = {"output.weight": (width, n_tokens)}
    shapes |= {f"output_norm.{part}": (width,) for part in _NORM_PARTS}
    for layer in range(layers):
        block = f"blk.{layer}."
        shapes |= {f"{block}{norm}.{part}": (width,) for norm in ("attn_norm", "ffn_norm") for part in _NORM_PARTS}
        shapes |= {f"{block}attn_q.weight": (width, queries), f"{block}attn_output.weight": (queries, width)}
        shapes |= {f"{block}attn_k.weight": (width, keys), f"{block}attn_v.weight": (width, keys)}
        shapes |= {f"{block}ffn_up.weight": (width, ffn_width), f"{block}ffn_down.weight": (ffn_width, width)}
    _expect_shapes(gguf, shapes)


def check_projector(gguf: GgufFile, text_width: int) -> str:
    """The projector's type. Raises ModelFileError unless the file is a picture projector for a model of that width.

    The width is compared for the 'mlp' projector, from its tensors: the key projection_dim often holds CLIP's own figure.
    """
    path = shown(gguf.path)
    architecture = sanitize(gguf.text("general.architecture"), strict=True)
    if architecture != "clip":
        hint = "Give this file as the model, and the mmproj file as its projector."
        raise ModelFileError(f"{path} is a {architecture[:60] or 'nameless'} model, not a projector for pictures.", hint)
    if gguf.metadata.get("clip.has_vision_encoder") is not True:
        raise ModelFileError(f"{path} is a projector without a vision encoder.", _WITHOUT_PICTURES)
    kind = sanitize(gguf.text("clip.vision.projector_type") or gguf.text("clip.projector_type"), strict=True) or "mlp"
    if kind not in PICTURE_PROJECTORS:
        raise ModelFileError(f"{path} has a projector of type {kind[:60]}, which llama.cpp cannot run.", _WITHOUT_PICTURES)
    image_size = required(gguf, "clip.vision.image_size", at_most=16_384)
    patch_size = required(gguf, "clip.vision.patch_size", at_most=image_size)
    width = required(gguf, "clip.vision.embedding_length", at_most=1 << 20)
    layers = required(gguf, "clip.vision.block_count", at_most=4096)
    heads = required(gguf, "clip.vision.attention.head_count", at_most=4096)
    if width % heads:
        raise wrong(gguf, f"has a vision encoder of width {width} with {heads} heads, which cannot be")
    if kind == "mlp":
        _check_clip(gguf, image_size, patch_size, width, layers)
        _check_mlp(gguf, width, text_width)
    return kind


def _check_clip(gguf: GgufFile, image_size: int, patch_size: int, width: int, layers: int) -> None:
    """The keys and tensors of a CLIP encoder; without its positions llama.cpp ends in SIGSEGV."""
    if image_size % patch_size:
        raise wrong(gguf, f"has patches of {patch_size} pixels, which do not divide its image size {image_size}")
    _check_epsilon(gguf, "clip.vision.attention.layer_norm_epsilon")
    for key in ("clip.vision.image_mean", "clip.vision.image_std"):
        if gguf.length(key) != 3:
            raise wrong(gguf, f"lacks the three values of {key}")
    if not all(isinstance(layer, int) and 0 <= layer <= layers for layer in _feature_layers(gguf)):
        raise wrong(gguf, "takes its features from a layer that it does not have")
    positions = (image_size // patch_size) ** 2
    shapes: dict[str, Shape] = {"v.patch_embd.weight": (patch_size, patch_size, 3, width)}
    if "v.class_embd" in gguf.tensors:
        positions += 1
        shapes["v.class_embd"] = (width,)
    shapes["v.position_embd.weight"] = (width, positions)
    names: list[str] = []
    for layer in range(layers):
        block = f"v.blk.{layer}."
        shapes |= {f"{block}attn_{name}.weight": (width, width) for name in ("q", "k", "v", "out")}
        shapes |= {f"{block}{norm}.{part}": (width,) for norm in ("ln1", "ln2") for part in _NORM_PARTS}
        names += [f"{block}ffn_up.weight", f"{block}ffn_down.weight"]  # old files have the two swapped, and llama.cpp swaps them back
    _expect_shapes(gguf, shapes)
    _expect(gguf, names)


def _check_mlp(gguf: GgufFile, vision_width: int, text_width: int) -> None:
    """The two layers between the encoder and the language model; without them llama.cpp ends in SIGSEGV.

    With a tensor of layer 3 (Yi-VL) it takes that for the second one, and wants a norm behind each.
    """
    last = 3 if "mm.3.weight" in gguf.tensors else 2
    _expect(gguf, ["mm.0.weight", f"mm.{last}.weight"])
    first, second = gguf.tensors["mm.0.weight"].shape, gguf.tensors[f"mm.{last}.weight"].shape
    features = vision_width * max(1, len(_feature_layers(gguf)))
    if len(first) != 2 or len(second) != 2 or first[0] != features or second[0] != first[1]:
        raise wrong(gguf, "has a projector whose layers do not fit together")
    shapes: dict[str, Shape] = {"mm.0.bias": (first[1],), f"mm.{last}.bias": (second[1],)}
    if last == 3:
        shapes |= {f"mm.1.{part}": (first[1],) for part in _NORM_PARTS} | {f"mm.4.{part}": (second[1],) for part in _NORM_PARTS}
    _expect_shapes(gguf, shapes)
    if second[1] != text_width:
        sentence = f"{shown(gguf.path)} is made for a language model of width {second[1]}, but this one has width {text_width}."
        raise ModelFileError(sentence, "Give the projector that belongs to the model, or none to chat without pictures.")


def _check_epsilon(gguf: GgufFile, key: str) -> None:
    """An assertion of llama.cpp ends the process when it is negative."""
    value = gguf.metadata.get(key)
    if not isinstance(value, float):
        raise wrong(gguf, f"lacks the metadata {key}")
    if not 0 <= value < 1:  # false for NaN as well
        raise wrong(gguf, f"says that {key} is {value:g}, which cannot be")


def _feature_layers(gguf: GgufFile) -> tuple[object, ...]:
    value = gguf.metadata.get("clip.vision.feature_layer", ())
    return value if isinstance(value, tuple) else (value,)


def _expect(gguf: GgufFile, names: list[str]) -> None:
    missing = [name for name in names if name not in gguf.tensors]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise wrong(gguf, f"lacks the tensor {missing[0]}{more}")


def _expect_shapes(gguf: GgufFile, shapes: dict[str, Shape]) -> None:
    _expect(gguf, list(shapes))
    for name, shape in shapes.items():
        found = gguf.tensors[name].shape
        if _trimmed(found) != _trimmed(shape):
            raise wrong(gguf, f"has a tensor {name} of {_times(found)} instead of {_times(shape)}")


def _times(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _trimmed(shape: Shape) -> Shape:
    """Trailing ones left out: they mean nothing in GGML."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
