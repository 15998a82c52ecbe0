"""Lorebooks of their own: the shapes that they come in, and where they are kept."""

from __future__ import annotations

import json
import os
import stat
import struct
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.domain.personas import Lorebook, LoreEntry, Position
from nemochat.errors import NemochatError, UsageError
from nemochat.personas.cards import is_card, read_card
from nemochat.personas.lore import Lore, scan
from nemochat.personas.lore_rules import Logic, Place, rules_of
from nemochat.personas.lorebook_files import _RISUM_BYTES, is_lorebook, write_lorebook_v3, write_world_info
from nemochat.personas.lorebooks import LorebookStore, read_lorebook
from nemochat.personas.macros import Macros
from tests.personas.build import chunk, png, text_chunk, v2

MILL = LoreEntry(content="The mill grinds at night.", keys=("mill", "wheel"), name="Mill")
BOOK = Lorebook(name="Riverside", description="A village.", entries=(MILL, LoreEntry(content="It rains.", constant=True)))

WORLD_ENTRY: dict[str, Any] = {
    "uid": 0, "key": ["mill"], "keysecondary": [], "comment": "", "content": "Grinds.", "constant": False, "vectorized": False,
    "selective": True, "selectiveLogic": 0, "addMemo": False, "order": 100, "position": 0, "disable": False, "ignoreBudget": False,
    "excludeRecursion": False, "preventRecursion": False, "matchPersonaDescription": False, "matchCharacterDescription": False,
    "matchCharacterPersonality": False, "matchCharacterDepthPrompt": False, "matchScenario": False, "matchCreatorNotes": False,
    "delayUntilRecursion": 0, "probability": 100, "useProbability": True, "depth": 4, "outletName": "", "group": "",
    "groupOverride": False, "groupWeight": 100, "scanDepth": None, "caseSensitive": None, "matchWholeWords": None,
    "useGroupScoring": None, "automationId": "", "role": 0, "sticky": None, "cooldown": None, "delay": None, "triggers": [],
    "displayIndex": 0,
}  # fmt: skip
"""An entry as SillyTavern 1.13 writes it."""


def world(*entries: dict[str, Any], **fields: Any) -> bytes:
    whole = {str(number): {**WORLD_ENTRY, "uid": number, "displayIndex": number, **entry} for number, entry in enumerate(entries)}
    return json.dumps({"entries": whole, **fields}).encode()


NOVEL = {
    "lorebookVersion": 5,
    "entries": [
        {
            "text": "The mill grinds at night.", "displayName": "Mill", "keys": ["mill", "/wheels?/i"], "searchRange": 1000,
            "enabled": True, "forceActivation": False, "keyRelative": False, "nonStoryActivatable": False, "category": "c1", "id": "e1",
            "lastUpdatedAt": 1,
            "contextConfig": {"prefix": "[", "suffix": "]\n", "tokenBudget": 2048, "budgetPriority": 400, "insertionPosition": -1},
            "loreBiasGroups": [],
        },
        {"text": "It rains.", "keys": [], "forceActivation": True, "enabled": True, "category": "c2", "hidden": True},
    ],
    "settings": {"orderByKeyLocations": False},
    "categories": [{"id": "c1", "name": "Places", "enabled": True}, {"id": "c2", "name": "Off", "enabled": False}],
}  # fmt: skip
AGNAI = {
    "kind": "memory", "_id": "1", "userId": "2", "name": "Riverside", "description": "A village.", "recursiveScanning": True,
    "entries": [
        {"name": "Mill", "entry": "The mill grinds at night.", "keywords": ["mill", "wheel"], "priority": 7, "weight": 3, "enabled": True},
        {"name": "Rain", "entry": "It rains.", "keywords": [], "priority": 1, "weight": 9, "enabled": False, "constant": True},
    ],
}  # fmt: skip
RISU_ENTRIES: list[dict[str, Any]] = [
    {"key": "mill, wheel", "secondkey": "night", "insertorder": 100, "comment": "Mill", "content": "The mill grinds at night.",
     "mode": "normal", "alwaysActive": False, "selective": True, "extentions": {"risu_case_sensitive": True}, "activationPercent": 40},
    {"key": "", "secondkey": "", "insertorder": 5, "comment": "Rain", "content": "@@depth 2\nIt rains.", "mode": "constant",
     "alwaysActive": True, "selective": False},
    {"key": "m(i|a)ll,x", "secondkey": "", "insertorder": 5, "comment": "Re", "content": "x", "mode": "normal", "useRegex": True},
    {"key": "", "comment": "Places", "content": "", "mode": "folder", "insertorder": 1},
]  # fmt: skip
RISU = {"type": "risu", "ver": 1, "data": RISU_ENTRIES}
MODULE = {
    "type": "risuModule",
    "module": {"name": "Riverside", "description": "A village.", "id": "7", "lorebook": RISU_ENTRIES, "regex": [{"in": "a"}], "cjs": ""},
}


