"""Opens a chat session: the engine's process, the model's files, and the loading of the one by the other."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from nemochat.chat import ChatSession
from nemochat.cli.output import print_note_once, print_notes
from nemochat.cli.setup import Setup
from nemochat.domain.devices import CPU, Device, chosen
from nemochat.domain.sampling import Source
from nemochat.domain.sanitize import sanitize
from nemochat.domain.servers import ServedModel
from nemochat.engine import states
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import LoadRequest
from nemochat.errors import UsageError
from nemochat.files import log_problem
from nemochat.models import MemoryEstimate, ModelCard, ModelFiles, fit_layers, inspect, memory_by_device, memory_warning, what_would_fit
from nemochat.numbers import size_text
from nemochat.settings import AUTO, EngineSettings
from nemochat.settings_file import sampling_layers

SCRIPT_SUFFIX = ".script.json"
"""A "model" file of this kind is played by the scripted engine (see `nemochat.engine.scripted`)."""


@asynccontextmanager
async def open_session(
    setup: Setup, model: ServedModel | str | None, mmproj: Path | None, *, vocabulary_only: bool = False
) -> AsyncGenerator[ChatSession, None]:
    """A chat session whose model is being loaded; the engine ends with the block. Raises NemochatError before anything is loaded.

    A model that will not fit into memory is loaded all the same, and one that is elsewhere is asked all the same, after a line on stderr.
    vocabulary_only: it is to count and nothing else.
    """
    if not os.environ.get("NEMOCHAT_DEBUG"):
        # What goes wrong is raised and shown as one sentence; the log repeats it for those who debug.
        logging.getLogger("nemochat").addHandler(logging.NullHandler())
    if not isinstance(model, ServedModel):
        model = await setup.remotes.find(setup.wanted(model), setup.catalogue, waits=print_note_once) or model
        print_notes(setup.servers.notices)
    if isinstance(model, ServedModel) and model.leaves and not await asyncio.to_thread(setup.keys.is_allowed, model.server):
        print_note_once(model.leaving)
    session = await new_session(setup, model, mmproj, warn=print_note_once, vocabulary_only=vocabulary_only)
    session.gate = setup.settings.tools.gate
    print_notes(setup.catalogue.notices)
    try:
        yield session
    finally:
        await session.close()


async def new_session(
    setup: Setup,
    model: ServedModel | str | None,
    mmproj: Path | None,
    *,
    warn: Callable[[str], None],
    keeps_states: bool = False,
    vocabulary_only: bool = False,
) -> ChatSession:
    """A session with a server's model, or with one of this machine by its name or path, that those who open it close.

    warn: gets sentences before the model is loaded: under which licence it is, at its first use; when it needs more memory than there is;
    when there can be no log. keeps_states: what the engine has read of conversations is kept on the disk, as far as the settings allow.
    Raises NemochatError.
    """
    if isinstance(model, ServedModel):
        return await _served_session(setup, model, mmproj)
    wanted = model or setup.settings.model or None
    is_script = wanted is not None and wanted.endswith(SCRIPT_SUFFIX)
    engine = WorkerEngine(setup.paths.engine_log, "scripted" if is_script else "llama")
    try:
        # The process starts before the files are looked at: its own start-up takes as long.
        await engine.start()
        if problem := log_problem(setup.paths.engine_log):
            warn(problem)
        if keeps_states and not setup.settings.engine.resume_mb:
            await asyncio.to_thread(_clear_states, setup.paths.states)
        kept_in = str(setup.paths.states) if keeps_states and setup.settings.engine.resume_mb else None
        if is_script and wanted is not None:
            request = LoadRequest(Path(wanted).name, str(Path(wanted).absolute()), None, setup.settings.engine, kept_in)
            session = ChatSession(engine, request, sampling_layers(setup.settings, setup.locked))
        else:
            local = await asyncio.to_thread(LocalModel.of, setup, wanted, mmproj)
            if not vocabulary_only:
                local = local.on(await devices_here(local.settings))
                engine.relief = local.relief
                for notice in await asyncio.to_thread(_notices, setup, local):
                    warn(notice)
            layers = {**sampling_layers(setup.settings, setup.locked), Source.MODEL_SETTING: local.files.sampling}
            request = local.request(kept_in, vocabulary_only=vocabulary_only)
            session = ChatSession(engine, request, layers, local.image_size)
        session.start_loading()
    except BaseException:
        await engine.close()
        raise
    return session


@asynccontextmanager
async def open_beside(setup: Setup, first: ChatSession) -> AsyncGenerator[ChatSession, None]:
    """Another session with the model of a server, for requests beside those of the first one, whose format, tools and pictures it shares.

    It ends with the block, before the first one. Raises NemochatError.
    """
    assert first.served is not None
    session = await _served_session(setup, first.served, None, beside=first)
    session.toolbox, session.holds_calls_to_schema, session.gate = first.toolbox, first.holds_calls_to_schema, first.gate
    session.reader.album, session.reader.shelf = first.reader.album, first.reader.shelf
    try:
        yield session
    finally:
        await session.close()


async def _served_session(
    setup: Setup, served: ServedModel, mmproj: Path | None, *, beside: ChatSession | None = None
) -> ChatSession:
    """No process is started and no file is looked at: all of that is the server's."""
    from nemochat.engine.remote import open_engine

    refuse_projector(served, mmproj)
    engine = open_engine(served.server, served.model.id, await asyncio.to_thread(setup.keys.get, served.server))
    settings = setup.settings.engine
    request = LoadRequest(served.name, "", None, settings, format=settings.format, server=served.server.name)
    session = ChatSession(engine, request, sampling_layers(setup.settings, setup.locked))
    session.served = served
    session.reader.load.beside = beside.reader.load if beside is not None else None
    session.start_loading()
    return session


