"""``nemochat ask``: one question, its reply as it comes; requests line by line are in `jsonl`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

import msgspec

from nemochat.chat import Attachment, ChatSession, TurnResult
from nemochat.chat.pictures import open_picture, picture_name
from nemochat.cli.opening import open_session
from nemochat.cli.output import StatusLine, print_json, print_note
from nemochat.cli.setup import read_setup
from nemochat.cli.stdin import is_piped, read_text
from nemochat.domain.events import FinishReason, Progress, TextDelta
from nemochat.domain.messages import Conversation, Message, Role, TextPart, ToolCall
from nemochat.errors import UsageError


class AskOptions(msgspec.Struct, frozen=True):
    """The command line of ``ask``. `overrides`: settings by group, only those that were given."""

    question: str
    images: tuple[str, ...]
    system: str
    model: str | None
    mmproj: Path | None
    overrides: Mapping[str, Mapping[str, object]]
    save_pixels: Path | None
    stats: bool
    as_json: bool
    jsonl: bool


class JsonTimings(msgspec.Struct, frozen=True):
    """Milliseconds; load_ms is what this request waited for the model."""

    load_ms: float
    encode_ms: float
    prefill_ms: float
    decode_ms: float


class JsonReply(msgspec.Struct, frozen=True):
    """What ``--json`` prints, and ``--jsonl`` for each line. Counts are tokens; ttft_ms is null when there was no text."""

    text: str
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...]
    model: str
    prompt_tokens: int
    image_tokens: int
    reused_tokens: int
    evaluated_tokens: int
    completion_tokens: int
    ttft_ms: float | None
    timings: JsonTimings
    forgotten_messages: int

    @classmethod
    def of(cls, result: TurnResult, model: str) -> JsonReply:
        """The result of a turn with this model, times rounded to microseconds."""
        usage, times = result.usage, result.timings
        return cls(
            text=result.text,
            finish_reason=result.reason,
            tool_calls=result.tool_calls,
            model=model,
            prompt_tokens=usage.prompt_tokens,
            image_tokens=usage.image_tokens,
            reused_tokens=usage.reused_tokens,
            evaluated_tokens=usage.evaluated_tokens,
            completion_tokens=usage.completion_tokens,
            ttft_ms=None if result.ttft_ms is None else round(result.ttft_ms, 3),
            timings=JsonTimings(*(round(each, 3) for each in (times.load_ms, times.encode_ms, times.prefill_ms, times.decode_ms))),
            forgotten_messages=len(result.forgotten),
        )


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


async def attach_pictures(session: ChatSession, sources: Sequence[str], save_pixels: Path | None = None) -> list[Attachment]:
    """Read pictures (paths or data URIs) beside the loading of the model, give them to the engine, and write out their final pixels."""
    pictures = [await asyncio.to_thread(open_picture, source) for source in sources]
    attached = [await session.attach(picture, picture_name(source)) for picture, source in zip(pictures, sources, strict=True)]
    if save_pixels is not None:
        for attachment in attached:
            _save_pixels(attachment, save_pixels)
    return attached


def _save_pixels(attachment: Attachment, folder: Path) -> None:
    """Write the pixels as a PNG named after the picture and their digest, so that no two pictures share a file."""
    from nemochat.images import save_png

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    save_png(attachment.pixels, folder / f"{Path(attachment.part.name).stem}-{attachment.part.digest[:8]}.png")


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


def stats_line(result: TurnResult) -> str:
    """One line: the TTFT and its parts in milliseconds, tokens reused and evaluated, and the speed of writing."""
    times, usage = result.timings, result.usage
    parts = {"load": times.load_ms, "encode": times.encode_ms, "prefill": times.prefill_ms, "first token": times.first_token_ms}
    split = ", ".join(f"{name} {value:.0f}" for name, value in parts.items())
    first = "no text" if result.ttft_ms is None else f"TTFT {result.ttft_ms:.0f} ms ({split})"
    speed = f"{usage.completion_tokens / times.decode_ms * 1000:.0f} tok/s" if times.decode_ms > 0 else "- tok/s"
    return f"{first} · {usage.reused_tokens} reused / {usage.evaluated_tokens} evaluated · {speed}"
