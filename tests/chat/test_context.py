"""The numbers of the context pane: exact, and the same that the loop goes by."""

from __future__ import annotations

import asyncio

from nemochat.chat.values import ContextView
from nemochat.domain.chat import Chat
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Conversation, Message, Role, TextPart, ToolSpec
from nemochat.domain.sampling import Sampling
from nemochat.engine.protocol import LoadRequest
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import IMAGE_COST, FakeEngine, reply
from tests.chat.talking import Talking


def session(engine: FakeEngine, reserve: int = 20) -> Talking:
    return Talking(engine, LoadRequest("fake", "fake.gguf", None, EngineSettings()), Sampling(max_tokens=reserve))


def user(text: str) -> Message:
    return Message(Role.USER, (TextPart(text),))


async def say(chat: Talking, text: str) -> None:
    async for _ in chat.send(user(text)):
        await asyncio.sleep(0)


async def test_parts_add_up_to_the_prompt() -> None:
    chat = session(FakeEngine(reply("Hi.")))
    chat.open_conversation(Conversation("Be kind.", (ToolSpec("add"),), ("note: text",)))
    await say(chat, "Hello")
    picture = await chat.attach(RgbImage.from_rgb(1, 1, b"abc"), "dot.png")
    draft = Message(Role.USER, (picture.part, TextPart("What is it?")))
    view = await chat.context_view(draft)
    chat.open_chat(Chat.of(Conversation("Be kind.", (ToolSpec("add"),), ("note: text",), (*chat.conversation.messages, draft))))
    assert view.used == sum(tokens for _, tokens in await chat.prompt_sizes())
    assert view.images == IMAGE_COST
    assert view.draft == len("<extra_id_1>User\n\nWhat is it?\n")
    assert view.tools > len('{"name": "add"}')
    assert view.documents == len("\n<context> note: text </context>")
    assert view.free == 4096 - 20 - view.used


async def test_what_the_cache_holds_is_not_read_again() -> None:
    chat = session(FakeEngine(reply("Hi.")))
    before = await chat.context_view(user("Hello"))
    assert before.cached == 0
    assert before.to_read == before.used
    await say(chat, "Hello")
    after = await chat.context_view(user("And now?"))
    assert after.to_read == len("\n<extra_id_1>User\nAnd now?\n<extra_id_1>Assistant\n")
    assert after.cached + after.to_read == after.used


async def test_it_tells_before_sending_that_the_window_will_move() -> None:
    engine = FakeEngine(*(reply("word " * 8) for _ in range(8)), context_length=400)
    chat = session(engine)
    views: list[ContextView] = []
    for turn in range(6):
        views.append(await chat.context_view(user(f"Question number {turn}")))
        await say(chat, f"Question number {turn}")
    moved = [turn for turn, view in enumerate(views) if view.trims]
    assert moved
    first = moved[0]
    assert views[first].forgotten == ()
    assert views[first + 1].forgotten != ()
    assert views[first + 1].forgotten_tokens > 0
    record = chat.entries[2 * first + 1].record
    assert record is not None
    assert record.result.forgotten == views[first + 1].forgotten


async def test_a_draft_that_does_not_fit_shows_in_the_numbers() -> None:
    view = await session(FakeEngine(context_length=200)).context_view(user("x" * 300))
    assert view.used + view.reserve > view.limit
    assert view.free == 0
    assert not view.trims


async def test_excluded_messages_take_no_room() -> None:
    chat = session(FakeEngine(reply("Hi.")))
    await say(chat, "Hello")
    whole = await chat.context_view()
    chat.open_chat(chat.chat.marked(0, excluded=True))
    less = await chat.context_view()
    assert less.excluded == (0,)
    assert whole.history - less.history == len("<extra_id_1>User\nHello\n")
