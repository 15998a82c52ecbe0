"""What a session in the real program leaves on the disk is for its user alone, and nothing of it goes where somebody else wants it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemochat.domain.personas import UserProfile
from nemochat.personas.profiles import Profiles
from nemochat.personas.store import PersonaStore
from tests.cli.test_private_files import NO_LOG, THEIRS, invoke
from tests.images.pictures import draw_circle
from tests.terminal.conftest import Open
from tests.terminal.tty import ROOT, Terminal
from tests.test_files import mode, plant
from tests.tiny_gguf import write_language_model

FOLDERS = ("config", "data", "log", "cache")
CRASH = """
from nemochat.tui.app import NemochatApp
def fail(self):
    raise RuntimeError("on purpose")
NemochatApp.action_help = fail
from nemochat.cli import main
main()
"""
"""The real program with a fault behind F1."""


@pytest.fixture
def no_umask() -> Iterator[None]:
    """The one that keeps nothing from anybody: what is for the user alone under it is so under every other one."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FOLDERS:
        monkeypatch.setenv(f"NEMOCHAT_{name.upper()}_DIR", str(tmp_path / name))


def crash(tmp_path: Path) -> str:
    """Let the interface end as it should not; what the terminal says."""
    with Terminal([sys.executable, "-c", CRASH], {"PYTHONPATH": str(ROOT)}, tmp_path) as tty:
        tty.wait_for("ready")
        tty.send("\x1bOP")
        assert tty.wait_for_end() == 1
        return "".join(tty.screen.display)  # whole lines: a long path puts a line break anywhere


@pytest.mark.usefixtures("no_umask")
def test_every_file_and_folder_of_a_session_is_for_its_user_alone(terminal: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o755)
    monkeypatch.chdir(out)
    draw_circle(tmp_path / "circle.png", (220, 40, 40))
    tty = terminal()
    tty.wait_for("ready")
    tty.paste(f"'{tmp_path / 'circle.png'}' ")
    tty.wait_for("image 1: circle.png")
    tty.send("What colour is the circle?\r")
    tty.wait_for("The circle is red.")
    tty.wait_for("TTFT")
    tty.send(f"/export {out}/chat.md\r")
    tty.wait_for("Written to")
    tty.send("a draft")
    tty.wait_for(lambda _: any((tmp_path / "data" / "drafts").glob("*.json")))
    tty.send("\x11")
    assert tty.wait_for_end() == 0
    assert "crash.log" in crash(tmp_path)

    (tmp_path / "a.md").write_text("The lemon tree is Mr Okafor's.")
    monkeypatch.setenv("NEMOCHAT_TOOLS_EMBEDDING_MODEL", str(write_language_model(tmp_path / "tiny.gguf")))
    invoke("docs", "add", str(tmp_path / "a.md"))
    invoke("tools", "test", "save_note", '{"text": "It rains."}', "--yes")
    invoke("mcp", "add", "small", "--", sys.executable, "-c", "import sys; sys.exit('a word on stderr')")
    invoke("mcp", "check", "small", "--trust")
    invoke("models", "use", "nemochat-demo")
    (tmp_path / "Anna.toml").write_text('name = "Anna"\n')
    invoke("personas", "import", str(tmp_path / "Anna.toml"))
    store = PersonaStore(tmp_path / "data" / "personas")
    store.save_profiles(Profiles((UserProfile("Ann"),)))
    store.delete(store.duplicate("anna"))
    invoke("library", "export", str(out / "library.zip"))
    for suffix in ("png", "json", "toml"):
        invoke("personas", "export", "Anna", str(out / f"anna.{suffix}"))

    left = [path for name in (*FOLDERS, "out") for path in (tmp_path / name).rglob("*")]
    own = [*(tmp_path / name for name in FOLDERS if name != "config"), tmp_path / "config", *left]
    assert {str(path.relative_to(tmp_path)): oct(mode(path)) for path in own if mode(path) != (0o700 if path.is_dir() else 0o600)} == {}
    names = {str(path.relative_to(tmp_path)) for path in left}
    assert names >= {
        "config/mcp.json", "data/drafts", "data/prompts.jsonl", "data/library/library.db", "data/documents/index.db",
        "data/models.json", "data/mcp-pins.json", "data/notes.jsonl", "data/personas/anna/persona.toml", "data/personas/profiles.toml",
        "data/personas/deleted", "data/library/originals", "log/engine.log", "log/crash.log", "log/embedder.log",
        "log/mcp-small.log", "out/chat.md", "out/chat-pictures", "out/library.zip", "out/anna.png", "out/anna.json", "out/anna.toml",
    }  # fmt: skip
    assert any(name.startswith("cache/states/") and name.endswith(".kv") for name in names)
    assert mode(out) == 0o755, "a folder that the user has named is left as it is"


