"""``nemochat lore``: lorebooks through the command."""

from __future__ import annotations

import json
from pathlib import Path

from nemochat.domain.personas import Lorebook, LoreEntry
from nemochat.personas.lorebook_files import write_lorebook_v3
from tests.cli.conftest import Run
from tests.personas.test_lorebooks import MODULE, risum, world

WOODS = Lorebook(
    name="Woods",
    entries=(
        LoreEntry(content="Wolves.", keys=("wolf",), name="Wolves"),
        LoreEntry(content="Dark.", constant=True, enabled=False),
        LoreEntry(content="Rare.", keys=("wolf",), name="Rare", extensions={"probability": 0}),
        LoreEntry(content="Bad.", keys=("/(/",), name="Bad"),
    ),
)


def test_from_adding_to_removing(nemochat: Run, tmp_path: Path) -> None:
    woods, valley, none = tmp_path / "woods.json", tmp_path / "Valley.risum", tmp_path / "none.json"
    woods.write_text(write_lorebook_v3(WOODS), encoding="utf-8")
    valley.write_bytes(risum(MODULE))
    added = nemochat("lore", "add", str(woods), str(none), str(valley))
    assert added.returncode == 1
    assert added.stdout.splitlines() == [
        "Woods is one of your lorebooks, as woods: 4 entries.", "Riverside is one of your lorebooks, as riverside: 3 entries.",
    ]  # fmt: skip
    assert "There is no such file" in added.stderr
    assert "What RisuAI calls regex has no meaning here" in added.stderr
    assert "1 of 3 files could not be added." in added.stderr
    assert "is here already, as woods: it was not added again." in nemochat("lore", "add", str(woods)).stderr
    listed = nemochat("lore", "list").stdout
    assert "woods" in listed
    assert "4, 1 off" in listed
    assert [each["id"] for each in json.loads(nemochat("lore", "list", "--json").stdout)["lorebooks"]] == ["riverside", "woods"]
    assert json.loads(nemochat("lore", "show", "WOODS").stdout) == json.loads(write_lorebook_v3(WOODS))
    tried = nemochat("lore", "try", "wood", "a", "wolf")
    assert tried.stdout.splitlines() == [
        "+ Wolves: the key “wolf” in the last message",
        "- Rare: its chance of 0 % did not come up; called by the key “wolf” in the last message",
    ]
    assert "The key “/(/” is no valid regular expression." in tried.stderr
    found = json.loads(nemochat("lore", "try", "wood", "a wolf", "--json").stdout)
    assert [each["entry"] for each in found["fired"]] == ["Wolves"]
    assert nemochat("lore", "try", "wood", "hello").stdout == "This text calls no entry.\n"
    out = tmp_path / "out.json"
    assert nemochat("lore", "export", "woods", str(out), "--world-info").returncode == 0
    assert json.loads(out.read_text(encoding="utf-8"))["entries"]["0"]["key"] == ["wolf"]
    again = nemochat("lore", "export", "woods", str(out))
    assert (again.returncode, "exists already" in again.stderr) == (2, True)
    removed = nemochat("lore", "remove", "woods")
    assert removed.stdout.startswith("woods was removed. It lies in ")
    assert (tmp_path / "data" / "lorebooks" / "deleted" / "woods~1.json").exists()
    assert "There is no lorebook woods." in nemochat("lore", "show", "woods").stderr


def test_a_damaged_one_is_told_and_the_others_are_there(nemochat: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "lorebooks"
    folder.mkdir(parents=True)
    (folder / "broken.json").write_text("{", encoding="utf-8")
    (folder / "My world.json").write_bytes(world({}))
    listed = nemochat("lore", "list")
    assert listed.returncode == 0
    assert "My world" in listed.stdout
    assert "broken.json cannot be read as a lorebook" in listed.stderr
    assert "There are no lorebooks yet" in nemochat("lore", "list", NEMOCHAT_DATA_DIR=str(tmp_path / "other")).stderr


def test_a_card_and_a_lorebook_are_told_apart(nemochat: Run, tmp_path: Path) -> None:
    card, book = tmp_path / "card.json", tmp_path / "book.json"
    card.write_text(json.dumps({"spec": "chara_card_v2", "data": {"name": "Ada", "description": "A clock."}}), encoding="utf-8")
    book.write_bytes(world({}, description="A village."))
    assert "nemochat personas import" in nemochat("lore", "add", str(card)).stderr
    assert "it is a lorebook, not a character card" in nemochat("personas", "import", str(book)).stderr
