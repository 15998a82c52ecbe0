"""Run as a program: imports all of nemochat once and forks for each command, which is a process of its own but pays for no imports.

Standard input is a socket. A message is a JSON object (arguments, folder, environment) with three descriptors; the answers are the process
id and, at its end, what waitpid says. Without arguments it is many commands, one after another (tests/cli/many_commands.py).
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import socket
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

import typer.main

import nemochat
import nemochat.cli.app as cli
from nemochat.__main__ import main
from tests.cli import many_commands

_OTHERS = ("nemochat.tui", "nemochat.engine.llama", "nemochat.engine.worker", "nemochat.engine.embed_worker", "nemochat.documents.kinds")
"""What the command does not import: the interface, and what runs in processes of its own."""


def serve(control: socket.socket) -> None:
    """Fork for each command until the other side has gone."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 3)
        if not message:
            return
        asked = json.loads(message)
        pid = os.fork()
        if pid == 0:
            control.close()
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.chdir(asked["folder"])
            os.environ.clear()
            os.environ.update(asked["environment"])
            sys.argv = ["nemochat", *(asked["arguments"] or ())]
            _end_of(main if asked["arguments"] is not None else many_commands.run_all)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(pid).encode())
        control.send(str(os.waitpid(pid, 0)[1]).encode())


def _end_of(run: Callable[[], None]) -> NoReturn:
    """Run it and end as Python does, but leave the memory as it is: taking it apart costs more than most commands."""
    code: object = 0
    try:
        run()
    except SystemExit as end:
        code = end.code or 0
    if not isinstance(code, int):
        sys.exit(str(code))
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads, and calls what was left for then
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    control = socket.socket(fileno=os.dup(0))
    for each in pkgutil.walk_packages(nemochat.__path__, "nemochat.", onerror=lambda _: None):
        if not each.name.startswith(_OTHERS) and each.name != "nemochat.documents.child":
            importlib.import_module(each.name)
    importlib.import_module("mcp")
    cli.app = typer.main.get_command(cli.app)  # type: ignore[assignment] # made once instead of for each
    gc.collect()
    gc.freeze()  # else the first collection in a fork copies all pages
    serve(control)
