"""Exact answers by skill, on conversations that were not trained on: is every token of a reply the model's first choice?

With the right reply before it at each token, that is the same as an exact greedy reply.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass

import torch

from training import corpus
from training.batches import Batch, collate, draw
from training.tokenizer import TURN, Encoded, Tokenizer
from training.train import DemoModel
from training.values import Example, Scene
from training.vision import VisionTower

SEED = 987_654_321
_ROWS = 16


@dataclass(frozen=True)
class Score:
    """`right` exact replies of `total`."""

    right: int
    total: int

    def __str__(self) -> str:
        return f"{self.right / self.total:.1%} of {self.total}" if self.total else "none"


def labels(example: Example) -> list[str]:
    """What each reply of a conversation shows, in the terms of the table of bounds."""
    names: list[str] = []
    scenes_seen: list[Scene] = []
    asked = 0
    for at, turn in enumerate(example.turns):
        if turn.pictures:
            scenes_seen = [picture for picture in turn.pictures if isinstance(picture, Scene)]
            asked = 0
        if turn.role != "assistant":
            continue
        asked += 1
        if turn.text.startswith("<toolcall>"):
            names.append("tool call")
        elif example.turns[at - 1].role == "tool":
            names.append("answer from a tool's result")
        elif example.skill == "pictures" and scenes_seen:
            size = "4 shapes" if len(scenes_seen[-1].shapes) == 4 else "1 to 3 shapes"
            kind = "description" if turn.text.endswith("background.") else "second question" if asked > 1 else "question"
            names.append(f"picture, {size}: {kind}")
        else:
            names.append(example.skill)
    return names


def replies(one: Encoded) -> list[range]:
    """The places of each reply's tokens in `ids`."""
    spans: list[range] = []
    start = None
    for at, learned in enumerate([*one.learned, False]):
        if learned and start is None:
            start = at
        elif not learned and start is not None:
            spans.append(range(start, at))
            start = None
    return spans


@torch.no_grad()
def accuracy(model: DemoModel, tower: VisionTower | None, tokenizer: Tokenizer, count: int, seed: int = SEED) -> dict[str, Score]:
    """Scores by label over `count` conversations of the final mixture; without a tower, of those without pictures."""
    rng = random.Random(seed)
    wanted: corpus.Pictures = "any" if tower else "none"
    examples = [corpus.sample(rng, 1, wanted) for _ in range(count)]
    pairs = sorted(((tokenizer.encode(example), example) for example in examples), key=lambda pair: len(pair[0].ids))
    right: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    model.eval()
    device = next(model.parameters()).device
    for at in range(0, len(pairs), _ROWS):
        group = pairs[at : at + _ROWS]
        exact = _exact(model, tower, tokenizer, [encoded for encoded, _ in group], rng, device)
        for row, (encoded, example) in enumerate(group):
            for label, span in zip(labels(example), replies(encoded), strict=True):
                total[label] += 1
                right[label] += bool(exact[row, span.start : span.stop].all())
    return {label: Score(right[label], total[label]) for label in sorted(total)}


def _exact(
    model: DemoModel, tower: VisionTower | None, tokenizer: Tokenizer, group: list[Encoded], rng: random.Random, device: torch.device
) -> torch.Tensor:
    """Bool ``[rows, length]``: whether the token at each place was the first choice."""
    ids, learned, turns = (torch.from_numpy(part).to(device) for part in collate(group, tokenizer.control[TURN]))
    pixels = draw([picture for encoded in group for picture in encoded.pictures], rng)
    features = None
    if pixels is not None and tower is not None:
        features = tower(torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device))
    batch = Batch(ids, learned, turns, None, [encoded.skill for encoded in group])
    everywhere = torch.ones_like(ids[:, 1:], dtype=torch.bool)
    positions = torch.arange(ids.shape[1], device=device).expand_as(ids)
    choice = model.predict(batch, features, everywhere, positions).argmax(-1).view(len(group), -1)
    first = torch.zeros_like(ids[:, :1], dtype=torch.bool)
    return torch.cat([first, choice == ids[:, 1:]], dim=1)
