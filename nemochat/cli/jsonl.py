"""``nemochat ask --jsonl``: one JSON request a line in, one JSON object a line out, with one engine for all."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from nemochat.chat import Attachment, Chat, ChatSession, RoundEnded, Talk, ToolRun, ToolState, TurnResult, thought
from nemochat.chat.openai_messages import ConversationBody, decode, image_sources, to_conversation
from nemochat.chat.values import ReplyForm
from nemochat.cli.aids import Aids, open_aids
from nemochat.cli.exchange import AskOptions, JsonReply, attach_pictures, originals
from nemochat.cli.opening import open_beside, open_session
from nemochat.cli.output import StatusLine, as_shown, print_json, print_note
from nemochat.cli.setup import read_setup
from nemochat.cli.stats import Running
from nemochat.cli.stdin import read_lines
from nemochat.domain.events import FinishReason, TextDelta
from nemochat.domain.messages import Message, Role, TextPart, ToolSpec
from nemochat.domain.sampling import Source, Unset
from nemochat.domain.servers import ServedModel
from nemochat.domain.ttft import reading_of
from nemochat.errors import ConversationError, NemochatError
from nemochat.settings import SamplingSettings
from nemochat.tools.checking import complaint

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class FunctionName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a tool."""

    name: str


class ToolChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's way to name the tool that is to be called."""

    function: FunctionName
    type: Literal["function"] = "function"


