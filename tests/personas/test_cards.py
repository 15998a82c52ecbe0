from __future__ import annotations

import base64
import contextlib
import io
import json
import zlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nemochat.domain.personas import LoreEntry, Persona, Position
from nemochat.errors import NemochatError
from nemochat.personas.card_json import KEPT, TOP
from nemochat.personas.cards import Spec, read_card, write_json, write_png
from nemochat.personas.files import MAX_FILE
from tests.personas.build import SIGNATURE, charx, chunk, golden, international_chunk, packed_text_chunk, png, text_chunk, v2
from tests.personas.strategies import JSON


def persona_of(text: str) -> Persona:
    return read_card(text.encode(), "card.json").persona


# -- what a card says


def test_version_1() -> None:
    marga = persona_of(golden("v1.json"))
    assert (marga.name, marga.personality) == ("Marga", "warm, curious, hard to fool")
    assert marga.greeting == '"Come in, {{user}}, before you drown."'
    assert marga.examples.startswith("<START>\n{{user}}: A room?")
    assert marga.card == {TOP: {"create_date": "2023-4-1", "talkativeness": "0.5"}}


def test_version_2() -> None:
    bran = persona_of(golden("v2.json"))
    assert (bran.system, bran.post_history) == ("You are {{char}}, and nobody else.\n\n{{original}}", "Stay in the smithy.")
    assert bran.greetings == ('"Closed," says <BOT>.', '"Back again, <USER>?"')
    assert (bran.tags, bran.creator, bran.version) == (("fantasy", "smith"), "the nemochat tests", "1.2")
    assert bran.extensions["other/program"] == {"null": None, "mixed": [1, "two", 3.5, True, None, {"deep": []}], "": "empty name"}
    assert bran.book is not None
    assert (bran.book.name, bran.book.scan_depth, bran.book.token_budget, bran.book.recursive) == ("Oldmill", 3, 200, True)
    assert bran.book.entries[0] == LoreEntry(
        content="The mill burnt down last winter. Only {{user}} knows who did it. {{hidden_key:arson}}",
        keys=("mill", "miller"),
        name="The mill",
        comment="the great secret",
        case_sensitive=False,
        order=20,
        priority=5,
        id=1,
        extensions={"position": 0, KEPT: {"probability": 80}},
    )
    assert [(entry.constant, entry.position) for entry in bran.book.entries[2:]] == [(True, Position.BEFORE), (True, Position.AFTER)]


def test_version_3_in_many_scripts_and_from_a_later_specification() -> None:
    yuki = persona_of(golden("v3.json"))
    assert (yuki.name, yuki.nickname, yuki.called) == ("Юки Сато 雪", "雪", "雪")
    assert yuki.description == "{{char}} führt durch den Wald. 🌲"
    assert yuki.card["from_the_future"] == {"a": 1}
    assert yuki.card["group_only_greetings"] == ["Alle da?"]
    assert yuki.book is not None
    assert yuki.book.entries[0].use_regex


@pytest.mark.parametrize("name", ["v1.json", "v2.json", "v3.json"])
@pytest.mark.parametrize("spec", list(Spec))
def test_nothing_is_lost_on_the_way_through(name: str, spec: Spec) -> None:
    persona = persona_of(golden(name))
    before, after = json.loads(golden(name)), json.loads(write_json(persona, spec))
    assert persona_of(json.dumps(after)) == persona
    assert after["spec"] == spec.value
    fields = before.get("data") or {key: before[key] for key in before if key in after["data"]}
    book = fields.pop("character_book", None)
    assert {key: after["data"][key] for key in fields} == fields
    assert {key: after[key] for key in before.keys() - {"data", "spec_version", "spec", "name", *fields}}.items() <= before.items()
    if book is not None:
        for entry, written in zip(book["entries"], after["data"]["character_book"]["entries"], strict=True):
            assert entry.items() <= written.items()


def test_a_field_of_nemochats_own_survives_in_the_extensions() -> None:
    persona = msgspec.structs.replace(persona_of(golden("v2.json")), accent="#a0b0c0", model="nemo", summary="A smith.")
    data = json.loads(write_json(persona))["data"]
    assert data["extensions"]["nemochat"] == {"accent": "#a0b0c0", "model": "nemo", "summary": "A smith."}
    assert persona_of(write_json(persona)) == persona


