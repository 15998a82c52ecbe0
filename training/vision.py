"""The demo model's vision tower, and how it learns to see before there is any language.

The tower is what llama.cpp's CLIP runs with ``feature_layer = [block_count]``: learned positions, ``pre_ln``, pre-norm blocks with
quick GELU, no norm after them; every patch goes to the projector. It has no class token: llama.cpp (``mtmd/models/llava.cpp``)
appends one after the patches but drops the first row, so that with one the first patch is lost. Names in the state dict are the
GGUF's tensor names without their leading ``v.``.

    python -m training.vision --minutes 25 --out vision.pt      trains
    python -m training.vision --check vision.pt                 prints the accuracy on pictures it has not seen
"""

from __future__ import annotations

import argparse
import math
import multiprocessing as mp
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training import scenes
from training.optim import Muon
from training.scenes import LABELS, UNLABELLED
from training.values import BACKGROUNDS, COLOURS, KINDS, PLACES, Picture, Scene

IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)

SWAPS = {"left-right": [1, 0, 3, 2], "top-bottom": [2, 3, 0, 1]}
"""Where the quadrants go when the picture's halves change places."""


@dataclass(frozen=True)
class VisionConfig:
    """The sizes of a tower; `ffn` must differ from `width` (llama.cpp would take the two matrices for each other)."""

    image_size: int = scenes.SIDE
    patch_size: int = 14
    width: int = 160
    layers: int = 5
    heads: int = 5
    ffn: int = 480
    eps: float = 1e-5

    @property
    def patches(self) -> int:
        """Patches in a picture, which are the tokens that it costs."""
        return (self.image_size // self.patch_size) ** 2


class Block(nn.Module):
    """A pre-norm transformer block with biases and quick GELU."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.ln1, self.ln2 = nn.LayerNorm(width, eps=config.eps), nn.LayerNorm(width, eps=config.eps)
        self.attn_q, self.attn_k, self.attn_v = (nn.Linear(width, width) for _ in range(3))
        self.attn_out = nn.Linear(width, width)
        self.ffn_up, self.ffn_down = nn.Linear(width, config.ffn), nn.Linear(config.ffn, width)
        for last in (self.attn_out, self.ffn_down):
            nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] to the same shape."""
        batch, tokens, width = x.shape
        inner = self.ln1(x)
        q, k, v = (part(inner).view(batch, tokens, self.heads, -1).transpose(1, 2) for part in (self.attn_q, self.attn_k, self.attn_v))
        x = x + self.attn_out(_attend(q, k, v).transpose(1, 2).reshape(batch, tokens, width))
        # Quick GELU is x * sigmoid(1.702 x) = silu(1.702 x) / 1.702; on the weights the two factors cost nothing.
        inner = F.silu(F.linear(self.ln2(x), 1.702 * self.ffn_up.weight, 1.702 * self.ffn_up.bias))
        return x + F.linear(inner, self.ffn_down.weight / 1.702, self.ffn_down.bias)


class VisionTower(nn.Module):
    """Pictures to patch features, exactly as llama.cpp computes them."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: VisionConfig | None = None) -> None:
        super().__init__()
        self.config = config or VisionConfig()
        width = self.config.width
        self.patch_embd = nn.Conv2d(3, width, self.config.patch_size, self.config.patch_size, bias=False)
        self.position_embd = nn.Embedding(self.config.patches, width)
        self.pre_ln = nn.LayerNorm(width, eps=self.config.eps)
        self.blk = nn.ModuleList(Block(self.config) for _ in range(self.config.layers))
        self.register_buffer("mean", 255 * torch.tensor(IMAGE_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(IMAGE_STD).view(3, 1, 1), persistent=False)
        with torch.no_grad():
            self.patch_embd.weight.copy_(_wave_filters(self.config))
            self.position_embd.weight.copy_(_wave_positions(self.config))

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 [B, 3, image_size, image_size] (RGB, not normalised) to features [B, patches, width]."""
        side, size = self.config.image_size // self.config.patch_size, self.config.patch_size
        batch = pixels.shape[0]
        x: Tensor = ((pixels - self.mean) / self.std).view(batch, 3, side, size, side, size)
        x = x.permute(0, 2, 4, 1, 3, 5).reshape(batch, side * side, -1)
        x = self.pre_ln(F.linear(x, self.patch_embd.weight.flatten(1)) + self.position_embd.weight)
        for block in self.blk:
            x = block(x)
        return x


def _attend(q: Tensor, k: Tensor, v: Tensor, leaning: Tensor | float = 0.0) -> Tensor:
    """Attention over [B, heads, T, width / heads], `leaning` added to its logits.

    Written out because the fused kernel's backward pass is several times slower on a CPU at 64 tokens.
    """
    return torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + leaning, -1) @ v


