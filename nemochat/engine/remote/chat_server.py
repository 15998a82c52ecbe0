"""Servers with OpenAI's ``/v1/chat/completions``: vLLM, NVIDIA NIM, LM Studio, and any other one by OpenAI's fields alone.

Where the shapes are documented:
- OpenAI: the API reference of chat completions (a stream of ``chat.completion.chunk``, ``stream_options.include_usage``, tool calls in
  pieces by ``index``, ``response_format`` of ``json_schema``).
- vLLM: docs, "OpenAI-Compatible Server" (``top_k``, ``min_p``, ``repetition_penalty``, ``chat_template_kwargs``,
  ``continue_final_message``; ``/tokenize`` with ``messages``: ``count``), "Reasoning Outputs" (``reasoning``, once ``reasoning_content``),
  "Automatic Prefix Caching" (``usage.prompt_tokens_details.cached_tokens`` with ``--enable-prompt-tokens-details``).
- NVIDIA NIM: docs.nvidia.com/nim/vision-language-models, "API Reference": vLLM's fields. What build.nvidia.com runs takes 180,000 letters
  of pictures in a request.
- LM Studio: lmstudio.ai/docs/developer: "Chat Completions" (its list of parameters), ``/api/v1/models``, ``/api/v1/models/load``.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from nemochat.domain.events import FinishReason
from nemochat.domain.messages import Conversation, Message, Role, TextPart
from nemochat.domain.sampling import Sampling
from nemochat.domain.servers import RemoteModel, ServerKind
from nemochat.engine.protocol import Asked, LoadRequest, ModelInfo
from nemochat.engine.remote.client import ServerClient
from nemochat.engine.remote.finding import items, list_models
from nemochat.engine.remote.messages_engine import CallDelta, Delta, End, Files, Lacking
from nemochat.engine.remote.pictures import PictureLimits, data_uri
from nemochat.errors import ServerError
from nemochat.prompt.messages import GO_ON, SPEAK_AS_USER, asking, openai_messages
from nemochat.reading import mapping, member

UNTOLD_WINDOW = 8192
"""The window of a model whose server does not tell it, in tokens, unless the settings say more. What is too long is learnt from."""

_CHAT, _TOKENIZE, _LOAD = "/v1/chat/completions", "/tokenize", "/api/v1/models/load"
_OPENAI = {name: name for name in ("temperature", "top_p", "seed", "max_tokens", "stop", "presence_penalty", "frequency_penalty")}
_VLLM = {**_OPENAI, "top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"}
_LM_STUDIO = {**_OPENAI, "top_k": "top_k", "repeat_penalty": "repeat_penalty"}
_COUNTS_SECONDS = 5.0
_OPENS_THOUGHT = "<think>"
_SPACES = " \n\t\u010a\u0120\u2581"
"""White space as it is and as tokenizers write it."""
_MOST_STOPS = 4
"""Texts that end a reply, in OpenAI's own API; it refuses more."""
_HOSTED = PictureLimits(together=180_000 * 3 // 4)
_HOSTED_BY_NVIDIA = (".api.nvidia.com", "api.nvcf.nvidia.com")

_TELL_TALES = {
    "max_tokens": re.compile(r"max_completion_tokens"),
    "stream_options": re.compile(r"stream_options"),
    "tools": re.compile(r"tool.?choice|tool.?call.?parser|(?:support|with)\w* tools?\b|tools? (?:is|are) not|function.?call", re.I),
    "response_format": re.compile(r"response_format|json_schema|guided|structured", re.I),
    "continue_final_message": re.compile(r"continue_final_message|add_generation_prompt|prefill", re.I),
    "chat_template_kwargs": re.compile(r"chat_template_kwargs|enable_thinking", re.I),
}
"""How a server says that it does not take a field of a request, by its name."""
_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "tool_calls": FinishReason.STOP,
    "function_call": FinishReason.STOP,
}


