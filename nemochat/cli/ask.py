"""``nemochat ask``: one question, its reply as it comes; requests line by line are in `jsonl`."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from typing import TYPE_CHECKING

from nemochat.chat import Attachment, Chat, ChatSession, Talk, TurnResult
from nemochat.cli.exchange import AskOptions, JsonReply, attach_pictures, originals
from nemochat.cli.opening import open_session
from nemochat.cli.output import StatusLine, print_json
from nemochat.cli.replying import ReplyPrinter
from nemochat.cli.setup import Setup, read_setup
from nemochat.cli.stdin import is_piped, read_text
from nemochat.domain.messages import Conversation, Message, Role, TextPart
from nemochat.domain.ttft import reading_of
from nemochat.errors import UsageError

if TYPE_CHECKING:
    from nemochat.cli.aids import Aids


def run(options: AskOptions, asked_at: float) -> int:
    """Serve the command; the exit code. `asked_at` is a time.perf_counter.

    Raises NemochatError, and KeyboardInterrupt when the engine has ended.
    """
    if options.jsonl:
        from nemochat.cli.jsonl import serve

        if options.question or options.images or options.as_json:
            raise UsageError("--jsonl takes its questions from standard input.", "Put the question and the images into the request lines.")
        return asyncio.run(serve(options))
    if options.parallel is not None:
        raise UsageError("--parallel is for the requests of --jsonl.", "Leave it out for one question.")
    asyncio.run(_ask(options, asked_at))
    return 0


async def _ask(options: AskOptions, asked_at: float) -> None:
    if not (options.question or options.images or is_piped()):
        raise _no_question()
    setup = read_setup(options.overrides)
    async with open_session(setup, options.model, options.mmproj) as session, AsyncExitStack() as stack:
        with StatusLine() as status:
            text, waited = await _question(options, status)
            pictures: list[Attachment] = []
            aids = await stack.enter_async_context(_aids(options, setup, session, pictures, status)) if options.has_aids else None
            contexts = await aids.beside(options.question or text) if aids is not None else ()
            status.show("loading the model ...")
            pictures += await attach_pictures(session, options.images, options.save_pixels)
            talk = Talk(session, Chat.of(Conversation(system=options.system, tools=aids.tools if aids is not None else ())))
            message = Message(Role.USER, (*(each.part for each in pictures), TextPart(text), *contexts))
            printer = ReplyPrinter(status, is_quiet=options.as_json, hides_calls=session.toolbox is not None)
            result = await _stream(talk, message, printer, asked_at + waited)
        _tell(options, session, printer, result, aids)


def _aids(
    options: AskOptions, setup: Setup, session: ChatSession, pictures: list[Attachment], status: StatusLine
) -> AbstractAsyncContextManager[Aids]:
    """Tools and documents; `pictures` are those that are attached by the time that a tool looks at one."""
    from nemochat.cli.aids import open_aids

    return open_aids(options, setup, session, originals(session, pictures), status)


def _tell(options: AskOptions, session: ChatSession, printer: ReplyPrinter, result: TurnResult, aids: Aids | None) -> None:
    """What is printed behind the reply."""
    shelf = aids.shelf if aids is not None else None
    if options.as_json:
        used = shelf.used if shelf is not None else ()
        print_json(JsonReply.of(result, session.model_name, printer.runs, used, printer.rounds, printer.thought))
    else:
        printer.tell_unanswered(result)
        if shelf is not None:
            from nemochat.cli.aids import tell_sources

            tell_sources(shelf)
    if options.stats:
        from nemochat.cli.stats import tell

        tell(reading_of(each) for each in (*printer.rounds, result))


async def _question(options: AskOptions, status: StatusLine) -> tuple[str, float]:
    """The question with the text that was piped in below it, and the seconds until that had come: the asking took so long, no reply.

    Raises UsageError when there is nothing to ask.
    """
    piped, waited = "", 0.0
    if is_piped():
        status.show("waiting for the end of standard input ...")
        began = time.perf_counter()
        piped = (await read_text(status.clear)).strip()
        waited = time.perf_counter() - began
    text = "\n\n".join(each for each in (options.question, piped) if each.strip())
    if not text and not options.images:
        raise _no_question()
    return text, waited


def _no_question() -> UsageError:
    return UsageError("There is no question.", 'Write it behind the command: nemochat ask "What is in this picture?" -i picture.png')


async def _stream(talk: Talk, message: Message, printer: ReplyPrinter, asked_at: float) -> TurnResult:
    """Print the reply as it comes; what came stays printed however it ends."""
    try:
        async with aclosing(talk.send(message, asked_at=asked_at)) as events:
            async for event in events:
                if isinstance(event, TurnResult):
                    return event
                printer.show(event)
    finally:
        printer.end()
    raise AssertionError("a turn ends with its result or with an error")
