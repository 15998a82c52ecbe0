"""llama-cpp-python with its own multimodal chat handler, which clears the KV cache before every prompt."""

from __future__ import annotations

import time
from typing import Any

import llama_cpp
from llama_cpp.llama_chat_format import MTMDChatHandler

from benchmarks.first_word.program import Peer, peak_of
from benchmarks.first_word.values import Memory, Send, Spec, Turn
from nemochat.engine.llama import processor

TURN_TOKENS = 4


class NemotronHandler(MTMDChatHandler):
    """The handler with the template of the model's file, which wants plain text: a picture is a line of its own."""

    def _get_template_messages(self, messages: list[Any], media_marker: str) -> list[Any]:
        return [{**message, "content": _as_text(message["content"], media_marker)} for message in messages]


class ChatHandler(Peer):
    """Evaluates everything anew for every reply, and encodes every picture."""

    async def start(self) -> None:
        """With the same settings as all."""
        pair = self.spec.pair
        with processor.amx_refused():  # see there: this library ends the process otherwise
            self._llama = llama_cpp.Llama(
                pair.model,
                n_ctx=self.spec.context,
                n_batch=self.spec.batch,
                n_ubatch=self.spec.batch,
                n_threads=pair.threads,
                n_threads_batch=pair.threads,
                n_gpu_layers=0,
                use_mmap=False,
                flash_attn=True,
                type_k=llama_cpp.GGML_TYPE_Q8_0,
                type_v=llama_cpp.GGML_TYPE_Q8_0,
                chat_handler=NemotronHandler(pair.mmproj, verbose=False),
                verbose=False,
            )

    async def send(self, command: Send) -> Turn:
        """It raises an error in the middle of a prompt that does not fit, so the user counts first."""
        self.sent(command.text)
        while self._size() + self.spec.reply > self.spec.context:
            self.forget_turn()
        pieces: list[str] = []
        said: list[float] = []
        evaluated = 0
        asked = time.perf_counter()
        messages: Any = self.messages
        chunks: Any = self._llama.create_chat_completion(
            messages, stream=True, max_tokens=self.spec.reply, temperature=0.0, repeat_penalty=1.0
        )
        for chunk in chunks:
            if piece := chunk["choices"][0]["delta"].get("content"):
                evaluated = evaluated or self._llama.n_tokens
                said.append(time.perf_counter() - asked)
                pieces.append(piece)
        text = "".join(pieces)
        self.replied(text)
        encoded = sum(1 for each in self.said if each.picture)
        return Turn(said[0], said[-1], evaluated, evaluated, len(pieces), encoded, text)

    def memory(self) -> Memory:
        """All in one process."""
        return Memory(peak_of())

    async def close(self) -> None:
        """Unload the model."""
        self._llama.close()

    def _size(self) -> int:
        """Tokens of the prompt, a few too many."""
        texts = [self.system, *(said.text for said in self.said)]
        counts = [len(self._llama.tokenize(text.encode(), add_bos=False)) + TURN_TOKENS for text in texts]
        return sum(counts) + TURN_TOKENS + sum(self.spec.pair.picture for said in self.said if said.picture)


def _as_text(content: Any, media_marker: str) -> str:
    if isinstance(content, str):
        return content
    return "".join(media_marker if part["type"] == "image_url" else part["text"] for part in content)


def program(spec: Spec) -> ChatHandler:
    """llama-cpp-python."""
    return ChatHandler(spec)
