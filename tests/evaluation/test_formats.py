"""The questions of each benchmark, read from the files that people have; whatever a file holds ends in one clear sentence."""

from __future__ import annotations

import base64
import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from nemochat.domain.images import RgbImage
from nemochat.errors import EvaluationError
from nemochat.evaluation import reading
from nemochat.evaluation.asking import open_one
from nemochat.evaluation.benchmarks import BENCHMARKS, Item, benchmark_named, questions, sampled, together
from nemochat.evaluation.values import Question
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


# -- VLMEvalKit's tables, and parquet


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


def test_parquet_reads_its_pictures_when_they_are_asked_for(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"question_id": n, "question": f"{n}?", "answers": ["a"], "image": {"bytes": png(n), "path": f"{n}.png"}} for n in range(5)]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "val.parquet", row_group_size=2)
    items = read("textvqa", tmp_path)
    assert [(each.question.prompt, shades(each)) for each in items] == [(f"{n}?{WORD}", [n]) for n in range(5)]
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and junk")
    with pytest.raises(EvaluationError, match="cannot be understood"):
        read("textvqa", tmp_path / "broken.parquet")


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
    assert [each.question.id for each in together(items)] == ["0", "2", "4", "1", "3", "5"]


def test_two_questions_of_one_id_are_two(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", [{"id": "x", "question": f"{n}?", "answers": ["a"]} for n in range(3)])
    assert len({each.question.id for each in read("own", file)}) == 3
