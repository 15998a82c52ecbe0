from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.personas.macros import Macros, expand

ADA = Macros(char="Ada", user="Tom", seed="1", values={"time": "noon", "description": "a {{char}}"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{char}} {{CHAR}} {{ Char }} <BOT> <bot> <char>", "Ada Ada Ada Ada Ada Ada"),
        ("{{user}} <USER>", "Tom Tom"),
        ("{{original}}|{{time}}|{{date}}", "own|noon|{{date}}"),
        ("{{description}}", "a {{char}}"),
        ("{{{char}}} {{{{char}}}}", "{Ada} {{Ada}}"),
        ("{{unknown}} {{user:}} {{char x}} {{}} {{", "{{unknown}} {{user:}} {{char x}} {{}} {{"),
        ("{{weird {{char}} }} }} <b>", "{{weird Ada }} }} <b>"),
        ("a{{// not {{char}}\nseen}}b{{comment: x}}c{{hidden_key:mill}}d{{//}}e{{ // f }}", "abcde"),
        ("{{reverse:abc}} {{reverse::{{char}}}}", "cba adA"),
        ("a{{newline}}b{{noop}}c", "a\nbc"),
        ("a\n\n{{trim}}\n\nb{{trim}}\n{{trim}}c\n", "abc\n"),
        ("{{random:x}} {{random::x}} {{pick: x }}", "x x x"),
        ("{{random}} {{random:}} {{roll:}} {{roll:0}} {{roll:d}} {{roll:2000000}} {{roll:999d6}}", None),
        ("{{roll:1}} {{roll:d1}} {{roll 1}} {{ROLL:D1}} {{roll:3d1+2}} {{roll:2d1-4}}", "1 1 1 1 5 -2"),
    ],
)
def test_each_macro(text: str, expected: str | None) -> None:
    assert ADA.expand(text, original="own") == (text if expected is None else expected)


def test_choices() -> None:
    def seen(text: str) -> set[str]:
        return {expand(text, char="Ada", user="a,b", seed=str(seed)) for seed in range(60)}

    assert seen("{{random:a, b ,c}}") == {"a", "b", "c"}
    assert seen("{{pick::a, b::c }}") == {"a, b", "c "}
    assert seen(r"{{random:a\,b,c}}") == {"a,b", "c"}
    assert seen("{{random:{{user}},{{char}}s}}") == {"a,b", "Adas"}
    assert seen("{{random:{{random:1,2}},3}}") == {"1", "2", "3"}
    assert seen("{{roll:d6}}") == set("123456")
    assert {int(roll) for roll in seen("{{roll:2d2+10}}")} == {12, 13, 14}


def test_chance_comes_from_the_seed_and_the_place() -> None:
    text = "{{random:" + ",".join("abcdefghijklmnop") + "}}"
    twice = ADA.expand(f"{text} {text}")
    assert ADA.expand(f"{text} {text}") == twice
    assert ADA.expand(f"Other words before: {text} {text}").endswith(twice)
    assert len(set(ADA.expand(text * 30))) > 5
    assert ADA.expand(text * 9) != Macros(char="Ada", user="Tom", seed="2").expand(text * 9)


@pytest.mark.parametrize("name", ["{{random:a,b}}", "{{char}}", "<BOT>", "{{", "}}", "::", "char", "{{// "])
def test_what_is_put_in_is_not_looked_at_again(name: str) -> None:
    assert expand("({{user}}) ({{{{user}}}}) ({{reverse:{{user}}}})", char="Ada", user=name) == f"({name}) ({{{{{name}}}}}) ({name[::-1]})"
    assert expand("{{random:{{user}}::{{user}}}}", char="Ada", user=name) == name


def test_hidden_keys_count_where_a_lorebook_looks() -> None:
    assert ADA.searched("By the river{{hidden_key:mill}}.{{comment:x}}{{// y}}").split() == ["By", "the", "river", "mill", "."]


@pytest.mark.parametrize(
    "text",
    [
        "{" * 400_000,
        "{{" * 200_000 + "}}" * 200_000,
        "{{a" * 100_000 + "}}" * 100_000,
        "{{char}}" * 50_000,
        "{{random:" * 40_000 + "}}" * 40_000,
        "{{random:a,b " * 30_000 + "}}" * 30_000,
        "{{random:" + "a," * 200_000 + "}}",
        "{{random:" + "\\," * 200_000 + "}}",
        "{{random:" + "::" * 200_000 + "}}",
        "{{" + " " * 400_000 + "}}",
        "{{random:" + " " * 200_000 + ",}}" * 10,
        "{{reverse:" * 16 + "a" * 100_000 + "}}" * 16,
        "{{trim}}\n" * 40_000,
        "<user" * 80_000,
        "{{roll:" + "9" * 400_000 + "}}",
        "{{hidden_key:" * 30_000 + "}}" * 30_000,
    ],
    ids=lambda text: re.sub(r"[^\w:]+", "_", text[:12]),
)
def test_a_hostile_text_takes_no_longer_than_its_length(text: str) -> None:
    start = time.process_time()
    ADA.searched(text)
    assert time.process_time() - start < 20  # quadratic would be minutes


def test_what_is_put_in_has_a_limit() -> None:
    text = expand("{{description}}" * 1_000, char="Ada", user="Tom", values={"description": "x" * 10_000})
    assert text == "x" * 1_000_000 + "{{description}}" * 900


def test_a_few_stray_braces_do_not_take_the_later_macros_away() -> None:
    assert ADA.expand("{{ " * 40 + "{{char}}") == "{{ " * 40 + "Ada"


_PIECES = (
    "{{", "}}", "{", "}", "char", "user", "random:", "pick::", "roll:", "d6", "//", "comment:", "hidden_key:", "reverse:", "trim", ",",
    "::", "\\,", " ", "\n", "a", "<USER>", "<", "original",
)  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
def test_any_text_is_expanded_without_fail_and_always_the_same(text: str) -> None:
    once = ADA.expand(text, original="{{char}}")
    assert ADA.expand(text, original="{{char}}") == once
    assert isinstance(ADA.searched(text), str)
    if "{{" not in text and "<" not in text:
        assert once == text


@given(st.text())
def test_a_text_without_macros_stays(text: str) -> None:
    if "}}" not in text and not re.search("<(bot|char|user)>", text, re.IGNORECASE):
        assert ADA.expand(text) == text
