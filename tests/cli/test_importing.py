"""``nemochat library import`` and ``nemochat presets`` as users run them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run, command
from tests.moving.tavern import MIRA, PRESET, make
from tests.personas.build import png, text_chunk, v2
from tests.terminal.tty import Terminal


def test_a_folder_comes_once(tmp_path: Path, nemochat: Run) -> None:
    make(tmp_path / "st")
    done = nemochat("library", "import", str(tmp_path / "st"))
    assert done.returncode == 1  # three of its files are broken on purpose
    assert done.stdout.startswith("2 personas, 1 lorebook, 2 conversations, 1 group chat, 2 profiles of yours and 1 sampling preset added")
    assert "Without meaning here:" in done.stdout
    assert "torn.png: " in done.stderr
    assert "Line 2 could not be read: left out" in done.stderr
    assert done.stderr.endswith("Error: 2 files could not be read.\n")
    again = nemochat("library", "import", str(tmp_path / "st"), "--json")
    report = json.loads(again.stdout)
    assert report["came"] == []
    assert len(report["here"]) == 9
    assert {each["kind"] for each in report["here"]} == {"persona", "lorebook", "chat", "group chat", "profile", "preset"}
    assert report["summary"] == "Nothing new added, 9 were here already."
    assert all({"what", "why", "times", "files"} <= each.keys() for each in report["left"])


def test_what_brings_nothing_is_a_failure(tmp_path: Path, nemochat: Run) -> None:
    (tmp_path / "empty").mkdir()
    for name, text in {"a.json": '{"a": 1}', "b.json": "{torn", "c.jsonl": "", "d.txt": "x"}.items():
        (tmp_path / name).write_text(text)
        done = nemochat("library", "import", str(tmp_path / name))
        assert done.returncode == 1, name
        assert f"{name} brought nothing" in done.stderr
    assert "its JSON is broken" in nemochat("library", "import", str(tmp_path / "b.json")).stderr
    assert nemochat("library", "import", str(tmp_path / "empty")).returncode == 1
    assert nemochat("library", "import", str(tmp_path / "nowhere")).returncode == 1


def test_the_same_card_again_is_skipped_with_a_note(tmp_path: Path, nemochat: Run) -> None:
    (tmp_path / "mira.png").write_bytes(png(text_chunk("chara", v2(**MIRA))))
    (tmp_path / "other.json").write_text(v2(name="Mira", description="Another."))
    assert "Mira is now one of your personas" in nemochat("personas", "import", str(tmp_path / "mira.png")).stdout
    done = nemochat("personas", "import", str(tmp_path / "mira.png"), str(tmp_path / "other.json"))
    assert (done.returncode, done.stdout) == (0, "")
    assert "mira.png was left out: Mira is here already." in done.stderr
    assert "other.json was left out: Mira is here already, and is different." in done.stderr


def test_the_same_card_again_asks_at_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "mira.png").write_bytes(png(text_chunk("chara", v2(**MIRA))))
    for answer, expected in ((None, 1), ("n", 1), ("y", 2)):
        with Terminal(command("personas", "import", "mira.png"), {}, tmp_path) as terminal:
            if answer is not None:
                terminal.wait_for("Add this card as another persona? [y/N]")
                terminal.send(f"{answer}\r")
            assert terminal.wait_for_end() == 0
        assert len(list((tmp_path / "data" / "personas").glob("mira*"))) == expected


def test_presets_on_the_command_line(tmp_path: Path, nemochat: Run) -> None:
    (tmp_path / "Mine.json").write_text(json.dumps(PRESET))
    assert "1 sampling preset added" in nemochat("presets", "import", str(tmp_path / "Mine.json")).stdout
    assert json.loads(nemochat("presets", "list", "--json").stdout)["presets"][0]["name"] == "Mine"
    assert "temperature 1.2" in nemochat("presets", "list").stdout
    shown = nemochat("presets", "show", "mi")
    assert "temperature = 1.2" in shown.stdout
    assert "Order: penalties → dry" in shown.stderr
    assert nemochat("presets", "export", "Mine", str(tmp_path / "out.json")).returncode == 0
    assert json.loads((tmp_path / "out.json").read_text()) == PRESET
    assert nemochat("presets", "use", "Mine", "innkeeper").returncode == 0
    assert "dry_multiplier = 0.8" in nemochat("personas", "show", "innkeeper").stdout
    assert "Mine is no preset any more" in nemochat("presets", "remove", "Mine").stdout
    assert nemochat("presets", "show", "Mine").returncode == 1
