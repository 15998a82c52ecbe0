"""The benchmarks of the model's card: which there are, what the card says of them, and their questions in the files that people have."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from nemochat.domain.messages import ToolSpec
from nemochat.domain.sanitize import shortened, shown
from nemochat.errors import EvaluationError
from nemochat.evaluation import own
from nemochat.evaluation.reading import MAX_ROWS, Embedded, Folder, Picture, Row, literal, rows
from nemochat.evaluation.values import Kind, Question

WORD = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."
_LETTERS = "ABCDEFGHIJ"
_MMMU_PICTURE, _PLACE = re.compile(r"image_[1-9]"), re.compile(r"<image [1-9]>")
_CIRCLE = 1_000_000
"""MMBench's rows of a question whose options have been turned round have its index and a multiple of this."""
_MOST_NAMED = 3
_SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5})(?:-[0-9a-f]+)?\.parquet")
"""A part of a set in parquet, as Hugging Face names them."""
_SPLIT = re.compile(r"(?:train|val|test)\d{4}")
_NONE = (None, "", "nan")
"""No value: lmms-eval's MMBench has written pandas' word for it into its columns of text."""


class Item(msgspec.Struct, frozen=True):
    """A question, the places of its pictures, and the system text. group: of questions that count as one, right when all are."""

    question: Question
    pictures: tuple[Picture, ...] = ()
    system: str = ""
    group: str = ""


class Benchmark(msgspec.Struct, frozen=True):
    """A set of questions. data: what --data names. card: figures of the model's card in percent, by the names of `summary`.

    max_tokens: the longest reply. names: patterns of the files in a folder. note: what is to be known of the card's figure.
    """

    name: str
    title: str
    kind: Kind | None
    data: str
    make: Callable[[Benchmark, Row, Folder], Item | None]
    names: tuple[str, ...]
    card: Mapping[str, float] = {}
    max_tokens: int = 64
    note: str = ""


def questions(benchmark: Benchmark, path: Path) -> tuple[list[Item], tuple[Path, ...]]:
    """The questions in a file, or in the files of a folder, and those files. Raises EvaluationError."""
    files = _files_of(benchmark, path)
    folder = Folder(path if path.is_dir() else path.parent)
    answers = _answers_of(benchmark, files[0])
    known = {_id_of(row): row for row in rows(answers)} if answers else {}
    items: dict[str, Item] = {}
    pictures = _SharedPictures(files)
    for number, (file, row) in enumerate(((each, row) for each in files for row in rows(each)), 1):
        if answers and (id_ := _id_of(row)) not in known:
            raise EvaluationError(f"{shown(answers)} has no answer to question {shown(id_)}.", "Are the two files of the same set?")
        row = {**known.get(_id_of(row), {}), **row}
        pictures.put_into(row)
        try:
            if (item := benchmark.make(benchmark, row, folder)) is None:
                continue
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            missing = f"it has no {error}" if isinstance(error, KeyError) else shortened(str(error), 200)
            raise EvaluationError(
                f"Question {number} of {shown(file)} is not one of {benchmark.title}: {shown(missing).rstrip('.')}.",
                f"{benchmark.name} takes {benchmark.data}.",
            ) from None
        id_ = item.question.id or str(number)
        while id_ in items:
            id_ += "+"
        items[id_] = msgspec.structs.replace(item, question=msgspec.structs.replace(item.question, id=id_))
        if len(items) > MAX_ROWS:
            raise EvaluationError(f"{shown(path)} has more than {MAX_ROWS:,} questions.", "Name one file of it.")
    if not items:
        where = f"{shown(files[0])}{f' and {len(files) - 1} more files' if files[1:] else ''}"
        raise EvaluationError(f"There are no questions of {benchmark.title} in {where}.", f"{benchmark.name} takes {benchmark.data}.")
    return list(items.values()), (*files, answers) if answers else files


def sampled(items: Sequence[Item], limit: int | None, seed: int) -> list[Item]:
    """So many of them, drawn by a digest of seed and id: the same for every model, in every version of Python. Groups stay whole."""
    if limit is None or limit >= len(items):
        return list(items)
    groups = dict.fromkeys(each.group or each.question.id for each in items)
    drawn = set(sorted(groups, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())[:limit])
    return [each for each in items if (each.group or each.question.id) in drawn]


