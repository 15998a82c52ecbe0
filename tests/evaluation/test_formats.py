"""The questions of each benchmark, read from the files that people have; whatever a file holds ends in one clear sentence."""

from __future__ import annotations

import base64
import csv
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from nemochat.domain.chat import Chat
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Conversation, Message, Role, TextPart
from nemochat.errors import EvaluationError
from nemochat.evaluation import own, reading
from nemochat.evaluation.asking import open_one
from nemochat.evaluation.benchmarks import BENCHMARKS, Item, benchmark_named, questions, sampled, together
from nemochat.evaluation.scoring import score
from nemochat.evaluation.values import Kind, Question, Reply
from nemochat.images import to_png

WORD = "\nAnswer the question using a single word or phrase."
LETTER = "\nAnswer with the option's letter from the given choices directly."


def png(shade: int) -> bytes:
    return to_png(RgbImage.from_rgb(9, 9, bytes([shade, 3, 7]) * 81))


def encoded(shade: int) -> str:
    return base64.b64encode(png(shade)).decode()


def shades(item: Item) -> list[int]:
    """Which of the pictures an item has."""
    return [open_one(each).image.rgb[0] for each in item.pictures]


def read(name: str, path: Path) -> list[Item]:
    return questions(benchmark_named(name), path)[0]


def write_tsv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def put(folder: Path, **shade_of: int) -> None:
    for name, shade in shade_of.items():
        (folder / f"{name}.jpg").write_bytes(png(shade))


# -- each benchmark in its official form


def test_vqav2_joins_questions_and_annotations(tmp_path: Path) -> None:
    asked = [{"image_id": 42, "question": "What is it?", "question_id": 42000}]
    people = [{"answer": "cat", "answer_id": n, "answer_confidence": "yes"} for n in range(9)] + [{"answer": "dog", "answer_id": 9}]
    (tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps({"info": {}, "questions": asked}))
    annotations = {"annotations": [{"question_id": 42000, "image_id": 42, "answers": people, "multiple_choice_answer": "cat"}]}
    (tmp_path / "v2_mscoco_val2014_annotations.json").write_text(json.dumps(annotations))
    (tmp_path / "val2014").mkdir()
    put(tmp_path / "val2014", COCO_val2014_000000000042=5)
    [item] = read("vqav2", tmp_path)
    assert item.question.prompt == "What is it?" + WORD
    assert item.question.answers == ("cat",) * 9 + ("dog",)
    assert (item.question.id, shades(item)) == ("42000", [5])


def test_textvqa_gqa_and_pope(tmp_path: Path) -> None:
    put(tmp_path, a1=1, n7=2, COCO_val2014_000000310196=3)
    text = {"data": [{"question_id": 3, "image_id": "a1", "question": "What brand?", "answers": ["nokia"] * 10}]}
    (tmp_path / "TextVQA_0.5.1_val.json").write_text(json.dumps(text))
    (tmp_path / "testdev_balanced_questions.json").write_text(json.dumps({"201": {"imageId": "n7", "question": "Big?", "answer": "yes"}}))
    pope = {"question_id": 1, "image": "COCO_val2014_000000310196.jpg", "text": "Is there a snowboard in the image?", "label": "No"}
    write_lines(tmp_path / "coco_pope_popular.json", [pope, {**pope, "question_id": 2}])
    for name, id_, prompt, answers, shade in (
        ("textvqa", "3", "What brand?", ("nokia",) * 10, 1),
        ("gqa", "201", "Big?", ("yes",), 2),
        ("pope", "1", "Is there a snowboard in the image?", ("no",), 3),
    ):
        item = read(name, tmp_path)[0]
        assert (item.question.id, item.question.prompt, item.question.answers, shades(item)) == (id_, prompt + WORD, answers, [shade])


