"""A folder of SillyTavern, and whatever else people have, brought in: all of it, once, with a report that names the rest."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nemochat.domain.chat import Chat
from nemochat.domain.groups import Cards, Order
from nemochat.domain.messages import ReasoningPart, Role
from nemochat.domain.personas import AuthorNote, UserProfile
from nemochat.errors import NemochatError
from nemochat.library import Library
from nemochat.library.transfer import export_library
from nemochat.moving.finding import Part, may_bring
from nemochat.moving.importing import Importer, Stores
from nemochat.moving.report import Kind, Report
from nemochat.personas.lorebooks import LorebookStore
from nemochat.personas.sampling_presets import PresetStore
from nemochat.personas.store import PersonaStore
from tests.moving.tavern import BRAN, HEADER, MESSAGES, MIRA, PRESET, lines, make
from tests.personas.build import png, text_chunk, v2


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    home = tmp_path / "home"
    with Library.open(home / "library")[0] as library:
        personas = PersonaStore(home / "personas", tmp_path / "no presets")
        yield Stores(library, personas, LorebookStore(home / "lorebooks"), PresetStore(home / "presets"))


def came(report: Report) -> dict[Kind, list[str]]:
    return {kind: names for kind in Kind if (names := sorted(each.name for each in report.came if each.kind is kind))}


def chat(stores: Stores, report: Report, kind: Kind = Kind.CHAT, name: str = "Mira -") -> Chat:
    (id_,) = [each.id for each in report.came if each.kind is kind and name in each.file]
    return stores.library.load(id_).chat


def everything(folder: Path) -> dict[str, str]:
    """What lies on the disk, without the journals of the database."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in (".toml", ".png", ".json", ".card"))
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if not path.name.startswith(".")}


@pytest.mark.parametrize("inside", ["data/default-user", "public", "."])
def test_a_folder_of_silly_tavern_comes_as_a_whole(stores: Stores, tmp_path: Path, inside: str) -> None:
    make(tmp_path / "st", inside)
    report = Importer(stores).run(tmp_path / "st")
    assert came(report) == {
        Kind.PERSONA: ["Bran", "Mira"],
        Kind.LOREBOOK: ["Harbour"],
        Kind.CHAT: ["What is this?", "What is this?"],
        Kind.GROUP: ["The two"],
        Kind.PROFILE: ["Anna", "Berta"],
        Kind.PRESET: ["Mine"],
    }
    assert not report.here
    assert not report.again
    why = {each.file.rpartition("/")[2]: each.why for each in report.failed}
    assert set(why) == {"torn.png", "old.jsonl", "empty.jsonl"}
    assert "picture without a card" in why["torn.png"]
    assert "Line 2" in why["old.jsonl"]
    left = report.text
    told = "instruct templates|expressions|begin with|my_extension|custom_background|backups|tfs|portraits|themes"
    for word in told.split("|"):
        assert word in left, word
    assert "Nobody.png" in " ".join(report.notes)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_a_chat_keeps_its_swipes_its_note_and_who_speaks(stores: Stores, tmp_path: Path) -> None:
    base = make(tmp_path / "st")
    report = Importer(stores).run(tmp_path / "st")
    read = chat(stores, report)
    assert [(each.message.role, each.speaker, each.message.text, each.message.excluded) for each in read.entries] == [
        (Role.ASSISTANT, "Mira", "Next!", False),
        (Role.USER, "Anna", "What is this?", False),
        (Role.ASSISTANT, "Mira", "A pot.", False),
        (Role.ASSISTANT, "Mira", "", True),
        (Role.USER, "Anna", "(hidden)", True),
    ]
    assert read.counters == {0: (2, 2), 2: (2, 3)}
    assert read.swiped(0, read.alternatives(0)[0]).entries[0].message.text == "Closed."
    assert read.entries[2].message.parts[0] == ReasoningPart("Round.", 1.5)
    (picture,) = read.entries[1].message.images
    found = stores.library.original(picture.digest)
    assert found is not None
    assert found.data == (base / "user/images/Mira/pot.png").read_bytes()
    assert picture.name == "pot.png"
    assert read.entries[3].message.images == (picture,)
    assert [(each.source, each.text) for each in read.entries[1].message.contexts] == [("list.txt", "1 pot")]
    assert read.note == AuthorNote("[It rains.]", 3)
    assert read.user == UserProfile("Anna", "A tired traveller.")
    assert read.persona is not None
    assert (read.persona.name, read.variables) == ("Mira", {"gold": "12"})
    assert read.lorebooks == (stores.lorebooks.list()[0].id,)
    (id_,) = [each.id for each in report.came if each.name == "Mira"]
    assert stores.personas.load(id_)[0].lorebooks == read.lorebooks
    stored = stores.library.load(next(each.id for each in report.came if each.kind is Kind.CHAT and "Mira -" in each.file))
    assert stored.created == pytest.approx(1706954400)
    assert stored.updated == pytest.approx(1706954700.25)
    assert stored.model.name == "some-model"


