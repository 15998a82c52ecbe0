"""Writing the settings: comments stay, nothing invalid is written, no torn file; and a broken file does not stop the interface."""

from __future__ import annotations

import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from nemochat.domain.sampling import Source
from nemochat.errors import SettingsError
from nemochat.settings import KvType, SamplingSettings, Settings, load_settings
from nemochat.settings_file import load_or_set_aside, locked_settings, sampling_layers, write_setting

FILE = """# mine
model = "m"  # the big one

[engine]
# as many as I like
threads = 3  # three
[sampling]
stop = [
  "END",  # the end
]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    return path


def test_only_the_value_changes(file: Path) -> None:
    write_setting(file, "engine.threads", 5)
    assert file.read_text() == FILE.replace("threads = 3", "threads = 5")


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("model", "other", lambda settings: settings.model),
        ("interface.theme", 'a "quoted" \\ name', lambda settings: settings.interface.theme),
        ("interface.mouse", False, lambda settings: settings.interface.mouse),
        ("engine.kv_type", KvType.F16, lambda settings: settings.engine.kv_type),
        ("engine.mmap", True, lambda settings: settings.engine.mmap),
        ("sampling.temperature", 0.25, lambda settings: settings.sampling.temperature),
        ("sampling.stop", ("a", "b\n"), lambda settings: settings.sampling.stop),
        ("keys.chat.send", "ctrl+s,f5", lambda settings: settings.keys["chat.send"]),
    ],
)
@pytest.mark.parametrize("before", [FILE, "", None, 'engine = {threads = 3}\nsampling.top_k = 2\ninterface.theme = "x"\n'])
def test_what_is_written_is_read_again(tmp_path: Path, before: str | None, key: str, value: object, read: object) -> None:
    file = tmp_path / "new" / "config.toml"
    if before is not None:
        file.parent.mkdir()
        file.write_text(before)
    was = load_settings(file, {}, {})
    write_setting(file, key, value)
    now = load_settings(file, {}, {})
    assert callable(read)
    assert read(now) == value
    if not key.startswith("engine."):
        assert now.engine == was.engine
    if before == FILE:
        assert "# as many as I like" in file.read_text()


def test_none_takes_a_setting_out(file: Path) -> None:
    write_setting(file, "engine.threads", None)
    write_setting(file, "sampling.seed", None)
    write_setting(file, "interface.theme", None)
    assert load_settings(file, {}, {}).engine == Settings().engine
    assert "interface" not in file.read_text()
    assert "# mine" in file.read_text()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("engine.threads", -1),
        ("engine.thread", 1),
        ("motor.on", True),
        ("sampling.temperature", float("nan")),
        ("interface.pictures", "ascii"),
        ("keys.chat.send", 3),
        ("model", object()),
        ("interface.theme", "\ud800"),
    ],
)
def test_a_value_that_is_not_allowed_leaves_the_file_as_it_was(file: Path, key: str, value: object) -> None:
    with pytest.raises(SettingsError, match="config"):
        write_setting(file, key, value)
    assert file.read_text() == FILE
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_a_file_that_is_broken_meanwhile_is_not_written_over(file: Path) -> None:
    file.write_text("model = ")
    with pytest.raises(SettingsError, match="not a valid TOML file"):
        write_setting(file, "engine.threads", 1)
    assert file.read_text() == "model = "


def test_a_failed_write_leaves_the_old_file_and_no_scrap(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(SettingsError, match="No space left"):
        write_setting(file, "engine.threads", 5)
    assert file.read_text() == FILE
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_folder_and_file_are_for_the_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.toml"
    write_setting(file, "engine.threads", 5)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "linked.toml"
    link.symlink_to(file)
    write_setting(link, "engine.threads", 5)
    assert link.is_symlink()
    assert "threads = 5" in file.read_text()


def test_of_many_writers_none_tears_the_file(file: Path) -> None:
    def write(number: int) -> None:
        for _ in range(5):
            write_setting(file, "engine.threads", number)
            assert load_settings(file, {}, {}).engine.threads in range(1, 5)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert load_settings(file, {}, {}).model == "m"
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_a_good_file_loads_without_a_word(file: Path) -> None:
    settings, notices = load_or_set_aside(file, {"NEMOCHAT_ENGINE_BATCH": "7"}, {"engine": {"threads": 9}})
    assert (settings.engine.threads, settings.engine.batch, settings.model) == (9, 7, "m")
    assert notices == []
    assert load_or_set_aside(file.with_name("none.toml"), {}, {}) == (Settings(), [])


@pytest.mark.parametrize("content", [b"model = ", b"\xff\xfe", b"[engine]\nthreads = -1", b"a=" + b"[" * 100_000, b"#" * 2_000_000])
def test_a_broken_file_is_kept_aside_and_the_defaults_hold(file: Path, content: bytes) -> None:
    for number in (1, 2):
        file.write_bytes(content)
        settings, notices = load_or_set_aside(file, {"NEMOCHAT_ENGINE_BATCH": "7"}, {})
        assert settings.engine.batch == 7
        assert settings.engine.threads == Settings().engine.threads
        (notice,) = notices
        assert f"config.toml.broken-{number}" in notice
        assert file.with_name(f"config.toml.broken-{number}").read_bytes() == content
        assert not file.exists()


def test_a_notice_carries_no_control_characters(file: Path) -> None:
    file.write_text('"\\u001b]52;c;aGk=\\u0007" = 1')
    ((notice,),) = load_or_set_aside(file, {}, {})[1:]
    assert "\x1b" not in notice


def test_a_folder_in_place_of_the_file_stays(tmp_path: Path) -> None:
    settings, (notice,) = load_or_set_aside(tmp_path, {}, {})
    assert settings == Settings()
    assert "cannot be read" in notice
    assert tmp_path.is_dir()


def test_a_bad_variable_is_an_error_and_not_the_files_fault(file: Path) -> None:
    with pytest.raises(SettingsError, match="NEMOCHAT_ENGINE_THREADS"):
        load_or_set_aside(file, {"NEMOCHAT_ENGINE_THREADS": "x"}, {})
    assert file.read_text() == FILE


def test_what_the_file_cannot_change() -> None:
    environment = {"NEMOCHAT_ENGINE_THREADS": "1", "NEMOCHAT_INTERFACE_THEME": "x", "NEMOCHAT_DATA_DIR": "/"}
    locked = locked_settings(environment, {"engine": {"threads": 2, "batch": 3}})
    assert locked == {
        "engine.threads": "the command line",
        "engine.batch": "the command line",
        "interface.theme": "NEMOCHAT_INTERFACE_THEME",
    }


def test_each_value_of_sampling_is_known_by_who_set_it(tmp_path: Path) -> None:
    """The command line, the environment and the file each ask for their own, and nobody for the others."""
    file = tmp_path / "config.toml"
    file.write_text("[sampling]\ntemperature = 0.5\ntop_k = 7\nseed = 1\n")
    environment = {"NEMOCHAT_SAMPLING_TOP_K": "8", "NEMOCHAT_SAMPLING_SEED": "2"}
    overrides: dict[str, dict[str, object]] = {"sampling": {"seed": 3}}
    settings = load_settings(file, environment, overrides)
    assert sampling_layers(settings, locked_settings(environment, overrides)) == {
        Source.COMMAND_LINE: SamplingSettings(seed=3),
        Source.ENVIRONMENT: SamplingSettings(top_k=8),
        Source.CONFIG: SamplingSettings(temperature=0.5),
    }
