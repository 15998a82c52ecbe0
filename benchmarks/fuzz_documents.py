"""Broken documents of every kind, made at random from whole ones, read as nemochat reads them.

    python -m benchmarks.fuzz_documents [--number N] [--seed N] [--kinds pdf docx ...] [--keep FOLDER]

Run by hand. Each file must be read or refused with a sentence, within the limits; what ends the reading process, takes longer than SLOW
seconds or raises anything else is counted and kept in FOLDER, where a test can be made of it. The same seed makes the same files.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from nemochat.documents.isolated import DocumentReader
from nemochat.documents.values import DocumentError
from tests.documents.writers import WORD, docx, docx_of, pdf

SLOW = 3.0
_WORDS = "The ferry to the island leaves at seven; Größe 7,5 (see p. 3) — 図 A.\n".encode()
_HTML = (
    b"<!doctype html><html><head><title>Ferries</title><style>p{}</style></head><body><h1>Times</h1><p>One &amp; <b>two</b>&#8212;</p>"
    b"<table><tr><th>Port</th><th>Hour</th></tr><tr><td>Oslo<td>7</tr></table><pre>a\n b</pre><ul><li hidden>x<li>y</ul><!-- c -->"
    b"</body></html>"
)
_CODE = (
    b"import os\n\n\n# Opens.\n@cache\ndef open_it(x):\n    return x\n\n\nclass Shop:\n    def close(self):\n        pass\n\n"
    b"int main(int a) {\n}\n\nconst go = async (a) => {\n}\n"
)
_MARKDOWN = b"---\nt: x\n---\nIntro [a](b \"c\").\n\n# Top *x*\n\n| a | b |\n|---|---|\n\n```\n# no\n```\n\nUnder\n=====\n\n## Inner #\n"
_RECORD = {"name": "Ada", "born": 1815, "tags": ["x", "y"], "at": {"town": "Bonn", "deep": [[1, None], {"k": True}]}}

SEEDS: dict[str, list[bytes]] = {
    "a.txt": [_WORDS * 5, "Größe\n\n図。図".encode("utf-16"), b"one\r\ntwo\r\rthree" * 9],
    "a.md": [_MARKDOWN + _WORDS],
    "a.html": [_HTML, _HTML * 3],
    "a.csv": [b'Name;Born\nAda;1815\n"Grace; H.";1906\n\nshort\n' * 3, b"a,b,c\n1,2,3\n" * 9],
    "a.json": [json.dumps(_RECORD).encode(), json.dumps([_RECORD] * 3).encode(), json.dumps({"rows": [_RECORD] * 2}).encode()],
    "a.jsonl": [(json.dumps(_RECORD) + "\n").encode() * 4],
    "a.py": [_CODE],
    "a.docx": [docx("Before\n# Big\nSome text & more\n## Small\n|A|B\n|1|2\n|3|4"), docx("x\n" * 20)],
    "a.pdf": [pdf(["First page\nof two", "Second (page)"]), pdf(["x" * 40] * 4)],
}
_TOKENS = [
    b"", b"\0", b"\xff\xfe", b"\r\n", b"\n\n", b" " * 50, b"9" * 5000, b"-1", b"1e999", b"<", b"<!--", b"</td>", b"<table><tr><td>", b"&#",
    b"[" * 100, b"{" * 100, b'{"a":', b'"', b",", b";", b"\t", b"```\n", b"# ", b"(", b")", b"<<", b">>", b"/Kids [2 0 R]", b"0 R",
    b"/Length 99999999", b"/Filter /FlateDecode", b"/Filter [/ASCIIHexDecode /LZWDecode]", b"1 0 obj", b"endobj", b"stream\n", b"xref\n",
    b"/Prev 0", b"<w:tbl><w:tr><w:tc>", b"</w:p>", b"<w:p>", b'xmlns:w="x"', b"<!DOCTYPE a>", b"&a;", b"]]>", b"\xe2\x80\xae",
    b"\xed\xa0\x80", b"%PDF-",
]  # fmt: skip
Mutation = Callable[[random.Random, bytearray, bytes], None]


def main() -> None:
    """Make, read, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", default=[name.removeprefix("a.") for name in SEEDS])
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    bad = 0
    print("| kind | files | read | refused | ended the process | slow | slowest, s | all, s |\n|---|---|---|---|---|---|---|---|")
    for kind in options.kinds:
        bad += fuzz(f"a.{kind}", options.number, options.seed, options.keep)
    sys.exit(1 if bad else 0)


