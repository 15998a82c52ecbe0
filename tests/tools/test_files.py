"""Files below the folders that the user named: what is there is read, and every way out of them is shut."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from nemochat.domain.messages import ToolCall
from nemochat.domain.tools import Approval, ToolOutcome, ToolRequest
from nemochat.errors import NemochatError
from nemochat.tools.approval import Approvals, Verdict
from nemochat.tools.builtin import reading, roots
from nemochat.tools.builtin.reading import file_tools
from nemochat.tools.builtin.roots import FileRoots
from nemochat.tools.registry import Registry

SECRET = "the secret"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A named folder `root`, and secrets around it."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("first line\nsecond line with Apples\n", encoding="utf-8")
    (root / "sub" / "b.txt").write_text("apples again\n", encoding="utf-8")
    (tmp_path / "secret.txt").write_text(SECRET, encoding="utf-8")
    (tmp_path / "root_evil").mkdir()
    (tmp_path / "root_evil" / "secret.txt").write_text(SECRET, encoding="utf-8")
    return tmp_path


async def call(folder: Path, name: str, **arguments: object) -> ToolOutcome:
    async def approve(request: ToolRequest) -> Approval:
        return Approval.ONCE

    return await Registry(file_tools(FileRoots([folder]))).call(ToolCall(name, arguments), approve, Approvals())


async def test_files_and_folders_are_read(place: Path) -> None:
    root = place / "root"
    assert (await call(root, "read_file", path="a.txt")).text == "first line\nsecond line with Apples\n"
    assert (await call(root, "read_file", path=str(root / "sub" / "b.txt"))).text == "apples again\n"
    assert (await call(root, "read_file", path="sub/../a.txt")).text.startswith("first")
    assert (await call(root, "list_folder", path="")).text == f"{root}:\na.txt (35 bytes)\nsub/"
    found = await call(root, "find_in_files", text="APPLES")
    assert found.text == f"{root}/a.txt:2: second line with Apples\n{root}/sub/b.txt:1: apples again"
    assert (await call(root, "find_in_files", text="apples", path="sub/b.txt")).text == f"{root}/sub/b.txt:1: apples again"
    assert (await call(root, "find_in_files", text="pears")).text == "Not found in 2 files."


def _paths_out(place: Path) -> dict[str, str]:
    root = place / "root"
    (root / "link.txt").symlink_to(place / "secret.txt")
    (root / "out").symlink_to(place)
    (root / "sub" / "up").symlink_to("../..")
    (root / "chain").symlink_to("link.txt")
    (root / "dangling").symlink_to(place / "nothing")
    (root / "self").symlink_to("self")
    (root / "proc").symlink_to("/proc/self")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(root / "s"))
    return {
        "up": "../secret.txt",
        "far up": "sub/../../secret.txt",
        "absolute": str(place / "secret.txt"),
        "prefix sibling": str(place / "root_evil" / "secret.txt"),
        "prefix sibling, relative": "../root_evil/secret.txt",
        "link": "link.txt",
        "link to a link": "chain",
        "link in a parent": "out/secret.txt",
        "link up": "sub/up/secret.txt",
        "dangling": "dangling",
        "link to itself": "self",
        "proc through a link": "proc/environ",
        "proc": "/proc/self/environ",
        "proc root": f"/proc/self/root{place}/secret.txt",
        "proc cwd": "/proc/self/cwd/secret.txt",
        "device": "/dev/zero",
        "standard input": "/dev/stdin",
        "fifo": "fifo",
        "socket": "s",
        "NUL": "a.txt\0",
        "long": "x" * 5_000,
        "home": "~/secret.txt",
        "another's home": "~nobody-here/secret.txt",
        "folder": "sub",
        "nothing": "nothing.txt",
        "below a file": "a.txt/x",
        "escapes": "\x1b[2J",
    }


@pytest.mark.parametrize("name", ["read_file", "list_folder", "find_in_files"])
async def test_every_way_out_is_shut(place: Path, name: str) -> None:
    for why, path in _paths_out(place).items():
        if (name, why) in (("list_folder", "folder"), ("find_in_files", "folder")):
            continue
        outcome = await call(place / "root", name, path=path, **({"text": "secret"} if name == "find_in_files" else {}))
        assert outcome.is_error, why
        assert SECRET not in outcome.text, why
        assert "\x1b" not in outcome.text


async def test_what_is_outside_and_what_is_not_there_sound_the_same(place: Path) -> None:
    there, not_there = [await call(place / "root", "read_file", path=str(place / name)) for name in ("secret.txt", "nothing.txt")]
    assert there.text.replace("secret", "nothing") == not_there.text


async def test_a_search_follows_no_link(place: Path) -> None:
    _paths_out(place)
    outcome = await call(place / "root", "find_in_files", text="secret")
    assert outcome.text == "Not found in 2 files."


async def test_proc_and_devices_are_shut_even_when_everything_is_named() -> None:
    for path in ("/proc/self/environ", "/sys/kernel/notes", "/dev/null", "/proc/self/fd/0"):
        assert (await call(Path("/"), "read_file", path=path)).is_error
    assert not (await call(Path("/"), "read_file", path="/etc/hostname")).is_error


async def test_a_named_folder_may_be_a_link_and_links_within_it_work(place: Path) -> None:
    (place / "alias").symlink_to(place / "root")
    (place / "root" / "inside.txt").symlink_to("sub/b.txt")
    assert (await call(place / "alias", "read_file", path=str(place / "alias" / "inside.txt"))).text == "apples again\n"


def test_a_file_swapped_for_a_link_after_it_was_checked_is_not_followed(place: Path) -> None:
    files = FileRoots([place / "root"])
    real = files.place("sub/b.txt")
    real.unlink()
    real.symlink_to(place / "secret.txt")
    with pytest.raises(NemochatError), files.open_file(real):
        pytest.fail("opened")


def test_a_folder_swapped_for_a_link_after_it_was_checked_is_not_followed(place: Path) -> None:
    files = FileRoots([place / "root"])
    real = files.place("sub/b.txt")
    (place / "root" / "sub").rename(place / "moved")
    (place / "b.txt").write_text(SECRET, encoding="utf-8")
    (place / "root" / "sub").symlink_to(place)
    with pytest.raises(NemochatError), files.open_file(real):
        pytest.fail("opened")


async def test_a_race_of_swaps_never_gives_the_secret(place: Path) -> None:
    sub, stop = place / "root" / "sub", threading.Event()
    (place / "b.txt").write_text(SECRET, encoding="utf-8")

    def swap() -> None:
        while not stop.is_set():
            sub.rename(place / "aside")
            sub.symlink_to(place)
            sub.unlink()
            (place / "aside").rename(sub)
            stop.wait(0.0003)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        texts = set()
        for _ in range(800):
            try:
                outcome = reading._read_file(FileRoots([place / "root"]), {"path": "sub/b.txt"})
            except NemochatError:
                continue
            texts.add(outcome.text)
    finally:
        stop.set()
        thread.join()
    assert texts <= {"apples again\n"}
    assert reading._read_file(FileRoots([place / "root"]), {"path": "sub/b.txt"}).text == "apples again\n"


@pytest.mark.skipif(not roots.CAN_WALK, reason="only where both ways exist")
def test_where_names_cannot_be_opened_in_folders_a_swap_is_still_seen(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roots, "CAN_WALK", False)
    files = FileRoots([place / "root"])
    real = files.place("sub/b.txt")
    with files.open_file(real) as handle:
        assert os.read(handle, 6) == b"apples"
    (place / "root" / "sub").rename(place / "moved")
    (place / "b.txt").write_text(SECRET, encoding="utf-8")
    (place / "root" / "sub").symlink_to(place)
    with pytest.raises(NemochatError), files.open_file(real):
        pytest.fail("opened")


async def test_no_handle_stays_open(place: Path) -> None:
    _paths_out(place)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    files = FileRoots([place / "root"])
    for path in _names(place):
        for work in (reading._read_file, reading._list_folder, reading._find_in_files):
            try:
                work(files, {"path": path, "text": "x"})
            except NemochatError:
                continue
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def _names(place: Path) -> list[str]:
    return [entry.name for entry in (place / "root").iterdir()] + ["sub/b.txt", "."]


async def test_long_files_come_in_pieces_and_large_or_binary_ones_not_at_all(place: Path) -> None:
    root = place / "root"
    (root / "long.txt").write_text("".join(f"line {number} {'x' * 90}\n" for number in range(1, 1001)), encoding="utf-8")
    first = await call(root, "read_file", path="long.txt")
    assert first.text.endswith("of 1,000. Go on with first_line 122.]")
    assert (await call(root, "read_file", path="long.txt", first_line=122)).text.startswith("line 122 ")
    assert (await call(root, "read_file", path="long.txt", first_line=1001)).is_error
    (root / "one.txt").write_text("y" * 100_000, encoding="utf-8")
    assert len((await call(root, "read_file", path="one.txt")).text) < 13_000
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert "larger than 8 MiB" in (await call(root, "read_file", path="sparse")).text
    (root / "binary").write_bytes(b"\x7fELF\0\0")
    assert "not a text file" in (await call(root, "read_file", path="binary")).text
    (root / "wide.txt").write_bytes("na\u00efve".encode("utf-16"))
    assert (await call(root, "read_file", path="wide.txt")).text == "na\u00efve"
    (root / "empty").touch()
    assert (await call(root, "read_file", path="empty")).text == "[The file is empty.]"


async def test_hostile_names_and_texts_come_clean(place: Path) -> None:
    root = place / "root"
    (root / "\x1b]52;c;evil\x07\n.txt").write_text("\x1b[2Japples\x9b", encoding="utf-8")
    os.close(os.open(os.fsencode(root) + b"/\xff\xfe.txt", os.O_CREAT | os.O_WRONLY, 0o600))
    for name, arguments in (("list_folder", {"path": "."}), ("find_in_files", {"text": "apples"})):
        text = (await call(root, name, **arguments)).text
        assert "\x1b" not in text
        assert "\x9b" not in text
        text.encode()


async def test_a_search_is_bounded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = place / "root"
    (root / "many.txt").write_text("apples\n" * 1000, encoding="utf-8")
    assert (await call(root, "find_in_files", text="apples")).text.count("\n") == 50
    monkeypatch.setattr(reading, "_FILES", 1)
    assert "too many files" in (await call(root, "find_in_files", text="pears")).text
    deep = root.joinpath(*["d"] * 30)
    deep.mkdir(parents=True)
    (deep / "deep.txt").write_text("pears", encoding="utf-8")
    monkeypatch.setattr(reading, "_FILES", 100)
    assert "Not found" in (await call(root, "find_in_files", text="pears")).text


async def test_without_a_folder_nothing_is_read(place: Path) -> None:
    tools = {tool.offered.name: tool for tool in file_tools(FileRoots([]))}
    assert "named no folder" in (await tools["list_folder"].run({"path": ""})).text
    for name in ("read_file", "find_in_files"):
        with pytest.raises(NemochatError):
            await tools[name].run({"path": str(place / "root" / "a.txt"), "text": "x"})


def test_file_tools_ask() -> None:
    assert all(Approvals().verdict(tool.offered) is Verdict.ASK for tool in file_tools(FileRoots([Path("/")])))


async def test_a_folder_with_more_than_can_be_shown_says_how_many_more(place: Path) -> None:
    folder = place / "root" / "many"
    folder.mkdir()
    for number in range(2_500):
        (folder / f"{number:05}").touch()
    text = (await call(place / "root", "list_folder", path="many")).text
    assert text.splitlines()[1] == "00000 (0 bytes)"
    assert text.splitlines()[-2:] == ["00299 (0 bytes)", "[... and 2,200 more]"]


async def test_names_as_long_as_can_be_and_full_of_escapes_leave_room_for_the_count(place: Path) -> None:
    folder = place / "root" / "long"
    folder.mkdir()
    for number in range(200):
        (folder / (f"{number:03}\x1b]0;title\x07\u202e" + "x" * 235)).touch()
    text = (await call(place / "root", "list_folder", path="long")).text
    assert len(text) < 13_000
    assert not set(text) & set("\x1b\x07\u202e")
    assert text.endswith(f"[... and {200 - (len(text.splitlines()) - 2)} more]")


@pytest.mark.parametrize("name", ["list_folder", "find_in_files"])
async def test_folders_without_end_are_given_up_and_that_is_said(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = place / "root"
    for number in range(15):
        (deep / f"d{number}").mkdir(parents=True)
        deep /= f"d{number}"
    monkeypatch.setattr(reading, "_SECONDS", -1.0)
    arguments = {"path": "."} if name == "list_folder" else {"text": "apples"}
    text = (await call(place / "root", name, **arguments)).text
    assert ("more than" in text) if name == "list_folder" else ("Not all was searched" in text)


async def test_a_line_that_is_cut_says_so(place: Path) -> None:
    (place / "root" / "wide.txt").write_text("x" * 30_000 + "\nnext\n")
    text = (await call(place / "root", "read_file", path="wide.txt")).text
    assert "[Line 1 is cut here: it has 30,001 characters.]" in text
    assert "Go on with first_line 2" in text
