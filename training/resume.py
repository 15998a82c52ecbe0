"""From a GGUF pair back to checkpoints, so that training can go on from what the package ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import torch
from torch import Tensor

from training.export import LANGUAGE_FILE, LANGUAGE_LAYERS, PROJECTOR_FILE
from training.language import LanguageShape, Projector
from training.train import DemoModel
from training.vision import VisionTower


def load_pair(folder: Path) -> tuple[DemoModel, VisionTower]:
    """The model and the tower of an exported pair. Matrices come back with the precision of F16."""
    language, sight = _tensors(folder / LANGUAGE_FILE), _tensors(folder / PROJECTOR_FILE)
    keys = gguf.GGUFReader(folder / LANGUAGE_FILE).fields

    def number(name: str) -> int:
        return int(_scalar(keys[f"nemotron.{name}"]))

    shape = LanguageShape(
        number("vocab_size"),
        number("embedding_length"),
        number("block_count"),
        number("attention.head_count"),
        number("attention.head_count_kv"),
        number("feed_forward_length"),
        number("context_length"),
    )
    tower = VisionTower()
    tower.load_state_dict({name.removeprefix("v."): tensor for name, tensor in sight.items() if name.startswith("v.")})
    model = DemoModel(shape, tower.config.width)
    state = {"embedding.weight": language["token_embd.weight"], "output.weight": language["output.weight"]}
    state |= {f"norm.{kind}": language[f"output_norm.{kind}"] for kind in ("weight", "bias")}
    for block in range(shape.blocks):
        for here, there in LANGUAGE_LAYERS.items():
            for kind in ("weight", "bias"):
                if (name := f"blk.{block}.{there}.{kind}") in language:
                    state[f"blocks.{block}.{here}.{kind}"] = language[name]
    model.language.load_state_dict(state)
    layers = {"first": "mm.0", "second": "mm.2"}
    projector = {f"{here}.{kind}": sight[f"{there}.{kind}"] for here, there in layers.items() for kind in ("weight", "bias")}
    projector["first.weight"] = projector["first.weight"] / Projector.SCALE
    model.projector.load_state_dict(projector)
    return model, tower


def _tensors(path: Path) -> dict[str, Tensor]:
    return {each.name: torch.tensor(each.data.copy()).float() for each in gguf.GGUFReader(path).tensors}


def _scalar(field: Any) -> Any:
    return field.parts[field.data[0]][0]