def test_scienceqa_is_its_test_with_pictures_found_by_problem(tmp_path: Path) -> None:
    problem = {"question": "Which?", "choices": ["one", "two"], "answer": 1, "hint": "Look.", "image": "image.png", "split": "test"}
    problems = {"7": problem, "8": {**problem, "image": None}, "9": {**problem, "split": "train"}, "10": {**problem, "hint": ""}}
    (tmp_path / "problems.json").write_text(json.dumps(problems))
    for number in (7, 10):
        folder = tmp_path / "images" / "test" / str(number)
        folder.mkdir(parents=True)
        (folder / "image.png").write_bytes(png(number))
    first, second = read("scienceqa", tmp_path)
    assert first.question.prompt == "Context: Look.\nWhich?\nA. one\nB. two" + LETTER
    assert second.question.prompt == "Which?\nA. one\nB. two" + LETTER
    assert first.question.answers == ("B",)
    assert [shades(first), shades(second)] == [[7], [10]]


def test_seed_asks_about_pictures_alone(tmp_path: Path) -> None:
    asked = {"answer": "C", "choice_a": "x", "choice_b": "y", "choice_c": "z", "choice_d": "w", "question": "Which?"}
    rows = [{**asked, "data_id": "12_3", "data_type": "image", "question_id": "1"}, {**asked, "data_type": "video", "question_id": "2"}]
    (tmp_path / "SEED-Bench.json").write_text(json.dumps({"questions": rows}))
    put(tmp_path, **{"12_3": 9})
    [item] = read("seed", tmp_path)
    assert item.question.prompt == "Which?\nA. x\nB. y\nC. z\nD. w" + LETTER
    assert (item.question.answers, shades(item)) == (("C",), [9])


def test_mmmu_keeps_the_places_of_its_pictures(tmp_path: Path) -> None:
    choice = {"id": "validation_A_1", "question": "<image 1> or <image 2>?", "options": "['$10', \"a 'b'\"]", "answer": "B",
              "question_type": "multiple-choice", "image_1": {"bytes": encoded(1)}, "image_2": encoded(2), "image_3": None}  # fmt: skip
    open_ = {"id": "o", "question": "How much?", "options": "[]", "answer": "['1/4', '0.25']", "question_type": "open"}
    first, second = read("mmmu", write_lines(tmp_path / "MMMU.jsonl", [choice, open_]))
    assert first.question.prompt == "<image 1> or <image 2>?\n\nA. $10\nB. a 'b'\n" + LETTER
    assert (first.question.answers, tuple(first.question.meta["options"]), shades(first)) == (("B",), ("$10", "a 'b'"), [1, 2])
    assert (second.question.prompt, second.question.answers) == ("How much?\n" + WORD, ("1/4", "0.25"))


