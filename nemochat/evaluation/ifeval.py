"""IFEval: does a reply follow the instructions that can be checked by a program?

The rules are those of Zhou et al., "Instruction-Following Evaluation for Large Language Models" (2023), as its code and lm-eval's
`tasks/ifeval` apply them; `benchmarks/scoring.py` compares the verdicts with lm-eval's. A few rules look odd, and stay as they are: figures
are compared with published ones.

Languages are told apart by langdetect, sentences and words by nltk: `pip install nemochat[eval]`. They are imported where a question needs
them.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import regex

from nemochat.errors import UsageError
from nemochat.evaluation.values import Question, Reply, Score
from nemochat.reading import expression

LONGEST_TEXT = 50_000
"""Characters of a reply that are looked at: a reply of 1,280 tokens has some 8,000, and some patterns take time by the square."""
LONGEST_PATTERN = 500
PATTERN_SECONDS = 2.0
"""For one search for a keyword, which is a pattern that comes with the questions."""

Check = Callable[[str], bool]


class Options:
    """The arguments of one instruction. Each getter raises UsageError where the data has none of that type.

    Empty ones count as missing, as lm-eval drops them (its data has every name for every instruction, most of them null).
    """

    def __init__(self, instruction: str, values: Mapping[str, Any]) -> None:
        self._instruction = instruction
        self._values = {name: value for name, value in values.items() if value}

    def text(self, name: str) -> str:
        """A text that is not empty."""
        value = self._values.get(name)
        if not isinstance(value, str):
            raise self._missing(name, "a text")
        return value

    def number(self, name: str) -> float:
        """A number above zero."""
        value = self._values.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._missing(name, "a number")
        return value

    def texts(self, name: str) -> Sequence[str]:
        """Some texts."""
        value = self._values.get(name)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise self._missing(name, "a list of texts")
        return value

    def compared(self, relation: str, number: str) -> Callable[[int], bool]:
        """Whether a count is as many as asked for. relation: the name of the option that says "at least" or "less than"."""
        wanted, how = self.number(number), self.text(relation)
        if how not in ("at least", "less than"):
            raise self._missing(relation, '"at least" or "less than"')
        return (lambda count: count >= wanted) if how == "at least" else (lambda count: count < wanted)

    def pattern(self, source: str) -> regex.Pattern[str]:
        """A keyword of the data, which is a pattern. Raises UsageError where it is none."""
        try:
            return expression(source[:LONGEST_PATTERN], "i")
        except ValueError:
            raise UsageError(f'The instruction "{self._instruction}" has a keyword that is no valid pattern: {source[:80]!r}.') from None

    def _missing(self, name: str, what: str) -> UsageError:
        return UsageError(f'The instruction "{self._instruction}" has no "{name}" that is {what}.', "Use IFEval's own data file.")


def _package(name: str) -> Any:
    """A library of the extra "eval"."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing = f"IFEval cannot be scored: the Python package {name.partition('.')[0]} is missing."
        raise UsageError(missing, "Install it with: pip install 'nemochat[eval]'") from None


@cache
def _languages() -> Any:
    """langdetect's profiles, with a fixed seed: it draws at random, and lm-eval's verdicts on short texts differ from run to run."""
    factory = _package("langdetect.detector_factory")
    profiles = factory.DetectorFactory()
    profiles.load_profile(factory.PROFILES_DIRECTORY)
    profiles.seed = 0
    return profiles


def _is_language(text: str, language: str) -> bool:
    """Whether langdetect takes the text for this language (its code). A text in no letters counts as right, as in the original."""
    detector = _languages().create()
    detector.append(text)
    try:
        return bool(detector.detect() == language)
    except _package("langdetect").LangDetectException:
        return True


@cache
def _sentence_splitter() -> Callable[[str], Sequence[str]]:
    """nltk's sentences. Its English model would have to be downloaded; the package `punkt` brings the same figures with it."""
    punkt, model = _package("nltk.tokenize.punkt"), _package("punkt").load_model("english")
    figures = punkt.PunktParameters()
    figures.abbrev_types.update(model.abbrev_types)
    figures.collocations.update(model.collocations)
    figures.sent_starters.update(model.sent_starters)
    figures.ortho_context.update(model.ortho_context)
    return punkt.PunktSentenceTokenizer(figures).tokenize  # type: ignore[no-any-return]


@cache
def _word_splitter() -> Callable[[str], Sequence[str]]:
    """What nltk.word_tokenize does."""
    words, sentences = _package("nltk.tokenize.destructive").NLTKWordTokenizer(), _sentence_splitter()
    return lambda text: [word for sentence in sentences(text) for word in words.tokenize(sentence)]


