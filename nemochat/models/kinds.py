"""Names by which GGUF files say what they hold, where nemochat has to tell them apart."""

from __future__ import annotations

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