def test_folders_that_were_open_to_others_are_closed_at_the_start(tmp_path: Path) -> None:
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    invoke("models", "list")
    assert [mode(tmp_path / name) for name in FOLDERS] == [0o700] * 4


@pytest.mark.parametrize("kind", ["link", "hard link", "folder"])
def test_what_was_planted_where_the_interface_writes_is_left_alone(kind: str, terminal: Open, tmp_path: Path) -> None:
    names = ("data/drafts/1-0.json", "data/prompts.jsonl", "log/engine.log", "data/library/pictures.txt")
    (tmp_path / "outside").mkdir()
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        outside = tmp_path / "outside" / Path(name).name
        outside.write_text(THEIRS)
        plant(kind, tmp_path / name, outside)
    tty = terminal(replies=("I am here.",))
    text = tty.wait_for(NO_LOG)
    assert text.count(NO_LOG) == 1
    tty.send("Are you there?\r")
    tty.wait_for("I am here.")
    tty.send("a draft of mine")
    tty.wait_for(lambda _: any("draft of mine" in read(path) for path in (tmp_path / "data" / "drafts").iterdir()))
    tty.send("\x11")
    assert tty.wait_for_end() == 0
    assert {path.name: path.read_text() for path in (tmp_path / "outside").iterdir()} == {Path(name).name: THEIRS for name in names}


def read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def test_without_a_log_folder_the_interface_answers_and_says_so_once(terminal: Open, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(THEIRS)
    tty = terminal()
    assert tty.wait_for(NO_LOG).count(NO_LOG) == 1
    tty.wait_for("ready")
    tty.send("Hello!\r")
    tty.wait_for("TTFT")
    tty.wait_for(lambda text: NO_LOG not in text)
    before = len(tty.written)
    tty.send("/model nemochat-demo\r")
    tty.wait_for("ready")
    tty.send("Hello!\r")
    tty.wait_for(lambda _: tty.written.count(b"TTFT", before) > 0)
    assert NO_LOG.encode() not in tty.written[before:]
    tty.send("\x11")
    assert tty.wait_for_end() == 0
    assert (tmp_path / "log").read_text() == THEIRS
    text = crash(tmp_path)
    assert "could not be written" in text
    assert "on purpose" in text


@pytest.mark.parametrize("kind", ["link", "hard link", "dangling link", "pipe", "folder"])
def test_the_story_of_a_crash_goes_into_no_other_file(kind: str, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    outside = tmp_path / "outside"
    outside.write_text(THEIRS)
    plant(kind, tmp_path / "log" / "crash.log", outside)
    text = crash(tmp_path)
    assert "could not be written" in text
    assert outside.read_text() == THEIRS
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("ending", [".kv", ".head"])
def test_what_is_kept_of_a_chat_does_not_go_through_a_link(ending: str, terminal: Open, tmp_path: Path) -> None:
    def talk(number: int, *arguments: str) -> None:
        tty = terminal(*arguments)
        tty.wait_for("ready")
        tty.send("Hello!\r")
        tty.wait_for(lambda text: text.count("How can") == number)
        tty.wait_for("TTFT")
        tty.send("\x11")
        assert tty.wait_for_end() == 0

    talk(1)
    (kept,) = (tmp_path / "cache" / "states").glob(f"*{ending}")
    outside = tmp_path / "outside"
    kept.rename(outside)
    before = outside.read_bytes()
    kept.symlink_to(outside)
    talk(2, "--resume")
    assert outside.read_bytes() == before
    assert stat.S_ISREG(kept.lstat().st_mode)
