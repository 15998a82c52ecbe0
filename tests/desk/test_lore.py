"""Lorebooks on the desk: whose they are, what the model then reads, what is kept, and what a restart makes of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nemochat.chat.drops import find_drops
from nemochat.desk.port import AskLore, AskLorebook, AskOne, AskPersonaEdited, LoreAction, LoreWish, ShowText
from nemochat.domain.personas import AuthorNote, Lorebook, LoreEntry, Persona
from nemochat.errors import NemochatError
from nemochat.prompt.format import as_text
from nemochat.settings import LoreSettings, Settings
from tests.desk.bench import Bench
from tests.desk.sitting import Sitting, engine, engine_of
from tests.personas.test_lorebooks import SHAPES, world

WOODS = Lorebook(
    name="Woods",
    entries=(LoreEntry(content="Wolves hunt here.", keys=("wolf",), name="Wolves"), LoreEntry(content="It is dark.", constant=True)),
)
VALLEY = Lorebook(name="Valley", entries=(LoreEntry(content="The valley sleeps.", constant=True),))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path, {"demo": engine_of()})
    made.lorebooks.add(WOODS)
    made.lorebooks.add(VALLEY)
    return made


async def begun(bench: Bench, *answers: object) -> Sitting:
    return await Sitting(bench, *answers).begin()


def prompt(sitting: Sitting) -> str:
    return as_text(engine(sitting).requests[-1].segments)


async def test_a_lorebook_of_a_chat_without_a_persona_is_read(bench: Bench) -> None:
    sitting = await begun(bench)
    await sitting.send("/lore woods")
    assert sitting.port.notices == ["Woods is used in this chat now."]
    await sitting.send("I hear a wolf.")
    assert "It is dark." in prompt(sitting)
    assert "<context> Wolves hunt here. </context>" in prompt(sitting)
    await sitting.send("/lore woods")
    await sitting.send("And another wolf.")
    assert "It is dark." not in prompt(sitting)
    assert prompt(sitting).count("Wolves hunt here.") == 1  # what was said stays said
    await sitting.close()


async def test_the_prompt_is_the_same_after_a_restart(bench: Bench, tmp_path: Path) -> None:
    bench.settings = Settings(lore=LoreSettings(books=("valley",)))
    persona = Persona(name="Mira", description="Keeps an inn.", book=Lorebook(entries=(LoreEntry(content="Mice.", keys=("cellar",)),)))
    id_ = bench.personas.save(msgspec.structs.replace(persona, lorebooks=("woods",)))
    sitting = await begun(bench)
    await sitting.desk.roles.use(id_)
    await sitting.send("A wolf in the cellar!")
    before, asked = prompt(sitting), sitting.desk.conversation.id
    assert all(text in before for text in ("Mice.", "Wolves hunt here.", "It is dark.", "The valley sleeps."))
    await sitting.close()
    bench = Bench(tmp_path, {"demo": engine_of()}, bench.settings)
    bench.resume = asked
    again = await begun(bench)
    await again.act(len(again.said) - 1, "regenerate")
    await again.settle()
    assert prompt(again) == before
    # A file that was changed by hand counts from then on, and what stands there is shown.
    file = tmp_path / "data" / "lorebooks" / "valley.json"
    file.write_text(file.read_text(encoding="utf-8").replace("sleeps", "burns"), encoding="utf-8")
    os.utime(file, ns=(1, 1))
    await again.act(len(again.said) - 1, "regenerate")
    await again.settle()
    assert prompt(again) == before.replace("sleeps", "burns")
    assert again.desk.reading.view is not None
    assert "The valley burns." in [each.text for each in again.desk.reading.view.lore.always]
    assert "The lorebook Valley was changed: what it says now counts." in again.port.notices
    await again.close()


async def test_a_lorebook_that_is_gone_is_named_and_the_chat_goes_on(bench: Bench) -> None:
    sitting = await begun(bench)
    await sitting.send("/lore woods")
    bench.lorebooks.remove("woods")
    await sitting.send("A wolf?")
    assert len(sitting.said) == 2
    assert sitting.desk.reading.view is not None
    assert sitting.desk.reading.view.lore.notices == ("There is no lorebook “woods”.",)
    await sitting.close()


@pytest.mark.parametrize(("typed", "says"), [("/lore nix", "There is no lorebook nix."), ("/lore v", "Valley is used"), ("/lore ", "")])
async def test_names(bench: Bench, typed: str, says: str) -> None:
    sitting = await begun(bench)
    await sitting.send(typed)
    assert not says or sitting.port.notices[0].startswith(says)
    assert not says or not any(isinstance(ask, AskLore) for ask in sitting.port.asked)
    await sitting.close()


async def test_several_that_are_meant_are_named(bench: Bench) -> None:
    bench.lorebooks.add(msgspec.structs.replace(WOODS, name="Woods of old"))
    sitting = await begun(bench)
    await sitting.send("/lore wo")
    assert sitting.port.notices == ["Several lorebooks are called like wo: Woods, Woods of old. Write more of the name."]
    await sitting.close()


async def test_whose_they_are_is_chosen_in_the_list_and_shown_there(bench: Bench) -> None:
    id_ = bench.personas.save(Persona(name="Mira", book=VALLEY))
    answers = [LoreWish(action, "woods") for action in (LoreAction.CHAT, LoreAction.PERSONA, LoreAction.EVERYWHERE)]
    sitting = await begun(bench, *answers)
    await sitting.desk.roles.use(id_)
    await sitting.send("/lore")
    asks = [ask for ask in sitting.port.asked if isinstance(ask, AskLore)]
    assert [next(item.where for item in ask.lorebooks if item.summary.name == "Woods") for ask in asks] == [
        (), ("this chat",), ("this chat", "Mira"), ("this chat", "Mira", "every chat"),
    ]  # fmt: skip
    assert asks[0].lorebooks[0].where == ("part of Mira",)
    chat = sitting.desk.chat
    assert chat.lorebooks == ("woods",)
    assert chat.persona is not None
    assert chat.persona.lorebooks == bench.personas.load(id_)[0].lorebooks == ("woods",)
    assert sitting.desk.shelf.settings.books == ("woods",)
    await sitting.send("A wolf.")
    assert prompt(sitting).count("It is dark.") == 1
    await sitting.close()


async def test_a_setting_that_the_environment_makes_is_not_changed(bench: Bench) -> None:
    bench.locked = {"lore.books": "NEMOCHAT_LORE_BOOKS"}
    sitting = await begun(bench, LoreWish(LoreAction.EVERYWHERE, "woods"))
    await sitting.send("/lore")
    assert sitting.port.notices == ["The lorebooks of every chat are set by NEMOCHAT_LORE_BOOKS. Change it there."]
    await sitting.close()


async def test_what_is_written_in_the_screen_is_on_the_disk_when_the_program_ends(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sitting = await begun(bench, LoreWish(LoreAction.OPEN, "woods"))
    states = [msgspec.structs.replace(WOODS, description=f"Number {number}.") for number in range(50)]

    ask = sitting.port.ask

    async def asked(what: Any) -> Any:
        if isinstance(what, AskLorebook):
            for state in states:
                what.save(state)
        return await ask(what)

    monkeypatch.setattr(sitting.port, "ask", asked)
    await sitting.send("/lore")
    await sitting.close()
    assert Bench(tmp_path, {}).lorebooks.get("woods") == states[-1]
    assert sitting.port.notices == []  # what the user has written there is no news to them


async def test_a_lorebook_that_cannot_be_written_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sitting = await begun(bench, LoreWish(LoreAction.OPEN, "woods"), None)
    ask = sitting.port.ask

    async def asked(what: Any) -> Any:
        if isinstance(what, AskLorebook):
            what.save(msgspec.structs.replace(WOODS, name="x" * 1_000))
        return await ask(what)

    monkeypatch.setattr(sitting.port, "ask", asked)
    await sitting.send("/lore")
    await sitting.until(lambda: any("cannot be saved" in notice for notice in sitting.port.notices))
    assert bench.lorebooks.get("woods") == WOODS
    await sitting.close()


async def test_what_another_program_has_written_meanwhile_is_not_lost(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older value of the whole lorebook was written over it."""
    sitting = await begun(bench, LoreWish(LoreAction.OPEN, "woods"), None)
    theirs, ours = (msgspec.structs.replace(WOODS, description=text) for text in ("theirs", "ours"))
    ask = sitting.port.ask

    async def asked(what: Any) -> Any:
        if isinstance(what, AskLorebook):
            Bench(tmp_path, {}).lorebooks.save("woods", theirs)
            what.save(ours)
        return await ask(what)

    monkeypatch.setattr(sitting.port, "ask", asked)
    await sitting.send("/lore")
    await sitting.close()
    assert bench.lorebooks.get("woods") == ours
    assert any("was changed elsewhere meanwhile" in notice for notice in sitting.port.notices)
    assert bench.lorebooks.get(bench.lorebooks.restore("woods~1")) == theirs