def test_a_group_comes_with_its_members(stores: Stores, tmp_path: Path) -> None:
    make(tmp_path / "st")
    group = chat(stores, Importer(stores).run(tmp_path / "st"), Kind.GROUP, "g1").group
    assert group is not None
    assert (group.name, group.order, group.cards, group.self_replies) == ("The two", Order.LIST, Cards.JOINED, True)
    assert [(each.name, each.muted) for each in group.members] == [("Mira", False), ("Bran", True)]


def test_the_second_time_changes_nothing(stores: Stores, tmp_path: Path) -> None:
    make(tmp_path / "st")
    first = Importer(stores).run(tmp_path / "st")
    before = everything(tmp_path / "home")
    export_library(stores.library, tmp_path / "1.zip")
    again = Importer(stores).run(tmp_path / "st")
    assert not again.came
    assert sorted(each.kind for each in again.here) == sorted(each.kind for each in first.came)
    assert everything(tmp_path / "home") == before
    assert len(stores.library.conversations()) == 3


def test_a_chat_that_came_alone_does_not_come_again_with_its_folder(stores: Stores, tmp_path: Path) -> None:
    base = make(tmp_path / "st")
    alone = Importer(stores).run(base / "chats" / "Mira" / "Mira - 2024.jsonl")
    with_all = Importer(stores).run(tmp_path / "st")
    assert [each.id for each in with_all.here] == [each.id for each in alone.came] != []


def test_what_went_on_here_does_not_come_again(stores: Stores, tmp_path: Path) -> None:
    """A chat that was imported, went on and was renamed is known by what it was; one out of the bin comes back as it is."""
    make(tmp_path / "st")
    report = Importer(stores).run(tmp_path / "st")
    id_ = next(each.id for each in report.came if each.kind is Kind.GROUP)
    stored = stores.library.load(id_)
    stores.library.save(id_, stored.version, stored.chat, stored.chat.named("Ours").cut(1))
    assert not Importer(stores).run(tmp_path / "st").came
    stores.library.delete(id_)
    back = Importer(stores).run(tmp_path / "st")
    assert [each.id for each in back.came] == [id_]
    assert stores.library.load(id_).chat.name == "Ours"


def test_another_persona_of_the_name_is_not_added_unasked(stores: Stores, tmp_path: Path) -> None:
    base = make(tmp_path / "st")
    Importer(stores).run(tmp_path / "st")
    (base / "characters" / "Mira.png").write_bytes(png(text_chunk("chara", v2(**{**MIRA, "description": "Another."}))))
    importer = Importer(stores)
    report = importer.run(tmp_path / "st")
    assert [each.name for each in report.again] == ["Mira"]
    assert not report.came
    assert "another persona here has the name" in report.text
    assert [each.name for each in importer.add_again().came] == ["Mira"]
    assert sorted(each.name for each in stores.personas.list()) == ["Bran", "Mira", "Mira"]
    assert not Importer(stores).run(tmp_path / "st").again


