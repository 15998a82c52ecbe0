"""A persona in the prompt: its texts, its examples before everything that was said, its lorebook beside the words that call for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec
import pytest

from nemochat.chat import Chat, ChatEvent, TurnResult
from nemochat.chat.assembly import assemble
from nemochat.chat.lore import with_lore
from nemochat.chat.summing import as_title
from nemochat.domain.chat import Entry
from nemochat.domain.events import FinishReason
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.personas import AuthorNote, Lorebook, LoreEntry, Persona, PersonaSampling, UserProfile
from nemochat.domain.sampling import Sampling
from nemochat.engine.protocol import LoadRequest
from nemochat.prompt import nemotron
from nemochat.prompt.format import as_text
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import FakeEngine, reply
from tests.chat.talking import Talking

MILL = LoreEntry(keys=("mill",), content="The mill of {{char}} burned down.", name="The mill")
MIRA = Persona(
    name="Mira",
    system="You are {{char}}, and this is {{user}}. {{original}}",
    description="Mira keeps an inn.",
    greeting="Come in, {{user}}.",
    examples="<START>\n{{user}}: A room?\n{{char}}: Two coins.\n<START>\n{{user}}: Food?\n{{char}}: Stew.",
    post_history="[Stay brief.]",
    book=Lorebook(entries=(MILL, LoreEntry(content="It always rains.", constant=True))),
    sampling=PersonaSampling(temperature=0.9, max_tokens=7),
)
ANNA = UserProfile("Anna", "A tired traveller.")


def user(text: str) -> Message:
    return Message(Role.USER, (TextPart(text),))


def said(text: str) -> Message:
    return Message(Role.ASSISTANT, (TextPart(text),))


def opened(persona: Persona = MIRA) -> Chat:
    return Chat(persona=persona, user=ANNA).framed("Be kind.").opened(["Come in, Anna."], "Mira")


def rendered(chat: Chat) -> str:
    return as_text(nemotron.lay_out(assemble(chat).conversation).segments)


def session(engine: FakeEngine, chat: Chat, max_tokens: int = 100) -> Talking:
    found = Talking(engine, LoadRequest("fake", "fake", None, EngineSettings()), Sampling(max_tokens=max_tokens))
    found.open_chat(chat)
    return found


async def play(events: AsyncGenerator[ChatEvent, None]) -> TurnResult:
    *_, result = [event async for event in events]
    assert isinstance(result, TurnResult)
    return result


def test_the_whole_prompt_of_a_persona_word_for_word() -> None:
    chat = opened().with_messages([user("Good evening."), said("And to you.")])
    message = with_lore(chat, user("What happened to the mill?"))
    assert rendered(chat.added(Entry(message))) == (
        "<extra_id_0>System\nYou are Mira, and this is Anna. Be kind.\n\nIt always rains.\n\nMira keeps an inn.\n\n"
        "Mira is talking with Anna. A tired traveller.\n\n"
        "<extra_id_1>User\nA room?\n<extra_id_1>Assistant\nTwo coins.\n"
        "<extra_id_1>User\nFood?\n<extra_id_1>Assistant\nStew.\n"
        "<extra_id_1>Assistant\nCome in, Anna.\n"
        "<extra_id_1>User\nGood evening.\n<extra_id_1>Assistant\nAnd to you.\n"
        "<extra_id_1>User\n<context> The mill of Mira burned down. </context>\nWhat happened to the mill?\n\n[Stay brief.]\n"
        "<extra_id_1>Assistant\n"
    )


def test_an_entry_fires_once_while_it_is_in_the_window_and_again_when_it_is_forgotten() -> None:
    chat = opened()
    first = with_lore(chat, user("The mill?"))
    assert [(context.source, "mill" in context.reason) for context in first.contexts] == [("The mill", True)]
    chat = chat.added(Entry(first)).added(Entry(said("Burned.")))
    assert with_lore(chat, user("The mill again?")).contexts == ()
    forgotten = msgspec.structs.replace(chat, first_kept=3)
    assert len(with_lore(forgotten, user("The mill again?")).contexts) == 1


@pytest.mark.parametrize(("depth", "place"), [(0, "three\n\nNote"), (1, "two\n\nNote"), (3, "one\n\nNote"), (50, "one\n\nNote")])
def test_the_authors_note_stands_with_the_users_message_at_its_depth(depth: int, place: str) -> None:
    messages = [user("one"), said("a"), user("two"), said("b"), user("three")]
    chat = Chat(note=AuthorNote("Note", depth)).with_messages(messages)
    assert place in rendered(chat)
    assert rendered(chat).count("Note") == 1


async def test_examples_are_forgotten_before_anything_that_was_said() -> None:
    """The persona's texts always stay; the examples make room first, and come back only when there is room for all."""
    engine = FakeEngine(*(reply("x" * 40) for _ in range(12)), context_length=700)
    chat = session(engine, opened(msgspec.structs.replace(MIRA, sampling=PersonaSampling())))
    states = []
    for number in range(12):
        await play(chat.send(user(f"message number {number}")))
        states.append((chat.chat.examples_gone, chat.chat.first_kept))
        prompt = as_text(engine.requests[-1].segments)
        assert prompt.startswith("<extra_id_0>System\nYou are Mira")
        assert chat.chat.first_kept == 0 or "Two coins." not in prompt
    assert states[0] == (0, 0)
    assert states[-1][0] == 4
    assert states[-1][1] > 0


