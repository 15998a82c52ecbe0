"""The form for one entry of a lorebook, and the one for a text by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from nemochat.domain.personas import LoreEntry, Position
from nemochat.personas.lore import title
from nemochat.personas.lore_keys import KeyReader, searched
from nemochat.tui.screens.form import FormScreen, Section
from nemochat.tui.widgets.form_fields import ChoiceField, LineField, LinesField, SwitchField, TextField

_POSITIONS = (("before the description", Position.BEFORE), ("after the description", Position.AFTER))
_CASE = (("no", None), ("yes", True), ("no, as the card says", False))


class LoreForm(FormScreen[LoreEntry]):
    """One entry; what other programs keep in it stays."""

    def __init__(self, entry: LoreEntry | None = None) -> None:
        super().__init__(f"Lorebook: {title(entry) or 'an entry'}" if entry else "Lorebook: a new entry", saves="keeps")
        self._entry = entry or LoreEntry(content="")

    def sections(self) -> Iterator[Section]:
        """What it says, when, and where."""
        entry = self._entry
        case = tuple(option for option in _CASE if option[1] is not False or entry.case_sensitive is False)
        yield Section(
            "",
            (
                LineField("name", "Name", entry.name, help="Your own name for it; the model does not see it."),
                LinesField("keys", "Keys", entry.keys, help="Whole words, one per line. The entry is added when one of them is said."),
                TextField("content", "Content", entry.content, help="What the model is told. {{char}} and {{user}} are the two names."),
            ),
        )
        yield Section(
            "When it is added",
            (
                SwitchField("enabled", "In use", entry.enabled, help="Off: it is never added."),
                SwitchField("constant", "Always there", entry.constant, help="In every prompt, whatever is said."),
                SwitchField("selective", "Needs more", entry.selective, help="One of the further keys must be said too."),
                LinesField("secondary_keys", "Further keys", entry.secondary_keys, help="One per line, used when “Needs more” is on."),
                SwitchField("use_regex", "Expressions", entry.use_regex, help="The keys are regular expressions, such as sw(o|a)rds?."),
                ChoiceField("case_sensitive", "Match case", entry.case_sensitive, case, help="Whether “Mill” and “mill” differ."),
            ),
        )
        yield Section(
            "Where it stands",
            (
                ChoiceField("position", "Place", entry.position, _POSITIONS, help="Of an entry that is always there."),
                LineField("order", "Order", entry.order, parse=_whole, is_short=True, help="Lower stands higher up."),
                LineField("priority", "Priority", entry.priority, parse=_whole, is_short=True, help="Lower is left out first."),
                TextField("comment", "Comment", entry.comment, help="For people; the model does not see it."),
            ),
        )

    def missing(self, values: Mapping[str, object]) -> tuple[str, str] | None:
        """An entry says something, and there is a way for it to enter."""
        entry = self.made(values)
        if not entry.content.strip():
            return "content", "An entry without content tells the model nothing."
        if not entry.keys and not entry.constant:
            return "keys", "Write at least one key, or switch “Always there” on."
        return next(((field, problem) for field in ("keys", "secondary_keys") if (problem := _key_problem(entry, field))), None)

    def made(self, values: Mapping[str, object]) -> LoreEntry:
        """The entry. A place that is chosen here holds, whatever other programs have noted down of it."""
        extensions = self._entry.extensions
        if values["position"] is not self._entry.position:
            extensions = {name: value for name, value in extensions.items() if name != "position"}
        return msgspec.structs.replace(self._entry, **values, extensions=extensions)


class TextForm(FormScreen[str]):
    """One text, such as another greeting."""

    def __init__(self, title: str, text: str = "", *, help: str = "") -> None:
        super().__init__(title, saves="keeps")
        self._text, self._about = text, help

    def sections(self) -> Iterator[Section]:
        """The text."""
        yield Section("", (TextField("text", "Text", self._text, help=self._about),))

    def made(self, values: Mapping[str, object]) -> str:
        """The text."""
        return str(values["text"])


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("Enter a whole number.") from None


def _key_problem(entry: LoreEntry, field: str) -> str:
    """What is wrong with a key that is a regular expression; "" when nothing is."""
    keys = KeyReader()
    for key in getattr(entry, field):
        keys.found(key, searched(""), use_regex=entry.use_regex, case_sensitive=bool(entry.case_sensitive))
    return next((f"“{key[:40]}” {problem}." for key, problem in keys.problems.items()), "")
