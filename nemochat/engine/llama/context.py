"""An evaluation context: llama.cpp's KV cache and `llama_decode`, for the one sequence that a chat is."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Sequence

import llama_cpp

from nemochat.engine.backend import Cancelled
from nemochat.engine.llama.model import Model
from nemochat.engine.llama.native_log import native_log
from nemochat.errors import EngineError
from nemochat.settings import EngineSettings, KvType

_log = logging.getLogger(__name__)
_KV_TYPES = {KvType.F16: llama_cpp.GGML_TYPE_F16, KvType.Q8_0: llama_cpp.GGML_TYPE_Q8_0}
SEQUENCE = 0
"""The only sequence of the cache."""
_ABORTED = 2


class Aborted(Exception):
    """An evaluation stopped because `cancelled` turned true. The cache may hold a part of what was being evaluated."""


class Context:
    """KV cache of `length` cells over a model."""

    def __init__(self, model: Model, *, length: int, threads: int, settings: EngineSettings) -> None:
        """Allocate the cache. Raises EngineError when that fails, most likely for want of memory."""
        self.batch_size = min(settings.batch, length)
        pointer = self._create(model, length, threads, settings, settings.kv_type)
        if not pointer and settings.kv_type is not KvType.F16:
            _log.warning("no %s KV cache with this model, using f16: %s", settings.kv_type.value, native_log().reason)
            pointer = self._create(model, length, threads, settings, KvType.F16)
        if not pointer:
            raise EngineError(
                f"llama.cpp could not set up a context of {length} tokens: {native_log().reason}.",
                "Choose a smaller context length or batch.",
            )
        self.pointer: int | None = pointer
        self._memory = llama_cpp.llama_get_memory(pointer)
        self._cancelled: Cancelled | None = None
        self._abort = llama_cpp.ggml_abort_callback(self._is_cancelled)
        self._never = llama_cpp.ggml_abort_callback()
        self._batch = llama_cpp.llama_batch_init(self.batch_size, 0, 1)
        # Looking these up in the structure costs more than using them.
        self._ids, self._positions, self._outputs = self._batch.token, self._batch.pos, self._batch.logits
        for index in range(self.batch_size):
            self._batch.n_seq_id[index] = 1
            self._batch.seq_id[index][0] = SEQUENCE

    @staticmethod
    def _create(model: Model, length: int, threads: int, settings: EngineSettings, kv_type: KvType) -> int | None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = length
        params.n_batch = params.n_ubatch = min(settings.batch, length)
        params.n_seq_max = 1
        # Only the distribution after the last token is ever read: with the default, room is reserved for one per token of a batch,
        # half a gigabyte at 256,000 tokens in the vocabulary.
        params.n_outputs_max = params.n_outputs_max_per_seq = 1
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED if settings.flash_attention else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.type_k = params.type_v = _KV_TYPES[kv_type]
        params.attention_type = llama_cpp.LLAMA_ATTENTION_TYPE_UNSPECIFIED
        params.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_UNSPECIFIED
        params.rope_scaling_type = llama_cpp.LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED
        params.embeddings = False
        params.offload_kqv = True
        params.op_offload = True
        params.no_perf = True
        # Sliding-window layers keep their whole history, so that any prefix can be kept and the rest removed.
        params.swa_full = True
        params.kv_unified = True
        native_log().forget_errors()
        pointer: int | None = llama_cpp.llama_init_from_model(model.pointer, params)
        return pointer

    def close(self) -> None:
        """Free the cache."""
        if self.pointer:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self.pointer)
            self.pointer = None

    def decode(self, tokens: Sequence[int], position: int, cancelled: Cancelled) -> None:
        """Evaluate at most `batch_size` tokens from `position` on, with the distribution after the last one as output.

        Raises Aborted, or EngineError when llama.cpp fails; the cache then needs `keep(position)`.
        """
        native_log().forget_errors()
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            self._ids[index] = token
            self._positions[index] = position + index
            self._outputs[index] = 0
        self._outputs[len(tokens) - 1] = 1
        with self.abortable(cancelled):
            check(llama_cpp.llama_decode(self.pointer, batch), "the prompt")

    def decode_one(self, token: int, position: int) -> None:
        """Evaluate one token, without a look at cancellation: the abort callback would cost a small model a tenth of its speed."""
        batch = self._batch
        batch.n_tokens = 1
        self._ids[0] = token
        self._positions[0] = position
        self._outputs[0] = 1
        check(llama_cpp.llama_decode(self.pointer, batch), "the reply")

    def abortable(self, cancelled: Cancelled) -> _Abortable:
        """A block in which evaluations stop soon after `cancelled` turns true (on a GPU: after the batch)."""
        return _Abortable(self, cancelled)

    def watch(self, cancelled: Cancelled | None) -> None:
        """Ask `cancelled` between the operations of an evaluation, None to ask nobody."""
        self._cancelled = cancelled
        callback = self._never if cancelled is None else self._abort
        llama_cpp.llama_set_abort_callback(self.pointer, callback, ctypes.c_void_p(0))

    def _is_cancelled(self, _user_data: int | None) -> bool:
        return self._cancelled is not None and self._cancelled()

    def keep(self, position: int) -> bool:
        """Remove everything from `position` on. False when this architecture cannot: then the cache is empty."""
        if llama_cpp.llama_memory_seq_rm(self._memory, SEQUENCE, position, -1):
            return True
        llama_cpp.llama_memory_clear(self._memory, False)
        return False

    @property
    def held_positions(self) -> int:
        """Positions in the cache, by its own account."""
        return int(llama_cpp.llama_memory_seq_pos_max(self._memory, SEQUENCE)) + 1


class _Abortable:
    def __init__(self, context: Context, cancelled: Cancelled) -> None:
        self._context, self._cancelled = context, cancelled

    def __enter__(self) -> None:
        self._context.watch(self._cancelled)

    def __exit__(self, *_: object) -> None:
        self._context.watch(None)


def check(status: int, what: str) -> None:
    """Turn the status of an evaluation into Aborted or EngineError."""
    if status == _ABORTED:
        raise Aborted
    if status == 1:
        raise EngineError(f"There is no room for {what} in the KV cache.", "Choose a longer context or start a new chat.")
    if status != 0:
        raise EngineError(f"llama.cpp failed to evaluate {what} (status {status}): {native_log().reason}.")
