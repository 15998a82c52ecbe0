"""The other commands, run in this process where that says as much: greeting, version, paths, render, models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import nemochat as package
from nemochat.cli.app import app
from nemochat.cli.output import json_text
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import LoadRequest, ModelInfo
from nemochat.errors import NemochatError
from nemochat.numbers import size_text
from tests.cli.conftest import Run, WriteScript
from tests.models import raw_gguf
from tests.tiny_gguf import IMAGE_TOKENS, write_language_model, write_projector

CONVERSATION = {
    "system": "Be kind.",
    "tools": [{"name": "now"}],
    "contexts": [{"name": "a.txt", "text": "It rains."}],
    "messages": [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "red.png"}}, {"type": "text", "text": "What <extra_id_1>?"}],
        },
        {"role": "assistant", "content": "Red."},
        {"role": "user", "content": "Sure?"},
    ],
}
PROMPT = """\
<extra_id_0>System
Be kind.

<tool> {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}} </tool>

<context> a.txt: It rains. </context>

<extra_id_1>User
<image>
What <extra_id_1>?
<extra_id_1>Assistant
Red.
<extra_id_1>User
Sure?
<extra_id_1>Assistant
"""


def invoke(*arguments: str) -> str:
    """Run a command in this process; a failure raises as it would reach `main`."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    folder = tmp_path / "pair"
    folder.mkdir()
    write_language_model(folder / "tiny.gguf", script=("he", "ll", "<extra_id_1>"))
    write_projector(folder / "mmproj-tiny.gguf")
    return folder


def test_without_arguments_it_greets_and_tells_how_to_ask() -> None:
    greeting = invoke()
    assert 'nemochat ask "What colour is the circle?" -i picture.png' in greeting
    assert len(greeting.splitlines()) < 12


def test_version() -> None:
    assert invoke("--version") == f"nemochat {package.__version__}\n"


def test_paths_prints_every_place_and_its_variable(tmp_path: Path) -> None:
    text = invoke("paths")
    for place, variable in {
        "config/config.toml": "NEMOCHAT_CONFIG_DIR",
        "data/models.json": "NEMOCHAT_DATA_DIR",
        "log/engine.log": "NEMOCHAT_LOG_DIR",
        "cache": "NEMOCHAT_CACHE_DIR",
    }.items():
        assert any(str(tmp_path / place) in line and variable in line for line in text.splitlines())


def test_render_as_text_needs_neither_model_nor_pictures(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(CONVERSATION))
    assert invoke("render", str(file)) == PROMPT
    file.write_text(json.dumps(CONVERSATION["messages"]))
    assert invoke("render", str(file)).startswith("<extra_id_0>System\n\n<extra_id_1>User\n<image>\n")


