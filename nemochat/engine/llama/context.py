"""An evaluation context: llama.cpp's KV cache and `llama_decode`, for a few sequences that share one cache."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import llama_cpp
import numpy as np
import numpy.typing as npt

from nemochat.domain.events import Progress, Stage
from nemochat.engine.backend import Cancelled, ProgressSink
from nemochat.engine.llama.model import Model
from nemochat.engine.llama.native_log import native_log
from nemochat.errors import EngineError
from nemochat.settings import EngineSettings, KvType

_log = logging.getLogger(__name__)
_KV_TYPES = {KvType.F16: llama_cpp.GGML_TYPE_F16, KvType.Q8_0: llama_cpp.GGML_TYPE_Q8_0}
_SEQUENCES = 8
"""How many sequences the cache tells apart. They cost nothing: the cells are shared among them."""
_ABORTED = 2
_NO_ROOM = 1
_TO_THE_END = -1
_NOTHING = nullcontext()
_QUICK_SECONDS = 2.0


class Aborted(Exception):
    """An evaluation stopped because `cancelled` turned true. The cache may hold a part of what was being evaluated."""


class FirstTimes:
    """Tells, while it lasts, that a device does something for the first time: it compiles its programs for that, which can take a minute.

    Only what takes longer than `_QUICK_SECONDS` is told. On the processor there is nothing to compile, and nothing is told.
    """

    def __init__(self, tell: ProgressSink | None) -> None:
        """tell: hears of it every few seconds, from another thread; None on the processor."""
        self._tell = tell
        self._seen: set[object] = set()

    def of(self, kind: object) -> AbstractContextManager[None]:
        """A block in which something of a kind is done."""
        return _NOTHING if self._tell is None or kind in self._seen else self._watched(kind, self._tell)

    @contextmanager
    def _watched(self, kind: object, tell: ProgressSink) -> Iterator[None]:
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.wait(_QUICK_SECONDS):
                tell(Progress(Stage.COMPILE, 0, 0))

        watcher = threading.Thread(target=watch, name="first time", daemon=True)
        watcher.start()
        try:
            yield
            self._seen.add(kind)
        finally:
            is_over.set()
            watcher.join()  # nothing is told behind the answer to a request


class CacheFull(EngineError):
    """The KV cache has no room for what was to be evaluated."""


class Context:
    """A KV cache over a model, and the evaluation of tokens into it.

    can_shift: whether `shift` works with this architecture and cache. can_take_back: whether a sequence can be cut anywhere; a recurrent
    one can only be forgotten as a whole.
    can_guess: whether tokens can be taken back, and a distribution depends on nothing but the tokens before it and the size of the batch.
    rows: for how many tokens of one evaluation the distributions can be asked for. sequences: how many the cache tells apart, numbered
    from 0.
    """

    def __init__(
        self, model: Model, *, length: int, rows: int, threads: int, settings: EngineSettings, first: FirstTimes | None = None
    ) -> None:
        """Allocate a cache of `length` cells. Raises EngineError when that fails, most likely for want of memory."""
        self.first = first or FirstTimes(None)
        self._is_on_device = settings.on_gpu != 0
        self.batch_size = min(settings.batch, length)
        self.rows = min(rows, self.batch_size)
        self.sequences = min(_SEQUENCES, self.batch_size)  # llama.cpp wants a batch to have room for one token of each
        kv_type = settings.kv_type
        pointer = self._create(model, length, threads, settings, kv_type)
        if not pointer and kv_type is not KvType.F16:
            _log.warning("no %s KV cache with this model, using f16: %s", kv_type.value, native_log().reason)
            kv_type = KvType.F16
            pointer = self._create(model, length, threads, settings, kv_type)
        if not pointer:
            raise native_log().refusal(f"could not set up a context of {length} tokens", "Choose a smaller context length or batch.")
        self.pointer: int | None = pointer
        self._memory = llama_cpp.llama_get_memory(pointer)
        # With a quantised cache llama.cpp says that it can, and crashes (SIGSEGV in build_rope_shift, seen with llama-cpp-python 0.3.36).
        self.can_shift = kv_type is KvType.F16 and bool(llama_cpp.llama_memory_can_shift(self._memory))
        self.can_take_back = model.can_take_back
        # With f16 the attention to a long cache is added up in another order, depending on what else is in the cache; on GPUs as well.
        self.can_guess = kv_type is KvType.Q8_0 and settings.on_gpu == 0 and model.can_take_back
        self._vocab_size = model.vocab_size
        self._cancelled: Cancelled | None = None
        self._abort = llama_cpp.ggml_abort_callback(self._is_cancelled)
        self._never = llama_cpp.ggml_abort_callback()
        self._batch = llama_cpp.llama_batch_init(self.batch_size, 0, 1)
        # Looking these up in the structure costs more than using them.
        self._ids, self._positions, self._outputs = self._batch.token, self._batch.pos, self._batch.logits
        for index in range(self.batch_size):
            self._batch.n_seq_id[index] = 1
        self._sequence = -1
        self._use(0)

    def _create(self, model: Model, length: int, threads: int, settings: EngineSettings, kv_type: KvType) -> int | None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = length
        params.n_batch = params.n_ubatch = min(settings.batch, length)
        params.n_seq_max = self.sequences
        # With the default, room is reserved for the distribution after every token of a batch, half a gigabyte at 256,000 tokens in
        # the vocabulary.
        params.n_outputs_max = max(self.rows, self.sequences)  # llama.cpp ends the process when there are fewer than sequences
        params.n_outputs_max_per_seq = self.rows
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

    # -- evaluation. Each raises Aborted, CacheFull, or EngineError when llama.cpp fails; the sequence then needs `keep(position)`.

    def decode(
        self, tokens: Sequence[int], position: int, sequence: int, cancelled: Cancelled | None, *, all_rows: bool = False
    ) -> None:
        """Evaluate at most `batch_size` tokens from `position` on, with the distribution after the last one, or after each, as output."""
        native_log().forget_errors()
        self._use(sequence)
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            self._ids[index] = token
            self._positions[index] = position + index
            self._outputs[index] = all_rows
        self._outputs[len(tokens) - 1] = 1
        with self.abortable(cancelled), self.first.of(_shape(len(tokens))):
            check(self._decoded(batch), "the prompt")

    def decode_one(self, token: int, position: int, sequence: int) -> None:
        """Evaluate one token, without a look at cancellation: the abort callback would cost a small model a tenth of its speed."""
        self._use(sequence)
        batch = self._batch
        batch.n_tokens = 1
        self._ids[0] = token
        self._positions[0] = position
        self._outputs[0] = 1
        with self.first.of(1):
            check(self._decoded(batch), "the reply")

    def decode_embeddings(
        self, values: ctypes.Array[ctypes.c_float], count: int, position: int, sequence: int, cancelled: Cancelled | None
    ) -> None:
        """Evaluate `count` tokens, at most `batch_size`, given as embeddings one after the other. No distribution is left."""
        self._use(sequence)
        batch = llama_cpp.llama_batch(
            n_tokens=count,
            token=None,
            embd=ctypes.cast(values, ctypes.POINTER(ctypes.c_float)),
            pos=self._positions,
            n_seq_id=self._batch.n_seq_id,
            seq_id=self._batch.seq_id,
            logits=self._outputs,
        )
        for index in range(count):
            self._positions[index] = position + index
            self._outputs[index] = 0
        with self.abortable(cancelled), self.first.of(("picture", _shape(count))):
            check(self._decoded(batch), "the picture")

    def _decoded(self, batch: llama_cpp.llama_batch) -> int:
        status: int = llama_cpp.llama_decode(self.pointer, batch)
        self.finish()
        return status

    def finish(self) -> None:
        """Wait until a device has done what it was asked for: else time is taken where it is not spent, and pieces that are to be short
        pile up. The processor is done at once."""
        if self._is_on_device:
            llama_cpp.llama_synchronize(self.pointer)

    def distribution(self, row: int) -> npt.NDArray[np.float32]:
        """The logits after a token of the last evaluation, valid until the next one: by the token's place, or -1 for the last one.

        Raises EngineError when llama.cpp has none.
        """
        logits = llama_cpp.llama_get_logits_ith(self.pointer, row)
        if not logits:
            raise EngineError("llama.cpp has no distribution to draw the next token from.")
        return np.ctypeslib.as_array(logits, (self._vocab_size,))

    def wait(self) -> None:
        """Return when the last evaluation is done. Asking for what it gave waits as well."""
        llama_cpp.llama_synchronize(self.pointer)

    def abortable(self, cancelled: Cancelled | None) -> _Abortable:
        """A block in which evaluations stop soon after `cancelled` turns true (on a GPU: after the batch); None: they never do."""
        return _Abortable(self, cancelled)

    def watch(self, cancelled: Cancelled | None) -> None:
        """Ask `cancelled` between the operations of an evaluation, None to ask nobody."""
        self._cancelled = cancelled
        callback = self._never if cancelled is None else self._abort
        llama_cpp.llama_set_abort_callback(self.pointer, callback, ctypes.c_void_p(0))

    def _is_cancelled(self, _user_data: int | None) -> bool:
        return self._cancelled is not None and self._cancelled()

    def _use(self, sequence: int) -> None:
        """What is evaluated next belongs to this sequence."""
        if sequence != self._sequence:
            for index in range(self.batch_size):
                self._batch.seq_id[index][0] = sequence
            self._sequence = sequence

    # -- the cache

    def keep(self, sequence: int, position: int) -> bool:
        """Remove everything of a sequence from `position` on. False when this architecture cannot: then the sequence is empty."""
        if llama_cpp.llama_memory_seq_rm(self._memory, sequence, position, _TO_THE_END):
            return True
        self.clear(sequence)
        return False

    def clear(self, sequence: int) -> None:
        """Remove a sequence. Cells that another one shares stay."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, 0, _TO_THE_END)

    def fork(self, source: int, sequence: int, position: int) -> bool:
        """Let an empty sequence share what `source` holds before `position`. False when this architecture cannot: it stays empty."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, sequence, 0, position)
        if self.held_positions(sequence) == position:
            return True
        self.clear(sequence)
        return False

    def shift(self, sequence: int, start: int, stop: int) -> None:
        """Take the positions from `start` to `stop` out of a sequence and move what follows down, as if they had never been.

        What follows was computed with them in sight, and keeps that. No other sequence may share a cell from `start` on.
        """
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, start, stop)
        llama_cpp.llama_memory_seq_add(self._memory, sequence, stop, _TO_THE_END, start - stop)

    def held_positions(self, sequence: int) -> int:
        """Positions of a sequence in the cache, by its own account."""
        return int(llama_cpp.llama_memory_seq_pos_max(self._memory, sequence)) + 1

    # -- states on the disk

    def state_size(self, sequence: int) -> int:
        """Bytes that `save` would write."""
        return int(llama_cpp.llama_state_seq_get_size(self.pointer, sequence))

    def save(self, sequence: int, path: Path) -> None:
        """Write a sequence to a file, which should exist already with the permissions that it is to have. Raises EngineError."""
        native_log().forget_errors()
        if not llama_cpp.llama_state_seq_save_file(self.pointer, os.fsencode(path), sequence, (llama_cpp.llama_token * 1)(), 0):
            raise EngineError(f"The state of the chat could not be written: {native_log().reason}.")

    def load(self, sequence: int, path: Path) -> None:
        """Read an empty sequence from a file. Raises CacheFull or EngineError, and the sequence is empty then."""
        native_log().forget_errors()
        count = ctypes.c_size_t(0)
        token = (llama_cpp.llama_token * 1)()
        if not llama_cpp.llama_state_seq_load_file(self.pointer, os.fsencode(path), sequence, token, 1, ctypes.byref(count)):
            self.clear(sequence)
            raise CacheFull(f"The state of the chat could not be read: {native_log().reason}.")


class _Abortable:
    def __init__(self, context: Context, cancelled: Cancelled | None) -> None:
        self._context, self._cancelled = context, cancelled

    def __enter__(self) -> None:
        self._context.watch(self._cancelled)

    def __exit__(self, *_: object) -> None:
        self._context.watch(None)


def _shape(tokens: int) -> int:
    """Batches of about this size are computed by the same programs of a device; few tokens by those for just so many."""
    return tokens if tokens <= _SEQUENCES else _SEQUENCES + tokens.bit_length()


def check(status: int, what: str) -> None:
    """Turn the status of an evaluation into Aborted, CacheFull or EngineError."""
    if status == _ABORTED:
        raise Aborted
    if status == _NO_ROOM:
        raise CacheFull(f"There is no room for {what} in the KV cache.", "Choose a longer context or start a new chat.")
    if status != 0:
        raise native_log().refusal(f"failed to evaluate {what} (status {status})")
