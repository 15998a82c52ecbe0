"""Pictures are files, one copy of each, that only their owner reads and that no name leads out of."""

import os
import stat
from pathlib import Path

import pytest

from nemochat.domain.chat import Chat
from nemochat.domain.images import Original
from nemochat.domain.messages import ImagePart
from nemochat.domain.replies import ModelRef
from nemochat.library import Library, LibraryError
from nemochat.library.pictures import GRACE_MS
from tests.library.building import Clock, open_library, user

ONE, TWO = "1" * 64, "2" * 64


def show(library: Library, *digests: str) -> str:
    chat = Chat().added(user("look", *(ImagePart(digest) for digest in digests)))
    return library.save(None, 0, None, chat, model=ModelRef()).id


def files(folder: Path) -> set[str]:
    return {path.name for name in ("pictures", "originals") for path in (folder / name).glob("*")}


def test_a_picture_and_its_file_are_kept_once(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        for _ in range(2):
            library.put_picture(ONE, Original(b"jpeg", ".JPG"))
        library.put_picture(ONE, Original(b"another file with the same pixels", "png"))
        assert library.original(ONE) == Original(b"jpeg", "jpg")
        assert library.original(TWO) is None
        library.put_picture(TWO, Original(b"jpeg", "jpg"))
        assert library.original(TWO) == Original(b"jpeg", "jpg")
    assert len(files(tmp_path)) == 1
    assert stat.S_IMODE((tmp_path / "originals").stat().st_mode) == 0o700


def test_a_file_that_is_gone_is_stored_again(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        library.put_picture(ONE, Original(b"one", "png"))
        next((tmp_path / "originals").iterdir()).unlink()
        assert library.original(ONE) is None
        library.put_picture(ONE, Original(b"one more", "png"))
        assert library.original(ONE) == Original(b"one more", "png")


@pytest.mark.parametrize("digest", ["../" * 8 + "etc/passwd", "", "1" * 63, "1" * 64 + "\n", "A" * 64, "/etc/passwd\0", "\uff11" * 64])
def test_no_digest_leads_outside(tmp_path: Path, digest: str) -> None:
    with open_library(tmp_path / "library") as library:
        with pytest.raises(LibraryError):
            library.put_picture(digest, Original(b"x", "png"))
        assert library.original(digest) is None
        show(library, digest)  # a message may say what it wants
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"library.db", "library.db-wal", "library.db-shm"}


@pytest.mark.parametrize("suffix", ["", "../x", "a/b", "toolongsuffix", "j\0", "jpg\n", "j.g"])
def test_no_suffix_leads_outside(tmp_path: Path, suffix: str) -> None:
    with open_library(tmp_path) as library, pytest.raises(LibraryError):
        library.put_picture(ONE, Original(b"y", suffix))
    assert files(tmp_path) == set()


def test_what_nobody_uses_goes_at_the_purge(tmp_path: Path) -> None:
    clock = Clock()
    with open_library(tmp_path, clock) as library:
        library.put_picture(ONE, Original(b"one", "jpg"))
        library.put_picture(TWO, Original(b"two", "jpg"))
        both, single = show(library, ONE, TWO), show(library, TWO)
        clock.now += GRACE_MS / 1000
        library.delete(both)
        assert len(files(tmp_path)) == 2  # it may come back
        library.purge(clock.now + 1)
        assert len(files(tmp_path)) == 1
        assert library.original(TWO) == Original(b"two", "jpg")
        library.delete(single)
        library.purge(clock.now + 1)
        assert files(tmp_path) == set()


def test_a_picture_that_waits_for_its_message_stays(tmp_path: Path) -> None:
    clock = Clock()
    with open_library(tmp_path, clock) as library:
        library.put_picture(ONE, Original(b"one", "png"))
        clock.now += 60
        library.purge(clock.now)
        assert library.original(ONE) == Original(b"one", "png")
        clock.now += GRACE_MS
        library.put_picture(ONE, Original(b"one", "png"))  # wanted anew
        library.purge(clock.now)
        assert library.original(ONE) == Original(b"one", "png")


def test_half_a_file_is_no_picture_and_goes_in_time(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        library.put_picture(ONE, Original(b"one", "png"))
        torn = tmp_path / "originals" / ".part-killed"
        torn.write_bytes(b"half")
        library.purge(0)
        assert torn.exists()  # another program may be writing it
        os.utime(torn, (0, 0))
        (tmp_path / "pictures").mkdir()
        (tmp_path / "pictures" / f"{TWO}.png").write_bytes(b"without a row")
        os.utime(tmp_path / "pictures" / f"{TWO}.png", (0, 0))
        library.purge(0)
        assert not torn.exists()
        assert library.original(TWO) == Original(b"without a row", "png")  # as after a damaged database: a repair wants it


def test_a_picture_that_cannot_be_stored_is_told(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        (tmp_path / "originals").write_bytes(b"in the way")
        with pytest.raises(LibraryError, match="cannot be stored"):
            library.put_picture(ONE, Original(b"one", "png"))
        (tmp_path / "originals").unlink()
        library.put_picture(ONE, Original(b"one", "png"))
        assert library.original(ONE) == Original(b"one", "png")


def test_a_picture_of_what_waits_stays_until_that_has_gone(tmp_path: Path) -> None:
    clock = Clock()
    with open_library(tmp_path, clock) as library:
        library.put_picture(ONE, Original(b"one", "png"))
        waiting = Chat().queued(user("look", ImagePart(ONE)).message)
        saved = library.save(None, 0, None, waiting)
        assert [(row.title, row.has_picture) for row in library.conversations()] == [("look", True)]
        clock.now += GRACE_MS / 1000 + 1
        library.purge(clock.now)
        assert library.original(ONE) == Original(b"one", "png")
        assert library.load(saved.id).chat == waiting
        library.save(saved.id, saved.version, waiting, waiting.unqueued(1))
        assert library.load(saved.id).chat.waiting == ()
        library.purge(clock.now)
        assert library.original(ONE) is None
