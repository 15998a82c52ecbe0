"""Muon for the matrices of the blocks, AdamW for embeddings, output and norms.

Muon: K. Jordan et al., 2024, "Muon: an optimizer for hidden layers in neural networks". The momentum of a matrix is made
orthogonal by five Newton-Schulz steps before it is applied.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from training.team import Team

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """The nearest (semi-)orthogonal matrices, roughly, of a stack ``[n, rows, columns]`` (singular values end within 0.7 to 1.2)."""
    a, b, c = _NEWTON_SCHULZ
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    restored: Tensor = x.mT if tall else x
    return restored


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal. Matrices of one shape are treated as one stack, which a CPU multiplies faster."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.01) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            stacks: dict[tuple[int, ...], list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    stacks.setdefault(tuple(parameter.shape), []).append(parameter)
            for shape, parameters in stacks.items():
                updates = []
                for parameter in parameters:
                    gradient: Tensor = parameter.grad  # type: ignore[assignment]
                    velocity = self.state[parameter].setdefault("velocity", torch.zeros_like(parameter))
                    velocity.lerp_(gradient, 1 - group["momentum"])
                    updates.append(gradient.lerp(velocity, group["momentum"]))
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for parameter, update in zip(parameters, orthogonal(torch.stack(updates)), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.to(parameter.dtype), alpha=-group["lr"] * scale)


class Optimisers:
    """Muon and AdamW under one schedule; the members of a team each update their share of the matrices."""

    def __init__(self, modules: Iterable[nn.Module], muon_lr: float, adam_lr: float, team: Team) -> None:
        matrices: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for module in modules:
            for name, parameter in module.named_parameters():
                if not parameter.requires_grad:
                    continue
                hidden = parameter.ndim == 2 and not name.startswith(("embedding", "output."))
                (matrices if hidden else rest).append(parameter)
        self._matrices, self._rest, self._team = matrices, rest, team
        self.parts: list[tuple[torch.optim.Optimizer, float]] = [
            (Muon(team.share(matrices), lr=muon_lr), muon_lr),
            (torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.01), adam_lr),
        ]

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [*self._matrices, *self._rest]

    def step(self, factor: float) -> None:
        """One update at `factor` times the full learning rates; gradients are cleared."""
        torch.nn.utils.clip_grad_norm_(self._rest, 1.0)
        for optimiser, lr in self.parts:
            for group in optimiser.param_groups:
                group["lr"] = lr * factor
            optimiser.step()
        self._team.exchange(self._matrices)
        for parameter in self.parameters:
            parameter.grad = None
