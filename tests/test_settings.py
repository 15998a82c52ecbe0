"""Settings: precedence, and errors that name the place, the key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nemochat.domain.sampling import Sampling
from nemochat.errors import SettingsError
from nemochat.settings import KvType, SamplingSettings, Settings, load_settings

FILE = """
model = "mine"
[engine]
threads = 3
kv_type = "f16"
mmap = true
[sampling]
temperature = 1
stop = ["END"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    return path


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none.toml", {}, {}) == Settings()


def test_the_file(file: Path) -> None:
    settings = load_settings(file, {}, {})
    assert settings.model == "mine"
    assert (settings.engine.threads, settings.engine.kv_type, settings.engine.mmap, settings.engine.batch) == (3, KvType.F16, True, 512)
    assert (settings.sampling.temperature, settings.sampling.stop) == (1.0, ("END",))


def test_the_command_line_goes_before_the_environment_before_the_file(file: Path) -> None:
    environment = {
        "NEMOCHAT_ENGINE_THREADS": "5",
        "NEMOCHAT_ENGINE_MMAP": "false",
        "NEMOCHAT_SAMPLING_STOP": '["x", "y"]',
        "NEMOCHAT_MODEL": "other",
    }
    settings = load_settings(file, environment, {"engine": {"threads": 7}, "sampling": {"seed": 1}})
    assert settings.engine.threads == 7
    assert settings.engine.mmap is False
    assert settings.engine.kv_type is KvType.F16
    assert settings.sampling.stop == ("x", "y")
    assert settings.sampling.seed == 1
    assert settings.model == "other"


@pytest.mark.parametrize(
    ("text", "named", "hint"),
    [
        ("[engine]\nthreads = -7", "engine.threads", "a whole number at least 0 and at most 1024"),
        ("[engine]\nthread = 7", "thread", "threads"),
        ("[engine]\nkv_type = 'q4'", "engine.kv_type", "f16 or q8_0"),
        ("[engine]\nmmap = 1", "engine.mmap", "true or false"),
        ("[sampling]\ntemperature = 11", "sampling.temperature", "a number at least 0 and at most 10"),
        ("[sampling]\nseed = 'x'", "sampling.seed", "a whole number"),
        ("[sampling]\nstop = [1]", "sampling.stop[0]", "a list, each text"),
        ("[motor]", "motor", "model, engine, sampling"),
        ("engine = 1", "engine", "context_length"),
        ("model = 3", "model", "text"),
        ("model = ", "TOML", "Correct it"),
    ],
)
def test_a_bad_file_is_named_with_the_key_and_what_is_allowed(tmp_path: Path, text: str, named: str, hint: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load_settings(file, {}, {})
    assert str(file) in raised.value.message
    assert named in raised.value.message
    assert hint in raised.value.hint
    assert "`" not in raised.value.message


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("NEMOCHAT_ENGINE_THREADS", "many", "whole number"),
        ("NEMOCHAT_ENGINE_THREADS", "-1", "at least 0"),
        ("NEMOCHAT_ENGINE_MMAP", "perhaps", "true or false"),
        ("NEMOCHAT_ENGINE_KV_TYPE", "q4", "f16 or q8_0"),
        ("NEMOCHAT_ENGINE_HANG_SECONDS", "0", "more than 0"),
        ("NEMOCHAT_SAMPLING_TEMPERATURE", "nan", "at least 0"),
        ("NEMOCHAT_SAMPLING_STOP", '["a"', "a list"),
        ("NEMOCHAT_SAMPLING_STOP", "a", "a list"),
        ("NEMOCHAT_SAMPLING_TEMPRATURE", "1", "temperature"),
    ],
)
def test_a_bad_variable_is_named_with_what_is_allowed(tmp_path: Path, variable: str, value: str, hint: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(tmp_path / "none.toml", {variable: value}, {})
    assert variable in raised.value.message
    assert hint in raised.value.hint


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path, {}, {})


def test_the_file_may_hold_any_bytes(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError):
        load_settings(file, {}, {})


def test_sampling_settings_are_the_fields_of_sampling() -> None:
    assert msgspec.structs.asdict(SamplingSettings()) == msgspec.structs.asdict(Sampling())
