"""Batches of conversations, made ahead by a process of its own while the model learns from the last ones."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training import corpus, scenes
from training.corpus import has_picture, sample, sample_skill
from training.drills import Drills
from training.tokenizer import IMAGE, TURN, Encoded, Tokenizer
from training.values import Example, Picture

LONGEST = 720
"""Conversations of more tokens are left out: they cost much and teach little more."""
_AHEAD = 24
_DRILL_TOKENS = 120
_GATHERED = 400


@dataclass(frozen=True)
class Mixture:
    """What a batch is drawn from.

    `pictures` is the share of batches whose conversations hold a picture, `drills` that of drills (see `drills`). `boost` adds
    conversations of weak skills: `boost_share` of all conversations go to them, in the proportions given.
    """

    stage: int = 1
    pictures: float = 0.5
    drills: float = 0.0
    boost: Mapping[str, float] | None = None
    boost_share: float = 0.3


@dataclass(frozen=True)
class Batch:
    """Padded conversations of about the same length. `ids` and `learned` are ``[batch, length]``; IMAGE stands for an image embedding.

    `pixels` is uint8 ``[pictures, 3, side, side]`` in the order in which the pictures occur; `turns` marks the turn markers.
    """

    ids: Tensor
    learned: Tensor
    turns: Tensor
    pixels: Tensor | None
    skills: list[str]

    def positions(self, stretched: float = 0.3, context: int = 4000) -> Tensor:
        """Positions ``[batch, length]`` that jump at some turns in a share `stretched` of the rows.

        So distances up to the whole context occur in training, though no conversation is so long (RoPE sees distances only).
        """
        rows, length = self.ids.shape
        jumps = self.turns & (torch.rand(rows, 1) < stretched) & (torch.rand(rows, length) < 0.4)
        share = (context - length) / jumps.sum(1, keepdim=True).clamp(min=1)
        gaps = (torch.rand(rows, length) * share * jumps).long()
        return torch.arange(length)[None] + gaps.cumsum(1)


class Batches:
    """An endless supply of batches from a background process; `mixture` may be changed while it runs."""

    def __init__(self, tokenizer: Path, seed: int, tokens: int, mixture: Mixture) -> None:
        context = mp.get_context("spawn")
        self._queue: Any = context.Queue(_AHEAD)
        self._mixtures: Any = context.Queue()
        self._mixtures.put(mixture)
        self._process = context.Process(target=_produce, args=(self._queue, self._mixtures, tokenizer, seed, tokens), daemon=True)
        self._process.start()

    def change(self, mixture: Mixture) -> None:
        self._mixtures.put(mixture)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            ids, learned, turns, pixels, skills = self._queue.get()
            seen = None if pixels is None else torch.from_numpy(pixels).permute(0, 3, 1, 2)
            yield Batch(torch.from_numpy(ids), torch.from_numpy(learned), torch.from_numpy(turns), seen, skills)

    def close(self) -> None:
        self._process.terminate()


def collate(encoded: list[Encoded], turn_id: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Ids (0 where padded), what is learned, and turn markers, each ``[batch, longest]``."""
    longest = max(len(one.ids) for one in encoded)
    ids = np.zeros((len(encoded), longest), np.int64)
    learned = np.zeros((len(encoded), longest), np.bool_)
    for row, one in enumerate(encoded):
        ids[row, : len(one.ids)], learned[row, : len(one.ids)] = one.ids, one.learned
    return ids, learned, ids == turn_id


def draw(pictures: list[Picture], rng: random.Random) -> npt.NDArray[np.uint8] | None:
    """Pixels ``[n, side, side, 3]``; None when there are none."""
    return np.stack([scenes.to_pixels(scenes.draw(picture, rng)) for picture in pictures]) if pictures else None


def _example(rng: random.Random, mixture: Mixture, pictures: bool) -> Example:
    boosted = {name: share for name, share in (mixture.boost or {}).items() if (name in corpus.WITH_PICTURES) == pictures}
    if boosted and rng.random() < mixture.boost_share:
        example = sample_skill(rng.choices(list(boosted), list(boosted.values()))[0], rng, mixture.stage)
        if has_picture(example) == pictures:
            return example
    return sample(rng, mixture.stage, "only" if pictures else "none")


def _cut(encoded: list[Encoded], tokens: int) -> list[list[Encoded]]:
    """Groups of neighbours in length that fill at most `tokens` when padded."""
    groups: list[list[Encoded]] = [[]]
    for one in sorted(encoded, key=lambda each: len(each.ids)):
        if groups[-1] and (len(groups[-1]) + 1) * len(one.ids) > tokens:
            groups.append([])
        groups[-1].append(one)
    return groups


def _produce(queue: Any, mixtures: Any, tokenizer_path: Path, seed: int, tokens: int) -> None:
    os.nice(4)
    tokenizer, rng = Tokenizer(tokenizer_path), random.Random(seed)
    drills = Drills(tokenizer)
    mixture: Mixture = mixtures.get()
    waiting: dict[bool, list[list[Encoded]]] = {True: [], False: []}
    while True:
        while not mixtures.empty():
            mixture = mixtures.get()
            waiting = {True: [], False: []}
        pictures = rng.random() < mixture.pictures
        if rng.random() < mixture.drills:
            shown = rng.choice((1, 1, 2)) if pictures else 0
            number = max(1, tokens // (_DRILL_TOKENS + 80 * max(0, shown - 1)))
            made = [drills.picture(rng, shown) if shown else drills.pairs(rng) for _ in range(number)]
            queue.put(_pack(made, tokenizer, rng))
            continue
        if not waiting[pictures]:
            encoded = (tokenizer.encode(_example(rng, mixture, pictures)) for _ in range(_GATHERED))
            waiting[pictures] = _cut([one for one in encoded if len(one.ids) <= LONGEST], tokens)
            rng.shuffle(waiting[pictures])
        queue.put(_pack(waiting[pictures].pop(), tokenizer, rng))


def _pack(group: list[Encoded], tokenizer: Tokenizer, rng: random.Random) -> tuple[Any, ...]:
    pixels = draw([picture for one in group for picture in one.pictures], rng)
    return (*collate(group, tokenizer.control[TURN]), pixels, [one.skill for one in group])


def image_slots(ids: Tensor) -> Tensor:
    """Flat indices of the places of image embeddings."""
    return torch.nonzero(ids.reshape(-1) == IMAGE)[:, 0]
