"""Vectors of texts from an embedding GGUF, made in a process of its own: a crash in llama.cpp costs a restart and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nemochat.domain.sanitize import sanitize
from nemochat.engine.wire import LENGTH, MAX_FRAME_BYTES, Answer, Embed, Failed, Ready, Vector, encode
from nemochat.errors import EngineDiedError, EngineError
from nemochat.files import open_log
from nemochat.paths import at_home
from nemochat.system import environments, processes, trees
from nemochat.system.deaths import death

START_SECONDS = 120.0
"""How long the model may take to load."""
TEXT_SECONDS = 60.0
"""How long one text may take."""
_END_SECONDS = 2.0
_AT_ONCE = 4
"""Texts of one request: a question does not wait until all passages of a new document are done."""
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


class _Running:
    """One life of the process. Its answers are read in the order of the requests, by one caller at a time."""

    def __init__(self, process: processes.Process, log_path: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.stdin = process.stdin
        self._stdout = process.stdout
        self._log_path = log_path

    async def answer(self, seconds: float) -> Answer:
        """The next one. Raises EngineDiedError when the process ended, EngineError when it is silent or talks nonsense."""
        try:
            async with asyncio.timeout(seconds):
                (size,) = LENGTH.unpack(await self._stdout.readexactly(LENGTH.size))
                if size > MAX_FRAME_BYTES:
                    raise msgspec.DecodeError(f"{size} bytes")
                return _answers.decode(await self._stdout.readexactly(size))
        except TimeoutError:
            raise EngineError(
                f"The embedding model did not answer for {seconds:g} s and was ended.", "A smaller model is quicker."
            ) from None
        except msgspec.DecodeError as error:
            raise EngineError("The embedding model's process sent what cannot be understood and was ended.", self._details) from error
        except (asyncio.IncompleteReadError, ConnectionError):
            name = death(await self.end()).name
            raise EngineDiedError(f"The embedding model's process ended unexpectedly ({name}).", self._details) from None

    async def end(self, patience: float = _END_SECONDS) -> int:
        """Close its wire, on which it ends by itself, and kill it when it has not in so many seconds; its exit status."""
        self.stdin.close()
        try:
            async with asyncio.timeout(patience):
                return await self.process.wait()
        except TimeoutError:
            self.kill()
            return await self.process.wait()
        except asyncio.CancelledError:
            self.kill()
            raise

    def kill(self) -> None:
        """End it at once; nothing when it has ended."""
        trees.kill(self.process)

    @property
    def _details(self) -> str:
        return f"Details are in {sanitize(str(self._log_path), strict=True)}."


class EmbeddingProcess:
    """An embedder (`nemochat.documents.vectors.Embedder`). The process starts with the first text, and again, once, when it dies at work.

    All methods belong to one event loop at a time; close it before the loop ends. Nothing is started by making one.
    """

    def __init__(
        self, model_path: Path, log_path: Path, *, start_seconds: float = START_SECONDS, text_seconds: float = TEXT_SECONDS
    ) -> None:
        with contextlib.suppress(RuntimeError):  # "~nobody/model.gguf": the file is not found in the end
            model_path = at_home(model_path)
        self._model_path = model_path.absolute()
        self._log_path = log_path
        self._start_seconds = start_seconds
        self._text_seconds = text_seconds
        self._model = ""
        self._running: _Running | None = None
        self._turn = asyncio.Lock()

    @property
    def model(self) -> str:
        """The file's name and size, which tell its vectors from those of other models. Raises EngineError when there is no such file."""
        if not self._model:
            self._model = f"{self._model_path.name} {self._size()}"
        return self._model

    @property
    def pid(self) -> int | None:
        """The process, None when none runs."""
        return None if self._running is None else self._running.process.pid

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector of length 1 for each text. Raises EngineError; then no process is left that owes an answer."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _AT_ONCE):
            some = texts[start : start + _AT_ONCE]
            async with self._turn:
                try:
                    vectors += await self._embed(some)
                except EngineDiedError:
                    vectors += await self._embed(some)
        return vectors

    async def close(self) -> None:
        """End the process; it may be used again after that."""
        running, self._running = self._running, None
        if running is not None:
            await running.end()

    async def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        vectors: list[list[float]] = []
        try:
            running = await self._started()
            # What UTF-8 cannot say (half a surrogate pair) becomes a question mark.
            running.stdin.write(encode(Embed(tuple(text.encode("utf-8", "replace").decode() for text in texts))))
            while len(vectors) < len(texts):
                match await running.answer(self._text_seconds):
                    case Vector(values):
                        vectors.append(list(values))
                    case Failed() as failed:
                        raise EngineError(failed.message, failed.hint)
                    case Ready():
                        raise EngineError("The embedding model's process sent what cannot be understood and was ended.")
        finally:
            # Whatever went wrong, a cancellation too: answers that nobody waits for must not be taken for those of the next request.
            if len(vectors) < len(texts):
                await self._end()
        return vectors

    async def _started(self) -> _Running:
        """The running process with its model loaded, a new one where there is none. Raises EngineError."""
        if self._running is not None and self._running.process.returncode is None:
            return self._running
        await self._end()
        self._size()
        self._running = running = _Running(await self._start(), self._log_path)
        answer = await running.answer(self._start_seconds)
        if isinstance(answer, Failed):
            raise EngineError(answer.message, answer.hint)
        return running

    async def _start(self) -> processes.Process:
        """Start it with the log as its standard error."""
        command = processes.module_command("nemochat.engine.embed_worker", str(self._model_path), str(self._log_path))
        pipe = processes.PIPE
        try:
            log_file = open_log(self._log_path)
            try:
                environment = environments.engine()
                return await processes.start(command, environment, stdin=pipe, stdout=pipe, stderr=log_file)
            finally:
                os.close(log_file)
        except OSError as error:
            raise EngineError(f"The embedding model's process cannot be started: {error.strerror}.") from error

    async def _end(self) -> None:
        """Kill and reap what runs."""
        running, self._running = self._running, None
        if running is not None and running.process.returncode is None:
            running.kill()
            await running.process.wait()

    def _size(self) -> int:
        """The file's size. Raises EngineError when there is no such file."""
        shown = sanitize(str(self._model_path), strict=True)
        hint = "tools.embedding_model in the settings names the file."
        try:
            size = self._model_path.stat().st_size
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "that is no path"
            raise EngineError(f"The embedding model {shown} cannot be read: {reason}.", hint) from None
        if not self._model_path.is_file():
            raise EngineError(f"The embedding model {shown} is no file.", hint)
        return size
