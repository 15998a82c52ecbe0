from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nemochat.errors import ImageError
from nemochat.images import load
from nemochat.images.decode import MAX_BYTES
from tests.images.pictures import encode, grid


def test_a_file_loads(tmp_path: Path) -> None:
    path = tmp_path / "ä b.png"
    path.write_bytes(encode(grid([[(1, 2, 3)]]), "PNG"))
    assert load(path).rgb == bytes([1, 2, 3])


@pytest.mark.parametrize("name", ["missing.png", "missing/folder.png"])
def test_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="no such file on this machine") as caught:
        load(tmp_path / name)
    assert "over ssh" in caught.value.hint.lower()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ImageError, match="no such file"):
        load(tmp_path / "file" / "a.png")


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(ImageError, match="empty"):
        load(tmp_path / "a.png")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="is a named pipe"):
        load(tmp_path / "pipe.png")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_an_endless_device() -> None:
    with pytest.raises(ImageError, match="is a device"):
        load(Path("/dev/zero"))


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the whole path may be too long for a socket
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        with pytest.raises(ImageError, match=r"s\.png"):
            load(Path("s.png"))


def test_a_dangling_link_and_a_loop(tmp_path: Path) -> None:
    (tmp_path / "dangling.png").symlink_to("nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    with pytest.raises(ImageError, match="no such file"):
        load(tmp_path / "dangling.png")
    with pytest.raises(ImageError, match="cannot be read"):
        load(tmp_path / "loop.png")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000])
def test_what_can_be_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        load(tmp_path / name)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(MAX_BYTES * 1000)
    with pytest.raises(ImageError, match="larger than 100 MiB"):
        load(path)


def test_a_file_that_vanishes_between_looking_and_loading(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(grid([[(1, 2, 3)]]), "PNG"))
    assert path.exists()
    path.unlink()
    with pytest.raises(ImageError, match="no such file"):
        load(path)


def test_no_handle_is_left_open(tmp_path: Path) -> None:
    handles = Path("/proc/self/fd")
    if not handles.exists():
        pytest.skip("this system does not list open files")
    (tmp_path / "bad.png").write_bytes(b"nonsense")
    before = len(list(handles.iterdir()))
    for path in (tmp_path, tmp_path / "bad.png", tmp_path / "missing.png"):
        with pytest.raises(ImageError):
            load(path)
    assert len(list(handles.iterdir())) == before


def test_no_permission(tmp_path: Path) -> None:
    """In a process without privileges, because the superuser may read everything."""
    path = tmp_path / "secret.png"
    path.write_bytes(b"x")
    path.chmod(0)
    code = """
import os, sys
from pathlib import Path
import nemochat.images.decode
from nemochat.errors import ImageError
folder = os.open(sys.argv[1], os.O_RDONLY)
os.fchdir(folder)
if os.geteuid() == 0:
    os.chmod(".", 0o755)
    os.setuid(65534)
try:
    nemochat.images.decode.load(Path("secret.png"))
except ImageError as error:
    print(error.message)
"""
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout == "The picture may not be read: secret.png\n"
