"""Single-node posteriors of a network of any size with known tables, by weighted forward draws.

Nodes are drawn in topological order, observed ones are set, and a draw weighs what their tables say
of them (Fung & Chang 1990; Shachter & Peot 1990). Where the evidence is unlikely under the draws
few of them count: the gate is the effective sample size of each row of evidence,
(sum of weights)^2 / sum of squared weights.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from veribayes.errors import InputError
from veribayes.inference._engine import certify_by_draws, name_of
from veribayes.inference._known import at_positions, known_network
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.predictive import Array
from veribayes.tree import Branch, Certificate, Data, IntArray
from veribayes.tree.method import Method

# effective draws in each of two independent runs that a row of evidence needs; the gate of MCMC too
ESS = 400.0
STREAM = zlib.crc32(b"likelihood_weighting")  # never the numbers that a simulator has used


@dataclass(frozen=True)
class LikelihoodWeighting:
    """Two independent runs of `draws` for each row; a function of the seed and the row's number.

    Standard error of a probability p: sqrt(p (1 - p) / ESS),
    twice the ESS of one run for their average.

    Attributes:
        draws: weighted draws of each run.
    """

    draws: int = 4000
    method: ClassVar[Method] = Method.MCMC
    families: ClassVar[tuple[str, ...]] = ("bayesian_network",)

    def __post_init__(self) -> None:
        if self.draws < ESS:
            wanted = f"at least {ESS:.0f} draws for the engine '{name_of(self)}'"
            raise InputError(wanted, f"{self.draws}")

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        model = known_network(self, task, data)
        numbers = data.index.tolist()
        nodes = len(model.nodes)
        probs = np.zeros((2, len(numbers), nodes, model.width))
        ess = np.zeros((2, len(numbers)))
        for i, number in enumerate(numbers):
            row = data.arrays["evidence"][i]
            for run in range(2):
                rng = np.random.default_rng([seed, STREAM, number, run])
                level = rng.random((nodes, self.draws))
                probs[run, i], ess[run, i] = _weighted(model, row, level)
        halves = (at_positions(probs[0], data), at_positions(probs[1], data))
        answer = at_positions(probs.mean(0), data)
        return Branch(answer, self._certificate(ess.min(0)), replicates=halves)

    def _certificate(self, ess: Array) -> Certificate:
        """Trusted when every row has enough effective draws."""
        poor = int((ess < ESS).sum())
        least = float(ess.min(initial=np.inf))
        reasons: tuple[str, ...] = ()
        if poor:
            share = f"{poor} of {ess.size} rows of evidence"
            enough = f"{ESS:.0f} effective draws of {self.draws}"
            remedy = "set draws, or give more memory to junction_tree"
            reasons = (f"{share} have fewer than {enough}, the worst {least:.1f}; {remedy}",)
        bound = float(1 / np.sqrt(2 * least)) if least > 0 else float("inf")
        return certify_by_draws(self.method, bound, reasons, {"ess_bulk": least})


def _weighted(model: BayesianNetwork, evidence: IntArray, level: Array) -> tuple[Array, float]:
    """Weighted shares of the states of each node (M, K), and the effective sample size,
    from uniforms (M, draw).
    """
    states, log_weight = _drawn(model, evidence, level)
    largest = log_weight.max()
    weight = np.exp(log_weight - largest) if np.isfinite(largest) else np.zeros_like(log_weight)
    if not weight.any():  # no draw is possible: nothing is known, and the gate says so
        sizes = model.cardinalities[:, None]
        return np.where(np.arange(model.width) < sizes, 1 / sizes, 0.0), 0.0
    shares = np.zeros((len(model.nodes), model.width))
    for node, chosen in enumerate(states):
        shares[node] = np.bincount(chosen, weight, minlength=model.width)
    total = weight.sum()
    return shares / total, float(total**2 / (weight**2).sum())


def _drawn(model: BayesianNetwork, evidence: IntArray, level: Array) -> tuple[IntArray, Array]:
    """States (M, draw) that agree with the evidence,
    and the log probability of the evidence given what was drawn, (draw,).
    """
    draws = level.shape[1]
    states = np.empty(level.shape, dtype=np.int64)
    log_weight = np.zeros(draws)
    for node, parents in enumerate(model.parents):
        # (draw, K), or (K,) without parents
        rows = model.tables[node][tuple(states[p] for p in parents)]
        rows = np.broadcast_to(rows, (draws, rows.shape[-1]))
        observed = evidence[node]
        if observed >= 0:
            states[node] = observed
            with np.errstate(divide="ignore"):
                log_weight += np.log(rows[:, observed])
        else:
            above = rows.cumsum(1)
            reached = level[node][:, None] * above[:, -1:] >= above[:, :-1]
            states[node] = reached.sum(1)
    return states, log_weight


PART = LikelihoodWeighting