def _matches(pattern: regex.Pattern[str], text: str) -> int:
    """How often it is found. A pattern that takes too long is not found."""
    try:
        return sum(1 for _ in pattern.finditer(text, timeout=PATTERN_SECONDS))
    except (TimeoutError, MemoryError):
        return 0


def _keywords(options: Options) -> Check:
    patterns = [options.pattern(word) for word in options.texts("keywords")]
    return lambda text: all(_matches(pattern, text) for pattern in patterns)


def _keyword_frequency(options: Options) -> Check:
    pattern, is_enough = options.pattern(options.text("keyword").strip()), options.compared("relation", "frequency")
    return lambda text: is_enough(_matches(pattern, text))


def _forbidden_words(options: Options) -> Check:
    patterns = [options.pattern(rf"\b{word}\b") for word in options.texts("forbidden_words")]
    return lambda text: not any(_matches(pattern, text) for pattern in patterns)


def _letter_frequency(options: Options) -> Check:
    # lm-eval draws a letter at random where the data asks for another character, as it does for "#" and "!".
    letter, is_enough = options.text("letter").strip().lower(), options.compared("let_relation", "let_frequency")
    return lambda text: is_enough(text.lower().count(letter))


def _language(options: Options) -> Check:
    language = options.text("language")
    _languages()
    return lambda text: _is_language(text, language)


def _sentences(options: Options) -> Check:
    split, is_enough = _sentence_splitter(), options.compared("relation", "num_sentences")
    return lambda text: is_enough(len(split(text)))


def _paragraphs(options: Options) -> Check:
    wanted = options.number("num_paragraphs")

    def check(text: str) -> bool:
        """Parts between `***`; an empty one is forgiven at either end."""
        first, *rest = re.split(r"\s?\*\*\*\s?", text)
        if not rest:
            return wanted == (1 if first.strip() else 0)
        *middle, last = rest
        return all(part.strip() for part in middle) and wanted == len(middle) + bool(first.strip()) + bool(last.strip())

    return check


def _words(options: Options) -> Check:
    is_enough = options.compared("relation", "num_words")
    # nltk's tokenizer asks `regex` (before 3.10: `re`, in which a vowel sign of Hindi ends a word).
    return lambda text: is_enough(len(regex.findall(r"\w+", text)))


def _first_word(options: Options) -> Check:
    count, nth, wanted = options.number("num_paragraphs"), int(options.number("nth_paragraph")), options.text("first_word").lower()

    def check(text: str) -> bool:
        """Paragraphs stand between empty lines. Empty ones are not counted, but hold their place when the nth is looked for."""
        parts = text.split("\n\n")
        filled = sum(1 for part in parts if part.strip())
        if nth > filled or not parts[nth - 1].strip():
            return False
        word = parts[nth - 1].split()[0].lstrip("'").lstrip('"')
        return filled == count and re.split(r"[.,?!'\"]", word)[0].lower() == wanted

    return check


def _placeholders(options: Options) -> Check:
    wanted = options.number("num_placeholders")

    def check(text: str) -> bool:
        """As often as `\\[.*?\\]` is found, in time that grows with the length alone."""
        return sum("[" in part for line in text.split("\n") for part in line.split("]")[:-1]) >= wanted

    return check


def _postscript(options: Options) -> Check:
    marker = options.text("postscript_marker").strip()
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    pattern = options.pattern(known.get(marker, marker.lower()))
    return lambda text: _matches(pattern, text.lower()) > 0


def _bullets(options: Options) -> Check:
    wanted = options.number("num_bullets")
    starred, dashed = re.compile(r"(?m)^[^\S\n]*\*[^*].*$"), re.compile(r"(?m)^[^\S\n]*-.*$")
    return lambda text: len(starred.findall(text)) + len(dashed.findall(text)) == wanted


def _one_of_three(_options: Options) -> Check:
    return lambda text: any(f"My answer is {answer}." in text for answer in ("yes", "no", "maybe"))


def _highlights(options: Options) -> Check:
    wanted = options.number("num_highlights")

    def check(text: str) -> bool:
        """`*this*` and `**this**` count once each, with something in it: of `**this**` the single ones are empty."""
        single, double = re.findall(r"\*[^\n*]*\*", text), re.findall(r"\*\*[^\n*]*\*\*", text)
        return sum(1 for found in single + double if found.strip("*").strip()) >= wanted

    return check


def _sections(options: Options) -> Check:
    pattern, wanted = options.pattern(rf"(?-i:\s?{options.text('section_spliter').strip()}\s?\d+\s?)"), options.number("num_sections")
    return lambda text: _matches(pattern, text) >= wanted


def _is_json(text: str) -> bool:
    """JSON, bare or in a fence."""
    text = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _has_title(text: str) -> bool:
    """Something between the first `<<` and the last `>>` of a line."""
    spans = ((line, line.find("<<"), line.rfind(">>")) for line in text.split("\n"))
    return any(line[start:end].lstrip("<").rstrip(">").strip() for line, start, end in spans if 0 <= start < end - 2)


