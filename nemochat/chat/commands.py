"""The slash commands as data, and how a line is told from one."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from enum import StrEnum

import msgspec

from nemochat.chat.quoting import unquoted
from nemochat.domain.sanitize import sanitize

_LONGEST_NAME = 40


class ArgumentKind(StrEnum):
    """What may follow a command's name."""

    NONE = "none"
    TEXT = "text"
    PATH = "path"
    CHOICE = "choice"


class Command(msgspec.Struct, frozen=True):
    """A slash command. `argument` is how help shows it: "PATH", in brackets where it may be left out, "" for none."""

    name: str
    help: str
    argument: str = ""
    argument_kind: ArgumentKind = ArgumentKind.NONE
    needs_argument: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The command as it is typed: "/image PATH"."""
        return f"/{self.name} {self.argument}".rstrip()


COMMANDS: tuple[Command, ...] = (
    Command("image", "Attach a picture; alone it opens the file dialog", "[PATH]", ArgumentKind.PATH, aliases=("attach",)),
    Command("paste", "Attach the picture on the clipboard"),
    Command("doc", "Search a file or folder for each message; alone it lists them", "[PATH]", ArgumentKind.PATH),
    Command("new", "Begin a new chat; this one stays"),
    Command("clear", "Begin anew with an empty chat"),
    Command("open", "The list of your chats; an exported file", "[FILE]", ArgumentKind.PATH),
    Command("search", "Search in every chat", "[TEXT]", ArgumentKind.TEXT),
    Command("rename", "Give this chat a name", "TEXT", ArgumentKind.TEXT, needs_argument=True),
    Command("export", "Write this chat to a .md, .json or .html file", "[FILE]", ArgumentKind.PATH),
    Command("model", "Change the model", "[NAME]", ArgumentKind.CHOICE),
    Command("persona", "Change who the model is", "[NAME | import FILE | off]", ArgumentKind.CHOICE),
    Command("me", "Who you are in a roleplay"),
    Command("note", "A note of the author that stays near the end", "[@DEPTH TEXT]", ArgumentKind.TEXT),
    Command("impersonate", "Let the model write your next words as a draft"),
    Command("system", "Change what the model is told before everything else", "[TEXT]", ArgumentKind.TEXT),
    Command("tools", "Show the tools and what they did"),
    Command("mcp", "MCP servers: trust, prompts, what they let be read, log"),
    Command("regen", "Make the last reply again", aliases=("regenerate",)),
    Command("continue", "Let the last reply go on"),
    Command("edit", "Change your last message and send it again"),
    Command("fork", "Go on from here in a second chat"),
    Command("pin", "Keep the last message when older ones are forgotten"),
    Command("exclude", "Hide the last message from the model"),
    Command("undo", "Take back an edit, a deletion or a pin"),
    Command("copy", "Copy the last reply"),
    Command("stats", "Time to first token: this chat and all, with plots"),
    Command("theme", "Change the colours", "[NAME]", ArgumentKind.CHOICE),
    Command("settings", "Change the settings"),
    Command("help", "Keys and commands"),
    Command("quit", "Leave nemochat", aliases=("exit",)),
)
"""All commands, in the order in which help lists them."""

_BY_NAME: dict[str, Command] = {name: command for command in COMMANDS for name in (command.name, *command.aliases)}


class Say(msgspec.Struct, frozen=True):
    """No command: the text is for the model."""

    text: str


class Invoke(msgspec.Struct, frozen=True):
    """A command with its argument, "" for none. A path comes without its quotes."""

    command: Command
    argument: str = ""


class Unknown(msgspec.Struct, frozen=True):
    """Meant as a command, but there is none of that name. `nearest` is the name of one that is spelled much like it, or ""."""

    name: str
    nearest: str = ""


Parsed = Say | Invoke | Unknown


def find_command(name: str) -> Command | None:
    """The command of that name or alias, however it is capitalised, without the slash."""
    return _BY_NAME.get(name.lower())


def parse(text: str, is_file: Callable[[str], bool]) -> Parsed:
    """What a submitted text is. `is_file` says whether a text names a file that exists: a dropped path begins with a slash as well.

    ``//text`` says ``/text``; a first word with a second slash, such as ``/usr/bin``, is no command.
    """
    if not text.startswith("/"):
        return Say(text)
    if text.startswith("//"):
        return Say(text[1:])
    word, argument = _split(text)
    if any(is_file(candidate) for candidate in dict.fromkeys((text.strip(), text.splitlines()[0].strip(), word))):
        return Say(text)
    name = word[1:]
    if "/" in name or (not name and argument):
        return Say(text)
    command = find_command(name)
    if command is None:
        return Unknown(sanitize(name, strict=True)[:_LONGEST_NAME], _nearest(name.lower()))
    if command.argument_kind is ArgumentKind.PATH and not is_file(argument):
        argument = unquoted(argument)
    return Invoke(command, argument)


def is_command_line(text: str) -> bool:
    """Whether the text begins with the name of a command, whatever files there are."""
    return text.startswith("/") and find_command(_split(text)[0][1:]) is not None


def _split(text: str) -> tuple[str, str]:
    """The first word, and the rest."""
    word = text.split(maxsplit=1)[0]
    return word, text[len(word) :].strip()


def _nearest(name: str) -> str:
    """By beginning, then by likeness; "" when nothing is near."""
    if len(name) < 2:
        return ""
    known = [each for each in _BY_NAME if each.startswith(name)] or difflib.get_close_matches(name[:_LONGEST_NAME], _BY_NAME, n=1)
    return _BY_NAME[known[0]].name if known else ""
