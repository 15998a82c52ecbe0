"""Tools on the screen: offered by their box, asked about in full, run, and shown with what came of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nemochat.domain.messages import ToolSpec
from nemochat.domain.tools import OfferedTool, ToolOrigin, ToolOutcome
from nemochat.prompt.format import as_text
from nemochat.tools.making import FunctionTool
from nemochat.tui.screens.approval import ApprovalScreen
from tests.chat.fake_engine import FakeEngine, reply
from tests.tui.bench import Bench, Driver, running

CALL = '<toolcall> {"name": "send_mail", "arguments": {"to": "ada", "text": "hi"}} </toolcall>'


class Mail:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        schema = {"type": "object", "properties": {"to": {"type": "string"}, "text": {"type": "string"}}, "required": ["to"]}
        offered = OfferedTool(ToolSpec("send_mail", "Send a mail.", schema), ToolOrigin.PYTHON, "mail.py", fingerprint="1")
        self.tool = FunctionTool(offered, self.send)

    async def send(self, arguments: dict[str, Any]) -> ToolOutcome:
        self.sent.append(arguments)
        return ToolOutcome("sent")


def bench(folder: Path, mail: Mail, engine: FakeEngine) -> Bench:
    made = Bench(folder, {"demo": engine})
    made.own_tools = [mail.tool]
    return made


async def offer(driver: Driver) -> None:
    """Offer the tool in this chat, by a click on its line; the pane is folded while none is on."""
    await driver.click("▸ Tools · 0 of 1 on")
    await driver.click("send_mail")
    await driver.until(lambda: [spec.name for spec in driver.desk.chat.frame.tools] == ["send_mail"])
    await driver.settle()


async def asked(driver: Driver, text: str) -> ApprovalScreen:
    driver.screen.prompt.area.focus()
    await driver.type(text)
    await driver.press("enter")
    screen = await driver.dialog(ApprovalScreen)
    await driver.until(lambda: screen._whole.row_count > 1)
    await driver.until(lambda: '"to": "ada"' in driver.shown)
    assert "send_mail" in driver.shown
    assert "mail.py" in driver.shown
    return screen


async def test_a_call_runs_after_a_yes_and_its_result_is_read(tmp_path: Path) -> None:
    mail, engine = Mail(), FakeEngine(reply(CALL), reply("Done."))
    async with running(tmp_path, bench=bench(tmp_path, mail, engine)) as driver:
        await offer(driver)
        await asked(driver, "write to ada")
        await driver.answer("Yes, once")
        await driver.until(lambda: driver.said[-1] == "Done.")
        assert mail.sent == [{"to": "ada", "text": "hi"}]
        assert "<tool>" in as_text(engine.requests[0].segments)
        await driver.until(lambda: "sent" in driver.shown)


async def test_a_key_that_was_on_its_way_is_no_answer_and_no_is_the_first_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApprovalScreen, "DELAY", 3600.0)  # so that no machine is too slow for the keys to come before its end
    mail = Mail()
    async with running(tmp_path, bench=bench(tmp_path, mail, FakeEngine(reply(CALL), reply("A pity.")))) as driver:
        await offer(driver)
        screen = await asked(driver, "write to ada")
        await driver.press("right", "enter", "escape")
        assert driver.app.screen is screen
        assert not screen.is_open
        screen.post_message(screen.Opened(screen._showing))
        await driver.until(lambda: screen.is_open)
        await driver.press("enter")
        await driver.until(lambda: driver.said[-1] == "A pity.")
        assert mail.sent == []


async def test_always_holds_in_this_chat_and_not_in_the_next(tmp_path: Path) -> None:
    mail = Mail()
    engine = FakeEngine(reply(CALL), reply("One."), reply(CALL), reply("Two."), reply(CALL), reply("Three."))
    async with running(tmp_path, bench=bench(tmp_path, mail, engine)) as driver:
        await offer(driver)
        await asked(driver, "write to ada")
        await driver.answer("Always in this chat")
        await driver.until(lambda: driver.said[-1:] == ["One."])
        await driver.settle()
        await driver.send("again")
        assert driver.said[-1] == "Two."
        await driver.press("ctrl+n")
        await driver.until(lambda: driver.said == [])
        assert [spec.name for spec in driver.desk.chat.frame.tools] == ["send_mail"]
        screen = await asked(driver, "and here")
        await driver.until(lambda: screen.is_open)
        await driver.press("escape")
        await driver.until(lambda: driver.said[-1:] == ["Three."])
        assert len(mail.sent) == 2


async def test_the_gate_of_the_settings_holds_for_the_next_message_and_the_pane_says_what_it_decided(tmp_path: Path) -> None:
    engine = FakeEngine(reply("Hi.", call_chance=0.4), reply("Hello.", call_chance=0.12), reply(CALL, call_chance=0.9), reply("No."))
    async with running(tmp_path, bench=bench(tmp_path, Mail(), engine)) as driver:
        await offer(driver)
        await driver.send("hi")
        assert "(gate" not in driver.shown
        await driver.desk.settings_changed({"tools.gate": 0.5})
        await driver.send("hello")
        await driver.until(lambda: "no tool: 12 % (gate 50 %)" in driver.shown)
        await asked(driver, "write to ada")
        await driver.answer("No")
        await driver.until(lambda: driver.said[-1:] == ["No."])
        await driver.until(lambda: "tool: 90 % (gate 50 %)" in driver.shown)
        await driver.press("ctrl+n")
        await driver.until(lambda: "(gate" not in driver.shown)
        assert [request.gate and request.gate.threshold for request in engine.requests] == [None, 0.5, 0.5, None]
