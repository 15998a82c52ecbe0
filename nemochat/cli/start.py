"""``nemochat`` without a command: a prompt on the screen first, then everything that stands behind it.

What is imported here is what the first frame needs; the rest is imported in a thread while the user reads and types.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nemochat.errors import NemochatError, SettingsError
from nemochat.files import narrow, open_to_append
from nemochat.paths import find_paths
from nemochat.settings import Settings, load_settings
from nemochat.tui.app import Early, NemochatApp

if TYPE_CHECKING:
    from nemochat.cli.bench import Bench


def run(model: str | None, mmproj: Path | None, overrides: Mapping[str, Mapping[str, object]], resume: str | None = None) -> None:
    """Open the interface, in a terminal, and stay in it. resume: see `Workbench`. Raises SystemExit after a crash, NemochatError."""
    paths, settings, benches = find_paths(os.environ), Settings(), list["Bench"]()
    for folder in (paths.config_dir, paths.data_dir, paths.log_dir, paths.cache_dir):
        narrow(folder)
    with suppress(SettingsError):  # said by the desk, which sets a broken file aside
        settings = load_settings(paths.settings_file, os.environ, overrides)

    def make() -> Bench:
        from nemochat.cli.bench import Bench

        benches.append(Bench(model, mmproj, overrides, resume))
        return benches[0]

    app = NemochatApp(Early(settings, paths.config_dir / "themes", make, paths.drafts))
    try:
        app.run(mouse=settings.interface.mouse)
    except Exception as error:
        if os.environ.get("NEMOCHAT_DEBUG"):
            raise
        app.crash = error
    finally:
        app.keep_what_was_typed()
        for bench in benches:
            bench.close()
        _tell_last(app.last_words)
    if isinstance(app.crash, NemochatError):
        raise app.crash
    if app.crash is not None:
        raise SystemExit(_tell(app.crash, paths.crash_log))
    if app.return_code:
        raise SystemExit(app.return_code)


def _tell_last(words: Sequence[str]) -> None:
    """What the user has to know, where the screen was."""
    from nemochat.cli.output import print_note

    for each in words:
        print_note(each)


def _tell(error: BaseException, log: Path) -> int:
    """Write the whole story into a log, say where it is, and return the exit code."""
    from nemochat.cli.output import print_error, print_note

    story = "".join(traceback.format_exception(error))
    try:
        with os.fdopen(open_to_append(log), "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{story}\n")
        place = f"The whole story is in {log}."
    except OSError as refused:
        place = f"The log {log} could not be written ({refused.strerror}); NEMOCHAT_DEBUG=1 shows the story."
    print_error(NemochatError(f"nemochat ended unexpectedly ({type(error).__name__}: {error}).", place))
    print_note("This is a bug: please report it with that log.")
    return 1