def risum(module: object) -> bytes:
    """As RisuAI writes a module, with one asset."""
    whole = {byte: place for place, byte in enumerate(_RISUM_BYTES)}
    main, asset = (data.translate(bytes(whole[byte] for byte in range(256))) for data in (json.dumps(module).encode(), b"picture"))
    return b"o\0" + struct.pack("<I", len(main)) + main + b"\1" + struct.pack("<I", len(asset)) + asset + b"\0"


def naidata(book: object) -> bytes:
    return png(text_chunk("naidata", json.dumps(book)))


V3 = {"spec": "lorebook_v3", "data": {"name": "Riverside", "description": "A village.", "entries": [], "extensions": {}}}
SHAPES = {
    "world": world({"content": "The mill grinds at night."}),
    "world as a list": json.dumps({"entries": [WORLD_ENTRY]}).encode(),
    "world with a description": world({}, description="A village.", name="Riverside"),
    "of a card": json.dumps({"name": "x", "entries": [{"keys": ["mill"], "content": "Grinds."}]}).encode(),
    "lorebook_v3": json.dumps(V3).encode(),
    "novelai": json.dumps(NOVEL).encode(),
    "novelai in a picture": naidata(NOVEL),
    "agnai": json.dumps(AGNAI).encode(),
    "risu": json.dumps(RISU).encode(),
    "risu module": json.dumps(MODULE).encode(),
    "risu module, flat": json.dumps({"type": "risuModule", **MODULE["module"]}).encode(),  # type: ignore[dict-item]
    "risum": risum(MODULE),
    "with a mark before it": b"\xef\xbb\xbf" + json.dumps(V3).encode(),
}


def of(shape: object) -> tuple[Lorebook, tuple[str, ...]]:
    return read_lorebook(shape if isinstance(shape, bytes) else json.dumps(shape).encode(), "A world.json")


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_a_lorebook_and_no_persona(name: str) -> None:
    data = SHAPES[name]
    assert is_lorebook(data)
    assert not is_card(data)
    assert of(data)[0].name in ("Riverside", "A world", "x")
    if not data.startswith((b"o\0", b"\x89")):
        with pytest.raises(NemochatError, match="cannot be read as a character card"):
            read_card(data, "x.json")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"[{}]", b"{", "only".encode("utf-16-le"),
        b'{"entries": 3}', b"o", b"\x89PNG\r\n\x1a\n", png(), v2().encode(), b'{"name": "left-pad"}',
        b'{"type": "risu", "data": 3}', b'{"type": "risuModule"}', b"[" * 100_000, b'{"entries":' * 5_000,
    ],
)  # fmt: skip
def test_what_is_none_does_not_look_like_one(data: bytes) -> None:
    assert not is_lorebook(data)


def test_world_info_of_sillytavern_means_what_it_means_there() -> None:
    data = world(
        {"keysecondary": ["night"], "selectiveLogic": 2, "comment": "Mill", "order": 7, "caseSensitive": True, "matchWholeWords": False},
        {"position": 4, "depth": 2, "role": 1, "sticky": 3, "cooldown": 2, "delay": 1, "scanDepth": 9},
        {"disable": True, "constant": True},
        {"position": 1, "group": "a, b", "groupOverride": True, "groupWeight": 5, "useGroupScoring": True, "probability": 30},
        {"excludeRecursion": True, "preventRecursion": True, "delayUntilRecursion": 2, "useProbability": False, "probability": 30},
    )
    book, notices = of(data)
    assert notices == ()
    assert book.recursive
    first, second, fourth, fifth = rules_of(book)
    assert (first.logic, first.more, first.entry.order) == (Logic.NOT_ANY, ("night",), 7)
    assert (first.case_sensitive, first.whole_words) == (True, False)
    assert (second.place, second.depth, second.speaker.value, second.scan_depth) == (Place.DEPTH, 2, "user", 9)
    assert (second.sticky, second.cooldown, second.delay) == (3, 2, 1)
    assert (fourth.place, fourth.groups, fourth.wins, fourth.weight, fourth.scores) == (Place.AFTER, ("a", "b"), True, 5, True)
    assert fourth.probability == 30
    assert (fifth.is_no_chain, fifth.ends_chain, fifth.delayed, fifth.probability) == (True, True, 2, 100)


