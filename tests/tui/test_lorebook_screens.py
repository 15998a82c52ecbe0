"""The lorebooks and their entries on the screen, each alone in a bare program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from nemochat.chat.lore import tried
from nemochat.desk.port import LoreAction, LorebookItem, LoreWish
from nemochat.domain.personas import Lorebook, LoreEntry
from nemochat.errors import NemochatError
from nemochat.personas.lore import Lore, Scan
from nemochat.personas.lorebooks import LorebookSummary
from nemochat.tui.screens.lore_form import LoreForm
from nemochat.tui.screens.lorebook import LorebookScreen
from nemochat.tui.screens.lorebook_picker import LorebookPicker
from nemochat.tui.widgets.form_fields import Field
from tests.idle import until

SIZES = [(50, 20), (80, 24), (120, 40)]
PAYLOAD = "\x1b]52;c;aGk=\x07[@click=app.quit]x[/]"
BOOK = Lorebook(
    name="Woods",
    description="Dark ones.",
    entries=(
        LoreEntry(content="Wolves hunt here.", keys=("wolf",), name="Wolves"),
        LoreEntry(content="Bears sleep.", keys=("bear",), name="Bears", enabled=False),
        LoreEntry(content="It is dark.", name="Dark", constant=True),
        LoreEntry(content="Never.", keys=("wolf",), name="Never", extensions={"probability": 0}),
        LoreEntry(content="Bad.", keys=("/(/",), name="Bad"),
        LoreEntry(content=PAYLOAD, keys=(PAYLOAD,), name=f"Evil {PAYLOAD}", comment=PAYLOAD),
    ),
)


class Host(App[None]):
    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self.make = make
        self.answers: list[object] = []

    def on_mount(self) -> None:
        self.push_screen(self.make(), self.answers.append)

    @property
    def lines(self) -> list[str]:
        """The list."""
        choices = self.screen.query_one(OptionList)
        return [str(choices.get_option_at_index(index).prompt) for index in range(choices.option_count)] if choices.display else []

    def said(self, selector: str) -> str:
        return str(self.screen.query_one(selector, Static).content)

    def type(self, selector: str, text: str) -> None:
        self.screen.query_one(selector, Input).value = text


class Kept:
    """What the screen has saved."""

    def __init__(self) -> None:
        self.books: list[Lorebook] = []

    def __call__(self, book: Lorebook) -> None:
        self.books.append(book)


def attempt(book: Lorebook, text: str) -> Scan:
    return tried(Lore((book,)), text)


def screen(book: Lorebook = BOOK, kept: Kept | None = None) -> Callable[[], LorebookScreen]:
    return lambda: LorebookScreen(book, attempt, kept or Kept())


def names(app: Host) -> list[str]:
    """The signs and the first words of the lines."""
    return [" ".join(line.split()[:2]) for line in app.lines]


async def keys(pilot: Pilot[None], *pressed: str) -> None:
    await pilot.press(*pressed)
    await pilot.pause()


ITEMS = (
    LorebookItem(LorebookSummary("woods", "Woods", "Dark ones.", 6, 5), ("this chat", "every chat")),
    LorebookItem(LorebookSummary("sea", f"Sea {PAYLOAD}", PAYLOAD, 1, 1)),
)


def load(id_: str) -> Lorebook:
    if id_ == "sea":
        raise NemochatError(f"It cannot be read: {PAYLOAD}.", "Correct it.")
    return BOOK


# -- the list of lorebooks


@pytest.mark.parametrize("size", SIZES)
async def test_the_lorebooks_with_whose_they_are_and_what_the_highlighted_one_says(size: tuple[int, int]) -> None:
    app = Host(lambda: LorebookPicker(ITEMS, load, persona="Mira"))
    async with app.run_test(size=size) as pilot:
        await until(lambda: "Wolves" in app.said(".card-text"))
        assert "this chat, every chat" in app.lines[0]
        assert "not in use" in app.lines[1]
        assert app.said(".card-text").startswith("Woods\n6 entries, 1 off\nIn use: this chat, every chat\n\nDark ones.")
        await keys(pilot, "down")
        await until(lambda: app.said(".card-text").startswith("It cannot be read"))
        assert not any(character in app.said(".card-text") + "".join(app.lines) for character in "\x1b\x07")


@pytest.mark.parametrize(
    ("pressed", "answer"),
    [
        (("enter",), LoreWish(LoreAction.OPEN, "woods")),
        (("down", "f2"), LoreWish(LoreAction.CHAT, "sea")),
        (("f3",), LoreWish(LoreAction.PERSONA, "woods")),
        (("f4",), LoreWish(LoreAction.EVERYWHERE, "woods")),
        (("f6",), LoreWish(LoreAction.NEW, "woods")),
        (("f8",), LoreWish(LoreAction.DELETE, "woods")),
        (("s", "e", "a", "f9"), LoreWish(LoreAction.EXPORT, "sea")),
        (("escape",), None),
    ],
)
async def test_each_key_of_the_list(pressed: tuple[str, ...], answer: LoreWish | None) -> None:
    app = Host(lambda: LorebookPicker(ITEMS, load, persona="Mira"))
    async with app.run_test(size=(80, 24)) as pilot:
        await keys(pilot, *pressed)
        await until(lambda: app.answers == [answer])


async def test_without_lorebooks_it_says_what_to_do() -> None:
    app = Host(lambda: LorebookPicker((), load))
    async with app.run_test(size=(80, 24)) as pilot:
        await keys(pilot, "enter", "f2", "f3", "f8")  # there is nothing that these could be done with
        assert "F6 writes one, F7 imports" in app.said("#picker-empty")
        assert app.answers == []
        await keys(pilot, "f7")
        await until(lambda: app.answers == [LoreWish(LoreAction.IMPORT, "")])


# -- the entries of one


@pytest.mark.parametrize("size", SIZES)
async def test_the_entries_with_their_keys_and_the_rules_of_the_highlighted_one(size: tuple[int, int]) -> None:
    app = Host(screen())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert names(app)[:3] == ["● Wolves", "○ Bears", "● Dark"]
        assert app.said(".card-text").startswith("Wolves\nkeys: wolf · before the description · order 100\n\nWolves hunt here.")
        await keys(pilot, "down")
        assert app.said(".card-text").startswith("Bears  (off)\n")
        await keys(pilot, "down", "down", "down", "down")
        assert "Evil" in app.said(".card-text")
        assert not any(character in app.said(".card-text") + "".join(app.lines) for character in "\x1b\x07")


async def test_typing_filters() -> None:
    app = Host(screen())
    async with app.run_test(size=(80, 24)) as pilot:
        await keys(pilot, *"bears")
        assert names(app) == ["○ Bears"]
        app.type("#picker-filter", "nothing of it")
        await until(lambda: "Nothing fits “nothing of it”." in app.said("#picker-empty"))


async def test_an_entry_is_switched_and_that_is_kept_and_taken_back() -> None:
    kept = Kept()
    app = Host(screen(kept=kept))
    async with app.run_test(size=(80, 24)) as pilot:
        await keys(pilot, "down", "f2")
        assert names(app)[1] == "● Bears"
        assert kept.books[-1].entries[1].enabled
        await keys(pilot, "ctrl+z")
        assert kept.books[-1] == BOOK
        assert names(app)[1] == "○ Bears"
        await keys(pilot, "ctrl+z")  # there is nothing more to take back
        assert len(kept.books) == 2


async def test_an_entry_is_copied_deleted_and_brought_back() -> None:
    kept = Kept()
    app = Host(screen(kept=kept))
    async with app.run_test(size=(80, 24)) as pilot:
        await keys(pilot, "f6")
        assert names(app)[:2] == ["● Wolves", "● Wolves"]
        await keys(pilot, "f8", "f8")
        assert names(app)[:2] == ["● Wolves", "● Dark"]
        await keys(pilot, "ctrl+z", "ctrl+z", "ctrl+z")
        assert kept.books[-1] == BOOK


async def test_an_entry_is_written_and_a_new_one_added() -> None:
    kept = Kept()
    app = Host(screen(kept=kept))
    async with app.run_test(size=(80, 24)) as pilot:
        await keys(pilot, "down", "enter")
        await until(lambda: isinstance(app.screen, LoreForm))
        field = next(field for field in app.screen.query(Field) if field.key == "name")
        field.query_one(Input).value = "Brown bears"
        await keys(pilot, "ctrl+s")
        await until(lambda: isinstance(app.screen, LorebookScreen))
        assert kept.books[-1].entries[1] == msgspec.structs.replace(BOOK.entries[1], name="Brown bears")
        await keys(pilot, "f4")
        await until(lambda: isinstance(app.screen, LoreForm))
        await keys(pilot, "escape")
        await until(lambda: isinstance(app.screen, LorebookScreen))
        assert len(kept.books) == 1


@pytest.mark.parametrize("size", SIZES)
async def test_a_text_is_tried_with_the_real_matcher(size: tuple[int, int]) -> None:
    """Fired, always there, dropped with the reason, and keys that cannot be read; what is not called is not shown."""
    app = Host(screen())
    async with app.run_test(size=size) as pilot:
        await keys(pilot, "tab", *"a", "space", *"wolf")
        await until(lambda: names(app) == ["+ Wolves", "− Never", "= Dark"])  # noqa: RUF001
        assert "the key “wolf” in the last message" in app.lines[0]
        text = app.said(".card-text")
        assert text.startswith("! The key “/(/” is no valid regular expression.\n\nWolves\nthe key “wolf” in the last message\n")
        await keys(pilot, "down")
        assert "its chance of 0 % did not come up; called by the key “wolf”" in app.said(".card-text")
        await keys(pilot, "f2")  # off: it is tried again without it
        await until(lambda: names(app) == ["+ Wolves", "= Dark"])
        await keys(pilot, "down", "f8")
        await until(lambda: names(app) == ["+ Wolves"])
        await keys(pilot, "ctrl+z", "ctrl+z")
        await until(lambda: names(app) == ["+ Wolves", "− Never", "= Dark"])  # noqa: RUF001
        app.type("#lore-try", "hello")
        await until(lambda: names(app) == ["= Dark"])
        await keys(pilot, "f8", "f8")
        await until(lambda: app.said("#picker-empty") == "This text calls no entry.")
        app.type("#lore-try", "")
        await until(lambda: len(app.lines) == len(BOOK.entries) - 1)


async def test_a_text_that_calls_nothing_says_so() -> None:
    app = Host(screen(Lorebook(name="x", entries=BOOK.entries[:1])))
    async with app.run_test(size=(80, 24)):
        app.type("#lore-try", "hello")
        await until(lambda: app.said("#picker-empty") == "This text calls no entry.")


async def test_a_large_lorebook_is_no_trouble() -> None:
    entries = tuple(LoreEntry(content=f"Number {number}.", keys=(f"key{number}",)) for number in range(5_000))
    app = Host(screen(Lorebook(name="x", entries=entries)))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert len(app.lines) == 500
        app.type("#picker-filter", "key4321")
        await until(lambda: len(app.lines) == 1)
        await keys(pilot, "f2")
        assert names(app)[0].startswith("○")


async def test_an_empty_one_says_what_to_do() -> None:
    app = Host(screen(Lorebook(name="x")))
    async with app.run_test(size=(80, 24)) as pilot:
        await keys(pilot, "f2", "f6", "f8", "enter", "ctrl+z", "down")
        assert "F4 writes one" in app.said("#picker-empty")
        await keys(pilot, "escape")
        await until(lambda: app.answers == [None])
