"""The engine for servers that take messages and lay them out by themselves. How each of them is asked is its dialect's matter.

Such a server is asked afresh each time, with the whole conversation. What it holds of it (a cache of prefixes) nobody can see; what it
says of a prompt afterwards is learnt from: what texts and pictures cost, and whether reading ahead pays.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from nemochat.domain.events import EngineEvent, Finished, FinishReason, Progress, Stage, TextDelta, Timings, Usage
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Conversation, ReasoningPart
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import ImageSlot, Plain, Segment
from nemochat.engine.lru import LruCache
from nemochat.engine.protocol import UNNAMED, Asked, Capabilities, Counts, GenerateRequest, LoadRequest, ModelInfo, Place, Prepared
from nemochat.engine.remote.estimates import Estimates, letters
from nemochat.engine.remote.pictures import PictureFile, PictureLimits, Pictures
from nemochat.errors import EngineError, ServerError

T = TypeVar("T")

_MOST_COUNTED = 1024
"""So many counts of prompts and texts are kept: the draft comes and goes, the window has two cuts, and tools stay."""
_ASKED_AT_ONCE = 4
_WINDOW = re.compile(
    r"(?:context (?:length|size|window)|maximum (?:model )?length|n_ctx|max_model_len)[^\d.]{0,40}(\d[\d,]{1,9})|> ?(\d[\d,]{1,9}) maximum",
    re.I,
)
_IN_PROMPT = re.compile(
    r"(\d[\d,]{1,9}) in the messages|messages resulted in (\d[\d,]{1,9})|(?:contains|has|passed) (\d[\d,]{1,9}) input tokens|"
    r"request \((\d[\d,]{1,9}) tokens|prompt \(length (\d[\d,]{1,9})|keep the first (\d[\d,]{1,9}) tokens",
    re.I,
)
_NO_PICTURES = re.compile(
    r"not (?:a )?multi-?modal|at most 0 \w+|unknown variant `?image_url|data required for image|content must be a string|"
    r"(?:image|vision|multi-?modal)(?! (?:format|type|size|resolution))[^.:]{0,40}"
    r"\b(?:not (?:supported|allowed|enabled)|unsupported|only supported)|"
    r"(?:not|n't|cannot) (?:support|accept|take|allow|process|handle|have)\w*(?: \w+){0,3} (?:image|picture|vision|multi-?modal)\w*"
    r"(?! (?:format|type|size|resolution|larger|of))",
    re.I,
)
"""How a server says that its model reads text only."""
_REFUSED = (400, 404, 422, 500, 501)
"""Statuses with which servers say that they do not take a field."""
_TOO_FEW = 1.25
"""By how much a prompt is larger than was thought, at least, where the server refuses one that should have fitted."""
_TOO_MUCH = 0.75
"""What is sent the next time, of what was too much for a server that does not say how much it takes."""
_JUDGED, _SURE = 64, 256
"""Tokens of a prompt from which on it can be seen whether it was read ahead, and from which on most of it has to be there."""
_QUICKER = 0.7
"""A first word after less than this share of the time that reading ahead took was read ahead."""
_MOST_DOUBTS = 3
"""So many replies may go by without a sign that reading ahead is good for anything."""


class CallDelta(msgspec.Struct, frozen=True):
    """A piece of a call. index, id: which one it belongs to, None and "" where that is not said. arguments: a piece of JSON, or all."""

    index: int | None = None
    id: str = ""
    name: str = ""
    arguments: str | dict[str, object] = ""


class Delta(msgspec.Struct, frozen=True):
    """A piece of a reply."""

    text: str = ""
    thought: str = ""
    calls: tuple[CallDelta, ...] = ()


class End(msgspec.Struct, frozen=True):
    """How a reply ended, and what of it the server tells: None and 0 for what it does not. Times in milliseconds."""

    reason: FinishReason = FinishReason.STOP
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    load_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


Files = dict[str, PictureFile]


class Dialect(Protocol):
    """How one kind of server is asked. All of it raises ServerError.

    limits: of pictures. tells_stages: as in `Capabilities`. counts: it has a tokenizer that can be asked. warms: it keeps the beginnings
    of prompts, so one may be read ahead.
    """

    limits: PictureLimits
    tells_stages: bool
    counts: bool
    warms: bool

    async def load(self, request: LoadRequest) -> ModelInfo:
        """What is known of the model; it is loaded where the server does that when it is asked to."""

    async def count(self, asked: Asked) -> int | None:
        """Tokens of a prompt without its pictures; None where it cannot be said."""

    async def count_text(self, text: str) -> int | None:
        """Tokens of a text by itself; None where it cannot be said."""

    def reply(self, asked: Asked, sampling: Sampling, files: Files) -> AsyncGenerator[Delta | End, None]:
        """A reply, its end last. Closing it closes the connection."""

    async def warm(self, asked: Asked, files: Files) -> End:
        """Have a prompt read, whose last message may still grow."""

    async def close(self) -> None:
        """Close the connections."""


class Lacking:
    """What a server turns out not to take is left out from then on: it is asked again, once for each.

    signs: how it says so, by the names of the fields of a request. fields: those that it lacks.
    """

    def __init__(self, signs: Mapping[str, re.Pattern[str]]) -> None:
        self.fields: set[str] = set()
        self._signs = signs

    async def reply(
        self, body: Callable[[], dict[str, Any]], stream: Callable[[dict[str, Any]], AsyncGenerator[Delta | End, None]]
    ) -> AsyncGenerator[Delta | End, None]:
        """The reply to a body, which is made anew without what the server lacks as long as no reply has begun. Raises ServerError."""
        while True:
            asked, has_begun = body(), False
            try:
                async with contextlib.aclosing(stream(asked)) as deltas:
                    async for delta in deltas:
                        has_begun = True
                        yield delta
                return
            except ServerError as error:
                told = (name for name, sign in self._signs.items() if name in asked and sign.search(error.message))
                lacks = next((name for name in told if name not in self.fields), None)
                if has_begun or lacks is None or error.is_length or error.status not in _REFUSED:
                    raise
                self.fields.add(lacks)


class _Warmed(msgspec.Struct, frozen=True):
    """What was read ahead, what it cost, and how long that took."""

    conversation: Conversation
    tokens: int
    seconds: float


class MessagesEngine:
    """An engine whose conversations are laid out elsewhere (see `nemochat.engine.protocol.Engine`)."""

    def __init__(self, dialect: Dialect) -> None:
        self.find_image: Callable[[str], RgbImage | None] = lambda digest: None
        self._dialect = dialect
        self._pictures = Pictures(lambda: self.find_image, dialect.limits)
        self._estimates = Estimates()
        self._counted: LruCache[bytes, int] = LruCache(_MOST_COUNTED)
        self._info: ModelInfo | None = None
        self._steps: set[asyncio.Future[Any]] = set()
        self._replies = 0
        self._warming: asyncio.Task[End] | None = None
        self._warmed: _Warmed | None = None
        self._doubts = 0
        self._is_counted = True
        """Whether the last prompt was counted by the server, which may refuse some."""

    @property
    def capabilities(self) -> Capabilities:
        """What is known of it by now."""
        counts = Counts.LEARNT if self._estimates.is_learnt else Counts.ESTIMATED
        if self._dialect.counts and self._is_counted:
            counts = Counts.EXACT
        return Capabilities(
            can_prepare=self._dialect.warms and self._doubts < _MOST_DOUBTS,
            counts=counts,
            keeps_words_apart=False,
            tells_stages=self._dialect.tells_stages,
            can_hold_to_grammar=False,
            can_gate=False,
        )

    @property
    def info(self) -> ModelInfo | None:
        """The model, None before `load`. Its window gets smaller when the server says that it is."""
        return self._info

    async def load(self, request: LoadRequest, on_progress: Callable[[Progress], None] | None = None) -> ModelInfo:
        """Ask the server for its model."""
        began = time.perf_counter()
        if on_progress is not None:
            on_progress(Progress(Stage.LOAD, 0, 0))
        info = await self._dialect.load(request)
        self._info = msgspec.structs.replace(info, load_ms=(time.perf_counter() - began) * 1000, takes_messages=True)
        return self._info

    async def add_image(self, image: RgbImage) -> int:
        """What a picture costs most likely."""
        if self._info is not None and not self._info.has_vision:
            raise EngineError("This model cannot see pictures.", "Choose another model.")
        scale = min(1.0, self._dialect.limits.side / max(image.width, image.height))
        self._estimates.saw(image.digest, round(image.width * scale) * round(image.height * scale))
        return self._estimates.picture(image.digest)

    async def count(self, segments: Sequence[Segment], asked: Asked | None = None) -> list[int]:
        """Tokens of each segment: all together what the server says of `asked`, or what is known of its prompts."""
        if asked is not None:
            return self._estimates.of(segments, await self._total(asked))
        guessed = self._estimates.of(segments)
        if not self._dialect.counts:
            return guessed
        known = await self._texts({each.text for each in segments if isinstance(each, Plain)})
        exact = (known.get(each.text) if isinstance(each, Plain) else None for each in segments)
        return [guess if count is None else count for count, guess in zip(exact, guessed, strict=True)]

    async def prepare(
        self,
        segments: Sequence[Segment],
        on_progress: Callable[[Progress], None] | None = None,
        *,
        place: Place = UNNAMED,
        asked: Asked | None = None,
    ) -> Prepared:
        """Have the server read a prompt ahead, one at a time; a reply ends it at once."""
        if asked is None or not asked.conversation.messages or not self.capabilities.can_prepare:
            return Prepared(0, 0, 0, 0.0)
        while self._warming is not None:
            await self._end_warming()
        if self._replies:
            return _NOTHING_DONE
        began = time.perf_counter()
        task = self._warming = asyncio.create_task(self._warm(asked))
        try:
            end = await task
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            return _NOTHING_DONE
        finally:
            if self._warming is task:
                self._warming = None
        seconds = time.perf_counter() - began
        tokens, cached = end.prompt_tokens or 0, min(end.cached_tokens or 0, end.prompt_tokens or 0)
        if cached >= _SURE // 2:
            self._doubts = 0
        if cached < tokens // 2 or self._warmed is None:
            self._warmed = _Warmed(asked.conversation, tokens, seconds)
        if on_progress is not None:
            on_progress(Progress(Stage.PREFILL, tokens - cached, tokens - cached))
        return Prepared(cached, tokens - cached, 0, seconds * 1000)

    async def forget(self, conversation: str) -> None:
        """Nothing is kept of a conversation here."""

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        """One reply, in the style of `prompt.messages.STYLE`."""
        asked = request.asked
        if asked is None or self._info is None:
            raise EngineError("The model is asked in words that its server does not take.", "Open the model again.")
        self._replies += 1
        try:
            await self._end_warming()
            async with contextlib.aclosing(self._reply(asked, request)) as events:
                async for event in events:
                    yield event
        except ServerError as error:
            if error.is_length:
                self._take_less(error, request)
            elif any(isinstance(each, ImageSlot) for each in request.segments) and _NO_PICTURES.search(error.message):
                raise self._blind(error) from None
            raise
        finally:
            self._replies -= 1

    async def cancel(self) -> None:
        """Leave what is being asked: its connection is closed, by which the server knows."""
        for step in self._steps:
            step.cancel()
        await self._end_warming()

    async def close(self) -> None:
        """Leave everything, and close the connections."""
        await self.cancel()
        await self._dialect.close()

    # -- within

    async def _reply(self, asked: Asked, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        began, first = time.perf_counter(), 0.0
        writing = Writing(asked)
        end = End(FinishReason.CANCELLED)
        yield Progress(Stage.SERVER, 0, 0)
        with contextlib.suppress(_Left):  # what has come until then is the reply
            files = await self._step(self._files(asked.conversation))
            async with contextlib.aclosing(self._dialect.reply(asked, request.sampling, files)) as deltas:
                while True:
                    delta = await self._step(anext(deltas))
                    if isinstance(delta, End):
                        end = delta
                        break
                    if text := writing.push(delta):
                        first = first or time.perf_counter()
                        yield TextDelta(text)
        if text := writing.finish(is_whole=end.reason in (FinishReason.STOP, FinishReason.TOOL_CALLS)):
            first = first or time.perf_counter()
            yield TextDelta(text)
        usage = self._usage(asked, request.segments, end, writing.tokens)
        self._judge(asked, end, first - began if first else 0.0)
        decode_ms = end.decode_ms or ((time.perf_counter() - first) * 1000 if first else 0.0)
        first_ms = (first - began) * 1000 if first else 0.0
        timings = Timings(end.load_ms, 0.0, end.prefill_ms, decode_ms, first_ms, is_split=self._dialect.tells_stages)
        yield Finished(end.reason, usage, timings)

    def _usage(self, asked: Asked, segments: Sequence[Segment], end: End, said: int) -> Usage:
        """What the reply has cost, by what the server says, else as near as is known."""
        text = self._counted.get(_key(asked)) if self._dialect.counts else None
        if end.prompt_tokens:
            self._estimates.learn(segments, end.prompt_tokens, text)
        pictures = sum(self._estimates.picture(each.digest) for each in segments if isinstance(each, ImageSlot))
        tokens = end.prompt_tokens or sum(self._estimates.of(segments, text))
        reused = min(end.cached_tokens or 0, tokens)
        said = said if end.completion_tokens is None else end.completion_tokens
        return Usage(tokens, min(pictures, tokens), reused, tokens - reused, said)

    def _judge(self, asked: Asked, end: End, first_seconds: float) -> None:
        """Whether a prompt that was read ahead began the quicker for it. A server that says so is believed; else the clock tells."""
        warmed, self._warmed = self._warmed, None
        if warmed is None or warmed.tokens < _JUDGED or not _begins_so(asked.conversation, warmed.conversation):
            return
        is_long = warmed.tokens >= _SURE
        if end.cached_tokens is not None:
            self._doubts = 0 if end.cached_tokens >= (warmed.tokens // 2 if is_long else 1) else _MOST_DOUBTS
        elif first_seconds:
            self._doubts = 0 if is_long and first_seconds < _QUICKER * warmed.seconds else self._doubts + 1

    def _take_less(self, error: ServerError, request: GenerateRequest) -> None:
        """A prompt was too long. What the server says of its window and of the prompt is heeded from now on, else less is sent."""
        assert self._info is not None
        thought, limit = sum(self._estimates.of(request.segments)), self._info.context_length
        named, tokens = _number(_WINDOW, error.message), _number(_IN_PROMPT, error.message)
        if tokens:
            self._estimates.learn(request.segments, tokens)
        elif named and named >= limit:
            self._estimates.learn(request.segments, max(named, round(thought * _TOO_FEW)))
        limit = min(limit, named or round(thought * _TOO_MUCH) + (request.sampling.max_tokens or 0))
        self._info = msgspec.structs.replace(self._info, context_length=max(1, limit))

    def _blind(self, error: ServerError) -> ServerError:
        """The model turns out to read text only; the chat goes on without its pictures, which it would be refused for each time."""
        assert self._info is not None
        self._info = msgspec.structs.replace(self._info, has_vision=False)
        hint = "Choose another model, or ask again without the pictures: they are left out from now on."
        return ServerError(f"{self._info.name} does not take pictures. {error.message}", hint, status=error.status)

    async def _warm(self, asked: Asked) -> End:
        return await self._dialect.warm(asked, await self._files(asked.conversation))

    async def _end_warming(self) -> None:
        warming = self._warming
        if warming is not None:
            warming.cancel()
            await asyncio.wait({warming})
            if self._warming is warming:
                self._warming = None

    async def _files(self, conversation: Conversation) -> Files:
        return await self._pictures.files([image.digest for message in conversation.messages for image in message.images])

    async def _total(self, asked: Asked) -> int | None:
        """Tokens of a prompt without its pictures, asked once; None where the server does not count."""
        if not self._dialect.counts or not (asked.conversation.messages or asked.conversation.system):
            return None
        key = _key(asked)
        total = self._counted.get(key)
        if total is None:
            total = await self._dialect.count(asked)
            self._is_counted = total is not None
            if total is not None:
                self._counted.put(key, total)
        return total

    async def _texts(self, texts: set[str]) -> dict[str, int | None]:
        """Tokens of each text by itself, a few asked at a time, each once."""
        turn = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def ask(text: str) -> tuple[str, int | None]:
            key = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
            known = self._counted.get(key)
            if known is None:
                async with turn:
                    known = await self._dialect.count_text(text)
                if known is not None:
                    self._counted.put(key, known)
            return text, known

        return dict(await asyncio.gather(*map(ask, texts)))

    async def _step(self, awaited: Awaitable[T]) -> T:
        """Something that `cancel` ends. Raises _Left then."""
        step = asyncio.ensure_future(awaited)
        self._steps.add(step)
        try:
            return await step
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise _Left from None
        except StopAsyncIteration:
            raise EngineError("The server ended the reply without saying why.", "Send the message again.") from None
        finally:
            self._steps.discard(step)


class Writing:
    """A reply as it comes, written in the style of `prompt.messages.STYLE`. tokens: about how many it has.

    A call is told when it begins, so that it is known when, and said as a whole at the end, with what stands behind it: its pieces may
    come in any order.
    """

    def __init__(self, asked: Asked) -> None:
        last = asked.conversation.messages[-1].parts[-1:] if asked.continues else ()
        self._is_thinking = bool(last) and isinstance(last[0], ReasoningPart)
        self._calls: list[_Call] = []
        self._behind = ""
        self._size = 0.0

    @property
    def tokens(self) -> int:
        """By its letters."""
        return round(self._size)

    def push(self, delta: Delta) -> str:
        """A piece of the reply, as far as it can be said."""
        text = ""
        if delta.thought:
            text += delta.thought if self._is_thinking else f"<think>{delta.thought}"
            self._is_thinking = True
        if delta.text:
            text += self._spoken() + delta.text
        self._size += letters(text)
        if self._calls:
            self._behind, text = self._behind + text, ""
        for piece in delta.calls:
            text += self._spoken() + ("" if self._calls else _OPENS)
            self._note(piece)
        return text

    def finish(self, *, is_whole: bool) -> str:
        """What is left to be said. Unless the reply came to its end, its last call is left open, so that nobody takes it for one."""
        if not self._calls:
            return ""
        *calls, last = self._calls
        whole = "".join(f"{call.written()}{_CLOSES}{_OPENS}" for call in calls)
        return f"{whole}{last.written()}{_CLOSES}{self._behind}" if is_whole else f"{whole}{last.begun()}"

    def _spoken(self) -> str:
        was_thinking, self._is_thinking = self._is_thinking, False
        return "</think>" if was_thinking else ""

    def _note(self, piece: CallDelta) -> None:
        call = self._call_of(piece)
        call.index = piece.index if call.index is None else call.index
        call.id, call.name = call.id or piece.id, call.name or piece.name
        if isinstance(piece.arguments, str):
            call.pieces.append(piece.arguments)
        else:
            call.pieces = [json.dumps(piece.arguments, ensure_ascii=False)]
        self._size += letters(call.pieces[-1])

    def _call_of(self, piece: CallDelta) -> _Call:
        """The call that a piece belongs to: by its index, else by its id; without either, a name begins another one."""
        for call in reversed(self._calls):
            if piece.index is not None and call.index == piece.index and not (piece.id and call.id and piece.id != call.id):
                return call
            if piece.index is None and piece.id and call.id == piece.id:
                return call
        last = self._calls[-1] if self._calls else None
        if last is not None and piece.index is None and not piece.id and not (piece.name and last.name):
            return last
        self._calls.append(_Call())
        return self._calls[-1]


class _Call:
    """A call that comes in pieces."""

    def __init__(self) -> None:
        self.index: int | None = None
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []

    def written(self) -> str:
        """As JSON; arguments that are none stay as they came, and are seen to be unreadable where replies are read."""
        text = "".join(self.pieces).strip() or "{}"
        with contextlib.suppress(ValueError, RecursionError):
            text = json.dumps(json.loads(text), ensure_ascii=False)
        return f"{self.begun(text)}}}"

    def begun(self, arguments: str | None = None) -> str:
        """As far as it has come."""
        said = "".join(self.pieces) if arguments is None else arguments
        return f'{{"name": {json.dumps(self.name, ensure_ascii=False)}, "arguments": {said}'


_OPENS, _CLOSES = "<tool_call>\n", "\n</tool_call>"
_NOTHING_DONE = Prepared(0, 0, 0, 0.0, is_complete=False)


class _Left(Exception):
    """What was being asked is not wanted any more."""


def _is_cancelled() -> bool:
    """Whether it is the running task itself that was cancelled, and not what it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _key(asked: Asked) -> bytes:
    """What a prompt is known by; what its reply has to be is no part of it."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(asked, calls=False, tool="", schema=None))).digest()


def _number(pattern: re.Pattern[str], text: str) -> int:
    """The number that a pattern finds, 0 for none."""
    found = pattern.search(text)
    return int(next(filter(None, found.groups())).replace(",", "")) if found else 0


def _begins_so(whole: Conversation, beginning: Conversation) -> bool:
    """Whether a conversation goes on from another one, but for the last message of that, which may have grown."""
    said = len(beginning.messages) - 1
    return (whole.system, whole.tools, whole.messages[:said]) == (beginning.system, beginning.tools, beginning.messages[:said])
