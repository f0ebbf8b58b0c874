"""Gaussian process: layers of kernel attention that make gradient descent on kernel ridge
regression (arXiv 2605.26713).

A token is [x (d) | label | kx | mu | tau], one for each context point, and one for the query with
label 1. Attention has no softmax: Attn(z)_j = sum_i k(x_i, x_j) V z_i, over the context, in layer 0
over the query alone.

    layer 0       kx <- k(x_j, x_query)
    layers 1..    u <- (1 - eta s^2) u + eta sum_i k(x_i, x_j) (v_i - u_i), in the mu row with v =
                  label, in the tau row with v = kx, from u = 0
    readout       mean = mu, variance = s^2 + ReLU(k(x, x) - tau)

With A = K + s^2 I the rows of the query after l steps are k_x^T [I - prod_l (I - eta_l A)] A^-1 v.
With p_l(t) = prod_l (1 - eta_l t), the error of tau is at most k(x, x) max |p_l| over the spectrum
of A. A network of L layers makes L - 1 steps.

Normalised attention divides step and skip by s_j = sum_i k(x_i, x_j): the spectrum then lies
between s^2 / max s and 1 + s^2 / k(x, x) for every n, and one step size serves all. Where s_j < eta
s^2 / 2, far from the context, the query's own row diverges; s_j is therefore at least `floor` times
k(x_j, x_j), which changes no context token and no limit. floor = 0 is the literature's.

Bins: logits (mean / variance) xi - xi^2 / (2 variance) at the midpoints xi, softmax; no tails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from operator import add, mul
from typing import Any, ClassVar, cast

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import ndtr
from torch import Tensor, nn

from veribayes.checked import integer, number
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.models.gaussian_process import GaussianProcess, PointsContext
from veribayes.models.gaussian_process import _kernels as kernels
from veribayes.predictive import Array
from veribayes.transformer.constructions._frame import in_batches, require_family, tensor, weight

CHEBYSHEV = "chebyshev"
TAIL = 1e-3  # mass of y outside the bins, each side
INPUTS = 4096  # draws of x behind the bins' range, where k(x, x) depends on x
SMALLEST = 1e-300  # instead of a division by zero where nothing is attended to


@dataclass(frozen=True)
class GPGradientDescent:
    """Richardson iteration by attention.

    Attributes:
        layers: L, of which the first writes kx: L - 1 steps.
        normalised: divide by the row sums of the kernel.
        eta: a number; numbers with commas between, one a step; `chebyshev`; or None: 1 / highest.
        lowest, highest: the spectrum to be covered by None and by `chebyshev`; None: bounds that
            hold for every context of n points, s^2 and n k + s^2, divided by n k and k if
            normalised, with k = k(x, x).
        floor: least normaliser, as a share of k(x, x).
        bins: number of bins between the .001 and .999 quantiles of y; 0: a normal.
    """

    layers: int = 9
    normalised: bool = False
    eta: float | str | None = None
    lowest: float | None = None
    highest: float | None = None
    floor: float = 1.0
    bins: int = 0
    families: ClassVar[tuple[str, ...]] = ("gaussian_process",)

    def __post_init__(self) -> None:
        integer("layers", self.layers, at_least=2, at_most=10_000)
        integer("bins", self.bins, at_least=0)
        if not 0 <= self.floor <= 1:
            raise InputError("a floor from 0 to 1", f"{self.floor}")
        for name in ("lowest", "highest"):
            if getattr(self, name) is not None:
                number(name, getattr(self, name), above=0)
        if self.eta not in (None, CHEBYSHEV) and len(self._given()) not in (1, self.layers - 1):
            raise InputError(f"one step size or {self.layers - 1}", f"{len(self._given())}")

    def __call__(self, task: Task) -> PointPredictor:
        """Raises InputError for another family, hyperparameters with a prior, or a kernel that
        cannot be normalised.
        """
        require_family(self, task)
        model = cast(GaussianProcess, task.model)
        if not model.fixed:
            raise InputError("fixed hyperparameters", f"a prior over {', '.join(model.priors)}")
        if self.normalised and not math.isfinite(largest(model.kernel)):
            raise InputError(
                "a kernel that is positive and bounded, to be normalised", f"'{model.kernel.kind}'"
            )
        return PointPredictor(model, self)

    def step_sizes(self, model: GaussianProcess, n: int) -> Array:
        """One a step, for contexts of n points, (L - 1,)."""
        steps = self.layers - 1
        if self.eta not in (None, CHEBYSHEV):
            return np.broadcast_to(self._given(), steps)
        low, high = self.spectrum(model, n)
        return chebyshev(low, high, steps) if self.eta == CHEBYSHEV else np.full(steps, 1 / high)

    def spectrum(self, model: GaussianProcess, n: int) -> tuple[float, float]:
        """Bounds on the eigenvalues that the steps have to cover."""
        noise, top = _noise(model), largest(model.kernel)
        if self.highest is None and not math.isfinite(top):
            raise InputError(
                "a bounded kernel, or eta or highest",
                f"'{model.kernel.kind}'",
                "set eta to a number",
            )
        low, high = noise, max(n, 1) * top + noise
        if self.normalised:
            low, high = noise / (max(n, 1) * top), 1 + noise / top
        return self.lowest or low, self.highest or high

    def _given(self) -> Array:
        text = str(self.eta).split(",")
        try:
            return np.array([number("eta", float(t), above=0) for t in text])
        except ValueError:
            raise InputError(
                f"a number, numbers with commas, or '{CHEBYSHEV}' for eta", f"'{self.eta}'"
            ) from None


def chebyshev(low: float, high: float, steps: int) -> Array:
    """Inverse roots of the Chebyshev polynomial of [low, high], in Leja order: products of few of
    them stay small.
    """
    middle, half = (high + low) / 2, (high - low) / 2
    cosines = np.cos(np.pi * (np.arange(steps) + 0.5) / steps)
    left = middle + half * cosines
    roots = [float(left.max())]
    while len(roots) < steps:
        apart = np.abs(left[:, None] - np.array(roots)).clip(SMALLEST)
        roots.append(float(left[np.log(apart).sum(1).argmax()]))
    return 1 / np.array(roots)


class PointPredictor:
    """The candidate: a network for each number of context points, since default step sizes depend
    on it.
    """

    roles: ClassVar[tuple[str, ...]] = ("kernel to the query", "points by their kernel")

    def __init__(self, model: GaussianProcess, options: GPGradientDescent) -> None:
        self.model, self.options = model, options
        reach = outer_quantile(model) if options.bins else 0.0
        self.edges = np.linspace(-reach, reach, options.bins + 1)

    def network(self, n: int) -> GradientDescentNetwork:
        """The network for contexts of n points."""
        options = self.options
        steps = options.step_sizes(self.model, n).tolist()
        floor = options.floor if options.normalised else None
        return GradientDescentNetwork(self.model, steps, floor)

    def __call__(self, context: PointsContext, query: Array) -> dict[str, Array]:
        """PointsContext of (B, n, d) and (B, n), query (B, Q, d) -> mean and sd (B, Q), or probs
        (B, Q, C) and edges.
        """
        (datasets, n, d), queries = context.x.shape, query.shape[1]
        # one prompt for each query of each data set
        x = tensor(context.x)[:, None].expand(-1, queries, -1, -1)
        y = tensor(context.y)[:, None].expand(-1, queries, -1)
        prompts = x.reshape(-1, n, d), y.reshape(-1, n), tensor(query).reshape(-1, d)
        moments = in_batches(self.network(n), d * (n + 1) ** 2, *prompts)
        mean, variance = moments.reshape(datasets, queries, 2).transpose(2, 0, 1)
        if self.options.bins:
            return {"probs": self._masses(mean, variance), "edges": self.edges}
        return {"mean": mean, "sd": np.sqrt(variance)}

    def attention(self, context: PointsContext, query: Array) -> tuple[list[Array], int]:
        """What each query reads, (dataset, 1, query, 1 + n): itself in layer 0, in all others
        points by the kernel, sum one.

        Raises:
            InputError: a kernel that may be negative.
        """
        kernel = self.model.kernel
        if not math.isfinite(largest(kernel)):
            raise InputError("a kernel that is positive and bounded", f"'{kernel.kind}'")
        across = covariance(kernel, tensor(query), tensor(context.x))
        scores = across.numpy()[:, None]  # (B, 1, Q, n)
        none = np.zeros((*scores.shape[:-1], 1))
        itself = np.eye(1, scores.shape[-1] + 1) + none
        total = scores.sum(-1, keepdims=True)
        read = scores / np.maximum(total, SMALLEST)
        return [itself, np.concatenate([none, read], axis=-1)], 1

    def _masses(self, mean: Array, variance: Array) -> Array:
        middle = (self.edges[:-1] + self.edges[1:]) / 2
        natural = np.stack([mean / variance, -0.5 / variance], axis=-1)
        logits = natural @ np.stack([middle, middle**2])
        return np.asarray(tensor(logits).softmax(-1).numpy())


class GradientDescentNetwork(nn.Module):
    """Points and a query -> mean and variance of y there. P prompts, n points, d dimensions, D = d
    + 4 coordinates.

    Args:
        steps: step size of each layer after the first.
        floor: least normaliser as a share of k(x, x); None: attention is not normalised.
    """

    def __init__(self, model: GaussianProcess, steps: list[float], floor: float | None) -> None:
        super().__init__()
        self.kernel, self.noise, self.floor, self.d = model.kernel, _noise(model), floor, model.d
        self.label, self.kx, self.mu, self.tau = range(model.d, model.d + 4)
        self.copy = KernelAttention(model.d + 4)
        self.copy.value[self.kx, self.label] = 1.0
        self.descent = nn.ModuleList(self._step(eta) for eta in steps)

    def _step(self, eta: float) -> KernelAttention:
        layer = KernelAttention(self.d + 4)
        for row, right_side in ((self.mu, self.label), (self.tau, self.kx)):
            layer.value[row, right_side] = eta
            layer.value[row, row] = -eta
            layer.decay[row] = eta * self.noise
        return layer

    def forward(self, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
        """x (P, n, d), y (P, n), query (P, d) -> (P, 2)."""
        z = self.tokens(x, y, query)  # (P, n + 1, D), the query last
        points = z[..., : self.d]  # never written to: the scores of all layers are the same
        scores = covariance(self.kernel, points, points)  # (P, n + 1, n + 1)
        z = self.copy(z, scores[..., -1:], z[:, -1:], torch.ones(()))
        scale = self.normaliser(scores)
        for layer in self.descent:
            z = layer(z, scores[..., :-1], z[:, :-1], scale)
        last = z[:, -1]
        variance = self.noise + torch.relu(last[:, self.kx] - last[:, self.tau])
        return torch.stack([last[:, self.mu], variance], dim=-1)

    def tokens(self, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
        points = torch.cat([x, query[:, None]], dim=1)
        label = torch.cat([y, y.new_ones(len(y), 1)], dim=1)
        empty = points.new_zeros(*label.shape, 3)
        return torch.cat([points, label[..., None], empty], dim=-1)

    def normaliser(self, scores: Tensor) -> Tensor:
        """(P, n + 1, 1), or ones."""
        if self.floor is None:
            return torch.ones(())
        own = scores.diagonal(dim1=1, dim2=2)
        sums = scores[..., :-1].sum(-1)
        kept = torch.maximum(sums, self.floor * own).clamp_min(SMALLEST)
        return kept[..., None]


class KernelAttention(nn.Module):
    """z_j + (sum_i k_ij V z_i - decay z_j) / s_j: linear in the values, with the kernel as score; D
    coordinates.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value, self.decay = weight(width, width), weight(width)

    def forward(self, z: Tensor, scores: Tensor, read: Tensor, scale: Tensor) -> Tensor:
        """z (P, T, D), scores (P, T, R) with the R tokens `read` (P, R, D), scale (P, T, 1) -> (P,
        T, D).
        """
        pulled = scores @ (read @ self.value.T)
        return z + (pulled - self.decay * z) / scale


