"""What other programs have written, dropped on the window or named with /import, and sampling presets as commands."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from nemochat.chat.drops import Drop, DroppedFile, FileKind
from nemochat.desk import commands
from nemochat.desk.port import AskItem, AskOne, ShowText, Working
from nemochat.moving.importing import Importer
from nemochat.moving.report import Report
from nemochat.personas.sampling_presets import PresetStore
from nemochat.settings import SamplingSettings
from tests.desk.sitting import Sitting
from tests.moving.tavern import HEADER, MESSAGES, MIRA, lines, make
from tests.personas.build import png, text_chunk, v2


def shown(sitting: Sitting) -> list[ShowText]:
    return [ask for ask in sitting.port.asked if isinstance(ask, ShowText)]


def dropped(sitting: Sitting, path: Path, kind: FileKind) -> None:
    sitting.desk.dropping.take(Drop((DroppedFile(path, kind),)))


async def test_a_dropped_folder_comes_with_a_report(sitting: Sitting, tmp_path: Path) -> None:
    make(tmp_path / "st")
    sitting.port.answers.append("import")
    dropped(sitting, tmp_path / "st", FileKind.FOLDER)
    await sitting.until(lambda: shown(sitting))
    (question,) = [ask for ask in sitting.port.asked if isinstance(ask, AskOne)]
    assert question.answers[0].value == "import"
    assert shown(sitting)[0].title == "Imported from st"
    assert "2 personas, 1 lorebook, 2 conversations, 1 group chat" in shown(sitting)[0].text
    assert {"Mira", "Bran"} <= {each.name for each in sitting.bench.personas.list()}
    told = [event.words for event in sitting.port.told if isinstance(event, Working)]
    assert any("importing" in words for words in told)
    assert told[-1] == ""


async def test_a_folder_of_texts_is_not_asked_about_so(sitting: Sitting, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.md").write_text("x")
    sitting.port.answers.append("no")
    dropped(sitting, tmp_path / "texts", FileKind.FOLDER)
    await sitting.until(lambda: sitting.port.asked)
    (question,) = sitting.port.asked
    assert isinstance(question, AskOne)
    assert "import" not in [answer.value for answer in question.answers]


async def test_a_dropped_chat_comes_and_can_be_opened(sitting: Sitting, tmp_path: Path) -> None:
    (tmp_path / "talk.jsonl").write_text(lines(HEADER, *MESSAGES))
    sitting.port.answers.append("import")
    dropped(sitting, tmp_path / "talk.jsonl", FileKind.TEXT)
    await sitting.until(lambda: shown(sitting))
    (question,) = [ask for ask in sitting.port.asked if isinstance(ask, AskOne)]
    assert question.title == "talk.jsonl is a chat"
    (row,) = [each for each in await sitting.desk.chats.rows() if each.title.startswith("What is this?")]
    await sitting.desk.chats.open(row.id)
    assert sitting.said[2].startswith("A pot.")


async def test_it_stops_when_it_is_told_to(sitting: Sitting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "st")
    usual = Importer._take

    def slow(self: Importer, found: object) -> None:
        time.sleep(0.02)
        usual(self, found)  # type: ignore[arg-type]

    monkeypatch.setattr(Importer, "_take", slow)
    commands.run(sitting.desk, "import", str(tmp_path / "st"))
    await sitting.until(lambda: any(isinstance(event, Working) and "importing" in event.words for event in sitting.port.told))
    assert sitting.desk.stop()
    await sitting.until(lambda: shown(sitting))
    assert "stopped" in shown(sitting)[0].text
    assert not sitting.desk.stop()


async def test_a_program_that_ends_leaves_nothing_half_written(sitting: Sitting, tmp_path: Path) -> None:
    make(tmp_path / "st")
    commands.run(sitting.desk, "import", str(tmp_path / "st"))
    await asyncio.sleep(0)
    await sitting.desk.close()
    await sitting.until(lambda: not sitting.desk.moving.stop())
    for each in sitting.bench.personas.list():
        sitting.bench.personas.load(each.id)
    assert sitting.bench.personas.notices == ()
    assert sitting.bench.library.check() == []


async def test_the_same_card_again_asks(sitting: Sitting, tmp_path: Path) -> None:
    (tmp_path / "mira.png").write_bytes(png(text_chunk("chara", v2(**MIRA))))
    sitting.port.answers.extend(["later", "no", "yes", "later"])
    for _ in range(3):
        await sitting.desk.roles.import_file(tmp_path / "mira.png")
    titles = [ask.text for ask in sitting.port.asked if isinstance(ask, AskOne)]
    assert titles[1:3] == ["It is one of your personas already."] * 2
    assert [each.name for each in sitting.bench.personas.list() if not each.is_builtin] == ["Mira", "Mira"]


async def test_other_personas_of_the_name_are_asked_about_once(sitting: Sitting, tmp_path: Path) -> None:
    base = make(tmp_path / "st")
    sitting.port.answers.extend([None, "yes", None])
    await sitting.desk.moving.take(tmp_path / "st")
    for name in ("Mira", "Bran"):
        (base / "characters" / f"{name}.png").write_bytes(png(text_chunk("chara", v2(name=name, description="Another."))))
    await sitting.desk.moving.take(tmp_path / "st")
    (question,) = [ask for ask in sitting.port.asked if isinstance(ask, AskOne)]
    assert "Bran, Mira" in question.text
    assert sum(not each.is_builtin for each in sitting.bench.personas.list()) == 4


async def test_what_brings_nothing_is_said(sitting: Sitting, tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_text('{"a": ')
    await sitting.desk.moving.take(tmp_path / "torn.json")
    assert not shown(sitting)
    assert any("brought nothing" in notice and "broken" in notice for notice in sitting.port.notices)


async def test_a_preset_is_kept_used_and_taken_away(sitting: Sitting) -> None:
    sitting.enter("/sampling top_k=7")
    sitting.enter("/sampling seed=5")
    sitting.enter("/preset save Calm")
    await sitting.until(lambda: any("Kept as Calm" in notice for notice in sitting.port.notices))
    sitting.enter("/preset off")
    await sitting.until(lambda: sitting.desk.chat.sampling is None)
    sitting.enter("/sampling temperature=2")
    await sitting.until(lambda: sitting.desk.chat.sampling == SamplingSettings(temperature=2))
    sitting.port.answers.append("Calm")
    sitting.enter("/preset")
    await sitting.until(lambda: sitting.desk.chat.sampling == SamplingSettings(top_k=7, seed=5))
    (question,) = [ask for ask in sitting.port.asked if isinstance(ask, AskItem)]
    assert question.items[0].label == "Calm"
    assert "top_k 7" in question.items[0].detail
    assert any("Order: " in notice for notice in sitting.port.notices)
    sitting.enter("/preset remove calm")
    await sitting.until(lambda: any("is no preset any more" in notice for notice in sitting.port.notices))
    sitting.enter("/preset Calm")
    await sitting.until(lambda: any("There is no preset Calm" in notice for notice in sitting.port.notices))
    assert PresetStore(sitting.bench.paths.presets).list() == ()


async def test_sampling_says_its_order_and_its_cost(sitting: Sitting) -> None:
    sitting.enter("/sampling")
    await sitting.until(lambda: shown(sitting))
    assert "Order: " in shown(sitting)[0].text
    assert "Cost: " in shown(sitting)[0].text


def test_a_report_for_scripts() -> None:
    assert Report().summary == "Nothing new added, 0 were here already."
