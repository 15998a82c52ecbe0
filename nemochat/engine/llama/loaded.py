"""A model in memory with all that goes with it: its projector, its KV cache, its tokeniser."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import llama_cpp
import msgspec

from nemochat.domain.events import Progress, Stage
from nemochat.domain.images import RgbImage
from nemochat.engine.backend import ProgressSink
from nemochat.engine.llama.context import Context, FirstTimes
from nemochat.engine.llama.devices import placement
from nemochat.engine.llama.evaluator import Evaluator, Prompt
from nemochat.engine.llama.kv_cache import KvCache
from nemochat.engine.llama.ledger import tokens_of
from nemochat.engine.llama.lookup import MOST_ROWS, Pace
from nemochat.engine.llama.model import Model
from nemochat.engine.llama.processor import SMALL_MODEL, physical_cores
from nemochat.engine.llama.projector import Picture, Projector
from nemochat.engine.llama.sampler import Samplers
from nemochat.engine.protocol import LoadRequest
from nemochat.engine.states import StateFolder, fingerprint
from nemochat.engine.tokens import Tokenizer
from nemochat.errors import EngineError
from nemochat.reading import all_parts
from nemochat.settings import WhenFull

_THOUSANDTHS = 1000
_MB = 1_000_000


class Vocabulary:
    """A model's file without its weights: what counting takes, and nothing else."""

    projector: None = None
    context_length = 0

    def __init__(self, request: LoadRequest) -> None:
        self.model = Model(request.model_path, gpu_layers=0, mmap=True, on_progress=lambda _: None, vocabulary_only=True)
        try:
            self.tokenizer = Tokenizer(self.model)
        except EngineError:
            self.model.close()
            raise
        self.begin_token = self.model.begin_token

    def picture(self, image: RgbImage) -> Picture:
        """Never: raises EngineError."""
        raise EngineError("Only the vocabulary of this model is loaded: what a picture costs is not known.")

    def close(self) -> None:
        """Free it."""
        self.model.close()


class Loaded:
    """Everything that lives as long as one loaded model, freed in the reverse order of its making."""

    def __init__(self, request: LoadRequest, on_progress: ProgressSink) -> None:
        settings = request.settings
        place = placement(settings)
        on_device = bool(place.handles)
        self.devices = place.names
        if not on_device:
            settings = msgspec.structs.replace(settings, gpu_layers=0)
        progress = _LoadProgress(request, on_progress)
        with ExitStack() as stack:
            self.model = Model(
                request.model_path,
                gpu_layers=settings.on_gpu,
                place=place,
                mmap=on_device if settings.mmap is None else settings.mmap,
                on_progress=progress.model,
                use_amx=settings.amx,
            )
            stack.callback(self.model.close)
            threads = settings.threads or (1 if self.model.parameters < SMALL_MODEL else physical_cores())
            self.projector: Projector | None = None
            if request.mmproj_path is not None:
                self.projector = Projector(
                    request.mmproj_path,
                    self.model,
                    device=place.handles[0] if on_device else None,
                    threads=threads,
                    on_progress=progress.projector,
                    most_tokens=request.picture_tokens,
                )
                stack.callback(self.projector.close)
                settings = msgspec.structs.replace(settings, batch=max(settings.batch, self.projector.whole_tokens))
            trained = self.model.trained_context
            self.context_length = min(settings.context_length or trained, trained)
            context = Context(
                self.model,
                length=self.context_length + settings.spare_tokens,
                rows=MOST_ROWS if settings.prompt_lookup else 1,
                threads=threads,
                settings=settings,
                first=FirstTimes(on_progress if on_device else None),
            )
            stack.callback(context.close)
            self._pictures: dict[str, Picture] = {}
            stack.callback(self._close_pictures)
            self.tokenizer = Tokenizer(self.model)
            self.samplers = Samplers(self.model, self.tokenizer.spelled, self.context_length)
            stack.callback(self.samplers.close)
            self.begin_token = self.model.begin_token
            self.cache = KvCache(
                context,
                shifts=settings.when_full is WhenFull.SHIFT,
                states=_state_folder(request),
                replies_in=self.tokenizer.replies_in,
            )
            self.evaluator = Evaluator(self.cache, self.projector, image_cache_mb=settings.image_cache_mb)
            self.pace = Pace() if settings.prompt_lookup and context.can_guess else None
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

    def special_tokens(self, names: Sequence[str]) -> frozenset[int]:
        """The special tokens and tags with these names; what the vocabulary has under no one token is left out."""
        return frozenset(token for name in names if (token := self.model.single_token(name)) is not None)

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
    paths = [Path(path) for path in (request.model_path, request.mmproj_path) if path is not None]
    files = [fingerprint(part) for path in paths for part in all_parts(path)]
    made_for = (settings.kv_type.value, settings.flash_attention, request.format, request.picture_tokens)
    engine = " ".join([*files, llama_cpp.__version__, *map(str, made_for)])
    return StateFolder(Path(request.states_path), engine, settings.resume_mb * _MB)


class _LoadProgress:
    """One progress over two files, by their sizes, in thousandths; says nothing twice."""

    def __init__(self, request: LoadRequest, on_progress: ProgressSink) -> None:
        self._sink = on_progress
        self._model_size = sum(part.stat().st_size for part in all_parts(Path(request.model_path)) if part.exists()) or 1
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
