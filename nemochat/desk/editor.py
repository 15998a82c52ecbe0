"""A text in the user's own editor."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from nemochat.desk.port import AskEditor, working_folder
from nemochat.domain.sanitize import sanitize
from nemochat.errors import NemochatError
from nemochat.files import reason, scratch_folder, write_whole
from nemochat.system import environments, processes
from nemochat.system.desktop import editor_command


def write_in_editor(ask: AskEditor, left: AbstractContextManager[object]) -> str | None:
    """Let the user write in $VISUAL or $EDITOR; None when nothing was changed. left: the terminal is the editor's within it.

    The editor runs in the user's own folder, with all of their environment. Raises NemochatError.
    """
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        command = editor_command(named)
    except ValueError as error:
        raise NemochatError(f"VISUAL or EDITOR has a quote that is not closed: {sanitize(named, strict=True)}. Set EDITOR.") from error
    with scratch_folder() as folder:
        path = folder / ask.name
        write_whole(path, ask.text.encode(errors="replace"))
        try:
            with left:
                done = processes.run([*command, str(path)], environments.everything(), working_folder())
        except (OSError, ValueError) as error:
            shown = sanitize(command[0], strict=True)
            raise NemochatError(f"The editor {shown} cannot be started: {reason(error)}. Set EDITOR.") from error
        if done.returncode != 0:
            raise NemochatError(f"The editor ended with code {done.returncode}; the text was not changed.")
        try:
            written = sanitize(path.read_text(encoding="utf-8", errors="replace")).rstrip("\n")
        except OSError as error:
            raise NemochatError(f"The edited text cannot be read: {reason(error)}.") from error
    return written if written != ask.text else None
