"""A dropped file in each form in which terminals write it, as a paste and as plain characters: it becomes a token in the prompt.

One terminal serves all forms; every test clears the prompt before it begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.images.pictures import draw_circle
from tests.terminal.tty import ROOT, Terminal, nemochat

CLEAR = "\x05" + "\x15" * 3  # to the end, and delete to the start of each of the wrapped lines
EMPTY = "Ask something"
NAMES = ("a cat (1).png", "d'or.png")
LABELS = tuple(f"[image {number}: {name} 240x240, 16 tokens]" for number, name in enumerate(NAMES, 1))


def _escaped(path: Path) -> str:
    """A backslash before each sign of the shell's."""
    return re.sub(r"([ ()'])", r"\\\1", str(path))


def _single_quoted(path: Path) -> str:
    return "'" + str(path).replace("'", r"'\''") + "'"


def _double_quoted(path: Path) -> str:
    return f'"{path}"'


def _joined(form: Callable[[Path], str], between: str = " ", end: str = "") -> Callable[[list[Path]], str]:
    return lambda paths: between.join(form(path) for path in paths) + end


FORMS: dict[str, Callable[[list[Path]], str]] = {
    "iTerm2": _joined(_escaped, end=" "),
    "iTerm2, quoted": _joined(_single_quoted, end=" "),
    "kitty": _joined(str, "\n"),
    "WezTerm": _joined(lambda path: str(path).replace(" ", r"\ "), end=" "),
    "WezTerm, Windows": _joined(_double_quoted, end=" "),
    "GNOME Terminal": _joined(_single_quoted, end=" "),
    "GNOME Terminal, remote": _joined(lambda path: f"'{path.as_uri()}'", end=" "),
    "Ghostty": _joined(_escaped),
    "Alacritty": _joined(lambda path: f"{path} ", "\0"),
    "Windows Terminal": _joined(_double_quoted),
    "Windows Terminal, WSL": _joined(_single_quoted),
    "VS Code": _joined(lambda path: f"'{path}'" if "'" not in str(path) else _double_quoted(path)),
    "VS Code, quoted and escaped": _joined(lambda path: f'"{_escaped(path)}"'),
    "Terminator": _joined(lambda path: f"file://{path}", "\r\n", "\r\n"),
    "Terminator, one line": _joined(lambda path: f"file://{path}", end=" "),
    "a list of URIs": _joined(Path.as_uri, "\r\n", "\r\n"),
}
"""By terminal: what it writes for some files. A NUL is the end of a paste and the beginning of the next."""


@pytest.fixture(scope="module")
def tty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """nemochat with a model that is played."""
    folder = tmp_path_factory.mktemp("drops")
    script = folder / "model.script.json"
    script.write_text('{"replies": [{"text": "Yes."}]}')
    folders = {f"NEMOCHAT_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "LOG", "CACHE")}
    environment = {**folders, "PYTHONPATH": str(ROOT), "NEMOCHAT_INTERFACE_SIDE_PANES": "false"}
    with Terminal(nemochat("--model", str(script)), environment, folder, columns=160) as terminal:
        terminal.wait_for("ready")
        yield terminal


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two pictures whose names and folder need quoting."""
    folder = tmp_path_factory.mktemp("home") / "my pictures"
    folder.mkdir()
    for name in NAMES:
        draw_circle(folder / name, (40, 80, 220))
    return [folder / name for name in NAMES]


CASES = [
    *((name, n_files, True) for name in FORMS for n_files in (1, 2)),
    *((name, n_files, False) for name in FORMS for n_files in (1, 2)),
]


@pytest.mark.parametrize(("name", "n_files", "is_bracketed"), CASES, ids=[f"{a}-{b}-{'paste' if c else 'keys'}" for a, b, c in CASES])
def test_a_drop_becomes_tokens(tty: Terminal, paths: list[Path], name: str, n_files: int, is_bracketed: bool) -> None:
    tty.send("x")  # so that there is something to wait for: a clearing still under way could meet the drop
    tty.wait_for(lambda text: EMPTY not in text)
    tty.send(CLEAR)
    tty.wait_for(EMPTY)
    for piece in FORMS[name](paths[:n_files]).split("\0"):
        if is_bracketed:
            tty.paste(piece)
        else:
            tty.send(piece.replace("\r\n", "\n").replace("\n", "\r"))  # without brackets a terminal makes line breaks into Enter
    wanted = re.compile(rf"│ {' '.join(re.escape(label) for label in LABELS[:n_files])} +│")
    tty.wait_for(lambda text: wanted.search(text) is not None)
