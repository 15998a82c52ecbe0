from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.domain.sanitize import escape_json, sanitize

ANY_TEXT = st.text(
    st.characters(codec=None, exclude_categories=()) | st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), max_size=60
)
EMBEDDED = "".join(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
VISIBLE_FORMATS = set(map(chr, [*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD]))
"""Format characters that are drawn: signs above Arabic, Syriac and Kaithi numbers."""


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b]52;c;aGk=\x07", "]52;c;aGk="),
        ("\x1b]0;title\x1b\\", "]0;title\\"),
        ("\x9b6n\x90q\x9c", "6nq"),
        ("a\r\nb\tc\x00\x7f", "a\nb\tc"),
        ("caf\udce9", "caf\N{REPLACEMENT CHARACTER}"),
        (f"a{EMBEDDED}b", "ab"),
        ("one\u2028two\u2029three", "one\ntwo\nthree"),
        ("\ufeff\ufff9a\ufffab\ufffb\U000e0001\U000e0041\U000e007f", "ab"),
        ("a" + "\ufe00" * 1000 + "\U000e0100" * 1000, "a"),
    ],
)
def test_drops_what_a_terminal_would_obey_and_what_hides(hostile: str, harmless: str) -> None:
    assert sanitize(hostile) == harmless


@pytest.mark.parametrize(
    "text",
    [
        "über 東京 한국어",
        "👩\u200d👧 ❤\ufe0f ☎\ufe0e 🏳\ufe0f\u200d🌈 👍🏽 1\ufe0f\u20e3",
        "می\u200cخواهم שלום\u200f! السلام\u061c 123",  # noqa: RUF001 - Persian, Hebrew, Arabic
        "क्\u200dष र्\u200dय ශ්\u200dරී",
        "ไทย\u200bภาษา",
        "e\u0301 \u0600123",
    ],
)
def test_text_to_be_read_keeps_what_scripts_and_emoji_are_written_with(text: str) -> None:
    assert sanitize(text) == text


def test_strict_makes_one_visible_line() -> None:
    assert sanitize("pay\u202egnp\u202c\u200b.\n\tx\u2028y\ufeff\U000e0041", strict=True) == "paygnp.  x y"
    assert sanitize("a\u200e\u200f\u061c\u200d\ufe0f\u3164\uffa0\u115f\u034fb", strict=True) == "ab"


@given(ANY_TEXT)
def test_nothing_unsafe_is_left(text: str) -> None:
    clean = sanitize(text)
    assert not [c for c in clean if unicodedata.category(c) in ("Cs", "Zl", "Zp") or c in EMBEDDED]
    assert not [c for c in clean if unicodedata.category(c) == "Cc" and c not in "\n\t"]
    assert sanitize(clean) == clean
    line = sanitize(text, strict=True)
    assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in VISIBLE_FORMATS]
    assert sanitize(line, strict=True) == sanitize(line) == line == sanitize(clean, strict=True)


def test_strict_drops_every_format_character_that_this_python_knows() -> None:
    every = {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cf"}
    assert {c for c in every if sanitize(c, strict=True)} == VISIBLE_FORMATS & every


VARIANTS = set(map(chr, range(0xFE00, 0xFE0E)))


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])).filter(lambda text: not set(text) & VARIANTS))
def test_letters_marks_and_signs_stay(text: str) -> None:
    assert sanitize(text) == "".join(c for c in text if not 0xE0000 <= ord(c) <= 0xE0FFF)


@given(ANY_TEXT, st.integers(0, 60), st.booleans())
def test_a_stream_may_be_cut_anywhere(text: str, cut: int, strict: bool) -> None:
    assert sanitize(text[:cut], strict=strict) + sanitize(text[cut:], strict=strict) == sanitize(text, strict=strict)


@given(ANY_TEXT)
def test_json_loses_nothing_and_shows_everything(text: str) -> None:
    written = escape_json(json.dumps({"a": text}, ensure_ascii=False))
    assert json.loads(written) == json.loads(json.dumps({"a": text}))
    assert sanitize(written, strict=True) == written
