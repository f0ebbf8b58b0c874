"""What attention maps say: where the mass is, how many tokens are read, how much heads differ, how far two maps are apart.

A map is an array (dataset, head, reader, read) whose rows sum to one. Everything here is a mean over data sets, heads and the
chosen readers, in [0, 1] unless a unit is given; nothing is a test, and attention explains no prediction by itself.
"""

from __future__ import annotations

import numpy as np

from veribayes.errors import ShapeError
from veribayes.predictive import Array

ROW_SUM = 1e-4  # single precision over some thousand tokens


def checked(weights: Array) -> Array:
    """A map in float64.

    Raises:
        ShapeError: not (dataset, head, reader, read), or rows that are no distributions.
    """
    found = np.asarray(weights, dtype=np.float64)
    if found.ndim != 4 or not np.all(found >= 0) or np.abs(found.sum(-1) - 1).max(initial=0.0) > ROW_SUM:
        raise ShapeError("attention (dataset, head, reader, read) with rows that sum to one", f"{found.shape}")
    return found


def tokens_read(weights: Array) -> float:
    """exp of the entropy of a row: how many tokens an even spread over would have this entropy."""
    entropy = -np.where(weights > 0, weights * np.log(np.where(weights > 0, weights, 1.0)), 0.0).sum(-1)
    return float(np.exp(entropy).mean())


def sink(weights: Array, tokens: int) -> float:
    """Mass on the first tokens that are no observations."""
    return float(weights[..., :tokens].sum(-1).mean())


def diagonal(weights: Array) -> float:
    """Mass that a token keeps to itself; the readers are the last ones of those that are read."""
    readers, read = weights.shape[-2:]
    own = np.arange(readers) + read - readers
    return float(weights[..., np.arange(readers), own].mean())


def diversity(weights: Array) -> float:
    """Mean total variation between two different heads of a layer; 0 for a single head."""
    heads = weights.shape[1]
    if heads < 2:
        return 0.0
    pairs = [variation(weights[:, i], weights[:, j]) for i in range(heads) for j in range(i)]
    return float(np.mean(pairs))


def by_distance(weights: Array, most: int) -> Array:
    """Mean mass at the distances 0..most-1 from the reader, by head, (head, distance); NaN where no reader is that far in."""
    readers, read = weights.shape[-2:]
    own = np.arange(readers) + read - readers
    out = np.full((weights.shape[1], most), np.nan)
    for distance in range(most):
        at = own - distance
        inside = at >= 0
        if inside.any():
            out[:, distance] = weights[:, :, np.flatnonzero(inside), at[inside]].mean((0, 2))
    return out


def apart(weights: Array, other: Array) -> float:
    """Total variation of the nearest head from a map of one head, both (dataset, head, reader, read)."""
    return min(variation(weights[:, head], other[:, 0]) for head in range(weights.shape[1]))


def variation(one: Array, other: Array) -> float:
    """Mean total variation of the rows."""
    return float(0.5 * np.abs(one - other).sum(-1).mean())
