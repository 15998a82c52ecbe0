"""The search screen: questions and answers in the right order, filters, what is marked, the preview, and what it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Static

from nemochat.desk.port import Found, PreviewLine
from nemochat.domain.library import Hit, SearchFilters
from nemochat.domain.messages import Role
from nemochat.errors import NemochatError
from nemochat.tui.screens.search import SearchScreen
from nemochat.tui.widgets.search_filters import FilterChoice, Span, since
from nemochat.tui.widgets.search_results import MOST_HITS, snippet_of
from tests.idle import until

NOW = datetime(2026, 10, 28, 15, 30).timestamp()
HOSTILE = "a\x1b]52;c;ZXZpbA==\x07\x9b31m [@click=app.quit]x[/]"
VISIBLE = "a]52;c;ZXZpbA==31m [@click=app.quit]x[/]"
SNIPPET = "The harbour lies in the north of the town, where the river meets the sea."
UNANSWERED = Found("not answered", 0)

HITS = (
    Hit("one", 5, "Reading the chart", Role.ASSISTANT, NOW, SNIPPET, ((4, 11),)),
    Hit("two", 0, "Harbour lights", Role.USER, NOW - 86_400, "Harbour lights", ((0, 7),)),
    Hit("one", 9, "Reading the chart", Role.USER, NOW - 40 * 86_400, "Which harbour?", ((6, 13),)),
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SearchScreen, "DEBOUNCE", 0)


class Library:
    """Answers as it is told, and keeps the questions."""

    def __init__(self, *hits: Hit) -> None:
        self.hits: Sequence[Hit] = hits
        self.asked: list[str] = []
        self.filters = SearchFilters()
        self.gates: dict[str, asyncio.Event] = {}
        self.error: NemochatError | None = None
        self.previewed: list[tuple[str, int]] = []

    async def find(self, words: str, filters: SearchFilters) -> Sequence[Hit]:
        self.asked.append(words)
        self.filters = filters
        if words in self.gates:
            try:
                await self.gates[words].wait()
            except asyncio.CancelledError:
                return [Hit("late", 1, f"late {words}", Role.USER, NOW, words)]  # a library that does not listen
        if self.error is not None:
            raise self.error
        return self.hits

    async def preview(self, hit: Hit) -> Sequence[PreviewLine]:
        self.previewed.append((hit.conversation, hit.node))
        if self.error is not None:
            raise self.error
        return [
            PreviewLine(Role.USER, "", "What is in the picture?"),
            PreviewLine(Role.ASSISTANT, "Smith", f"{hit.title}: the HARBOURS and the harbour.", is_hit=True),
            PreviewLine(Role.USER, "", "And the harbour?"),
        ]


class Host(App[None]):
    """Shows the screen and keeps its answer."""

    def __init__(self, library: Library, words: str = "", personas: Sequence[str] = ()) -> None:
        super().__init__()
        self.library = library
        self.search = SearchScreen(library.find, library.preview, personas=personas, models=["nano"], words=words, now=lambda: NOW)
        self.answer: Found | None = UNANSWERED

    def on_mount(self) -> None:
        self.push_screen(self.search, self.keep)

    def keep(self, answer: Found | None) -> None:
        self.answer = answer


async def settle(pilot: Pilot[None]) -> None:
    for _ in range(5):
        await pilot.pause()


def said(screen: SearchScreen) -> str:
    return str(screen.query_one("#search-said", Static).visual)


def listed(screen: SearchScreen) -> list[list[str]]:
    return [[line.rstrip() for line in str(option.prompt).split("\n")] for option in screen.results.options]


def previewed(screen: SearchScreen) -> list[str]:
    return [str(each.visual) for each in screen.preview.query(Static)]


async def test_what_is_found_is_listed_with_its_day_and_the_messages_around_it() -> None:
    host = Host(Library(*HITS), "harbour")
    async with host.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert host.library.asked == ["harbour"]
        assert said(host.search) == "3 found in 2 conversations"
        assert [entry[0].split("  ")[0] for entry in listed(host.search)] == ["Reading the chart", "Harbour lights", "Reading the chart"]
        assert [entry[0].split("  ")[-1].strip() for entry in listed(host.search)] == ["today", "yesterday", "18 Sep"]
        assert [entry[1] for entry in listed(host.search)][1:] == ["In the title: Harbour lights", "You: Which harbour?"]
        assert previewed(host.search) == [
            "You\nWhat is in the picture?",
            "Smith  ◂ found\nReading the chart: the HARBOURS and the harbour.",
            "You\nAnd the harbour?",
        ]
        await pilot.press("down", "down")
        await settle(pilot)
        assert host.library.previewed[-1] == ("one", 9)
        await pilot.press("enter")
        assert host.answer == Found("one", 9)


def marked(screen: SearchScreen) -> list[str]:
    """What is both bold and underlined."""
    strips = screen._compositor.render_strips()
    return [
        segment.text
        for strip in strips
        for segment in strip
        if segment.style is not None and segment.style.underline and segment.style.bold and segment.text.strip()
    ]


async def test_what_was_looked_for_is_marked_by_more_than_a_colour() -> None:
    """In the results by the places that the library gives, in the preview by the beginnings of the words."""
    host = Host(Library(*HITS), "harbour")
    async with host.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert sorted(marked(host.search)) == ["HARBOUR", "Harbour", "harbour", "harbour", "harbour"]


def test_a_mark_far_behind_is_brought_into_view() -> None:
    hit = Hit("c", 1, "t", Role.ASSISTANT, NOW, "word " * 40 + "harbour", ((200, 207),))
    snippet = snippet_of(hit, 60)
    assert snippet.plain.startswith("… word")
    assert snippet.plain.index("harbour") < 60
    places = [snippet.plain[span.start : span.end] for span in snippet.spans if "underline" in str(span.style)]
    assert places == ["harbour"]
    broken = Hit("c", 1, "t", Role.ASSISTANT, NOW, "a\x1bb", ((0, 99), (2, 1), (-4, 2)))
    assert snippet_of(broken, 60).plain == "ab"


async def test_a_newer_question_replaces_an_older_one() -> None:
    """Fails when the answer to an older question is shown, however late it comes."""
    host = Host(Library(*HITS))
    async with host.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert said(host.search).startswith("Type words")
        host.library.gates = {"h": asyncio.Event(), "ha": asyncio.Event()}
        await pilot.press("h")
        await settle(pilot)
        assert said(host.search) == "Searching…"
        await pilot.press("a")
        await settle(pilot)
        assert said(host.search) == "Searching…"
        assert listed(host.search) == []
        await pilot.press("r")
        await settle(pilot)
        assert host.library.asked == ["h", "ha", "har"]
        assert said(host.search) == "3 found in 2 conversations"
        host.library.gates["har"] = asyncio.Event()
        await pilot.press("b", "backspace")
        await settle(pilot)
        assert said(host.search) == "Searching…"
        assert len(listed(host.search)) == 3  # what was found before stays until there is something newer
        await pilot.press(*["backspace"] * 3)
        await settle(pilot)
        assert said(host.search).startswith("Type words")
        assert listed(host.search) == []
        await pilot.press("enter", "escape")
        assert host.answer is None


async def test_keys_that_follow_at_once_make_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SearchScreen, "DEBOUNCE", 0.3)
    host = Host(Library(*HITS))
    async with host.run_test(size=(120, 40)):
        host.search.input.value = "h"
        host.search.input.value = "ha"
        host.search.input.value = "har"
        await until(lambda: host.library.asked)
        assert host.library.asked == ["har"]


async def test_nothing_found_and_errors_are_sentences() -> None:
    host = Host(Library(), HOSTILE, personas=["Smith"])
    async with host.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert said(host.search) == f"Nothing found for “{VISIBLE}”."
        assert not host.search.preview.display
        await pilot.press("f2")
        await settle(pilot)
        assert said(host.search) == f"Nothing found for “{VISIBLE}” with these filters."
        host.library.hits = HITS
        await pilot.press("f2")
        await settle(pilot)
        host.library.error = NemochatError("The library cannot be read: it is locked.", "Try again.")
        await pilot.press("down")
        await settle(pilot)
        assert previewed(host.search) == ["The library cannot be read: it is locked. Try again."]
        await pilot.press("f3")
        await settle(pilot)
        assert said(host.search) == "The library cannot be read: it is locked. Try again."
        assert listed(host.search) == []
        host.library.error = None
        await pilot.press("f3")
        await settle(pilot)
        assert said(host.search) == "3 found in 2 conversations"
        assert len(previewed(host.search)) == 3


async def test_filters_are_cycled_and_said_in_words() -> None:
    host = Host(Library(*HITS), "harbour", personas=["Smith", HOSTILE])
    async with host.run_test(size=(120, 40)) as pilot:
        await settle(pilot)

        def words() -> list[str]:
            return [str(choice.visual) for choice in host.search.query(FilterChoice)]

        assert words() == ["any persona", "any model", "any time", "pictures or none"]
        assert host.library.filters == SearchFilters()
        await pilot.press("f2", "f3", "f4", "f5")
        await settle(pilot)
        assert words() == ["Smith", "nano", "today", "with pictures"]
        assert host.library.filters == SearchFilters("Smith", "nano", datetime(2026, 10, 28).timestamp(), None, True)
        await pilot.press("f2", "f4", "f5", "tab", "right", "tab", "left", "tab", "space", "enter", "tab", "backspace")
        await settle(pilot)
        assert words() == ["any persona", "any model", "the last year", "pictures or none"]
        await pilot.click("#persona")
        await pilot.click("#persona")
        await settle(pilot)
        assert words()[0] == VISIBLE[:23] + "…"
        assert host.library.filters == SearchFilters(HOSTILE, "", since(Span.YEAR, NOW), None, None)
        await pilot.click("#persona", button=3)
        await settle(pilot)
        assert words()[0] == "Smith"


def test_how_far_back_a_search_looks() -> None:
    assert since(Span.ANY, NOW) is None
    bounds = [since(span, NOW) for span in (Span.TODAY, Span.WEEK, Span.MONTH, Span.YEAR)]
    assert bounds == [datetime(*day).timestamp() for day in ((2026, 10, 28), (2026, 10, 22), (2026, 9, 29), (2025, 10, 29))]


async def test_a_click_shows_a_result_and_a_second_one_goes_there() -> None:
    host = Host(Library(*HITS), "harbour")
    async with host.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        second = len(listed(host.search)[0])
        await pilot.click(host.search.results, offset=(5, second))
        await settle(pilot)
        assert host.library.previewed == [("one", 5), ("two", 0)]
        assert host.answer is UNANSWERED
        assert host.search.input.has_focus
        await pilot.click(host.search.results, offset=(5, second))
        await settle(pilot)
        assert host.answer == Found("two", 0)


async def test_the_preview_is_below_on_a_narrow_screen_and_shows_the_hit() -> None:
    class Long(Library):
        async def preview(self, hit: Hit) -> Sequence[PreviewLine]:
            text = "x " * 4000 + "harbour" + " y" * 4000
            return [PreviewLine(Role.USER, "", "line\n" * 60), PreviewLine(Role.ASSISTANT, "", text, is_hit=True)]

    host = Host(Long(*HITS), "harbour")
    async with host.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        results, preview = host.search.results, host.search.preview
        assert preview.region.y >= results.region.bottom
        assert preview.region.width == results.region.width
        hit = preview.query_one(".-hit", Static)
        assert preview.scroll_y > 0
        assert hit.region.y < preview.region.bottom
        text = str(hit.visual)
        assert "harbour" in text
        assert len(text) < 3100
        assert text.startswith("The model  ◂ found\n… x")
        assert text.endswith(" …")
        before = preview.scroll_y
        await pilot.press("ctrl+down")
        await settle(pilot)
        assert preview.scroll_y > before
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert preview.region.x >= results.region.right
        assert {max(map(len, entry)) <= results.size.width for entry in listed(host.search)} == {True}


async def test_hostile_text_is_shown_as_text_and_no_more_than_can_be_looked_through() -> None:
    class Hostile(Library):
        async def preview(self, hit: Hit) -> Sequence[PreviewLine]:
            return [PreviewLine(Role.ASSISTANT, HOSTILE, HOSTILE, is_hit=True)]

    hit = Hit("c", 1, HOSTILE, Role.TOOL, NOW, HOSTILE, ((0, 1),))
    host = Host(Hostile(*[hit] * (MOST_HITS + 50)), "( [")
    async with host.run_test(size=(160, 40)) as pilot:
        await settle(pilot)
        assert said(host.search) == "250 found in 1 conversation; the first 200 are shown"
        assert len(listed(host.search)) == MOST_HITS
        shown = ["\n".join(lines) for lines in listed(host.search)] + previewed(host.search)
        assert all(VISIBLE[:14] in text for text in shown)
        assert not any(character in text for text in shown for character in "\x1b\x07\x9b")
