"""``nemochat render``: the exact prompt for a conversation, without running the model's layers."""

from __future__ import annotations

import asyncio
import stat
import sys
from pathlib import Path

import msgspec

from nemochat.chat.import_file import MAX_BYTES, body_of, read_body
from nemochat.chat.openai_messages import ConversationBody, image_sources, to_conversation
from nemochat.chat.pictures import picture_name
from nemochat.cli.exchange import attach_pictures
from nemochat.cli.opening import open_session
from nemochat.cli.output import print_json
from nemochat.cli.setup import read_setup
from nemochat.cli.stdin import read_pipe
from nemochat.domain.messages import ImagePart
from nemochat.domain.sanitize import sanitize
from nemochat.domain.segments import Control, ImageSlot, Segment
from nemochat.prompt import nemotron


class JsonSegment(msgspec.Struct, frozen=True):
    """A piece of the prompt. kind: control (may become special tokens), plain (never does) or image (its text is ``<image>``)."""

    kind: str
    text: str
    tokens: int


class JsonPrompt(msgspec.Struct, frozen=True):
    """What ``render --json`` prints."""

    model: str
    prompt_tokens: int
    segments: tuple[JsonSegment, ...]


def run(file: Path, model: str | None, mmproj: Path | None, *, as_json: bool) -> None:
    """Print the prompt as text, or as segments with kinds and token counts. Raises ConversationError and what loading raises."""
    body = _read(file)
    if as_json:
        asyncio.run(_print_segments(body, model, mmproj))
        return
    # As text no picture and no model is needed: a picture is <image> whatever it shows.
    images = {source: ImagePart("", picture_name(source)) for source in image_sources(body.messages)}
    prompt = nemotron.as_text(nemotron.render(to_conversation(body, images)))
    # Exact into a file or a pipe; a terminal must not act on escapes that the conversation holds.
    print(sanitize(prompt) if sys.stdout.isatty() else prompt, end="")


def _read(file: Path) -> ConversationBody:
    """A file, or what comes out of a pipe, which is waited for (Ctrl+C ends that). Raises ConversationError."""
    try:
        is_pipe = stat.S_ISFIFO(file.stat().st_mode)
    except (OSError, ValueError):
        is_pipe = False  # reading it says why
    return body_of(read_pipe(file, MAX_BYTES), file.name) if is_pipe else read_body(file)


async def _print_segments(body: ConversationBody, model: str | None, mmproj: Path | None) -> None:
    sources = list(dict.fromkeys(image_sources(body.messages)))
    async with open_session(read_setup(), model, mmproj) as session:
        attached = await attach_pictures(session, sources)
        parts = {source: attachment.part for source, attachment in zip(sources, attached, strict=True)}
        session.open_conversation(to_conversation(body, parts))
        segments = tuple(_json_segment(segment, tokens) for segment, tokens in await session.prompt_sizes())
        print_json(JsonPrompt(session.model_name, sum(segment.tokens for segment in segments), segments))


def _json_segment(segment: Segment, tokens: int) -> JsonSegment:
    if isinstance(segment, ImageSlot):
        return JsonSegment("image", nemotron.IMAGE_TAG, tokens)
    return JsonSegment("control" if isinstance(segment, Control) else "plain", segment.text, tokens)
