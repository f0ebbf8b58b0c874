"""Single-node posteriors of a network of any size with known tables, by weighted forward draws.

Nodes are drawn in topological order, observed ones are set, and a draw weighs what their tables say of them (Fung & Chang
1990; Shachter & Peot 1990). Where the evidence is unlikely under the draws few of them count: the gate is the effective
sample size of each row of evidence, (sum of weights)^2 / sum of squared weights.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import name_of
from veribayes.inference._known import at_positions, known_network
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import Array
from veribayes.tree import Branch, Certificate, Data, IntArray

ESS = 400.0  # effective draws in each of two independent runs that a row of evidence needs; the gate of MCMC too
STREAM = zlib.crc32(b"likelihood_weighting")  # never the numbers that a simulator has used


@dataclass(frozen=True)
class LikelihoodWeighting:
    """Two independent runs of `draws` for each row; a function of the seed and the row's number.

    Standard error of a probability p: sqrt(p (1 - p) / ESS), twice the ESS of one run for their average.

    Attributes:
        draws: weighted draws of each run.
    """

    draws: int = 4000
    method: ClassVar[str] = "mcmc"
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __post_init__(self) -> None:
        if self.draws < ESS:
            raise InputError(
                f"at least {ESS:.0f} draws for the engine '{name_of(self)}'", f"{self.draws}"
            )

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        model = known_network(self, task, data)
        probs = np.zeros((2, data.index.size, len(model.nodes), model.width))
        ess = np.zeros((2, data.index.size))
        for i, (number, row) in enumerate(
            zip(data.index.tolist(), data.arrays["evidence"], strict=True)
        ):
            for run in range(2):
                rng = np.random.default_rng([seed, STREAM, number, run])
                probs[run, i], ess[run, i] = _weighted(
                    model, row, rng.random((len(model.nodes), self.draws))
                )
        halves = (at_positions(probs[0], data), at_positions(probs[1], data))
        return Branch(
            at_positions(probs.mean(0), data), self._certificate(ess.min(0)), replicates=halves
        )

    def _certificate(self, ess: Array) -> Certificate:
        """Trusted when every row has enough effective draws."""
        poor, least = int((ess < ESS).sum()), float(ess.min(initial=np.inf))
        found = f"{poor} of {ess.size} rows of evidence have fewer than {ESS:.0f} effective draws of {self.draws}"
        reasons = (
            (f"{found}, the worst {least:.1f}; set draws, or give more memory to junction_tree",)
            if poor
            else ()
        )
        bound = float(1 / np.sqrt(2 * least)) if least > 0 else float("inf")
        return Certificate(
            "refused" if poor else "trusted",
            self.method,
            bound,
            "montecarlo",
            reasons,
            {"ess_bulk": least},
        )


def _weighted(model: BayesianNetwork, evidence: IntArray, level: Array) -> tuple[Array, float]:
    """Weighted shares of the states of each node (M, K), and the effective sample size, from uniforms (M, draw)."""
    states, log_weight = np.empty(level.shape, dtype=np.int64), np.zeros(level.shape[1])
    for node, parents in enumerate(model.parents):
        rows = model.tables[node][
            tuple(states[p] for p in parents)
        ]  # (draw, K), or (K,) without parents
        rows = np.broadcast_to(rows, (level.shape[1], rows.shape[-1]))
        if evidence[node] >= 0:
            states[node] = evidence[node]
            with np.errstate(divide="ignore"):
                log_weight += np.log(rows[:, evidence[node]])
        else:
            above = rows.cumsum(1)
            states[node] = (level[node][:, None] * above[:, -1:] >= above[:, :-1]).sum(1)
    most = log_weight.max()
    weight = np.exp(log_weight - most) if np.isfinite(most) else np.zeros(level.shape[1])
    out = np.zeros((len(model.nodes), model.width))
    if not weight.any():  # no draw is possible: nothing is known, and the gate says so
        return np.where(
            np.arange(model.width) < model.cardinalities[:, None],
            1 / model.cardinalities[:, None],
            0.0,
        ), 0.0
    for node, chosen in enumerate(states):
        out[node] = np.bincount(chosen, weight, minlength=model.width)
    return out / weight.sum(), float(weight.sum() ** 2 / (weight**2).sum())


PART = LikelihoodWeighting
