"""A Markov chain with Dirichlet rows by quadrature of marginal likelihoods: no counts are added to
constants here.

    P(v | y) = m(y v) / m(y),   m(y) = P(start) times the integral of each row's likelihood

A row is broken like a stick, so that its integral is a product of integrals over (0, 1), each a
polynomial against a Jacobi weight: Gauss' rule is exact for it. Of several orders the marginal
likelihoods are averaged. A stationary start couples the rows; for two symbols and order 1 the
integral is then one over a square, and its error is measured by twice the nodes.

Golub & Welsch, Math. Comp. 23 (1969) 221.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, cast

import numpy as np
from scipy.special import logsumexp, roots_jacobi

from veribayes.errors import InputError
from veribayes.inference._engine import EPS, certify, name_of, require_positive, require_served
from veribayes.inference._markov import require_dirichlet
from veribayes.models._task import Task
from veribayes.models.markov import Markov, _chains
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Certificate, Data
from veribayes.tree.method import Method


@dataclass(frozen=True)
class MarkovQuadrature:
    """Gauss-Jacobi quadrature over broken sticks.

    Attributes:
        nodes: on each side of the square of a stationary start, beside those that the counts need.
    """

    nodes: int = 48
    method: ClassVar[Method] = Method.QUADRATURE
    families: ClassVar[tuple[str, ...]] = ("markov",)

    def __post_init__(self) -> None:
        require_positive(self, nodes=self.nodes)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(Markov, task.model)
        require_dirichlet(self, model)
        if not model.conjugate:
            return self._stationary(model, data)
        answers = [self._conjugate(model, data, n) for n in data.positions.tolist()]
        answer = np.stack([law for law, _ in answers], axis=1)
        largest = max(float(np.abs(logs).max(initial=0.0)) for _, logs in answers)
        # a logarithm's rounding is as many times its size, some roundings a node
        bound = 64 * EPS * (largest + int(data.positions.max(initial=0)) + 1)
        return Branch(Categorical(answer[:, :, None]), self._certificate(bound))

    def _conjugate(self, model: Markov, data: Data, n: int) -> tuple[Array, Array]:
        """Probabilities (dataset, symbol) behind n symbols, and the logs of what they come from."""
        y, symbols = data.arrays["y"], model.symbols
        joints = []
        for order, log_prior in zip(model.orders, model.log_order_weights, strict=True):
            begun = 0 if model.start == "first" else min(n, order)
            first = 0 if model.start == "first" else order
            counts = _chains.counts(y, symbols, order, first, n)
            of_rows = _log_rows(counts, model.concentration)
            log_prefix = log_prior - begun * np.log(symbols) + of_rows.sum(-1)
            if n < first:
                joints.append(np.repeat((log_prefix - np.log(symbols))[:, None], symbols, axis=1))
                continue
            code = _chains.histories(y[:, :n], symbols, order)[:, n]
            here = counts[np.arange(len(y)), code]
            following = _log_rows(here[:, None] + np.eye(symbols), model.concentration)
            before = of_rows[np.arange(len(y)), code]
            joints.append(log_prefix[:, None] + following - before[:, None])
        joint = logsumexp(np.stack(joints), axis=0)
        return _chains.normalised(joint), joint

    def _stationary(self, model: Markov, data: Data) -> Branch:
        if (model.symbols, model.order) != (2, 1):
            wanted = f"two symbols and order 1 with a stationary start for '{name_of(self)}'"
            got = f"{model.symbols} symbols, order {model.order}"
            raise InputError(wanted, got, "use 'markov_importance'")
        need = self.nodes + int(data.positions.max(initial=0))
        coarse = _over_square(model, data, need)
        fine = _over_square(model, data, 2 * need)
        error = float(np.abs(fine - coarse).max(initial=0.0)) + 64 * EPS * need
        return Branch(Categorical(fine[:, :, None]), self._certificate(error, "estimate"))

    def _certificate(self, bound: float, kind: str = "bound") -> Certificate:
        return certify(self.method, bound, kind=kind)


def _log_rows(counts: Array, a: float) -> Array:
    """log of the mean likelihood of rows with these counts, (…, symbol) -> (…)."""
    symbols = counts.shape[-1]
    logs = np.zeros(counts.shape[:-1])
    above = counts.sum(-1)
    most = int(above.max(initial=0.0))
    for broken in range(symbols - 1):
        taken = counts[..., broken]
        above = above - taken
        logs = logs + _log_integral(taken, above, a, (symbols - broken - 1) * a, most)
    return logs


def _log_integral(taken: Array, left: Array, a: float, b: float, most: int) -> Array:
    """log E[s^taken (1 - s)^left], s ~ Beta(a, b)."""
    log_weight, log_s, log_rest = _rule(a, b, most // 2 + 1)
    pairs, inverse = np.unique(np.stack([taken.ravel(), left.ravel()]), axis=1, return_inverse=True)
    terms = log_weight + pairs[0][:, None] * log_s + pairs[1][:, None] * log_rest
    return np.asarray(logsumexp(terms, axis=-1))[inverse.ravel()].reshape(taken.shape)


@lru_cache(maxsize=64)
def _rule(a: float, b: float, nodes: int) -> tuple[Array, Array, Array]:
    """Log weights of a rule for Beta(a, b), log s and log(1 - s) of its nodes."""
    x, weight = roots_jacobi(nodes, b - 1, a - 1)
    return np.log(weight / weight.sum()), np.log((1 + x) / 2), np.log((1 - x) / 2)


def _over_square(model: Markov, data: Data, nodes: int) -> Array:
    """Probabilities (dataset, position, symbol) with a start in the law of two rows.

    The rows are p = P(1 | 0) and q = P(0 | 1); the start is 0 with probability q / (p + q).
    """
    a = model.concentration
    log_weight, log_move, log_stay = _rule(a, a, nodes)
    move = np.exp(log_move)
    zero = move[None] / (move[:, None] + move[None])  # (p, q)
    starts = np.stack([zero, 1 - zero])
    answer = np.empty((len(data.index), data.positions.size, 2))
    y = data.arrays["y"]
    for place, n in enumerate(data.positions.tolist()):
        counts = _chains.counts(y, 2, 1, 1, n)
        if n == 0:
            answer[:, place] = 0.5  # by symmetry
            continue
        of_p = log_weight + counts[:, 0, 1:] * log_move + counts[:, 0, :1] * log_stay
        of_q = log_weight + counts[:, 1, :1] * log_move + counts[:, 1, 1:] * log_stay
        p, q = (_chains.normalised(logs) for logs in (of_p, of_q))
        start = starts[y[:, 0]]  # (dataset, p, q)
        total = np.einsum("bp,bpq,bq->b", p, start, q)
        moved_p = np.einsum("bp,bpq,bq->b", p * move, start, q) / total
        moved_q = np.einsum("bp,bpq,bq->b", p, start, q * move) / total
        moved = np.where(y[:, n - 1] == 0, moved_p, moved_q)
        rows = np.arange(len(y))
        answer[rows, place, 1 - y[:, n - 1]] = moved
        answer[rows, place, y[:, n - 1]] = 1 - moved
    return answer


PART = MarkovQuadrature
