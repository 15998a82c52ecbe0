"""The screens about personas: choosing one, reading a card, writing one; nothing is lost and hostile text stays text."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TypeVar

import msgspec
import pytest
from PIL import Image
from textual.app import App
from textual.content import Content
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Select, Static, Switch, TextArea

from nemochat.desk.port import EditedPersona, PersonaAction, PersonaWish
from nemochat.domain.personas import Lorebook, LoreEntry, Persona, PersonaSampling, Position
from nemochat.errors import NemochatError
from nemochat.personas.index import PersonaSummary
from nemochat.personas.lorebooks import LorebookSummary
from nemochat.personas.sampling_presets import Preset
from nemochat.personas.store import PRESETS, PersonaStore
from nemochat.settings import SamplingSettings
from nemochat.tui.screens.dialogs import Choose
from nemochat.tui.screens.lore_form import LoreForm, TextForm
from nemochat.tui.screens.persona_card import MOST_CHARACTERS, MOST_ENTRIES, PersonaCard
from nemochat.tui.screens.persona_form import PersonaForm
from nemochat.tui.screens.persona_picker import PersonaPicker, PersonaPreview
from nemochat.tui.screens.picker import Picker
from nemochat.tui.widgets.form_fields import Field
from nemochat.tui.widgets.portrait import Portrait, initials
from tests.idle import until

R = TypeVar("R")
UNANSWERED = object()
EVIL = "[bold red]not markup[/] \x1b[31m\x07"

FULL = Persona(
    name="Hild",
    nickname="H",
    summary="a smith",
    description="one\ntwo  ",
    personality="gruff",
    scenario="a forge",
    system="You are {{char}}.\n{{original}}",
    greeting="Well?",
    greetings=("Hm.", "First\nsecond"),
    examples="<START>\n{{user}}: a\n{{char}}: b",
    post_history="again",
    creator_notes="for people",
    creator="me",
    version="2",
    tags=("a, with a comma", "b"),
    model="nemo",
    accent="#C0552D",
    user_name="Sam",
    sampling=PersonaSampling(temperature=0.123456789, top_k=40, top_p=0.95, min_p=0.05, repeat_penalty=1.1, max_tokens=1_000_000),
    book=Lorebook(
        entries=(
            LoreEntry(content="bad iron", keys=("iron", "ore"), name="Iron", extensions={"x": 1}, id=7, case_sensitive=False),
            LoreEntry(content="always", constant=True, enabled=False, position=Position.AFTER),
        ),
        name="World",
        description="d",
        scan_depth=3,
        token_budget=200,
        recursive=True,
        extensions={"y": [1]},
    ),
    extensions={"other": {"z": 1}},
    card={"source": ["s"]},
)


class Host(App[None]):
    """Shows one screen and keeps its answer."""

    def __init__(self, make: Callable[[], ModalScreen[R]]) -> None:
        super().__init__()
        self.make: Callable[[], ModalScreen[R]] = make
        self.answer: object = UNANSWERED

    def on_mount(self) -> None:
        self.push_screen(self.make(), self.keep)

    def keep(self, answer: object) -> None:
        self.answer = answer

    def field(self, key: str) -> Field:
        return next(field for field in self.screen.query(Field) if field.key == key)

    def said(self, selector: str) -> str:
        return str(self.screen.query_one(selector, Static).content)


async def settle(pilot: Pilot[None]) -> None:
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.pause()
    await pilot.press(*keys)
    await pilot.pause()


def png(colour: str = "#ff0000") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


# -- the portrait


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Hild Marrow", "HM"), ("PENNANT", "P"), ("Dr. Ida von Varga", "DV"), ("", "?"), ("  \x1b ", "?"), ("x-ray", "XR")],
)
def test_initials(name: str, letters: str) -> None:
    assert initials(name) == letters


@pytest.mark.parametrize("data", [None, b"", b"\x89PNG\r\n\x1a\nbroken"])
async def test_a_portrait_without_a_picture_is_two_letters(data: bytes | None) -> None:
    class Bare(App[None]):
        def compose(self) -> object:  # type: ignore[override]
            yield Portrait(data, "Hild Marrow", "#c0552d")

    app = Bare()
    async with app.run_test() as pilot:
        await pilot.pause()
        shown = app.query_one(Portrait).render()
        assert isinstance(shown, Content)
        assert shown.plain.split() == ["HM"]
        app.query_one(Portrait).show(png(), "Hild", "no colour")
        picture = app.query_one(Portrait).render()
        assert isinstance(picture, Content)
        assert set(picture.plain) == {"▀", "\n"}
        assert len(picture.plain.split("\n")) == 6


# -- the picker

SUMMARIES = (
    PersonaSummary("alpha", "Alpha", "the first", ("tag one",), True),
    PersonaSummary("beta", f"Beta {EVIL}", EVIL, (), False),
    PersonaSummary("gone", "Gone", "cannot be read"),
)


def load(id_: str) -> tuple[Persona, bytes | None]:
    if id_ == "gone":
        raise NemochatError("It cannot be read [red].", "Mend it.")
    name = next(each.name for each in SUMMARIES if each.id == id_)
    met = EVIL + " {{char}} meets {{user}}"
    persona = Persona(name=name, description=met, greeting="Hello, {{user}}.", creator="Eve", tags=("t",))
    return persona, png() if id_ == "alpha" else None


def picker() -> PersonaPicker:
    return PersonaPicker(SUMMARIES, load, current="beta", user="Sam")


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        (["enter"], PersonaWish(PersonaAction.USE, "beta")),
        (["up", "enter"], PersonaWish(PersonaAction.USE, "alpha")),
        ([*"tag", "enter"], PersonaWish(PersonaAction.USE, "alpha")),
        (["f2"], PersonaWish(PersonaAction.VIEW, "beta")),
        (["f3"], PersonaWish(PersonaAction.EDIT, "beta")),
        (["f4"], PersonaWish(PersonaAction.NEW, "beta")),
        (["f6"], PersonaWish(PersonaAction.DUPLICATE, "beta")),
        (["f7"], PersonaWish(PersonaAction.IMPORT, "beta")),
        (["f8"], PersonaWish(PersonaAction.DELETE, "beta")),
        (["f9"], PersonaWish(PersonaAction.EXPORT, "beta")),
        ([*"zzz", "f7"], PersonaWish(PersonaAction.IMPORT, "")),
        ([*"zzz", "enter", "f3", "f8"], UNANSWERED),
        (["up", "f8"], UNANSWERED),
        (["f5"], UNANSWERED),
        (["escape"], None),
    ],
)
async def test_each_key_of_the_picker(keys: list[str], answer: object) -> None:
    app = Host(picker)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, *keys)
        assert app.answer == answer


def test_the_actions_are_plain_words() -> None:
    assert {*PersonaAction} == {"use", "view", "edit", "new", "duplicate", "import", "export", "delete"}


async def test_a_click_uses_it() -> None:
    app = Host(picker)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.click("#picker-list", offset=(3, 0))
        await pilot.pause()
        assert app.answer == PersonaWish(PersonaAction.USE, "alpha")


async def test_the_card_of_the_highlighted_one_is_shown() -> None:
    app = Host(picker)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert "[bold red]not markup[/]" in app.said("#preview-text")
        assert "meets Sam" in app.said("#preview-text")
        assert "\x1b" not in app.said("#preview-text") + app.said("#preview-name") + app.said("#preview-facts")
        assert "yours, by Eve" in app.said("#preview-facts")
        await press(pilot, "up")
        await settle(pilot)
        assert app.said("#preview-name") == "Alpha"
        assert "comes with nemochat" in app.said("#preview-facts")
        await press(pilot, "down", "down")
        await settle(pilot)
        assert app.said("#preview-text") == "It cannot be read [red]. Mend it."
        assert not app.screen.query_one("#preview-head").display
        await press(pilot, *"zzz")
        await settle(pilot)
        assert app.said("#preview-text") == ""
        assert app.said("#picker-empty") == "Nothing fits “zzz”."


async def test_without_personas_it_says_what_to_do() -> None:
    app = Host(lambda: PersonaPicker((), load))
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "enter", "down", "f2")
        assert app.answer is UNANSWERED
        assert "F4 writes one" in app.said("#picker-empty")
        await press(pilot, "f4")
        assert app.answer == PersonaWish(PersonaAction.NEW, "")


@pytest.mark.parametrize(("size", "beside"), [((80, 24), False), ((120, 40), True), ((200, 60), True), ((40, 12), False)])
async def test_the_card_stands_where_there_is_room(size: tuple[int, int], beside: bool) -> None:
    app = Host(picker)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        left, card = app.screen.query_one("#browser-left").region, app.screen.query_one(PersonaPreview).region
        assert (card.x >= left.right) is beside
        assert beside or card.y >= left.bottom
        assert all(app.screen.region.contains_region(region) for region in (left, card, app.screen.query_one("#browser-hint").region))
        if size[0] >= 80:
            assert "F9 export" in app.said("#browser-hint")
            assert len(app.said("#browser-hint")) <= app.screen.query_one("#browser-hint").content_size.width


async def test_ten_thousand_personas_are_no_trouble() -> None:
    many = [PersonaSummary(str(number), f"Persona {number}") for number in range(10_000)]
    app = Host(lambda: PersonaPicker(many, lambda id_: (Persona(name=id_), None)))
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, *"9999", "enter")
        assert app.answer == PersonaWish(PersonaAction.USE, "9999")


# -- the card


def shown(app: Host) -> str:
    return "\n".join(str(each.content) for each in app.screen.query(Static))


async def test_the_card_says_everything_and_lets_nothing_through() -> None:
    values = msgspec.structs.asdict(FULL)
    app = Host(lambda: PersonaCard(msgspec.structs.replace(FULL, description=EVIL, creator_notes=f"notes {EVIL}"), png()))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        text = shown(app)
        for name in ("name", "summary", "personality", "scenario", "system", "greeting", "examples", "post_history", "creator", "model"):
            assert str(values[name]) in text, name
        assert "Another greeting, 2 of 2" in text
        assert "Notes of its author, which the model does not see" in text
        assert "[bold red]not markup[/]" in text
        assert "\x1b" not in text
        assert "keys: iron, ore" in text
        assert "switched off · always there, after the description" in text
        assert "the last 3 messages are searched, at most 200 tokens a turn, what fired is searched too" in text
        await press(pilot, "pagedown", "escape")
        assert app.answer is None


async def test_a_huge_card_is_cut() -> None:
    entries = tuple(LoreEntry(content="x" * 5_000, keys=("k",) * 900, name="n" * 900) for _ in range(MOST_ENTRIES + 50))
    book, tags = Lorebook(entries=entries), ("t" * 300,) * 900
    huge = Persona(name="n" * 5_000, description="d" * 900_000, greetings=("g",) * 900, tags=tags, book=book)
    app = Host(lambda: PersonaCard(huge))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        text = shown(app)
        assert f"({900_000 - MOST_CHARACTERS:,} more characters)" in text
        assert "… and 50 more entries" in text


# -- the form


async def write(pilot: Pilot[None], app: Host, key: str, text: str) -> None:
    field = app.field(key)
    control = field.query_one("Input, TextArea")
    control.focus()
    await pilot.pause()
    if isinstance(control, Input):
        control.value = text
    else:
        assert isinstance(control, TextArea)
        control.text = text
    await pilot.pause()


@pytest.mark.parametrize("persona", [FULL, Persona(name="x"), PersonaStore(PRESETS / "none").load("guide")[0]])
async def test_what_nobody_touched_comes_out_as_it_went_in(persona: Persona) -> None:
    app = Host(lambda: PersonaForm(persona))
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "ctrl+s")
        assert app.answer == EditedPersona(persona)


async def test_there_is_a_field_for_everything() -> None:
    app = Host(lambda: PersonaForm(FULL))
    async with app.run_test() as pilot:
        await pilot.pause()
        keys = {field.key for field in app.screen.query(Field)}
        kept = {"extensions", "card"}  # of other programs; the TOML in the editor has them
        wanted = {name for name in Persona.__struct_fields__ if name not in kept | {"sampling", "book"}}
        wanted |= {f"sampling.{name}" for name in PersonaSampling.__struct_fields__}
        wanted |= {f"book.{name}" for name in Lorebook.__struct_fields__ if name not in kept}
        assert keys == wanted
        assert all(field.help for field in app.screen.query(Field))


async def test_what_is_written_comes_out() -> None:
    """One form for all: the fields know nothing of each other."""
    written = (
        ("name", " Orla ", "Orla"),
        ("summary", "s", "s"),
        ("tags", "one,  two,, three", ("one", "two", "three")),
        ("accent", "", ""),
        ("accent", "#AABBCC", "#aabbcc"),
        ("description", "new\n\ntext", "new\n\ntext"),
        ("system", "a\x1bb", "ab"),
        ("creator_notes", "", ""),
    )
    app = Host(lambda: PersonaForm(FULL))
    async with app.run_test(size=(80, 24)) as pilot:
        for key, text, value in written:
            await write(pilot, app, key, text)
            assert app.field(key).value == value
        await press(pilot, "ctrl+s")
        assert app.answer == EditedPersona(msgspec.structs.replace(FULL, **{key: value for key, _, value in written}))


async def test_numbers_and_the_book_come_out() -> None:
    app = Host(lambda: PersonaForm(FULL))
    async with app.run_test(size=(120, 40)) as pilot:
        await write(pilot, app, "sampling.temperature", "1")
        await write(pilot, app, "sampling.top_k", "")
        await write(pilot, app, "book.scan_depth", "")
        await write(pilot, app, "book.token_budget", "0")
        app.field("book.recursive").query_one(Switch).toggle()
        await press(pilot, "ctrl+s")
        assert isinstance(app.answer, EditedPersona)
        assert app.answer.persona.sampling == msgspec.structs.replace(FULL.sampling, temperature=1.0, top_k=None)
        assert FULL.book is not None
        assert app.answer.persona.book == msgspec.structs.replace(FULL.book, scan_depth=None, token_budget=0, recursive=False)


async def test_what_is_not_allowed_is_said_and_not_saved() -> None:
    """One form for all: each field is wrong alone, is said, goes before the keys that save, and is made good again."""
    wrong = (
        ("name", "n" * 301, "Hild", "at most 300 characters"),
        ("accent", "blue", "", "written #rrggbb"),
        ("sampling.temperature", "hot", "1", "a number at least 0 and at most 10, or auto, or nothing"),
        ("sampling.top_p", "2", "1", "more than 0 and at most 1"),
        ("sampling.max_tokens", "0.5", "9", "a whole number"),
        ("book.scan_depth", "-1", "3", "0 or more, or nothing"),
    )
    app = Host(lambda: PersonaForm(FULL))
    async with app.run_test(size=(80, 24)) as pilot:
        for key, text, good, sentence in wrong:
            await write(pilot, app, key, text)
            problem = app.field(key).query_one(".problem", Static)
            assert sentence in str(problem.content)
            assert problem.region.height >= 1
            assert "1 not allowed" in app.said("#form-hint")
            app.field("personality").take_focus()
            for keys in (("ctrl+s",), ("ctrl+g",)):
                await press(pilot, *keys)
                assert app.answer is UNANSWERED
                assert app.field(key).has_focus_within
            await press(pilot, "escape")
            assert isinstance(app.screen, Choose)
            await press(pilot, "escape")
            await write(pilot, app, key, good)
            assert not app.field(key).problem


async def test_a_persona_needs_a_name() -> None:
    app = Host(lambda: PersonaForm(Persona(name="")))
    async with app.run_test(size=(80, 24)) as pilot:
        await write(pilot, app, "scenario", "x")
        await press(pilot, "ctrl+s")
        assert app.answer is UNANSWERED
        assert "needs a name" in str(app.field("name").query_one(".problem", Static).content)
        await press(pilot, *"Bo", "ctrl+s")
        assert app.answer == EditedPersona(Persona(name="Bo", scenario="x"))


async def test_escape_asks_only_when_something_was_changed() -> None:
    app = Host(lambda: PersonaForm(FULL))
    async with app.run_test(size=(80, 24)) as pilot:
        await write(pilot, app, "scenario", "x")
        await write(pilot, app, "scenario", FULL.scenario)
        await press(pilot, "escape")
        assert app.answer is None


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        (["enter"], EditedPersona(msgspec.structs.replace(FULL, scenario="x"))),
        (["right", "enter"], UNANSWERED),
        (["right", "right", "enter"], None),
        (["escape"], UNANSWERED),
    ],
)
async def test_escape_asks_before_anything_is_lost(keys: list[str], answer: object) -> None:
    app = Host(lambda: PersonaForm(FULL))
    async with app.run_test(size=(80, 24)) as pilot:
        await write(pilot, app, "scenario", "x")
        await press(pilot, "escape")
        await press(pilot, *keys)
        assert app.answer == answer
        assert answer is not UNANSWERED or app.field("scenario").value == "x"


async def test_what_an_editor_changed_is_not_saved_yet() -> None:
    app = Host(lambda: PersonaForm(msgspec.structs.replace(FULL, name="Orla"), saved=FULL))
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "escape")
        assert isinstance(app.screen, Choose)
        await press(pilot, "enter")
        assert app.answer == EditedPersona(msgspec.structs.replace(FULL, name="Orla"))


async def test_the_editor_gets_what_stands_there() -> None:
    app = Host(lambda: PersonaForm(FULL))
    async with app.run_test(size=(80, 24)) as pilot:
        await write(pilot, app, "scenario", "x")
        await press(pilot, "ctrl+g")
        assert app.answer == EditedPersona(msgspec.structs.replace(FULL, scenario="x"), in_editor=True)


def held(field: Field) -> object:
    return field.value


async def test_greetings_are_added_changed_taken_away_and_brought_back() -> None:
    app = Host(lambda: PersonaForm(FULL))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        greetings = app.field("greetings")
        greetings.take_focus()
        await press(pilot, "home", "delete")
        assert held(greetings) == ("First\nsecond",)
        await press(pilot, "ctrl+z")
        assert held(greetings) == FULL.greetings
        await press(pilot, "home", "enter")
        assert isinstance(app.screen, TextForm)
        await press(pilot, *"ab", "ctrl+s")
        assert held(greetings) == ("abHm.", "First\nsecond")
        await press(pilot, "end", "enter")
        await press(pilot, *"new", "ctrl+s")
        assert held(greetings) == ("abHm.", "First\nsecond", "new")
        await press(pilot, "end", "enter", "escape")  # nothing written, nothing asked
        await press(pilot, "ctrl+s")
        assert isinstance(app.answer, EditedPersona)
        assert app.answer.persona.greetings == ("abHm.", "First\nsecond", "new")


async def test_an_entry_is_written_in_a_form_of_its_own() -> None:
    app = Host(lambda: PersonaForm(Persona(name="x")))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.field("book.entries").take_focus()
        await press(pilot, "home", "enter")
        assert isinstance(app.screen, LoreForm)
        await write(pilot, app, "name", "Iron")
        await write(pilot, app, "keys", "iron\n\n  ore ")
        await press(pilot, "ctrl+s")
        assert isinstance(app.screen, LoreForm)  # it says nothing yet
        await write(pilot, app, "content", "It is bad.")
        await press(pilot, "ctrl+s")
        lines = [str(option.prompt) for option in app.field("book.entries").query_one(OptionList).options]
        assert lines[0].split() == ["Iron", "iron,", "ore"]
        await press(pilot, "ctrl+s")
        entry = LoreEntry(content="It is bad.", keys=("iron", "ore"), name="Iron")
        assert app.answer == EditedPersona(Persona(name="x", book=Lorebook(entries=(entry,))))


# -- the form of an entry

ENTRY = LoreEntry(content="c", keys=("k",), extensions={"x": 1}, id="7")


@pytest.mark.parametrize("entry", [ENTRY, *(FULL.book.entries if FULL.book is not None else ())])
async def test_an_entry_that_nobody_touched_stays(entry: LoreEntry) -> None:
    app = Host(lambda: LoreForm(entry))
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "ctrl+s")
        assert app.answer == entry


async def test_every_field_of_an_entry_comes_out() -> None:
    app = Host(lambda: LoreForm(ENTRY))
    async with app.run_test(size=(80, 60)) as pilot:
        for key, text in {"order": "5", "priority": "-3", "comment": "why", "secondary_keys": "a\nb", "keys": "sw(o|a)rd"}.items():
            await write(pilot, app, key, text)
        for key in ("enabled", "constant", "selective", "use_regex"):
            app.field(key).query_one(Switch).toggle()
        app.field("case_sensitive").query_one(Select).value = 1
        app.field("position").query_one(Select).value = 1
        await press(pilot, "ctrl+s")
        assert app.answer == msgspec.structs.replace(
            ENTRY, order=5, priority=-3, comment="why", keys=("sw(o|a)rd",), secondary_keys=("a", "b"), enabled=False, constant=True,
            selective=True, use_regex=True, case_sensitive=True, position=Position.AFTER,
        )  # fmt: skip


async def test_the_rules_of_sillytavern_come_out_under_its_names() -> None:
    app = Host(lambda: LoreForm(ENTRY))
    async with app.run_test(size=(80, 80)) as pilot:
        texts = {
            "secondary_keys": "moon", "scan_depth": "9", "probability": "40", "groups": "sounds", "weight": "7", "sticky": "3",
            "cooldown": "5", "delay": "2", "delayed": "1", "depth": "0", "only_names": "Mira\nAda", "only_tags": "elf",
        }  # fmt: skip
        for key, text in texts.items():
            await write(pilot, app, key, text)
        for key in ("selective", "whole_words", "wins", "is_no_chain", "ends_chain", "ignores_budget", "excludes"):
            app.field(key).query_one(Switch).toggle()
        for key, index in (("logic", 1), ("position", 2), ("speaker", 2)):
            app.field(key).query_one(Select).value = index
        await press(pilot, "ctrl+s")
        assert app.answer == msgspec.structs.replace(
            ENTRY, secondary_keys=("moon",), selective=True,
            extensions={
                "x": 1, "selectiveLogic": 3, "match_whole_words": False, "scan_depth": 9, "probability": 40, "group": "sounds",
                "group_weight": 7, "group_override": True, "sticky": 3, "cooldown": 5, "delay": 2, "exclude_recursion": True,
                "prevent_recursion": True, "delay_until_recursion": 1, "depth": 0, "role": 2, "ignore_budget": True, "position": 4,
                "character_filter": {"isExclude": True, "names": ["Mira", "Ada"], "tags": ["elf"]},
            },
        )  # fmt: skip


async def test_a_persona_names_its_lorebooks_by_id_or_name() -> None:
    known = (LorebookSummary("woods", "The old woods"), LorebookSummary("sea", "Sea"))
    app = Host(lambda: PersonaForm(msgspec.structs.replace(FULL, lorebooks=("gone",)), lorebooks=known))
    async with app.run_test(size=(80, 60)) as pilot:
        await write(pilot, app, "lorebooks", "the OLD woods\nnix")
        await press(pilot, "ctrl+s")
        assert app.answer is UNANSWERED
        assert "There is no lorebook nix." in str(app.field("lorebooks").query_one(".problem", Static).content)
        await write(pilot, app, "lorebooks", "the OLD woods\nsea\nwoods\ngone")
        await press(pilot, "ctrl+s")
        assert isinstance(app.answer, EditedPersona)
        assert app.answer.persona.lorebooks == ("woods", "sea", "gone")


async def test_an_entry_that_cannot_work_is_not_kept() -> None:
    wrong = (
        ("keys", "", "sword", "at least one key"),
        ("keys", "/(/", "sword", "no valid regular expression"),
        ("order", "first", "1", "a whole number"),
        ("probability", "101", "100", "a whole number from 0 to 100"),
        ("content", " ", "said", "tells the model nothing"),
    )
    app = Host(lambda: LoreForm(ENTRY))
    async with app.run_test(size=(80, 24)) as pilot:
        for key, text, good, sentence in wrong:
            await write(pilot, app, key, text)
            await press(pilot, "ctrl+s")
            assert app.answer is UNANSWERED
            assert sentence in str(app.field(key).query_one(".problem", Static).content)
            await write(pilot, app, key, good)
            assert not app.field(key).problem


# -- moving about


async def test_up_and_down_leave_an_area_at_its_edges_and_a_key_goes_to_the_next_part() -> None:
    app = Host(lambda: PersonaForm(FULL))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.field("description").take_focus()
        await press(pilot, "down")
        assert app.field("description").has_focus_within
        await press(pilot, "end", "down")
        assert app.field("personality").has_focus_within
        await press(pilot, "home", "up")
        assert app.field("description").has_focus_within
        await press(pilot, "ctrl+down")
        assert app.field("system").has_focus_within
        await press(pilot, "ctrl+up", "ctrl+up")
        assert app.field("name").has_focus_within
        assert "stands over the replies" in app.said("#form-help")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_form_fits(size: tuple[int, int]) -> None:
    app = Host(lambda: PersonaForm(FULL))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for selector in ("#form-title", "#form-help", "#form-hint"):
            assert app.screen.region.contains_region(app.screen.query_one(selector).region)
        hint = app.screen.query_one("#form-hint", Static)
        assert len(str(hint.content)) <= hint.content_size.width


async def test_sampling_is_filled_in_from_a_preset() -> None:
    persona = Persona(name="Mira", sampling=PersonaSampling(top_k=9))
    app = Host(lambda: PersonaForm(persona, presets=(Preset("Calm", SamplingSettings(temperature=0.3, seed=4)),)))
    async with app.run_test() as pilot:
        await pilot.press("ctrl+r")
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, PersonaForm))
        await settle(pilot)
        await pilot.press("ctrl+s")
        await until(lambda: app.answer is not UNANSWERED)
    assert app.answer == EditedPersona(Persona(name="Mira", sampling=PersonaSampling(temperature=0.3)))
