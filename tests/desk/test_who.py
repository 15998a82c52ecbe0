"""Personas and who the user is, by commands."""

from __future__ import annotations

import pytest

from nemochat.desk.jobs import Rank
from nemochat.domain.personas import Persona
from tests.desk.sitting import Sitting

MIRA = Persona(name="Mira, guild clerk", greeting="Come in, {{user}}.", greetings=("{{user}}? You again!",), description="A clerk.")


async def command(sitting: Sitting, text: str) -> None:
    """Give a command and wait until it has been done."""
    await sitting.send(text)
    await sitting.desk.jobs.ended(Rank.USER)
    await sitting.settle()


@pytest.mark.parametrize("wanted", ["mira", "Mira, guild clerk", "MIRA, guild", "guild", "clerk", "mira-guild-clerk", "  míra "])
async def test_a_persona_is_found_by_the_name_that_people_call_it(sitting: Sitting, wanted: str) -> None:
    sitting.bench.personas.save(MIRA)
    await command(sitting, f"/persona {wanted}")
    assert sitting.desk.chat.persona == MIRA


async def test_who_is_called_just_so_comes_first_and_several_are_named(sitting: Sitting) -> None:
    for name in ("Mira, guild clerk", "Miranda", "Mira", "Old Bob", "Young Bob"):
        sitting.bench.personas.save(Persona(name=name, description="x"))
    await command(sitting, "/persona mira")
    assert sitting.desk.chat.persona == Persona(name="Mira", description="x")
    for text, said in (
        ("bob", "Several personas are called like bob: Old Bob, Young Bob. Write more of the name."),
        ("rand", "There is no persona rand. /persona lists them."),
    ):
        await command(sitting, f"/persona {text}")
        assert sitting.port.notices[-1] == said


async def test_a_greeting_that_nobody_answered_is_said_to_who_the_user_is_now(sitting: Sitting) -> None:
    """Fails when the greeting keeps the old name, when another of the greetings is shown, or when one that was rewritten is lost."""
    sitting.bench.personas.save(MIRA)
    await command(sitting, "/persona mira")
    assert sitting.said == ["Come in, User."]
    await command(sitting, "/me Anna: A tired traveller.")
    assert sitting.said == ["Come in, Anna."]
    user = sitting.desk.chat.user
    assert user is not None
    assert (user.name, user.description) == ("Anna", "A tired traveller.")
    chosen = sitting.desk.chat.alternatives(0)[1]
    sitting.desk.conversation.change(lambda chat: chat.swiped(0, chosen))
    await command(sitting, "/me Tom")
    assert sitting.said == ["Tom? You again!"]
    sitting.desk.conversation.change(lambda chat: chat.rewritten(0, "My own words, Tom."))
    await command(sitting, "/me anna")
    assert sitting.said == ["My own words, Tom."]
    user = sitting.desk.chat.user
    assert user is not None
    assert user.description == "A tired traveller.", "a profile that is there is chosen as it is"
    assert [each.name for each in sitting.bench.personas.profiles().profiles].count("Anna") == 1


async def test_what_was_said_to_somebody_stays_when_the_talk_has_begun(sitting: Sitting) -> None:
    sitting.bench.personas.save(MIRA)
    await command(sitting, "/persona mira")
    await sitting.send("Hello.")
    await command(sitting, "/me Anna")
    assert sitting.said[0] == "Come in, User."
    user = sitting.desk.chat.user
    assert user is not None
    assert user.name == "Anna"