def _quadrants(config: VisionConfig) -> Tensor:
    """First leanings [5, patches] of the head's queries: each to its quadrant, the last to none."""
    side = config.image_size // config.patch_size
    row, column = torch.arange(side)[:, None] >= side // 2, torch.arange(side)[None] >= side // 2
    leanings = [torch.where((row == bottom) & (column == right), 2.0, -3.0) for bottom in (False, True) for right in (False, True)]
    return torch.stack([*leanings, torch.zeros(side, side)]).flatten(1)


def _wave_filters(config: VisionConfig) -> Tensor:
    """First patch filters [width, 3, size, size]: random mixtures of slow cosines, the finer ones louder.

    Plain noise would answer to little but a patch's mean, since flat pictures have most of their power there.
    """
    size, waves = config.patch_size, 7
    at = (torch.arange(size) + 0.5) * math.pi / size
    basis = torch.cos(torch.arange(waves)[:, None] * at)
    basis = basis / basis.norm(dim=1, keepdim=True)
    rate = torch.arange(waves)
    gain = (1.0 + rate[:, None] ** 2 + rate[None] ** 2).sqrt() / size
    gain[0, 0] *= 2
    mixture = torch.randn(config.width, 3, waves, waves) * gain / 3
    filters: Tensor = torch.einsum("wcuv,ui,vj->wcij", mixture, basis, basis)
    return filters


def _wave_positions(config: VisionConfig) -> Tensor:
    """First positions [patches, width]: sines of row and column in random mixtures, so that neighbours are alike."""
    side = config.image_size // config.patch_size
    at = (torch.arange(side) + 0.5) * math.pi / side
    along = torch.cat([torch.cos(torch.arange(4)[:, None] * at), torch.sin(torch.arange(1, 4)[:, None] * at)])
    pairs = torch.einsum("ui,vj->uvij", along, along).reshape(-1, side * side)
    mixed = torch.randn(config.width, pairs.shape[0]) @ pairs
    return 0.5 * (mixed / mixed.std()).T


@dataclass(frozen=True)
class Seen:
    """What the auxiliary head says, as logits; 0 among kinds and colours means that nothing is there."""

    kinds: Tensor
    """[B, 4, 7], in the order of PLACES."""
    colours: Tensor
    """[B, 4, 9]"""
    background: Tensor
    """[B, 3]"""
    sort: Tensor
    """[B, 3]: a scene, writing, something else."""
    patch_kinds: Tensor
    """[B, patches, 7]"""
    patch_colours: Tensor
    """[B, patches, 9]"""
    rows: Tensor
    """[B, patches, side]: in which row of patches each lies; without being asked for it, a tower forgets where a patch is."""
    columns: Tensor
    """[B, patches, side]"""


