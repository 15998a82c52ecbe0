"""``nemochat paths``."""

from __future__ import annotations

import os

from nemochat.cli.output import say
from nemochat.paths import CACHE_VARIABLE, CONFIG_VARIABLE, DATA_VARIABLE, LOG_VARIABLE, find_paths


def run() -> None:
    """Print every location, and the variable that moves it."""
    paths = find_paths(os.environ)
    rows = [
        ("settings", paths.settings_file, CONFIG_VARIABLE),
        ("models", paths.models_file, DATA_VARIABLE),
        ("servers", paths.servers_file, CONFIG_VARIABLE),
        ("their keys", paths.keys_file, DATA_VARIABLE),
        ("data", paths.data_dir, DATA_VARIABLE),
        ("engine log", paths.engine_log, LOG_VARIABLE),
        ("cache", paths.cache_dir, CACHE_VARIABLE),
        ("chat states", paths.states, CACHE_VARIABLE),
    ]
    widest = max(len(str(place)) for _, place, _ in rows)
    for what, place, variable in rows:
        say(f"{what:11}  {place!s:{widest}}  {variable}", strict=True)
