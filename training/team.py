"""Several processes that train one model: each has its own conversations and a thread; gradients are averaged, Muon's work is divided.

On a CPU two processes of one thread each learn faster than one process of two threads: they wait for each other once a step, not at
every operation.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.multiprocessing
from torch import Tensor, nn
from torch import distributed as dist


@dataclass(frozen=True)
class Team:
    """This process's place among `size` processes; alone, everything is a no-op."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @torch.no_grad()
    def average(self, parameters: Sequence[nn.Parameter], seconds: float) -> float:
        """Average the gradients in place, and the time gone with them, so that all agree on the schedule; returns that time."""
        if self.size == 1:
            return seconds
        gradients = [torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in parameters]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), torch.tensor([seconds])])
        dist.all_reduce(flat)
        flat /= self.size
        for parameter, values in zip(parameters, _split(flat[:-1], parameters), strict=True):
            parameter.grad = values
        return float(flat[-1])

    def share(self, parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
        """The parameters that this process updates."""
        return list(parameters[self.rank :: self.size])

    @torch.no_grad()
    def exchange(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give everybody the values of the parameters that each has updated (see `share`)."""
        if self.size == 1:
            return
        flat = torch.cat([(p if at % self.size == self.rank else torch.zeros_like(p)).flatten() for at, p in enumerate(parameters)])
        dist.all_reduce(flat)
        for parameter, values in zip(parameters, _split(flat, parameters), strict=True):
            parameter.copy_(values)


def _split(flat: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    parts = torch.split(flat, [parameter.numel() for parameter in parameters])
    return [part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True)]


def run(work: Callable[[Team], None], size: int) -> None:
    """Run `work` in `size` processes at once (in this one when `size` is 1); an error in any ends them all."""
    if size == 1:
        work(Team())
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_member, args=(work, size, Path(folder) / "meeting"), nprocs=size)  # type: ignore[no-untyped-call, attr-defined]


def _member(rank: int, work: Callable[[Team], None], size: int, meeting: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=size)
    try:
        work(Team(rank, size))
    finally:
        dist.destroy_process_group()
