"""llama.cpp as a backend of the worker process."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import llama_cpp
import psutil

from nemochat.domain.events import EngineEvent, Finished, FinishReason, Progress, Stage, TextDelta, Timings, Usage
from nemochat.domain.images import RgbImage
from nemochat.domain.segments import Control, ImageSlot, Segment
from nemochat.engine.backend import Cancelled, Drops, ProgressSink, anything
from nemochat.engine.cutter import Cutter
from nemochat.engine.llama.constraint import Constraint
from nemochat.engine.llama.context import Context
from nemochat.engine.llama.evaluator import Evaluator, Outcome, Prompt
from nemochat.engine.llama.kv_cache import KvCache
from nemochat.engine.llama.ledger import Cell, image_tokens_of, tokens_of
from nemochat.engine.llama.model import Model
from nemochat.engine.llama.projector import Picture, Projector
from nemochat.engine.llama.sampler import Sampler
from nemochat.engine.llama.tokens import Tokenizer
from nemochat.engine.protocol import UNNAMED, GenerateRequest, LoadRequest, ModelInfo, Place, Prepared
from nemochat.engine.states import StateFolder, fingerprint
from nemochat.errors import EngineError
from nemochat.prompt.nemotron import TURN_TAGS
from nemochat.settings import WhenFull

_log = logging.getLogger(__name__)
_THOUSANDTHS = 1000
_MB = 1_000_000
MOST_GUESSES = 8
"""Tokens that are guessed from the prompt and evaluated together with the last one, at most."""
_SMALL_MODEL = 50_000_000
"""Parameters below which one thread is chosen: a second one gains next to nothing, and when another process holds its core, the
first spins at every operation until it comes back (measured: 75 times slower)."""


class LlamaBackend:
    """One model (and projector) in this process, with the KV cache of the conversation it was last asked about.

    The pixels of every picture that was added are kept until the process ends, because any prompt may name them.
    """

    def __init__(self) -> None:
        self._loaded: _Loaded | None = None
        self._images: dict[str, RgbImage] = {}

    def load(self, request: LoadRequest, on_progress: ProgressSink) -> ModelInfo:
        """Load a model in place of the present one. Pictures that were added stay known. Raises EngineError."""
        self.close()
        started = time.perf_counter()
        loaded = _Loaded(request, on_progress)
        self._loaded = loaded
        return ModelInfo(
            name=request.name,
            context_length=loaded.context_length,
            has_vision=loaded.projector is not None,
            vocab_size=loaded.model.vocab_size,
            load_ms=(time.perf_counter() - started) * 1000,
            eog_text=loaded.model.end_text,
        )

    def add_image(self, image: RgbImage) -> int:
        """Keep the pixels and return what the picture costs in tokens; the encoder does not run. Raises EngineError."""
        cells = self._model().picture(image).cells
        self._images[image.digest] = image
        return tokens_of(cells)

    def count(self, segments: Sequence[Segment]) -> list[int]:
        """Tokens of each segment; a begin token that the vocabulary wants counts with the first. Raises EngineError."""
        counts = [tokens_of(self._cells(segment)) for segment in segments]
        if counts and self._model().begin_token is not None:
            counts[0] += 1
        return counts

    def prepare(
        self, segments: Sequence[Segment], cancelled: Cancelled, on_progress: ProgressSink, place: Place = UNNAMED, drops: Drops = anything
    ) -> Prepared:
        """Encode and evaluate ahead; when cancelled, returns within a piece of about half a second. Raises EngineError."""
        started = time.perf_counter()
        loaded = self._model()
        prompt = self._prompt(segments, place.conversation)
        loaded.require_room(prompt, reply=0)
        outcome = Outcome()
        for progress in loaded.evaluator.read_ahead(prompt, place, outcome, cancelled, drops):
            on_progress(progress)
        elapsed = (time.perf_counter() - started) * 1000
        return Prepared(outcome.reused, outcome.evaluated, outcome.encoded_images, elapsed, is_complete=not outcome.aborted)

    def forget(self, conversation: str) -> None:
        """Remove the conversation's sequences from the KV cache."""
        if self._loaded is not None:
            self._loaded.cache.forget(conversation)

    def generate(self, request: GenerateRequest, cancelled: Cancelled) -> Iterator[EngineEvent]:
        """Yield Progress and TextDelta events, and Finished last. Closing the iterator early leaves everything in order.

        The reply ends at the latest when the window is full. completion_tokens leaves the token that ended the reply out.
        Raises EngineError, for a prompt that does not fit before anything is evaluated.
        """
        started = time.perf_counter()
        loaded = self._model()
        prompt = self._prompt(request.segments, request.conversation)
        loaded.require_room(prompt, reply=1)
        if not isinstance(prompt.cells[-1], int):
            raise EngineError("A prompt cannot end with a picture.", "Put the marker of the Assistant's turn after it.")
        outcome = Outcome()
        yield from loaded.evaluator.evaluate(prompt, Place(request.conversation), outcome, cancelled, with_logits=True)
        reply = _Reply(loaded, request, prompt)
        first_token_ms = 0.0
        prefilled = time.perf_counter()
        if outcome.aborted:
            reply.reason = FinishReason.CANCELLED
        else:
            for text in reply.texts(cancelled):
                first_token_ms = first_token_ms or (time.perf_counter() - started) * 1000
                yield TextDelta(text)
        decode_ms = (time.perf_counter() - prefilled) * 1000
        usage = Usage(
            prompt_tokens=outcome.reused + outcome.evaluated,
            image_tokens=image_tokens_of(prompt.cells),
            reused_tokens=outcome.reused,
            evaluated_tokens=outcome.evaluated,
            completion_tokens=len(reply.tokens),
            encoded_images=outcome.encoded_images,
        )
        timings = Timings(encode_ms=outcome.encode_ms, prefill_ms=outcome.prefill_ms, decode_ms=decode_ms, first_token_ms=first_token_ms)
        yield Finished(reply.reason, usage, timings)

    def close(self) -> None:
        """Keep what conversations have read on the disk, and unload the model. The pictures stay known."""
        if self._loaded is not None:
            self._loaded.cache.keep_all()
            self._loaded.close()
            self._loaded = None

    def _model(self) -> _Loaded:
        if self._loaded is None:
            raise EngineError("No model is loaded.")
        return self._loaded

    def _cells(self, segment: Segment) -> tuple[Cell, ...]:
        if isinstance(segment, ImageSlot):
            return self._model().picture(self._image(segment.digest)).cells
        return self._model().tokenizer.tokens(segment)

    def _image(self, digest: str) -> RgbImage:
        image = self._images.get(digest)
        if image is None:
            raise EngineError("The prompt holds a picture that the engine was never given.", "Attach the picture again.")
        return image

    def _prompt(self, segments: Sequence[Segment], conversation: str = "") -> Prompt:
        loaded = self._model()
        # Before anything is tokenised: replies of an earlier run are made of the tokens that were generated then.
        loaded.tokenizer.learn(loaded.cache.kept_replies(conversation))
        cells: list[Cell] = [] if loaded.begin_token is None else [loaded.begin_token]
        for segment in segments:
            cells += self._cells(segment)
        images = {segment.digest: self._image(segment.digest) for segment in segments if isinstance(segment, ImageSlot)}
        return Prompt(tuple(cells), {digest: (image, loaded.picture(image)) for digest, image in images.items()})


