"""Rules and the memory of a chat."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.domain.messages import ToolSpec
from nemochat.domain.tools import Approval, OfferedTool, ToolOrigin, ToolRequest
from nemochat.errors import SettingsError
from nemochat.tools.approval import Approvals, Rule, Rules, Verdict, arguments_for_people


def offered(name: str = "read_file", origin: ToolOrigin = ToolOrigin.BUILTIN, source: str = "nemochat", **changes: Any) -> OfferedTool:
    return OfferedTool(ToolSpec(name), origin, source, **{"fingerprint": "f1", **changes})


HARMLESS = offered("calculator", is_harmless=True)
SERVER = offered("read_file", ToolOrigin.MCP, "disk")


@pytest.mark.parametrize(
    ("rules", "tool", "verdict"),
    [
        (Rules(), HARMLESS, Verdict.RUN),
        (Rules(), offered(), Verdict.ASK),
        (Rules(), offered(origin=ToolOrigin.MCP, is_harmless=True), Verdict.ASK),
        (Rules(), offered(origin=ToolOrigin.PYTHON, is_harmless=True), Verdict.ASK),
        (Rules(default=Rule.ASK), HARMLESS, Verdict.ASK),
        (Rules(default=Rule.NEVER), HARMLESS, Verdict.REFUSE),
        (Rules(default=Rule.ALWAYS), offered(), Verdict.ASK),
        (Rules(by_tool={"read_file": Rule.ALWAYS}), offered(), Verdict.RUN),
        (Rules(by_tool={"read_file": Rule.ALWAYS}), SERVER, Verdict.ASK),
        (Rules(by_tool={"disk/read_file": Rule.ALWAYS}), SERVER, Verdict.RUN),
        (Rules(by_tool={"read_*": Rule.ALWAYS, "*": Rule.ALWAYS}), offered(), Verdict.ASK),
        (Rules(by_tool={"disk/*": Rule.NEVER}), SERVER, Verdict.REFUSE),
        (Rules(by_tool={"disk/*": Rule.NEVER}), offered(), Verdict.ASK),
        (Rules(by_tool={"read_*": Rule.HARMLESS, "*_file": Rule.NEVER}), offered(), Verdict.REFUSE),
        (Rules(by_tool={"calculator": Rule.HARMLESS, "*": Rule.ASK}), HARMLESS, Verdict.RUN),
        (Rules(by_tool={"disk/read_file": Rule.ALWAYS, "read_file": Rule.NEVER}), SERVER, Verdict.REFUSE),
        (Rules(by_tool={"read_[": Rule.ALWAYS}), offered("read_["), Verdict.ASK),
    ],
    ids=str,
)
def test_what_the_rules_say(rules: Rules, tool: OfferedTool, verdict: Verdict) -> None:
    assert Approvals(rules).verdict(tool) is verdict


def test_always_needs_one_exact_name() -> None:
    Rules(by_tool={"read_file": Rule.ALWAYS, "x*": Rule.NEVER}).check()
    for rules in (Rules(by_tool={"*": Rule.ALWAYS}), Rules(default=Rule.ALWAYS)):
        with pytest.raises(SettingsError):
            rules.check()


def test_yes_tool_cannot_lift_a_never() -> None:
    rules = Rules(by_tool={"a": Rule.NEVER}).with_always("a", "b")
    assert Approvals(rules).verdict(offered("a")) is Verdict.REFUSE
    assert Approvals(rules).verdict(offered("b")) is Verdict.RUN


def test_once_is_not_remembered_and_always_is_for_this_form_of_this_tool_alone() -> None:
    approvals = Approvals()
    approvals.remember(ToolRequest(SERVER, {}), Approval.ONCE)
    assert approvals.verdict(SERVER) is Verdict.ASK
    approvals.remember(ToolRequest(SERVER, {}), Approval.ALWAYS)
    assert approvals.verdict(SERVER) is Verdict.RUN
    for other in (
        msgspec.structs.replace(SERVER, fingerprint="f2"),
        msgspec.structs.replace(SERVER, source="other"),
        msgspec.structs.replace(SERVER, origin=ToolOrigin.PYTHON),
        offered("write_file", ToolOrigin.MCP, "disk"),
    ):
        assert approvals.verdict(other) is Verdict.ASK
    approvals.forget(SERVER)
    assert approvals.verdict(SERVER) is Verdict.ASK


def test_a_tool_without_a_fingerprint_is_always_asked_about() -> None:
    approvals, tool = Approvals(), offered(fingerprint="")
    approvals.remember(ToolRequest(tool, {}), Approval.ALWAYS)
    assert approvals.verdict(tool) is Verdict.ASK


def test_a_refused_harmless_tool_that_changes_asks_and_does_not_run() -> None:
    approvals = Approvals()
    approvals.remember(ToolRequest(HARMLESS, {}), Approval.NEVER)
    assert approvals.verdict(HARMLESS) is Verdict.REFUSE
    assert approvals.verdict(msgspec.structs.replace(HARMLESS, fingerprint="f2")) is Verdict.ASK


def test_a_tool_allowed_by_the_settings_that_changes_while_chatting_asks() -> None:
    approvals = Approvals(Rules(by_tool={"disk/read_file": Rule.ALWAYS}))
    assert approvals.verdict(SERVER) is Verdict.RUN
    assert approvals.verdict(msgspec.structs.replace(SERVER, fingerprint="f2")) is Verdict.ASK
    assert approvals.verdict(SERVER) is Verdict.RUN


def test_chats_do_not_share_what_was_said() -> None:
    one, other = Approvals(), Approvals()
    one.remember(ToolRequest(SERVER, {}), Approval.ALWAYS)
    assert other.verdict(SERVER) is Verdict.ASK


@given(st.dictionaries(st.text(max_size=8), st.text() | st.integers() | st.lists(st.text(max_size=5)), max_size=4))
def test_arguments_are_shown_in_full_and_nothing_is_hidden(arguments: dict[str, Any]) -> None:
    shown = arguments_for_people(arguments)
    assert json.loads(shown) == arguments
    assert all(character == "\n" or character.isprintable() for character in shown)


def test_what_cannot_be_seen_is_spelled_out() -> None:
    shown = arguments_for_people({"path": "a\u202eb\u200bc\x1b\ud800\ufe0f\u00a0\u3164\U000e0041"})
    for hidden in ("\\u202e", "\\u200b", "\\u001b", "\\ud800", "\\ufe0f", "\\u00a0", "\\u3164", "\\udb40\\udc41"):
        assert hidden in shown
