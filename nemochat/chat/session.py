"""The chat core: one conversation, one engine, and the ONE generation loop that everything goes through.

`send`, `regenerate` and `continue_reply` differ only in the conversation that they hand to the loop and in where the new text goes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from enum import Enum, auto

import msgspec

from nemochat.chat import titles
from nemochat.chat.answering import Answering
from nemochat.chat.growing import Growing
from nemochat.chat.lore import with_lore
from nemochat.chat.opened import OpenedChat
from nemochat.chat.values import ChatEvent, RoundEnded, ToolsAnswered
from nemochat.domain.chat import Chat, Entry
from nemochat.domain.events import Finished, FinishReason, Progress, TextDelta, Timings, Usage
from nemochat.domain.messages import Message, ReasoningPart, Role, TextPart, ToolCall
from nemochat.domain.replies import ModelRef, ReplyRecord, TurnResult
from nemochat.domain.sampling import Sampling
from nemochat.domain.sanitize import sanitize
from nemochat.engine.protocol import Engine, GenerateRequest, LoadRequest
from nemochat.errors import ConversationError, EngineError
from nemochat.prompt.toolcalls import as_generated, parse_reply

MAX_ROUNDS = 6
"""Replies in one turn: how often the model may call tools before it has to answer."""


class _Purpose(Enum):
    """What the loop makes: a reply, the user's next words as a draft, or a title. Only a reply becomes part of the conversation."""

    REPLY = auto()
    DRAFT = auto()
    TITLE = auto()


class ChatSession(OpenedChat):
    """A conversation with a model.

    The conversation's value changes as turns are added; the user's message is in it before anything is evaluated, and what came of a reply
    stays in it however it ended.
    """

    def __init__(self, engine: Engine, request: LoadRequest, sampling: Sampling, image_size: int | None = None) -> None:
        super().__init__(engine, request, sampling, image_size)
        self._answering: Answering | None = None

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
        if message.role is Role.USER:
            await self.tools.settle(self._chat, message.text)
        async with contextlib.aclosing(self._turn(asked_at, on_kept=on_kept)) as events:
            async for event in events:
                yield event

    async def regenerate(self, index: int | None = None, *, asked_at: float | None = None) -> AsyncGenerator[ChatEvent, None]:
        """Make another reply to the user's message at `index` (None: the last one), beside the one that is there.

        When nothing comes of it, the reply before is in its place again. `asked_at` as for `send`. Raises as that, and ConversationError.
        """
        asked_at = asked_at or time.perf_counter()
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

    async def continue_reply(self, *, asked_at: float | None = None) -> AsyncGenerator[ChatEvent, None]:
        """Let the model go on from the end of its last reply. `asked_at` as for `send`. Raises as that, and ConversationError."""
        asked_at = asked_at or time.perf_counter()
        if not self.entries or self.entries[-1].message.role is not Role.ASSISTANT or self.entries[-1].message.excluded:
            raise ConversationError("There is no reply to continue.")
        async with contextlib.aclosing(self._turn(asked_at, continues=True)) as events:
            async for event in events:
                yield event

    async def impersonate(self, *, asked_at: float | None = None) -> AsyncGenerator[ChatEvent, None]:
        """Let the model write what the user might say next. It does not become part of the conversation. Raises as `send`."""
        async with contextlib.aclosing(self._reply(asked_at or time.perf_counter(), purpose=_Purpose.DRAFT)) as events:
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
        self._load.seen()
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
        asking = Entry(Message(Role.USER, (TextPart(titles.QUESTION),)))
        asked = self.tools.in_force(self._chat if purpose is not _Purpose.TITLE else self._chat.added(asking))
        speaks = Role.USER if purpose is _Purpose.DRAFT else Role.ASSISTANT
        prompt = await self._prompt(asked, continues=continues, speaks=speaks)
        fit = prompt.fit()
        if is_reply:
            self._chat = prompt.assembled.trimmed(self._chat, fit)
        sampling = msgspec.structs.replace(self._sampling, max_tokens=titles.TOKENS) if purpose is _Purpose.TITLE else self._sampling
        grammar = self.tools.grammar_of(asked.frame.tools) if is_reply and self.holds_calls_to_schema else ""
        request = GenerateRequest(prompt.segments(fit), sampling, grammar=grammar, conversation=self.key)
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
            if interrupted:
                self._held.clear()
            else:
                self._held.replied(request.conversation, request.segments, "".join(pieces))
        if finished is None:
            raise EngineError("The engine ended the reply without saying why.", "Send the message again.")
        result = TurnResult(
            text="".join(pieces),
            reason=FinishReason.TOOL_CALLS if calls and finished.reason is FinishReason.STOP else finished.reason,
            tool_calls=calls,
            usage=finished.usage,
            timings=self._load.as_waited(finished.timings, asked_at, first_text_at),
            ttft_ms=None if first_text_at is None else (first_text_at - asked_at) * 1000,
            forgotten=prompt.assembled.indices(fit.forgotten),
        )
        if pieces and is_reply:
            self._chat = self._chat.recorded(ReplyRecord(result, request.sampling, ModelRef(info.name), request.segments))
        yield result

    def _with_reply(self, text: str, continues: bool, *, interrupted: bool) -> Chat | None:
        """The conversation with the reply in it, whole or partial; None for one without text."""
        last = self.entries[-1] if continues else None
        before = as_generated(last.message.parts) if last is not None else ""
        if not before + text:
            return None
        message = last.message if last is not None else Message(Role.ASSISTANT, ())
        thought = tuple(part for part in message.parts if isinstance(part, ReasoningPart))
        message = msgspec.structs.replace(message, parts=(*thought, *parse_reply(before + text)))
        if last is not None:
            return self._chat.changed(len(self.entries) - 1, msgspec.structs.replace(last, message=message, interrupted=interrupted))
        speaker = self._chat.persona.name if self._chat.persona is not None else ""
        return self._chat.added(Entry(message, interrupted=interrupted, speaker=speaker))
