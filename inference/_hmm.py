"""What engines of hidden Markov models share: the filter, scaled and in logarithms, the smoother,
and latents.

    ahead_1 = initial,   filtered_t ~ ahead_t * P(y_t | .),   ahead_{t+1} = filtered_t @ transition

Scaled numbers lose what is smaller than the smallest float. A weight that was lost could have grown
by at most one over the product of all scales; sequences where that is not negligible are filtered
again in logarithms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import EPS, Engine, name_of
from veribayes.models.hmm import HMM
from veribayes.models.hmm._parameters import Tables
from veribayes.predictive import Array
from veribayes.tree import Data, IntArray

TINY = 2.3e-308  # smaller numbers are lost
NEGLIGIBLE = 1e-17  # of a probability


@dataclass(frozen=True, eq=False)
class Filtered:
    """What is known of the states.

    Attributes:
        ahead: P(x_{t+1} | y_1 … y_t), (dataset, time + 1, state), t = 0, 1, ….
        filtered: P(x_t | y_1 … y_t), (dataset, time, state).
        bound: on the relative error of a probability.
        again: numbers of the data sets that were filtered in logarithms, (number,), and
        logarithms: of both for these alone.
    """

    ahead: Array
    filtered: Array
    bound: float
    again: IntArray
    logarithms: tuple[Array, Array] | None = None

    def in_logarithms(self) -> tuple[Array, Array]:
        """Logarithms of `ahead` and `filtered` for all data sets."""
        with np.errstate(divide="ignore"):
            ahead, filtered = np.log(self.ahead), np.log(self.filtered)
        if self.logarithms is not None:
            ahead[self.again], filtered[self.again] = self.logarithms
        return ahead, filtered


def forward(
    engine: Engine, model: HMM, data: Data, length: int, tables: Tables | None = None
) -> Filtered:
    """The filter over the first `length` observations.

    Args:
        tables: instead of the model's own.

    Raises:
        ReferenceRefused: observations of probability zero.
    """
    tables = tables or model.tables_of(data)
    with np.errstate(divide="ignore", invalid="ignore"):
        ahead, filtered, lost = _scaled(tables, _likelihoods(model, data, length))
    again = np.flatnonzero(~(lost < NEGLIGIBLE))
    # sums of positive terms, some roundings a symbol and state
    bound = EPS * (length + 1) * (2 * model.states + 8)
    if not again.size:
        return Filtered(ahead, filtered, bound, again)
    log_likelihoods = model.log_likelihoods(data.select(again), length)
    log_ahead, log_filtered = _in_logarithms(_rows(tables, again), log_likelihoods)
    _require_possible(engine, log_ahead, data.select(again), len(data.index))
    ahead[again], filtered[again] = np.exp(log_ahead), np.exp(log_filtered)
    # of a logarithm as many times its size
    largest = float(np.abs(log_filtered[np.isfinite(log_filtered)]).max(initial=0.0))
    bound += EPS * (length + 1) * 2 * largest
    return Filtered(ahead, filtered, bound, again, (log_ahead, log_filtered))


def _likelihoods(model: HMM, data: Data, length: int) -> Array:
    """P(y_t | state) up to a factor of each observation, (time, state, dataset)."""
    if not model.symbols:
        logs = model.log_likelihoods(data, length)
        return np.exp(logs - logs.max(-1, keepdims=True)).transpose(1, 2, 0)
    y = data.arrays["y"][:, :length].T
    emission = model.tables_of(data).emission
    if len(emission) == 1:
        return np.stack([row[y] for row in emission[0]], axis=1)
    rows = np.arange(len(emission))
    return np.swapaxes(emission, 1, 2)[rows, y].transpose(0, 2, 1)


def smoothed(tables: Tables, ahead: Array, filtered: Array, length: int) -> Array:
    """log P(x_t | y_1 … y_length), (dataset, time, state), t = 1 … length, by the recursion of
    Rauch, Tung & Striebel.

    Args:
        ahead, filtered: logarithms.
    """
    with np.errstate(divide="ignore"):
        log_transition = np.log(tables.transition)
    laws = [filtered[:, length - 1]]
    for t in range(length - 2, -1, -1):
        possible = np.isfinite(laws[-1])
        gain = np.full(laws[-1].shape, -np.inf)
        np.subtract(laws[-1], ahead[:, t + 1], out=gain, where=possible)
        back = _log_sum(log_transition + gain[:, None], axis=-1)
        laws.append(filtered[:, t] + back)
    return np.stack(laws[::-1], axis=1)


def latents(model: HMM, data: Data, known: Filtered) -> dict[str, dict[str, Array]]:
    """Posterior of the state at each time and position, (dataset, position, time[, value]); NaN
    behind the prefix.
    """
    tables = model.tables_of(data)
    datasets, times = data.arrays["y"].shape
    probs = np.full((datasets, data.positions.size, times, model.states), np.nan)
    logs = known.in_logarithms()
    for k, length in enumerate(data.positions.tolist()):
        if length:
            probs[:, k, :length] = np.exp(smoothed(tables, *logs, length))
    return {"state": with_moments(probs)}


def with_moments(probs: Array) -> dict[str, Array]:
    """Probabilities of states, (…, value), with mean and sd of the state's number."""
    number = np.arange(probs.shape[-1])
    mean = probs @ number
    variance = (probs * (number - mean[..., None]) ** 2).sum(-1)
    return {"mean": mean, "sd": np.sqrt(variance), "probs": probs}


