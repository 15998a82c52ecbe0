"""Every command, fed with texts that attack a terminal or its reader: none of them is printed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from nemochat.cli import main
from nemochat.paths import find_paths
from tests.cli.conftest import command
from tests.hostile import ALL, NAME, PAYLOADS, is_clean, leaks, plant
from tests.terminal.tty import Terminal
from tests.tiny_gguf import write_language_model

COMMANDS = {
    "usage": [[f"--no{ALL}"], [f"no{ALL}"], ["ask", f"--no{ALL}"], ["ask", "--seed", ALL], ["docs", ALL], ["library", "purge", "--days",
    ALL]],
    "library": [
        ["search", "heron"], ["search", "heron", "--json"], ["search", ALL], ["search", "heron", "--persona", ALL, "--model", ALL],
        ["library", "list"],
        ["library", "list", "--json"], ["library", "check"], ["library", "export", f"out{NAME}.zip"], ["library", "import",
        f"out{NAME}.zip"],
        ["library", "import", f"place/chat{NAME}.json"], ["library", "import", f"place/none{NAME}.json"], ["library", "repair",
        f"place/doc{NAME}.md"],
        ["stats"], ["stats", "--json"], ["stats", ALL], ["stats", "--model", ALL],
    ],
    "personas": [
        ["personas", "list"], ["personas", "list", "--json"], ["personas", "show", "evil"], ["personas", "show", "evil", "--prompt"],
        ["personas", "show", ALL], ["personas", "import", f"place/card{NAME}.json", f"place/none{NAME}.json"],
        ["personas", "export", "evil", f"out{NAME}.toml"], ["personas", "export", "evil", f"none{NAME}/x.toml"],
    ],
    "lore": [
        ["lore", "list"], ["lore", "list", "--json"], ["lore", "show", "evil"], ["lore", "show", ALL], ["lore", "try", "evil", "heron"],
        ["lore", "try", "evil", "heron", "--json"], ["lore", "add", f"place/lore{NAME}.json", f"place/none{NAME}.json"],
        ["lore", "export", "evil", f"out{NAME}.json"], ["lore", "export", "evil", f"none{NAME}/x.json", "--world-info"],
        ["lore", "remove", ALL], ["lore", "remove", "evil"],
    ],
    "tools": [
        ["tools", "list"], ["tools", "list", "--json"], ["tools", "show", "hostile"], ["tools", "show", "hostile", "--json"], ["tools",
        "show", ALL],
        ["tools", "test", "hostile", "--yes"], ["tools", "test", "hostile", "--yes", json.dumps({ALL: ALL})], ["tools", "test", "hostile",
        ALL],
        ["tools", "test", "calculator", json.dumps({"expression": ALL})], ["tools", "test", "current_time", json.dumps({"timezone": ALL})],
    ],
    "mcp": [
        ["mcp", "list"], ["mcp", "list", "--json"], ["mcp", "add", ALL, "--", "x"], ["mcp", "add", "new", "--env", f"A={ALL}", "--", ALL,
        ALL],
        ["mcp", "add", "far", "--url", f"http://{ALL}"], ["mcp", "add", "y", "--env", ALL, "--", "x"], ["mcp", "check", "small"],
        ["mcp", "check", "small", "--trust"], ["mcp", "log", "small"], ["mcp", "log", ALL], ["mcp", "remove", ALL],
    ],
    "docs": [
        ["docs", "add", f"place/doc{NAME}.md", "--to", ALL], ["docs", "add", f"place/none{NAME}.md"], ["docs", "add", "place"], ["docs",
        "list"],
        ["docs", "list", "--json"], ["docs", "search", "heron"], ["docs", "search", "heron", "--json"], ["docs", "search", ALL],
        ["docs", "search", "x", "--collection", ALL], ["docs", "refresh"], ["docs", "remove", f"place/none{NAME}.md"],
    ],
    "models": [
        ["models", "list"], ["models", "add", f"place/none{NAME}.gguf"], ["models", "add", f"place/m{NAME}.gguf"],
        ["models", "add", f"place/m{NAME}.gguf", "--name", ALL], ["models", "show", f"place/m{NAME}.gguf"],
        ["models", "show", f"place/m{NAME}.gguf", "--json"], ["models", "use", ALL], ["models", "list"], ["models", "list", "--json"],
        ["paths"], ["render", f"place/chat{NAME}.json", "--json", "--model", "script"], ["render", f"place/none{NAME}.json"], ["tune",
        f"place/none{NAME}.gguf"],
    ],
    "ask": [
        ["ask", "x", "--model", ALL], ["ask", "x", "--model", "script", "--image", f"place/none{NAME}.png"],
        ["ask", "x", "--model", "script", "--tool", ALL], ["ask", "x", "--model", "script", "--collection", ALL],
        ["ask", ALL, "--model", "script", "--doc", f"place/doc{NAME}.md", "--yes-tool", "hostile", "--stats"],
        ["ask", ALL, "--model", "script", "--yes-tool", "hostile", "--json"],
    ],
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "place"
    plant(find_paths(os.environ), place)
    write_language_model(place / f"m{NAME}.gguf", name=ALL)
    text = ALL.replace(PAYLOADS["tokens"], "")
    call = {"name": "hostile", "arguments": {"text": text}}
    replies = [{"text": f"{text} <toolcall> {json.dumps(call)} </toolcall>"}, {"text": f"{ALL} end"}]
    (tmp_path / "model.script.json").write_text(json.dumps({"replies": replies}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("group", COMMANDS)
def test_no_command_prints_what_it_was_given(
    group: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = 0
    for arguments in COMMANDS[group]:
        given = [str(home / "model.script.json") if argument == "script" else argument for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["nemochat", *given])
        with contextlib.suppress(SystemExit):
            main()
        said = capsys.readouterr()
        assert said.out or said.err, arguments
        assert "this is a bug" not in said.err.lower(), (arguments, said.err)
        told += "PAYLOAD" in said.out + said.err
        for text in (said.out, said.err):
            assert is_clean(text), (arguments, [char for char in text if not is_clean(char)], text)
    assert told >= len(COMMANDS[group]) // 3  # else the payloads did not get there


def test_a_terminal_gets_none_of_it_either(home: Path) -> None:
    model = str(home / "model.script.json")
    lines = [
        ["render", f"place/chat{NAME}.json"],
        ["search", "heron"],
        ["docs", "add", "place"],
        ["personas", "show", "evil"],
        ["tune", f"place/none{NAME}.gguf"],
        ["ask", "x", "--model", model, "--tool", "hostile"],
    ]
    script = "; ".join(shlex.join(command(*line)) for line in lines)
    with Terminal(["sh", "-c", script], {}, home) as terminal:
        terminal.wait_for("[y/N]")
        terminal.send("y\r")
        terminal.wait_for_end()
    assert leaks(terminal.written) == []
    # Bold, dim and cleared lines are all that the commands themselves write.
    assert set(re.findall(rb"\x1b[^a-zA-Z]*.", terminal.written)) <= {b"\x1b[0m", b"\x1b[1m", b"\x1b[2m", b"\x1b[K"}
    assert terminal.written.count(b"PAYLOAD") > 20
