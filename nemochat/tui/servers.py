"""MCP servers on the screen: trusted, started again, their log, their prompts and what they let be read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nemochat import images
from nemochat.chat.pictures import OpenedPicture
from nemochat.domain.images import Original
from nemochat.domain.sanitize import sanitize
from nemochat.domain.visible import visible
from nemochat.tools.mcp.offering import tool_for_people
from nemochat.tui.numbers import plural
from nemochat.tui.screens.approval import ApprovalScreen, Question
from nemochat.tui.screens.dialogs import Answer, Menu, Read, Write
from nemochat.tui.screens.picker import Picker, PickerItem

if TYPE_CHECKING:
    from nemochat.tools.mcp.client import McpServer
    from nemochat.tools.mcp.values import McpPrompt
    from nemochat.tui.screens.chat import ChatScreen

_EMPTY = "No servers yet. Add one: nemochat mcp add NAME -- COMMAND"


class Servers:
    """What can be done with the servers of the user's configuration."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen

    async def choose(self, prompt: str = "") -> None:
        """Put the prompt of that name into the user's, or let them choose a server and what is to be done with it. Raises McpError."""
        found = await self._screen.bench.mcp_servers()
        if prompt:
            for server in found.servers:
                if server.is_trusted and prompt in {each.name for each in await server.list_prompts()}:
                    await self._prompt(server, prompt)
                    return
            self._screen.say(f"No server that you trust has a prompt {prompt}. /mcp alone shows them.")
            return
        items = [PickerItem(server.name, server.name, f"{_state(server)}: {server.launch().line()}") for server in found.servers]
        chosen = await self._screen.app.push_screen_wait(Picker("MCP servers", items, empty=_EMPTY))
        for name, problem in found.problems.items():
            if name not in {server.name for server in found.servers}:
                self._screen.say(problem)
        if chosen is not None:
            await self._act(found.server(chosen))

    async def _act(self, server: McpServer) -> None:
        if not server.is_trusted:
            await self._trust(server)
            return
        answers = [
            Answer("prompts", "Its prompts", "p"),
            Answer("resources", "What it lets be read", "r"),
            Answer("restart", "Start it again", "s"),
            Answer("log", "Its log", "l"),
        ]
        if server.changes():
            answers.append(Answer("accept", f"Look at {plural(len(server.changes()), 'tool')} that you have not accepted", "a"))
        match await self._screen.ask(Menu(f"{server.name}: {_state(server)}", answers)):
            case "prompts":
                await self._prompt(server)
            case "resources":
                await self._resource(server)
            case "restart":
                await server.restart()
                await self._screen.tooling.add_servers()
                self._screen.say(f"{server.name} runs.")
            case "log":
                await self._screen.ask(Read(f"Log of {server.name}", server.log_tail() or "It has said nothing."))
            case "accept":
                await self._accept(server)

    async def _trust(self, server: McpServer) -> None:
        """Show exactly what would be run, and start it when the user says so."""
        launch = server.launch()
        answers = (Answer("no", "Do not run it"), Answer("yes", "Trust it and start it", allows=True))
        origin = "This runs on your machine, with your rights:"
        title = f"{server.name} {'is not what you trusted' if server.has_changed else 'has not run yet'}"
        question = Question(title, origin, visible(launch.line()), answers)
        if await self._screen.ask(ApprovalScreen(question)) == "yes":
            server.trust(launch)
            # What was allowed earlier may still run.
            await server.restart()
            tools = await server.tools()
            if not server.has_known_tools:
                server.accept()
            await self._screen.tooling.add_servers()
            self._screen.say(f"{server.name} runs, with {plural(len(tools), 'tool')}: offer them in the tools pane.")

    async def _accept(self, server: McpServer) -> None:
        """Show its tools that are new or have changed, and accept them in the form that was shown when the user says so."""
        tools = await server.tools()
        changed = [tool for tool in tools if tool.original in server.changes()]
        whole = "\n\n".join(tool_for_people(tool) for tool in changed)
        answers = (Answer("no", "Not now"), Answer("yes", "Accept them", allows=True))
        origin = "New, or not as you accepted it before:"
        if await self._screen.ask(ApprovalScreen(Question(f"Tools of {server.name}", origin, whole, answers))) == "yes":
            server.accept(changed)
            await self._screen.tooling.add_servers()
            self._screen.say(f"The tools of {server.name} are accepted as they were shown.")

    async def _prompt(self, server: McpServer, name: str = "") -> None:
        """Put one of its prompts into the prompt, its blanks filled by the user."""
        prompts = {prompt.name: prompt for prompt in await server.list_prompts()}
        items = [PickerItem(each, each, prompt.description) for each, prompt in prompts.items()]
        chosen: str | None = name
        if not name:
            picker = Picker(f"Prompts of {server.name}", items, empty="It has no prompts.")
            chosen = await self._screen.app.push_screen_wait(picker)
        if chosen is None:
            return
        filled = await self._fill(prompts[chosen])
        if filled is not None:
            turns = await server.get_prompt(chosen, filled)
            self._screen.prompt.insert_text("\n\n".join(text for _, text in turns))
            self._screen.prompt.focus_area()

    async def _fill(self, prompt: McpPrompt) -> dict[str, str] | None:
        """What the user writes into the blanks, None when they leave."""
        filled: dict[str, str] = {}
        for blank in prompt.arguments:
            hint = blank.description or ("" if blank.is_required else "It may stay empty.")
            text = await self._screen.ask(Write(blank.name, "", hint=hint, one_line=True))
            if text is None:
                return None
            if text.strip():
                filled[blank.name] = text
        return filled

    async def _resource(self, server: McpServer) -> None:
        """Take in something that it lets be read: text as a document of this chat, a picture as an attachment."""
        resources = {resource.uri: resource for resource in await server.list_resources()}
        items = [PickerItem(uri, each.name or uri, each.description or each.mime_type) for uri, each in resources.items()]
        title = f"What {server.name} lets be read"
        chosen = await self._screen.app.push_screen_wait(Picker(title, items, empty="It has nothing to read."))
        if chosen is None:
            return
        name = sanitize(resources[chosen].name or chosen, strict=True)
        for part in await server.read_resource(chosen):
            if isinstance(part.content, str):
                await self._screen.documents.add_text(part.uri, name, part.content)
            elif part.mime_type.startswith("image/"):
                picture = await asyncio.to_thread(_opened, part.content, name)
                self._screen.dropping.opened(name, picture)
            else:
                kind = sanitize(part.mime_type, strict=True) or "of an unknown kind"
                self._screen.say(f"{name} is {kind}: neither text nor a picture.")


def _state(server: McpServer) -> str:
    if not server.is_trusted:
        return "not what you trusted" if server.has_changed else "not trusted yet"
    if server.is_running:
        return "runs"
    return sanitize(server.why_down, strict=True) or "starts when it is needed"


def _opened(data: bytes, name: str) -> OpenedPicture:
    return OpenedPicture(images.load(data, name), Original(data, (images.picture_format(data) or "").lower()))
