"""What the README says can be typed, linked to and sent."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer.main

from nemochat.chat.openai_messages import to_conversation
from nemochat.cli.app import app
from nemochat.cli.jsonl import JsonRequest
from nemochat.domain.messages import ImagePart
from nemochat.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


COMMANDS = [line[line.index("nemochat ") :] for block in blocks("sh") for line in block.splitlines() if "nemochat " in line]


def test_the_two_lines_that_set_it_up() -> None:
    assert "pip install . && nemochat\n" in blocks("sh")
    assert 'pip install -e ".[dev]" && pytest\n' in blocks("sh")
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == 'pip install -e ".[dev]" && pytest'


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_exist_with_their_options(line: str) -> None:
    words = shlex.split(line.split("<")[0], comments=True)[1:]
    words = words[: words.index("--")] if "--" in words else words
    command: Any = typer.main.get_command(app)
    while words and not words[0].startswith("-") and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_request_lines_are_valid() -> None:
    requests = [msgspec.json.decode(line, type=JsonRequest) for line in blocks("json")[0].splitlines()]
    assert len(requests) == 4
    for request in requests:
        to_conversation(request, {"picture.png": ImagePart("", "picture.png")})


def test_the_settings_are_valid() -> None:
    settings = msgspec.convert(tomllib.loads(blocks("toml")[0]), Settings)
    assert settings.engine.gpu_layers == -1


def test_answers_have_the_keys_that_it_names() -> None:
    paragraph = README[README.index("An answer has") : README.index("A line that cannot be served")]
    from nemochat.cli.exchange import JsonReply

    named = set(re.findall(r"`(\w+)`", paragraph)) - {"stop", "length"}
    assert named == set(JsonReply.__struct_fields__)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_folders_that_it_names_exist() -> None:
    table = README[README.index("| folder |") : README.index("## Limits")]
    folders = re.findall(r"`(\w+)/`", table)
    assert [name for name in folders if not (ROOT / "nemochat" / name).is_dir() and not (ROOT / name).is_dir()] == []
