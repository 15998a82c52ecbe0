"""The whole library as a file and back; a file from outside is not trusted."""

import hashlib
import io
import json
import stat
import zipfile
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from nemochat.domain.chat import Chat
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.messages import ImagePart
from nemochat.domain.replies import ModelRef
from nemochat.library import Library, LibraryError, ListQuery
from nemochat.library.errors import NewerError
from nemochat.library.mending import cleaned
from nemochat.library.transfer import VERSION, export_library, import_library
from nemochat.library.values import ExportReport
from tests.library.building import BLUE, RED, Clock, everything, open_library, stored, talk, user

FILE = Original(b"as it came", "jpg")
DEMO = ModelRef("demo", "studio", "chatml")


def png(image: RgbImage) -> bytes:
    buffer = io.BytesIO()
    Image.frombytes("RGB", (image.width, image.height), image.rgb).save(buffer, "PNG")
    return buffer.getvalue()


def fill(library: Library) -> dict[str, Chat]:
    shown = Chat().added(user("a file", ImagePart(FILE.digest)))
    chats = [everything(), talk("q", "a"), talk("\ud800 odd"), Chat(), talk("word " * 200_000), shown]
    ids = [library.add(chat, model=DEMO, created=1000.5, updated=2000.25, tags=["sea"], archived=True).id for chat in chats]
    library.delete(library.save(None, 0, None, talk("in the bin"), model=ModelRef()).id)
    library.put_picture(FILE.digest, FILE)
    library.put_picture(RED.digest, Original(png(RED), "png"))
    library.put_picture(BLUE.digest, Original(png(BLUE), "png"))
    return dict(zip(ids, map(stored, chats), strict=True))


def exported(folder: Path) -> tuple[Path, dict[str, Chat]]:
    with open_library(folder / "old") as library:
        chats = fill(library)
        assert export_library(library, folder / "all.zip") == ExportReport(len(chats))
    return folder / "all.zip", chats


def test_a_library_comes_over_whole(tmp_path: Path) -> None:
    file, chats = exported(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with open_library(tmp_path / "new", Clock(1.8e9)) as library:
        report = import_library(library, file)
        assert (set(report.added), report.skipped, report.problems) == (set(chats), 0, ())
        for id_, chat in chats.items():
            read = library.load(id_)
            assert read.chat == cleaned(chat)  # which changes nothing but a lone surrogate
            assert (read.model, read.created, read.updated, read.tags, read.archived) == (DEMO, 1000.5, 2000.25, ("sea",), True)
        assert library.original(FILE.digest) == FILE
        assert library.original(BLUE.digest) == Original(png(BLUE), "png")
        assert len(library.conversations(ListQuery(archived=None))) == len(chats)
        again = import_library(library, file)
        assert (again.added, again.skipped, again.problems) == ((), len(chats), ())


def test_nothing_here_is_overwritten(tmp_path: Path) -> None:
    file, chats = exported(tmp_path)
    id_ = next(id_ for id_, chat in chats.items() if chat == talk("q", "a"))
    with open_library(tmp_path / "old") as library:
        library.save(id_, 1, talk("q", "a"), talk("q", "a", "more"), model=ModelRef())
        (copy,) = import_library(library, file).added
        assert copy != id_
        assert library.load(copy).chat == talk("q", "a")
        assert library.load(id_).chat == talk("q", "a", "more")


def test_an_import_takes_the_same_out_of_the_bin(tmp_path: Path) -> None:
    file, chats = exported(tmp_path)
    id_ = next(iter(chats))
    with open_library(tmp_path / "old") as library:
        library.delete(id_)
        assert import_library(library, file).added == (id_,)
        assert not library.load(id_).deleted


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "all.zip").mkdir()
    with open_library(tmp_path / "old") as library:
        fill(library)
        with pytest.raises(LibraryError, match="cannot be exported"):
            export_library(library, tmp_path / "all.zip")
        with pytest.raises(LibraryError, match="cannot be exported"):
            export_library(library, tmp_path / "none" / "all.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.zip", "old"]


def rewritten(file: Path, changes: dict[str, bytes]) -> Path:
    """The same file with other members."""
    target = file.with_name("hostile.zip")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in changes:
                new.writestr(name, old.read(name))
        for name, data in changes.items():
            new.writestr(name, data)
    return target


def outside(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != "hostile.zip"}


def test_no_name_in_the_file_leads_outside(tmp_path: Path) -> None:
    file, _ = exported(tmp_path)
    evil = json.loads(zipfile.ZipFile(file).read(next(name for name in zipfile.ZipFile(file).namelist() if name.startswith("conv"))))
    evil |= {"id": "../../evil", "pictures": {"../../evil": "../../evil.jpg", RED.digest: "../" * 9 + "evil.jpg"}}
    names = ("../evil", "/tmp/evil", "conversations/../../evil.json", "originals/../../evil.jpg")
    hostile = rewritten(file, {**dict.fromkeys(names, b"{}"), "conversations/x.json": json.dumps(evil).encode()})
    with open_library(tmp_path / "new") as library:
        report = import_library(library, hostile)
    assert report.problems == ()
    assert not any("evil" in name for name in outside(tmp_path))


def test_a_picture_must_be_what_its_name_says(tmp_path: Path) -> None:
    file, chats = exported(tmp_path)
    blue = f"originals/{hashlib.sha256(png(BLUE)).hexdigest()}.png"
    with open_library(tmp_path / "new") as library:
        report = import_library(library, rewritten(file, {blue: png(RED), f"originals/{FILE.digest}.jpg": b"other"}))
        assert len(report.added) == len(chats)
        assert len(report.problems) == 2
        assert library.original(BLUE.digest) is None
        assert library.original(FILE.digest) is None


