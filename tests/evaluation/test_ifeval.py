"""IFEval's rules, as cases written from its paper and from how its program treats what is odd. Each says what would break."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from nemochat.errors import UsageError
from nemochat.evaluation import ifeval
from nemochat.evaluation.values import Kind, Question, Reply


def question(*instructions: tuple[str, dict[str, Any]]) -> Question:
    meta = {"instruction_id_list": [name for name, _ in instructions], "kwargs": [options for _, options in instructions]}
    return Question("q", "?", kind=Kind.IFEVAL, meta=meta)


def follows(name: str, options: dict[str, Any], text: str) -> bool:
    """Strictly."""
    return ifeval.score(question((name, options)), Reply(text)).right == 1


BULLETS = "detectable_format:number_bullet_lists"
PARAGRAPHS = "length_constraints:number_paragraphs"
FIRST_WORD = "length_constraints:nth_paragraph_first_word"
HIGHLIGHTS = "detectable_format:number_highlighted_sections"
SECTIONS = "detectable_format:multiple_sections"
CASES: list[tuple[str, dict[str, Any], dict[str, bool]]] = [
    ("keywords:existence", {"keywords": ["cat", "dog"]}, {"Cats and DOGS": True, "a cat": False}),
    ("keywords:frequency", {"keyword": " cat ", "frequency": 2, "relation": "at least"}, {"cat, Catalogue": True, "cat": False}),
    ("keywords:frequency", {"keyword": "cat", "frequency": 2, "relation": "less than"}, {"cat cat": False, "cat": True}),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, {"cats": True, "A Cat.": False}),
    (
        "keywords:letter_frequency",
        {"letter": "E", "let_frequency": 2, "let_relation": "at least"},
        {"eE": True, "e": False},
    ),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 2, "let_relation": "at least"}, {"# #": True, "#": False}),
    ("language:response_language", {"language": "de"}, {"Der Hund läuft durch den Wald.": True, "The dog runs.": False, "123": True}),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "less than"},
        {"Dr. Smith is at home. He sleeps.": True, "One. Two. Three.": False},
    ),
    (PARAGRAPHS, {"num_paragraphs": 2}, {"a\n***\nb": True, "***a***b***": True, "a******b": False, "a": False, "a***b***c": False}),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": "at least"},
        {"it's he": True, "well-known": False, "पानी और पानी": True, "पानी": False},
    ),
    (
        FIRST_WORD,
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Yes"},
        {'a\n\n"yes, b': True, "a\n\nYesterday": False, "a\n\nyes\n\nc": False, "a\n\n\n\nyes": False, "a\nyes": False},
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, {"[a] [b]": True, "[a\n] [b]": False, "[[a]": False, "[][]": True}),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        {"Bye\np. s. more": True, "P.P.S.": True, "P.P. more": False, "PS": False},
    ),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, {"P. P. S more": True, "P.S. more": False}),
    ("detectable_content:postscript", {"postscript_marker": "NB"}, {"nb: more": True, "more": False}),
    (
        BULLETS,
        {"num_bullets": 2},
        {"* a\n - b": True, "* a\n** b **\n* c": True, "- a\n- b\n- c": False, "*\n* b": False, "x\n\n\n- a\n\t* b": True},
    ),
    ("detectable_format:constrained_response", {}, {"Well. My answer is no.": True, "my answer is no.": False, "My answer is no": False}),
    (HIGHLIGHTS, {"num_highlights": 2}, {"*a* **b**": True, "*a* * *": False, "**a**": False, "*a\n* b*": False}),
    (SECTIONS, {"section_spliter": "Section", "num_sections": 2}, {"Section 1 a Section 2": True, "SECTION 1 SECTION 2": False}),
    (
        "detectable_format:json_format",
        {},
        {'```json\n{"a": 1}\n```': True, "```JSON 3```": True, "```3": True, "[1]": True, "{a: 1}": False, "[" * 40_000: False},
    ),
    ("detectable_format:title", {}, {"<<a>>": True, "<< >>": False, "<<a\n>>": False, "<<a>": False, "<<<>>> <<b>>": True}),
    ("combination:two_responses", {}, {"a******b": True, "a****** a": False, "******a******b": True, "a************b": False, "a": False}),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say this. "}, {" say THIS. No.": True, "I say this.": False}),
    ("startend:end_checker", {"end_phrase": " The end."}, {'"Once. the END." ': True, "The end. Bye": False}),
    ("startend:quotation", {}, {' "a" ': True, '"': False, '"a".': False}),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        {"NASA is there": True, "I met NASA.": False, "Well-KNOWN U.S.": True},
    ),
    (
        "change_case:english_capital",
        {},
        {"THE LITTLE HOUSE STANDS ON THE HILL AND WATCHES THE SEA": True, "DAS IST EIN SATZ AUF DEUTSCH": False, "The little house": False},
    ),
    ("change_case:english_lowercase", {}, {"this is an english sentence": True, "This is an english sentence": False, "42": False}),
    ("punctuation:no_comma", {}, {"a; b": True, "a, b": False}),
]


@pytest.mark.parametrize(
    ("name", "options", "text", "wanted"),
    [pytest.param(*case, text, right, id=f"{case[0]}-{text[:20]!r}") for *case, texts in CASES for text, right in texts.items()],
)
def test_each_instruction_has_its_rule(name: str, options: dict[str, Any], text: str, wanted: bool) -> None:
    assert follows(name, options, text) is wanted


def test_every_instruction_has_cases() -> None:
    assert {name for name, _, _ in CASES} == set(ifeval.INSTRUCTIONS)
    assert len(ifeval.INSTRUCTIONS) == 25


@pytest.mark.parametrize("name", [name for name, options, _ in CASES if not options])
def test_an_empty_reply_follows_nothing(name: str) -> None:
    score = ifeval.score(question((name, {})), Reply(" \n"))
    assert (score.right, score.parts["loose"]) == (0, 0)


def test_the_loose_rule_forgives_a_first_and_a_last_line_and_asterisks() -> None:
    assert ifeval.variants("Sure!\n*a*\n*b*\nBye") == [
        "Sure!\n*a*\n*b*\nBye", "Sure!\na\nb\nBye", "*a*\n*b*\nBye", "a\nb\nBye", "Sure!\n*a*\n*b*", "Sure!\na\nb", "*a*\n*b*", "a\nb",
    ]  # fmt: skip
    asked = question(("startend:quotation", {}), ("punctuation:no_comma", {}))
    assert ifeval.score(asked, Reply('Here it is, as asked:\n"*yes*"')).parts["loose"] == 1
    assert ifeval.score(asked, Reply('"a, b"')).parts["loose"] == 0


def test_a_reply_counts_by_prompt_and_by_instruction() -> None:
    asked = question(("punctuation:no_comma", {}), ("startend:quotation", {}))
    scores = [ifeval.score(asked, Reply(text)) for text in ('"a"', "a", 'Sure, here:\n"a"', "a, b")]
    assert [score.right for score in scores] == [1, 0, 0, 0]
    assert scores[1].why == "not followed: startend:quotation"
    assert ifeval.summary(scores) == {"instruction strict": 3 / 8, "prompt loose": 2 / 4, "instruction loose": 5 / 8}
    assert ifeval.summary([]) == {}


def test_the_arguments_of_the_published_data_set_hold_every_name_and_null() -> None:
    options = {"num_bullets": 1, "keywords": None, "relation": None, "letter": "", "frequency": 0}
    assert follows(BULLETS, options, "- a")


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({}, "no list of instructions"),
        ({"instruction_id_list": ["punctuation:no_comma"], "kwargs": []}, "no list of instructions"),
        ({"instruction_id_list": ["nothing:known"], "kwargs": [{}]}, "not known"),
        ({"instruction_id_list": [["x"]], "kwargs": [{}]}, "not known"),
        ({"instruction_id_list": [BULLETS], "kwargs": [{"num_bullets": None}]}, '"num_bullets" that is a number'),
        ({"instruction_id_list": [BULLETS], "kwargs": [{"num_bullets": "3"}]}, '"num_bullets" that is a number'),
        ({"instruction_id_list": [BULLETS], "kwargs": [{"num_bullets": 0}]}, '"num_bullets" that is a number'),
        ({"instruction_id_list": ["keywords:existence"], "kwargs": [{"keywords": []}]}, '"keywords" that is a list of texts'),
        ({"instruction_id_list": ["keywords:existence"], "kwargs": [{"keywords": "cat"}]}, '"keywords" that is a list of texts'),
        ({"instruction_id_list": ["keywords:existence"], "kwargs": [{"keywords": ["("]}]}, "no valid pattern"),
        ({"instruction_id_list": ["keywords:existence"], "kwargs": [{"keywords": ["a{1000000000}"]}]}, "no valid pattern"),
        (
            {"instruction_id_list": ["length_constraints:number_words"], "kwargs": [{"num_words": 3, "relation": "at most"}]},
            '"relation" that is "at least" or "less than"',
        ),
    ],
)
def test_data_that_is_wrong_is_named_before_a_run(meta: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ifeval.checks(Question("q", "?", kind=Kind.IFEVAL, meta=meta))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("language:response_language", {"language": "en"}),
        ("change_case:english_capital", {}),
        ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"}),
        ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "less than"}),
    ],
)
def test_a_missing_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any]) -> None:
    def missing(wanted: str) -> Any:
        raise ImportError(wanted)

    for cached in (ifeval._languages, ifeval._sentence_splitter, ifeval._word_splitter):
        cached.cache_clear()
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UsageError, match=r"the Python package (langdetect|nltk) is missing") as caught:
        ifeval.checks(question((name, options)))
    assert "nemochat[eval]" in caught.value.hint


def test_a_pattern_in_the_data_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ifeval, "PATTERN_SECONDS", 0.01)
    assert not follows("keywords:existence", {"keywords": ["(a|aa)+$"]}, "a" * 60 + "b")


@pytest.mark.parametrize("part", ["[", "<<", "\n", "*", " a."])
def test_a_reply_of_nothing_but_marks_takes_no_long(part: str) -> None:
    """Patterns that look at all the rest from every place would take minutes."""
    text = part * 50_000
    assert not follows(BULLETS, {"num_bullets": 1}, text)
    assert not follows("detectable_content:number_placeholders", {"num_placeholders": 1}, text)
    assert not follows("detectable_format:title", {}, text)


def test_the_language_of_a_short_text_is_the_same_each_time() -> None:
    """langdetect draws at random: unseeded it takes this for Italian now and for English then."""
    asked = question(("language:response_language", {"language": "en"}))
    assert len({ifeval.score(asked, Reply("no un the sin")).right for _ in range(20)}) == 1
