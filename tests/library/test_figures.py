"""The figures of every reply in the library: which replies count, which do not, and in which order."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nemochat.domain.chat import Chat, Entry
from nemochat.domain.events import FinishReason, Timings, Usage
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.replies import ModelRef, ReplyRecord, TurnResult
from nemochat.domain.sampling import Sampling
from nemochat.domain.ttft import reading_of
from nemochat.library import ReplyQuery, figures
from tests.library.building import Clock, everything, open_library, user


def timed(ttft_ms: float, model: str = "demo", text: str = "Yes.") -> Entry:
    result = TurnResult(text, FinishReason.STOP, (), Usage(30, 4, 20, 10, 7, 1), Timings(0, 2, 3, 50, ttft_ms - 5), ttft_ms, (0, 1))
    return Entry(Message(Role.ASSISTANT, (TextPart(text),)), ReplyRecord(result, Sampling(), ModelRef(model), ()))


def asked(*replies: Entry) -> Chat:
    chat = Chat()
    for each in replies:
        chat = chat.added(user("Well?")).added(each)
    return chat


def test_every_reply_newest_first_with_where_it_stands(tmp_path: Path) -> None:
    clock = Clock()
    with open_library(tmp_path, clock) as library:
        first = library.save(None, 0, None, asked(timed(10), timed(20)).named("One"), model=ModelRef("demo"))
        clock.now += 60
        second = library.save(None, 0, None, asked(timed(30)), model=ModelRef("demo"))
        rows = library.replies()
    assert [row.reading.ttft_ms for row in rows] == [30, 20, 10]
    assert [(row.conversation, row.title) for row in rows] == [(second.id, "Well?"), (first.id, "One"), (first.id, "One")]
    assert [row.at for row in rows] == [clock.now, clock.now - 60, clock.now - 60]
    record = timed(10).record
    assert record is not None
    assert rows[-1].reading == reading_of(record.result)


def test_replies_that_were_swiped_away_count(tmp_path: Path) -> None:
    chat = asked(timed(10)).cut(1).added(timed(20))
    with open_library(tmp_path) as library:
        library.add(chat)
        assert {row.reading.ttft_ms for row in library.replies()} == {10, 20}


def test_a_reply_that_was_copied_counts_once_where_it_was_made(tmp_path: Path) -> None:
    chat = asked(timed(10), timed(20)).named("First")
    with open_library(tmp_path) as library:
        library.add(chat)
        library.add(chat.forked(2).added(user("And?")).added(timed(30)).named("Fork"))
        assert [(row.reading.ttft_ms, row.title) for row in library.replies()] == [(30, "Fork"), (20, "First"), (10, "First")]


def test_the_bin_is_left_out_and_the_archive_is_not(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        gone, away = library.add(asked(timed(10))), library.add(asked(timed(20)))
        library.delete(gone.id)
        library.archive(away.id)
        assert [row.reading.ttft_ms for row in library.replies()] == [20]


def test_by_model_by_time_and_by_conversation(tmp_path: Path) -> None:
    clock = Clock()
    with open_library(tmp_path, clock) as library:
        old = library.save(None, 0, None, asked(timed(10, "demo"), timed(20, "large")), model=ModelRef("large"))
        clock.now += 1000
        library.save(None, 0, None, asked(timed(30, "demo")), model=ModelRef("demo"))

        def found(query: ReplyQuery) -> list[float | None]:
            return [row.reading.ttft_ms for row in library.replies(query)]

        assert found(ReplyQuery(model="demo")) == [30, 10]
        assert found(ReplyQuery(model="large")) == [20]
        assert found(ReplyQuery(since=clock.now)) == [30]
        assert found(ReplyQuery(since=clock.now + 1)) == []
        assert found(ReplyQuery(conversation=old.id)) == [20, 10]
        assert found(ReplyQuery(conversation=old.id, model="demo")) == [10]
        assert found(ReplyQuery(conversation="nowhere")) == []


def test_records_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        library.add(asked(timed(10), timed(20), timed(30), timed(40)))
        with closing(sqlite3.connect(tmp_path / "library.db")) as connection, connection:
            for id_, rest in ((2, "{"), (4, '{"record": {"result": {}}}'), (6, '{"record": null}')):
                connection.execute("UPDATE message SET rest = ? WHERE id = ?", (rest, id_))
        assert [row.reading.ttft_ms for row in library.replies()] == [40]


def test_everything_that_can_stand_in_a_record_is_read(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        library.add(everything())
        rows = library.replies()
        stored = library.load(rows[0].conversation).chat
    records = [node.entry.record for node in stored.nodes if node.entry.record is not None]
    assert len(rows) == len(records)
    assert {row.reading for row in rows} == {reading_of(record.result) for record in records}


def test_names_in_it_are_one_visible_line(tmp_path: Path) -> None:
    with open_library(tmp_path) as library:
        library.add(asked(timed(10, "evil\x1b[2J\nname")).named("a\x9bb\u202ec"))
        [row] = library.replies()
    assert (row.model, row.title) == ("evil[2J name", "abc")


def test_it_is_read_in_pages_of_which_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_library(tmp_path) as library:
        library.add(asked(*(timed(10 + at) for at in range(7))))
        for page in (1, 2, 7, 8):
            monkeypatch.setattr(figures, "PAGE", page)
            assert [row.reading.ttft_ms for row in library.replies()] == [16, 15, 14, 13, 12, 11, 10]
