"""Where this Python looks for modules."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def keep_out_current_folder() -> None:
    """Look for no module in the current folder, nor where a relative item of ``PYTHONPATH`` leads: an empty one is the current folder.

    ``python -m`` puts the current folder first. nemochat itself is still found: a package that is imported knows its own folder.
    """
    if sys.path and Path(sys.path[0]) == Path.cwd():
        del sys.path[0]
    items = os.environ["PYTHONPATH"].split(os.pathsep) if os.environ.get("PYTHONPATH") and not sys.flags.ignore_environment else []
    for folder in {str(Path(item).absolute()) for item in items if not Path(item).is_absolute()}:
        if folder in sys.path:
            sys.path.remove(folder)
