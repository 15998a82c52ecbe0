"""``nemochat --plain``: the desk line by line, for screen readers, terminals that cannot do more, and pipes.

Replies go to stdout and nothing else does; notices, names of speakers and questions go to stderr, each on a line of its own. Nothing is
ever written anew: no colours, no cursor, no line that moves. What the user has sent is answered before the next line is read.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nemochat.chat.drops import attachments_in
from nemochat.chat.recall import PromptHistory
from nemochat.cli.bench import Bench
from nemochat.cli.lines import Lines
from nemochat.cli.output import STAGE_WORDS, print_note
from nemochat.cli.plain_asking import Questions
from nemochat.cli.replying import ReplyPrinter, run_line
from nemochat.desk import commands, port
from nemochat.desk.desk import Desk
from nemochat.desk.jobs import Jobs, Rank
from nemochat.desk.port import Event, Item, Wanted
from nemochat.domain.chat import Entry
from nemochat.domain.events import FinishReason, Progress
from nemochat.domain.messages import Role
from nemochat.domain.replies import TurnResult
from nemochat.domain.ttft import reading_of
from nemochat.errors import NemochatError
from nemochat.numbers import plural, speed
from nemochat.system import ending
from nemochat.tui import clipboard
from nemochat.tui.tables import first_of

_AGAIN_SECONDS = 2.0
_PATIENCE_SECONDS = 3.0
"""How long something takes before a line says what it is at."""
_SHOWN = 2
"""Messages of a chat that is opened, which are shown."""
_KEYS = (
    "A line that begins with / is a command, with // it is text. /image off takes the pictures out of the next message. "
    "Ctrl+C stops a reply, twice it quits; so does the end of input."
)


def run(
    model: str | None, mmproj: Path | None, overrides: Mapping[str, Mapping[str, object]], resume: str | None = None
) -> int:
    """Talk in lines until the end of input; the exit code. resume: see `Workbench`. Raises NemochatError."""
    bench = Bench(model, mmproj, overrides, resume)
    try:
        return asyncio.run(_talk(bench))
    finally:
        bench.close()


async def _talk(bench: Bench) -> int:
    return await Plain(bench).run()


class Plain:
    """The desk's port (nemochat.desk.port.Port) in lines, and whoever reads them."""

    def __init__(self, bench: Bench) -> None:
        history = PromptHistory(bench.paths.prompt_history)
        self._lines = Lines(list(_earlier(history)))
        self._questions = Questions(self._lines, self._say, bench.paths.settings_file)
        self._left = asyncio.Event()
        self._code = 0
        self._crash: BaseException | None = None
        self._printer: ReplyPrinter | None = None
        self._tokens: dict[str, str] = {}
        """The pictures that go with the next line, by their keys."""
        self._unsent: list[str] = []
        """What could not be sent, where no line can begin with it: it is the draft at the end."""
        self._inserted = ""
        """What goes before the next line, where no line can begin with it."""
        self._model = self._complained = ""
        self._interrupted_at = 0.0
        self._quiet_since = 0.0
        self._is_own = False
        """Whether the next turn is what was just typed."""
        self.desk = Desk(bench, self, Jobs(self._failed), history)

    async def run(self) -> int:
        """Everything from the first line to the last; the exit code."""
        ending.when_asked(self._leave)
        ending.when_interrupted(self._interrupted)
        self._lines.keep_terminal()
        sitting, leaving = asyncio.create_task(self._sit()), asyncio.create_task(self._left.wait())
        try:
            await asyncio.wait({sitting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sitting.done():
                sitting.result()
        finally:
            self._left.set()
            self._keep_draft()
            sitting.cancel()
            await self.desk.close()
            self._lines.restore_terminal()
            for words in self.desk.last_words:
                print_note(words)
        if self._crash is not None:
            raise self._crash
        return self._code

    async def _sit(self) -> None:
        self.desk.start(restores=self._lines.is_terminal)  # what an earlier run has left is no part of what a pipe says
        await self._settled()
        if self._lines.is_terminal and not self.desk.chat.entries:
            self._say("Write, and press Enter. The path of a picture attaches it. /help lists the commands.")
        while not self._left.is_set() and (line := await self._line()) is not None:
            self._take(line)
            await self._settled()
        if not self._left.is_set() and (self.desk.is_busy or self.desk.chat.waiting):
            self._code = 1
            self._say("Without a model nothing can be answered. What was sent is kept and sent when the chat is opened again.")

    async def _line(self) -> str | None:
        async with self._lines.turn:
            line = await self._lines.read("You: ", self.desk.draft.text)
        if line is None and self._lines.edits:
            self.desk.draft.typed("")  # a line ends the input only when it is empty
        return line

    async def _settled(self) -> None:
        """Wait for what the user has asked for, and for the replies, unless no model is there to make them."""
        while True:
            await self.desk.jobs.ended(Rank.USER)
            if not self.desk.is_busy or self.desk.model.session is None:
                break
            await self.desk.jobs.ended(Rank.REPLY)
        draft = self.desk.draft.text
        if draft and not self._lines.edits and draft not in self._unsent:
            self._say(f"The draft is: {draft}")

    def _take(self, line: str) -> None:
        """Send a line with the pictures that it names, or run a command."""
        if self._inserted and not commands.is_command_line(line):
            line, self._inserted = f"{self._inserted}\n{line}", ""
        drop = attachments_in(line, commands.drops_in)
        if drop is None and (whole := attachments_in(line.strip(), commands.drops_in, all_kinds=True)) is not None:
            drop = None if whole.rest.strip() else whole
        text, tokens = line if drop is None else drop.rest, list(self._tokens)
        if drop is not None and not text.strip():
            self.desk.draft.text = ""
            self.desk.dropping.take(drop)
            return
        if not text.strip():
            if tokens:
                self._say("Write something about the picture, and press Enter.")
            return
        if drop is not None:
            self._say(f"With {', '.join(file.path.name for file in drop.files) or 'a picture'}")
        self._tokens, self._is_own = {}, True
        commands.submit(self.desk, text, tokens, drop)

    def _keep_draft(self) -> None:
        """What was being written, or could not be sent, is there at the next start."""
        texts = [*self._unsent, self._lines.typed if self._lines.shown else self.desk.draft.text]
        self.desk.draft.typed("\n".join(dict.fromkeys(text for text in texts if text.strip())))

    # -- signals, and what nobody foresaw

    def _interrupted(self) -> None:
        running = self.desk.turns.running
        if (running is None or not running.stop.is_set) and self.desk.stop():
            return
        now = time.monotonic()
        if now - self._interrupted_at < _AGAIN_SECONDS:
            self._leave(0 if self._lines.is_terminal else 130)
        else:
            self._interrupted_at = now
            self._say("Press Ctrl+C once more to quit.")

    def _leave(self, code: int) -> None:
        if self._lines.shown:
            print_note("")  # the shell's prompt begins a line
        self._code = code
        self._left.set()

    def _failed(self, error: BaseException) -> None:
        self._crash = self._crash or error
        self._left.set()

    # -- nemochat.desk.port.Port

    async def ask(self, ask: port.Ask) -> Any:
        """Ask in lines."""
        return await self._questions.ask(ask)

    def tell(self, event: Event) -> None:
        """Print it, as far as it is worth a line. When nobody reads that any more, the desk ends as it does elsewhere."""
        if not self._left.is_set():
            try:
                self._tell(event)
            except OSError as error:
                self._failed(error)

    def _tell(self, event: Event) -> None:
        match event:
            case port.Said(text):
                self._say(text)
            case port.Complained(error):
                self._complain(error)
            case port.EngineFailed(error):
                self._complain_once(error)
            case port.ModelChanged(progress):
                self._model_changed(progress)
            case port.Working(words) if words:
                self._softly(words)
            case port.ChatOpened():
                self._opened()
            case Wanted():
                self._wanted(event)
            case _:
                self._tell_turn(event)
                self._tell_draft(event)

    def _say(self, text: str) -> None:
        """A notice on a line of its own. A line that is being typed is shown again behind it."""
        if self._left.is_set():
            return
        shown = self._lines.shown
        print_note(f"\n{text}" if shown else text, strict=False)
        if shown:
            print_note(shown, strict=False, end="")

    def _complain(self, error: NemochatError) -> None:
        self._complained = error.message
        self._say(f"Error: {error.in_full}")

    def _complain_once(self, error: NemochatError) -> None:
        """What is asked ahead fails again and again, and so does the turn: what was said last is not said anew."""
        if error.message != self._complained:
            self._complain(error)

    def _softly(self, words: str) -> None:
        """Something that takes its time, said seldom."""
        now = time.monotonic()
        if now - self._quiet_since > _PATIENCE_SECONDS:
            self._quiet_since = now
            self._say(f"{words[:1].upper()}{words[1:]} ...")

    def _model_changed(self, progress: Progress | None) -> None:
        model = self.desk.model
        if progress is not None:
            self._softly(STAGE_WORDS[progress.stage])
        elif model.is_loaded and model.name != self._model:
            self._model = model.name
            if self._lines.is_terminal:
                self._say(f"{model.name} is ready{', not protected' if model.is_unprotected else ''}.")
        elif model.session is None:
            self._model, self._quiet_since = "", time.monotonic()

    # -- turns

    def _tell_turn(self, event: Event) -> None:
        match event:
            case port.TurnBegan():
                self._quiet_since = time.monotonic()
            case port.TurnOpened():
                said = self.desk.turns.said()
                if said and not self._is_own:
                    self._print_entry(said[-1])
                self._is_own = False
                if (turn := self.desk.turns.running) is not None and not turn.replies:
                    return
                hides = self.desk.model.session is None or self.desk.model.session.toolbox is not None
                speaker = self.desk.speaker if sys.stdout.isatty() and sys.stderr.isatty() else ""
                self._printer = ReplyPrinter(None, is_quiet=False, hides_calls=hides, speaker=speaker)
            case port.TurnReported(Progress() as progress):
                self._softly(STAGE_WORDS[progress.stage])
            case port.TurnReported(reported) if self._printer is not None:
                self._printer.show(reported)
            case port.TurnEnded(result, error):
                self._ended(result, error)

    def _ended(self, result: TurnResult | None, error: NemochatError | None) -> None:
        printer, self._printer = self._printer, None
        if printer is not None:
            printer.end()
        if error is not None:
            self._code = 0 if self._lines.is_terminal else 1
            self._complain(error)
        if result is None:
            return
        self._complained = ""
        if printer is not None:
            printer.tell_unanswered(result)
        if result.reason is FinishReason.CANCELLED:
            self._say("Stopped by you.")
        elif result.reason is FinishReason.LENGTH:
            self._say("The reply reached its longest allowed length. /continue continues it.")
        reading = reading_of(result)
        if first := first_of(reading):
            pace = f", {speed(reading.tokens_per_second)}" if reading.tokens_per_second is not None else ""
            self._say(f"{first}{pace}")

    # -- the draft

    def _tell_draft(self, event: Event) -> None:
        match event:
            case port.DraftLoaded(_, tokens):
                self._tokens = dict(tokens)
            case port.DraftPutBack(text, tokens):
                self._tokens = {**dict(tokens), **self._tokens}
                if text:
                    self._say(f"Not sent: {text}")
                    self.desk.history.add(text)
                    if not self._lines.edits:
                        self._unsent.append(text)
            case port.TextInserted(text):
                draft = self.desk.draft
                draft.typed("\n".join(each for each in (draft.text, text) if each))
                self._inserted = "" if self._lines.edits else draft.text
            case port.TokenAdded(key, label):
                self._tokens[key] = label
            case port.TokenChanged(key, label) if key in self._tokens:
                is_new = " tokens]" in label and " tokens]" not in self._tokens[key]
                self._tokens[key] = label
                if is_new:
                    self._say(f"Attached {label}")
            case port.TokenRemoved(key):
                self._tokens.pop(key, None)

    # -- the conversation

    def _opened(self) -> None:
        entries = self.desk.chat.entries
        if self.desk.conversation.id:
            self._say(f"{self.desk.chat.title}: {plural(len(entries), 'message')}")
        elif not entries:
            self._say("A new chat.")
        if (summary := self.desk.chat.summary) is not None and summary.is_on:
            self._say(f"Summary of the first {plural(len(summary.covers), 'message')}: {summary.text}")
        for entry in entries[-_SHOWN:]:
            self._print_entry(entry)

    def _print_entry(self, entry: Entry) -> None:
        message = entry.message
        if message.role is not Role.TOOL:
            speaker = "You" if message.role is Role.USER else entry.speaker or self.desk.speaker or "Reply"
            pictures = "".join(f"[{part.name or 'picture'}] " for part in message.images)
            self._say(f"{speaker}: {pictures}{message.text}")

    # -- what only the interface can do

    def _wanted(self, wanted: Wanted) -> None:
        match wanted:
            case Wanted("copy", text):
                self.desk.do(lambda: self._copy(text))
            case Wanted("tools"):
                self.desk.do(self._tools)
            case Wanted("drawer"):
                self.desk.do(self._chats)
            case Wanted("message", node):
                index = self.desk.chat.index_of(int(node))
                if index is not None:
                    self._print_entry(self.desk.chat.entries[index])
            case Wanted("theme"):
                self._say("Themes are colours of the full-screen interface; here there are none.")
            case Wanted("help"):
                self._say("\n".join([*(f"{each.usage}: {each.help}" for each in commands.COMMANDS), _KEYS]))
            case Wanted("quit"):
                self._leave(self._code)

    async def _copy(self, text: str) -> None:
        """To a clipboard that a program of the desktop reaches; the terminal's own would need an escape sequence."""
        self._say(await asyncio.to_thread(clipboard.copy, None, text))

    async def _tools(self) -> None:
        chat, tools = self.desk.chat, self.desk.tools
        on = {spec.name for spec in chat.frame.tools}
        for each in tools.runs(chat):
            self._say(f"Called: {run_line(each)}")
        names = {each.name: f"{each.name}{' (offered)' if each.name in on else ''}" for each in tools.offered}
        items = [Item(each.name, names[each.name], each.spec.description) for each in tools.offered]
        title = "Tools. Choosing one offers it to the model in this chat, or no more."
        name = await self.ask(port.AskItem(title, tuple(items), empty="There are no tools."))
        if name is not None:
            self.desk.toggle_tool(name, enabled=name not in on)
            self._say(f"{name} is {'no longer ' if name in on else ''}offered.")

    async def _chats(self) -> None:
        rows = {row.id: row for row in await self.desk.chats.rows()}
        items = [Item(id_, row.title, plural(row.n_messages, "message")) for id_, row in rows.items()]
        ask = port.AskItem("Your chats, the newest first", tuple(items), self.desk.conversation.id, "There is no chat yet.")
        chosen = await self.ask(ask)
        if chosen is not None:
            action = await self.desk.chats.act(rows[chosen], "menu")
            if action:
                await self.desk.chats.act(rows[chosen], action)


def _earlier(history: PromptHistory) -> Sequence[str]:
    """Earlier prompts, the oldest first."""
    texts: list[str] = []
    while (text := history.older("")) is not None:
        texts.append(text)
    history.reset()
    return texts[::-1]