def together(items: Iterable[Item]) -> deque[deque[Item]]:
    """In groups that share their pictures, or their tools where they have none, so that what they share is read once.

    Where a model is asked several at a time, each group is for one of its slots; what shares nothing but a system text is no group.
    """
    grouped: dict[Any, deque[Item]] = {}
    for item in items:
        tools = msgspec.json.encode(item.question.tools)
        grouped.setdefault((tools, item.system, item.pictures), deque()).append(item)
    shares = (group[0].pictures or group[0].question.tools for group in grouped.values())
    return deque(piece for has, group in zip(shares, grouped.values(), strict=True) for piece in ([group] if has else map(_alone, group)))


def _alone(item: Item) -> deque[Item]:
    return deque([item])


# -- files


def _files_of(benchmark: Benchmark, path: Path) -> tuple[Path, ...]:
    if not path.is_dir():
        if not path.exists():
            raise EvaluationError(f"There is no {shown(path)}.", f"{benchmark.name} takes {benchmark.data}.")
        return _with_shards(path)
    for pattern in benchmark.names:
        found = sorted(each for each in path.glob(pattern) if each.is_file())
        if found and ("/" in pattern or set(found) == set(_with_shards(found[0]))):
            return tuple(found)
        if found:
            named = ", ".join(shown(each.name) for each in found[:_MOST_NAMED])
            raise EvaluationError(f"Several files in {shown(path)} may be meant: {named}.", "Name one of them with --data.")
    raise EvaluationError(f"There are no questions of {benchmark.title} in {shown(path)}.", f"{benchmark.name} takes {benchmark.data}.")


def _with_shards(file: Path) -> tuple[Path, ...]:
    """The file, or all the parts of the set that it is a part of."""
    if (named := _SHARD.fullmatch(file.name)) is None:
        return (file,)
    stem, count = named.groups()
    parts = [each for each in sorted(file.parent.iterdir()) if (part := _SHARD.fullmatch(each.name)) and part.groups() == (stem, count)]
    if len(parts) != int(count):
        raise EvaluationError(f"{shown(file)} is one of {int(count)} parts, and {len(parts)} are there.", "Put all of them beside it.")
    return tuple(parts)


def _answers_of(benchmark: Benchmark, file: Path) -> Path | None:
    """The file of the answers where they are not in that of the questions (VQAv2, BFCL, MMMU)."""
    if benchmark.kind is Kind.CALLS:
        places = [file.parent / "possible_answer" / file.name]
    elif benchmark.kind is Kind.VQA and "question" in file.name.lower() and file.suffix == ".json":
        places = sorted(file.parent.glob("*annotations*.json"))
        if part := _SPLIT.search(file.name):
            places = [each for each in places if part.group() in each.name] or places
    elif benchmark.kind is Kind.MMMU and file.suffix != ".parquet":
        places = [file.parent / "answer_dict_val.json"]
    else:
        return None
    if len(places) == 1 and places[0].is_file():
        return places[0]
    if benchmark.kind is Kind.MMMU:
        return None
    wanted = "possible_answer/" + file.name if benchmark.kind is Kind.CALLS else "one file *annotations*.json"
    raise EvaluationError(f"The answers to {shown(file)} are not there.", f"Put {shown(wanted)} beside it.")


