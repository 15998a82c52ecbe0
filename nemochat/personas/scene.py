"""Where and when the texts of a chat are read: what their macros stand for besides the persona's own, and what they leave behind.

A text whose words are not always the same (chance, time, variables, what was said last) is read once and then stays what it was: its words
are kept with the chat (`Chat.readings`), so that the prompt does not change under the engine's cache, after a restart neither. One that
stays near the end of the prompt (a note, what is said again behind the history) is read once for each message of the user.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, MutableMapping
from datetime import datetime, timedelta, timezone

import msgspec

from nemochat.domain.chat import Chat, Entry, Reading
from nemochat.domain.edits import Read
from nemochat.domain.messages import Role
from nemochat.domain.sanitize import sanitize

MAX_NAME = 200
MAX_VALUE = 10_000
MAX_VARIABLES = 2_000
"""Of one chat, and of all: characters of a name and of a value, and how many there may be."""
_MAX_DIGITS = 300
_WHOLE = 1e15
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_FORMAT = re.compile(r"\[([^\]]*)\]|YYYY|YY|MMMM|MMM|MM|Mo|M|DD|Do|D|dddd|ddd|HH|H|hh|h|mm|m|ss|s|A|a|LTS|LT|LL|L")
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


class Change(msgspec.Struct, frozen=True):
    """A change of a variable. adds: `value` to what it is, as a number, at the end of a JSON list, or as text."""

    name: str
    value: str
    adds: bool = False

    def apply(self, values: MutableMapping[str, str]) -> str | None:
        """Do it to these variables; the new value, None where there is no room for it or numbers become too large."""
        value = _added(values.get(self.name, ""), self.value) if self.adds else self.value
        is_full = self.name not in values and len(values) >= MAX_VARIABLES
        if not self.name or len(self.name) > MAX_NAME or value is None or len(value) > MAX_VALUE or is_full:
            return None
        values[self.name] = value
        return value


class Scene:
    """One reading of a chat's texts. now: in the time zone of the user. shared: the variables of all chats.

    changes: of those. unknown: names of macros that are none.
    """

    def __init__(self, chat: Chat, now: datetime, shared: Mapping[str, str]) -> None:
        self.chat, self.now = chat, now
        self.variables, self.shared = dict(chat.variables), dict(shared)
        self.changes: list[Change] = []
        self.unknown: dict[str, None] = {}
        self.after = next((entry.id for entry in self._said() if entry.message.role is Role.USER), 0)
        self._fresh: dict[str, Reading] = {}

    @property
    def read(self) -> Read | None:
        """What the chat is to keep of it, None for nothing."""
        changed = {name: value for name, value in self.variables.items() if self.chat.variables.get(name) != value}
        return Read(self._fresh, changed) if self._fresh or changed else None

    def remember(self, other: Scene) -> None:
        """Keep what texts said in a reading aside of this one, and nothing else of it."""
        self._fresh |= other._fresh

    def aside(self) -> Scene:
        """The same, for a reading that leaves nothing behind."""
        scene = Scene(self.chat, self.now, self.shared)
        scene.variables, scene._fresh = dict(self.variables), dict(self._fresh)
        return scene

    def words(
        self,
        text: str,
        always: tuple[str, ...],
        persons: Callable[[], tuple[str, ...]],
        expand: Callable[[], tuple[str, bool, bool]],
        *,
        near_end: bool,
    ) -> str:
        """What a text says: as it was read before, else as `expand` reads it now.

        always, persons: what its words may hang on besides, the latter only with who speaks. `expand` tells the words, whether they are not
        always the same, and whether they hang on who speaks. near_end: it is read anew with each message of the user.
        """
        keys, after = (_digest(text, *always), _digest(text, *always, *persons())), self.after if near_end else 0
        for key in keys:
            known = self._fresh.get(key) or self.chat.readings.get(key)
            if known is not None and known.after == after:
                return known.text
        said, varies, is_named = expand()
        if varies:
            self._fresh[keys[is_named]] = Reading(said, after)
        return said

    # -- what macros stand for

    def value(self, name: str) -> str | None:
        """A macro without arguments, its name in small letters; None for one that is not known here."""
        match name:
            case "time" | "date" | "weekday" | "isotime" | "isodate":
                return formatted(self.now, _FORMATS[name])
            case "idle_duration":
                return self._idle()
            case "lastmessage":
                return next((entry.message.text for entry in self._said()), "")
            case "lastusermessage" | "input":
                return next((entry.message.text for entry in self._said() if entry.message.role is Role.USER), "")
            case "lastcharmessage":
                return next((entry.message.text for entry in self._said() if entry.message.role is Role.ASSISTANT), "")
            case "lastmessageid":
                return str(len(self.chat.entries) - 1) if self.chat.entries else ""
        if match := re.fullmatch(r"time_utc([+-]\d{1,2})", name):
            return formatted(self.now.astimezone(timezone(timedelta(hours=max(-23, min(23, int(match[1])))))), _FORMATS["time"])
        return None

    def variable(self, macro: str, name: str, value: str) -> str | None:
        """What one of the macros of variables stands for, done at once; None for what is none, or cannot be done."""
        is_shared = "global" in macro
        values = self.shared if is_shared else self.variables
        name, value = sanitize(name, strict=True).strip(), sanitize(value)
        match macro.replace("global", ""):
            case "getvar":
                return values.get(name, "")
            case "setvar":
                change = Change(name, value)
            case "addvar":
                change = Change(name, value, adds=True)
            case "incvar" | "decvar" as step:
                change = Change(name, "1" if step == "incvar" else "-1", adds=True)
            case _:
                return None
        new = change.apply(values)
        if new is None:
            return None
        self.changes += [change] if is_shared else []
        return new if macro.startswith(("inc", "dec")) else ""

    def _said(self) -> list[Entry]:
        """What was said and is not taken out, the newest first; results of tools are not among it."""
        entries = (self.chat.entries[index] for index in reversed(self.chat.shown))
        return [entry for entry in entries if entry.message.role is not Role.TOOL]

    def _idle(self) -> str:
        """How long the user had said nothing when the last message came, or until now where a reply came behind that."""
        said = self._said()
        before = next((entry for entry in said[1:] if entry.message.role is Role.USER), None)
        if before is None or not before.at:
            return "just now"
        return humanized(self.now.timestamp() - before.at)


_FORMATS = {"time": "LT", "date": "LL", "weekday": "dddd", "isotime": "HH:mm", "isodate": "YYYY-MM-DD"}
KNOWN = frozenset(
    (*_FORMATS, "idle_duration", "lastmessage", "lastusermessage", "input", "lastcharmessage", "lastmessageid", "datetimeformat")
) | {f"{step}{kind}var" for step in ("get", "set", "add", "inc", "dec") for kind in ("", "global")}
"""The macros that a scene knows."""


def formatted(when: datetime, form: str) -> str:
    """A time in the words of moment.js, in English: ``DD.MM.YYYY HH:mm``; what stands in brackets stays."""
    hour = when.hour % 12 or 12
    words: dict[str, Callable[[], str]] = {
        "YYYY": lambda: f"{when.year:04}", "YY": lambda: f"{when.year % 100:02}",
        "MMMM": lambda: _MONTHS[when.month - 1], "MMM": lambda: _MONTHS[when.month - 1][:3], "MM": lambda: f"{when.month:02}",
        "Mo": lambda: _ordinal(when.month), "M": lambda: str(when.month),
        "DD": lambda: f"{when.day:02}", "Do": lambda: _ordinal(when.day), "D": lambda: str(when.day),
        "dddd": lambda: _DAYS[when.weekday()], "ddd": lambda: _DAYS[when.weekday()][:3],
        "HH": lambda: f"{when.hour:02}", "H": lambda: str(when.hour), "hh": lambda: f"{hour:02}", "h": lambda: str(hour),
        "mm": lambda: f"{when.minute:02}", "m": lambda: str(when.minute), "ss": lambda: f"{when.second:02}", "s": lambda: str(when.second),
        "A": lambda: "AM" if when.hour < 12 else "PM", "a": lambda: "am" if when.hour < 12 else "pm",
        "LT": lambda: formatted(when, "h:mm A"), "LTS": lambda: formatted(when, "h:mm:ss A"),
        "L": lambda: formatted(when, "MM/DD/YYYY"), "LL": lambda: formatted(when, "MMMM D, YYYY"),
    }  # fmt: skip
    return _FORMAT.sub(lambda found: found[1] if found[1] is not None else words[found[0]](), form)


def humanized(seconds: float) -> str:
    """A span of time in a few words, as moment.js says it: "a few seconds", "an hour", "3 days"."""
    seconds = max(0.0, seconds)
    spans = (
        (45, "a few seconds", 0.0), (90, "a minute", 0.0), (45 * _MINUTE, "minutes", _MINUTE), (90 * _MINUTE, "an hour", 0.0),
        (22 * _HOUR, "hours", _HOUR), (36 * _HOUR, "a day", 0.0), (26 * _DAY, "days", _DAY), (45 * _DAY, "a month", 0.0),
        (320 * _DAY, "months", 30.44 * _DAY), (548 * _DAY, "a year", 0.0), (math.inf, "years", 365.25 * _DAY),
    )  # fmt: skip
    _, words, unit = next(span for span in spans if seconds < span[0])
    return f"{round(seconds / unit)} {words}" if unit else words


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _added(now: str, more: str) -> str | None:
    """The sum of two numbers, else a JSON list with one more item, else one text behind the other; None for no finite number."""
    numbers = _number(now or "0"), _number(more)
    if numbers[0] is not None and numbers[1] is not None:
        total = numbers[0] + numbers[1]
        if not math.isfinite(total):
            return None
        return str(int(total)) if total == int(total) and abs(total) < _WHOLE else repr(total)
    if now.startswith("["):
        try:
            items = json.loads(now)
        except (ValueError, RecursionError):
            items = None
        if isinstance(items, list):
            return json.dumps([*items, more], ensure_ascii=False)
    return f"{now}{more}"


def _number(text: str) -> float | None:
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?\s*", text, re.IGNORECASE | re.ASCII) or len(text) > _MAX_DIGITS:
        return None
    return float(text)


def _digest(*texts: str) -> str:
    lengths = ",".join(str(len(text)) for text in texts)
    return hashlib.blake2b("".join((lengths, *texts)).encode(errors="replace"), digest_size=12).hexdigest()
