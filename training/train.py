"""The schedule: the language model learns from text first, then, behind the finished vision tower, from pictures and text together."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.batches import Batch, Batches, Mixture, image_slots
from training.language import LanguageModel, LanguageShape, Projector
from training.optim import Optimisers
from training.team import Team
from training.tokenizer import Tokenizer
from training.vision import VisionTower, load_tower

REPORT_EVERY = 40.0
SAVE_EVERY = 60.0


@dataclass(frozen=True)
class Phase:
    """One stretch of training, planned in minutes so that it ends in time on any machine.

    The learning rate warms up over `warm` steps and falls to zero over the last `decay` of the time. `early` is the share of the time at
    stage 0 of the corpus, `drills` the share of batches that are drills at first. `context_weight` is the weight of tokens that are read
    rather than said, until `context_until` of the time: predicting them helps copying to form. `batch_tokens` is for each process.
    """

    name: str
    minutes: float
    early: float = 0.0
    pictures: float = 0.0
    drills: float = 0.0
    decay: float = 0.5
    warm: int = 100
    context_weight: float = 0.1
    context_until: float = 1.0
    batch_tokens: int = 3072
    boost: Mapping[str, float] | None = None
    boost_share: float = 0.3
    muon_lr: float = 0.02
    adam_lr: float = 3e-3
    seed: int = 0

    def rate(self, step: int, gone: float) -> float:
        """The learning rate's factor at a step and a share of the time gone."""
        return min(1.0, (step + 1) / self.warm) * min(1.0, max(0.0, 1 - gone) / max(self.decay, 1e-6))

    def mixture(self, gone: float) -> Mixture:
        """What to learn from when a share of the time is gone: full drills at first, a third of them for a while, then none."""
        drills = self.drills if gone < 0.4 else 0.3 * self.drills if gone < 0.65 else 0.0
        return Mixture(0 if gone < self.early else 1, self.pictures, drills, self.boost, self.boost_share)


class DemoModel(nn.Module):
    """What the joint phase trains: the language model and the projector before it."""

    def __init__(self, shape: LanguageShape, vision_width: int) -> None:
        super().__init__()
        self.language = LanguageModel(shape)
        self.projector = Projector(vision_width, shape.width)

    def predict(self, batch: Batch, features: Tensor | None, chosen: Tensor, positions: Tensor) -> Tensor:
        """Logits ``[n, vocab]`` for the tokens that `chosen` marks in ``batch.ids[:, 1:]``.

        `features` ``[pictures, patches, vision_width]`` come from the tower.
        """
        images = slots = None
        if features is not None:
            images, slots = self.projector(features).flatten(0, 1), image_slots(batch.ids)
        hidden = self.language.hidden(batch.ids.clamp(min=0), positions, images, slots)
        return self.language.output(hidden[:, :-1][chosen])  # type: ignore[no-any-return]


def save(path: Path, model: DemoModel) -> None:
    """A checkpoint, replaced in one step."""
    temporary = path.with_suffix(".tmp")
    shape, vision_width = asdict(model.language.shape), model.projector.first.in_features
    torch.save({"shape": shape, "vision_width": vision_width, "state": model.state_dict()}, temporary)
    temporary.replace(path)


def load(path: Path) -> DemoModel:
    """The model of a checkpoint, on the CPU."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model = DemoModel(LanguageShape(**saved["shape"]), saved["vision_width"])
    model.load_state_dict(saved["state"])
    return model


class Tally:
    """Loss of each skill and the share of conversations in which every learned token was the first choice."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])

    @torch.no_grad()
    def add(self, skills: list[str], rows: Tensor, losses: Tensor, right: Tensor) -> None:
        for row, skill in enumerate(skills):
            mine = rows == row
            if count := int(mine.sum()):
                sums = self._sums[skill]
                for at, value in enumerate((float(losses[mine].sum()), count, float(right[mine].all()), 1)):
                    sums[at] += value

    def take(self) -> dict[str, tuple[float, float]]:
        """By skill: mean loss a token, share of exact conversations, since the last call."""
        taken = {skill: (round(a / b, 4), round(c / d, 4)) for skill, (a, b, c, d) in sorted(self._sums.items())}
        self._sums.clear()
        return taken