def test_world_info_that_is_as_new_keeps_nothing_needless() -> None:
    """Or a file that people shall edit is 30 lines of nothing for each entry."""
    assert of(world({}))[0].entries[0].extensions == {"selectiveLogic": 0}


def test_what_has_no_meaning_is_named_and_kept() -> None:
    entry = {"vectorized": True, "automationId": "x", "triggers": ["swipe"], "somethingNew": {"a": [1]}}
    book, notices = of(world(entry))
    assert notices == (
        "What SillyTavern calls vectorized, automationId, triggers has no meaning here; it stays with the entries for exports.",
    )
    written = json.loads(write_world_info(book))["entries"]["0"]
    assert written == {**WORLD_ENTRY, **entry}


def test_novelai() -> None:
    book, notices = of(NOVEL)
    mill, rain = book.entries
    assert (mill.name, mill.keys, mill.content, mill.order, mill.priority) == (
        "Mill", ("mill", "/wheels?/i"), "[The mill grinds at night.]", 400, 400,
    )  # fmt: skip
    assert (rain.content, rain.constant, rain.enabled) == ("It rains.", True, False)
    assert notices == ("What NovelAI calls hidden has no meaning here and was left out.",)
    assert "an &" in of({"lorebookVersion": 5, "entries": [{"keys": ["a&b"], "text": "x"}]})[1][0]


def test_agnai() -> None:
    book, notices = of(AGNAI)
    mill, rain = book.entries
    assert notices == ()
    assert (book.name, book.description, book.recursive) == ("Riverside", "A village.", True)
    assert (mill.name, mill.keys, mill.content, mill.order, mill.priority) == ("Mill", ("mill", "wheel"), MILL.content, 3, 7)
    assert (rain.enabled, rain.constant) == (False, True)


@pytest.mark.parametrize("shape", [RISU, MODULE, risum(MODULE)])
def test_risuai(shape: object) -> None:
    book, notices = of(shape)
    mill, rain, expression = book.entries
    assert (mill.keys, mill.secondary_keys, mill.selective, mill.case_sensitive) == (("mill", "wheel"), ("night",), True, True)
    assert rules_of(book)[0].probability == 40
    assert not rules_of(book)[0].whole_words
    assert (rain.constant, rules_of(book)[1].depth) == (True, 2)
    assert (expression.keys, expression.use_regex) == (("m(i|a)ll,x",), True)
    assert notices == (() if shape is RISU else ("What RisuAI calls regex has no meaning here and was left out.",))