def test_vqav2_takes_the_answers_of_its_own_part(tmp_path: Path) -> None:
    """In the folder of somebody who has the whole set."""
    put(tmp_path, COCO_val2014_000000000042=5)
    for part, answer in (("train2014", "wrong"), ("val2014", "cat")):
        asked = {"questions": [{"image_id": 42, "question": "What?", "question_id": 1}]}
        (tmp_path / f"v2_OpenEnded_mscoco_{part}_questions.json").write_text(json.dumps(asked))
        people = {"annotations": [{"question_id": 1, "answers": [{"answer": answer}] * 10}]}
        (tmp_path / f"v2_mscoco_{part}_annotations.json").write_text(json.dumps(people))
    [item] = read("vqav2", tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json")
    assert item.question.answers == ("cat",) * 10


def test_pope_asks_the_popular_ones_alone(tmp_path: Path) -> None:
    """VLMEvalKit's table and lmms-eval's parquet have all three kinds, in the table a row may be of several."""
    kinds = ("popular", "random", "adversarial,popular", "adversarial")
    rows = [{"index": n, "question": f"{n}?", "answer": "Yes", "category": kind, "image": encoded(n)} for n, kind in enumerate(kinds, 1)]
    assert [shades(each) for each in read("pope", write_tsv(tmp_path / "POPE.tsv", rows))] == [[1], [3]]


def test_mmmu_has_the_pictures_that_its_words_name(tmp_path: Path) -> None:
    """In the options too; those that only an explanation needs are not shown, and a number keeps its picture."""
    pictures = {f"image_{n}": {"bytes": encoded(n)} for n in (1, 2, 4, 5)}
    row = {"id": "validation_A_1", "question": "Which?", "options": "['<image 2>', '<image 4> or <image 7>']", "answer": "['A', 'B']",
           "question_type": "multiple-choice", **pictures}  # fmt: skip
    table = {"index": 7, "id": "validation_A_2", "split": "validation", "question": "<image 2>?", "A": "x", "B": "y", "answer": "B",
             "image": str([encoded(1), encoded(2)])}  # fmt: skip
    [item] = read("mmmu", write_lines(tmp_path / "MMMU.jsonl", [row]))
    assert item.question.prompt == "Which?\n\nA. <image 1>\nB. <image 2> or <image 7>\n" + LETTER
    assert (item.question.answers, shades(item)) == (("A", "B"), [2, 4])
    dev = {**table, "index": 8, "id": "dev_A_1", "split": "dev"}
    [item] = read("mmmu", write_tsv(tmp_path / "MMMU_DEV_VAL.tsv", [table, dev]))
    assert (item.question.prompt[:10], shades(item)) == ("<image 1>?", [2])


def test_mmmu_guesses_hang_on_the_seed_of_the_run_alone() -> None:
    """So that `run.json` says what was drawn, and a run that goes on draws the same."""
    asked = [Question(f"q{n}", "", answers=("A",), kind=Kind.MMMU, meta={"options": ["1", "2", "3", "4"]}) for n in range(40)]
    drawn = {seed: [score(benchmark_named("mmmu"), each, Reply("?"), seed) for each in asked] for seed in (1, 2)}
    assert all(each.guessed for each in drawn[1])
    assert drawn[1] == [score(benchmark_named("mmmu"), each, Reply("?"), 1) for each in asked]
    assert drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("name", "change", "wrong"),
    [
        ("mmbench", {"answer": ""}, "no answer, as in a test set"),
        ("mmbench", {"B": ""}, "its option B is empty"),
        ("mmbench", {"answer": "D"}, "none of its 3 options"),
        ("mmmu", {"answer": "?"}, "no answer, as in a test set"),
        ("mmmu", {"options": "['a', ''"}, "options are no list"),
        ("scienceqa", {"choices": ["a"], "answer": 4}, "none of its 1 options"),
    ],
)
def test_a_question_that_cannot_be_scored_is_named(name: str, change: dict[str, Any], wrong: str, tmp_path: Path) -> None:
    row = {"index": 4, "question": "Q?", "A": "x", "B": "y", "C": "z", "answer": "A", "image": encoded(1), **change}
    with pytest.raises(EvaluationError, match=wrong):
        read(name, write_lines(tmp_path / "a.jsonl", [row]))


