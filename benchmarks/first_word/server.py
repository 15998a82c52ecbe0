"""llama-server: the one within xllamacpp, in this process and without HTTP, or a binary, over HTTP. Its prompt cache is on."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.first_word.program import Peer, peak_of
from benchmarks.first_word.values import Memory, Send, Spec, Turn

Chunk = dict[str, Any]
PATIENCE = 120
"""Seconds for the binary to load the model."""


class Refused(Exception):
    """The prompt is longer than the window."""


class LlamaServer(Peer):
    """A client of the chat completions that takes the oldest turns out until the prompt is no longer refused."""

    async def send(self, command: Send) -> Turn:
        """The clock runs while the server refuses."""
        self.sent(command.text)
        asked = time.perf_counter()
        while True:
            try:
                return self._turn(asked)
            except Refused:
                self.forget_turn()

    def _turn(self, asked: float) -> Turn:
        body = {
            "messages": self.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": self.spec.reply,
            "temperature": 0.0,
            "cache_prompt": True,
        }
        pieces: list[str] = []
        said: list[float] = []
        last: Chunk = {}

        def take(chunk: Chunk) -> None:
            nonlocal last
            for choice in chunk.get("choices", ()):
                if piece := choice["delta"].get("content"):
                    said.append(time.perf_counter() - asked)
                    pieces.append(piece)
            last = chunk

        self.complete(body, take)
        if last.get("error", last).get("type") == "exceed_context_size_error":
            raise Refused
        if "timings" not in last:
            raise SystemExit(f"llama-server answered {last}")
        text = "".join(pieces)
        self.replied(text)
        timings = last["timings"]
        prompt = timings["cache_n"] + timings["prompt_n"]
        return Turn(said[0], said[-1], prompt, timings["prompt_n"], timings["predicted_n"], None, text)

    def complete(self, body: Chunk, take: Callable[[Chunk], None]) -> None:
        """Ask, and hand out each piece of the answer as it comes."""
        raise NotImplementedError


class WithinPython(LlamaServer):
    """Through xllamacpp."""

    async def start(self) -> None:
        """With the same settings as all."""
        import xllamacpp as native

        pair = self.spec.pair
        params = native.CommonParams()
        params.model.path, params.mmproj.path = pair.model, pair.mmproj
        params.n_ctx = self.spec.context
        params.n_batch = params.n_ubatch = self.spec.batch
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = pair.threads
        params.n_parallel = 1
        params.n_gpu_layers = 0
        params.fit_params = False
        params.load_mode = native.llama_load_mode.LLAMA_LOAD_MODE_NONE
        params.flash_attn_type = native.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.cache_type_k = params.cache_type_v = native.ggml_type.GGML_TYPE_Q8_0
        params.verbosity = 1
        self._server = native.Server(params)

    def complete(self, body: Chunk, take: Callable[[Chunk], None]) -> None:
        """Pieces come as dictionaries."""
        self._server.handle_chat_completions(body, take)

    def memory(self) -> Memory:
        """All in one process."""
        return Memory(peak_of())

    async def close(self) -> None:
        """The server ends with the process."""


class Binary(LlamaServer):
    """A llama-server that was built from source."""

    async def start(self) -> None:
        """With the same settings as all; `/health` answers once the model is loaded."""
        pair = self.spec.pair
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self._process = subprocess.Popen(
            [
                *(self.spec.server, "-m", pair.model, "--mmproj", pair.mmproj, "-c", str(self.spec.context)),
                *("-b", str(self.spec.batch), "-ub", str(self.spec.batch), "-t", str(pair.threads), "-tb", str(pair.threads)),
                *("-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on", "-lm", "none", "-np", "1", "-ngl", "0", "-fit", "off"),
                *("--jinja", "--host", "127.0.0.1", "--port", str(self._port), "-lv", "1"),
            ],
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + PATIENCE
        while not self._is_ready():
            if time.monotonic() > until or self._process.poll() is not None:
                raise SystemExit(f"{self.spec.server} did not start.")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            return self._request("GET", "/health").status == 200
        except ConnectionError:
            return False

    def _request(self, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return connection.getresponse()

    def complete(self, body: Chunk, take: Callable[[Chunk], None]) -> None:
        """Pieces come as server-sent events."""
        for chunk in _events(self._request("POST", "/v1/chat/completions", json.dumps(body).encode())):
            take(chunk)

    def memory(self) -> Memory:
        """The client is no part of it."""
        return Memory(peak_of(self._process.pid))

    async def close(self) -> None:
        """Politely."""
        self._process.terminate()
        self._process.wait()


def _events(response: http.client.HTTPResponse) -> Iterator[Chunk]:
    if response.status != 200:
        yield json.loads(response.read())
        return
    for line in response:
        data = line.removeprefix(b"data: ").strip()
        if line.startswith(b"data: ") and data != b"[DONE]":
            yield json.loads(data)


def program(spec: Spec) -> LlamaServer:
    """llama-server."""
    return Binary(spec) if spec.server else WithinPython(spec)
