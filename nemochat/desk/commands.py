"""The ONE table of commands: slash commands, palette, completion, help and the list in docs/keys.md; and how a line is told from one."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path

import msgspec

from nemochat.chat.drops import Drop, find_drops, missing_paths
from nemochat.chat.pictures import OpenedPicture
from nemochat.chat.quoting import unquoted
from nemochat.desk.desk import Desk
from nemochat.desk.dropping import clipboard_picture
from nemochat.desk.port import (
    AskFile,
    AskItem,
    AskSettings,
    AskText,
    AskTheme,
    DraftPutBack,
    Item,
    Said,
    ShowFigures,
    ShowText,
    TextInserted,
    TokenRemoved,
    Wanted,
    Working,
    working_folder,
)
from nemochat.domain.messages import Role
from nemochat.domain.sampling import COST, wanted_by_user
from nemochat.domain.sanitize import sanitize, shown
from nemochat.domain.ttft import rows_of
from nemochat.errors import SettingsError
from nemochat.images import sample_source
from nemochat.models.pull import Wish
from nemochat.paths import at_home
from nemochat.personas.sampling_presets import Preset, said_by
from nemochat.settings import SamplingSettings, parse_setting

_LONGEST_NAME = 40
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif")
"""Endings of the names of what can be attached."""
_LONGEST_LOST = 5_000
"""Characters of a text that is looked at for paths that lead nowhere, at each key."""


class ArgumentKind(StrEnum):
    """What may follow a command's name."""

    NONE = "none"
    TEXT = "text"
    PATH = "path"
    CHOICE = "choice"


SAMPLE_QUESTIONS = ("Describe the picture.", "What colour is the triangle?")
"""What a new user can ask about the sample picture. The built-in model answers them rightly, which a test holds."""

Run = Callable[[Desk, str], object]
"""What a command does with its argument, "" for none; it may be awaited, and may raise NemochatError."""


