"""The calculator."""

from __future__ import annotations

from typing import Any

from nemochat.domain.tools import ToolOutcome
from nemochat.tools.builtin.arithmetic import ArithmeticProblem, evaluate, written
from nemochat.tools.making import FunctionTool, builtin, failed

OFFERED = builtin(
    "calculator", "Work out an arithmetic expression.", {"expression": {"type": "string"}}, ("expression",), is_harmless=True
)


def calculator() -> FunctionTool:
    """Works out an expression."""
    return FunctionTool(OFFERED, _run)


async def _run(arguments: dict[str, Any]) -> ToolOutcome:
    try:
        return ToolOutcome(written(evaluate(arguments["expression"])))
    except ArithmeticProblem as problem:
        return failed(problem.message)
