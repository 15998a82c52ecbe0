"""Tools on the screen: which are offered in this chat, what is asked, and every call with what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from nemochat.chat import Chat, ToolRun, ToolState
from nemochat.chat.toolbox import Toolbox, with_tools
from nemochat.domain.chat import Entry
from nemochat.domain.messages import Role, ToolResultPart
from nemochat.domain.tools import Approval, ToolOrigin, ToolRequest
from nemochat.tools.approval import Approvals
from nemochat.tui.screens.approval import ApprovalScreen, question_of
from nemochat.tui.widgets.tools import ToolInfo

if TYPE_CHECKING:
    from nemochat.tui.screens.chat import ChatScreen

_RUNNING = (ToolState.ASKED, ToolState.RUNNING)


class Tooling:
    """The tools of the conversation on the screen. What the user allowed holds for one conversation."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen
        self._now: list[ToolRun] = []
        self._costs: dict[str, int] = {}
        tools = screen.bench.tools(self.picture)
        self._rules, self._notices = tools.rules, tools.notices
        self.toolbox = Toolbox(tools.registry, Approvals(self._rules), self._ask)

    def begin(self) -> None:
        """Tell what cannot be used, and bring the tools of servers, which takes a while."""
        for notice in self._notices:
            self._screen.say(notice)
        self._screen.background(self.add_servers, "servers")

    def chat_changed(self) -> None:
        """Another conversation: nothing that was allowed in the one before holds here."""
        self._now = []
        self.toolbox.approvals = Approvals(self._rules)

    def fresh(self, chat: Chat) -> Chat:
        """A new conversation with the tools that the settings offer."""
        return with_tools(chat, self.toolbox.specs(self._screen.bench.settings.tools.offered))

    def toggle(self, name: str, enabled: bool) -> None:
        """Offer a tool in this conversation, or not. The prompt begins with the tools, so all of it is read anew."""
        if self._screen.refuse_while_busy():
            return
        chat = self._screen.chat
        wanted = {spec.name for spec in chat.frame.tools} - {name} | ({name} if enabled else set())
        self._screen.change_chat(with_tools(chat, self.toolbox.specs(wanted)))

    def noted(self, run: ToolRun) -> None:
        """A call began or ended."""
        if self._now and self._now[-1].state in _RUNNING:
            self._now[-1] = run
        else:
            self._now.append(run)
        self.draw()

    def settled(self) -> None:
        """The results of the calls are in the conversation."""
        self._now = []
        self.draw()

    def draw(self) -> None:
        """The pane."""
        on = {spec.name for spec in self._screen.chat.frame.tools}
        infos = [
            ToolInfo(each.name, each.spec.description, each.name in on, self._costs.get(each.fingerprint)) for each in self.toolbox.offered
        ]
        past = [run for run in runs_of(self._screen.chat.entries) if run.result is not None or not self._now]
        self._screen.side.tools.show(infos, [*past, *self._now])

    async def count(self) -> None:
        """What each tool costs in every prompt."""
        session = self._screen.holder.session
        unknown = [each for each in self.toolbox.offered if each.fingerprint not in self._costs]
        if session is not None and unknown:
            costs = await session.tool_costs([each.spec for each in unknown])
            self._costs |= {each.fingerprint: cost for each, cost in zip(unknown, costs, strict=True)}
            self.draw()

    def picture(self, number: int) -> bytes | None:
        """The file of a picture of the conversation by its number, as it came."""
        parts = [part for entry in self._screen.chat.entries for part in entry.message.images if entry.message.role is Role.USER]
        if not 0 < number <= len(parts):
            return None
        original = self._screen.holder.album.original(parts[number - 1].digest)
        return original.data if original is not None else None

    async def _ask(self, request: ToolRequest) -> Approval:
        """Ask the user; leaving without a word is a No."""
        answer = await self._screen.app.push_screen_wait(ApprovalScreen(question_of(request)))
        return Approval(answer) if answer else Approval.REFUSED

    async def add_servers(self) -> None:
        """Take in the tools of the servers as they are now."""
        for each in self.toolbox.offered:
            if each.origin is ToolOrigin.MCP:
                self.toolbox.registry.remove(each.origin, each.source)
        unaccepted = await self._screen.bench.add_server_tools(self.toolbox.registry)
        self._rules = self._rules.asking(unaccepted)
        self.toolbox.approvals.rules = self._rules
        for notice in self._screen.bench.take_notices():
            self._screen.say(notice)
        self.draw()


def runs_of(entries: Iterable[Entry]) -> Iterable[ToolRun]:
    """The calls of a conversation with their results, as far as it has them."""
    waiting: dict[str, ToolRun] = {}
    for entry in entries:
        for part in entry.message.parts:
            if isinstance(part, ToolResultPart) and (run := waiting.pop(part.call, None)) is not None:
                yield msgspec.structs.replace(run, result=part.text, state=ToolState.FAILED if part.is_error else ToolState.DONE)
        if calls := entry.message.tool_calls:
            yield from waiting.values()
            waiting = {call.id: ToolRun(call.name, call.arguments, None, ToolState.ASKED) for call in calls}
    yield from waiting.values()
