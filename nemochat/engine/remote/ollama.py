"""Ollama by its own ``/api/chat``, which tells more than its OpenAI route, and takes more.

The shapes are those of its repository: docs/api.md ("Generate a chat completion", "Show Model Information", "List Running Models"),
docs/api/errors.mdx (an error in the middle of a stream is a line with ``error`` under HTTP 200), docs/capabilities/thinking.mdx, and
``ChatRequest`` in api/types.go for ``truncate`` and ``shift``: without them it leaves out the oldest messages and says nothing about it.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from nemochat.domain.events import FinishReason
from nemochat.domain.sampling import Sampling
from nemochat.engine.protocol import Asked, LoadRequest, ModelInfo
from nemochat.engine.remote.chat_server import ends_in_words, number, worded
from nemochat.engine.remote.client import ServerClient
from nemochat.engine.remote.finding import items
from nemochat.engine.remote.messages_engine import CallDelta, Delta, End, Files, Lacking
from nemochat.engine.remote.pictures import PictureLimits
from nemochat.errors import ServerError
from nemochat.prompt.messages import openai_messages
from nemochat.reading import mapping, member

_CHAT, _SHOW, _RUNNING = "/api/chat", "/api/show", "/api/ps"
_KEEP_ALIVE = "30m"
"""How long the model stays loaded behind a request; people think longer than Ollama's five minutes."""
_USUAL_WINDOW = 4096
"""What Ollama gives a model that nobody has set another window for, in tokens."""
_SAME_NAME = (
    "temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty", "repeat_last_n", "presence_penalty", "frequency_penalty",
    "seed", "stop",
)  # fmt: skip
_SAMPLING = {**{name: name for name in _SAME_NAME}, "max_tokens": "num_predict"}
_LOADS_MS = 500.0
"""A model that is loaded already is looked up in less."""
_SET_WINDOW = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)
_TELL_TALES = {"think": re.compile(r"does not support thinking", re.I), "tools": re.compile(r"does not support tools", re.I)}


