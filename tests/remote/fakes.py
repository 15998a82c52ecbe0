"""Servers that cannot be had here, as their documentation says that they answer: vLLM, NVIDIA NIM, LM Studio, Ollama, and OpenAI's own API.

They are real HTTP servers on the loopback, in the loop of the test. Each lays a conversation out by a template of its own, counts it, has a
window, and keeps the beginnings of prompts as the real one does; what it says is given (`Say`). Each wait can be made long (`slow`), and
each request is kept (`asked`). Sources: the docstring of each, and of nemochat/engine/remote/.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from typing import Any, NamedTuple, Self

from nemochat.domain.servers import Server, ServerKind

_TOKEN = re.compile(r"<\|\w+\|>|\w+|[^\w\s]|\n")
_BLOCK = 16
"""Tokens of vLLM's cache that are kept or forgotten together."""
PICTURE_TOKENS = 77


class Asked(NamedTuple):
    """A request. headers: by their names in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Say(NamedTuple):
    """A reply. text and thought are said in these pieces; calls: each as the deltas it comes in (OpenAI) or as its value (Ollama).

    stops_after: pieces after which the connection ends as by a crash, None for none.
    """

    text: tuple[str, ...] = ()
    thought: tuple[str, ...] = ()
    calls: tuple[Any, ...] = ()
    reason: str = "stop"
    stops_after: int | None = None


class Refuse(NamedTuple):
    """No reply but an error."""

    status: int
    body: Any


def tokens(text: str) -> list[str]:
    """What every fake takes a text to be."""
    return _TOKEN.findall(text)


class FakeServer:
    """What they have in common. From entering it on it listens; `url` is its address.

    replies: are said in order, the last one again and again. slow: seconds before the answer to a path, and before each piece of a stream
    ("piece"). gate: where there is one, each piece waits for it. left: the paths whose connection the other side closed before the end.
    """

    kind = ServerKind.OPENAI
    key = ""

    def __init__(self, *replies: Say | Refuse, window: int = 4096, model: str = "model") -> None:
        self.replies = list(replies) or [Say(("Hello", " there."))]
        self.window, self.model = window, model
        self.slow: dict[str, float] = {}
        self.gate: asyncio.Semaphore | None = None
        self.asked: list[Asked] = []
        self.left: list[str] = []
        self._listening: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def server(self) -> Server:
        """As nemochat knows it."""
        assert self._listening is not None
        return Server("box", f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}", self.kind)

    def bodies(self, path: str = "/v1/chat/completions") -> list[Any]:
        """What was sent to a path."""
        return [each.body for each in self.asked if each.path == path]

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listening is not None
        self._listening.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    # -- what a kind says

    def routes(self, path: str, body: Any) -> Any:
        """What answers a request that is no reply; None for nothing."""
        if path == "/v1/models":
            return {"object": "list", "data": [{"id": self.model, "object": "model", "created": 1, "owned_by": "somebody"}]}
        return None

    def reply(self, path: str, body: Any) -> AsyncGenerator[bytes, None]:
        """The lines of a reply."""
        raise NotImplementedError

    def refusal(self, path: str, body: Any) -> Refuse | None:
        """What it does not take."""
        return None

    def next_reply(self) -> Say | Refuse:
        """The one whose turn it is."""
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    # -- HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            # It is cancelled when the server ends, which is no fault of anything.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        asked = Asked(method, path, headers, json.loads(content) if content else None)
        self.asked.append(asked)
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await self._wait(asyncio.sleep(self.slow.get(path, 0.0)), gone)
            if self.key and headers.get("authorization") != f"Bearer {self.key}":
                _write(writer, 401, {"error": {"message": "Unauthorized", "type": "auth", "code": 401}})
            elif (refused := self.refusal(path, asked.body)) is not None:
                _write(writer, refused.status, refused.body)
            elif (answer := self.routes(path, asked.body)) is not None:
                _write(writer, 200, answer)
            elif method == "POST":
                await self._stream(path, asked.body, writer, gone)
            else:
                _write(writer, 404, {"detail": "Not Found"})
            await writer.drain()
        except _Gone:
            self.left.append(path)
        finally:
            gone.cancel()

    async def _stream(self, path: str, body: Any, writer: asyncio.StreamWriter, gone: asyncio.Future[bytes]) -> None:
        kind = "application/x-ndjson" if path.startswith("/api/") else "text/event-stream"
        is_begun = False
        async with contextlib.aclosing(self.reply(path, body)) as lines:
            while (line := await self._wait(anext(lines, None), gone)) is not None:
                if not is_begun:
                    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode())
                    is_begun = True
                writer.write(line)
                await writer.drain()
                await self._wait(self._pause(), gone)

    async def _pause(self) -> None:
        await asyncio.sleep(self.slow.get("piece", 0.0))
        if self.gate is not None:
            await self.gate.acquire()

    @staticmethod
    async def _wait(waited: Any, gone: asyncio.Future[bytes]) -> Any:
        """What is waited for, unless the other side goes first."""
        step = asyncio.ensure_future(waited)
        await asyncio.wait({step, gone}, return_when=asyncio.FIRST_COMPLETED)
        if step.done():
            return step.result()
        step.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await step
        raise _Gone


class _Gone(Exception):
    """The other side has closed the connection."""


def _write(writer: asyncio.StreamWriter, status: int, body: Any) -> None:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + content)


class OpenAi(FakeServer):
    """OpenAI's chat completions, and no other field than its own: what it does not know it refuses, as api.openai.com does."""

    fields = frozenset(
        {"model", "messages", "stream", "stream_options", "temperature", "top_p", "seed", "max_tokens", "max_completion_tokens", "stop",
         "tools", "tool_choice", "response_format", "reasoning_effort"}
    )  # fmt: skip
    thought_key = "reasoning_content"
    roles = frozenset({"system", "user", "assistant", "tool"})

    def __init__(self, *replies: Say | Refuse, window: int = 4096, model: str = "model", tells_usage: bool = True) -> None:
        super().__init__(*replies, window=window, model=model)
        self.tells_usage = tells_usage
        self.tells_cached = True
        self._kept: list[list[str]] = []

    def refusal(self, path: str, body: Any) -> Refuse | None:
        """Fields that are not its own, and prompts that are too long."""
        if path != "/v1/chat/completions":
            return None
        if unknown := sorted(set(body) - self.fields):
            return _bad(f"Unrecognized request argument supplied: {unknown[0]}")
        if any(message["role"] not in self.roles for message in body["messages"]) or not body["messages"]:
            return _bad("Invalid value for 'messages'.")
        size = len(self.prompt(body))
        if size + (body.get("max_tokens") or 1) > self.window:
            return _bad(self.too_long(size, body.get("max_tokens") or 1), code="context_length_exceeded")
        return None

    def too_long(self, size: int, reply: int) -> str:
        """Its sentence for that."""
        said = f"This model's maximum context length is {self.window} tokens. However, you requested {size + reply} tokens"
        return f"{said} ({size} in the messages, {reply} in the completion). Please reduce the length of the messages or completion."

    def prompt(self, body: Any) -> list[str]:
        """A conversation as its template lays it out."""
        laid: list[str] = tokens(json.dumps(body["tools"])) if body.get("tools") else []
        for message in body["messages"]:
            laid += ["<|im_start|>", message["role"], "\n", *_content(message.get("content")), *_content(message.get("reasoning"))]
            laid += tokens(json.dumps(message["tool_calls"])) if message.get("tool_calls") else []
            laid += ["<|im_end|>", "\n"]
        if body.get("continue_final_message"):
            return laid[:-2]
        return [*laid, "<|im_start|>", "assistant", "\n"] if body.get("add_generation_prompt", True) else laid

    async def reply(self, path: str, body: Any) -> AsyncGenerator[bytes, None]:
        """A stream of chunks, or the whole at once."""
        prompt = self.prompt(body)
        cached = max((_same(prompt, kept) for kept in self._kept), default=0) // _BLOCK * _BLOCK
        self._kept.append(prompt)
        say = self.next_reply() if body.get("stream") else Say(("x",), reason="length")
        assert isinstance(say, Say)
        said = len(tokens("".join((*say.thought, *say.text)))) + 5 * len(say.calls)
        usage = {"prompt_tokens": len(prompt), "completion_tokens": said, "total_tokens": len(prompt) + said}
        usage["prompt_tokens_details"] = {"cached_tokens": cached} if self.tells_cached else None  # type: ignore[assignment]
        if not body.get("stream"):
            message = {"role": "assistant", "content": "x"}
            yield json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "length"}], "usage": usage}).encode()
            return
        deltas = [
            {"role": "assistant", "content": ""},
            *({self.thought_key: piece} for piece in say.thought),
            *({"content": piece} for piece in say.text),
            *({"tool_calls": [delta]} for delta in say.calls),
        ]
        for number, delta in enumerate(deltas):
            if say.stops_after == number:
                return
            yield self._event([{"index": 0, "delta": delta, "finish_reason": None}])
        yield self._event([{"index": 0, "delta": {}, "finish_reason": say.reason}])
        if self.tells_usage and (body.get("stream_options") or {}).get("include_usage"):
            yield self._event([], usage=usage)
        yield b"data: [DONE]\n\n"

    def _event(self, choices: list[Any], **more: Any) -> bytes:
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": self.model, "choices": choices, **more}
        return f"data: {json.dumps(chunk)}\n\n".encode()


