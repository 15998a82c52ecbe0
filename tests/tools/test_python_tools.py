"""The user's own tools: read without being run, run apart, and held within limits that are tried here for real."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from nemochat.domain.messages import ToolCall
from nemochat.domain.tools import Approval, ToolOrigin, ToolOutcome, ToolRequest
from nemochat.tools.approval import Approvals
from nemochat.tools.making import Limits
from nemochat.tools.python_tools import ToolsFolder, read_tools
from nemochat.tools.registry import Registry
from tests.idle import until

LIMITS = Limits(seconds=10, memory_mb=256)
SHORT = Limits(seconds=0.6, memory_mb=256)


def read(folder: Path, source: str = "", limits: Limits = LIMITS, environment: dict[str, str] | None = None) -> ToolsFolder:
    if source:
        (folder / "own.py").write_text(source, encoding="utf-8")
    return read_tools(folder, limits, os.environ if environment is None else environment)


async def approve(request: ToolRequest) -> Approval:
    return Approval.ONCE


async def call(found: ToolsFolder, name: str, **arguments: Any) -> ToolOutcome:
    return await Registry(found.tools).call(ToolCall(name, arguments), approve, Approvals())


TYPED = '''
"""My tools."""
from __future__ import annotations
import typing
from typing import Literal, Optional

def plan(place: str, days: int, budget: float = 99.5, kind: Literal["sea", "city"] = "sea", tags: list[str] = [],
         note: Optional[str] = None, *, quick: "bool | None" = None, extra: typing.Dict[str, int] = {}, far=typing.cast(int, 3)) -> str:
    """Plan a holiday.

    place: where to go
    days (int): for how long
    """
'''


def test_annotations_become_a_schema(tmp_path: Path) -> None:
    found = read(tmp_path, TYPED.replace(", far=typing.cast(int, 3)", ", far: int = len('abc')"))
    assert found.notices == ()
    (tool,) = found.tools
    assert (tool.offered.name, tool.offered.spec.description) == ("plan", "Plan a holiday.")
    assert (tool.offered.origin, tool.offered.source, tool.offered.is_harmless) == (ToolOrigin.PYTHON, "own.py", False)
    assert tool.offered.spec.parameters == {
        "type": "object",
        "properties": {
            "place": {"type": "string", "description": "where to go"},
            "days": {"type": "integer", "description": "for how long"},
            "budget": {"type": "number", "default": 99.5},
            "kind": {"enum": ["sea", "city"], "default": "sea"},
            "tags": {"type": "array", "items": {"type": "string"}, "default": []},
            "note": {"type": ["string", "null"]},
            "quick": {"type": ["boolean", "null"]},
            "extra": {"type": "object", "additionalProperties": {"type": "integer"}, "default": {}},
            "far": {"type": "integer"},
        },
        "required": ["place", "days"],
        "additionalProperties": False,
    }


def test_reading_runs_nothing(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    found = read(tmp_path, f'open({str(touched)!r}, "w")\ndef f(x: int = print(1)) -> int:\n    """F."""\n    return 1\n')
    assert [tool.offered.name for tool in found.tools] == ["f"]
    assert not touched.exists()


def test_a_broken_file_names_itself_and_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text('def f() -> int:\n    """F."""\n    return 1\n', encoding="utf-8")
    (tmp_path / "syntax.py").write_text("def f(:\n", encoding="utf-8")
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "nul.py").write_bytes(b"a = '\0'\n")
    (tmp_path / "deep.py").write_text("(" * 5_000 + ")" * 5_000, encoding="utf-8")
    (tmp_path / "large.py").write_text("#" * (1 << 21), encoding="utf-8")
    (tmp_path / "nothing.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "dangling.py").symlink_to("nowhere")
    (tmp_path / "_helper.py").write_text("def f(:\n", encoding="utf-8")
    os.mkfifo(tmp_path / "fifo.py")
    (tmp_path / "types.py").write_text(
        'def no(x) -> int:\n    """No type."""\ndef odd(x: bytes) -> int:\n    """Odd."""\ndef many(*x: int) -> int:\n    """Many."""\n'
        'def _own(x) -> int:\n    """Own."""\ndef helper(x):\n    return x\ndef fine(x: int) -> int:\n    """Fine."""\n',
        encoding="utf-8",
    )
    found = read(tmp_path)
    assert [tool.offered.name for tool in found.tools] == ["f", "fine"]
    notices = "\n".join(found.notices)
    for name in ("syntax", "bytes", "nul", "deep", "large", "nothing", "folder", "dangling", "fifo"):
        assert f"{name}.py holds no tools" in notices
    for name in ("no: the parameter x has no type", "odd: the parameter x has the type bytes", "many takes * arguments"):
        assert name in notices
    assert len(found.notices) == 12
    assert read_tools(tmp_path / "nowhere", LIMITS, {}) == ToolsFolder()


ABLE = '''
import asyncio, json, os, sys

def add(a: int, b: int = 2) -> int:
    """Add."""
    print("this is not the result")
    sys.stderr.write("nor this")
    assert isinstance(a, int)
    return a + b

async def later(text: str) -> dict:
    """Later."""
    await asyncio.sleep(0)
    return {"said": text}

def where() -> str:
    """Where."""
    return json.dumps([os.getcwd(), os.listdir("."), dict(os.environ), sys.path[0], sys.flags.isolated])

def clean() -> str:
    """Escapes."""
    return "\\x1b[2Jred"

def fails(how: str) -> str:
    """Fails."""
    if how == "exit":
        sys.exit(3)
    if how == "hard":
        os._exit(4)
    if how == "crash":
        os.kill(os.getpid(), 11)
    if how == "fork" and not os.fork():
        return "child"
    if how == "fork":
        os.wait()
        return "parent"
    if how == "loop":
        x = []
        x.append(x)
        return x
    raise ValueError("no such way")

def wrong(x: int) -> int:
    """Helper beside it."""
    import _beside
    return _beside.double(x)
'''


async def test_a_call_brings_the_result_and_not_what_is_printed(tmp_path: Path) -> None:
    found = read(tmp_path, ABLE)
    assert await call(found, "add", a=3.0) == ToolOutcome("5")
    assert (await call(found, "later", text="né")).text == '{"said": "né"}'
    assert (await call(found, "clean")).text == "[2Jred"
    (tmp_path / "_beside.py").write_text("def double(x): return 2 * x\n", encoding="utf-8")
    assert (await call(found, "wrong", x=4)).text == "8"


async def test_a_call_knows_no_secret_and_starts_in_an_empty_folder(tmp_path: Path) -> None:
    secret = {"OPENAI_API_KEY": "s1", "lc_secret_token": "s2", "DATABASE_URL": "s3", "LC_SECRET": "s4", "LC_PASS": "s5", "DB_PASS": "s6"}
    environment = {"PATH": "/usr/bin", "HOME": "/home/x", "LC_ALL": "C", **secret}
    found = read(tmp_path, ABLE, environment=environment)
    folder, entries, known, first, isolated = json.loads((await call(found, "where")).text)
    assert (entries, isolated) == ([], 1)
    assert not Path(folder).exists()
    assert known["TMPDIR"] == folder
    assert {"PATH", "HOME", "LC_ALL"} <= set(known)
    assert not {"s1", "s2", "s3", "s4", "s5", "s6"} & set(known.values())
    assert str(tmp_path) != first


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("exit", "SystemExit: 3"),
        ("hard", "ended without a result (exit code 4)"),
        ("crash", "SIGSEGV"),
        ("loop", "ValueError"),
        ("x", "no such way"),
    ],
)
async def test_a_call_that_fails_says_how(tmp_path: Path, how: str, told: str) -> None:
    outcome = await call(read(tmp_path, ABLE), "fails", how=how)
    assert outcome.is_error
    assert told in outcome.text


async def test_a_fork_that_comes_back_says_nothing(tmp_path: Path) -> None:
    assert (await call(read(tmp_path, ABLE), "fails", how="fork")).text == "parent"


async def test_what_runs_is_what_was_read(tmp_path: Path) -> None:
    found = read(tmp_path, 'def f() -> str:\n    """F."""\n    return "old"\n')
    changed = read(tmp_path, 'def f() -> str:\n    """F."""\n    return "new"\n')
    assert (await call(found, "f")).text == "old"
    assert found.tools[0].offered.fingerprint != changed.tools[0].offered.fingerprint
    assert found.tools[0].offered.spec == changed.tools[0].offered.spec


HOSTILE = '''
import os, subprocess, sys, threading, time

def sleep() -> str:
    """Sleep."""
    time.sleep(60)

def spin() -> str:
    """Spin."""
    while True:
        pass

def eat() -> str:
    """Eat."""
    x = []
    while True:
        x.append(bytearray(10_000_000))

def shout() -> str:
    """Shout."""
    for _ in range(100):
        print("x" * 1_000_000)
        os.write(2, b"y" * 1000)
    return "quiet"

def huge() -> str:
    """Huge."""
    return "x" * 50_000_000

def write() -> str:
    """Write."""
    with open("big", "wb") as file:
        for _ in range(200):
            file.write(bytes(1_000_000))
    return "written"

def open_many() -> str:
    """Open."""
    return len([open("/dev/null") for _ in range(1000)])

def forks(mark: str) -> str:
    """Forks."""
    for how in range(6):
        if os.fork() == 0:
            if how % 2:
                os.setsid()
            if how > 3 and os.fork():
                os._exit(0)
            os.execvp(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", mark])
    return "forked"

def deaf(mark: str) -> str:
    """Deaf."""
    import signal
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", mark], start_new_session=True)
    time.sleep(60)

def forge() -> str:
    """Forge."""
    os.write(int(sys.argv[1]), (1 << 40).to_bytes(8, "big"))
    time.sleep(60)

def garbage() -> str:
    """Garbage."""
    os.write(int(sys.argv[1]), (4).to_bytes(8, "big") + b"[1]}")
    time.sleep(60)

def raise_limit() -> str:
    """Raise."""
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, 1 << 40))
    return "raised"
'''


def alive(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if mark in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("name", "limits", "told"),
    [
        ("sleep", SHORT, "longer than 0.6 seconds"),
        ("spin", SHORT, "longer than 0.6 seconds"),
        ("eat", LIMITS, "more memory"),
        ("huge", LIMITS, "larger than 4 MiB"),
        ("write", LIMITS, "File too large"),
        ("open_many", LIMITS, "Too many open files"),
        ("forge", LIMITS, "larger than 4 MiB"),
        ("garbage", LIMITS, "cannot be read"),
    ],
)
async def test_limits_hold(tmp_path: Path, name: str, limits: Limits, told: str) -> None:
    began = time.monotonic()
    outcome = await call(read(tmp_path, HOSTILE, limits), name)
    assert outcome.is_error
    assert told in outcome.text
    assert time.monotonic() - began < 60


async def test_the_processor_is_limited_when_the_clock_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nemochat.tools.python_process.math.ceil", lambda seconds: 0)
    outcome = await call(read(tmp_path, HOSTILE), "spin")
    assert "of the processor" in outcome.text or "SIGKILL" in outcome.text


async def test_a_hundred_megabytes_of_output_go_nowhere(tmp_path: Path) -> None:
    assert (await call(read(tmp_path, HOSTILE), "shout")).text == "quiet"


async def test_a_limit_cannot_be_raised_again(tmp_path: Path) -> None:
    outcome = await call(read(tmp_path, HOSTILE), "raise_limit")
    # Root may raise anything; everybody else may not.
    assert outcome.is_error or os.geteuid() == 0


async def test_what_a_tool_started_ends_with_it(tmp_path: Path) -> None:
    mark = f"mark-{os.getpid()}-{tmp_path.name}"
    assert (await call(read(tmp_path, HOSTILE), "forks", mark=mark)).text == "forked"
    await until(lambda: not alive(mark))  # who is killed needs a moment to go
    outcome = await call(read(tmp_path, HOSTILE, SHORT), "deaf", mark=mark)
    assert outcome.is_error
    await until(lambda: not alive(mark))  # who is killed needs a moment to go


async def test_a_cancelled_call_leaves_no_process(tmp_path: Path) -> None:
    mark = f"mark-{os.getpid()}-{tmp_path.name}"
    task = asyncio.ensure_future(call(read(tmp_path, HOSTILE), "deaf", mark=mark))
    for _ in range(2000):
        await asyncio.sleep(0.02)
        if alive(mark):
            break
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not alive(mark))  # who is killed needs a moment to go


async def test_calls_at_once_do_not_mix(tmp_path: Path) -> None:
    found = read(tmp_path, ABLE)
    outcomes = await asyncio.gather(*(call(found, "add", a=number) for number in range(6)))
    assert [outcome.text for outcome in outcomes] == [str(number + 2) for number in range(6)]


async def test_arguments_are_checked_before_anything_starts(tmp_path: Path) -> None:
    found = read(tmp_path, ABLE)
    for arguments in ({"a": "x"}, {}, {"a": 1, "c": 2}, {"a": 1.5}):
        assert "do not fit" in (await call(found, "add", **arguments)).text
