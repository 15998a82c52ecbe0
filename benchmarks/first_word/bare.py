"""The bare loop: llama.cpp's own functions, one token after the other, the likeliest each time; what a model can do at most here."""

from __future__ import annotations

import time

import llama_cpp

from benchmarks.first_word.program import Peer, peak_of
from benchmarks.first_word.values import Memory, Send, Spec, Turn
from nemochat.engine.llama import processor


class Bare(Peer):
    """No chat: the prompt is the text that is sent, and a reply does not end before its limit."""

    async def start(self) -> None:
        """The settings of all."""
        pair = self.spec.pair
        llama_cpp.llama_log_set(_UNHEARD, None)
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
        with processor.amx_refused():
            self._model = llama_cpp.llama_model_load_from_file(pair.model.encode(), params)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_ubatch = self.spec.context, self.spec.batch, self.spec.batch
        context.n_threads = context.n_threads_batch = pair.threads
        context.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        context.type_k = context.type_v = llama_cpp.GGML_TYPE_Q8_0
        context.no_perf = True
        self._context = llama_cpp.llama_init_from_model(self._model, context)
        self._sampler = llama_cpp.llama_sampler_init_greedy()

    async def send(self, command: Send) -> Turn:
        """Evaluate the text, then decode."""
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        data = command.text.encode()
        tokens = (llama_cpp.llama_token * (len(data) + 2))()
        count = llama_cpp.llama_tokenize(vocabulary, data, len(data), tokens, len(tokens), False, True)
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        asked = time.perf_counter()
        for at in range(0, count, self.spec.batch):
            part = (llama_cpp.llama_token * min(self.spec.batch, count - at))(*tokens[at : min(count, at + self.spec.batch)])
            llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(part, len(part)))
        one = (llama_cpp.llama_token * 1)()
        said: list[float] = []
        for left in reversed(range(self.spec.reply)):
            one[0] = llama_cpp.llama_sampler_sample(self._sampler, self._context, -1)
            said.append(time.perf_counter() - asked)
            if left:
                llama_cpp.llama_decode(self._context, llama_cpp.llama_batch_get_one(one, 1))
        return Turn(said[0], said[-1], count, count, len(said), 0, "")

    def memory(self) -> Memory:
        """Of this process."""
        return Memory(peak_of())

    async def close(self) -> None:
        """Free everything."""
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)


def _unheard(level: int, text: bytes, _user_data: object) -> None:
    """What the library says while it loads."""


_UNHEARD = llama_cpp.llama_log_callback(_unheard)


def program(spec: Spec) -> Bare:
    """The bare loop."""
    return Bare(spec)
