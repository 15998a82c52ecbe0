"""Several personas on the desk: who speaks after whom, by hand, stopped, made anew, taken back, and after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from nemochat.desk.port import PersonaAction, PersonaWish
from nemochat.domain.groups import Order
from nemochat.domain.personas import AuthorNote, Lorebook, LoreEntry, Persona
from nemochat.prompt.format import as_text
from tests.chat.fake_engine import FakeEngine
from tests.desk.bench import Bench
from tests.desk.sitting import Sitting, engine_of

MIRA = Persona(name="Mira", description="Mira keeps an inn.", greeting="Come in, {{user}}.", greetings=("Closed.",))
TOM = Persona(name="Tom", description="Tom is a smith.", greeting="Hm.", card={"group_only_greetings": ["Good to see you all.", "You lot"]})
ANNA = Persona(name="Anna", description="Anna is a knight.")


def quiet(*_: object) -> float:
    """Chance by which nobody speaks who is not named."""
    return 0.999


async def group_of(sitting: Sitting, *personas: Persona) -> Sitting:
    for persona in personas:
        id_ = sitting.bench.personas.save(persona)
        await sitting.desk.groups.run(f"add {id_}")
    await sitting.settle()
    sitting.desk.draw = quiet
    return sitting


@pytest.fixture
def engine() -> FakeEngine:
    return engine_of()


@pytest.fixture
async def sitting(tmp_path: Path, engine: FakeEngine) -> Sitting:
    return await group_of(await Sitting(Bench(tmp_path, {"demo": engine})).begin(), MIRA, TOM, ANNA)


def said(sitting: Sitting) -> list[tuple[str, str]]:
    return [(entry.speaker, entry.message.text) for entry in sitting.desk.chat.entries]


def members(sitting: Sitting) -> tuple[str, ...]:
    return sitting.desk.chat.group.names if sitting.desk.chat.group is not None else ()


def prompts(engine: FakeEngine) -> list[str]:
    return [as_text(request.segments) for request in engine.requests]


async def test_everybody_greets_in_turn_with_what_is_for_groups(sitting: Sitting) -> None:
    assert said(sitting) == [("Mira", "Come in, User."), ("Tom", "Good to see you all.")]
    assert sitting.desk.chat.counters == {0: (1, 2), 1: (1, 2)}
    await sitting.act(0, "swipe_right")
    assert said(sitting) == [("Mira", "Closed."), ("Tom", "Good to see you all.")], "the others' greetings stay"
    await sitting.act(1, "swipe_left")
    await sitting.act(0, "swipe_right")
    assert said(sitting) == [("Mira", "Come in, User."), ("Tom", "You lot")]
    await sitting.close()


async def test_whom_the_user_names_replies_and_the_prompt_names_who_speaks(sitting: Sitting, engine: FakeEngine) -> None:
    await sitting.send("Tom, Anna: what now?")
    assert [who for who, _ in said(sitting)][2:] == ["", "Tom", "Anna"]
    first, second = prompts(engine)[-2:]
    assert "Mira keeps an inn." in first
    assert "Tom is a smith." in first
    assert "Assistant\nMira: Come in, User.\n" in first
    assert "User\nUser: Tom, Anna: what now?\n" in first
    assert first.endswith("<extra_id_1>Assistant\nTom:")
    assert second.endswith("<extra_id_1>Assistant\nAnna:")
    assert second.startswith(first), "joined cards: whoever speaks, only what is new is read"
    stops = engine.requests[-1].sampling.stop or ()
    assert {"\nUser:", "\nMira:", "\nTom:"} <= set(stops)
    assert "\nAnna:" not in stops
    await sitting.close()


async def test_a_single_card_is_the_speakers(sitting: Sitting, engine: FakeEngine) -> None:
    await sitting.desk.groups.run("cards own")
    await sitting.send("Tom? Anna?")
    first, second = prompts(engine)[-2:]
    assert "Tom is a smith." in first
    assert "Mira keeps an inn." not in first
    assert "Anna is a knight." in second
    assert "Tom is a smith." not in second
    await sitting.close()


async def test_a_stop_ends_those_who_were_to_speak_behind(sitting: Sitting, engine: FakeEngine) -> None:
    engine.gate = asyncio.Semaphore(0)
    await sitting.desk.groups.run("order list")
    sitting.enter("Hello.")
    await sitting.until(lambda: sitting.port.queue == ("Tom speaks", "Anna speaks") and engine.requests)
    sitting.enter("And what is sent meanwhile has its turn.")
    await sitting.until(lambda: len(sitting.port.queue) == 3)
    group = sitting.desk.chat.group
    assert group is not None
    sitting.desk.conversation.change(lambda chat: replace(chat, group=replace(group, order=Order.MANUAL)))
    assert sitting.desk.stop()
    assert sitting.port.queue == ("And what is sent meanwhile has its turn.",)
    engine.gate = None
    await sitting.settle()
    assert [(who, text) for who, text in said(sitting) if who in ("Tom", "Anna")] == [("Tom", "Good to see you all.")]
    assert sitting.said[-1] == "And what is sent meanwhile has its turn.", "nobody was due, so it has no reply"
    assert not sitting.desk.conversation.is_held
    await sitting.close()


async def test_one_who_waits_can_be_taken_out_of_the_queue(sitting: Sitting, engine: FakeEngine) -> None:
    engine.gate = asyncio.Semaphore(0)
    await sitting.desk.groups.run("order list")
    sitting.enter("Hello.")
    await sitting.until(lambda: sitting.port.queue == ("Tom speaks", "Anna speaks") and engine.requests)
    sitting.desk.turns.unqueue(0)
    engine.gate.release()
    engine.gate.release()
    await sitting.settle()
    assert [who for who, _ in said(sitting)][2:] == ["", "Mira", "Anna"]
    await sitting.close()


async def test_nobody_is_due_where_the_user_says_who_speaks(sitting: Sitting, engine: FakeEngine) -> None:
    await sitting.desk.groups.run("order manual")
    before = len(engine.requests)
    await sitting.send("Anyone?")
    assert said(sitting)[-1] == ("", "Anyone?")
    assert len(engine.requests) == before
    sitting.enter("/speak ann")
    await sitting.settle()
    assert said(sitting)[-1][0] == "Anna"
    sitting.port.answers.append("Tom")
    sitting.enter("/speak")
    await sitting.settle()
    assert said(sitting)[-1][0] == "Tom"
    await sitting.close()


async def test_who_is_muted_speaks_by_hand_alone(sitting: Sitting) -> None:
    await sitting.desk.groups.run("mute Tom")
    await sitting.desk.groups.run("order list")
    await sitting.send("Tom?")
    assert [who for who, _ in said(sitting)][3:] == ["Mira", "Anna"]
    await sitting.desk.groups.speak("Tom")
    await sitting.settle()
    assert said(sitting)[-1][0] == "Tom"
    await sitting.close()


async def test_another_reply_is_by_the_same_one_and_keeps_what_stands_before(sitting: Sitting, engine: FakeEngine) -> None:
    await sitting.send("Tom, Anna: go.")
    before = said(sitting)
    await sitting.act(4, "regenerate")
    await sitting.settle()
    after = said(sitting)
    assert after[:4] == before[:4]
    assert after[4][0] == "Anna"
    assert after[4] != before[4]
    assert sitting.desk.chat.counters[4] == (2, 2)
    await sitting.act(4, "swipe_left")
    assert said(sitting) == before
    await sitting.act(3, "regenerate")
    await sitting.settle()
    assert [who for who, _ in said(sitting)][3:] == ["Tom"], "what stood behind it is in the tree"
    assert prompts(engine)[-1].endswith("Tom:")
    await sitting.act(1, "regenerate")
    assert sitting.port.notices[-1] == "There is no message to reply to."
    await sitting.close()


async def test_the_reply_that_goes_on_is_its_speakers(sitting: Sitting, engine: FakeEngine) -> None:
    await sitting.send("Tom, Anna: go.")
    anna = said(sitting)[-1][1]
    await sitting.desk.groups.speak("Tom")
    await sitting.settle()
    await sitting.act(5, "delete")
    await sitting.act(4, "continue")
    await sitting.settle()
    assert said(sitting)[-1][0] == "Anna"
    assert said(sitting)[-1][1].startswith(anna)
    assert prompts(engine)[-1].endswith(f"Anna: {anna}")
    await sitting.close()


async def test_members_come_and_go_and_undo_brings_them_back(sitting: Sitting) -> None:
    await sitting.send("Tom?")
    await sitting.desk.groups.run("remove tom")
    assert members(sitting) == ("Mira", "Anna")
    await sitting.send("Tom?")
    assert said(sitting)[-1][0] in ("Mira", "Anna"), "he is not there any more"
    sitting.desk.undo()
    assert members(sitting) == ("Mira", "Tom", "Anna")
    assert len(said(sitting)) == 6, "turns are never taken back"
    await sitting.close()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/group mute Bob", "Bob is not in this chat. There are: Mira, Tom, Anna."),
        ("/group dance", "/group has no dance. There are: "),
        ("/group talk Tom 3", "Talkativeness is a number from 0 to 1."),
        ("/group talk Tom", "Talkativeness is a number from 0 to 1."),
        ("/group order backwards", "There is no backwards. There are: natural, list, pooled, manual."),
        ("/group self maybe", "/group self takes on or off."),
        ("/group add Nobody", "There is no persona Nobody. /persona lists them."),
        ("/speak Bob", "Bob is not in this chat."),
    ],
)
async def test_what_cannot_be_done_is_said(sitting: Sitting, line: str, words: str) -> None:
    before = sitting.desk.chat
    sitting.enter(line)
    await sitting.settle()
    assert sitting.port.notices[-1].startswith(words)
    assert sitting.desk.chat == before
    await sitting.close()


async def test_a_chat_without_a_group_says_so(tmp_path: Path) -> None:
    sitting = await Sitting(Bench(tmp_path, {"demo": engine_of()})).begin()
    for line, words in (("/group mute Tom", "This chat has no group."), ("/speak", "Nobody is in this chat but the model")):
        sitting.enter(line)
        await sitting.settle()
        assert sitting.port.notices[-1].startswith(words)
    await sitting.close()


async def test_the_list_of_members_does_what_the_words_do(sitting: Sitting) -> None:
    sitting.port.answers.extend(["member Tom", "mute", "member Tom", "talk", "0.9", "member Anna", "up", "order", "list", None])
    await sitting.desk.groups.run("")
    group = sitting.desk.chat.group
    assert group is not None
    assert (group.names, group.order) == (("Mira", "Anna", "Tom"), Order.LIST)
    assert [(each.muted, each.chance) for each in group.members][2] == (True, 0.9)
    sitting.port.answers.extend(["add", PersonaWish(PersonaAction.USE, "mira"), None])
    await sitting.desk.groups.run("")
    assert sitting.desk.chat.group is not None
    assert sitting.desk.chat.group.names == ("Mira", "Anna", "Tom", "Mira 2")
    await sitting.close()


async def test_after_a_restart_the_prompt_is_the_same_letter_for_letter(tmp_path: Path, engine: FakeEngine) -> None:
    book = Lorebook(entries=(LoreEntry(content="It is {{random::Monday::Sunday::Friday}}, {{time}}.", keys=("day",)),))
    timed = replace(TOM, description="Tom, at {{time}} on {{date}}: {{random::glad::sad::tired}} {{incvar::days}}.", book=book)
    sitting = await group_of(await Sitting(Bench(tmp_path, {"demo": engine})).begin(), MIRA, timed, ANNA)
    sitting.desk.conversation.change(lambda chat: replace(chat, note=AuthorNote("{{roll:1000000}} {{isotime}} {{lastMessage}}", 1)))
    await sitting.send("What day is it, Tom, Anna? {{roll:1000000}} {{setvar::asked::yes}}{{getvar::asked}}")
    chat, id_ = sitting.desk.chat, sitting.desk.conversation.id
    assert "{{" not in chat.entries[2].message.text
    assert chat.entries[2].message.text.endswith(" yes")
    assert dict(chat.variables) == {"days": "1", "asked": "yes"}
    await sitting.act(len(chat.entries) - 1, "regenerate")
    await sitting.settle()
    last = prompts(engine)[-2:]
    assert last[0] == last[1]
    await sitting.close()
    again = await Sitting(Bench(tmp_path, {"demo": (other := engine_of())})).begin()
    await again.desk.chats.open(id_)
    await again.settle()
    assert again.desk.chat.group == sitting.desk.chat.group
    await again.act(len(chat.entries) - 1, "regenerate")
    await again.settle()
    assert prompts(other)[-1] == last[0]
    await again.close()


async def test_forks_exports_and_new_chats_have_the_group(sitting: Sitting, tmp_path: Path) -> None:
    await sitting.send("Tom?")
    for ending in (".md", ".html", ".json"):
        await sitting.desk.chats.export(sitting.desk.chat, str(tmp_path / f"chat{ending}"))
        assert {"Mira", "Tom"} <= {name for name in ("Mira", "Tom") if name in (tmp_path / f"chat{ending}").read_text()}
    group = sitting.desk.chat.group
    await sitting.act(0, "fork")
    await sitting.settle()
    assert sitting.desk.chat.group == group
    sitting.desk.new()
    await sitting.settle()
    assert sitting.desk.chat.group is not None
    assert sitting.desk.chat.group.names == ("Mira", "Tom", "Anna")
    assert said(sitting) == [("Mira", "Come in, User."), ("Tom", "Good to see you all.")]
    await sitting.close()


async def test_another_user_is_greeted_by_everybody(sitting: Sitting) -> None:
    sitting.enter("/me Ada")
    await sitting.settle()
    assert said(sitting) == [("Mira", "Come in, Ada."), ("Tom", "Good to see you all.")]
    await sitting.close()
