"""The engine as the rest of nemochat sees it: a supervised worker process (architecture.md, "Why the engine is a process of its own")."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from nemochat import errors
from nemochat.domain.events import EngineEvent, Finished, FinishReason, Progress, TextDelta, Timings, Usage
from nemochat.domain.images import RgbImage
from nemochat.domain.segments import ImageSlot, Segment
from nemochat.engine import states
from nemochat.engine.process import SAVING_SECONDS, BackendName, WorkerProcess, worker_command
from nemochat.engine.protocol import UNNAMED, Asked, Capabilities, GenerateRequest, LoadRequest, ModelInfo, Place, Prepared
from nemochat.engine.wire import (
    AddImage,
    Cancel,
    Count,
    Counts,
    Failed,
    Forget,
    Forgotten,
    Generate,
    ImageCost,
    Load,
    Loaded,
    Prepare,
    PreparedReport,
    Report,
    Request,
    WireError,
)
from nemochat.errors import EngineDiedError, EngineError, NemochatError
from nemochat.files import reason

WORKER_PIXEL_BYTES = 256 * 1024 * 1024
"""Of pictures that a worker holds; those of the prompt at hand stay, however large they are."""
MAX_DEATHS = 2

ProgressCallback = Callable[[Progress], None]
Answer = TypeVar("Answer", Loaded, ImageCost, Counts, PreparedReport, Forgotten)
_NOTHING_DONE = Prepared(0, 0, 0, 0.0, is_complete=False)

log = logging.getLogger(__name__)


class _Model:
    """A worker and what this client has told it: one model in its life, and some pictures with their costs in tokens."""

    def __init__(self, process: WorkerProcess) -> None:
        self.process = process
        self.loaded: ModelInfo | None = None
        self.image_costs: dict[str, int] = {}
        self.held: OrderedDict[str, int] = OrderedDict()
        """Bytes of the pictures that the worker holds, those wanted last at the end."""

    def spared(self, coming: int, wanted: Collection[str]) -> tuple[str, ...]:
        """Which pictures the worker is to let go of so that another one of this many bytes fits; they count as gone."""
        gone = []
        for digest in [digest for digest in self.held if digest not in wanted]:
            if sum(self.held.values()) + coming <= WORKER_PIXEL_BYTES:
                break
            del self.held[digest]
            gone.append(digest)
        return tuple(gone)


class _Deaths(NamedTuple):
    """The request on which the worker died last, how often in a row, and the last cause in words."""

    request: Request
    times: int
    message: str


class WorkerEngine:
    """An `Engine` (nemochat.engine.protocol) that runs its backend, "llama" or "scripted", in a child process.

    One request runs at a time, others wait their turn; any that waits ends a running `prepare` early.
    Another model gets another process, so unloading really returns the memory. When the process dies, the request under way fails
    with EngineDiedError and the next one starts the process and loads the model again; a request on which it died twice is refused
    until another one has been tried or `load` is called. A worker that does not hold a picture of a prompt, or no
    longer, is given it again (`find_image`). An error for want of memory gets the hint that `relief` gives.
    An instance belongs to one event loop and must be closed.
    """

    def __init__(self, log_path: Path, backend: BackendName = "llama") -> None:
        """`log_path`: where everything that the engine prints goes, with one older file ``.1``, about 1 MB each."""
        self._log_path = log_path
        self._backend = backend
        self._lock = asyncio.Lock()
        self._model: _Model | None = None
        self._wanted: LoadRequest | None = None
        self._info: ModelInfo | None = None
        self.find_image: Callable[[str], RgbImage | None] = lambda digest: None
        self.relief: Callable[[], Awaitable[str]] | None = None
        self._running: Request | None = None
        self._is_cancelled = False
        self._waiting = 0
        self._deaths: _Deaths | None = None
        self._reloading: asyncio.Task[_Model] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Everything."""
        return Capabilities()

    @property
    def info(self) -> ModelInfo | None:
        """The model that was loaded last; after a death, the one that the next request loads again."""
        return self._info

    @property
    def pid(self) -> int | None:
        """The worker's process id, None when there is none at the moment."""
        return self._model.process.pid if self._model and self._model.process.is_alive else None

    async def start(self) -> None:
        """Start the worker ahead of the first request, so that it imports its libraries while the caller does other things."""
        async with self._lock:
            await self._live_model()

    async def load(self, request: LoadRequest, on_progress: ProgressCallback | None = None) -> ModelInfo:
        """Load a model, in place of the one loaded before. A file that is refused leaves the earlier model wanted.

        A load cannot be stopped halfway: cancelling the task kills the worker.
        """
        self._deaths = None
        async with self._turn(Load(request)):
            await self._end_reload()
            if self._model and self._model.loaded:
                await self._end_worker()
            return await self._load(await self._live_model(), request, on_progress)

    async def add_image(self, image: RgbImage) -> int:
        """Make pixels known and say what the picture costs, in tokens. Cheap when the worker knows the picture already."""
        async with self._turn(AddImage(image)):
            model = await self._ready_model()
            await self._tell_images(model, (ImageSlot(image.digest),), image)
            return model.image_costs[image.digest]

    async def count(self, segments: Sequence[Segment], asked: Asked | None = None) -> list[int]:
        """The exact number of tokens of each segment."""
        command = Count(tuple(segments))
        async with self._turn(command):
            model = await self._ready_model()
            await self._tell_images(model, command.segments)
            return (await self._ask(model.process, command, Counts)).tokens

    async def prepare(
        self,
        segments: Sequence[Segment],
        on_progress: ProgressCallback | None = None,
        *,
        place: Place = UNNAMED,
        asked: Asked | None = None,
    ) -> Prepared:
        """Encode and evaluate ahead. Does nothing when something else is waiting for its turn."""
        command = Prepare(tuple(segments), place)
        async with self._turn(command):
            if self._waiting:
                return _NOTHING_DONE
            model = await self._ready_model()
            await self._tell_images(model, command.segments)
            if self._is_cancelled:
                return _NOTHING_DONE
            return (await self._ask(model.process, command, PreparedReport, on_progress)).prepared

    async def forget(self, conversation: str) -> None:
        """Remove what is kept of a conversation, in the worker if one is loaded, and on the disk. Raises EngineError."""
        if self._model is not None and self._model.loaded is not None:
            command = Forget(conversation)
            async with self._turn(command):
                await self._ask((await self._ready_model()).process, command, Forgotten)
        if self._wanted is not None and self._wanted.states_path is not None:
            try:
                await asyncio.to_thread(states.forget, Path(self._wanted.states_path), conversation)
            except OSError as error:
                raise EngineError(f"What was kept of the chat cannot be removed: {reason(error)}.") from error

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        """Stream one reply. Closing the iterator early stops the engine; the next request waits until it has stopped."""
        command = Generate(request)
        async with self._turn(command):
            model = await self._ready_model()
            await self._tell_images(model, request.segments)
            if self._is_cancelled:
                yield Finished(FinishReason.CANCELLED, Usage(), Timings())
                return
            async with aclosing(self._reports(model.process, command)) as events:
                async for event in events:
                    if not isinstance(event, Progress | TextDelta | Finished):
                        raise model.process.reject(event)
                    yield event

    async def cancel(self) -> None:
        """Stop what is running now. While a model is being loaded, the request ends as soon as that is done."""
        if self._running is not None:
            self._is_cancelled = True
            self._send_cancel(Cancel())

    async def close(self) -> None:
        """Unload and end the worker: politely, then by force, within about 4 s. A later request would start it again."""
        await self._end_reload()
        await self._end_worker()

    @asynccontextmanager
    async def _turn(self, command: Request) -> AsyncIterator[None]:
        """Wait for this request's turn and run it. What is only being read ahead makes way.

        The encoder finishes a picture that the next prompt needs as well; behind a count, the interrupted one is wanted again at once.
        """
        self._waiting += 1
        try:
            if isinstance(self._running, Prepare):
                self._is_cancelled = True
                spares = _images_of(command if isinstance(command, Prepare | Generate) else self._running)
                self._send_cancel(Cancel(spares, for_reply=isinstance(command, Generate)))
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        try:
            async with self._supervised(command):
                yield
        finally:
            self._lock.release()

    @asynccontextmanager
    async def _supervised(self, command: Request) -> AsyncIterator[None]:
        """Run one request: refuse it when the worker keeps dying on it, and remember it when the worker does."""
        deaths = self._deaths if self._deaths and self._deaths.request == command else None
        if deaths and deaths.times >= MAX_DEATHS:
            raise EngineDiedError(
                f"{deaths.message} That was {deaths.times} times on this request, so it was not started again for it.",
                "Change the message or its pictures, choose a smaller context length, or load the model again.",
            )
        self._running, self._is_cancelled = command, False
        try:
            yield
        except EngineError as error:
            if isinstance(error, EngineDiedError):
                self._deaths = _Deaths(command, deaths.times + 1 if deaths else 1, error.message)
            if error.for_memory and self.relief is not None:
                error.hint = await self.relief()
            raise
        else:
            if deaths:
                self._deaths = None
        finally:
            self._running = None

    def _send_cancel(self, cancel: Cancel) -> None:
        if self._model and self._model.process.is_busy:
            self._model.process.send(cancel)

    async def _live_model(self) -> _Model:
        """A worker that is alive and idle: the present one, after the rest of an abandoned request, or a new one."""
        if self._model and self._model.process.is_alive and self._model.process.is_busy:
            await self._finish_abandoned(self._model.process)
        if self._model is None or not self._model.process.is_alive:
            await self._end_worker()
            self._model = _Model(await WorkerProcess.start(worker_command(self._backend, self._log_path), self._log_path))
        return self._model

    async def _finish_abandoned(self, process: WorkerProcess) -> None:
        """Receive what is left of a request whose caller went away; it was told to stop then. Its failures interest nobody but the log."""
        try:
            while is_open(report := await process.receive()):
                pass
            process.is_busy = False
            if isinstance(report, Failed) and report.fatal:
                await process.close()
        except EngineDiedError as death:
            log.warning("The worker died on a request that was given up: %s", death.message)

    async def _ready_model(self) -> _Model:
        """A worker with the wanted model in it.

        After a death it is loaded again. That goes on when the request for which it began is given up: the next one waits for it.
        """
        if self._reloading is None:
            model = await self._live_model()
            if model.loaded is not None:
                return model
            if self._wanted is None:
                raise EngineError("No model is loaded.", "Choose one first.")
            self._reloading = asyncio.create_task(self._reload(model, self._wanted))
        reloading = self._reloading
        try:
            return await asyncio.shield(reloading)
        finally:
            if reloading.done() and self._reloading is reloading:
                self._reloading = None

    async def _reload(self, model: _Model, wanted: LoadRequest) -> _Model:
        await self._load(model, wanted, None)
        return model

    async def _end_reload(self) -> None:
        """Another model is wanted, or none: the process that is loading the one before is ended first."""
        reloading, self._reloading = self._reloading, None
        if reloading is not None:
            reloading.cancel()
            await asyncio.gather(reloading, return_exceptions=True)

    async def _load(self, model: _Model, request: LoadRequest, on_progress: ProgressCallback | None) -> ModelInfo:
        model.process.hang_seconds = request.settings.hang_seconds
        if request.states_path is not None:
            model.process.closing_seconds = SAVING_SECONDS
        try:
            model.loaded = (await self._ask(model.process, Load(request), Loaded, on_progress)).info
        except asyncio.CancelledError:
            model.process.kill()
            raise
        except EngineDiedError:
            self._wanted = request
            raise
        self._wanted, self._info = request, model.loaded
        return model.loaded

    async def _tell_images(self, model: _Model, segments: Sequence[Segment], given: RgbImage | None = None) -> None:
        """Send the pixels of every picture in `segments` that this worker does not hold, in place of those wanted least recently."""
        wanted = dict.fromkeys(segment.digest for segment in segments if isinstance(segment, ImageSlot))
        for digest in wanted:
            if digest in model.held:
                model.held.move_to_end(digest)
        for digest in wanted:
            if digest in model.held:
                continue
            image = given or await asyncio.to_thread(self.find_image, digest)
            if image is None:
                raise EngineError("A picture in this conversation cannot be found any more.", "Attach it again, or take its message out.")
            spared = model.spared(len(image.rgb), wanted)
            cost = (await self._ask(model.process, AddImage(image, spared), ImageCost)).tokens
            model.image_costs[digest], model.held[digest] = cost, len(image.rgb)

    async def _ask(
        self, process: WorkerProcess, command: Request, answer: type[Answer], on_progress: ProgressCallback | None = None
    ) -> Answer:
        async with aclosing(self._reports(process, command)) as reports:
            async for report in reports:
                if isinstance(report, answer):
                    return report
                if not isinstance(report, Progress):
                    raise process.reject(report)
                if on_progress is not None:
                    on_progress(report)
        raise AssertionError("the last report closes the request")

    async def _reports(self, process: WorkerProcess, command: Request) -> AsyncGenerator[Report, None]:
        """Send a request and yield its reports up to the closing one. A failure is raised; leaving early cancels the request."""
        try:
            process.send(command)
        except WireError as error:
            raise EngineError(f"The request cannot be sent to the engine: {error}.") from error
        process.is_busy = True
        try:
            while True:
                report = await process.receive()
                if isinstance(report, Failed):
                    process.is_busy = False
                    if report.fatal:
                        await process.close()
                    raise failure(report)
                if not is_open(report):
                    process.is_busy = False
                    yield report
                    return
                yield report
        finally:
            if process.is_busy and process.is_alive:
                process.send(Cancel())

    async def _end_worker(self) -> None:
        model, self._model = self._model, None
        if model is not None:
            await model.process.close()


def _images_of(command: Request) -> tuple[str, ...]:
    """The pictures in the prompt of a request."""
    match command:
        case Prepare():
            segments = command.segments
        case Generate():
            segments = command.request.segments
        case _:
            return ()
    return tuple(segment.digest for segment in segments if isinstance(segment, ImageSlot))


def is_open(report: Report) -> bool:
    """Whether more reports follow on the same request."""
    return isinstance(report, Progress | TextDelta)


def failure(report: Failed) -> NemochatError:
    """The exception that a report stands for: the class of that name in nemochat.errors, else EngineError."""
    kind = getattr(errors, report.kind, EngineError)
    if not (isinstance(kind, type) and issubclass(kind, NemochatError)):
        kind = EngineError
    error = kind(report.message, report.hint)
    if isinstance(error, EngineError):
        error.for_memory = report.for_memory
    return error