class Ways(msgspec.Struct, frozen=True):
    """What one kind of server has beyond OpenAI's fields. sampling: its names for what we ask for.

    tokenizes: ``/tokenize`` counts messages. warms: prefixes of prompts are kept. continues: a reply can be left open.
    switches_thinking: the template can be told whether the model thinks. reasoning: the key of what the model thought, in what is sent.
    """

    sampling: dict[str, str]
    tokenizes: bool = False
    warms: bool = False
    continues: bool = False
    switches_thinking: bool = False
    reasoning: str = ""


_SERVED_BY_VLLM = Ways(_VLLM, tokenizes=True, warms=True, continues=True, switches_thinking=True, reasoning="reasoning")
_WAYS = {ServerKind.VLLM: _SERVED_BY_VLLM, ServerKind.NIM: _SERVED_BY_VLLM, ServerKind.LM_STUDIO: Ways(_LM_STUDIO)}


class ChatServer:
    """A model of such a server (see `nemochat.engine.remote.messages_engine.Dialect`)."""

    tells_stages = False

    def __init__(self, client: ServerClient, model: str) -> None:
        kind = client.server.kind or ServerKind.OPENAI
        host = urlsplit(client.server.url).hostname or ""
        self.limits = _HOSTED if host.endswith(_HOSTED_BY_NVIDIA) else PictureLimits()
        self._kind, self._ways = kind, _WAYS.get(kind, Ways(_OPENAI))
        self._client, self._model = client, model
        self._lacking = Lacking(_TELL_TALES)
        self._opened: set[bool | None] = set()
        """The switches for thinking with which the template itself begins the thought, so that a reply never shows where it begins."""
        self.counts = False
        self.warms = self._ways.warms

    async def load(self, request: LoadRequest) -> ModelInfo:
        """The model as the server's list has it; one that lists nothing is taken at the user's word."""
        models: tuple[RemoteModel, ...] = ()
        try:
            models = await list_models(self._client, self._kind)
        except ServerError as error:
            if error.status not in (404, 405, 501):
                raise
        known = next((each for each in models if each.id == self._model), None)
        if known is None and models:
            raise ServerError(f"{self._client.server.name} has no model called {self._model}.", "See which it has: nemochat models list")
        window = known.context_length if known is not None else 0
        if self._kind is ServerKind.LM_STUDIO and known is not None and known.is_loaded is False:
            window = await self._loaded_window() or window
        if self._ways.tokenizes:
            with contextlib.suppress(ServerError):  # what is asked of it later is guessed then
                self.counts = await self.count(_ANY) is not None
                self._opened = {thinks for thinks in (None, True, False) if self.counts and await self._opens_thought(thinks)}
        return ModelInfo(
            name=request.name,
            context_length=window or max(request.settings.context_length, UNTOLD_WINDOW),
            has_vision=known is None or known.has_vision is not False,
            vocab_size=0,
            load_ms=0.0,
            has_think_switch=self._ways.switches_thinking,
            leaves_open=self._ways.continues,
            takes_sampling=tuple(self._ways.sampling),
        )

    async def count(self, asked: Asked) -> int | None:
        """As `Dialect.count`."""
        whole = self._messages(asked, {})
        shape = {key: whole[key] for key in _LAID_OUT_BY if key in whole}
        return self._count_of(await self._ask(_TOKENIZE, {"model": self._model, **shape}))

    async def count_text(self, text: str) -> int | None:
        """As `Dialect.count_text`."""
        return self._count_of(await self._ask(_TOKENIZE, {"model": self._model, "prompt": text, "add_special_tokens": False}))

    async def reply(self, asked: Asked, sampling: Sampling, files: Files) -> AsyncGenerator[Delta | End, None]:
        """As `Dialect.reply`."""
        is_thought = not asked.continues and asked.thinks in self._opened
        async with contextlib.aclosing(self._lacking.reply(lambda: self._body(asked, sampling, files), self._stream)) as deltas:
            async for delta in deltas:
                # A server that tells thoughts apart says so from the first word on.
                if is_thought and isinstance(delta, Delta) and delta.text and not delta.thought:
                    delta = msgspec.structs.replace(delta, text=_OPENS_THOUGHT + delta.text)
                is_thought = False
                yield delta

    async def warm(self, asked: Asked, files: Files) -> End:
        """One token, which is not looked at: the prompt's beginning is kept then."""
        body = self._messages(asked, files) | {"model": self._model, "max_tokens": 1, "stream": False}
        if asked.conversation.messages[-1].role is Role.ASSISTANT:
            body |= {"add_generation_prompt": False}
        return _end(await self._client.post(_CHAT, body), None)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    # -- what is asked

    def _body(self, asked: Asked, sampling: Sampling, files: Files) -> dict[str, Any]:
        body = self._messages(asked, files) | {"model": self._model, "stream": True}
        if "stream_options" not in self._lacking.fields:
            body["stream_options"] = {"include_usage": True}
        for name, value in msgspec.structs.asdict(sampling).items():
            if value not in (None, ()) and (key := self._ways.sampling.get(name)):
                body[key] = value
        if body.get("top_k") == 0 and self._ways is _SERVED_BY_VLLM:
            body["top_k"] = -1  # what is off there
        if "stop" in body and self._kind is ServerKind.OPENAI:
            body["stop"] = body["stop"][:_MOST_STOPS]
        if "max_tokens" in self._lacking.fields and "max_tokens" in body:
            body["max_completion_tokens"] = body.pop("max_tokens")
        if asked.calls and "tools" in body:
            body["tool_choice"] = {"type": "function", "function": {"name": asked.tool}} if asked.tool else "required"
        if asked.schema is not None and "response_format" not in self._lacking.fields:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": asked.schema}}
        return body

    def _messages(self, asked: Asked, files: Files) -> dict[str, Any]:
        """The fields that say what the prompt is. Pictures that are not in `files` are left out of it."""
        continues = self._ways.continues and "continue_final_message" not in self._lacking.fields and ends_in_words(asked)
        messages, tools = openai_messages(
            worded(asked, continues=continues),
            lambda digest: {"type": "image_url", "image_url": {"url": data_uri(files[digest])}} if digest in files else _NO_PICTURE,
            tells_tools="tools" in self._lacking.fields,
            reasoning=self._ways.reasoning,
        )
        fields: dict[str, Any] = {"messages": [_without_gaps(message) for message in messages]}
        if tools:
            fields["tools"] = tools
        if continues:
            fields |= {"continue_final_message": True, "add_generation_prompt": False}
        if asked.thinks is not None and self._ways.switches_thinking and "chat_template_kwargs" not in self._lacking.fields:
            fields["chat_template_kwargs"] = {"enable_thinking": asked.thinks}
        return fields

    async def _opens_thought(self, thinks: bool | None) -> bool:
        """Whether a prompt ends with what opens a thought, as the tokenizer writes it."""
        fields = self._messages(msgspec.structs.replace(_ANY, thinks=thinks), {})
        answer = await self._ask(_TOKENIZE, {"model": self._model, "return_token_strs": True, **fields})
        said = member(answer, list, "token_strs") or []
        return "".join(map(str, said[-8:])).rstrip(_SPACES).endswith(_OPENS_THOUGHT)

    async def _loaded_window(self) -> int:
        """The window of a model that LM Studio loads now, 0 where it does not tell."""
        try:
            answer = await self._client.post(_LOAD, {"model": self._model, "echo_load_config": True})
        except ServerError as error:
            if error.status not in (404, 405, 501):
                raise
            return 0  # older ones load a model when it is first asked
        return number(member(answer, int, "load_config", "context_length")) or 0

    async def _ask(self, path: str, body: dict[str, Any]) -> Any:
        """An answer that may be lacking: where the server counts nothing, or not just this, or not soon, guesses have to do."""
        try:
            async with asyncio.timeout(_COUNTS_SECONDS):
                return await self._client.post(path, body)
        except TimeoutError:
            return None
        except ServerError as error:
            if error.status not in (400, 404, 405, 422, 500, 501):
                raise
            return None

    @staticmethod
    def _count_of(answer: Any) -> int | None:
        return number(member(answer, int, "count"))

    # -- what is answered

    async def _stream(self, body: dict[str, Any]) -> AsyncGenerator[Delta | End, None]:
        reason: str | None = None
        usage: Any = None
        async with contextlib.aclosing(self._client.stream(_CHAT, body)) as values:
            async for value in values:
                choice = next(iter(items(value, "choices")), {})
                message = member(choice, dict, "delta")
                if delta := _delta(mapping(choice, "message") if message is None else message):
                    yield delta
                reason = choice.get("finish_reason") or reason
                usage = member(value, dict, "usage") or usage
        if reason is None:
            raise self._client.broke_off()
        if reason == "content_filter":
            raise ServerError(f"{self._client.server.name} ended the reply: its filter does not let it through.", "Ask in other words.")
        yield _end({"usage": usage}, reason)


