from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nemochat.engine.llama.ledger import Cell, ImageSpan, Ledger, image_tokens_of, positions_of, reusable, tokens_of
from nemochat.engine.lru import LruCache

spans = st.builds(ImageSpan, digest=st.sampled_from("ab"), index=st.integers(0, 1), tokens=st.just(4), positions=st.sampled_from([4, 2]))
cells: st.SearchStrategy[list[Cell]] = st.lists(st.integers(0, 3) | spans, max_size=12)


@given(common=cells, held_tail=cells, wanted_tail=cells, with_logits=st.booleans())
def test_the_reusable_part_is_the_longest_common_prefix(
    common: list[Cell], held_tail: list[Cell], wanted_tail: list[Cell], with_logits: bool
) -> None:
    held, wanted = common + held_tail, common + wanted_tail
    count = reusable(held, wanted, with_logits=with_logits)
    assert held[:count] == wanted[:count]
    limit = len(wanted) - 1 if with_logits else len(wanted)
    at_limit = count >= min(limit, len(held))
    assert at_limit or held[count] != wanted[count]


@given(same=cells.filter(bool))
def test_a_prompt_that_is_held_as_a_whole_is_evaluated_again_from_its_last_cell_for_logits_only(same: list[Cell]) -> None:
    assert reusable(same, same, with_logits=True) == len(same) - 1
    assert reusable(same, same, with_logits=False) == len(same)
    assert reusable([*same, 7], same, with_logits=True) == len(same) - 1


def test_pictures_with_the_same_size_are_not_the_same() -> None:
    one, other = ImageSpan("a", 0, 4, 4), ImageSpan("b", 0, 4, 4)
    assert reusable([1, one, 2], [1, other, 2], with_logits=False) == 1


@given(steps=st.lists(cells | st.integers(0, 14), max_size=10))
def test_the_ledger_counts_what_it_holds(steps: list[list[Cell] | int]) -> None:
    ledger = Ledger()
    expected: list[Cell] = []
    for step in steps:
        if isinstance(step, int):
            ledger.cut(step)
            expected = expected[:step]
        else:
            ledger.extend(step)
            expected = expected + step
        assert list(ledger.cells) == expected
        assert ledger.position == positions_of(expected)


def test_positions_and_tokens_differ_for_pictures_with_two_dimensional_positions() -> None:
    held: list[Cell] = [1, ImageSpan("a", 0, 64, 8), 2]
    assert (tokens_of(held), positions_of(held), image_tokens_of(held)) == (66, 10, 64)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=40), st.integers(0, 12))
def test_the_cache_stays_within_its_capacity_and_forgets_the_least_recently_used(puts: list[tuple[int, int]], capacity: int) -> None:
    cache: LruCache[int, int] = LruCache(capacity, weigh=lambda weight: weight)
    recent: dict[int, int] = {}
    for key, weight in puts:
        cache.put(key, weight)
        recent.pop(key, None)
        recent[key] = weight
        while sum(recent.values()) > capacity:
            del recent[next(iter(recent))]
        assert {key: cache.get(key) for key in list(recent)} == recent
        assert (len(cache), cache.weight) == (len(recent), sum(recent.values()))


def test_reading_a_value_keeps_it() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert "a" in cache
    assert "b" not in cache