class _SharedPictures:
    """In VLMEvalKit's tables a short text in place of a picture names the row that has it, before or behind."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._by_index: dict[str, list[Any]] = {}
        self._is_whole = False

    def put_into(self, row: Row) -> None:
        """The picture in place of the number of its row."""
        self._note(row)
        if not isinstance(image := row.get("image"), str) or not row.get("index"):
            return
        if image.isdigit() and image not in self._by_index and not self._is_whole:
            self._is_whole = True
            for each in (row for file in self._files for row in rows(file)):
                self._note(each)
        row["image"] = self._by_index.get(image, image)

    def _note(self, row: Row) -> None:
        index, image = str(row.get("index", "")), row.get("image")
        if index and image and not (isinstance(image, str) and image.isdigit()):
            self._by_index[index] = image if isinstance(image, list) else [image]


# -- rows


def _id_of(row: Row) -> str:
    names = ("id", "question_id", "questionId", "index", "qid", "pid", "key", "data_id")
    return next((str(row[name]) for name in names if row.get(name) not in (None, "")), "")


def _text(row: Row, *names: str) -> str:
    """Raises KeyError for none of them, and ValueError for what is no text."""
    for name in names:
        if row.get(name) is not None:
            if not isinstance(row[name], str | int | float):
                raise ValueError(f"{name} is no text")
            return str(row[name])
    raise KeyError(names[0])


def _pictures(row: Row, folder: Folder) -> tuple[Picture, ...]:
    """What a row has of pictures. Raises EvaluationError for one that is not there."""
    columns = [name for name in ("image", "images", "picture", "pictures", *(f"image_{n}" for n in range(1, 10))) if row.get(name)]
    found: list[Picture] = []
    for name in columns:
        cell = row[name]
        for each in cell if isinstance(cell, list) else [cell]:
            found.append(each if isinstance(each, bytes | Embedded) else _beside(folder, row, str(literal(each))))
    if found:
        return tuple(found)
    named = next((row[name] for name in ("image_path", "image_id", "imageId", "data_id") if row.get(name) not in (None, "")), None)
    return () if named is None else (_beside(folder, row, str(named)),)


def _beside(folder: Folder, row: Row, name: str) -> Picture:
    names = [name, f"{name}.jpg", f"{name}.png"]
    if name.isdigit():
        padded = f"{int(name):012}"
        names += [f"{padded}.jpg", f"COCO_val2014_{padded}.jpg", f"COCO_train2014_{padded}.jpg", f"COCO_test2015_{padded}.jpg"]
    split = str(row.get("split", ""))
    path: Picture | None = folder.find(*(f"{split}/{_id_of(row)}/{each}" for each in names), *names)
    if (path := path or folder.find_embedded(name)) is None:
        hint = "Put the pictures into a folder beside the questions, or name the folder that holds both with --data."
        of = f" of question {shown(_id_of(row))}" if _id_of(row) else ""
        raise EvaluationError(f"The picture {shown(name)}{of} is not below {shown(folder.root.absolute())}.", hint)
    return path


def _people(row: Row) -> tuple[str, ...]:
    """The answers of people: texts, or objects with an answer each."""
    given = literal(row["answers"] if row.get("answers") is not None else row["answer"])
    listed = given if isinstance(given, list | tuple) else [given]
    return tuple(str(each["answer"] if isinstance(each, Mapping) else each) for each in listed)


def _options(row: Row) -> tuple[str, ...]:
    """The texts of the options in the order of their letters. Raises ValueError."""
    given = literal(row["options"] if row.get("options") is not None else row.get("choices"))
    if given in _NONE:
        given = [row.get(letter, row.get(f"choice_{letter.lower()}")) for letter in _LETTERS]
        while given and given[-1] in _NONE:
            given.pop()
    if not isinstance(given, list | tuple) or len(given) > len(_LETTERS):
        raise ValueError("its options are no list")
    options = tuple("" if each in _NONE else str(each) for each in given)
    if "" in options:
        raise ValueError(f"its option {_LETTERS[options.index('')]} is empty")
    return options


def _letter_of(answer: Any, options: Sequence[str]) -> str:
    """Raises ValueError."""
    if answer in (*_NONE, "?", -1):
        raise ValueError("it has no answer, as in a test set whose answers are kept back")
    letter = _LETTERS[answer] if isinstance(answer, int) else str(answer).strip()
    if len(letter) != 1 or letter not in _LETTERS[: len(options)]:
        raise ValueError(f"its answer {shortened(letter, 20)!r} is none of its {len(options)} options")
    return letter


def _listed(options: Sequence[str]) -> str:
    return "\n".join(f"{letter}. {text}" for letter, text in zip(_LETTERS, options, strict=False))


# -- a row of each benchmark


def _short(benchmark: Benchmark, row: Row, folder: Folder) -> Item | None:
    """VQAv2, TextVQA, GQA, POPE. Of POPE's rows, in which a question may be of several kinds, the popular ones."""
    if benchmark.kind is Kind.YES_NO:
        if "popular" not in str(row.get("category", "popular")).split(","):
            return None
        answers: tuple[str, ...] = (_text(row, "label", "answer").strip().lower(),)
        if answers[0] not in ("yes", "no"):
            raise ValueError("its answer is neither yes nor no")
    else:
        answers = _people(row)
    prompt = f"{_text(row, 'question', 'text')}\n{WORD}"
    return Item(Question(_id_of(row), prompt, answers=answers, kind=_kind(benchmark)), _pictures(row, folder))


