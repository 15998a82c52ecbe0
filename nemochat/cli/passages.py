"""The documents that a question is asked about: their passages, where these come from, and the model that finds them by meaning."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from nemochat.chat.meaning import Meaning
from nemochat.cli.exchange import Source
from nemochat.cli.output import StatusLine, print_note, print_note_once, print_notes
from nemochat.cli.setup import Setup
from nemochat.documents.index import DocumentIndex
from nemochat.documents.retrieve import as_context
from nemochat.documents.split import estimate_tokens
from nemochat.documents.values import DocumentError, Passage, Progress, Report, collection_name, named_collection
from nemochat.documents.vectors import Embedder
from nemochat.domain.messages import ContextPart
from nemochat.domain.sanitize import sanitize, shown
from nemochat.errors import UsageError
from nemochat.files import log_problem, scratch_folder
from nemochat.paths import Paths
from nemochat.tools.builtin import search as search_tool

if TYPE_CHECKING:
    from nemochat.engine.embedder import EmbeddingProcess

_GIVEN = "given"
_Place = tuple[DocumentIndex, tuple[str, ...]]


def as_source(passage: Passage) -> Source:
    """Where a passage comes from."""
    return Source(passage.document, passage.locator.in_words(), round(passage.score, 3), passage.place, passage.text)


class Shelf:
    """Collections in one or two indexes. budget: tokens that the passages for one question may take."""

    def __init__(self, places: Sequence[_Place], budget: int, meaning: Meaning, embedder: Embedder | None) -> None:
        self._places = places
        self._budget = budget
        self._meaning = meaning
        self._embedder = embedder
        self._used: ContextVar[list[Source]] = ContextVar("used")
        self.begin()

    def begin(self) -> None:
        """Another question, asked in this task; several may be asked at once, each in a task of its own."""
        self._used.set([])

    @property
    def used(self) -> Sequence[Source]:
        """What was found for the question of this task, each once."""
        return self._used.get()

    async def beside(self, question: str) -> tuple[ContextPart, ...]:
        """The passages that stand beside a question in the prompt; what there is to say about them is said. Raises DocumentError."""
        found, notice = await self._find(question)
        if notice:
            print_note(notice)
        return tuple(ContextPart(as_context(each), as_source(each).in_words(), f"score {each.score:.2f}") for each in found)

    async def search(self, query: str) -> Sequence[search_tool.Passage]:
        """The same for the tool that searches. Raises DocumentError."""
        found, _ = await self._find(query)
        return [search_tool.Passage(as_source(each).in_words(), each.text) for each in found]

    async def _find(self, question: str) -> tuple[list[Passage], str]:
        retrievers = [(self._meaning.retriever(index, self._embedder), names) for index, names in self._places]
        results = [await retriever.retrieve(question, names, self._budget, estimates) for retriever, names in retrievers]
        found = [passage for result in results for passage in result.passages]
        if len(results) > 1:
            found = self._fitting(sorted(found, key=lambda passage: -passage.score))
        used = self._used.get()
        used += [source for source in map(as_source, found) if source not in used]
        notices = [result.notice for result in results if result.notice and (result.passages or not found)]
        return found, next(iter(notices), "")

    def _fitting(self, passages: Sequence[Passage]) -> list[Passage]:
        kept, left = [], self._budget
        for passage in passages:
            size = estimate_tokens(as_context(passage))
            if size <= left:
                kept.append(passage)
                left -= size
        return kept


@asynccontextmanager
async def open_shelf(
    index_file: Path,
    documents: Sequence[Path],
    collections: Sequence[str],
    budget: int,
    status: StatusLine,
    embedder: Embedder | None = None,
) -> AsyncGenerator[Shelf, None]:
    """The given files and folders, read into an index that is gone with the block, and collections of the user's; all of those when
    neither is given. embedder: finds passages by meaning as well.

    Raises DocumentError for a file that cannot be read and UsageError for a collection that there is not.
    """
    meaning = open_meaning(status)
    async with AsyncExitStack() as stack:
        places: list[_Place] = []
        if documents:
            given, _ = DocumentIndex.open(stack.enter_context(scratch_folder()) / "index.db")
            stack.enter_context(given)
            for path in documents:
                _told(path, await _add(given, path, status))
            await meaning.complete(given, embedder, status.show)
            places.append((given, (_GIVEN,)))
        if collections or (not documents and index_file.exists()):
            index, notices = DocumentIndex.open(index_file)
            stack.enter_context(index)
            print_notes(notices)
            places.append((index, chosen(index, collections)))
        yield Shelf(places, budget, meaning, embedder)


def open_meaning(status: StatusLine) -> Meaning:
    """Tells what the embedding model could not do on stderr, not into the status line."""

    def say(text: str) -> None:
        status.clear()
        print_note(text)

    return Meaning(say)


def chosen(index: DocumentIndex, names: Sequence[str]) -> tuple[str, ...]:
    """The collections that the user means, or all that have a name. Raises UsageError for one that there is not."""
    known = [row.name for row in index.collections() if collection_name(row.name) is not None]
    wanted = [named_collection(name) for name in names]
    for name, collection in zip(names, wanted, strict=True):
        if collection not in known:
            there = ", ".join(sanitize(collection_name(each) or "", strict=True) for each in known)
            hint = f"There are: {there}." if there else "nemochat docs add PATH makes one."
            raise UsageError(f"There is no collection {sanitize(name, strict=True)}.", hint)
    return tuple(wanted or known)


async def estimates(texts: Sequence[str]) -> Sequence[int]:
    """Tokens of each text, roughly."""
    return [estimate_tokens(text) for text in texts]


def progress_text(progress: Progress) -> str:
    """The line that says how far the reading is."""
    return f"reading {min(progress.done + 1, progress.total):,} of {progress.total:,}: {progress.name} ..."


async def _add(index: DocumentIndex, path: Path, status: StatusLine) -> Report:
    """Read into the index in a thread, which ends soon when this is cancelled."""
    stop = threading.Event()

    def read() -> Report:
        return index.add(path, _GIVEN, progress=lambda at: status.show(progress_text(at)), cancelled=stop.is_set)

    try:
        return await asyncio.to_thread(read)
    finally:
        stop.set()


def _told(path: Path, report: Report) -> None:
    """Say what was odd. Raises DocumentError when nothing of what the user named could be read."""
    print_notes(report.notices)
    if report.problems and not report.read:
        raise DocumentError(report.problems[0].message, report.problems[0].hint)
    print_notes(problem.message for problem in report.problems)
    if not report.read and not report.unchanged:
        raise DocumentError(f"{shown(path)} holds nothing that can be read as text.")


def make_embedder(model: str, paths: Paths, warn: Callable[[str], None]) -> EmbeddingProcess | None:
    """For the setting ``tools.embedding_model``; None where that is empty. Nothing is started yet.

    warn: gets a sentence when there can be no log.
    """
    if not model.strip():
        return None
    from nemochat.engine.embedder import EmbeddingProcess

    log = paths.engine_log.with_name("embedder.log")
    if problem := log_problem(log):
        warn(problem)
    return EmbeddingProcess(Path(model.strip()), log)


@asynccontextmanager
async def open_embedder(setup: Setup) -> AsyncGenerator[EmbeddingProcess | None, None]:
    """The same, its process gone with the block."""
    embedder = make_embedder(setup.settings.tools.embedding_model, setup.paths, print_note_once)
    try:
        yield embedder
    finally:
        if embedder is not None:
            await embedder.close()
