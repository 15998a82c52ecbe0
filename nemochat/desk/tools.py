"""Tools of the conversation on the desk: which are offered, what is asked, every call with what came of it; and the MCP servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from rich.cells import cell_len, set_cell_size

from nemochat.chat import Chat, ToolRun, ToolState
from nemochat.chat.pictures import OpenedPicture, opened
from nemochat.chat.toolbox import Toolbox, state_of, with_tools
from nemochat.desk.port import Answer, AskAllowed, AskItem, AskMenu, AskText, Item, Port, Said, ShowText, ToolsChanged, Workbench
from nemochat.domain.chat import Entry
from nemochat.domain.messages import Role, ToolResultPart
from nemochat.domain.sanitize import sanitize
from nemochat.domain.tools import Approval, OfferedTool, ToolOrigin, ToolRequest
from nemochat.domain.visible import visible
from nemochat.numbers import plural
from nemochat.tools.approval import Approvals, arguments_for_people
from nemochat.tools.builtin.search import Search

if TYPE_CHECKING:
    from nemochat.chat import ChatSession
    from nemochat.tools.mcp.client import McpServer
    from nemochat.tools.mcp.values import McpPrompt

_RUNNING = (ToolState.ASKED, ToolState.RUNNING)
_NO_SERVERS = "No servers yet. Add one: nemochat mcp add NAME -- COMMAND"


class Tools:
    """What the user allowed holds for one conversation."""

    def __init__(self, port: Port, bench: Workbench, picture: Callable[[int], bytes | None], search: Search) -> None:
        """picture: the file of a picture of the conversation by its number; search: finds passages of its documents."""
        self._port, self._bench, self._picture, self._search = port, bench, picture, search
        self._now: list[ToolRun] = []
        self.costs: dict[str, int] = {}
        """Tokens by a tool's fingerprint."""
        chest = bench.tools(picture, search)
        self._rules, self._notices = chest.rules, chest.notices
        self.toolbox = Toolbox(chest.registry, Approvals(self._rules), self._ask)

    async def begin(self) -> None:
        """Tell what cannot be used, and bring the tools of servers, which takes a while."""
        for notice in self._notices:
            self._port.tell(Said(notice))
        await self.add_servers()

    async def settings_changed(self) -> None:
        """Take the tools as the settings have them now."""
        chest = self._bench.tools(self._picture, self._search)
        self._rules, self.toolbox.registry = chest.rules, chest.registry
        for notice in chest.notices:
            self._port.tell(Said(notice))
        await self.add_servers()

    def chat_opened(self) -> None:
        """Another conversation: nothing that was allowed in the one before holds here."""
        self._now = []
        self.toolbox.approvals = Approvals(self._rules)
        self._port.tell(ToolsChanged())

    def fresh(self, chat: Chat) -> Chat:
        """A new conversation with the tools that the settings offer."""
        return with_tools(chat, self.toolbox.specs(self._bench.settings.tools.offered))

    def toggled(self, chat: Chat, name: str, *, enabled: bool) -> Chat:
        """A conversation that offers a tool, or does not."""
        wanted = {spec.name for spec in chat.frame.tools} - {name} | ({name} if enabled else set())
        return with_tools(chat, self.toolbox.specs(wanted))

    @property
    def offered(self) -> tuple[OfferedTool, ...]:
        """All that there are."""
        return self.toolbox.offered

    def runs(self, chat: Chat) -> list[ToolRun]:
        """The calls of the conversation, and those under way."""
        past = [run for run in runs_of(chat.entries) if run.result is not None or not self._now]
        return [*past, *self._now]

    def noted(self, run: ToolRun) -> None:
        """A call began or ended."""
        if self._now and self._now[-1].state in _RUNNING:
            self._now[-1] = run
        else:
            self._now.append(run)
        self._port.tell(ToolsChanged())

    def settled(self) -> None:
        """The results of the calls are in the conversation."""
        self._now = []
        self._port.tell(ToolsChanged())

    async def count(self, session: ChatSession) -> None:
        """What each tool costs in every prompt. Raises EngineError."""
        unknown = [each for each in self.toolbox.offered if each.fingerprint not in self.costs]
        if unknown:
            costs = await session.reader.tool_costs([each.spec for each in unknown])
            self.costs |= {each.fingerprint: cost for each, cost in zip(unknown, costs, strict=True)}
            self._port.tell(ToolsChanged())

    async def add_servers(self) -> None:
        """Take in the tools of the servers as they are now."""
        for each in self.toolbox.offered:
            if each.origin is ToolOrigin.MCP:
                self.toolbox.registry.remove(each.origin, each.source)
        unaccepted = await self._bench.add_server_tools(self.toolbox.registry)
        self._rules = self._rules.asking(unaccepted)
        self.toolbox.approvals.rules = self._rules
        for notice in self._bench.take_notices():
            self._port.tell(Said(notice))
        self._port.tell(ToolsChanged())

    async def _ask(self, request: ToolRequest) -> Approval:
        answer = await self._port.ask(question_of(request))
        return Approval(answer) if answer else Approval.REFUSED


