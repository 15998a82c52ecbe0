"""Every way in which a terminal turns a dropped file into text gives the file back, and ordinary text stays text."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nemochat.chat import locations
from nemochat.chat.drops import MAX_CHARACTERS, Drop, DroppedFile, FileKind, find_drops
from nemochat.desk.commands import is_command_line
from nemochat.domain.images import RgbImage
from nemochat.images import to_png

PNG = to_png(RgbImage.from_rgb(2, 2, b"\xff\x00\x00" * 4))
NAMES = (
    "cat.png",
    "a b.png",
    "it's here.png",
    'say "hi".png',
    "two  spaces.png",
    "(1) $HOME & `x` #2!.png",
    "back\\slash.png",
    "katze-äöü-猫.png",
    "Screenshot 2026-01-01 at 1.00.00\u202fPM.png",
    "100%25 sure.png",
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with pictures of difficult names in `pics` and in a folder with a space."""
    for folder in ("pics", "My Pictures"):
        (tmp_path / folder).mkdir()
        for name in NAMES:
            (tmp_path / folder / name).write_bytes(PNG)
    (tmp_path / "cat.png").write_bytes(PNG)
    (tmp_path / "notes.md").write_text("# Notes\n")
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7\n\xff\0")
    return tmp_path


def find(text: str, home: Path) -> Drop:
    return find_drops(text, home, home, is_command=is_command_line)


def paths(drop: Drop) -> list[Path]:
    return [file.path for file in drop.files]


def escape_all(path: str) -> str:
    """iTerm2 and Ghostty: a backslash before each character that is special to a shell."""
    return re.sub(r"([ \t\"'\\`$&|;<>()\[\]{}*?!#])", r"\\\1", path)


def escape_spaces(path: str) -> str:
    """WezTerm."""
    return path.replace(" ", "\\ ")


def single(path: str) -> str:
    """GNOME Terminal and every other VTE."""
    return "'" + path.replace("'", "'\\''") + "'"


def double(path: str) -> str:
    return '"' + re.sub(r'(["\\$`])', r"\\\1", path) + '"'


def uri(path: str) -> str:
    return "file://" + quote(path)


TERMINALS: dict[str, Callable[[str], str]] = {
    "iTerm2": escape_all,
    "iTerm2, quoted": lambda path: single(path) + " ",
    "kitty": lambda path: path,
    "WezTerm": escape_spaces,
    "GNOME Terminal": lambda path: single(path) + " ",
    "Ghostty": escape_all,
    "Alacritty": lambda path: path + " ",
    "Windows Terminal, WSL": single,
    "VS Code": double,
    "VS Code, quoted and escaped": lambda path: f"'{escape_all(path)}'" if "'" not in path else single(path),
    "file URI": uri,
    "file URI with a host": lambda path: f"file://localhost{quote(path)}\r\n",
    "Terminator": lambda path: f"file://{path}",
    "KDE, short file URI": lambda path: f"file:{quote(path)}",
}


@pytest.mark.parametrize("terminal", TERMINALS)
def test_one_dropped_file(terminal: str, home: Path) -> None:
    for path in (home / folder / name for folder in ("pics", "My Pictures") for name in NAMES):
        assert find(TERMINALS[terminal](str(path)), home) == Drop((DroppedFile(path, FileKind.PICTURE),))


@pytest.mark.parametrize("terminal", [name for name in TERMINALS if name not in ("Terminator", "kitty", "file URI with a host")])
def test_several_dropped_files_in_order(terminal: str, home: Path) -> None:
    names = ("pics/a b.png", "pics/cat.png", "pics/two  spaces.png", "pics/katze-äöü-猫.png", "My Pictures/a b.png")
    wanted = [home / name for name in names]
    drop = find(" ".join(TERMINALS[terminal](str(path)).strip() for path in wanted) + " ", home)
    assert (paths(drop), drop.rest) == (wanted, "")