async def test_what_the_disk_did_not_take_is_written_when_it_does(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was forgotten as soon as the screen was left."""
    sitting = await begun(bench, LoreWish(LoreAction.OPEN, "woods"), None)
    ours = msgspec.structs.replace(WOODS, description="ours")
    ask, save, refused = sitting.port.ask, bench.lorebooks.save, [NemochatError("The disk is full.")]

    def refusing(id_: str, book: Lorebook, before: Lorebook | None = None) -> Path | None:
        if refused:
            raise refused.pop()
        return save(id_, book, before)

    async def asked(what: Any) -> Any:
        if isinstance(what, AskLorebook):
            what.save(ours)
        return await ask(what)

    monkeypatch.setattr(bench.lorebooks, "save", refusing)
    monkeypatch.setattr(sitting.port, "ask", asked)
    await sitting.send("/lore")
    await sitting.until(lambda: not refused)
    await sitting.close()
    assert bench.lorebooks.get("woods") == ours


async def test_the_persona_s_own_is_changed_in_the_chat_and_with_the_persona(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = bench.personas.save(Persona(name="Mira", book=VALLEY))
    changed = msgspec.structs.replace(VALLEY, entries=())
    sitting = await begun(bench)
    await sitting.desk.roles.use(id_)
    ask = sitting.port.ask

    async def asked(what: Any) -> Any:
        if isinstance(what, AskLore):
            is_first = sum(isinstance(each, AskLore) for each in sitting.port.asked) == 0
            await ask(what)
            return LoreWish(LoreAction.OPEN, what.lorebooks[0].summary.id) if is_first else None
        if isinstance(what, AskLorebook):
            assert what.attempt(what.book, "x").always[0].text == "The valley sleeps."
            what.save(changed)
        return await ask(what)

    monkeypatch.setattr(sitting.port, "ask", asked)
    await sitting.send("/lore")
    assert sitting.desk.chat.persona is not None
    assert sitting.desk.chat.persona.book == changed == bench.personas.load(id_)[0].book
    await sitting.close()


async def test_made_exported_deleted_and_brought_back(bench: Bench, tmp_path: Path) -> None:
    wishes = [LoreWish(LoreAction.NEW, ""), "Sea", None, LoreWish(LoreAction.EXPORT, "woods"), str(tmp_path / "out.json"), "world"]
    wishes += [LoreWish(LoreAction.DELETE, "woods"), "undo", LoreWish(LoreAction.DELETE, "valley"), "yes", None]
    sitting = await begun(bench, *wishes)
    await sitting.send("/lore")
    assert {each.id for each in bench.lorebooks.list()} == {"sea", "woods"}
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["entries"]["0"]["key"] == ["wolf"]
    await sitting.close()


@pytest.mark.parametrize(
    ("answer", "books", "everywhere"), [("chat", ("a-world",), ()), ("everywhere", (), ("a-world",)), ("later", (), ())]
)
async def test_a_dropped_lorebook_is_offered(
    bench: Bench, tmp_path: Path, answer: str, books: tuple[str, ...], everywhere: tuple[str, ...]
) -> None:
    file = tmp_path / "A world.json"
    file.write_bytes(world({"vectorized": True}))
    sitting = await begun(bench, "lore", answer)
    sitting.desk.dropping.take(find_drops(str(file), tmp_path, tmp_path))
    await sitting.until(lambda: len(sitting.port.asked) == 2)
    await sitting.settle()
    await sitting.until(lambda: (sitting.desk.chat.lorebooks, sitting.desk.shelf.settings.books) == (books, everywhere))
    asked = sitting.port.asked[0]
    assert isinstance(asked, AskOne)
    assert asked.title == "A world.json is a lorebook"
    assert any("vectorized" in notice for notice in sitting.port.notices)
    await sitting.close()


@pytest.mark.parametrize("shape", [name for name in SHAPES if name not in ("risum", "novelai in a picture")])
async def test_every_shape_is_known_when_it_is_dropped(bench: Bench, tmp_path: Path, shape: str) -> None:
    file = tmp_path / "book.json"
    file.write_bytes(SHAPES[shape])
    sitting = await begun(bench)
    sitting.desk.dropping.take(find_drops(str(file), tmp_path, tmp_path))
    await sitting.until(lambda: sitting.port.asked)
    assert isinstance(sitting.port.asked[0], AskOne)
    assert sitting.port.asked[0].title == "book.json is a lorebook"
    await sitting.close()


async def test_what_a_text_would_call_is_said(bench: Bench) -> None:
    sitting = await begun(bench)
    await sitting.send("/lore woods")
    await sitting.send("/lore try a wolf at night")
    shown = sitting.port.asked[-1]
    assert isinstance(shown, ShowText)
    assert shown.text == "+ Wolves: the key “wolf” in the last message\n+ It is dark.: it is always there"
    await sitting.close()


async def test_the_form_of_a_persona_knows_the_lorebooks(bench: Bench) -> None:
    sitting = await begun(bench)
    await sitting.desk.roles._edit(None)
    asked = sitting.port.asked[-1]
    assert isinstance(asked, AskPersonaEdited)
    assert [each.id for each in asked.lorebooks] == ["valley", "woods"]
    await sitting.close()


async def test_names_notes_and_older_messages_are_searched_as_the_settings_say(bench: Bench) -> None:
    book = Lorebook(name="Names", entries=(LoreEntry(content="Of Mira.", keys=("Mira",)), LoreEntry(content="Of snow.", keys=("snow",))))
    bench.settings = Settings(lore=LoreSettings(books=(bench.lorebooks.add(book),)))
    sitting = await begun(bench)
    id_ = bench.personas.save(Persona(name="Mira", greeting="Hello."))
    await sitting.desk.roles.use(id_)
    sitting.desk.conversation.change(lambda chat: msgspec.structs.replace(chat, note=AuthorNote("Much snow.")))
    await sitting.send("One.")
    assert "<context> Of Mira. </context>" in prompt(sitting)
    assert "Of snow." not in prompt(sitting)
    await sitting.desk.settings_changed({"lore.scan_note": True, "lore.names": False})
    await sitting.send("Two.")
    assert "<context> Of snow. </context>" in prompt(sitting)
    await sitting.close()
