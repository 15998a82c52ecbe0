"""llama.cpp through llama-cpp-python's low-level API: the only place that imports `llama_cpp`.

`LlamaBackend` is what the worker process runs. Below it, from the outside in: `tokens` (segments to token ids), `evaluator` (prompt to
KV cache, with the pure `ledger` and `lru`), `sampler`, and the typed handles `model`, `context` and `projector` over the native library,
whose messages `native_log` receives.
"""

from nemochat.engine.llama.backend import LlamaBackend

__all__ = ["LlamaBackend"]
