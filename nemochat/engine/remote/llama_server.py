"""llama-server as an engine: it is given our own rendering, in the tokens of its own vocabulary (engines.md).

``/props`` says what the model is, ``/tokenize`` counts, ``/completion`` reads and writes. A prompt is evaluated ahead in pieces of about
half a second, each a request that writes nothing: what was read stays in the slot, and whatever is more urgent waits for one piece.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from nemochat.domain.events import EngineEvent, Progress, Stage
from nemochat.domain.images import RgbImage
from nemochat.domain.sampling import SAMPLING_KEYS, Sampling, recommended
from nemochat.domain.segments import ImageSlot, Segment
from nemochat.engine.lru import LruCache
from nemochat.engine.protocol import UNNAMED, Asked, Capabilities, GenerateRequest, LoadRequest, ModelInfo, Place, Prepared
from nemochat.engine.remote.client import ServerClient
from nemochat.engine.remote.pictures import PictureFile, as_file, data_uri
from nemochat.engine.remote.prompts import ServerPrompt, Writer, common
from nemochat.engine.remote.replies import KEPT_FIELDS, Read, Reply, formed, read_of, sampled
from nemochat.engine.remote.slots import Held, Slot, Slots, slots_of
from nemochat.engine.remote.vocabulary import ServerVocabulary
from nemochat.engine.stride import Stride
from nemochat.errors import EngineError, ServerError
from nemochat.reading import mapping, member

ProgressCallback = Callable[[Progress], None]

_MOST_SIDE = 2048
"""Pixels of the longer side of a picture that is sent; no model takes more of them in."""
_PICTURE_BYTES = 8 << 20
"""Of a picture as it is sent."""
_PICTURES_BYTES = 64 << 20
"""Of all of them that are kept; others are asked for again."""
_MOST_TEMPLATE = 1 << 20
"""Characters of a chat template, as for a model's file."""
_LOOKS_AGAIN = 0.5
"""Seconds between two looks whether a model is loaded."""
_MOST_STRIDE = 2048
_LOADING = Progress(Stage.LOAD, 0, 1000)
_NOTHING_DONE = Prepared(0, 0, 0, 0.0, is_complete=False)
_log = logging.getLogger(__name__)


class _Model(msgspec.Struct, frozen=True):
    """What ``/props`` says. run: the text that stands for a picture, which is another one each time that the server is started."""

    run: str
    path: str
    chat_template: str
    context_length: int
    slots: int
    has_vision: bool
    begin_text: str
    end_text: str
    has_slots: bool
    recommended: Sampling

    @property
    def identity(self) -> tuple[object, ...]:
        """By which it is told from another model."""
        return self.path, self.chat_template, self.has_vision, self.begin_text, self.end_text