@pytest.mark.parametrize("joint", ["\n", "\r\n", "\r", "\n\n"])
@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_file_on_each_line(terminal: str, joint: str, home: Path) -> None:
    wanted = [home / folder / name for folder in ("My Pictures", "pics") for name in NAMES]
    drop = find(joint.join(TERMINALS[terminal](str(path)).strip() for path in wanted), home)
    assert (paths(drop), drop.rest) == (wanted, "")


def test_a_list_of_uris_with_a_comment(home: Path) -> None:
    assert paths(find(f"# dragged\n{uri(str(home / 'cat.png'))}\n{uri(str(home / 'pics/a b.png'))}\n", home)) == [
        home / "cat.png",
        home / "pics/a b.png",
    ]


def test_a_heading_above_paths_is_kept(home: Path) -> None:
    assert find(f"# Cats\n{home}/cat.png", home) == Drop((DroppedFile(home / "cat.png", FileKind.PICTURE),), "# Cats")


def test_the_home_and_relative_paths(home: Path) -> None:
    for text in ("~/pics/a b.png", "~/pics/a\\ b.png", "'~/pics/a b.png'", "pics/a b.png", "./pics/a b.png", "pics/../pics/a b.png"):
        drop = find(text, home)
        assert [path.resolve() for path in paths(drop)] == [home / "pics/a b.png"], text
        assert drop.rest == ""
    assert paths(find_drops("../cat.png", home / "pics", home)) == [home / "pics/../cat.png"]
    assert paths(find("cat.png", home)) == [home / "cat.png"]


@pytest.mark.parametrize("text", [r"C:\Users\me\a b.png", r'"C:\Users\me\a b.png"', "C:/Users/me/a b.png", r"'c:\Users\me\a b.png' "])
def test_paths_of_windows_inside_the_wsl(text: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "_WINDOWS_DRIVES", home)
    picture = home / "c/Users/me/a b.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(PNG)
    assert paths(find(text, home)) == [picture]
    assert find(rf"look at {text.strip()} now", home).rest == "look at now"


def test_a_share_of_the_wsl(home: Path) -> None:
    share = "\\\\wsl.localhost\\Ubuntu" + str(home / "pics/a b.png").replace("/", "\\")
    assert paths(find(share, home)) == paths(find(f'"{share}"', home)) == [home / "pics/a b.png"]


def test_uris_of_other_hosts_are_not_looked_for_here(home: Path) -> None:
    assert paths(find(f"file://{socket.gethostname()}{home}/cat.png", home)) == [home / "cat.png"]
    assert paths(find(f"file://elsewhere.example{home}/cat.png", home)) == []


@pytest.mark.parametrize(
    ("text", "found", "rest"),
    [
        ("what is in ~/pics/a b.png?", ["pics/a b.png"], "what is in?"),
        ("what is in ~/pics/a b.png", ["pics/a b.png"], "what is in"),
        ("~/pics/a b.png what is this?", ["pics/a b.png"], "what is this?"),
        ("what is in '~/pics/a b.png'?", ["pics/a b.png"], "what is in?"),
        ('read "~/pics/it\'s here.png", please', ["pics/it's here.png"], "read, please"),
        ("read ~/pics/a\\ b.png, please", ["pics/a b.png"], "read, please"),
        ("read `~/pics/a b.png` please", ["pics/a b.png"], "read please"),
        ("read “~/pics/a b.png” please", ["pics/a b.png"], "read please"),
        ("compare ~/cat.png with ~/pics/cat.png.", ["cat.png", "pics/cat.png"], "compare with."),
        ("compare ~/pics/a b.png and ~/My Pictures/a b.png, in short", ["pics/a b.png", "My Pictures/a b.png"], "compare and, in short"),
        ("compare ~/pics/a b.png ~/My Pictures/a b.png", ["pics/a b.png", "My Pictures/a b.png"], "compare"),
        ("what is pics/cat.png about?", ["pics/cat.png"], "what is about?"),
        ("what is 'cat.png' about?", ["cat.png"], "what is about?"),
        ("look (~/cat.png) here", ["cat.png"], "look () here"),
        ("first\n~/cat.png\n~/pics/cat.png\nwhat are these?", ["cat.png", "pics/cat.png"], "first\nwhat are these?"),
        ("~/cat.png里面有什么", ["cat.png"], "里面有什么"),
        ("see file:///HOME/pics/a%20b.png now", ["pics/a b.png"], "see now"),
        ("sum up ~/notes.md", ["notes.md"], "sum up"),
        ("sum up ~/report.pdf", ["report.pdf"], "sum up"),
    ],
)
def test_a_path_inside_a_sentence(text: str, found: list[str], rest: str, home: Path) -> None:
    drop = find(text.replace("/HOME", str(home)), home)
    assert (paths(drop), drop.rest) == ([home / name for name in found], rest)


