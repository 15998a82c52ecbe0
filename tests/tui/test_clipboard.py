"""Copying says what happened, and never more than that."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from nemochat.tui import clipboard


def install(folder: Path, name: str, *, fails: bool = False, hangs: bool = False) -> Path:
    """A program that writes its arguments and input into a file, and the file."""
    written = folder / f"{name}.out"
    ending = "import time; time.sleep(60)" if hangs else f"raise SystemExit({int(fails)})"
    program = folder / name
    writing = f"open({str(written)!r}, 'w').write(' '.join(sys.argv[1:]) + '|' + sys.stdin.read())"
    code = shlex.quote(f"import sys\n{writing}\n{ending}\n")
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {code} "$@"\n')  # of any length, which `#!` takes not
    program.chmod(0o755)
    return written


def test_empty_text_is_never_copied(tmp_path: Path) -> None:
    sent: list[str] = []
    assert clipboard.copy(sent.append, "", environment={"PATH": str(tmp_path)}) == "There is nothing to copy."
    assert sent == []


def test_without_any_program_it_is_only_sent(tmp_path: Path) -> None:
    sent: list[str] = []
    assert clipboard.copy(sent.append, "hello", environment={"PATH": str(tmp_path)}) == "Sent 5 characters to the terminal's clipboard."
    assert sent == ["hello"]


@pytest.mark.parametrize(
    ("program", "needed"),
    [("pbcopy", {}), ("wl-copy", {"WAYLAND_DISPLAY": "w"}), ("xclip", {"DISPLAY": ":0"}), ("xsel", {"DISPLAY": ":0"})],
)
def test_a_desktop_program_gets_the_whole_text(tmp_path: Path, program: str, needed: dict[str, str]) -> None:
    written = install(tmp_path, program)
    text = "$(touch x) `y` ü\n" * 2
    assert clipboard.copy(lambda _: None, text, environment={"PATH": str(tmp_path), **needed}) == f"Copied {len(text)} characters."
    assert written.read_text().partition("|")[2] == text


def test_programs_of_another_desktop_or_machine_are_not_asked(tmp_path: Path) -> None:
    written = [install(tmp_path, name) for name in ("pbcopy", "wl-copy", "xclip", "xsel")]
    answer = clipboard.copy(lambda _: None, "x", environment={"PATH": str(tmp_path), "SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"})
    assert answer == "Sent 1 character to the terminal's clipboard."
    assert not any(file.exists() for file in written)


def test_a_program_that_fails_or_hangs_has_copied_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipboard, "SECONDS", 0.3)
    install(tmp_path, "xclip", fails=True)
    install(tmp_path, "xsel", hangs=True)
    assert clipboard.copy(lambda _: None, "hello", environment={"PATH": str(tmp_path), "DISPLAY": ":0"}).startswith("Sent 5")


def test_in_tmux_its_buffer_is_filled_too(tmp_path: Path) -> None:
    written = install(tmp_path, "tmux")
    answer = clipboard.copy(lambda _: None, "hello", environment={"PATH": str(tmp_path), "TMUX": "/tmp/tmux-0/default,1,0"})
    assert answer == "Copied 5 characters to tmux, and sent to the terminal's clipboard."
    assert written.read_text() == "load-buffer -w -|hello"
