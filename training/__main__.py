"""``python -m training``: the whole recipe of the built-in demo model, or one stage of it (see ``training/README.md``)."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from training import corpus, team, vision
from training.evaluate import accuracy
from training.export import LANGUAGE_FILE, PROJECTOR_FILE, export_pair
from training.report import write_report
from training.resume import load_pair
from training.tokenizer import Tokenizer, train_tokenizer
from training.train import DemoModel, Job, Phase, load, new_model, save

DEMO = Path(__file__).parent.parent / "nemochat" / "models" / "demo"
REPORT = Path(__file__).parent / "REPORT.md"
TOKENIZER = Path(__file__).parent / "tokenizer.model"
"""The vocabulary of the shipped pair, for going on from it."""
SHARES = {"vision": 0.2, "text": 0.1, "joint": 0.4, "finish": 0.3}
"""How the minutes of ``all`` are divided."""
BOOST = {"copying": 1, "contexts": 5, "tools": 3, "facts": 2, "personas": 1, "several": 4, "pictures": 2}
"""Skills that come slowest get conversations of their own in the joint phase."""
FINISH_BOOST = {"copying": 1, "contexts": 4, "tools": 4, "facts": 4, "personas": 2, "chat": 2, "several": 3, "pictures": 1}
"""At the end seeing is learned, and text is what still lags."""


@dataclass(frozen=True)
class Run:
    """The folder of a run, its minutes in all, its seed and the device."""

    folder: Path
    minutes: float
    seed: int
    device: torch.device
    workers: int
    demo: Path

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.model"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    def file(self, name: str) -> Path:
        return self.folder / f"{name}.pt"


def tokenizer_stage(run: Run) -> None:
    """The vocabulary, from 50,000 conversations and the project's README and pages (what users of nemochat talk about)."""
    rng = random.Random(run.seed + 5)
    root = Path(__file__).parent.parent
    pages = (root / "README.md", *sorted(root.glob("docs/*.md")))
    lines = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines()]
    train_tokenizer((corpus.sample(rng) for _ in range(50_000)), lines * 3, run.tokenizer)


def vision_stage(run: Run) -> None:
    """The tower learns to see, with a head that is thrown away afterwards."""
    vision.train(run.file("vision"), SHARES["vision"] * run.minutes, seed=run.seed + 1)


def text_stage(run: Run) -> None:
    """The language model learns from text alone, easy conversations first."""
    save(run.file("start"), new_model(run.tokenizer, vision.VisionConfig().width, run.seed))
    phase = Phase("text", SHARES["text"] * run.minutes, early=0.25, drills=0.4, decay=0.01, seed=run.seed)
    team.run(Job(phase, run.file("start"), run.file("text"), None, run.tokenizer, run.log, run.device), run.workers)


def joint_stage(run: Run) -> None:
    """Projector and language model learn from pictures and text; the tower stays as it is."""
    phase = Phase(
        "joint", SHARES["joint"] * run.minutes, pictures=0.45, drills=0.42, decay=0.5, warm=30, context_weight=0.0,
        muon_lr=0.008, adam_lr=0.0012, boost=BOOST, boost_share=0.35, seed=run.seed + 1,
    )  # fmt: skip
    team.run(Job(phase, run.file("text"), run.file("joint"), run.file("vision"), run.tokenizer, run.log, run.device), run.workers)


def finish_stage(run: Run) -> None:
    """The same with fewer pictures, hardly any drills, and a rate that falls to zero from the beginning."""
    phase = Phase(
        "finish", SHARES["finish"] * run.minutes, pictures=0.3, drills=0.12, decay=1.0, warm=30, context_weight=0.0,
        muon_lr=0.0062, adam_lr=0.0009, boost=FINISH_BOOST, boost_share=0.4, seed=run.seed + 2,
    )  # fmt: skip
    team.run(Job(phase, run.file("joint"), run.file("finish"), run.file("vision"), run.tokenizer, run.log, run.device), run.workers)


def _trained(run: Run) -> tuple[DemoModel, vision.VisionTower, Tokenizer]:
    tower = vision.load_tower(run.file("vision"))
    return load(run.file("finish")).to(run.device).eval(), tower.to(run.device).eval(), Tokenizer(run.tokenizer)


def export_stage(run: Run) -> None:
    """The GGUF pair, compared with torch in llama.cpp before it counts as done."""
    from training.parity import compare  # llama.cpp is needed here only

    model, tower, tokenizer = _trained(run)
    export_pair(run.demo, model.language, model.projector, tower, tokenizer)
    parity = compare(run.demo / LANGUAGE_FILE, run.demo / PROJECTOR_FILE, model.cpu(), tower.cpu(), tokenizer)
    print(parity)
    if not parity.sound:
        raise SystemExit("The exported pair does not compute what torch computes: see the line above.")


def evaluate_stage(run: Run) -> None:
    """Exact replies by skill, on the torch side."""
    for label, score in accuracy(*_trained(run), count=1000).items():
        print(f"{label:40} {score}")


def report_stage(run: Run) -> None:
    """training/REPORT.md."""
    model, tower, tokenizer = _trained(run)
    sizes = {name: (run.demo / name).stat().st_size / 1e6 for name in (LANGUAGE_FILE, PROJECTOR_FILE)}
    facts = {
        "seed": str(run.seed),
        "minutes planned": f"{run.minutes:g}",
        "language model": f"{sum(p.numel() for p in model.language.parameters()) / 1e6:.2f} M parameters, {model.language.shape}",
        "vision tower": f"{sum(p.numel() for p in tower.parameters()) / 1e6:.2f} M parameters, {tower.config}",
        "files": ", ".join(f"{name} {size:.2f} MB" for name, size in sizes.items()),
        "written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }
    write_report(REPORT, run.log, accuracy(model, tower, tokenizer, 2000), facts)


def resume_stage(run: Run) -> None:
    """Checkpoints from the shipped pair and its vocabulary, in place of the stages before `joint`."""
    model, tower = load_pair(run.demo)
    save(run.file("text"), model)
    vision.save(run.file("vision"), tower, vision.Head(tower.config))
    shutil.copyfile(TOKENIZER, run.tokenizer)


STAGES: dict[str, Callable[[Run], None]] = {
    "tokenizer": tokenizer_stage,
    "vision": vision_stage,
    "text": text_stage,
    "joint": joint_stage,
    "finish": finish_stage,
    "export": export_stage,
    "evaluate": evaluate_stage,
    "report": report_stage,
    "resume": resume_stage,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description="Make nemochat's built-in demo model from nothing.")
    parser.add_argument("stage", choices=["all", *STAGES])
    parser.add_argument("--minutes", type=float, default=120.0, help="time for learning, all stages together (default: %(default)s)")
    parser.add_argument("--run", type=Path, default=Path("training-run"), help="folder of checkpoints and the log (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes of one thread each (one with a GPU)")
    parser.add_argument("--out", type=Path, default=DEMO, help="where the GGUF pair goes (default: into the package)")
    arguments = parser.parse_args()
    arguments.run.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    workers = 1 if device.type == "cuda" else arguments.workers
    run = Run(arguments.run, arguments.minutes, arguments.seed, device, workers, arguments.out)
    for name in [name for name in STAGES if name not in ("evaluate", "resume")] if arguments.stage == "all" else [arguments.stage]:
        print(f"== {name}", flush=True)
        STAGES[name](run)


if __name__ == "__main__":
    main()
