"""``nemochat models pull``, list and remove as users run them, with servers on the loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.models.hub import TOKEN, Hub
from tests.tiny_gguf import write_language_model, write_projector

MODEL, PROJECTOR = "tiny-Q4_K_M.gguf", "mmproj-tiny-F16.gguf"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    (tmp_path / "served").mkdir()
    files = write_language_model(tmp_path / "served" / MODEL), write_projector(tmp_path / "served" / PROJECTOR)
    served = Hub({path.name: path.read_bytes() for path in files})
    yield served
    served.close()


def test_from_a_name_to_an_answer(nemochat: Run, hub: Hub, tmp_path: Path) -> None:
    done = nemochat("models", "pull", "owner/model", "--use", **hub.environment)
    assert done.returncode == 0, done.stderr
    assert "apache-2.0" in done.stdout
    assert "tiny is there, with its projector" in done.stdout
    assert "tiny answers from now on" in done.stdout
    listed = json.loads(nemochat("models", "list", "--json").stdout)
    assert listed["in_use"] == "tiny"
    [entry] = [each for each in listed["models"] if each["name"] == "tiny"]
    assert entry["origin"] == {"source": "hf.co/owner/model", "licence": "apache-2.0", "is_ours": True}
    asked = nemochat("ask", "Hello", "--max-tokens", "2")
    assert asked.returncode == 0, asked.stderr
    assert "First use of tiny: its licence is apache-2.0." in asked.stderr
    assert "First use" not in nemochat("ask", "Hello", "--max-tokens", "2").stderr
    shown = nemochat("models", "show", "tiny").stdout
    assert "licence" in shown
    assert "known risks" in shown
    removed = nemochat("models", "remove", "tiny").stdout
    assert "are free again" in removed
    assert not Path(entry["model_path"]).exists()


def test_what_would_come(nemochat: Run, hub: Hub) -> None:
    hub.gated = "auto"
    done = nemochat("models", "pull", "owner/model", "--dry-run", **hub.environment)
    assert done.returncode == 0
    assert f"Its terms have to be accepted once, with an account: {hub.endpoint}/owner/model" in " ".join(done.stdout.split())
    assert "it fits" in done.stdout
    said = json.loads(nemochat("models", "pull", "owner/model", "--dry-run", "--json", **hub.environment).stdout)
    assert [file["path"] for file in said["files"]] == [MODEL, PROJECTOR]
    assert said["size"] == sum(map(len, hub.files.values()))
    assert hub.sent_to("cdn") == []


def test_what_does_not_come_is_one_sentence_and_what_to_do(nemochat: Run, hub: Hub) -> None:
    hub.gated = "manual"
    done = nemochat("models", "pull", "owner/model", HF_TOKEN=TOKEN, **hub.environment)
    assert done.returncode == 1
    assert "Error: owner/model is given only to those who have accepted its terms (403)." in done.stderr
    assert f"Hint: Accept them at {hub.endpoint}/owner/model" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_short_list(nemochat: Run) -> None:
    said = json.loads(nemochat("models", "pull", "--json").stdout)
    assert said["models"][0]["name"] == "nemovision-4b-instruct"
    assert all(each["source"] and each["why"] and each["page"] and each["gigabytes"] > 0 for each in said["models"])
    shown = nemochat("models", "pull").stdout
    assert "nemovision-4b-instruct" in shown
    assert "fits" in shown


def test_models_of_other_programs_are_listed_and_answer(nemochat: Run, tmp_path: Path) -> None:
    folder = tmp_path / "home/.lmstudio/models/maker/tiny-GGUF"
    folder.mkdir(parents=True)
    write_language_model(folder / "tiny-Q8_0.gguf")
    assert "LM Studio" in nemochat("models", "list").stdout
    assert nemochat("models", "use", "tiny-q8_0").returncode == 0
    assert nemochat("ask", "Hello", "--max-tokens", "1").returncode == 0
    nemochat("models", "remove", "tiny-q8_0")
    assert (folder / "tiny-Q8_0.gguf").exists()
    done = nemochat("models", "remove", "tiny-q8_0")
    assert "belongs to LM Studio and stays" in done.stderr
