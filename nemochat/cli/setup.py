"""What every command starts from: paths, settings and the catalogue of models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from nemochat.cli.output import say
from nemochat.models import Catalogue, Keys, Servers
from nemochat.paths import CACHE_VARIABLE, CONFIG_VARIABLE, DATA_VARIABLE, LOG_VARIABLE, Paths, find_paths
from nemochat.settings import Settings, load_settings
from nemochat.settings_file import locked_settings

if TYPE_CHECKING:
    from nemochat.chat.remotes import Remotes


class Setup(msgspec.Struct, frozen=True):
    """The places of files, the settings in force, the models, the servers and their keys.

    locked: the settings that are not the file's (`locked_settings`).
    """

    paths: Paths
    settings: Settings
    catalogue: Catalogue
    locked: Mapping[str, str] = {}
    servers: Servers = msgspec.field(default_factory=lambda: Servers(find_paths(os.environ).servers_file))
    keys: Keys = msgspec.field(default_factory=lambda: Keys(find_paths(os.environ).keys_file, os.environ))

    def wanted(self, name: str | None) -> str | None:
        """The model that is meant where the command line names this one: it, the settings', the server's in use; None is a local one."""
        return name or self.settings.model or self.catalogue.served or None

    @property
    def remotes(self) -> Remotes:
        """What the servers have. (The chat core is imported only where they are asked.)"""
        from nemochat.chat.remotes import Remotes

        return Remotes(self.servers, self.keys)


def read_setup(overrides: Mapping[str, Mapping[str, object]] | None = None) -> Setup:
    """Read the settings: command line (`overrides`, by group) over environment over file. Raises SettingsError."""
    paths = find_paths(os.environ)
    overrides = overrides or {}
    settings = load_settings(paths.settings_file, os.environ, overrides)
    return Setup(paths, settings, Catalogue(paths.models_file, os.environ), locked_settings(os.environ, overrides))


def print_paths() -> None:
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
