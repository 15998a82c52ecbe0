"""What both forms of ``ask`` share: their options, pictures on the way in, and how a reply is printed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from nemochat.chat import Attachment, ChatSession, ToolRun, ToolState, TurnResult
from nemochat.chat.pictures import OpenedPicture, check_room, open_picture, picture_name
from nemochat.domain.events import FinishReason
from nemochat.domain.messages import ToolCall
from nemochat.domain.ttft import Reading, reading_of
from nemochat.errors import UsageError
from nemochat.files import make_missing


class AskOptions(msgspec.Struct, frozen=True):
    """The command line of ``ask``. `overrides`: settings by group, only those that were given. yes_tools: offered and run unasked.

    parallel: how many requests of `jsonl` are under way at once, with a model of a server.
    """

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
    tools: tuple[str, ...] = ()
    yes_tools: tuple[str, ...] = ()
    documents: tuple[Path, ...] = ()
    collections: tuple[str, ...] = ()
    parallel: int | None = None

    @property
    def has_aids(self) -> bool:
        """Whether the model gets tools or documents."""
        return bool(self.tools or self.yes_tools or self.documents or self.collections)


class Source(msgspec.Struct, frozen=True):
    """A passage that the model was given. locator: the page, heading or line, "" when not known. place: the path of the document."""

    document: str
    locator: str
    score: float
    place: str
    text: str

    def in_words(self) -> str:
        """As it stands behind a reply."""
        return f"{self.document}, {self.locator}" if self.locator else self.document


class JsonToolRun(msgspec.Struct, frozen=True):
    """A call that was answered. state: "done", "failed" or "refused"; result: what the model read of it."""

    name: str
    arguments: dict[str, Any]
    result: str
    state: ToolState


class JsonCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call that nobody has answered. warning: why it is not to be run as it is; left out when it may be."""

    name: str
    arguments: dict[str, Any]
    id: str
    warning: str = ""


class JsonTimings(msgspec.Struct, frozen=True):
    """Milliseconds; load_ms is what this request waited for the model. All but decode_ms add up to the TTFT.

    encode_ms, prefill_ms: null where a server does not tell them; they are in first_token_ms then.
    """

    load_ms: float
    encode_ms: float | None
    prefill_ms: float | None
    first_token_ms: float
    decode_ms: float

    @classmethod
    def of(cls, reading: Reading) -> JsonTimings:
        """To microseconds."""
        load, encode, prefill, first, decode = (round(each, 3) for each in (*reading.parts, reading.decode_ms))
        return cls(load, encode if reading.is_split else None, prefill if reading.is_split else None, first, decode)


class JsonStats(msgspec.Struct, frozen=True):
    """How one reply was made (see `nemochat.domain.ttft`). What was not measured is null."""

    cold: bool
    ttft_ms: float | None
    timings: JsonTimings
    itl_ms: float | None
    tokens_per_second: float | None
    prefill_per_second: float | None
    reused_tokens: int
    evaluated_tokens: int
    image_tokens: int
    completion_tokens: int
    encoded_images: int
    first_thought_ms: float | None

    @classmethod
    def of(cls, reading: Reading) -> JsonStats:
        """Times to microseconds."""
        return cls(
            cold=reading.is_cold,
            ttft_ms=_rounded(reading.ttft_ms),
            timings=JsonTimings.of(reading),
            itl_ms=_rounded(reading.itl_ms),
            tokens_per_second=_rounded(reading.tokens_per_second),
            prefill_per_second=_rounded(reading.prefill_per_second),
            reused_tokens=reading.reused_tokens,
            evaluated_tokens=reading.evaluated_tokens,
            image_tokens=reading.image_tokens,
            completion_tokens=reading.completion_tokens,
            encoded_images=reading.encoded_images,
            first_thought_ms=_rounded(reading.first_thought_ms),
        )


class JsonReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What ``--json`` prints, and ``--jsonl`` for each line. Counts are tokens; ttft_ms is null when there was no text.

    When tools were called, all but tool_runs, sources and stats is about the last reply, and tool_calls are those that nobody answered.
    warnings: a sentence for each call of the last reply that is not to be run: it does not fit, was cut, or cannot be read. Left out when
    there is none. reasoning: what the model thought before it spoke; text is without it, and ttft_ms is to the text: first_thought_ms is
    to the thought. note: what else is to be known of the turn. call_chance: how likely the model was to call a tool, where the
    turn's first reply began and some were offered.
    stats: of each reply of the turn, those that called tools before the last one; the first one's TTFT is what the user waited for.
    """

    text: str
    finish_reason: FinishReason
    tool_calls: tuple[JsonCall, ...]
    model: str
    prompt_tokens: int
    image_tokens: int
    reused_tokens: int
    evaluated_tokens: int
    completion_tokens: int
    ttft_ms: float | None
    timings: JsonTimings
    forgotten_messages: int
    tool_runs: tuple[JsonToolRun, ...]
    sources: tuple[Source, ...]
    stats: tuple[JsonStats, ...]
    warnings: tuple[str, ...] = ()
    reasoning: str = ""
    note: str = ""
    first_thought_ms: float | None = None
    call_chance: float | None = None

    @classmethod
    def of(
        cls,
        result: TurnResult,
        model: str,
        runs: Iterable[ToolRun] = (),
        sources: Iterable[Source] = (),
        rounds: Iterable[TurnResult] = (),
        reasoning: str = "",
    ) -> JsonReply:
        """The result of a turn with this model, times to microseconds. rounds: the replies that called tools."""
        usage, reading = result.usage, reading_of(result)
        replies = (*rounds, result)
        return cls(
            text=result.text,
            finish_reason=result.reason,
            tool_calls=tuple(
                JsonCall(call.name, call.arguments, call.id, wrong)
                for call, wrong in itertools.zip_longest(result.tool_calls, result.misfits, fillvalue="")
                if isinstance(call, ToolCall)
            ),
            warnings=result.warnings,
            model=model,
            prompt_tokens=usage.prompt_tokens,
            image_tokens=usage.image_tokens,
            reused_tokens=usage.reused_tokens,
            evaluated_tokens=usage.evaluated_tokens,
            completion_tokens=usage.completion_tokens,
            ttft_ms=_rounded(reading.ttft_ms),
            timings=JsonTimings.of(reading),
            forgotten_messages=len(result.forgotten),
            tool_runs=tuple(JsonToolRun(run.name, run.arguments, run.result or "", run.state) for run in runs),
            sources=tuple(sources),
            stats=tuple(JsonStats.of(reading_of(each)) for each in replies),
            reasoning=reasoning.strip(),
            note=result.note,
            first_thought_ms=_rounded(reading.first_thought_ms),
            call_chance=replies[0].call_chance,
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


async def attach_pictures(session: ChatSession, sources: Sequence[str], save_pixels: Path | None = None) -> list[Attachment]:
    """Read pictures (paths or data URIs) beside the loading of the model, give them to the engine, and write out their final pixels."""
    pictures: list[OpenedPicture] = []
    for source in sources:
        pictures.append(await asyncio.to_thread(open_picture, source))
        check_room(picture.image for picture in pictures)
    attached = [
        await session.reader.attach(picture.image, picture_name(source), picture.original)
        for picture, source in zip(pictures, sources, strict=True)
    ]
    if save_pixels is not None:
        for attachment in attached:
            await asyncio.to_thread(_save_pixels, session, attachment, save_pixels)
    return attached


def originals(session: ChatSession, pictures: Sequence[Attachment]) -> Callable[[int], bytes | None]:
    """The file of a picture by its number among `pictures`, as they are when it is asked for; None where there is none."""

    def original(number: int) -> bytes | None:
        if not 0 < number <= len(pictures):
            return None
        file = session.reader.album.original(pictures[number - 1].part.digest)
        return file.data if file is not None else None

    return original


def _save_pixels(session: ChatSession, attachment: Attachment, folder: Path) -> None:
    """Write the pixels as a PNG named after the picture and its digest, so that no two pictures share a file."""
    from nemochat.images import save_png

    try:
        make_missing(folder)
    except OSError as error:
        raise UsageError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    pixels = session.reader.seen(attachment.part.digest) or attachment.pixels
    save_png(pixels, folder / f"{Path(attachment.part.name).stem}-{attachment.part.digest[:8]}.png")
