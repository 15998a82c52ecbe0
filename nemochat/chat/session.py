"""The chat core: one conversation, one engine, and the ONE generation loop that everything goes through.

`send`, `regenerate` and `continue_reply` differ only in the conversation that they hand to the loop and in where the new text goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from enum import Enum, auto

import msgspec

from nemochat import images
from nemochat.chat import titles
from nemochat.chat.answering import Answering
from nemochat.chat.assembly import assemble
from nemochat.chat.context import view_of
from nemochat.chat.growing import Growing
from nemochat.chat.loading import Loading
from nemochat.chat.lore import with_lore
from nemochat.chat.passages import FindPassages
from nemochat.chat.tool_choice import choose
from nemochat.chat.toolbox import Toolbox, with_tools
from nemochat.chat.values import Attachment, ChatEvent, ContextView, RoundEnded, ToolsAnswered
from nemochat.domain.chat import Chat, Entry
from nemochat.domain.events import Finished, FinishReason, Progress, TextDelta, Timings, Usage
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.messages import Conversation, ImagePart, Message, Role, TextPart, ToolCall, ToolSpec
from nemochat.domain.replies import ReplyRecord, TurnResult
from nemochat.domain.sampling import Sampling
from nemochat.domain.sanitize import sanitize
from nemochat.domain.segments import Plain, Segment
from nemochat.engine.protocol import Engine, GenerateRequest, LoadRequest
from nemochat.errors import ConversationError, EngineError, ImageError, WindowError
from nemochat.prompt import nemotron, window
from nemochat.prompt.grammar import tool_call_grammar
from nemochat.prompt.toolcalls import as_generated, parse_reply

MAX_ROUNDS = 6
"""Replies in one turn: how often the model may call tools before it has to answer."""


class _Purpose(Enum):
    """What the loop makes: a reply, the user's next words as a draft, or a title. Only a reply becomes part of the conversation."""

    REPLY = auto()
    DRAFT = auto()
    TITLE = auto()