def test_copies_of_fields_beside_the_data_are_not_kept_to_grow_stale_but_differing_ones_are() -> None:
    text = json.dumps({**json.loads(v2()), "name": "Ada", "description": "Older.", "chat": "Ada - 2023"})
    assert persona_of(text).card == {TOP: {"description": "Older.", "chat": "Ada - 2023"}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"description": 42}, {"description": "42"}),
        ({"description": None}, {"description": ""}),
        ({"description": ["One.", "Two."]}, {"description": "One.\nTwo."}),
        ({"character_version": 2.0}, {"version": "2"}),
        ({"tags": "elf, ranger ,,"}, {"tags": ("elf", "ranger")}),
        ({"tags": None, "alternate_greetings": "Hello."}, {"tags": (), "greetings": ("Hello.",)}),
        ({"alternate_greetings": {"1": "b", "0": "a", "10": "c"}}, {"greetings": ("a", "b", "c")}),
        ({"character_book": None, "extensions": None}, {"book": None, "extensions": {}}),
        ({"extensions": []}, {"extensions": {}}),
        ({"name": ""}, {"name": "card"}),
        ({"name": "A\u202ed\na\x1b[2J"}, {"name": "Ad a[2J"}),
        ({"description": "\x1b]52;c;aGk=\x07\u009b \ud83d"}, {"description": "]52;c;aGk= \ufffd"}),
    ],
)
def test_a_field_of_the_wrong_type_is_mended_where_the_meaning_is_plain(fields: dict[str, object], expected: dict[str, object]) -> None:
    persona = persona_of(v2(**fields))
    assert {key: getattr(persona, key) for key in expected} == expected


def test_a_lorebook_is_mended_too() -> None:
    entries = {
        "10": {"key": ["late"], "content": "c", "order": "7", "disable": True},
        "2": {"keys": "mill, river", "insertion_order": 3.0, "enabled": "false", "case_sensitive": 1, "position": 1, "id": 2.0},
        "3": {"keys": "a,b", "use_regex": "yes", "content": 5, "position": "top", "priority": None, "enabled": None, "id": False},
    }
    book = persona_of(v2(character_book={"entries": entries, "scan_depth": "6", "token_budget": ""})).book
    assert book is not None
    first, second, third = book.entries
    assert (first.keys, first.content, first.order, first.enabled, first.case_sensitive) == (("mill", "river"), "", 3, False, True)
    assert (first.position, first.id) == (Position.AFTER, 2)
    assert (second.keys, second.content, second.enabled, second.priority, second.id) == (("a,b",), "5", True, 10, None)
    assert second.extensions[KEPT] == {"position": "top"}
    assert (third.keys, third.order, third.enabled) == (("late",), 7, False)
    assert (book.scan_depth, book.token_budget) == (6, None)


# -- containers


def test_png_with_both_keywords_in_any_case() -> None:
    later, earlier = v2(description="New."), v2(description="Old.")
    card = read_card(png(text_chunk("Chara", earlier), text_chunk("CCV3", later)), "a.png")
    assert card.persona.description == "New."
    assert read_card(png(text_chunk("ccv3", later), text_chunk("chara", earlier)), "a.png").persona.description == "New."


def test_a_broken_ccv3_leaves_the_chara_that_is_whole() -> None:
    assert read_card(png(chunk(b"tEXt", b"ccv3\0!!!"), text_chunk("chara", v2())), "a.png").persona.name == "Ada"


def test_the_portrait_is_the_picture_without_the_card() -> None:
    card = read_card(png(text_chunk("chara", v2()), chunk(b"tEXt", b"Software\0GIMP")) + b"behind the end", "a.png")
    assert card.avatar is not None
    assert b"chara" not in card.avatar
    assert b"GIMP" in card.avatar
    assert b"behind" not in card.avatar
    with Image.open(io.BytesIO(card.avatar)) as picture:
        assert picture.convert("RGB").getpixel((0, 0)) == (0x40, 0x80, 0xC0)