def test_a_picture_without_a_file_must_have_the_pixels_that_its_name_says(tmp_path: Path) -> None:
    file, chats = exported(tmp_path)
    huge = png(BLUE)[:16] + b"\x00\xff\xff\xff" * 2 + png(BLUE)[24:]
    for data in (huge, b"GIF89a", png(RED)):
        name = f"{hashlib.sha256(data).hexdigest()}.png"
        names = {f"originals/{name}": data}
        for member in (each for each in zipfile.ZipFile(file).namelist() if each.startswith("conv")):
            read = json.loads(zipfile.ZipFile(file).read(member))
            if BLUE.digest in read["pictures"]:
                names[member] = json.dumps(read | {"pictures": {BLUE.digest: name}}).encode()
        with open_library(tmp_path / name) as library:
            report = import_library(library, rewritten(file, names))
            assert len(report.added) == len(chats)
            assert report.problems == (f"originals/{name} is not the picture that the conversation shows.",)
            assert library.original(BLUE.digest) is None


def test_bombs_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("nemochat-library.json", "{}")
        with file.open("conversations/a.json", "w", force_zip64=True) as member:
            for _ in range(120):
                member.write(bytes(1 << 20))
    with open_library(tmp_path / "new") as library, pytest.raises(LibraryError, match="out of all proportion"):
        import_library(library, tmp_path / "bomb.zip")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"no zip at all"])
def test_other_files_are_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with open_library(tmp_path / "new") as library:
        for path in (tmp_path / "x.zip", tmp_path / "none.zip", tmp_path):
            with pytest.raises(LibraryError):
                import_library(library, path)


def test_a_broken_conversation_does_not_stop_the_others(tmp_path: Path) -> None:
    file, chats = exported(tmp_path)
    names = [name for name in zipfile.ZipFile(file).namelist() if name.startswith("conv")]
    whole = json.loads(zipfile.ZipFile(file).read(names[-2]))
    whole["messages"] = [{"id": -4, "parent": 0, "chosen": 0, "role": "user", "text": "x", "rest": {}}]
    hostile = rewritten(file, {names[0]: b"{", names[1]: b"[" * 100_000, names[2]: json.dumps(whole).encode()})
    with open_library(tmp_path / "new") as library:
        report = import_library(library, hostile)
        assert len(report.problems) == 3
        assert len(report.added) == len(chats) - 3


def test_a_hostile_tree_is_mended_and_its_texts_are_sanitised(tmp_path: Path) -> None:
    with open_library(tmp_path / "old") as library:
        library.save(None, 0, None, talk("q").added(user("p", ImagePart("x", "name"))), model=ModelRef())
        export_library(library, tmp_path / "all.zip")
    name = next(name for name in zipfile.ZipFile(tmp_path / "all.zip").namelist() if name.startswith("conv"))
    read = json.loads(zipfile.ZipFile(tmp_path / "all.zip").read(name))
    first, second = read["messages"]
    first |= {"parent": 2, "chosen": 1 << 70, "text": "\x1b]52;c;x\x07 words"}
    second |= {"parent": 1, "chosen": 1}
    second["rest"]["parts"][0]["name"] = "a\nb\x1b"
    read |= {"name": "\x1b[2Jtitle", "created": -1e30, "updated": 1e300, "tags": ["a\nb"]}
    with open_library(tmp_path / "new") as library:
        (id_,) = import_library(library, rewritten(tmp_path / "all.zip", {name: json.dumps(read).encode()})).added
        got = library.load(id_)
        assert got.chat.title == "[2Jtitle"
        assert {node.entry.message.text for node in got.chat.nodes} == {"]52;c;x words", "p"}
        assert [part.name for node in got.chat.nodes for part in node.entry.message.images] == ["a b"]
        assert got.tags == ("a b",)
        assert got.created == 0
        assert library.conversations()[0].updated < 1e12


def test_an_export_of_a_newer_nemochat_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as file:
        file.writestr("nemochat-library.json", json.dumps({"format": "nemochat-library", "version": VERSION + 1, "conversations": 1}))
    with open_library(tmp_path / "here") as library, pytest.raises(NewerError, match="made by a newer nemochat") as caught:
        import_library(library, tmp_path / "new.zip")
    assert "Update nemochat" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "to"),
    [('"role": "user"', '"role": "assistant"'), ('"when": 12.5', '"when": 1e999'), ('"id": 7', '"id": -7')],
)
def test_what_waits_is_a_message_of_the_user_or_is_refused(tmp_path: Path, change: str, to: str) -> None:
    with open_library(tmp_path / "old") as library:
        library.save(None, 0, None, msgspec.structs.replace(Chat(), next_id=7).queued(user("and now?").message, when=12.5))
        export_library(library, tmp_path / "all.zip")
    name = next(name for name in zipfile.ZipFile(tmp_path / "all.zip").namelist() if name.startswith("conv"))
    read = json.dumps(json.loads(zipfile.ZipFile(tmp_path / "all.zip").read(name)))
    assert change in read
    with open_library(tmp_path / "new") as library:
        report = import_library(library, rewritten(tmp_path / "all.zip", {name: read.replace(change, to).encode()}))
        assert (report.added, len(report.problems)) == ((), 1)
        (id_,) = import_library(library, tmp_path / "all.zip").added
        assert [(each.id, each.message.text, each.when) for each in library.load(id_).chat.waiting] == [(7, "and now?", 12.5)]
