from __future__ import annotations

import errno
import io
import os
import stat
import time
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from nemochat.domain.personas import Persona, UserProfile
from nemochat.errors import NemochatError, UsageError
from nemochat.personas.cards import read_card, write_png
from nemochat.personas.profiles import Profiles
from nemochat.personas.store import PersonaStore, ReadPersona, slug
from nemochat.personas.toml_text import write_toml
from tests.personas.build import charx, golden, png, text_chunk, v2

ADA = Persona(name="Ada Lovelace", description="{{char}} builds clocks. And more.", tags=("clock",), accent="#336699")


@pytest.fixture
def store(tmp_path: Path) -> PersonaStore:
    presets = tmp_path / "presets"
    presets.mkdir()
    (presets / "smith.toml").write_text(write_toml(Persona(name="Smith", summary="Hits iron.")), encoding="utf-8")
    (presets / "smith.png").write_bytes(png())
    return PersonaStore(tmp_path / "own", presets)


def names(store: PersonaStore) -> list[tuple[str, str, bool]]:
    return [(each.id, each.name, each.is_builtin) for each in store.list()]


def test_a_persona_is_there_with_its_card_or_not_at_all(store: PersonaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that was ended in between left one without its card, and the next import took that for the whole."""

    def full(path: Path, data: bytes, **_: object) -> None:
        if path.name == "original.card":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        path.write_bytes(data)

    monkeypatch.setattr("nemochat.personas.store.write_whole", full)
    with pytest.raises(NemochatError, match="No space"):
        store.keep(ReadPersona(ADA, original=b"{}"))
    assert [name for _, name, _ in names(store)] == ["Smith"]


def test_what_is_saved_is_listed_and_loaded(store: PersonaStore) -> None:
    id_ = store.save(ADA, avatar=png())
    assert id_ == "ada-lovelace"
    assert store.load(id_) == (ADA, png())
    assert names(store) == [("ada-lovelace", "Ada Lovelace", False), ("smith", "Smith", True)]
    ada, smith = store.list()
    assert (ada.summary, ada.tags, smith.summary) == ("Ada Lovelace builds clocks.", ("clock",), "Hits iron.")
    assert store.notices == ()


def test_files_are_for_the_user_alone(store: PersonaStore, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store.save(ADA, avatar=png())
        store.save_profiles(Profiles((UserProfile("Tom"),)))
        store.list()
        store.delete(store.save(ADA))
    finally:
        os.umask(old)
    for folder, _, files in os.walk(tmp_path / "own"):
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
        assert [stat.S_IMODE((Path(folder) / file).stat().st_mode) for file in files] == [0o600] * len(files)
        assert not [file for file in files if file.startswith(".") and file != ".index.json"]


def test_saving_again_keeps_the_portrait_unless_told(store: PersonaStore) -> None:
    id_ = store.save(ADA, avatar=png())
    changed = msgspec.structs.replace(ADA, name="Other")
    assert store.save(changed, id_) == id_
    assert store.load(id_) == (changed, png())
    assert store.list()[0].name == "Other"
    store.save(changed, id_, avatar=b"")
    assert store.load(id_) == (changed, None)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    store.save(changed, id_, avatar=buffer.getvalue())
    assert (store.load(id_)[1] or b"").startswith(b"\x89PNG")
    with pytest.raises(NemochatError, match="cannot be used as a picture"):
        store.save(ADA, id_, avatar=b"GIF89a?")
    assert store.load(id_)[0] == changed


def test_two_of_one_name_and_one_named_like_a_built_in_one(store: PersonaStore) -> None:
    assert [store.save(ADA), store.save(ADA), store.save(Persona(name="SMITH!"))] == ["ada-lovelace", "ada-lovelace-2", "smith-2"]
    assert len(store.list()) == 4


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("Ada  Łó!", "ada-o"),
        ("東京", "persona"),
        ("../../etc", "etc"),
        ("deleted", "deleted-1"),
        ("CON", "con-1"),
        ("x" * 99, "x" * 40),
        ("Ü", "u"),
    ],
)
def test_ids(name: str, id_: str) -> None:
    assert slug(name) == id_


def test_editing_a_built_in_one_makes_a_copy_in_its_place_and_deleting_that_brings_it_back(store: PersonaStore) -> None:
    persona, avatar = store.load("smith")
    assert store.save(msgspec.structs.replace(persona, summary="Hits hard."), "smith") == "smith"
    assert names(store) == [("smith", "Smith", False)]
    assert (store.load("smith")[0].summary, store.load("smith")[1]) == ("Hits hard.", avatar)
    deleted = store.delete("smith")
    assert names(store) == [("smith", "Smith", True)]
    assert store.restore(deleted) == "smith"
    assert store.list()[0].summary == "Hits hard."


def test_a_built_in_one_cannot_be_deleted(store: PersonaStore) -> None:
    with pytest.raises(UsageError, match="comes with nemochat"):
        store.delete("smith")


def test_duplicate(store: PersonaStore) -> None:
    first, second, third = store.duplicate("smith"), store.duplicate("smith"), store.duplicate("smith-copy")
    assert [store.load(id_)[0].name for id_ in (first, second, third)] == ["Smith (copy)", "Smith (copy 2)", "Smith (copy 3)"]
    assert store.load(first)[0].called == "Smith"
    assert store.load(first)[1] == png()


def test_delete_and_restore(store: PersonaStore) -> None:
    id_ = store.save(ADA, avatar=png())
    deleted = store.delete(id_)
    assert [each[0] for each in names(store)] == ["smith"]
    with pytest.raises(NemochatError, match="There is no persona “ada-lovelace”"):
        store.load(id_)
    store.save(msgspec.structs.replace(ADA, summary="New."))
    again = store.delete(store.save(ADA))
    assert store.restore(deleted) == "ada-lovelace-2"
    assert store.load("ada-lovelace-2") == (ADA, png())
    assert store.restore(again) == "ada-lovelace-2-2"
    with pytest.raises(NemochatError, match="cannot be brought back"):
        store.restore(deleted)


NOWHERE = ["", ".", "..", "../presets/smith", "deleted", "a/b", "a\\b", "\0", "x" * 5000, "\x1b[2J", "nobody"]


@pytest.mark.parametrize("id_", NOWHERE, ids=[id_[:20] for id_ in NOWHERE])
def test_an_id_leads_nowhere_else(store: PersonaStore, id_: str) -> None:
    for call in (store.load, store.delete, store.duplicate, lambda each: store.save(ADA, each)):
        with pytest.raises(NemochatError, match="There is no persona"):
            call(id_)
    with pytest.raises(NemochatError, match="cannot be brought back"):
        store.restore(id_)


def test_a_broken_file_is_named_and_hides_no_other(store: PersonaStore, tmp_path: Path) -> None:
    store.save(ADA)
    for name, content in {"a": b'nam = "x"', "b": b"\xff", "c": b"", "d": b"name = ["}.items():
        (tmp_path / "own" / name).mkdir()
        (tmp_path / "own" / name / "persona.toml").write_bytes(content)
    (tmp_path / "own" / "e" / "persona.toml").mkdir(parents=True)
    (tmp_path / "own" / "f").mkdir()
    os.mkfifo(tmp_path / "own" / "f" / "persona.toml")
    (tmp_path / "own" / "empty").mkdir()
    (tmp_path / "presets" / "bad.toml").write_text("?", encoding="utf-8")
    for _ in range(2):  # the second time from the index
        assert [each[0] for each in names(store)] == ["ada-lovelace", "smith"]
        assert len(store.notices) == 7
        assert sum("perhaps “name” is meant" in notice for notice in store.notices) == 1
    (tmp_path / "own" / "c" / "persona.toml").write_text('name = "Mended"', encoding="utf-8")
    assert ("c", "Mended", False) in names(store)
    assert store.save(ADA, "a") == "a"


def test_the_index_follows_every_change_and_may_be_broken_or_missing(store: PersonaStore, tmp_path: Path) -> None:
    id_ = store.save(ADA)
    before = store.list()
    other = PersonaStore(tmp_path / "own", tmp_path / "presets")
    assert other.list() == before
    for content in (b"", b"{", b"[]", b'{"version":1,"rows":{"x":1}}', b'{"version":99,"rows":{}}'):
        (tmp_path / "own" / ".index.json").write_bytes(content)
        assert PersonaStore(tmp_path / "own", tmp_path / "presets").list() == before
    store.save(msgspec.structs.replace(ADA, summary="Seen by others."), id_)
    assert other.list()[0].summary == "Seen by others."
    other.delete(id_)
    assert [each.id for each in store.list()] == ["smith"]


def test_a_folder_that_is_not_there_or_cannot_be_written(tmp_path: Path) -> None:
    assert PersonaStore(tmp_path / "none", tmp_path / "none either").list() == ()
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("", encoding="utf-8")
    blocked = PersonaStore(tmp_path / "file")
    with pytest.raises(NemochatError, match="The persona Ada Lovelace cannot be saved"):
        blocked.save(ADA)


def test_a_persona_that_cannot_be_kept_is_explained(store: PersonaStore) -> None:
    with pytest.raises(NemochatError, match="cannot be saved: it has no name"):
        store.save(Persona(name="\u202e"))
    with pytest.raises(NemochatError, match="longer than 1,000,000"):
        store.save(Persona(name="x", description="x" * 1_000_001))


def test_a_failed_save_leaves_what_was_there(store: PersonaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = store.save(ADA)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NemochatError, match="No space left on device"):
        store.save(msgspec.structs.replace(ADA, name="Other"), id_)
    assert store.load(id_) == (ADA, None)
    assert sorted(file.name for file in (tmp_path / "own" / id_).iterdir()) == ["persona.toml"]


# -- files from outside


@pytest.mark.parametrize("name", ["card.png", "card.json", "card.charx", "card.toml"])
def test_import(store: PersonaStore, tmp_path: Path, name: str) -> None:
    persona = read_card(golden("v2.json").encode(), "x").persona
    content = {
        "card.png": png(text_chunk("chara", golden("v2.json"))),
        "card.json": golden("v2.json").encode(),
        "card.charx": charx({"card.json": golden("v2.json"), "assets/a.mp3": b"x"}),
        "card.toml": write_toml(persona).encode(),
    }
    (tmp_path / name).write_bytes(content[name])
    id_ = store.import_file(tmp_path / name)
    assert (id_, store.load(id_)[0]) == ("bran-ironhand", persona)
    assert (store.load(id_)[1] is not None) is (name == "card.png")
    assert bool(store.notices) is (name == "card.charx")


def test_import_refuses_what_is_no_file(store: PersonaStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "big.json").touch()
    os.truncate(tmp_path / "big.json", 65 * 1024 * 1024)
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    cases = {
        tmp_path / "pipe.png": "is a named pipe, not a file",
        tmp_path: "is a folder, not a file",
        tmp_path / "none\x1b.png": "There is no such file: .*none.png",
        tmp_path / "a\0b": "cannot be read",
        Path("/dev/zero"): "is a device, not a file",
        tmp_path / "big.json": "larger than 64 MiB",
        tmp_path / "bad.toml": "not UTF-8",
    }
    for path, says in cases.items():
        with pytest.raises(NemochatError, match=says):
            store.import_file(path)
    assert [each.id for each in store.list()] == ["smith"]


def test_export_and_back(store: PersonaStore, tmp_path: Path) -> None:
    bran = read_card(golden("v2.json").encode(), "x").persona
    id_ = store.save(bran, avatar=png())
    for suffix in (".toml", ".json", ".png"):
        store.export(id_, tmp_path / f"bran{suffix}")
        again = store.import_file(tmp_path / f"bran{suffix}")
        assert store.load(again) == (bran, png() if suffix == ".png" else None)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_export_without_a_portrait_makes_one_of_the_accent(store: PersonaStore, tmp_path: Path) -> None:
    store.export(store.save(ADA), tmp_path / "ada.png")
    with Image.open(tmp_path / "ada.png") as picture:
        assert (picture.size, picture.getpixel((5, 5))) == ((400, 600), (0x33, 0x66, 0x99))


def test_export_refuses(store: PersonaStore, tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="exists already"):
        store.export("smith", tmp_path / "there.json")
    assert (tmp_path / "there.json").read_text(encoding="utf-8") == "mine"
    with pytest.raises(UsageError, match=r"ends with \.toml, \.json, \.png or \.charx"):
        store.export("smith", tmp_path / "a.txt")
    with pytest.raises(NemochatError, match="cannot be saved"):
        store.export("smith", tmp_path / "none" / "a.json")


def test_a_written_card_of_a_stranger_is_as_it_was(store: PersonaStore, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(write_png(read_card(v2(tags=["x"]).encode(), "x").persona, png()))
    assert store.load(store.import_file(tmp_path / "a.png"))[0].tags == ("x",)


# -- profiles


def test_profiles(store: PersonaStore, tmp_path: Path) -> None:
    assert store.profiles() == Profiles((UserProfile("User", ""),), 0)
    two = Profiles((UserProfile("Tom", 'Says "hi".\nOften.'), UserProfile("Mara \\ 雪")), 1)
    store.save_profiles(two)
    assert store.profiles() == two
    assert two.current.name == "Mara \\ 雪"
    store.save_profiles(Profiles((UserProfile("A\x1b[2J\u202e", "\x07b"),), 9))
    assert store.profiles() == Profiles((UserProfile("A[2J", "b"),), 0)
    assert (tmp_path / "own" / "profiles.toml").read_text(encoding="utf-8").startswith("# Who you are")
    assert [each.id for each in store.list()] == ["smith"]


def test_profiles_that_cannot_be_kept(store: PersonaStore) -> None:
    bad_ones = (UserProfile(" "), UserProfile("x" * 301), UserProfile("x", "x" * 1_000_001))
    for bad in (Profiles(()), *(Profiles((each,)) for each in bad_ones)):
        with pytest.raises(NemochatError, match="The profiles cannot be saved"):
            store.save_profiles(bad)


BROKEN = {
    "no TOML": b"?",
    "no UTF-8": b"\xff",
    "a wrong field": b"[[profiles]]\nnam = 1",
    "no name": b'[[profiles]]\nname = ""',
    "no list": b"profiles = 3",
    "nested": b"a = " + b"[" * 100_000,
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_of_profiles_is_kept_aside(store: PersonaStore, tmp_path: Path, what: str) -> None:
    content = BROKEN[what]
    store.save_profiles(Profiles())
    (tmp_path / "own" / "profiles.toml").write_bytes(content)
    (tmp_path / "own" / "profiles.toml.broken-1").write_bytes(b"older")
    assert store.profiles() == Profiles()
    assert "kept as profiles.toml.broken-2" in store.notices[0]
    assert (tmp_path / "own" / "profiles.toml.broken-2").read_bytes() == content
    assert store.profiles() == Profiles()
    assert store.notices == ()


# -- speed


def test_five_hundred_personas_are_listed_at_once(store: PersonaStore, tmp_path: Path) -> None:
    text = write_toml(msgspec.structs.replace(read_card(golden("v2.json").encode(), "x").persona, description="word " * 800))
    for index in range(500):
        folder = tmp_path / "own" / f"p{index}"
        folder.mkdir(parents=True)
        (folder / "persona.toml").write_text(text, encoding="utf-8")
    seconds = []
    for _ in range(2):
        start = time.process_time()
        assert len(PersonaStore(tmp_path / "own", tmp_path / "presets").list()) == 501
        seconds.append(time.process_time() - start)
    assert seconds[1] < seconds[0] / 4, "the second time the index is read, not every file"
