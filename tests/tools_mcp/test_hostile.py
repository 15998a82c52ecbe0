"""Servers that misbehave: each test says what must come of it, and that the program stays in charge."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path

import pytest

from nemochat.domain.messages import ToolCall
from nemochat.domain.tools import Approval, ToolOrigin, ToolRequest
from nemochat.tools.approval import Approvals
from nemochat.tools.mcp.config import ServerConfig, add
from nemochat.tools.mcp.servers import McpServers
from nemochat.tools.mcp.values import McpDiedError, McpError
from nemochat.tools.registry import Registry
from tests.tools_mcp.conftest import Make, hostile, processes


async def test_nothing_is_started_before_it_was_allowed(make: Make) -> None:
    server = make("plain", is_trusted=False)
    with pytest.raises(McpError, match="not been allowed") as caught:
        await server.start()
    assert server.launch().line() in caught.value.hint
    assert not server.is_running
    assert processes("plain") == []
    outcome = await server.call("act", {})
    assert outcome.is_error
    server.trust(server.launch())
    assert (await server.call("act", {})).text == "done"
    other = make(hostile("plain", "--more"), is_trusted=False)
    assert not other.is_trusted, "another command of the same server is another thing to allow"


async def test_annotations_are_not_believed(make: Make) -> None:
    (tool,) = await make("plain").tools()
    assert not tool.offered.is_harmless
    assert tool.offered.origin is ToolOrigin.MCP
    assert tool.offered.source == "plain"
    assert (await tool.run({"x": "1"})).text == "done"


async def test_a_description_that_changes_after_it_was_accepted_is_named(make: Make) -> None:
    server = make("rugpull")
    (before,) = await server.tools()
    assert server.changes() == ["act"], "a new server's tools are all new"
    server.accept()
    assert server.changes() == []
    after, fresh = await server.tools()
    assert after.offered.fingerprint != before.offered.fingerprint
    assert server.changes() == ["act", "fresh"]
    server.accept([after])
    assert server.changes() == ["fresh"]
    assert fresh.offered.name == "fresh"


async def test_escapes_reach_nobody(make: Make) -> None:
    server = make("escapes")
    act, good = await server.tools()
    assert act.offered.name == "a_0_ownedct"
    assert act.offered.spec.description == "Acts[2J. hidden"
    assert good.offered.spec.parameters["properties"]["x"]["description"] == "an[31m x"
    assert len(server.problems) == 2
    assert "control characters" in server.problems[0]
    assert "two tools named" in server.problems[1]
    assert (await act.run({})).text == "a]52;c;aGk=b1mc"
    assert await server.description() == "hostile[1m 1"
    assert "\x1b" not in server.log_tail()


async def test_schemas_without_measure_are_left_out(make: Make) -> None:
    server = make("deep")
    assert [tool.offered.name for tool in await server.tools()] == ["fine"]
    assert len(server.problems) == 2


async def test_a_server_that_hangs_at_the_start_is_ended(make: Make) -> None:
    server = make("hang-at-start", start_seconds=0.5)
    with pytest.raises(McpError, match=r"not get ready within 0\.5 s"):
        await server.start()
    assert processes("hang-at-start") == []


async def test_a_server_that_hangs_in_a_call_is_ended_and_started_again(make: Make) -> None:
    server = make("hang", call_seconds=0.4)
    await server.start()
    outcome = await server.call("act", {})
    assert outcome.is_error
    assert "did not answer the tool “act” within 0.4 s" in outcome.text
    assert processes("hang") == []
    assert len(await server.tools()) == 1


async def test_a_slow_tool_of_a_living_server_does_not_end_it(make: Make) -> None:
    server = make("slow", call_seconds=0.4, ping_seconds=5)
    assert "did not answer" in (await server.call("act", {})).text
    assert server.is_running


async def test_a_result_of_a_quarter_of_a_gigabyte_is_refused_and_costs_no_memory(make: Make) -> None:
    server = make("vast")
    await server.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    outcome = await server.call("act", {})
    assert outcome.is_error
    assert "larger than 1,048,576 bytes" in outcome.text
    assert time.monotonic() - start < 20, "refused when the bound is passed, not when all of it has come"
    assert (await server.call("act", {"x": "small"})).text == "done", "the rest is thrown away, and the server goes on"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 64 * 1024 * 1024


async def test_output_without_end_and_without_lines(make: Make) -> None:
    server = make("flood", call_seconds=1, ping_seconds=0.2)
    assert "larger than" in (await server.call("act", {})).text
    assert "did not answer" in (await server.call("act", {})).text
    assert processes("flood") == []


async def test_death_in_the_middle_of_a_call_says_how(make: Make) -> None:
    server = make("die")
    outcome = await server.call("act", {})
    assert outcome.is_error
    assert "was ended by SIGKILL in the middle of the tool “act”" in outcome.text
    assert "going down" in server.log_tail()


async def test_after_one_death_it_is_started_again(make: Make, tmp_path: Path) -> None:
    server = make(hostile("die-once", str(tmp_path / "died")))
    assert "ended with code 3" in (await server.call("act", {})).text
    assert (await server.call("act", {})).text == "alive"
    assert server.why_down == ""


async def test_after_two_deaths_in_a_row_it_stays_down_and_says_why(make: Make) -> None:
    server = make("die-always")
    await server.call("act", {})
    await server.call("act", {})
    assert "failed 2 times in a row" in server.why_down
    assert "SIGKILL" in server.why_down
    outcome = await server.call("act", {})
    assert server.why_down in outcome.text
    assert processes("die-always") == []
    await server.restart()
    assert server.is_running


async def test_death_at_the_start(make: Make) -> None:
    server = make("dies-at-start")
    with pytest.raises(McpDiedError, match="ended with code 4 before it was ready"):
        await server.start()
    assert "cannot [1mfind my database" in server.log_tail()
    with pytest.raises(McpError):
        await server.start()
    with pytest.raises(McpError, match="2 times in a row"):
        await server.start()


async def test_junk_between_messages_is_tolerated_and_kept_in_the_log(make: Make) -> None:
    server = make("junk")
    assert (await server.call("act", {})).text == "done"
    assert "Welcome to my [31mserver!" in server.log_tail()


async def test_nothing_but_junk_is_told_in_a_sentence(make: Make) -> None:
    with pytest.raises(McpError) as caught:
        await make("only-junk", start_seconds=0.5).start()
    assert caught.value.hint == "It prints text where only messages belong: “Usage: server [options][2J”."


async def test_a_protocol_of_another_age(make: Make) -> None:
    with pytest.raises(McpError, match="does not speak the protocol"):
        await make("old").start()


async def test_answers_to_other_questions_are_ignored(make: Make) -> None:
    server = make("wrong-ids", call_seconds=3)
    assert (await server.call("act", {})).text == "right"
    assert "answer to no question" in server.log_tail()
    assert "did not answer" in (await make("only-wrong-ids", call_seconds=0.4).call("act", {})).text


@pytest.mark.parametrize(
    ("mode", "words"), [("nonsense", "with nonsense"), ("invalid", "not a valid message"), ("error", "with an error: no [1mway")]
)
async def test_answers_that_are_none(make: Make, mode: str, words: str) -> None:
    outcome = await make(mode).call("act", {})
    assert outcome.is_error
    assert words in outcome.text
    assert "\n" not in outcome.text


async def test_a_server_cannot_use_the_model(make: Make) -> None:
    assert (await make("asks").call("act", {})).text == "refused"


async def test_pictures_resources_and_what_is_left_out(make: Make) -> None:
    server = make("mixed", image_bytes=1000, images=2)
    outcome = await server.call("act", {})
    assert not outcome.is_error
    assert [image[:4] for image in outcome.images] == [b"\x89PNG", b"\x89PNG"]
    assert outcome.sources == ("mem://note", "mem://bin", "mem://pic")
    assert outcome.text.splitlines() == [
        "first",
        "[A picture was left out: it is not a PNG, JPEG, WebP or GIF file.]",
        "[A picture was left out: it is not valid base64.]",
        "[A picture was left out: it is larger than 1,000 bytes.]",
        "[A recording (audio/wav) was left out.]",
        "mem://note:",
        "noted",
        "[The file mem://bin (application/x) was left out.]",
        "link: https://example.com/",
        "[A picture was left out: only 2 are taken.]",
    ]
    assert (await server.call("act", {"x": "fail"})).is_error


async def test_long_texts_are_cut_with_a_word_about_it(make: Make) -> None:
    text = (await make("long", text_characters=100).call("act", {})).text
    assert text == "y" * 100 + "\n[Cut here: the whole text has 5,000 characters.]"


async def test_a_list_without_end(make: Make) -> None:
    assert len(await make("endless", entries=20).tools()) == 20


async def test_a_server_sees_no_secrets_but_its_own(make: Make) -> None:
    config = hostile("environment")
    config = ServerConfig(config.name, config.command, config.args, {"MY_TOKEN": "${GIVEN_TOKEN}", "PLAIN": "1"})
    own = {"PATH": os.environ["PATH"], "GIVEN_TOKEN": "t0", "AWS_SECRET": "t1", "api_key": "t2", "URL": "postgres://u:t3@h/", "LANG": "C"}
    text = (await make(config, environment=own).call("act", {})).text
    assert '"MY_TOKEN": "t0"' in text
    assert '"LANG": "C"' in text
    assert not any(secret in text.replace('"MY_TOKEN": "t0"', "") for secret in ("t0", "t1", "t2", "t3"))


async def test_a_server_that_will_not_go_is_ended(make: Make) -> None:
    server = make("stubborn")
    await server.start()
    await server.close()
    assert processes("stubborn") == []


async def test_a_cancelled_call_leaves_the_server_usable_and_a_cancelled_start_leaves_nothing(make: Make) -> None:
    server = make("slow")
    await server.start()
    task = asyncio.create_task(server.call("act", {}))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await server.tools()) == 1
    stuck = make("hang-at-start")
    start = asyncio.create_task(stuck.start())
    while not processes("hang-at-start"):
        await asyncio.sleep(0.01)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert processes("hang-at-start") == []


async def test_calls_may_overlap_and_share_one_start(make: Make) -> None:
    server = make("plain")
    outcomes = await asyncio.gather(*(server.call("act", {}) for _ in range(8)))
    assert [outcome.text for outcome in outcomes] == ["done"] * 8
    assert len(processes("plain")) == 1


async def test_a_server_that_asks_without_end_piles_nothing_up(make: Make) -> None:
    server = make("asks-endlessly")
    await server.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (await server.call("act", {})).text == "asked"
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 32 * 1024 * 1024


async def test_ids_that_come_back_as_texts_are_understood(make: Make) -> None:
    assert (await make("text-ids").call("act", {})).text == "right"


@pytest.mark.parametrize("value", ["\ud800", float("nan")])
async def test_what_cannot_be_sent_is_told_and_harms_nothing(make: Make, value: object) -> None:
    server = make("plain")
    assert "cannot be sent" in (await server.call("act", {"x": value})).text
    assert (await server.call("act", {"x": "y"})).text == "done"


async def test_a_command_that_is_not_there(make: Make) -> None:
    with pytest.raises(McpError, match="“no-such-command” of the server “x” is not installed"):
        await make(ServerConfig("x", "no-such-command")).start()
    with pytest.raises(McpError, match="cannot be started: No such file"):
        await make(ServerConfig("y", "/no/such/command")).start()
    with pytest.raises(McpError, match="MISSING_KEY is not set"):
        await make(ServerConfig("z", "true", env={"A": "${MISSING_KEY}"}), environment={}).start()
    with pytest.raises(McpError, match="cannot be reached"):
        await make(ServerConfig("w", url="http://127.0.0.1:9/", headers={"X": "\u2028"})).start()


async def test_a_tool_with_an_odd_schema_hides_only_itself_and_the_reason_is_said(make: Make) -> None:
    """The SDK refuses the whole list over one of these."""
    server = make(hostile("odd"))
    assert [tool.offered.name for tool in await server.tools()] == ["either", "out", "anything", "fine"]
    assert [sentence.partition("”")[0] for sentence in server.problems] == [
        "The tool “bare", "The tool “word", "The tool “5", "The tool “untold",
    ]  # fmt: skip
    assert "does not say what arguments it takes" in server.problems[0]
    assert (await server.tools())[0].offered.spec.parameters["anyOf"]


async def test_only_the_server_that_is_asked_for_is_started(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    for mode in ("plain", "late", "dies-at-start"):
        add(path, hostile(mode))
    servers = McpServers(path, tmp_path / "pins.json", tmp_path / "logs")
    try:
        await servers.reload()
        for server in servers.servers:
            server.trust(server.launch())
        assert servers.likely(["act"]) is None, "nobody knows yet whose it is"
        assert servers.likely(["plain/act"]) == frozenset({"plain"})
        assert [tool.offered.name for tool in await servers.tools(only={"plain"})] == ["act"]
        assert [server.name for server in servers.servers if server.is_running] == ["plain"]
        assert servers.problems == {}
        servers.server("plain").accept()
        assert servers.likely(["act"]) == frozenset({"plain"})
        registry = Registry()
        await servers.tools(only={"dies-at-start"})
        registry.problems = dict(servers.problems)
        outcome = await registry.call(ToolCall("gone", {}), refuse, Approvals())
        assert "ended with code 4" in outcome.text, "the model and the user are told why a tool is not there"
    finally:
        await servers.close()


async def refuse(_: ToolRequest) -> Approval:
    return Approval.REFUSED
