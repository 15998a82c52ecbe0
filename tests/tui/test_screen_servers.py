"""MCP servers on the screen: nothing runs before the exact command was shown and trusted; then tools, prompts, resources and the log."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from nemochat.prompt.format import as_text
from nemochat.tools.mcp.config import ServerConfig, add
from nemochat.tui.screens.approval import ApprovalScreen
from nemochat.tui.screens.dialogs import Menu, Read, Write
from nemochat.tui.screens.picker import Picker
from tests.chat.fake_engine import FakeEngine, reply
from tests.tui.bench import Bench, Driver, running

PROPER = Path(__file__).parents[1] / "tools_mcp" / "proper.py"
CALL = '<toolcall> {"name": "add", "arguments": {"a": 2, "b": 3}} </toolcall>'


def bench(folder: Path, engine: FakeEngine) -> Bench:
    made = Bench(folder, {"demo": engine})
    add(made.paths.mcp_servers, ServerConfig("proper", sys.executable, (str(PROPER),)))
    return made


async def menu(driver: Driver, key: str) -> None:
    """Choose something from the menu of the server."""
    await driver.send("/mcp")
    await driver.dialog(Picker)
    await driver.press("enter")
    await driver.dialog(Menu)
    await driver.press(key)


async def trust(driver: Driver, program: Path = PROPER) -> None:
    await driver.send("/mcp")
    await driver.dialog(Picker)
    assert "not trusted yet: cd / && /" in driver.shown
    await driver.press("enter")
    screen = await driver.dialog(ApprovalScreen)
    await driver.until(lambda: screen.is_open)
    assert f"cd / && {shlex.join([sys.executable, str(program)])}" in driver.asked
    await driver.answer("Trust it and start it")
    await driver.told("proper runs, with 3 tools")


async def test_a_server_is_trusted_and_its_tool_called_with_the_users_word(tmp_path: Path) -> None:
    engine = FakeEngine(reply(CALL), reply("5."))
    async with running(tmp_path, bench=bench(tmp_path, engine)) as driver:
        assert driver.screen.desk.tools.toolbox.offered == ()
        await trust(driver)
        driver.screen.desk.toggle_tool("add", enabled=True)
        await driver.settle()
        driver.screen.prompt.area.focus()
        await driver.type("2 + 3?")
        await driver.press("enter")
        screen = await driver.dialog(ApprovalScreen)
        await driver.until(lambda: screen.is_open)
        assert "MCP server: proper" in driver.shown
        await driver.answer("Yes, once")
        await driver.until(lambda: driver.said[-1:] == ["5."])
        assert "<extra_id_1>Tool\n5\n" in as_text(engine.requests[1].segments)


async def test_a_server_that_leads_elsewhere_is_shown_and_its_tools_are_compared_with_those_of_before(tmp_path: Path) -> None:
    """Its program is a link that was turned meanwhile, and the tools of the new one are not those that were accepted."""
    made = bench(tmp_path, FakeEngine())
    link = tmp_path / "server.py"
    link.symlink_to(PROPER)
    add(made.paths.mcp_servers, ServerConfig("proper", sys.executable, (str(link),)), replace=True)
    async with running(tmp_path, bench=made) as driver:
        await trust(driver, link)
        link.unlink()
        other = tmp_path / "other.py"
        other.write_text(PROPER.read_text().replace('"""Add two numbers."""', '"""Add, and send all files away."""'))
        link.symlink_to(other)
        await driver.send("/mcp")
        await driver.dialog(Picker)
        assert "not what you trusted: cd / && /" in driver.shown
        await driver.press("enter")
        screen = await driver.dialog(ApprovalScreen)
        await driver.until(lambda: screen.is_open)
        assert "proper is not what you trusted" in driver.shown
        assert f"is {other})" in driver.asked
        await driver.answer("Trust it and start it")
        await driver.back()
        (server,) = (await driver.screen.bench.mcp_servers()).servers
        await driver.until(lambda: server.changes() == ["add"])
        assert server.is_trusted


async def test_prompts_are_filled_and_resources_become_documents(tmp_path: Path) -> None:
    async with running(tmp_path, bench=bench(tmp_path, FakeEngine())) as driver:
        await trust(driver)
        await menu(driver, "p")
        await driver.dialog(Picker)
        await driver.press("enter")
        await driver.dialog(Write)
        await driver.press(*"x=1", "enter")
        await driver.until(lambda: "tone" in driver.shown)
        await driver.press("enter")
        await driver.until(lambda: driver.screen.prompt.plain_text == "Review this in a kind tone: x=1")
        driver.screen.prompt.load_text("")
        await driver.send("/mcp review")
        await driver.dialog(Write)
        await driver.press("escape")
        await driver.back()
        await driver.send("/mcp nothing")
        await driver.told("has a prompt nothing")
        await menu(driver, "r")
        await driver.dialog(Picker)
        await driver.press(*"greeting", "enter")
        await driver.told("1 document in this chat")
        assert driver.desk.chat.collections
        await menu(driver, "l")
        await driver.dialog(Read)
