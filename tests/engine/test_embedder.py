"""The process that makes vectors, with real llama.cpp and a tiny model of random weights."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import gguf
import pytest
import pytest_asyncio

from nemochat.chat.meaning import WORDS_ALONE, Meaning
from nemochat.documents.index import DocumentIndex
from nemochat.documents.values import named_collection
from nemochat.documents.vectors import Embedder, embed_missing
from nemochat.engine.embedder import EmbeddingProcess
from nemochat.engine.llama.embedding import EmbeddingModel
from nemochat.errors import EngineDiedError, EngineError
from tests.engine.processes import is_running
from tests.engine.tiny_bert import WINDOW, write_bert

SET = named_collection("garden")
TEXTS = {
    "snails": "Slugs eat the lettuce at night.",
    "trees": "Apple trees are cut in winter.",
    "water": "Tomatoes need water every morning.",
}


@pytest_asyncio.fixture
async def embedder(tiny_model: Path, tmp_path: Path) -> AsyncIterator[EmbeddingProcess]:
    process = EmbeddingProcess(tiny_model, tmp_path / "embedder.log")
    yield process
    await process.close()


@pytest.fixture
def told() -> list[str]:
    return []


async def count(texts: Sequence[str]) -> Sequence[int]:
    return [len(text.split()) for text in texts]


def fill(index: DocumentIndex) -> None:
    for name, text in TEXTS.items():
        index.add_text(f"test://{name}", name, text, SET)


async def test_equal_texts_have_equal_vectors_of_length_one(embedder: EmbeddingProcess) -> None:
    one, other, again = await embedder.embed(["slugs", "an apple tree", "slugs"])
    assert one == again
    assert one != other
    assert [math.hypot(*vector) for vector in (one, other)] == pytest.approx([1, 1], abs=1e-5)
    assert await embedder.embed(["slugs"]) == [one]
    assert await embedder.embed([]) == []


async def test_odd_texts_have_vectors_too(embedder: EmbeddingProcess) -> None:
    vectors = await embedder.embed(["", "\ud800", "</s><tool>", "\0"])
    assert {len(vector) for vector in vectors} == {64}


def test_a_long_text_is_cut_at_the_window(tiny_model: Path) -> None:
    model = EmbeddingModel(str(tiny_model), threads=1)
    long = "abcdefgh " * 200
    assert len(long) > 512
    first, second = model.embed([long, long + "and an end that is not looked at"])
    assert first == second
    model.close()


@pytest.mark.parametrize("pooling", [gguf.PoolingType.MEAN, gguf.PoolingType.CLS, gguf.PoolingType.LAST, None])
def test_a_model_that_looks_both_ways(pooling: gguf.PoolingType | None, tmp_path: Path) -> None:
    model = EmbeddingModel(str(write_bert(tmp_path / "bert.gguf", pooling)), threads=1)
    one, other, again = model.embed(["slugs eat lettuce", "apple trees", "slugs eat lettuce"])
    assert one == again
    assert one != other
    assert math.hypot(*one) == pytest.approx(1, abs=1e-5)
    long = "slugs eat lettuce " * WINDOW
    assert model.embed_one(long) == model.embed_one(long + "apple")
    model.close()


def test_a_model_that_ranks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="ranks texts"):
        EmbeddingModel(str(write_bert(tmp_path / "bert.gguf", gguf.PoolingType.RANK)), threads=1)


@pytest.mark.parametrize("path", ["~nobody-at-all/model.gguf", "a\0b.gguf", ".", ""])
async def test_a_path_that_is_no_file_is_one_sentence(path: str, tmp_path: Path) -> None:
    process = EmbeddingProcess(Path(path), tmp_path / "log")
    with pytest.raises(EngineError, match=r"^The embedding model .*\.$"):
        await process.embed(["text"])
    with pytest.raises(EngineError):
        _ = process.model


async def test_one_process_serves_and_ends(embedder: EmbeddingProcess) -> None:
    await asyncio.gather(*(embedder.embed([str(number)]) for number in range(4)))
    first = embedder.pid
    assert first is not None
    await embedder.embed(["again"])
    assert embedder.pid == first
    await embedder.close()
    assert not is_running(first)


async def test_a_killed_process_is_started_again(embedder: EmbeddingProcess) -> None:
    before = await embedder.embed(["slugs"])
    first = embedder.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert await embedder.embed(["slugs"]) == before
    assert embedder.pid != first


async def test_one_killed_at_work_does_the_work_in_its_next_life(embedder: EmbeddingProcess) -> None:
    texts = [f"text {number} " * 9 for number in range(9)]
    expected = await embedder.embed(texts)
    first = embedder.pid
    assert first is not None
    task = asyncio.create_task(embedder.embed(texts))
    await asyncio.sleep(0)
    os.kill(first, signal.SIGSEGV)
    assert await task == expected
    assert embedder.pid != first


async def test_one_that_dies_twice_is_told(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(EngineDiedError, match=r"ended unexpectedly \(exit code 1\)\.$"):
        await EmbeddingProcess(tiny_model, tmp_path / "log").embed(["text"])


async def test_one_that_hangs_is_ended(tiny_model: Path, tmp_path: Path) -> None:
    impatient = EmbeddingProcess(tiny_model, tmp_path / "log", text_seconds=2.0)
    await impatient.embed(["text"])
    pid = impatient.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(EngineError, match="did not answer"):
        await impatient.embed(["text"])
    assert not is_running(pid)


async def test_a_cancelled_request_leaves_no_answer_behind(embedder: EmbeddingProcess) -> None:
    [expected] = await embedder.embed(["slugs"])
    pid = embedder.pid
    assert pid is not None
    task = asyncio.create_task(embedder.embed(["something long " * 50] * 200))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_running(pid)
    assert await embedder.embed(["slugs"]) == [expected]


@pytest.mark.parametrize("content", [None, b"", b"GGUF", b"not a model at all" * 100])
async def test_a_bad_file_is_one_sentence(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    if content is not None:
        path.write_bytes(content)
    process = EmbeddingProcess(path, tmp_path / "log")
    with pytest.raises(EngineError) as raised:
        await process.embed(["text"])
    message = raised.value.message
    assert "bad.gguf" in message
    assert message.endswith(".")
    assert "\n" not in message
    assert process.pid is None


def test_the_process_ends_with_its_parent(tiny_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nemochat.engine.embed_worker", str(tiny_model), str(tmp_path / "log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.read(4)
        child.stdin.close()
        assert child.wait(10) == 0


async def test_passages_are_found_by_meaning_with_the_real_process(embedder: EmbeddingProcess, tmp_path: Path, told: list[str]) -> None:
    kept: Embedder = embedder
    index, _ = DocumentIndex.open(tmp_path / "index.db")
    with index:
        fill(index)
        seen: list[str] = []
        meaning = Meaning(told.append)
        assert await meaning.complete(index, kept, seen.append) == 3
        assert await embed_missing(index, kept) == 0
        assert seen
        retriever = meaning.retriever(index, kept)
        # None of its words is a document's, but these are its very letters: the vectors alone lead there.
        text = TEXTS["water"]
        found = (await retriever.retrieve(text, [SET], 100, count)).passages
        assert found[0].document == "water"
        assert found[0].score == pytest.approx(1.0, abs=1e-3)
    assert told == []


async def test_without_its_model_the_words_are_used_and_it_is_said_once(tmp_path: Path, told: list[str]) -> None:
    index, _ = DocumentIndex.open(tmp_path / "index.db")
    with index:
        fill(index)
        absent = EmbeddingProcess(tmp_path / "absent.gguf", tmp_path / "log")
        meaning = Meaning(told.append)
        assert await meaning.complete(index, absent, told.append) == 0
        for _ in range(2):
            [passage] = (await meaning.retriever(index, absent).retrieve("slugs", [SET], 100, count)).passages
            assert passage.document == "snails"
    [sentence] = told
    assert "absent.gguf cannot be read" in sentence
    assert WORDS_ALONE in sentence
