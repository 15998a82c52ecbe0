"""What the README and the pages of docs/ say can be typed, linked to and sent; their lists are those of the code."""

from __future__ import annotations

import importlib
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from textual.binding import Binding

from nemochat import tui
from nemochat.chat.openai_messages import to_conversation
from nemochat.cli.exchange import JsonReply
from nemochat.cli.jsonl import JsonRequest
from nemochat.desk.commands import COMMANDS as SLASH_COMMANDS
from nemochat.domain.messages import ImagePart
from nemochat.domain.sampling import Settled
from nemochat.engine.installed import WANTED
from nemochat.settings import GROUPS, SettingInfo, Settings, describe

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
FOR_USERS = [README, *DOCS]
PAGES = [*FOR_USERS, *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "training/README.md", "benchmarks/RESULTS.md"))]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def of_page(page: Path) -> str:
    return str(page.relative_to(ROOT))


def rows(page: str, heading: str) -> list[str]:
    """The table below a heading, without the names of its columns."""
    below = text(page).split(f"\n{heading}\n")[1].split("\n#")[0]
    return re.findall(r"^\| .*$", below, re.MULTILINE)[1:]


# -- the front door


def test_the_two_lines_that_set_it_up() -> None:
    use, work = blocks(README, "sh")[:2]
    assert use.startswith("python3 -m venv .venv && . .venv/bin/activate && pip install --no-deps --prefer-binary ")
    assert use.endswith(f' "{WANTED}" && pip install . && nemochat\n')
    assert work == 'pip install -e ".[dev]" && pytest\n'
    assert text(".ci/run").splitlines()[-1] == 'pip install -e ".[dev]" && pytest'


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    assert len(text("README.md").splitlines()) <= 150
    contents = text("README.md").split("\n## All pages\n")[1]
    assert {of_page(page) for page in DOCS} <= set(re.findall(r"\]\(([^)#]+)", contents))


@pytest.mark.parametrize("page", FOR_USERS, ids=of_page)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))
    for file, heading in links:
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not heading or heading in _anchors(target), f"{file}#{heading}"


def _anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# -- lists that the code has


def test_the_slash_commands_are_those_of_the_one_table() -> None:
    usages = [each.usage.replace("|", "\\|") for each in SLASH_COMMANDS]
    expected = [f"| `{usage}` | {each.help} |" for usage, each in zip(usages, SLASH_COMMANDS, strict=True)]
    assert rows("docs/keys.md", "## Commands") == expected


@pytest.mark.parametrize("group", GROUPS)
def test_the_settings_are_those_of_the_code(group: str) -> None:
    assert rows("docs/settings.md", f"## {group.capitalize()}") == [_row(info) for info in describe(group)]


def _row(info: SettingInfo) -> str:
    group, name = info.key.split(".")
    value = msgspec.json.encode(getattr(Settled(), name) if group == "sampling" else info.default).decode()
    is_open = value in ("null", str(Settled().max_tokens))
    cells = (f"`{name}`", "by itself" if is_open else f"`{value}`", info.allowed, info.help)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def test_the_names_of_keys_are_those_of_the_bindings() -> None:
    of_code = {name: f"| `{name}` | `{keys}` | {tooltip} |" for name, keys, tooltip in _bindings() if name.split(".")[0] in _EXPLAINED}
    assert rows("docs/keys.md", "## Change a key") == list(of_code.values())


_EXPLAINED = ("app", "chat", "prompt", "message", "transcript", "chats")


def _bindings() -> Iterator[tuple[str, str, str]]:
    """The name, keys and tooltip of each binding of the interface that has a name."""
    for module in [importlib.import_module(found.name) for found in pkgutil.walk_packages(tui.__path__, "nemochat.tui.")]:
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == module.__name__:
                for binding in vars(kind).get("BINDINGS", ()):
                    if isinstance(binding, Binding) and binding.id:
                        yield binding.id, binding.key, binding.tooltip


# -- what is sent and written


def test_request_lines_are_valid() -> None:
    requests = [msgspec.json.decode(line, type=JsonRequest) for line in blocks(ROOT / "docs/scripts.md", "json")[0].splitlines()]
    assert len(requests) == 4
    for request in requests:
        to_conversation(request, {"picture.png": ImagePart("", "picture.png")})


def test_answers_have_the_keys_that_are_named() -> None:
    page = text("docs/scripts.md")
    named = set(re.findall(r"`(\w+)`", page[page.index("An answer has") : page.index("A line that cannot be served")]))
    assert named - {"stop", "length"} == set(JsonReply.__struct_fields__)


@pytest.mark.parametrize("page", [page for page in FOR_USERS if blocks(page, "toml")], ids=of_page)
def test_settings_are_valid(page: Path) -> None:
    for block in blocks(page, "toml"):
        settings = msgspec.convert(tomllib.loads(block), Settings)
        assert set(settings.keys) <= {name for name, _, _ in _bindings()}


# -- pages for those who change it


_NAMED = re.compile(
    r"(?<![\w./~-])(?:[\w.-]+/)*[\w.-]+\.(?:py|md|jinja|svg|model)\b|(?<![\w./~-])(?:[\w.-]+/)+(?=[`\s),;:.]|$)", re.MULTILINE
)
_OURS = {path.name for path in ROOT.iterdir()} | {path.name for path in (ROOT / "nemochat").iterdir()}


def _files_named(page: Path) -> set[str]:
    """Paths of the project in a page: with a suffix of ours, or below one of its folders."""
    found = {match[0] for match in _NAMED.finditer(page.read_text(encoding="utf-8"))}
    return {name for name in found if name.split("/")[0] in _OURS or name.endswith((".py", ".jinja", ".model"))}


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_no_page_names_a_file_that_is_not_there(page: Path) -> None:
    folders = [ROOT, ROOT / "nemochat", page.parent, ROOT / "nemochat" / "desk"]
    named = _files_named(page) - {name for name, _, _ in _bindings()}
    there = {path.name for path in ROOT.glob("nemochat/**/*.py")} if page.name == "CONTRIBUTING.md" else set()
    assert [name for name in sorted(named) if name not in there and not any((folder / name).exists() for folder in folders)] == []


def test_that_rule_can_fail(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    ours, theirs = "`nemochat/desk/gone.py`, gone.py and (training/gone/)", "~/gone.md, https://example.org/nemochat/x.html or config.toml"
    page.write_text(f"{ours} but not {theirs}\n")
    assert _files_named(page) == {"nemochat/desk/gone.py", "gone.py", "training/gone/"}


def test_every_folder_stands_in_the_table() -> None:
    folders = [path.name for path in (ROOT / "nemochat").iterdir() if (path / "__init__.py").exists()]
    named = [name for row in rows("CONTRIBUTING.md", "## Where things are") for name in re.findall(r"`([\w/]+)/`", row)]
    assert set(named) >= set(folders)
    assert [name for name in named if not any((root / name).is_dir() for root in (ROOT, ROOT / "nemochat"))] == []


def test_the_picture_of_the_layers_is_that_of_the_contracts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = [each for each in project["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    drawings = [drawing.splitlines() for language, drawing in fenced if not language]
    drawn = [[re.split(r" {2,}", line.strip())[0] for line in drawing if line.strip() != "|"] for drawing in drawings]
    assert drawn == [each["layers"] for each in contracts]
