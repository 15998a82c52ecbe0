"""Everything that a path may lead to and that is not what it should be."""

from __future__ import annotations

import io
import os
import socket
import struct
import zipfile
from pathlib import Path

HOLE = 5_000_000_000


def zip_that_lies() -> bytes:
    """A zip whose table of contents claims four billion files."""
    data = bytearray(small_zip())
    end = data.rfind(b"PK\5\6")
    data[end + 8 : end + 16] = b"\xff" * 8
    return bytes(data)


def small_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as box:
        box.writestr("a.txt", "b" * 100)
    return buffer.getvalue()


def make_bad_paths(folder: Path) -> dict[str, str]:
    """One path of each kind; what has to be made lies in `folder`."""
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    (folder / "empty").touch()
    (folder / "unreadable").touch(mode=0)
    (folder / "fake zip").write_bytes(b"PK\5\6 and junk")
    (folder / "cut zip").write_bytes(small_zip()[:-30])
    (folder / "lying zip").write_bytes(zip_that_lies())
    (folder / "hole").touch()
    os.truncate(folder / "hole", HOLE)
    with (folder / "zip with a hole").open("wb") as file:  # its table of contents is said to be 4 GB
        file.write(b"PK\3\4")
        file.seek(HOLE)
        file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, 0xFFFFFFF0, 1000, 0))
    address = Path.cwd()
    os.chdir(folder)  # the name of a socket may not be long
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    os.chdir(address)
    made = {path.name: str(path) for path in folder.iterdir()}
    names = {
        "missing": str(folder / "missing"),
        "NUL": f"{folder}/a\0b",
        "escape": f"{folder}/a\x1b]52;c;YQ==\x07b",
        "long name": f"{folder}/{'x' * 4096}",
        "nobody's home": "~nobody-at-all/x",
    }
    devices = ["/dev/zero", "/dev/tty"]
    system = ["/proc/self/mem", "/proc/kmsg", "/proc/self/environ", "/proc/kcore", "/proc/self/fd/0"]
    return made | names | {path: path for path in (*devices, *system) if os.path.lexists(path)}
