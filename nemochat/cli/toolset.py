"""All tools that there are, put together: nemochat's own, the user's, and those of MCP servers."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime

from nemochat import images
from nemochat.cli.setup import Setup
from nemochat.errors import NemochatError
from nemochat.paths import at_home
from nemochat.settings import Settings, ToolAsking
from nemochat.tools.approval import Rule, Rules
from nemochat.tools.builtin.every import Needs, builtin_tools
from nemochat.tools.builtin.notes import Notes
from nemochat.tools.builtin.pictures import Region
from nemochat.tools.builtin.roots import FileRoots
from nemochat.tools.builtin.search import Search
from nemochat.tools.making import Limits
from nemochat.tools.python_tools import read_tools
from nemochat.tools.registry import Registry
from nemochat.tui.workbench import ToolChest


def build_toolset(setup: Setup, original: Callable[[int], bytes | None] | None = None, search: Search | None = None) -> ToolChest:
    """The tools that need no server. original: the file of a picture of the conversation by its number; search: finds passages."""
    settings = setup.settings.tools
    limits = Limits(seconds=settings.seconds)
    needs = Needs(
        clock=lambda: datetime.now().astimezone(),
        roots=FileRoots(at_home(folder) for folder in settings.folders),
        notes=Notes(setup.paths.notes),
        original=original,
        crop=_crop,
        search=search,
        may_fetch=settings.fetch,
    )
    own = read_tools(setup.paths.tools, limits, os.environ)
    rules, problem = rules_of(setup.settings)
    return ToolChest(Registry([*builtin_tools(needs), *own.tools], limits), rules, (*own.notices, *((problem,) if problem else ())))


def rules_of(settings: Settings) -> tuple[Rules, str]:
    """The rules of the settings, and a sentence when they are wrong: then every call is asked about."""
    default = Rule.HARMLESS if settings.tools.ask is ToolAsking.HARMLESS_UNASKED else Rule.ASK
    try:
        rules = Rules(default, {name: Rule(rule) for name, rule in settings.tool_rules.items()})
        rules.check()
    except ValueError as error:
        allowed = ", ".join(rule.value for rule in Rule)
        return Rules(Rule.ASK), f"The rules of tools cannot be used: {error}. Allowed: {allowed}. Every call is asked about."
    except NemochatError as error:
        return Rules(Rule.ASK), f"The rules of tools cannot be used: {error.message} {error.hint} Every call is asked about."
    return rules, ""


def _crop(data: bytes, region: Region) -> bytes:
    return images.crop(data, region.left, region.top, region.right, region.bottom)
