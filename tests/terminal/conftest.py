"""A terminal with nemochat in it, its files in a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.terminal.tty import ROOT, Terminal, nemochat

Open = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    """Open nemochat in a terminal: with the demo model, or with `replies` by the scripted engine (`script` has its other fields)."""
    with ExitStack() as stack:

        def open_terminal(
            *arguments: str,
            replies: tuple[str, ...] = (),
            script: dict[str, Any] | None = None,
            columns: int = 120,
            rows: int = 40,
            **environment: str,
        ) -> Terminal:
            folders = {f"NEMOCHAT_{kind}_DIR": str(tmp_path / kind.lower()) for kind in ("CONFIG", "DATA", "LOG", "CACHE")}
            if replies or script:
                path = tmp_path / "model.script.json"
                path.write_text(json.dumps({"replies": [{"text": text} for text in replies or ("Yes.",)], **(script or {})}))
                arguments = ("--model", str(path), *arguments)
            variables = {**folders, "PYTHONPATH": str(ROOT), "NEMOCHAT_INTERFACE_PICTURES": "halfblocks", **environment}
            return stack.enter_context(Terminal(nemochat(*arguments), variables, tmp_path, columns, rows))

        yield open_terminal
