"""The chat core: one conversation, one engine, and the ONE generation loop that everything goes through.

`send`, `regenerate` and `continue_reply` differ only in the conversation that they hand to the loop and in where the new text goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence

import msgspec

from nemochat import images
from nemochat.domain.events import Finished, FinishReason, Progress, Stage, TextDelta, Timings, Usage
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Conversation, ImagePart, Message, Role, ToolCall, ToolCallPart
from nemochat.domain.sampling import Sampling
from nemochat.domain.sanitize import sanitize
from nemochat.domain.segments import Segment
from nemochat.engine.protocol import Engine, GenerateRequest, LoadRequest, ModelInfo
from nemochat.errors import ConversationError, EngineError, ImageError, NemochatError
from nemochat.prompt import nemotron, window
from nemochat.prompt.toolcalls import CLOSE_TAG, OPEN_TAG, parse_reply

_LOAD_REPORT_SECONDS = 0.1


class Attachment(msgspec.Struct, frozen=True):
    """A picture that the engine knows: the part for a message, the very pixels that the model gets, and their cost in tokens."""

    part: ImagePart
    pixels: RgbImage
    tokens: int


class TurnResult(msgspec.Struct, frozen=True):
    """The last event of a turn: what was said and what it cost.

    text: exactly as generated, tool-call tags included, without terminal escapes. tool_calls: those of this reply that could be read.
    timings: as the user waited: load_ms is the time this turn waited for the model to load, first_token_ms what was left of the
    TTFT after load, encode and prefill. ttft_ms: from Enter to the first text, None when there was no text.
    forgotten: indices into the conversation's messages that the model did not see.
    """

    text: str
    reason: FinishReason
    tool_calls: tuple[ToolCall, ...]
    usage: Usage
    timings: Timings
    ttft_ms: float | None
    forgotten: tuple[int, ...]


ChatEvent = Progress | TextDelta | TurnResult


class ChatSession:
    """A conversation with a model.

    `image_size`: the side in pixels of what the projector gets when that is fixed, else None. The conversation's value changes as
    turns are added; the user's message is in it before anything is evaluated, and what came of a reply stays in it however it ended.
    """

    def __init__(self, engine: Engine, request: LoadRequest, sampling: Sampling, image_size: int | None = None) -> None:
        self.sampling = sampling
        self._engine = engine
        self._request = request
        self._image_size = image_size
        self._conversation = Conversation()
        self._first_kept = 0
        self._counts: dict[Segment, int] = {}
        self._loading: asyncio.Task[ModelInfo] | None = None
        self._load_progress = Progress(Stage.LOAD, 0, 1000)
        self._loaded: ModelInfo | None = None
        self._loaded_at = 0.0

    @property
    def model_name(self) -> str:
        """What people call the model."""
        return self._request.name

    @property
    def conversation(self) -> Conversation:
        """The conversation as it stands."""
        return self._conversation

    def open_conversation(self, conversation: Conversation) -> None:
        """Go on with another conversation, or with an edited or forked one. Its pictures must have been attached in this session."""
        self._conversation = conversation
        self._first_kept = 0

    def start_loading(self) -> None:
        """Begin to load the model now, so that the first turn waits less; a failure is reported by the first call that needs the model."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())

    async def attach(self, picture: RgbImage, name: str = "") -> Attachment:
        """Give the engine a picture. Raises ImageError when the model cannot see, EngineError when the engine fails."""
        pixels = picture if self._image_size is None else await asyncio.to_thread(images.fit, picture, self._image_size)
        info = await self._model()
        if not info.has_vision:
            hint = "Load it with its projector, or choose another model."
            raise ImageError(f"{info.name} reads text only: it cannot look at pictures.", hint)
        tokens = await self._engine.add_image(pixels)
        return Attachment(ImagePart(pixels.digest, name), pixels, tokens)

    async def prompt_sizes(self) -> list[tuple[Segment, int]]:
        """The whole prompt of the conversation, each segment with its tokens. Nothing is evaluated."""
        await self._model()
        segments = nemotron.lay_out(self._conversation).segments
        return list(zip(segments, await self._count(segments), strict=True))

    async def send(self, message: Message, *, asked_at: float | None = None) -> AsyncGenerator[ChatEvent, None]:
        """Add a message of the user or a tool and stream the reply; the TurnResult comes last.

        `asked_at`: when Enter was pressed (time.perf_counter), if that was before this call. Raises WindowError before anything is
        evaluated, and EngineError; closing the stream early stops the engine.
        """
        asked_at = asked_at or time.perf_counter()
        self._conversation = msgspec.structs.replace(self._conversation, messages=(*self._conversation.messages, message))
        async with contextlib.aclosing(self._reply(asked_at)) as events:
            async for event in events:
                yield event

    async def regenerate(self) -> AsyncGenerator[ChatEvent, None]:
        """Take back everything after the user's last message and make another reply. Raises as `send`, and ConversationError."""
        asked_at = time.perf_counter()
        messages = self._conversation.messages
        last_user = max((index for index, message in enumerate(messages) if message.role is Role.USER), default=None)
        if last_user is None:
            raise ConversationError("There is no message to reply to.")
        self._conversation = msgspec.structs.replace(self._conversation, messages=messages[: last_user + 1])
        async with contextlib.aclosing(self._reply(asked_at)) as events:
            async for event in events:
                yield event

    async def continue_reply(self) -> AsyncGenerator[ChatEvent, None]:
        """Let the model go on from the end of its last reply. Raises as `send`, and ConversationError."""
        asked_at = time.perf_counter()
        if not self._conversation.messages or self._conversation.messages[-1].role is not Role.ASSISTANT:
            raise ConversationError("There is no reply to continue.")
        async with contextlib.aclosing(self._reply(asked_at, continues=True)) as events:
            async for event in events:
                yield event

    async def close(self) -> None:
        """End the engine, also in the middle of loading."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        await self._engine.close()

    async def _reply(self, asked_at: float, *, continues: bool = False) -> AsyncGenerator[ChatEvent, None]:
        """The generation loop: wait for the model, count, fit, generate, keep what came."""
        async for progress in self._load_reports():
            yield progress
        info = await self._model()
        layout = nemotron.lay_out(self._conversation, continue_reply=continues)
        size = window.measure(layout, await self._count(layout.segments))
        fit = window.fit(size, limit=info.context_length, reserve=self.sampling.max_tokens, first_kept=self._first_kept)
        self._first_kept = fit.first_kept
        request = GenerateRequest(layout.select(fit.kept), self.sampling)
        pieces: list[str] = []
        first_text_at: float | None = None
        finished: Finished | None = None
        try:
            async with contextlib.aclosing(self._engine.generate(request)) as events:
                async for event in events:
                    match event:
                        case TextDelta():
                            text = sanitize(event.text)
                            if text:
                                first_text_at = first_text_at or time.perf_counter()
                                pieces.append(text)
                                yield TextDelta(text)
                        case Progress():
                            yield event
                        case Finished():
                            finished = event
        finally:
            calls = self._keep("".join(pieces), continues=continues)
        if finished is None:
            raise EngineError("The engine ended the reply without saying why.", "Send the message again.")
        yield TurnResult(
            text="".join(pieces),
            reason=FinishReason.TOOL_CALLS if calls and finished.reason is FinishReason.STOP else finished.reason,
            tool_calls=calls,
            usage=finished.usage,
            timings=self._as_waited(finished.timings, asked_at, first_text_at),
            ttft_ms=None if first_text_at is None else (first_text_at - asked_at) * 1000,
            forgotten=fit.forgotten,
        )

    def _keep(self, text: str, *, continues: bool) -> tuple[ToolCall, ...]:
        """Put the reply into the conversation, whole or partial, and return its tool calls. A reply without text leaves nothing."""
        messages = self._conversation.messages
        before = ""
        if continues:
            before, messages = _as_generated(messages[-1]), messages[:-1]
        if not before + text:
            return ()
        reply = Message(Role.ASSISTANT, parse_reply(before + text))
        self._conversation = msgspec.structs.replace(self._conversation, messages=(*messages, reply))
        return reply.tool_calls

    def _as_waited(self, timings: Timings, asked_at: float, first_text_at: float | None) -> Timings:
        """The engine's timings with those that only the asking side knows, so that the parts add up to the TTFT."""
        load_ms = timings.load_ms + max(0.0, (self._loaded_at - asked_at) * 1000)
        if self._engine.info is not None and self._engine.info is not self._loaded:
            # The engine had died and loaded the model again within this turn.
            self._loaded = self._engine.info
            load_ms += self._loaded.load_ms
        if first_text_at is None:
            return msgspec.structs.replace(timings, load_ms=load_ms, first_token_ms=0.0)
        rest = (first_text_at - asked_at) * 1000 - load_ms - timings.encode_ms - timings.prefill_ms
        return msgspec.structs.replace(timings, load_ms=load_ms, first_token_ms=max(0.0, rest))

    async def _count(self, segments: Sequence[Segment]) -> list[int]:
        """Tokens of each segment; only what the last prompt did not hold is asked of the engine.

        The first one is always asked, because a begin token counts with whatever comes first.
        """
        unknown = tuple(dict.fromkeys([segments[0], *(segment for segment in segments if segment not in self._counts)]))
        known = self._counts | dict(zip(unknown, await self._engine.count(unknown), strict=True))
        self._counts = {segment: known[segment] for segment in segments}
        return [known[segment] for segment in segments]

    async def _model(self) -> ModelInfo:
        """The loaded model, waiting for it where needed. After a failure the next call tries again."""
        self.start_loading()
        assert self._loading is not None
        loading = self._loading
        try:
            return await asyncio.shield(loading)
        except NemochatError:
            self._loading = None
            raise

    async def _load(self) -> ModelInfo:
        info = await self._engine.load(self._request, self._note_progress)
        self._loaded, self._loaded_at = info, time.perf_counter()
        return info

    def _note_progress(self, progress: Progress) -> None:
        self._load_progress = progress

    async def _load_reports(self) -> AsyncGenerator[Progress, None]:
        """Progress of the load while it lasts."""
        self.start_loading()
        assert self._loading is not None
        shown: Progress | None = None
        while not self._loading.done():
            await asyncio.wait({self._loading}, timeout=_LOAD_REPORT_SECONDS)
            if self._load_progress != shown and not self._loading.done():
                shown = self._load_progress
                yield shown


def _as_generated(message: Message) -> str:
    """The text of a reply with its tool calls in their tags."""
    return "".join(
        f"{OPEN_TAG}{part.raw}{CLOSE_TAG}" if isinstance(part, ToolCallPart) else part.text
        for part in message.parts
        if not isinstance(part, ImagePart)
    )
