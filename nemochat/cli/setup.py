"""What every command starts from: paths, settings and the catalogue of models."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from nemochat.cli.output import print_note
from nemochat.models import Catalogue
from nemochat.paths import Paths, find_paths
from nemochat.settings import Settings, load_settings
from nemochat.settings_file import locked_settings


class Setup(msgspec.Struct, frozen=True):
    """The places of files, the settings in force and the models. locked: the settings that are not the file's (`locked_settings`)."""

    paths: Paths
    settings: Settings
    catalogue: Catalogue
    locked: Mapping[str, str] = {}


def read_setup(overrides: Mapping[str, Mapping[str, object]] | None = None) -> Setup:
    """Read the settings: command line (`overrides`, by group) over environment over file. Raises SettingsError."""
    paths = find_paths(os.environ)
    overrides = overrides or {}
    settings = load_settings(paths.settings_file, os.environ, overrides)
    return Setup(paths, settings, Catalogue(paths.models_file), locked_settings(os.environ, overrides))


def print_notices(catalogue: Catalogue) -> None:
    """Say what the catalogue found out while it was read (a broken file set aside, say)."""
    for notice in catalogue.notices:
        print_note(notice)
