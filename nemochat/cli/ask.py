"""``nemochat ask``: one question, its reply as it comes; requests line by line are in `jsonl`."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from nemochat.chat import ChatSession, TurnResult
from nemochat.cli.exchange import AskOptions, JsonReply, attach_pictures, stats_line
from nemochat.cli.opening import open_session
from nemochat.cli.output import StatusLine, print_json, print_note
from nemochat.cli.setup import read_setup
from nemochat.cli.stdin import is_piped, read_text
from nemochat.domain.events import Progress, TextDelta
from nemochat.domain.messages import Conversation, Message, Role, TextPart
from nemochat.errors import UsageError


def run(options: AskOptions, asked_at: float) -> None:
    """Serve the command; `asked_at` is a time.perf_counter. Raises NemochatError, and KeyboardInterrupt when the engine has ended."""
    if options.jsonl:
        from nemochat.cli.jsonl import serve

        if options.question or options.images or options.as_json:
            raise UsageError("--jsonl takes its questions from standard input.", "Put question and images into the request lines.")
        asyncio.run(serve(options))
    else:
        asyncio.run(_ask(options, asked_at))


async def _ask(options: AskOptions, asked_at: float) -> None:
    if not (options.question or options.images or is_piped()):
        raise _no_question()
    async with open_session(read_setup(options.overrides), options.model, options.mmproj) as session:
        with StatusLine() as status:
            text = await _question(options, status)
            status.show("loading the model ...")
            attached = await attach_pictures(session, options.images, options.save_pixels)
            session.open_conversation(Conversation(system=options.system))
            message = Message(Role.USER, (*(each.part for each in attached), TextPart(text)))
            result = await _stream(session, message, status, asked_at, quiet=options.as_json)
        if options.as_json:
            print_json(JsonReply.of(result, session.model_name))
        if options.stats:
            print_note(stats_line(result))


async def _question(options: AskOptions, status: StatusLine) -> str:
    """The question with the text that was piped in below it. Raises UsageError when there is nothing to ask."""
    piped = ""
    if is_piped():
        status.show("waiting for the end of standard input ...")
        piped = (await read_text()).strip()
    text = "\n\n".join(each for each in (options.question, piped) if each.strip())
    if not text and not options.images:
        raise _no_question()
    return text


def _no_question() -> UsageError:
    return UsageError("There is no question.", 'Write it behind the command: nemochat ask "What is in this picture?" -i picture.png')


async def _stream(session: ChatSession, message: Message, status: StatusLine, asked_at: float, *, quiet: bool) -> TurnResult:
    """Print the reply as it comes; what came stays printed however it ends."""
    ends_line = True
    try:
        async with aclosing(session.send(message, asked_at=asked_at)) as events:
            async for event in events:
                match event:
                    case Progress():
                        status.show_progress(event)
                    case TextDelta(text) if not quiet:
                        status.clear()
                        print(text, end="", flush=True)
                        ends_line = text.endswith("\n")
                    case TurnResult():
                        return event
    finally:
        if not ends_line:
            print(flush=True)
    raise AssertionError("a turn ends with its result or with an error")
