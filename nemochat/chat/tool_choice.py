"""Which of the offered tools the model is told of when all of them would take too much of the prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nemochat.domain.messages import ToolSpec

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
