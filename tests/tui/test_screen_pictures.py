"""Every way of bringing a picture or a text file into the prompt of the real screen."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from textual._xterm_parser import XTermParser
from textual.widgets import Input
from textual_fspicker import FileOpen

from nemochat.desk import dropping
from nemochat.domain.images import RgbImage
from nemochat.errors import ImageError
from nemochat.images import load
from nemochat.tui.screens.dialogs import Choose
from tests.chat.fake_engine import FakeEngine, reply
from tests.documents.writers import docx, odf, pdf
from tests.images.pictures import draw_circle
from tests.tui.bench import running

RED, GREEN, BLUE = (220, 40, 40), (40, 180, 60), (50, 80, 220)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with three pictures, one of them with a blank in its name."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("red.png", RED), ("green one.png", GREEN), ("blue.png", BLUE)):
        draw_circle(folder / name, colour)
    return folder


async def test_several_files_in_one_drop_keep_their_order(tmp_path: Path, pictures: Path) -> None:
    engine = FakeEngine(reply("Blue, green, red."))
    async with running(tmp_path, engine) as driver:
        names = ["blue.png", "green one.png", "red.png"]
        await driver.paste(" ".join(f"'{pictures / name}'" for name in names))
        assert driver.draft == names
        await driver.send("Which colours?")
        message = driver.desk.chat.entries[0].message
        assert [part.name for part in message.images] == names
        assert message.text == "Which colours?"


async def test_a_path_inside_a_sentence_becomes_its_picture(tmp_path: Path, pictures: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Red."))) as driver:
        await driver.paste(f'What colour is "{pictures / "red.png"}" please?')
        assert driver.draft == ["red.png"]
        await driver.press("enter")
        await driver.settle()
        message = driver.desk.chat.entries[0].message
        assert [part.name for part in message.images] == ["red.png"]
        assert " ".join(message.text.split()) == "What colour is please?"


async def test_a_typed_path_becomes_its_picture(tmp_path: Path, pictures: Path) -> None:
    """No paste at all: what a terminal without bracketed paste sends, or a user types."""
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type(f"Look at {pictures / 'red.png'}")
        await driver.until(lambda: driver.draft == ["red.png"])
        await driver.attached()
        assert driver.screen.prompt.plain_text == "Look at"


async def test_a_data_uri_is_a_picture(tmp_path: Path, pictures: Path) -> None:
    async with running(tmp_path, FakeEngine(reply("Red."))) as driver:
        data = base64.b64encode((pictures / "red.png").read_bytes()).decode()
        await driver.paste(f"data:image/png;base64,{data}")
        assert driver.draft == ["picture"]
        assert driver.screen.prompt.plain_text == ""
        assert "240x240" in driver.shown
        await driver.send("What colour?")
        assert [part.name for part in driver.desk.chat.entries[0].message.images] == ["picture"]


@pytest.mark.parametrize(("name", "quote"), [("red.png", ""), ("green one.png", "'"), ("green one.png", '"')])
async def test_image_with_a_path(tmp_path: Path, pictures: Path, name: str, quote: str) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.send(f"/image {quote}{pictures / name}{quote}")
        await driver.until(lambda: driver.draft == [name])
        await driver.attached()
        assert driver.screen.prompt.plain_text == ""


@pytest.mark.parametrize("way", ["/image", "ctrl+o", "Attach…"])
@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_the_file_dialog(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, way: str, size: tuple[int, int]) -> None:
    monkeypatch.chdir(pictures)
    async with running(tmp_path, FakeEngine(), size=size) as driver:
        if way.startswith("/"):
            await driver.send(way)
        elif way == "ctrl+o":
            await driver.press(way)
        else:
            if size[0] < 100:
                await driver.press("f2")
            await driver.click(way)
        dialog = await driver.dialog(FileOpen)
        await driver.until(lambda: "green one.png" in driver.shown)
        name = dialog.query_one(Input)
        name.value = "green one.png"
        name.focus()
        await driver.press("enter")
        await driver.back()
        await driver.until(lambda: driver.draft == ["green one.png"])
        await driver.attached()


async def test_escape_in_the_file_dialog_attaches_nothing(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pictures)
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type("half a sentence")
        await driver.press("ctrl+o")
        await driver.dialog(FileOpen)
        await driver.press("escape")
        await driver.back()
        assert driver.draft == []
        assert driver.screen.prompt.plain_text == "half a sentence"


@pytest.mark.parametrize("way", ["f8", "/paste"])
async def test_the_picture_on_the_clipboard(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    picture = load(pictures / "red.png")
    monkeypatch.setattr(dropping, "read_clipboard_picture", lambda: picture)
    async with running(tmp_path, FakeEngine(reply("Red."))) as driver:
        await (driver.send(way) if way.startswith("/") else driver.press(way))
        await driver.until(lambda: driver.draft == ["clipboard"])
        await driver.attached()
        await driver.send("What colour?")
        [part] = driver.desk.chat.entries[0].message.images
        assert part.digest in driver.screen.desk.pictures


def _nothing() -> RgbImage | None:
    return None


def _unreadable() -> RgbImage | None:
    raise ImageError("The clipboard cannot be read (no answer).", "Drop the file.")


@pytest.mark.parametrize(("source", "says"), [(_nothing, "no picture on the clipboard"), (_unreadable, "cannot be read")])
async def test_a_clipboard_without_a_picture_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Callable[[], RgbImage | None], says: str
) -> None:
    monkeypatch.setattr(dropping, "read_clipboard_picture", source)
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type("my words")
        await driver.press("f8")
        await driver.told(says)
        await driver.pilot.pause()
        assert driver.draft == []
        assert driver.screen.prompt.plain_text == "my words"


@pytest.mark.parametrize("sent", ["\x1bv", "\x1b[118;3u"], ids=["old", "new"])
async def test_alt_v_is_for_terminals_that_keep_ctrl_v(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: str) -> None:
    """Windows Terminal does. An older terminal sends Escape and the letter, which must not be written."""
    monkeypatch.setattr(dropping, "read_clipboard_picture", _nothing)
    parser = XTermParser()
    events = list(parser.feed(sent))
    while not events:  # it may be the Escape key, for a moment
        events += parser.tick()
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.type("my words")
        for event in events:
            driver.screen.app.post_message(event)
        await driver.told("no picture on the clipboard")
        assert driver.screen.prompt.plain_text == "my words"


async def test_a_dropped_files_text_is_sent_with_the_question(tmp_path: Path) -> None:
    file = tmp_path / "my notes.txt"
    file.write_text("Roses are red.\nViolets are \x1b[31mblue.\n")
    async with running(tmp_path, FakeEngine(reply("Yes."))) as driver:
        await driver.paste(f"'{file}'")
        await driver.dialog(Choose)
        await driver.press("right", "enter")
        await driver.until(lambda: "Roses are red." in driver.screen.prompt.plain_text)
        assert "\x1b" not in driver.screen.prompt.plain_text
        assert "my notes.txt" in driver.screen.prompt.plain_text
        await driver.send("Is that so?")
        assert "Violets are" in driver.said[0]
        assert driver.said[0].endswith("Is that so?")


async def test_doc_of_what_is_no_text_is_one_sentence(tmp_path: Path, pictures: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.send(f"/doc {pictures / 'red.png'}")
        await driver.told("red.png")
        await driver.send("/doc /nowhere/notes.txt")
        await driver.told("notes.txt cannot be read")
        assert driver.screen.prompt.plain_text == ""
        assert driver.desk.chat.collections == ()


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        (["right", "enter"], "Roses are red."),
        (["right", "right", "enter"], "notes.txt"),
        (["escape"], ""),
    ],
)
async def test_a_dropped_text_file_is_asked_about(tmp_path: Path, keys: list[str], wanted: str) -> None:
    """Its text, its path alone, or nothing."""
    file = tmp_path / "notes.txt"
    file.write_text("Roses are red.\n")
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.paste(f"'{file}'")
        await driver.dialog(Choose)
        assert "notes.txt is a text file" in driver.shown
        await driver.press(*keys)
        await driver.back()
        await driver.settle()
        text = driver.screen.prompt.plain_text
        assert wanted in text
        assert ("Roses" in text) is ("Roses" in wanted)
        assert bool(text) is bool(wanted)
        assert driver.draft == []


async def test_a_dropped_folder_offers_its_texts_and_its_pictures(tmp_path: Path, pictures: Path) -> None:
    async with running(tmp_path, FakeEngine()) as driver:
        for answer, pictures_of_it in ((["escape"], False), (["right", "enter"], True)):
            await driver.paste(str(pictures))
            await driver.dialog(Choose)
            assert f"{pictures.name} is a folder" in driver.shown
            await driver.press(*answer)
            await driver.back()
            await driver.settle()
            assert bool(driver.draft) is pictures_of_it


@pytest.mark.parametrize(
    ("name", "data", "title", "says"),
    [
        ("report.docx", docx("# Ships\nThe ferry leaves at seven."), "report.docx is a document", "The ferry leaves at seven."),
        ("report.pdf", pdf(["The ferry leaves at seven."]), "report.pdf is a PDF", "The ferry leaves at seven."),
        ("report.odt", odf("<text:p>The ferry leaves at seven.</text:p>"), "report.odt is a document", "The ferry leaves at seven."),
        ("report.rtf", rb"{\rtf1 The ferry leaves at seven.\par}", "report.rtf is a document", "The ferry leaves at seven."),
        ("russian.txt", "Паром уходит в семь часов утра, каждый день.".encode("cp1251"), "russian.txt is a text file", "Паром"),
    ],
)  # fmt: skip
async def test_a_dropped_document_offers_its_text(tmp_path: Path, name: str, data: bytes, title: str, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.paste(str(tmp_path / name))
        await driver.dialog(Choose)
        assert title in driver.shown
        assert ("Attach its pages" in driver.shown) is name.endswith(".pdf")
        await driver.press(*["right"] * (2 if name.endswith(".pdf") else 1), "enter")
        await driver.until(lambda: says in driver.screen.prompt.plain_text)
        assert name in driver.screen.prompt.plain_text


async def test_the_pages_of_a_dropped_pdf_are_attached_as_pictures_and_its_words_searched(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(pdf([f"Page {at}" for at in range(6)]))
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.paste(str(tmp_path / "scan.pdf"))
        await driver.dialog(Choose)
        await driver.press("right", "enter")
        await driver.told("The first 4 of 6 pages were attached")
        await driver.until(lambda: [item.tokens > 0 for item in driver.desk.draft.items] == [True] * 4)
        assert [item.name for item in driver.desk.draft.items] == [f"scan.pdf, page {at}" for at in range(1, 5)]
        await driver.paste(str(tmp_path / "scan.pdf"))
        await driver.dialog(Choose)
        await driver.press("enter")
        await driver.told("1 document in this chat")


async def test_a_dropped_svg_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><text>x</text></svg>')
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.paste(str(tmp_path / "logo.svg"))
        await driver.dialog(Choose)
        assert "logo.svg is an SVG drawing" in driver.shown
        assert "export it as PNG" in " ".join(driver.shown.split())


async def test_a_dropped_file_of_old_office_is_named(tmp_path: Path) -> None:
    (tmp_path / "old.doc").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "WordDocument\0".encode("utf-16-le"))
    async with running(tmp_path, FakeEngine()) as driver:
        await driver.paste(str(tmp_path / "old.doc"))
        await driver.dialog(Choose)
        await driver.press("enter")
        await driver.told("old.doc is a document of old Word (.doc)")



@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_every_answer_about_a_text_file_is_seen_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "notes.txt").write_text("Roses are red.\n")
    async with running(tmp_path, FakeEngine(), size=size) as driver:
        await driver.paste(f"'{tmp_path / 'notes.txt'}'")
        await driver.dialog(Choose)
        await driver.click("Cancel")
        await driver.back()
        assert driver.screen.prompt.plain_text == ""
