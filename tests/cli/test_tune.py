"""``nemochat tune`` as users run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nemochat.cli import tune
from nemochat.engine.tuning import TUNED
from nemochat.errors import SettingsError
from nemochat.settings_file import write_setting
from tests.cli.conftest import Run, WriteScript, command

SCRIPT = {"batch_seconds": 0.001, "token_seconds": 0.0005}


def settings_of(folder: Path) -> dict[str, Any]:
    file = folder / "config" / "config.toml"
    return tomllib.loads(file.read_text()) if file.exists() else {}


def configure(folder: Path, text: str) -> None:
    (folder / "config").mkdir()
    (folder / "config" / "config.toml").write_text(text)


def test_the_demo_pair_end_to_end(nemochat: Run) -> None:
    done = nemochat("tune", "nemochat-demo", "--seconds", "5", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    first = told["trials"][0]
    assert told["model"] == "nemochat-demo"
    assert told["seconds"] < 60
    assert first["tried"] == "the present settings"
    assert first["error"] is None
    assert first["decode_per_second"] > 0
    assert first["memory_bytes"] > 30_000_000
    assert told["settings"].keys() == set(TUNED)
    assert not told["is_stored"]


def test_a_model_of_a_server_is_tuned_where_it_runs(nemochat: Run, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "servers.toml").write_text('[home]\nurl = "http://127.0.0.1:1"\nkind = "llama-server"\n')
    done = nemochat("tune", "home/some-model")
    assert done.returncode == 2
    assert "There is nothing to tune here for a model of home: how fast it is, is set where that server is started." in done.stderr
    assert "nemochat tune MODEL" in done.stderr


def test_a_table_and_what_was_kept(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    """All of these are equally quick and no default: the defaults come back."""
    configure(tmp_path, '# mine\n[engine]\nthreads = 1\nmmap = false # so\nkv_type = "f16"\n')
    done = nemochat("tune", script("one two three four five six", **SCRIPT), "--seconds", "10")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "model.script.json: a turn is 400 tokens read and 150 written"
    assert lines[1].split()[:3] == ["tried", "reads", "tok/s"]
    assert any(line.startswith("kv_type = q8_0") for line in lines)
    assert "  engine.kv_type: f16 -> q8_0" in lines
    assert f"Stored in {tmp_path / 'config' / 'config.toml'}, for every model from its next loading on." in lines
    kept = (tmp_path / "config" / "config.toml").read_text()
    assert kept.startswith("# mine\n")
    assert "kv_type" not in settings_of(tmp_path)["engine"], "a default is left out"


def test_a_dry_run_stores_nothing(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    text = '[engine]\nkv_type = "f16"\n'
    configure(tmp_path, text)
    done = nemochat("tune", script("one two three four five six", **SCRIPT), "--seconds", "10", "--dry-run", "--json")
    told = json.loads(done.stdout)
    assert told["changes"]["engine.kv_type"] == {"from": "f16", "to": "q8_0"}
    assert not told["is_stored"]
    assert (tmp_path / "config" / "config.toml").read_text() == text


def test_what_the_environment_sets_is_left_and_told(nemochat: Run, script: WriteScript) -> None:
    done = nemochat("tune", script("one two three four five six", **SCRIPT), "--seconds", "10", "--json", NEMOCHAT_ENGINE_KV_TYPE="f16")
    assert "kv_type stays as NEMOCHAT_ENGINE_KV_TYPE sets it." in done.stderr
    assert "engine.kv_type" not in json.loads(done.stdout)["changes"]


def test_the_shift_that_was_chosen_keeps_its_kv_type(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    configure(tmp_path, '[engine]\nkv_type = "f16"\nwhen_full = "shift"\n')
    done = nemochat("tune", script("one two three four five six", **SCRIPT), "--seconds", "5", "--json")
    assert "kv_type stays as when_full, which needs it, sets it." in done.stderr
    assert json.loads(done.stdout)["settings"]["kv_type"] == "f16"


def test_where_nothing_works_one_sentence_says_why(nemochat: Run, script: WriteScript, tmp_path: Path) -> None:
    done = nemochat("tune", script("one", faults=[{"at": "load", "kind": "segv"}]))
    assert done.returncode == 1
    assert "Error: None of the settings could be measured: The engine crashed (SIGSEGV).\n" in done.stderr
    assert "the present settings" in done.stdout, "the table says what was tried"
    assert settings_of(tmp_path) == {}


def test_a_model_that_is_not_there(nemochat: Run) -> None:
    done = nemochat("tune", "nothing-of-that-name")
    assert done.returncode == 1
    assert "nothing-of-that-name" in done.stderr


def test_ctrl_c_keeps_the_settings(script: WriteScript, tmp_path: Path) -> None:
    text = '[engine]\nkv_type = "f16"\n'
    configure(tmp_path, text)
    model = script("one two three four five six", load_seconds=1.0, **SCRIPT)
    process = subprocess.Popen(
        command("tune", model), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=dict(os.environ)
    )
    log = tmp_path / "log" / "engine.log"
    deadline = time.monotonic() + 120
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Stopped: the settings are as they were." in errors
    assert "Traceback" not in errors
    assert (tmp_path / "config" / "config.toml").read_text() == text


@pytest.mark.parametrize("before", ['[engine]\nthreads = 2\nkv_type = "f16"\n', None])
def test_all_of_the_settings_are_stored_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    file = tmp_path / "config.toml"
    if before is not None:
        file.write_text(before)
    calls = 0

    def fails_at_the_second(target: Path, key: str, value: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise SettingsError("The disk is full.")
        write_setting(target, key, value)

    monkeypatch.setattr(tune, "write_setting", fails_at_the_second)
    with pytest.raises(SettingsError):
        tune._store(file, {"engine.threads": 3, "engine.batch": 512})
    assert (file.read_text() if file.exists() else None) == before
