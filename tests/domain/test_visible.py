"""What cannot be seen is spelled out, and rows end where the width ends."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from nemochat.domain.visible import row_starts, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße, 漢字, สวัสดี, नमस्ते", "Grüße, 漢字, สวัสดี, नमस्ते"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("a\nb\tc", "a\\u000ab\\u0009c"),
        ("\u0301a", "\\u0301a"),
        ("e\u0301", "e\\u0301"),
        ("x\u0301\u0301\u0301", "x\u0301\u0301\\u0301"),
        ("a\u20dd", "a\\u20dd"),
        ('"\u0336', '"\\u0336'),
        ("\u1161\u3164\ufe0f\U000e0041", "\\u1161\\u3164\\ufe0f\\udb40\\udc41"),
    ],
)
def test_only_what_is_seen_as_itself_stays(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_what_is_visible_stays_as_it_is(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert visible(shown) == shown


@given(st.text(), st.integers(2, 20))
def test_rows_are_the_text_and_none_is_wider_than_the_screen(text: str, width: int) -> None:
    shown = visible(text, kept="\n")
    starts = row_starts(shown, width)
    rows = [shown[start:end] for start, end in pairwise(starts)]
    assert "".join(rows) == shown
    assert all(cell_len(row.rstrip("\n")) <= width for row in rows)
    assert all("\n" not in row[:-1] for row in rows)
