"""The scoring of IFEval, BFCL and MMMU beside the reference implementations, on the same replies: are the verdicts the same?

    pip install --no-deps --target FOLDER lm-eval bfcl-eval immutabledict llama-index-core
    python -m benchmarks.scoring FOLDER prompts --count N > PROMPTS
    nemochat ask --jsonl --model M --temperature 0 --max-tokens 300 < PROMPTS > REPLIES
    python -m benchmarks.scoring FOLDER ifeval [--count N] [--seed N] [--prompts PROMPTS --replies REPLIES]
    python -m benchmarks.scoring FOLDER bfcl [--count N] [--seed N]
    python -m benchmarks.scoring FOLDER mmmu [--count N] [--seed N]

FOLDER is not part of the project; llama-index-core is there for nltk's `punkt_tab`, which lm-eval would download. `ifeval`: constructed
replies to instructions with random arguments, and those of a model to `prompts`; each instruction is compared, strictly and loosely.
`bfcl`: calls made from `possible_answer`, right ones and changed ones, for the four parts. `mmmu`: constructed replies, by the parser of
MMMU-Benchmark/MMMU, whose mmmu/utils/eval_utils.py lies in FOLDER. Prints what was compared and each difference; exit code 1 where there is
one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from nemochat.domain.messages import ToolCall, ToolSpec
from nemochat.evaluation import answers, bfcl, ifeval
from nemochat.evaluation.values import Kind, Question, Reply

# fmt: off
SENTENCES = (
    "The cat sat on the mat.", "Dr. Smith, who lives in the U.S., paid $3.50 for it!", "WHY NOT?", "It was 5 p.m. when NASA called",
    "Wait... what?", "I think (as ever) that it's fine.", "HELLO WORLD", "e.g. this one", "Mr. and Mrs. O'Neil won't go; they can't.",
    "NATO and the EU met in N.Y. They left at noon.", '"Yes," he said. "No!"', "all is lower here", "A. B. C.", "The END",
    "1. First of all", "Le chat est assis sur le tapis et il regarde la rue.", "Der Hund läuft schnell durch den großen Wald.",
    "El perro corre por el parque.", "Кошка сидит на ковре и смотрит в окно.", "बिल्ली चटाई पर बैठी है।",
    "猫はマットの上に座っています。", "Il gatto dorme sul divano.", "قطة على السجادة",
    "THIS IS ENGLISH TEXT, WRITTEN IN CAPITALS ONLY.", "this is english text without a single capital letter.", "Any other questions?",
    "My answer is yes.", "My answer is maybe.", "my answer is no.", "Is there anything else I can help with?", "", "42", "😀 😀", "É È",
)
MARKS = (
    "* a point", "*  ", "*\n* b", "- a dash", " - indented", "** bold **", "**bold**", "*high*", "* * *", "***", "\n***\n", "******",
    "*** ***", "[name]", "[a] [b]", "[]", "[broken", "<<title>>", "<< >>", "<<a>> <<", "<<<deep>>>", "Section 1", "SECTION 2\n",
    "Section1", "Section x", "PARAGRAPH 3", "P.S. more", "p.s. less", "P. S. x", "P.P.S even more", "P.P.S. x", "p. p. s", "PS none",
    '{"a": 1}', "```json\n{}\n```", "[1, 2", "```\n3\n```", "null", "'Quoted", "hello, you", "It's", "The", '"', '"quoted"', "don't",
    "river, mountain", "River", "mountains", "rivers.", "#tag", "\n\n", "\n", "\n\n\n", ",", "  ", "\t", "\r\n", "\u2028", "\xa0",
)
PHRASES = (
    "A", "B", "C", "D", "(A)", "(B)", "(C)", "A.", "B,", "answer is", "The answer is", "so ", "is", "therefore", "result", "final", "=",
    "42", "3.14", "1,234", "2e5", ".5", "-7", "x", "cat", "red house", "a big dog", "blue", "\n", ". ", "option", "!", "?", ":", "'", "$5",
    "10%", "1,2",
    "12,345.6", "nan", "yes", "could be", "thus", "K", "½", "٣", "1.5e3,", "007", "12.5.6",
)
OPTIONS = ("cat", "red house", "a big dog", "blue", "42", "Cat", "None of the above", "$5")
# fmt: on
WORDS = ("river", "mountain", "cat", "English", "a", "question", "the", "bank", "hello", "answer")
TOPICS = ("a dragon", "your favourite dish", "how rain is made", "a letter to a landlord", "two planets", "learning the piano")
PARTS = ("simple_python", "multiple", "parallel", "parallel_multiple")
BEGINNINGS = ("Hello, you", "The cat", "it", "Why? Not", "River", "'Quoted'", '"The end"')
ENDINGS = ("Any other questions?", "the END", "Is there anything else I can help with?")


def reference(folder: Path, name: str) -> Any:
    """A module of a package in `folder`, without running the package's own beginning, which imports most of what it could need."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        package = ModuleType(".".join(parts[:end]))
        package.__path__ = [str(folder.joinpath(*parts[:end]))]
        sys.modules.setdefault(package.__name__, package)
    return importlib.import_module(name)


