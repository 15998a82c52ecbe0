"""Opens a chat session: the engine's process, the model's files, and the loading of the one by the other."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec

from nemochat.chat import ChatSession
from nemochat.chat.formats import AUTO
from nemochat.cli.output import print_note_once
from nemochat.cli.setup import Setup, print_notices
from nemochat.domain.sampling import Source
from nemochat.domain.sanitize import sanitize
from nemochat.domain.servers import ServedModel
from nemochat.engine import states
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import LoadRequest
from nemochat.engine.tuning import Device
from nemochat.errors import UsageError
from nemochat.files import log_problem
from nemochat.models import ModelCard, fit_layers, inspect, memory_warning
from nemochat.settings import EngineSettings, SamplingSettings
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
        print_notices(setup.servers)
    session = await open_found(setup, model, mmproj, vocabulary_only=vocabulary_only)
    print_notices(setup.catalogue)
    try:
        yield session
    finally:
        await session.close()


async def open_found(
    setup: Setup, model: ServedModel | str | None, mmproj: Path | None, *, vocabulary_only: bool = False
) -> ChatSession:
    """The same for those who have looked whether the model is a server's, and who close it themselves."""
    if isinstance(model, ServedModel) and model.leaves and not await asyncio.to_thread(setup.keys.is_allowed, model.server):
        print_note_once(model.leaving)
    return await new_session(setup, model, mmproj, warn=print_note_once, vocabulary_only=vocabulary_only)


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
        free = () if is_script or vocabulary_only else await free_on_devices(setup.settings.engine)
        looked = partial(
            _load_request, setup, wanted, mmproj, kept_in, free, is_script=is_script, vocabulary_only=vocabulary_only
        )
        request, own, image_size, notices = await asyncio.to_thread(looked)
        for notice in notices:
            warn(notice)
        layers = {**sampling_layers(setup.settings, setup.locked), Source.MODEL_SETTING: own}
        session = ChatSession(engine, request, layers, image_size)
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
    session.toolbox, session.holds_calls_to_schema = first.toolbox, first.holds_calls_to_schema
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


def _load_request(
    setup: Setup,
    wanted: str | None,
    mmproj: Path | None,
    kept_in: str | None,
    free: Sequence[int],
    *,
    is_script: bool,
    vocabulary_only: bool,
) -> tuple[LoadRequest, SamplingSettings, int | None, tuple[str, ...]]:
    """What to load, the sampling that is set for this model, the side in pixels of what the projector gets when that is fixed, and what to
    say: of a model that is used for the first time, and when memory is short."""
    settings = setup.settings.engine
    if is_script and wanted is not None:
        return LoadRequest(Path(wanted).name, str(Path(wanted).absolute()), None, settings, kept_in), SamplingSettings(), None, ()
    files = setup.catalogue.resolve(wanted, mmproj)
    card = inspect(files.model_path, files.mmproj_path)
    mmproj_path = str(files.mmproj_path) if files.mmproj_path else None
    format_ = files.own.format if settings.format == AUTO else settings.format
    tokens = card.projector.budget(files.picture_tokens(settings)) if card.projector else 0
    settings = with_layers(settings, card, free, tokens)
    request = LoadRequest(
        files.name, str(files.model_path), mmproj_path, settings, kept_in, format_, tokens, vocabulary_only=vocabulary_only
    )
    image_size = card.projector.image_size if card.projector is not None and card.projector.is_fixed_size else None
    if vocabulary_only:
        return request, files.sampling, image_size, ()
    name = sanitize(files.name, strict=True)
    warning = memory_warning(name, card, settings, available_memory(), is_shared=gpu_shares_memory(), picture_tokens=tokens)
    first = setup.catalogue.first_use(files, card)
    return request, files.sampling, image_size, tuple(filter(None, (first, warning)))


async def free_on_devices(settings: EngineSettings) -> Sequence[int]:
    """Bytes that are free on each device that layers can be put on, where the settings leave their number open and there may be any."""
    from nemochat.engine.trials import look_at_hardware, may_have_gpu

    if settings.gpu_layers != "auto" or not may_have_gpu():
        return ()
    return device_room((await look_at_hardware()).devices)


def device_room(devices: Sequence[Device]) -> Sequence[int]:
    """The same of devices that were looked at. One with the machine's own memory has no more of it than is available there."""
    return [min(each.free or each.total, available_memory()) if each.kind == "igpu" else each.free for each in devices]


def with_layers(settings: EngineSettings, card: ModelCard, free: Sequence[int], picture_tokens: int) -> EngineSettings:
    """The settings with as many layers as fit, where they leave that open."""
    if settings.gpu_layers != "auto":
        return settings
    return msgspec.structs.replace(settings, gpu_layers=fit_layers(card, settings, free, picture_tokens) if free else 0)


def available_memory() -> int:
    """Bytes that programs can still get without swapping, within what a container may have."""
    from nemochat.system.memory import memory

    return memory().available


def gpu_shares_memory() -> bool:
    """Whether a GPU has no memory of its own here."""
    return platform.system() == "Darwin"