def refuse_projector(served: ServedModel, mmproj: Path | None) -> None:
    """Raise UsageError for a projector of this machine with a model that is not."""
    if mmproj is not None:
        raise UsageError(f"{served.name} is a server's model: its projector is there.", "Leave --mmproj out.")


def _clear_states(folder: Path) -> None:
    """Nothing is to be kept: neither is what was kept before."""
    try:
        states.clear(folder)
    except OSError as error:
        logging.getLogger(__name__).warning("what was kept of chats cannot be removed: %s", error)


class LocalModel(msgspec.Struct, frozen=True):
    """A model of this machine that is to be loaded, or is only looked at. settings: those of the engine that hold for it, with a number of
    layers once it is known on which `devices` they go. picture_tokens: as in `LoadRequest`."""

    files: ModelFiles
    card: ModelCard
    settings: EngineSettings
    picture_tokens: int
    devices: tuple[Device, ...] = ()

    @classmethod
    def of(cls, setup: Setup, wanted: str | None, mmproj: Path | None = None) -> LocalModel:
        """Look at the model's files; None is the one in use. Raises ModelFileError."""
        files = setup.catalogue.resolve(wanted, mmproj)
        card = inspect(files.model_path, files.mmproj_path)
        settings = files.placed(setup.settings.engine, setup.locked)
        return cls(files, card, settings, card.projector.budget(files.picture_tokens(settings)) if card.projector else 0)

    def on(self, devices: Sequence[Device]) -> LocalModel:
        """The same on those of the machine's devices that the settings mean, with as many layers as fit where they leave that open.

        Raises SettingsError, naming the devices that there are, where they mean others.
        """
        meant = chosen(self.settings, devices)
        layers = self.settings.on_gpu if meant else 0
        if meant and self.settings.gpu_layers == AUTO:
            layers = fit_layers(self.card, self.settings, _room(meant), self.picture_tokens)
        settings = msgspec.structs.replace(self.settings, gpu_layers=layers)
        return msgspec.structs.replace(self, settings=settings, devices=meant if layers else ())

    def at(self, settings: EngineSettings, devices: Sequence[Device]) -> LocalModel:
        """The same with other settings, on those of the machine's devices that they mean. Raises SettingsError."""
        return msgspec.structs.replace(self, settings=settings).on(devices)

    @property
    def name(self) -> str:
        """What people call it, sanitised."""
        return sanitize(self.files.name, strict=True)

    @property
    def needs(self) -> Sequence[tuple[str, MemoryEstimate]]:
        """What it will take, by where that is: "" for the machine's own memory, then each device that takes layers."""
        shares = self.settings.tensor_split or _room(self.devices)
        estimates = memory_by_device(self.card, self.settings, shares, self.picture_tokens)
        return list(zip(("", *(device.name for device in self.devices)), estimates, strict=True))

    @property
    def too_little(self) -> str:
        """Where it will not fit by what is free now, as in "4 GB are available"; "" where it fits."""
        own = sum(each.total for name, each in self.needs if not name or self.shares_memory)
        available = available_memory()
        return f"{size_text(available)} are available" if own > available else self.too_little_there

    @property
    def too_little_there(self) -> str:
        """The same of the devices alone."""
        needs = [each.total for name, each in self.needs if name]
        short = [(each.name, free) for each, free, need in zip(self.devices, _room(self.devices), needs, strict=True) if need > free]
        return " and ".join(f"{size_text(free)} are free on {name}" for name, free in short)

    @property
    def image_size(self) -> int | None:
        """The side in pixels of what the projector gets, where that is fixed."""
        projector = self.card.projector
        return projector.image_size if projector is not None and projector.is_fixed_size else None

    @property
    def shares_memory(self) -> bool:
        """Whether all of it is in the machine's own memory, wherever it is computed."""
        return bool(self.devices) and (platform.system() == "Darwin" or all(device.kind == "igpu" for device in self.devices))

    def request(self, kept_in: str | None = None, *, vocabulary_only: bool = False) -> LoadRequest:
        """What the engine is asked for."""
        files, settings = self.files, self.settings
        mmproj = str(files.mmproj_path) if files.mmproj_path else None
        format_ = files.own.format if settings.format == AUTO else settings.format
        path, tokens = str(files.model_path), self.picture_tokens
        return LoadRequest(files.name, path, mmproj, settings, kept_in, format_, tokens, vocabulary_only=vocabulary_only)

    async def relief(self) -> str:
        """What to do when there was too little memory for it, by what there is now."""
        here = {device.name: device for device in await devices_here(self.settings)}
        free = _room([here.get(device.name, device) for device in self.devices])
        shares, tokens = self.shares_memory, self.picture_tokens
        return what_would_fit(self.card, self.settings, available_memory(), free, is_shared=shares, picture_tokens=tokens)


def _notices(setup: Setup, local: LocalModel) -> Sequence[str]:
    """What to say of a model that is used for the first time, and when memory is short."""
    tokens = local.picture_tokens
    warning = memory_warning(
        local.name, local.card, local.settings, available_memory(), is_shared=local.shares_memory, picture_tokens=tokens
    )
    return [*filter(None, (setup.catalogue.first_use(local.files, local.card), warning))]


async def devices_here(settings: EngineSettings) -> Sequence[Device]:
    """The devices that layers can be put on; none is looked for where this build has none, or the settings want none."""
    from nemochat.engine.trials import look_at_hardware, may_have_gpu

    device = settings.device.strip().lower()
    if device == CPU or (settings.gpu_layers == 0 and device == AUTO) or not may_have_gpu():
        return ()
    return (await look_at_hardware()).devices


def _room(devices: Sequence[Device]) -> Sequence[int]:
    """Bytes that are free on each. One with the machine's own memory has no more of it than is available there."""
    return [min(each.free or each.total, available_memory()) if each.kind == "igpu" else each.free for each in devices]


def available_memory() -> int:
    """Bytes that programs can still get without swapping, within what a container may have."""
    from nemochat.system.memory import memory

    return memory().available