def _scaled(tables: Tables, likelihoods: Array) -> tuple[Array, Array, Array]:
    """Ahead (dataset, time + 1, state), filtered (dataset, time, state), and what may be lost,
    (dataset,); NaN where the scale is zero.

    Args:
        likelihoods: (time, state, dataset), so that a step works on memory that lies together.
    """
    length, states, datasets = likelihoods.shape
    ahead = np.empty((length + 1, states, datasets))
    filtered = np.empty((length, states, datasets))
    scales = np.empty((length, datasets))
    ahead[0] = tables.initial.T
    for t in range(length):
        np.multiply(ahead[t], likelihoods[t], out=filtered[t])
        filtered[t].sum(0, out=scales[t])
        filtered[t] /= scales[t]
        ahead[t + 1] = _moved(tables.transition, filtered[t])
    log_scale = np.log(scales).sum(0)
    lost = np.exp(np.log(TINY * states * (length + 1)) - log_scale)
    return ahead.transpose(2, 0, 1), filtered.transpose(2, 0, 1), lost


def _moved(transition: Array, belief: Array) -> Array:
    """One step of the chain, (state, dataset)."""
    if len(transition) == 1:
        return transition[0].T @ belief
    return np.einsum("bst,sb->tb", transition, belief)


def _in_logarithms(tables: Tables, log_likelihoods: Array) -> tuple[Array, Array]:
    """The same in logarithms; NaN or minus infinity where observations are impossible."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log_transition = np.log(tables.transition)
        ahead = [np.broadcast_to(np.log(tables.initial), log_likelihoods[:, 0].shape)]
        filtered = []
        for t in range(log_likelihoods.shape[1]):
            joint = ahead[-1] + log_likelihoods[:, t]
            filtered.append(joint - _log_sum(joint[:, None], axis=-1))
            ahead.append(_log_sum(filtered[-1][:, :, None] + log_transition, axis=1))
    return np.stack(ahead, axis=1), np.stack(filtered, axis=1)


def _log_sum(terms: Array, axis: int) -> Array:
    """log of the sum of exponentials along an axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(logsumexp(terms, axis=axis))


def _rows(tables: Tables, rows: IntArray) -> Tables:
    """The tables of some data sets; known ones are those of all."""
    own = (tables.initial, tables.transition, tables.emission)
    return Tables(*(table if len(table) == 1 else table[rows] for table in own))


def _require_possible(engine: Engine, log_ahead: Array, data: Data, datasets: int) -> None:
    impossible = np.flatnonzero(np.isnan(log_ahead[:, -1]).any(-1))
    if impossible.size:
        share = f"{impossible.size} of {datasets} data sets"
        number = int(data.index[impossible[0]])
        reason = f"the observations of {share} have probability zero, first in data set {number}"
        raise ReferenceRefused(name_of(engine), [reason])