def _choice(benchmark: Benchmark, row: Row, folder: Folder) -> Item | None:
    """ScienceQA, MMBench, SEED. Of ScienceQA's problems, those of the test with a picture; of SEED's, those about pictures."""
    of_science = benchmark.name == "scienceqa"
    if (of_science and row.get("split", "test") != "test") or str(row.get("data_type", "image")) != "image":
        return None
    if not (pictures := _pictures(row, folder)) and of_science:
        return None
    hint = "" if row.get("hint") in _NONE else str(row["hint"]).strip()
    hint = f"{'Context: ' if of_science else ''}{hint}\n" if hint else ""
    options = _options(row)
    prompt = f"{hint}{_text(row, 'question')}\n{_listed(options)}\n{LETTER}"
    answer, id_ = _letter_of(row["answer"], options), _id_of(row)
    group = str(int(id_) % _CIRCLE) if benchmark.kind is Kind.OPTION and id_.isdigit() else ""
    question = Question(id_, prompt, answers=(answer,), kind=_kind(benchmark), meta={"options": options})
    return Item(question, pictures, group=group)


def _mmmu(benchmark: Benchmark, row: Row, folder: Folder) -> Item | None:
    """The questions of the validation, with the pictures that their words name, or all where they name none."""
    id_, options = _id_of(row), _options(row)
    if str(row.get("split") or id_).startswith(("dev", "test")):
        return None
    given = literal(row.get("answer") if row.get("answer") is not None else row["ground_truth"])
    if options and str(row.get("question_type") or "multiple-choice") == "multiple-choice":
        prompt = f"{_text(row, 'question')}\n\n{_listed(options)}\n\n{LETTER}"
        answers = tuple(_letter_of(each, options) for each in (given if isinstance(given, list) else [given]))
    else:
        prompt, options = f"{_text(row, 'question')}\n\n{WORD}", ()
        answers = _people({"answers": given})
    columns = [name for name in row if _MMMU_PICTURE.fullmatch(name) and row[name]]
    pictures = {int(name[-1]): _pictures({**row, **dict.fromkeys(columns), name: row[name]}, folder)[0] for name in columns}
    pictures = pictures or dict(enumerate(_pictures(row, folder), 1))
    named = [number for number in pictures if f"<image {number}>" in prompt] or list(pictures)
    place = {f"<image {number}>": f"<image {at}>" for at, number in enumerate(named, 1)}
    prompt = _PLACE.sub(lambda found: place.get(found[0], found[0]), prompt)
    question = Question(id_, prompt, answers=answers, kind=Kind.MMMU, meta={"options": options})
    return Item(question, tuple(pictures[number] for number in named))


def _ifeval(benchmark: Benchmark, row: Row, folder: Folder) -> Item:
    names, arguments = row["instruction_id_list"], row["kwargs"]
    if not isinstance(names, list) or not isinstance(arguments, list) or len(names) != len(arguments):
        raise ValueError("instruction_id_list and kwargs are not lists of one length")
    meta = {"instruction_id_list": names, "kwargs": arguments}
    return Item(Question(_id_of(row), _text(row, "prompt"), kind=Kind.IFEVAL, meta=meta))


def _bfcl(benchmark: Benchmark, row: Row, folder: Folder) -> Item:
    [messages] = row["question"][:1]
    words = {role: "\n".join(str(each["content"]) for each in messages if each["role"] == role) for role in ("system", "user")}
    answers = tuple(msgspec.json.encode(each).decode() for each in row["ground_truth"]) if benchmark.kind is Kind.CALLS else ()
    tools = tuple(ToolSpec(_text(each, "name"), _text(each, "description"), _schema(each["parameters"])) for each in row["function"])
    if not all(isinstance(each.parameters, dict) for each in tools):
        raise ValueError("the parameters of a tool are no object")
    return Item(Question(_id_of(row), words["user"], tools=tools, answers=answers, kind=_kind(benchmark)), system=words["system"])


_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}
"""What BFCL calls types of JSON Schema."""


def _schema(given: Any) -> Any:
    """BFCL's parameters as a JSON Schema."""
    if isinstance(given, list):
        return [_schema(each) for each in given]
    if not isinstance(given, dict):
        return given
    schema = {name: _schema(each) for name, each in given.items()}
    if isinstance(kind := schema.get("type"), str) and kind in _TYPES:
        schema["type"] = _TYPES[kind]
        if schema["type"] is None:
            del schema["type"]
    return schema


def _own(benchmark: Benchmark, row: Row, folder: Folder) -> Item:
    item = msgspec.convert({name: each for name, each in row.items() if name not in ("picture", "pictures")}, own.OwnQuestion)
    own.check(item)
    question = Question(item.id, item.question, tools=item.tools, answers=item.answers, meta={"regex": item.regex, "call": item.call})
    return Item(question, _pictures(row, folder), item.system)


def _kind(benchmark: Benchmark) -> Kind:
    assert benchmark.kind is not None
    return benchmark.kind


