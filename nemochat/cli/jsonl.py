"""``nemochat ask --jsonl``: one JSON request a line in, one JSON object a line out, with one engine for all."""

from __future__ import annotations

import os
import time
from contextlib import aclosing
from typing import Annotated

import msgspec

from nemochat.chat import Chat, ChatSession, Talk, TurnResult
from nemochat.chat.openai_messages import ConversationBody, decode, image_sources, to_conversation
from nemochat.cli.exchange import AskOptions, JsonReply, attach_pictures
from nemochat.cli.opening import open_session
from nemochat.cli.output import as_shown, print_json
from nemochat.cli.setup import read_setup, sampling_of
from nemochat.cli.stats import Running
from nemochat.cli.stdin import read_lines
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.sampling import Sampling, Unset
from nemochat.domain.ttft import reading_of
from nemochat.errors import ConversationError, NemochatError


class JsonRequest(ConversationBody, frozen=True, kw_only=True):
    """One line: a conversation (see ConversationBody) and what to do with it.

    question: asked after the messages, about `images` (paths from the working directory, or data URIs). Without it the last message must be
    the user's or a tool's. max_tokens, temperature and seed: in place of the settings; "auto" leaves the first
    two to the model. Without system text that of --system holds.
    """

    question: str | None = None
    images: tuple[str, ...] = ()
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | Unset | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=10)] | Unset | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=4_294_967_295)] | None = None

    def sampling(self, standard: Sampling) -> Sampling:
        """The settings' sampling with what this request changes."""
        return standard.asking({"max_tokens": self.max_tokens, "temperature": self.temperature, "seed": self.seed})


class JsonError(msgspec.Struct, frozen=True):
    """Printed in place of a reply; the next line is served all the same."""

    error: str
    hint: str


async def serve(options: AskOptions) -> None:
    """Answer every line of standard input until it ends. Raises NemochatError only for what no line could be served with."""
    setup = read_setup(options.overrides)
    standard = sampling_of(setup.settings)
    running = Running() if options.stats else None
    async with open_session(setup, options.model, options.mmproj) as session, aclosing(read_lines()) as lines:
        number = 0
        async for line in lines:
            number += 1
            if not line.strip():
                continue
            asked_at = time.perf_counter()
            try:
                request = decode(line, JsonRequest, f"line {number}")
                result = await _answer(session, request, request.sampling(standard), options, asked_at)
            except Exception as error:
                if os.environ.get("NEMOCHAT_DEBUG") and not isinstance(error, NemochatError):
                    raise
                shown = as_shown(error)  # one request never costs the others, whatever is wrong with it
                print_json(JsonError(shown.message, shown.hint))
            else:
                print_json(JsonReply.of(result, session.model_name))
                if running is not None:
                    running.add(reading_of(result))
        if running is not None:
            running.finish()


async def _answer(session: ChatSession, request: JsonRequest, sampling: Sampling, options: AskOptions, asked_at: float) -> TurnResult:
    """One reply. Raises NemochatError."""
    shown = image_sources(request.messages)
    sources = list(dict.fromkeys([*shown, *request.images]))
    attached = await attach_pictures(session, sources, options.save_pixels)
    parts = {source: attachment.part for source, attachment in zip(sources, attached, strict=True)}
    conversation = to_conversation(request, parts)
    messages = conversation.messages
    if request.question is not None or request.images:
        pictures = tuple(parts[source] for source in request.images)
        messages = (*messages, Message(Role.USER, (*pictures, TextPart(request.question or ""))))
    if not messages or messages[-1].role is Role.ASSISTANT:
        raise ConversationError("The request has no question.", "Give a question, or messages that end with the user's or a tool's.")
    session.reader.sampling = sampling
    asked = msgspec.structs.replace(conversation, system=conversation.system or options.system, messages=messages[:-1])
    async with aclosing(Talk(session, Chat.of(asked)).send(messages[-1], asked_at=asked_at)) as events:
        async for event in events:
            if isinstance(event, TurnResult):
                return event
    raise AssertionError("a turn ends with its result or with an error")
