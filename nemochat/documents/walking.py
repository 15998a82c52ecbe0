"""The files of a folder that may be documents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MAX_FILES = 50_000
MAX_DEPTH = 32
_PASSED_OVER = frozenset({"node_modules", "__pycache__", "venv", "site-packages", "target", "dist", "build"})
_NO_TEXT_SUFFIXES = """
    .png .jpg .jpeg .gif .webp .bmp .avif .heic .tif .tiff .ico .mp3 .mp4 .mkv .avi .mov .wav .flac .ogg .zip .gz .xz .bz2 .zst .7z .tar
    .rar .exe .dll .so .dylib .o .a .pyc .class .jar .gguf .safetensors .bin .pt .onnx .db .sqlite .iso .img .ttf .otf .woff .woff2 .lock
"""
_NO_TEXT = frozenset(_NO_TEXT_SUFFIXES.split())


def files_below(folder: Path) -> Iterator[Path]:
    """Files in the order of their names. Hidden ones, links, what tools have made, and what cannot hold text by its name are passed over.

    Raises OSError when the folder itself cannot be listed.
    """
    found = 0
    os.scandir(folder).close()
    for at, folders, names in os.walk(folder, followlinks=False):
        here = Path(at)
        depth = len(here.relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _PASSED_OVER) if depth < MAX_DEPTH else []
        for name in sorted(names):
            path = here / name
            if name.startswith((".", "~$")) or path.suffix.lower() in _NO_TEXT or path.is_symlink() or not path.is_file():
                continue
            found += 1
            if found > MAX_FILES:
                return
            yield path
