"""A template is a program that somebody else wrote: whatever it does, there is one sentence, and the next one is rendered."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Iterator

import psutil
import pytest

from nemochat.errors import TemplateError
from nemochat.prompt import render_wire, rendering
from nemochat.prompt.rendering import RefusedError, Renderer

MACRO = "{% macro again(n) %}{{ again(n + 1) }}{% endmacro %}{{ again(0) }}"
HOSTILE: dict[str, tuple[str, str]] = {
    "never ends": ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "takes too long"),
    "counts without end": ("{{ (9 ** (9 ** 9)) | string | length }}", "takes too long"),
    "a long range": ("{% for a in range(10 ** 9) %}{% endfor %}", "refuses this conversation: Range too big"),
    "much memory": ("{{ ('a' * 10 ** 9) | length }}", "takes too much memory"),
    "much memory in a format": ("{{ ('%1000000000d' % 1) | length }}", "takes too much memory"),
    "a long text": ("{{ 'a' * 10 ** 7 }}", "writes more than 4,000,000 characters"),
    "many texts": ("{% for a in range(99999) %}{{ 'a' * 1000 }}{% endfor %}", "writes more than 4,000,000 characters"),
    "recursion": (MACRO, "goes round in circles"),
    "nested without end": ("{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}", "(takes too|cannot be read|goes round)"),
    "attributes": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "refuses this conversation: .*unsafe"),
    "attributes in a format": ("{{ '{0.__class__.__mro__}'.format('') }}", "refuses this conversation: .*unsafe"),
    "attributes by a filter": ("{{ (''|attr('__class__')).__mro__ }}", "refuses this conversation: .*unsafe"),
    "globals": ("{{ raise_exception.__globals__['os'] }}", "refuses this conversation: .*unsafe"),
    "other files": ("{% include '/etc/passwd' %}", "refuses this conversation"),
    "other modules": ("{% import 'os' as os %}{{ os.environ }}", "refuses this conversation"),
    "no template": ("{% for %}", "cannot be read: line 1: .*"),
    "unknown": ("{% generate %}", "cannot be read: line 1: .*"),
    "too long": ("a" * 10_000_000, "is longer than 1,000,000 characters"),
    "no text": ("\ud800", "cannot be given this conversation"),
    "no text comes of it": ("{{ '\\ud800' }}", "takes too long, or it broke"),
    "control characters": ("{{ raise_exception('\x1b[2J' + 'no\n\n' + 'way') }}", "refuses this conversation: .*no way"),
}


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    made = Renderer()
    yield made
    asyncio.run(made.close())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_wire, "SECONDS", 0.1)
    monkeypatch.setattr(rendering, "_WALL", 300)


@pytest.mark.parametrize(("source", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_whatever_a_template_does_there_is_one_sentence_and_the_next_one_is_rendered(
    source: str, reason: str, renderer: Renderer
) -> None:
    with pytest.raises(TemplateError) as caught:
        await renderer.render("bad\x1b[31m.jinja", source, {"messages": []})
    assert re.fullmatch(rf"The chat template bad\S*\.jinja {reason}.*\.", caught.value.message)
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 500
    assert "format" in caught.value.hint
    assert await renderer.render("good", "{{ a }}", {"a": "b"}) == "b"


async def test_the_process_starts_when_it_is_needed_and_again_when_it_has_ended() -> None:
    made = Renderer()
    pids = [made.pid]
    assert await made.render("t", "{{ a }}", {"a": 1}) == "1"
    pids.append(made.pid)
    psutil.Process(pids[-1]).kill()
    try:
        assert await made.render("t", "{{ a }}", {"a": 2}) == "2"
    except TemplateError:  # it ended while it was asked
        assert await made.render("t", "{{ a }}", {"a": 2}) == "2"
    pids.append(made.pid)
    await made.close()
    assert [pid is None for pid in (*pids, made.pid)] == [True, False, False, True]
    assert len(set(pids)) == 3
    with pytest.raises(TemplateError, match="its model was closed"):
        await made.render("t", "{{ a }}", {"a": 3})
    assert made.pid is None


async def test_no_process_is_left_when_it_is_closed_while_one_starts() -> None:
    """Another model was opened while this one was being asked: its process ran on until the end of the program."""
    before = {child.pid for child in psutil.Process().children()}
    for _ in range(3):
        made = Renderer()
        asked = asyncio.create_task(made.render("t", "a", {}))
        await asyncio.sleep(0.001)
        await made.close()
        with pytest.raises(TemplateError):
            await asked
        assert made.pid is None
    assert {child.pid for child in psutil.Process().children()} <= before


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_process_that_hangs_is_replaced(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    await renderer.render("t", "", {})
    assert renderer.pid is not None
    psutil.Process(renderer.pid).send_signal(signal.SIGSTOP)
    monkeypatch.setattr(rendering, "_WALL", 1)
    with pytest.raises(TemplateError, match="takes too long"):
        await renderer.render("t", "", {})
    monkeypatch.setattr(rendering, "_WALL", 300)
    assert await renderer.render("t", "a", {}) == "a"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_the_process_knows_nothing_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    renderer = Renderer()
    await renderer.render("t", "", {})
    process = psutil.Process(renderer.pid)
    assert not {"SOME_API_KEY", "HOME", "USER", "PATH"} & process.environ().keys()
    assert process.cwd() == "/"
    limits = {which: process.rlimit(which)[0] for which in (psutil.RLIMIT_AS, psutil.RLIMIT_FSIZE, psutil.RLIMIT_NPROC)}
    assert limits == {psutil.RLIMIT_AS: render_wire.MEMORY, psutil.RLIMIT_FSIZE: 0, psutil.RLIMIT_NPROC: 0}
    assert process.memory_info().vms < render_wire.MEMORY / 3
    await renderer.close()


async def test_one_who_stops_waiting_stops_nobody_else(renderer: Renderer) -> None:
    await renderer.render("t", "", {})
    waiting = asyncio.create_task(renderer.render("t", "{% for a in range(9999) %}{{ a }}{% endfor %}", {}))
    others = [asyncio.create_task(renderer.render("t", "{{ a }}", {"a": number})) for number in range(5)]
    await asyncio.sleep(0)
    waiting.cancel()
    assert await asyncio.gather(*others) == ["0", "1", "2", "3", "4"]


async def test_what_templates_of_hugging_face_may_use_is_there(renderer: Renderer) -> None:
    said = {
        "{% for a in [1, 2, 3] %}{% if a == 2 %}{% continue %}{% endif %}{{ a }}{% endfor %}": "13",
        "{% generation %}{{ a }}{% endgeneration %}": "<é>",
        "{{ [a] | tojson }}": '["<é>"]',
        "{{ [a] | tojson(ensure_ascii=True) }}": '["<\\u00e9>"]',
        "{{ {'b': 1, 'a': 2} | tojson(indent=1, separators=(',', ':'), sort_keys=true) }}": '{\n "a":2,\n "b":1\n}',
        "{{ strftime_now('%Y') | length }}": "4",
        "{% set l = [] %}{% set _ = l.append(a) %}{{ l[0] }}": "<é>",
        "{% set n = namespace(a=1) %}{% set n.a = 2 %}{{ n.a }}{{ n.b is defined }}": "2False",
        "  {% if true %}\na\n  {% endif %}\nb": "a\nb",
    }
    for source, expected in said.items():
        assert await renderer.render("t", source, {"a": "<é>"}) == expected
    with pytest.raises(RefusedError, match="refuses this conversation: Not like this"):
        await renderer.render("t", "{{ raise_exception('Not like this') }}", {})