def fuzz(name: str, number: int, seed: int, keep: Path | None) -> int:
    """Print the row of a kind; how many files did what none may do."""
    reader = DocumentReader()
    counts: Counter[str] = Counter()
    slowest, began = 0.0, time.perf_counter()
    for at in range(number):
        data = mutated(random.Random(f"{seed} {name} {at}"), name)
        process, started = reader.pid, time.perf_counter()
        try:
            reader.read(data, name)
            outcome = "read"
        except DocumentError:
            outcome = "refused"
        seconds = time.perf_counter() - started
        slowest = max(slowest, seconds)
        found = {outcome, *(["ended"] if process is not None and reader.pid != process else []), *(["slow"] if seconds > SLOW else [])}
        counts.update(found)
        if keep is not None and found & {"ended", "slow"}:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{seed}-{at}-{'-'.join(sorted(found))}{name[1:]}").write_bytes(data)
    reader.close()
    told = (f"{counts[each]:,}" for each in ("read", "refused", "ended", "slow"))
    print(f"| {name[2:]} | {number:,} | {' | '.join(told)} | {slowest:.2f} | {time.perf_counter() - began:.0f} |", flush=True)
    return counts["ended"] + counts["slow"]


def mutated(draw: random.Random, name: str) -> bytes:
    """A file that was whole once."""
    seed = draw.choice(SEEDS[name])
    if name == "a.docx" and draw.random() < 0.5:
        return docx_of(f"<w:document {WORD}>{_elements(draw, 0)}</w:document>")
    if name == "a.docx" and draw.random() < 0.8:
        return _repacked(draw, seed)
    return _changed(draw, seed, draw.choice(SEEDS[name]))


def _changed(draw: random.Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 10))):
        draw.choice(_MUTATIONS)(draw, changed, other)
    return bytes(changed)


def _repacked(draw: random.Random, data: bytes) -> bytes:
    """A Word file that is a whole archive, with something wrong inside."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for info in archive.infolist():
            content = archive.read(info)
            new.writestr(info.filename, _changed(draw, content, content) if info.filename.startswith("word/") else content)
    return out.getvalue()


def _elements(draw: random.Random, depth: int) -> str:
    """Word's elements in places where Word would not put them."""
    if depth > 9:
        return "x"
    parts = []
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        tag = draw.choice(("p", "r", "t", "tbl", "tr", "tc", "tab", "pPr", "sdt", "del"))
        value = draw.choice(('w:val="Heading1"', 'w:val="3"', 'w:val="99"', ""))
        inner = f"<w:{draw.choice(('pStyle', 'outlineLvl', 'br'))} {value}/>" if tag == "pPr" else _elements(draw, depth + 1)
        parts.append(f"<w:{tag}>{inner}</w:{tag}>" * draw.choice((1, 1, 1, 2, 40 if depth == 5 else 1)))
    return "".join(parts) or draw.choice(("", "text &amp; more", "<w:p><w:r><w:t>cell</w:t></w:r></w:p>"))


def _span(draw: random.Random, data: bytes | bytearray) -> slice:
    start = draw.randrange(len(data) + 1)
    return slice(start, start + draw.choice((1, 2, 5, 20, 100, 400)))


def _flip(draw: random.Random, data: bytearray, other: bytes) -> None:
    for _ in range(draw.choice((1, 1, 3, 30))):
        if data and other:
            data[draw.randrange(len(data))] = draw.choice((0, 0x20, 0x30, 0x39, 0x7F, 0xFF, draw.randrange(256)))


def _cut(draw: random.Random, data: bytearray, _: bytes) -> None:
    del data[_span(draw, data)]


def _truncate(draw: random.Random, data: bytearray, _: bytes) -> None:
    del data[draw.randrange(len(data) + 1) :]


def _insert(draw: random.Random, data: bytearray, _: bytes) -> None:
    at = draw.randrange(len(data) + 1)
    data[at:at] = draw.choice(_TOKENS) * draw.choice((1, 1, 1, 3, 200))


def _repeat(draw: random.Random, data: bytearray, _: bytes) -> None:
    span = _span(draw, data)
    data[span.start : span.start] = bytes(data[span]) * draw.choice((1, 2, 10, 500))


def _splice(draw: random.Random, data: bytearray, other: bytes) -> None:
    data[_span(draw, data)] = other[_span(draw, other)]


_MUTATIONS: tuple[Mutation, ...] = (_flip, _flip, _cut, _truncate, _insert, _insert, _repeat, _splice)


if __name__ == "__main__":
    main()
