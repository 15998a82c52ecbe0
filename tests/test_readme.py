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
from nemochat.desk.commands import COMMANDS as SLASH_COMMANDS
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


def test_its_commands_are_those_of_the_one_table() -> None:
    table = README[README.index("| command | does |") :].split("\n\n")[0].splitlines()[2:]
    usages = [each.usage.replace("|", "\\|") for each in SLASH_COMMANDS]
    assert table == [f"| `{usage}` | {each.help} |" for usage, each in zip(usages, SLASH_COMMANDS, strict=True)]


PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "training/README.md", "benchmarks/RESULTS.md")]
_NAMED = re.compile(
    r"(?<![\w./~-])(?:[\w.-]+/)*[\w.-]+\.(?:py|md|jinja|svg|model)\b|(?<![\w./~-])(?:[\w.-]+/)+(?=[`\s),;:.]|$)", re.MULTILINE
)
_OURS = {path.name for path in ROOT.iterdir()} | {path.name for path in (ROOT / "nemochat").iterdir()}


def _files_named(page: Path) -> set[str]:
    """Paths of the project in a page: with a suffix of ours, or below one of its folders."""
    found = {match[0] for match in _NAMED.finditer(page.read_text(encoding="utf-8"))}
    return {name for name in found if name.split("/")[0] in _OURS or name.endswith((".py", ".jinja", ".model"))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_file_that_is_not_there(page: Path) -> None:
    folders = [ROOT, ROOT / "nemochat", page.parent, ROOT / "nemochat" / "desk"]
    named = _files_named(page)
    assert named
    there = {path.name for path in ROOT.glob("nemochat/**/*.py")} if page.name == "CONTRIBUTING.md" else set()
    assert [name for name in sorted(named) if name not in there and not any((folder / name).exists() for folder in folders)] == []


def test_that_rule_can_fail(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    ours, theirs = "`nemochat/desk/gone.py`, gone.py and (training/gone/)", "~/gone.md, https://example.org/nemochat/x.html or config.toml"
    page.write_text(f"{ours} but not {theirs}\n")
    assert _files_named(page) == {"nemochat/desk/gone.py", "gone.py", "training/gone/"}


def test_the_picture_of_the_layers_is_that_of_the_contracts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = [each for each in project["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    drawings = [drawing.splitlines() for language, drawing in fenced if not language]
    drawn = [[re.split(r" {2,}", line.strip())[0] for line in drawing if line.strip() != "|"] for drawing in drawings]
    assert drawn == [each["layers"] for each in contracts]