class TextFormat(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Free text."""


class ObjectFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class NamedSchema(msgspec.Struct, frozen=True):
    """A JSON Schema; what else OpenAI has beside it is accepted and has no effect."""

    schema: dict[str, Any]


class SchemaFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_schema"):
    """JSON that fits a schema."""

    json_schema: NamedSchema


class JsonRequest(ConversationBody, frozen=True, kw_only=True):
    """One line: a conversation (see ConversationBody) and what to do with it.

    id: any JSON value, which stands in the answer too. question: asked after the messages, about `images` (paths from the working
    directory, or data URIs). Without it the last message must be the user's or a tool's. max_tokens, temperature, seed and stop: in place
    of the settings; "auto" leaves the first three to the model. Without system text that of --system holds. tool_choice: "auto", "none",
    "required", or the tool that has to be called, by its name or as OpenAI writes it. response_format: text, json_object or json_schema,
    as OpenAI writes them.
    """

    id: Any = msgspec.UNSET
    question: str | None = None
    images: tuple[str, ...] = ()
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=16_777_216)] | Unset | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=10)] | Unset | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=4_294_967_295)] | Unset | None = None
    stop: str | tuple[str, ...] | None = None
    tool_choice: str | ToolChoice = "auto"
    response_format: TextFormat | ObjectFormat | SchemaFormat = TextFormat()

    def sampling(self) -> SamplingSettings:
        """What this request asks of sampling. Raises ConversationError."""
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop
        if stop is not None and not all(stop):
            raise ConversationError("stop: an empty text would end every reply at once.")
        return SamplingSettings(temperature=self.temperature, seed=self.seed, max_tokens=self.max_tokens, stop=stop)

    def offered(self, tools: tuple[ToolSpec, ...]) -> tuple[ToolSpec, ...]:
        """Those of the tools that the model is told of."""
        return () if self.tool_choice == "none" else tools

    def form(self, tools: tuple[ToolSpec, ...]) -> ReplyForm:
        """What the reply has to be. Raises ConversationError for what cannot be."""
        schema = self._schema()
        if schema is not None and tools:
            raise ConversationError("response_format is for requests without tools.", 'Leave them out, or give "tool_choice": "none".')
        if self.tool_choice in ("auto", "none"):
            return ReplyForm(schema=schema)
        name = self.tool_choice.function.name if isinstance(self.tool_choice, ToolChoice) else self.tool_choice
        if not tools:
            raise ConversationError("tool_choice asks for a call, but there are no tools.")
        if isinstance(self.tool_choice, str) and name == "required":
            return ReplyForm(calls=True)
        if name not in {tool.name for tool in tools}:
            there = ", ".join(tool.name for tool in tools)
            raise ConversationError(f"tool_choice names {name}, which is none of the tools.", f"There are: {there}.")
        return ReplyForm(calls=True, tool=name)

    def _schema(self) -> dict[str, Any] | None:
        match self.response_format:
            case ObjectFormat():
                return {"type": "object"}
            case SchemaFormat(named):
                return named.schema
        return None


class JsonError(msgspec.Struct, frozen=True):
    """Printed in place of a reply; the next line is served all the same. line: its number, from 1."""

    error: str
    hint: str
    line: int


_Answered = tuple[dict[str, Any], TurnResult | None]
"""What is printed for a line, and what came of its last round; None for one that could not be served."""


class _Named(msgspec.Struct, frozen=True):
    id: Any = msgspec.UNSET


_pictures: ContextVar[list[Attachment]] = ContextVar("_pictures")
"""Those of the request that is served in this task."""
_AHEAD = 4
"""So many times as many requests as are served at once are read before the first of them is answered: a long one holds up no other."""


async def serve(options: AskOptions) -> int:
    """Answer every line of standard input until it ends, in their order; the exit code, 1 when any line could not be answered.

    Raises NemochatError only for what no line could be served with.
    """
    setup = read_setup(options.overrides)
    model = await setup.remotes.find(setup.wanted(options.model), setup.catalogue, waits=print_note) or options.model
    most = options.parallel or 1
    if most > 1 and not isinstance(model, ServedModel):
        print_note("--parallel is for models of servers: one of this machine answers one request after the other.")
        most = 1
    running = Running() if options.stats else None
    async with open_session(setup, model, options.mmproj) as session, aclosing(read_lines()) as lines, AsyncExitStack() as stack:
        aids = Aids()
        if options.has_aids:
            with StatusLine() as status:
                original = partial(_original, session)
                aids = await stack.enter_async_context(open_aids(options, setup, session, original, status))

        sessions = _Sessions(session, lambda: stack.enter_async_context(open_beside(setup, session)), most)
        serving = _Serving(options, aids, running, sessions)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(serving.print_answers())
                await serving.read(lines, group)
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        if running is not None:
            running.finish()
    return int(serving.has_failed)


def _original(session: ChatSession, number: int) -> bytes | None:
    """The file of a picture of the request that is served in this task."""
    return originals(session, _pictures.get([]))(number)


class _Sessions:
    """At most `most` sessions, each lent to one request at a time. another: opens one more, which is done only when all are lent."""

    def __init__(self, first: ChatSession, another: Callable[[], Awaitable[ChatSession]], most: int) -> None:
        self.most = most
        self._another = another
        self._idle = [first]
        self._turn = asyncio.Semaphore(most)

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[ChatSession, None]:
        """One of them, in the order in which they are asked for. Raises NemochatError when another one cannot be opened."""
        async with self._turn:
            session = self._idle.pop() if self._idle else await self._another()
            try:
                yield session
            finally:
                self._idle.append(session)


class _Serving:
    """Requests under way. Their answers are printed in the order of the requests."""

    def __init__(self, options: AskOptions, aids: Aids, running: Running | None, sessions: _Sessions) -> None:
        self._options, self._aids, self._running, self._sessions = options, aids, running, sessions
        self._room = asyncio.Semaphore(sessions.most * _AHEAD if sessions.most > 1 else 1)
        self._asked: asyncio.Queue[asyncio.Task[_Answered] | None] = asyncio.Queue()
        self.has_failed = False

    async def read(self, lines: AsyncGenerator[bytes, None], group: asyncio.TaskGroup) -> None:
        """Begin to serve each line; no more are read than there is room for."""
        number = 0
        await self._room.acquire()
        async for line in lines:
            number += 1
            line = line.removeprefix(_BYTE_ORDER_MARK)
            if not line.strip():
                print_note(f"Line {number} is empty and was skipped.")
                continue
            self._asked.put_nowait(group.create_task(self._served(number, line)))
            await self._room.acquire()
        self._asked.put_nowait(None)

    async def print_answers(self) -> None:
        """Print the answers as they come, each behind those to earlier lines."""
        while (asked := await self._asked.get()) is not None:
            told, result = await asked
            print_json(told)
            self.has_failed = self.has_failed or result is None
            if self._running is not None and result is not None:
                self._running.add(reading_of(result))
            self._room.release()

    async def _served(self, number: int, line: bytes) -> _Answered:
        try:
            request = decode(line, JsonRequest, f"line {number}")
            async with self._sessions.lent() as session:
                asked_at = time.perf_counter()
                session.reader.layers = {**session.reader.layers, Source.REQUEST: request.sampling()}
                reply, result = await _answer(session, request, self._options, self._aids, asked_at)
        except Exception as error:
            if os.environ.get("NEMOCHAT_DEBUG") and not isinstance(error, NemochatError):
                raise
            shown = as_shown(error)  # one request never costs the others, whatever is wrong with it
            return _with_id(JsonError(shown.message, shown.hint, number), _id_of(line)), None
        return _with_id(reply, request.id), result


async def _answer(
    session: ChatSession, request: JsonRequest, options: AskOptions, aids: Aids, asked_at: float
) -> tuple[JsonReply, TurnResult]:
    """One reply, and what came of its last round. Raises NemochatError."""
    shown = image_sources(request.messages)
    sources = list(dict.fromkeys([*shown, *request.images]))
    pictures = await attach_pictures(session, sources, options.save_pixels)
    _pictures.set(pictures)
    parts = {source: attachment.part for source, attachment in zip(sources, pictures, strict=True)}
    conversation = to_conversation(request, parts)
    messages = conversation.messages
    if request.question is not None or request.images:
        asked = tuple(parts[source] for source in request.images)
        messages = (*messages, Message(Role.USER, (*asked, TextPart(request.question or ""))))
    if not messages or messages[-1].role is Role.ASSISTANT:
        raise ConversationError("The request has no question.", "Give a question, or messages that end with the user's or a tool's.")
    own = {tool.name for tool in conversation.tools}
    tools = request.offered((*conversation.tools, *(tool for tool in aids.tools if tool.name not in own)))
    session.form = form = request.form(tools)
    if aids.shelf is not None:
        aids.shelf.begin()
    last = messages[-1]
    if last.role is Role.USER:
        last = msgspec.structs.replace(last, parts=(*last.parts, *await aids.beside(last.text)))
    system = conversation.system or options.system
    talk = Talk(session, Chat.of(msgspec.structs.replace(conversation, system=system, tools=tools, messages=messages[:-1])))
    runs: list[ToolRun] = []
    rounds: list[TurnResult] = []
    reasoning = ""
    async with aclosing(talk.send(last, asked_at=asked_at)) as events:
        async for event in events:
            match event:
                case RoundEnded(result):
                    rounds.append(result)
                    reasoning = ""
                case ToolRun(state=ToolState.DONE | ToolState.FAILED | ToolState.REFUSED):
                    runs.append(event)
                case TextDelta(parts=pieces):
                    reasoning += thought(pieces)
                case TurnResult():
                    if form.schema is not None and (wrong := await asyncio.to_thread(_misfit, event, form.schema)):
                        event = msgspec.structs.replace(event, unread=wrong)
                    used = aids.shelf.used if aids.shelf is not None else ()
                    return JsonReply.of(event, session.model_name, runs, used, rounds, reasoning), event
    raise AssertionError("a turn ends with its result or with an error")


def _misfit(result: TurnResult, schema: dict[str, Any]) -> str:
    """Why a reply is not the JSON that was asked for, "" when it is."""
    try:
        wrong = complaint(msgspec.json.decode(result.text), schema)
    except (msgspec.DecodeError, ValueError, RecursionError):
        is_cut = result.reason is FinishReason.LENGTH
        return "The reply was cut because it had reached its greatest length (max_tokens)." if is_cut else "The reply is no JSON."
    return f"The reply does not fit the response_format: {wrong}" if wrong else ""


def _id_of(line: bytes) -> Any:
    """The id of a request that could not be served, as far as it can be read."""
    try:
        return msgspec.json.decode(line, type=_Named).id
    except (msgspec.DecodeError, ValueError, RecursionError):
        return msgspec.UNSET


def _with_id(answer: JsonReply | JsonError, id_: Any) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(answer)
    return told if id_ is msgspec.UNSET else {"id": id_, **told}
