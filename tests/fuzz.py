"""Files damaged at random, read as users' files are, in a child with little memory. Run by hand:

    python -m tests.fuzz [--count 10000] [--seed 1] [KIND ...]

For each kind it prints how many were read, how many were refused with a sentence, the slowest and the most memory; what ended in any other
way is counted and kept in a folder. The same seed makes the same files.
"""

from __future__ import annotations

import argparse
import base64
import faulthandler
import io
import json
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from nemochat.chat.import_file import body_of
from nemochat.errors import NemochatError
from nemochat.images import load
from nemochat.library import Library
from nemochat.models import gguf, inspect
from nemochat.moving.importing import Importer, Stores
from nemochat.personas.cards import read_card
from nemochat.personas.lorebooks import LorebookStore
from nemochat.personas.sampling_presets import PresetStore
from nemochat.personas.store import PersonaStore
from nemochat.personas.toml_text import read_toml

MEMORY = 1 << 30
SECONDS = 5.0
Wrap = Callable[[bytes], bytes]
Read = Callable[[bytes, Path], object]

_NUMBERS = [struct.pack(code, value) for code in ("<I", ">I", "<Q", ">H") for value in (0, 1, 0x7F, 0x7FFF, 0xFFFF)] + [
    b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0" * 16,
]  # fmt: skip
_WORDS = [
    b"[" * 2000, b"{" * 2000, b'{"a":' * 500, b"1" * 5000, b"-1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"\\ud800", b"\\u0000",
    b"\x1b]52;c;eA==\x07", b"a." * 300, b"9" * 30, b"-1", b"1.5", b'"x"', b"\xff\xfe", b"\xe2\x80\xae", b"<START>", b"{{random:" * 50, b",",
]  # fmt: skip
_DEEP: object = "x"
for _ in range(300):
    _DEEP = [_DEEP]
_VALUES = [
    None, True, False, 0, -1, 1.5, 1e308, float("inf"), float("nan"), 2**31, 2**63, -(2**63) - 1, 10**40, "", "x", "x" * 5000,
    "\ud800", "\0", "\x1b[2J",
    "\u202e", [], {}, [[]], [None], [{}], {"": ""}, {"text": 1}, ["x", 7], _DEEP, "data:image/png;base64,AAAA", "/(a+)+$/", "0" * 300,
]  # fmt: skip
_NAMES = ["", "name", "role", "content", "mapping", "messages", "parent", "entries", "data", "text", "parts", "\0", "x" * 1000]


class Kind(msgspec.Struct):
    """seeds: whole files. wraps: seeds of what is inside of such files, each with what makes a file of it. text: words are put in too."""

    read: Read
    seeds: list[bytes]
    wraps: list[tuple[bytes, Wrap]] = []
    text: bool = False


