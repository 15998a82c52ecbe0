"""The chat core: turns of a conversation with a model, and the ONE generation loop that everything goes through.

A session holds no chat. A turn gets the conversation's value and a stop, and yields what happens and what it proposes to change
(`Proposed`); whoever owns the conversation applies that to the value as it is by then, and stores it, before asking for more.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from enum import Enum, auto

import msgspec

from nemochat.chat import summing
from nemochat.chat.cast import heard, spoken_by, stops, unknown_macros
from nemochat.chat.formats import style_of
from nemochat.chat.previews import Prompt, Sent
from nemochat.chat.reader import PromptReader
from nemochat.chat.toolbox import Toolbox, misfit
from nemochat.chat.turn import Answering, Reading, Stop, Stopped, Turn
from nemochat.chat.values import ChatEvent, ReplyForm, RoundEnded, ToolsAnswered, visible
from nemochat.domain.chat import Chat, Entry
from nemochat.domain.edits import Edit, Put, Speaks, applied, trim_between
from nemochat.domain.events import EngineEvent, Finished, FinishReason, Progress, TextDelta, Timings, Usage
from nemochat.domain.messages import Message, Role, TextPart, ToolCall, ToolCallPart
from nemochat.domain.replies import ReplyRecord, TurnResult
from nemochat.domain.sampling import Layers, Sampling
from nemochat.domain.sanitize import sanitize
from nemochat.domain.segments import Control
from nemochat.domain.servers import ServedModel
from nemochat.domain.summaries import Summary
from nemochat.domain.tools import Approval, ToolRequest
from nemochat.engine.gate import Gate
from nemochat.engine.protocol import Engine, GenerateRequest, LoadRequest, ModelInfo
from nemochat.errors import ConversationError, EngineError, NemochatError, ServerError, WindowError
from nemochat.personas.scene import Scene
from nemochat.prompt.grammar import json_grammar
from nemochat.prompt.replies import ReplyStyle
from nemochat.tools.approval import Approvals
from nemochat.tools.registry import Registry

MAX_ROUNDS = 6
"""Replies in one turn: how often the model may call tools before it has to answer."""
IDS = 2 * MAX_ROUNDS
"""Ids that a turn may need for its messages (`Chat.lent`)."""
_THOUGHT_SECONDS = 5.0
_CANCEL_SECONDS = 0.05
_CANCELS = 40
"""How often, and so how long, an engine is told to stop before its reply is left to itself."""


UNGATED = "cannot be held to tools.gate, because it does not tell how likely a call is"
"""What is said of a model whose calls no gate decides."""
_FREE = ReplyForm()


class _Purpose(Enum):
    """What the loop makes: a reply, the user's next words as a draft, a title, a summary. Only a reply becomes part of the conversation."""

    REPLY = auto()
    DRAFT = auto()
    TITLE = auto()
    SUMMARY = auto()