_NAME_CELLS = 32
"""A longer name stands in whole among what has to be seen, and its beginning in the title."""
_ANSWERS = (
    Answer(Approval.REFUSED, "No"),
    Answer(Approval.ONCE, "Yes, once", allows=True),
    Answer(Approval.ALWAYS, "Always in this chat", allows=True),
    Answer(Approval.NEVER, "Never in this chat"),
)


def question_of(request: ToolRequest) -> AskAllowed:
    """What is asked before a tool runs: which tool, from whom, and all that it is given."""
    tool = request.tool
    whole = arguments_for_people(request.arguments)
    names = []
    for word, name in (("Tool", visible(tool.name)), (tool.origin.value, visible(tool.source))):
        is_long = cell_len(name) > _NAME_CELLS
        names.append(f"{set_cell_size(name, _NAME_CELLS)}…" if is_long else name)
        if is_long:
            whole = f"{word}: {name}\n{whole}"
    origin = f"{tool.origin.value}: {names[1]}" if tool.source else tool.origin.value
    about = "\n".join(visible(line) for line in tool.spec.description.splitlines())
    return AskAllowed(f"The model wants to run {names[0]}", origin, whole, _ANSWERS, about)


def runs_of(entries: Iterable[Entry]) -> Iterable[ToolRun]:
    """The calls of a conversation with their results, as far as it has them."""
    waiting: dict[str, ToolRun] = {}
    for entry in entries:
        for part in entry.message.parts:
            if isinstance(part, ToolResultPart) and (run := waiting.pop(part.call, None)) is not None:
                yield msgspec.structs.replace(run, result=part.text, state=state_of(part))
        if calls := entry.message.tool_calls:
            yield from waiting.values()
            waiting = {call.id: ToolRun(call.name, call.arguments, None, ToolState.ASKED) for call in calls}
    yield from waiting.values()


def gated(entries: Sequence[Entry]) -> tuple[float, float] | None:
    """How likely a call was in reply to the last message, and from which probability on a gate wanted one; None where there was none."""
    for entry in reversed(entries):
        if entry.message.role is Role.USER:
            break
        result = entry.record.result if entry.record is not None else None
        if result is not None and result.call_chance is not None and result.gate is not None:
            return result.call_chance, result.gate
    return None


# -- MCP servers


@dataclass
class Taken:
    """What came of a visit to a server: text for the prompt, texts for the documents (place, name, text), pictures (name, picture)."""

    text: str = ""
    documents: list[tuple[str, str, str]] = field(default_factory=list)
    pictures: list[tuple[str, OpenedPicture]] = field(default_factory=list)


