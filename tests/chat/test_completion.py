"""What is offered while typing is what the rest of the program understands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nemochat.chat.drops import find_drops
from nemochat.desk.commands import COMMANDS, Invoke, parse
from nemochat.desk.completion import MOST, Completion, complete
from nemochat.domain.images import RgbImage
from nemochat.domain.sanitize import sanitize
from nemochat.images import to_png

PNG = to_png(RgbImage.from_rgb(1, 1, b"\xff\x00\x00"))
CHOICES = {"theme": ("paper", "nvidia-green", "midnight"), "model": ("demo", "nemovision-4b")}


STEMS = st.text(
    st.one_of(st.sampled_from(" '\"\\$()`!"), st.characters(codec="utf-8", exclude_characters="/\0")), min_size=1, max_size=20
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "My Pictures").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "docs").mkdir()
    for name in ("a b.png", "cat.png", "Dog.png", "My Pictures/x y.png", ".secret.png", "notes.md", "docs/it's.png"):
        (tmp_path / name).write_bytes(PNG)
    return tmp_path


def at(text: str, home: Path) -> Completion | None:
    return complete(text, CHOICES, home, home)


def inserts(text: str, home: Path) -> list[str]:
    """The texts that the candidates lead to."""
    found = at(text, home)
    return [] if found is None else [text[: found.start] + candidate.insert for candidate in found.candidates]


def test_all_commands_are_offered_after_a_slash(home: Path) -> None:
    assert [text.strip() for text in inserts("/", home)] == [f"/{command.name}" for command in COMMANDS]


def test_commands_by_beginning_then_by_letters(home: Path) -> None:
    assert inserts("/re", home)[:3] == ["/rename ", "/remember ", "/regen"]
    assert inserts("/IM", home)[0] == "/image "
    assert inserts("/xpt", home) == ["/export "]
    assert inserts("/att", home) == ["/image "]
    found = at("/ima", home)
    assert found is not None
    assert (found.candidates[0].label, found.candidates[0].help) == ("/image [PATH]", COMMANDS[0].help)


def test_a_finished_command_offers_nothing_so_that_enter_runs_it(home: Path) -> None:
    assert at("/help", home) is None
    assert at("/quit", home) is None
    assert at("/help ", home) is None
    assert at("/help x", home) is None
    assert inserts("/theme", home) == ["/theme "]


def test_choices_of_a_command(home: Path) -> None:
    assert inserts("/theme ", home) == ["/theme paper", "/theme nvidia-green", "/theme midnight"]
    assert inserts("/theme  gr", home) == ["/theme  nvidia-green"]
    assert inserts("/model nv", home) == ["/model nemovision-4b"]
    assert at("/theme paper", home) is None
    assert at("/theme zzz", home) is None
    assert at("/persona ", home) is None
    assert at("/search ca", home) is None


def test_choices_with_escape_sequences_are_not_offered(home: Path) -> None:
    found = complete("/model ", {"model": ("\x1b]0;x\x07", "\u202ebad", "\u200egood")}, home, home)
    assert found is not None
    assert [(candidate.insert, candidate.label) for candidate in found.candidates] == [("\u200egood", "good")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/image ", ['/image "a b.png"', "/image cat.png", "/image docs/", "/image Dog.png", '/image "My Pictures/', "/image notes.md"]),
        ("/image c", ["/image cat.png"]),
        ("/image d", ["/image docs/", "/image Dog.png"]),
        ("/image My P", ['/image "My Pictures/']),
        ('/image "My Pictures/', ['/image "My Pictures/x y.png"']),
        ("/image My Pictures/", ['/image "My Pictures/x y.png"']),
        ("/image My\\ Pictures/", ['/image "My Pictures/x y.png"']),
        ('/image "My Pictures/x y.png"', []),
        ("/image docs/", ['/image "docs/it\'s.png"']),
        ("/image ~", ["/image ~/"]),
        ("/image ~/.", ["/image ~/.hidden/", "/image ~/.secret.png"]),
        ("/doc n", ["/doc notes.md"]),
        ("/open ./no", ["/open ./notes.md"]),
        ("/export doc", ["/export docs/"]),
        ("/image cat.png", []),
        ("/image cat.png ", []),
        ("/image zzz", []),
        ("/image nowhere/", []),
        ("/image cat.png/", []),
        ("/image \0/", []),
    ],
)
def test_paths_after_a_command(text: str, wanted: list[str], home: Path) -> None:
    assert inserts(text, home) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("what is in ~/c", ["what is in ~/cat.png"]),
        ("what is in ./a", ['what is in "./a b.png"']),
        ("what is in ./My", ['what is in "./My Pictures/']),
        ('what is in "./My Pictures/', ['what is in "./My Pictures/x y.png"']),
        ("what is in './My Pictures/x", ['what is in "./My Pictures/x y.png"']),
        ("what is in ./My\\ Pictures/", ['what is in "./My Pictures/x y.png"']),
        ("first\n./c", ["first\n./cat.png"]),
        ("./c", ["./cat.png"]),
        ("see ~/cat.png", []),
        ('see "./a b.png"', []),
        ("cat", []),
        ("this/that", []),
        ("either / or", []),
        ("either /", []),
        ("~/cat.png and", []),
        ("", []),
    ],
)
def test_paths_in_a_sentence(text: str, wanted: list[str], home: Path) -> None:
    assert inserts(text, home) == wanted


def test_absolute_paths(home: Path) -> None:
    assert inserts(f"see {home}/ca", home) == [f"see {home}/cat.png"]
    assert inserts(f"{home}/ca", home) == [f"{home}/cat.png"]
    assert "/tmp/" in inserts("/tm", home)


def test_never_more_than_fifty_the_nearest_first(tmp_path: Path) -> None:
    for number in range(120):
        (tmp_path / f"n{number:03}.png").touch()
    (tmp_path / "a.txt").touch()
    assert inserts("/image ", tmp_path) == [f"/image n{number:03}.png" for number in range(MOST)]


def test_labels_are_safe_and_names_that_cannot_be_typed_are_left_out(tmp_path: Path) -> None:
    for name in ("a\x1b]0;x\x07.png", "b\n.png", "b\u202egnp.exe", "c\u200fgnp.exe", os.fsdecode(b"d\xff.png")):
        (tmp_path / name).touch()
    found = at("/doc ", tmp_path)
    assert found is not None
    assert [candidate.label for candidate in found.candidates] == ["cgnp.exe"]


def test_an_unreadable_folder_gives_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    assert at("/image ", home) is None


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stem=STEMS)
def test_what_is_inserted_is_understood(stem: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{stem}.png"
    path.write_bytes(PNG)
    try:
        found = at("/image x", tmp_path)
        if sanitize(path.name) != path.name or "\n" in stem or "\t" in stem:
            assert found is None
            return
        assert found is not None
        line = f"/image {found.candidates[0].insert}"
        parsed = parse(line, lambda text: (tmp_path / text).is_file())
        assert isinstance(parsed, Invoke)
        assert tmp_path / parsed.argument == path
        in_sentence = at("see ./x", tmp_path)
        assert in_sentence is not None
        assert [file.path for file in find_drops(f"see {in_sentence.candidates[0].insert}", tmp_path, tmp_path).files] == [path]
    finally:
        path.unlink()
