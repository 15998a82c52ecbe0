"""Opens a chat session: the engine's process, the model's files, and the loading of the one by the other."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from nemochat.chat import ChatSession
from nemochat.cli.setup import Setup, print_notices, sampling_of
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import LoadRequest
from nemochat.models import inspect

SCRIPT_SUFFIX = ".script.json"
"""A "model" file of this kind is played by the scripted engine (see `nemochat.engine.scripted`)."""


@asynccontextmanager
async def open_session(setup: Setup, name_or_path: str | None, mmproj: Path | None) -> AsyncGenerator[ChatSession, None]:
    """A chat session whose model is being loaded; the engine ends with the block. Raises ModelFileError before anything is loaded."""
    if not os.environ.get("NEMOCHAT_DEBUG"):
        # What goes wrong is raised and shown as one sentence; the log repeats it for those who debug.
        logging.getLogger("nemochat").addHandler(logging.NullHandler())
    session = await new_session(setup, name_or_path, mmproj)
    print_notices(setup.catalogue)
    try:
        yield session
    finally:
        await session.close()


async def new_session(setup: Setup, name_or_path: str | None, mmproj: Path | None) -> ChatSession:
    """The same for those who close it themselves."""
    wanted = name_or_path or setup.settings.model or None
    is_script = wanted is not None and wanted.endswith(SCRIPT_SUFFIX)
    engine = WorkerEngine(setup.paths.engine_log, "scripted" if is_script else "llama")
    try:
        # The process starts before the files are looked at: its own start-up takes as long.
        await engine.start()
        request, image_size = await asyncio.to_thread(_load_request, setup, wanted, mmproj, is_script=is_script)
        session = ChatSession(engine, request, sampling_of(setup.settings), image_size)
        session.start_loading()
    except BaseException:
        await engine.close()
        raise
    return session


def _load_request(setup: Setup, wanted: str | None, mmproj: Path | None, *, is_script: bool) -> tuple[LoadRequest, int | None]:
    """What to load, and the side in pixels of what the projector gets when that is fixed."""
    if is_script and wanted is not None:
        return LoadRequest(Path(wanted).name, wanted, None, setup.settings.engine), None
    files = setup.catalogue.resolve(wanted, mmproj)
    projector = inspect(files.model_path, files.mmproj_path).projector
    request = LoadRequest(files.name, str(files.model_path), str(files.mmproj_path) if files.mmproj_path else None, setup.settings.engine)
    return request, projector.image_size if projector is not None and projector.is_fixed_size else None