class _Loaded:
    """Everything that lives as long as one loaded model, freed in the reverse order of its making."""

    def __init__(self, request: LoadRequest, on_progress: ProgressSink) -> None:
        settings = request.settings
        use_gpu = settings.gpu_layers != 0
        progress = _LoadProgress(request, on_progress)
        with ExitStack() as stack:
            mmap = use_gpu if settings.mmap is None else settings.mmap
            self.model = Model(
                request.model_path, gpu_layers=settings.gpu_layers, mmap=mmap, on_progress=progress.model, use_amx=settings.amx
            )
            stack.callback(self.model.close)
            threads = settings.threads or (1 if self.model.parameters < _SMALL_MODEL else physical_cores())
            trained = self.model.trained_context
            self.context_length = min(settings.context_length or trained, trained)
            context = Context(
                self.model,
                length=self.context_length + settings.spare_tokens,
                rows=1 + MOST_GUESSES if settings.prompt_lookup else 1,
                threads=threads,
                settings=settings,
            )
            stack.callback(context.close)
            self.projector: Projector | None = None
            if request.mmproj_path is not None:
                self.projector = Projector(
                    request.mmproj_path,
                    self.model,
                    use_gpu=use_gpu,
                    threads=threads,
                    batch_size=context.batch_size,
                    on_progress=progress.projector,
                )
                stack.callback(self.projector.close)
            self._pictures: dict[str, Picture] = {}
            stack.callback(self._close_pictures)
            self.tokenizer = Tokenizer(self.model)
            self.begin_token = self.model.begin_token
            self.turn_tokens = frozenset(token for tag in TURN_TAGS if (token := self.model.single_token(tag)) is not None)
            self.cache = KvCache(
                context,
                shifts=settings.when_full is WhenFull.SHIFT,
                states=_state_folder(request),
                replies_in=self.tokenizer.replies_in,
            )
            self.evaluator = Evaluator(self.cache, self.projector, image_cache_mb=settings.image_cache_mb)
            self._resources = stack.pop_all()
        progress.finish()

    def picture(self, image: RgbImage) -> Picture:
        """How a picture stands in a prompt. Raises EngineError when the model cannot see."""
        picture = self._pictures.get(image.digest)
        if picture is None:
            if self.projector is None:
                raise EngineError("This model cannot see pictures.", "Load a model that comes with a projector (mmproj) file.")
            picture = self._pictures[image.digest] = self.projector.place(image)
        return picture

    def require_room(self, prompt: Prompt, *, reply: int) -> None:
        """Raise EngineError unless the prompt and `reply` more tokens fit the window."""
        tokens = tokens_of(prompt.cells)
        if not tokens:
            raise EngineError("The prompt is empty.")
        if tokens + reply > self.context_length:
            raise EngineError(
                f"The prompt has {tokens} tokens; the context window of {self.context_length} has room for {self.context_length - reply}.",
                "Shorten it, or choose a longer context.",
            )

    def close(self) -> None:
        """Free everything."""
        self._resources.close()

    def _close_pictures(self) -> None:
        for picture in self._pictures.values():
            picture.close()


