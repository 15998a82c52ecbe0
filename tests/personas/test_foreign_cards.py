"""Cards of version 3 out and in again, and characters of other programs, with what is lost of them named."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nemochat.domain.personas import Lorebook, LoreEntry, Persona
from nemochat.errors import NemochatError
from nemochat.personas import decorators
from nemochat.personas.cards import read_card
from nemochat.personas.store import PersonaStore
from tests.personas.build import charx, png, text_chunk, v2


@pytest.fixture
def store(tmp_path: Path) -> PersonaStore:
    return PersonaStore(tmp_path / "own", tmp_path / "presets")


def v3(**data: Any) -> str:
    return json.dumps({"spec": "chara_card_v3", "spec_version": "3.0", "data": {"name": "Ada", "description": "A clock.", **data}})


def imported(store: PersonaStore, folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return store.import_file(folder / name)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", v3().encode()),
        ("a.json", v3(group_only_greetings=["All here?"], assets=[], creation_date=3).encode()),
        ("a.png", png(text_chunk("ccv3", v3()))),
        ("a.charx", charx({"card.json": v3()})),
    ],
)
def test_a_card_of_version_3_is_exported_as_one(store: PersonaStore, tmp_path: Path, name: str, data: bytes) -> None:
    id_ = imported(store, tmp_path, name, data)
    copy = store.duplicate(id_)
    for number, each in enumerate((id_, copy)):
        store.export(each, tmp_path / f"{number}.json")
        whole = json.loads((tmp_path / f"{number}.json").read_text(encoding="utf-8"))
        assert (whole["spec"], whole["spec_version"]) == ("chara_card_v3", "3.0")
        assert whole["data"]["group_only_greetings"] == (["All here?"] if b"All here?" in data else [])
        assert whole["data"].get("creation_date") == (3 if b"creation_date" in data else None)


def test_others_stay_version_2(store: PersonaStore, tmp_path: Path) -> None:
    for number, id_ in enumerate((imported(store, tmp_path, "b.json", v2().encode()), store.save(Persona(name="Mine", description="x")))):
        store.export(id_, tmp_path / f"{number}.json")
        assert json.loads((tmp_path / f"{number}.json").read_text(encoding="utf-8"))["spec"] == "chara_card_v2"


def test_a_charx_comes_out_with_the_pictures_that_it_came_with(store: PersonaStore, tmp_path: Path) -> None:
    assets = [
        {"type": "icon", "uri": "embeded://assets/icon/main.png", "name": "main", "ext": "png"},
        {"type": "emotion", "uri": "embeded://assets/happy.png", "name": "happy", "ext": "png"},
        {"type": "background", "uri": "https://x.invalid/a.png", "name": "main", "ext": "png"},
        {"type": "emotion", "uri": "embeded://../../etc/passwd", "name": "bad", "ext": "png"},
    ]
    members: dict[str, bytes | str] = {
        "card.json": v3(assets=assets), "assets/icon/main.png": png(), "assets/happy.png": b"happy", "unnamed.bin": b"x",
    }  # fmt: skip
    id_ = imported(store, tmp_path, "a.charx", charx(members))
    persona, avatar = store.load(id_)
    store.save(msgspec.structs.replace(persona, description="A better clock."), id_)
    store.export(id_, tmp_path / "out.charx")
    with zipfile.ZipFile(tmp_path / "out.charx") as box:
        names = set(box.namelist())
        card = json.loads(box.read("card.json"))
        main = next(asset for asset in card["data"]["assets"] if asset["type"] == "icon")
        assert box.read(main["uri"].removeprefix("embeded://")) == avatar
        assert box.read("assets/happy.png") == b"happy"
    assert names == {"card.json", "assets/happy.png", main["uri"].removeprefix("embeded://")}
    assert card["data"]["description"] == "A better clock."
    again = read_card((tmp_path / "out.charx").read_bytes(), "out.charx")
    assert (again.persona.description, again.avatar) == ("A better clock.", avatar)
    store.export(store.save(Persona(name="Mine", description="x")), tmp_path / "mine.charx")
    assert read_card((tmp_path / "mine.charx").read_bytes(), "x").persona.name == "Mine"


@pytest.mark.parametrize("creator", ["Eve\nhttps://x.invalid\nand others", "a\r\nb", "one"])
def test_line_breaks_in_the_creator_survive(store: PersonaStore, tmp_path: Path, creator: str) -> None:
    id_ = imported(store, tmp_path, "a.json", v2(creator=creator).encode())
    store.export(id_, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["data"]["creator"] == creator.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("The forum.\n@@alice is admin\nMore.", "The forum.\n@@alice is admin\nMore."),
        ("@@alice is admin", "@@alice is admin"),
        ("x\n@@alice\ny", "x\n@@alice\ny"),
        ("x\n@@depth charges are weapons\ny", "x\n@@depth charges are weapons\ny"),
        ("x\n@@role of the king\ny", "x\n@@role of the king\ny"),
        ("x\n@@@bob is not\ny", "x\n@@@bob is not\ny"),
        ("@@depth 3\n@@alice is admin", "@@alice is admin"),
        ("mail me @@ home\n@@", "mail me @@ home\n@@"),
        ("@@made_up\n@@custom a,b c\nText.", "Text."),
        ("Text.\n@@depth 3", "Text."),
    ],
)
def test_a_line_that_only_looks_like_a_decorator_is_text(content: str, text: str) -> None:
    assert decorators.read(content).text == text
    persona = Persona(name="A", book=Lorebook(entries=(LoreEntry(content=content, keys=("a",)),)))
    book = decorators.without_decorators(persona).book
    assert book is not None
    assert book.entries[0].content == text


AGNAI = {
    "kind": "character", "name": "Ada", "description": "for people", "appearance": "brass", "scenario": "Noon.", "greeting": "Tick.",
    "persona": {"kind": "boostyle", "attributes": {"mood": ["calm", "exact"], "text": ["A clock."], "empty": []}},
    "sampleChat": "<START>", "systemPrompt": "S", "alternateGreetings": ["Tock."], "tags": ["clock"], "creator": "Eve",
    "insert": {"prompt": "Stay exact.", "depth": 2}, "voice": {"service": "x"}, "sprite": {"a": 1}, "favorite": True, "avatar": "",
    "characterBook": {"kind": "memory", "name": "B", "entries": [
        {"name": "mill", "keywords": ["mill"], "entry": "It burnt.", "weight": 3}]},
}  # fmt: skip


def test_a_character_of_agnai() -> None:
    card = read_card(json.dumps(AGNAI).encode(), "a.json")
    persona = card.persona
    assert persona.description == "mood: calm, exact\nA clock.\nAppearance: brass"
    assert (persona.greeting, persona.greetings, persona.system, persona.creator_notes) == ("Tick.", ("Tock.",), "S", "for people")
    assert persona.book is not None
    assert [(entry.keys, entry.content, entry.order) for entry in persona.book.entries] == [(("mill",), "It burnt.", 3)]
    assert persona.extensions["depth_prompt"] == {"prompt": "Stay exact.", "depth": 2}
    assert card.notices == ("What Agnai calls voice, sprite has no meaning here and was left out.",)


@pytest.mark.parametrize(
    ("text", "notices"),
    [
        ("name: Ada\ngreeting: Tick.\ncontext: |-\n  A clock.\n  Of brass.\n", ()),
        ("# mine\nname: Ada\ngreeting: Tick.\ncontext: |-\n  A clock.\n  Of brass.\nturn_template: <|user|>\nyour_name: Tom\n",
         ("What text-generation-webui calls turn_template, your_name has no meaning here and was left out.",)),
        (json.dumps({"name": "Ada", "greeting": "Tick.", "context": "A clock.\nOf brass."}), ()),
        ("---\ncontext: |-\n  A clock.\n  Of brass.\ngreeting: Tick.\nname: Ada\n", ()),
    ],
)  # fmt: skip
def test_a_character_of_text_generation_webui(text: str, notices: tuple[str, ...]) -> None:
    card = read_card(text.encode(), "a.yaml")
    assert (card.persona.name, card.persona.greeting, card.persona.description) == ("Ada", "Tick.", "A clock.\nOf brass.")
    assert card.notices == notices


def test_the_older_names_in_yaml() -> None:
    card = read_card(b"char_name: Ada\nchar_persona: A clock.\nchar_greeting: Tick.\n", "a.yml")
    assert (card.persona.name, card.persona.description, card.persona.greeting) == ("Ada", "A clock.", "Tick.")


@pytest.mark.parametrize(
    "text",
    [
        "name: &a [x]\ncontext: [*a, *a]\n",
        "name: Ada\ncontext: " + "[" * 5000,
        "name: Ada\ncontext: !!python/object/apply:os.system [echo]\n",
        "name: Ada\ncontext: {\n",
        "name: Ada\n" + "x" * 300_000,
        "name: Ada\nfoo: bar\n",
    ],
)
def test_yaml_of_a_stranger_is_refused_in_time(text: str) -> None:
    began = time.process_time()
    with pytest.raises(NemochatError, match="cannot be read as a character card"):
        read_card(text.encode(), "a.yaml")
    assert time.process_time() - began < 5


def test_a_zip_written_here_is_read_by_others(store: PersonaStore, tmp_path: Path) -> None:
    store.export(store.save(Persona(name="Mine", description="x"), avatar=png()), tmp_path / "a.charx")
    assert zipfile.ZipFile(io.BytesIO((tmp_path / "a.charx").read_bytes())).testzip() is None
