"""What every command starts from: paths, settings and the catalogue of models."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from nemochat.cli.output import print_note
from nemochat.domain.sampling import Sampling
from nemochat.models import Catalogue
from nemochat.paths import Paths, find_paths
from nemochat.settings import Settings, load_settings


class Setup(msgspec.Struct, frozen=True):
    """The places of files, the settings in force and the models."""

    paths: Paths
    settings: Settings
    catalogue: Catalogue


def read_setup(overrides: Mapping[str, Mapping[str, object]] | None = None) -> Setup:
    """Read the settings: command line (`overrides`, by group) over environment over file. Raises SettingsError."""
    paths = find_paths(os.environ)
    return Setup(paths, load_settings(paths.settings_file, os.environ, overrides or {}), Catalogue(paths.models_file))


def sampling_of(settings: Settings) -> Sampling:
    """The sampling that a request changes where it says so."""
    return Sampling().asking(msgspec.structs.asdict(settings.sampling))


def print_notices(catalogue: Catalogue) -> None:
    """Say what the catalogue found out while it was read (a broken file set aside, say)."""
    for notice in catalogue.notices:
        print_note(notice)
