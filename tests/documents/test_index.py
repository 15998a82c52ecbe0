"""The index: what is added is found, what changes is read again, what goes is gone, and one bad file does not stop the others."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemochat.documents import adding
from nemochat.documents.index import DocumentIndex
from nemochat.documents.text import stem, words
from nemochat.documents.values import DocumentError, Progress, chat_collection, named_collection
from tests.documents.writers import docx

HERE = named_collection("work")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[DocumentIndex]:
    index, notices = DocumentIndex.open(tmp_path / "data" / "index.db", clock=lambda: 5.0)
    assert notices == []
    with index:
        yield index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    (folder / "deep").mkdir(parents=True)
    (folder / "ships.txt").write_text("The ships sail to Bergen in the morning.")
    (folder / "deep" / "trains.md").write_text("# Trains\n\nThe train to Oslo leaves at nine.")
    return folder


def found(index: DocumentIndex, question: str, *collections: str) -> list[str]:
    return [each.passage.document for each in index.match(question, collections or (HERE,)).found]


def test_a_folder_is_read_with_all_below_it(index: DocumentIndex, folder: Path) -> None:
    seen: list[Progress] = []
    report = index.add(folder, HERE, progress=seen.append)
    assert len(report.read) == 2
    assert seen == [Progress(0, 2, "ships.txt"), Progress(1, 2, "trains.md"), Progress(2, 2, "")]
    assert found(index, "ship sailing") == ["ships.txt"]
    assert found(index, "TRÄIN") == ["trains.md"]
    [row] = index.collections()
    assert (row.name, row.documents, row.passages) == (HERE, 2, 2)
    assert [(each.name, each.passages, each.read) for each in index.documents(HERE)] == [("ships.txt", 1, 5.0), ("trains.md", 1, 5.0)]


def test_hidden_binary_and_linked_files_are_passed_over(index: DocumentIndex, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("outside")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / ".hidden.txt").write_text("hidden")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "x.js").write_text("x")
    (folder / "blob.dat").write_bytes(b"\0" * 50)
    (folder / "empty.txt").write_text("")
    report = index.add(folder, HERE)
    assert (len(report.read), report.skipped, report.problems) == (2, 2, ())


def test_a_folder_with_too_many_files_says_so(index: DocumentIndex, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "MAX_FILES", 1)
    report = index.add(folder, HERE)
    assert (len(report.read), len(report.notices)) == (1, 1)


def test_one_bad_file_does_not_stop_the_rest(index: DocumentIndex, folder: Path) -> None:
    (folder / "a.docx").write_bytes(docx("# A\nx")[:-30])
    (folder / "b.txt").write_text("fine")
    report = index.add(folder, HERE)
    assert len(report.read) == 3
    [problem] = report.problems
    assert problem.place.endswith("a.docx")
    assert "broken" in problem.message
    assert problem.hint


def test_a_file_that_was_named_says_why_it_cannot_be_read(index: DocumentIndex, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\0")
    [problem] = index.add(tmp_path / "x.bin", HERE).problems
    assert problem.message == "x.bin is of a kind that nemochat cannot read text from."
    assert index.add(tmp_path / "missing.txt", HERE).problems
    assert index.collections() == ()


def test_refreshing_reads_what_changed_and_drops_what_is_gone(index: DocumentIndex, folder: Path) -> None:
    index.add(folder, HERE)
    assert index.refresh().unchanged == 2
    (folder / "ships.txt").write_text("Now it is about bicycles.")
    (folder / "new.txt").write_text("A newcomer about kites.")
    (folder / "deep" / "trains.md").unlink()
    report = index.refresh([HERE])
    assert [Path(each).name for each in report.read] == ["new.txt", "ships.txt"]
    assert [Path(each).name for each in report.dropped] == ["trains.md"]
    assert (found(index, "morning"), found(index, "bicycle"), found(index, "kite"), found(index, "train")) == (
        [], ["ships.txt"], ["new.txt"], [],
    )  # fmt: skip


def test_a_file_that_was_only_touched_is_not_read_again(index: DocumentIndex, folder: Path) -> None:
    index.add(folder, HERE)
    before = index.documents(HERE)
    os.utime(folder / "ships.txt", (1, 1))
    report = index.refresh()
    assert (report.read, report.unchanged, index.documents(HERE)) == ((), 2, before)


def test_a_file_that_breaks_keeps_what_was_read(index: DocumentIndex, tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(docx("Some words about otters"))
    index.add(tmp_path / "a.docx", HERE)
    (tmp_path / "a.docx").write_bytes(docx("x")[:50])
    assert len(index.refresh().problems) == 1
    assert found(index, "otter") == ["a.docx"]


def test_cancelling_keeps_what_was_done(index: DocumentIndex, folder: Path) -> None:
    seen: list[Progress] = []
    report = index.add(folder, HERE, progress=seen.append, cancelled=lambda: len(seen) == 2)
    assert (report.stopped, len(report.read)) == (True, 1)
    assert len(index.refresh().read) == 1


def test_removing_takes_out_a_file_a_folder_or_everything(index: DocumentIndex, folder: Path) -> None:
    index.add(folder, HERE)
    assert index.remove(folder / "deep", HERE) == 1
    assert found(index, "train") == []
    assert index.remove(folder, HERE) == 1
    assert index.collections() == ()
    index.add(folder, HERE)
    assert index.forget(HERE) == 2
    assert (index.collections(), index.refresh().read) == ((), ())


def test_collections_do_not_mix(index: DocumentIndex, folder: Path) -> None:
    index.add(folder / "ships.txt", chat_collection("1"))
    index.add(folder / "deep", chat_collection("2"))
    assert found(index, "train ship", chat_collection("1")) == ["ships.txt"]
    assert sorted(found(index, "train ship", chat_collection("1"), chat_collection("2"))) == ["ships.txt", "trains.md"]
    assert found(index, "train ship", "chat:3") == []


def test_a_text_that_is_no_file_is_kept_when_refreshing(index: DocumentIndex) -> None:
    index.add_text("mcp://server/notes", "notes.md", "# Tea\n\nGreen tea is steeped at eighty degrees.", HERE)
    assert (index.refresh().dropped, found(index, "green tea")) == ((), ["notes.md"])
    assert index.remove("mcp://server/notes", HERE) == 1


@pytest.mark.parametrize(
    "question",
    ['"', "a OR b", "NEAR(", "*", "text:ship", "'; DROP TABLE passage", "", "?!", "ship* AND NOT", "the of and", "\0 \ud800"],
)
def test_a_question_is_never_a_query(index: DocumentIndex, folder: Path, question: str) -> None:
    index.add(folder, HERE)
    index.match(question, [HERE])
    assert found(index, "ships") == ["ships.txt"]


def test_scripts_without_blanks_are_found(index: DocumentIndex) -> None:
    index.add_text("x", "library.txt", "市立図書館は月曜日に休みます。", HERE)
    index.add_text("y", "park.txt", "公園は毎日あいています。", HERE)
    assert found(index, "図書館") == ["library.txt"]


def test_parts_of_names_in_code_are_found(index: DocumentIndex) -> None:
    index.add_text("x", "a.js", "function parseHeaderLine(text) {\n  return 1\n}", HERE)
    assert found(index, "header") == ["a.js"]
    assert index.remove("x", HERE) == 1
    assert found(index, "header") == []


def test_the_file_is_private_and_in_wal_mode(index: DocumentIndex, tmp_path: Path) -> None:
    file = tmp_path / "data" / "index.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_removing_leaves_nothing_in_the_index_of_words(index: DocumentIndex, folder: Path, tmp_path: Path) -> None:
    for _ in range(3):
        index.add(folder, HERE)
        (folder / "ships.txt").write_text((folder / "ships.txt").read_text() + " Again, Größe parseHeader 図.")
        index.refresh()
    index.forget(HERE)
    with sqlite3.connect(tmp_path / "data" / "index.db") as db:
        db.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab('main', 'word_index', 'row')")
        assert db.execute("SELECT term FROM temp.vocabulary").fetchall() == []
    db.close()


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    file = tmp_path / "index.db"
    file.write_bytes(b"This is no database at all. " * 100)
    index, [notice] = DocumentIndex.open(file)
    with index:
        assert "damaged" in notice
        assert index.collections() == ()
    assert (tmp_path / "index-damaged.db").read_bytes().startswith(b"This is no")


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    DocumentIndex.open(tmp_path / "index.db")[0].close()
    db = sqlite3.connect(tmp_path / "index.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(DocumentError, match="newer"):
        DocumentIndex.open(tmp_path / "index.db")


def test_questions_are_answered_while_documents_are_added(index: DocumentIndex, folder: Path) -> None:
    index.add(folder, HERE)
    other = folder.parent / "others"
    other.mkdir()
    for at in range(40):
        (other / f"{at}.txt").write_text(f"Text {at} about cats. " * 50)
    adding = threading.Thread(target=index.add, args=(other, HERE))
    adding.start()
    while adding.is_alive():
        assert found(index, "ships") == ["ships.txt"]
    adding.join()
    assert index.collections()[0].documents == 42


def test_stems_are_those_of_the_index() -> None:
    folder = Path(__file__).parent / "quality" / "set"
    some = sorted({word for file in folder.iterdir() for word in words(file.read_text()) if word.isascii() and word.isalpha()})
    with sqlite3.connect(":memory:") as db:
        db.execute("CREATE VIRTUAL TABLE t USING fts5(text, tokenize = 'porter unicode61')")
        db.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, 'instance')")
        db.executemany("INSERT INTO t (rowid, text) VALUES (?, ?)", enumerate(some))
        theirs = {some[at]: term for term, at in db.execute("SELECT term, doc FROM v")}
    db.close()
    assert len(some) > 1000
    assert {word: (stem(word), theirs[word]) for word in some if stem(word) != theirs[word]} == {}


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("The \ufb01rst o\ufb03ce on this \ufb02oor", "first office floor"), ("first office floor", "\ufb01rst o\ufb03ce"),
        ("\uff26\uff25\uff32\uff32\uff39 \uff17\uff18", "ferry 78"), ("STRASSE nach Lübeck", "straße"), ("Straße", "STRASSE"),
        ("Caf\u00e9", "cafe\u0301"), ("cafe", "CAFÉ"), ("Łódź i Gdańsk", "lodz gdansk"), ("Ærøskøbing", "aeroskobing"),
        ("smørrebrød", "SMORREBROD"), ("l'œuvre", "oeuvre"), ("İstanbul", "istanbul"), ("ΟΔΟΣ Αθηνών", "οδος αθηνων"), ("Ёлка", "елка"),
        ("\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f", "\u0645\u062d\u0645\u062f"),
        ("\u0643\u0640\u0640\u062a\u0627\u0628", "\u0643\u062a\u0627\u0628"),
        ("\u0623\u062d\u0645\u062f", "\u0627\u062d\u0645\u062f"), ("\ufee3\ufea4\ufee4\ufeaa", "\u0645\u062d\u0645\u062f"),
        ("\u0663\u0664", "34"), ("שָׁלוֹם", "שלום"), ("ｶﾞﾗｽの器", "ガラス"), ("図書館は休み", "図書館"), ("हिन्दी की किताब", "किताब"),
        ("สัญญาเช่าบ้าน", "เช่าบ้าน"), ("hợp đồng thuê nhà", "hop dong"), ("soft\u00adly", "softly"), ("№ 5 at 3 ㎞", "no 5 km"),
    ],
)  # fmt: skip
def test_words_are_found_however_they_are_written(index: DocumentIndex, written: str, asked: str) -> None:
    index.add_text("x", "x.txt", written, HERE)
    index.add_text("y", "y.txt", "Something else entirely.", HERE)
    assert found(index, asked) == ["x.txt"]
    assert index.remove("x", HERE) == 1  # taken out with the same words
    assert found(index, asked) == []


@pytest.mark.parametrize("other", [("が", "か"), ("किताब", "कताब"), ("หมา", "หมู")])
def test_marks_that_make_another_letter_are_kept(other: tuple[str, str]) -> None:
    assert words(other[0]) != words(other[1])


def test_an_index_of_the_first_version_is_folded_anew_when_it_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "index.db"
    with DocumentIndex.open(file)[0] as index:
        index.add_text("x", "office.txt", "The \ufb01rst o\ufb03ce.", HERE)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.executescript(
            "DROP TABLE word_index; DROP TABLE vector; DROP TABLE scale; PRAGMA user_version = 1;"
            "CREATE VIRTUAL TABLE word_index USING fts5 "
            "(text, heading, title, content = '', tokenize = 'porter unicode61 remove_diacritics 2');"
            "CREATE TABLE vector (passage INTEGER NOT NULL REFERENCES passage ON DELETE CASCADE, model TEXT NOT NULL, "
            "vector BLOB NOT NULL, PRIMARY KEY (passage, model)) WITHOUT ROWID;"
            "INSERT INTO word_index (rowid, text, heading, title) VALUES (1, 'The \ufb01rst o\ufb03ce.', '', 'office');"
        )
    index, notices = DocumentIndex.open(file)
    with index:
        assert notices == []
        assert found(index, "first") == ["office.txt"]
        assert index.without_vectors("any", 9)[0][2] == "The \ufb01rst o\ufb03ce."
        assert index.remove("x", HERE) == 1
        assert found(index, "first office") == []
