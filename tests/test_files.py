"""Files appear whole or not at all, with the rights that they are to have, and take the place of another only where that is meant."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nemochat.files import write_new, write_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept"
    write_whole(path, b"old")

    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    for write in (write_whole, write_new):
        with pytest.raises(OSError, match=r"No space left|kept"):
            write(path, b"new")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("kept", b"old")]


def test_what_is_private_is_private_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_whole(tmp_path / "folder" / "secret", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "folder" / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    if not links:  # as on FAT
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_new(tmp_path / "a", b"one")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("a", "dangling"):
        with pytest.raises(FileExistsError):
            write_new(tmp_path / name, b"two")
    assert (tmp_path / "a").read_bytes() == b"one"
