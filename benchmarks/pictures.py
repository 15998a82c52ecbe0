"""What a batch that is too small does to a picture that is read in both directions (Gemma 3), and that nemochat does not allow one.

    NEMOCHAT_MATERIAL=FOLDER python -m benchmarks.pictures

The folder holds gemma-3-270m-q4_k_m.gguf (tests/material.py says where it comes from); the projector has random weights. Prints, for each
batch, the Kullback-Leibler divergence of the next token's distribution from that of the largest batch: as llama.cpp would do it, and as
nemochat does it.
"""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from llama_cpp import mtmd_cpp

from nemochat.domain.images import RgbImage
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.engine.llama.projector import Projector
from nemochat.settings import EngineSettings
from tests.engine.llama_harness import loaded
from tests.engine.test_llama_pictures import divergence, logits
from tests.tiny_vision import write_gemma_projector

_BATCHES = (512, 256, 128, 64)
_SIDE = 448


def main() -> None:
    """Print the table."""
    model = Path(os.environ["NEMOCHAT_MATERIAL"]) / "gemma-3-270m-q4_k_m.gguf"
    image = RgbImage.from_rgb(_SIDE, _SIDE, random.Random(1).randbytes(_SIDE * _SIDE * 3))
    prompt: list[Segment] = [Control("<start_of_turn>user\n"), ImageSlot(image.digest), Plain("What is it?")]
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


_guarded = Projector.decode


def _unguarded(self: Projector, context: object, *rest: object) -> None:
    """Decode without the check of the batch: the picture counts as one that is read forward for it alone."""
    decides = mtmd_cpp.mtmd_decode_use_non_causal
    with patch.object(mtmd_cpp, "mtmd_decode_use_non_causal", lambda pointer, chunk: chunk is None and decides(pointer, chunk)):
        _guarded(self, context, *rest)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
