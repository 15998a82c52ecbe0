"""What a large collection of documents costs: reading and indexing, a question, a refresh.

    python -m benchmarks.retrieval [--pages N] [--runs N] [--folder F]

Writes documents with made-up words (frequencies as in natural language) of PAGE words a page in several kinds to a temporary folder, or to
F, and indexes them. A question is answered through the whole path: candidates, judging, variety, the budget. Prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from benchmarks.library import vocabulary
from nemochat.documents.index import DocumentIndex
from nemochat.documents.retrieve import Retriever
from nemochat.documents.split import estimate_tokens
from nemochat.documents.values import named_collection

PAGE = 300
PAGES_EACH = 20
SENTENCE = 14
SET = named_collection("benchmark")
BOUND_PAGES, BOUND_QUERY = 500, 30


async def count(texts: Sequence[str]) -> list[int]:
    """Tokens by rule of thumb."""
    return [estimate_tokens(text) for text in texts]


def pages(number: int, draw: random.Random) -> Iterator[list[str]]:
    """Pages as lists of paragraphs."""
    words = vocabulary(draw)
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    for _ in range(number):
        drawn = draw.choices(words, cum_weights=weights, k=PAGE)
        sentences = [" ".join(drawn[at : at + SENTENCE]).capitalize() + "." for at in range(0, PAGE, SENTENCE)]
        yield [" ".join(sentences[at : at + 5]) for at in range(0, len(sentences), 5)]


def as_text(parts: list[list[str]]) -> str:
    """Plain text."""
    return "\n\n".join("\n\n".join(page) for page in parts)


def as_markdown(parts: list[list[str]]) -> str:
    """A heading for each page."""
    return "\n\n".join(f"## {page[0][:30]}\n\n" + "\n\n".join(page) for page in parts)


def as_html(parts: list[list[str]]) -> str:
    """A heading for each page."""
    body = "".join(f"<h2>{page[0][:30]}</h2>" + "".join(f"<p>{each}</p>" for each in page) for page in parts)
    return f"<!doctype html><html><body>{body}</body></html>"


def as_json_lines(parts: list[list[str]]) -> str:
    """A record for each paragraph."""
    return "\n".join(json.dumps({"page": at, "text": each}) for at, page in enumerate(parts) for each in page)


FORMS: dict[str, Callable[[list[list[str]]], str]] = {"txt": as_text, "md": as_markdown, "html": as_html, "jsonl": as_json_lines}


def write(folder: Path, number: int) -> None:
    """The documents, of each kind in turn."""
    source = pages(number, random.Random(7))
    kinds = list(FORMS)
    for at in range(number // PAGES_EACH):
        kind = kinds[at % len(kinds)]
        text = FORMS[kind]([next(source) for _ in range(PAGES_EACH)])
        (folder / f"document-{at:05}.{kind}").write_text(text)


def questions(number: int) -> list[str]:
    """Of two rare, two middling and three frequent words each."""
    draw = random.Random(11)
    words = vocabulary(random.Random(7))
    groups = ((words[2000:15000], 2), (words[100:2000], 2), (words[:100], 3))
    return [" ".join(word for group, many in groups for word in draw.sample(group, many)) for _ in range(number)]


def main() -> None:
    """Write, index, ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        documents, file = folder / "documents", folder / "index.db"
        if not documents.exists():
            documents.mkdir(parents=True)
            write(documents, options.pages)
        index, _ = DocumentIndex.open(file)
        with index:
            measure(index, documents, file, options.pages, options.runs)


def measure(index: DocumentIndex, documents: Path, file: Path, number: int, runs: int) -> None:
    """The table."""
    started = time.perf_counter()
    report = index.add(documents, SET)
    rate = number / (time.perf_counter() - started)
    passages = sum(row.passages for row in index.collections())
    size = f"{file.stat().st_size / 1e6:.0f} MB"
    print(f"{len(report.read):,} documents, {number:,} pages of {PAGE} words, {passages:,} passages, index {size}\n")
    print("| what | figure | bound |\n|---|---|---|")
    print(f"| index, pages a second | {rate:,.0f} | >= {BOUND_PAGES} |")
    retriever = Retriever(index)
    for name, texts in (("7 words", questions(runs)), ("3 very frequent words", [" ".join(vocabulary(random.Random(7))[:3])] * runs)):
        times = []
        for at, question in enumerate(texts):
            began = time.perf_counter()
            asyncio.run(retriever.retrieve(question, [SET], 1500, count))
            if at:  # the first one warms up
                times.append((time.perf_counter() - began) * 1000)
        print(f"| a question of {name}, median (worst) ms | {statistics.median(times):.1f} ({max(times):.1f}) | <= {BOUND_QUERY} |")
    started = time.perf_counter()
    index.refresh([SET])
    print(f"| refresh when nothing changed, ms | {(time.perf_counter() - started) * 1000:.0f} | |")


if __name__ == "__main__":
    main()