def covariance(kernel: kernels.Kernel, x: Tensor, z: Tensor) -> Tensor:
    """k of all pairs, x (..., n, d), z (..., m, d) -> (..., n, m), for fixed hyperparameters."""
    if isinstance(kernel, kernels.Sum | kernels.Product):
        join = add if kernel.kind == "sum" else mul
        return reduce(join, (covariance(term, x, z) for term in kernel.terms))
    if isinstance(kernel, kernels.Linear):
        return (x * tensor(kernel.diagonal)) @ z.mT
    own: Any = kernel
    if isinstance(kernel, kernels.Periodic):
        difference = x[..., :, None, :] - z[..., None, :, :]
        chord = ((math.pi / own.period * difference).sin() ** 2).sum(-1)
        power = -2 * chord / own.lengthscale**2
        return own.amplitude**2 * power.exp()
    # by products a distance loses half the digits
    distance = torch.cdist(x, z, compute_mode="donot_use_mm_for_euclid_dist")
    return own.amplitude**2 * CORRELATION[kernel.kind](distance / own.lengthscale)


def rbf(r: Tensor) -> Tensor:
    """Of the distance in length scales, as those below."""
    return (-0.5 * r**2).exp()


def matern12(r: Tensor) -> Tensor:
    return (-r).exp()


