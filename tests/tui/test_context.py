"""The context pane: a bar that reads without colours, exact numbers, and warnings in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from nemochat.chat import ContextView
from nemochat.tui.panes.context import ContextPane
from nemochat.tui.widgets.context_graph import ContextGraph, parts_of, share

FULL = ContextView(
    4096,
    system=12,
    tools=300,
    documents=100,
    history=600,
    images=64,
    draft=158,
    reserve=512,
    cached=1100,
    to_read=134,
    forgotten=tuple(range(12)),
    excluded=(20,),
    forgotten_tokens=2345,
)


class Host(App[None]):
    def compose(self) -> ComposeResult:
        yield ContextPane()


async def lines_of(view: ContextView | None, width: int = 40) -> list[str]:
    app = Host()
    async with app.run_test(size=(width, 40)) as pilot:
        pane = app.query_one(ContextPane)
        pane.show(view)
        await pilot.pause()
        graph = pane.query_one(ContextGraph)
        return [graph.render_line(y).text.rstrip() for y in range(graph.size.height)]


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=8), st.integers(8, 200))
def test_the_bar_is_full_and_no_part_vanishes(tokens: list[int], width: int) -> None:
    cells = share(tokens, width)
    assert sum(cells) == width
    assert min(cells) >= 1


def test_shares_are_by_size() -> None:
    assert share([1, 1, 2], 40) == [10, 10, 20]
    assert share([1, 10_000], 10) == [1, 9]
    assert share([5, 5, 5], 2) == [1, 1, 0]


def test_parts_have_characters_of_their_own() -> None:
    parts = parts_of(FULL)
    assert len(parts) == 8
    assert len({part.fill for part in parts}) == 8
    assert sum(part.tokens for part in parts) == FULL.limit


async def test_bar_legend_and_sentences() -> None:
    lines = await lines_of(FULL)
    assert set(lines[0]) == {part.fill for part in parts_of(FULL)}
    text = "\n".join(lines)
    assert "█ system" in text
    assert "1,234 of 4,096 used" in text
    assert "cached 1,100 · to read 134" in text
    assert "forgotten 12 messages, 2,345 tokens" in text
    assert "hidden by you: 1 message" in text
    assert "forget more" not in text


async def test_numbers_are_aligned_on_the_right_in_both_columns() -> None:
    rows = (await lines_of(FULL))[1:5]
    assert {len(row) for row in rows} == {38}
    assert rows[0].split() == ["█", "system", "12", "╱", "pictures", "64"]  # noqa: RUF001


async def test_a_narrow_pane_has_one_column() -> None:
    rows = (await lines_of(FULL, 24))[1:9]
    assert [row.split()[1] for row in rows] == ["system", "tools", "contexts", "history", "pictures", "draft", "free", "reserve"]
    assert {len(row) for row in rows} == {22}


async def test_what_is_zero_is_left_out() -> None:
    text = "\n".join(await lines_of(ContextView(4096, history=96)))
    assert "history" in text
    assert "free" in text
    for name in ("system", "tools", "contexts", "pictures", "draft", "reserve", "forgotten"):
        assert name not in text


async def test_forgetting_is_announced_before_it_happens() -> None:
    text = " ".join(await lines_of(ContextView(4096, history=3500, reserve=512, to_read=1500, trims=True), 100))
    assert "the next message makes the model forget more: 1,500 tokens will be read again" in text


async def test_what_cannot_fit_says_by_how_much() -> None:
    text = "\n".join(await lines_of(ContextView(4096, history=100, draft=4096, reserve=512)))
    assert "! 612 tokens too many" in text


async def test_without_a_model_it_waits() -> None:
    assert await lines_of(None) == ["Waiting for the model."]


@pytest.mark.parametrize(("view", "summary"), [(None, "waiting for the model"), (FULL, "1,234 of 4,096")])
async def test_the_summary(view: ContextView | None, summary: str) -> None:
    pane = ContextPane()
    pane.show(view)
    assert pane.summary == summary
