"""The calculator against Python's own arithmetic, and what it must refuse."""

from __future__ import annotations

import contextlib
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemochat.domain.messages import ToolCall
from nemochat.domain.tools import Approval, ToolRequest
from nemochat.tools.approval import Approvals
from nemochat.tools.builtin.arithmetic import ArithmeticProblem, calculator, evaluate, written
from nemochat.tools.registry import Registry

Expression = tuple[str, str]


def _joined(pair: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    def join(left: Expression, sign: str, right: Expression) -> Expression:
        return f"{left[0]} {sign} {right[0]}", f"{left[1]} {sign} {right[1]}"

    binary = st.builds(join, pair, st.sampled_from(["+", "-", "*", "/"]), pair)
    whole = st.builds(lambda left, sign, right: (f"({left[0]}) {sign} ({right[0]})", f"({left[1]}) {sign} ({right[1]})"), pair,
                      st.sampled_from(["//", "%"]), pair)  # fmt: skip
    power = st.builds(lambda base, exponent: (f"({base[0]}) ** {exponent}", f"({base[1]}) ** {exponent}"), pair, st.integers(0, 3))
    return st.one_of(
        binary,
        whole,
        power,
        pair.map(lambda one: (f"({one[0]})", f"({one[1]})")),
        pair.map(lambda one: (f"-({one[0]})", f"-({one[1]})")),
    )


NUMBERS = st.one_of(st.integers(0, 999).map(str), st.decimals(0, 99, places=2).map(str))
EXPRESSIONS = st.recursive(NUMBERS.map(lambda text: (text, f"F('{text}')")), _joined, max_leaves=6)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS)
def test_it_reckons_as_python_does(expression: Expression) -> None:
    ours, pythons = expression
    try:
        expected = eval(pythons, {"F": Fraction})
    except ZeroDivisionError:
        with pytest.raises(ArithmeticProblem, match="division by zero"):
            evaluate(ours)
        return
    assert evaluate(ours) == expected
    assert float(written(evaluate(ours))) == pytest.approx(float(expected), rel=1e-11, abs=1e-300)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789.,+-*/%^()[] episqrtmaxofE_'\"\n", max_size=60) | st.text(max_size=30))
def test_any_text_gives_a_number_or_a_problem(text: str) -> None:
    with contextlib.suppress(ArithmeticProblem):
        assert written(evaluate(text))


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("0.1 + 0.2", "0.3"),
        ("1/3", "0.333333333333"),
        ("2/3", "0.666666666667"),
        ("12 * 7", "84"),
        ("10 / 4", "2.5"),
        ("-2 ** 2", "-4"),
        ("2 ** -1", "0.5"),
        ("2 ** 3 ** 2", "512"),
        ("2^10", "1024"),
        ("3 \u00d7 4 \u00f7 2 \u2212 1", "5"),
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("10 % 3", "1"),
        ("15% of 80", "12"),
        ("200 + 10%", "220"),
        ("200 - 10%", "180"),
        ("200 * 10%", "20"),
        ("50%", "0.5"),
        ("1,234 * 2", "2468"),
        ("1,234,567.5 + 0.5", "1234568"),
        ("max(1,234)", "234"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(3.14159, 2)", "3.14"),
        ("sqrt(16)", "4"),
        ("sqrt(2)", "1.41421356237"),
        ("sqrt(0.25)", "0.5"),
        ("4 ** 0.5", "2"),
        ("sin(pi)", "0"),
        ("cos(0)", "1"),
        ("log(1000)", "3"),
        ("log(8, 2)", "3"),
        ("ln(e)", "1"),
        ("exp(0)", "1"),
        ("floor(-1.5)", "-2"),
        ("ceil(-1.5)", "-1"),
        ("min(3, 1, 2)", "1"),
        ("abs(-3)", "3"),
        ("2 ** 100", "1267650600228229401496703205376"),
        ("1e400 / 1e399", "10"),
        ("(1 + 2) * 3 =", "9"),
        ("123456789 * 987654321", "121932631112635269"),
    ],
)
def test_results_are_as_people_write_them(expression: str, result: str) -> None:
    assert written(evaluate(expression)) == result


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("1 / 0", "division by zero"),
        ("1 // 0", "division by zero"),
        ("1 % (0)", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("9 ** 9 ** 9", "too large"),
        ("2 ** 99999999999999999999", "too large"),
        ("1e99999999", "too large"),
        ("exp(1000)", "too large"),
        ("(" * 500, "nested too deeply"),
        ("-" * 900 + "1", "nested too deeply"),
        ("1+" * 2000 + "1", "too long"),
        ("", "empty"),
        ("2 +", "not complete"),
        ("(2", "not closed"),
        ("2 3", "not expected"),
        ("2)", "not expected"),
        ("sqrt", "needs brackets"),
        ("sqrt(-1)", "real numbers"),
        ("(-8) ** (1/3)", "real numbers"),
        ("tan(pi/2)", "real numbers"),
        ("sqrt(1, 2)", "cannot take"),
        ("open(1)", "not known"),
        ("__import__('os').system('id')", "has no meaning"),
        ("1 < 2", "has no meaning"),
        ("1 if 1 else 2", "not expected"),
    ],
)
def test_what_has_no_value_says_why(expression: str, problem: str) -> None:
    with pytest.raises(ArithmeticProblem, match=problem):
        evaluate(expression)


def test_many_large_steps_stay_bounded() -> None:
    with pytest.raises(ArithmeticProblem, match="too large"):
        evaluate("*".join(["9**2500"] * 100))


def test_floats_agree_with_math() -> None:
    assert float(written(evaluate("sin(1) * cos(2) + tan(0.5) ** 2.5"))) == pytest.approx(
        math.sin(1) * math.cos(2) + math.tan(0.5) ** 2.5, rel=1e-11
    )


async def test_the_tool_says_errors_as_the_demo_model_knows_them() -> None:
    async def never(request: ToolRequest) -> Approval:
        raise AssertionError("a harmless tool asks nobody")

    registry = Registry([calculator()])
    outcome = await registry.call(ToolCall("calculator", {"expression": "12 * 7"}), never, Approvals())
    assert (outcome.text, outcome.is_error) == ("84", False)
    outcome = await registry.call(ToolCall("calculator", {"expression": "1/0"}), never, Approvals())
    assert (outcome.text, outcome.is_error) == ("error: division by zero", True)