REFUSED: list[tuple[str, object]] = [
    ("it is empty", b" "),
    ("it holds no lorebook", b"[1, 2]"),
    ("it holds no lorebook", b'{"name": "left-pad"}'),
    ("it holds no lorebook", b"PK\3\4"),
    ("its JSON is broken at line 1", b'{"entries": {'),
    ("it is a picture without a lorebook", png()),
    ("the base64 of its card is broken", png(chunk(b"tEXt", b"naidata\0abcde"))),
    ("it is a character card", v2()),
    ("it is a module without a lorebook", {"type": "risuModule", "module": {"name": "x"}}),
    ("it ends in the middle of a module", risum(MODULE)[:99]),
    ("it holds no lorebook", "only text".encode("utf-16-le")),
    ("10,001 entries", {"entries": [{}] * 10_001}),
    ("“entries” holds a number", {"entries": [7]}),
    ("nested too deeply", b'{"entries": {"0": {"x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}}"),
    ("more than 2,000,000 values", b'{"entries": [' + b"{}," * 1_000_001 + b"{}]}"),
    ("larger than 16 MiB", {"entries": [{"key": [], "content": "x" * (17 << 20)}]}),
    ("longer than 1,000,000 characters", {"entries": [{"key": [], "content": "x" * 1_000_001}]}),
]


@pytest.mark.parametrize(("problem", "data"), REFUSED)
def test_what_cannot_be_read_says_why(problem: str, data: object) -> None:
    data = data.encode() if isinstance(data, str) else data
    with pytest.raises(NemochatError, match="cannot be read as a lorebook") as error:
        of(data)
    assert problem in error.value.message


def test_texts_are_sanitised() -> None:
    book, _ = of(world({"key": ["a\x1b[31m"], "content": "x\x1b]52;c;aGk=\x07y", "comment": "\x9bb"}, name="Ri\x1b[31mver\u202e"))
    assert not any(character in f"{book}" for character in "\x1b\x9b\x07\u202e")


@pytest.mark.parametrize("name", SHAPES)
def test_round_trips(name: str) -> None:
    book, _ = of(SHAPES[name])
    again = read_lorebook(write_lorebook_v3(book).encode(), "other.json")[0]
    assert again == book
    there = read_lorebook(write_world_info(book).encode(), "other.json")[0]
    texts, names = (("mill", "a night"), ("x",), ("Wheel",)), Macros(char="Ada", user="Tom", seed="1")
    for text in texts:
        said = [[each.text for each in scan(Lore((each,)), text, names, count=len).fired] for each in (book, there)]
        assert said[0] == said[1]


_WORDS = st.text(st.characters(exclude_categories=["C"]), max_size=5)  # what sanitising takes away is no loss
_ANY = st.one_of(st.none(), st.booleans(), st.integers(-1, 200), _WORDS, st.lists(_WORDS, max_size=2))


@given(st.lists(st.fixed_dictionaries({}, optional={key: st.just(value) | _ANY for key, value in WORLD_ENTRY.items()}), max_size=3))
def test_world_info_survives_a_visit(entries: list[dict[str, Any]]) -> None:
    """What SillyTavern wrote is what it gets back; what makes no sense is refused with a sentence or kept."""
    data = world(*({key: value for key, value in each.items() if key not in ("uid", "displayIndex")} for each in entries))
    try:
        book, _ = of(data)
    except NemochatError as error:
        if "cannot be read as a lorebook: the field “" not in error.message:
            raise
        return
    again = write_world_info(book).encode()
    assert msgspec.structs.replace(of(again)[0], name=book.name) == book


def test_world_info_comes_out_as_it_went_in() -> None:
    only = {"isExclude": False, "names": ["Ada"], "tags": []}
    data = world({"comment": "Mill", "addMemo": True, "group": "x", "characterFilter": only}, {})
    assert json.loads(write_world_info(of(data)[0]))["entries"] == json.loads(data)["entries"]


def test_another_book_as_world_info() -> None:
    entries = (
        LoreEntry(content="@@depth 3\n@@role user\n@@scan_depth 2\nx", keys=("a/b", "/c/"), use_regex=True, id=4, position=Position.AFTER),
        LoreEntry(content="@@activate\ny", name="Why", id=4, enabled=False),
    )
    first, second = json.loads(write_world_info(Lorebook(entries=entries)))["entries"].values()
    assert (first["key"], first["position"], first["depth"], first["role"], first["scanDepth"]) == (["/a\\/b/i", "/c/"], 4, 3, 1, 2)
    assert (first["content"], first["uid"], second["uid"]) == ("x", 4, 0)
    assert (second["content"], second["constant"], second["disable"], second["comment"]) == ("y", True, True, "Why")


# -- the store


@pytest.fixture
def store(tmp_path: Path) -> LorebookStore:
    return LorebookStore(tmp_path / "lorebooks")


def listed(store: LorebookStore) -> list[str]:
    return [each.id for each in store.list()]


def test_what_is_added_is_listed_and_read(store: LorebookStore, tmp_path: Path) -> None:
    assert listed(store) == []
    books = (BOOK, BOOK, msgspec.structs.replace(BOOK, name="東京"))
    assert [store.add(book) for book in books] == ["riverside", "riverside-2", "lorebook"]
    assert LorebookStore(tmp_path / "lorebooks").get("riverside") == BOOK
    summary = store.list()[0]
    assert (summary.name, summary.description, summary.entries, summary.enabled) == ("Riverside", "A village.", 2, 2)
    changed = msgspec.structs.replace(BOOK, name="Other")
    store.save("riverside", changed)
    assert store.get("riverside") == changed
    store.save("new", changed)
    assert "new" in listed(store)


def test_a_book_stays_one_value_until_its_file_changes(store: LorebookStore, tmp_path: Path) -> None:
    """What is made ready for scanning hangs on it; and what somebody changes with an editor counts from then on."""
    store.add(BOOK)
    first = store.get("riverside")
    assert store.get("riverside") is first
    file = tmp_path / "lorebooks" / "riverside.json"
    file.write_text(file.read_text(encoding="utf-8").replace("at night", "by day"), encoding="utf-8")
    os.utime(file, ns=(1, 1))
    assert store.get("riverside").entries[0].content == "The mill grinds by day."


def test_two_programs_take_no_file_from_each_other(store: LorebookStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one has looked for a free name at the same moment."""
    monkeypatch.setattr(store, "_ids", list)
    ids = [store.add(msgspec.structs.replace(BOOK, description=text)) for text in ("one", "two")]
    assert [store.get(id_).description for id_ in ids] == ["one", "two"]


def test_a_removed_one_can_be_brought_back(store: LorebookStore) -> None:
    store.add(BOOK)
    removed = store.remove("riverside")
    assert listed(store) == []
    store.add(Lorebook(name="Riverside"))
    assert store.restore(removed) == "riverside-2"
    assert store.get("riverside-2") == BOOK
    for wrong in (removed, "../x", ""):
        with pytest.raises(NemochatError, match="cannot be brought back"):
            store.restore(wrong)


@pytest.mark.parametrize("id_", ["nobody", "", "../personas", "a/b", ".hidden", "x\x1b[31m"])
def test_an_id_that_nobody_has(store: LorebookStore, id_: str) -> None:
    for does in (store.get, store.remove):
        with pytest.raises(NemochatError, match="There is no lorebook") as error:
            does(id_)
        assert "\x1b" not in error.value.message
    if id_ != "nobody":
        with pytest.raises(NemochatError, match="There is no lorebook"):
            store.save(id_, BOOK)


def test_a_damaged_file_is_named_and_the_others_are_there(store: LorebookStore, tmp_path: Path) -> None:
    store.add(BOOK)
    (tmp_path / "lorebooks" / "broken.json").write_text("{", encoding="utf-8")
    (tmp_path / "lorebooks" / "folder.json").mkdir()
    (tmp_path / "lorebooks" / "My world.json").write_bytes(world({}))
    (tmp_path / "lorebooks" / "notes.txt").write_text("x", encoding="utf-8")
    assert listed(store) == ["My world", "riverside"]
    assert len(store.notices) == 2
    assert "broken.json cannot be read as a lorebook: its JSON is broken" in store.notices[0]
    with pytest.raises(NemochatError, match="broken"):
        store.get("broken")


def test_files_are_for_the_user_alone(store: LorebookStore, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store.add(BOOK)
        store.remove(store.add(BOOK))
        store.export("riverside", tmp_path / "out.json")
    finally:
        os.umask(old)
    for folder, _, files in os.walk(tmp_path / "lorebooks"):
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
        assert [stat.S_IMODE((Path(folder) / file).stat().st_mode) for file in files] == [0o600] * len(files)


def test_imports_and_exports(store: LorebookStore, tmp_path: Path) -> None:
    file = tmp_path / "My world.json"
    file.write_bytes(world({"vectorized": True}))
    id_ = store.import_file(file)
    assert (id_, len(store.notices)) == ("my-world", 1)
    assert store.find(store.get(id_)) == id_
    assert store.find(BOOK) is None
    copy = tmp_path / "Copy.json"
    copy.write_bytes(file.read_bytes())
    assert store.import_file(copy) == id_
    assert "is here already, as my-world" in store.notices[0]
    assert len(store.list()) == 1
    store.export(id_, tmp_path / "v3.json")
    store.export(id_, tmp_path / "st.json", world_info=True)
    assert json.loads((tmp_path / "v3.json").read_text(encoding="utf-8"))["spec"] == "lorebook_v3"
    assert json.loads((tmp_path / "st.json").read_text(encoding="utf-8"))["entries"]["0"]["vectorized"] is True
    with pytest.raises(UsageError, match="exists already"):
        store.export(id_, tmp_path / "st.json")
    with pytest.raises(UsageError, match=r"ends with \.json"):
        store.export(id_, tmp_path / "x.toml")


def test_a_large_book_is_kept_and_read_quickly(store: LorebookStore) -> None:
    """SillyTavern writes 40 fields an entry: neither the bound on values nor the one on size may refuse 10,000 of them."""
    entry = {"content": "A long story. " * 20, "key": ["one", "two"], "group": "g", "sticky": 2}
    data = world(*([entry] * 10_000))
    began = time.perf_counter()
    book, _ = of(data)
    id_ = store.add(book)
    assert len(LorebookStore(store._folder).get(id_).entries) == 10_000
    assert time.perf_counter() - began < 60
