"""What is kept of conversations on the disk: found again, within the budget, private, and never trusted when damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nemochat.engine import states
from nemochat.engine.states import StateFolder, fingerprint
from nemochat.errors import EngineError
from tests.test_files import NOBODY, needs_root

KV = b"keys and values" * 100


def keep(folder: StateFolder, conversation: str, payload: bytes = b"cells", kv: bytes = KV) -> bool:
    def save(path: Path) -> None:
        path.write_bytes(kv)

    return folder.write(conversation, payload, len(kv), save)


def test_what_is_kept_is_found_again_with_what_was_said_of_it(tmp_path: Path) -> None:
    assert keep(StateFolder(tmp_path, "engine", 10_000), "a")
    folder = StateFolder(tmp_path, "engine", 10_000)
    assert folder.read("a") == b"cells"
    path = folder.open("a")
    assert path is not None
    assert path.read_bytes() == KV
    assert folder.read("b") is None
    assert folder.open("b") is None


def test_another_engine_finds_nothing_and_overwrites_nothing(tmp_path: Path) -> None:
    one, other = StateFolder(tmp_path, "one", 10_000), StateFolder(tmp_path, "other", 10_000)
    keep(one, "a")
    assert other.read("a") is None
    keep(other, "a", b"theirs")
    assert one.read("a") == b"cells"


def test_files_and_folder_are_for_the_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keep(StateFolder(tmp_path / "states", "engine", 10_000), "a")
    finally:
        os.umask(before)
    assert (tmp_path / "states").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "states").iterdir()} == {0o600}


def test_links_where_its_files_would_be_are_replaced_and_not_followed(tmp_path: Path) -> None:
    folder, outside = StateFolder(tmp_path / "states", "engine", 10_000), tmp_path / "outside"
    keep(folder, "a")
    outside.write_text("theirs")
    (path,) = (tmp_path / "states").glob("*.kv")
    for each in (path, path.with_suffix(".head"), path.with_suffix(f".{os.getpid()}.part")):
        each.unlink(missing_ok=True)
        each.symlink_to(outside)
    assert keep(folder, "a")
    assert outside.read_text() == "theirs"
    assert folder.open("a") == path
    assert not path.is_symlink()


def test_nothing_is_removed_but_its_own_files(tmp_path: Path) -> None:
    for name in ("thesis.txt", "part of it.kv", "model.kv"):
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (1, 1))
    folder = StateFolder(tmp_path, "engine", len(KV) + 10)
    for conversation in ("a", "b"):
        assert keep(folder, conversation)
    states.forget(tmp_path, "b")
    assert keep(folder, "c")
    states.clear(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.txt", "part of it.kv", "model.kv"}


@needs_root
def test_nothing_is_removed_behind_a_link_of_another_user(tmp_path: Path) -> None:
    keep(StateFolder(tmp_path / "theirs", "engine", 10_000), "a")
    (tmp_path / "states").symlink_to("theirs")
    os.chown(tmp_path / "states", NOBODY, NOBODY, follow_symlinks=False)
    for remove in (states.clear, lambda folder: states.forget(folder, "a")):
        with pytest.raises(PermissionError):
            remove(tmp_path / "states")
    assert len(list((tmp_path / "theirs").iterdir())) == 2


@pytest.mark.parametrize("at", [0, 700, len(KV) - 1])
def test_a_flipped_byte_counts_as_nothing_kept(tmp_path: Path, at: int) -> None:
    folder = StateFolder(tmp_path, "engine", 10_000)
    keep(folder, "a")
    (path,) = tmp_path.glob("*.kv")
    damaged = bytearray(KV)
    damaged[at] ^= 1
    path.write_bytes(damaged)
    assert folder.open("a") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [0, 1, 10, 40])
def test_a_truncated_head_counts_as_nothing_kept(tmp_path: Path, size: int) -> None:
    folder = StateFolder(tmp_path, "engine", 10_000)
    keep(folder, "a")
    (head,) = tmp_path.glob("*.head")
    head.write_bytes(head.read_bytes()[:size])
    assert folder.read("a") is None
    assert folder.open("a") is None
    assert keep(folder, "a")
    assert folder.open("a") is not None


def test_a_payload_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, "engine", 10_000)
    keep(folder, "a")
    (head,) = tmp_path.glob("*.head")
    head.write_bytes(head.read_bytes().replace(b"cells", b"cella"))
    assert folder.read("a") == b"cella"
    assert folder.open("a") is None


def test_the_least_recently_used_go_when_the_budget_is_spent(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, "engine", 3 * len(KV))
    for number, name in enumerate("abc"):
        keep(folder, name)
        (path,) = set(tmp_path.glob("*.kv")) - {path for path in tmp_path.glob("*.kv") if path.stat().st_mtime < 1000}
        os.utime(path, (number + 1, number + 1))
    assert folder.open("a") is not None  # which makes it the newest
    keep(folder, "d")
    assert [name for name in "abcd" if folder.read(name)] == ["a", "c", "d"]
    assert sum(path.stat().st_size for path in tmp_path.glob("*.kv")) <= 3 * len(KV)


def test_keeping_a_conversation_again_takes_no_more_room(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, "engine", 2 * len(KV))
    keep(folder, "a")
    for _ in range(3):
        keep(folder, "b")
    assert folder.read("a")
    assert folder.read("b")


def test_what_is_larger_than_the_budget_is_not_kept(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, "engine", len(KV) - 1)
    assert not keep(folder, "a")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_behind_and_raises_nothing(tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        path.write_bytes(KV[:10])
        raise EngineError("The state of the chat could not be written.")

    folder = StateFolder(tmp_path, "engine", 10_000)
    keep(folder, "a")
    assert not folder.write("a", b"cells", len(KV), refuse)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not keep(StateFolder(tmp_path / "file" / "states", "engine", 10_000), "a")


def test_what_a_crash_left_half_written_goes_but_not_what_another_writes_now(tmp_path: Path) -> None:
    old, new = (tmp_path / f"{letter * 20}-{letter * 20}.1.part" for letter in "ab")
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    keep(StateFolder(tmp_path, "engine", 10_000), "a")
    assert not old.exists()
    assert new.exists()


def test_forgetting_removes_it_for_every_engine_and_nothing_else(tmp_path: Path) -> None:
    for engine in ("one", "other"):
        for name in "ab":
            keep(StateFolder(tmp_path, engine, 100_000), name)
    states.forget(tmp_path, "a")
    assert [StateFolder(tmp_path, engine, 1).read(name) for engine in ("one", "other") for name in "ab"] == [None, b"cells"] * 2
    states.forget(tmp_path / "nowhere", "a")


def test_fingerprints_tell_files_apart_by_size_beginning_and_end(tmp_path: Path) -> None:
    contents = [b"a" * 100, b"a" * 99, b"b" + b"a" * 99, b"a" * 99 + b"b"]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    assert len({fingerprint(tmp_path / str(number)) for number in range(4)}) == 4
    assert fingerprint(tmp_path / "0") == fingerprint(tmp_path / "0")
