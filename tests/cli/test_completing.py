"""What Tab offers: in real shells, and that looking for it changes nothing and offers no shell anything to run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.homes.test_homes import HOMES
from tests.terminal.tty import Terminal

SHELLS = {
    "bash": ("bash --norc --noprofile -i", "nemochat --install-completion && source ~/.bashrc"),
    "zsh": ("zsh -f -i", "autoload -Uz compinit && compinit -u -D && source <(nemochat --show-completion)"),
    "fish": ("fish --no-config --interactive", "nemochat --install-completion && source ~/.config/fish/completions/nemochat.fish"),
}
"""How each is started without the user's own settings, and given the script for it."""


def offered(nemochat: Run, *words: str) -> list[str]:
    """What bash is offered for the last of these words."""
    typed = ["nemochat", *words]
    done = nemochat(_NEMOCHAT_COMPLETE="complete_bash", COMP_WORDS="\n".join(typed), COMP_CWORD=str(len(typed) - 1))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_and_names(nemochat: Run, shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command = tmp_path / "bin" / "nemochat"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m nemochat "$@"\n')
    command.chmod(0o755)
    nemochat("servers", "add", "big-gpu", "http://127.0.0.1:9")
    start, source = SHELLS[shell]
    environment = os.environ | {"PATH": f"{command.parent}:{os.environ['PATH']}"}
    with Terminal(start.split(), environment, tmp_path) as terminal:
        terminal.send(f"{source}; echo is-re''ady\r")
        terminal.wait_for("is-ready")
        terminal.send("nemochat servers rem\t")
        terminal.wait_for("servers remove")
        terminal.send("bi\t")
        terminal.wait_for("servers remove big-gpu")


def test_names_are_those_that_are_here(nemochat: Run, tmp_path: Path) -> None:
    nemochat("servers", "add", "big-gpu", "http://127.0.0.1:9")
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "models.json").write_text(json.dumps({"models": [{"name": "gemma", "model_path": "/x.gguf"}]}))
    nemochat("personas", "import", str(_own_persona(tmp_path)))
    assert offered(nemochat, "ask", "--model", "") == ["nemochat-demo", "gemma", "big-gpu"]
    assert offered(nemochat, "models", "remove", "g") == ["gemma"]
    assert offered(nemochat, "servers", "check", "") == ["big-gpu"]
    assert {"innkeeper", "mira"} <= set(offered(nemochat, "personas", "show", ""))
    (tmp_path / "data" / "lorebooks").mkdir()
    (tmp_path / "data" / "lorebooks" / "woods.json").write_text("{")
    assert offered(nemochat, "lore", "show", "w") == ["woods"]
    assert offered(nemochat, "mod") == ["models"]


def _own_persona(folder: Path) -> Path:
    file = folder / "mira.toml"
    file.write_text('name = "Mira"\ndescription = "A ferrywoman."\n')
    return file


def test_chats_are_offered_by_their_ids_with_their_titles(nemochat: Run) -> None:
    nemochat("library", "import", str(HOMES / "v0_1_export.zip"))
    listed = json.loads(nemochat("library", "list", "--json").stdout)["conversations"]
    assert listed
    assert offered(nemochat, "--resume", "") == [row["id"] for row in listed]
    shown = nemochat(_NEMOCHAT_COMPLETE="complete_fish", _TYPER_COMPLETE_FISH_ACTION="get-args", _TYPER_COMPLETE_ARGS="nemochat stats ")
    assert shown.stdout.splitlines()[0].startswith(f"{listed[0]['id']}\t{listed[0]['title'][:3]}")


@pytest.mark.parametrize("content", ["{", "[]", '{"models": 3}', '{"models": [{"nome": 1}]}', "\xff\xfe"])
def test_a_broken_file_offers_nothing_and_stays_where_it_is(nemochat: Run, tmp_path: Path, content: str) -> None:
    """The command that reads it sets it aside and says so; a Tab that did would say it to nobody."""
    files = [tmp_path / "data" / "models.json", tmp_path / "config" / "servers.toml", tmp_path / "data" / "library" / "library.db"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="latin-1")
    before = sorted(path for path in tmp_path.rglob("*"))
    offered(nemochat, "models", "use", "")
    offered(nemochat, "servers", "check", "")
    offered(nemochat, "stats", "")
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert {file.read_text(encoding="latin-1") for file in files} == {content}


def test_tab_makes_nothing(nemochat: Run, tmp_path: Path) -> None:
    for words in (("models", "use", ""), ("personas", "show", ""), ("lore", "try", ""), ("--resume", ""), ("servers", "check", "")):
        offered(nemochat, *words)
    assert list(tmp_path.iterdir()) == []


HOSTILE = ("$(touch x)", "`touch x`", "x;touch x", "a b", "\\$(touch x)", "*", "'; touch x #", "-rf", "x\ny", "\x1b[2J", 'q"')


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_of_others_give_a_shell_nothing_to_run(nemochat: Run, tmp_path: Path, shell: str) -> None:
    (tmp_path / "data").mkdir()
    models = [{"name": name, "model_path": "/x.gguf"} for name in (*HOSTILE, "fine")]
    (tmp_path / "data" / "models.json").write_text(json.dumps({"models": models}))
    shown = nemochat(
        _NEMOCHAT_COMPLETE=f"complete_{shell}",
        COMP_WORDS="nemochat\nmodels\nuse\n",
        COMP_CWORD="3",
        _TYPER_COMPLETE_ARGS="nemochat models use ",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    assert "fine" in shown.stdout
    assert "touch" not in shown.stdout
    assert not set("$`;\\*#\x1b") & set(shown.stdout.replace("'*: :((", ""))
