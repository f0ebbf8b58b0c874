"""Exact Bayes for short sequences of a hidden Markov model, by a sum over all paths of its states.

Known parameters give each path its probability. Unknown ones, with Dirichlet rows, integrate out
along a path as in Polya's urn: after c moves from i, of which c_j went to j, the next goes to j
with probability (alpha + c_j) / (S alpha + c), and alike for the symbols.
The number of paths is S^T.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import EPS, certify, name_of, require_served, successive_chunks
from veribayes.inference._hmm import with_moments
from veribayes.models._task import Task
from veribayes.models.hmm import HMM
from veribayes.models.hmm._parameters import DIRICHLET
from veribayes.predictive import Array, Categorical, Predictive, concatenate, stack
from veribayes.tree import Branch, Data, IntArray
from veribayes.tree.method import Method

LARGEST = 2**20  # paths of a data set
CELLS = 2**20  # paths of all data sets at once: 8 MB stay near the processor


@dataclass(frozen=True)
class HmmPaths:
    """Grow all paths symbol by symbol."""

    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("hmm",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(HMM, task.model)
        longest = int(data.positions.max(initial=0))
        paths = model.states ** (longest + 1)
        if paths > LARGEST:
            reason = (
                f"{model.states} states and {longest} observations have {paths:.1e} paths, more "
                f"than {LARGEST:.0e}"
            )
            raise ReferenceRefused(name_of(self), [reason])
        chunks = successive_chunks(len(data.index), max(1, CELLS // paths))
        parts = [_answered(self, model, data.select(chunk)) for chunk in chunks]
        answer = concatenate([law for law, _ in parts])
        # products of some factors a symbol, and sums of positive terms
        bound = EPS * (8 * (longest + 1) + 4 * model.states * np.log2(paths))
        posterior: Mapping[str, Mapping[str, Array]] = {}
        if model.parameters != DIRICHLET:
            posterior = {"state": with_moments(np.concatenate([probs for _, probs in parts]))}
        return Branch(answer, certify(self.method, float(bound)), posterior)


def _answered(engine: Any, model: HMM, data: Data) -> tuple[Predictive, Array]:
    """The predictive (dataset, position, query) and the states' posterior (dataset, position,
    time, value).
    """
    grow: Any = _Urn(model, data) if model.parameters == DIRICHLET else _Chain(model, data)
    longest = int(data.positions.max(initial=0))
    datasets, times = data.arrays["y"].shape
    probs = np.full((datasets, data.positions.size, times, model.states), np.nan)
    weights = np.ones((datasets, 1))
    states = np.zeros((1, 0), dtype=np.int64)
    laws = {}
    for t in range(longest + 1):
        ahead = weights[:, :, None] * grow.moves(states)  # (dataset, path, next state)
        for k in np.flatnonzero(data.positions == t):
            laws[int(k)] = grow.law(ahead, states)
            probs[:, k, :t] = _marginals(weights, states, model.states)
        if t == longest:
            break
        states = _extended(states, model.states)
        joint = ahead.reshape(datasets, -1) * grow.likelihood(states, t)
        total = joint.sum(-1, keepdims=True)
        if not (total > 0).all():
            number = int(data.index[int(np.argmin(total[:, 0] > 0))])
            reason = (
                f"observation {t + 1} of data set {number} has probability zero under every path"
            )
            raise ReferenceRefused(name_of(engine), [reason])
        weights = joint / total
    return stack([laws[k] for k in range(data.positions.size)], axis=1), probs


class _Chain:
    """Factors of a path under parameters that are known for each data set."""

    def __init__(self, model: HMM, data: Data) -> None:
        self.model = model
        self.tables = model.tables_of(data)
        log_likelihoods = model.log_likelihoods(data, int(data.positions.max(initial=0)))
        # a factor that all paths of a data set share
        top = log_likelihoods.max(-1, keepdims=True)
        self.likelihoods = np.exp(log_likelihoods - np.where(np.isfinite(top), top, 0.0))

    def moves(self, states: IntArray) -> Array:
        """P(next state | path), (dataset or 1, path, state)."""
        if not states.shape[1]:
            return self.tables.initial[:, None]
        return self.tables.transition[:, states[:, -1]]

    def likelihood(self, states: IntArray, t: int) -> Array:
        """P(y_t | last state of the path), up to a factor, (dataset, path)."""
        return self.likelihoods[:, t][:, states[:, -1]]

    def law(self, ahead: Array, states: IntArray) -> Predictive:
        """The next observation, (dataset, query)."""
        del states  # the next state is all that counts
        belief = ahead.sum(1)[:, None, None]
        law: Predictive = self.model.emitted(belief, self.tables.emission)[:, 0]
        return law


class _Urn:
    """Factors of a path when the rows are integrated out;
    the counts of moves are those of the path, whatever is seen.
    """

    def __init__(self, model: HMM, data: Data) -> None:
        self.model, self.alpha = model, model.concentration
        self.y = data.arrays["y"]

    def moves(self, states: IntArray) -> Array:
        """(alpha + moves to the state) / (S alpha + moves) from where the path is, (1,
        path, state).
        """
        number = self.model.states
        if not states.shape[1]:
            return np.full((1, 1, number), 1 / number)
        from_here = states[:, :-1] == states[:, -1:]
        to = states[:, 1:, None] == np.arange(number)
        counts = (from_here[:, :, None] & to).sum(1)
        total = counts.sum(-1, keepdims=True) + number * self.alpha
        return ((counts + self.alpha) / total)[None]

    def likelihood(self, states: IntArray, t: int) -> Array:
        """(alpha + times that the symbol was emitted) / (K alpha + times) by the last state,
        (dataset, path).
        """
        here = states[:, :-1] == states[:, -1:]
        same = self.y[:, :t] == self.y[:, t : t + 1]
        counts = same.astype(np.float64) @ here.T
        return (counts + self.alpha) / (here.sum(-1) + self.model.symbols * self.alpha)

    def law(self, ahead: Array, states: IntArray) -> Predictive:
        """The next symbol, (dataset, query)."""
        length = states.shape[1]
        symbols = self.y[:, :length, None] == np.arange(self.model.symbols)
        probs = np.zeros((len(self.y), self.model.symbols))
        for state in range(self.model.states):
            here = (states == state).astype(np.float64)  # (path, time)
            share = ahead[:, :, state] / (here.sum(-1) + self.model.symbols * self.alpha)
            counted = np.einsum("bt,btk->bk", share @ here, symbols)
            probs += counted + self.alpha * share.sum(1)[:, None]
        return Categorical(probs[:, None])


def _extended(states: IntArray, number: int) -> IntArray:
    """Each path followed by each state in turn."""
    repeated = np.repeat(states, number, axis=0)
    following = np.tile(np.arange(number), len(states))
    return np.concatenate([repeated, following[:, None]], axis=1)


def _marginals(weights: Array, states: IntArray, number: int) -> Array:
    """P(x_s | y) of every s on the paths, (dataset, time, state)."""
    return np.stack([weights @ (states == state) for state in range(number)], axis=-1)


PART = HmmPaths
