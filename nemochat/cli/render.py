"""``nemochat render``: the exact prompt for a conversation, without running the model's layers."""

from __future__ import annotations

import asyncio
import difflib
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from nemochat.chat import Chat
from nemochat.chat.formats import AUTO, NEMOTRON, speaks_nemotron
from nemochat.chat.import_file import MAX_BYTES, body_of, read_body
from nemochat.chat.openai_messages import ConversationBody, image_sources, to_conversation
from nemochat.chat.pictures import picture_name
from nemochat.cli.exchange import attach_pictures
from nemochat.cli.opening import SCRIPT_SUFFIX, open_session
from nemochat.cli.output import print_json, print_note
from nemochat.cli.setup import Setup, read_setup
from nemochat.cli.stdin import read_pipe
from nemochat.domain.messages import Conversation, ImagePart
from nemochat.domain.sanitize import sanitize
from nemochat.domain.segments import Control, ImageSlot
from nemochat.domain.servers import ServedModel
from nemochat.engine.protocol import Counts, ModelInfo
from nemochat.models import gguf
from nemochat.prompt import nemotron
from nemochat.prompt.format import IMAGE_TAG, Label, Layout, Piece, as_text


class JsonSegment(msgspec.Struct, frozen=True):
    """A piece of the prompt. kind: control (may become special tokens), plain (never does) or image (its text is ``<image>``).

    label: what it is there for.
    """

    kind: str
    text: str
    tokens: int
    label: Label


class JsonPrompt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What ``render --json`` prints. counts: where the numbers come from; left out where they are exact."""

    model: str
    prompt_tokens: int
    segments: tuple[JsonSegment, ...]
    counts: Counts = Counts.EXACT


def run(
    file: Path, model: str | None, mmproj: Path | None, overrides: Mapping[str, Mapping[str, object]], *, as_json: bool, compares: bool
) -> None:
    """Print the prompt as text, or as segments with kinds, labels and token counts. Raises ConversationError and what loading raises.

    compares: as text, and what llama.cpp's own renderer writes differently.
    """
    body = _read(file)
    setup = read_setup(overrides)
    served = asyncio.run(setup.remotes.find(setup.wanted(model), setup.catalogue))
    if not as_json:
        # As text no picture is needed: one is <image> whatever it shows.
        images = {source: ImagePart("", picture_name(source)) for source in image_sources(body.messages)}
        conversation = to_conversation(body, images)
        if compares:
            layout, info = asyncio.run(_laid_out(setup, conversation, served or model, mmproj))
            _print_compared(as_text(layout.segments), info.chat_template, conversation)
        elif served is None and _speaks_nemotron(setup, model, mmproj):
            _print_text(as_text(nemotron.render(conversation)))
        else:
            layout, info = asyncio.run(_laid_out(setup, conversation, served or model, mmproj))
            _print_text(as_text(layout.segments))
            if info.takes_messages:
                print_note(f"{info.name} gets these as messages: how they are laid out its server alone knows.")
        return
    name, pieces, counts = asyncio.run(_pieces(setup, body, served or model, mmproj))
    segments = tuple(_json_segment(piece, tokens) for piece, tokens in pieces)
    print_json(JsonPrompt(name, sum(segment.tokens for segment in segments), segments, counts))


def _print_compared(prompt: str, template: str, conversation: Conversation) -> None:
    """The prompt, or in which lines llama.cpp's rendering is another one."""
    from nemochat.engine.llama import own_template

    own = own_template.rendered(template, conversation)
    if own is None or own == prompt:
        _print_text(prompt)
        unknown = "llama.cpp's own renderer cannot say this: it knows some templates only, and of a conversation nothing but the words."
        print_note(unknown if own is None else "llama.cpp's own renderer writes the same.")
        return
    lines = difflib.unified_diff(own.splitlines(keepends=True), prompt.splitlines(keepends=True), "llama.cpp", "nemochat", n=1000)
    _print_text("".join(line if line.endswith("\n") else f"{line}\n\\ no line break at the end\n" for line in lines))


def _print_text(prompt: str) -> None:
    """Exact into a file or a pipe; a terminal must not act on escapes that the conversation holds."""
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


async def _laid_out(
    setup: Setup, conversation: Conversation, model: ServedModel | str | None, mmproj: Path | None
) -> tuple[Layout, ModelInfo]:
    """The prompt, and what the model's file says of it."""
    async with open_session(setup, model, mmproj, vocabulary_only=True) as session:
        info = await session.reader.load.model()
        return await session.reader.load.format.lay_out(conversation), info


async def _pieces(
    setup: Setup, body: ConversationBody, model: ServedModel | str | None, mmproj: Path | None
) -> tuple[str, list[tuple[Piece, int]], Counts]:
    """The model's name, the prompt with the tokens of each piece, and where those come from.

    The weights are loaded for what a picture costs alone.
    """
    sources = list(dict.fromkeys(image_sources(body.messages)))
    async with open_session(setup, model, mmproj, vocabulary_only=not sources) as session:
        attached = await attach_pictures(session, sources)
        parts = {source: attachment.part for source, attachment in zip(sources, attached, strict=True)}
        pieces = await session.reader.prompt_sizes(Chat.of(to_conversation(body, parts)))
        return session.model_name, pieces, session.reader.counts_of([piece.segment for piece, _ in pieces])


def _json_segment(piece: Piece, tokens: int) -> JsonSegment:
    if isinstance(piece.segment, ImageSlot):
        return JsonSegment("image", IMAGE_TAG, tokens, piece.label)
    return JsonSegment("control" if isinstance(piece.segment, Control) else "plain", piece.segment.text, tokens, piece.label)
