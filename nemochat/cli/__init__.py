"""The `nemochat` command. `app` is its shape and imports little; each command imports its own module when it runs."""

from __future__ import annotations

from nemochat.cli.app import main

__all__ = ["main"]
