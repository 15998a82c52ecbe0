"""How each kind of server says a reply on the wire, as far as a test needs it to make one go wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nemochat.domain.servers import ServerKind
from tests.remote.hostile import Behaviour, HostileServer, Request, Says, answer, begin, chunk, event


class Wire:
    """A kind of server. path: where replies are asked for."""

    model = "tiny"

    def __init__(self, kind: ServerKind, path: str, answers: Mapping[str, Any], *, behind: str = "") -> None:
        self.kind, self.path = kind, path
        self._answers, self._behind = dict(answers), behind

    @contextmanager
    def serving(self, says: Says | Behaviour | bytes | None = None, **others: Any) -> Iterator[HostileServer]:
        """A server that is as it should be until it is asked for a reply, and then says this."""
        with HostileServer({**self._answers, **others}, behind=self._behind) as hostile:
            self.says(hostile, says)
            yield hostile

    def says(self, hostile: HostileServer, says: Says | Behaviour | bytes | None = None) -> None:
        """What is said to be a reply from now on, None for one that is as it should be. What is no stream is answered as it should be."""
        reply = self.well("Yes.") if says is None else says

        def behave(request: Request, real: Iterator[bytes]) -> Says:
            if request.json.get("stream") is not True:
                return real if self._behind else [answer({"done": True, "choices": [], "usage": {"prompt_tokens": 9}})]
            if isinstance(reply, bytes):
                return [reply]
            return reply(request, real) if callable(reply) else reply

        hostile.answers[self.path] = behave

    def well(self, *texts: str) -> Says:
        """A reply as it should be."""
        return [self.begin(), *map(self.text, texts), self.end()]

    def cut(self, *texts: str) -> Says:
        """A reply whose connection is closed before its end, by which the transport can tell."""
        return [begin(self.content_type, transfer_encoding="chunked"), *(chunk(self.text(text)) for text in texts)]

    @property
    def content_type(self) -> str:
        """Of a reply."""
        return "application/x-ndjson" if self.kind is ServerKind.OLLAMA else "text/event-stream"

    def begin(self) -> bytes:
        """The head of a reply."""
        return begin(self.content_type)

    def raw(self, value: Any) -> bytes:
        """Any value as an event."""
        if self.kind is ServerKind.OLLAMA:
            return (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n"
        return event(value)

    def text(self, text: str) -> bytes:
        """A piece of the reply."""
        return self.said({"content": text})

    def said(self, message: Any) -> bytes:
        """A piece of the reply in the shape of a message."""
        if self.kind is ServerKind.LLAMA_SERVER:
            return self.raw({"content": message["content"], "tokens": [], "stop": False, "id_slot": 0})
        if self.kind is ServerKind.OLLAMA:
            return self.raw({"model": self.model, "message": {"role": "assistant", "content": "", **message}, "done": False})
        return self.raw({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": message, "finish_reason": None}]})

    def end(self, usage: Any = None) -> bytes:
        """The end of a reply. usage: what of it is said of its cost, else what can be meant."""
        if self.kind is ServerKind.LLAMA_SERVER:
            timings = {"cache_n": 0, "prompt_n": 9, "prompt_ms": 5.0, "predicted_n": 2, "predicted_ms": 3.0}
            told = {"timings": timings, "tokens_evaluated": 9, "tokens_cached": 11, "id_slot": 0}
            told = told if usage is None else {"timings": usage, **usage}
            return self.raw({"content": "", "tokens": [], "stop": True, "stop_type": "eos", **told})
        if self.kind is ServerKind.OLLAMA:
            told = {"prompt_eval_count": 9, "eval_count": 2, "prompt_eval_duration": 5_000_000} if usage is None else usage
            return self.raw({"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", **told})
        told = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11} if usage is None else usage
        last = self.raw({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        return last + self.raw({"choices": [], "usage": told}) + event(b"[DONE]")


def _count(request: Request, _: object) -> Says:
    return [answer({"count": max(1, len(request.body) // 8), "max_model_len": 4096, "tokens": []})]


_LISTED = {"object": "list", "data": [{"id": "tiny", "object": "model", "owned_by": "me", "max_model_len": 4096}]}
_LM_STUDIO = {
    "type": "llm", "key": "tiny", "max_context_length": 4096, "loaded_instances": [{"id": "tiny", "config": {"context_length": 4096}}],
    "capabilities": {"vision": True, "trained_for_tool_use": True},
}  # fmt: skip
_SHOWN = {"capabilities": ["completion", "tools", "vision", "thinking"], "model_info": {"llama.context_length": 4096}, "parameters": ""}

OPENAI = Wire(ServerKind.OPENAI, "/v1/chat/completions", {"/v1/models": answer(_LISTED)})
VLLM = Wire(ServerKind.VLLM, "/v1/chat/completions", {"/v1/models": answer(_LISTED), "/tokenize": _count})
LM_STUDIO = Wire(ServerKind.LM_STUDIO, "/v1/chat/completions", {"/api/v1/models": answer({"models": [_LM_STUDIO]})})
OLLAMA = Wire(ServerKind.OLLAMA, "/api/chat", {"/api/show": answer(_SHOWN), "/api/ps": answer({"models": []})})


def llama_server(url: str) -> Wire:
    """A real llama-server, there to be spoilt."""
    return Wire(ServerKind.LLAMA_SERVER, "/completion", {}, behind=url)
