"""A group with the demo model and the real engine: what is evaluated each turn, to the token."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from msgspec.structs import replace

from nemochat.chat import Chat, ChatEvent, TurnResult
from nemochat.chat.cast import spoken_by
from nemochat.domain.groups import Cards, Group
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.personas import Persona, UserProfile
from nemochat.domain.segments import Control, Plain, Segment
from tests.chat.test_warm_demo import Desk, demo

WHAT = {"Mira": "keeps an inn", "Tom": "is a smith", "Ada": "sails"}
PEOPLE = tuple(Persona(name=name, description=f"{name} {what}. " * 6) for name, what in WHAT.items())
GROUP = Group().joined(PEOPLE[0]).joined(PEOPLE[1]).joined(PEOPLE[2])
ANNA = UserProfile("Anna")
CLOSED, ASSISTANT, USER = Control("\n"), Control("<extra_id_1>Assistant\n"), Control("<extra_id_1>User\n")


async def played(events: AsyncGenerator[ChatEvent, None]) -> TurnResult:
    *_, result = [event async for event in events]
    assert isinstance(result, TurnResult)
    return result


async def read_only(desk: Desk, result: TurnResult, *new: Segment) -> None:
    """Evaluated was what is new, and at most the last token of the reply before, which was chosen and not read."""
    counts = await desk.engine.count((CLOSED, *new))
    assert sum(counts[1:]) <= result.usage.evaluated_tokens <= sum(counts) + 1, (result.usage, counts)


async def test_with_joined_cards_a_turn_reads_what_is_new_whoever_speaks(tmp_path: Path) -> None:
    async with demo(tmp_path) as desk:
        talk = desk.session
        talk.open_chat(Chat(group=GROUP, user=ANNA).framed("Be brief.").opened(["Welcome."], "Mira"), key="g")
        first = await played(talk.send(Message(Role.USER, (TextPart("Who is there?"),))))
        assert first.usage.reused_tokens < 20
        for name in ("Tom", "Ada", "Mira", "Tom"):
            result = await played(talk.speak(name))
            await read_only(desk, result, ASSISTANT, Plain(f"{name}:"))
        talk.chat = spoken_by(talk.chat, "Ada")
        result = await played(talk.send(Message(Role.USER, (TextPart("And now?"),))))
        await read_only(desk, result, USER, Plain("Anna: And now?"), CLOSED, ASSISTANT, Plain("Ada:"))
        again = await played(talk.regenerate())
        assert again.usage.evaluated_tokens <= 2, "another reply reads nothing"
        assert [entry.speaker for entry in talk.entries] == ["Mira", "", "Mira", "Tom", "Ada", "Mira", "Tom", "", "Ada"]


async def test_with_the_speakers_card_alone_a_switch_costs_what_was_said(tmp_path: Path) -> None:
    async with demo(tmp_path) as desk:
        talk = desk.session
        own = replace(GROUP, cards=Cards.OWN)
        talk.open_chat(Chat(group=own, user=ANNA).framed("Be brief.").opened(["Welcome."], "Mira"), key="g")
        await played(talk.send(Message(Role.USER, (TextPart("Who is there?"),))))
        same = await played(talk.speak("Mira"))
        await read_only(desk, same, ASSISTANT, Plain("Mira:"))
        said = (await talk.context_view()).switches
        assert set(said) == {"Tom", "Ada"}
        switched = await played(talk.speak("Tom"))
        # What is said goes by whole pieces of the prompt; the two system texts have their first words in common.
        alike = sum(await desk.engine.count([Plain("Be brief.\n\nYou are ")]))
        assert said["Tom"] - alike - 1 <= switched.usage.evaluated_tokens <= said["Tom"]
        assert said["Tom"] > 100
