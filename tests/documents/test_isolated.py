"""The process that reads documents: it serves many, none changes what another comes to, and none keeps anybody waiting."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import psutil
import pytest

from nemochat.documents import wire
from nemochat.documents.isolated import DocumentReader
from nemochat.documents.values import DocumentError, Kind, LoadedDocument, NotTextError, StoppedError
from nemochat.system import children, processes
from tests.documents.writers import pdf

SLOW = "\u3000\n".encode() * 4_000_000 + b"end"
"""Many seconds of work."""


@pytest.fixture
def reader() -> Iterator[DocumentReader]:
    reader = DocumentReader()
    yield reader
    reader.close()


def texts(document: LoadedDocument) -> list[str]:
    return [piece.text for piece in document.pieces]


def is_running(pid: int | None) -> bool:
    return pid is not None and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it holds within some seconds."""
    for _ in range(800):
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_one_process_reads_many_documents_and_ends_with_the_reader(reader: DocumentReader) -> None:
    assert reader.pid is None
    assert texts(reader.read(b"one", "a.txt")) == ["one"]
    first = reader.pid
    assert reader.read(pdf(["two"]), "b.pdf").kind is Kind.PDF
    with pytest.raises(NotTextError, match=r"x\.bin is of a kind"):
        reader.read(b"\0", "x.bin")
    with pytest.raises(DocumentError, match="broken"):
        reader.read(b"%PDF-1.4", "c.pdf")
    assert texts(reader.read(b"name,age\nAda,36\n", "c.csv")) == ["name: Ada; age: 36"]
    assert reader.pid == first
    reader.close()
    assert not is_running(first)


def test_the_name_is_one_line_and_short(reader: DocumentReader) -> None:
    assert reader.read(b"x", "a\n\x1b[2Jb\u202e.txt").name == "a [2Jb.txt"
    assert len(reader.read(b"x", "n" * 100_000).name) == 200


@pytest.mark.skipif(sys.platform != "linux", reason="only there another process can be limited")
def test_a_process_with_little_memory_left_is_replaced_so_that_no_document_depends_on_those_before(reader: DocumentReader) -> None:
    reader.read(b"one", "a.txt")
    first = reader.pid
    assert first is not None
    psutil.Process(first).rlimit(psutil.RLIMIT_AS, (120_000_000, 120_000_000))
    data = ("A line of text.\n\n" * 600_000).encode()
    assert sum(len(text.split()) for text in texts(reader.read(data, "b.txt"))) == 2_400_000
    assert reader.pid != first
    assert not is_running(first)


def test_where_the_system_limits_no_memory_the_parent_does(reader: DocumentReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MEMORY", 10_000_000)  # of this process alone, as the other one has its own idea
    with pytest.raises(DocumentError, match="takes too much memory"):
        reader.read(SLOW, "a.txt")


def test_a_document_that_takes_too_long_is_given_up(reader: DocumentReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "seconds_of", lambda _: 0.2)
    reader.read(b"one", "a.txt")
    first = reader.pid
    with pytest.raises(DocumentError, match="takes too long"):
        reader.read(SLOW, "a.txt")
    assert not is_running(first)
    assert texts(reader.read(b"two", "a.txt")) == ["two"]


def test_a_process_that_gets_no_time_is_not_waited_for_for_ever(reader: DocumentReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "seconds_of", lambda _: 0.2)
    reader.read(b"one", "a.txt")
    assert reader.pid is not None
    psutil.Process(reader.pid).suspend()
    with pytest.raises(DocumentError, match="takes too long"):
        reader.read(b"two", "a.txt")


def test_what_is_stopped_ends_at_once(reader: DocumentReader) -> None:
    reader.read(b"one", "a.txt")
    first, stop = reader.pid, threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(StoppedError):
        reader.read(SLOW, "a.txt", stop.is_set)
    assert time.monotonic() - began < 60
    assert not is_running(first)
    assert texts(reader.read(b"two", "a.txt")) == ["two"]


def test_closing_the_reader_ends_what_is_being_read_and_what_waits(reader: DocumentReader) -> None:
    stop = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        reading = threads.submit(reader.read, SLOW, "a.txt")
        assert soon(lambda: reader.pid is not None)
        waiting = threads.submit(reader.read, b"x", "b.txt", stop.is_set)
        stop.set()
        assert isinstance(waiting.exception(timeout=60), StoppedError)
        reader.close()
        assert isinstance(reading.exception(timeout=60), StoppedError)


def test_several_threads_get_each_their_own_document(reader: DocumentReader) -> None:
    names = [f"{at}.txt" for at in range(40)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda name: reader.read(f"I am {name}".encode(), name), names))
    assert [texts(document) for document in found] == [[f"I am {name}"] for name in names]


def test_a_process_that_was_killed_or_may_be_about_to_end_is_replaced(reader: DocumentReader, monkeypatch: pytest.MonkeyPatch) -> None:
    reader.read(b"one", "a.txt")
    first = reader.pid
    assert first is not None
    psutil.Process(first).kill()
    assert texts(reader.read(b"two", "a.txt")) == ["two"]
    second = reader.pid
    assert second != first
    monkeypatch.setattr(wire, "IDLE_SECONDS", 0.0)
    assert texts(reader.read(b"three", "a.txt")) == ["three"]
    assert reader.pid != second


def test_the_process_ends_with_its_parent_in_the_middle_of_a_document() -> None:
    parent = (
        "import threading\nfrom nemochat.documents.isolated import DocumentReader\nfrom tests.documents.test_isolated import SLOW\n"
        "reader = DocumentReader()\nreader.read(b'x', 'a.txt')\nprint(reader.pid, flush=True)\nreader.read(SLOW, 'b.txt')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert is_running(pid)
        process.kill()
    assert soon(lambda: not is_running(pid))


def test_a_process_that_waits_for_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = "import sys\nfrom nemochat.documents import child, wire\nwire.IDLE_SECONDS = 0.1\nchild.main()\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", begin], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.wait(timeout=120) == 0


def test_secrets_of_the_environment_do_not_reach_the_process(monkeypatch: pytest.MonkeyPatch, reader: DocumentReader) -> None:
    monkeypatch.setenv("NEMOCHAT_SECRET", "x")
    seen: dict[str, str] = {}

    def popen(command: Sequence[str], environment: Mapping[str, str], **_: object) -> None:
        seen.update(environment)
        raise OSError

    monkeypatch.setattr(processes, "popen", popen)
    with pytest.raises(DocumentError, match="no process"):
        reader.read(b"", "a.txt")
    assert seen["PATH"] == ""
    assert "NEMOCHAT_SECRET" not in seen


def test_frames_that_are_no_answer_are_not_taken() -> None:
    assert children.receive(io.BytesIO(b"\0\0\0\x05hello"), 5) == b"hello"
    for stream in (b"", b"\0\0", b"\0\0\0\x05hell", b"\xff\xff\xff\xffhello"):
        assert children.receive(io.BytesIO(stream), 5) is None
    many = msgspec.msgpack.encode({"pieces": [{"text": "", "locator": {}}] * (wire.MAX_PASSAGES + 1)})
    with pytest.raises(msgspec.ValidationError, match="length"):
        msgspec.msgpack.decode(many, type=wire.Answer)


def test_the_process_imports_no_more_than_it_needs_and_so_starts_quickly() -> None:
    """Nothing else, which would double the time that a small document takes."""
    asked = "import sys, nemochat.documents.child\nprint(*({'asyncio', 'sqlite3', 'subprocess', 'pypdf', 'psutil'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-P", "-c", asked], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == []
