"""Where nemochat keeps its files. Each place can be moved with an environment variable; `nemochat paths` prints them all."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

CONFIG_VARIABLE = "NEMOCHAT_CONFIG_DIR"
DATA_VARIABLE = "NEMOCHAT_DATA_DIR"
LOG_VARIABLE = "NEMOCHAT_LOG_DIR"
CACHE_VARIABLE = "NEMOCHAT_CACHE_DIR"


def at_home(path: Path | str) -> Path:
    """The path with ``~`` as the home folder; ``~somebody`` without one stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's own raises for the latter


@dataclass(frozen=True)
class Paths:
    """The four folders, absolute; none of them need exist yet."""

    config_dir: Path
    data_dir: Path
    log_dir: Path
    cache_dir: Path

    @property
    def settings_file(self) -> Path:
        """The settings, written by hand (TOML)."""
        return self.config_dir / "config.toml"

    @property
    def models_file(self) -> Path:
        """The models that were added, and which one is in use."""
        return self.data_dir / "models.json"

    @property
    def servers_file(self) -> Path:
        """The servers whose models answer."""
        return self.config_dir / "servers.toml"

    @property
    def keys_file(self) -> Path:
        """What is private of each server: its key, and that the user lets words leave for it."""
        return self.data_dir / "keys.toml"

    @property
    def models(self) -> Path:
        """The models that were downloaded."""
        return self.data_dir / "models"

    @property
    def library(self) -> Path:
        """The conversations and their pictures."""
        return self.data_dir / "library"

    @property
    def personas(self) -> Path:
        """The user's personas."""
        return self.data_dir / "personas"

    @property
    def claims(self) -> Path:
        """What running programs work on (`nemochat.library.claims`)."""
        return self.data_dir / "open.lock"

    @property
    def variables(self) -> Path:
        """The variables of macros that all chats share."""
        return self.data_dir / "variables.json"

    @property
    def lorebooks(self) -> Path:
        """The lorebooks that belong to no single persona."""
        return self.data_dir / "lorebooks"

    @property
    def evaluations(self) -> Path:
        """The runs of benchmarks, a folder each."""
        return self.data_dir / "evaluations"

    @property
    def questions(self) -> Path:
        """The user's own questions, kept in chats, with their pictures in a folder beside it."""
        return self.data_dir / "questions" / "own.jsonl"

    @property
    def presets(self) -> Path:
        """Sampling by name, a TOML file each."""
        return self.data_dir / "presets"

    @property
    def documents(self) -> Path:
        """The index of documents."""
        return self.data_dir / "documents" / "index.db"

    @property
    def states(self) -> Path:
        """What conversations were read to (KV states), so that they open warm."""
        return self.cache_dir / "states"

    @property
    def tools(self) -> Path:
        """The user's own tools: Python files."""
        return self.config_dir / "tools"

    @property
    def mcp_servers(self) -> Path:
        """The MCP servers, in the shape that other programs use."""
        return self.config_dir / "mcp.json"

    @property
    def mcp_pins(self) -> Path:
        """Which servers the user trusts, and what their tools looked like then."""
        return self.data_dir / "mcp-pins.json"

    @property
    def notes(self) -> Path:
        """What the model was asked to remember over conversations."""
        return self.data_dir / "notes.jsonl"

    @property
    def prompt_history(self) -> Path:
        """What was typed in earlier runs."""
        return self.data_dir / "prompts.jsonl"

    @property
    def drafts(self) -> Path:
        """What is being typed, a file for each program that runs, kept so that it survives a crash."""
        return self.data_dir / "drafts"

    @property
    def rescued(self) -> tuple[Path, Path]:
        """Where what cannot be written to its place by the end of the program waits for the next start: here, or where there is room."""
        mark = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        return self.data_dir / "rescued", _temporary() / f"nemochat-rescued-{mark}"

    @property
    def crash_log(self) -> Path:
        """Why the interface ended when it should not have."""
        return self.log_dir / "crash.log"

    @property
    def engine_log(self) -> Path:
        """What the engine and llama.cpp say."""
        return self.log_dir / "engine.log"


def _temporary() -> Path:
    """The system's folder for temporary files, the same each time. `tempfile` takes another one while that is full."""
    if sys.platform == "win32":
        folder = os.environ.get("TEMP") or os.environ.get("TMP") or at_home("~")
    else:
        folder = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - a folder of the user's own is made there
    return Path(folder)


def find_paths(environment: Mapping[str, str]) -> Paths:
    """The folders in force: the variable where it is set and not empty, else the platform's place for such files."""

    def place(variable: str, default: Path) -> Path:
        chosen = environment.get(variable)
        return at_home(chosen).absolute() if chosen else default

    standard = platformdirs.PlatformDirs("nemochat", appauthor=False)
    return Paths(
        config_dir=place(CONFIG_VARIABLE, standard.user_config_path),
        data_dir=place(DATA_VARIABLE, standard.user_data_path),
        log_dir=place(LOG_VARIABLE, standard.user_log_path),
        cache_dir=place(CACHE_VARIABLE, standard.user_cache_path),
    )
