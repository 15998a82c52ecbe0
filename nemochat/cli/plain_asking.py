"""How the desk's questions look in lines: numbered answers, a line, or y and n. From a pipe an answer is the next line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from nemochat.cli.asking import ask_yes
from nemochat.cli.lines import Lines
from nemochat.desk import port
from nemochat.desk.commands import path_of
from nemochat.desk.editor import write_in_editor
from nemochat.desk.port import Answer, EditedPersona, Found, Item, Leave, LoreAction, LoreWish, PersonaAction, PersonaWish
from nemochat.domain.library import SearchFilters
from nemochat.domain.personas import Persona
from nemochat.domain.sanitize import sanitize
from nemochat.domain.ttft import ReplyRow, statistics_of
from nemochat.errors import NemochatError
from nemochat.numbers import count, plural
from nemochat.personas.lore import title
from nemochat.tui.tables import in_full

_SHOWN = 30
"""Lines of a long list that are shown at once."""
_NEW, _IMPORT = "\0new", "\0import"
"""No ids; behind the sign they are what is to be done."""
_ON_A_PERSONA = (
    Answer(PersonaAction.USE, "Talk with it"),
    Answer(PersonaAction.VIEW, "Its card"),
    Answer(PersonaAction.EDIT, "Change it in your editor"),
    Answer(PersonaAction.DUPLICATE, "Make a copy"),
    Answer(PersonaAction.EXPORT, "Export it"),
    Answer(PersonaAction.DELETE, "Delete it"),
)

_ON_A_LOREBOOK = (
    Answer(LoreAction.OPEN, "Its entries"),
    Answer(LoreAction.CHAT, "Use it in this chat, or no more"),
    Answer(LoreAction.PERSONA, "Give it to the persona, or take it away"),
    Answer(LoreAction.EVERYWHERE, "Use it in every chat, or no more"),
    Answer(LoreAction.EXPORT, "Export it"),
    Answer(LoreAction.DELETE, "Delete it"),
)


class Questions:
    """Asks in lines. out: prints a notice. settings_file: where the settings are written."""

    def __init__(self, lines: Lines, out: Callable[[str], None], settings_file: Path) -> None:
        self._lines, self._out, self._settings_file = lines, out, settings_file
        self._was_in_editor = False
        self._kept: Persona | None = None
        """The persona that was to be kept last."""

    async def ask(self, ask: port.Ask) -> Any:
        """Ask, one question after the other; each says what it returns."""
        if self._lines.shown:
            self._out("A question waits for you: press Enter to read it. What stands in the line is sent.")
        async with self._lines.turn:
            return await self._put(ask)

    async def _put(self, ask: port.Ask) -> Any:
        match ask:
            case port.AskOne(title, text, answers, hint):
                self._head(title, text, hint)
                return await self._choose(answers, answers[0].value)
            case port.AskMenu(title, answers):
                self._head(title)
                return await self._choose(answers, None)
            case port.AskItem():
                return await self._choose_item(ask.title, await _whole(ask), ask.current, ask.empty)
            case port.AskLeave(served):
                self._out(served.leaving)
                return Leave.ONCE
            case port.AskText():
                return await self._write(ask)
            case port.AskFile(title):
                path = (await self._lines.read(f"{title}: its path, or nothing: ") or "").strip()
                return path_of(path) if path else None
            case port.AskAllowed():
                return await self._allow(ask)
            case port.AskEditor():
                return await self._edit(ask)
            case port.AskTheme():
                self._out("Themes are colours of the full-screen interface; here there are none.")
            case port.AskSettings():
                self._out(f"The settings are in {self._settings_file}: change them in an editor, they hold from the next start.")
            case port.AskFound():
                return await self._find(ask)
            case port.AskPersona():
                return await self._persona(ask)
            case port.AskPersonaEdited():
                return await self._persona_edited(ask)
            case port.AskLore():
                return await self._lore(ask)
            case port.AskLorebook():
                await self._lorebook(ask)
            case _:
                await self._show(ask)
        return None

    def _head(self, title: str, *lines: str) -> None:
        for line in (title, *lines):
            if line:
                self._out(line)

    # -- one of several

    async def _choose(self, answers: Sequence[Answer], default: str | None) -> str | None:
        """The value that belongs to a number, a key or a label; the default for an empty line, None at the end of input."""
        for number, answer in enumerate(answers, 1):
            self._out(f"{number}. {sanitize(answer.label, strict=True)}")
        hint = "nothing leaves" if default is None else "Enter takes 1"
        while (line := await self._lines.read(f"A number from 1 to {len(answers)}, {hint}: ")) is not None:
            word = line.strip().casefold()
            if not word:
                return default
            for number, answer in enumerate(answers, 1):
                if word in (str(number), answer.key.casefold() or str(number), answer.label.casefold()):
                    return answer.value
            if not self._lines.is_terminal:
                self._lines.give_back(line)
                self._out("The next line is no answer to this, so it stays without one.")
                return None
            self._out("There is no such answer.")
        return None

    async def _choose_item(self, title: str, items: Sequence[Item], current: str, empty: str) -> str | None:
        """The same among many: a word of its name narrows them."""
        self._head(title)
        if not items:
            self._out(empty or "There is nothing to choose from.")
            return None
        shown = list(items)
        while True:
            for number, item in enumerate(shown[:_SHOWN], 1):
                words = sanitize(f"{item.label}: {item.detail}" if item.detail else item.label, strict=True)
                self._out(f"{number}. {words}{' (this one now)' if item.value == current else ''}")
            if len(shown) > _SHOWN:
                self._out(f"And {count(len(shown) - _SHOWN)} more: a word of a name shows those that have it.")
            line = await self._lines.read("A number or a word of its name, nothing leaves: ")
            word = (line or "").strip().casefold()
            if not word:
                return None
            if word.isdecimal() and 0 < int(word) <= min(len(shown), _SHOWN):
                return shown[int(word) - 1].value
            shown = [item for item in items if word in f"{item.label} {item.detail}".casefold()]
            if len(shown) == 1:
                return shown[0].value
            if not shown and not self._lines.is_terminal:
                self._lines.give_back(line or "")
                self._out("The next line is no answer to this, so it stays without one.")
                return None
            if not shown:
                self._out("None of them has that in its name.")
                shown = list(items)

    # -- a text

    async def _write(self, ask: port.AskText) -> str | None:
        if ask.hint:
            self._out(ask.hint)
        if ask.text and not self._lines.edits:
            self._out(f"It is: {ask.text}")
            self._out("A line takes its place, nothing leaves it as it is.")
        line = await self._lines.read(f"{sanitize(ask.title, strict=True).rstrip('?')}: ", ask.text)
        return None if not line and ask.text and not self._lines.edits else line

    async def _edit(self, ask: port.AskEditor) -> str | None:
        if not self._lines.is_terminal:
            self._out("An editor needs a terminal.")
            return None
        try:
            return write_in_editor(ask, nullcontext())
        except NemochatError as error:
            self._out(error.message)
            return None

    # -- what cannot be taken back

    async def _allow(self, ask: port.AskAllowed) -> str | None:
        """All of it is shown, a page at a time; only a y is a yes. What else may be answered is asked behind it."""
        no, yes = ask.answers[0], [answer for answer in ask.answers if answer.allows]
        if not self._lines.is_terminal:
            self._out(f"{ask.title}: the answer is No, because nobody can be asked here.")
            return no.value
        text = "\n".join(part for part in (ask.title, ask.about, ask.origin, ask.whole) if part)
        if not await self._lines.alone(ask_yes(text, "Allow it?")):
            self._out(no.label)
            return no.value
        return await self._choose(yes, yes[0].value) if len(yes) > 1 else yes[0].value

    # -- searching, personas

    async def _find(self, ask: port.AskFound) -> Found | None:
        words = ask.words or (await self._lines.read("Search for: ") or "").strip()
        hits = await ask.find(words, SearchFilters()) if words else ()
        items = tuple(Item(str(index), hit.title, hit.snippet) for index, hit in enumerate(hits))
        chosen = await self._choose_item(f"{plural(len(hits), 'message')} found", items, "", "Other words may find more.")
        return Found(hits[int(chosen)].conversation, hits[int(chosen)].node) if chosen is not None else None

    async def _persona(self, ask: port.AskPersona) -> PersonaWish | None:
        items = [Item(each.id, each.name, each.summary) for each in ask.personas]
        items += [Item(_NEW, "A new one", "written in your editor"), Item(_IMPORT, "From a card", "PNG, JSON, charx or TOML")]
        self._was_in_editor, self._kept = False, None
        wish = await self._wish("Personas", items, ask.current, _ON_A_PERSONA)
        return wish and PersonaWish(PersonaAction(wish[0]), wish[1])

    async def _wish(self, title: str, items: Sequence[Item], current: str, answers: Sequence[Answer]) -> tuple[str, str] | None:
        """What is to be done, and with which of these; "" for a new one and for an import."""
        match await self._choose_item(title, items, current, ""):
            case None:
                return None
            case str(wish) if wish in (_NEW, _IMPORT):
                return wish.lstrip("\0"), ""
            case id_:
                action = await self._choose(answers, answers[0].value)
                return None if action is None else (action, id_)

    async def _persona_edited(self, ask: port.AskPersonaEdited) -> EditedPersona | None:
        """In the editor first, then kept as it came from there; what could not be kept may go to the editor once more."""
        if ask.persona not in (ask.saved, self._kept):
            self._kept = ask.persona
            return EditedPersona(ask.persona)
        answers = (Answer("leave", "Leave the persona as it was"), Answer("again", "Open the editor again"))
        if self._was_in_editor and await self._choose(answers, "leave") != "again":
            return None
        self._was_in_editor = True
        return EditedPersona(ask.persona, in_editor=True)

    # -- lorebooks

    async def _lore(self, ask: port.AskLore) -> LoreWish | None:
        items = [Item(each.summary.id, each.summary.name, ", ".join(each.where)) for each in ask.lorebooks]
        items += [Item(_NEW, "A new one"), Item(_IMPORT, "From a file", "of SillyTavern, NovelAI, Agnai or RisuAI")]
        answers = [answer for answer in _ON_A_LOREBOOK if ask.persona or answer.value != LoreAction.PERSONA]
        wish = await self._wish("Lorebooks", items, ask.current, answers)
        return wish and LoreWish(LoreAction(wish[0]), wish[1])

    async def _lorebook(self, ask: port.AskLorebook) -> None:
        """Its entries by number: a number switches one on or off, nothing leaves."""
        book = ask.book
        while True:
            items = [
                Item(str(index), title(entry), f"{'' if entry.enabled else 'off · '}{', '.join(entry.keys)}")
                for index, entry in enumerate(book.entries)
            ]
            chosen = await self._choose_item(f"{book.name}: which entry to switch on or off?", items, "", "It has no entries.")
            if chosen is None:
                return
            at = int(chosen)
            entry = msgspec.structs.replace(book.entries[at], enabled=not book.entries[at].enabled)
            book = msgspec.structs.replace(book, entries=(*book.entries[:at], entry, *book.entries[at + 1 :]))
            ask.save(book)
            self._out(f"{title(entry)} is {'on' if entry.enabled else 'off'} now.")

    # -- what is only shown

    async def _show(self, ask: port.Ask) -> None:
        match ask:
            case port.ShowText(title, text):
                self._head(title, text)
            case port.ShowPicture(pixels):
                self._out(f"A picture of {pixels.width} by {pixels.height} pixels.")
            case port.ShowPersona(persona):
                self._out(_card(persona))
            case port.ShowFigures(chat, library):
                self._out(f"This chat\n{_figures(chat)}\n\nAll chats\n{_figures(await library())}")
            case _:
                raise AssertionError(f"{type(ask).__name__} is asked for nowhere in lines")


async def _whole(ask: port.AskItem) -> Sequence[Item]:
    """The items with those that are still being looked for: lines that stand there cannot be changed."""
    items = list(ask.items)
    if ask.later is not None:
        async with aclosing(ask.later()) as later:
            async for value, found in later:
                at = next((index for index, item in enumerate(items) if value and item.value == value), len(items))
                items[at : at + 1] = found
    return items


def _card(persona: Persona) -> str:
    parts = (
        ("", persona.name),
        ("", persona.summary),
        ("Description: ", persona.description),
        ("Personality: ", persona.personality),
        ("Scenario: ", persona.scenario),
        ("Greeting: ", persona.greeting),
        ("Notes: ", persona.creator_notes),
    )
    return "\n".join(f"{label}{text}" for label, text in parts if text)


def _figures(rows: Sequence[ReplyRow]) -> str:
    statistics = statistics_of(row.reading for row in rows)
    if not statistics.all.replies:
        return "There is no reply yet."
    return in_full(statistics)
