"""Models of servers on the screen: in the picker beside those of this machine, asked about before words leave, marked while they do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from textual.widgets import Button, OptionList, Static

from nemochat.chat.remotes import Listing
from nemochat.domain.servers import RemoteModel, ServedModel, Server, ServerKind
from nemochat.errors import ServerError
from nemochat.tui.screens.dialogs import Choose
from nemochat.tui.screens.picker import Picker
from tests.chat.fake_engine import FakeEngine, reply
from tests.tui.bench import Bench, Driver, running

GPU = Server("gpu", "https://gpu.example.org", ServerKind.VLLM)
HERE = Server("here", "http://127.0.0.1:8080", ServerKind.LLAMA_SERVER)
LARGE = ServedModel(GPU, RemoteModel("large", 32_768, has_vision=True))
SMALL = ServedModel(HERE, RemoteModel("small", 4096, has_vision=False))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """The model "demo" in use, and two servers with a model each; "down" is a third one that does not answer."""
    bench = Bench(tmp_path, {name: FakeEngine(reply("Hello from there.")) for name in ("demo", LARGE.name, SMALL.name)})
    bench.served = {LARGE.name: LARGE, SMALL.name: SMALL}
    for server in (GPU, HERE, Server("down", "http://127.0.0.1:9")):
        bench.remotes.servers.add(server.name, server.url)
    bench.remotes.has = {"gpu": [LARGE.model], "here": [SMALL.model], "down": ServerError("down does not answer at http://127.0.0.1:9.")}
    return bench


def rows(driver: Driver) -> list[str]:
    return [" ".join(str(option.prompt).split()) for option in driver.app.screen.query_one(OptionList).options]


def highlighted(driver: Driver) -> str:
    choices = driver.app.screen.query_one(OptionList)
    assert choices.highlighted is not None
    return str(choices.get_option_at_index(choices.highlighted).prompt).split()[0]


async def asked(driver: Driver) -> str:
    """Wait for a question, and read it."""
    screen = await driver.dialog(Choose)
    return " ".join(str(each.content) for each in screen.query(Static))


async def choose(driver: Driver, *keys: str) -> None:
    """Open the picker and choose with these keys."""
    await driver.press("f3")
    await driver.dialog(Picker)
    await driver.until(lambda: not any("asking" in row for row in rows(driver)))
    await driver.press(*keys, "enter")


async def test_models_of_servers_stand_beside_those_of_this_machine(tmp_path: Path, bench: Bench) -> None:
    async with running(tmp_path, bench=bench) as driver:
        await driver.press("f3")
        await driver.dialog(Picker)
        await driver.until(lambda: len(rows(driver)) == 6 and "asking" not in driver.shown)
        assert rows(driver)[1:4] == [
            "gpu/large ↗ 32,768 tokens, sees pictures",
            "here/small 4,096 tokens, text only",
            "down/ not available down does not answer at http://127.0.0.1:9.",
        ]
        assert highlighted(driver) == "demo"


async def test_the_model_in_use_is_marked_when_its_server_was_taken_out(tmp_path: Path, bench: Bench) -> None:
    """Fails when the list then marks none, as if nothing answered."""
    async with running(tmp_path, bench=bench) as driver:
        await choose(driver, *"here/")
        await driver.until(lambda: driver.desk.model.name == SMALL.name and driver.desk.model.is_loaded)
        bench.remotes.servers.remove("here")
        await driver.press("f3")
        await driver.dialog(Picker)
        assert "here/small of a server that was taken out · in use" in rows(driver)
        assert highlighted(driver) == "here/small"


async def test_while_a_server_hangs_the_model_that_is_opened_is_named(tmp_path: Path, bench: Bench) -> None:
    """Fails when the status line says that there is no model, and that it is being loaded."""
    gate = bench.remotes.gates[SMALL.name] = asyncio.Event()
    async with running(tmp_path, bench=bench) as driver:
        driver.desk.do(lambda: driver.desk.model.open(SMALL.name))
        await driver.until(lambda: driver.desk.model.coming == SMALL.name)
        assert "no model" not in driver.shown
        gate.set()
        await driver.until(lambda: driver.desk.model.name == SMALL.name)


async def test_a_server_that_says_nothing_delays_nothing_and_moves_nothing(tmp_path: Path, bench: Bench) -> None:
    gate = bench.remotes.gates["gpu"] = asyncio.Event()
    async with running(tmp_path, bench=bench) as driver:
        await driver.press("f3")
        await driver.dialog(Picker)
        await driver.until(lambda: any(row.startswith("here/small") for row in rows(driver)))
        assert "gpu/ asking …" in rows(driver)
        await driver.press("down", "down")
        assert highlighted(driver) == "here/small"
        bench.remotes.has["gpu"] = [LARGE.model, RemoteModel("larger")]
        gate.set()
        await driver.until(lambda: any(row.startswith("gpu/larger") for row in rows(driver)))
        assert highlighted(driver) == "here/small"


async def test_what_is_typed_meanwhile_filters_what_comes(tmp_path: Path, bench: Bench) -> None:
    gate = bench.remotes.gates["here"] = asyncio.Event()
    async with running(tmp_path, bench=bench) as driver:
        await driver.press("f3")
        await driver.dialog(Picker)
        await driver.press(*"here/sm")
        gate.set()
        await driver.until(lambda: rows(driver) and rows(driver)[0].startswith("here/small"))
        await driver.press("enter")
        await driver.back()
        await driver.until(lambda: driver.desk.model.name == "here/small" and driver.desk.model.is_loaded)
        assert bench.used == ["here/small"]


async def test_the_one_in_use_is_found_when_its_server_has_answered(tmp_path: Path, bench: Bench) -> None:
    bench.first = "here/small"
    async with running(tmp_path, bench=bench) as driver:
        await driver.press("f3")
        await driver.dialog(Picker)
        await driver.until(lambda: highlighted(driver) == "here/small")
        assert any("in use" in row for row in rows(driver) if row.startswith("here/small"))


async def test_before_words_leave_the_user_is_asked_once(tmp_path: Path, bench: Bench) -> None:
    async with running(tmp_path, bench=bench) as driver:
        await choose(driver, *"gpu")
        assert "Words and pictures leave this machine: they go to gpu at https://gpu.example.org." in await asked(driver)
        assert str(driver.app.screen.query(Button).first().label) == "Not now"
        assert bench.engines[LARGE.name].loads == 0
        await driver.press("enter")
        await driver.back()
        assert (driver.desk.model.name, driver.desk.model.is_loaded, bench.used) == ("demo", True, [])
        await choose(driver, *"gpu")
        await driver.dialog(Choose)
        await driver.press("right", "enter")
        await driver.until(lambda: driver.desk.model.name == "gpu/large" and driver.desk.model.is_loaded)
        await choose(driver, *"demo")
        await driver.until(lambda: driver.desk.model.name == "demo" and driver.desk.model.is_loaded)
        await choose(driver, *"gpu")
        await driver.until(lambda: driver.desk.model.name == "gpu/large" and driver.desk.model.is_loaded)
        assert not isinstance(driver.app.screen, Choose)


async def test_the_first_screen_says_that_the_model_is_on_another_machine(tmp_path: Path, bench: Bench) -> None:
    async with running(tmp_path, bench=bench) as driver:
        assert "on your own machine" in driver.shown
        await choose(driver, *"gpu")
        await driver.dialog(Choose)
        await driver.press("right", "enter")
        await driver.until(lambda: "this one is on another machine" in driver.shown)
        await choose(driver, *"demo")
        await driver.until(lambda: "on your own machine" in driver.shown)


async def test_after_a_no_the_chat_goes_on_with_the_model_before(tmp_path: Path, bench: Bench) -> None:
    bench.engines["demo"].replies.append(reply("Still here."))
    async with running(tmp_path, bench=bench) as driver:
        await choose(driver, *"gpu")
        await driver.dialog(Choose)
        await driver.press("escape")
        await driver.back()
        await driver.send("Hi")
        assert driver.said == ["Hi", "Hello from there."]
        assert len(bench.engines["demo"].requests) == 1
        assert not bench.engines["demo"].is_closed


async def test_after_a_no_at_the_start_what_is_sent_waits_and_says_for_what(tmp_path: Path, bench: Bench) -> None:
    bench.first = "gpu/large"
    bench.engines = {name: engine for name, engine in bench.engines.items() if name != bench.first}  # it is never opened
    async with running(tmp_path, bench=bench) as driver:
        await driver.dialog(Choose)
        await driver.press("enter")
        await driver.back()
        await driver.until(lambda: "F3 chooses one" in driver.rows[-2] and "press F3" in driver.rows[-1])
        await driver.type("Hi")
        await driver.press("enter")
        await driver.until(lambda: driver.desk.turns.is_running)
        await driver.until(lambda: "press F3 to choose one" in driver.rows[-1])
        await choose(driver, *"demo")
        await driver.settle()
        assert driver.said == ["Hi", "Hello from there."]


async def test_what_is_sent_while_the_other_one_is_looked_for_waits_for_it(tmp_path: Path, bench: Bench) -> None:
    gate = bench.remotes.gates["here/small"] = asyncio.Event()
    async with running(tmp_path, bench=bench) as driver:
        await choose(driver, *"here")
        await driver.back()
        await driver.type("Hi")
        await driver.press("enter")
        await driver.until(lambda: driver.desk.turns.is_running)
        assert not bench.engines["demo"].requests
        gate.set()
        await driver.settle()
        assert driver.said == ["Hi", "Hello from there."]
        assert (len(bench.engines["demo"].requests), len(bench.engines["here/small"].requests)) == (0, 1)


async def test_a_server_that_cannot_be_asked_leaves_the_model_that_is_there(tmp_path: Path, bench: Bench) -> None:
    bench.remotes.has["down/"] = ServerError("down does not answer at http://127.0.0.1:9.", "See that it runs there.")
    async with running(tmp_path, bench=bench) as driver:
        await choose(driver, *"down")
        assert "down does not answer" in await asked(driver)
        await driver.press("escape")
        await driver.back()
        await driver.send("Hi")
        assert driver.said == ["Hi", "Hello from there."]
        assert len(bench.engines["demo"].requests) == 1


async def test_the_engine_is_switched_in_the_middle_of_a_chat(tmp_path: Path, bench: Bench) -> None:
    async with running(tmp_path, bench=bench) as driver:
        await driver.send("First")
        await choose(driver, *"here")
        await driver.until(lambda: driver.desk.model.name == "here/small" and driver.desk.model.is_loaded)
        await driver.send("Second")
        assert driver.said == ["First", "Hello from there.", "Second", "Hello from there."]
        records = [entry.record for entry in driver.desk.chat.entries if entry.record is not None]
        assert [str(record.model) for record in records] == ["demo", "here/small"]


async def test_what_runs_on_this_machine_is_offered_and_added(tmp_path: Path, bench: Bench) -> None:
    ollama = Server("ollama", "http://127.0.0.1:11434", ServerKind.OLLAMA)
    served = ServedModel(ollama, RemoteModel("llama3:latest"))
    bench.remotes.here = [Listing(ollama, (served,), is_new=True)]
    bench.served[served.name] = served
    bench.engines = {**bench.engines, served.name: FakeEngine()}
    async with running(tmp_path, bench=bench) as driver:
        await driver.press("f3")
        await driver.dialog(Picker)
        await driver.until(lambda: "Add ollama it runs on this machine, at http://127.0.0.1:11434" in rows(driver))
        await driver.press(*"ollama", "enter")
        await driver.until(lambda: driver.desk.model.name == "ollama/llama3:latest" and driver.desk.model.is_loaded)
        assert bench.remotes.servers.get("ollama") == ollama


@pytest.mark.parametrize(("width", "mark"), [(80, "↗ leaves this machine · not protected"), (52, "↗ · unprotected"), (30, "↗!")])
async def test_the_status_line_says_so_for_as_long_as_it_is_in_use(tmp_path: Path, bench: Bench, width: int, mark: str) -> None:
    bench.first = LARGE.name
    bench.remotes.keys.allow(GPU)
    engine = bench.engines[LARGE.name]
    engine.capabilities = msgspec.structs.replace(engine.capabilities, keeps_words_apart=False)
    async with running(tmp_path, bench=bench, size=(width, 24)) as driver:
        await driver.until(lambda: mark in driver.rows[-1])
        assert driver.rows[-1].strip().startswith("gpu/large" if width > 30 else "gpu/l")
        await driver.send("Hi")
        assert mark in driver.rows[-1]
        await choose(driver, *"demo")
        await driver.until(lambda: driver.desk.model.name == "demo" and driver.desk.model.is_loaded)
        await driver.until(lambda: "↗" not in driver.rows[-1] and "protected" not in driver.rows[-1])


async def test_a_server_of_this_machine_has_no_mark(tmp_path: Path, bench: Bench) -> None:
    bench.first = SMALL.name
    async with running(tmp_path, bench=bench) as driver:
        assert "here/small · ready" in driver.rows[-1]


async def test_a_model_that_runs_elsewhere_leaves_whatever_its_address(tmp_path: Path, bench: Bench) -> None:
    cloud = ServedModel(HERE, RemoteModel("big:cloud", is_elsewhere=True))
    bench.served[cloud.name] = cloud
    bench.engines = {**bench.engines, cloud.name: FakeEngine()}
    bench.remotes.has["here"] = [SMALL.model, cloud.model]
    async with running(tmp_path, bench=bench) as driver:
        await choose(driver, *"cloud")
        assert "here hands them on for big:cloud" in await asked(driver)
        await driver.press("right", "enter")
        await driver.until(lambda: driver.desk.model.is_loaded and driver.desk.model.name == cloud.name)
        await driver.until(lambda: "↗ leaves this machine" in driver.rows[-1])
