"""How a reply is printed while it comes: its text on stdout, the tools that it calls on stderr."""

from __future__ import annotations

import json
import os
import shutil
import sys

from nemochat.chat import ChatEvent, RoundEnded, ToolRun, ToolState, TurnResult, thought, visible
from nemochat.cli.output import StatusLine, print_note
from nemochat.domain.events import FinishReason, Progress, TextDelta
from nemochat.domain.replies import ALL_THOUGHT
from nemochat.domain.sanitize import sanitize, shortened

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
_WIDTH = 200
_MARKS = {ToolState.DONE: "->", ToolState.FAILED: "failed:", ToolState.REFUSED: "refused:"}


class ReplyPrinter:
    """Prints the events of a turn. is_quiet: nothing but progress. hides_calls: the text of calls is left out, because they are answered.

    status: None where no line is ever written anew, and nothing is dimmed. speaker: stands on stderr before the words of a reply.
    runs: the calls that were answered. rounds: the replies that called. thought: what the model thought in the last reply.
    """

    def __init__(self, status: StatusLine | None, *, is_quiet: bool, hides_calls: bool, speaker: str = "") -> None:
        self._status = status
        self._speaker = speaker
        self._is_quiet = is_quiet
        self._hides_calls = hides_calls
        self._is_blank = True
        self._ends_line = True
        self.runs: list[ToolRun] = []
        self.rounds: list[TurnResult] = []
        self.thought = ""

    def show(self, event: ChatEvent) -> None:
        """Print one event."""
        match event:
            case Progress() if self._status is not None:
                self._status.show_progress(event)
            case TextDelta(text, parts):
                if thinking := thought(parts):
                    self.thought += thinking
                    if self._status is not None:
                        self._status.show("thinking ...")
                if not self._is_quiet:
                    self._print(visible(parts) if self._hides_calls else text)
            case RoundEnded(result):
                self.rounds.append(result)
                self.thought = ""
                self.end()
            case ToolRun(state=ToolState.RUNNING):
                if self._status is not None:
                    self._status.show(f"{event.name} ...")
            case ToolRun():
                self.end()
                self._clear()
                self.runs.append(event)
                if not self._is_quiet:
                    _print_line(run_line(event), dims=self._status is not None)

    def end(self) -> None:
        """A reply has ended: its line is closed."""
        if not self._ends_line:
            print(flush=True)
        self._is_blank, self._ends_line = True, True

    def tell_unanswered(self, result: TurnResult) -> None:
        """Say that the model wanted more than it was given."""
        if result.note:
            print_note(result.note)
        if result.is_all_thought and result.reason is not FinishReason.CANCELLED:
            print_note(ALL_THOUGHT)
        if not self._hides_calls:
            return
        for warning in result.warnings:
            print_note(warning)
        if result.tool_calls and not result.warnings:
            names = ", ".join(dict.fromkeys(call.name for call in result.tool_calls))
            print_note(f"The model calls tools again ({names}), but it has done so often enough for one question.")

    def _clear(self) -> None:
        if self._status is not None:
            self._status.clear()

    def _print(self, text: str) -> None:
        if self._is_blank and self._hides_calls:
            text = text.lstrip()
        if not text:
            return
        self._clear()
        if self._is_blank and self._speaker:
            print(f"{sanitize(self._speaker, strict=True)}: ", end="", file=sys.stderr, flush=True)
        print(text, end="", flush=True)
        self._is_blank, self._ends_line = False, text.endswith("\n")


def run_line(run: ToolRun) -> str:
    """A call with what came of it, on one line that is cut where it gets too long."""
    arguments = json.dumps(run.arguments, ensure_ascii=False)
    line = sanitize(f"{run.name} {arguments} {_MARKS.get(run.state, run.state.value)} {run.result or ''}", strict=True)
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else _WIDTH
    return shortened(line, width)


def _print_line(line: str, *, dims: bool) -> None:
    is_dim = dims and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    print(f"{_DIM}{line}{_PLAIN}" if is_dim else line, file=sys.stderr, flush=True)