def _two_responses(text: str) -> bool:
    """Two different ones between six asterisks; an empty one is forgiven at either end."""
    parts = [part.strip() for part in text.split("******")]
    filled = [part for part in parts if part]
    return all(parts[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def _repeated_prompt(options: Options) -> Check:
    prompt = options.text("prompt_to_repeat").strip().lower()
    return lambda text: text.strip().lower().startswith(prompt)


def _ending(options: Options) -> Check:
    phrase = options.text("end_phrase").strip().lower()
    return lambda text: text.strip().strip('"').lower().endswith(phrase)


def _capital_words(options: Options) -> Check:
    split, is_enough = _word_splitter(), options.compared("capital_relation", "capital_frequency")
    return lambda text: is_enough(sum(1 for word in split(text) if word.isupper()))


def _all_capitals(_options: Options) -> Check:
    _languages()
    return lambda text: text.isupper() and _is_language(text, "en")


def _all_lowercase(_options: Options) -> Check:
    _languages()
    return lambda text: text.islower() and _is_language(text, "en")


def _is_quoted(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


INSTRUCTIONS: Mapping[str, Callable[[Options], Check]] = {
    "keywords:existence": _keywords,
    "keywords:frequency": _keyword_frequency,
    "keywords:forbidden_words": _forbidden_words,
    "keywords:letter_frequency": _letter_frequency,
    "language:response_language": _language,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": _words,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _one_of_three,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": lambda _: _is_json,
    "detectable_format:title": lambda _: _has_title,
    "combination:two_responses": lambda _: _two_responses,
    "combination:repeat_prompt": _repeated_prompt,
    "startend:end_checker": _ending,
    "startend:quotation": lambda _: _is_quoted,
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": _all_capitals,
    "change_case:english_lowercase": _all_lowercase,
    "punctuation:no_comma": lambda _: lambda text: "," not in text,
}
"""By the names in the data: what makes the check for the arguments of one instruction."""


def checks(question: Question) -> Sequence[Check]:
    """The check of each instruction of a question, in order. Raises UsageError where its data is wrong, or a library is missing: a long run
    calls it for every question before it begins.
    """
    names, options = question.meta.get("instruction_id_list"), question.meta.get("kwargs")
    if not isinstance(names, list | tuple) or not isinstance(options, list | tuple) or not names or len(names) != len(options):
        raise UsageError(f'The question "{question.id}" has no list of instructions with as many "kwargs".', "Use IFEval's own data file.")
    made = []
    for name, values in zip(names, options, strict=True):
        if not isinstance(name, str) or name not in INSTRUCTIONS or not isinstance(values, Mapping):
            raise UsageError(f'The question "{question.id}" has an instruction that is not known: {str(name)[:80]!r}.')
        made.append(INSTRUCTIONS[name](Options(name, values)))
    return made


def variants(text: str) -> Sequence[str]:
    """The texts of which one must follow an instruction by the loose rule: as it is, without its first or last line or both, each also
    without asterisks. Empty ones follow nothing and are left out.
    """
    lines = text.split("\n")
    cut = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return list(dict.fromkeys(variant for kept in cut for variant in (kept, kept.replace("*", "")) if variant.strip()))


def score(question: Question, reply: Reply) -> Score:
    """right: every instruction is followed, strictly. parts: "loose" (every one, by the loose rule), and how many "instructions" there are,
    how many of them are followed: "instructions_strict", "instructions_loose". Raises UsageError as `checks` does.
    """
    text = reply.text[:LONGEST_TEXT]
    texts, names = variants(text), question.meta.get("instruction_id_list", ())
    made = checks(question)
    strict = [bool(text.strip()) and check(text) for check in made]
    loose = [follows or any(check(variant) for variant in texts) for follows, check in zip(strict, made, strict=True)]
    broken = [name for name, follows in zip(names, strict, strict=True) if not follows]
    return Score(
        right=float(all(strict)),
        parts={
            "loose": float(all(loose)),
            "instructions": len(made),
            "instructions_strict": sum(strict),
            "instructions_loose": sum(loose),
        },
        why=f"not followed: {', '.join(broken)}" if broken else "",
    )


def summary(scores: Sequence[Score]) -> Mapping[str, float]:
    """IFEval's shares beside that of the replies that are right (by prompt, strictly); none for no scores."""
    if not scores:
        return {}
    instructions = sum(score.parts["instructions"] for score in scores)
    return {
        "instruction strict": sum(score.parts["instructions_strict"] for score in scores) / instructions,
        "prompt loose": sum(score.parts["loose"] for score in scores) / len(scores),
        "instruction loose": sum(score.parts["instructions_loose"] for score in scores) / instructions,
    }
