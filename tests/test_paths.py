"""Where files lie."""

from __future__ import annotations

from pathlib import Path

from nemochat.paths import find_paths

VARIABLES = {
    "config_dir": "NEMOCHAT_CONFIG_DIR",
    "data_dir": "NEMOCHAT_DATA_DIR",
    "log_dir": "NEMOCHAT_LOG_DIR",
    "cache_dir": "NEMOCHAT_CACHE_DIR",
}


def test_every_folder_can_be_moved(tmp_path: Path) -> None:
    paths = find_paths({variable: str(tmp_path / name) for name, variable in VARIABLES.items()})
    for name in VARIABLES:
        assert getattr(paths, name) == tmp_path / name
    assert paths.settings_file == tmp_path / "config_dir" / "config.toml"
    assert paths.models_file == tmp_path / "data_dir" / "models.json"
    assert paths.engine_log == tmp_path / "log_dir" / "engine.log"


def test_standard_folders_are_absolute_and_named_after_the_program() -> None:
    paths = find_paths(dict.fromkeys(VARIABLES.values(), ""))
    for name in VARIABLES:
        folder = getattr(paths, name)
        assert folder.is_absolute()
        assert "nemochat" in folder.parts


def test_relative_and_home_places() -> None:
    paths = find_paths({"NEMOCHAT_DATA_DIR": "here", "NEMOCHAT_LOG_DIR": "~/logs"})
    assert paths.data_dir == Path.cwd() / "here"
    assert paths.log_dir == Path.home() / "logs"
