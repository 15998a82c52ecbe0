"""What a batch that is too small does to a picture that is read in both directions (Gemma 3), and that nemochat does not allow one.

    NEMOCHAT_MATERIAL=FOLDER python -m benchmarks.pictures

Prints, for each batch, the Kullback-Leibler divergence of the next token's distribution from that of the largest batch: as llama.cpp would
do it, and as nemochat does it; and before that what the encoder of a Qwen kind of projector (1280 wide, one layer, F16) takes in memory for
pictures of several sizes, beside what is estimated. The folder holds gemma-3-270m-q4_k_m.gguf (tests/material.py says where it comes
from); the projectors have random weights.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import gguf
import msgspec
import numpy as np
import numpy.typing as npt
import psutil
from llama_cpp import mtmd_cpp

from nemochat.domain.images import RgbImage
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.engine.llama.projector import Projector
from nemochat.models import estimate_memory, inspect
from nemochat.settings import EngineSettings
from tests.engine.llama_harness import loaded
from tests.engine.test_llama_pictures import divergence, logits
from tests.tiny_vision import write_gemma_projector, write_qwen_model, write_qwen_projector

_BATCHES = (512, 256, 128, 64)
_SIDE = 448
_BUDGETS = (256, 1024, 2116, 4000)


def main() -> None:
    """Print the table."""
    model = Path(os.environ["NEMOCHAT_MATERIAL"]) / "gemma-3-270m-q4_k_m.gguf"
    image = RgbImage.from_rgb(_SIDE, _SIDE, random.Random(1).randbytes(_SIDE * _SIDE * 3))
    prompt: list[Segment] = [Control("<start_of_turn>user\n"), ImageSlot(image.digest), Plain("What is it?")]
    print(f"{'tokens':>6}   MB measured   MB estimated")
    for tokens in _BUDGETS:
        subprocess.run([sys.executable, "-m", "benchmarks.pictures", str(tokens)], check=True, stderr=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        projector = write_gemma_projector(Path(folder) / "mmproj.gguf", text_width=640, image_size=_SIDE, merge=2)

        def distribution(batch: int) -> npt.NDArray[np.float64]:
            backend = loaded(model, projector, EngineSettings(context_length=1024, spare_tokens=0, batch=batch))
            backend.add_image(image)
            found = logits(backend, prompt)
            backend.close()
            return found

        truth = distribution(_BATCHES[0])
        print("batch   as llama.cpp splits it   as nemochat does it")
        for batch in _BATCHES:
            held = distribution(batch)
            with patch.object(Projector, "_tokens_of_shape", lambda *_: 0), patch.object(Projector, "decode", _unguarded):
                split = distribution(batch)
            print(f"{batch:5}   {divergence(truth, split):22.5f}   {divergence(truth, held):19.5f}")


def encode(tokens: int) -> None:
    """Encode one picture, and print what that took at most beside what was there before."""
    add = gguf.GGUFWriter.add_tensor

    def add_half(writer: gguf.GGUFWriter, name: str, array: npt.NDArray[np.float32]) -> None:
        add(writer, name, array.astype(np.float16) if array.ndim == 2 else array)

    with tempfile.TemporaryDirectory() as folder:
        model, projector = write_qwen_model(Path(folder) / "model.gguf"), Path(folder) / "mmproj.gguf"
        with patch.object(gguf.GGUFWriter, "add_tensor", add_half):
            write_qwen_projector(projector, width=1280, ffn=5120, heads=16)
        backend = loaded(model, projector, EngineSettings(context_length=512))
        side = 28 * round(tokens**0.5)
        image = RgbImage.from_rgb(side, side, bytes(side * side * 3))
        counted = backend.add_image(image)
        before, card = psutil.Process().memory_info().rss, inspect(model, projector)
        Path("/proc/self/clear_refs").write_text("5")  # the peak is that from here on
        seen = backend._model().projector  # noqa: SLF001
        assert seen is not None
        seen.encode(image, lambda: False)
        peak = next(int(line.split()[1]) * 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        without = estimate_memory(msgspec.structs.replace(card, projector=None), EngineSettings()).compute
        estimated = estimate_memory(card, EngineSettings(), counted).compute - without
        print(f"{counted:6}   {(peak - before) / 1e6:11.0f}   {estimated / 1e6:12.0f}", flush=True)
        backend.close()


_guarded = Projector.decode


def _unguarded(self: Projector, context: object, *rest: object) -> None:
    """Decode without the check of the batch: the picture counts as one that is read forward for it alone."""
    decides = mtmd_cpp.mtmd_decode_use_non_causal
    with patch.object(mtmd_cpp, "mtmd_decode_use_non_causal", lambda pointer, chunk: chunk is None and decides(pointer, chunk)):
        _guarded(self, context, *rest)  # type: ignore[arg-type]


if __name__ == "__main__":
    encode(int(sys.argv[1])) if sys.argv[1:] else main()
