"""Servers that do what no server should, on the real screen: each is a sentence, and nothing that was typed or said is lost."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from nemochat.domain.servers import RemoteModel, ServedModel
from nemochat.engine.protocol import Engine
from nemochat.engine.remote import open_engine
from nemochat.engine.remote.client import Limits, ServerClient
from nemochat.tui.screens.dialogs import Choose
from nemochat.tui.screens.picker import Picker
from tests.chat.fake_engine import FakeEngine, reply
from tests.remote.hostile import DROP, HOLD, KEY, Act, HostileServer, Request, Says, after, answer
from tests.remote.llama_server import running as serving_llama
from tests.remote.wires import OLLAMA, OPENAI, VLLM, Wire, llama_server
from tests.tui.bench import Bench, Driver, running

NAME = "lab/tiny"


@pytest.fixture(autouse=True)
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch, Limits(retries=0))


def patience(monkeypatch: pytest.MonkeyPatch, limits: Limits) -> None:
    defaults = ServerClient.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "limits", limits)


@contextlib.asynccontextmanager
async def asking(folder: Path, hostile: HostileServer, wire: Wire, **others: Engine) -> AsyncIterator[Driver]:
    """The app with that server's model, and these of this machine beside it."""
    server = hostile.as_server(wire.kind)
    bench = Bench(folder, {NAME: open_engine(server, wire.model, KEY), **others})
    bench.served = {NAME: ServedModel(server, RemoteModel(wire.model))}
    bench.remotes.servers.add(server.name, server.url, server.kind)
    bench.remotes.has = {"lab": [RemoteModel(wire.model)]}
    async with running(folder, bench=bench) as driver:
        yield driver


async def choose(driver: Driver, name: str) -> None:
    """Open another model, with the picker."""
    await driver.press("f3")
    await driver.dialog(Picker)
    await driver.press(*name, "enter")
    await driver.back()
    await driver.until(lambda: driver.desk.model.name == name and driver.desk.model.is_loaded)


async def go_on(driver: Driver) -> None:
    """Have the last reply go on, by the key on it."""
    await driver.focus_message(len(driver.said) - 1)
    await driver.press("n")
    await driver.settle()


def then(wire: Wire, *last: bytes | Act) -> Sequence[bytes | Act]:
    return [wire.begin(), wire.text("Hello"), wire.text(" wor"), *last]


FAULTS: dict[str, tuple[Callable[[Wire], Sequence[bytes | Act] | bytes], str]] = {
    "cut": (lambda wire: list(wire.cut("Hello", " wor")), "lab broke off in the middle of its answer."),
    "an-error": (lambda wire: then(wire, wire.raw({"error": f"no memory for {KEY} \x1b]0;x\x07[bold]"})), "no memory for … ]0;x[bold]"),
    "junk": (lambda wire: then(wire, b"\x1b[2J\n"), "is no stream of events"),
    "a-long-line": (lambda wire: then(wire, b"data: " + b"x" * 10_000_000, HOLD), "more than 4 MiB"),
    "silence": (lambda wire: then(wire, HOLD), "lab fell silent in the middle of its answer"),
    "wrong-key": (lambda wire: answer({"error": {"message": f"bad {KEY}"}}, "401 No"), "lab does not accept the key: bad …."),
    "a-page": (lambda wire: answer(b"<html>", kind="text/html"), "is a web page"),
    "elsewhere": (lambda wire: answer(b"", "302 Moved", location=f"https://evil.example/{KEY}"), "which is not followed"),
    "dropped": (lambda wire: [DROP], "lab closed the connection without an answer."),
}


