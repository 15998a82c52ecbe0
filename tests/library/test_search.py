"""What is typed is words; everything that holds them is found, wherever in the tree it is."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemochat.domain.chat import Chat
from nemochat.domain.library import SearchFilters
from nemochat.domain.messages import ContextPart, ImagePart, Role
from nemochat.domain.replies import ModelRef
from nemochat.library import Library
from nemochat.library.searching import to_match, unmarked
from tests.library.building import MIRA, Clock, open_library, reply, talk, user


def texts(library: Library, words: str, filters: SearchFilters = SearchFilters()) -> list[str]:  # noqa: B008
    return [hit.snippet for hit in library.search(words, filters)]


def store(library: Library, *said: str, model: str = "") -> str:
    return library.save(None, 0, None, talk(*said).named("-"), model=ModelRef(model)).id


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("lighthouse ", ["The Lighthouse keeper's café"]),
        ("LIGHT", ["The Lighthouse keeper's café"]),  # unfinished
        ("light ", []),  # finished: no such word
        ("cafe keeper ", ["The Lighthouse keeper's café"]),
        ('"keeper\'s café"', ["The Lighthouse keeper's café"]),
        ('"café keeper"', []),
        ('"keeper', ["The Lighthouse keeper's café"]),  # a quote that is still open
        ("keeper nowhere", []),
        ("UBER", ["Über die Brücke, 50% AND NOT (far)"]),
        ("50%", ["Über die Brücke, 50% AND NOT (far)"]),
        ("NOT AND", ["Über die Brücke, 50% AND NOT (far)"]),
        ("text:far", []),
        ("(far", ["Über die Brücke, 50% AND NOT (far)"]),
        ("far* ^", ["Über die Brücke, 50% AND NOT (far)"]),
        ("", []),
        ("  !? * ", []),
        ('""', []),
        ("far\0", ["Über die Brücke, 50% AND NOT (far)"]),
    ],
)
def test_words_and_phrases(tmp_path: Path, words: str, found: list[str]) -> None:
    with open_library(tmp_path) as library:
        store(library, "The Lighthouse keeper's café", "Über die Brücke, 50% AND NOT (far)")
        assert texts(library, words) == found


@settings(max_examples=150, deadline=None, derandomize=True)
@given(words=st.text(max_size=20) | st.text(alphabet='"*()^:+-ANDORT NEAR{}\'\\\0', max_size=20))
def test_nothing_that_is_typed_is_the_language_of_the_index(library_of_one: Library, words: str) -> None:
    library_of_one.search(words)


@pytest.fixture(scope="module")
def library_of_one(tmp_path_factory: pytest.TempPathFactory) -> object:
    library = open_library(tmp_path_factory.mktemp("search"))
    store(library, "a word")
    yield library
    library.close()


def test_a_hit_says_where_it_is_and_what_to_highlight(tmp_path: Path) -> None:
    clock = Clock(5000.0)
    with open_library(tmp_path, clock) as library:
        id_ = library.save(None, 0, None, talk("q", "A red apple,\nan APPLE tree.").named("Fruit"), model=ModelRef()).id
        (hit,) = library.search("apple")
    assert (hit.conversation, hit.node, hit.title, hit.role, hit.updated) == (id_, 2, "Fruit", Role.ASSISTANT, 5000.0)
    assert hit.snippet == "A red apple, an APPLE tree."
    assert [hit.snippet[start:stop] for start, stop in hit.marks] == ["apple", "APPLE"]


def test_marks_hold_where_something_is_taken_out() -> None:
    assert unmarked("a\x1b \x02b\u200bc\x03\nd \x02e") == ("a bc d e", ((2, 4), (7, 8)))
    assert unmarked("\x03\x02\x03x") == ("x", ())


def test_long_texts_are_cut_around_the_words(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        store(library, "word " * 5000 + "needle " + "word " * 5000)
        (hit,) = library.search("needle")
    assert len(hit.snippet) < 300
    assert [hit.snippet[start:stop] for start, stop in hit.marks] == ["needle"]


def test_what_is_aside_is_found_and_what_is_gone_is_not(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        chat = talk("first words", "reply")
        saved = library.save(None, 0, None, chat, model=ModelRef())
        edited = chat.rewritten(0, "second words")
        saved = library.save(saved.id, saved.version, chat, edited, model=ModelRef())
        assert texts(library, "words") == ["second words", "first words"]
        library.save(saved.id, saved.version, edited, edited.changed(1, reply("an answer")), model=ModelRef())
        assert texts(library, "reply") == []
        library.delete(saved.id)
        assert texts(library, "words") == []


def test_titles_come_first_and_what_was_put_beside_the_words_is_not_searched(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        chat = Chat().added(user("the sea", ContextPart("hidden knowledge"))).named("By the sea")
        library.save(None, 0, None, chat, model=ModelRef())
        assert [(hit.node, hit.snippet) for hit in library.search("sea")] == [(0, "By the sea"), (1, "the sea")]
        assert library.search("knowledge") == []


def test_titles_leave_room_for_messages(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        for number in range(20):
            library.save(None, 0, None, talk(f"word {number}").named(f"title word {number}"), model=ModelRef())
        assert [bool(hit.node) for hit in library.search("word", limit=8)] == [False] * 2 + [True] * 6


def test_the_newest_come_first_and_not_too_many(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        store(library, *(f"word {number}" for number in range(9)))
        assert [hit.snippet for hit in library.search("word", limit=3)] == ["word 8", "word 7", "word 6"]


def test_filters_narrow_a_search_down(tmp_path: Path) -> None:
    clock = Clock(1000.0)
    with open_library(tmp_path, clock) as library:
        store(library, "a word, plain", model="small")
        clock.now = 2000.0
        library.save(None, 0, None, Chat(persona=MIRA, name="-").added(user("a word, Mira")), model=ModelRef("large"))
        clock.now = 3000.0
        library.save(None, 0, None, Chat(name="-").added(user("a word, seen", ImagePart("a" * 64))), model=ModelRef("large"))

        assert texts(library, "word", SearchFilters(persona="Mira")) == ["a word, Mira"]
        assert texts(library, "word", SearchFilters(model="small")) == ["a word, plain"]
        assert texts(library, "word", SearchFilters(has_picture=True)) == ["a word, seen"]
        assert texts(library, "word", SearchFilters(has_picture=False, model="large")) == ["a word, Mira"]
        assert texts(library, "word", SearchFilters(since=2000.0)) == ["a word, seen", "a word, Mira"]
        assert texts(library, "word", SearchFilters(since=2000.0, until=3000.0)) == ["a word, Mira"]


def test_only_a_last_word_may_be_unfinished() -> None:
    assert to_match('one "two three" fo"ur') == '"one" AND "two three" AND "fo" AND "ur"'
    assert to_match("one two") == '"one" AND "two"*'
    assert to_match("one t") == '"one" AND "t"'
    assert to_match("\u4f60") == '"\u4f60"*'
    assert to_match("one two ") == '"one" AND "two"'
    assert to_match("x " * 1000).count("AND") == 31


def test_a_model_of_a_server_is_not_the_one_of_the_same_name_here(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        here = library.add(talk("here"), model=ModelRef("small")).id
        there = library.add(talk("there"), model=ModelRef("small", "studio", "chatml")).id
        assert {row.id: row.model for row in library.conversations()} == {here: "small", there: "studio/small"}
        assert [hit.conversation for hit in library.search("here", SearchFilters(model="small"))] == [here]
        assert [hit.conversation for hit in library.search("there", SearchFilters(model="studio/small"))] == [there]
        assert library.search("there", SearchFilters(model="small")) == []
        assert library.load(there).model == ModelRef("small", "studio", "chatml")
