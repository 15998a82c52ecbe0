"""What helps while typing: completion, dropped files, recall of earlier prompts, the draft that survives a crash, an editor."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from textual.app import SuspendNotSupported
from textual.screen import Screen

from nemochat.chat.completion import Completion, complete
from nemochat.chat.drops import Drop, find_drops
from nemochat.chat.recall import DraftFile, PromptHistory
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError
from nemochat.files import scratch_folder, write_whole
from nemochat.paths import Paths
from nemochat.system import environments, processes

_DRAFT_SECONDS = 0.5


class TypingAid:
    """Bound to this user's folders and to the places where names come from (`choices`, by command)."""

    def __init__(self, paths: Paths, choices: Callable[[], Mapping[str, Sequence[str]]]) -> None:
        self.history = PromptHistory(paths.prompt_history)
        self.draft = DraftFile(paths.draft)
        self._choices = choices
        self._timer: object | None = None
        self._has_complained = False

    def find_drops(self, text: str) -> Drop:
        """Files in a pasted or dropped text."""
        return find_drops(text, Path.cwd(), Path.home())

    def complete(self, text: str) -> Completion | None:
        """What may come next."""
        return complete(text, self._choices(), Path.cwd(), Path.home())

    def keep_draft(self, screen: Screen[None], text: str) -> None:
        """Save the draft soon, once the typing pauses."""
        if self._timer is not None:
            self._timer.stop()  # type: ignore[attr-defined]
        self._timer = screen.set_timer(_DRAFT_SECONDS, lambda: self._save(screen, text))

    def _save(self, screen: Screen[None], text: str) -> None:
        try:
            if text:
                self.draft.save(text)
            else:
                self.draft.clear()
        except NemochatError as error:
            # Once is enough: the disk will not be less full at the next letter.
            if not self._has_complained:
                self._has_complained = True
                screen.notify(error.message, severity="warning", markup=False)


def edit_in_editor(screen: Screen[None], text: str, name: str = "prompt.md") -> str | None:
    """Let the user write in $VISUAL or $EDITOR, in a file of that name; None when that failed (the user is told) or nothing was changed.

    The editor runs in the user's own folder, with all of their environment.
    """
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "") or ["vi"]
    with scratch_folder() as folder:
        path = folder / name
        write_whole(path, text.encode())
        try:
            with screen.app.suspend():
                done = processes.run([*command, str(path)], environments.everything(), Path.cwd())
        except SuspendNotSupported:
            screen.notify("This terminal cannot be left for an editor.", severity="warning", markup=False)
            return None
        except OSError as error:
            screen.notify(f"The editor {command[0]} cannot be started: {error.strerror}. Set EDITOR.", severity="error", markup=False)
            return None
        if done.returncode != 0:
            screen.notify(f"The editor ended with code {done.returncode}; the prompt is as it was.", severity="warning", markup=False)
            return None
        written = sanitize(path.read_text(encoding="utf-8", errors="replace")).rstrip("\n")
    return written if written != text else None