@dataclass(frozen=True)
class Job:
    """A phase with the files that it works on: `start` is the checkpoint to go on from, `out` the one to write."""

    phase: Phase
    start: Path
    out: Path
    tower: Path | None
    tokenizer: Path
    log: Path
    device: torch.device

    def __call__(self, team: Team) -> None:
        """Train, saving every minute and writing a JSON line to `log` every 40 seconds."""
        phase, device = self.phase, self.device
        torch.manual_seed(phase.seed + team.rank)
        torch.set_flush_denormal(True)
        model = load(self.start).to(device).train()
        tower = load_tower(self.tower).to(device).eval() if self.tower else None
        optimisers = Optimisers([model.language, model.projector], phase.muon_lr, phase.adam_lr, team)
        mixture = phase.mixture(0.0)
        batches = Batches(self.tokenizer, 1000 * (1 + team.rank) + phase.seed, phase.batch_tokens, mixture)
        tally, step, tokens, seen, gone = Tally(), 0, 0, 0, 0.0
        start = saved = reported = time.monotonic()
        for batch in batches:
            if phase.mixture(gone) != mixture:
                mixture = phase.mixture(gone)
                batches.change(mixture)
            loss = _learn(phase, model, tower, batch, device, tally, gone)
            loss.backward()  # type: ignore[no-untyped-call]
            now = time.monotonic()
            gone = team.average(optimisers.parameters, now - start) / (60 * phase.minutes)
            optimisers.step(phase.rate(step, gone))
            step, tokens, seen = step + 1, tokens + batch.ids.numel(), seen + len(batch.skills)
            if gone >= 1:
                break
            if team.leads and now - reported > REPORT_EVERY:
                reported = now
                _report(self.log, phase, step, now - start, tokens * team.size, seen * team.size, tally)
            if team.leads and now - saved > SAVE_EVERY:
                saved = now
                save(self.out, model)
        batches.close()
        if team.leads:
            save(self.out, model)
            _report(self.log, phase, step, time.monotonic() - start, tokens * team.size, seen * team.size, tally)


def _learn(
    phase: Phase, model: DemoModel, tower: VisionTower | None, batch: Batch, device: torch.device, tally: Tally, gone: float
) -> Tensor:
    """The loss of one batch: the mean over learned tokens, read tokens weighing `context_weight` each."""
    context_weight = phase.context_weight if gone < phase.context_until else 0.0
    positions = batch.positions().to(device)
    batch = replace(batch, ids=batch.ids.to(device), learned=batch.learned.to(device))
    targets, learned = batch.ids[:, 1:], batch.learned[:, 1:]
    chosen = targets > 0 if context_weight else learned
    with torch.autocast(device.type, torch.bfloat16):
        features = None
        if batch.pixels is not None:
            if tower is None:
                raise ValueError("pictures need a vision tower")
            with torch.no_grad():
                features = tower(batch.pixels.to(device))
        logits = model.predict(batch, features, chosen, positions)
    losses = F.cross_entropy(logits.float(), targets[chosen], reduction="none")
    said = learned[chosen]
    weights = torch.where(said, 1.0, context_weight)
    rows = torch.nonzero(chosen)[:, 0][said]
    tally.add(batch.skills, rows, losses.detach()[said], (logits.argmax(-1) == targets[chosen])[said])
    return (losses * weights).sum() / weights.sum()


def _report(log: Path, phase: Phase, step: int, seconds: float, tokens: int, seen: int, tally: Tally) -> None:
    line: dict[str, Any] = {
        "phase": phase.name, "step": step, "seconds": round(seconds), "tokens": tokens, "conversations": seen, "skills": tally.take(),
    }  # fmt: skip
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(" ".join(f"{key} {value}" for key, value in line.items() if key != "skills"), flush=True)


def new_model(tokenizer: Path, vision_width: int, seed: int = 0) -> DemoModel:
    """An untrained model for a vocabulary."""
    torch.manual_seed(seed)
    return DemoModel(LanguageShape(Tokenizer(tokenizer).size), vision_width)
