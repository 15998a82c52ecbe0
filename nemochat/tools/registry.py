"""The tools of a conversation by name, and how a call of one is checked, approved and run."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from nemochat.domain.messages import ToolCall
from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import Approval, OfferedTool, ToolOrigin, ToolOutcome, ToolRequest
from nemochat.errors import NemochatError
from nemochat.tools.approval import Approvals, Verdict
from nemochat.tools.checking import complaint
from nemochat.tools.making import Limits, Tool, failed

Approve = Callable[[ToolRequest], Awaitable[Approval]]
"""Asks the user. Whatever it raises, and whatever it gives that is no `Approval`, is a refusal."""

_MAX_NAME = 64
_ODD = re.compile(r"[^A-Za-z0-9_.-]+")
_NAMES_SHOWN = 30
_PROBLEMS_SHOWN = 3
_GRACE = 2.0
"""Seconds that a stopped tool has for its own tidying up before it is left behind."""
_YES = (Approval.ONCE, Approval.ALWAYS)


class Registry:
    """Tools by the names that the model calls them by. A name that is taken already gets the tool's source behind it."""

    def __init__(self, tools: Iterable[Tool] = (), limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.problems: dict[str, str] = {}
        """Why the tools of a source are not here, by its name."""
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            self.add(tool)

    def add(self, tool: Tool) -> OfferedTool:
        """Take a tool in; gives it back as it is offered, under the name that it has here."""
        offered = tool.offered
        name = self._free_name(offered)
        self._tools[name] = tool
        return _named(offered, name)

    def remove(self, origin: ToolOrigin, source: str) -> None:
        """Take out all tools of a source: a server that stopped, a file that changed."""
        self._tools = {
            name: tool for name, tool in self._tools.items() if (tool.offered.origin, tool.offered.source) != (origin, source)
        }

    def offered(self) -> tuple[OfferedTool, ...]:
        """All tools, in the order in which they came."""
        return tuple(_named(tool.offered, name) for name, tool in self._tools.items())

    def find(self, name: str) -> OfferedTool | None:
        """The tool of that name, or of that SOURCE/NAME, whether or not it goes by another name here."""
        for here, tool in self._tools.items():
            source, own = tool.offered.source, tool.offered.name
            if name in (here, f"{source}/{here}", f"{source}/{own}"):
                return _named(tool.offered, here)
        return None

    def why_not(self) -> str:
        """Why tools may be missing, as sentences; "" when nothing is known to be wrong."""
        return " ".join(itertools.islice(self.problems.values(), _PROBLEMS_SHOWN))

    async def call(self, call: ToolCall, approve: Approve, approvals: Approvals) -> ToolOutcome:
        """Check the call, ask the user where that is needed, run it. Raises nothing but CancelledError.

        What is approved are exactly the arguments that run: they are frozen before the question, and a question whose arguments or tool
        were changed while it stood counts as refused.
        """
        tool = self._tools.get(call.name)
        if tool is None:
            return failed(self._unknown(call.name))
        try:
            frozen = json.dumps(call.arguments, allow_nan=False)
            offered = _named(tool.offered, call.name)
            wrong = await asyncio.to_thread(complaint, json.loads(frozen), offered.spec.parameters)
        except Exception as error:  # noqa: BLE001 - arguments and schema come from outside: whatever breaks, the call does not run
            return failed(f"The arguments cannot be checked ({type(error).__name__}).")
        if wrong:
            return failed(f"The arguments of {call.name} do not fit: {wrong}")
        if refusal := await self._refusal(tool, offered, frozen, approve, approvals):
            return msgspec.structs.replace(failed(refusal), is_refused=True)
        return await self._run(tool, call.name, json.loads(frozen))

    async def _refusal(self, tool: Tool, offered: OfferedTool, frozen: str, approve: Approve, approvals: Approvals) -> str:
        """Why it may not run, "" when it may."""
        verdict = approvals.verdict(offered)
        if verdict is Verdict.RUN:
            return ""
        if verdict is Verdict.REFUSE:
            return f"The user does not allow {offered.name}."
        request = ToolRequest(offered, json.loads(frozen))
        try:
            answer: object = await approve(request)
        except Exception:  # noqa: BLE001 - fail closed: a question that broke was not answered with yes
            return f"{offered.name} was not run, because the user could not be asked."
        if not isinstance(answer, Approval):
            return f"{offered.name} was not run, because the user could not be asked."
        if answer in _YES and not _is_as_asked(tool, offered, request, frozen):
            return f"{offered.name} was not run, because it changed while the user was asked."
        approvals.remember(ToolRequest(offered, json.loads(frozen)), answer)
        return "" if answer in _YES else f"The user did not allow this call of {offered.name}."

    async def _run(self, tool: Tool, name: str, arguments: dict[str, Any]) -> ToolOutcome:
        task = asyncio.ensure_future(tool.run(arguments))
        try:
            await asyncio.wait({task}, timeout=self.limits.seconds)
        finally:
            if not task.done():
                await _stop(task)
        if not task.done() or task.cancelled():
            return failed(f"{name} was stopped: it took longer than {self.limits.seconds:g} seconds.")
        error = task.exception()
        return _bounded(failed(_told(name, error)) if error else task.result(), self.limits)

    def _unknown(self, name: str) -> str:
        shown = sanitize(name, strict=True)[:_MAX_NAME]
        names = list(self._tools)
        if not names:
            return f"There is no tool “{shown}”, and no other either. {self.why_not()}".strip()
        more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
        return f"There is no tool “{shown}”. There are: {', '.join(names[:_NAMES_SHOWN])}{more}. {self.why_not()}".strip()

    def _free_name(self, offered: OfferedTool) -> str:
        plain = _ODD.sub("_", offered.name)[:_MAX_NAME].strip("_") or "tool"
        source = _ODD.sub("_", offered.source).strip("_")[:24] or offered.origin.name.lower()
        longer = f"{plain[: _MAX_NAME - 30]}_{source}"
        numbered = (f"{longer}_{number}" for number in range(2, len(self._tools) + 4))
        return next(name for name in (plain, longer, *numbered) if name not in self._tools)


def _named(offered: OfferedTool, name: str) -> OfferedTool:
    if offered.spec.name == name:
        return offered
    return msgspec.structs.replace(offered, spec=msgspec.structs.replace(offered.spec, name=name))


def _is_as_asked(tool: Tool, offered: OfferedTool, request: ToolRequest, frozen: str) -> bool:
    """Whether what stood in the question is still what would run."""
    try:
        return _named(tool.offered, offered.name) == offered and json.dumps(request.arguments, allow_nan=False) == frozen
    except (TypeError, ValueError, RecursionError):
        return False


async def _stop(task: asyncio.Future[ToolOutcome]) -> None:
    task.cancel()
    # Whatever a tool that will not stop brings in the end, somebody has to take it.
    task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
    await asyncio.wait({task}, timeout=_GRACE)


def _told(name: str, error: BaseException) -> str:
    if isinstance(error, NemochatError):
        return sanitize(f"{error.message} {error.hint}".strip())
    detail = sanitize(str(error), strict=True)[:300]
    return f"{name} failed: {type(error).__name__}{f': {detail}' if detail else ''}."


def _bounded(outcome: ToolOutcome, limits: Limits) -> ToolOutcome:
    """The outcome, safe to show and no larger than allowed; what was left out is said at its end."""
    text = sanitize(outcome.text[: limits.characters])
    if (over := len(outcome.text) - limits.characters) > 0:
        text += f"\n[Cut here: {over:,} more characters.]"
    kept: list[bytes] = []
    for image in outcome.images[: limits.images]:
        if sum(map(len, kept)) + len(image) <= limits.image_bytes:
            kept.append(image)
    if left := len(outcome.images) - len(kept):
        text += f"\n[{left:,} picture{'s' if left > 1 else ''} left out: too many or too large.]"
    sources = tuple(sanitize(source, strict=True)[:300] for source in outcome.sources[:100])
    return ToolOutcome(text, tuple(kept), outcome.is_error, sources)
