"""Where this Python looks for modules. What is imported here is loaded in every Python already: anything else might be somebody's trap."""

import os
import sys


def keep_out_current_folder() -> None:
    """Look for no module in the current folder, nor where a relative item of ``PYTHONPATH`` leads: an empty one is the current folder.

    ``python -m`` puts the current folder first. nemochat itself is still found: a package that is imported knows its own folder.
    """
    if sys.path and os.path.abspath(sys.path[0]) == os.getcwd():  # noqa: PTH100, PTH109
        del sys.path[0]
    items = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    for item in items.split(os.pathsep) if items else ():
        folder = os.path.abspath(item)  # noqa: PTH100
        if not os.path.isabs(item) and folder in sys.path:  # noqa: PTH117
            sys.path.remove(folder)