class ChatSession:
    """Turns with one model.

    toolbox: answers the calls of tools; without it they end the turn. holds_calls_to_schema: whether calls are held to the tools' schemas
    while they are written. gate: how likely a call has to be for the first reply of a turn to call, None leaves that to the model (see
    `Gate`). layers: as for `PromptReader`. form: what the next reply has to be. served: the server's model that this is
    with, None for one of this machine. Each turn's generator is to be read to its end: to end it early, set its stop. In `key` a turn is
    told what the engine knows the conversation by, its id in the library; "" while it has none.
    """

    def __init__(self, engine: Engine, request: LoadRequest, layers: Layers, image_size: int | None = None) -> None:
        self.reader = PromptReader(engine, request, layers, image_size)
        self.toolbox: Toolbox | None = None
        self.holds_calls_to_schema = True
        self.gate: float | None = None
        self._has_told_of_gate = False
        self.form = ReplyForm()
        self.served: ServedModel | None = None

    @property
    def model_name(self) -> str:
        """What people call the model."""
        return self.reader.model_name

    def start_loading(self) -> None:
        """Begin to load the model now, so that the first turn waits less; a failure is reported by the first call that needs the model."""
        self.reader.load.start()

    async def loaded(self) -> AsyncGenerator[Progress, None]:
        """The progress of the load up to its end. Raises ModelFileError and EngineError when the model cannot be loaded."""
        async for progress in self.reader.load.reports():
            yield progress
        await self.reader.load.model()

    async def close(self) -> None:
        """End the engine, also in the middle of loading or of a reply."""
        await self.reader.close()

    def can_gate(self, style: ReplyStyle) -> bool:
        """Whether it can be decided by probability whether a reply in this style calls a tool."""
        return bool(style.call_openings) and self.reader.engine.capabilities.can_gate

    # -- turns

    def send(
        self,
        chat: Chat,
        message: Message,
        stop: Stop,
        *,
        id_: int = 0,
        key: str = "",
        asked_at: float | None = None,
        replies: bool = True,
    ) -> AsyncGenerator[ChatEvent, None]:
        """Propose a message of the user or a tool at the end of the conversation and stream the reply; the TurnResult comes last.

        id_: the message's own where it has one (`Chat.waiting`). `asked_at`: when Enter was pressed (time.perf_counter), if that was before
        this call. replies: else nobody answers, and there is no TurnResult. In a group, `Group.speaking` replies. Raises WindowError,
        before anything is proposed, for a message that does not fit, and EngineError.
        """
        turn = Turn(chat, stop, key, asked_at or time.perf_counter())
        return self._send(turn, message, id_, replies=replies)

    def speak(self, chat: Chat, stop: Stop, *, key: str = "", asked_at: float | None = None) -> AsyncGenerator[ChatEvent, None]:
        """Let `Group.speaking` say something behind what is there, beside what was said there before. `asked_at` as for `send`. Raises as
        that, and ConversationError."""
        if not chat.entries:
            raise ConversationError("There is no message to reply to.")
        turn = Turn(chat, stop, key, asked_at or time.perf_counter())
        turn.others = sum(node.parent == chat.entries[-1].id for node in chat.aside.values())
        return self._rounds(turn)

    def regenerate(
        self, chat: Chat, stop: Stop, index: int | None = None, *, key: str = "", asked_at: float | None = None
    ) -> AsyncGenerator[ChatEvent, None]:
        """Make another reply to the user's message at `index` (None: the last one), beside the one that is there.

        The conversation changes when there is new text, not before. `asked_at` as for `send`. Raises as that, and ConversationError.
        """
        users = [at for at, entry in enumerate(chat.entries) if entry.message.role is Role.USER and index in (None, at)]
        if not users:
            raise ConversationError("There is no message to reply to.")
        return self.speak(chat.cut(users[-1] + 1), stop, key=key, asked_at=asked_at)

    def continue_reply(self, chat: Chat, stop: Stop, *, key: str = "", asked_at: float | None = None) -> AsyncGenerator[ChatEvent, None]:
        """Let the model go on from the end of its last reply. `asked_at` as for `send`. Raises as that, and ConversationError."""
        if not chat.entries or chat.entries[-1].message.role is not Role.ASSISTANT or chat.entries[-1].message.excluded:
            raise ConversationError("There is no reply to continue.")
        turn = Turn(spoken_by(chat, chat.entries[-1].speaker), stop, key, asked_at or time.perf_counter(), continues=True)
        return self._rounds(turn)

    def impersonate(self, chat: Chat, stop: Stop, *, key: str = "", asked_at: float | None = None) -> AsyncGenerator[ChatEvent, None]:
        """Let the model write what the user might say next. It does not become part of the conversation. Raises as `send`."""
        turn = Turn(chat, stop, key, asked_at or time.perf_counter())
        return self._reply(turn, _Purpose.DRAFT)

    async def suggest_title(self, chat: Chat, stop: Stop, *, key: str = "") -> str:
        """A title for the conversation by the model, in few words; "" when it finds none or is stopped. Nothing is proposed.

        It is asked at the end of the prompt as it stands, so that the KV cache of the conversation stays. Raises WindowError, EngineError.
        """
        pieces: list[str] = []
        turn = Turn(chat, stop, key, time.perf_counter())
        async with contextlib.aclosing(self._reply(turn, _Purpose.TITLE)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    pieces.append(visible(event.parts))
                elif isinstance(event, TurnResult) and event.reason is FinishReason.CANCELLED:
                    return ""
        return summing.as_title("".join(pieces))

    async def sum_up(self, chat: Chat, until: int, words: str, stop: Stop, *, key: str = "") -> Summary | None:
        """A summary by the model of what comes before the entry `until`, or of the first part of that when not all of it fits; None when it
        finds none or is stopped. Nothing is proposed.

        words: what the user wants to be kept. Where the engine can hold more than one prompt, the conversation's own place in the KV cache
        stays as it is: a turn that comes in between finds it. Raises WindowError, EngineError.
        """
        pieces: list[str] = []
        key = "" if self.reader.engine.capabilities.can_hold_next else key
        try:
            if not key:  # what is held there from before would be gone on from, not what is held of the conversation
                await stop.over(self.reader.forget(key))
            prompt, until = await stop.over(self.reader.summing(chat, until, words))
        except Stopped:
            return None
        turn, is_cut = Turn(chat, stop, key, time.perf_counter()), False
        async with contextlib.aclosing(self._reply(turn, _Purpose.SUMMARY, prompt)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    pieces.append(visible(event.parts))
                elif isinstance(event, TurnResult):
                    if event.reason is FinishReason.CANCELLED:
                        return None
                    is_cut = event.reason is FinishReason.LENGTH
        text = summing.as_summary("".join(pieces), is_cut=is_cut)
        return summing.summary_of(chat, until, prompt, text) if text else None

    # -- what turns are made of

    async def _send(self, turn: Turn, message: Message, id_: int, *, replies: bool) -> AsyncGenerator[ChatEvent, None]:
        async for progress in self.reader.load.reports(lambda: turn.stop.is_set):
            yield progress
        # Whatever it was stopped at, what was sent is said; only what does not fit is not.
        scene = self.reader.moment().scene(turn.chat)
        id_ = id_ or turn.new_id()
        entry = Entry(heard(turn.chat, message, id_, scene), id=id_, at=scene.now.timestamp())
        try:
            with_contexts = await turn.stop.over(self._with_contexts(turn.chat, entry.message, scene))
            entry = msgspec.structs.replace(entry, message=with_contexts)
            said = applied(turn.chat, turn.behind(entry))
            said = said if scene.read is None else applied(said, scene.read)
            if message.role is Role.USER:
                await turn.stop.over(self.reader.tools.settle(said, message.text))
            prompt = await turn.stop.over(self._prompt(said, shared=scene.shared))
            await turn.stop.over(prompt.sent())
        except WindowError:
            raise
        except Stopped:
            for each in (turn.behind(entry), *await self._read(turn, scene)):
                yield turn.propose(each, stores=isinstance(each, Put))
            yield _NOTHING
            return
        except NemochatError:
            for each in (turn.behind(entry), *await self._read(turn, scene)):
                yield turn.propose(each, stores=isinstance(each, Put))
            raise
        for each in (turn.behind(entry), *await self._read(turn, scene)):
            yield turn.propose(each, stores=isinstance(each, Put))
        if not replies:
            return
        async with contextlib.aclosing(self._rounds(turn, prompt)) as events:
            async for event in events:
                yield event

    async def _read(self, turn: Turn, scene: Scene | None) -> tuple[Edit, ...]:
        """What the conversation is to keep of a reading of its texts; what that changes in all chats is kept here."""
        if scene is None:
            return ()
        if scene.unknown:
            turn.notes.append(unknown_macros(scene))
        if scene.changes:
            try:
                await asyncio.to_thread(self.reader.shared.change, tuple(scene.changes))
            except NemochatError as error:
                turn.notes.append(f"{error.message} {error.hint}".strip())
            scene.changes.clear()
        return () if scene.read is None else (scene.read,)

    async def _prompt(
        self,
        chat: Chat,
        *,
        continues: bool = False,
        purpose: _Purpose = _Purpose.REPLY,
        shared: Mapping[str, str] | None = None,
    ) -> Prompt:
        """The prompt of a chat, whose pictures the engine knows then; `shared` as in `PromptReader.prompt`. Raises EngineError."""
        asking = Entry(Message(Role.USER, (TextPart(summing.TITLE_QUESTION),)))
        asked = self.reader.tools.in_force(chat.added(asking) if purpose is _Purpose.TITLE else chat)
        speaks = Role.USER if purpose is _Purpose.DRAFT else Role.ASSISTANT
        names = purpose in (_Purpose.REPLY, _Purpose.DRAFT)
        return await self.reader.prompt(asked, continues=continues, speaks=speaks, names=names, shared=shared)

    async def _with_contexts(self, chat: Chat, message: Message, scene: Scene) -> Message:
        """The user's message with what belongs beside it: entries of lorebooks that fire, passages of documents."""
        message = self.reader.with_lore(chat, message, scene)
        find = self.reader.find_passages
        if find is None or message.role is not Role.USER or not chat.collections:
            return message
        return msgspec.structs.replace(message, parts=(*message.parts, *await find(chat, message)))

    async def _rounds(self, turn: Turn, prompt: Prompt | None = None) -> AsyncGenerator[ChatEvent, None]:
        """Replies until one calls no tools, with the results of the tools between them; the last TurnResult alone is given as such.

        prompt: of the first one, where it is there already.
        """
        is_told, form = False, self.form
        if turn.chat.group is not None and turn.chat.group.speaker is not None:
            yield turn.propose(Speaks(turn.chat.group.speaker.name), stores=False)
        for left in reversed(range(MAX_ROUNDS)):
            result: TurnResult | None = None
            async with contextlib.aclosing(self._reply(turn, _Purpose.REPLY, prompt, form)) as events:
                async for event in events:
                    if isinstance(event, TurnResult):
                        result = event
                    else:
                        yield event
            assert result is not None  # else the loop has raised
            box = self.toolbox or Toolbox(Registry(), Approvals(), _nobody)
            # The model is told once in a turn what is wrong with its calls, also with those that somebody else would run.
            fails = bool(result.warnings) and all(result.misfits)
            goes_on = box.answers(turn.chat) or (fails and not is_told and bool(turn.chat.frame.tools))
            is_over = result.reason is FinishReason.CANCELLED or (result.unread and result.reason is FinishReason.LENGTH)
            if is_over or not left or not goes_on:
                yield result
                return
            is_last, is_told = fails and is_told, is_told or bool(result.warnings)
            if not is_last:
                yield RoundEnded(result)
            answering = Answering(box, turn.chat, self.reader.attach, turn.stop)
            try:
                async with contextlib.aclosing(answering.runs()) as runs:
                    async for run in runs:
                        yield run
            except NemochatError:
                if answering.message.parts:
                    yield turn.propose(turn.behind(Entry(answering.message, id=turn.new_id())), stores=True)
                raise
            yield turn.propose(turn.behind(Entry(answering.message, id=turn.new_id())), stores=True)
            if turn.stop.is_set:
                yield msgspec.structs.replace(result, reason=FinishReason.CANCELLED)
                return
            if is_last:
                yield result
                return
            if not fails:
                form = msgspec.structs.replace(form, calls=False)
            yield ToolsAnswered()
            turn.asked_at, turn.continues, turn.has_answers, prompt = time.perf_counter(), False, True, None

    async def _reply(
        self, turn: Turn, purpose: _Purpose, ready: Prompt | None = None, form: ReplyForm = _FREE
    ) -> AsyncGenerator[ChatEvent, None]:
        """The generation loop: wait for the model, count, fit, generate, propose what came.

        A server that has less room than was known is asked once more, with less.
        """
        reader, stop = self.reader, turn.stop
        reader.load.seen()
        async for progress in reader.load.reports(lambda: stop.is_set):
            yield progress
        is_reply = purpose is _Purpose.REPLY
        try:
            info = await stop.over(reader.load.model())
            if ready is None:
                ready = await stop.over(self._prompt(turn.chat, continues=turn.continues, purpose=purpose))
            sent = ready.whole() if purpose is _Purpose.SUMMARY else await stop.over(ready.sent())
        except Stopped:
            yield _NOTHING
            return
        prompt, fit = ready, sent.fit
        if turn.continues and not info.leaves_open and not turn.was_too_long:
            turn.notes.append(f"{reader.model_name} cannot go on from the last word of a reply: it was asked to, in words.")
        if is_reply:
            for change in await self._read(turn, prompt.assembled.scene):
                yield turn.propose(change, stores=False)
        if is_reply and (trim := trim_between(turn.chat, prompt.assembled.trimmed(turn.chat, fit))) is not None:
            yield turn.propose(trim, stores=False)
        sampling = reader.in_force(turn.chat).sampling.another(turn.others)
        left_out = _left_out(sampling, info)
        if left_out != reader.left_out and is_reply:
            reader.left_out = left_out
            turn.notes += [f"{reader.model_name} does not take {' and '.join(left_out)}, so that is left out."] if left_out else []
        if purpose is _Purpose.TITLE:
            sampling = msgspec.structs.replace(sampling, max_tokens=summing.TITLE_TOKENS)
        elif purpose is _Purpose.SUMMARY:
            sampling = msgspec.structs.replace(sampling, max_tokens=summing.tokens_of(info.context_length))
        asked = msgspec.structs.replace(sampling, stop=(*(sampling.stop or ()), *stops(turn.chat))) if turn.chat.group else sampling
        told_of = prompt.assembled.conversation.tools
        reading = Reading(turn, style_of(reader.load.format, sent.layout), told_of, reader.clock().timestamp())
        request, opened = self._request(turn, purpose, sent, asked, form, reading.style)
        if is_reply and self.gate is not None and told_of and not self._has_told_of_gate and not self.can_gate(reading.style):
            self._has_told_of_gate = True
            turn.notes.append(f"{reader.model_name} {UNGATED}: it calls tools as it likes.")
        finished: Finished | None = None
        pieces = reading.pieces
        try:
            async with contextlib.aclosing(self._generated(request, stop)) as events:
                async for event in events:
                    match event:
                        case TextDelta():
                            if text := sanitize(event.text):
                                text, opened = f"{opened}{text}", ""
                                yield reading.push(text)
                                if is_reply and (edit := reading.grown()) is not None:
                                    yield turn.propose(edit, stores=False)
                        case Progress():
                            yield event
                        case Finished():
                            finished = event
            if (rest := reading.finish()).parts:
                yield rest
        except EngineError as error:
            reader.held.clear()
            is_too_long = isinstance(error, ServerError) and error.is_length
            if is_too_long and not turn.was_too_long and not pieces and purpose is not _Purpose.SUMMARY:
                turn.was_too_long = True
                turn.notes.append(f"{error.message} The oldest messages were left out, and it was asked again.")
                async with contextlib.aclosing(self._reply(turn, purpose, None, form)) as again:
                    async for each in again:
                        yield each
                return
            if is_reply and (edit := reading.put(is_interrupted=True)) is not None:
                yield turn.propose(edit, stores=True)
            raise
        said = "".join(pieces)
        reader.held.replied(request.conversation, request.segments, said.removeprefix(request.grammar_trigger) if form.calls else said)
        if finished is None:
            raise EngineError("The engine ended the reply without saying why.", "Send the message again.")
        if reading.thought is not None:
            with contextlib.suppress(EngineError, TimeoutError):  # how long the thought was is worth less than the reply
                async with asyncio.timeout(_THOUGHT_SECONDS):
                    reading.thought = msgspec.structs.replace(reading.thought, tokens=await reader.tokens_in(reading.thought.text))
        edit = reading.put() if is_reply else None
        calls: tuple[ToolCall, ...] = edit.entry.message.tool_calls if edit is not None else ()
        parts = edit.entry.message.parts if edit is not None else ()
        is_unread = any(isinstance(part, ToolCallPart) and not part.calls for part in parts)
        tools = turn.chat.frame.tools
        result = TurnResult(
            text=reading.text,
            reason=FinishReason.TOOL_CALLS if calls and finished.reason is FinishReason.STOP else finished.reason,
            tool_calls=calls,
            usage=finished.usage,
            timings=reader.load.as_waited(finished.timings, turn.asked_at, reading.first_at),
            ttft_ms=turn.ms_until(reading.first_text_at),
            first_thought_ms=turn.ms_until(reading.first_thought_at),
            is_all_thought=reading.thought is not None and reading.first_text_at is None,
            forgotten=prompt.assembled.forgotten(fit.forgotten),
            misfits=await asyncio.to_thread(lambda: tuple(misfit(call, tools) for call in calls)) if calls and tools else (),
            unread=_UNREAD.get(finished.reason, _UNREAD[FinishReason.STOP]) if is_unread else "",
            note=" ".join(turn.notes),
            call_chance=finished.call_chance,
            gate=request.gate.threshold if request.gate is not None else None,
        )
        if edit is not None:
            if pieces:
                record = ReplyRecord(result, sampling, reader.model, request.segments)
                edit = Put(msgspec.structs.replace(edit.entry, record=record), edit.after)
            yield turn.propose(edit, stores=True)
        yield result

    def _request(
        self, turn: Turn, purpose: _Purpose, sent: Sent, sampling: Sampling, form: ReplyForm, style: ReplyStyle
    ) -> tuple[GenerateRequest, str]:
        """What is asked of the engine, and the text that the prompt opens the reply with.

        Whether a reply is what it has to be is looked at when it is there: an engine that takes messages has its own ways to hold it to
        that, and others may have none.
        """
        tools, engine, format_ = self.reader.tools, self.reader.engine, self.reader.load.format
        told_of, segments = sent.layout.conversation.tools, sent.layout.segments
        forces = form.calls and bool(told_of)
        if engine.info is not None and engine.info.takes_messages:
            thinks = False if purpose in (_Purpose.TITLE, _Purpose.SUMMARY) else sent.asked.thinks
            asked = msgspec.structs.replace(sent.asked, thinks=thinks, calls=forces, tool=form.tool if forces else "", schema=form.schema)
            return GenerateRequest(segments, sampling, "", style.trigger, turn.key, format_.stops, style.markers, asked), ""
        opened = style.forced_call if forces else ""
        grammar, trigger = "", opened or style.trigger
        if opened:
            segments = (*segments, Control(opened))
            grammar = tools.grammar_of(tools.forced(told_of, form.tool))
        elif form.schema is not None:
            grammar, trigger = json_grammar(form.schema).text, ""
        elif purpose is _Purpose.REPLY and self.holds_calls_to_schema and trigger:
            grammar = tools.grammar_of(told_of)
        if not engine.capabilities.can_hold_to_grammar:
            grammar = ""
        gate = self._gate(turn, style) if purpose is _Purpose.REPLY and told_of and not forces and form.schema is None else None
        return GenerateRequest(segments, sampling, grammar, trigger, turn.key, format_.stops, style.markers, None, gate), opened

    def _gate(self, turn: Turn, style: ReplyStyle) -> Gate | None:
        """What decides whether a reply calls a tool, or only looks how likely that is. Not behind what was said already, nor once tools
        have answered: the user's message is what wants a tool, or does not."""
        if turn.continues or turn.has_answers or not self.can_gate(style):
            return None
        thinks = style.begins_in_reasoning
        return Gate(style.call_openings, self.gate, style.text[0].strip(), style.reasoning, thinks, style.calls_first)

    async def _generated(self, request: GenerateRequest, stop: Stop) -> AsyncGenerator[EngineEvent, None]:
        """What the engine makes of a request, up to the end or until the stop has reached it."""
        if stop.is_set:
            yield Finished(FinishReason.CANCELLED, Usage(), Timings())
            return

        step: asyncio.Future[EngineEvent] | None = None
        is_left = False

        async def cancel() -> None:
            # The stop may come while the request still waits for another one to make way, which is then cancelled in its place.
            nonlocal is_left
            await stop.wait()
            for _ in range(_CANCELS):
                await self.reader.engine.cancel()
                await asyncio.sleep(_CANCEL_SECONDS)
            is_left = True
            if step is not None:
                step.cancel()

        cancelling = asyncio.create_task(cancel())
        try:
            async with contextlib.aclosing(self.reader.engine.generate(request)) as events:
                while not is_left:
                    step = asyncio.ensure_future(anext(events))
                    yield await step
        except StopAsyncIteration:
            return
        except asyncio.CancelledError:
            if not is_left:
                raise
        finally:
            cancelling.cancel()
        yield Finished(FinishReason.CANCELLED, Usage(), Timings())


def _left_out(sampling: Sampling, info: ModelInfo) -> tuple[str, ...]:
    """What is asked for and cannot be asked of the engine. Whether the model thinks is said in the prompt."""
    if info.takes_sampling is None:
        return ()
    asked = (name for name, value in msgspec.structs.asdict(sampling).items() if value not in (None, (), {}))
    return tuple(name for name in asked if name not in (*info.takes_sampling, "think"))


_UNREAD = {
    FinishReason.STOP: "The model wrote a call that cannot be read, so it did not run.",
    FinishReason.LENGTH: "A call was cut because the reply had reached its greatest length (max_tokens), so it did not run.",
    FinishReason.CANCELLED: "A call was cut because the reply was stopped, so it did not run.",
}


async def _nobody(_: ToolRequest) -> Approval:
    """Where there is no toolbox there is nobody to ask."""
    return Approval.REFUSED


_NOTHING = TurnResult("", FinishReason.CANCELLED, (), Usage(), Timings(), None, ())
"""What comes of a turn that is stopped before the engine has it."""
