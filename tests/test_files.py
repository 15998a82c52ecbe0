"""Files appear whole or not at all, for their owner alone, never through a planted link, over another only where that is meant."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nemochat.files import (
    export_file,
    exporting,
    free_name,
    log_problem,
    make_file,
    make_folder,
    make_missing,
    narrow,
    open_log,
    open_to_append,
    set_aside,
    write_whole,
)

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o277, 0o777], ids="{:04o}".format)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def append(path: Path, text: str) -> None:
    with os.fdopen(open_to_append(path), "a") as file:
        file.write(text)


WRITERS: dict[str, Callable[[Path], None]] = {
    "write_whole": lambda path: write_whole(path, b"new"),
    "export_file": lambda path: export_file(path, b"new", replace=True),
    "append": lambda path: append(path, "new"),
    "make_file": make_file,
}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept"
    write_whole(path, b"old")

    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    with pytest.raises(OSError, match="No space left"):
        export_file(path, b"new", replace=True)
    with pytest.raises(FileExistsError):
        export_file(path, b"new")
    with pytest.raises(ZeroDivisionError), exporting(path, replace=True) as file:
        file.write(b"half" * (1 // 0))
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("kept", b"old")]


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_private_is_private_under_any_umask(writer: str, tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "above" / "folder"
    make_missing(folder)
    WRITERS[writer](folder / "secret")
    assert [mode(each) for each in (folder.parent, folder, folder / "secret")] == [0o700, 0o700, 0o600]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    if not has_links:  # as on FAT
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    export_file(tmp_path / "a", b"one")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("a", "dangling"):
        with pytest.raises(FileExistsError):
            export_file(tmp_path / name, b"two")
    assert (tmp_path / "a").read_bytes() == b"one"


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "pipe", "folder"])
def test_nothing_is_written_to_what_was_planted(writer: str, kind: str, tmp_path: Path) -> None:
    outside, path = tmp_path / "outside", tmp_path / "own" / "file"
    outside.write_text("theirs")
    path.parent.mkdir()
    plant(kind, path, outside)
    before = outside.stat().st_mode
    try:
        WRITERS[writer](path)
    except OSError:
        assert writer in ("append", "make_file", "export_file") or kind == "folder"
    assert outside.read_text() == "theirs"
    assert outside.stat().st_mode == before
    assert not (tmp_path / "nowhere").exists()
    if (writer == "write_whole" and kind != "folder") or (writer == "export_file" and kind == "hard link"):
        assert stat.S_ISREG(path.lstat().st_mode)
        assert path.read_bytes() == b"new"


def plant(kind: str, path: Path, outside: Path) -> None:
    match kind:
        case "link":
            path.symlink_to(outside)
        case "dangling link":
            path.symlink_to(outside.with_name("nowhere"))
        case "hard link":
            path.hardlink_to(outside)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
def test_where_there_can_be_no_log_its_handle_leads_nowhere_and_a_sentence_says_why(kind: str, tmp_path: Path) -> None:
    log = tmp_path / "log" / "engine.log"
    log.parent.mkdir()
    (tmp_path / "outside").write_text("theirs")
    plant(kind, log, tmp_path / "outside")
    with os.fdopen(open_log(log), "wb") as file:
        file.write(b"noise")
    assert (tmp_path / "outside").read_text() == "theirs"
    assert log_problem(log).startswith(f"Nothing is logged in {log}: it cannot be written (")
    assert log_problem(tmp_path / "fine" / "engine.log") == ""
    in_a_file = log_problem(tmp_path / "outside" / "engine.log")
    assert in_a_file.startswith(f"Nothing is logged: the folder {tmp_path / 'outside'} cannot be used (Not a directory)")


def test_a_folder_that_is_open_to_others_is_closed_and_one_that_serves_others_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, work = tmp_path / "home", tmp_path / "work" / "here"
    work.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    for name, wanted in {"own": 0o700, "team": 0o2777, "temporary": 0o1777, "home": 0o777, "work": 0o777, "work/here": 0o777}.items():
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        folder.chmod(wanted | 0o777)
        make_folder(folder)
        assert mode(folder) == wanted, name
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked").chmod(0o755)
    (tmp_path / "link").symlink_to("linked")  # a folder that the user has moved elsewhere
    make_folder(tmp_path / "link" / "deeper")
    narrow(tmp_path / "link")
    assert [mode(tmp_path / name) for name in ("linked", "linked/deeper")] == [0o700, 0o700]


def test_what_people_write_by_hand_may_be_a_link_of_theirs(tmp_path: Path) -> None:
    kept, folder = tmp_path / "dotfiles" / "config.toml", tmp_path / "config"
    kept.parent.mkdir(mode=0o755)
    kept.write_text("old")
    kept.chmod(0o640)
    folder.mkdir()
    (tmp_path / "between").symlink_to("dotfiles/config.toml")
    (folder / "config.toml").symlink_to("../between")
    write_whole(folder / "config.toml", b"new", by_hand=True, keep_mode=True)
    assert ((folder / "config.toml").is_symlink(), kept.read_text(), mode(kept)) == (True, "new", 0o640)
    assert mode(kept.parent) == 0o755
    write_whole(folder / "config.toml", b"newer", by_hand=True)
    assert (kept.read_text(), mode(kept)) == ("newer", 0o600)
    (folder / "none").symlink_to("/dev/null")  # a way to have no settings
    with pytest.raises(OSError, match="no regular file"):
        write_whole(folder / "none", b"new", by_hand=True)
    with pytest.raises(OSError, match="no regular file"):
        export_file(Path("/dev/null"), b"new", replace=True)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        write_whole(folder / "a", b"", by_hand=True)


@needs_root
def test_links_of_other_users_are_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.toml").write_text("theirs")
    for name, target in {"config.toml": "outside/config.toml", "log": "outside"}.items():
        (tmp_path / name).symlink_to(target)
        os.chown(tmp_path / name, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(PermissionError, match="belongs to another user"):
        write_whole(tmp_path / "config.toml", b"new", by_hand=True)
    for write in WRITERS.values():
        if write is not make_file and write is not WRITERS["export_file"]:  # which make no folder
            with pytest.raises(PermissionError, match="belongs to another user"):
                write(tmp_path / "log" / "deeper" / "file")
    assert "belongs to another user" in log_problem(tmp_path / "log" / "engine.log")
    for place in (tmp_path / "log", tmp_path):  # a link in a folder of its owner's as well
        os.chown(place, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(PermissionError, match="belongs to another user"):
        make_folder(tmp_path / "log" / "deeper")
    outside.chmod(0o755)
    narrow(tmp_path / "log")
    assert mode(outside) == 0o755
    assert [each.name for each in outside.iterdir()] == ["config.toml"]
    assert (outside / "config.toml").read_text() == "theirs"


@needs_root
def test_a_log_of_another_user_is_not_written(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("theirs")
    os.chown(log, NOBODY, NOBODY)
    with pytest.raises(PermissionError, match="belongs to another user"):
        open_to_append(log)
    assert log.read_text() == "theirs"


def test_a_log_of_an_earlier_version_is_closed_to_others(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("old\n")
    log.chmod(0o644)
    append(log, "new\n")
    assert (log.read_text(), mode(log)) == ("old\nnew\n", 0o600)


def test_a_name_is_free_only_when_not_even_a_dangling_link_has_it(tmp_path: Path) -> None:
    (tmp_path / "a.db").symlink_to("nowhere")
    assert free_name(tmp_path / "a.db") == tmp_path / "a-2.db"
    for name in ("c", "c.broken-2"):
        (tmp_path / name).write_text(name)
    (tmp_path / "c.broken-1").symlink_to("nowhere")
    assert set_aside(tmp_path / "c") == tmp_path / "c.broken-3"
    assert (tmp_path / "c.broken-3").read_text() == "c"
