"""Macros that hang on where and when a text is read: time, variables, what was said; each text is read once."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from nemochat.domain.chat import Chat, Entry
from nemochat.domain.edits import applied
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.personas.macros import Macros
from nemochat.personas.scene import MAX_VALUE, MAX_VARIABLES, Change, Scene, formatted, humanized

NOW = datetime(2026, 3, 1, 15, 4, 5, tzinfo=timezone(timedelta(hours=1)))
HOUR = 3600


def said(role: Role, text: str, at: float = 0.0) -> Entry:
    return Entry(Message(role, (TextPart(text),)), speaker="Ada" if role is Role.ASSISTANT else "", at=at)


def talk() -> Chat:
    before = NOW.timestamp() - 3 * HOUR
    entries = (said(Role.USER, "First.", before), said(Role.ASSISTANT, "Aye."), said(Role.USER, "Second {{char}}.", NOW.timestamp()))
    chat = Chat(seed=1, variables={"hp": "7", "mood": "calm"})
    for entry in entries:
        chat = chat.added(entry)
    return chat


def macros(scene: Scene, *, near_end: bool = False, char: str = "Ada") -> Macros:
    texts = {"description": "D of {{char}} {{time}}"}
    return Macros(char=char, user="Tom", seed="1", texts=texts, scene=scene, near_end=near_end)


def read(text: str, chat: Chat | None = None, shared: Mapping[str, str] = {}) -> tuple[str, Scene]:
    scene = Scene(chat if chat is not None else talk(), NOW, shared)
    return macros(scene).expand(text), scene


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{time}}|{{date}}|{{weekday}}", "3:04 PM|March 1, 2026|Sunday"),
        ("{{isotime}}|{{isodate}}|{{ISODATE}}", "15:04|2026-03-01|2026-03-01"),
        ("{{time_UTC+2}}|{{time_utc-4}}|{{time_UTC+99}}", "4:04 PM|10:04 AM|1:04 PM"),
        ("{{datetimeformat DD.MM.YYYY HH:mm:ss}}", "01.03.2026 15:04:05"),
        ("{{datetimeformat dddd [the] Do MMM YY, h A}}", "Sunday the 1st Mar 26, 3 PM"),
        ("{{idle_duration}}", "3 hours"),
        ("{{lastMessage}}|{{lastUserMessage}}|{{input}}", "Second {{char}}.|Second {{char}}.|Second {{char}}."),
        ("{{lastCharMessage}}|{{lastMessageId}}", "Aye.|2"),
        ("{{group}} <GROUP> {{charIfNotGroup}} <charIfNotGroup>", "Ada Ada Ada Ada"),
        ("{{description}}", "D of Ada 3:04 PM"),
        # variables
        ("{{getvar::hp}}{{getvar::nothing}}", "7"),
        ("{{setvar::x::1}}{{getvar::x}}", "1"),
        ("{{setvar:: x ::a::b}}{{getvar::x}}", "a::b"),
        ("{{setvar::x::{{char}}'s}}{{getvar::x}}", "Ada's"),
        ("{{setvar::{{char}}::1}}{{getvar::Ada}}", "1"),
        ("{{addvar::hp::3}}{{getvar::hp}}", "10"),
        ("{{addvar::hp::-0.5}}{{getvar::hp}}", "6.5"),
        ("{{addvar::mood:: and glad}}{{getvar::mood}}", "calm and glad"),
        ("{{addvar::new::2}}{{addvar::new::2}}{{getvar::new}}", "4"),
        ('{{setvar::bag::["rope"]}}{{addvar::bag::lamp}}{{getvar::bag}}', '["rope", "lamp"]'),
        ("{{incvar::hp}} {{incvar::hp}} {{decvar::hp}} {{decvar::none}}", "8 9 8 -1"),
        ("{{setvar::x::}}[{{getvar::x}}]", "[]"),
        ("{{GETVAR::hp}}", "7"),
        ("{{getglobalvar::all}}{{setglobalvar::all::2}}{{incglobalvar::all}}", "13"),
        # what is none, or cannot be done, stays
        ("{{getvar:hp}} {{setvar::x}} {{getvar}} {{incvar}}", "{{getvar:hp}} {{setvar::x}} {{getvar}} {{incvar}}"),
        ("{{addvar::hp::1e308}}{{addvar::hp::1e308}}", "{{addvar::hp::1e308}}"),
        ("{{setvar::::1}}", "{{setvar::::1}}"),
        ("{{made_up}} {{made_up::x}} {{made up}} {{ {{char}} }}", "{{made_up}} {{made_up::x}} {{made up}} {{ Ada }}"),
        ("{{time_UTC+}}{{time x}}", "{{time_UTC+}}{{time x}}"),
        # notes
        ("a{{//note}}b{{// note {{char}} }}c{{//}}d{{//two\nlines}}e", "abcde"),
    ],
)
def test_each_macro(text: str, expected: str) -> None:
    assert read(text, shared={"all": "1"})[0] == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{random::a::b}}", "{{random::\na::\nb}}", "{{random\n::a\n::b\n}}", "{{random::\n::a\n::b}}", "{{random: ::a::b}}",
        "{{random::::a::b}}", "{{pick\r\n  ::a\r\n  ::b}}", "{{random:\na,\nb\n}}", "{{random::a::b::\n}}", "{{ random ::a::b}}",
    ],
)  # fmt: skip
def test_choices_may_stand_on_lines_of_their_own_and_begin_with_a_separator(text: str) -> None:
    found = {Macros(char="Ada", user="Tom", seed=str(seed)).expand(text) for seed in range(40)}
    assert found == {"a", "b"}


def test_a_choice_may_be_nothing_and_keep_its_spaces() -> None:
    found = {Macros(char="Ada", user="Tom", seed=str(seed)).expand("{{random::a :: b::}}") for seed in range(60)}
    assert found == {"a ", " b", ""}


@pytest.mark.parametrize(
    "text",
    ["It is {{time}}.", "{{random::a::b::c::d::e::f::g}}", "{{roll:1000000}}", "{{incvar::n}}", "{{lastMessage}}", "{{description}}"],
)
def test_a_text_is_read_once_and_stays_what_it_was(text: str) -> None:
    chat = talk()
    once, scene = read(text, chat)
    assert scene.read is not None
    chat = applied(chat, scene.read)
    later = Scene(chat.added(said(Role.USER, "Third.")), NOW + timedelta(hours=5), {})
    assert macros(later).expand(text) == once
    assert later.read is None, "nothing is read anew, and no variable changes again"


def test_a_text_near_the_end_is_read_with_each_message_of_the_user() -> None:
    chat = talk()
    texts = ["It is {{time}}.", "{{roll:1000000}}", "{{incvar::n}}"]
    found = []
    for hours in range(3):
        for _ in range(2):  # the second time is another reply to the same message, or the same after a restart
            scene = Scene(chat, NOW + timedelta(hours=hours), {})
            found.append([macros(scene, near_end=True).expand(text) for text in texts])
            chat = chat if scene.read is None else applied(chat, scene.read)
        chat = chat.added(said(Role.USER, "More."))
    assert found[::2] == found[1::2]
    assert [each[0] for each in found[::2]] == ["It is 3:04 PM.", "It is 4:04 PM.", "It is 5:04 PM."]
    assert [each[2] for each in found[::2]] == ["1", "2", "3"]
    assert len({each[1] for each in found[::2]}) == 3


def test_a_text_with_a_name_is_read_for_each_who_speaks_and_any_other_for_all() -> None:
    chat = talk()
    scene = Scene(chat, NOW, {})
    macros(scene).expand("{{time}}")
    macros(scene).expand("{{char}} {{time}}")
    assert scene.read is not None
    chat = applied(chat, scene.read)
    later = Scene(chat, NOW + timedelta(hours=1), {})
    assert macros(later, char="Bob").expand("{{time}}") == "3:04 PM"
    assert macros(later, char="Bob").expand("{{char}} {{time}}") == "Bob 4:04 PM"
    assert macros(later).expand("{{char}} {{time}}") == "Ada 3:04 PM"


def test_a_text_that_is_always_the_same_is_not_kept() -> None:
    assert read("{{char}}, {{user}}, {{pick::a::b}}, {{reverse:abc}}{{// x}}")[1].read is None


def test_an_unknown_macro_is_named_once() -> None:
    chat = talk()
    _, scene = read("{{made_up}} {{other::x}} {{in prose}} {{roll:none}} {{char}}", chat)
    assert list(scene.unknown) == ["made_up", "other"]
    assert scene.read is not None
    again = Scene(applied(chat, scene.read), NOW, {})
    macros(again).expand("{{made_up}} {{other::x}} {{in prose}} {{roll:none}} {{char}}")
    assert not again.unknown


def test_what_a_lorebook_searches_leaves_nothing_behind() -> None:
    scene = Scene(talk(), NOW, {})
    assert macros(scene).searched("{{incvar::hp}} {{setglobalvar::a::b}}").strip() == "8"
    assert (scene.read, scene.changes) == (None, [])


def test_variables_have_limits() -> None:
    full = replace(talk(), variables={f"v{at}": "" for at in range(MAX_VARIABLES)})
    assert read("{{setvar::one::more}}", full)[0] == "{{setvar::one::more}}"
    assert read("{{setvar::v1::more}}", full)[0] == ""
    long = "x" * (MAX_VALUE + 1)
    assert read(f"{{{{setvar::x::{long}}}}}")[0] == f"{{{{setvar::x::{long}}}}}"
    assert read(f"{{{{setvar::{long}::1}}}}")[0] == f"{{{{setvar::{long}::1}}}}"
    _, scene = read("{{setvar::x::aa}}" + "{{addvar::x::{{getvar::x}}}}" * 60)
    assert max(map(len, scene.variables.values())) <= MAX_VALUE, "doubling ends at the limit"


def test_what_variables_hold_is_no_macro_and_no_escape_sequence() -> None:
    chat = replace(talk(), variables={"x": "{{char}}<BOT>}}{{"})
    assert read("{{getvar::x}}|{{random::{{getvar::x}}::{{getvar::x}}}}", chat)[0] == "{{char}}<BOT>}}{{|{{char}}<BOT>}}{{"
    _, scene = read("{{setvar::x\x1b[2J\n\x07::a\x1b]0;title\x07\x9b}}")
    assert not any(re.search(r"[\x00-\x08\x1b\x9b]", text) for pair in scene.variables.items() for text in pair)


@pytest.mark.parametrize(
    "text",
    [
        "{{setvar::x::" * 9_000 + "}}" * 9_000,
        "{{setvar::a::b}}" * 9_000,
        "{{incvar::n}}" * 9_000,
        "{{time}}" * 9_000,
        "{{lastMessage}}" * 9_000,
        "{{description}}" * 9_000,
        "{{datetimeformat " + "Y" * 300_000 + "}}",
        "{{datetimeformat " + "[" * 300_000 + "}}",
        "{{random::" + "\n" * 300_000 + "::a}}",
        "{{random::" + "\n::" * 100_000 + "}}",
        "{{//" * 100_000 + "}}" * 100_000,
        "{{time_UTC" * 50_000,
        "{{a_" * 50_000 + "}}" * 50_000,
        '{{setvar::x::[}}' + "{{addvar::x::[}}" * 5_000,
    ],
    ids=lambda text: re.sub(r"[^\w:]+", "_", text[:14]),
)
def test_a_hostile_text_takes_no_longer_than_its_length(text: str) -> None:
    start = time.process_time()
    read(text)
    assert time.process_time() - start < 20  # quadratic would be minutes


_PIECES = (
    "{{", "}}", "setvar::", "getvar::", "addvar::", "incvar::", "x", "y", "::", "1", "-2.5", "random::", "time", "date", "lastMessage",
    "//", " ", "\n", "a", "datetimeformat ", "time_UTC+1", "getglobalvar::", "setglobalvar::", "unknown", "description", "roll:d6",
)  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
def test_any_text_read_twice_says_the_same(text: str) -> None:
    chat = talk()
    once, scene = read(text, chat)
    kept = chat if scene.read is None else applied(chat, scene.read)
    later = Scene(kept, NOW + timedelta(days=1), {"x": "other"})
    assert macros(later).expand(text) == once
    assert later.variables == dict(kept.variables)
    assert not later.changes


@given(
    st.dictionaries(st.sampled_from("ab"), st.text(max_size=5)),
    st.lists(st.tuples(st.sampled_from("ab"), st.text(max_size=8), st.booleans())),
)
def test_changes_of_variables_never_fail(values: dict[str, str], changes: list[tuple[str, str, bool]]) -> None:
    for name, value, adds in changes:
        before = dict(values)
        new = Change(name, value, adds).apply(values)
        assert values == ({**before, name: new} if new is not None else before)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "a few seconds"), (44, "a few seconds"), (45, "a minute"), (89, "a minute"), (90, "2 minutes"), (44 * 60, "44 minutes"),
        (45 * 60, "an hour"), (90 * 60, "2 hours"), (21 * HOUR, "21 hours"), (22 * HOUR, "a day"), (36 * HOUR, "2 days"),
        (26 * 24 * HOUR, "a month"), (46 * 24 * HOUR, "2 months"), (320 * 24 * HOUR, "a year"), (800 * 24 * HOUR, "2 years"),
    ],
)  # fmt: skip
def test_spans_of_time_in_words(seconds: float, words: str) -> None:
    assert humanized(seconds) == words


def test_hours_of_the_clock() -> None:
    noon, midnight = NOW.replace(hour=12, minute=0), NOW.replace(hour=0, minute=5)
    assert (formatted(noon, "LT"), formatted(midnight, "LT")) == ("12:00 PM", "12:05 AM")
    assert formatted(NOW.replace(day=11), "Do") == "11th"
    assert formatted(NOW.replace(day=22), "Do") == "22nd"
    assert formatted(NOW, "L LTS") == "03/01/2026 3:04:05 PM"


def test_nothing_was_said_yet() -> None:
    assert read("{{idle_duration}}|{{lastMessage}}|{{lastUserMessage}}|{{lastMessageId}}|", Chat())[0] == "just now||||"
