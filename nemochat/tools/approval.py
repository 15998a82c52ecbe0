"""What the user allows: rules from the settings, and what was said in this chat.

Everything here comes from the user. A tool, its description and its results have no way in: `Approvals` is changed by `remember` alone,
with what the user answered. Where anything is unclear, the answer is to ask.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from nemochat.domain.tools import Approval, OfferedTool, ToolOrigin, ToolRequest
from nemochat.domain.visible import visible
from nemochat.errors import SettingsError


class Rule(StrEnum):
    """What the settings say about a tool."""

    ASK = "ask"
    HARMLESS = "harmless unasked"
    NEVER = "never"
    ALWAYS = "always"


class Verdict(StrEnum):
    """What is to be done with a call."""

    RUN = "run"
    ASK = "ask"
    REFUSE = "refuse"


_STRICTEST_FIRST = (Rule.NEVER, Rule.ASK, Rule.HARMLESS)
_WILD = "*?["


class Rules(msgspec.Struct, frozen=True):
    """The rules of the settings. default: for tools that no other rule names. by_tool: by name or pattern (``read_*``, ``github/*``).

    A tool of an MCP server is also known as ``server/name``. An exact name goes before a pattern, among patterns the strictest counts.
    `always` holds only for an exact name, and for a tool of a server only as ``server/name``: else a server could take a trusted name.
    """

    default: Rule = Rule.HARMLESS
    by_tool: dict[str, Rule] = {}

    def check(self) -> None:
        """Raise SettingsError for an `always` that names more than one tool."""
        if self.default is Rule.ALWAYS:
            raise SettingsError("Not every tool can be allowed at once.", "Name each tool that may run unasked.")
        for name, rule in self.by_tool.items():
            if rule is Rule.ALWAYS and _is_pattern(name):
                raise SettingsError(f"“{name}” is a pattern, and “always” needs an exact name.", "Name each tool that may run unasked.")

    def of(self, offered: OfferedTool) -> Rule:
        """The rule for a tool."""
        name, full = offered.name, f"{offered.source}/{offered.name}"
        exact = [self.by_tool[key] for key in (full, name) if key in self.by_tool]
        if Rule.NEVER in exact:
            return Rule.NEVER
        for key in (full, name):
            rule = self.by_tool.get(key)
            if rule is Rule.ALWAYS and (_is_pattern(key) or (key == name and offered.origin is ToolOrigin.MCP)):
                continue
            if rule is not None:
                return rule
        fitting = {rule for key, rule in self.by_tool.items() if _is_pattern(key) and (fnmatchcase(name, key) or fnmatchcase(full, key))}
        found = next((rule for rule in _STRICTEST_FIRST if rule in fitting), self.default)
        return Rule.ASK if found is Rule.ALWAYS else found

    def asking(self, names: Collection[str]) -> Rules:
        """These rules, and what would let one of these tools (``server/name``) run unasked does not: it is not as it was accepted."""
        asked = {name: Rule.ASK for name, rule in self.by_tool.items() if name in names and rule is Rule.ALWAYS}
        return msgspec.structs.replace(self, by_tool={**self.by_tool, **asked})

    def with_always(self, *names: str) -> Rules:
        """These rules, and the named tools run unasked (``--yes-tool NAME``). What is `never` stays so."""
        allowed = {name: Rule.ALWAYS for name in names if self.by_tool.get(name) is not Rule.NEVER}
        return msgspec.structs.replace(self, by_tool={**self.by_tool, **allowed})


class Approvals:
    """The memory of one conversation. `rules` may be replaced when the settings change."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self._said: dict[tuple[str, str, str], tuple[str, Approval]] = {}
        self._pinned: dict[tuple[str, str, str], str] = {}

    def verdict(self, offered: OfferedTool) -> Verdict:
        """What is to be done with a call of this tool."""
        rule, key = self.rules.of(offered), _key(offered)
        known, said = self._said.get(key, (None, None))
        if rule is Rule.NEVER or (said is Approval.NEVER and known == offered.fingerprint):
            return Verdict.REFUSE
        if said is not None:
            # The user spoke about another form of it: neither a rule nor harmlessness can say what they would say to this one.
            is_same = said is Approval.ALWAYS and bool(known) and known == offered.fingerprint
            return Verdict.RUN if is_same else Verdict.ASK
        if rule is Rule.ALWAYS:
            return Verdict.RUN if self._pinned.setdefault(key, offered.fingerprint) == offered.fingerprint else Verdict.ASK
        is_harmless = offered.is_harmless and offered.origin is ToolOrigin.BUILTIN
        return Verdict.RUN if rule is Rule.HARMLESS and is_harmless else Verdict.ASK

    def remember(self, request: ToolRequest, approval: Approval) -> None:
        """Keep what the user said for the rest of the chat, if they said it for more than once."""
        if approval in (Approval.ALWAYS, Approval.NEVER):
            self._said[_key(request.tool)] = (request.tool.fingerprint, approval)

    def forget(self, offered: OfferedTool) -> None:
        """Ask again about a tool."""
        self._said.pop(_key(offered), None)

    @property
    def said(self) -> Mapping[str, Approval]:
        """What was said for the rest of the chat, by the tool's name, for people."""
        return {name: approval for (_, _, name), (_, approval) in self._said.items()}


def arguments_for_people(arguments: Mapping[str, Any]) -> str:
    """The arguments in full as they are shown before they are approved: JSON on several lines.

    Whatever cannot be seen stands as ``\\uXXXX``, so it is still the JSON of these arguments and of no others.
    """
    return visible(json.dumps(arguments, ensure_ascii=False, indent=2), kept="\n")


def _is_pattern(name: str) -> bool:
    return any(character in name for character in _WILD)


def _key(offered: OfferedTool) -> tuple[str, str, str]:
    return (offered.origin.value, offered.source, offered.name)
