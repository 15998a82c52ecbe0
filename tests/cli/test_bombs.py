"""Small files that stand for much: read by the real commands with 1 GB of memory for the whole program, each within a time limit."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from nemochat.domain.chat import Chat
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.messages import ImagePart
from nemochat.domain.replies import ModelRef
from nemochat.images import load, to_png
from nemochat.library import Library
from nemochat.library.transfer import export_library
from tests.cli.conftest import Fork, Run, WriteScript
from tests.cli.test_bad_paths import Ended, Job, run_all
from tests.library.building import user
from tests.personas import build

MB = 1 << 20
LARGE = 8 * MB  # ten times as much was tried by hand
SECONDS = 9.0

# What JSON and TOML can be made of, as text of the length that is asked for.
SHAPES: dict[str, Callable[[int], bytes]] = {
    "deep lists": lambda size: b"[" * size,
    "deep objects": lambda size: b'{"a":' * (size // 5),
    "wide lists": lambda size: b"[" + b"[]," * (size // 3) + b"0]",
    "wide objects": lambda size: b"[" + b"{}," * (size // 3) + b"0]",
    "one text": lambda size: b'["' + b"x" * size + b'"]',
    "escapes": lambda size: b'["' + b"\\ud83d\\ude00" * (size // 12) + b'"]',
    "a number": lambda size: b"[" + b"1" * size + b"]",
    "names": lambda size: b"{" + b",".join(b'"%07d":0' % number for number in range(size // 12)) + b"}",
    "lines": lambda size: b"\n" * size,
    "lines of lists": lambda size: b"[]\n" * (size // 3),
    "a conversation": lambda size: b'{"messages": [' + b'{"role":"user","content":"x"},' * (size // 30) + b"{}]}",
    "contents": lambda size: b'[{"role":"user","content":[' + b"[]," * (size // 3) + b'"x"]}]',
}
TOML = {
    "a long name": b"a." * 100_000 + b"a = 1\n",
    "a long name in quotes": b"'x'." * 50_000 + b"a = 1\n",
    "a long name in a table": b"[" + b"a . " * 50_000 + b"a]\n",
    "a long name in braces": b"a = {" + b"b." * 100_000 + b"b = 1}\n",
    "deep lists": b"a = " + b"[" * 300_000,
    "a number": b"a = " + b"1" * 500_000,
    "names": b"".join(b"a%d = 1\n" % number for number in range(60_000)),
}


def ended_well(fork: Fork, jobs: list[Job], folder: Path) -> str:
    """What is wrong with how they ended; "" when each said a sentence in time."""
    found = run_all(fork, jobs, folder)
    assert len(found) == len(jobs)
    return "\n".join(filter(None, map(problem_with, found)))


def problem_with(ended: Ended) -> str:
    if ended.code is None or ended.seconds > SECONDS:
        return f"{ended.name} took {ended.seconds:.1f} s"
    if "a bug" in ended.said or "Traceback" in ended.said:
        return f"{ended.name} was taken for a bug: {ended.said[-300:]}"
    return "" if ended.code == 0 or "Error: " in ended.said else f"{ended.name} ended with {ended.code}"


@pytest.mark.parametrize("shape", SHAPES)
def test_json_that_stands_for_much_is_a_sentence(fork: Fork, tmp_path: Path, shape: str) -> None:
    for size, names in ((2 * MB, ("card", "mcp", "models")), (8 * MB, ("lore",)), (LARGE, ("talk",))):
        for name in names:
            (tmp_path / f"{name}.json").write_bytes(SHAPES[shape](size))
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as box:
        box.writestr("nemochat-library.json", '{"format": "nemochat-library", "version": 1}')
        box.writestr("conversations/1.json", SHAPES[shape](LARGE))
    data, config = tmp_path / "data", tmp_path / "config"
    data.mkdir()
    config.mkdir()
    (data / "models.json").symlink_to(tmp_path / "models.json")
    (config / "mcp.json").symlink_to(tmp_path / "mcp.json")
    jobs: list[Job] = [
        (f"card: {shape}", ["personas", "import", str(tmp_path / "card.json")], {}),
        (f"lore: {shape}", ["lore", "add", str(tmp_path / "lore.json")], {}),
        (f"import: {shape}", ["library", "import", str(tmp_path / "talk.json")], {}),
        (f"zip: {shape}", ["library", "import", str(tmp_path / "all.zip")], {}),
        (f"models: {shape}", ["models", "list"], {}),
        (f"mcp: {shape}", ["mcp", "list"], {}),
    ]
    if shape != "a conversation":  # which is one, to be printed
        jobs.append((f"render: {shape}", ["render", str(tmp_path / "talk.json")], {}))
    assert ended_well(fork, jobs, tmp_path) == ""


def test_toml_that_stands_for_much_is_a_sentence(fork: Fork, tmp_path: Path) -> None:
    jobs: list[Job] = []
    for number, (shape, content) in enumerate(TOML.items()):
        (tmp_path / f"{number}.toml").write_bytes(content)
        (tmp_path / f"c{number}").mkdir()
        (tmp_path / f"c{number}" / "config.toml").write_bytes(content)
        jobs.append((f"persona: {shape}", ["personas", "import", str(tmp_path / f"{number}.toml")], {}))
        jobs.append((f"settings: {shape}", ["models", "list"], {"NEMOCHAT_CONFIG_DIR": str(tmp_path / f"c{number}")}))
    assert ended_well(fork, jobs, tmp_path) == ""


def test_cards_that_stand_for_much_are_a_sentence(fork: Fork, tmp_path: Path) -> None:
    zeros, entries = b"\0" * (80 * MB), ",".join(['{"keys": ["/(a+)+$/"], "content": "x"}'] * 80_000)
    packed = zlib.compress(zeros, 9)
    cards = {
        "zTXt.png": build.png(build.chunk(b"zTXt", b"chara\0\0" + packed)),
        "iTXt.png": build.png(build.chunk(b"iTXt", b"ccv3\0\1\0\0\0" + packed)),
        "card.charx": build.charx({"card.json": zeros}),
        "assets.charx": build.charx({"card.json": build.v2(), "assets/icon/main.png": zeros}),
        "entries.json": f'{{"data": {{"name": "A", "description": "x", "character_book": {{"entries": [{entries}]}}}}}}'.encode(),
        "keys.png": build.png(build.text_chunk("chara", build.v2(tags=["x"] * 500_000))),
        "macros.json": build.v2(first_mes="{{random:" * 100_000, description="{{char}}" * 100_000).encode(),
    }
    del zeros
    for name, content in cards.items():
        (tmp_path / name).write_bytes(content)
    assert ended_well(fork, [(name, ["personas", "import", str(tmp_path / name)], {}) for name in cards], tmp_path) == ""


def lying_png(side: int) -> bytes:
    """A picture whose first header says 2 x 2, and the one that counts `side` x `side`."""
    small = build.chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
    large = build.chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    rows = build.chunk(b"IDAT", zlib.compress(bytes((side // 8 + 1) * min(side, 2000)), 9))
    return build.SIGNATURE + small + large + rows + build.chunk(b"IEND", b"")


def library_zip(folder: Path, bad: bytes) -> Path:
    """Three conversations; the picture of the second one is `bad`."""
    pictures = [RgbImage.from_rgb(2, 2, bytes([value]) * 12) for value in (10, 20, 30)]
    with Library.open(folder / "old")[0] as library:
        for picture in pictures:
            library.put_picture(picture.digest, Original(to_png(picture), "png"))
            library.save(None, 0, None, Chat().added(user("Look", ImagePart(picture.digest, "a.png", 2, 2, 1))), model=ModelRef("demo"))
        export_library(library, folder / "whole.zip")
    with zipfile.ZipFile(folder / "whole.zip") as whole, zipfile.ZipFile(folder / "bad.zip", "w") as box:
        # The file is what its name says: only its pixels are not those of the message.
        old, new = Original(to_png(pictures[1]), "png").digest, Original(bad, "png").digest
        for name in whole.namelist():
            data = bad if name == f"originals/{old}.png" else whole.read(name).replace(old.encode(), new.encode())
            box.writestr(name.replace(old, new), data)
    return folder / "bad.zip"


@pytest.mark.parametrize("side", [9_000, 20_000, 60_000])
def test_a_hostile_picture_costs_neither_its_conversation_nor_the_others(nemochat: Run, tmp_path: Path, side: int) -> None:
    done = nemochat("library", "import", str(library_zip(tmp_path, lying_png(side))))
    assert done.returncode == 0
    assert "3 conversations added" in done.stdout
    assert done.stderr.count(".png is not the picture that the conversation shows.") == 1
    assert "a bug" not in done.stderr


def test_a_broken_conversation_is_named_and_counted_and_the_others_are_here(nemochat: Run, tmp_path: Path) -> None:
    whole = library_zip(tmp_path, b"")
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(tmp_path / "worse.zip", "w") as box:
        names = sorted(name for name in old.namelist() if name.startswith("conversations/"))
        for name in old.namelist():
            box.writestr(name, b"[" * 100_000 if name == names[0] else old.read(name))
    done = nemochat("library", "import", str(tmp_path / "worse.zip"))
    assert done.returncode == 1
    assert "2 conversations added" in done.stdout
    assert f"{names[0]} is not a conversation" in done.stderr
    assert done.stderr.endswith("Error: 1 conversation could not be read.\n")


def test_pictures_that_are_more_than_they_say_are_refused_one_by_one(nemochat: Run, tmp_path: Path, script: WriteScript) -> None:
    buffer = io.BytesIO()
    Image.new("L", (64, 64)).save(buffer, "GIF")
    gif = bytearray(buffer.getvalue())
    frame = gif.index(b",", 13)
    gif[frame + 5 : frame + 9] = struct.pack("<HH", 65_000, 65_000)
    jpeg = io.BytesIO()
    Image.new("RGB", (16, 16)).save(jpeg, "JPEG", progressive=True)
    wide = bytearray(jpeg.getvalue())
    start = wide.index(b"\xff\xc2")
    wide[start + 5 : start + 9] = struct.pack(">HH", 30_000, 30_000)
    scans = jpeg.getvalue() + jpeg.getvalue()[jpeg.getvalue().index(b"\xff\xda") :] * 300
    files = {"lying.png": lying_png(20_000), "frame.gif": bytes(gif), "progressive.jpg": bytes(wide), "scans.jpg": scans}
    lines = []
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        lines.append(json.dumps({"question": "?", "images": [name]}))
    many = [f"data:image/png;base64,{base64.b64encode(flat(7000, value)).decode()}" for value in range(4)]
    lines += [json.dumps({"question": "?", "images": many}), json.dumps({"question": "?"})]
    done = nemochat("ask", "--jsonl", "--model", script("Fine."), input="\n".join(lines))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["error" in answer for answer in answers] == [True] * 5 + [False]
    assert not any("a bug" in answer.get("error", "") for answer in answers)
    assert "150 million pixels together" in answers[4]["error"]


def flat(side: int, value: int) -> bytes:
    """A picture of one shade of grey."""
    row = b"\0" + bytes([value]) * side
    header = build.chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return build.SIGNATURE + header + build.chunk(b"IDAT", zlib.compress(row * side, 1)) + build.chunk(b"IEND", b"")


def test_a_large_photograph_of_one_scan_is_still_read() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (9000, 8000), "red").save(buffer, "JPEG", quality=30)
    picture = load(buffer.getvalue())
    assert (picture.width, picture.height) == (4500, 4000)
