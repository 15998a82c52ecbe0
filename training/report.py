"""REPORT.md: what was trained, on which machine, how the loss fell, and how often the answers are right."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from training.evaluate import Score

_KEPT_ROWS = 12


def machine() -> str:
    """The processor and the software, in one line."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = (line.partition(":") for line in cpuinfo.read_text(encoding="utf-8").splitlines())
        name = next((value.strip() for key, _, value in fields if key.strip() == "model name"), name)
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    return f"{name}, {os.cpu_count()} cores{gpu}; Python {platform.python_version()}, torch {torch.__version__}"


def write_report(path: Path, log: Path, scores: Mapping[str, Score], facts: Mapping[str, str]) -> None:
    """Write the report from the training log (JSON lines), the torch-side scores and free facts (name to value)."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    text = ["# Report on the built-in demo model", "", "| what | value |", "|---|---|"]
    text += [f"| {name} | {value} |" for name, value in {"machine": machine(), **facts}.items()]
    for phase in dict.fromkeys(line["phase"] for line in lines):
        text += ["", f"## Phase {phase}", "", *_curve([line for line in lines if line["phase"] == phase])]
    text += ["", "## Exact replies on fresh conversations of the training's own generator (torch, greedy)", ""]
    text += ["| replies | exact |", "|---|---|", *(f"| {label} | {score} |" for label, score in scores.items())]
    text += ["", "The accuracy on held-out pictures and wordings, through llama.cpp, is in `benchmarks/RESULTS.md`.", ""]
    path.write_text("\n".join(text), encoding="utf-8")


def _curve(lines: list[dict[str, Any]]) -> list[str]:
    """A table of the loss a token, by skill, at about a dozen moments."""
    skills = sorted({skill for line in lines for skill in line["skills"]})
    step = max(1, len(lines) // _KEPT_ROWS)
    kept = lines[::step] if lines[-1] in lines[::step] else [*lines[::step], lines[-1]]
    rows = ["| minutes | steps | tokens | conversations | " + " | ".join(skills) + " |", "|---" * (4 + len(skills)) + "|"]
    for line in kept:
        losses = (f"{line['skills'][skill][0]:.3f}" if skill in line["skills"] else "" for skill in skills)
        cells = [f"{line['seconds'] / 60:.1f}", str(line["step"]), str(line["tokens"]), str(line["conversations"]), *losses]
        rows.append("| " + " | ".join(cells) + " |")
    return rows