def _state_folder(request: LoadRequest) -> StateFolder | None:
    """Where what conversations have read is kept; what changes the files or the meaning of what is in them is part of the key."""
    settings = request.settings
    if request.states_path is None or not settings.resume_mb:
        return None
    files = [fingerprint(Path(path)) for path in (request.model_path, request.mmproj_path) if path is not None]
    engine = " ".join([*files, llama_cpp.__version__, settings.kv_type.value, str(settings.flash_attention)])
    return StateFolder(Path(request.states_path), engine, settings.resume_mb * _MB)


class _Reply:
    """The decode loop of one reply: draws tokens, evaluates them, and turns them into text."""

    def __init__(self, loaded: _Loaded, request: GenerateRequest, prompt: Prompt) -> None:
        self.tokens: list[int] = []
        self.reason = FinishReason.LENGTH
        self._loaded = loaded
        self._sampling = request.sampling
        self._limit = min(request.sampling.max_tokens, loaded.context_length - tokens_of(prompt.cells))
        self._history = [cell for cell in prompt.cells if isinstance(cell, int)]
        self._request = request

    def texts(self, cancelled: Cancelled) -> Iterator[str]:
        """Pieces of text, none empty. When exhausted, `tokens` and `reason` are final; the tokeniser remembers the reply in any case."""
        cutter = Cutter((*TURN_TAGS, *self._sampling.stop))
        constraint = self._constraint()
        sampler = Sampler(self._sampling, self._loaded.model.vocab_size, self._history)
        shown: list[str] = []
        try:
            for text in self._draw(sampler, constraint, cutter, cancelled):
                shown.append(text)
                yield text
            if rest := cutter.finish():
                shown.append(rest)
                yield rest
        finally:
            sampler.close()
            if constraint is not None:
                constraint.close()
            self._loaded.tokenizer.remember_reply(self.tokens, "".join(shown))

    def _constraint(self) -> Constraint | None:
        """What holds the reply's tool calls to the grammar of the request, if it has one that llama.cpp takes."""
        request = self._request
        if not request.grammar:
            return None
        last, trigger = request.segments[-1], request.grammar_trigger
        try:
            return Constraint(
                self._loaded.model,
                self._loaded.tokenizer,
                grammar=request.grammar,
                trigger=trigger,
                banned=self._loaded.turn_tokens,
                is_open=not trigger or (isinstance(last, Control) and last.text.endswith(trigger)),
            )
        except EngineError as error:
            _log.warning("the reply goes without a grammar: %s", error.message)
            return None

    def _draw(self, sampler: Sampler, constraint: Constraint | None, cutter: Cutter, cancelled: Cancelled) -> Iterator[str]:
        model, evaluator, turn_tokens = self._loaded.model, self._loaded.evaluator, self._loaded.turn_tokens
        while len(self.tokens) < self._limit:
            if cancelled():
                self.reason = FinishReason.CANCELLED
                return
            if self.tokens:
                evaluator.append(self.tokens[-1])
            is_held = constraint is not None and constraint.is_open
            token = sampler.sample(evaluator.context) if constraint is None else constraint.sample(sampler, evaluator.context)
            if token in turn_tokens or model.ends_generation(token):
                self.reason = FinishReason.STOP
                return
            self.tokens.append(token)
            if text := (cutter.pass_on if is_held else cutter.push)(model.piece(token)):
                yield text
            if cutter.stopped:
                self.reason = FinishReason.STOP
                return


