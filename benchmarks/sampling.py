"""What the samplers cost: a model's decode rate with all of them on, as a ratio to the rate with all of them off.

``python -m benchmarks.sampling MODEL.gguf``: both in one run, by turns, because the machine's speed changes; by the processor's clock on
one thread, so that other programs do not count. Guessing is off, because it would make the one text quicker than the other.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from nemochat.domain.events import Finished
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Control, Plain
from nemochat.engine.llama import LlamaBackend
from nemochat.engine.protocol import GenerateRequest, LoadRequest
from nemochat.settings import EngineSettings

TOKENS, ROUNDS = 120, 6
PROMPT = (
    Control("<|im_start|>user\n"),
    Plain("Tell me a long story about a mill, a river and a winter. " * 12),
    Control("<|im_end|>\n<|im_start|>assistant\n"),
)
ALL: dict[str, Any] = {
    "repeat_penalty": 1.1,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "dry_multiplier": 0.8,
    "top_n_sigma": 2.0,
    "typical_p": 0.95,
    "xtc_probability": 0.5,
    "dynatemp_range": 0.4,
    "logit_bias": {" the": -0.5, " indeed": -5.0, " shiver": -100.0},
    "banned_strings": ("barely above a whisper", "shivers down", "a testament to", "couldn't help but", "once upon a time"),
}


def rate(backend: LlamaBackend, seed: int, **values: Any) -> float:
    """Tokens a second of one reply of `TOKENS` tokens, or of fewer where the model ends it; the prompt is in the cache."""
    sampling = Sampling(temperature=1.0, seed=seed, max_tokens=TOKENS, **values)
    done, began = None, time.process_time()
    for event in backend.generate(GenerateRequest(PROMPT, sampling), lambda: False):
        if isinstance(event, Finished):
            done = event
    assert done is not None
    return done.usage.completion_tokens / (time.process_time() - began)


def main(model: str) -> None:
    """Print both rates and their ratio."""
    backend = LlamaBackend()
    settings = EngineSettings(context_length=2048, prompt_lookup=False, threads=1)
    backend.load(LoadRequest("model", model, None, settings), lambda _: None)
    rate(backend, 0, **ALL)
    pairs = []
    for seed in range(ROUNDS):
        off = rate(backend, seed)
        on = rate(backend, seed, **ALL)
        pairs.append((off, on))
        print(f"off {off:6.1f} tokens a second   on {on:6.1f}   ratio {on / off:.3f}", flush=True)
    print(f"median ratio {statistics.median(on / off for off, on in pairs):.3f}")
    backend.close()


if __name__ == "__main__":
    main(sys.argv[1])
