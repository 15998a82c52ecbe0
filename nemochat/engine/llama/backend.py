"""llama.cpp as a backend of the worker process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import chain

from nemochat.domain.events import EngineEvent, Finished, FinishReason, TextDelta, Timings, Usage
from nemochat.domain.images import RgbImage
from nemochat.domain.segments import ImageSlot, Segment
from nemochat.engine.backend import NO_MATTER, Cancelled, ProgressSink, Waiting
from nemochat.engine.llama.evaluator import Outcome, Prompt
from nemochat.engine.llama.ledger import Cell, image_tokens_of, tokens_of
from nemochat.engine.llama.loaded import Loaded, Vocabulary
from nemochat.engine.llama.reply import Reply
from nemochat.engine.protocol import UNNAMED, GenerateRequest, LoadRequest, ModelInfo, Place, Prepared
from nemochat.errors import EngineError


class LlamaBackend:
    """One model (and projector) in this process, with the KV cache of the conversation it was last asked about.

    The pixels of every picture that was added are kept until they are to be forgotten, because any prompt may name them.
    """

    def __init__(self) -> None:
        self._loaded: Loaded | None = None
        self._vocabulary: Vocabulary | None = None
        self._images: dict[str, RgbImage] = {}

    def load(self, request: LoadRequest, on_progress: ProgressSink) -> ModelInfo:
        """Load a model in place of the present one. Pictures that were added stay known. Raises EngineError."""
        self.close()
        started = time.perf_counter()
        if request.vocabulary_only:
            self._vocabulary = Vocabulary(request)
        else:
            self._loaded = Loaded(request, on_progress)
        loaded = self._words()
        return ModelInfo(
            name=request.name,
            context_length=loaded.context_length,
            has_vision=loaded.projector is not None,
            vocab_size=loaded.model.vocab_size,
            load_ms=(time.perf_counter() - started) * 1000,
            chat_template=loaded.model.chat_template,
            begin_text=loaded.model.begin_text,
            end_text=loaded.model.end_text,
            adds_begin=loaded.begin_token is not None,
            architecture=loaded.model.architecture,
            recommended=loaded.model.recommended,
            can_take_back=loaded.model.can_take_back,
            devices=self._loaded.devices if self._loaded is not None else (),
        )

    def add_image(self, image: RgbImage) -> int:
        """Keep the pixels and return what the picture costs in tokens; the encoder does not run. Raises EngineError."""
        cells = self._words().picture(image).cells
        self._images[image.digest] = image
        return tokens_of(cells)

    def forget_images(self, digests: Sequence[str]) -> None:
        """Let go of the pixels of these pictures."""
        for digest in digests:
            self._images.pop(digest, None)

    def count(self, segments: Sequence[Segment]) -> list[int]:
        """Tokens of each segment of a prompt; a begin token that the vocabulary wants counts with the first. Raises EngineError."""
        return [tokens_of(cells) for cells in self._cells(segments)]

    def prepare(
        self,
        segments: Sequence[Segment],
        cancelled: Cancelled,
        on_progress: ProgressSink,
        place: Place = UNNAMED,
        waiting: Waiting = NO_MATTER,
    ) -> Prepared:
        """Encode and evaluate ahead; when cancelled, returns within a piece of about half a second. Raises EngineError."""
        started = time.perf_counter()
        loaded = self._model()
        prompt = self._prompt(segments, place.conversation)
        loaded.require_room(prompt, reply=0)
        outcome = Outcome()
        for progress in loaded.evaluator.read_ahead(prompt, place, outcome, cancelled, waiting):
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
        reply = Reply(loaded, request, prompt)
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
        yield Finished(reply.reason, usage, timings, reply.call_chance)

    def close(self) -> None:
        """Keep what conversations have read on the disk, and unload the model. The pictures stay known."""
        if self._loaded is not None:
            self._loaded.cache.keep_all()
            self._loaded.close()
            self._loaded = None
        if self._vocabulary is not None:
            self._vocabulary.close()
            self._vocabulary = None

    def _model(self) -> Loaded:
        if self._vocabulary is not None:
            raise EngineError("Only the vocabulary of this model is loaded, so it can count and nothing else.")
        if self._loaded is None:
            raise EngineError("No model is loaded.")
        return self._loaded

    def _words(self) -> Loaded | Vocabulary:
        return self._vocabulary or self._model()

    def _cells(self, segments: Sequence[Segment]) -> Iterator[Sequence[Cell]]:
        """The cells of each segment of a prompt, the first with a begin token that the vocabulary wants, unless it begins with it."""
        loaded = self._words()
        begin, follows_special = loaded.begin_token, True
        for segment in segments:
            if isinstance(segment, ImageSlot):
                cells: Sequence[Cell] = loaded.picture(self._image(segment.digest)).cells
                follows_special = False
            else:
                cells = loaded.tokenizer.tokens(segment, follows_special=follows_special)
                follows_special = loaded.tokenizer.follows_special(segment, follows_special)
            yield cells if begin is None or cells[:1] == (begin,) else (begin, *cells)
            begin = None

    def _image(self, digest: str) -> RgbImage:
        image = self._images.get(digest)
        if image is None:
            raise EngineError("The prompt holds a picture that the engine was never given.", "Attach the picture again.")
        return image

    def _prompt(self, segments: Sequence[Segment], conversation: str = "") -> Prompt:
        loaded = self._model()
        # Before anything is tokenised: replies of an earlier run are made of the tokens that were generated then.
        loaded.tokenizer.learn(loaded.cache.kept_replies(conversation))
        cells = list(chain.from_iterable(self._cells(segments)))
        images = {segment.digest: self._image(segment.digest) for segment in segments if isinstance(segment, ImageSlot)}
        return Prompt(tuple(cells), {digest: (image, loaded.picture(image)) for digest, image in images.items()})