def test_two_of_one_name_in_a_folder_both_come(stores: Stores, tmp_path: Path) -> None:
    base = make(tmp_path / "st")
    (base / "characters" / "Mira1.png").write_bytes(png(text_chunk("chara", v2(**{**MIRA, "description": "Another."}))))
    (base / "characters" / "Bran2.png").write_bytes(png(text_chunk("chara", v2(**BRAN))))
    assert came(Importer(stores).run(tmp_path / "st"))[Kind.PERSONA] == ["Bran", "Mira", "Mira"]
    assert not Importer(stores).run(tmp_path / "st").came


def test_the_users_own_stays(stores: Stores, tmp_path: Path) -> None:
    """A profile that is here with another description is neither changed nor doubled."""
    from nemochat.personas.profiles import Profiles

    stores.personas.save_profiles(Profiles((UserProfile("Me"), UserProfile("Anna", "mine")), 1))
    make(tmp_path / "st")
    report = Importer(stores).run(tmp_path / "st")
    assert came(report)[Kind.PROFILE] == ["Berta"]
    assert "Anna is here with another description" in report.text
    assert stores.personas.profiles() == Profiles((UserProfile("Me"), UserProfile("Anna", "mine"), UserProfile("Berta")), 1)


def test_any_folder_is_looked_through(stores: Stores, tmp_path: Path) -> None:
    """Files judged by what they hold, wherever they lie."""
    folder = tmp_path / "mixed"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "card.json").write_text(v2(**BRAN))
    (folder / "deep" / "a.jsonl").write_text(lines(HEADER, MESSAGES[0]))
    (folder / "talk.json").write_text(json.dumps([{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]))
    (folder / "preset.json").write_text(json.dumps(PRESET))
    (folder / "char.yaml").write_text("name: Cleo\ncontext: A queen.\ngreeting: Kneel.\nweird: 1\n")
    profiles = {"personas": {"x.png": "Otto"}, "persona_descriptions": {"x.png": {"description": "Tall."}}}
    (folder / "backup.json").write_text(json.dumps(profiles))
    (folder / "note.txt").write_text("x")
    (folder / "torn.json").write_text('{"a": ')
    (folder / "other.json").write_text('{"a": 1}')
    (folder / ".hidden.json").write_text(v2())
    (folder / "link").symlink_to(tmp_path)
    assert may_bring(folder)
    report = Importer(stores).run(folder)
    assert came(report) == {
        Kind.PERSONA: ["Bran", "Cleo"],
        Kind.CHAT: ["Hi.", "Mira"],
        Kind.PROFILE: ["Otto"],
        Kind.PRESET: ["preset"],
    }
    assert [each.file for each in report.failed] == ["torn.json"]
    assert {each.what for each in report.left} >= {".txt files", "JSON of no kind that is known here"}
    assert any("weird" in note for note in report.notes)  # what a form of another program loses is named
    assert not Importer(stores).run(folder).came


def test_it_can_be_stopped_between_two_things(stores: Stores, tmp_path: Path) -> None:
    make(tmp_path / "st")
    steps: list[int] = []
    report = Importer(stores, lambda done, _: steps.append(done), lambda: len(steps) > 4).run(tmp_path / "st")
    assert report.is_stopped
    assert report.came
    assert "stopped" in report.summary
    rest = Importer(stores).run(tmp_path / "st")
    assert rest.came
    assert len(rest.came) + len(report.came) == 9


def test_a_path_that_brings_nothing_says_why(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')
    report = Importer(stores).run(tmp_path / "a.json")
    assert report.has_brought_nothing
    assert [each.what for each in report.left] == ["JSON of no kind that is known here"]
    with pytest.raises(NemochatError, match="cannot be read"):
        Importer(stores).run(tmp_path / "nowhere")


def test_pictures_outside_of_the_folder_are_not_taken(stores: Stores, tmp_path: Path) -> None:
    """A chat may name any path; none but those of its own folder are looked for."""
    base = make(tmp_path / "st")
    (tmp_path / "secret.png").write_bytes(png())
    (base / "user" / "link.png").symlink_to(tmp_path / "secret.png")
    hostile = ["../../../secret.png", str(tmp_path / "secret.png"), "/user/../../../secret.png", "https://x.invalid/a", "/user/link.png"]
    said = [{"name": "Anna", "is_user": True, "mes": "Look.", "extra": {"image": each}} for each in hostile]
    (base / "chats" / "Mira" / "hostile.jsonl").write_text(lines(HEADER, *said))
    read = chat(stores, Importer(stores).run(tmp_path / "st"), name="hostile")
    assert not any(each.message.images for each in read.entries)
    assert all("picture not in the file" in each.message.text for each in read.entries)


def test_hostile_files_cost_themselves_alone(stores: Stores, tmp_path: Path) -> None:
    base = make(tmp_path / "st")
    (base / "chats" / "Mira" / "deep.jsonl").write_text(lines(HEADER) + '\n{"mes": ' + "[" * 100_000)
    bad = {"mes": 7, "name": [], "swipes": {"a": 1}, "extra": "x", "send_date": {}}
    (base / "chats" / "Mira" / "bad.jsonl").write_text(lines(HEADER, bad))
    (base / "worlds" / "bad.json").write_text('{"entries": {"0": 7}}')
    (base / "groups" / "bad.json").write_text("[1]")
    (base / "TextGen Settings" / "bad.json").write_text('{"temp": "hot", "top_p": []}')
    (base / "settings.json").write_text('{"power_user": {"personas": ["x"], "persona_descriptions": 7}}')
    escapes = {"name": "\x1b[31mM", "is_user": False, "mes": "\x1b]52;c;x\x07hi"}
    (base / "chats" / "Mira" / "escapes.jsonl").write_text(lines(HEADER, escapes))
    shutil.copy(base / "characters" / "Mira.png", base / "characters" / "\udcff.png")
    report = Importer(stores).run(tmp_path / "st")
    assert {"Bran", "Mira"} <= {each.name for each in report.came}
    assert "\x1b" not in report.text
    read = chat(stores, report, name="escapes")
    assert (read.entries[0].speaker, read.entries[0].message.text) == ("[31mM", "]52;c;xhi")


def test_a_folder_that_cannot_be_read_is_named(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    (tmp_path / "bag" / "locked").mkdir(parents=True)
    deep = tmp_path / "bag" / "/".join("d" * 17)
    deep.mkdir(parents=True)
    (deep / "chat.jsonl").write_text(lines(HEADER, *MESSAGES))
    monkeypatch.setattr(os, "scandir", refusing)
    report = Importer(stores).run(tmp_path / "bag")
    why = {"the folder cannot be read (Permission denied)", "the folder cannot be read (it lies too deep)"}
    assert {each.why for each in report.failed} == why
    alone = Importer(stores).run(tmp_path / "bag" / "locked")
    assert [each.words for each in alone.failed] == ["locked: the folder cannot be read (Permission denied)"]


def test_what_is_wrong_with_one_part_of_a_chat_costs_no_other(stores: Stores, tmp_path: Path) -> None:
    """Lore that is none, settings of a group that are none, and one of several chats in a file: all that can be read comes."""
    said = {"role": "user", "data": "one", "time": 10**400}
    risu = [{"message": [said], "localLore": ["junk"]}, {"message": 3}, {"message": [{**said, "data": "three"}]}]
    (tmp_path / "risu.json").write_text(json.dumps({"type": "risuAllChats", "data": risu}))
    report = Importer(stores).run(tmp_path / "risu.json")
    assert came(report) == {Kind.CHAT: ["one", "three"]}
    assert [(each.what, each.is_part) for each in report.failed] == [("lorebook", True), ("conversation", False)]
    base = make(tmp_path / "st")
    root = {"members": ["Mira.png", 3], "chats": ["odd", []], "chat_id": {}, "activation_strategy": [], "generation_mode": {}}
    (base / "groups" / "odd.json").write_text(json.dumps(root))
    (base / "group chats" / "odd.jsonl").write_text(lines(HEADER, {"mes": "odd", "is_user": False}))
    report = Importer(stores).run(tmp_path / "st")
    assert not [each for each in report.failed if "odd" in each.file]
    group = chat(stores, report, Kind.GROUP, "odd").group
    assert group is not None
    assert [each.name for each in group.members] == ["Mira"]


def test_every_part_has_a_name() -> None:
    assert all(part.words for part in Part)


@pytest.mark.parametrize("name", ["talk", "talk.txt", "talk.json.bak", "talk.JSON"])
def test_a_file_that_is_named_is_read_whatever_its_ending(stores: Stores, tmp_path: Path, name: str) -> None:
    said = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / name).write_text(json.dumps(said), encoding=encoding)
        report = Importer(stores).run(tmp_path / name)
        assert len((*report.came, *report.here)) == 1, encoding
    (tmp_path / name).write_bytes(b"\x7fELF\0\0")
    assert Importer(stores).run(tmp_path / name).failed


def test_a_bomb_among_conversations_costs_itself_alone(stores: Stores, tmp_path: Path) -> None:
    said = json.dumps({"messages": [{"role": "user", "content": "Hi."}]})
    (tmp_path / "talks.json").write_text(f"[{said}, [{'0,' * 2_100_000}0], {said.replace('Hi', 'Ho')}]")
    report = Importer(stores).run(tmp_path / "talks.json")
    assert len(report.came) == 2
    assert report.lost == "1 conversation"


def test_chats_of_other_programs_find_their_character_and_bring_their_lore(stores: Stores, tmp_path: Path) -> None:
    """RisuAI keeps the greeting with the card, text-generation-webui the name in the folder, KoboldAI its world in the story."""
    (tmp_path / "all" / "Mira").mkdir(parents=True)
    card = v2(name="Mira", description="A clerk.", first_mes="Next!", alternate_greetings=["Closed, {{user}}."])
    (tmp_path / "all" / "mira.json").write_text(card)
    risu = {"message": [{"role": "user", "data": "Hi."}, {"role": "char", "data": "Yes?", "name": "Mira"}], "fmIndex": 0, "name": "Risu"}
    lore = [{"key": "crane, hook", "content": "It is broken.", "insertorder": 1, "comment": "", "mode": "normal"}]
    (tmp_path / "all" / "risu.json").write_text(json.dumps({"type": "risuChat", "ver": 2, "data": {**risu, "localLore": lore}}))
    (tmp_path / "all" / "Mira" / "talk.json").write_text(json.dumps({"internal": [["Hello.", "Go away."]], "visible": []}))
    story = {"gamestarted": True, "prompt": "Once.", "actions": ["There was."], "worldinfo": [{"key": "oak,elm", "content": "Old."}]}
    (tmp_path / "all" / "story.json").write_text(json.dumps(story))
    report = Importer(stores).run(tmp_path / "all")
    assert not report.failed
    read = {each.file: stores.library.load(each.id).chat for each in report.came if each.kind is Kind.CHAT}
    assert [each.message.text for each in read["risu.json"].entries] == ["Closed, User.", "Hi.", "Yes?"]
    assert {each.speaker for each in read["risu.json"].entries if each.message.role is Role.ASSISTANT} == {"Mira"}
    webui = read["Mira/talk.json"]
    assert webui.persona is not None
    assert (webui.persona.name, webui.entries[1].speaker) == ("Mira", "Mira")
    books = {name: stores.lorebooks.get(read[name].lorebooks[0]) for name in ("risu.json", "story.json")}
    assert [book.entries[0].keys for book in books.values()] == [("crane", "hook"), ("oak", "elm")]
    assert not Importer(stores).run(tmp_path / "all").came