class Vllm(OpenAi):
    """vLLM (docs.vllm.ai, "OpenAI-Compatible Server"; vllm/entrypoints): its own fields beside OpenAI's, ``/tokenize``, the window in
    ``/v1/models``, and no tools unless it was started with a parser for them (`has_tools`)."""

    kind = ServerKind.VLLM
    fields = OpenAi.fields | {
        "top_k", "min_p", "repetition_penalty", "chat_template_kwargs", "continue_final_message", "add_generation_prompt",
    }  # fmt: skip
    thought_key = "reasoning"
    has_tools = True
    has_tokenizer = True
    opens_thought = False
    """Its template ends with what opens a thought, unless it is told otherwise."""

    def prompt(self, body: Any) -> list[str]:
        """As OpenAI's, and what its template does with the switch for thinking."""
        thinks = (body.get("chat_template_kwargs") or {}).get("enable_thinking", True)
        opened = self.opens_thought and thinks and body.get("add_generation_prompt", True)
        return [*super().prompt(body), *(["<think>", "\n"] if opened else [])]

    def routes(self, path: str, body: Any) -> Any:
        """Its list, and its tokenizer: of a text, or of messages without what their pictures will take."""
        if path == "/v1/models":
            model = {"id": self.model, "object": "model", "created": 1, "owned_by": "vllm", "root": self.model}
            return {"object": "list", "data": [{**model, "max_model_len": self.window}]}
        if path == "/tokenize" and self.has_tokenizer:
            found = tokens(body["prompt"]) if "prompt" in body else self.prompt(body)
            return {"count": len(found), "max_model_len": self.window, "tokens": list(range(len(found))), "token_strs": found}
        return None

    def refusal(self, path: str, body: Any) -> Refuse | None:
        """As OpenAI's, and what needs a parser."""
        if path == "/tokenize" and not self.has_tokenizer:
            return Refuse(404, {"detail": "Not Found"})
        if path == "/v1/chat/completions" and body.get("tools") and not self.has_tools:
            return _bad('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')
        return super().refusal(path, body)