_LAID_OUT_BY = ("messages", "tools", "continue_final_message", "add_generation_prompt", "chat_template_kwargs")
_NO_PICTURE = {"type": "text", "text": ""}
_ANY = Asked(Conversation(messages=(Message(Role.USER, (TextPart("a"),)),)))
"""A conversation to be counted, by which it is seen whether the server counts."""


def worded(asked: Asked, *, continues: bool) -> Conversation:
    """The conversation with what a server is to be asked in words, because it lets only the model speak, or leaves no reply open."""
    if asked.speaks is Role.USER:
        return asking(asked.conversation, SPEAK_AS_USER)
    return asking(asked.conversation, GO_ON) if asked.continues and not continues else asked.conversation


def ends_in_words(asked: Asked) -> bool:
    """Whether a reply is to go on, and from words: a server takes no other one."""
    parts = asked.conversation.messages[-1].parts if asked.continues else ()
    return any(isinstance(part, TextPart) and part.text.strip() for part in parts[-1:])


def _without_gaps(message: dict[str, Any]) -> dict[str, Any]:
    """A message without the places of pictures that are left out."""
    content = message["content"]
    if not isinstance(content, list):
        return message
    left = [part for part in content if part is not _NO_PICTURE]
    has_pictures = any(part["type"] != "text" for part in left)
    return {**message, "content": left if has_pictures else "".join(part["text"] for part in left)}