def test_the_longest_run_of_words_wins(home: Path) -> None:
    (home / "a.png").write_bytes(PNG)
    (home / "a.png and b.png").write_bytes(PNG)
    assert paths(find("see ~/a.png and b.png here", home)) == [home / "a.png and b.png"]
    (home / "why.png?").write_bytes(PNG)
    assert paths(find("see ~/why.png? here", home)) == [home / "why.png?"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n ",
        "hello",
        "what is in cat.png?",
        "pics",
        "/",
        "~",
        "~/",
        ".",
        "is /tmp full, and/or ~ too?",
        "what do you think of /dev/null and /bin/sh?",
        "it's 'quoted' and \"so on",
        "https://example.org/cat.png",
        "see https://example.org/~/cat.png or mailto:x@y",
        "a / b / c",
        "![a cat](pics/cat.png) and <img src='pics/cat.png'>",
        'open("pics/cat.png")',
        'Traceback:\n  File "~/notes.md", line 1\n',
        "~nobody/cat.png",
        "cat.png\0",
        "\\",
        "'",
        '"\\',
        "/image ~/cat.png",
        "/image data:image/png;base64,AAAA",
        "/help",
    ],
)
def test_other_text_stays_as_it_is(text: str, home: Path) -> None:
    assert find(text, home) == Drop(rest=text)


def test_kinds_are_judged_by_what_the_file_holds(home: Path) -> None:
    os.mkfifo(home / "pipe.png")
    contents = {
        "picture.txt": (PNG, FileKind.PICTURE),
        "text.png": (b"only words", FileKind.TEXT),
        "bm.txt": (b"BMW is a car", FileKind.TEXT),
        "cut.txt": (b"x" * (64 * 1024 - 1) + "äöü".encode(), FileKind.TEXT),
        "latin.txt": ("äöü".encode("latin-1"), FileKind.OTHER),
        "zeros.txt": (b"a\0b", FileKind.OTHER),
        "empty.png": (b"", FileKind.OTHER),
    }
    for name, (data, kind) in contents.items():
        (home / name).write_bytes(data)
        assert find(str(home / name), home).files[0].kind is kind, name
    assert find(str(home / "pipe.png"), home).files[0].kind is FileKind.OTHER
    assert find("/dev/zero", home).files[0].kind is FileKind.OTHER
    assert find(str(home / "pics"), home).files[0].kind is FileKind.FOLDER
    assert find(f"'{home / 'My Pictures'}' '{home / 'report.pdf'}' ", home) == Drop(
        (DroppedFile(home / "My Pictures", FileKind.FOLDER), DroppedFile(home / "report.pdf", FileKind.OTHER))
    )


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("/Users/me/cat.png", ["/Users/me/cat.png"]),
        ("/Users/me/My cat.PNG", ["/Users/me/My cat.PNG"]),
        ("/Users/me/My\\ cat.png", ["/Users/me/My cat.png"]),
        ("'/Users/me/My cat.png' ", ["/Users/me/My cat.png"]),
        ("/Users/me/a.png /Users/me/b.pdf", ["/Users/me/a.png", "/Users/me/b.pdf"]),
        ("/Users/me/a.png\n/Users/me/b.png", ["/Users/me/a.png", "/Users/me/b.png"]),
        ("~/no cat.png", ["~/no cat.png"]),
        ("file:///Users/me/a%20b.png", ["file:///Users/me/a%20b.png"]),
        (r'"Q:\Users\me\a b.png"', [r"Q:\Users\me\a b.png"]),
        ("'sftp://host/home/me/cat.png'", ["sftp://host/home/me/cat.png"]),
        ("what is in /Users/me/cat.png?", []),
        ("/Users/me/a.png and /Users/me/b.png", []),
        ("/Users/me/cat.png is nice", []),
        ("/Users/me/cat", []),
        ("cat.gif", []),
        ("https://example.org/cat.png", []),
        ("/image /Users/me/cat.png", []),
    ],
)
def test_a_whole_path_that_is_not_here_says_so(text: str, missing: list[str], home: Path) -> None:
    assert find(text, home) == Drop(rest=text, missing=tuple(missing))


