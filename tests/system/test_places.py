"""Paths that another system has written, on this one and as Windows would read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemochat.chat.drops import find_drops
from nemochat.chat.locations import FileKind
from nemochat.system import places

WINDOWS = {"UserProfile": r"C:\Users\me", "TEMP": r"D:\t" + "\\", "SHARE": r"\\nas\me", "NAME": "me", "SECRET": "sk-1"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"C:\Users\me\a b.png", r"C:\Users\me\a b.png"),
        ("c:/a.png", "c:/a.png"),
        ("/C:/a.png", "C:/a.png"),
        ("/c/Users/me/a.png", "c:/Users/me/a.png"),
        ("/mnt/d/a.png", "d:/a.png"),
        ("/cygdrive/e/a.png", "e:/a.png"),
        (r"\\?\C:\a.png", r"C:\a.png"),
        (r"\\server\share\a.png", r"\\server\share\a.png"),
        (r"%USERPROFILE%\Pictures\a.png", r"C:\Users\me\Pictures\a.png"),
        (r"%userprofile%/a.png", r"C:\Users\me/a.png"),
        (r"$env:USERPROFILE\a.png", r"C:\Users\me\a.png"),
        (r"%TEMP%\a.png", r"D:\t\a.png"),
        (r"%SHARE%\a.png", r"\\nas\me\a.png"),
        (r"%NAME%\a.png", r"%NAME%\a.png"),
        (r"%NOBODY%\a.png", r"%NOBODY%\a.png"),
        ("pictures/a.png", "pictures/a.png"),
        ("console.png", "console.png"),
        (r"\\.\PhysicalDrive0", None),
        (r"\\.\pipe\x", None),
        (r"\\?\GLOBALROOT\x", None),
        ("//./COM1", None),
        ("NUL", None),
        (r"C:\x\con", None),
        ("aux.png", None),
        ("COM1.txt", None),
    ],
)
def test_windows_reads(written: str, meant: str | None) -> None:
    assert places.on_windows(written, WINDOWS) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"C:\Users\me\a b.png", "/mnt/c/Users/me/a b.png"),
        ("/C:/Users/me/a.png", "/mnt/c/Users/me/a.png"),
        (r"\\?\D:\a.png", "/mnt/d/a.png"),
        (r"\\wsl$\Ubuntu\home\me\a.png", "/home/me/a.png"),
        (r"\\wsl.localhost\Debian\a.png", "/a.png"),
        (r"%USERPROFILE%\a.png", "/mnt/c/Users/me/a.png"),
        ("/home/me/a.png", "/home/me/a.png"),
        (r"\\server\share", r"\\server\share"),
    ],
)
def test_the_wsl_reads(written: str, meant: str) -> None:
    assert places.on_posix(written, WINDOWS, "/mnt") == meant


@pytest.mark.parametrize(
    ("written", "is_share"),
    [
        (r"\\server\share\a.png", True),
        ("//server/share/a.png", True),
        (r"'\\server\share\a.png'", True),
        ("“//server/share/a.png”", True),
        ("file://server/share/a.png", True),
        ("file:////server/share/a.png", True),
        (r"\\?\UNC\server\share\a.png", True),
        (r"\\10.0.0.7\c$\a.png", True),
        (r"/\server\share", True),
        ("file:///C:/a.png", False),
        ("file://localhost/C:/a.png", False),
        (r"\\wsl.localhost\Ubuntu\a.png", False),
        (r"\\?\C:\a.png", False),
        (r"C:\a.png", False),
        ("/home/a.png", False),
        ("a//b.png", False),
    ],
)
def test_what_leads_to_another_machine(written: str, is_share: bool) -> None:
    assert places.is_share(written) is is_share


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        (r"\\evil\share\a.png", True),
        (r'"\\evil\share\a b.png"', True),
        ("file://evil/share/a.png", True),
        (r"look at \\evil\share\a.png please", False),
        (r"the log says '\\\\evil\\share\\a.png' twice", False),
        ("see file://evil/share/a.png, or //evil/share/b.png", False),
        (r"\\evil\sh", False),
    ],
)
def test_on_windows_no_sentence_makes_it_connect_to_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, asks: bool
) -> None:
    """To ask whether a share has a file sends that machine a proof of who the user is; text that was pasted may name any."""
    asked: list[str] = []
    monkeypatch.setattr(places, "IS_WINDOWS", True)
    monkeypatch.setattr("nemochat.chat.drops.file_kind", lambda path: asked.append(str(path).removeprefix(f"{tmp_path}/")))
    find_drops(text, tmp_path, tmp_path)
    assert any(map(places.is_share, asked)) is asks


def test_a_variable_of_windows_leads_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("words")
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for text in ("%USERPROFILE%/a.txt", "%USERPROFILE%\\a.txt".replace("\\", "/"), "read $env:USERPROFILE/a.txt now"):
        [file] = find_drops(text, tmp_path, tmp_path).files
        assert file.path == tmp_path / "a.txt"
        assert file.kind is FileKind.TEXT
