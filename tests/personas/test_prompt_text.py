from __future__ import annotations

import msgspec
import pytest

from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.personas import AuthorNote, Lorebook, LoreEntry, Persona, Position, UserProfile
from nemochat.personas import lore
from nemochat.personas.cards import read_card
from nemochat.personas.prompt_text import character_note, example_dialogues, greetings, macros_of, post_history, system_text
from tests.personas.build import golden

ROLE = "You are Ada. Speak and act as Ada would, and stay in this role."
TOM = UserProfile("Tom", "Tom is a tall traveller with {{char}}'s hammer.")


def bran() -> Persona:
    return read_card(golden("v2.json").encode(), "bran.json").persona


def test_a_card_with_a_lorebook_and_macros_as_system_text() -> None:
    assert system_text(bran(), TOM, "Be brief, {{char}}.", seed="1") == golden("bran_system.txt").rstrip("\n")


def test_what_else_a_card_says() -> None:
    macros = macros_of(bran(), TOM, seed="1")
    assert greetings(bran(), TOM, seed="1") == (
        '*The hammer stops.* "What\'ll it be, Tom?"',
        '"Closed," says Bran Ironhand.',
        '"Back again, Tom?"',
    )
    assert post_history(bran(), "Own.", macros) == "Stay in the smithy."
    assert post_history(msgspec.structs.replace(bran(), post_history=""), "Own {{char}}.", macros) == "Own Bran Ironhand."
    assert post_history(msgspec.structs.replace(bran(), post_history="{{original}} More."), "Own.", macros) == "Own. More."
    assert character_note(bran(), macros) == AuthorNote("Bran Ironhand is tired.", 2)


def test_entries_fire_in_a_card_with_reasons() -> None:
    scan = lore.scan(lore.lore_of(bran()), ["Where is the mill?"], macros_of(bran(), TOM, seed="1"), count=len)
    assert [(each.source, each.text, each.reason) for each in scan.fired] == [
        ("The law", "The watch hangs arsonists.", "the key “arson” in the entry “The mill”"),
        ("The mill", "The mill burnt down last winter. Only Tom knows who did it.", "the key “mill” in the last message"),
    ]


def test_creator_notes_never_enter() -> None:
    secrets = dict.fromkeys(("creator_notes", "summary", "creator", "version"), "SECRET {{char}}")
    persona = msgspec.structs.replace(bran(), **secrets, tags=("SECRET",))
    macros = macros_of(persona, TOM, seed="1")
    said = [system_text(persona, TOM, "", seed="1"), post_history(persona, "", macros), *greetings(persona, TOM, seed="1")]
    assert not any("SECRET" in text for text in said)


def test_a_persona_alone_reads_well() -> None:
    assert system_text(Persona(name="Ada"), UserProfile(), "", seed="1") == ROLE
    marga = read_card(golden("v1.json").encode(), "marga.json").persona
    assert system_text(marga, UserProfile(), "", seed="1") == golden("marga_system.txt").rstrip("\n")
    told = Persona(name="Ada", description="You are a clock.", personality="She is exact.", scenario="noon at the tower")
    assert system_text(told, UserProfile(), "", seed="1") == "You are a clock.\n\nShe is exact.\n\nWhat is going on: noon at the tower."


@pytest.mark.parametrize(
    ("system", "own", "expected"),
    [
        ("", "Own.", f"Own.\n\n{ROLE}"),
        ("Hers.", "Own.", "Hers."),
        ("{{ORIGINAL}} Hers.", "Own {{user}}.", "Own Tom. Hers."),
        ("{{original}}", "", ROLE),
        ("{{original}}", "{{original}}", ROLE),
    ],
)
def test_whose_system_text_stands(system: str, own: str, expected: str) -> None:
    assert system_text(Persona(name="Ada", system=system), UserProfile("Tom"), own, seed="1") == expected


def test_names() -> None:
    greeting = "{{char}}, {{user}}, {{persona}}, {{description}}"
    persona = Persona(name="Adelaide", nickname="Ada", greeting=greeting, description="D of {{char}}")
    assert greetings(persona, UserProfile("Tom\x1b[2J", "P of {{user}}\x07"), seed="1") == ("Ada, Tom[2J, P of Tom[2J, D of Ada",)
    named = msgspec.structs.replace(persona, user_name="Captain", greeting="{{user}}", greetings=("", " ", "{{time}}"))
    assert greetings(named, UserProfile("Tom"), seed="1", values={"time": "noon"}) == ("Captain", "noon")
    assert greetings(msgspec.structs.replace(persona, greeting="{{user}}"), UserProfile("{{random:a,b}}"), seed="1") == ("{{random:a,b}}",)