class Nim(Vllm):
    """NVIDIA NIM (docs.nvidia.com/nim, "API Reference"): vLLM's routes behind a key, and those that tell what it is."""

    kind = ServerKind.NIM
    key = "nvapi-0123456789"
    thought_key = "reasoning_content"

    def routes(self, path: str, body: Any) -> Any:
        """Its own routes."""
        if path == "/v1/health/ready":
            return {"object": "health.response", "message": "Service is ready."}
        if path == "/v1/metadata":
            return {"version": "2.0.1", "modelInfo": [{"shortName": self.model, "modelUrl": ""}]}
        return super().routes(path, body)


class LmStudio(OpenAi):
    """LM Studio (lmstudio.ai/docs/developer): its list of models with the window of the loaded one, loading, and its parameters."""

    kind = ServerKind.LM_STUDIO
    fields = OpenAi.fields - {"max_completion_tokens", "reasoning_effort"} | {"top_k", "repeat_penalty"}

    def __init__(self, *replies: Say | Refuse, window: int = 4096, model: str = "model", is_loaded: bool = True, sees: bool = True) -> None:
        super().__init__(*replies, window=window, model=model)
        self.is_loaded, self.sees = is_loaded, sees
        self.tells_cached = False

    def routes(self, path: str, body: Any) -> Any:
        """Its own routes."""
        if path == "/api/v1/models":
            instances = [{"id": self.model, "config": {"context_length": self.window}}] if self.is_loaded else []
            capabilities = {"vision": self.sees, "trained_for_tool_use": True}
            model = {"type": "llm", "key": self.model, "display_name": self.model, "loaded_instances": instances}
            return {"models": [{**model, "max_context_length": 262_144, "capabilities": capabilities}]}
        if path == "/api/v1/models/load":
            self.is_loaded = True
            config = {"context_length": self.window}
            return {"type": "llm", "instance_id": body["model"], "load_time_seconds": 0.1, "status": "loaded", "load_config": config}
        return super().routes(path, body)

    def too_long(self, size: int, reply: int) -> str:
        """llama.cpp's, as it hands it on."""
        return (
            f"Trying to keep the first {size} tokens when context the overflows. However, the model is loaded with context length of only "
            f"{self.window} tokens, which is not enough. Try to load the model with a larger context length, or provide a shorter input"
        )