def matern32(r: Tensor) -> Tensor:
    polynomial = 1 + 3**0.5 * r
    return polynomial * (-(3**0.5) * r).exp()


def matern52(r: Tensor) -> Tensor:
    polynomial = 1 + 5**0.5 * r + 5 / 3 * r**2
    return polynomial * (-(5**0.5) * r).exp()


CORRELATION = {"rbf": rbf, "matern12": matern12, "matern32": matern32, "matern52": matern52}


def largest(kernel: kernels.Kernel) -> float:
    """k(x, x), the same for all x unless a term is linear: then infinite."""
    if isinstance(kernel, kernels.Sum | kernels.Product):
        parts = [largest(t) for t in kernel.terms]
        return sum(parts) if kernel.kind == "sum" else math.prod(parts)
    if isinstance(kernel, kernels.Linear):
        return math.inf
    return float(cast(Any, kernel).amplitude) ** 2


def outer_quantile(model: GaussianProcess) -> float:
    """The .999 quantile of y over prompts: of a mixture of normals over draws of x, where k(x, x)
    depends on x.
    """
    rng = np.random.default_rng(0)
    shape = (INPUTS, 1, model.d)
    uniform = model.input_law == "uniform"
    x = tensor(rng.random(shape) if uniform else rng.standard_normal(shape) / math.sqrt(model.d))
    variance = covariance(model.kernel, x, x).flatten().numpy()
    sd = np.sqrt(variance + _noise(model))

    def excess(r: float) -> float:
        return float(ndtr(-r / sd).mean() - TAIL)

    return float(brentq(excess, 0.0, 40 * sd.max()))


def _noise(model: GaussianProcess) -> float:
    """s^2."""
    return float(cast(float, model.noise_sd)) ** 2


PART = GPGradientDescent
