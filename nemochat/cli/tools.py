"""``nemochat tools``: list, show and test."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from nemochat.cli.offering import Toolshed, approver, full_name, open_toolshed, origin_text, tell_unaccepted
from nemochat.cli.output import StatusLine, print_json, print_note, print_notes, print_table, say
from nemochat.cli.passages import open_embedder, open_shelf
from nemochat.cli.setup import Setup, read_setup
from nemochat.domain.messages import ToolCall
from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import Approval, OfferedTool, ToolOutcome, ToolRequest
from nemochat.errors import UsageError
from nemochat.tools.approval import Approvals, Rule, Verdict
from nemochat.tools.builtin import search as search_tool

_HINT = "--yes runs it unasked."


class ToolInfo(msgspec.Struct, frozen=True):
    """A tool as it is told with ``--json``. rule: what the settings say. when: what follows from it: "unasked", "asks" or "never"."""

    name: str
    origin: str
    source: str
    is_harmless: bool
    rule: Rule
    when: str
    description: str
    fingerprint: str
    parameters: dict[str, Any]

    @classmethod
    def of(cls, tool: OfferedTool, shed: Toolshed) -> ToolInfo:
        """All that there is to know about a tool."""
        return cls(
            name=tool.name,
            origin=tool.origin.value,
            source=tool.source,
            is_harmless=tool.is_harmless,
            rule=shed.rules.of(tool),
            when=_WHEN[Approvals(shed.rules).verdict(tool)],
            description=tool.spec.description,
            fingerprint=tool.fingerprint,
            parameters=tool.spec.parameters,
        )


_WHEN = {Verdict.RUN: "unasked", Verdict.ASK: "asks", Verdict.REFUSE: "never"}


def print_list(*, servers: bool, as_json: bool) -> None:
    """All tools; those of servers, which are started for it, only when asked for. Raises NemochatError."""
    asyncio.run(_list(servers=servers, as_json=as_json))


def show(name: str, *, as_json: bool) -> None:
    """Everything about one tool. Raises UsageError for one that there is not."""
    asyncio.run(_show(name, as_json=as_json))


def test(name: str, arguments: str, *, yes: bool) -> int:
    """Run a tool really and print what came of it; the exit code. Raises UsageError for arguments that are no JSON object."""
    return asyncio.run(_test(name, _object(arguments), yes=yes))


async def _list(*, servers: bool, as_json: bool) -> None:
    setup = read_setup()
    with StatusLine() as status:
        if servers:
            status.show("starting the servers ...")
        async with open_toolshed(setup, None if servers else (), original=_no_picture, search=_search(setup, status)) as shed:
            infos = [ToolInfo.of(tool, shed) for tool in shed.registry.offered()]
            rows = [_row(tool, shed) for tool in shed.registry.offered()]
    if as_json:
        print_json({"tools": infos, "notices": shed.notices})
        return
    print_table(("name", "from", "runs", "what it does"), rows)
    print_notes(shed.notices)
    if shed.unaccepted:
        names = ", ".join(sorted(shed.unaccepted))
        print_note(f"New or changed since you accepted them (nemochat mcp check SERVER): {names}.")


async def _show(name: str, *, as_json: bool) -> None:
    setup = read_setup()
    with StatusLine() as status:
        async with open_toolshed(setup, (name,), original=_no_picture, search=_search(setup, status)) as shed:
            tool = shed.find(name)
    info = ToolInfo.of(tool, shed)
    if as_json:
        print_json(info)
        return
    rows = (
        ("name", info.name),
        ("from", origin_text(tool)),
        ("fingerprint", info.fingerprint),
        ("rule", f"{info.rule.value} (for {full_name(tool)})"),
        ("runs", info.when),
        ("description", info.description),
    )
    print_table(("", ""), rows)
    say(json.dumps(info.parameters, ensure_ascii=False, indent=2))
    tell_unaccepted(shed, (tool,))


async def _test(name: str, arguments: dict[str, Any], *, yes: bool) -> int:
    setup = read_setup()
    with StatusLine() as status:
        async with open_toolshed(setup, (name,), original=_no_picture, search=_search(setup, status)) as shed:
            tool = shed.find(name)
            tell_unaccepted(shed, (tool,))
            status.show(f"{tool.name} ...")
            approve = _approve if yes else approver(status.clear, _HINT)
            outcome = await shed.registry.call(ToolCall(tool.name, arguments), approve, Approvals(shed.rules))
    _print_outcome(outcome)
    return 1 if outcome.is_error else 0


def _print_outcome(outcome: ToolOutcome) -> None:
    """What the model would read, and beside it what else came."""
    if outcome.text or not outcome.images:
        say(outcome.text)
    for number, image in enumerate(outcome.images, 1):
        print_note(f"Picture {number}: {len(image):,} bytes.")
    if outcome.sources:
        print_note(f"Sources: {'; '.join(outcome.sources)}")


def _row(tool: OfferedTool, shed: Toolshed) -> tuple[str, str, str, str]:
    when = ToolInfo.of(tool, shed).when
    harmless = when == "unasked" and tool.is_harmless
    first_sentence = re.split(r"(?<=\.)\s|\n", tool.spec.description, maxsplit=1)[0]
    return tool.name, origin_text(tool), "harmless, unasked" if harmless else when, first_sentence


def _object(text: str) -> dict[str, Any]:
    example = 'nemochat tools test calculator \'{"expression": "12 * 7"}\''
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The arguments are not JSON: {sanitize(str(error), strict=True)}.", example) from None
    if not isinstance(value, dict):
        raise UsageError("The arguments are not a JSON object.", example)
    return value


def _search(setup: Setup, status: StatusLine) -> search_tool.Search:
    """Searches all named collections."""

    async def search(query: str) -> Sequence[search_tool.Passage]:
        budget = setup.settings.tools.document_tokens
        async with open_embedder(setup) as embedder, open_shelf(setup.paths.documents, (), (), budget, status, embedder) as shelf:
            return await shelf.search(query)

    return search


def _no_picture(_: int) -> None:
    """There is no conversation that a picture could be in."""


async def _approve(_: ToolRequest) -> Approval:
    return Approval.ONCE