def test_data_uris_are_pictures_too(home: Path) -> None:
    long = "data:image/png;base64," + "iVBORw0KGgo" * 20_000
    short = "data:image/svg+xml;base64,AAA="
    assert find(long, home) == Drop(data_uris=(long,))
    assert find(f"what is {long} and {short}, and ~/cat.png?", home) == Drop(
        (DroppedFile(home / "cat.png", FileKind.PICTURE),), "what is and, and?", (), (long, short)
    )
    wrapped = "data:image/png;base64," + "\n".join(["A" * 76] * 3 + ["BC=="])
    assert find(f"{wrapped}\nwhat is this?", home) == Drop(rest="what is this?", data_uris=(wrapped.replace("\n", ""),))


def test_a_long_text_is_not_searched_and_a_hard_one_is_quick(home: Path) -> None:
    long = f"{home}/cat.png " + "x" * MAX_CHARACTERS
    assert find(long, home) == Drop(rest=long)
    for hard in ("/ ", '"/a ', "'/a.", "~/a.b ", "\\/", "“/. ", "/a\n", "(/", "/tmp ", "/tmp\n", "/tmp x ", "data:image/png;base64,A"):
        began = time.process_time()
        find(hard * (MAX_CHARACTERS // len(hard)), home)
        assert time.process_time() - began < 5, hard


def test_all_files_of_a_large_drop_are_found(home: Path) -> None:
    wanted = [home / f"n {number}.png" for number in range(500)]
    for path in wanted:
        path.write_bytes(PNG)
    assert paths(find("\n".join(map(str, wanted)), home)) == wanted
    assert paths(find(" ".join(single(str(path)) for path in wanted), home)) == wanted


FILE_NAMES = st.text(
    st.one_of(st.sampled_from(" '\"\\$()`!&;#.%~-äé猫🐈\u0301"), st.characters(codec="utf-8", exclude_characters="/\0")), min_size=1
).map(lambda name: f"{name[:40]}.png")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=FILE_NAMES)
def test_every_style_of_quoting_finds_a_file_of_any_name(name: str, tmp_path: Path) -> None:
    assume(len(os.fsencode(name)) <= 255)
    path = tmp_path / name
    path.write_bytes(PNG)
    try:
        for style in (escape_all, single, double, uri, str):
            text = style(str(path))
            if style is escape_all and any(blank in name for blank in "\r\n"):
                continue  # a line break cannot be escaped with a backslash
            assert find_drops(text, tmp_path, tmp_path) == Drop((DroppedFile(path, FileKind.PICTURE),)), (style, text)
            assert find_drops(f"see {text}", tmp_path, tmp_path).files or style is str, (style, text)
    finally:
        path.unlink()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.one_of(st.sampled_from(" \n\r'\"\\/~.:“”`()file"), st.characters(codec="utf-8")), max_size=80))
def test_no_text_breaks_the_search(text: str, tmp_path: Path) -> None:
    drop = find_drops(text, tmp_path, tmp_path)
    if not drop.files:
        assert drop.rest == text
