"""``nemochat doctor``: what works here and what does not, each line found out just now, with what to do about it."""

from __future__ import annotations

import asyncio
import getpass
import os
import platform
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from nemochat import __version__
from nemochat.chat.remotes import Listing
from nemochat.cli.models import name_in_use
from nemochat.cli.opening import LocalModel
from nemochat.cli.output import print_json, say
from nemochat.cli.setup import Setup
from nemochat.domain.sanitize import sanitize
from nemochat.engine.installed import install_command, is_installed, not_installed
from nemochat.engine.trials import look_at_hardware
from nemochat.engine.tuning import Hardware
from nemochat.errors import NemochatError
from nemochat.files import log_problem, reason, try_writing
from nemochat.library.database import look_over
from nemochat.models import Catalogue, Entry
from nemochat.numbers import plural, size_text
from nemochat.paths import CACHE_VARIABLE, CONFIG_VARIABLE, DATA_VARIABLE, LOG_VARIABLE, Paths, find_paths
from nemochat.settings import Settings, load_settings
from nemochat.settings_file import locked_settings
from nemochat.system import terminal
from nemochat.system.memory import memory
from nemochat.tui.graphics import HALFBLOCKS, NONE, SIXEL, told_protocol

_PACKAGES = ("textual", "pillow", "msgspec", "httpx2", "mcp")
_DATABASE_SECONDS = 5.0
_SERVER_SECONDS = 10.0
_LITTLE_ROOM = 1_000_000_000
_SMALLER = "Take a smaller quantisation or a shorter context_length."
_MOST_MODELS = 50
_FOLDERS = re.compile(r"""(?<![\w~.:/\\])(?:[A-Za-z]:)?[\\/](?:[^\s\\/,;:()"']+[\\/])+""")
"""The folders of a path that is not below the user's home."""
_QUESTION = b"\x1b[?2004$p\x1b[?u\x1b[c"
"""Does it mark what is pasted, does it report keys Kitty's way, and what is it?"""