class Head(nn.Module):
    """Reads the features for training only: one attention query for each quadrant and one for the whole."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm = nn.LayerNorm(width, eps=config.eps)
        self.queries = nn.Parameter(0.1 * torch.randn(len(PLACES) + 1, width))
        self.leaning = nn.Parameter(_quadrants(config))
        self.key_value = nn.Linear(width, 2 * width)
        self.kind, self.colour = nn.Linear(width, 1 + len(KINDS)), nn.Linear(width, 1 + len(COLOURS))
        self.background, self.sort = nn.Linear(width, len(BACKGROUNDS)), nn.Linear(width, 3)
        self.patch_kind, self.patch_colour = nn.Linear(width, 1 + len(KINDS)), nn.Linear(width, 1 + len(COLOURS))
        side = config.image_size // config.patch_size
        self.row, self.column = nn.Linear(width, side), nn.Linear(width, side)

    def forward(self, features: Tensor) -> Seen:
        """[B, patches, width] to logits."""
        batch, _, width = features.shape
        features = self.norm(features)
        k, v = (part.reshape(batch, -1, self.heads, width // self.heads).transpose(1, 2) for part in self.key_value(features).chunk(2, -1))
        q = self.queries.view(-1, self.heads, width // self.heads).transpose(0, 1).expand(batch, -1, -1, -1).to(k.dtype)
        found = _attend(q, k, v, self.leaning).transpose(1, 2).reshape(batch, -1, width)
        places, whole = found[:, :-1], found[:, -1]
        patches = self.patch_kind(features), self.patch_colour(features), self.row(features), self.column(features)
        return Seen(self.kind(places), self.colour(places), self.background(whole), self.sort(whole), *patches)


def split_labels(labels: Tensor) -> dict[str, Tensor]:
    """int8 [B, 139] to int64 [B, n] by name."""
    return dict(zip(LABELS, torch.split(labels.long(), list(LABELS.values()), 1), strict=True))


def shuffled_halves(pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Half of the pictures mirrored, and of the square scenes half with left and right, or top and bottom, exchanged.

    Every shape of the domain is its own mirror image, and in a square picture each lies in its own half, so the result is
    a scene that might have been drawn. Writing is left as it is.
    """
    parts = split_labels(labels)
    is_scene = parts["sort"][:, 0] == 0
    movable = is_scene & (parts["square"][:, 0] == 1)
    moves: list[tuple[Tensor, str, Callable[[Tensor], Tensor]]] = [
        (is_scene, "left-right", lambda x: x.flip(-1)),
        (movable, "left-right", lambda x: x.roll(x.shape[-1] // 2, -1)),
        (movable, "top-bottom", lambda x: x.roll(x.shape[-2] // 2, -2)),
    ]
    for allowed, swap, move in moves:
        chosen = allowed & (torch.rand(len(allowed)) < 0.5)
        pixels = torch.where(chosen[:, None, None, None], move(pixels), pixels)
        for name in ("kinds", "colours"):
            parts[name] = torch.where(chosen[:, None], parts[name][:, SWAPS[swap]], parts[name])
            dense = f"patch_{name}"
            moved = move(parts[dense].view(-1, 8, 8)).flatten(1)
            parts[dense] = torch.where(chosen[:, None], moved, parts[dense])
    return pixels, torch.cat(list(parts.values()), 1)


def loss_of(seen: Seen, labels: Tensor) -> Tensor:
    """The weighted sum of the cross entropies; kinds weigh most, being the hardest to tell."""
    parts = split_labels(labels)
    weights = {"kinds": 1.0, "colours": 0.5, "background": 0.2, "sort": 0.2, "patch_kinds": 1.0, "patch_colours": 0.5}
    losses = []
    for name, weight in weights.items():
        logits: Tensor = getattr(seen, name)
        losses.append(weight * F.cross_entropy(logits.flatten(0, -2).float(), parts[name].flatten(), ignore_index=UNLABELLED))
    count, side = seen.rows.shape[0], seen.rows.shape[-1]
    at = torch.arange(side * side, device=seen.rows.device)
    for logits, truth in ((seen.rows, at // side), (seen.columns, at % side)):
        losses.append(0.7 * F.cross_entropy(logits.flatten(0, 1).float(), truth.repeat(count)))
    return torch.stack(losses).sum()


def load_tower(path: Path | str) -> VisionTower:
    """The tower of a checkpoint that `train` wrote."""
    return _load(path)[0]


def _load(path: Path | str) -> tuple[VisionTower, Head]:
    saved = torch.load(path, map_location="cpu", weights_only=True)
    config = VisionConfig(**saved["config"])
    tower, head = VisionTower(config), Head(config)
    tower.load_state_dict(saved["tower"])
    head.load_state_dict(saved["head"])
    return tower, head


def save(path: Path, tower: VisionTower, head: Head, **facts: float) -> None:
    """Write a checkpoint for `load_tower`, replaced in one step."""
    unfinished = path.with_suffix(".part")
    torch.save({"config": asdict(tower.config), "tower": tower.state_dict(), "head": head.state_dict(), **facts}, unfinished)
    unfinished.replace(path)


class Pool:
    """Pictures that a process of low priority draws ahead; each is used several times, its halves exchanged."""

    def __init__(self, capacity: int, seed: int, chunk: int = 500) -> None:
        self.pixels = torch.empty((capacity, 3, scenes.SIDE, scenes.SIDE), dtype=torch.uint8)
        self.labels = torch.empty((capacity, sum(LABELS.values())), dtype=torch.int8)
        self.filled = 0
        context = mp.get_context("spawn")
        self._chunks: Any = context.Queue(4)
        self._artist = context.Process(target=_draw_ahead, args=(self._chunks, capacity // chunk, chunk, seed), daemon=True)
        self._artist.start()

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        """A random batch, half of it from the newest eighth of the pool."""
        while self.filled < len(self.pixels) and (self.filled == 0 or not self._chunks.empty()):
            pixels, labels = self._chunks.get()
            end = self.filled + len(pixels)
            self.pixels[self.filled : end], self.labels[self.filled : end] = torch.from_numpy(pixels), torch.from_numpy(labels)
            self.filled = end
        anywhere = torch.randint(0, self.filled, (count - count // 2,))
        newest = torch.randint(self.filled - self.filled // 8 - 1, self.filled, (count // 2,))
        chosen = torch.cat([anywhere, newest]) if self.filled < len(self.pixels) else torch.randint(0, self.filled, (count,))
        return shuffled_halves(self.pixels[chosen], self.labels[chosen])


def _draw_ahead(chunks: Any, count: int, size: int, seed: int) -> None:
    os.nice(5)
    trainer = mp.parent_process()
    for index in range(count):
        drawn = scenes.draw_batch(random.Random(seed * 1_000_000 + index), size)
        while chunks.full():
            # A trainer that was killed cannot stop its artist, so the artist looks for itself.
            if trainer is None or not trainer.is_alive():
                chunks.cancel_join_thread()
                return
            time.sleep(1.0)
        chunks.put(drawn)


def train(
    out: Path,
    minutes: float,
    batch: int = 96,
    capacity: int = 60_000,
    seed: int = 1,
    lr: float = 1.0,
    start_from: Path | None = None,
    compiled: bool = False,
) -> None:
    """Trains a new tower on one thread for `minutes` (compilation included); writes it to `out` every two minutes and at the end."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    tower, head = _load(start_from) if start_from else (VisionTower(), Head(VisionConfig()))
    hidden = [p for name, p in tower.named_parameters() if name.startswith("blk.") and p.ndim == 2]
    others = [p for name, p in tower.named_parameters() if not (name.startswith("blk.") and p.ndim == 2)] + list(head.parameters())
    optimisers: list[tuple[torch.optim.Optimizer, float]] = [
        (Muon(hidden), 0.02 * lr),
        (torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.01), 2e-3 * lr),
    ]
    features: Callable[[Tensor], Tensor] = torch.compile(tower) if compiled else tower
    unseen = scenes.draw_batch(random.Random(99), 400)
    held_out = torch.from_numpy(unseen[0]), torch.from_numpy(unseen[1])
    pool = Pool(capacity, seed)
    pool.take(1)
    start = saved = time.monotonic()
    step, mean_loss, length = 0, 0.0, minutes * 60
    while (gone := time.monotonic() - start) < length:
        pixels, labels = pool.take(batch)
        rate = min(1.0, (step + 1) / 60) * min(1.0, (1 - gone / length) / 0.6)
        for optimiser, top in optimisers:
            optimiser.param_groups[0]["lr"] = top * rate
            optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            seen = head(features(pixels))
        loss = loss_of(seen, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser, _ in optimisers:
            optimiser.step()
        step += 1
        mean_loss += (loss.item() - mean_loss) / min(step, 50)
        if step % 50 == 0:
            scores = f" {accuracy(tower, head, *held_out)}" if step % 200 == 0 else ""
            print(f"{gone:.0f} s, {step * batch} pictures, {pool.filled} drawn, loss {mean_loss:.3f}{scores}", flush=True)
        if time.monotonic() - saved > 120:
            save(out, tower, head, pictures=step * batch, seconds=gone, seed=seed)
            saved = time.monotonic()
    save(out, tower, head, pictures=step * batch, seconds=length, seed=seed)
    print(f"final {accuracy(tower, head, *held_out)}", flush=True)


@torch.no_grad()
def predictions(tower: VisionTower, head: Head, pixels: Tensor) -> dict[str, Tensor]:
    """The likeliest classes, int64: `kinds` and `colours` [B, 4], `background` and `sort` [B]."""
    parts = [head(tower(some)) for some in torch.split(pixels, 100)]
    return {name: torch.cat([getattr(part, name) for part in parts]).argmax(-1) for name in ("kinds", "colours", "background", "sort")}


def accuracy(tower: VisionTower, head: Head, pixels: Tensor, labels: Tensor) -> str:
    """One line: quadrants (kind, colour, both), whole scenes, backgrounds and sorts of picture that are right."""
    truth, said = split_labels(labels), predictions(tower, head, pixels)
    scene = truth["sort"][:, 0] == 0
    kinds, colours = (said[name][scene] == truth[name][scene] for name in ("kinds", "colours"))
    there = truth["kinds"][scene] > 0
    background = said["background"][scene] == truth["background"][scene, 0]
    rights = {
        "kind": kinds[there],
        "colour": colours[there],
        "quadrant": kinds & colours,
        "scene": (kinds & colours).all(1) & background,
        "background": background,
        "sort": said["sort"] == truth["sort"][:, 0],
    }
    return ", ".join(f"{name} {right.float().mean().item():.4f}" for name, right in rights.items())


def check(path: Path, count: int = 4000, seed: int = 424_242) -> None:
    """Prints the accuracy on new pictures, by kind, colour, size on the model's 112 pixels and shape of the picture."""
    tower, head = _load(path)
    rng = random.Random(seed)
    tally: dict[tuple[str, str], list[bool]] = defaultdict(list)
    while count > 0:
        pictures = [scenes.random_picture(rng) for _ in range(min(count, 200))]
        drawings = [scenes.compose(picture, rng) for picture in pictures]
        pixels = torch.from_numpy(np.stack([scenes.to_pixels(drawing.image) for drawing in drawings])).permute(0, 3, 1, 2)
        said = predictions(tower, head, pixels)
        for index, (picture, drawing) in enumerate(zip(pictures, drawings, strict=True)):
            _tally(tally, picture, drawing, {name: values[index].tolist() for name, values in said.items()})
        count -= len(pictures)
    for (group, name), right in sorted(tally.items()):
        print(f"{group:12} {name:14} {100 * sum(right) / len(right):7.2f} % of {len(right)}")


def _tally(tally: dict[tuple[str, str], list[bool]], picture: Picture, drawing: scenes.Drawing, said: dict[str, Any]) -> None:
    sort = scenes.sort_of(picture)
    tally["sort", ("scene", "writing", "other")[sort]].append(said["sort"] == sort)
    if not isinstance(picture, Scene):
        return
    longest, shortest = max(drawing.image.size), min(drawing.image.size)
    aspect = "square" if longest == shortest else "up to 3:2" if longest <= 1.5 * shortest else "up to 16:9"
    found = {PLACES.index(shape.place): (shape, disc) for shape, disc in zip(picture.shapes, drawing.discs, strict=True)}
    background = said["background"] == list(BACKGROUNDS).index(picture.background)
    all_right = background
    for place, (kind, colour) in enumerate(zip(said["kinds"], said["colours"], strict=True)):
        if place not in found:
            right = kind == colour == 0
            tally["quadrant", "empty"].append(right)
        else:
            shape, disc = found[place]
            kind_right, colour_right = kind == 1 + KINDS.index(shape.kind), colour == 1 + list(COLOURS).index(shape.colour)
            right = kind_right and colour_right
            radius = disc.radius * scenes.SIDE
            tally["kind", shape.kind].append(kind_right)
            tally["colour", shape.colour].append(colour_right)
            tally["radius", f"{4 * int(radius // 4):2} to {4 * int(radius // 4) + 4} px"].append(right)
            tally["quadrant", "with a shape"].append(right)
            tally["aspect", aspect].append(right)
        tally["quadrant", "all"].append(right)
        all_right = all_right and right
    tally["background", picture.background].append(background)
    tally["background", "all"].append(background)
    tally["scene", f"{len(picture.shapes)} shapes"].append(all_right)
    tally["scene", "all"].append(all_right)


def main() -> None:
    """Trains or checks, as the arguments say."""
    parser = argparse.ArgumentParser(description="Teach the demo model's vision tower to see.")
    parser.add_argument("--check", type=Path, metavar="FILE", help="print the accuracy of a checkpoint instead of training one")
    parser.add_argument("--out", type=Path, default=Path("vision.pt"))
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--pool", type=int, default=60_000, help="how many pictures to draw")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, default=1.0, help="a factor on the learning rates, less than 1 to continue a checkpoint")
    parser.add_argument("--start-from", type=Path, metavar="FILE", help="continue a checkpoint instead of starting anew")
    parser.add_argument("--compile", action="store_true", help="compile the tower first: a third faster, needs a C++ compiler")
    arguments = parser.parse_args()
    if arguments.check:
        check(arguments.check)
    else:
        train(
            arguments.out,
            arguments.minutes,
            arguments.batch,
            arguments.pool,
            arguments.seed,
            arguments.lr,
            arguments.start_from,
            arguments.compile,
        )


if __name__ == "__main__":
    main()