def rows(path: Path) -> list[Any]:
    """The lines of a JSONL."""
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def arguments(draw: random.Random) -> dict[str, dict[str, Any]]:
    """Random arguments for each of the instructions."""

    def relation() -> str:
        return draw.choice(("at least", "less than"))

    some = draw.sample(WORDS, draw.randint(1, 3))
    paragraphs = draw.randint(1, 4)
    return {
        "keywords:existence": {"keywords": some},
        "keywords:frequency": {"keyword": draw.choice(WORDS), "frequency": draw.randint(1, 4), "relation": relation()},
        "keywords:forbidden_words": {"forbidden_words": some},
        "keywords:letter_frequency": {"letter": draw.choice("aeqzMx"), "let_frequency": draw.randint(1, 20), "let_relation": relation()},
        "language:response_language": {"language": draw.choice(("en", "fr", "de", "es", "ru", "hi", "ja", "it", "ar"))},
        "length_constraints:number_sentences": {"num_sentences": draw.randint(1, 9), "relation": relation()},
        "length_constraints:number_paragraphs": {"num_paragraphs": draw.randint(1, 4)},
        "length_constraints:number_words": {"num_words": draw.randint(1, 60), "relation": relation()},
        "length_constraints:nth_paragraph_first_word": {
            "num_paragraphs": paragraphs,
            "nth_paragraph": draw.randint(1, paragraphs),
            "first_word": draw.choice(("the", "hello", "Quoted", "it", "why", "river")),
        },
        "detectable_content:number_placeholders": {"num_placeholders": draw.randint(1, 4)},
        "detectable_content:postscript": {"postscript_marker": draw.choice(("P.S.", "P.P.S"))},
        "detectable_format:number_bullet_lists": {"num_bullets": draw.randint(1, 5)},
        "detectable_format:constrained_response": {},
        "detectable_format:number_highlighted_sections": {"num_highlights": draw.randint(1, 4)},
        "detectable_format:multiple_sections": {
            "section_spliter": draw.choice(("Section", "SECTION", "PARAGRAPH")),
            "num_sections": draw.randint(1, 3),
        },
        "detectable_format:json_format": {},
        "detectable_format:title": {},
        "combination:two_responses": {},
        "combination:repeat_prompt": {"prompt_to_repeat": draw.choice(("The cat sat on the mat.", "Write about a river", "WHY NOT?"))},
        "startend:end_checker": {"end_phrase": draw.choice(("Any other questions?", "Is there anything else I can help with?", "the end"))},
        "startend:quotation": {},
        "change_case:capital_word_frequency": {"capital_frequency": draw.randint(1, 8), "capital_relation": relation()},
        "change_case:english_capital": {},
        "change_case:english_lowercase": {},
        "punctuation:no_comma": {},
    }