def _delta(message: dict[str, Any]) -> Delta | None:
    """A piece of a reply, None where there is nothing in it."""
    thought = message.get("reasoning_content") or message.get("reasoning")
    text = message.get("content") or message.get("refusal")
    if isinstance(text, list):
        text = "".join(part["text"] for part in items(message, "content") if isinstance(part.get("text"), str))
    calls = tuple(_call(item) for item in items(message, "tool_calls"))
    delta = Delta(text if isinstance(text, str) else "", thought if isinstance(thought, str) else "", calls)
    return delta if delta != Delta() else None


def _call(item: dict[str, Any]) -> CallDelta:
    arguments = member(item, str, "function", "arguments") or member(item, dict, "function", "arguments") or ""
    return CallDelta(member(item, int, "index"), member(item, str, "id") or "", member(item, str, "function", "name") or "", arguments)


def _end(answer: Any, reason: str | None) -> End:
    return End(
        _REASONS.get(str(reason), FinishReason.STOP),
        number(member(answer, int, "usage", "prompt_tokens")),
        number(member(answer, int, "usage", "prompt_tokens_details", "cached_tokens")),
        number(member(answer, int, "usage", "completion_tokens")),
    )


def number(value: Any) -> int | None:
    """A number of tokens that can be meant."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else None