class Ollama(FakeServer):
    """Ollama (github.com/ollama/ollama, docs/api.md and api/types.go): NDJSON, errors as lines under HTTP 200, and history that is cut
    without a word unless ``truncate`` is false."""

    kind = ServerKind.OLLAMA

    def __init__(
        self,
        *replies: Say | Refuse,
        window: int = 4096,
        model: str = "model:latest",
        trained: int = 131_072,
        capabilities: Iterable[str] = ("completion", "vision", "tools", "thinking"),
        parameters: str = "",
    ) -> None:
        super().__init__(*replies, window=window, model=model)
        self.trained, self.capabilities, self.parameters = trained, list(capabilities), parameters
        self.loaded = 0
        """The window that the model is loaded with, 0 while it is not."""
        self.cuts = 0
        """How often it has left out messages and said nothing."""

    def refusal(self, path: str, body: Any) -> Refuse | None:
        """What the model cannot do, and models that it does not have."""
        if path in ("/api/chat", "/api/show") and body["model"] != self.model:
            return Refuse(404, {"error": f"model '{body['model']}' not found"})
        if path == "/api/chat" and body.get("think") is not None and "thinking" not in self.capabilities:
            return Refuse(400, {"error": f'"{self.model}" does not support thinking'})
        if path == "/api/chat" and body.get("tools") and "tools" not in self.capabilities:
            return Refuse(400, {"error": f"registry.ollama.ai/library/{self.model} does not support tools"})
        return None

    def routes(self, path: str, body: Any) -> Any:
        """All that is no stream."""
        name = {"name": self.model, "model": self.model}
        match path:
            case "/api/version":
                return {"version": "0.12.6"}
            case "/api/tags":
                return {"models": [{**name, "size": 1, "details": {"family": "llama"}}]}
            case "/api/ps":
                return {"models": [{**name, "size_vram": 1, "context_length": self.loaded}] if self.loaded else []}
            case "/api/show":
                about = {"general.architecture": "llama", "llama.context_length": self.trained}
                return {"parameters": self.parameters, "template": "", "model_info": about, "capabilities": self.capabilities}
            case "/api/chat" if not body.get("messages"):
                self._load(body)
                return {"model": self.model, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "load"}
        return None

    async def reply(self, path: str, body: Any) -> AsyncGenerator[bytes, None]:
        """A line for each piece."""
        self._load(body)
        laid = [token for message in body["messages"] for token in ("<|start|>", *self._message(message), "<|end|>")]
        if len(laid) > self.loaded:
            if body.get("truncate") is False:
                said = f"request ({len(laid)} tokens) exceeds the available context size ({self.loaded} tokens), try increasing it"
                yield _line({"error": said})
                return
            self.cuts += 1
        say = self.next_reply()
        if isinstance(say, Refuse):
            yield _line(say.body)
            return
        messages: list[dict[str, Any]] = [
            *({"content": "", "thinking": piece} for piece in say.thought),
            *({"content": piece} for piece in say.text),
            *({"content": "", "tool_calls": [call]} for call in say.calls),
        ]
        for number, message in enumerate(messages):
            if say.stops_after == number:
                return
            yield _line({"model": self.model, "message": {"role": "assistant", **message}, "done": False})
        durations = {"total_duration": 9_000_000, "load_duration": 1_000_000, "prompt_eval_duration": 4_000_000, "eval_duration": 3_000_000}
        counts = {"prompt_eval_count": len(laid), "eval_count": len(tokens("".join((*say.thought, *say.text)))) + 5 * len(say.calls)}
        message = {"role": "assistant", "content": ""}
        yield _line({"model": self.model, "message": message, "done": True, "done_reason": say.reason, **durations, **counts})

    def _load(self, body: Any) -> None:
        told = re.search(r"num_ctx\s+(\d+)", self.parameters)
        asked = (body.get("options") or {}).get("num_ctx")
        self.loaded = min(asked or (int(told[1]) if told else self.window), self.trained)

    @staticmethod
    def _message(message: Mapping[str, Any]) -> list[str]:
        pictures = ["picture"] * PICTURE_TOKENS * len(message.get("images") or ())
        calls = tokens(json.dumps(message["tool_calls"])) if message.get("tool_calls") else []
        return [message["role"], *pictures, *tokens(message.get("content", "")), *tokens(message.get("thinking", "")), *calls]


def _bad(message: str, code: str = "") -> Refuse:
    return Refuse(400, {"error": {"message": message, "type": "BadRequestError", "param": None, "code": code or 400}})


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _content(content: Any) -> list[str]:
    if isinstance(content, list):
        parts = (tokens(part["text"]) if part["type"] == "text" else ["picture"] * PICTURE_TOKENS for part in content)
        return list(itertools.chain.from_iterable(parts))
    return tokens(content or "")


def _same(one: list[str], other: list[str]) -> int:
    return next((at for at, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs), min(len(one), len(other)))


@contextlib.asynccontextmanager
async def all_of(*servers: FakeServer) -> AsyncIterator[tuple[FakeServer, ...]]:
    """Several at once."""
    async with contextlib.AsyncExitStack() as stack:
        yield tuple([await stack.enter_async_context(server) for server in servers])
