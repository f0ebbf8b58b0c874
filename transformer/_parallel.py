"""Several processes that train one network, as `torchrun` starts them.

Each makes the whole batch, which is a function of the step, learns from its share of every group's rows, and gets the mean of
all gradients: the steps are those of one process up to the rounding of sums. The first process measures and writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from veribayes.errors import InputError
from veribayes.transformer._batches import Group
from veribayes.transformer._config import InContext


@dataclass(frozen=True)
class Ranks:
    """This process among all of them."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, group: Group) -> Group:
        """The rows of a group that this process learns from, as many as every other.

        Raises:
            InputError: rows that cannot be shared out evenly, whose means would then not average to the group's.
        """
        count = len(group)
        if count % self.size:
            wanted = f"a number of processes that divides {count} data sets"
            raise InputError(wanted, f"{self.size}")
        return group[self.rank :: self.size]

    def average(self, network: InContext, value: float) -> float:
        """Put the mean of all processes' gradients into the network; returns the mean of the losses."""
        if self.size == 1:
            return value
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        joined = torch.cat([*(g.flatten() for g in gradients), gradients[0].new_tensor([value])])
        dist.all_reduce(joined)
        *parts, mean = torch.split(joined / self.size, [*(g.numel() for g in gradients), 1])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return mean.item()

    def any(self, stop: bool, device: torch.device) -> bool:
        """Whether one of them was asked to stop: then all do, after the same step."""
        if self.size == 1:
            return stop
        asked = torch.tensor([float(stop)], device=device)
        dist.all_reduce(asked)
        return bool(asked.item())

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier()


ALONE = Ranks()


@contextmanager
def ranks(device: torch.device) -> Iterator[Ranks]:
    """All processes of a run; one where `torchrun` has said nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
