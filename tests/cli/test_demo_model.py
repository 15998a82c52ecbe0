"""The built-in model through the command line: right answers about pictures drawn here, and honesty about what it is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from nemochat.domain.images import RgbImage
from nemochat.images import save_png
from tests.cli.conftest import Run

Ask = Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]

COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (40, 80, 220), "yellow": (240, 210, 40)}
GRAY = (128, 128, 128)
SIDE = 224
RADIUS = 36
TOOL = {
    "name": "calculator",
    "description": "Calculates.",
    "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
}


def draw(path: Path, *shapes: tuple[str, str, int, int]) -> str:
    """Shapes (kind, colour, centre x, centre y) on gray; kinds are circle and square."""
    pixels = bytearray()
    for y in range(SIDE):
        for x in range(SIDE):
            colour = next((COLOURS[name] for kind, name, cx, cy in shapes if _covers(kind, x - cx, y - cy)), GRAY)
            pixels += bytes(colour)
    save_png(RgbImage.from_rgb(SIDE, SIDE, bytes(pixels)), path)
    return str(path)


def _covers(kind: str, dx: int, dy: int) -> bool:
    return dx * dx + dy * dy <= RADIUS**2 if kind == "circle" else max(abs(dx), abs(dy)) <= RADIUS * 0.85


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+|\d+", text.lower()))


ASKED = {
    "colour": "What colour is the {kind}?",
    "shape": "What shape is {colour}?",
    "background": "What is the background?",
    "count": "How many shapes are there?",
}


@pytest.fixture
def ask(nemochat: Run) -> Ask:
    """Several requests in one run of the program, so that the model loads once."""

    def run(requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        lines = "".join(json.dumps({**request, "max_tokens": 120}) + "\n" for request in requests)
        done = nemochat("ask", "--jsonl", input=lines)
        assert (done.returncode, done.stderr) == (0, "")
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_it_sees(ask: Ask, tmp_path: Path) -> None:
    """Single shapes: nearly every answer is right. A model that does not look is right in a quarter of the colours, or half the shapes."""
    shapes = [(kind, colour) for kind in ("circle", "square") for colour in COLOURS]
    pictures = [draw(tmp_path / f"{kind}-{colour}.png", (kind, colour, 60, 165)) for kind, colour in shapes]
    requests = [
        {"question": question.format(kind=kind, colour=colour), "images": [picture]}
        for question in ASKED.values()
        for (kind, colour), picture in zip(shapes, pictures, strict=True)
    ]
    said = iter([words(reply["text"]) for reply in ask(requests)])
    right = {
        "colour": sum(next(said) & set(COLOURS) == {colour} for _, colour in shapes),
        "shape": sum(next(said) & {"circle", "square", "triangle", "star", "heart", "cross"} == {kind} for kind, _ in shapes),
        "background": sum("gray" in next(said) for _ in shapes),
        "count": sum(bool(next(said) & {"1", "one"}) for _ in shapes),
    }
    assert min(right.values()) >= len(shapes) - 1, right


def test_it_is_honest_about_itself(ask: Ask) -> None:
    who, unknown = ask([{"question": "Who are you?"}, {"question": "Who won the football world cup in 1998?"}])
    assert words(who["text"]) >= {"nemochat", "demo"}
    assert "demo model" in unknown["text"]


def test_it_calls_a_tool_and_repeats_its_result(ask: Ask) -> None:
    sums = [(12, "+", 30), (7, "*", 8), (95, "-", 41), (310, "+", 26)]
    calls = ask([{"question": f"What is {a} {sign} {b}?", "tools": [TOOL]} for a, sign, b in sums])
    assert {reply["finish_reason"] for reply in calls} == {"tool_calls"}
    expected = [[{"name": "calculator", "arguments": {"expression": f"{a} {sign} {b}"}}] for a, sign, b in sums]
    made = [[{name: call[name] for name in ("name", "arguments")} for call in reply["tool_calls"]] for reply in calls]
    assert sum(call == wanted for call, wanted in zip(made, expected, strict=True)) >= len(sums) - 1
    first, call = sums[0], expected[0][0]
    messages = [
        {"role": "user", "content": f"What is {first[0]} {first[1]} {first[2]}?"},
        {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": "1", "content": "42"},
    ]
    (answer,) = ask([{"messages": messages, "tools": [TOOL]}])
    assert "42" in words(answer["text"])
    assert answer["finish_reason"] == "stop"


def test_it_accounts_for_pictures_and_reuse(ask: Ask, tmp_path: Path) -> None:
    circle = draw(tmp_path / "circle.png", ("circle", "red", 60, 60))
    both = draw(tmp_path / "both.png", ("circle", "green", 60, 60), ("square", "yellow", 165, 165))
    replies = ask(
        [
            {"question": "What colour is the circle?", "images": [circle]},
            {"question": "What colour is the circle?", "images": [both]},
            {"question": "What colour is the square?", "images": [both]},
            {"question": "Who are you?"},
        ]
    )
    for reply in replies:
        assert reply["prompt_tokens"] == reply["reused_tokens"] + reply["evaluated_tokens"]
    assert [reply["image_tokens"] for reply in replies] == [64, 64, 64, 0]
    # The second and third requests share their picture: it is neither encoded nor evaluated again.
    assert replies[2]["timings"]["encode_ms"] == 0
    assert replies[2]["reused_tokens"] > 64
