"""A rule that lets a server's tool run unasked holds for the tool as it was accepted."""

from __future__ import annotations

from nemochat.domain.messages import ToolSpec
from nemochat.domain.tools import OfferedTool, ToolOrigin
from nemochat.tools.approval import Approvals, Rule, Rules, Verdict


def test_always_does_not_hold_for_a_tool_that_has_changed_since() -> None:
    tool = OfferedTool(ToolSpec("read"), ToolOrigin.MCP, "files", fingerprint="new")
    rules = Rules(by_tool={"files/read": Rule.ALWAYS, "files/list": Rule.NEVER})
    assert Approvals(rules).verdict(tool) is Verdict.RUN
    assert Approvals(rules.asking({"files/read", "files/list"})).verdict(tool) is Verdict.ASK
    assert rules.asking({"files/list"}).by_tool["files/list"] is Rule.NEVER
