"""How often the passage that answers a question is among the first four, and whether nothing is found for what nothing answers."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nemochat.documents.index import DocumentIndex
from nemochat.documents.retrieve import Retriever
from nemochat.documents.split import estimate_tokens
from nemochat.documents.values import Retrieval, named_collection
from tests.documents.quality.questions import IN_OTHER_WORDS, NEW_IN_OTHER_WORDS, QUESTIONS, TUNING_IN_OTHER_WORDS, UNANSWERABLE
from tests.documents.writers import docx, pdf

FLOOR = 0.9
OTHER_WORDS = 0.6
SILENT = 0.8
HERE = Path(__file__).parent
SET = named_collection("quality")


def write_set(folder: Path) -> None:
    """The documents, each in its own kind."""
    shutil.copytree(HERE / "set", folder)
    (folder / "bylaws.docx").write_bytes(docx((HERE / "sources" / "bylaws.txt").read_text()))
    (folder / "heatpump.pdf").write_bytes(pdf((HERE / "sources" / "heatpump.txt").read_text().split("\n---\n")))


async def count(texts: Sequence[str]) -> list[int]:
    return [estimate_tokens(text) for text in texts]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentIndex]:
    folder = tmp_path_factory.mktemp("documents") / "set"
    write_set(folder)
    index, _ = DocumentIndex.open(folder.parent / "index.db")
    with index:
        report = index.add(folder, SET)
        assert (len(report.read), report.problems, report.skipped) == (15, (), 0)
        yield index


async def ask(index: DocumentIndex, question: str) -> Retrieval:
    return await Retriever(index).retrieve(question, [SET], 1600, count, most=4)


def tell(capsys: pytest.CaptureFixture[str], figure: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{figure} ")


def holds(text: str, phrase: str) -> bool:
    return phrase in re.sub(r"\s+", " ", text)


async def test_each_phrase_stands_in_one_document(index: DocumentIndex) -> None:
    texts = [" ".join(passage.text for passage in index.passages(row.id)) for row in index.documents(SET)]
    every = QUESTIONS + IN_OTHER_WORDS + TUNING_IN_OTHER_WORDS + NEW_IN_OTHER_WORDS
    assert [phrase for _, phrase in every if sum(holds(text, phrase) for text in texts) != 1] == []


@pytest.mark.parametrize(("name", "questions", "floor"), [("as asked", QUESTIONS, FLOOR), ("in other words", IN_OTHER_WORDS, OTHER_WORDS)])
async def test_the_answering_passage_is_among_the_first_four(
    index: DocumentIndex, capsys: pytest.CaptureFixture[str], name: str, questions: tuple[tuple[str, str], ...], floor: float
) -> None:
    missed, first = [], 0
    for question, phrase in questions:
        passages = (await ask(index, question)).passages
        hit = [holds(passage.text, phrase) for passage in passages]
        first += hit[:1] == [True]
        if not any(hit):
            missed.append((question, [f"{each.document} {each.score:.2f}" for each in passages]))
    recall = 1 - len(missed) / len(questions)
    tell(capsys, f"{name}: recall@4 {recall:.3f}, first {first / len(questions):.3f} over {len(questions)} questions")
    assert recall >= floor, missed


async def test_what_nothing_answers_finds_nothing(index: DocumentIndex, capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    for question in UNANSWERABLE:
        if passages := (await ask(index, question)).passages:
            found[question] = [(each.document, round(each.score, 2), each.text[:60]) for each in passages]
    silent = 1 - len(found) / len(UNANSWERABLE)
    tell(capsys, f"nothing found for {silent:.2f} of {len(UNANSWERABLE)} unanswerable questions")
    assert silent >= SILENT, found