class LlamaServerEngine:
    """An `Engine` that is a llama-server. One reply at a time; what is only read ahead makes way for it.

    model: which one, for a server that has several ("router mode"). A server that was started again is asked on; one that has another model
    now is not, because the conversation is laid out for the one before.
    """

    def __init__(self, client: ServerClient, model: str = "") -> None:
        self._client = client
        self._body: dict[str, Any] = {"model": model} if model else {}
        self._model: _Model | None = None
        self._info: ModelInfo | None = None
        self._vocabulary = ServerVocabulary(self._client, self._body)
        self._writer: Writer | None = None
        self._slots = Slots(1)
        self._costs: dict[str, int] = {}
        self._pictures: LruCache[str, PictureFile] = LruCache(_PICTURES_BYTES, weigh=lambda file: len(file.data))
        self.find_image: Callable[[str], RgbImage | None] = lambda digest: None
        self._stride = Stride(_MOST_STRIDE)
        self._replies: list[tuple[list[int], str]] = []
        """Tokens and texts of replies that the writer does not know yet."""
        self._has_picture = False
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._is_cancelled = False
        self._step: asyncio.Task[Any] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """All, but that a prompt with a picture goes as text, that one slot holds one prompt, and that it is told no probabilities."""
        return Capabilities(keeps_words_apart=not self._has_picture, can_hold_next=self._slots.keeps_both is not False, can_gate=False)

    @property
    def info(self) -> ModelInfo | None:
        """The model that the server had when it was asked last."""
        return self._info

    async def load(self, request: LoadRequest, on_progress: ProgressCallback | None = None) -> ModelInfo:
        """Find out which model the server has, waiting while it loads it. Of the request only the name matters here."""
        async with self._turn():
            started = time.perf_counter()
            self._info = self._model = None
            while not await self._look():
                if on_progress is not None:
                    on_progress(_LOADING)
                await asyncio.sleep(_LOOKS_AGAIN)
            self._info = await self._opened(request.name, (time.perf_counter() - started) * 1000)
            return self._info

    async def add_image(self, image: RgbImage) -> int:
        """Keep the picture as it is sent and say what it costs, as the server counts."""
        if not self._present.has_vision:
            raise EngineError("This model cannot see pictures.", "Start the server with its projector (--mmproj), or choose another model.")
        await self._keep(image)
        return self._costs[image.digest]

    async def count(self, segments: Sequence[Segment], asked: Asked | None = None) -> list[int]:
        """The exact number of tokens of each segment."""
        await self._have_pictures(segments)
        await self._learn_replies()
        return await self._vocabulary.resolved(lambda: self._written.counts(segments, self._present.run))

    async def prepare(
        self,
        segments: Sequence[Segment],
        on_progress: ProgressCallback | None = None,
        *,
        place: Place = UNNAMED,
        asked: Asked | None = None,
    ) -> Prepared:
        """Evaluate ahead, piece by piece. Does nothing when something else waits for its turn, nor for what no slot has room for."""
        async with self._turn():
            started = time.perf_counter()
            if self._is_left or (place.is_next and self._slots.keeps_both is False) or not await self._look():
                return _NOTHING_DONE
            prompt = await self._prompt(segments)
            own, states = self._slots.take(place, prompt), await self._states()
            slot = self._slots.choose(place, prompt, states)
            if place.is_next and (slot is None or not await self._holds_both(place, prompt, slot)):
                return _NOTHING_DONE
            at = common(own.prompt, prompt) if own is not None else 0
            reused, done, encoded = -1, 0, 0
            while not self._is_left and (at < len(prompt.units) or reused < 0):
                # What may be there from an earlier run would be cut to the first piece.
                is_whole = own is None and self._slots.may_hold(states, prompt)
                stop = len(prompt.units) if is_whole else self._piece_end(prompt, at)
                began = time.perf_counter()
                said = await self._read(place, prompt, stop, slot)
                tokens, cached = said.prompt_n, said.cache_n
                self._stride.took(tokens, time.perf_counter() - began)
                reused = min(cached, prompt.until(stop)) if reused < 0 else reused
                encoded += prompt.images_from(cached) - prompt.images_from(prompt.until(stop))
                at, done, slot = stop, prompt.until(stop), said.id_slot
                if on_progress is not None:
                    on_progress(Progress(Stage.PREFILL, max(0, done - reused), max(0, prompt.tokens - reused)))
            elapsed = (time.perf_counter() - started) * 1000
            reused = max(0, reused)
            return Prepared(reused, max(0, done - reused), encoded, elapsed, is_complete=at == len(prompt.units))

    async def forget(self, conversation: str) -> None:
        """Remove what is held of a conversation, where the server lets us (``--slot-save-path``); elsewhere another one takes its place."""
        async with self._turn():
            for held in self._slots.forget(conversation):
                with contextlib.suppress(ServerError):  # a server that is gone holds nothing; most that are there erase nothing
                    slots = {slot.id: slot for slot in await self._states()}
                    if held.slot is not None and held.slot in slots and held.is_in(slots[held.slot]):
                        await self._client.post(f"/slots/{held.slot}?action=erase", self._body)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        """Stream one reply. Closing the iterator early closes the connection, which stops the server."""
        async with self._turn():
            started = time.perf_counter()
            load_ms = 0.0
            while not self._is_cancelled and not await self._look():
                yield _LOADING
                await asyncio.sleep(_LOOKS_AGAIN)
                load_ms = (time.perf_counter() - started) * 1000
            if not request.segments:
                raise EngineError("The prompt is empty.")
            if isinstance(request.segments[-1], ImageSlot):
                raise EngineError("A prompt cannot end with a picture.", "Put the marker of the Assistant's turn after it.")
            prompt = await self._prompt(request.segments)
            reply = Reply(request, await self._special_tokens((*request.stops, *request.markers)), started)
            place = Place(request.conversation)
            self._slots.take(place, prompt)
            slot = self._slots.choose(place, prompt, await self._states())
            body = {**self._body, **prompt.body(self._present.run), **sampled(request.sampling), **formed(request, reply.special)}
            held = Held(prompt, slot, None)
            self._slots.read(place, held)
            try:
                async with aclosing(self._events(body if slot is None else {**body, "id_slot": slot})) as events:
                    async for data in events:
                        for event in reply.events(data, self._vocabulary):
                            yield event
                        if reply.is_over:
                            break
                if not self._is_cancelled and not reply.is_over:
                    raise self._client.broke_off()
            except ServerError:
                self._slots.drop(place)  # what is there now nobody knows
                raise
            finally:
                self._replies.append((reply.tokens, reply.shown))
                held.slot, held.tokens = (slot if reply.slot is None else reply.slot), reply.held
            self._slots.read(place, held)
            yield reply.finished(prompt, load_ms)

    async def cancel(self) -> None:
        """Stop what is running now; closing its connection stops the server."""
        if self._lock.locked():
            self._is_cancelled = True
            if self._step is not None:
                self._step.cancel()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    # -- turns

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for this request's turn. What is only being read ahead makes way."""
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        self._is_cancelled = False
        try:
            yield
        finally:
            self._step = None
            self._lock.release()

    @property
    def _is_left(self) -> bool:
        """Whether something that is only read ahead is to be left."""
        return self._is_cancelled or self._waiting > 0

    def _is_for_us(self) -> bool:
        """Whether it was `cancel` that ended a step, and not somebody who cancels the whole task."""
        task = asyncio.current_task()
        return self._is_cancelled and not (task is not None and task.cancelling())

    async def _events(self, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a reply, until it is cancelled. Where the server refuses the grammar, it goes without."""
        is_held, has_begun = "grammar" in body, False
        while True:
            try:
                async with aclosing(self._client.stream("/completion", body)) as events:
                    while not self._is_cancelled:
                        step = self._step = asyncio.ensure_future(anext(events, None))
                        try:
                            data = await step
                        except asyncio.CancelledError:
                            if self._is_for_us():
                                return
                            raise
                        if data is None:
                            return
                        if not isinstance(data, dict):
                            raise self._client.misread("is no event of a reply")
                        has_begun = True
                        yield data
                    return
            except ServerError as error:
                if not is_held or has_begun or error.status != 400 or error.is_length:
                    raise
                _log.warning("the reply goes without a grammar: %s", error.message)
                is_held = False
                body = {name: value for name, value in body.items() if not name.startswith("grammar")}

    # -- the model

    @property
    def _present(self) -> _Model:
        if self._model is None:
            raise EngineError("No model is loaded.")
        return self._model

    @property
    def _written(self) -> Writer:
        if self._writer is None:
            raise EngineError("No model is loaded.")
        return self._writer

    async def _look(self) -> bool:
        """Ask the server for its model; False while it loads one. Raises EngineError when it is another than before."""
        path = f"/props?model={quote(self._body['model'], safe='')}" if self._body else "/props"
        try:
            model = self._understood(await self._client.get(path))
        except ServerError as error:
            if error.status != 503:
                raise
            return False
        before, self._model = self._model, model
        if before is None:
            return True
        if model.identity != before.identity:
            self._model = before
            raise EngineError(f"{self._client.name} has another model now.", "Choose its model again.")
        if (model.run, model.slots) != (before.run, before.slots):
            self._slots = Slots(model.slots if model.has_slots else 1)
        if not before.has_slots and model.run == before.run:
            self._model = before
        if self._info is not None and self._info.context_length != model.context_length:
            self._info = msgspec.structs.replace(self._info, context_length=model.context_length)
        return True

    def _understood(self, said: Any) -> _Model:
        """What ``/props`` says, as far as it makes sense; an older server says less."""
        settings = mapping(said, "default_generation_settings")
        context_length = member(settings, int, "n_ctx") or 0
        if context_length <= 0:
            raise self._client.misread("says nothing of a model")
        params = mapping(settings, "params") or settings
        asks = {name: float(value) for name in SAMPLING_KEYS if (value := member(params, float, name)) is not None}
        has_slots = member(said, bool, "endpoint_slots")
        template = member(said, str, "chat_template") or ""
        return _Model(
            run=member(said, str, "media_marker") or "<__media__>",
            path=member(said, str, "model_path") or "",
            chat_template=template if len(template) <= _MOST_TEMPLATE else "",
            context_length=context_length,
            slots=max(1, member(said, int, "total_slots") or 1),
            has_vision=member(said, bool, "modalities", "vision") or False,
            begin_text=member(said, str, "bos_token") or "",
            end_text=member(said, str, "eos_token") or "",
            has_slots=has_slots is not False,
            recommended=recommended(asks),
        )

    async def _opened(self, name: str, load_ms: float) -> ModelInfo:
        """The model, with what only its vocabulary tells."""
        model = self._present
        self._slots = Slots(model.slots if model.has_slots else 1)
        self._costs.clear()
        self._vocabulary = ServerVocabulary(self._client, self._body, (model.begin_text, model.end_text))
        # The begin token comes before any text, where the vocabulary wants one.
        said = await self._client.post("/tokenize", {**self._body, "content": "a", "add_special": True})
        bare = await self._vocabulary.resolved(lambda: self._vocabulary.tokenize("a", parse_special=True))
        ids = member(said, list, "tokens") or []
        begin = ids[0] if len(ids) > len(bare) and isinstance(ids[0], int) and ids[1 : len(bare) + 1] == bare else None
        vocabulary = self._vocabulary
        self._writer = await vocabulary.resolved(lambda: Writer(vocabulary, begin, model.begin_text, self._costs))
        return ModelInfo(
            name=name,
            context_length=model.context_length,
            has_vision=model.has_vision,
            vocab_size=0,
            load_ms=load_ms,
            chat_template=model.chat_template,
            begin_text=model.begin_text,
            end_text=model.end_text,
            adds_begin=begin is not None,
            recommended=model.recommended,
        )

    # -- prompts

    async def _prompt(self, segments: Sequence[Segment]) -> ServerPrompt:
        await self._have_pictures(segments)
        await self._learn_replies()
        slots = [segment for segment in segments if isinstance(segment, ImageSlot)]
        self._has_picture = bool(slots)
        files = {slot.digest: file for slot in slots if (file := self._pictures.get(slot.digest)) is not None}
        pictures = {digest: base64.b64encode(file.data).decode() for digest, file in files.items()}
        return await self._vocabulary.resolved(lambda: self._written.prompt(segments, self._present.run, pictures))

    async def _learn_replies(self) -> None:
        """The tokens that replies were made of, which are not always those that their text would give."""
        while self._replies:
            tokens, shown = self._replies[0]
            await self._vocabulary.resolved(partial(self._vocabulary.know, tokens))
            await self._vocabulary.resolved(partial(self._written.remember_reply, tokens, shown))
            self._replies = [each for each in self._replies if each[0] is not tokens]

    async def _special_tokens(self, names: Sequence[str]) -> dict[int, str]:
        """The control tokens and tags with these names."""
        found = await self._vocabulary.resolved(lambda: [(self._written.single_token(name), name) for name in names])
        return {token: name for token, name in found if token is not None}

    async def _have_pictures(self, segments: Sequence[Segment]) -> None:
        """Have the pictures of a prompt at hand, asking for those that were let go of."""
        for digest in {segment.digest for segment in segments if isinstance(segment, ImageSlot)}:
            if digest not in self._pictures or digest not in self._costs:
                image = await asyncio.to_thread(self.find_image, digest)
                if image is None:
                    raise EngineError("The prompt holds a picture that the engine was never given.", "Attach the picture again.")
                await self._keep(image)

    async def _keep(self, image: RgbImage) -> None:
        file = self._pictures.get(image.digest)
        if file is None:
            file = await asyncio.to_thread(as_file, image, _MOST_SIDE, _PICTURE_BYTES)
            self._pictures.put(image.digest, file)
        if image.digest not in self._costs:
            self._costs[image.digest] = await self._cost(file)

    async def _cost(self, file: PictureFile) -> int:
        """Tokens of a picture: of a message with nothing else in it, without those of the text that the server puts around it."""
        url = {"url": data_uri(file)}
        asked = {**self._body, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]}
        counted = await self._client.post("/v1/chat/completions/input_tokens", asked)
        laid_out = await self._client.post("/apply-template", asked)
        total, prompt = member(counted, int, "input_tokens"), member(laid_out, str, "prompt")
        if total is None or prompt is None:
            raise self._client.misread("does not say how large a picture is")
        texts = [text for text in prompt.split(self._present.run) if text]
        lengths = await self._vocabulary.resolved(lambda: [len(self._vocabulary.tokenize(text, parse_special=True)) for text in texts])
        cost = total - sum(lengths) - (self._info is not None and self._info.adds_begin)
        if cost < 1:
            raise self._client.misread("does not say how large a picture is")
        return cost

    # -- slots

    async def _states(self) -> list[Slot]:
        """The slots as they are now; none where there is only one, or the server does not tell."""
        if not self._present.has_slots:
            return []
        try:
            return slots_of(await self._client.get("/slots"))
        except ServerError as error:
            if error.status not in (404, 501):
                raise
            self._model = msgspec.structs.replace(self._present, has_slots=False)
            self._slots.keeps_both = False
            return []

    async def _holds_both(self, place: Place, prompt: ServerPrompt, slot: int) -> bool:
        """Whether the present prompt stays in its slot while another one is at work; found out once, with as little as can be read."""
        present = self._slots.held(Place(place.conversation))
        if self._slots.keeps_both is None and present is not None and present.tokens is not None:
            await self._read(place, prompt, 1, slot)
            states = {state.id: state for state in await self._states()}
            self._slots.keeps_both = present.slot in states and present.is_in(states[present.slot])
            if not self._slots.keeps_both:
                self._slots.drop(place)
                await self._read(Place(place.conversation), present.prompt, len(present.prompt.units), None)
        return bool(self._slots.keeps_both)

    def _piece_end(self, prompt: ServerPrompt, at: int) -> int:
        """Where the piece that begins at a unit ends; at least one unit is in it."""
        stop, tokens = at, 0
        while stop < len(prompt.units) and (stop == at or tokens + prompt.sizes[stop] <= self._stride.tokens):
            tokens += prompt.sizes[stop]
            stop += 1
        return stop

    async def _read(self, place: Place, prompt: ServerPrompt, stop: int, slot: int | None) -> Read:
        """Have the first units of a prompt read, and nothing written."""
        body = {**self._body, **prompt.body(self._present.run, stop), "n_predict": 0, "cache_prompt": True, "response_fields": KEPT_FIELDS}
        said = await self._client.post("/completion", body if slot is None else {**body, "id_slot": slot})
        read = read_of(said)
        if read is None:
            raise self._client.misread("does not say what was read")
        units, sizes = prompt.units[:stop], prompt.sizes[:stop]
        self._slots.read(place, Held(msgspec.structs.replace(prompt, units=units, sizes=sizes), read.id_slot, read.tokens_cached))
        return read