class ChatSession:
    """A conversation with a model.

    `image_size`: the side in pixels of what the projector gets when that is fixed, else None. The conversation's value changes as
    turns are added; the user's message is in it before anything is evaluated, and what came of a reply stays in it however it ended.
    save: awaited before the engine is asked, and begun about once a second with the conversation as the reply grows. toolbox: answers the
    calls of tools; without it they end the turn. find_passages: of the conversation's documents, for each message of the user.
    holds_calls_to_schema: whether calls are held to the tools' schemas while they are written. tool_budget: tokens of the prompt that
    tools may take, 0 for no limit; when they take more, those that the user's words call for are told of.
    """

    def __init__(self, engine: Engine, request: LoadRequest, sampling: Sampling, image_size: int | None = None) -> None:
        self.sampling = sampling
        self.save: Callable[[Chat], Awaitable[None]] | None = None
        self.toolbox: Toolbox | None = None
        self.find_passages: FindPassages | None = None
        self.holds_calls_to_schema = True
        self.tool_budget = 0
        self._engine = engine
        self._request = request
        self._image_size = image_size
        self._chat = Chat()
        self._pictures: dict[str, RgbImage] = {}
        self._originals: dict[str, Original] = {}
        self._told: set[str] = set()
        self._held: tuple[Segment, ...] = ()
        self._counts: dict[Segment, int] = {}
        self._load = Loading(engine, request)
        self._is_stopped = False
        self._chosen: tuple[ToolSpec, ...] = ()
        self._grammar: tuple[tuple[ToolSpec, ...], str] = ((), "")
        self._answering: Answering | None = None

    @property
    def model_name(self) -> str:
        """What people call the model."""
        return self._request.name

    @property
    def conversation(self) -> Conversation:
        """The conversation as it stands."""
        return self._chat.conversation

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The messages with how they came to be."""
        return self._chat.entries

    @property
    def chat(self) -> Chat:
        """All of the conversation, to be put aside and given to `open_chat` later, here or in a session with another model."""
        return self._chat

    @property
    def pictures(self) -> Mapping[str, RgbImage]:
        """The pixels of every picture attached in this session, by digest."""
        return self._pictures

    @property
    def originals(self) -> Mapping[str, Original]:
        """The files of the pictures that came from one, by the digest of their pixels."""
        return self._originals

    def open_conversation(self, conversation: Conversation) -> None:
        """Go on with another conversation. Its pictures must have been attached in this session."""
        self.open_chat(Chat.of(conversation))

    def open_chat(self, chat: Chat, pictures: Mapping[str, RgbImage] | None = None) -> None:
        """Go on with another conversation, or with an edited or forked one; `pictures` are those that this session does not have yet."""
        self._chat = chat
        self._pictures.update(pictures or {})

    def start_loading(self) -> None:
        """Begin to load the model now, so that the first turn waits less; a failure is reported by the first call that needs the model."""
        self._load.start()

    async def loaded(self) -> AsyncGenerator[Progress, None]:
        """The progress of the load up to its end. Raises ModelFileError and EngineError when the model cannot be loaded."""
        async for progress in self._load.reports(lambda: self._is_stopped):
            yield progress
        await self._load.model()

    async def attach(self, picture: RgbImage, name: str = "", original: Original | None = None) -> Attachment:
        """Give the engine a picture, at its full size; `original` is its file.

        Raises ImageError when the model cannot see, EngineError when the engine fails.
        """
        pixels = picture if self._image_size is None else await asyncio.to_thread(images.fit, picture, self._image_size)
        info = await self._load.model()
        if not info.has_vision:
            hint = "Load it with its projector, or choose another model."
            raise ImageError(f"{info.name} reads text only: it cannot look at pictures.", hint)
        tokens = await self._engine.add_image(pixels)
        self._pictures[pixels.digest] = pixels
        self._told.add(pixels.digest)
        if original is not None:
            self._originals[pixels.digest] = original
        return Attachment(ImagePart(pixels.digest, name, picture.width, picture.height, tokens), pixels, tokens)

    async def prompt_sizes(self) -> list[tuple[Segment, int]]:
        """The whole prompt of the conversation, each segment with its tokens. Nothing is evaluated."""
        await self._load.model()
        segments = nemotron.lay_out(assemble(self._with_chosen_tools(self._chat)).conversation).segments
        return list(zip(segments, await self._count(segments), strict=True))

    async def tool_costs(self, specs: Sequence[ToolSpec]) -> list[int]:
        """What offering each of these tools costs in every prompt, in tokens. Raises EngineError."""
        await self._load.model()
        groups = [nemotron.tool_segments(spec) for spec in specs]
        counts = iter(await self._engine.count([segment for group in groups for segment in group]))
        return [sum(next(counts) for _ in group) for group in groups]

    async def context_view(self, draft: Message | None = None) -> ContextView:
        """How the next prompt, with `draft` at its end, would fill the window. Nothing is evaluated.

        A draft that does not fit raises nothing here: the view's numbers show it. Raises EngineError when the engine fails.
        """
        info = await self._load.model()
        return await view_of(self._with_chosen_tools(self._chat), draft, info.context_length, self._reserve, self._held, self._count)

    async def prepare(self, draft: Message, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Encode pictures and evaluate the prompt up to the end of `draft` ahead of time, so that the reply begins sooner.

        A reply that is asked for meanwhile ends it early. What does not fit is left alone. Raises EngineError.
        """
        info = await self._load.model()
        await self._tell_pictures()
        assembled = assemble(self._with_chosen_tools(self._chat.added(Entry(draft))))
        layout = nemotron.lay_out(assembled.conversation)
        size = window.measure(layout, await self._count(layout.segments))
        try:
            fit = window.fit(size, limit=info.context_length, reserve=self._reserve, first_kept=assembled.first_kept)
        except WindowError:
            return
        segments = layout.select(fit.kept)[: -len(layout.reply_head)]
        await self._engine.prepare(segments, on_progress)
        self._held = segments

    async def send(
        self, message: Message, *, asked_at: float | None = None, on_kept: Callable[[], None] = lambda: None
    ) -> AsyncGenerator[ChatEvent, None]:
        """Add a message of the user or a tool and stream the reply; the TurnResult comes last.

        `asked_at`: when Enter was pressed (time.perf_counter), if that was before this call. `on_kept`: called once the message is part of
        the conversation and saved. Raises WindowError before anything is
        evaluated, and EngineError; closing the stream early stops the engine.
        """
        asked_at = asked_at or time.perf_counter()
        self._chat = self._chat.added(Entry(await self._with_contexts(message)))
        if self.tool_budget and message.role is Role.USER:
            await self._choose_tools(message.text)
        async with contextlib.aclosing(self._turn(asked_at, on_kept=on_kept)) as events:
            async for event in events:
                yield event

    async def regenerate(self, index: int | None = None) -> AsyncGenerator[ChatEvent, None]:
        """Make another reply to the user's message at `index` (None: the last one), beside the one that is there.

        When nothing comes of it, the reply before is in its place again. Raises as `send`, and ConversationError.
        """
        asked_at = time.perf_counter()
        users = [at for at, entry in enumerate(self.entries) if entry.message.role is Role.USER and index in (None, at)]
        if not users:
            raise ConversationError("There is no message to reply to.")
        before = self._chat
        self._chat = before.cut(users[-1] + 1)
        try:
            async with contextlib.aclosing(self._turn(asked_at)) as events:
                async for event in events:
                    yield event
        finally:
            if len(self.entries) == users[-1] + 1:
                self._chat = before

    async def continue_reply(self) -> AsyncGenerator[ChatEvent, None]:
        """Let the model go on from the end of its last reply. Raises as `send`, and ConversationError."""
        asked_at = time.perf_counter()
        if not self.entries or self.entries[-1].message.role is not Role.ASSISTANT or self.entries[-1].message.excluded:
            raise ConversationError("There is no reply to continue.")
        async with contextlib.aclosing(self._turn(asked_at, continues=True)) as events:
            async for event in events:
                yield event

    async def impersonate(self) -> AsyncGenerator[ChatEvent, None]:
        """Let the model write what the user might say next. It does not become part of the conversation. Raises as `send`."""
        async with contextlib.aclosing(self._reply(time.perf_counter(), purpose=_Purpose.DRAFT)) as events:
            async for event in events:
                yield event

    async def suggest_title(self) -> str:
        """A title for the conversation by the model, in few words; "" when it finds none or is stopped. Nothing is added to it.

        It is asked at the end of the prompt as it stands, so that the KV cache of the conversation stays. Raises WindowError, EngineError.
        """
        pieces: list[str] = []
        async with contextlib.aclosing(self._reply(time.perf_counter(), purpose=_Purpose.TITLE)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    pieces.append(event.text)
                elif isinstance(event, TurnResult) and event.reason is FinishReason.CANCELLED:
                    return ""
        return titles.as_title("".join(pieces))

    async def stop(self) -> None:
        """End the reply under way; its stream closes with a TurnResult of reason CANCELLED. Nothing happens when there is none."""
        self._is_stopped = True
        if self._answering is not None:
            self._answering.stop()
        await self._engine.cancel()

    async def close(self) -> None:
        """End the engine, also in the middle of loading."""
        await self._load.close()
        await self._engine.close()

    async def _with_contexts(self, message: Message) -> Message:
        """The user's message with what belongs beside it: entries of the lorebook that fire, passages of documents."""
        message = with_lore(self._chat, message)
        if self.find_passages is None or message.role is not Role.USER or not self._chat.collections:
            return message
        return msgspec.structs.replace(message, parts=(*message.parts, *await self.find_passages(self._chat, message)))

    async def _turn(
        self, asked_at: float, *, continues: bool = False, on_kept: Callable[[], None] = lambda: None
    ) -> AsyncGenerator[ChatEvent, None]:
        """Replies until one calls no tools, with the results of the tools between them; the last TurnResult alone is given as such."""
        for left in reversed(range(MAX_ROUNDS)):
            result: TurnResult | None = None
            async with contextlib.aclosing(self._reply(asked_at, continues=continues, on_kept=on_kept)) as events:
                async for event in events:
                    if isinstance(event, TurnResult):
                        result = event
                    else:
                        yield event
            assert result is not None  # else the loop has raised
            box = self.toolbox
            if box is None or result.reason is FinishReason.CANCELLED or not left or not box.answers(self._chat):
                yield result
                return
            yield RoundEnded(result)
            self._answering = Answering(box, self._chat, self.attach)
            try:
                async with contextlib.aclosing(self._answering.runs()) as runs:
                    async for run in runs:
                        yield run
            finally:
                self._chat = self._chat.added(Entry(self._answering.message))
                stopped, self._answering = self._answering.is_stopped, None
            if stopped:
                yield msgspec.structs.replace(result, reason=FinishReason.CANCELLED)
                return
            yield ToolsAnswered()
            asked_at, continues, on_kept = time.perf_counter(), False, lambda: None

    @property
    def _sampling(self) -> Sampling:
        """The user's, with what the persona asks for."""
        wanted = msgspec.structs.asdict(self._chat.persona.sampling) if self._chat.persona is not None else {}
        return msgspec.structs.replace(self.sampling, **{name: value for name, value in wanted.items() if value is not None})

    @property
    def _reserve(self) -> int:
        """Tokens of the window that are kept free for the reply."""
        return self._sampling.max_tokens

    async def _reply(
        self,
        asked_at: float,
        *,
        continues: bool = False,
        purpose: _Purpose = _Purpose.REPLY,
        on_kept: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[ChatEvent, None]:
        """The generation loop: keep what was said, wait for the model, count, fit, generate, keep what came."""
        self._is_stopped = False
        is_reply = purpose is _Purpose.REPLY
        save = self.save if is_reply else None
        if save is not None:
            await save(self._chat)
        on_kept()
        async for progress in self._load.reports(lambda: self._is_stopped):
            yield progress
        if self._is_stopped:
            yield TurnResult("", FinishReason.CANCELLED, (), Usage(), Timings(), None, ())
            return
        info = await self._load.model()
        await self._tell_pictures()
        asking = Entry(Message(Role.USER, (TextPart(titles.QUESTION),)))
        assembled = assemble(self._with_chosen_tools(self._chat if purpose is not _Purpose.TITLE else self._chat.added(asking)))
        speaks = Role.USER if purpose is _Purpose.DRAFT else Role.ASSISTANT
        layout = nemotron.lay_out(assembled.conversation, continue_reply=continues, speaks=speaks)
        size = window.measure(layout, await self._count(layout.segments))
        fit = window.fit(size, limit=info.context_length, reserve=self._reserve, first_kept=assembled.first_kept)
        if is_reply:
            self._chat = assembled.trimmed(self._chat, fit)
        sampling = msgspec.structs.replace(self._sampling, max_tokens=titles.TOKENS) if purpose is _Purpose.TITLE else self._sampling
        grammar = self._grammar_of(assembled.conversation.tools) if is_reply and self.holds_calls_to_schema else ""
        request = GenerateRequest(layout.select(fit.kept), sampling, grammar=grammar)
        growing = Growing(save, lambda text: self._with_reply(text, continues, interrupted=True))
        pieces: list[str] = []
        first_text_at: float | None = None
        finished: Finished | None = None
        calls: tuple[ToolCall, ...] = ()
        interrupted = False
        try:
            async with contextlib.aclosing(self._engine.generate(request)) as events:
                async for event in events:
                    match event:
                        case TextDelta():
                            text = sanitize(event.text)
                            if text:
                                first_text_at = first_text_at or time.perf_counter()
                                pieces.append(text)
                                growing.grown(pieces)
                                yield TextDelta(text)
                        case Progress():
                            yield event
                        case Finished():
                            finished = event
        except EngineError:
            interrupted = True
            raise
        finally:
            if is_reply and (chat := self._with_reply("".join(pieces), continues, interrupted=interrupted)) is not None:
                self._chat = chat
                calls = chat.entries[-1].message.tool_calls
            self._held = (*request.segments, Plain("".join(pieces).strip()))
        if finished is None:
            raise EngineError("The engine ended the reply without saying why.", "Send the message again.")
        result = TurnResult(
            text="".join(pieces),
            reason=FinishReason.TOOL_CALLS if calls and finished.reason is FinishReason.STOP else finished.reason,
            tool_calls=calls,
            usage=finished.usage,
            timings=self._as_waited(finished.timings, asked_at, first_text_at),
            ttft_ms=None if first_text_at is None else (first_text_at - asked_at) * 1000,
            forgotten=assembled.indices(fit.forgotten),
        )
        if pieces and is_reply:
            self._chat = self._chat.recorded(ReplyRecord(result, request.sampling, info.name, request.segments))
        yield result

    def _with_reply(self, text: str, continues: bool, *, interrupted: bool) -> Chat | None:
        """The conversation with the reply in it, whole or partial; None for one without text."""
        last = self.entries[-1] if continues else None
        before = as_generated(last.message.parts) if last is not None else ""
        if not before + text:
            return None
        message = last.message if last is not None else Message(Role.ASSISTANT, ())
        message = msgspec.structs.replace(message, parts=parse_reply(before + text))
        if last is not None:
            return self._chat.changed(len(self.entries) - 1, msgspec.structs.replace(last, message=message, interrupted=interrupted))
        speaker = self._chat.persona.name if self._chat.persona is not None else ""
        return self._chat.added(Entry(message, interrupted=interrupted, speaker=speaker))

    async def _choose_tools(self, text: str) -> None:
        """Settle which of the offered tools the model is told of from now on."""
        offered = self._chat.frame.tools
        costs = dict(zip((spec.name for spec in offered), await self.tool_costs(offered), strict=True))
        self._chosen = choose(offered, costs, text, [spec.name for spec in self._chosen], self.tool_budget)

    def _with_chosen_tools(self, chat: Chat) -> Chat:
        """The conversation with those of its tools that the model is told of."""
        if not self.tool_budget or not self._chosen:
            return chat
        names = {spec.name for spec in self._chosen}
        return with_tools(chat, [spec for spec in chat.frame.tools if spec.name in names])

    def _grammar_of(self, tools: tuple[ToolSpec, ...]) -> str:
        """What holds the calls of these tools; made once for the same ones."""
        if self._grammar[0] != tools:
            self._grammar = (tools, tool_call_grammar(tools).text)
        return self._grammar[1]

    async def _tell_pictures(self) -> None:
        """Give the engine the conversation's pictures that were attached in another session."""
        for part in (part for message in self._chat.visible.messages for part in message.images):
            if part.digest not in self._told and part.digest in self._pictures:
                await self._engine.add_image(self._pictures[part.digest])
                self._told.add(part.digest)

    def _as_waited(self, timings: Timings, asked_at: float, first_text_at: float | None) -> Timings:
        """The engine's timings with those that only the asking side knows, so that the parts add up to the TTFT."""
        load_ms = timings.load_ms + max(0.0, (self._load.loaded_at - asked_at) * 1000)
        if self._engine.info is not None and self._engine.info is not self._load.loaded:
            # The engine had died and loaded the model again within this turn.
            self._load.loaded = self._engine.info
            load_ms += self._load.loaded.load_ms
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