def mutated(data: bytes, chance: random.Random, *, text: bool) -> bytes:
    """One to eight changes."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at, length = chance.randrange(len(out) + 1), chance.choice((1, 2, 4, 8, 64, 1024))
        match chance.randrange(9):
            case 0 if out:
                out[min(at, len(out) - 1)] ^= 1 << chance.randrange(8)
            case 1:
                out[at : at + 1] = bytes([chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, chance.randrange(256)))])
            case 2:
                number = chance.choice(_NUMBERS)
                out[at : at + len(number)] = number
            case 3:
                del out[at : at + length]
            case 4:
                out[at:at] = out[at : at + length] * chance.choice((1, 2, 20))
            case 5:
                other = chance.randrange(len(out) + 1)
                out[at : at + length] = out[other : other + length]
            case 6 if chance.random() < 0.2:
                del out[at:]
            case _ if text:
                out[at : at + chance.choice((0, 0, length))] = chance.choice(_WORDS)
            case _:
                out[at:at] = chance.randbytes(min(length, 16))
    return bytes(out)


def reshaped(data: bytes, chance: random.Random) -> bytes:
    """JSON that is still JSON, with one to four of its values or names changed; anything else with changes of any kind."""
    try:
        whole = json.loads(data)
    except ValueError:
        return mutated(data, chance, text=False)
    places: list[tuple[dict[str, object] | list[object], str | int]] = []
    waiting = [whole]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            found = value.items() if isinstance(value, dict) else enumerate(value)
            places += [(value, key) for key, _ in found]
            waiting += value.values() if isinstance(value, dict) else value
    for holder, key in chance.sample(places, min(len(places), chance.randint(1, 4))):
        if isinstance(holder, dict) and chance.random() < 0.2:
            holder[chance.choice(_NAMES)] = holder[str(key)]
        elif (isinstance(holder, dict) and key in holder) or isinstance(key, int):
            holder[key] = chance.choice(_VALUES)  # type: ignore[index]
    return json.dumps(whole, ensure_ascii=chance.random() < 0.5).encode(errors="surrogatepass")


def files_of(kind: Kind, count: int, seed: int) -> Iterator[bytes]:
    """`count` damaged files: of the file itself, or of what is inside of it."""
    chance = random.Random(seed)
    for _ in range(count):
        if kind.wraps and chance.random() < 0.6:
            inside, wrap = chance.choice(kind.wraps)
            yield wrap(reshaped(inside, chance) if chance.random() < 0.7 else mutated(inside, chance, text=True))
        elif kind.text and chance.random() < 0.5:
            yield reshaped(chance.choice(kind.seeds), chance)
        else:
            yield mutated(chance.choice(kind.seeds), chance, text=kind.text)


# -- kinds


def _kinds() -> dict[str, Kind]:
    from tests.personas import build

    v2 = build.v2(
        first_mes="Hello", tags=["a"], alternate_greetings=["b"], extensions={"x": {"y": [1, 2.5, None]}},
        character_book={"entries": [{"keys": ["k", "/a+b/i"], "content": "@@depth 2\nlore", "insertion_order": 1, "id": 3}]},
    ).encode()  # fmt: skip
    v1 = json.dumps({"name": "Ada", "description": "d", "personality": "p", "scenario": "s", "first_mes": "f", "mes_example": "m"}).encode()
    v3 = json.dumps({"spec": "chara_card_v3", "spec_version": "3.0", "data": {**json.loads(v2)["data"], "assets": _ASSETS}}).encode()

    def png(keyword: str) -> Wrap:
        return lambda text: build.png(build.chunk(b"tEXt", keyword.encode() + b"\0" + base64.b64encode(text)))

    def packed(text: bytes) -> bytes:
        return build.png(build.packed_text_chunk("chara", base64.b64encode(text)), build.international_chunk("ccv3", text, packed=True))

    def animated(text: bytes) -> bytes:
        first = struct.pack(">IIIIIHHBB", 0, 2, 2, 0, 0, 1, 1, 0, 0)
        control = build.chunk(b"acTL", struct.pack(">II", 2, 0)) + build.chunk(b"fcTL", first)
        frame = build.chunk(b"fdAT", struct.pack(">I", 1) + zlib.compress(bytes(14)))
        return build.png(control, frame, build.chunk(b"tEXt", b"chara\0" + base64.b64encode(text)))

    def charx(text: bytes) -> bytes:
        return build.charx({"card.json": text, "assets/icon/main.png": build.png()})

    def card(name: str, wraps: list[tuple[bytes, Wrap]], *, text: bool = False) -> Kind:
        return Kind(lambda data, _: read_card(data, name), [wrap(inside) for inside, wrap in wraps], wraps, text)

    toml = (Path(__file__).parents[1] / "nemochat/personas/presets/innkeeper.toml").read_bytes()
    return {
        "card-png-v1": card("a.png", [(v1, png("chara"))]),
        "card-png-v2": card("a.png", [(v2, png("chara")), (v2, packed)]),
        "card-png-v3": card("a.png", [(v3, png("ccv3"))]),
        "card-apng": card("a.png", [(v2, animated)]),
        "card-json": card("a.json", [(each, bytes) for each in (v1, v2, v3)], text=True),
        "card-charx": card("a.charx", [(v3, charx)]),
        "persona-toml": Kind(lambda data, _: read_toml(data.decode(errors="replace")), [toml, _BOOK_TOML], text=True),
        **_conversation_kinds(),
        **_model_kinds(),
        **_document_kinds(),
        **{f"picture-{name}": Kind(lambda data, _: load(data), seeds) for name, seeds in _pictures().items()},
    }


_ASSETS = [{"type": "icon", "uri": "embeded://assets/icon/main.png", "name": "main", "ext": "png"}]
_BOOK_TOML = b"""name = 'A'
description = "x"
card = '{"a": [1, 2]}'
[sampling]
temperature = 0.5
[book]
name = "lore"
[[book.entries]]
keys = ["a", "/b+/i"]
content = '''
text'''
"""


def _conversation_kinds() -> dict[str, Kind]:
    from tests.library.test_foreign import TREE

    talk = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "image_url", "image_url": {"url": "data:image/png;,A"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": '{"a": 1}'}}]},
        {"role": "tool", "content": "2", "tool_call_id": "1"},
    ]
    openai = [json.dumps(each).encode() for each in (talk, [{"messages": talk}], {"conversations": [{"messages": talk, "title": "t"}]})]
    chatgpt = json.dumps([TREE, TREE]).encode()
    with tempfile.TemporaryDirectory() as folder:
        library, members = _library_zip(Path(folder))
    conversation = next(name for name in members if name.startswith("conversations/"))
    picture = next(name for name in members if name.startswith("originals/"))

    def zipped(name: str) -> Wrap:
        return lambda inside: _zip({**members, name: inside})

    def read(data: bytes, folder: Path) -> None:
        path = folder / "file"
        path.write_bytes(data)
        with Library.open(folder / "library")[0] as library:
            others = PersonaStore(folder / "personas"), LorebookStore(folder / "lorebooks"), PresetStore(folder / "presets")
            stores = Stores(library, *others)
            if not Importer(stores).run(path).came:
                raise NemochatError("nothing was taken in")

    def sent(inside: bytes) -> bytes:
        return _zip({"conversations.json": inside})

    inner = [(members[conversation], zipped(conversation)), (members[picture], zipped(picture))]
    return {
        "library-zip": Kind(read, [library], inner),
        "openai-json": Kind(read, openai, text=True),
        "openai-body": Kind(lambda data, _: body_of(data, "a.json"), openai[:1], text=True),
        "chatgpt-json": Kind(read, [chatgpt], text=True),
        "chatgpt-zip": Kind(read, [sent(chatgpt)], [(chatgpt, sent)]),
    }


def _library_zip(folder: Path) -> tuple[bytes, dict[str, bytes]]:
    from nemochat.library.transfer import export_library
    from tests.library.test_transfer import fill

    with Library.open(folder / "library")[0] as library:
        fill(library)
        export_library(library, folder / "all.zip")
    with zipfile.ZipFile(folder / "all.zip") as box:
        return (folder / "all.zip").read_bytes(), {name: box.read(name) for name in box.namelist()}


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as box:
        for name, content in members.items():
            box.writestr(name, content)
    return buffer.getvalue()


def _model_kinds() -> dict[str, Kind]:
    from tests.models.raw_gguf import write_mmproj, write_model

    with tempfile.TemporaryDirectory() as folder:
        files = [write_model(Path(folder) / "a.gguf"), write_mmproj(Path(folder) / "b.gguf")]
        starts = [gguf.read(path).data_start for path in files]
        model, projector = (path.read_bytes() for path in files)

    def read(data: bytes, folder: Path) -> None:
        (folder / "a.gguf").write_bytes(data)
        inspect(folder / "a.gguf")

    def read_as_projector(data: bytes, folder: Path) -> None:
        (folder / "a.gguf").write_bytes(model)
        (folder / "b.gguf").write_bytes(data)
        inspect(folder / "a.gguf", folder / "b.gguf")

    def with_weights(whole: bytes, start: int) -> list[tuple[bytes, Wrap]]:
        return [(whole[:start], lambda header: header + whole[start:])]

    return {
        "gguf-model": Kind(read, [model], with_weights(model, starts[0])),
        "gguf-projector": Kind(read_as_projector, [projector], with_weights(projector, starts[1])),
    }


def _document_kinds() -> dict[str, Kind]:
    """Documents are taken apart here as their own process does it, whose memory is bounded as this one's is."""
    from nemochat.documents.kinds.pdf import draw_pages
    from nemochat.documents.load import read_document
    from tests.documents import test_kinds as made
    from tests.documents.test_encodings import FOUND, TEXTS
    from tests.documents.writers import docx, pdf

    def document(name: str, *seeds: bytes, members: bool = False, text: bool = False) -> Kind:
        def read(data: bytes, _: Path) -> object:
            try:
                return read_document(data, name)
            except (MemoryError, RecursionError) as error:  # as nemochat.documents.child says it
                raise NemochatError("it takes too much memory") from error

        return Kind(read, list(seeds), [each for seed in seeds for each in _members(seed)] if members else [], text)

    return {
        "doc-rtf": document("a.rtf", made.RTF, text=True),
        "doc-mail": document("a.eml", made.mail(attach=True, html="<html><p>x</p></html>"), made.mail(transfer="base64"), text=True),
        "doc-notebook": document("a.ipynb", made.BOOK, text=True),
        "doc-odt": document("a.odt", made.ODT, made.ODS, members=True),
        "doc-xlsx": document("a.xlsx", made.WORKBOOK, members=True),
        "doc-docx": document("a.docx", docx("# A\nSome text\n|A|B\n|1|2"), made.BESIDE, members=True),
        "doc-csv": document("a.csv", b"# x\nsep=;\nName;Born\nAda;1815\n", b"Title\n\nName,Born\nAda,1815\nBob,1820\n", text=True),
        "doc-pdf": document("a.pdf", pdf(["The ferry leaves.", "At nine."])),
        "doc-encodings": document("a.html", *(TEXTS[language].encode(encoding, "replace") for language, encoding in FOUND), text=True),
        "doc-old": document("a.doc", made.ole("WordDocument"), made.ole("EncryptedPackage")),
        "doc-pages": Kind(lambda data, _: draw_pages(data, "a.pdf", 2), [pdf(["The ferry leaves.", "At nine."])]),
    }


