"""Reading ahead with the demo model and the real engine: what is evaluated after Enter is what was not known before, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import nemochat
from nemochat.chat import Chat, TurnResult
from nemochat.chat.warming import WarmAhead
from nemochat.domain.edits import Trim, applied
from nemochat.domain.events import Progress
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.personas import Lorebook, LoreEntry, Persona
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Control, Plain
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import LoadRequest
from nemochat.errors import NemochatError
from nemochat.settings import EngineSettings
from tests.chat.talking import Talking
from tests.chat.test_previews import draft

FOLDER = Path(nemochat.__file__).parent / "models" / "demo"
SIDE = 128
RESERVE = 32
LONG = "It is about nothing at all, and it is only here to take some room."
CLOSING = (Control("\n"), Control("<extra_id_1>Assistant\n"))
"""What no preview has: it is read when Enter is pressed."""
MIRA = Persona(
    name="Mira",
    description="Mira keeps an inn.",
    book=Lorebook(entries=(LoreEntry(keys=("mill",), content="The old mill burned down in the year of the flood.", name="The mill"),)),
)


class Desk:
    """A session with the demo model, and what reads ahead for it."""

    def __init__(self, session: Talking, engine: WorkerEngine) -> None:
        self.session, self.engine = session, engine
        self.warming = WarmAhead(lambda: self.session.at_hand, self, pause=0.0)
        self.forgotten = 0

    def reads_ahead(self, progress: Progress) -> None:
        assert progress.total

    def read_ahead(self, draft: Message, *, is_complete: bool) -> None:
        assert is_complete

    def forgot_ahead(self, trim: Trim) -> None:
        self.forgotten += 1
        self.session.chat = applied(self.session.chat, trim)

    def failed_ahead(self, error: NemochatError) -> None:
        raise AssertionError(error.message)

    async def settle(self) -> None:
        await asyncio.sleep(0)
        while self.warming.is_reading:
            await asyncio.sleep(0.01)

    async def send(self, message: Message, *unknown: str) -> TurnResult:
        """Send it and check that no more was evaluated than these words and what closes the turn, and one token."""
        self.warming.stop()
        *_, result = [event async for event in self.session.send(message)]
        assert isinstance(result, TurnResult)
        bound = sum(await self.engine.count((*CLOSING, *(Plain(text) for text in unknown)))) + 1
        assert result.usage.evaluated_tokens <= bound, (result.usage, bound)
        assert result.usage.encoded_images == 0
        return result


@asynccontextmanager
async def demo(folder: Path, context_length: int = 2048) -> AsyncGenerator[Desk, None]:
    engine = WorkerEngine(folder / "engine.log", "llama")
    settings = EngineSettings(context_length=context_length, threads=1)
    request = LoadRequest("demo", str(FOLDER / "nemochat-demo.gguf"), str(FOLDER / "nemochat-demo-mmproj.gguf"), settings)
    session = Talking(engine, request, Sampling(max_tokens=RESERVE, temperature=0.0), SIDE)
    try:
        yield Desk(session, engine)
    finally:
        await session.close()


def said(text: str) -> Message:
    return Message(Role.ASSISTANT, (TextPart(text),))


async def test_each_step_leaves_only_the_last_words_to_be_read(tmp_path: Path) -> None:
    async with demo(tmp_path) as desk:
        # An old conversation is opened.
        history = [draft("Hello, who are you?"), said("I am the demo model of nemochat."), draft("Good."), said("Yes.")]
        desk.session.open_chat(Chat().framed("You are kind and brief.").with_messages(history), key="c1")
        desk.warming.opened()
        await desk.settle()
        await desk.send(draft("What is this?"), "What is this?")
        # After the reply; the user says one word.
        desk.warming.replied()
        await desk.settle()
        await desk.send(draft("Why?"), "Why?")
        # Words are typed.
        desk.warming.replied()
        for end in range(1, len("How many shapes are there in it?") + 1):
            desk.warming.draft_changed(draft("How many shapes are there in it?"[:end]))
            await asyncio.sleep(0.005)
        await desk.settle()
        await desk.send(draft("How many shapes are there in it?"), " it?")
        # A picture is attached, and a question is typed.
        desk.warming.replied()
        picture = await desk.session.attach(RgbImage.from_rgb(8, 8, bytes([220, 40, 40] * 64)), "red.png")
        desk.warming.attached(draft("", picture.part))
        await desk.settle()
        desk.warming.draft_changed(draft("What colour is this", picture.part))
        await desk.settle()
        await desk.send(draft("What colour is this", picture.part), " this")
        # A title is asked for at the end of the prompt, and the turn after that begins warm all the same.
        await desk.session.suggest_title()
        desk.warming.opened()
        await desk.settle()
        await desk.send(draft("Thanks."), "Thanks.")
        # Two conversations: going back to the first reads nothing.
        first = desk.session.chat
        desk.session.open_chat(Chat().framed("You are kind and brief."), key="c2")
        desk.warming.opened()
        await desk.settle()
        await desk.send(draft("Hello."), "Hello.")
        desk.session.open_chat(first, key="c1")
        desk.warming.opened()
        await desk.settle()
        await desk.send(draft("And now?"), "And now?")


@pytest.mark.parametrize(("text", "unknown"), [("法国的首都是哪里有多少人口呢", "口呢"), ("เมืองหลวงของฝรั่งเศสคือเมืองอะไร", "ะไร")])
async def test_a_sentence_without_spaces_is_read_while_it_is_typed(tmp_path: Path, text: str, unknown: str) -> None:
    """Fails as it did: all of it was one last word, of 30 to 100 tokens, and was read after Enter."""
    async with demo(tmp_path) as desk:
        desk.session.open_chat(Chat().framed("You are kind and brief."), key="c1")
        desk.warming.opened()
        for end in range(1, len(text) + 1):
            desk.warming.draft_changed(draft(text[:end]))
            await asyncio.sleep(0.005)
        await desk.settle()
        await desk.send(draft(text), unknown)


async def test_lore_that_fires_while_it_is_typed_is_read_before_enter(tmp_path: Path) -> None:
    async with demo(tmp_path) as desk:
        desk.session.open_chat(Chat(persona=MIRA).opened(["Come in."], "Mira"), key="c1")
        desk.warming.opened()
        for text in ("What", "What of the", "What of the mill", "What of the mill now"):
            desk.warming.draft_changed(draft(text))
            await desk.settle()
        result = await desk.send(draft("What of the mill now"), " now")
        assert [context.source for context in desk.session.entries[1].message.contexts] == ["The mill"]
        assert result.usage.prompt_tokens > 30


async def test_around_a_trim_nothing_is_read_again_after_enter(tmp_path: Path) -> None:
    """The window fills up several times; the rest is always read before the user asks, and the numbers of the context pane are true."""
    async with demo(tmp_path, context_length=640) as desk:
        desk.session.open_chat(Chat().framed("You are kind and brief."), key="c1")
        desk.warming.opened()
        await desk.settle()
        for turn in range(20):
            text = f"This is sentence number {turn}, and it is about nothing at all; it is only here to take some room. And so?"
            desk.warming.draft_changed(draft(text))
            await desk.settle()
            view = await desk.session.context_view(draft(text))
            result = await desk.send(draft(text), " so?")
            assert not view.trims
            assert abs(view.cached - result.usage.reused_tokens) <= 2
            assert result.usage.prompt_tokens + RESERVE <= 640
            desk.warming.replied()
            await desk.settle()
        assert desk.forgotten >= 2


async def test_a_long_message_that_makes_the_window_move_is_read_before_enter_as_well(tmp_path: Path) -> None:
    async with demo(tmp_path, context_length=640) as desk:
        history = [message for number in range(11) for message in (draft(f"This is sentence number {number}."), said(LONG))]
        desk.session.open_chat(Chat().framed("You are kind and brief.").with_messages(history), key="c1")
        desk.warming.opened()
        await desk.settle()
        text = f"{LONG} " * 12 + "And so?"
        assert (await desk.session.context_view(draft(text))).trims
        desk.warming.draft_changed(draft(text))
        await desk.settle()
        result = await desk.send(draft(text), " so?")
        assert result.forgotten
