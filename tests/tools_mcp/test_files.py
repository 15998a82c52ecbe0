"""The files and pieces around servers: the configuration, what was accepted, the log, and lines cut out of a pipe."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.tools.mcp.config import ServerConfig, add, check_entry, read_config, remove
from nemochat.tools.mcp.launch import child_environment, expand, resolve
from nemochat.tools.mcp.pins import Pins
from nemochat.tools.mcp.transport import BoundedLog, LineCutter, TooLong
from nemochat.tools.mcp.values import McpError

STDIO = ServerConfig("files", "npx", ("-y", "server files", "/tmp"), {"API_KEY": "s3cret", "MODE": "a b"}, "/srv/my files")
WEB = ServerConfig("web", url="https://example.com/mcp", headers={"Authorization": "Bearer ${TOKEN}", "Cookie": "id=1"}, is_on=False)


def test_servers_are_read_as_they_were_added_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "made" / "mcp.json"
    assert read_config(path).servers == ()
    add(path, STDIO)
    add(path, WEB)
    assert read_config(path).servers == (STDIO, WEB)
    assert path.stat().st_mode & 0o777 == 0o600
    remove(path, "files")
    assert read_config(path).servers == (WEB,)
    with pytest.raises(McpError, match="no server named"):
        remove(path, "files")
    with pytest.raises(McpError, match="already"):
        add(path, WEB)


def test_what_other_clients_keep_in_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{"theme": "dark", "mcpServers": {"a": {"command": "x", "env": {"A": "1"}, "autoApprove": ["t"]}, "odd": 7}}')
    add(path, WEB)
    add(path, ServerConfig("a", "y"), replace=True)
    whole = json.loads(path.read_text())
    assert whole["theme"] == "dark"
    assert whole["mcpServers"]["a"] == {"command": "y", "autoApprove": ["t"]}
    assert whole["mcpServers"]["odd"] == 7
    assert list(read_config(path).problems) == ["odd"]


@pytest.mark.parametrize("text", ["{", "[]", '{"mcpServers": []}', "\ufeff{", "[" * 100_000])
def test_a_broken_file_is_told_and_never_overwritten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mcp.json"
    path.write_text(text)
    for act in (lambda: read_config(path), lambda: add(path, WEB), lambda: remove(path, "web")):
        with pytest.raises(McpError) as caught:
            act()
        assert "\n" not in caught.value.message
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("name", "entry", "words"),
    [
        ("a\x1b[1m", {"command": "x"}, "has a name"),
        ("a", 5, "not described by an object"),
        ("a", {}, "either a command or a url."),
        ("a", {"command": "x", "url": "http://y/"}, "not both"),
        ("a", {"url": "file:///etc/passwd"}, "http:// or https://"),
        ("a", {"url": "http://y/", "type": "sse"}, "“sse”"),
        ("a", {"command": "x", "args": "-y"}, "not a list of texts"),
        ("a", {"command": "x", "args": ["\0"]}, "not a list of texts"),
        ("a", {"command": "x", "env": {"A": 1}}, "object of texts"),
        ("a", {"command": "x", "env": {"A=B": "1"}}, "cannot be one"),
        ("a", {"command": ["x"]}, "that is not a text"),
        ("a", {"command": "x", "disabled": "no"}, "neither true nor false"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_told_in_one_sentence(name: str, entry: object, words: str) -> None:
    with pytest.raises(McpError) as caught:
        check_entry(name, entry)
    assert words in caught.value.message
    assert "\x1b" not in caught.value.message


def test_the_command_line_is_exact_and_hides_written_out_secrets() -> None:
    line = "cd '/srv/my files' && API_KEY=••• MODE='a b' npx -y 'server files' /tmp  (npx is not installed)"
    assert resolve(STDIO, "").line() == line
    assert resolve(WEB, "").line() == "connect to https://example.com/mcp with Authorization: Bearer ${TOKEN}; Cookie: •••"
    hostile = ServerConfig("a", "/bin/cat", ("-c", "true\n\x1b[2Jrm \u202ex"))
    assert r"/bin/cat -c 'true\n\x1b[2Jrm \u202ex'" in resolve(hostile, "").line()
    shown = ServerConfig("a", "x", env={"NODE_OPTIONS": "--require /evil", "GIT_ASKPASS": "/evil", "DB": "x://u:p@h", "DB_PASS": "p"})
    assert resolve(shown, "").line().startswith("cd / && NODE_OPTIONS='--require /evil' GIT_ASKPASS=/evil DB=••• DB_PASS=••• x")


def test_only_what_is_named_is_filled_in() -> None:
    own = {"HOME": "/h", "X": "1"}
    assert expand({"A": "${X}/${Y:-2}/$X/${}", "B": "plain"}, own) == {"A": "1/2/$X/${}", "B": "plain"}
    with pytest.raises(McpError, match="The variable Y is not set"):
        expand({"A": "${Y}"}, own)
    assert child_environment({"A_KEY": "1", "DB_PASS": "2", "OK": "http://h", "LANG": "C"}, {"A_KEY": "3"}) == {"A_KEY": "3", "LANG": "C"}


def test_trust_is_for_one_exact_command(tmp_path: Path) -> None:
    pins = Pins(tmp_path / "pins.json")
    launch = pins.launch(STDIO, {})
    assert not pins.is_trusted(launch)
    pins.trust(STDIO, launch)
    pins.accept("files", {"read": "f1", "write": "f2"})
    assert Pins(tmp_path / "pins.json").is_trusted(launch)
    assert "s3cret" not in (tmp_path / "pins.json").read_text()
    for changed in (
        ServerConfig("files", "npx", (*STDIO.args, "/"), STDIO.env, STDIO.cwd),
        ServerConfig("files", "npx", STDIO.args, {**STDIO.env, "NODE_OPTIONS": "--require evil"}, STDIO.cwd),
        ServerConfig("files", "npx", STDIO.args, STDIO.env, "/elsewhere"),
        ServerConfig("other", STDIO.command, STDIO.args, STDIO.env, STDIO.cwd),
    ):
        assert not pins.is_trusted(pins.launch(changed, {}))
        assert pins.has_changed(pins.launch(changed, {})) == (changed.name == "files")
    assert pins.changes("files", {"read": "f1", "write": "f3", "new": "f4"}) == ["write", "new"]
    pins.trust(STDIO, launch)
    assert pins.changes("files", {"read": "f1"}) == [], "trusting the same again forgets nothing"
    moved = msgspec.structs.replace(launch, program="/elsewhere/npx")
    assert not pins.is_trusted(moved)
    pins.trust(STDIO, moved)
    assert pins.changes("files", {"read": "f1"}) == [], "a program that moved is asked about; its tools are still known"
    other = ServerConfig("files", "other")
    pins.trust(other, pins.launch(other, {}))
    assert pins.changes("files", {"read": "f1"}) == ["read"]
    pins.forget("files")
    assert not pins.is_trusted(pins.launch(other, {}))


@pytest.mark.parametrize("text", ["", "{", '{"files": 3}', "\xff"])
def test_pins_that_cannot_be_understood_allow_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pins.json"
    path.write_bytes(text.encode("latin-1"))
    assert not Pins(path).is_trusted(Pins(path).launch(STDIO, {}))
    assert Pins(path).changes("files", {"a": "1"}) == ["a"]


def test_the_log_is_bounded_private_and_without_escapes(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "logs" / "a.log", 1000)
    assert log.tail() == ""
    for number in range(500):
        log.write(f"line {number}\x1b[31m\n".encode())
    log.write("é".encode()[:1])
    log.write("é".encode()[1:] + b"\n")
    path = tmp_path / "logs" / "a.log"
    assert path.stat().st_size <= 1000
    assert path.stat().st_mode & 0o777 == 0o600
    assert log.tail(2) == "line 499[31m\né"
    log.write(b"x" * 100_000)
    assert path.stat().st_size <= 1000
    nowhere = BoundedLog(path / "below", 1000)
    nowhere.write(b"lost")
    assert nowhere.problem


@given(st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"")), max_size=8), st.lists(st.integers(1, 9), min_size=1))
def test_any_cutting_brings_the_same_lines(lines: list[bytes], sizes: list[int]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    expected = [line if len(line) <= 8 else None for line in lines]
    assert _cut(data, [len(data) or 1]) == expected
    assert _cut(data, sizes) == expected


def _cut(data: bytes, sizes: list[int]) -> list[bytes | None]:
    """The lines, None for one that is too long."""
    cutter, found, at, turn = LineCutter(8), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        found += list(cutter.feed(data[at : at + size]))
        at, turn = at + size, turn + 1
    return [None if isinstance(line, TooLong) else line for line in found]