def _members(whole: bytes) -> list[tuple[bytes, Wrap]]:
    """The XML of an archive, each with what puts it back."""
    with zipfile.ZipFile(io.BytesIO(whole)) as box:
        members = {name: box.read(name) for name in box.namelist()}
    return [(content, lambda inside, name=name: _zip({**members, name: inside})) for name, content in members.items()]  # type: ignore[misc]


def _pictures() -> dict[str, list[bytes]]:
    from PIL import Image

    picture = Image.radial_gradient("L").resize((40, 30)).convert("RGB")

    def saved(kind: str, image: Image.Image = picture, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    more: dict[str, Any] = {"save_all": True, "append_images": [picture.rotate(90)]}
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "png": [saved("PNG"), saved("PNG", picture.convert("P")), saved("PNG", picture.convert("I;16")), saved("PNG", **more)],
        "jpeg": [saved("JPEG", exif=exif), saved("JPEG", progressive=True), saved("JPEG", picture.convert("CMYK")), saved("MPO", **more)],
        "gif": [saved("GIF"), saved("GIF", **more)],
        "webp": [saved("WEBP"), saved("WEBP", lossless=True, exif=exif), saved("WEBP", **more)],
        "bmp": [saved("BMP"), saved("BMP", picture.convert("P"))],
        "avif": [saved("AVIF", speed=10)],
    }