@pytest.mark.parametrize(
    "piece",
    [
        chunk(b"tEXt", b"chara\0" + base64.b64encode(v2().encode()), crc=0),
        international_chunk("chara", base64.b64encode(v2().encode()), packed=False),
        international_chunk("chara", base64.b64encode(v2().encode()), packed=True),
        international_chunk("chara", v2().encode(), packed=False),
        packed_text_chunk("chara", base64.b64encode(v2().encode())),
        chunk(b"tEXt", b"chara\0" + v2().encode()),
        chunk(b"tEXt", b"chara\0" + base64.encodebytes(v2().encode())),
        chunk(b"tEXt", b"chara\0" + base64.urlsafe_b64encode(v2(name="Ada", tags=["\u00ff\u00fe~~??>>"]).encode()).rstrip(b"=")),
        chunk(b"tEXt", b"chara\0" + base64.b64encode(b"\xef\xbb\xbf" + v2().encode()) + b"\n\0"),
    ],
    ids=["bad checksum", "iTXt", "packed iTXt", "iTXt of plain JSON", "zTXt", "plain JSON", "line breaks", "urlsafe, no padding", "BOM"],
)
def test_chunks_as_other_programs_write_them(piece: bytes) -> None:
    assert read_card(png(piece), "a.png").persona.name == "Ada"


