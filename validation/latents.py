"""What a candidate says about latents: how much of its posterior lies where the prior allows nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array

SUPPORTS: Mapping[str, tuple[float, float]] = {
    "real": (-np.inf, np.inf),
    "positive": (0.0, np.inf),
    "unit_interval": (0.0, 1.0),
    "simplex": (0.0, 1.0),  # each entry alone; that they sum to one is not looked at
}
TOLERANCE = 0.01  # of the mass


def leaked_mass(draws: Array, support: str) -> Array:
    """Share of posterior draws outside a latent's support, (dataset, position, entry of the latent).

    Ideal 0, unit 1, unbiased; NaN where an entry is padding (its draws are NaN). Decide on it as on a divergence.

    Args:
        draws: (dataset, position, chain, draw, *event).
        support: as a model's `Variable` says it.

    Raises:
        InputError: a support of another name.
        ShapeError: fewer than four axes.
    """
    if support not in SUPPORTS:
        raise InputError(f"one of the supports {', '.join(SUPPORTS)}", f"'{support}'")
    if draws.ndim < 4:
        raise ShapeError("draws (dataset, position, chain, draw, *event)", f"{draws.shape}")
    low, high = SUPPORTS[support]
    outside = ((draws < low) | (draws > high)).mean((2, 3))
    return np.where(np.isnan(draws).any((2, 3)), np.nan, outside).reshape(*draws.shape[:2], -1)
