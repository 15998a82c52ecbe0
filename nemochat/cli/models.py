"""``nemochat models``: list, add, show, use, set and remove; `nemochat.cli.pull` gets new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec

from nemochat.chat.formats import NEMOTRON
from nemochat.chat.remotes import Listing, about
from nemochat.cli.model_servers import json_models
from nemochat.cli.opening import LocalModel, devices_here, new_session, open_session
from nemochat.cli.output import print_json, print_note, print_notes, print_table, say
from nemochat.cli.setup import Setup, read_setup
from nemochat.domain.chat import Chat
from nemochat.domain.devices import PLACING, chosen
from nemochat.domain.sampling import InForce, Source, in_force, in_words
from nemochat.domain.servers import ServedModel, Server
from nemochat.engine.protocol import Counts
from nemochat.errors import EngineError, ModelFileError, TemplateError, UsageError
from nemochat.models import MemoryEstimate, ModelCard, ModelFiles, estimate_memory, inspect
from nemochat.models.catalogue import Entry
from nemochat.models.pull import remove_files
from nemochat.numbers import plural, size_text
from nemochat.prompt.format import ChatFormat, Traits, turn_cost
from nemochat.reading import all_parts
from nemochat.settings import EngineSettings, setting_text
from nemochat.settings_file import sampling_layers


def print_list(*, as_json: bool) -> None:
    """All models, those of servers too, the one in use marked. As JSON one object with `in_use`, `models` and `servers`.

    A server that does not say which it has is one line. Raises NemochatError.
    """
    setup = read_setup()
    entries, in_use = (*setup.catalogue.entries(), *setup.catalogue.of_others()), name_in_use(setup)
    servers = setup.servers.all()
    print_notes((*setup.catalogue.notices, *setup.servers.notices))
    listings = asyncio.run(_listings(setup, servers)) if servers else []
    if as_json:
        print_json({"in_use": in_use, "models": entries, "servers": [_json_listing(each) for each in listings]})
        return
    rows = [("*" if entry.name == in_use else "", entry.name, *_size_and_sight(entry), _label(entry)) for entry in entries]
    rows += [row for each in listings for row in _listing_rows(each, in_use)]
    print_table(("", "name", "size", "reads", "file"), rows)
    if not any(mark for mark, *_ in rows):
        say(f"In use, by the settings: {in_use}" if setup.settings.model else f"In use: {in_use}", strict=True)


async def _listings(setup: Setup, servers: Sequence[Server]) -> list[Listing]:
    """What the servers have, in the order of the servers."""
    found: dict[str, Listing] = {}
    async with aclosing(setup.remotes.listings(servers)) as answers:
        async for name, (listing,) in answers:
            found[name] = listing
    return [found[server.name] for server in servers]


def _listing_rows(listing: Listing, in_use: str) -> list[tuple[str, str, str, str, str]]:
    server = listing.server
    if not listing.models:
        return [("", f"{server.name}/", "", "", listing.error.message if listing.error is not None else "has no model")]
    sight = {True: "text, pictures", False: "text", None: ""}
    places = [f"{server.url} {about(each, sight=False)}".rstrip() for each in listing.models]
    return [
        ("*" if each.name == in_use else "", each.name, "", sight[each.model.has_vision], place)
        for each, place in zip(listing.models, places, strict=True)
    ]


def _json_listing(listing: Listing) -> dict[str, Any]:
    server, error = listing.server, listing.error
    said = {"error": error.message, "hint": error.hint} if error is not None else {"models": json_models(listing)}
    return {"name": server.name, "url": server.url, "kind": server.kind, **said}


def add(path: Path, mmproj: Path | None, name: str | None) -> None:
    """Check the files and remember them. Raises ModelFileError."""
    catalogue = read_setup().catalogue
    entry = catalogue.add(path, mmproj, name)
    print_notes(catalogue.notices)
    sight = "with its projector, so it can look at pictures" if entry.mmproj_path else "without a projector, so it reads text only"
    say(f"Added {entry.name}, {sight}.", strict=True)
    for sentence in catalogue.about(entry.files, inspect(entry.files.model_path)).sentences():
        say(sentence, strict=True)
    say(f"Choose it with: nemochat models use {entry.name}", strict=True)


def use(name: str) -> None:
    """Make a model the one that answers; a server is asked for its own. Raises NemochatError."""
    setup = read_setup()
    served = asyncio.run(setup.remotes.find(name, setup.catalogue))
    if served is not None:
        setup.catalogue.use_served(served.name)
    used = served.name if served is not None else setup.catalogue.use(name).name
    print_notes((*setup.servers.notices, *setup.catalogue.notices))
    say(f"{used} answers from now on.", strict=True)
    if served is not None and served.leaves:
        print_note(served.leaving)
    if setup.settings.model:
        say(f"But the settings or NEMOCHAT_MODEL name {setup.settings.model}, which comes first.", strict=True)


def set_one(name: str, assignment: str) -> None:
    """Set something for one model alone. Raises ModelFileError."""
    setup = read_setup()
    server, slash, _ = name.partition("/")
    if slash and setup.servers.meant(server):
        hint = "Only those of this machine have settings of their own; /sampling sets it in a chat."
        raise UsageError(f"{name} is a server's model.", hint)
    catalogue = setup.catalogue
    key, equals, value = assignment.partition("=")
    if not equals:
        raise ModelFileError(f"{assignment} sets nothing.", "Write it as KEY=VALUE, such as picture_tokens=512.")
    key, value = key.strip(), value.strip()

    def check(files: ModelFiles) -> None:
        placed = files.placed(setup.settings.engine)
        if key in PLACING and value:
            chosen(placed, asyncio.run(devices_here(placed)))

    entry = catalogue.set(name, key, value, check)
    print_notes(catalogue.notices)
    own = ", ".join(f"{setting} = {setting_text(said)}" for setting, said in entry.settings.items())
    say(f"{entry.name}: {own}." if own else f"{entry.name} has no settings of its own.", strict=True)


def remove(name: str) -> None:
    """Forget a model, and delete its files if nemochat has downloaded them. Raises ModelFileError and OSError."""
    setup = read_setup()
    entry = setup.catalogue.remove(name)
    print_notes(setup.catalogue.notices)
    freed = remove_files(entry, setup.catalogue.entries(), setup.paths.models)
    say(f"{entry.name} is forgotten; {f'{size_text(freed)} are free again' if freed else 'its files stay'}.", strict=True)


def show(name: str, mmproj: Path | None, *, as_json: bool) -> None:
    """What the files of a model say, and the memory it will need at the settings in force. Raises ModelFileError."""
    setup = read_setup()
    if (served := asyncio.run(setup.remotes.find(name, setup.catalogue))) is not None:
        print_notes(setup.servers.notices)
        asyncio.run(_show_served(setup, served, mmproj, as_json=as_json))
        return
    local = LocalModel.of(setup, name, mmproj)
    local = local.on(asyncio.run(devices_here(local.settings)))
    files, card, settings, tokens = local.files, local.card, local.settings, local.picture_tokens
    memory = estimate_memory(card, settings, tokens)
    (_, own), *on_devices = local.needs
    on_gpu = sum(each.total for _, each in on_devices)
    spoken = asyncio.run(_spoken_to(setup, name, mmproj))
    of_model = {Source.MODEL_SETTING: files.sampling, Source.MODEL_FILE: card.recommended}
    now = in_force({**sampling_layers(setup.settings, setup.locked), **of_model})
    known = setup.catalogue.about(files, card)
    if as_json:
        paths = {"model_path": str(files.model_path), "mmproj_path": str(files.mmproj_path) if files.mmproj_path else None}
        of_each = [{"name": device, **_json_memory(each)} for device, each in on_devices]
        by_device = {"gpu_layers": settings.on_gpu, "on_gpu": on_gpu, "on_cpu": own.total, "devices": of_each}
        memory_json = _json_memory(memory)
        of_files = {"name": files.name, **paths, "card": card, "format": spoken, "size_on_disk": card.size_on_disk}
        print_json({**of_files, "memory": memory_json, "by_device": by_device, "sampling": now, "about": known})
        return
    places = [("model file", str(files.model_path))]
    if files.mmproj_path is not None:
        places.append(("projector file", str(files.mmproj_path)))
    needed = _memory_rows(memory, card, settings)
    if on_devices:
        layers = "all layers" if settings.on_gpu < 0 else plural(settings.on_gpu, "layer")
        needed.append(("by device", f"{size_text(on_gpu)} on the GPU for {layers}, {size_text(own.total)} of the machine's own"))
        needed += [("", f"{device}: {_parts(each)}") for device, each in on_devices]
        needed.append(("", f"the machine's own: {_parts(own)}"))
    described = [*_card_rows(card, tokens), *known.lines(), *_format_rows(spoken)]
    print_table((files.name, ""), [*described, *places, *_sampling_rows(now), *needed])


async def _show_served(setup: Setup, served: ServedModel, mmproj: Path | None, *, as_json: bool) -> None:
    """What a server says of its model, and how it is spoken to there. Raises NemochatError."""
    session = await new_session(setup, served, mmproj, warn=print_note)
    try:
        info, can = await session.reader.load.model(), session.reader.engine.capabilities
        format_, now = session.reader.load.format, session.reader.in_force(Chat())
        spoken = _spoken(format_, 0 if info.takes_messages else await turn_cost(format_, session.reader.engine.count))
    finally:
        await session.close()
    server, sees, is_told = served.server, served.model.has_vision, bool(served.model.context_length) or not info.takes_messages
    if as_json:
        told = {"name": served.name, "server": server, "leaves": served.leaves, "context_length": info.context_length}
        print_json({**told, "has_vision": info.has_vision, "capabilities": can, "format": spoken, "sampling": now})
        return
    unsaid = "it sees them" if sees else "the server does not say whether it sees them"
    pictures = unsaid if info.has_vision else "none: reads text only"
    rows = [
        ("server", f"{server.name}, which is {server.kind.label if server.kind else 'not known yet'}"),
        ("address", server.url),
        ("runs", "elsewhere: what it reads leaves this machine" if served.leaves else "on this machine"),
        ("window", f"{info.context_length:,} tokens{'' if is_told else ', taken for granted: the server does not say'}"),
        ("pictures", pictures),
        ("counts", {Counts.EXACT: "exact", Counts.LEARNT: "learnt from its replies", Counts.ESTIMATED: "estimated"}[can.counts]),
        ("words", "kept apart from control tokens" if can.keeps_words_apart else "not protected: some could become control tokens"),
        ("reading ahead", "yes" if can.can_prepare else "no"),
    ]
    print_table((served.name, ""), [*rows, *([] if info.takes_messages else _format_rows(spoken)), *_sampling_rows(now)])


def name_in_use(setup: Setup) -> str:
    """The name of the model that answers when none is asked for; the settings come before `models use`."""
    wanted = setup.wanted(None)
    if wanted is None:
        return setup.catalogue.default().name
    return setup.catalogue.get(wanted).name if setup.catalogue.knows(wanted) else wanted


def _label(entry: Entry) -> str:
    if entry.is_builtin:
        return "built in: a small demo model"
    return f"{entry.origin.program}: {entry.model_path}" if entry.origin.program else entry.model_path


def _size_and_sight(entry: Entry) -> tuple[str, str]:
    """By what the file system says: the headers of a hundred files would take seconds."""
    paths = [*all_parts(Path(entry.model_path)), *([Path(entry.mmproj_path)] if entry.mmproj_path else [])]
    try:
        size = size_text(sum(path.stat().st_size for path in paths))
    except OSError:
        size = "not there"
    return size, "text, pictures" if entry.mmproj_path else "text"


def _card_rows(card: ModelCard, picture_tokens: int) -> list[tuple[str, str]]:
    rows = [
        ("says it is", card.name),
        ("architecture", f"{card.architecture}, {card.layers} layers, width {card.width}, {card.heads} heads ({card.kv_heads} for keys)"),
        ("parameters", _count_text(card.parameters + (card.projector.parameters if card.projector else 0))),
        ("quantisation", card.quantisation),
        ("context", f"{card.context_length} tokens"),
        ("vocabulary", f"{card.vocab_size} tokens"),
    ]
    if card.projector is None:
        rows.append(("projector", "none: reads text only"))
    else:
        projector = card.projector
        cost = "known when it is loaded" if projector.image_tokens is None else f"{projector.image_tokens} a picture"
        if projector.most_tokens:
            cost = f"at most {projector.tokens(picture_tokens)} a picture; less with `models set NAME picture_tokens=N`"
        rows.append(
            ("projector", f"{projector.kind}, {projector.image_size} x {projector.image_size} pixels, patches of {projector.patch_size}")
        )
        rows.append(("image tokens", cost))
    return [*rows, ("size on disk", size_text(card.size_on_disk))]


class _SpokenTo(msgspec.Struct, frozen=True):
    """How a model is spoken to. turn_tokens: what a turn costs beside its words. problem: why its template, or its vocabulary, cannot be
    used, "" where it can."""

    name: str = ""
    traits: Traits = Traits()
    calls: str = ""
    reasoning: tuple[str, str] | None = None
    stops: tuple[str, ...] = ()
    turn_tokens: int = 0
    problem: str = ""


async def _spoken_to(setup: Setup, name: str, mmproj: Path | None) -> _SpokenTo:
    async with open_session(setup, name, mmproj, vocabulary_only=True) as session:
        try:
            await session.reader.load.model()
            format_ = session.reader.load.format
            tokens = await turn_cost(format_, session.reader.engine.count)
        except (TemplateError, EngineError) as error:
            return _SpokenTo(problem=error.in_full)
        return _spoken(format_, tokens)


def _spoken(format_: ChatFormat, tokens: int) -> _SpokenTo:
    style = format_.style
    calls = style.calls.name if style.calls is not None else ""
    return _SpokenTo(format_.name, format_.traits, calls, style.reasoning, format_.stops, tokens)


def _format_rows(spoken: _SpokenTo) -> list[tuple[str, str]]:
    if spoken.problem:
        return [("chat format", spoken.problem)]
    traits = spoken.traits
    thinks = "as it does by itself" if not traits.reasoning_switch else "switched by /think"
    kept = "earlier thoughts stay in the prompt" if traits.keeps_reasoning else "earlier thoughts are left out"
    return [
        ("chat format", spoken.name if spoken.name == NEMOTRON else f"the template {spoken.name}"),
        ("system text", "has a role of its own" if traits.has_system_role else "stands in the first message"),
        ("tools", "told by the template" if traits.takes_tools else "told in the system text"),
        ("calls", spoken.calls or "none"),
        ("pictures", "as parts of a message" if traits.pictures == "parts" else "as lines in its text"),
        ("thinking", f"{thinks}; {kept}" if spoken.reasoning is not None or traits.reasoning_switch else "none"),
        ("a turn costs", f"{spoken.turn_tokens} tokens beside the words of the user and of the reply"),
        ("ends at", ", ".join(map(repr, spoken.stops)) or "the end tokens of its file"),
    ]


def _sampling_rows(now: InForce) -> list[tuple[str, str]]:
    """What is in force outside of chats, and who has set it; those together that the same one has set."""
    said: dict[Source, list[str]] = {}
    for name in now.said:
        said.setdefault(now.sources[name], []).append(f"{name} {in_words(name, getattr(now.sampling, name))}")
    rows = [f"{', '.join(said[source])} ({source})" for source in Source if source in said]
    return [("sampling" if index == 0 else "", row) for index, row in enumerate(rows)]


def _memory_rows(memory: MemoryEstimate, card: ModelCard, settings: EngineSettings) -> list[tuple[str, str]]:
    window = min(settings.context_length or card.context_length, card.context_length)
    needed = f"about {size_text(memory.total)} at {window} tokens, KV in {settings.kv_type}"
    return [("memory needed", needed), ("", _parts(memory, is_whole=True))]


def _parts(memory: MemoryEstimate, *, is_whole: bool = False) -> str:
    """What there is of it, and before that how much together."""
    names = {"weights": "weights", "repacked": "second copy", "projector": "projector", "kv_cache": "KV cache", "compute": "buffers"}
    parts = [(words, getattr(memory, name)) for name, words in {**names, "process": "process"}.items()]
    detail = ", ".join(f"{words} {size_text(n_bytes)}" for words, n_bytes in parts if n_bytes)
    return detail if is_whole else f"{size_text(memory.total)} ({detail})"


def _json_memory(memory: MemoryEstimate) -> dict[str, int]:
    return {**msgspec.structs.asdict(memory), "total": memory.total}


def _count_text(number: int) -> str:
    for unit, name in ((1_000_000_000, "billion"), (1_000_000, "million")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return str(number)
