"""Exact Bayes for mixture-of-transition weights by a dynamic programme over how often each lag was
used.

Writing the likelihood as a sum over which lag produced each symbol, the weights integrate out as in
Polya's urn: given counts c of the lags used so far, the next symbol uses lag g with probability
(alpha + c_g) / (m alpha + n). The posterior of the counts is filtered forwards, and E[lambda_g | y]
= sum_c w_c (alpha + c_g) / (m alpha + n). The state space has about n^(m-1) cells.
No grid and no polynomial is shared with the quadrature that it checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import (
    EPS,
    certify,
    equal_chunks,
    float64,
    moments,
    name_of,
    require_served,
)
from veribayes.inference._simplex import next_symbol, terms
from veribayes.models._task import Task
from veribayes.models.mtd import MTD
from veribayes.predictive import Array
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

LARGEST = 4_000_000  # cells a data set: 32 MB
CHUNK = 131_072  # cells at once: 1 MB stays near the processor
TINY = 2.3e-308  # smaller weights are lost


@dataclass(frozen=True)
class LagCounts:
    """Forward filter over the counts of lags used."""

    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("mtd",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        require_served(self, task, data)
        model = cast(MTD, task.model)
        factors = terms(model, data)[:, model.m :]
        first, second, log_evidence = self._moments(factors, model.concentration)
        used = np.maximum(data.positions - model.m, 0)
        weights = moments(first[:, used], second[:, used])
        length = factors.shape[1]
        # sums of positive terms, some roundings a symbol and lag
        rounding = 4 * EPS * length * (model.m + 4)
        # a weight lost below the smallest float could have grown by at most 1 / P(all symbols)
        grown = np.exp(np.minimum(np.log(TINY) - log_evidence, 0.0))
        lost = float(grown.max(initial=0.0)) * (length + 1) ** model.m
        answer = next_symbol(model, data, weights["mean"])
        return Branch(answer, certify(self.method, rounding + lost), {"weights": weights})

    def _moments(self, factors: Array, alpha: float) -> tuple[Array, Array, Array]:
        """First and second raw moment of the weights after 0, 1, ...
        factors (dataset, factor, lag), and the log evidence.
        """
        datasets, length, lags = factors.shape
        cells = (length + 1) ** (lags - 1)
        if cells > LARGEST:
            need = f"{length} symbols and {lags} lags need {cells:.1e} cells"
            raise ReferenceRefused(name_of(self), [f"{need}, more than {LARGEST:.0e}"])
        chunks = equal_chunks(datasets, CHUNK // cells)
        with float64():
            parts = [np.asarray(_filter(factors[chunk], alpha)) for chunk in chunks]
        out = np.concatenate(parts)[:datasets]
        if not np.all(np.isfinite(out)):
            reason = "a sequence has probability zero under every weight"
            raise ReferenceRefused(name_of(self), [reason])
        log_evidence = out[..., -1].sum(-1)
        return out[..., :lags], out[..., lags:-1], log_evidence


@partial(jax.jit, static_argnums=1)
def _filter(factors: jax.Array, alpha: float) -> jax.Array:
    """Raw moments and log probability of each symbol (dataset, factor + 1, 2 lag + 1).

    Cells are indexed by the counts of all lags but the last;
    those that no sequence reaches have weight zero.
    """
    length, lags = factors.shape[1:]
    box = (length + 1,) * (lags - 1)
    counts = jnp.asarray(np.indices(box, dtype=np.float64))

    def share(n: jax.Array, more: float) -> jax.Array:
        """(alpha + counts) / (m alpha + n) of every lag, with `more` of each, after n symbols."""
        last = jnp.maximum(n - counts.sum(0), 0.0)
        every_lag = jnp.concatenate([counts, last[None]])
        return (alpha + more + every_lag) / (lags * alpha + more + n)

    def summary(weight: jax.Array, n: jax.Array, log_total: jax.Array) -> jax.Array:
        first = share(n, 0.0)
        second = first * share(n, 1.0)
        raw = jnp.tensordot(jnp.concatenate([first, second]), weight, axes=lags - 1)
        return jnp.concatenate([raw, log_total[None]])

    def symbol(weight: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        n, a = step
        likelihood = a.reshape(-1, *(1,) * (lags - 1))
        by_lag = weight[None] * share(n, 0.0) * likelihood
        moved = (_shift(by_lag[g], g) for g in range(lags - 1))
        joint = sum(moved, start=by_lag[-1])
        total = joint.sum()
        return joint / total, summary(joint / total, n + 1, jnp.log(total))

    def sequence(a: jax.Array) -> jax.Array:
        start = jnp.zeros(box).at[(0,) * (lags - 1)].set(1.0)
        prior = summary(start, jnp.zeros(()), jnp.zeros(()))
        steps = (jnp.arange(float(length)), a)
        _, after = jax.lax.scan(symbol, start, steps)
        return jnp.concatenate([prior[None], after])

    return jax.vmap(sequence)(factors)


def _shift(weight: jax.Array, axis: int) -> jax.Array:
    """Move every cell one count up along an axis."""
    empty = jnp.zeros_like(jax.lax.slice_in_dim(weight, 0, 1, axis=axis))
    others = jax.lax.slice_in_dim(weight, 0, -1, axis=axis)
    return jnp.concatenate([empty, others], axis=axis)


PART = LagCounts