class Servers:
    """MCP servers: trusted, started again, their log, their prompts and what they let be read."""

    def __init__(self, port: Port, bench: Workbench, tools: Tools) -> None:
        self._port, self._bench, self._tools = port, bench, tools

    async def visit(self, prompt: str = "") -> Taken:
        """Take the prompt of that name, or let the user choose a server and what is to be done with it. Raises McpError."""
        found = await self._bench.mcp_servers()
        if prompt:
            for server in found.servers:
                if server.is_trusted and prompt in {each.name for each in await server.list_prompts()}:
                    return Taken(text=await self._prompt(server, prompt))
            self._port.tell(Said(f"No server that you trust has a prompt {prompt}. /mcp lists the servers."))
            return Taken()
        items = tuple(Item(server.name, server.name, f"{_state(server)}: {server.launch().line()}") for server in found.servers)
        chosen = await self._port.ask(AskItem("MCP servers", items, empty=_NO_SERVERS))
        for name, problem in found.problems.items():
            if name not in {server.name for server in found.servers}:
                self._port.tell(Said(problem))
        return await self._act(found.server(chosen)) if chosen is not None else Taken()

    async def _act(self, server: McpServer) -> Taken:
        if not server.is_trusted:
            await self._trust(server)
            return Taken()
        answers = [
            Answer("prompts", "Its prompts", "p"),
            Answer("resources", "Its resources", "r"),
            Answer("restart", "Start it again", "s"),
            Answer("log", "Its log", "l"),
        ]
        if server.changes():
            answers.append(Answer("accept", f"Look at {plural(len(server.changes()), 'tool')} that you have not accepted", "a"))
        match await self._port.ask(AskMenu(f"{server.name}: {_state(server)}", tuple(answers))):
            case "prompts":
                return Taken(text=await self._prompt(server))
            case "resources":
                return await self._resource(server)
            case "restart":
                await server.restart()
                await self._tools.add_servers()
                self._port.tell(Said(f"{server.name} runs."))
            case "log":
                await self._port.ask(ShowText(f"Log of {server.name}", server.log_tail() or "The log is empty."))
            case "accept":
                await self._accept(server)
        return Taken()

    async def _trust(self, server: McpServer) -> None:
        """Show exactly what would be run, and start it when the user says so."""
        answers = (Answer("no", "Do not run it"), Answer("yes", "Trust it and start it", allows=True))
        launch = server.launch()
        title = f"{server.name} {'is not what you trusted' if server.has_changed else 'has not run yet'}"
        question = AskAllowed(title, "This runs on your machine, with your rights:", visible(launch.line()), answers)
        if await self._port.ask(question) == "yes":
            server.trust(launch)
            # What was allowed earlier may still run.
            await server.restart()
            tools = await server.tools()
            if not server.has_known_tools:
                server.accept()
            await self._tools.add_servers()
            self._port.tell(Said(f"{server.name} runs, with {plural(len(tools), 'tool')}: offer them in the tools pane."))

    async def _accept(self, server: McpServer) -> None:
        """Show its tools that are new or have changed, and accept them in the form that was shown when the user says so."""
        from nemochat.tools.mcp.offering import tool_for_people

        changed = [tool for tool in await server.tools() if tool.original in server.changes()]
        whole = "\n\n".join(tool_for_people(tool) for tool in changed)
        answers = (Answer("no", "Not now"), Answer("yes", "Accept them", allows=True))
        origin = "New, or not as you accepted it before:"
        if await self._port.ask(AskAllowed(f"Tools of {server.name}", origin, whole, answers)) == "yes":
            server.accept(changed)
            await self._tools.add_servers()
            self._port.tell(Said(f"The tools of {server.name} are accepted as they were shown."))

    async def _prompt(self, server: McpServer, name: str = "") -> str:
        """One of its prompts, its blanks filled by the user; "" when they leave."""
        prompts = {prompt.name: prompt for prompt in await server.list_prompts()}
        items = tuple(Item(each, each, prompt.description) for each, prompt in prompts.items())
        chosen = name or await self._port.ask(AskItem(f"Prompts of {server.name}", items, empty="It has no prompts."))
        filled = await self._fill(prompts[chosen]) if chosen is not None else None
        if filled is None:
            return ""
        turns = await server.get_prompt(chosen, filled)
        return "\n\n".join(text for _, text in turns)

    async def _fill(self, prompt: McpPrompt) -> dict[str, str] | None:
        """What the user writes into the blanks, None when they leave."""
        filled: dict[str, str] = {}
        for blank in prompt.arguments:
            hint = blank.description or ("" if blank.is_required else "It may stay empty.")
            text = await self._port.ask(AskText(blank.name, hint=hint, one_line=True))
            if text is None:
                return None
            if text.strip():
                filled[blank.name] = text
        return filled

    async def _resource(self, server: McpServer) -> Taken:
        """Something that it lets be read: text for the documents of the chat, a picture for the draft."""
        resources = {resource.uri: resource for resource in await server.list_resources()}
        items = tuple(Item(uri, each.name or uri, each.description or each.mime_type) for uri, each in resources.items())
        title = f"What {server.name} offers"
        chosen = await self._port.ask(AskItem(title, items, empty="It has no resources."))
        taken = Taken()
        if chosen is None:
            return taken
        name = sanitize(resources[chosen].name or chosen, strict=True)
        for part in await server.read_resource(chosen):
            if isinstance(part.content, str):
                taken.documents.append((part.uri, name, part.content))
            elif part.mime_type.startswith("image/"):
                taken.pictures.append((name, await asyncio.to_thread(opened, part.content, name)))
            else:
                kind = sanitize(part.mime_type, strict=True) or "of an unknown kind"
                self._port.tell(Said(f"{name} is {kind}: neither text nor a picture."))
        return taken


def _state(server: McpServer) -> str:
    if not server.is_trusted:
        return "not what you trusted" if server.has_changed else "not trusted yet"
    if server.is_running:
        return "runs"
    return sanitize(server.why_down, strict=True) or "starts when it is needed"