def test_ifeval_and_bfcl(tmp_path: Path) -> None:
    asked = {"key": 1000, "prompt": "Write.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    [item] = read("ifeval", write_lines(tmp_path / "input_data.jsonl", [asked]))
    assert (item.question.id, item.question.prompt, item.question.meta["kwargs"]) == ("1000", "Write.", [{}])
    properties = {"x": {"type": "float"}, "y": {"type": "tuple", "items": {"type": "any"}}}
    parameters = {"type": "dict", "properties": properties, "required": ["x"]}
    function = {"name": "math.sin", "description": "Sine.", "parameters": parameters}
    call = {"id": "simple_0", "question": [[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Sine of 1?"}]],
            "function": [function]}  # fmt: skip
    write_lines(tmp_path / "BFCL_v3_simple.json", [call])
    write_lines(tmp_path / "BFCL_v3_irrelevance.json", [call])
    write_lines(tmp_path / "possible_answer" / "BFCL_v3_simple.json", [{"id": "simple_0", "ground_truth": [{"math.sin": {"x": [1.0]}}]}])
    [item] = read("bfcl-simple", tmp_path)
    [tool] = item.question.tools
    assert (item.system, item.question.prompt) == ("Be brief.", "Sine of 1?")
    assert json.loads(item.question.answers[0]) == {"math.sin": {"x": [1.0]}}
    assert tool.parameters["type"] == "object"
    assert tool.parameters["properties"] == {"x": {"type": "number"}, "y": {"type": "array", "items": {}}}
    assert read("bfcl-relevance", tmp_path)[0].question.answers == ()


# -- VLMEvalKit's tables


def test_a_table_has_its_pictures_inside_and_shares_them(tmp_path: Path) -> None:
    """Rows that go over lines, quotes, a picture named by the row that has it, several pictures in a cell."""
    row = {"index": 5, "question": 'Which "one"?\nSay it.', "hint": "", "A": "x\ty", "B": "z", "C": "", "answer": "B", "image": encoded(4)}
    rows = [row, {**row, "index": 1_000_005, "A": "z", "B": "x\ty", "answer": "A", "image": "5"},
            {**row, "index": 6, "image": str([encoded(1), encoded(2)])}]  # fmt: skip
    first, turned, third = read("mmbench", write_tsv(tmp_path / "MMBench_DEV_EN.tsv", rows))
    assert first.question.prompt == 'Which "one"?\nSay it.\nA. x\ty\nB. z' + LETTER
    assert (first.group, turned.group, third.group) == ("5", "5", "6")
    assert [shades(each) for each in (first, turned, third)] == [[4], [4], [1, 2]]
    assert turned.pictures == first.pictures


def test_a_table_may_name_a_row_that_comes_later(tmp_path: Path) -> None:
    row = {"question": "?", "A": "x", "B": "y", "answer": "A"}
    rows = [{"index": 1, **row, "image": "2"}, {"index": 2, **row, "image": encoded(8)}, {"index": 3, **row, "image": "1"}]
    file = write_tsv(tmp_path / "MMBench_DEV_EN.tsv", rows[:2])
    assert [shades(each) for each in read("mmbench", file)] == [[8], [8]]
    with pytest.raises(EvaluationError, match="picture 1 of question 3 is not below"):
        read("mmbench", write_tsv(tmp_path / "MMBench_chain.tsv", rows[2:]))


# -- parquet, with the columns that lmms-eval's sets and the makers' own have


def write_parquet(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.Table.from_pylist(rows), path, **options)
    return path


def cell(shade: int) -> dict[str, Any]:
    return {"bytes": png(shade), "path": f"{shade}.png"}


CHOICES = {"A": "x", "B": "y", "C": "nan", "D": "nan", "hint": "nan"}
PEOPLE = [{"answer": "cat", "answer_id": n, "answer_confidence": "yes"} for n in range(10)]
PARQUET: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "vqav2": ({"question_id": 3, "question": "Q?", "answers": PEOPLE, "image_id": 5, "question_type": "what"}, "Q?" + WORD, ("cat",) * 10),
    "gqa": ({"id": "3", "question": "Q?", "answer": "cat", "fullAnswer": "It is a cat.", "imageId": "n5"}, "Q?" + WORD, ("cat",)),
    "textvqa": ({"question_id": 3, "question": "Q?", "answers": ["a", "b"], "ocr_tokens": ["STOP"]}, "Q?" + WORD, ("a", "b")),
    "pope": ({"id": "3", "question_id": "1", "question": "Q?", "answer": "yes", "category": "popular"}, "Q?" + WORD, ("yes",)),
    "scienceqa": ({"question": "Q?", "choices": ["x", "y"], "answer": 1, "hint": "H."}, "Context: H.\nQ?\nA. x\nB. y" + LETTER, ("B",)),
    "mmbench": ({"index": 3, "question": "Q?", "answer": "B", **CHOICES, "L2-category": "l"}, "Q?\nA. x\nB. y" + LETTER, ("B",)),
    "seed": ({"question_id": "3", "question": "Q?", "answer": "D", **{f"choice_{each}": each for each in "abcd"}, "data_type": "image",
              "data_id": "1_2", "segment": None}, "Q?\nA. a\nB. b\nC. c\nD. d" + LETTER, ("D",)),
    "mmmu": ({"id": "validation_Art_1", "question": "Q?", "options": "['x', 'y']", "answer": "B", "question_type": "multiple-choice"},
             "Q?\n\nA. x\nB. y\n" + LETTER, ("B",)),
}  # fmt: skip


@pytest.mark.parametrize("name", PARQUET)
def test_each_set_in_parquet(name: str, tmp_path: Path) -> None:
    row, prompt, answers = PARQUET[name]
    column = "image_1" if name == "mmmu" else "image"
    file = write_parquet(tmp_path / "test-00000-of-00001.parquet", [{**row, column: [cell(7)] if name == "seed" else cell(7)}])
    [item] = read(name, file)
    assert (item.question.prompt, item.question.answers, shades(item)) == (prompt, answers, [7])


def test_parquet_reads_its_pictures_when_they_are_asked_for_in_any_order(tmp_path: Path) -> None:
    rows = [{"question_id": n, "question": f"{n}?", "answers": ["a"], "image": cell(n) if n != 3 else None} for n in range(7)]
    rows = [{**row, "image_id": "x"} for row in rows]
    put(tmp_path, x=99)
    items = read("textvqa", write_parquet(tmp_path / "val.parquet", rows, row_group_size=2))
    assert [items[n].question.prompt for n in (0, 6)] == ["0?" + WORD, "6?" + WORD]
    assert [shades(items[n])[0] for n in (0, 1, 2, 6, 5, 0, 3, 4)] == [0, 1, 2, 6, 5, 0, 99, 4]


def test_several_pictures_in_a_cell_and_bytes_alone(tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "answers": ["a"], "images": [cell(n), cell(n + 1)], "image": png(n + 2)} for n in range(3)]
    items = read("textvqa", write_parquet(tmp_path / "val.parquet", rows))
    assert [shades(each) for each in items] == [[n + 2, n, n + 1] for n in range(3)]


def test_the_parts_of_a_set_are_read_together(tmp_path: Path) -> None:
    for part in range(3):
        rows = [{"question": f"{part}?", "answers": ["a"], "image": cell(part)}]
        write_parquet(tmp_path / f"validation-{part:05}-of-00003-{part}abc.parquet", rows)
    for path in (tmp_path, tmp_path / "validation-00001-of-00003-1abc.parquet"):
        assert [shades(each) for each in read("textvqa", path)] == [[0], [1], [2]]
    write_parquet(tmp_path / "train-00000-of-00001.parquet", [{"question": "t?", "answers": ["a"], "image": cell(9)}])
    with pytest.raises(EvaluationError, match="Several files"):
        read("textvqa", tmp_path)
    (tmp_path / "validation-00002-of-00003-2abc.parquet").unlink()
    with pytest.raises(EvaluationError, match="one of 3 parts, and 2 are there"):
        read("textvqa", tmp_path / "validation-00000-of-00003-0abc.parquet")


def test_mmmu_is_its_validation_in_a_folder_for_each_subject(tmp_path: Path) -> None:
    for at, subject in enumerate(("Art", "Music")):
        row = {"id": f"validation_{subject}_1", "question": "Q?", "options": "['x', 'y']", "answer": "A", "image_1": cell(at)}
        write_parquet(tmp_path / subject / "validation-00000-of-00001.parquet", [row])
        write_parquet(tmp_path / subject / "dev-00000-of-00001.parquet", [{**row, "id": f"dev_{subject}_1"}])
    items, files = questions(benchmark_named("mmmu"), tmp_path)
    assert [(each.question.id, shades(each)) for each in items] == [("validation_Art_1", [0]), ("validation_Music_1", [1])]
    assert len(files) == 2
    with pytest.raises(EvaluationError, match="no questions of MMMU val"):
        read("mmmu", tmp_path / "Art" / "dev-00000-of-00001.parquet")


def test_gqa_has_its_pictures_in_a_table_of_their_own(tmp_path: Path) -> None:
    asked = [{"id": f"{n}", "imageId": f"n{n % 2}", "question": f"{n}?", "answer": "yes"} for n in range(3)]
    write_parquet(tmp_path / "testdev_balanced_instructions" / "testdev-00000-of-00001.parquet", asked)
    pictures = [{"id": f"n{n}", "image": cell(n)} for n in range(2)]
    write_parquet(tmp_path / "testdev_balanced_images" / "testdev-00000-of-00001.parquet", pictures)
    assert [shades(each) for each in read("gqa", tmp_path)] == [[0], [1], [0]]


def _bomb(path: Path) -> None:
    """A text of a megabyte, stored once, in 20,000 rows: 20 GB."""
    texts = arrow.DictionaryArray.from_arrays(arrow.array([0] * 20_000, arrow.int32()), arrow.array(["x" * (1 << 20)]))
    parquet.write_table(arrow.table({"question": texts, "answer": ["yes"] * 20_000, "answers": texts}), path, compression="zstd")


def _too_many(path: Path) -> None:
    parquet.write_table(arrow.table({"question": arrow.nulls(reading.MAX_ROWS + 1, arrow.int8())}), path)


def _nested(path: Path) -> None:
    value: Any = 1
    for _ in range(60):
        value = [value]
    parquet.write_table(arrow.table({"question": [value], "answers": [value], "image": [value]}), path)


def _cut(path: Path) -> None:
    write_parquet(path, [{"question": "?", "answers": ["a"], "image": cell(1)}])
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(len(data) // 2) + data[4 + len(data) // 2 :])


HOSTILE_PARQUET: dict[str, Callable[[Path], object]] = {
    "bomb": _bomb, "too many rows": _too_many, "nested": _nested, "cut": _cut,
    "junk": lambda path: path.write_bytes(b"PAR1 and junk"), "empty": lambda path: path.write_bytes(b""),
    "no rows": lambda path: parquet.write_table(arrow.table({"question": arrow.array([], arrow.string())}), path),
    "no columns": lambda path: parquet.write_table(arrow.table({}), path),
    "other columns": lambda path: write_parquet(path, [{"x": 1}]),
    "wrong types": lambda path: write_parquet(path, [{"question": {"a": 1}, "answers": 3, "image": 5, "index": {"b": b"\xff"}}]),
    "escapes": lambda path: write_parquet(path, [{"question": "\x1b]52;c;YQ==\x07", "answer": {"\x1b[31m": 1}}]),
    "folder": lambda path: path.mkdir(),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE_PARQUET)
def test_whatever_parquet_holds_is_one_sentence(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nemochat.evaluation.parquet._MAX_TEXT", 32 << 20)
    monkeypatch.setattr("nemochat.evaluation.parquet._MAX_BATCH", 4 << 20)
    file = tmp_path / "questions.parquet"
    HOSTILE_PARQUET[kind](file)
    for name in ("gqa", "mmmu", "pope", "own"):
        with pytest.raises(EvaluationError) as raised:
            questions(benchmark_named(name), file)
        assert not {"\n", "\x1b"} & set(raised.value.message)
        assert len(raised.value.message) < 500 + len(str(tmp_path))


def test_a_picture_in_parquet_has_a_bound_and_may_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_parquet(tmp_path / "a.parquet", [{"question": f"{n}?", "answers": ["a"], "image": cell(n)} for n in range(3)])
    items = read("textvqa", file)
    monkeypatch.setattr("nemochat.evaluation.parquet._MAX_PICTURE", 10)
    with pytest.raises(EvaluationError, match="cannot be read from"):
        open_one(items[2].pictures[0])
    monkeypatch.undo()
    file.write_bytes(b"")
    with pytest.raises(EvaluationError, match="cannot be read from"):
        open_one(items[0].pictures[0])


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(EvaluationError) as raised:
        read("gqa", tmp_path / "a.parquet")
    assert "pip install 'nemochat[parquet]'" in raised.value.hint


# -- own questions


def test_own_questions(tmp_path: Path) -> None:
    put(tmp_path, a=1)
    tool = {"name": "find", "description": "", "parameters": {"type": "object", "properties": {}}}
    rows: list[dict[str, Any]] = [
        {"picture": "a.jpg", "question": "Which?", "answers": ["Red", "crimson"], "more": 1},
        {"question": "Why?", "regex": r"\bso\b"},
        {"question": "Find it.", "tools": [tool], "call": {"name": "find", "arguments": {}}},
    ]
    first, second, third = read("own", write_lines(tmp_path / "mine.jsonl", rows))
    assert (first.question.prompt, first.question.answers, shades(first)) == ("Which?", ("Red", "crimson"), [1])
    assert (second.question.meta["regex"], second.pictures) == (r"\bso\b", ())
    assert third.question.meta["call"].name == "find"


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ({"question": "Which?"}, "one of answers, regex and call"),
        ({"question": "Which?", "answers": ["a"], "regex": "a"}, "one of answers, regex and call"),
        ({"question": "Which?", "regex": "("}, "its regex is none"),
        ({"question": "Which?", "answers": ["a", " "]}, "one of its answers is empty"),
        ({"question": "Which?", "regex": "(" * 3000 + ")" * 3000}, "its regex is none"),
        ({"question": "Which?", "regex": "a{1000000000}"}, "its regex is too long"),
        ({"question": "Which?", "regex": "(?:(?:a{900}){900}){900}"}, "its regex is too long"),
        ({"question": "Which?", "regex": "a" * 10_001}, "its regex is too long"),
        ({"question": "Which?", "call": {"name": "x"}}, "none of its tools"),
        ({"answers": ["a"]}, "question"),
        ({"question": 3, "answers": ["a"]}, "Expected `str`"),
        ({"question": "?", "answers": ["a"], "picture": "../secret.png"}, "is not below"),
        ({"question": "?", "answers": ["a"], "picture": "/etc/passwd"}, "is not below"),
        ({"question": "?", "answers": ["a"], "picture": ["a\0.png"]}, "is not below"),
    ],
)
def test_an_own_question_that_cannot_be_asked_is_named(row: dict[str, Any], wrong: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret.png").write_bytes(png(1))
    with pytest.raises(EvaluationError, match=wrong):
        read("own", write_lines(tmp_path / "folder" / "mine.jsonl", [row]))


@pytest.mark.parametrize(("pattern", "text"), [("(?R)", "a"), ("(?:(?R)|a)*b", "b" * 300), ("(a+)+$", "a" * 5000 + "!")])
def test_an_expression_that_takes_too_much_is_a_wrong_answer(pattern: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when one question of a file ends a run that has others."""
    monkeypatch.setattr(own, "_SECONDS", 0.05)
    worth = own.score(Question("1", "Which?", meta={"regex": pattern}), Reply(text))
    assert (worth.right, worth.why) == (0, "The regular expression takes too long.")


@pytest.mark.parametrize(("reply", "right"), [("?", 1), (" ?\n", 1), ("!", 0), ("", 0), ("...", 0)])
def test_a_mark_is_an_answer_too(reply: str, right: float) -> None:
    """Fails when every mark, and silence, is the same answer."""
    assert own.score(Question("1", "How does a question end?", answers=("?",)), Reply(reply)).right == right


def test_programs_that_keep_questions_at_the_same_moment_lose_none(tmp_path: Path) -> None:
    """Fails when each of them writes back the file as it has read it."""
    script = """
import sys
from pathlib import Path
from nemochat.domain.chat import Chat
from nemochat.domain.messages import Conversation, Message, Role, TextPart
from nemochat.evaluation import own
chat = Chat.of(Conversation(messages=(Message(Role.USER, (TextPart("Which?"),)),)))
sys.stdin.read()
for number in range(20):
    own.keep(Path("mine.jsonl"), chat, 0, own.right_of("a"), lambda _: None, f"{sys.argv[1]}-{number}")
"""
    (tmp_path / "mine.jsonl").write_text('{"question": "First?", "answers": ["a"]}')  # without its line break
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    programs = [
        subprocess.Popen([sys.executable, "-c", script, name], stdin=subprocess.PIPE, cwd=tmp_path, env=environment) for name in "ab"
    ]
    for each in programs:
        assert each.stdin is not None
        each.stdin.close()
    assert [each.wait(120) for each in programs] == [0, 0]
    assert len(read("own", tmp_path / "mine.jsonl")) == 41


def test_a_question_that_the_disk_has_no_room_for_leaves_no_half_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, write = tmp_path / "mine.jsonl", os.write
    before = b'{"question": "First?", "answers": ["a"]}\n'
    file.write_bytes(before)

    def half(handle: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data[: len(data) // 2])

    chat = Chat.of(Conversation(messages=(Message(Role.USER, (TextPart("Which?"),)),)))
    monkeypatch.setattr(os, "write", half)
    with pytest.raises(EvaluationError, match="No space left"):
        own.keep(file, chat, 0, own.right_of("a"), lambda _: None)
    assert file.read_bytes() == before


# -- hostile files


HOSTILE = {
    "empty": b"", "zeros": bytes(5000), "binary": bytes(range(256)) * 40, "deep": b'{"questions": ' + b"[" * 100_000,
    "a list of numbers": b"[1, 2, 3]", "a text": b'"hello"', "null": b"null", "cut": b'{"id": 1, "question": "Wh',
    "wrong types": b'{"id": {}, "question": [], "answer": 7, "answers": {"a": 1}, "prompt": 3, "function": 5, "image": {"bytes": 5}}',
    "lists for texts": b'{"question": [[]], "function": [1], "instruction_id_list": 3, "kwargs": null, "options": "[1", "answer": []}',
    "no UTF-8": b'{"question": "\xff\xfe", "answers": ["a"]}',
    "escapes": b'{"question": "\\u001b]52;c;YQ==", "answer": {"\\u001b[31m": 1}}',
    "one column": b"index\n1\n", "an open quote": b'index\tquestion\tanswer\n1\t"never closed\tA\n',
    "too few cells": b"index\tquestion\n1\n",
    "many commas": b"[" + b"1," * 200_000 + b"1]",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("ending", [".json", ".jsonl", ".tsv"])
def test_whatever_a_file_holds_is_one_sentence(kind: str, ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"questions{ending}"
    file.write_bytes(HOSTILE[kind])
    annotations = tmp_path / "annotations.json"
    annotations.write_bytes(HOSTILE[kind])
    for benchmark in BENCHMARKS.values():
        with pytest.raises(EvaluationError) as raised:
            questions(benchmark, file)
        assert "\n" not in raised.value.message
        assert "\x1b" not in raised.value.message
        assert len(raised.value.message) < 500 + len(str(tmp_path))


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "other", "NUL", "long"])
def test_what_is_no_file_of_questions_is_said(kind: str, tmp_path: Path) -> None:
    path = tmp_path / {"other": "notes.txt", "NUL": "a\0.json"}.get(kind, f"{kind}.json")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "other":
        path.write_text("notes")
    elif kind == "long":
        path.write_text(json.dumps([{"question": "x" * 3000}]))
    with pytest.raises(EvaluationError):
        read("gqa", path)


def test_rows_and_files_have_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_ROWS", 3)
    asked = [{"question": f"{n}?", "answers": ["a"]} for n in range(4)]
    with pytest.raises(EvaluationError, match="more than 3 questions"):
        read("own", write_lines(tmp_path / "a.jsonl", asked))
    monkeypatch.setattr(reading, "_MAX_ROW", 1000)
    with pytest.raises(EvaluationError, match="longer than"):
        read("own", write_lines(tmp_path / "b.jsonl", [{"question": "x" * 2000, "answers": ["a"]}]))


def test_a_picture_that_is_gone_since_is_said(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "a.tsv", [{"index": 1, "question": "?", "A": "x", "B": "y", "answer": "A", "image": encoded(1)}])
    [item] = read("mmbench", file)
    file.write_text("index\tquestion\n")
    with pytest.raises(EvaluationError, match="cannot be read from"):
        open_one(item.pictures[0])


# -- which are asked, and in which order


def test_a_sample_is_the_same_for_each_order_and_keeps_groups_whole() -> None:
    items = [Item(Question(str(n), ""), group=str(n // 2)) for n in range(40)]
    drawn = sampled(items, 5, seed=3)
    assert len(drawn) == 10
    assert {each.question.id for each in sampled(items[::-1], 5, seed=3)} == {each.question.id for each in drawn}
    assert drawn != sampled(items, 5, seed=4)
    assert sampled(items, None, 0) == items


def test_what_is_shared_is_asked_together(tmp_path: Path) -> None:
    items = [Item(Question(str(n), ""), pictures=(tmp_path / f"{n % 2}.png",)) for n in range(6)]
    alone = [Item(Question(name, ""), system=name.upper()) for name in "aba"]
    groups = [[each.question.id for each in group] for group in together([*items, *alone])]
    assert groups == [["0", "2", "4"], ["1", "3", "5"], ["a"], ["a"], ["b"]]


def test_two_questions_of_one_id_are_two(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", [{"id": "x", "question": f"{n}?", "answers": ["a"]} for n in range(3)])
    assert len({each.question.id for each in read("own", file)}) == 3
