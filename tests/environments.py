"""Python environments that tests make: new ones, with the packages of the one that runs the tests."""

from __future__ import annotations

import sys
import venv
from pathlib import Path


def make_environment(folder: Path, *without: str) -> Path:
    """An environment with links to every package that is here, but for those whose names begin so; the folder of its packages.

    nemochat is never among them.
    """
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for path in map(Path, sys.path):
        if path.name in ("site-packages", "dist-packages"):
            for each in path.iterdir():
                link = packages / each.name
                if each.suffix != ".pth" and not each.name.startswith(("nemochat", *without)) and not link.exists():
                    link.symlink_to(each)
    return packages


def python_of(folder: Path) -> str:
    """The interpreter of an environment."""
    return str(folder / "bin" / "python")
