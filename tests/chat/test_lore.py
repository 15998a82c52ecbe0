"""A lorebook in a conversation: where what fires stands, that it stays there, what it may take, and what is told of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nemochat.chat import Chat
from nemochat.chat.lore import fired, fired_last, with_lore
from nemochat.domain.chat import Entry
from nemochat.domain.messages import Message
from nemochat.domain.personas import AuthorNote, Lorebook, LoreEntry, Persona
from nemochat.tui.widgets.context_graph import sentences
from tests.chat.fake_engine import FakeEngine, reply
from tests.chat.test_roleplay import rendered, said, session, user


def entry(content: str, *keys: str, constant: bool = False, **extensions: Any) -> LoreEntry:
    return LoreEntry(content=content, keys=keys, constant=constant, extensions={"selectiveLogic": 0, **extensions})


def playing(*entries: LoreEntry, token_budget: int | None = None, note: AuthorNote | None = None) -> Chat:
    book = Lorebook(entries=entries, token_budget=token_budget)
    return Chat(persona=Persona(name="Mira", system="S.", book=book), note=note, seed=1)


def told(chat: Chat, *texts: str) -> Chat:
    """With these messages of the user and a reply to each."""
    for number, text in enumerate(texts):
        chat = chat.added(Entry(with_lore(chat, user(text)))).added(Entry(said(f"reply {number}"), speaker="Mira"))
    return chat


def sent(chat: Chat, text: str) -> str:
    """The conversation of the prompt that asks this, without the system text."""
    return rendered(chat.added(Entry(with_lore(chat, user(text))))).partition("<extra_id_1>")[2]


@pytest.mark.parametrize(
    ("rules", "prompt"),
    [
        ({}, "User\none\n|Assistant\nreply 0\n|User\ntwo\n|Assistant\nreply 1\n|User\n<context> LORE </context>\nwolf\n|Assistant\n"),
        (
            {"position": 4, "depth": 2},
            "User\none\n|Assistant\nreply 0\n|User\n<context> LORE </context>\ntwo\n|Assistant\nreply 1\n|User\nwolf\n|Assistant\n",
        ),
        (
            {"position": 4, "depth": 2, "role": 1},
            "User\none\n|Assistant\nreply 0\n|User\ntwo\n\nLORE\n|Assistant\nreply 1\n|User\nwolf\n|Assistant\n",
        ),
        (
            {"position": 4, "depth": 0, "role": 2},
            "User\none\n|Assistant\nreply 0\n|User\ntwo\n|Assistant\nreply 1\n\nLORE\n|User\nwolf\n|Assistant\n",
        ),
        (
            {"position": 4, "depth": 99},
            "User\n<context> LORE </context>\none\n|Assistant\nreply 0\n|User\ntwo\n|Assistant\nreply 1\n|User\nwolf\n|Assistant\n",
        ),
        (
            {"position": 3},
            "User\n<context> LORE </context>\none\n|Assistant\nreply 0\n|User\ntwo\n|Assistant\nreply 1\n|User\nwolf\n|Assistant\n",
        ),
    ],
)
def test_what_fires_stands_where_its_author_wants_it_and_stays_there(rules: dict[str, Any], prompt: str) -> None:
    """Fails when the place or the words of an entry are lost, or when it wanders and so spoils what the KV cache holds."""
    chat = told(playing(entry("LORE", "wolf", **rules)), "one", "two")
    assert sent(chat, "wolf") == prompt.replace("|", "<extra_id_1>")
    later = told(chat, "wolf")
    assert sent(later, "and now?").startswith(prompt.replace("|", "<extra_id_1>"))
    assert sent(told(later, "more", "more"), "and now?").startswith(prompt.replace("|", "<extra_id_1>"))


def test_what_is_always_there_among_the_messages_stays_as_far_from_the_end() -> None:
    chat = told(playing(entry("LORE", constant=True, position=4, depth=2)), "one", "two")
    assert "<context> LORE </context>\ntwo" in sent(chat, "three")
    assert "<context> LORE </context>\nthree" in sent(told(chat, "three"), "four")
    assert "LORE" not in rendered(chat).partition("<extra_id_1>")[0]


@pytest.mark.parametrize("note", [None, AuthorNote("Note.", 2)])
def test_entries_above_and_below_the_authors_note(note: AuthorNote | None) -> None:
    entries = entry("BELOW", constant=True, position=3), entry("ABOVE", constant=True, position=2)
    text = sent(told(playing(*entries, note=note), "one", "two"), "three")
    assert ("two\n\nABOVE\nNote.\nBELOW\n" if note else "one\n\nABOVE\nBELOW\n") in text


def test_what_stands_further_up_than_the_window_keeps_is_not_lost() -> None:
    chat = told(playing(entry("LORE", "wolf", position=4, depth=4)), "one", "two", "wolf")
    kept = msgspec.structs.replace(chat, first_kept=4)
    conversation = rendered(kept)
    assert conversation.index("LORE") > conversation.index("two")


def test_the_budget_is_the_cards_within_what_is_free() -> None:
    long = entry("word " * 100, "wolf")  # 125 tokens by the estimate
    assert [each.source for each in fired(playing(long), user("wolf"), 1000).fired] == ["wolf"]
    (dropped,) = fired(playing(long), user("wolf"), 400).dropped  # a quarter of that is 100
    assert dropped.reason.startswith("its 125 tokens are more than what is left of 100")
    assert fired(playing(long, token_budget=200), user("wolf"), 400).fired
    assert not fired(playing(long, token_budget=200), user("wolf"), 100).fired
    always = entry("word " * 100, constant=True)
    assert not fired(playing(always, long, token_budget=200), user("wolf"), 1000).fired
    assert fired(playing(always, long), user("wolf"), 1000).fired
    assert fired(playing(long), user("wolf")).fired


def test_a_cooldown_goes_by_what_is_stored_with_the_messages() -> None:
    chat = playing(entry("STORM", "wolf", cooldown=5))
    texts = [message.contexts for message in _said_by_the_user(told(chat, "wolf", "wolf", "wolf", "wolf"))]
    assert [bool(each) for each in texts] == [True, False, False, True]


def test_chance_of_each_message_is_the_same_however_often_it_is_asked_for() -> None:
    chat = playing(entry("STORM", "wolf", probability=50, cooldown=1))
    once, again = (told(chat, *["wolf"] * 40) for _ in range(2))
    assert once == again
    assert 8 < sum(bool(message.contexts) for message in _said_by_the_user(once)) < 32


def test_what_was_found_for_the_last_message_can_be_found_again() -> None:
    chat = told(playing(entry("A", "wolf"), entry("B", "wolf", probability=0), entry("C", "/(/")), "one", "wolf")
    found = fired_last(chat)
    assert [each.text for each in found.fired] == ["A"]
    assert [each.source for each in found.dropped] == ["wolf"]
    assert len(found.notices) == 1
    assert fired_last(Chat()).fired == ()


async def test_the_view_of_the_window_tells_of_what_was_dropped_and_of_bad_keys() -> None:
    entries = entry("A", "wolf"), entry("B", "wolf", probability=0), entry("C", "/(/")
    chat = session(FakeEngine(reply("Yes."), reply("Yes.")), playing(*entries))
    for draft in (user("a wolf"), None):
        view = await chat.context_view(draft)
        lines = [line.plain for line in sentences(view)]
        assert "+ wolf: the key “wolf” in the last message" in lines
        assert "− wolf: its chance of 0 % did not come up; called by the key “wolf” in the last message" in lines  # noqa: RUF001
        assert "! The key “/(/” is no valid regular expression." in lines
        async for _ in chat.send(user("a wolf")):
            pass


def _said_by_the_user(chat: Chat) -> list[Message]:
    return [each.message for each in chat.entries if not each.speaker]
