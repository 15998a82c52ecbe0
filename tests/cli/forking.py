"""Run as a program: imports all of nemochat once and forks for each command, which is a process of its own but pays for no imports.

Standard input is a socket. A message is a JSON object (arguments, folder, environment) with three descriptors; the answers are the process
id and, at its end, what waitpid says.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import socket
import sys

import nemochat
from nemochat.__main__ import main

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
            sys.argv = ["nemochat", *asked["arguments"]]
            main()
            sys.exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(pid).encode())
        control.send(str(os.waitpid(pid, 0)[1]).encode())


if __name__ == "__main__":
    control = socket.socket(fileno=os.dup(0))
    for each in pkgutil.walk_packages(nemochat.__path__, "nemochat.", onerror=lambda _: None):
        if not each.name.startswith(_OTHERS) and each.name != "nemochat.documents.child":
            importlib.import_module(each.name)
    importlib.import_module("mcp")
    gc.collect()
    gc.freeze()  # else the first collection in a fork copies all pages
    serve(control)