def test_a_picture_cut_off_behind_its_card_still_gives_the_persona() -> None:
    card = read_card(SIGNATURE + text_chunk("chara", v2()) + b"\0\0", "a.png")
    assert (card.persona.name, card.avatar) == ("Ada", None)
    assert card.notices == ("The picture of the card is broken and was left out.",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_any_unicode_encoding(encoding: str) -> None:
    assert read_card(golden("v3.json").encode(encoding), "yuki.json").persona.nickname == "雪"


def test_older_names_of_the_fields() -> None:
    old = {"char_name": "Ada", "char_persona": "A clock.", "char_greeting": "Tick.", "world_scenario": "Noon.", "example_dialogue": "x"}
    persona = persona_of(json.dumps(old))
    assert (persona.name, persona.description, persona.greeting) == ("Ada", "A clock.", "Tick.")
    assert (persona.scenario, persona.examples) == ("Noon.", "x")
    assert persona.card == {}


def test_charx_with_a_portrait() -> None:
    members: dict[str, bytes | str] = {
        "card.json": golden("v3.json"),
        "assets/icon/images/main.png": png(),
        "assets/icon/images/happy.png": b"not a picture",
        "assets/background/images/forest.png": png(),
    }
    card = read_card(charx(members), "yuki.charx")
    assert card.persona.nickname == "雪"
    assert card.avatar == png()
    assert card.notices == ("2 more files in the card (pictures, sounds) will not be shown, but stay for exports as .charx.",)
    assert [asset["uri"] for asset in card.persona.card["assets"] if asset["name"] == "main"][1:] == ["ccdefault:"]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_portraits_of_other_kinds_become_png(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (3000, 20), "navy").save(buffer, kind)
    assets = [{"type": "icon", "name": "main", "ext": "x", "uri": "embedded://portrait"}]
    card = read_card(charx({"card.json": v2(assets=assets), "portrait": buffer.getvalue()}), "a.charx")
    assert card.avatar is not None
    with Image.open(io.BytesIO(card.avatar)) as picture:
        assert (picture.format, picture.width) == ("PNG", 1024)


def test_a_portrait_within_the_json() -> None:
    uri = "data:image/png;base64," + base64.b64encode(png()).decode()
    assert read_card(v2(assets=[{"type": "icon", "name": "main", "uri": uri, "ext": "png"}]).encode(), "a.json").avatar == png()


def test_a_written_png_holds_both_versions_and_none_of_the_older_ones() -> None:
    yuki = persona_of(golden("v3.json"))
    older = png(text_chunk("chara", v2()), text_chunk("ccv3", v2()), chunk(b"tEXt", b"chara-ext-asset_:1\0QQ=="))
    data = write_png(yuki, older)
    assert (data.count(b"tEXtchara\0"), data.count(b"tEXtccv3\0"), data.count(b"chara-ext")) == (1, 1, 0)
    assert read_card(data, "yuki.png").persona == yuki
    with Image.open(io.BytesIO(data)) as picture:
        assert isinstance(picture.info["chara"], str)
        backfill = json.loads(base64.b64decode(picture.info["chara"]))
    assert backfill["spec"] == "chara_card_v2"
    assert backfill["data"]["character_book"]["entries"][0]["content"] == "Wölfe gehen hier nur nachts."
    with pytest.raises(NemochatError, match="no PNG"):
        write_png(yuki, b"GIF89a")


# -- hostile files


def bomb() -> bytes:
    return charx({"card.json": b" " * (64 * 1024 * 1024)})


def lying_zip() -> bytes:
    """A zip whose header says that the card is small."""
    data = charx({"card.json": v2(creator_notes=" " * 3_000_000)})
    size = len(v2(creator_notes=" " * 3_000_000)).to_bytes(4, "little")
    return data.replace(size, (100).to_bytes(4, "little"))


# Made when the test runs: files of megabytes have no place in the names of tests.
HOSTILE: list[tuple[str, Callable[[], bytes]]] = [
    ("it is empty", lambda: b""),
    ("neither a PNG picture nor JSON nor a charx", lambda: b"\0\1\2\3"),
    ("neither a PNG picture nor JSON nor a charx file", lambda: b"hello"),
    ("holds no character card", lambda: b"[1, 2]"),
    ("holds no character card", lambda: b'{"name": "left-pad", "version": "1.0"}'),
    ("is a lorebook, not a character card", lambda: b'{"entries": {}}'),
    ("nested too deeply", lambda: b"[" * 1_000_000),
    ("number that is too long", lambda: b'{"description": ' + b"9" * 100_000 + b"}"),
    ("holds a list where named values belong", lambda: v2(extensions=json.loads("[" * 100 + "]" * 100)).encode()),
    ("nested too deeply", lambda: v2(extensions={"a": json.loads("[" * 100 + "]" * 100)}).encode()),
    ("more than 200,000 values", lambda: v2(extensions={"a": [0] * 300_000}).encode()),
    ("“description” holds named values where a text belongs", lambda: v2(description={"a": 1}).encode()),
    ("“description” is longer than 1,000,000", lambda: v2(description="x" * 1_000_001).encode()),
    ("“name” is longer than 300", lambda: v2(name="x" * 301).encode()),
    ("“tags” holds 1,001 items", lambda: v2(tags=["x"] * 1_001).encode()),
    ("10,001 entries", lambda: v2(character_book={"entries": [{}] * 10_001}).encode()),
    ("“entries” holds a number", lambda: v2(character_book={"entries": [7]}).encode()),
    ("“character_book” holds a list", lambda: v2(character_book=[1]).encode()),
    ("“scan_depth” holds a text where a number", lambda: v2(character_book={"entries": [], "scan_depth": "deep"}).encode()),
    ("larger than 4 MiB", lambda: b'{"a": "' + b"x" * (4 * 1024 * 1024) + b'"}'),
    ("picture without a card", lambda: SIGNATURE),
    ("picture without a card", lambda: png()),
    ("base64 of its card is broken", lambda: png(chunk(b"tEXt", b"chara\0" + b"A" * 9))),
    ("base64 of its card is broken", lambda: png(chunk(b"tEXt", b"chara\0" + b"ab*d"))),
    ("JSON is broken", lambda: png(text_chunk("chara", "{"))),
    ("picture without a card", lambda: png(chunk(b"tEXt", b"chara"))),
    ("compressed card in it is broken", lambda: png(chunk(b"zTXt", b"chara\0\0junk"))),
    ("claims 100,000,000 bytes", lambda: SIGNATURE + chunk(b"tEXt", b"chara\0e30=", claims=100_000_000)),
    ("claims 4,294,967,295 bytes", lambda: SIGNATURE + chunk(b"IDAT", b"", claims=2**32 - 1)),
    ("more than 100,000 pieces", lambda: SIGNATURE + b"\0\0\0\0abcd\0\0\0\0" * 100_001),
    ("without a card.json", lambda: charx({"readme.txt": ""})),
    ("without a card.json", lambda: charx({"sub/card.json": v2()})),
    ("zip is broken", lambda: charx({"card.json": v2()})[:-10]),
    ("zip is broken", lambda: b"PK\x03\x04" + b"x" * 100),
    ("card.json in it is larger than 4 MiB", bomb),
    ("zip unpacks|card.json in it is broken|JSON is broken", lying_zip),
    ("JSON is broken at line 1, column 10", lambda: b'{"name": "A'),
]


@pytest.mark.parametrize(("says", "build"), HOSTILE, ids=[f"{index} {says}" for index, (says, _) in enumerate(HOSTILE)])
def test_a_bad_file_is_refused_in_one_sentence(says: str, build: Callable[[], bytes]) -> None:
    with pytest.raises(NemochatError, match=says) as caught:
        read_card(build(), "evil\x1b[2J.card")
    assert caught.value.message.startswith("evil[2J.card cannot be read as a character card: ")
    assert caught.value.message.count(". ") == 0
    assert caught.value.hint


def test_a_chunk_of_a_hundred_megabytes_is_refused_before_anything_is_read() -> None:
    big = chunk(b"tEXt", b"chara\0" + bytes(100_000_000), crc=0)
    with pytest.raises(NemochatError, match="larger than 64 MiB"):
        read_card(SIGNATURE + big, "big.png")


def test_a_large_chunk_beside_the_card_does_no_harm_and_one_with_the_card_is_refused() -> None:
    half = MAX_FILE // 2
    assert read_card(png(chunk(b"IDAT", bytes(half), crc=0), text_chunk("chara", v2())), "a.png").persona.name == "Ada"
    with pytest.raises(NemochatError, match="card in it is larger than 4 MiB"):
        read_card(png(chunk(b"tEXt", b"chara\0" + bytes(half), crc=0)), "a.png")


@pytest.mark.parametrize("international", [False, True])
def test_a_compressed_chunk_is_not_inflated_beyond_the_limit(international: bool) -> None:
    zeros = b"\0" * 200_000_000
    packed = zlib.compress(zeros, 1)
    del zeros
    content = b"chara\0\1\0\0\0" + packed if international else b"chara\0\0" + packed
    with pytest.raises(NemochatError, match="card in it is larger than 4 MiB"):
        read_card(png(chunk(b"iTXt" if international else b"zTXt", content)), "a.png")


@pytest.mark.parametrize(
    "uri",
    [
        "embeded://../../secret.png",
        "embeded:///etc/passwd",
        "embeded://a/../../secret.png",
        "embeded://..\\secret.png",
        "embeded://C:/secret.png",
        "file:///etc/passwd",
        "https://example.org/track.png",
        "embeded://",
        "data:image/png;base64,!!!",
    ],
)
def test_an_address_leads_nowhere_outside_of_the_card(uri: str) -> None:
    members: dict[str, bytes | str] = {
        "card.json": v2(assets=[{"type": "icon", "name": "main", "uri": uri, "ext": "png"}]),
        "../../secret.png": png(),
        "/etc/passwd": png(),
        "..\\secret.png": png(),
    }
    card = read_card(charx(members), "a.charx")
    assert (card.persona.name, card.avatar) == ("Ada", None)


def test_every_cut_and_many_flipped_bytes_give_a_card_or_one_sentence() -> None:
    whole = [png(text_chunk("ccv3", golden("v2.json"))), charx({"card.json": golden("v2.json")}), golden("v2.json").encode()]
    for data in whole:
        for place in range(0, len(data), max(1, len(data) // 150)):
            flipped = data[:place] + bytes([data[place] ^ 0x2A]) + data[place + 1 :]
            for broken in (data[:place], flipped):
                with contextlib.suppress(NemochatError):
                    assert read_card(broken, "x").persona.name


_FIELDS = list(json.loads(golden("v3.json"))["data"])
_ENTRY_FIELDS = [*json.loads(golden("v2.json"))["data"]["character_book"]["entries"][0], "key", "disable", "use_regex"]
_ODD = st.one_of(JSON, st.sampled_from(["1e999", "nan", "-0", " ", "true", "NO", [[]], {"0": {}}, 1e300, 10**300]))
_ODD_ENTRY = st.dictionaries(st.sampled_from(_ENTRY_FIELDS), _ODD, max_size=6)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(_FIELDS), _ODD, max_size=6), st.lists(_ODD_ENTRY, max_size=2), st.booleans())
def test_a_field_of_any_type_gives_a_persona_or_one_sentence(data: dict[str, object], entries: list[object], flat: bool) -> None:
    data = {"name": "Ada", "description": "", "character_book": {"entries": entries}} | data
    with contextlib.suppress(NemochatError):
        persona = persona_of(json.dumps(data if flat else {"data": data}))
        assert persona_of(write_json(persona)) == persona
