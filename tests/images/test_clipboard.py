"""The clipboard's picture on each system, and clear words where there is none to be had."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
from PIL import Image, ImageGrab

from nemochat.errors import ImageError
from nemochat.images import clipboard
from nemochat.images.clipboard import read_clipboard_picture
from tests.images.pictures import encode, pixels

RED = Image.new("RGB", (2, 1), "red")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that alone is searched for programs, on a Linux without any display."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("WAYLAND_DISPLAY", "DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def make_tool(folder: Path, name: str, *lines: str) -> None:
    tool = folder / name
    tool.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    tool.chmod(0o755)


def make_tool_with_picture(folder: Path, name: str, image: Image.Image = RED) -> None:
    (folder / f"{name}.png").write_bytes(encode(image, "PNG"))
    make_tool(folder, name, f"exec /bin/cat '{folder / name}.png'")


@pytest.mark.parametrize(("display", "tool"), [("WAYLAND_DISPLAY", "wl-paste"), ("DISPLAY", "xclip"), ("", "xclip"), ("", "wl-paste")])
def test_a_picture_from_linux(display: str, tool: str, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if display:
        monkeypatch.setenv(display, "0")
    make_tool_with_picture(tools, tool)
    picture = read_clipboard_picture()
    assert picture is not None
    assert pixels(picture) == [[(255, 0, 0), (255, 0, 0)]]


def test_the_tool_of_the_session_is_asked_first(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tool_with_picture(tools, "wl-paste", Image.new("RGB", (3, 1)))
    make_tool_with_picture(tools, "xclip", Image.new("RGB", (5, 1)))
    monkeypatch.setenv("DISPLAY", ":0")
    picture = read_clipboard_picture()
    assert picture is not None
    assert picture.width == 5
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    picture = read_clipboard_picture()
    assert picture is not None
    assert picture.width == 3


@pytest.mark.parametrize(
    "said",
    [
        "Nothing is copied",
        "No selection",
        "No suitable type of content copied",
        "Error: target image/png not available",
        "xclip: Error: There is no owner for the CLIPBOARD selection",
    ],
)
def test_no_picture_is_no_error(said: str, tools: Path) -> None:
    make_tool(tools, "xclip", f"echo '{said}' >&2", "exit 1")
    assert read_clipboard_picture() is None
    make_tool(tools, "xclip", "exit 0")
    assert read_clipboard_picture() is None


@pytest.mark.parametrize(
    ("display", "package"),
    [("WAYLAND_DISPLAY", "Install wl-clipboard."), ("DISPLAY", "Install xclip."), ("", "wl-clipboard (Wayland) or xclip (X11)")],
)
def test_without_a_tool_it_says_what_to_install(display: str, package: str, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if display:
        monkeypatch.setenv(display, "0")
    with pytest.raises(ImageError, match="needs a tool") as caught:
        read_clipboard_picture()
    assert package in caught.value.hint


def test_without_a_display_it_says_why(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "x")
    make_tool(tools, "xclip", "printf \"Error: Can't open display: (null)\\033[2J\\n\" >&2", "exit 1")
    with pytest.raises(ImageError, match=r"Can't open display: \(null\)\[2J\)\.$") as caught:
        read_clipboard_picture()
    assert "Over SSH" in caught.value.hint


def test_a_tool_that_hangs_is_given_up(tools: Path) -> None:
    make_tool(tools, "xclip", "exec /bin/sleep 60")
    with pytest.raises(ImageError, match="xclip got no answer"):
        read_clipboard_picture(0.2)
    make_tool_with_picture(tools, "wl-paste")
    assert read_clipboard_picture(0.4) is not None


def test_a_tool_that_cannot_run(tools: Path) -> None:
    (tools / "xclip").write_text("#!/nowhere/at/all\n")
    (tools / "xclip").chmod(0o755)
    with pytest.raises(ImageError, match="xclip: No such file"):
        read_clipboard_picture()


def test_bytes_that_are_no_picture(tools: Path) -> None:
    make_tool(tools, "xclip", "echo hello")
    with pytest.raises(ImageError, match="the picture on the clipboard is not a picture"):
        read_clipboard_picture()


def test_a_picture_from_macos(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    make_tool(tools, "osascript", f"echo '«data PNGf{encode(RED, 'PNG').hex().upper()}»'")
    picture = read_clipboard_picture()
    assert picture is not None
    assert pixels(picture) == [[(255, 0, 0), (255, 0, 0)]]
    make_tool(tools, "osascript", "echo '43:48: execution error: the clipboard cannot be made into that type. (-1700)' >&2", "exit 1")
    assert read_clipboard_picture() is None
    make_tool(tools, "osascript", "echo '«data PNGf89504E»'")
    with pytest.raises(ImageError, match="not a picture"):
        read_clipboard_picture()
    make_tool(tools, "osascript", "exec /bin/sleep 60")
    with pytest.raises(ImageError, match="no answer"):
        read_clipboard_picture(0.1)
    (tools / "osascript").unlink()
    with pytest.raises(ImageError, match="osascript: No such file"):
        read_clipboard_picture()


@pytest.fixture
def grab(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What Pillow will find on the clipboard: the last item, raised when it is an error."""
    found: list[object] = []

    def grabclipboard() -> object:
        if isinstance(found[-1], Exception):
            raise found[-1]
        return found[-1]

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ImageGrab, "grabclipboard", grabclipboard)
    return found


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_a_picture_from_the_system(mode: str, grab: list[object]) -> None:
    grab.append(Image.new("RGB", (2, 1), "white").convert(mode))
    picture = read_clipboard_picture()
    assert picture is not None
    assert pixels(picture) == [[(255, 255, 255), (255, 255, 255)]]


def test_transparency_is_white(grab: list[object]) -> None:
    grab.append(Image.new("RGBA", (1, 1), (255, 0, 0, 0)))
    picture = read_clipboard_picture()
    assert picture is not None
    assert pixels(picture) == [[(255, 255, 255)]]


def test_copied_files(grab: list[object], tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(encode(RED, "PNG"))
    grab.append([str(tmp_path / "a b.png"), "another"])
    picture = read_clipboard_picture()
    assert picture is not None
    assert picture.width == 2


def test_an_empty_clipboard_of_the_system(grab: list[object]) -> None:
    grab.append(None)
    assert read_clipboard_picture() is None
    grab.append([])
    assert read_clipboard_picture() is None


def test_errors_of_pillow_are_sentences(grab: list[object]) -> None:
    grab.append(OSError("cannot identify image file\x1b"))
    with pytest.raises(ImageError, match=r"^The clipboard cannot be read \(cannot identify image file\)\.$"):
        read_clipboard_picture()


def test_too_many_pixels(grab: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipboard, "MAX_PIXELS", 1)
    grab.append(RED)
    with pytest.raises(ImageError, match="more than"):
        read_clipboard_picture()


def test_a_system_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ImageGrab, "grabclipboard", release.wait)
    with pytest.raises(ImageError, match="no answer"):
        read_clipboard_picture(0.05)
    release.set()
