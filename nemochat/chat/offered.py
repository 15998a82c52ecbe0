"""The tools that the model is told of in a session, which ones where all would take too much of the prompt, and what holds its calls to
their schemas."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from nemochat.chat.toolbox import with_tools
from nemochat.domain.chat import Chat
from nemochat.domain.messages import ToolSpec
from nemochat.engine.protocol import Engine
from nemochat.prompt.format import ChatFormat
from nemochat.prompt.grammar import tool_call_grammar

_WORD = re.compile(r"[^\W_]{3,}")
_STEM = 5
"""Letters that two words have to share from their beginning on to be the same word."""


def choose(
    offered: Sequence[ToolSpec], costs: Mapping[str, int], text: str, before: Sequence[str], budget: int
) -> tuple[ToolSpec, ...]:
    """The tools that `text` needs most, within `budget` tokens (0: no limit), in the order in which they are offered.

    costs: tokens of each tool, by name. before: the names that were told of last; as long as no other tool is called for they stay, because
    the tools stand at the beginning of the prompt and a change makes the engine read all of it anew.
    """
    if not budget or sum(costs[spec.name] for spec in offered) <= budget:
        return tuple(offered)
    wanted = _stems(text)
    scores = {spec.name: len(wanted & _stems(f"{spec.name} {spec.description}")) for spec in offered}
    kept = [spec for spec in offered if spec.name in before]
    if kept and not any(score for name, score in scores.items() if name not in before):
        return tuple(kept)
    order = sorted(offered, key=lambda spec: (-scores[spec.name], spec.name not in before))
    chosen: set[str] = set()
    left = budget
    for spec in order:
        if costs[spec.name] <= left:
            chosen.add(spec.name)
            left -= costs[spec.name]
    return tuple(spec for spec in offered if spec.name in chosen)


def _stems(text: str) -> set[str]:
    return {word[:_STEM] for word in _WORD.findall(text.lower().replace("_", " "))}


class Offered:
    """budget: tokens of the prompt that tools may take, 0 for no limit; when they take more, those that the words call for are told of."""

    def __init__(self, engine: Engine, format_: Callable[[], ChatFormat]) -> None:
        """`format_`: that of the model, once it is loaded."""
        self.budget = 0
        self._engine = engine
        self._format = format_
        self._costs: tuple[tuple[ToolSpec, ...], dict[str, int]] = ((), {})
        self._chosen: tuple[ToolSpec, ...] = ()
        self._grammar: tuple[tuple[ToolSpec, ...], str] = ((), "")

    async def costs(self, specs: Sequence[ToolSpec]) -> list[int]:
        """What offering each of these tools costs in every prompt, in tokens. Raises EngineError."""
        groups = [await self._format().tool_segments(spec) for spec in specs]
        counts = iter(await self._engine.count([segment for group in groups for segment in group]))
        return [sum(next(counts) for _ in group) for group in groups]

    async def told_of(self, chat: Chat, text: str) -> tuple[ToolSpec, ...]:
        """Which of the chat's tools the model is told of when the user says `text` next."""
        offered = chat.frame.tools
        if not self.budget or not offered:
            return offered
        if self._costs[0] != offered:
            self._costs = (offered, dict(zip((spec.name for spec in offered), await self.costs(offered), strict=True)))
        return choose(offered, self._costs[1], text, [spec.name for spec in self._chosen], self.budget)

    async def settle(self, chat: Chat, text: str) -> None:
        """The user says `text`: from now on the model is told of what that calls for."""
        if self.budget:
            self._chosen = await self.told_of(chat, text)

    def in_force(self, chat: Chat) -> Chat:
        """The chat with those of its tools that the model was told of last."""
        if not self.budget or not self._chosen:
            return chat
        names = {spec.name for spec in self._chosen}
        return with_tools(chat, [spec for spec in chat.frame.tools if spec.name in names])

    def forced(self, tools: tuple[ToolSpec, ...], tool: str) -> tuple[ToolSpec, ...]:
        """The tools of which one has to be called: the one of that name, or any of them for ""."""
        return tuple(spec for spec in tools if tool in ("", spec.name))

    def grammar_of(self, tools: tuple[ToolSpec, ...]) -> str:
        """What holds the calls of these tools; made once for the same ones."""
        if self._grammar[0] != tools:
            self._grammar = (tools, tool_call_grammar(tools, self._format().style).text)
        return self._grammar[1]
