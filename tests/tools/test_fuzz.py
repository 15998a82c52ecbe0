"""Whatever a model calls a built-in tool with, it gets a result or one sentence, soon, and neither is long or hides anything."""

from __future__ import annotations

import asyncio
import functools
import re
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ToolCall
from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import Approval, ToolOutcome, ToolRequest
from nemochat.images import to_png
from nemochat.tools.approval import Approvals
from nemochat.tools.builtin.arithmetic import calculator
from nemochat.tools.builtin.clock import current_time
from nemochat.tools.builtin.fetch import fetch_url
from nemochat.tools.builtin.notes import Notes, note_tools
from nemochat.tools.builtin.pictures import Region, look_at_picture
from nemochat.tools.builtin.reading import file_tools
from nemochat.tools.builtin.roots import FileRoots
from nemochat.tools.builtin.search import Passage, search_documents
from nemochat.tools.builtin.units import convert_units
from nemochat.tools.making import Limits
from nemochat.tools.registry import Registry

NOW = datetime(2026, 3, 5, 14, 7, tzinfo=UTC)
PNG = to_png(RgbImage.from_rgb(2, 1, b"\xff\x00\x00" * 2))
LONG = 200_000
ODD = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
WORDS = st.sampled_from(
    [
        "", ".", "..", "/", "~", "~nobody", "a.txt", "/proc/self/mem", "/dev/zero", "a\0b", "\udcff", "\x1b]0;x\x07", "\u202e",
        "km", "mile", "C", "K", "F", "B", "GiB", "m", "UTC+14:00", "UTC-23:59", "Europe/Berlin", "../../etc/passwd", "right/UTC",
        "posixrules",
        "9**9**9", "1e2000", "0.1e-2000", "1/3", "round(2/3,1000)",
        "exp(1e9)", "log(-1)", "10**400//7**300", "1%%%", "tan(pi/2)", "0**-1", "-1**0.5", "1,000,00", "sqrt(2**8000)",
        "http://[", "http://a:b@c", "http://\udcff/", "http://127.0.0.1/", "//", "https://example.org/\x00",
    ]
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -0.0, 5e-324, -5e-324, 2.2e-308, 1e30, 1e31, 10**29 + 1, 10**400, -(10**400), 0.1, 1.7e308, -273.15]),
)
PIECES = st.sampled_from(["x", "9", "(", "-", "2^", "1,", "é", "../", "a/"])
REPEATED = st.tuples(PIECES, st.sampled_from([499, LONG])).map(lambda pair: pair[0] * pair[1])
TEXTS = ODD | WORDS | REPEATED
ANY = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3),
    max_leaves=6,
)
OF_KIND: dict[str, st.SearchStrategy[Any]] = {"string": TEXTS, "number": NUMBERS, "integer": NUMBERS}


async def _search(query: str) -> Sequence[Passage]:
    return [Passage(query, query)]


def _refuse(address: str, port: int, seconds: float) -> socket.socket:
    raise OSError("not here")


def _resolve(host: str, port: int) -> list[str]:
    host.encode("idna")
    return ["93.184.216.34"]


def _crop(data: bytes, region: Region) -> bytes:
    return data


@functools.cache
def _registry(folder: Path) -> Registry:
    (folder / "a.txt").write_text("words\n" * 10_000)
    for name in ("caf\udce9", "b\x1b]0;x\x07\u202e"):
        (folder / name).touch()
    tools = [
        calculator(),
        current_time(lambda: NOW),
        convert_units(),
        search_documents(_search),
        *file_tools(FileRoots([folder])),
        *note_tools(Notes(folder.parent / "notes.jsonl"), lambda: NOW),
        look_at_picture(lambda number: PNG if number == 1 else None, _crop),
        fetch_url(_resolve, _refuse),
    ]
    return Registry(tools)


NAMES = (
    "calculator", "current_time", "convert_units", "search_documents", "list_folder", "read_file", "find_in_files", "save_note",
    "list_notes",
    "look_at_picture", "fetch_url",
)  # fmt: skip


async def _yes(request: ToolRequest) -> Approval:
    return Approval.ONCE


def _assert_harmless(outcome: ToolOutcome, seconds: float) -> None:
    # Arguments that are no JSON (nan, numbers of thousands of digits) are refused before a tool sees them.
    assert not re.search(r"failed: \w+(Error|Exception)|cannot be checked \((?!ValueError)", outcome.text), outcome.text[:500]
    assert len(outcome.text) <= Limits().characters + 100
    assert sanitize(outcome.text) == outcome.text
    outcome.text.encode()
    assert seconds < 2


@pytest.mark.parametrize("name", NAMES)
def test_any_arguments(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz") / "root"
    folder.mkdir()
    registry = _registry(folder)
    tool = registry.find(name)
    assert tool is not None
    properties: dict[str, dict[str, Any]] = tool.spec.parameters["properties"]
    fitting = st.fixed_dictionaries({key: OF_KIND[kind["type"]] for key, kind in properties.items()})
    beyond = st.fixed_dictionaries(dict.fromkeys(properties, ANY)) | st.dictionaries(ODD, ANY, max_size=4)

    asyncio.run(registry.call(ToolCall(name, {}), _yes, Approvals()))  # what is imported at the first call does not count

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(fitting | fitting | fitting | beyond)
    def check(arguments: dict[str, Any]) -> None:
        began = time.process_time()
        outcome = asyncio.run(registry.call(ToolCall(name, arguments), _yes, Approvals()))
        _assert_harmless(outcome, time.process_time() - began)

    check()


UNITS = st.sampled_from(["km", "mile", "inch", "light year", "nm", "C", "F", "K", "GiB", "bit", "acre", "year", "s", "Pa", "cup"])


@given(NUMBERS, UNITS, UNITS)
@example(5e-324, "km", "mile")
@example(10**400, "km", "mile")
@example(5e-324, "bit", "GiB")
@settings(deadline=None)
def test_every_number_is_converted_or_refused(value: float, source: str, target: str) -> None:
    outcome = asyncio.run(convert_units().run({"value": value, "from_unit": source, "to_unit": target}))
    assert len(outcome.text) < 200


@given(st.text("0123456789.+-*/%^()eEpi, sqrtlogxndbcaum", max_size=60))
@settings(deadline=None, max_examples=300)
def test_every_expression_is_worked_out_or_refused_at_once(expression: str) -> None:
    began = time.process_time()
    outcome = asyncio.run(calculator().run({"expression": expression}))
    assert len(outcome.text) < 300
    assert time.process_time() - began < 10


async def test_a_number_that_python_does_not_write_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    registry = _registry(tmp_path / "root")
    for name, key in (("convert_units", "value"), ("read_file", "first_line"), ("look_at_picture", "picture")):
        tool = registry.find(name)
        assert tool is not None
        arguments = {one: 10**5000 if one == key else 1 for one in tool.spec.parameters["properties"]}
        assert (await registry.call(ToolCall(name, arguments), _yes, Approvals())).is_error