# -- the run


def _child(name: str, count: int, seed: int, keep: Path) -> None:
    """Read the files of one kind, and print what became of them."""
    faulthandler.enable()
    kind = _kinds()[name]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    counts: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(files_of(kind, count, seed)):
            (keep / name).write_bytes(data)  # what is there when the child dies is what killed it
            began = time.perf_counter()
            signal.setitimer(signal.ITIMER_REAL, 2 * SECONDS)
            try:
                kind.read(data, Path(folder))
                counts["read"] += 1
            except NemochatError:
                counts["refused"] += 1
            except BaseException as error:
                counts["failed"] += 1
                (keep / f"{name}-{number}").write_bytes(data)
                print(f"  {name} {number}: {type(error).__name__}: {str(error)[:150]}", flush=True)
            signal.setitimer(signal.ITIMER_REAL, 0)
            took = time.perf_counter() - began
            if took > SECONDS:
                counts["slow"] += 1
                (keep / f"{name}-{number}").write_bytes(data)
            slowest = max(slowest, took)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    figures = ", ".join(f"{counts[word]:,} {word}" for word in ("read", "refused", "failed", "slow"))
    print(f"{name}: {count:,} files, {figures}; slowest {slowest:.2f} s, at most {memory} MB", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Every kind in a child of its own; 1 when any file ended otherwise than with a sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "nemochat-fuzz")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    given.keep.mkdir(exist_ok=True)
    if given.child:
        _child(given.kinds[0], given.count, given.seed, given.keep)
        return 0
    is_bad = False
    for name in given.kinds or _kinds():
        options = ["--child", "--count", str(given.count), "--seed", str(given.seed), "--keep", str(given.keep)]
        done = subprocess.run([sys.executable, "-m", "tests.fuzz", name, *options], capture_output=True, text=True, check=False)
        print(done.stdout, end="", flush=True)
        if done.returncode:
            print(f"{name}: the child ended with {done.returncode}, at {given.keep / name}\n{done.stderr[-1500:]}", flush=True)
        is_bad |= done.returncode != 0 or not done.stdout.rstrip().endswith("MB") or ", 0 failed, 0 slow" not in done.stdout
    return int(is_bad)


if __name__ == "__main__":
    sys.exit(main())
