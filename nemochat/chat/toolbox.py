"""The tools of a session: which are offered in a conversation, and what becomes of a call."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Sequence

import msgspec

from nemochat.chat.values import ToolState
from nemochat.domain.chat import Chat
from nemochat.domain.messages import Role, ToolCall, ToolCallPart, ToolResultPart, ToolSpec
from nemochat.domain.tools import OfferedTool, ToolOutcome
from nemochat.tools.approval import Approvals
from nemochat.tools.checking import complaint
from nemochat.tools.making import failed
from nemochat.tools.registry import Approve, Registry

_UNREADABLE = 'The call could not be read. Write it as {"name": "...", "arguments": {...}}, as JSON.'


class Toolbox:
    """Runs calls of the tools in `registry`; `approve` asks the user, and `approvals` is what was said in this conversation."""

    def __init__(self, registry: Registry, approvals: Approvals, approve: Approve) -> None:
        self.registry = registry
        self.approvals = approvals
        self._approve = approve

    @property
    def offered(self) -> tuple[OfferedTool, ...]:
        """All tools that there are."""
        return self.registry.offered()

    def specs(self, names: Collection[str]) -> tuple[ToolSpec, ...]:
        """What the model is told of these tools; those that are not there are left out."""
        return tuple(each.spec for each in self.offered if each.name in names)

    def answers(self, chat: Chat) -> bool:
        """Whether the calls of the last reply are answered here.

        Not where no tools are offered, nor those of tools that only a caller from outside knows.
        """
        mine = {each.name for each in self.offered}
        foreign = {spec.name for spec in chat.frame.tools} - mine
        calls = self.calls(chat)
        return bool(calls) and bool(chat.frame.tools) and not any(call.name in foreign for call in calls)

    def calls(self, chat: Chat) -> tuple[ToolCall, ...]:
        """The calls of the last reply. One that cannot be read stands as a call without a name, so that the model is told of it once."""
        if not chat.entries or chat.entries[-1].message.role is not Role.ASSISTANT:
            return ()
        parts = [part for part in chat.entries[-1].message.parts if isinstance(part, ToolCallPart)]
        if any(not part.calls for part in parts) and not self._was_told(chat):
            return tuple(call for part in parts for call in part.calls or (ToolCall("", {}),))
        return tuple(call for part in parts for call in part.calls)

    async def call(self, call: ToolCall, chat: Chat) -> tuple[ToolOutcome, ToolState]:
        """Check, approve and run a call. A tool that is not offered in this conversation does not run. Raises only CancelledError."""
        wrong = await asyncio.to_thread(misfit, call, chat.frame.tools) if call.name else _UNREADABLE
        if wrong:
            return failed(wrong), ToolState.FAILED
        outcome = await self.registry.call(call, self._approve, self.approvals)
        return outcome, state_of(outcome)

    def _was_told(self, chat: Chat) -> bool:
        """Whether a malformed call was answered in this turn already."""
        turn = itertools.takewhile(lambda entry: entry.message.role is not Role.USER, reversed(chat.entries))
        return any(entry.message.role is Role.TOOL and _UNREADABLE in entry.message.text for entry in turn)


def state_of(outcome: ToolOutcome | ToolResultPart) -> ToolState:
    """What became of a call, by what came of it."""
    return ToolState.REFUSED if outcome.is_refused else ToolState.FAILED if outcome.is_error else ToolState.DONE


def misfit(call: ToolCall, specs: Sequence[ToolSpec]) -> str:
    """Why a call does not run, whoever would run it: there is no such tool, or its arguments do not fit; "" when they do.

    It may take seconds, for the schema comes from outside.
    """
    spec = next((spec for spec in specs if spec.name == call.name), None)
    if spec is None:
        names = ", ".join(spec.name for spec in specs)
        return f"There is no such tool here. There are: {names}." if names else "There is no such tool here."
    wrong = complaint(call.arguments, spec.parameters)
    return f"The arguments of {call.name} do not fit: {wrong}" if wrong else ""


def with_tools(chat: Chat, specs: Sequence[ToolSpec]) -> Chat:
    """The conversation with these tools offered in it."""
    return msgspec.structs.replace(chat, frame=msgspec.structs.replace(chat.frame, tools=tuple(specs)))
