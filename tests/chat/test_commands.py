"""A line is told from a command, and no command ever goes to the model by mistake."""

from __future__ import annotations

import pytest

from nemochat.desk.commands import COMMANDS, ArgumentKind, Invoke, Parsed, Say, Unknown, find_command, is_command_line, parse

FILES = {"/cat.png", "/tmp/a b.png", "/export", "a b.png", "a\\b.png"}


def read(text: str) -> Parsed:
    return parse(text, FILES.__contains__)


def test_the_table_is_sound() -> None:
    names = [name for command in COMMANDS for name in (command.name, *command.aliases)]
    assert len(names) == len(set(names))
    for command in COMMANDS:
        assert command.help
        assert command.name == command.name.lower()
        assert (command.argument == "") == (command.argument_kind is ArgumentKind.NONE)
        # What help shows in brackets may be left out.
        assert command.needs_argument == (command.argument != "" and not command.argument.startswith("["))
    wanted = (
        "image doc clear new open search model persona system tools regen continue edit fork rename pin exclude export theme settings "
        "stats copy help quit"
    )
    assert set(wanted.split()) <= set(names)


@pytest.mark.parametrize(
    ("text", "name", "argument"),
    [
        ("/help", "help", ""),
        ("/HELP", "help", ""),
        ("/image", "image", ""),
        ("/attach ~/cat.png", "image", "~/cat.png"),
        ("/image a b.png", "image", "a b.png"),
        ("/image 'a b.png'", "image", "a b.png"),
        ('/image "a b.png" ', "image", "a b.png"),
        ("/image it\\'s\\ here.png", "image", "it's here.png"),
        ("/image a\\b.png", "image", "a\\b.png"),
        ("/image it's here.png", "image", "it's here.png"),
        ("/system  You are\nbrief. ", "system", "You are\nbrief."),
        ("/system\nBe brief.", "system", "Be brief."),
        ("/search 'two words'", "search", "'two words'"),
        ("/theme\tpaper", "theme", "paper"),
        ("/exit", "quit", ""),
    ],
)
def test_commands(text: str, name: str, argument: str) -> None:
    command = find_command(name)
    assert command is not None
    assert read(text) == Invoke(command, argument)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        " /help",
        "\n/help",
        "what does /help do?",
        "/usr/bin/env is what?",
        "/and/or",
        "/ 2",
        "/cat.png",
        "/cat.png\n",
        "/cat.png what is this?",
        "/tmp/a b.png",
        "/tmp/a b.png\nwhat is this?",
        "/export",
    ],
)
def test_what_is_said_as_it_is(text: str) -> None:
    assert read(text) == Say(text)


def test_two_slashes_say_one() -> None:
    assert read("//help") == Say("/help")
    assert read("//") == Say("/")
    assert read("//help\nmore") == Say("/help\nmore")


@pytest.mark.parametrize(
    ("text", "name", "nearest"),
    [
        ("/hlep", "hlep", "help"),
        ("/imgae ~/cat.png", "imgae", "image"),
        ("/sys", "sys", "system"),
        ("/regenrate", "regenrate", "regen"),
        ("/xyzzy", "xyzzy", ""),
        ("/q", "q", ""),
        ("/", "", ""),
        ("/\x1b[31mred", "[31mred", ""),
        ("/" + "x" * 1000, "x" * 40, ""),
    ],
)
def test_unknown_ones_offer_the_nearest(text: str, name: str, nearest: str) -> None:
    assert read(text) == Unknown(name, nearest)


def test_a_command_line_is_known_without_the_disk() -> None:
    assert is_command_line("/image ~/cat.png")
    assert is_command_line("/attach\n")
    for text in ("/", "", "/tmp/cat.png", " /image", "//image", "/nothing"):
        assert not is_command_line(text)
