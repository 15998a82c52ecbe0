"""Vectors of texts from a GGUF: a model whose context pools what it says of each token into one vector."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import llama_cpp

from nemochat.engine.llama.model import Model
from nemochat.engine.llama.native_log import native_log
from nemochat.errors import EngineError

_log = logging.getLogger(__name__)
WINDOW = 512
"""Tokens of a text that are looked at: more than a passage has. Models that were trained on fewer get theirs."""
_SEQUENCE = 0


class EmbeddingModel:
    """Turns texts into vectors of length 1, one text at a time."""

    def __init__(self, path: str, *, threads: int) -> None:
        """Load the model. Raises EngineError when llama.cpp refuses it or it makes no vectors."""
        self._model = Model(path, gpu_layers=0, mmap=True, on_progress=_log_progress)
        try:
            self._window = min(WINDOW, self._model.trained_context) or WINDOW
            self._pointer = self._create(threads)
        except EngineError:
            self._model.close()
            raise
        self._memory = llama_cpp.llama_get_memory(self._pointer)
        self._batch = llama_cpp.llama_batch_init(self._window, 0, 1)
        self.length = int(llama_cpp.llama_model_n_embd_out(self._model.pointer))

    def close(self) -> None:
        """Free everything."""
        if self._pointer:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self._pointer)
            self._pointer = None
            self._model.close()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector of length 1 for each text; what is longer than the window is cut. A text without tokens gets zeros."""
        return [self.embed_one(text) for text in texts]

    def embed_one(self, text: str) -> list[float]:
        """The vector of one text. Raises EngineError when llama.cpp fails."""
        tokens = self._tokens(text)
        if not tokens:
            return [0.0] * self.length
        self._evaluate(tokens)
        vector = llama_cpp.llama_get_embeddings_seq(self._pointer, _SEQUENCE)
        if not vector:
            raise EngineError("The embedding model returned no vector for a text.", "Choose another one.")
        return _normalised(vector[: self.length])

    def _create(self, threads: int) -> int | None:
        """A context that pools as the model says, else by the mean. Raises EngineError."""
        pointer = self._context(threads, llama_cpp.LLAMA_POOLING_TYPE_UNSPECIFIED)
        if pointer and llama_cpp.llama_pooling_type(pointer) == llama_cpp.LLAMA_POOLING_TYPE_NONE:
            llama_cpp.llama_free(pointer)
            pointer = self._context(threads, llama_cpp.LLAMA_POOLING_TYPE_MEAN)
        if not pointer:
            raise native_log().refusal("could not set up the embedding model", "Choose another one, or free some memory.")
        if llama_cpp.llama_pooling_type(pointer) == llama_cpp.LLAMA_POOLING_TYPE_RANK:
            llama_cpp.llama_free(pointer)
            raise EngineError("The embedding model is one that ranks texts and makes no vectors.", "Choose another one.")
        return pointer

    def _context(self, threads: int, pooling: int) -> int | None:
        params = llama_cpp.llama_context_default_params()
        # A text is evaluated in one piece: attention that looks both ways cannot be split, and pooling needs every token.
        params.n_ctx = params.n_batch = params.n_ubatch = self._window
        params.n_seq_max = 1
        params.n_outputs_max = params.n_outputs_max_per_seq = self._window
        params.n_threads = params.n_threads_batch = threads
        params.embeddings = True
        params.pooling_type = pooling
        params.attention_type = llama_cpp.LLAMA_ATTENTION_TYPE_UNSPECIFIED
        params.no_perf = True
        native_log().forget_errors()
        pointer: int | None = llama_cpp.llama_init_from_model(self._model.pointer, params)
        return pointer

    def _tokens(self, text: str) -> list[int]:
        """Token ids with the markers that the model was trained with around them, cut so that the closing marker stays."""
        vocab = self._model.vocab
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(vocab, data, len(data), buffer, room, True, False)
        if count < 0:
            buffer = (llama_cpp.llama_token * -count)()
            count = llama_cpp.llama_tokenize(vocab, data, len(data), buffer, -count, True, False)
        tokens: list[int] = buffer[:count]
        if count <= self._window:
            return tokens
        is_closed = llama_cpp.llama_vocab_get_add_sep(vocab) or llama_cpp.llama_vocab_get_add_eos(vocab)
        return [*tokens[: self._window - 1], tokens[-1]] if is_closed else tokens[: self._window]

    def _evaluate(self, tokens: Sequence[int]) -> None:
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = _SEQUENCE
            batch.logits[index] = 1
        native_log().forget_errors()
        if self._memory:
            llama_cpp.llama_memory_clear(self._memory, True)
        pointer = self._model.pointer
        is_encoder = llama_cpp.llama_model_has_encoder(pointer) and not llama_cpp.llama_model_has_decoder(pointer)
        status = (llama_cpp.llama_encode if is_encoder else llama_cpp.llama_decode)(self._pointer, batch)
        if status != 0:
            raise EngineError(f"llama.cpp failed to make a vector (status {status}): {native_log().reason}.")


def _normalised(values: Sequence[float]) -> list[float]:
    """Of length 1. Raises EngineError for a vector that has no direction."""
    length = math.sqrt(math.fsum(value * value for value in values))
    if not math.isfinite(length) or length == 0.0:
        raise EngineError("The embedding model made a vector that is no use.", "Its file may be broken: choose another one.")
    return [value / length for value in values]


def _log_progress(fraction: float) -> None:
    _log.debug("%.0f %% of the embedding model is read", fraction * 100)
