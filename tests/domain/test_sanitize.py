from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.domain.sanitize import sanitize

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b]52;c;aGk=\x07", "]52;c;aGk="),
        ("\x1b]0;title\x1b\\", "]0;title\\"),
        ("\x9b6n\x90q\x9c", "6nq"),
        ("a\r\nb\tc\x00\x7f", "a\nb\tc"),
        ("über 東京 👩\u200d👧", "über 東京 👩\u200d👧"),
        ("caf\udce9", "caf\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_drops_what_a_terminal_would_obey(hostile: str, harmless: str) -> None:
    assert sanitize(hostile) == harmless


def test_strict_makes_one_visible_line() -> None:
    assert sanitize("pay\u202egnp\u202c\u200b.\n\tx\u2028y\ufeff\U000e0041", strict=True) == "paygnp.  x y"


@given(ANY_TEXT)
def test_nothing_unsafe_is_left_and_the_rest_stays(text: str) -> None:
    clean = sanitize(text)
    assert clean == "".join("�" if "\ud800" <= c <= "\udfff" else c for c in text if unicodedata.category(c) != "Cc" or c in "\n\t")
    clean.encode()
    assert sanitize(clean) == clean


@given(ANY_TEXT, st.integers(0, 60), st.booleans())
def test_a_stream_may_be_cut_anywhere(text: str, cut: int, strict: bool) -> None:
    assert sanitize(text[:cut], strict=strict) + sanitize(text[cut:], strict=strict) == sanitize(text, strict=strict)
