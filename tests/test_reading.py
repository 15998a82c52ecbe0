"""What others have written is read within bounds, whatever it is."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from nemochat.reading import NotAFileError, TooLargeError, TooMuchError, check_json, check_toml, open_regular, read_beginning, read_regular
from nemochat.zips import Zip, ZipError
from tests.cli.bad_paths import make_bad_paths, small_zip, zip_that_lies


def test_only_regular_files_are_opened_and_no_handle_is_left_open(tmp_path: Path) -> None:
    paths = make_bad_paths(tmp_path / "bad")
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    for kind in ("pipe", "folder", "socket", "/dev/zero"):
        with pytest.raises(NotAFileError), open_regular(Path(paths[kind])):
            pass
    for kind in ("dangling", "loop", "long name", "NUL", "missing"):
        with pytest.raises(OSError, match=r"."):
            read_regular(Path(paths[kind]), 10)
    if before:
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    assert read_regular(path, 100) == b"x" * 100
    assert read_beginning(path, 7) == b"x" * 7
    with pytest.raises(TooLargeError) as caught:
        read_regular(path, 99)
    assert caught.value.size == 100
    if Path("/proc/self/status").exists():  # says that it is empty
        assert read_regular(Path("/proc/self/status"), 1 << 20).startswith(b"Name:")
        with pytest.raises(TooLargeError):
            read_regular(Path("/proc/self/status"), 10)


@pytest.mark.parametrize(
    "text",
    ["a." * 65 + "a = 1", "[" + "a . " * 65 + "b]", "x = {" + "'a'.\"b\"." * 33 + "c = 1}", 'a = "x"\n' + "a." * 65 + "a = 1"],
    ids=["plain", "table", "quotes", "behind a text"],
)
def test_a_toml_name_of_very_many_parts_is_refused(text: str) -> None:
    with pytest.raises(TooMuchError, match="64 parts"):
        check_toml(text)


@pytest.mark.parametrize("quotes", ['"""', "'''", '"', "'", "# "])
def test_text_may_hold_what_looks_like_a_long_name(quotes: str) -> None:
    check_toml(f"a = {quotes}{'x.y.' * 100}{quotes}\nb.c = 1\n")


@pytest.mark.parametrize("piece", ['"', "'", '"\\', '"a\n', "a.", 'a."".', "a", ".", '"""\\', "'''a"])
def test_looking_for_long_names_takes_time_in_proportion(piece: str) -> None:
    began = time.process_time()
    text = (piece * 31 + "\n") * ((1 << 20) // (32 * len(piece)))
    try:
        check_toml(text)
    except TooMuchError:
        pytest.fail("it holds no name of more than 64 parts")
    assert time.process_time() - began < 20


def test_json_of_too_many_values_is_refused() -> None:
    check_json(b"[1, 2, 3]", 3)
    for text in (b"[[],[],[]]", "[{},{},{}]"):
        with pytest.raises(TooMuchError, match="more than 3 values"):
            check_json(text, 3)


def test_a_zip_is_never_more_than_its_limits() -> None:
    with Zip(io.BytesIO(small_zip())) as box:
        assert box.names == ("a.txt",)
        assert box.read("a.txt", 100) == b"b" * 100
        with pytest.raises(ZipError, match="is larger than"):
            box.read("a.txt", 99)
        with pytest.raises(ZipError, match="is missing"):
            box.read("b.txt", 99)
    for data in (zip_that_lies(), b"PK\5\6 and junk", small_zip()[:-30], b""):
        with pytest.raises(ZipError):
            Zip(io.BytesIO(data))
