"""Personas through the whole screen: chosen, greeting, swiped, dropped as a card, exchanged, and what the model gets of them."""

from __future__ import annotations

import json
from pathlib import Path

from nemochat.domain.messages import Role
from nemochat.domain.personas import Lorebook, LoreEntry, Persona
from nemochat.personas.cards import write_json
from nemochat.prompt.format import as_text
from nemochat.tui.screens.dialogs import Choose, Write
from nemochat.tui.screens.picker import Picker
from tests.chat.fake_engine import FakeEngine, reply
from tests.tui.bench import Bench, Driver, running

MIRA = Persona(
    name="Mira",
    description="Mira keeps a lighthouse.",
    greeting="Careful on the stairs, {{user}}.",
    greetings=("Who is there?",),
    book=Lorebook(entries=(LoreEntry(keys=("lamp",), content="The lamp has been dark for a year.", name="The lamp"),)),
)


def bench(folder: Path, *engines: FakeEngine) -> Bench:
    made = Bench(folder, dict(zip(("demo", "second"), engines, strict=False)))
    made.personas.save(MIRA)
    return made


def prompt(driver: Driver) -> str:
    """What the engine was asked last."""
    return as_text(driver.bench.engines["demo"].requests[-1].segments)


async def test_a_persona_greets_and_its_greetings_are_swiped(tmp_path: Path) -> None:
    async with running(tmp_path, bench=bench(tmp_path, FakeEngine(reply("A year.")))) as driver:
        await driver.send("/persona mira")
        await driver.until(lambda: driver.said == ["Careful on the stairs, User."])
        await driver.until(lambda: "1/2" in driver.shown and "Mira" in driver.shown)
        await driver.press("right")
        await driver.until(lambda: driver.said == ["Who is there?"])
        await driver.press("right")
        await driver.until(lambda: driver.said == ["Careful on the stairs, User."])
        await driver.send("Is the lamp lit?")
        assert driver.said[-1] == "A year."
        assert "Mira keeps a lighthouse." in prompt(driver)
        assert "<context> The lamp has been dark for a year. </context>" in prompt(driver)
        await driver.until(lambda: "The lamp" in driver.shown)
        assert driver.desk.chat.entries[-1].speaker == "Mira"


async def test_a_new_chat_is_greeted_again_and_off_gives_the_role_up(tmp_path: Path) -> None:
    async with running(tmp_path, bench=bench(tmp_path, FakeEngine(reply("Hm."), reply("Yes.")))) as driver:
        await driver.send("/persona mira")
        await driver.send("Hello")
        await driver.press("ctrl+n")
        await driver.until(lambda: driver.said == ["Careful on the stairs, User."])
        await driver.send("/persona off")
        await driver.send("And now?")
        assert "lighthouse" not in prompt(driver)


async def test_another_persona_goes_on_in_the_same_chat(tmp_path: Path) -> None:
    async with running(tmp_path, bench=bench(tmp_path, FakeEngine(reply("Plain."), reply("Salty.")))) as driver:
        await driver.send("Hello")
        await driver.type("/persona mira")
        await driver.press("enter")
        await driver.dialog(Choose)
        await driver.press("down", "enter")
        await driver.back()
        await driver.send("Again")
        assert driver.said == ["Hello", "Plain.", "Again", "Salty."]
        assert [entry.speaker for entry in driver.desk.chat.entries if entry.message.role is Role.ASSISTANT] == ["", "Mira"]


async def test_a_dropped_card_becomes_a_persona_and_is_talked_with(tmp_path: Path) -> None:
    card = tmp_path / "captain.json"
    card.write_text(write_json(Persona(name="Captain Ruth", greeting="Ahoy.", description="She sails.")))
    async with running(tmp_path, FakeEngine(reply("Aye."))) as driver:
        await driver.paste(str(card))
        await driver.dialog(Choose)
        await driver.press("enter")
        await driver.until(lambda: isinstance(driver.app.screen, Choose) and "is now one of your personas" in driver.shown)
        await driver.press("enter")
        await driver.until(lambda: driver.said == ["Ahoy."])
        assert "captain-ruth" in {each.id for each in driver.bench.personas.list()}


async def test_json_that_is_no_card_is_offered_as_text(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps({"name": "x"}))
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.paste(str(file))
        await driver.dialog(Choose)
        assert "is a text file" in driver.shown


async def test_the_authors_note_and_who_the_user_is_reach_the_model(tmp_path: Path) -> None:
    async with running(tmp_path, bench=bench(tmp_path, FakeEngine(reply("Aye."), reply("Oh.")))) as driver:
        await driver.send("/persona mira")
        await driver.send("/note @0 Keep it tense.")
        await driver.send("Hello")
        assert "Hello\n\nKeep it tense." in prompt(driver)
        await driver.type("/me")
        await driver.press("enter")
        await driver.dialog(Picker)
        await driver.press("down", "enter")
        await driver.dialog(Write)
        await driver.press(*"Anna", "enter")
        await driver.until(lambda: "Who is Anna?" in driver.shown)
        await driver.press(*"A sailor.", "ctrl+s")
        await driver.back()
        await driver.send("Again")
        assert "Mira is talking with Anna. A sailor." in prompt(driver)
        assert driver.bench.personas.profiles().current.name == "Anna"


async def test_the_model_writes_the_users_next_words_as_a_draft(tmp_path: Path) -> None:
    async with running(tmp_path, bench=bench(tmp_path, FakeEngine(reply(" May I", " come in?")))) as driver:
        await driver.send("/persona mira")
        await driver.send("/impersonate")
        await driver.until(lambda: driver.screen.prompt.plain_text == "May I come in?")
        assert len(driver.said) == 1
        assert prompt(driver).endswith("<extra_id_1>User\n")


async def test_a_persona_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.send("/persona nobody")
        await driver.told("There is no persona nobody")


async def test_the_users_own_words_are_changed_without_sending_them_again(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Hm."))) as driver:
        await driver.send("Helo")
        await driver.focus_message(0)
        await driver.press("w")
        await driver.dialog(Write)
        await driver.press(*"!", "ctrl+s")
        await driver.back()
        assert driver.said == ["Helo!", "Hm."]
        assert len(driver.bench.engines["demo"].requests) == 1


async def test_a_personas_colour_is_on_its_name_and_follows_the_theme(tmp_path: Path) -> None:
    made = bench(tmp_path, FakeEngine())
    made.personas.save(Persona(name="Vera", greeting="Yes?", accent="#303030"))
    async with running(tmp_path, bench=made) as driver:
        await driver.send("/persona vera")
        dark = driver.screen.transcript.accents["Vera"]
        driver.app.theme = "nemochat-light"
        await driver.until(lambda: driver.screen.transcript.accents["Vera"] != dark)
