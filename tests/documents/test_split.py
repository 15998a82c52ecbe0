"""Passages: none too long, nothing lost, none across pages, each with its place."""

from __future__ import annotations

import string
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from nemochat.documents.split import MAX_TOKENS, MAX_WORDS, estimate_tokens, split_sections
from nemochat.documents.values import Piece, Section

WORD = st.text(alphabet=string.ascii_letters + "äß図", min_size=1, max_size=12)
PARAGRAPH = st.lists(WORD, min_size=1, max_size=400).map(" ".join)
TEXT = st.lists(PARAGRAPH, min_size=1, max_size=8).map("\n\n".join)


def pieces_of(sections: list[Section]) -> list[Piece]:
    return list(split_sections(sections))


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=4))
def test_every_word_is_in_a_passage_and_no_passage_is_too_long(contents: list[str]) -> None:
    pieces = pieces_of([Section(text, page=at) for at, text in enumerate(contents, 1)])
    assert all(len(piece.text.split()) <= MAX_WORDS and estimate_tokens(piece.text) <= MAX_TOKENS for piece in pieces)
    for at, text in enumerate(contents, 1):
        assert set(text.split()) == {word for piece in pieces if piece.locator.page == at for word in piece.text.split()}


def test_paragraphs_are_packed_but_not_across_headings() -> None:
    first = Section("one " * 50 + "\n\n" + "two " * 50, heading="A", line=1)
    pieces = pieces_of([first, Section("three " * 50, heading="B", line=10)])
    assert [(piece.locator.heading, piece.locator.line, len(piece.text.split())) for piece in pieces] == [("A", 1, 100), ("B", 10, 50)]


def test_tiny_neighbours_are_joined_and_keep_their_headings() -> None:
    [piece] = pieces_of([Section("First.", heading="A"), Section("Second.", heading="B")])
    assert (piece.text, piece.locator.heading) == ("First.\n\nB\n\nSecond.", "A")
    assert len(pieces_of([Section("First.", page=1), Section("Second.", page=2)])) == 2


def test_a_long_paragraph_is_cut_between_sentences_with_a_small_overlap() -> None:
    text = " ".join(f"Sentence number {at} says something about it." for at in range(60))
    pieces = pieces_of([Section(text)])
    assert len(pieces) > 2
    for before, after in pairwise(pieces):
        assert before.text.endswith(".")
        assert before.text.rsplit("Sentence", 1)[1].strip() in after.text.split(".")[0] + "."


def test_the_line_of_a_passage_is_where_it_begins() -> None:
    text = "\n".join(f"Line {at} has a few words in it." for at in range(1, 101)) + "\n\n" + "Tail " * 120
    for piece in pieces_of([Section(text, line=1)]):
        first = piece.text.split("\n")[0]
        assert text.split("\n")[piece.locator.line - 1].strip() == first.strip()


def test_one_endless_word_is_cut() -> None:
    pieces = pieces_of([Section("x" * 10_000)])
    assert "".join(piece.text for piece in pieces) == "x" * 10_000


def test_rows_are_in_small_passages() -> None:
    pieces = pieces_of([Section(f"Name: Person {at}; Age: {at}; Town: Somewhere", line=at, is_list=True) for at in range(1, 101)])
    assert len(pieces) > 10
    assert pieces[1].locator.line > 1
