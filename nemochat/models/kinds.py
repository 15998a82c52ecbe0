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
