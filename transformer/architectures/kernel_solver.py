"""Kernel attention with learnable scales: gradient descent on kernel ridge regression.

Its numbers are found by training.

    KernelSolverConfig   every choice that shapes the tensors
    KernelSolver         points and queries -> layers -> log masses of cells
    SolverLayer          one step

Layer l has its own kernel k_l(x, x') = a_l^2 exp(-|s_l * (x - x')|^2 / 2), or a_l^2 <s_l * x, s_l *
x'>, its own ridge r_l and step size eta_l (arXiv 2605.26713):

    u(x) <- (1 - eta r / c(x)) u(x) + (eta / c(x)) sum_i k(x_i, x) (v_i - u(x_i)),   from u = 0,

once with v = y for the mean and once for every query x* with v = k_0(x, x*) for the reduction of
the variance there. c(x) is 1, or sum_i k(x_i, x) with at least a^2 in normalised attention, whose
steps then suit every number of points. The readout is a normal.

Shapes: B data sets, n points, Q queries, d inputs, C cells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from veribayes.checked import choice, integer, mapping, number
from veribayes.errors import InputError
from veribayes.transformer._config import LARGEST, UNIT, InContext
from veribayes.transformer.architectures._architecture import Architecture
from veribayes.transformer.heads.bins import edges_for, log_masses

SMALLEST = 1e-4  # of the predictive variance


@dataclass(frozen=True)
class KernelSolverConfig:
    """Shape of a network.

    Attributes:
        inputs: d.
        layers: L; the first writes k_0, the others make one step each.
        kernel: `rbf` or `linear`.
        normalised: divide step and skip by the row sums of the kernel, which must not be negative.
        points: number of points for which plain attention's first step sizes are right.
        cells, reach, tail_scale: equal bins on [-reach, reach] and the scale of the half-normal
            tails.
    """

    inputs: int
    cells: int
    reach: float
    tail_scale: float
    layers: int = 9
    kernel: str = "rbf"
    normalised: bool = True
    points: int = 64
    family: str = "points"
    architecture: str = "kernel_solver"
    head: ClassVar[str] = "bins"
    states: ClassVar[tuple[int, ...]] = ()
    latents: ClassVar[Mapping[str, tuple[float, ...]]] = {}
    unit: ClassVar[tuple[float, float]] = UNIT

    def __post_init__(self) -> None:
        choice("family", self.family, ("points",))
        choice("architecture", self.architecture, ("kernel_solver",))
        choice("kernel", self.kernel, KERNELS)
        for name in ("inputs", "cells", "layers", "points"):
            integer(name, getattr(self, name), at_least=1, at_most=LARGEST)
        for name in ("reach", "tail_scale"):
            number(name, getattr(self, name), above=0)
        if self.layers < 2 or not isinstance(self.normalised, bool):
            raise InputError(
                "at least two layers, normalised or not", f"{self.layers}, {self.normalised!r}"
            )
        if self.normalised and self.kernel != "rbf":
            raise InputError(
                "a kernel without negative values where attention is normalised", f"'{self.kernel}'"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> KernelSolverConfig:
        required = ["inputs", "cells", "reach", "tail_scale"]
        return cls(
            **mapping("a network", plain, allowed=[f.name for f in fields(cls)], required=required)
        )


class KernelSolver(InContext):
    """Log masses of all cells at every query."""

    def __init__(self, config: KernelSolverConfig) -> None:
        super().__init__()
        self.config = config
        self.kernel = KERNELS[config.kernel](config.inputs)  # k_0
        self.steps = nn.ModuleList(SolverLayer(config) for _ in range(config.layers - 1))
        self.log_noise = nn.Parameter(torch.tensor(0.0))  # log variance of an observation

    def forward(self, x: Tensor, y: Tensor, x_query: Tensor) -> Tensor:
        """Context x (B, n, d) with y (B, n), queries (B, Q, d) -> (B, Q, C + 2)."""
        mean, variance = self.moments(x, y, x_query)
        return self.log_masses(mean, variance)

    def moments(self, x: Tensor, y: Tensor, x_query: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of y at the queries, (B, Q) each."""
        # (B, n, 1 + Q): y, then k_0 to each query
        right = torch.cat([y[..., None], self.kernel(x, x_query)], dim=-1)
        u = torch.zeros_like(right)
        at_query = x_query.new_zeros(2, *x_query.shape[:2])  # (2, B, Q): mean, reduction
        for step in self.steps:
            u, at_query = step(x, x_query, right, u, at_query)
        mean, reduction = at_query
        left = torch.relu(self.kernel.at(x_query) - reduction)
        return mean, self.log_noise.exp() + left + SMALLEST

    def log_masses(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Of the lower tail, the cells and the upper tail, (B, Q, C + 2), up to a constant."""
        return log_masses(mean, variance.sqrt(), edges_for(self.config, mean))

    def initialise(self, seed: int) -> KernelSolver:
        """The same start for every seed: unit scales, a step of one, no noise to speak of but the
        data's.
        """
        del seed  # nothing is symmetric here that randomness would have to break
        return self


class Kernel(nn.Module):
    """a^2 times a function of s * x and s * x', with learnable a and s."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(inputs))
        self.log_amplitude = nn.Parameter(torch.tensor(0.0))

    def scaled(self, x: Tensor) -> Tensor:
        return x * self.log_scale.exp()

    @property
    def variance(self) -> Tensor:
        """a^2."""
        return (2 * self.log_amplitude).exp()


class RBF(Kernel):
    """a^2 exp(-|s * (x - x')|^2 / 2)."""

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """(B, n, d), (B, m, d) -> (B, n, m)."""
        x, z = self.scaled(x), self.scaled(z)
        lengths = x.square().sum(-1)[:, :, None] + z.square().sum(-1)[:, None]
        # rounding must not make it larger than a^2
        power = (x @ z.mT - lengths / 2).clamp(max=0.0)
        return self.variance * power.exp()

    def at(self, x: Tensor) -> Tensor:
        """k(x, x), (B, m, d) -> (B, m)."""
        return self.variance.expand(x.shape[:2])


class Linear(Kernel):
    """a^2 <s * x, s * x'>."""

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """(B, n, d), (B, m, d) -> (B, n, m)."""
        return self.variance * (self.scaled(x) @ self.scaled(z).mT)

    def at(self, x: Tensor) -> Tensor:
        """k(x, x), (B, m, d) -> (B, m)."""
        return self.variance * self.scaled(x).square().sum(-1)


KERNELS: Mapping[str, type[RBF | Linear]] = {"rbf": RBF, "linear": Linear}


class SolverLayer(nn.Module):
    """One step of the context's rows and of the queries'."""

    def __init__(self, config: KernelSolverConfig) -> None:
        super().__init__()
        self.normalised = config.normalised
        self.kernel = KERNELS[config.kernel](config.inputs)
        self.log_step = nn.Parameter(
            torch.tensor(0.0 if config.normalised else -math.log(config.points))
        )
        self.log_ridge = nn.Parameter(torch.tensor(-3.0))

    def forward(
        self, x: Tensor, x_query: Tensor, right: Tensor, u: Tensor, at_query: Tensor
    ) -> tuple[Tensor, Tensor]:
        """right, u (B, n, 1 + Q), at_query (2, B, Q) -> u and at_query after the step."""
        among, across = self.kernel(x, x), self.kernel(x, x_query)  # (B, n, n), (B, n, Q)
        rest = right - u  # (B, n, 1 + Q)
        ridge = self.log_ridge.exp()
        pull_of_mean = torch.einsum("bnq,bn->bq", across, rest[..., 0])
        pull_of_reduction = (across * rest[..., 1:]).sum(1)
        pull = torch.stack([pull_of_mean, pull_of_reduction])
        u = u + self.size(among)[..., None] * (among @ rest - ridge * u)
        return u, at_query + self.size(across) * (pull - ridge * at_query)

    def size(self, scores: Tensor) -> Tensor:
        """Step size of each reader, scores (B, n, reader) -> (B, reader)."""
        step = self.log_step.exp()
        if not self.normalised:
            return step.expand(scores.shape[0], scores.shape[2])
        # at least k(x, x) of a stationary kernel
        return step / torch.maximum(scores.sum(1), self.kernel.variance)


PART = Architecture(KernelSolverConfig.from_dict, KernelSolver)
