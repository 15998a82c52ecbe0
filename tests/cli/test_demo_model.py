"""The built-in model through the command line: right answers about pictures drawn here, and honesty about what it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nemochat.domain.images import RgbImage
from nemochat.images import save_png
from tests.cli.conftest import Run

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


@pytest.fixture
def answers(nemochat: Run, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """All questions in one run of the program, so that the model loads once."""
    circle = draw(tmp_path / "circle.png", ("circle", "red", 60, 60))
    square = draw(tmp_path / "square.png", ("square", "blue", 165, 60))
    both = draw(tmp_path / "both.png", ("circle", "green", 60, 60), ("square", "yellow", 165, 165))
    requests: dict[str, dict[str, Any]] = {
        "red": {"question": "What colour is the circle?", "images": [circle]},
        "blue": {"question": "What colour is the square?", "images": [square]},
        "green": {"question": "What colour is the circle?", "images": [both]},
        "yellow": {"question": "What colour is the square?", "images": [both]},
        "count": {"question": "How many shapes are there?", "images": [both]},
        "describe": {"question": "Describe the picture.", "images": [both]},
        "who": {"question": "Who are you?"},
        "unknown": {"question": "Who won the football world cup in 1998?"},
        "tool": {"question": "What is 12 + 30?", "tools": [TOOL]},
        "context": {"question": "Where is the key?", "contexts": [{"name": "notes.txt", "text": "The key is in the kitchen."}]},
    }
    lines = "".join(json.dumps(request | {"max_tokens": 120}) + "\n" for request in requests.values())
    done = nemochat("ask", "--jsonl", input=lines)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(zip(requests, map(json.loads, done.stdout.splitlines()), strict=True))


def test_it_sees_remembers_and_is_honest(answers: dict[str, dict[str, Any]]) -> None:
    for colour in COLOURS:
        assert words(answers[colour]["text"]) & set(COLOURS) == {colour}, answers[colour]["text"]
    assert words(answers["count"]["text"]) & {"two", "2"}
    assert words(answers["describe"]["text"]) >= {"green", "circle", "yellow", "square"}
    assert words(answers["who"]["text"]) >= {"nemochat", "demo"}
    assert "demo model" in answers["unknown"]["text"]
    assert answers["tool"]["finish_reason"] == "tool_calls"
    assert answers["tool"]["tool_calls"][0]["name"] == "calculator"
    assert "kitchen" in words(answers["context"]["text"])
    assert {name for name, reply in answers.items() if reply["finish_reason"] != "stop"} == {"tool"}


def test_it_accounts_for_pictures_and_reuse(answers: dict[str, dict[str, Any]]) -> None:
    for reply in answers.values():
        assert reply["prompt_tokens"] == reply["reused_tokens"] + reply["evaluated_tokens"]
    assert answers["red"]["image_tokens"] == 64
    assert answers["who"]["image_tokens"] == 0
    # The third and fourth requests share their picture: it is neither encoded nor evaluated again.
    assert answers["yellow"]["timings"]["encode_ms"] == 0
    assert answers["yellow"]["reused_tokens"] > 64
