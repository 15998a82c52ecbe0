"""The engine as something that can be absent: nemochat starts, says what is missing, and works with servers."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from nemochat.errors import EngineError, EngineMissingError

WHEELS = "https://abetlen.github.io/llama-cpp-python/whl"
"""llama-cpp-python's own index of compiled packages: /cpu, /metal, /vulkan, /cu124 and the like."""

WANTED = "llama-cpp-python>=0.3.36,<0.4"
"""What pyproject.toml asks for."""


def is_installed() -> bool:
    """Whether llama-cpp-python can be imported, without importing it."""
    try:
        return importlib.util.find_spec("llama_cpp") is not None
    except (ImportError, ValueError):
        return False


def install_command(kind: str = "cpu") -> str:
    """The command that installs a build of this kind where this nemochat is, compiled already where its index has it."""
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    if importlib.util.find_spec("pip") is None:  # uv makes environments without it
        return f'uv pip install --python {python} --extra-index-url {WHEELS}/{kind} "{WANTED}"'
    return f'{python} -m pip install --prefer-binary --extra-index-url {WHEELS}/{kind} "{WANTED}"'


def not_installed() -> EngineMissingError:
    """What is said where a model of this machine is wanted and llama-cpp-python is not there."""
    return EngineMissingError(
        "llama-cpp-python, which runs models on this machine, is not installed.",
        f"Install it with: {install_command()} - or use a server: nemochat servers add NAME URL",
    )


def not_started(error: Exception, log: Path) -> EngineError:
    """What is said when llama_cpp cannot be imported or set up. log: where the whole story is."""
    if isinstance(error, ModuleNotFoundError) and error.name == "llama_cpp":
        return not_installed()
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return EngineError(f"llama.cpp cannot be started: {said}.", f"Reinstall llama-cpp-python on this machine; details are in {log}.")
