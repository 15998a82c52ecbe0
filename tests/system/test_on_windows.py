"""Windows' ways, with its system calls faked: written for Windows, and not yet run there."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.idle import until
from tests.system.windows import Jobs, WindowsError_, load, module, pretend


class Resumed:
    """psutil's processes: who was woken, and who was killed."""

    def __init__(self) -> None:
        self.log: list[tuple[str, int]] = []

    def __call__(self, pid: int = 0) -> SimpleNamespace:
        return SimpleNamespace(
            resume=lambda: self.log.append(("resume", pid)),
            kill=lambda: self.log.append(("kill", pid)),
            nice=lambda value: self.log.append(("nice", value)),
        )


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    fake = Jobs()
    pretend(monkeypatch, fake.job, fake.api, fake.con)
    return fake


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> Resumed:
    fake = Resumed()
    monkeypatch.setattr(psutil, "Process", fake)
    return fake


class Child:
    """A process, as far as trees know it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid


# -- trees


def test_a_process_begins_only_when_it_is_in_its_job_and_its_whole_tree_ends_with_the_job(jobs: Jobs, resumed: Resumed) -> None:
    """What it starts in its first moments would be left behind else."""
    trees = load("trees")
    assert trees.leading()["creationflags"] & 0x4, "it is suspended"
    assert not trees.apart()["creationflags"] & 0x4, "a browser runs, and outlives nemochat"
    child = Child(42)
    trees.led(child)
    assert jobs.log == [("assign", 1, "process 42")]
    assert resumed.log == [("resume", 42)]
    assert jobs.limits[1]["BasicLimitInformation"]["LimitFlags"] == 0x2000
    trees.ask(child)
    trees.kill(child)
    assert jobs.log[1:] == [("terminate", 1, 1)]


def test_a_process_that_may_have_no_job_runs_all_the_same_and_can_be_killed(jobs: Jobs, resumed: Resumed) -> None:
    jobs.refuses = "Access is denied"
    trees = load("trees")
    child = Child(42)
    trees.led(child)
    trees.kill(child)
    assert resumed.log == [("resume", 42), ("kill", 42)]


def test_the_job_of_a_process_is_let_go_of_with_the_process(jobs: Jobs, resumed: Resumed) -> None:
    trees = load("trees")
    child = Child(42)
    trees.led(child)
    del child
    gc.collect()
    assert not trees._jobs


# -- limits


def test_limits_are_those_of_one_job_that_the_process_puts_itself_into(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, module("msvcrt"))
    limits = load("limits")
    limits.limit("RLIMIT_AS", 1 << 30)
    limits.limit("RLIMIT_NPROC", 0)
    limits.limit("RLIMIT_FSIZE", 1)
    limits.limit_time(5, 2)
    limits.limit_time(50, 2)
    assert jobs.log == [("assign", 1, "own")]
    [told] = jobs.limits.values()
    assert told["ProcessMemoryLimit"] == 1 << 30
    basic = told["BasicLimitInformation"]
    assert basic["ActiveProcessLimit"] == 1, "itself"
    assert basic["LimitFlags"] == 0x100 | 0x8 | 0x2
    assert basic["PerProcessUserTimeLimit"] >= 52 * 10_000_000, "the last one holds"
    assert limits.tasks_of_user() == 0


def test_a_limit_that_the_system_refuses_is_none(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, module("msvcrt"))
    jobs.refuses = "Access is denied"
    load("limits").limit("RLIMIT_AS", 1)


def test_workers_give_way_and_no_window_asks_about_their_crash(jobs: Jobs, resumed: Resumed, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    names = {"SEM_FAILCRITICALERRORS": 1, "SEM_NOGPFAULTERRORBOX": 2, "SEM_NOOPENFILEERRORBOX": 0x8000}
    pretend(monkeypatch, module("msvcrt", SetErrorMode=modes.append, **names))
    monkeypatch.setattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", 0x4000, raising=False)
    limits = load("limits")
    limits.let_others_go_first()
    limits.die_quietly()
    assert (resumed.log, modes) == ([("nice", 0x4000)], [0x8003])


# -- files


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Any:
    pretend(monkeypatch)
    return load("disk")


def _windows_error(number: int) -> OSError:
    error = PermissionError(13, "Access is denied")
    vars(error)["winerror"] = number
    return error


@pytest.mark.parametrize("number", [5, 32])
@pytest.mark.parametrize("way", ["replace", "move"])
def test_a_file_that_a_scanner_has_open_is_waited_for(
    disk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, way: str
) -> None:
    refusals = [_windows_error(number)] * 3
    really = os.replace

    def act(source: Path, target: Path) -> None:
        if refusals:
            raise refusals.pop()
        really(source, target)

    monkeypatch.setattr(os, "replace" if way == "replace" else "rename", act)
    (tmp_path / "part").write_text("new")
    getattr(disk, way)(tmp_path / "part", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "new"


def test_a_file_that_stays_open_is_waited_for_no_longer_than_a_moment(disk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def act(source: Path, target: Path) -> None:
        tries.append(1)
        raise _windows_error(32)

    monkeypatch.setattr(disk, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(os, "replace", act)
    with pytest.raises(PermissionError):
        disk.replace(tmp_path / "part", tmp_path / "file")
    assert 1 < len(tries) < 100


def test_another_error_is_told_at_once(disk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def act(source: Path, target: Path) -> None:
        tries.append(1)
        raise _windows_error(112)  # the disk is full

    monkeypatch.setattr(os, "replace", act)
    with pytest.raises(PermissionError):
        disk.replace(tmp_path / "part", tmp_path / "file")
    assert tries == [1]


def test_a_planted_link_is_not_followed_where_the_system_has_no_flag_for_it(disk: Any, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "aim")
    with pytest.raises(OSError, match="symbolic link"):
        disk.open_unlinked(tmp_path / "link", os.O_WRONLY | os.O_CREAT, 0o600)
    assert not (tmp_path / "aim").exists()
    os.close(disk.open_unlinked(tmp_path / "file", os.O_WRONLY | os.O_CREAT, 0o600))


# -- locks


class Console:
    """msvcrt's locks: one program's places of one file; `others` are taken."""

    def __init__(self) -> None:
        self.others: set[int] = set()
        self.own: set[int] = set()
        self.fails: OSError | None = None

    def locking(self, handle: int, mode: int, count: int) -> None:
        place = os.lseek(handle, 0, os.SEEK_CUR)
        assert 0 <= place < 1 << 31, "the C library's places have 31 bits"
        if self.fails is not None:
            raise self.fails
        if mode == 0:
            self.own.remove(place)
        elif place in self.others | self.own:
            raise PermissionError(13, "Permission denied")
        else:
            self.own.add(place)


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    fake = Console()
    pretend(monkeypatch, module("msvcrt", locking=fake.locking, LK_NBLCK=2, LK_UNLCK=0))
    return fake


def test_a_locked_file_stays_readable_and_one_program_has_it(console: Console, tmp_path: Path) -> None:
    locks = load("locks")
    (tmp_path / "file").write_text("words")
    with (tmp_path / "file").open("r+b") as file:
        assert locks.lock(file.fileno())
        assert min(console.own) > 1 << 30, "far behind what is read"
        assert not locks.lock(file.fileno())
        console.fails = OSError(22, "Invalid argument")
        assert locks.lock(file.fileno()), "a disk that cannot lock stops nobody"


def test_claims_are_held_on_windows_too(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They did nothing there: two windows could write one conversation."""
    from nemochat.library import claims

    locks = load("locks")
    monkeypatch.setattr(claims, "lock_place", locks.lock_place)
    monkeypatch.setattr(claims, "unlock_place", locks.unlock_place)
    mine = claims.Claims(tmp_path / "open.lock")
    assert mine.claim("a")
    assert mine.claim("a"), "it is this program's already"
    assert mine.claim("b")
    assert len(console.own) == 2
    mine.release("a")
    console.others = set(console.own)
    console.own = set()
    other = claims.Claims(tmp_path / "open.lock")
    assert not other.claim("b")
    assert other.claim("a")
    mine.close()
    other.close()