def test_constants_stand_at_their_position() -> None:
    entries = (
        LoreEntry(content="@@made_up 3\nBefore {{user}}.", constant=True),
        LoreEntry(content="@@depth 3\nAmong the messages.", constant=True),
        LoreEntry(content="After.", constant=True, position=Position.AFTER),
        LoreEntry(content="Not there.", keys=("x",)),
    )
    persona = Persona(name="Ada", system="S.", description="D.", scenario="C.", book=Lorebook(entries=entries))
    parts = ["S.", "Before Tom.", "D.", "C.", "Ada is talking with Tom. U.", "After."]
    assert system_text(persona, UserProfile("Tom", "U."), "", seed="1") == "\n\n".join(parts)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (None, None),
        ({"prompt": ""}, None),
        ({"prompt": 5}, None),
        ("text", None),
        ({"prompt": "x", "depth": "deep"}, AuthorNote("x")),
        ({"prompt": "x", "depth": -1}, AuthorNote("x")),
        ({"prompt": "x", "depth": 0}, AuthorNote("x", 0)),
    ],
)
def test_a_note_of_the_character(kept: object, expected: AuthorNote | None) -> None:
    persona = Persona(name="Ada", extensions={"depth_prompt": kept})
    assert character_note(persona, macros_of(persona, TOM, seed="1")) == expected


# -- examples


def dialogue(text: str, name: str = "Ada", user: str = "Tom") -> list[list[tuple[Role, str]]]:
    persona = Persona(name=name, nickname="Addie", examples=text)
    blocks = example_dialogues(persona, macros_of(persona, UserProfile(user), seed="1"))
    assert all(message.example for block in blocks for message in block)
    return [[(message.role, message.text) for message in block] for block in blocks]


USER, CHAR = Role.USER, Role.ASSISTANT


def test_the_examples_of_a_card() -> None:
    blocks = example_dialogues(bran(), macros_of(bran(), TOM, seed="1"))
    assert blocks[0][0] == Message(Role.USER, (TextPart("Can you mend this?"),), example=True)
    assert blocks[0][1].text in ("*He turns it over.*\nAye. Tomorrow.", "*He turns it over.*\nAye. By noon.")
    assert [message.text for message in blocks[1]] == ["Mind the coals."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("<START>\n<start>\n \n", []),
        ("{{user}}: A\n{{char}}: B", [[(USER, "A"), (CHAR, "B")]]),
        ("<START>\nTom: A\nADA: B\nAddie:C", [[(USER, "A"), (CHAR, "B"), (CHAR, "C")]]),
        ("You: D\n<BOT>: E\n<user>:F", [[(USER, "D"), (CHAR, "E"), (USER, "F")]]),
        ("{{char}}: A\n\nmore\n  and {{user}}: more\nBob: hi", [[(CHAR, "A\n\nmore\n  and Tom: more\nBob: hi")]]),
        ("It rains.\n{{user}}: A", [[(CHAR, "It rains."), (USER, "A")]]),
        ("<START>It rains in Ada: Ohio.", [[(CHAR, "It rains in Ada: Ohio.")]]),
        ("{{user}}: \n{{char}}: {{// nothing}}\n{{user}}: A\n{{user}}: B", [[(USER, "A"), (USER, "B")]]),
        ("{{user}}: A<START>{{user}}: B", [[(USER, "A")], [(USER, "B")]]),
    ],
)
def test_dialogues(text: str, expected: list[list[tuple[Role, str]]]) -> None:
    assert dialogue(text) == expected


def test_odd_names_in_dialogues() -> None:
    assert dialogue("A.* (x): hi\nTom: ho", name="A.* (x)") == [[(CHAR, "hi"), (USER, "ho")]]
    assert dialogue("{{user}}: {{user}}", user="{{char}}:\nAda: x") == [[(USER, "{{char}}: Ada: x")]]
