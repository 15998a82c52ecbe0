"""What is known of the next prompt is the beginning of what is sent, token by token, whatever the conversation and the draft are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from nemochat.chat import Chat
from nemochat.chat.previews import known_of
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ContextPart, Conversation, ImagePart, Message, Role, TextPart, ToolSpec
from nemochat.domain.personas import AuthorNote, Lorebook, LoreEntry, Persona
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import ImageSlot, Segment
from nemochat.engine.protocol import LoadRequest
from nemochat.prompt import nemotron
from nemochat.prompt.format import as_text
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import FakeEngine, reply
from tests.chat.talking import Talking

U, A = Role.USER, Role.ASSISTANT
DOT = RgbImage.from_rgb(1, 1, b"abc")
MIRA = Persona(
    name="Mira",
    description="Mira keeps an inn.",
    greeting="Come in.",
    examples="<START>\n{{user}}: A room?\n{{char}}: Two coins.",
    post_history="[Stay brief.]",
    extensions={"depth_prompt": {"prompt": "Mira is tired.", "depth": 2}},
    book=Lorebook(entries=(LoreEntry(keys=("mill",), content="The mill burned down.", name="The mill"),)),
)
TOOLS = (ToolSpec("add", "adds numbers"), ToolSpec("weather", "tells the weather"))


def session(engine: FakeEngine, chat: Chat, reserve: int = 50) -> Talking:
    found = Talking(engine, LoadRequest("fake", "fake.gguf", None, EngineSettings()), Sampling(max_tokens=reserve))
    found.open_chat(chat)
    return found


def draft(text: str, *images: ImagePart) -> Message:
    return Message(U, (*images, *((TextPart(text),) if text else ())))


def letters_of(segments: Sequence[Segment]) -> list[tuple[type[Segment], str]]:
    """What the segments say: an engine may cut a beginning into other tokens than the whole."""
    said = [(type(segment), [segment.digest] if isinstance(segment, ImageSlot) else [*segment.text]) for segment in segments]
    return [(kind, each) for kind, letters in said for each in letters]


async def sent(chat: Talking, engine: FakeEngine, message: Message) -> tuple[Segment, ...]:
    async for _ in chat.send(message):
        await asyncio.sleep(0)
    return engine.requests[-1].segments


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("", ""),
        ("   ", ""),
        ("Hel", ""),
        ("Hello ", "Hello"),
        ("Hello wor", "Hello"),
        ("  Two  words\n\n and", "Two  words"),
        ("one\ntwo\t", "one\ntwo"),
        ("x " + "y" * 500, "x"),
    ],
)
def test_the_last_word_is_not_known_and_the_white_space_before_it_neither(typed: str, known: str) -> None:
    assert known_of(draft(typed)).text == known


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("法国的首都是哪里", "法国的首都是哪"),
        ("法", ""),
        ("法国 ", "法国"),
        ("フランスのどこ", "フランスのど"),
        ("ラーメンー", "ラーメン"),
        ("สวัสดี", "สวัส"),
        ("ខ្ញុំស្រ", "ខ្ញុំ"),
        ("ສະບາຍດີ", "ສະບາຍ"),
        ("Say 你好", "Say 你"),
        ("用 Python 写", "用 Python"),
        ("用Pyth", "用"),
        ("用Python写一", "用Python写"),
        ("안녕하세요", ""),
        ("你好。wor", "你好"),
        ("好👨\u200d👩\u200d👧", "好"),
        ("好🇩🇪🇫🇷", "好"),
        ("漢\U000e0100字", "漢\U000e0100"),
        ("漢\U000e0100", ""),
        ("か\u3099か", "か\u3099"),
        ("好\ud83d\ude00", "好"),
        ("好" * 1000, "好" * 999),
        ("a " + "好" * 100 + "👨\u200d" * 100, "a"),
        ("好" * 100 + "x" * 20, "好" * 100),
    ],
)
def test_without_spaces_all_is_known_but_the_last_character(typed: str, known: str) -> None:
    """Fails as it did: a whole Chinese sentence was one last word, and nothing of it was read ahead."""
    assert known_of(draft(typed)).text == known


LETTERS = "ab .好们。カー\u3099สวัสดีខ្ញុំ\u0301👨\u200d👩🏽🇩🇪\ufe0f\ud83d\ude00한\u1100"


@settings(derandomize=True, deadline=None, max_examples=300)
@given(text=st.text(st.sampled_from(LETTERS), max_size=150).map(str.strip), typed=st.integers(0, 150))
def test_what_is_known_never_ends_within_a_character(text: str, typed: int) -> None:
    """Whatever is typed behind it: it is the beginning of what is sent, cut where a character of that ends."""
    known = known_of(draft(text[:typed])).text
    assert text.startswith(known)
    assert len(known) in {0, *(found.end() for found in regex.finditer(r"\X", text))}


words = st.text(st.sampled_from("abcdefgh .,\n\tü猫好สัด<>👨\u200d"), min_size=1, max_size=30)
messages = st.builds(lambda role, text: Message(role, (TextPart(text),)), st.sampled_from([U, A]), words)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    history=st.lists(messages, max_size=14),
    text=words.filter(str.strip),
    shown=st.integers(0, 30),
    persona=st.sampled_from([None, MIRA]),
    note=st.sampled_from([None, AuthorNote("A note.", 0), AuthorNote("A note.", 3)]),
    picture=st.booleans(),
    tools=st.sampled_from([(), TOOLS]),
    context_length=st.sampled_from([900, 1400, 4096]),
    data=st.data(),
)
def test_a_preview_is_how_the_request_begins(
    history: list[Message],
    text: str,
    shown: int,
    persona: Persona | None,
    note: AuthorNote | None,
    picture: bool,
    tools: tuple[ToolSpec, ...],
    context_length: int,
    data: st.DataObject,
) -> None:
    chat = Chat(persona=persona, note=note).framed("Be kind.").with_messages(history)
    if history:
        at = data.draw(st.integers(0, len(history) - 1))
        chat = chat.marked(at, pinned=data.draw(st.booleans())).marked(at, excluded=data.draw(st.booleans()))

    async def run() -> None:
        engine = FakeEngine(reply("Yes."), context_length=context_length)
        mine = session(engine, chat)
        if tools:
            mine.open_chat(Chat(frame=Conversation("Be kind.", tools)).with_messages(history))
            mine.tools.budget = 150
        images = ((await mine.attach(DOT, "dot.png")).part,) if picture else ()
        # The composer strips what it sends.
        message = draft(text.strip(), *images)
        seen = await mine.preview(draft(text.strip()[:shown], *images))
        request = letters_of(await sent(mine, engine, message))
        now, following = letters_of(seen.now), letters_of(seen.following)
        assert now or following
        assert request[: len(now)] == now or request[: len(following)] == following
        if seen.now and not mine.chat.first_kept and not mine.chat.examples_gone:
            assert request[: len(now)] == now
            assert len(request) - len(now) <= len(letters_of(nemotron.message_segments(message))) + 60
        else:
            assert following
            assert request[: len(following)] == following

    asyncio.run(run())


async def test_the_lore_that_fires_on_what_is_typed_stands_before_it() -> None:
    engine = FakeEngine(reply("It burned."))
    mine = session(engine, Chat(persona=MIRA).opened(["Come in."], "Mira"))
    before = as_text((await mine.preview(draft("What of the mi"))).now)
    after = as_text((await mine.preview(draft("What of the mill and"))).now)
    assert before.endswith("<extra_id_1>User\nWhat of the")
    assert after.endswith("<extra_id_1>User\n<context> The mill burned down. </context>\nWhat of the mill")
    request = as_text(await sent(mine, engine, draft("What of the mill and the inn?")))
    assert request.startswith(after)


async def test_lore_that_fires_on_what_was_said_is_read_before_a_word_is_typed() -> None:
    engine = FakeEngine(reply("It burned."))
    mine = session(engine, Chat(persona=MIRA).opened(["Come in, the mill is closed."], "Mira"))
    shown = as_text((await mine.preview()).now)
    assert shown.endswith("<extra_id_1>User\n<context> The mill burned down. </context>\n")
    assert as_text(await sent(mine, engine, draft("Why?"))).startswith(shown + "Why?")


async def test_with_documents_only_the_pictures_are_known() -> None:
    """Passages stand before the words, and are found for whole messages alone."""
    engine = FakeEngine(reply("Yes."))
    mine = session(engine, Chat(collections=("notes",)))

    async def find(chat: Chat, message: Message) -> list[ContextPart]:
        return [ContextPart("A passage.", "notes.txt", "score 1")]

    mine.reader.find_passages = find
    part = (await mine.attach(DOT, "dot.png")).part
    shown = as_text((await mine.preview(draft("What is this then?", part))).now)
    assert shown.endswith("<extra_id_1>User\n<image>\n")
    assert as_text(await sent(mine, engine, draft("What is this then?", part))).startswith(shown + "<context> A passage.")


async def test_the_tools_that_the_words_call_for_are_told_of_in_the_preview_already() -> None:
    engine = FakeEngine(reply("Rain."))
    mine = session(engine, Chat(frame=Conversation("", TOOLS)))
    mine.tools.budget = 200
    shown = as_text((await mine.preview(draft("How is the weather toda"))).now)
    assert "tells the weather" in shown
    assert "adds numbers" not in shown
    assert as_text(await sent(mine, engine, draft("How is the weather today?"))).startswith(shown)


async def test_what_was_read_ahead_counts_as_held_and_what_the_engine_dropped_does_not() -> None:
    engine = FakeEngine(reply("Hi."), reply("Yes."))
    mine = session(engine, Chat())
    typed = draft("Hello there, wh")
    await mine.prepare(await mine.preview(typed))
    view = await mine.context_view(typed)
    assert view.to_read == len(" wh\n<extra_id_1>Assistant\n")
    async for _ in mine.send(draft("Hello there, who is it?")):
        await asyncio.sleep(0)
    held = (await mine.context_view()).cached
    assert held > 0
    # The engine says that it had to read all of it anew: what was believed of other prompts is not true any more.
    other = mine.chat
    mine.open_chat(Chat().framed("Another one."), key="c2")
    await mine.prepare(await mine.preview())
    engine.held.clear()
    mine.open_chat(other, key="")
    await mine.prepare(await mine.preview())
    mine.open_chat(Chat().framed("Another one."), key="c2")
    assert (await mine.context_view()).cached <= len("<extra_id_0>System") + 1