class _LoadProgress:
    """One progress over two files, by their sizes, in thousandths; says nothing twice."""

    def __init__(self, request: LoadRequest, on_progress: ProgressSink) -> None:
        self._sink = on_progress
        self._model_size = Path(request.model_path).stat().st_size if Path(request.model_path).exists() else 1
        has_projector = request.mmproj_path is not None and Path(request.mmproj_path).exists()
        self._projector_size = Path(request.mmproj_path or "").stat().st_size if has_projector else 0
        self._last = -1

    def model(self, fraction: float) -> None:
        """The model file is read up to this fraction."""
        self._report(fraction * self._model_size)

    def projector(self, fraction: float) -> None:
        """The projector file is read up to this fraction."""
        self._report(self._model_size + fraction * self._projector_size)

    def finish(self) -> None:
        """All is ready."""
        self._report(self._model_size + self._projector_size)

    def _report(self, done: float) -> None:
        thousandths = int(done / (self._model_size + self._projector_size) * _THOUSANDTHS)
        if thousandths > self._last:
            self._last = thousandths
            self._sink(Progress(Stage.LOAD, thousandths, _THOUSANDTHS))


def physical_cores() -> int:
    """Physical cores that this process may use, at least 1."""
    process = psutil.Process()
    # macOS has no affinity.
    allowed = len(process.cpu_affinity() or ()) if hasattr(process, "cpu_affinity") else psutil.cpu_count()
    physical = psutil.cpu_count(logical=False) or allowed or 1
    return max(1, min(physical, allowed or physical))