class Command(msgspec.Struct, frozen=True):
    """A slash command. `argument` is how help shows it: "PATH", in brackets where it may be left out, "" for none."""

    name: str
    help: str
    run: Run
    argument: str = ""
    argument_kind: ArgumentKind = ArgumentKind.NONE
    needs_argument: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The command as it is typed: "/image PATH"."""
        return f"/{self.name} {self.argument}".rstrip()


async def _image(desk: Desk, argument: str) -> None:
    """``/image PATH``; ``/image off`` takes those that are there out of the next message."""
    if argument == "off" and not is_file(argument):
        for item in desk.draft.items:
            desk.draft.remove(item.key)
        desk.port.tell(Said("The next message has no pictures now."))
        return
    path = path_of(argument) if argument else await desk.port.ask(AskFile("Attach a picture", "Pictures", _PICTURES))
    if path is not None:
        desk.draft.add_source(str(path))


def _sample(desk: Desk, argument: str) -> None:
    """``/sample`` attaches the sample picture; with a number it asks that question, about it or about what is attached already."""
    if not argument:
        desk.draft.add_source(sample_source())
    elif not argument.isdecimal() or not 0 < int(argument) <= len(SAMPLE_QUESTIONS):
        desk.port.tell(Said(f"/sample takes a number from 1 to {len(SAMPLE_QUESTIONS)}, or nothing."))
    elif desk.draft.text.strip():
        desk.port.tell(Said("The prompt is not empty: send or clear it first."))
    else:
        keys = [item.key for item in desk.draft.items]
        for key in keys:
            desk.port.tell(TokenRemoved(key))
        desk.sending.send(SAMPLE_QUESTIONS[int(argument) - 1], keys, () if keys else (sample_source(),))


async def _doc(desk: Desk, argument: str) -> None:
    if argument:
        await desk.documents.add(desk.conversation, path_of(argument))
    else:
        await desk.documents.choose(desk.conversation)


async def _open(desk: Desk, argument: str) -> None:
    if not argument:
        desk.port.tell(Wanted("drawer"))
    elif not desk.refuse_while_busy():
        path = path_of(argument)
        await (desk.chats.open_file(path) if is_file(str(path)) else desk.chats.resume(argument))


async def _export(desk: Desk, argument: str) -> None:
    await desk.chats.export(desk.chat, argument)


def _rename(desk: Desk, argument: str) -> object:
    conversation = desk.conversation

    def name(text: str | None) -> None:
        if text and text.strip():
            conversation.change(lambda chat: chat.named(text.strip()))

    async def ask() -> None:
        name(await desk.port.ask(AskText("Name of this chat", conversation.chat.title, one_line=True)))

    if not argument:
        return ask()
    name(argument)
    return None


async def _get(desk: Desk, argument: str) -> None:
    await (desk.downloads.get(Wish(argument)) if argument else desk.downloads.choose())


async def _persona(desk: Desk, argument: str) -> None:
    """``/persona NAME``, ``/persona import FILE``, ``/persona off``; alone it opens the list."""
    word, _, rest = argument.partition(" ")
    if word == "import" and rest.strip():
        await desk.roles.import_file(path_of(rest.strip()))
    elif word == "off" and not rest:
        desk.roles.give_up()
    else:
        await desk.roles.choose(argument)


async def _lore(desk: Desk, argument: str) -> None:
    """``/lore NAME``, ``/lore import FILE``, ``/lore try TEXT``; alone it opens the list."""
    word, _, rest = argument.partition(" ")
    if word == "import" and rest.strip():
        await desk.lore.offer(path_of(rest.strip()))
    else:
        await desk.lore.visit(argument)


async def _system(desk: Desk, argument: str) -> None:
    if desk.refuse_while_busy():
        return
    conversation = desk.conversation
    asks = AskText("System text", conversation.chat.frame.system, "What the model is told before everything else.")
    text = argument or await desk.port.ask(asks)
    if text is not None and not desk.refuse_while_busy():
        conversation.change(lambda chat: chat.framed(text.strip()))


async def _sampling(desk: Desk, argument: str) -> None:
    """``/sampling`` shows what is in force; ``/sampling top_k=20`` asks for it in this chat, ``/sampling top_k=`` no more."""
    conversation = desk.conversation
    if argument:
        name, value = (*re.split(r"\s*[\s=]\s*", argument, maxsplit=1), "")[:2]
        if name not in SamplingSettings.__struct_fields__:
            raise SettingsError(f"Sampling has no {name}.", f"There are: {', '.join(SamplingSettings.__struct_fields__)}.")
        wanted = parse_setting(f"sampling.{name}", value)
        if desk.refuse_while_busy():
            return
        conversation.change(lambda chat: chat.sampled(**{name: wanted}))
    if desk.sampling is None:
        desk.port.tell(Said("The model is still being loaded."))
    elif argument:
        desk.port.tell(Said(f"In force: {desk.sampling.words(name)}"))
    else:
        now = desk.sampling
        others = ", ".join(name for name in now.sources if name not in now.said)
        lines = [*map(now.words, now.said), "", now.order, COST, "", f"Nobody asks for: {others}."]
        await desk.port.ask(ShowText("Sampling", "\n".join(lines)))


async def _preset(desk: Desk, argument: str) -> None:
    """``/preset NAME`` makes the replies of this chat so, ``/preset save NAME`` keeps how they are made, ``/preset remove NAME``,
    ``/preset off``; alone it lists them."""
    word, _, rest = argument.partition(" ")
    rest = rest.strip()
    if word == "save" and rest:
        wanted = wanted_by_user(desk.sampling) if desk.sampling is not None else desk.chat.sampling or SamplingSettings()
        await asyncio.to_thread(desk.presets.save, Preset(rest, wanted))
        desk.port.tell(Said(f"Kept as {rest}. /preset {rest} makes replies so in another chat."))
    elif word == "remove" and rest:
        name, place = await asyncio.to_thread(desk.presets.remove, rest)
        desk.port.tell(Said(f"{name} is no preset any more. It lies in {shown(place)}."))
    elif argument == "off":
        if not desk.refuse_while_busy():
            desk.conversation.change(lambda chat: msgspec.structs.replace(chat, sampling=None))
            desk.port.tell(Said("Nothing is asked for in this chat alone any more."))
    else:
        await _use_preset(desk, argument)


async def _use_preset(desk: Desk, name: str) -> None:
    conversation = desk.conversation
    if not name:
        found = await asyncio.to_thread(desk.presets.list)
        for notice in desk.presets.notices:
            desk.port.tell(Said(notice))
        items = tuple(Item(each.name, each.name, said_by(each.sampling)) for each in found)
        name = await desk.port.ask(AskItem("Sampling presets", items, empty="There are none yet: /preset save NAME makes one.")) or ""
    if not name:
        return
    preset = await asyncio.to_thread(desk.presets.find, name)
    if desk.refuse_while_busy():
        return
    conversation.change(lambda chat: msgspec.structs.replace(chat, sampling=preset.over(chat.sampling)))
    order = f" {desk.sampling.order}" if desk.sampling is not None else ""
    desk.port.tell(Said(f"Replies in this chat are made as {preset.name} says.{order}"))


async def _import(desk: Desk, argument: str) -> None:
    await desk.moving.take(path_of(argument))


async def _remember(desk: Desk, text: str) -> None:
    await desk.memory.remember(text)


async def _compact(desk: Desk, words: str) -> None:
    await desk.memory.compact(words)


async def _summary(desk: Desk, argument: str) -> None:
    await desk.memory.visit(argument.lower())


def _think(desk: Desk, argument: str) -> None:
    """``/think on``, ``off`` or ``auto`` in this chat; alone it says how it is."""
    wanted = {"on": True, "off": False, "auto": None, "": ""}.get(argument.lower(), argument)
    session = desk.model.session
    if session is None or not desk.model.is_loaded or desk.sampling is None:
        desk.port.tell(Said("The model is still being loaded."))
    elif isinstance(wanted, str) and wanted:
        desk.port.tell(Said("/think takes on, off or auto."))
    elif not session.reader.load.format.traits.reasoning_switch:
        desk.port.tell(Said(f"{desk.model.name} cannot be told whether to think: it has no switch for that."))
    elif wanted != "" and desk.refuse_while_busy():
        return
    else:
        if wanted != "":
            desk.conversation.change(lambda chat: chat.sampled(think=wanted))
        desk.port.tell(Said(f"In force: {desk.sampling.words('think')}"))


async def _mcp(desk: Desk, argument: str) -> None:
    conversation = desk.conversation
    taken = await desk.servers.visit(argument)
    for place, name, text in taken.documents:
        await desk.documents.add_text(conversation, place, name, text)
    for name, picture in taken.pictures:
        desk.draft.add(name, partial(_same, picture))
    if taken.text:
        desk.port.tell(TextInserted(taken.text))
        desk.port.tell(Wanted("prompt"))


async def _doctor(desk: Desk, _: str) -> None:
    desk.port.tell(Working("looking at everything ..."))
    try:
        found = await desk.bench.doctor()
    finally:
        desk.port.tell(Working(""))
    await desk.port.ask(ShowText("Doctor", found))


async def _eval(desk: Desk, argument: str) -> None:
    await desk.messages.keep_question(right=argument)


async def _theme(desk: Desk, argument: str) -> None:
    name = argument or await desk.port.ask(AskTheme())
    if name:
        desk.port.tell(Wanted("theme", name))


async def _settings(desk: Desk, _: str) -> None:
    presets = await asyncio.to_thread(desk.presets.list)
    changes = await desk.port.ask(AskSettings(desk.bench.settings, desk.bench.locked, desk.sampling, presets, desk.bench.misplaced))
    if changes:
        await desk.settings_changed(changes)


async def _stats(desk: Desk, _: str) -> None:
    library = desk.bench.library
    await desk.port.ask(ShowFigures(tuple(rows_of(desk.chat)), lambda: asyncio.to_thread(library.replies)))


def _on_last(action: str) -> Run:
    """What a message's own key does, with the last message that it fits."""
    wanted = {Role.USER, Role.ASSISTANT} if action in ("fork", "pin", "exclude", "regenerate") else {Role.ASSISTANT}

    def run(desk: Desk, _: str) -> object:
        entries = desk.chat.entries
        at = next((index for index in range(len(entries) - 1, -1, -1) if entries[index].message.role in wanted), None)
        if at is None:
            desk.port.tell(Said("There is no message yet." if len(wanted) > 1 else "There is no reply yet."))
            return None
        if action == "continue" and at != len(entries) - 1:
            desk.port.tell(Said("There is no reply to continue."))
            return None
        return desk.messages.act(entries[at].id, action)

    return run