class Ollama:
    """A model of Ollama (see `nemochat.engine.remote.messages_engine.Dialect`).

    Nothing is read ahead: what it keeps of a prompt it does not tell. But the model is loaded when it is chosen, and stays.
    """

    tells_stages = True
    counts = False
    warms = False
    limits = PictureLimits()

    def __init__(self, client: ServerClient, model: str) -> None:
        self._client, self._model = client, model
        self._lacking = Lacking(_TELL_TALES)
        self._thinks = False
        self._window = 0

    async def load(self, request: LoadRequest) -> ModelInfo:
        """What Ollama says of the model, which it loads by an empty request, with the window that the settings ask for beyond its own."""
        shown = await self._client.post(_SHOW, {"model": self._model})
        capabilities = member(shown, list, "capabilities")
        can = set(map(str, capabilities)) if capabilities is not None else {"completion", "vision", "tools"}
        about = mapping(shown, "model_info")
        trained = next((number(value) or 0 for key, value in about.items() if key.endswith(".context_length")), 0)
        told = _SET_WINDOW.search(member(shown, str, "parameters") or "")
        self._lacking.fields = set() if "tools" in can else {"tools"}
        self._thinks = "thinking" in can
        wanted = request.settings.context_length
        if wanted > (int(told[1]) if told else _USUAL_WINDOW):
            self._window = min(wanted, trained or wanted)
        loads = {"model": self._model, "messages": [], "stream": False, "keep_alive": _KEEP_ALIVE, **self._options(Sampling())}
        await self._client.post(_CHAT, loads)
        self._window = await self._running_window() or self._window or (int(told[1]) if told else 0)
        if not self._window:
            self._window = trained if member(shown, str, "remote_host") and trained else _USUAL_WINDOW
        return ModelInfo(
            name=request.name,
            context_length=self._window,
            has_vision="vision" in can,
            vocab_size=0,
            load_ms=0.0,
            architecture=str(about.get("general.architecture") or ""),
            takes_tools="tools" not in self._lacking.fields,
            has_think_switch=self._thinks,
            takes_sampling=tuple(_SAMPLING),
        )

    async def count(self, asked: Asked) -> int | None:
        """Ollama counts nothing beforehand."""
        return None

    async def count_text(self, text: str) -> int | None:
        """Nor this."""
        return None

    def reply(self, asked: Asked, sampling: Sampling, files: Files) -> AsyncGenerator[Delta | End, None]:
        """As `Dialect.reply`."""
        return self._lacking.reply(lambda: self._body(asked, sampling, files), self._stream)

    async def warm(self, asked: Asked, files: Files) -> End:
        """Never asked for (see `warms`)."""
        raise ServerError(f"{self._client.server.name} reads nothing ahead.")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    # -- what is asked

    def _body(self, asked: Asked, sampling: Sampling, files: Files) -> dict[str, Any]:
        messages, tools = openai_messages(
            worded(asked, continues=ends_in_words(asked)),
            lambda digest: {"type": "image", "data": base64.b64encode(files[digest].data).decode()},
            tells_tools="tools" in self._lacking.fields,
            reasoning="thinking" if self._thinks else "",
            arguments_as_text=False,
        )
        body: dict[str, Any] = {
            "model": self._model,
            "messages": list(map(_as_ollama, messages)),
            "stream": True,
            "truncate": False,
            "shift": False,
            "keep_alive": _KEEP_ALIVE,
            **self._options(sampling),
        }
        if tools:
            body["tools"] = tools
        if asked.thinks is not None and self._thinks and "think" not in self._lacking.fields:
            body["think"] = asked.thinks
        if asked.schema is not None:
            body["format"] = asked.schema
        return body

    def _options(self, sampling: Sampling) -> dict[str, Any]:
        """The window, without which Ollama would take what it takes by then, and what is asked of the sampling."""
        options: dict[str, Any] = {"num_ctx": self._window} if self._window else {}
        for name, value in msgspec.structs.asdict(sampling).items():
            if value not in (None, ()) and name in _SAMPLING:
                options[_SAMPLING[name]] = value
        return {"options": options} if options else {}

    async def _running_window(self) -> int:
        """The window that the model was loaded with, 0 where that is not told."""
        try:
            answer = await self._client.get(_RUNNING)
        except ServerError:
            return 0  # older ones have no such list
        running = (item for item in items(answer, "models") if self._model in (item.get("model"), item.get("name")))
        return next((number(item.get("context_length")) or 0 for item in running), 0)

    # -- what is answered

    async def _stream(self, body: dict[str, Any]) -> AsyncGenerator[Delta | End, None]:
        async with contextlib.aclosing(self._client.stream(_CHAT, body)) as values:
            async for value in values:
                message = member(value, dict, "message")
                text, thought = member(message, str, "content") or "", member(message, str, "thinking") or ""
                # Each call comes whole; their indices are not to be relied on.
                delta = Delta(text, thought, tuple(_call(item) for item in items(message, "tool_calls")))
                if delta != Delta():
                    yield delta
                if member(value, bool, "done"):
                    yield _end(value)
                    return
        raise self._client.broke_off()


def _as_ollama(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose pictures stand beside its words, and a result by the name of its tool."""
    content = message["content"]
    told = {key: value for key, value in message.items() if key not in ("content", "name")}
    if message["role"] == "tool" and "name" in message:
        told["tool_name"] = message["name"]
    if not isinstance(content, list):
        return {**told, "content": content}
    images = [part["data"] for part in content if part["type"] == "image"]
    return {**told, "content": "".join(part["text"] for part in content if part["type"] == "text"), "images": images}


def _call(item: dict[str, Any]) -> CallDelta:
    arguments = member(item, str, "function", "arguments") or member(item, dict, "function", "arguments") or ""
    return CallDelta(name=member(item, str, "function", "name") or "", arguments=arguments)


def _end(value: dict[str, Any]) -> End:
    """The last line. Of what it has evaluated and what it has kept of the prompt it tells the sum."""
    reason = FinishReason.LENGTH if value.get("done_reason") == "length" else FinishReason.STOP
    load_ms, prefill_ms, decode_ms = ((number(value.get(f"{name}_duration")) or 0) / 1e6 for name in ("load", "prompt_eval", "eval"))
    load_ms = load_ms if load_ms >= _LOADS_MS else 0.0
    return End(
        reason, number(value.get("prompt_eval_count")), None, number(value.get("eval_count")), load_ms, prefill_ms, decode_ms
    )
