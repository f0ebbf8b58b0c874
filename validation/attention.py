"""What attention maps say: where the mass is, how many tokens are read, how much heads differ,
how far two maps are apart.

A map is an array (dataset, head, reader, read) whose rows sum to one. Every statistic is a mean
over heads and readers (over readers alone where heads are kept apart), one number a data set, so
that an interval can be over data sets; all of them lie in [0, 1] unless a unit is given. Nothing is
a test, and attention explains no prediction by itself.
"""

from __future__ import annotations

import numpy as np

from veribayes.errors import ShapeError
from veribayes.predictive import Array
from veribayes.tree import IntArray

ROW_SUM = 1e-4  # single precision over some thousand tokens


def checked(weights: Array) -> Array:
    """A map in float64.

    Raises:
        ShapeError: not (dataset, head, reader, read), or rows that are no distributions.
    """
    checked_map = np.asarray(weights, dtype=np.float64)
    sound = checked_map.ndim == 4 and bool(np.all(checked_map >= 0))
    if sound:
        error = np.abs(checked_map.sum(-1) - 1)
        sound = not error.max(initial=0.0) > ROW_SUM
    if not sound:
        wanted = "attention (dataset, head, reader, read) with rows that sum to one"
        raise ShapeError(wanted, f"{checked_map.shape}")
    return checked_map


def tokens_read(weights: Array) -> Array:
    """exp of the entropy of a row: how many tokens an even spread over would have this entropy,
    (dataset,).
    """
    positive = weights > 0
    logs = np.log(np.where(positive, weights, 1.0))
    entropy = -np.where(positive, weights * logs, 0.0).sum(-1)
    return np.asarray(np.exp(entropy).mean((1, 2)))


def sink(weights: Array, tokens: int) -> Array:
    """Mass on the first tokens, which are no observations, (dataset,)."""
    mass = weights[..., :tokens].sum(-1)
    return np.asarray(mass.mean((1, 2)))


def diagonal(square: Array) -> Array:
    """Mass that a token keeps to itself, (dataset,); the readers of a square map are the tokens
    that are read.
    """
    kept = np.diagonal(square, axis1=2, axis2=3)
    return np.asarray(kept.mean((1, 2)))


def diversity(weights: Array) -> Array:
    """Mean total variation between two different heads of a layer, (dataset,); 0 for a
    single head.
    """
    heads = weights.shape[1]
    if heads < 2:
        return np.zeros(len(weights))
    maps = [weights[:, head] for head in range(heads)]
    pairs = [variation(one, other) for i, one in enumerate(maps) for other in maps[:i]]
    return np.asarray(np.mean(pairs, axis=0))


def by_bin(weights: Array, bins: IntArray, number: int) -> Array:
    """Mass by head in bins of the tokens that are read, (dataset, head, bin).

    Args:
        bins: bin of each token for each reader, (dataset, reader, read) or something that
            broadcasts to it.
    """
    inside = bins[..., None] == np.arange(number)  # (dataset, reader, read, bin)
    mass = weights[..., None] * inside[:, None]
    return np.asarray(mass.sum(3).mean(2))


def observed(weights: Array, leading: int) -> Array:
    """A map over the observations alone, its rows made to sum to one; an even spread where they
    have no mass.
    """
    rest = weights[..., leading:]
    total = rest.sum(-1, keepdims=True)
    even = np.full_like(rest, 1 / rest.shape[-1])
    return np.asarray(np.divide(rest, total, out=even, where=total > 0))


def apart(weights: Array, other: Array) -> Array:
    """Total variation of each head from a map of one head, (dataset, head)."""
    heads = range(weights.shape[1])
    distances = [variation(weights[:, head], other[:, 0]) for head in heads]
    return np.stack(distances, axis=1)


def variation(one: Array, other: Array) -> Array:
    """Mean total variation of the rows of two heads, each (dataset, reader, read), (dataset,)."""
    apart = np.abs(one - other).sum(-1)
    return np.asarray(0.5 * apart.mean(-1))