def _wants(what: str) -> Run:
    """Something that only the interface can do."""
    return lambda desk, _: desk.port.tell(Wanted(what))


_PATH, _TEXT, _CHOICE = ArgumentKind.PATH, ArgumentKind.TEXT, ArgumentKind.CHOICE

COMMANDS: tuple[Command, ...] = (
    Command("image", "Attach a picture; without PATH, choose a file", _image, "[PATH]", _PATH, aliases=("attach",)),
    Command("paste", "Attach the picture on the clipboard", lambda desk, _: desk.draft.add("clipboard", clipboard_picture)),
    Command("sample", "Attach a sample picture; with 1 or 2 ask about it", _sample, "[1 | 2]", _CHOICE),
    Command("doc", "Search a file or folder for each message; without PATH, list them", _doc, "[PATH]", _PATH),
    Command("new", "Begin a new chat; this one stays in the list", lambda desk, _: desk.new(), aliases=("clear",)),
    Command("open", "List your chats, or open an exported file", _open, "[FILE]", _PATH),
    Command("search", "Search in every chat", lambda desk, words: desk.chats.search(words), "[TEXT]", _TEXT),
    Command("import", "Bring in chats, characters and presets of other programs", _import, "PATH", _PATH, needs_argument=True),
    Command("rename", "Give this chat a name", _rename, "TEXT", _TEXT, needs_argument=True),
    Command("export", "Write this chat to a .md, .json or .html file", _export, "[FILE]", _PATH),
    Command("model", "Change the model", lambda desk, name: desk.choose_model(name), "[NAME]", _CHOICE),
    Command("get", "Get a model from Hugging Face, NGC or an address", _get, "[SOURCE]", _TEXT),
    Command("persona", "Choose the persona that the model plays", _persona, "[NAME | import FILE | off]", _CHOICE),
    Command("group", "Let several personas speak in this chat", lambda desk, text: desk.groups.run(text), "[add NAME | ...]", _CHOICE),
    Command("speak", "Let a member of the group speak now", lambda desk, name: desk.groups.speak(name), "[NAME]", _CHOICE),
    Command("me", "Set who you are in a roleplay", lambda desk, text: desk.roles.profile(text), "[NAME: ABOUT]", _TEXT),
    Command("note", "Write an author's note that stays near the end", lambda desk, text: desk.roles.note(text), "[@DEPTH TEXT]", _TEXT),
    Command("lore", "Show the lorebooks; with NAME use one in this chat", _lore, "[NAME | import FILE | try TEXT]", _CHOICE),
    Command("remember", "Tell the model something in every prompt of this chat", _remember, "[@persona TEXT]", _TEXT),
    Command("compact", "Let a summary stand in for all but the newest messages", _compact, "[WHAT TO KEEP]", _TEXT),
    Command("summary", "Edit the summary, switch it on or off, delete it", _summary, "[on|off|edit|delete]", _CHOICE),
    Command("impersonate", "Let the model write your next words as a draft", lambda desk, _: desk.sending.impersonate()),
    Command("system", "Change the system text: what the model is told first", _system, "[TEXT]", _TEXT),
    Command("sampling", "Show how replies are made, or change it in this chat", _sampling, "[NAME=VALUE]", _TEXT),
    Command("preset", "Make replies as a preset says, or make one", _preset, "[NAME | save NAME | remove NAME | off]", _CHOICE),
    Command("think", "Let the model think before it speaks, or not", _think, "[on|off|auto]", _CHOICE),
    Command("tools", "Show the tools and what they did", _wants("tools")),
    Command("mcp", "MCP servers: trust, prompts, resources, log", _mcp),
    Command("regen", "Generate the last reply again", _on_last("regenerate"), aliases=("regenerate",)),
    Command("continue", "Continue the last reply", _on_last("continue")),
    Command("edit", "Change your last message and send it again", lambda desk, _: desk.messages.edit_last()),
    Command("fork", "Continue in a copy of this chat", _on_last("fork")),
    Command("pin", "Keep the last message when older ones are forgotten", _on_last("pin")),
    Command("exclude", "Hide the last message from the model", _on_last("exclude")),
    Command("eval", "Keep your last message with what would have been right", _eval, "[ANSWER]", _TEXT),
    Command("undo", "Undo an edit, a deletion or a pin", lambda desk, _: desk.undo()),
    Command("copy", "Copy the last reply", _on_last("copy")),
    Command("stats", "Time to first token: this chat and all, with plots", _stats),
    Command("doctor", "Look whether everything works here", _doctor),
    Command("theme", "Change the colours", _theme, "[NAME]", _CHOICE),
    Command("settings", "Change the settings", _settings),
    Command("help", "Keys and commands", _wants("help")),
    Command("quit", "Leave nemochat", _wants("quit"), aliases=("exit",)),
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


class Kind(StrEnum):
    """What Enter does with a text."""

    MESSAGE = "message"
    COMMAND = "command"
    LOST = "lost"
    """Nothing: it is the path of a file that is not on this machine, and says nothing else."""


def kind_of(text: str) -> Kind:
    """What Enter does with this text; asked at each key."""
    if not text.startswith("/"):
        return Kind.LOST if lost_paths(text) else Kind.MESSAGE
    if isinstance(parse(text, is_file), Invoke | Unknown):
        return Kind.COMMAND
    return Kind.LOST if lost_paths(text) else Kind.MESSAGE


def lost_paths(text: str) -> tuple[str, ...]:
    """The paths of which a text consists, with nothing between them, of files that are not on this machine."""
    if len(text) > _LONGEST_LOST or text.startswith("//"):
        return ()
    return missing_paths(text, working_folder(), Path.home())


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
    if command is None and "\n" in text.strip():
        return Say(text)  # several lines are a text, whatever they begin with
    if command is None:
        return Unknown(sanitize(name, strict=True)[:_LONGEST_NAME], _nearest(name.lower()))
    if command.argument_kind is ArgumentKind.PATH and not is_file(argument):
        argument = unquoted(argument)
    return Invoke(command, argument)


def is_command_line(text: str) -> bool:
    """Whether the text begins with the name of a command, whatever files there are."""
    return text.startswith("/") and find_command(_split(text)[0][1:]) is not None


def drops_in(text: str) -> Drop:
    """The files that a line, a paste or a drop names; a command is none."""
    return find_drops(text, working_folder(), Path.home(), is_command=is_command_line)


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


# -- what is done with a line


def submit(desk: Desk, text: str, tokens: Sequence[str], drop: Drop | None = None) -> None:
    """Run a command, or send a message with the pictures of these tokens and of the drop. The prompt has been emptied."""
    desk.draft.text = ""
    parsed = parse(text.strip(), is_file)
    labels = tuple((item.key, item.label) for item in desk.draft.items if item.key in tokens)
    match parsed:
        case Invoke(command, argument):
            desk.history.add(text.strip())
            desk.port.tell(DraftPutBack("", labels))
            run(desk, command.name, argument)
        case Unknown(name, nearest):
            hint = f" Did you mean /{nearest}?" if nearest else " /help lists the commands."
            desk.port.tell(Said(f"There is no command /{name}.{hint} To send it as text, begin with //."))
            desk.draft.put_back(text.strip())
            desk.port.tell(DraftPutBack("", labels))
        case Say() if drop is None and (lost := lost_paths(text.strip())):
            desk.dropping.complain(lost)
            desk.draft.put_back(text.strip())
            desk.port.tell(DraftPutBack("", labels))
        case _:
            sources = [*(str(file.path) for file in drop.files), *drop.data_uris] if drop is not None else []
            desk.sending.send(text, tokens, sources)


def run(desk: Desk, name: str, argument: str = "") -> None:
    """Run a command by its name."""
    command = _BY_NAME[name]
    desk.do(lambda: command.run(desk, argument))


def path_of(argument: str) -> Path:
    """The file that an argument names in any of the ways of a dropped path; as it stands when there is none."""
    if argument[:1] in ("'", '"') and argument.count(argument[0]) == 1:  # left open by a completed folder
        argument = argument[1:]
    found = find_drops(argument, working_folder(), Path.home()).files
    return found[0].path if found else at_home(argument)


def is_file(text: str) -> bool:
    """Whether a text names a file that exists."""
    try:
        return at_home(text).is_file()
    except (OSError, ValueError, RuntimeError):
        return False


def _same(picture: OpenedPicture) -> OpenedPicture:
    return picture
