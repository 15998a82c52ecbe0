"""``nemochat docs``: documents in named collections."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nemochat.cli.output import StatusLine, print_json, print_note, print_notes, print_table, say, when
from nemochat.cli.passages import as_source, chosen, estimates, open_embedder, open_meaning, progress_text
from nemochat.cli.setup import read_setup
from nemochat.documents.index import DocumentIndex
from nemochat.documents.values import Report, Retrieval, collection_name, named_collection
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError, UsageError
from nemochat.numbers import plural
from nemochat.paths import at_home, find_paths

_NO_BUDGET = 1_000_000


def add(paths: Sequence[Path], collection: str) -> None:
    """Read files and folders into a collection; what cannot be read is said, and the rest goes on.

    Raises NemochatError in the end when a file was named that could not be read.
    """
    name = sanitize(collection, strict=True).strip()
    if not name:
        raise UsageError("A collection needs a name.")
    with _opened() as index, StatusLine() as status:
        reports = {path: index.add(path, named_collection(name), progress=lambda at: status.show(progress_text(at))) for path in paths}
        status.clear()
        _tell(list(reports.values()), f" in the collection {name}")
        asyncio.run(_make_vectors(index, status))
    if failed := [path for path, report in reports.items() if report.problems and not at_home(path).is_dir()]:
        raise NemochatError(f"{len(failed):,} of the files that you named could not be read.")


def refresh(collections: Sequence[str]) -> None:
    """Read again what has changed, and drop what is gone. Raises NemochatError."""
    with _opened() as index, StatusLine() as status:
        report = index.refresh(chosen(index, collections), progress=lambda at: status.show(progress_text(at)))
        status.clear()
        _tell((report,), "")
        asyncio.run(_make_vectors(index, status))


def print_list(collections: Sequence[str], *, as_json: bool) -> None:
    """The documents of the collections. Raises NemochatError."""
    with _opened() as index:
        rows = [row for collection in chosen(index, collections) for row in index.documents(collection)]
    if as_json:
        listed = [{"collection": collection_name(row.collection) or "", "place": row.place, "name": row.name, "kind": row.kind,
                   "passages": row.passages, "size": row.size, "read": row.read} for row in rows]  # fmt: skip
        print_json({"documents": listed})
        return
    if not rows:
        print_note("There are no documents. nemochat docs add PATH adds some.")
        return
    lines = [
        (collection_name(row.collection) or "", row.name, row.kind.value, f"{row.passages:,}", when(row.read), row.place) for row in rows
    ]
    print_table(("collection", "name", "kind", "passages", "read", "place"), lines)


def remove(path: str, collections: Sequence[str]) -> None:
    """Take a file, or a folder with all below it, out of the collections; the files stay. Raises NemochatError when it is in none."""
    place = path if "://" in path else Path(path)
    with _opened() as index:
        count = sum(index.remove(place, collection) for collection in chosen(index, collections))
    shown = sanitize(path, strict=True)
    if not count:
        raise NemochatError(f"{shown} is in no collection.", "nemochat docs list shows what is.")
    say(f"{plural(count, 'document')} taken out; the files stay where they are.")


def search(words: str, collections: Sequence[str], *, limit: int, as_json: bool) -> None:
    """Print the passages that fit best. Raises NemochatError."""
    with _opened() as index:
        result = asyncio.run(_retrieve(index, words, chosen(index, collections), limit))
    sources = [as_source(passage) for passage in result.passages]
    if as_json:
        print_json({"passages": sources, "notice": result.notice})
        return
    for source in sources:
        say(f"{source.score:.2f}  {source.in_words()}", strict=True)
        say("\n".join(f"      {line}".rstrip() for line in source.text.splitlines()), end="\n\n")
    if result.notice:
        print_note(result.notice)


async def _retrieve(index: DocumentIndex, words: str, collections: Sequence[str], limit: int) -> Retrieval:
    with StatusLine() as status:
        async with open_embedder(read_setup()) as embedder:
            retriever = open_meaning(status).retriever(index, embedder)
            return await retriever.retrieve(words, collections, _NO_BUDGET, estimates, most=limit)


async def _make_vectors(index: DocumentIndex, status: StatusLine) -> None:
    """Those that the embedding model of the settings has not made yet, also of documents that were read before it was chosen."""
    async with open_embedder(read_setup()) as embedder:
        made = await open_meaning(status).complete(index, embedder, status.show)
    status.clear()
    if made:
        say(f"{plural(made, 'passage')} can be found by meaning from now on.")


@contextmanager
def _opened() -> Iterator[DocumentIndex]:
    """The user's index; what was found while opening it is said. Raises DocumentError."""
    index, notices = DocumentIndex.open(find_paths(os.environ).documents)
    with index:
        print_notes(notices)
        yield index


def _tell(reports: Sequence[Report], where: str) -> None:
    """What was done, and what was not."""
    print_notes(notice for report in reports for notice in report.notices)
    problems = [problem for report in reports for problem in report.problems]
    for problem in problems:
        text = f"{problem.message} {problem.hint}".strip()
        print_note(text if problem.place in text else f"{problem.place}: {text}")
    counts = (
        ("unchanged", sum(report.unchanged for report in reports)),
        ("gone", sum(len(report.dropped) for report in reports)),
        ("passed over, being no text", sum(report.skipped for report in reports)),
        ("not readable", len(problems)),
    )
    read = sum(len(report.read) for report in reports)
    say(", ".join((f"{plural(read, 'document')} read{where}", *(f"{count:,} {word}" for word, count in counts if count))) + ".")
