"""Settings: precedence, and errors that name the place, the key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nemochat.domain.sampling import Sampling
from nemochat.errors import SettingsError
from nemochat.settings import (
    GROUPS,
    KvType,
    PictureProtocol,
    SamplingSettings,
    Settings,
    describe,
    load_settings,
    parse_setting,
    variable_of,
)
from nemochat.settings_file import write_setting

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
    assert (settings.engine.threads, settings.engine.kv_type, settings.engine.mmap, settings.engine.batch) == (3, KvType.F16, True, 256)
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
        ("[interface]\npictures = 'ascii'", "interface.pictures", "auto or kitty or sixel or halfblocks or none"),
        ("[interface]\nnotify_seconds = 0", "interface.notify_seconds", "a number at least 1 and at most 60"),
        ("[keys]\nsend = 3", "keys", "a table, each text"),
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


def test_the_interface_has_its_group_and_its_keys(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[interface]\ntheme = "paper"\n[keys]\n"chat.send" = "ctrl+s,f5"')
    settings = load_settings(file, {"NEMOCHAT_INTERFACE_PICTURES": "none", "NEMOCHAT_INTERFACE_MOUSE": "false"}, {})
    assert (settings.interface.theme, settings.interface.pictures, settings.interface.mouse) == ("paper", PictureProtocol.NONE, False)
    assert settings.keys == {"chat.send": "ctrl+s,f5"}


@pytest.mark.parametrize("group", GROUPS)
def test_every_setting_says_what_it_does_and_its_default_is_allowed(group: str) -> None:
    infos = describe(group)
    assert [info.key for info in infos] == [f"{group}.{field}" for field in GROUPS[group].__struct_fields__]
    for info in infos:
        assert info.help[0].isupper(), info.key
        assert info.help.endswith("."), info.key
        assert info.allowed, info.key
        assert info.applies == "when the model is loaded again" or group != "engine"
        typed = " " if info.default in (None, ()) else str(info.default).replace("True", "true")
        assert parse_setting(info.key, typed) == info.default


@pytest.mark.parametrize(
    ("key", "text", "hint"),
    [
        ("engine.threads", "-1", "at least 0"),
        ("engine.threads", "", "whole number"),
        ("sampling.top_p", "0", "more than 0"),
        ("sampling.stop", "x", "list"),
    ],
)
def test_what_is_typed_is_checked(key: str, text: str, hint: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_setting(key, text)
    assert key in raised.value.message
    assert hint in raised.value.hint


def test_the_variable_of_a_setting_sets_it(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none.toml", {variable_of("engine.threads"): "3"}, {}).engine.threads == 3


def test_a_setting_of_sampling_can_be_left_to_the_model(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[sampling]\ntemperature = "auto"\nmax_tokens = "auto"\n')
    settings = load_settings(path, {"NEMOCHAT_SAMPLING_TOP_K": "auto"}, {"sampling": {"min_p": "auto"}})
    assert settings.sampling == SamplingSettings(temperature="auto", top_k="auto", min_p="auto", max_tokens="auto")
    assert [parse_setting("sampling.top_p", text) for text in ("auto", "", " 0.5 ")] == ["auto", None, 0.5]
    write_setting(path, "sampling.top_p", "auto")
    write_setting(path, "sampling.temperature", 0.5)
    assert load_settings(path, {}, {}).sampling == SamplingSettings(temperature=0.5, top_p="auto", max_tokens="auto")
    with pytest.raises(SettingsError) as caught:
        parse_setting("sampling.top_p", "model")
    assert caught.value.hint == "Allowed: a number more than 0 and at most 1, or auto."