def constructed(draw: random.Random) -> str:
    """A reply of sentences and marks, now and then of a shape that an instruction asks for."""
    if draw.random() < 0.05:
        return draw.choice(("", "\n", *MARKS))
    few = draw.sample(MARKS, 2)
    kinds = draw.choice((SENTENCES, SENTENCES + MARKS, MARKS, few, (*few, *SENTENCES[:3]), SENTENCES[15:25], SENTENCES[:15]))
    text = draw.choice(("\n", " ", "\n\n", "\n***\n", "")).join(draw.choice(kinds) for _ in range(draw.randint(1, 14)))
    begun = [f"{draw.choice(BEGINNINGS)} {draw.choice(SENTENCES)}" for _ in range(4)]
    section = draw.choice(("Section ", "SECTION ", "PARAGRAPH", "section "))
    shapes = {
        "": text,
        "upper": text.upper(),
        "lower": text.lower(),
        "quote": f'"{text}"',
        "json": json.dumps({"a": text}),
        "end": f"{text}\n{draw.choice(ENDINGS)}" + draw.choice(("", '"', " .")),
        "repeat": f"{draw.choice(('The cat sat on the mat.', 'write about a river', 'Why not?'))} {text}",
        "fence": f"```JSON\n{json.dumps(text)}\n```",
        "twice": f"{text}******{draw.choice((text, 'Another.'))}",
        "stars": f"Sure:\n*{text}*\nBye",
        "begun": "\n\n".join(begun[: draw.randint(1, 4)]),
        "sections": "\n".join(f"{section}{number}\n{draw.choice(kinds)}" for number in range(1, draw.randint(2, 5))),
    }
    return shapes[draw.choice(("", "", "", *shapes))]


def prompts(folder: Path, draw: random.Random, count: int) -> Iterator[dict[str, Any]]:
    """Requests for `ask --jsonl`, each with one to three instructions in lm-eval's words, and what they are."""
    registry = reference(folder, "lm_eval.tasks.ifeval.instructions_registry")
    for _ in range(count):
        given = arguments(draw)
        names = draw.sample(sorted(given), draw.randint(1, 3))
        said = [registry.INSTRUCTION_DICT[name](name).build_description(**given[name]) for name in names]
        prompt = f"Write about {draw.choice(TOPICS)}. {' '.join(said)}"
        yield {"prompt": prompt, "instruction_id_list": names, "kwargs": [given[name] for name in names]}


def compare_ifeval(folder: Path, draw: random.Random, count: int, own: Sequence[tuple[dict[str, Any], str]]) -> int:
    """Prints what was compared; the number of differences."""
    import langdetect

    langdetect.DetectorFactory.seed = 0  # lm-eval draws anew for each text; with a seed both draw the same.
    theirs = reference(folder, "lm_eval.tasks.ifeval.utils")
    made = []
    for _ in range(count):
        given = arguments(draw)
        names = draw.sample(sorted(given), 8)
        made.append(({"instruction_id_list": names, "kwargs": [given[name] for name in names], "prompt": "?"}, constructed(draw)))
    differences, verdicts = 0, Counter[str]()
    for data, text in (*own, *made):
        question = Question("", data["prompt"], kind=Kind.IFEVAL, meta=data)
        example = theirs.InputExample(key=0, **data)
        strict = theirs.test_instruction_following_strict(example, text).follow_instruction_list
        loose = theirs.test_instruction_following_loose(example, text).follow_instruction_list
        for name, options, wanted in zip(data["instruction_id_list"], data["kwargs"], zip(strict, loose, strict=True), strict=True):
            score = ifeval.score(Question("", "", meta={"instruction_id_list": [name], "kwargs": [options]}), Reply(text))
            verdicts.update({f"{name} strict {wanted[0]}", f"{name} loose {wanted[1]}", f"all {wanted}"})
            if (score.right, score.parts["loose"]) != wanted:
                differences += 1
                print(f"{name} {options}: lm-eval {wanted}, nemochat {score.right, score.parts['loose']}: {text!r}")
        whole = ifeval.score(question, Reply(text))
        if (whole.right, whole.parts["loose"], whole.parts["instructions_strict"], whole.parts["instructions_loose"]) != (
            all(strict), all(loose), sum(strict), sum(loose),
        ):
            differences += 1
            print(f"the whole reply differs: {text!r}")
    for line, times in sorted(verdicts.items()):
        print(f"{times:6} {line}")
    print(f"{len(own)} replies of a model and {count} constructed ones, {differences} differences")
    return differences