# -- the end


async def test_a_window_that_is_closed_ends_the_program_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows ends it when its handler returns, or after five seconds: drafts were lost."""
    handlers: list[Any] = []
    events = {"CTRL_CLOSE_EVENT": 2, "CTRL_LOGOFF_EVENT": 5, "CTRL_SHUTDOWN_EVENT": 6}
    pretend(
        monkeypatch,
        module("win32api", SetConsoleCtrlHandler=lambda handler, adds: handlers.append(handler)),
        module("win32con", **events),
    )
    ending = load("ending")
    waits = threading.Event()
    monkeypatch.setattr(ending.time, "sleep", lambda seconds: waits.wait(20))
    codes: list[int] = []
    ending.when_asked(codes.append)
    [handler] = handlers
    assert handler(0) is False, "Ctrl+C goes its own way"
    thread = threading.Thread(target=handler, args=(2,), daemon=True)
    thread.start()
    await until(lambda: codes)
    assert codes == [129]
    assert thread.is_alive(), "it waits while the program saves"
    waits.set()
    thread.join()


async def test_ctrl_c_is_heard_where_the_loop_hears_no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, module("win32api"), module("win32con", CTRL_CLOSE_EVENT=2, CTRL_LOGOFF_EVENT=5, CTRL_SHUTDOWN_EVENT=6))
    monkeypatch.setattr(signal, "SIGBREAK", 21, raising=False)
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    heard: list[int] = []
    load("ending").when_interrupted(lambda: heard.append(1))
    assert set(handlers) == {signal.SIGINT, 21}
    handlers[signal.SIGINT](signal.SIGINT, None)
    await until(lambda: heard)


# -- clipboard and terminal


class Board:
    """win32clipboard. busy: how often another program has it."""

    def __init__(self, busy: int) -> None:
        self.busy, self.is_open, self.text = busy, False, "before"

    def open(self) -> None:
        if self.busy:
            self.busy -= 1
            raise WindowsError_(5, "OpenClipboard", "Access is denied.")
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def clear(self) -> None:
        self.text = ""

    def put(self, text: str, kind: int) -> None:
        assert self.is_open
        assert kind == 13
        self.text = text


@pytest.mark.parametrize(
    ("busy", "environment", "took"), [(0, {}, True), (3, {}, True), (10**6, {}, False), (0, {"SSH_CONNECTION": "x"}, False)]
)
def test_a_text_goes_to_the_clipboard_of_windows(
    monkeypatch: pytest.MonkeyPatch, busy: int, environment: dict[str, str], took: bool
) -> None:
    board = Board(busy)
    pretend(
        monkeypatch,
        module(
            "win32clipboard",
            error=WindowsError_,
            OpenClipboard=board.open,
            CloseClipboard=board.close,
            EmptyClipboard=board.clear,
            SetClipboardText=board.put,
        ),
        module("win32con", CF_UNICODETEXT=13),
    )
    assert load("clipboard").put_text("né 🙂", environment, 0.2) is took
    assert board.text == ("né 🙂" if took else "before")
    assert not board.is_open


def test_the_console_is_neither_asked_nor_changed_and_what_was_typed_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []

    def screen(handle: int) -> SimpleNamespace:
        return SimpleNamespace(FlushConsoleInputBuffer=lambda: flushed.append(handle))

    pretend(
        monkeypatch,
        module("msvcrt", get_osfhandle=lambda handle: handle + 100),
        module("win32console", PyConsoleScreenBufferType=screen, error=WindowsError_),
    )
    terminal = load("terminal")
    terminal.forget_typed(7)
    assert flushed == [107]
    assert (terminal.ask(b"\x1b[c"), terminal.modes(), terminal.cell_pixels(), terminal.CAN_SUSPEND) == (b"", None, None, False)
    terminal.set_modes(None)


def test_lines_are_left_to_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    lines = load("line_editing")
    assert not lines.IS_THERE
    lines.begin(["earlier"], marks_pastes=True)
    assert lines.typed() == ""


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("", ["notepad.exe"]),
        (r"C:\Tools\vim.exe -n", [r"C:\Tools\vim.exe", "-n"]),
        (r'"C:\Program Files\Code\Code.exe" --wait', [r"C:\Program Files\Code\Code.exe", "--wait"]),
    ],
)
def test_the_editor_is_named_as_windows_names_files(monkeypatch: pytest.MonkeyPatch, named: str, words: list[str]) -> None:
    pretend(monkeypatch)
    assert load("desktop").editor_command(named) == words


async def test_every_process_that_is_started_is_let_begin(jobs: Jobs, resumed: Resumed, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that stays suspended would hang for ever, and nobody would know why."""
    processes = load("processes")
    monkeypatch.setattr(processes, "trees", load("trees"))
    monkeypatch.setenv("SYSTEMROOT", "/")
    given: list[dict[str, Any]] = []

    async def create(*words: str, **ways: Any) -> Child:
        given.append(ways)
        return Child(7)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", create)

    def popen(words: list[str], **ways: Any) -> Child:
        given.append(ways)
        return Child(8)

    monkeypatch.setattr(processes.subprocess, "Popen", popen)
    await processes.start(["/bin/x"], {}, Path("/"))
    processes.popen(["/bin/x"], {}, Path("/"))
    assert resumed.log == [("resume", 7), ("resume", 8)]
    assert all(ways["creationflags"] & 0x4 for ways in given)