@pytest.mark.parametrize(("fault", "wire"), zip(FAULTS, itertools.cycle([OPENAI, OLLAMA, VLLM]), strict=False))
async def test_it_is_a_sentence_and_what_has_come_can_be_gone_on_with(
    fault: str, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "silence":
        patience(monkeypatch, Limits(silence=3.0, retries=0))
    says, message = FAULTS[fault]
    with wire.serving(says(wire)) as hostile:
        async with asking(tmp_path, hostile, wire) as driver:
            await driver.type("Hi")
            await driver.press("enter")
            await driver.type("half a thought")
            await driver.told(message)
            await driver.settle()
            assert driver.screen.prompt.plain_text == "half a thought"
            has_come = driver.said[1:] == ["Hello wor"]
            assert driver.said in (["Hi"], ["Hi", "Hello wor"])
            assert has_come == (says(wire)[0] == wire.begin() or fault == "cut")
            if has_come:
                wire.says(hostile, wire.well("ld."))
                await go_on(driver)
                assert driver.said == ["Hi", "Hello world."]
            wire.says(hostile, wire.well("All is well."))
            driver.screen.prompt.area.focus()
            await driver.press("enter")
            await driver.settle()
            assert driver.said[-2:] == ["half a thought", "All is well."]
    no_key_in(tmp_path)


def no_key_in(folder: Path) -> None:
    """The key is in none of the files: the library, the draft, the logs, the exports."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("wire", [VLLM, OLLAMA], ids=lambda wire: wire.kind)
async def test_esc_ends_a_request_that_hangs_and_the_next_one_works(wire: Wire, tmp_path: Path) -> None:
    with wire.serving([wire.begin(), wire.text("Hello"), HOLD]) as hostile:
        async with asking(tmp_path, hostile, wire) as driver:
            await driver.type("Hi")
            await driver.press("enter")
            await driver.until(lambda: "Hello" in driver.shown)
            await driver.press("escape")
            await driver.settle()
            await driver.until(lambda: wire.path in hostile.left)
            assert driver.said == ["Hi", "Hello"]
            wire.says(hostile, wire.well("Again."))
            await driver.send("And now?")
            assert driver.said == ["Hi", "Hello", "And now?", "Again."]


@pytest.mark.parametrize(
    "says", [answer({"error": "no"}, "500 No"), [DROP], [HOLD], answer(b"<html>"), answer({})], ids=["500", "drop", "hang", "page", "empty"]
)
async def test_what_goes_wrong_while_something_is_typed_is_not_noticed(says: Sequence[Act] | bytes, tmp_path: Path) -> None:
    """Reading ahead that fails says nothing, and one that hangs is ended at Enter."""
    with VLLM.serving() as hostile:
        well = hostile.answers[VLLM.path]
        assert callable(well)

        def behave(request: Request, real: Iterator[bytes]) -> Says:
            if b'"stream": true' in request.body:
                return well(request, real)
            return [says] if isinstance(says, bytes) else says

        hostile.answers[VLLM.path] = behave
        async with asking(tmp_path, hostile, VLLM) as driver:
            await driver.type("What colour has the sky?")
            await driver.until(lambda: VLLM.path in hostile.paths())
            driver.screen.prompt.area.focus()
            await driver.press("enter")
            await driver.until(lambda: driver.said == ["What colour has the sky?", "Yes."])
            await driver.until(lambda: not driver.desk.turns.is_running)
            assert driver.notices == []
            if says == [HOLD]:
                await driver.until(lambda: VLLM.path in hostile.left)


async def test_a_real_llama_server_whose_reply_is_cut(tmp_path: Path) -> None:
    with serving_llama() as real:
        wire = llama_server(real.url)
        with wire.serving(after(3, b"nonsense\n")) as hostile:
            async with asking(tmp_path, hostile, wire) as driver:
                await driver.send("What colour has the sky?")
                await driver.told("lab sent an answer that is no stream of events.")
                (_, half), asked = driver.said, len(hostile.requests)
                assert half
                wire.says(hostile, lambda _, says: says)
                await go_on(driver)
                assert driver.said[1].startswith(half)
                await driver.send("And now?")
                assert len(driver.said) == 4
                assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in hostile.requests[asked:])
    no_key_in(tmp_path)


async def test_the_chat_goes_on_with_another_engine_and_comes_back(tmp_path: Path) -> None:
    """Fails when a chat is bound to the engine that failed it."""
    here = FakeEngine(reply("ld, says this machine."), reply("Still here."))
    with OPENAI.serving(OPENAI.cut("Hello", " wor")) as hostile:
        async with asking(tmp_path, hostile, OPENAI, demo=here) as driver:
            await driver.send("Hi")
            assert driver.said == ["Hi", "Hello wor"]
            await choose(driver, "demo")
            await go_on(driver)
            assert driver.said == ["Hi", "Hello world, says this machine."]
            await driver.send("Are you there?")
            OPENAI.says(hostile, OPENAI.well("I am back."))
            driver.bench.engines = {**driver.bench.engines, NAME: open_engine(hostile.as_server(OPENAI.kind), "tiny", KEY)}
            await choose(driver, NAME)
            await driver.send("And you?")
            assert driver.said[2:] == ["Are you there?", "Still here.", "And you?", "I am back."]
            asked = hostile.requests[-1].json["messages"]
            assert [message["content"] for message in asked if message["role"] != "system"] == driver.said[:-1]


async def test_a_server_that_is_gone_when_it_is_chosen_leaves_the_one_before(tmp_path: Path) -> None:
    with OPENAI.serving() as hostile:
        server = hostile.as_server(OPENAI.kind)
    bench = Bench(tmp_path, {"demo": FakeEngine(reply("Hi.")), NAME: open_engine(server, "tiny", KEY)})
    bench.served = {NAME: ServedModel(server, RemoteModel("tiny"))}
    bench.remotes.servers.add(server.name, server.url, server.kind)
    bench.remotes.has = {"lab": [RemoteModel("tiny")]}
    async with running(tmp_path, bench=bench) as driver:
        await driver.type("a draft")
        await driver.press("f3")
        await driver.dialog(Picker)
        await driver.press(*NAME, "enter")
        await driver.until(lambda: "lab does not answer at http://127.0.0.1:" in f"{driver.shown} {driver.notices}".replace("\n", " "))
        if isinstance(driver.app.screen, Choose):
            await driver.press("escape")
            await driver.back()
        assert driver.screen.prompt.plain_text == "a draft"


@pytest.mark.parametrize("name", ["chat.md", "chat.json", "chat.html"])
async def test_an_export_does_not_hold_the_key_that_a_reply_repeats(name: str, tmp_path: Path) -> None:
    with OPENAI.serving(OPENAI.well(f"You sent {KEY}, did you not?")) as hostile:
        async with asking(tmp_path, hostile, OPENAI) as driver:
            await driver.send("What did I send?")
            await driver.send(f"/export {tmp_path / name}")
            await driver.until(lambda: (tmp_path / name).exists())
    assert "You sent …, did you not?" in (tmp_path / name).read_text()
    no_key_in(tmp_path)