def right_call(draw: random.Random, expected: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A call with one of the accepted values for each parameter, optional ones now and then."""
    [(name, accepted)] = expected.items()
    chosen = {}
    for parameter, values in accepted.items():
        filled = [value for value in values if value != ""]
        if filled and ("" not in values or draw.random() < 0.5):
            chosen[parameter] = chosen_value(draw, draw.choice(filled))
    return {name: chosen}


def chosen_value(draw: random.Random, value: Any) -> Any:
    """A value as a model would write it: in an object, each key has a list of accepted values."""
    if isinstance(value, dict):
        picked = {key: draw.choice(each) if isinstance(each, list) and each else each for key, each in value.items()}
        return {key: each for key, each in picked.items() if each != ""}
    return [chosen_value(draw, each) for each in value] if isinstance(value, list) else value


def changed(draw: random.Random, value: Any) -> Any:
    """A value of the same or another type that may or may not be accepted."""
    if isinstance(value, bool):
        return draw.choice((not value, str(value), int(value)))
    if isinstance(value, int | float):
        return draw.choice((value + 1, float(value), str(value), -value, [value], value == 1))
    if isinstance(value, str):
        same = (value.upper(), value.replace(" ", "-"), f"{value}.", value.replace("'", '"'))
        return draw.choice((*same, f"the {value}", value[:-1], "", 3, [value]))
    if isinstance(value, list):
        inner = [*value[:-1], changed(draw, value[-1])] if value else ["x"]
        texts = [str(each) for each in value]
        return draw.choice((value[:-1], [*value, *value[:1]], list(reversed(value)), inner, inner, str(value), [], texts))
    if isinstance(value, dict):
        key = draw.choice(list(value)) if value else "x"
        other = {**value, key: changed(draw, value.get(key, ""))}
        fewer = {each: value[each] for each in value if each != key}
        return draw.choice((fewer, {**value, "extra": 1}, other, other, other, {}, str(value)))
    return value


def changed_calls(draw: random.Random, calls: list[dict[str, dict[str, Any]]], names: Sequence[str]) -> list[dict[str, dict[str, Any]]]:
    """The calls with one thing changed."""
    calls = json.loads(json.dumps(calls))
    place = draw.randrange(len(calls))
    [(name, given)] = calls[place].items()
    match draw.choice(("value", "value", "value", "value", "name", "without", "more", "twice", "fewer", "order", "none")):
        case "value" if given:
            parameter = draw.choice(list(given))
            given[parameter] = changed(draw, given[parameter])
        case "name":
            calls[place] = {draw.choice((*names, f"{name}s", name.replace(".", "_"))): given}
        case "without" if given:
            del given[draw.choice(list(given))]
        case "more":
            given[draw.choice(("extra", "unit", "limit"))] = draw.choice((1, "x"))
        case "twice":
            calls.append(calls[place])
        case "fewer":
            del calls[place]
        case "order":
            draw.shuffle(calls)
        case "none":
            calls = []
    return calls


def compare_bfcl(folder: Path, draw: random.Random, count: int) -> int:
    """`count` replies for each part. Prints what was compared; the number of differences."""
    models: Any = ModuleType("bfcl_eval.constants.model_config")
    models.MODEL_CONFIG_MAPPING = {f"dots {kept}": SimpleNamespace(underscore_to_dot=not kept) for kept in (True, False)}
    sys.modules[models.__name__] = models  # The real one imports the clients of every server that it knows.
    checker = reference(folder, "bfcl_eval.eval_checker.ast_eval.ast_checker")
    language = reference(folder, "bfcl_eval.constants.enums").Language.PYTHON
    differences, verdicts = 0, Counter[str]()
    for part in PARTS:
        data = folder / "bfcl_eval/data"
        known = {row["id"]: row["ground_truth"] for row in rows(data / f"possible_answer/BFCL_v4_{part}.json")}
        asked = rows(data / f"BFCL_v4_{part}.json")
        for index in range(count):
            row, keeps_dots = asked[index % len(asked)], index % 3 > 0
            names = [each["name"] for each in row["function"]]
            expected = known[row["id"]]
            calls = [right_call(draw, each) for each in expected]
            for _ in range(draw.choice((0, 0, 1, 1, 1, 2))):
                calls = changed_calls(draw, calls, names) if calls else calls
            if not keeps_dots:
                calls = [{name.replace(".", "_"): given for name, given in call.items()} for call in calls]
            try:
                verdict = checker.ast_checker(row["function"], calls, expected, language, part, f"dots {keeps_dots}")["valid"]
            except (AttributeError, KeyError, TypeError, IndexError) as error:
                verdict, why = False, type(error).__name__
                verdicts[f"{part}: bfcl-eval fails ({why})"] += 1
            tools = tuple(ToolSpec(name if keeps_dots else name.replace(".", "_"), "", each["parameters"])
                          for name, each in zip(names, row["function"], strict=True))  # fmt: skip
            question = Question(row["id"], "", tools=tools, answers=tuple(map(json.dumps, expected)), kind=Kind.CALLS)
            made = tuple(ToolCall(name, given) for call in calls for name, given in call.items())
            score = bfcl.score(question, Reply("", made))
            verdicts[f"{part}: {'right' if verdict else 'wrong'}"] += 1
            if bool(score.right) != verdict:
                differences += 1
                print(f"{row['id']}: bfcl-eval {verdict}, nemochat {score}: {calls} for {expected}")
    for line, times in sorted(verdicts.items()):
        print(f"{times:6} {line}")
    print(f"{len(PARTS) * count} replies, {differences} differences")
    return differences


def compare_mmmu(folder: Path, draw: random.Random, count: int) -> int:
    """`count` replies to a question with options, and as many to an open one. Prints what was compared; the number of differences."""
    theirs = reference(folder, "eval_utils")
    theirs.random = SimpleNamespace(choice=lambda _: "")  # a guess, which both then mark with ""
    differences, verdicts = 0, Counter[str]()
    for _ in range(count):
        options = draw.sample(OPTIONS, draw.randint(2, 5))
        letters = "ABCDE"[: len(options)]
        text = draw.choice((" ", " ", "")).join(draw.choice(PHRASES) for _ in range(draw.randint(0, 12)))
        wanted = theirs.parse_multi_choice_response(text, list(letters), dict(zip(letters, options, strict=True)))
        right = draw.sample((*PHRASES, *OPTIONS), draw.randint(1, 2))
        is_right = theirs.eval_open(right, theirs.parse_open_response(text))
        score = answers.score(Question("", "", answers=tuple(right), kind=Kind.MMMU), Reply(text))
        verdicts.update({"letter read" if wanted else "letter guessed", f"open answer {'right' if is_right else 'wrong'}"})
        found = answers.chosen_letter(text, options)
        if (found, bool(score.right)) != (wanted, is_right):
            differences += 1
            print(f"MMMU {wanted!r} and {is_right}, nemochat {found!r} and {score}: {text!r} {options} {right}")
    for line, times in sorted(verdicts.items()):
        print(f"{times:6} {line}")
    print(f"{count} replies twice, {differences} differences")
    return differences


def main() -> int:
    """Exit code 1 where a verdict differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=("prompts", "ifeval", "bfcl", "mmmu"))
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prompts", type=Path)
    parser.add_argument("--replies", type=Path)
    options = parser.parse_args()
    sys.path.append(str(options.folder))
    os.environ["NLTK_DATA"] = str(options.folder / "llama_index/core/_static/nltk_cache")
    draw = random.Random(options.seed)
    if options.what == "prompts":
        for request in prompts(options.folder, draw, options.count):
            print(json.dumps(request, ensure_ascii=False))
        return 0
    if options.what == "bfcl":
        return bool(compare_bfcl(options.folder, draw, options.count))
    if options.what == "mmmu":
        return bool(compare_mmmu(options.folder, draw, options.count))
    own: list[tuple[dict[str, Any], str]] = []
    if options.prompts and options.replies:
        asked, answered = rows(options.prompts), rows(options.replies)
        own = [(request, reply["text"]) for request, reply in zip(asked, answered, strict=False) if "text" in reply]
    return bool(compare_ifeval(options.folder, draw, options.count, own))


if __name__ == "__main__":
    sys.exit(main())
