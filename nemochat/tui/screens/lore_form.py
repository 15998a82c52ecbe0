"""The form for one entry of a lorebook, and the one for a text by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from nemochat.domain.messages import Speaker
from nemochat.domain.personas import Lorebook, LoreEntry, Position
from nemochat.personas import decorators
from nemochat.personas.lore import title
from nemochat.personas.lore_keys import KeyReader, searched
from nemochat.personas.lore_rules import DEPTH, PLACES, Logic, Place, is_of_silly_tavern, rules_of_entry
from nemochat.tui.screens.form import FormScreen, Section
from nemochat.tui.widgets.form_fields import ChoiceField, LineField, LinesField, SwitchField, TextField

_PLACES = (
    ("before the description", Place.BEFORE),
    ("after the description", Place.AFTER),
    ("among the messages", Place.DEPTH),
    ("above the author's note", Place.NOTE_TOP),
    ("below the author's note", Place.NOTE_BOTTOM),
    ("in an outlet", Place.OUTLET),
)
_LOGICS = (
    ("one is said too", Logic.AND_ANY),
    ("all are said too", Logic.AND_ALL),
    ("not all are said", Logic.NOT_ALL),
    ("none is said", Logic.NOT_ANY),
)
_SPEAKERS = (("knowledge", Speaker.SYSTEM), ("your words", Speaker.USER), ("the persona's words", Speaker.ASSISTANT))
_CASE = (("no", None), ("yes", True), ("no, as the card says", False))
# The fields of the form that an entry keeps in its extensions, by SillyTavern's names, with what says nothing.
_KEPT: dict[str, tuple[str, object]] = {
    "logic": ("selectiveLogic", Logic.AND_ANY),
    "whole_words": ("match_whole_words", True),
    "scan_depth": ("scan_depth", None),
    "probability": ("probability", 100),
    "groups": ("group", ""),
    "weight": ("group_weight", 100),
    "wins": ("group_override", False),
    "sticky": ("sticky", 0),
    "cooldown": ("cooldown", 0),
    "delay": ("delay", 0),
    "is_no_chain": ("exclude_recursion", False),
    "ends_chain": ("prevent_recursion", False),
    "delayed": ("delay_until_recursion", 0),
    "depth": ("depth", DEPTH),
    "speaker": ("role", Speaker.SYSTEM),
    "outlet": ("outlet_name", ""),
    "ignores_budget": ("ignore_budget", False),
}
_ONLY = ("only_names", "only_tags", "excludes")


class LoreForm(FormScreen[LoreEntry]):
    """One entry; what other programs keep in it stays."""

    def __init__(self, entry: LoreEntry | None = None) -> None:
        super().__init__(f"Lorebook: {title(entry) or 'an entry'}" if entry else "Lorebook: a new entry", saves="keeps")
        self._entry = entry or LoreEntry(content="")
        self._is_theirs = is_of_silly_tavern(self._entry)
        bare = msgspec.structs.replace(self._entry, content=decorators.read(self._entry.content).text)
        self._rules = rules_of_entry(bare, Lorebook())

    def sections(self) -> Iterator[Section]:
        """What it says, when, and where."""
        entry, rules, only = self._entry, self._rules, self._rules.only
        yield Section("", (
            LineField("name", "Name", entry.name, help="Your own name for it; the model does not see it."),
            LinesField("keys", "Keys", entry.keys, help="One per line. The entry is added when one of them is said."),
            TextField("content", "Content", entry.content, help="What the model is told. {{char}} and {{user}} are the two names."),
        ))  # fmt: skip
        groups, depth = ", ".join(rules.groups), DEPTH if rules.depth is None else rules.depth
        case = tuple(option for option in _CASE if option[1] is not False or entry.case_sensitive is False)
        regex = SwitchField("use_regex", "Expressions", entry.use_regex, help="The keys are regular expressions, such as sw(o|a)rds?.")
        yield Section("When it is added", (
            SwitchField("enabled", "In use", entry.enabled, help="Off: it is never added."),
            SwitchField("constant", "Always there", entry.constant, help="In every prompt, whatever is said."),
            SwitchField("selective", "Needs more", entry.selective, help="The further keys count, too."),
            LinesField("secondary_keys", "Further keys", entry.secondary_keys, help="One per line, used when “Needs more” is on."),
            ChoiceField("logic", "Only when", rules.logic, _LOGICS, help="What has to be so of the further keys."),
            *(() if self._is_theirs else (regex,)),
            ChoiceField("case_sensitive", "Match case", entry.case_sensitive, case, help="Whether “Mill” and “mill” differ."),
            SwitchField("whole_words", "Whole words", rules.whole_words, help="Off: “mill” is found in “windmill” too."),
            _optional("scan_depth", "Messages", rules.scan_depth, "How many of the last are searched; empty is as the lorebook says."),
        ))  # fmt: skip
        yield Section("Not every time", (
            _number("probability", "Chance", round(rules.probability), "In percent, drawn for each message; 100 is always.", most=100),
            LineField("groups", "Group", groups, parse=str.strip, help="Of the entries of a group one is added. Commas between several."),
            _number("weight", "Weight", rules.weight, "How likely it is the one of its group, against the others' weights."),
            SwitchField("wins", "First of all", rules.wins, help="It is taken before others of its group, without a draw."),
            _number("sticky", "Stays", rules.sticky, "For so many messages after it was added it is added in any case."),
            _number("cooldown", "Rests", rules.cooldown, "For so many messages after that it is not added."),
            _number("delay", "Waits", rules.delay, "It is not added before there are so many messages."),
        ))  # fmt: skip
        yield Section("Chains", (
            SwitchField("is_no_chain", "Not by others", rules.is_no_chain, help="It is not called by what other entries say."),
            SwitchField("ends_chain", "Calls none", rules.ends_chain, help="What it says calls no other entry."),
            _number("delayed", "Only by others", rules.delayed, "0 is no; else only what others say calls it, the higher the later."),
        ))  # fmt: skip
        yield Section("Where it stands", (
            ChoiceField("position", "Place", rules.place, _PLACES, help="What is called stands beside your words for the first two."),
            _number("depth", "Up by", depth, "Among the messages: how many before the end; 0 is with your last one."),
            ChoiceField("speaker", "As", rules.speaker, _SPEAKERS, help="As whose words it stands among the messages."),
            LineField("outlet", "Outlet", rules.outlet, parse=str.strip, help="The name in {{outlet::name}}, where it then stands."),
            LineField("order", "Order", entry.order, parse=_whole, is_short=True, help="Lower stands higher up."),
            LineField("priority", "Priority", entry.priority, parse=_whole, is_short=True, help="Lower is left out first."),
            SwitchField("ignores_budget", "Without limit", rules.ignores_budget, help="It is added even where there is no room left."),
            TextField("comment", "Comment", entry.comment, help="For people; the model does not see it."),
        ))  # fmt: skip
        yield Section("For whom", (
            LinesField("only_names", "Personas", only.names, help="Only with these, one per line; empty is with all."),
            LinesField("only_tags", "Tags", only.tags, help="Only with personas that have one of these, one per line."),
            SwitchField("excludes", "All others", only.excludes, help="On: with all personas but those."),
        ))  # fmt: skip

    def missing(self, values: Mapping[str, object]) -> tuple[str, str] | None:
        """An entry says something, and there is a way for it to enter."""
        entry = self.made(values)
        if not entry.content.strip():
            return "content", "An entry without content tells the model nothing."
        if not entry.keys and not entry.constant:
            return "keys", "Write at least one key, or switch “Always there” on."
        if entry.use_regex and not self._is_theirs and values["logic"] is not Logic.AND_ANY:
            return "logic", "Expressions have no further keys: switch them off, and write expressions as keys between slashes."
        if values["position"] is Place.OUTLET and not values["outlet"]:
            return "outlet", "Write the name of the outlet."
        return next(((field, problem) for field in ("keys", "secondary_keys") if (problem := _key_problem(entry, field))), None)

    def made(self, values: Mapping[str, object]) -> LoreEntry:
        """The entry. A place that is chosen here holds, whatever other programs have noted down of it."""
        extensions, before = dict(self._entry.extensions), self.initial
        for field, (name, default) in _KEPT.items():
            if values[field] != before[field]:
                _keep(extensions, name, values[field], default)
        if values["probability"] != before["probability"]:
            extensions.pop("useProbability", None)
        if any(values[field] != before[field] for field in _ONLY):
            names, tags, excludes = (values[field] for field in _ONLY)
            only = {"isExclude": excludes, "names": list(_texts(names)), "tags": list(_texts(tags))}
            _keep(extensions, "character_filter", only if names or tags else None, None)
        own = {field: value for field, value in values.items() if field in LoreEntry.__struct_fields__ and field != "position"}
        if (place := values["position"]) is not before["position"]:
            extensions.pop("position", None)
            own["position"] = Position.AFTER if place is Place.AFTER else Position.BEFORE
            if place not in (Place.BEFORE, Place.AFTER):
                extensions["position"] = PLACES[Place(str(place))]
        return msgspec.structs.replace(self._entry, **own, extensions=extensions)


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


def _keep(extensions: dict[str, object], name: str, value: object, default: object) -> None:
    """Put a value where SillyTavern has it; what says nothing is taken away, but for the mark by which an entry is known as its own."""
    if value == default and name != "selectiveLogic":
        extensions.pop(name, None)
    elif isinstance(value, Speaker):
        extensions[name] = list(Speaker).index(value)
    else:
        extensions[name] = int(value) if isinstance(value, Logic) else value


def _texts(value: object) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def _number(key: str, label: str, value: int, help: str, *, most: int = 1_000_000) -> LineField:
    return LineField(key, label, value, parse=_up_to(most), is_short=True, help=help)


def _optional(key: str, label: str, value: int | None, help: str) -> LineField:
    def parse(text: str) -> int | None:
        return _up_to(1_000)(text) if text.strip() else None

    return LineField(key, label, value, text="" if value is None else str(value), parse=parse, is_short=True, help=help)


def _up_to(most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text) if text.strip().isdecimal() else -1
        if not 0 <= number <= most:
            raise ValueError(f"Enter a whole number from 0 to {most:,}.")
        return number

    return parse


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("Enter a whole number.") from None


def _key_problem(entry: LoreEntry, field: str) -> str:
    """What is wrong with a key that is a regular expression; "" when nothing is."""
    keys, is_expression = KeyReader(), entry.use_regex and not is_of_silly_tavern(entry)
    for key in getattr(entry, field):
        keys.found(key, searched(""), use_regex=is_expression, case_sensitive=bool(entry.case_sensitive))
    return next((f"“{key[:40]}” {problem}." for key, problem in keys.problems.items()), "")
