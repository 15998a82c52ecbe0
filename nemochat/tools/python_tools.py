"""The user's own tools: typed functions with a docstring in the ``*.py`` files of a folder.

The files are read, not run: nothing of them is executed before a call was approved, and then in a process of its own (`python_process`).
"""

from __future__ import annotations

import ast
import asyncio
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from nemochat.domain.sanitize import sanitize, shown
from nemochat.domain.tools import OfferedTool, ToolOrigin, ToolOutcome
from nemochat.errors import NemochatError
from nemochat.files import reason
from nemochat.reading import NotAFileError, TooLargeError, read_regular
from nemochat.tools.making import Limits, fingerprint
from nemochat.tools.python_process import Job, Run
from nemochat.tools.python_schema import functions_of, spec_of

_MAX_SOURCE = 1024 * 1024


class PythonTool(msgspec.Struct, frozen=True):
    """One function of a file. source: the file's text when it was read: that runs, not what the file holds by then."""

    offered: OfferedTool
    path: Path
    source: str
    limits: Limits
    environment: dict[str, str]

    async def run(self, arguments: dict[str, Any]) -> ToolOutcome:
        """Call the function in a process of its own."""
        fitted = {name: _fitted(value, self.offered.spec.parameters["properties"].get(name, {})) for name, value in arguments.items()}
        running = Run(Job(self.source, str(self.path), self.offered.spec.name, fitted), self.limits, self.environment)
        waiting = asyncio.ensure_future(asyncio.to_thread(running.result))
        try:
            text = await asyncio.shield(waiting)
        except asyncio.CancelledError:
            running.stop()
            # Its end is waited for, so that nothing of it is left when the caller goes on.
            await asyncio.wait({waiting})
            if not waiting.cancelled():
                waiting.exception()
            raise
        return ToolOutcome(sanitize(text))


class ToolsFolder(msgspec.Struct, frozen=True):
    """What a folder holds. notices: sentences about files and functions that cannot be used."""

    tools: tuple[PythonTool, ...] = ()
    notices: tuple[str, ...] = ()


def read_tools(folder: Path, limits: Limits, environment: Mapping[str, str]) -> ToolsFolder:
    """The tools of a folder. A file that cannot be used is named in a notice and hides no other. Names with ``_`` in front are skipped."""
    tools: list[PythonTool] = []
    notices: list[str] = []
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".py" and not path.name.startswith(("_", ".")))
    except FileNotFoundError:
        return ToolsFolder()
    except OSError as error:
        return ToolsFolder(notices=(f"The tools folder {shown(folder)} cannot be read: {reason(error)}.",))
    for path in paths:
        try:
            source = _source(path)
            functions = functions_of(_parsed(source))
        except NemochatError as error:
            notices.append(f"{shown(path)} holds no tools: {error.message}")
            continue
        for function in functions:
            try:
                spec = spec_of(function)
            except NemochatError as error:
                notices.append(f"{shown(path)}: {error.message}")
                continue
            mark = fingerprint(spec, source.encode())
            offered = OfferedTool(spec, ToolOrigin.PYTHON, sanitize(path.name, strict=True), fingerprint=mark)
            tools.append(PythonTool(offered, path.absolute(), source, limits, dict(environment)))
        if not functions:
            notices.append(f"{shown(path)} holds no tools: a tool is a function with types and a docstring.")
    return ToolsFolder(tuple(tools), tuple(notices))


def _source(path: Path) -> str:
    try:
        data = read_regular(path, _MAX_SOURCE)
    except (NotAFileError, TooLargeError) as error:
        raise NemochatError(f"{reason(error)}.") from None
    except OSError as error:
        raise NemochatError(f"it cannot be read ({reason(error)}).") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NemochatError("it is not UTF-8.") from None


def _parsed(source: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as for "\d": about the user's text, and no matter here
            return ast.parse(source)
    except SyntaxError as error:
        raise NemochatError(f"line {error.lineno}: {sanitize(error.msg, strict=True)}.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NemochatError(f"Python cannot read it ({type(error).__name__}).") from None


def _fitted(value: Any, schema: Mapping[str, Any]) -> Any:
    """JSON knows one kind of number: 3.0 is the whole number 3 where one is asked for."""
    kinds = schema.get("type")
    if isinstance(value, float) and value.is_integer() and kinds is not None and "integer" in kinds and "number" not in kinds:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and kinds == "number":
        return float(value)
    if isinstance(value, list):
        return [_fitted(one, schema.get("items", {})) for one in value]
    return value
