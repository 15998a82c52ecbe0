from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.engine.cutter import Cutter

STOPS = ("<extra_id_1>", "<extra_id_0>", "\nUser:", "END")


def run(chunks: Sequence[bytes], stops: Sequence[str] = STOPS) -> tuple[str, bool]:
    cutter = Cutter(stops)
    text = "".join(cutter.push(chunk) for chunk in chunks)
    stopped = cutter.stopped
    return text + cutter.finish(), stopped


def single_bytes(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


@pytest.mark.parametrize(
    ("data", "text", "stopped"),
    [
        ("plain", "plain", False),
        ("  leading stays", "  leading stays", False),
        ("gone at the end \n\n", "gone at the end", False),
        ("kept\n\ninside", "kept\n\ninside", False),
        ("answer\n<extra_id_1>User", "answer", True),
        ("answer<extra_id_1", "answer<extra_id_1", False),
        ("<extra_<extra_id_0>", "<extra_", True),
        ("EEND", "E", True),
        ("ENEND", "EN", True),
        ("one\nUser: two", "one", True),
        ("", "", False),
    ],
)
def test_cuts_at_stops_and_drops_white_space_at_the_end(data: str, text: str, stopped: bool) -> None:
    assert run([data.encode()]) == (text, stopped)
    assert run(single_bytes(data.encode())) == (text, stopped)


def test_what_may_become_a_stop_is_held_back_and_released() -> None:
    cutter = Cutter(STOPS)
    assert cutter.push(b"a<extra") == "a"
    assert cutter.push(b"_id_9>") == "<extra_id_9>"
    assert cutter.push(b"\n") == ""
    assert cutter.push(b"b") == "\nb"


def test_after_a_stop_nothing_comes_out() -> None:
    cutter = Cutter(["END"])
    assert cutter.push(b"aENDb") == "a"
    assert cutter.push(b"c") == ""
    assert cutter.finish() == ""


def test_characters_come_out_whole() -> None:
    cutter = Cutter()
    euro = "€".encode()
    assert [cutter.push(euro[:1]), cutter.push(euro[1:2]), cutter.push(euro[2:])] == ["", "", "€"]


def test_broken_characters_are_replaced_inside_and_dropped_at_the_end() -> None:
    assert run([b"a\xffb\xe2\x82"]) == ("a\ufffdb", False)


def test_a_stop_inside_another_wins_when_it_ends_first() -> None:
    assert run([b"xabcy"], ["abc", "b"]) == ("xa", True)
    assert run(single_bytes(b"xabcy"), ["abc", "b"]) == ("xa", True)
    assert run([b"xabcy"], ["abc", "bc"]) == ("x", True)


fragments = st.sampled_from(["<extra_id_1>", "<extra", "_id_1>", "\n", " ", "User:", "EN", "D", "a", "é", "€", "👍", "\u00a0"])
pieces = st.lists(fragments, max_size=12)
stops = st.lists(st.text(st.sampled_from("abDEN<_ \né"), min_size=1, max_size=4), max_size=4)


@given(data=pieces.map("".join).map(str.encode) | st.binary(max_size=24), more_stops=stops, cuts=st.lists(st.integers(0, 200), max_size=8))
def test_any_chunking_gives_the_same_text(data: bytes, more_stops: list[str], cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(bounds)]
    whole = run([data], (*STOPS, *more_stops))
    assert run(chunks, (*STOPS, *more_stops)) == whole
    assert run(single_bytes(data), (*STOPS, *more_stops)) == whole


@given(text=st.text(max_size=40), more_stops=stops)
def test_no_stop_is_ever_shown_and_nothing_else_is_lost(text: str, more_stops: list[str]) -> None:
    shown, stopped = run([text.encode()], more_stops)
    assert not any(stop in shown for stop in more_stops)
    assert text.startswith(shown)
    if not stopped:
        assert shown == text.rstrip()


def test_what_is_passed_on_holds_no_stops_and_keeps_its_place() -> None:
    cutter = Cutter(("END", "<extra_id_1>"))
    assert cutter.push(b"a <extra") == "a"
    assert cutter.pass_on(b"_id_1>END \xe2\x82") == " <extra_id_1>END"
    assert cutter.pass_on(b"\xac E") == " \u20ac E"
    assert cutter.push(b"ND bEND c") == "ND b"
    assert cutter.stopped
    assert cutter.pass_on(b"d") == ""
