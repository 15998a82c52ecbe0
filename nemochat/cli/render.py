"""``nemochat render``: the exact prompt for a conversation, without running the model's layers."""

from __future__ import annotations

import asyncio
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from nemochat.chat import Chat
from nemochat.chat.formats import AUTO, NEMOTRON, speaks_nemotron
from nemochat.chat.import_file import MAX_BYTES, body_of, read_body
from nemochat.chat.openai_messages import ConversationBody, image_sources, to_conversation
from nemochat.chat.pictures import picture_name
from nemochat.cli.exchange import attach_pictures
from nemochat.cli.opening import SCRIPT_SUFFIX, open_session
from nemochat.cli.output import print_json
from nemochat.cli.setup import Setup, read_setup
from nemochat.cli.stdin import read_pipe
from nemochat.domain.messages import ImagePart
from nemochat.domain.sanitize import sanitize
from nemochat.domain.segments import Control, ImageSlot, Segment
from nemochat.domain.servers import ServedModel
from nemochat.models import gguf
from nemochat.prompt import nemotron
from nemochat.prompt.format import IMAGE_TAG, Label, Piece, as_text


class JsonSegment(msgspec.Struct, frozen=True):
    """A piece of the prompt. kind: control (may become special tokens), plain (never does) or image (its text is ``<image>``).

    label: what it is there for.
    """

    kind: str
    text: str
    tokens: int
    label: Label


class JsonPrompt(msgspec.Struct, frozen=True):
    """What ``render --json`` prints."""

    model: str
    prompt_tokens: int
    segments: tuple[JsonSegment, ...]


def run(file: Path, model: str | None, mmproj: Path | None, overrides: Mapping[str, Mapping[str, object]], *, as_json: bool) -> None:
    """Print the prompt as text, or as segments with kinds, labels and token counts. Raises ConversationError and what loading raises."""
    body = _read(file)
    setup = read_setup(overrides)
    served = asyncio.run(setup.remotes.find(setup.wanted(model), setup.catalogue))
    if not as_json and served is None and _speaks_nemotron(setup, model, mmproj):
        # As text no picture and no model is needed: a picture is <image> whatever it shows.
        images = {source: ImagePart("", picture_name(source)) for source in image_sources(body.messages)}
        _print_text(nemotron.render(to_conversation(body, images)))
        return
    name, pieces = asyncio.run(_pieces(setup, body, served or model, mmproj))
    if not as_json:
        _print_text(piece.segment for piece, _ in pieces)
        return
    segments = tuple(_json_segment(piece, tokens) for piece, tokens in pieces)
    print_json(JsonPrompt(name, sum(segment.tokens for segment in segments), segments))


def _print_text(segments: Iterable[Segment]) -> None:
    """Exact into a file or a pipe; a terminal must not act on escapes that the conversation holds."""
    prompt = as_text(segments)
    print(sanitize(prompt) if sys.stdout.isatty() else prompt, end="")


def _speaks_nemotron(setup: Setup, model: str | None, mmproj: Path | None) -> bool:
    wanted = setup.settings.engine.format
    if wanted != AUTO:
        return wanted == NEMOTRON
    named = model or setup.settings.model
    if named.endswith(SCRIPT_SUFFIX) if named else setup.catalogue.default().is_builtin:
        return True
    files = setup.catalogue.resolve(named or None, mmproj)
    header = gguf.read(files.model_path)
    return speaks_nemotron(header.text("tokenizer.chat_template"), header.text("general.architecture"))


def _read(file: Path) -> ConversationBody:
    """A file, or what comes out of a pipe, which is waited for (Ctrl+C ends that). Raises ConversationError."""
    try:
        is_pipe = stat.S_ISFIFO(file.stat().st_mode)
    except (OSError, ValueError):
        is_pipe = False  # reading it says why
    return body_of(read_pipe(file, MAX_BYTES), file.name) if is_pipe else read_body(file)


async def _pieces(
    setup: Setup, body: ConversationBody, model: ServedModel | str | None, mmproj: Path | None
) -> tuple[str, list[tuple[Piece, int]]]:
    """The model's name, and the prompt with the tokens of each piece."""
    sources = list(dict.fromkeys(image_sources(body.messages)))
    async with open_session(setup, model, mmproj) as session:
        attached = await attach_pictures(session, sources)
        parts = {source: attachment.part for source, attachment in zip(sources, attached, strict=True)}
        return session.model_name, await session.reader.prompt_sizes(Chat.of(to_conversation(body, parts)))


def _json_segment(piece: Piece, tokens: int) -> JsonSegment:
    if isinstance(piece.segment, ImageSlot):
        return JsonSegment("image", IMAGE_TAG, tokens, piece.label)
    return JsonSegment("control" if isinstance(piece.segment, Control) else "plain", piece.segment.text, tokens, piece.label)