def test_render_as_segments_counts_with_the_models_own_vocabulary(nemochat: Run, pair: Path, red: str, tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text(json.dumps(CONVERSATION))
    done = nemochat("render", "chat.json", "--json", "--model", str(pair))
    prompt = json.loads(done.stdout)
    segments = prompt["segments"]
    assert "".join(segment["text"] for segment in segments) == PROMPT
    assert prompt["prompt_tokens"] == sum(segment["tokens"] for segment in segments)
    (image,) = [segment for segment in segments if segment["kind"] == "image"]
    assert image == {"kind": "image", "text": "<image>", "tokens": IMAGE_TOKENS, "label": "picture"}
    (forged,) = [segment for segment in segments if "What" in segment["text"]]
    assert (forged["kind"], forged["label"], forged["tokens"] > 10) == ("plain", "history", True)


TEMPLATE = """{% for message in messages %}<{{ message.role }}>{{ message.content }}
{% endfor %}<assistant>"""
BEGINS = "{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
CHATML = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[LoadRequest]:
    """What is asked to be loaded."""
    asked: list[LoadRequest] = []
    load = WorkerEngine.load

    async def watched(engine: WorkerEngine, request: LoadRequest, *rest: Any) -> ModelInfo:
        asked.append(request)
        return await load(engine, request, *rest)

    monkeypatch.setattr(WorkerEngine, "load", watched)
    return asked


def test_rendering_a_template_reads_no_weights_unless_a_picture_has_to_be_counted(
    pair: Path, red: str, tmp_path: Path, loads: list[LoadRequest]
) -> None:
    template, file = tmp_path / "mine.jinja", tmp_path / "chat.json"
    template.write_text(TEMPLATE)
    said = [{"role": "user", "content": "Hi <s>"}, {"role": "assistant", "content": "Ho."}, {"role": "user", "content": "So?"}]
    file.write_text(json.dumps(said))
    text = "<user>Hi <s>\n<assistant>Ho.\n<user>So?\n<assistant>"
    asked = ("render", str(file), "--model", str(pair), "--format", str(template))
    assert invoke(*asked) == text
    prompt = json.loads(invoke(*asked, "--json"))
    assert "".join(segment["text"] for segment in prompt["segments"]) == text
    assert prompt["prompt_tokens"] > 10
    shown = {"type": "image_url", "image_url": {"url": str(tmp_path / red)}}
    file.write_text(json.dumps([{"role": "user", "content": [shown, {"type": "text", "text": "What?"}]}]))
    assert invoke(*asked) == "<user><image>\nWhat?\n<assistant>"
    assert [segment["tokens"] for segment in json.loads(invoke(*asked, "--json"))["segments"]][1] == IMAGE_TOKENS
    assert [request.vocabulary_only for request in loads] == [True, True, True, False]


def test_llamas_own_rendering_is_set_beside_ours(tmp_path: Path) -> None:
    file, model = tmp_path / "chat.json", write_language_model(tmp_path / "chatml.gguf", template=CHATML)
    said = [{"role": "user", "content": " Hi."}, {"role": "assistant", "content": "Ho."}, {"role": "user", "content": "So?"}]

    def compared(*messages: dict[str, str], model: Path = model) -> tuple[str, str]:
        file.write_text(json.dumps(messages))
        result = CliRunner().invoke(app, ["render", str(file), "--compare", "--model", str(model)], catch_exceptions=False)
        return result.stdout, result.stderr

    # This template does not begin a reply, whatever is asked; llama.cpp, which knows it by sight, does.
    text, note = compared(*said)
    assert "\n- Hi.<|im_end|>\n+Hi.<|im_end|>\n" in text
    assert text.endswith("-<|im_start|>assistant\n")
    assert not note
    assert "writes the same" in compared(*said[1:], model=write_language_model(tmp_path / "other.gguf", template=f"{CHATML}{BEGINS}"))[1]
    assert "cannot say this" in compared(said[2], model=write_language_model(tmp_path / "unknown.gguf", template=TEMPLATE))[1]
    with pytest.raises(SystemExit):
        app(["render", str(file), "--compare", "--json"])


@pytest.mark.parametrize("content", ["", "[", "{}x", '{"messages": 1}', '[{"role": "x"}]', '"text"'])
def test_render_names_what_is_wrong_with_the_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "chat.json"
    file.write_text(content)
    with pytest.raises(NemochatError, match=r"chat\.json: "):
        invoke("render", str(file))


def test_models_from_adding_to_answering(nemochat: Run, pair: Path, red: str) -> None:
    assert "nemochat-demo" in invoke("models", "list")
    added = invoke("models", "add", str(pair), "--name", "mine")
    assert "Added mine, with its projector" in added
    assert "does not say under which licence" in added
    assert json.loads(invoke("models", "list", "--json"))["in_use"] == "nemochat-demo"
    invoke("models", "use", "mine")
    listed = json.loads(invoke("models", "list", "--json"))
    assert listed["in_use"] == "mine"
    assert [model["name"] for model in listed["models"]] == ["nemochat-demo", "mine"]
    assert [line.split()[:2] for line in invoke("models", "list").splitlines() if line.startswith("*")] == [["*", "mine"]]
    reply = json.loads(nemochat("ask", "Hi", "-i", red, "--json", "--threads", "1").stdout)
    assert (reply["text"], reply["model"], reply["image_tokens"]) == ("hell", "mine", IMAGE_TOKENS)


def test_models_are_set_and_removed_by_the_beginning_of_their_name(pair: Path) -> None:
    invoke("models", "add", str(pair), "--name", "mine-and-yours")
    assert "mine-and-yours: picture_tokens = 64." in invoke("models", "set", "mine", "picture_tokens=64")
    assert "no settings of its own" in invoke("models", "set", "mine", "picture_tokens=")
    with pytest.raises(NemochatError, match="sets nothing"):
        invoke("models", "set", "mine", "picture_tokens")
    invoke("models", "use", "mine-")
    assert json.loads(invoke("models", "list", "--json"))["in_use"] == "mine-and-yours"
    assert "its files stay" in invoke("models", "remove", "mine")
    assert json.loads(invoke("models", "list", "--json"))["in_use"] == "nemochat-demo"
    assert any(pair.iterdir())


def test_models_add_tells_the_licence(pair: Path, tmp_path: Path) -> None:
    assert "Its licence: apache-2.0." in invoke("models", "add", str(raw_gguf.write_model(tmp_path / "licensed.gguf")))


def test_models_show_prints_every_field(pair: Path) -> None:
    invoke("models", "add", str(pair), "--name", "mine")
    text = invoke("models", "show", "mine")
    for field in (
        "architecture", "nemotron", "parameters", "quantisation", "context", "1024 tokens", "vocabulary", "projector", "mlp",
        "image tokens", f"{IMAGE_TOKENS} a picture", "licence", "size on disk", "memory needed", "KV cache",
    ):  # fmt: skip
        assert field in text
    shown = json.loads(invoke("models", "show", str(pair), "--json"))
    assert shown["memory"]["total"] == sum(value for name, value in shown["memory"].items() if name != "total")
    assert shown["card"]["projector"]["image_tokens"] == IMAGE_TOKENS
    # "<extra_id_1>", "User" and two line breaks; "<extra_id_1>", "Assistant" in pieces and two line breaks.
    assert shown["format"]["turn_tokens"] == 4 + 11
    assert "15 tokens beside the words" in text
    assert shown["size_on_disk"] == sum(file.stat().st_size for file in pair.iterdir())


def test_models_show_says_how_replies_are_made_and_who_has_set_that(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEMOCHAT_SAMPLING_TOP_K", "7")
    now = json.loads(invoke("models", "show", "nemochat-demo", "--json"))["sampling"]
    assert (now["sampling"]["temperature"], now["sources"]["temperature"]) == (0, "the model's file")
    assert (now["sampling"]["top_k"], now["sources"]["top_k"]) == (7, "the environment")
    now = json.loads(invoke("models", "show", str(pair), "--json"))["sampling"]
    assert (now["sampling"]["temperature"], now["sources"]["temperature"]) == (0.8, "nemochat's default")
    assert "top_k 7 (the environment)" in invoke("models", "show", str(pair))


def test_the_memory_shown_follows_the_settings(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cache() -> int:
        size: int = json.loads(invoke("models", "show", str(pair), "--json"))["memory"]["kv_cache"]
        return size

    monkeypatch.setenv("NEMOCHAT_ENGINE_SPARE_TOKENS", "0")
    large = cache()
    monkeypatch.setenv("NEMOCHAT_ENGINE_CONTEXT_LENGTH", "256")
    assert cache() * 4 == large


def test_names_from_files_cannot_print_escapes_or_markup(pair: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "a\x1b]0;x\x07[bold]b.gguf"
    (pair / "tiny.gguf").rename(hostile)
    invoke("models", "add", str(hostile))
    text = invoke("models", "list") + invoke("models", "show", str(hostile))
    assert "\x1b" not in text
    assert "[bold]" in text


def test_a_broken_list_of_models_is_set_aside_and_told(tmp_path: Path, nemochat: Run, script: WriteScript) -> None:
    models = tmp_path / "data" / "models.json"
    models.parent.mkdir()
    models.write_text("{")
    done = nemochat("models", "list")
    assert (done.returncode, "nemochat-demo" in done.stdout) == (0, True)
    assert "models.json.broken-1" in done.stderr


def test_json_on_a_terminal_holds_no_controls() -> None:
    text = "a\x1b\x7f\x9b\u00e9"
    assert json_text({"t": text}) == '{"t":"a\\u001b\\u007f\\u009b\u00e9"}'
    assert json.loads(json_text({"t": text})) == {"t": text}


def test_sizes_for_people() -> None:
    assert [size_text(size) for size in (0, 999, 1000, 2_570_000_000, 999_900)] == ["0 B", "999 B", "1 kB", "2.57 GB", "1 MB"]


def test_start_up_imports_nothing_heavy() -> None:
    code = "import sys, nemochat.cli; from nemochat.cli.app import app; app(['--version'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=os.environ, check=True)
    version, modules = done.stdout.splitlines()
    assert version == f"nemochat {package.__version__}"
    loaded = {name.split(".")[0] for name in modules.split()}
    assert not loaded & {"textual", "llama_cpp", "PIL", "rich", "msgspec", "asyncio", "numpy"}