_TABLE_OF = "a TSV of VLMEvalKit, JSON, JSONL or parquet"
_BFCL = "BFCL's JSONL with possible_answer/ beside it"
_VQA_NOTE = "The card does not say on which part of the set."


def _bfcl_part(name: str, title: str, of_card: float, kind: Kind = Kind.CALLS, file: str = "") -> Benchmark:
    data = _BFCL if kind is Kind.CALLS else "BFCL's JSONL"
    names = (f"BFCL_v[0-9]_{file or name}.json", f"BFCL_v[0-9]_{file or name}_python.json")
    return Benchmark(f"bfcl-{name.replace('_', '-')}", f"BFCL {title}", kind, data, _bfcl, names, {"right": of_card}, 512)


BENCHMARKS = {
    each.name: each
    for each in (
        Benchmark(
            "vqav2", "VQAv2", Kind.VQA, f"the official questions with *annotations*.json beside them, {_TABLE_OF}", _short,
            ("*[qQ]uestions*.json", "*VQA*.tsv", "*.parquet", "*.jsonl"), {"right": 73.92}, note=_VQA_NOTE,
        ),
        Benchmark("gqa", "GQA", Kind.EXACT, f"the official questions.json, {_TABLE_OF}", _short,
                  ("*questions*.json", "*GQA*.tsv", "testdev_balanced_instructions/*.parquet", "*.parquet", "*.jsonl"),
                  {"right": 53.47}, note=_VQA_NOTE),
        Benchmark("scienceqa", "ScienceQA (pictures)", Kind.LETTER, f"the official problems.json, {_TABLE_OF}", _choice,
                  ("problems.json", "*ScienceQA*.tsv", "*.parquet", "*.jsonl"), {"right": 69.81}),
        Benchmark("textvqa", "TextVQA", Kind.VQA, f"the official TextVQA_0.5.1_val.json, {_TABLE_OF}", _short,
                  ("TextVQA*_val.json", "*TextVQA*.tsv", "*.parquet", "*.jsonl"), {"right": 57.03}),
        Benchmark("pope", "POPE (popular)", Kind.YES_NO, f"the official coco_pope_popular.json, {_TABLE_OF}", _short,
                  ("*pope_popular*.json", "*POPE*.tsv", "*.parquet", "*.jsonl"), {"right": 87.13}),
        Benchmark("mmbench", "MMBench-en", Kind.OPTION, _TABLE_OF, _choice, ("*MMBench*.tsv", "*.parquet", "*.jsonl"), {"right": 59.96},
                  note="Where the data has the options turned round, a question is right when it is right each time. "
                       "The official rule asks GPT about replies that its own rule cannot read; here those are wrong."),
        Benchmark("seed", "SEED (pictures)", Kind.FIRST_LETTER, f"the official SEED-Bench.json, {_TABLE_OF}", _choice,
                  ("SEED-Bench*.json", "*SEED*.tsv", "*.parquet", "*.jsonl"), {"right": 66.18},
                  note="With its videos, which are not asked here, the card has 58.89."),
        Benchmark("mmmu", "MMMU val", Kind.MMMU, _TABLE_OF, _mmmu,
                  ("*MMMU*.tsv", "*MMMU*.json*", "validation-*.parquet", "*/validation-*.parquet", "*.parquet", "*.jsonl"), {"right": 36.8},
                  256, note="The card used 5 beams; here the likeliest token is taken each time, for llama.cpp has no beam search."),
        Benchmark("ifeval", "IFEval", Kind.IFEVAL, "the official input_data.jsonl", _ifeval, ("input_data.jsonl", "*ifeval*.jsonl"),
                  {"right": 46.95, "instruction strict": 57.79}, 1280,
                  note="The card does not say by which rule; both of its figures are taken for the strict one's."),
        _bfcl_part("simple", "simple", 85.25),
        _bfcl_part("multiple", "multiple", 90.0),
        _bfcl_part("parallel", "parallel", 77.5),
        _bfcl_part("parallel_multiple", "parallel multiple", 76.5),
        _bfcl_part("relevance", "relevance", 17.08, Kind.NO_CALL, "irrelevance"),
        Benchmark("own", "own questions", None, "a JSONL of picture, question, and answers, regex or call", _own, ("*.jsonl",),
                  max_tokens=256),
    )
}  # fmt: skip


def benchmark_named(name: str) -> Benchmark:
    """Raises EvaluationError."""
    if (found := BENCHMARKS.get(name.lower())) is None:
        raise EvaluationError(f"There is no benchmark {shown(name)}.", f"There are: {', '.join(BENCHMARKS)}.")
    return found