async def test_the_personas_sampling_reaches_the_engine_and_it_speaks_under_its_name() -> None:
    engine = FakeEngine(reply("Yes."))
    chat = session(engine, opened())
    await play(chat.send(user("Hello")))
    assert (engine.requests[0].sampling.temperature, engine.requests[0].sampling.max_tokens) == (0.9, 7)
    assert chat.entries[-1].speaker == "Mira"


async def test_another_reply_that_brings_nothing_leaves_the_old_one() -> None:
    engine = FakeEngine(reply("One."), reply(reason=FinishReason.CANCELLED), reply("Two."))
    chat = session(engine, Chat())
    await play(chat.send(user("Hello")))
    before = chat.chat
    await play(chat.regenerate())
    assert (chat.chat.entries, chat.chat.aside) == (before.entries, before.aside)
    await play(chat.regenerate())
    assert chat.chat.counters == {1: (2, 2)}


async def test_a_reply_that_goes_on_stays_one_message() -> None:
    chat = session(FakeEngine(reply("One"), reply(" and two.")), Chat())
    await play(chat.send(user("Count.")))
    await play(chat.continue_reply())
    assert [entry.message.text for entry in chat.entries] == ["Count.", "One and two."]
    assert not chat.chat.aside


async def test_the_models_words_for_the_user_are_a_draft_and_nothing_more() -> None:
    engine = FakeEngine(reply("Is there a room?"))
    chat = session(engine, opened())
    result = await play(chat.impersonate())
    assert result.text == "Is there a room?"
    assert as_text(engine.requests[0].segments).endswith("Come in, Anna.\n<extra_id_1>User\n")
    assert chat.entries == opened().entries


async def test_a_title_is_asked_for_behind_the_conversation_and_leaves_it_alone() -> None:
    engine = FakeEngine(reply("Fine."), reply('"A short talk."\nIt was nice.'))
    chat = session(engine, Chat())
    await play(chat.send(user("How are you?")))
    before = chat.chat
    assert await chat.suggest_title() == "A short talk"
    assert chat.chat == before
    first, second = (as_text(request.segments) for request in engine.requests)
    assert second.startswith(first + "Fine.\n"), "what the KV cache holds is not read again"


@pytest.mark.parametrize(
    ("text", "title"),
    [("", ""), ("\n\nTitle: The inn\nmore", "The inn"), ("**A walk**", "A walk"), ("x" * 90, "x" * 59 + "…")],
)
def test_titles_are_one_plain_line(text: str, title: str) -> None:
    assert as_title(text) == title