class State(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Check(msgspec.Struct, frozen=True):
    """One line. words: how it is; hint: what to do, "" for nothing."""

    name: str
    words: str
    state: State = State.OK
    hint: str = ""


def run(*, as_json: bool, report: bool) -> None:
    """Serve the command: all lines, as JSON, or as a text to paste. Raises SystemExit when something does not work."""
    checks = asyncio.run(examine([*_terminal(os.environ)]))
    is_well = not any(check.state is State.ERROR for check in checks)
    if as_json:
        print_json({"ok": is_well, "checks": checks})
    elif report:
        say(private(text_of(checks)))
    else:
        say(text_of(checks))
    if not is_well:
        raise SystemExit(1)


async def examine(of_terminal: Sequence[Check]) -> list[Check]:
    """All checks; those of the terminal come from whoever has it. Nothing is changed, and no check stops another."""
    paths = find_paths(os.environ)
    hardware, of_settings = await asyncio.gather(look_at_hardware(), asyncio.to_thread(_settings, paths))
    settings, settings_checks = of_settings
    catalogue = Catalogue(paths.models_file, os.environ)
    setup = Setup(paths, settings, catalogue, locked_settings(os.environ, {}))
    beside = (_folders(paths), _database(paths.library / "library.db", "chats"), _database(paths.documents, "documents"))
    gathered = await asyncio.to_thread(lambda: [check for checks in beside for check in checks])
    models = await asyncio.to_thread(lambda: [*_models(setup, hardware)])
    servers = await _servers(setup)
    engine = _engine(hardware, is_needed=not any(check.name.startswith("server ") and check.state is State.OK for check in servers))
    return [*_versions(), *settings_checks, *gathered, *of_terminal, *engine, *_memory(), *models, *servers]


def text_of(checks: Sequence[Check]) -> str:
    """Lines for people."""
    marks = {State.OK: "ok   ", State.WARNING: "note ", State.ERROR: "WRONG"}
    widest = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        lines.append(f"{marks[check.state]}  {check.name:{widest}}  {sanitize(check.words, strict=True)}")
        if check.hint:
            lines.append(f"{' ' * (9 + widest)}{sanitize(check.hint, strict=True)}")
    return "\n".join(lines)


def private(text: str) -> str:
    """The text without what it says of the user and the machine: the home folder, names, and addresses of servers."""
    home = str(Path.home())
    if len(home) > 1:
        text = text.replace(home, "~")
    text = _FOLDERS.sub(".../", text)
    text = re.sub(r"https?://[^\s,;)]+", lambda found: found[0] if _is_public(found[0]) else "http://...", text)
    with suppress(KeyError, OSError):
        text = _without(text, getpass.getuser(), "USER")
    return _without(text, socket.gethostname().split(".")[0], "HOST")


# -- the checks


def _versions() -> Iterator[Check]:
    system = " ".join(filter(None, (platform.system(), platform.release(), platform.machine())))
    yield Check("nemochat", f"{__version__}, Python {platform.python_version()}, {system}")
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Check("packages", ", ".join(found))
    if missing:
        yield Check("packages", f"missing: {', '.join(missing)}", State.ERROR, f"pip install {' '.join(missing)}")


def _settings(paths: Paths) -> tuple[Settings, list[Check]]:
    try:
        settings = load_settings(paths.settings_file, os.environ, {})
    except NemochatError as error:
        return Settings(), [Check("settings", error.message, State.ERROR, error.hint)]
    words = str(paths.settings_file) if paths.settings_file.exists() else "as they come: there is no config.toml"
    return settings, [Check("settings", words)]


def _folders(paths: Paths) -> Iterator[Check]:
    """Each is written to, or the nearest one above it that is there could have it made."""
    places = (
        ("config folder", paths.config_dir, CONFIG_VARIABLE),
        ("data folder", paths.data_dir, DATA_VARIABLE),
        ("log folder", paths.log_dir, LOG_VARIABLE),
        ("cache folder", paths.cache_dir, CACHE_VARIABLE),
    )
    for name, folder, variable in places:
        try:
            try_writing(folder)
            at = next(each for each in (folder, *folder.parents) if each.exists())
            free = shutil.disk_usage(at).free
        except OSError as error:
            hint = f"Change its permissions, or let {variable} name another folder."
            yield Check(name, f"{folder} cannot be written ({reason(error)})", State.ERROR, hint)
            continue
        words = f"{folder}{'' if at == folder else ', which is made when it is needed'}; {size_text(free)} free"
        is_full = free < _LITTLE_ROOM
        yield Check(name, words, State.WARNING if is_full else State.OK, "There is little room on this disk." if is_full else "")
    if paths.log_dir.is_dir() and (problem := log_problem(paths.engine_log)):
        yield Check("log", problem, State.WARNING)
    with suppress(OSError):
        days = (time.time() - paths.crash_log.stat().st_mtime) / 86400
        if days < 7:
            words = f"the interface ended unexpectedly {days:.1f} days ago"
            yield Check("crash log", words, State.WARNING, f"Report it with {paths.crash_log}")


def _database(path: Path, what: str) -> Iterator[Check]:
    """SQLite's own look at it, for so long as that may take; it is opened for reading alone."""
    if not path.exists():
        yield Check(what, "none yet")
        return
    problem = look_over(path, _DATABASE_SECONDS)
    if problem is None:
        yield Check(what, f"{size_text(path.stat().st_size)}; no damage in the first {_DATABASE_SECONDS:.0f} seconds of looking")
    elif problem:
        hint = "Mend it with: nemochat library repair" if what == "chats" else "Move it away: it is made anew when documents are added."
        yield Check(what, f"the database {problem}", State.ERROR, hint)
    else:
        yield Check(what, f"{size_text(path.stat().st_size)}, undamaged")


def _terminal(environment: Mapping[str, str]) -> Iterator[Check]:
    """What the terminal is, by its own answer where it gives one."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield Check("terminal", "none: input or output is no terminal", State.OK, "nemochat --plain and nemochat ask work without one.")
        return
    name = environment.get("TERM", "")
    if name in ("", "dumb"):
        yield Check("terminal", f"TERM={name or '(nothing)'}: it can only show lines", State.WARNING, "nemochat works line by line in it.")
        return
    answer = terminal.ask(_QUESTION)
    size = os.get_terminal_size()
    silent = "" if answer else ", which does not answer questions"
    is_small = size.columns < 60 or size.lines < 16
    hint = "Make it larger: below 60 x 16 little is seen." if is_small else ""
    words = f"{environment.get('TERM_PROGRAM') or name}, {size.columns} x {size.lines}{silent}"
    yield Check("terminal", words, State.WARNING if is_small else State.OK, hint)
    yield _colours(environment, name)
    told = told_protocol("auto", environment) or (SIXEL if re.search(rb"\x1b\[\?[\d;]*;4[;c]", answer) else HALFBLOCKS)
    yield Check("pictures", {HALFBLOCKS: "as half blocks, two pixels a cell", NONE: "none"}.get(told, f"drawn by {told}"))
    pasted = b"2004;1$y" in answer or b"2004;2$y" in answer
    keys = "reported exactly" if re.search(rb"\x1b\[\?\d+u", answer) else "as terminals have always done: some combinations look alike"
    yield Check("keys", f"{keys}; what is pasted is {'marked' if pasted else 'marked if the terminal can, which it does not say'}")
    if "utf" not in (sys.stdout.encoding or "").lower():
        yield Check("letters", f"{sys.stdout.encoding}: not all can be shown", State.WARNING, "Set LANG to one that ends with .UTF-8.")


def _colours(environment: Mapping[str, str], name: str) -> Check:
    if "NO_COLOR" in environment:
        return Check("colours", "none, because NO_COLOR is set")
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return Check("colours", "16 million")
    if "256" in name:
        return Check("colours", "256", State.OK, "Set COLORTERM=truecolor if the terminal can show more.")
    return Check("colours", "16, as far as TERM says", State.WARNING, "Set TERM=xterm-256color or COLORTERM=truecolor if it can show more.")


def _engine(hardware: Hardware, *, is_needed: bool = True) -> Iterator[Check]:
    """is_needed: no server answers, so that nothing does without llama.cpp."""
    if not is_installed():
        told = not_installed()
        yield Check("engine", told.message, State.ERROR if is_needed else State.WARNING, told.hint)
        return
    if hardware.problem:
        words = f"llama.cpp cannot be used ({hardware.problem})"
        yield Check("engine", words, State.ERROR, f"{install_command()} --force-reinstall --no-deps")
        return
    yield Check("engine", hardware.build)
    yield Check("processor", f"{plural(hardware.cores, 'core')} for this program, {plural(hardware.logical, 'thread')}")
    for device in hardware.devices:
        room = f"{size_text(device.free)} of {size_text(device.total)} free" if device.total else "it does not say how much memory it has"
        own = "" if device.kind == "gpu" else ", the machine's own memory"
        yield Check("device", f"{device.name}: {device.description}, {room}{own}")
    if not hardware.devices:
        gpu = _gpu_here(Path("/"))
        if gpu:
            option = {"NVIDIA": "CUDA", "AMD": "HIP"}.get(gpu.split()[0], "VULKAN")
            build = f'CMAKE_ARGS="-DGGML_{option}=on" pip install --force-reinstall --no-cache-dir --no-deps llama-cpp-python'
            is_blind = "does not see it" if hardware.has_gpu else "is for the processor only"
            words = f"a GPU is here ({gpu}), but this build of llama.cpp {is_blind}"
            yield Check("device", words, State.WARNING, f"Build one that uses it: {build}")
        else:
            yield Check("device", "no GPU: the processor does all of it")


def _gpu_here(root: Path) -> str:
    """A GPU that the system has, whatever llama.cpp was built for; "" for none."""
    if platform.system() == "Darwin":
        return "Apple" if platform.machine() == "arm64" else ""
    with suppress(OSError):
        for each in sorted((root / "proc/driver/nvidia/gpus").iterdir()):
            found = re.search(r"Model:\s*(.+)", (each / "information").read_text("utf-8", "replace")[:4096])
            return f"NVIDIA {found[1].strip().removeprefix('NVIDIA ')}" if found else "NVIDIA"
    if (root / "dev/nvidia0").exists():
        return "NVIDIA"
    if (root / "dev/kfd").exists():
        return "AMD"
    return "Vulkan" if any((root / "dev/dri").glob("renderD*")) else ""


def _memory() -> Iterator[Check]:
    have = memory()
    words = f"{size_text(have.available)} of {size_text(have.total)} available"
    if have.limit:
        held = f"this container may have {size_text(have.limit)} of the machine's {size_text(have.total)}"
        words = f"{size_text(have.available)} available: {held}"
    if have.available < _LITTLE_ROOM:
        yield Check("memory", words, State.WARNING, "Close other programs, or take a small model.")
    else:
        yield Check("memory", words)


def _models(setup: Setup, hardware: Hardware) -> Iterator[Check]:
    """Whether each one is whole, and fits at the settings in force."""
    try:
        entries, others = setup.catalogue.entries(), setup.catalogue.of_others()
        used = name_in_use(setup)
    except NemochatError as error:
        yield Check("models", error.message, State.ERROR, error.hint)
        return
    for notice in setup.catalogue.notices:
        yield Check("models", notice, State.WARNING)
    for entry in entries[:_MOST_MODELS]:
        yield _model(setup, hardware, entry, is_used=entry.name == used)
    if len(entries) > _MOST_MODELS:
        yield Check("models", f"{len(entries) - _MOST_MODELS} more were not looked at")
    programs = sorted({entry.origin.program for entry in others})
    if others:
        yield Check("models", f"{plural(len(others), 'model')} of {', '.join(programs)} can be used where they lie")


def _model(setup: Setup, hardware: Hardware, entry: Entry, *, is_used: bool) -> Check:
    name = f"model {entry.name}"
    try:
        model = LocalModel.of(setup, entry.name).on(hardware.devices)
    except NemochatError as error:
        return Check(name, error.message, State.ERROR, error.hint)
    (_, own), *on_devices = model.needs
    on_gpu = model.settings.on_gpu
    layers = "all layers" if on_gpu < 0 or on_gpu > model.card.layers else f"{on_gpu} of {model.card.layers} layers"
    where = "".join(f", and {size_text(each.total)} on {device}" for device, each in on_devices) + (f" for {layers}" if on_devices else "")
    sight = "sees pictures" if model.card.projector else "reads text only"
    words = f"{'in use; ' if is_used else ''}whole, {sight}, needs {size_text(own.total)}{where}"
    if short := model.too_little:
        hint = "Take a smaller quantisation, a shorter context_length, or fewer gpu_layers." if on_devices else _SMALLER
        return Check(name, f"{words}; {short}", State.WARNING, hint)
    return Check(name, words)


async def _servers(setup: Setup) -> list[Check]:
    """Whether each one answers."""
    try:
        servers = await asyncio.to_thread(setup.servers.all)
    except NemochatError as error:
        return [Check("servers", error.message, State.ERROR, error.hint)]
    checks = [Check("servers", notice, State.WARNING) for notice in setup.servers.notices]
    if not servers:
        return checks
    told: dict[str, Check] = {}
    used = ""
    with suppress(NemochatError):  # what is wrong with the list of models, the check of models says
        used = await asyncio.to_thread(name_in_use, setup)
    with suppress(TimeoutError):
        async with asyncio.timeout(_SERVER_SECONDS), aclosing(setup.remotes.listings(servers)) as answers:
            async for _, listings in answers:
                for listing in listings:
                    told[listing.server.name] = _server(listing, is_used=used.startswith(f"{listing.server.name}/"))
    hint = "Start it, or take it out: nemochat servers remove NAME"
    late = {server.name: Check(f"server {server.name}", "does not answer", State.ERROR, hint) for server in servers}
    return checks + list((late | told).values())


def _server(listing: Listing, *, is_used: bool) -> Check:
    name, problem = f"server {listing.server.name}", listing.error
    if problem is not None:
        return Check(name, problem.message, State.ERROR, problem.hint)
    return Check(name, f"{'in use; ' if is_used else ''}answers at {listing.server.url}, with {plural(len(listing.models), 'model')}")


def _is_public(url: str) -> bool:
    """An address of nemochat's own words, not of the user's servers."""
    return re.match(r"https://(huggingface\.co|catalog\.ngc\.nvidia\.com|org\.ngc\.nvidia\.com)(/|$)", url) is not None


def _without(text: str, name: str, stands: str) -> str:
    """Whole words alone; a name of one or two letters would be found in everything."""
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", stands, text) if len(name) > 2 else text

