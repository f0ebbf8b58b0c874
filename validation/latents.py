"""What a candidate says about latents: how far its posterior is from the exact one,
and how much has no support.

Padding is what the reference says. What a candidate leaves undefined where the reference is not is
infinitely wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array, Categorical, Normal
from veribayes.validation.metrics import kl
from veribayes.validation.metrics.kl import normals

SUPPORTS: Mapping[str, tuple[float, float]] = {
    "real": (-np.inf, np.inf),
    "positive": (0.0, np.inf),
    "unit_interval": (0.0, 1.0),
    "simplex": (0.0, 1.0),  # each entry alone; that they sum to one is not looked at
}
TOLERANCE = 0.01  # of the mass
categories = kl.PART.kernels["categorical", "categorical"]


def leaked_mass(draws: Array, support: str, applies: npt.NDArray[np.bool_] | None = None) -> Array:
    """Share of posterior draws outside a latent's support, (dataset, position, entry of the
    latent).

    Ideal 0, unit 1, unbiased; NaN where an entry is padding, which the reference says and never the
    draws: one that is not finite lies outside every support. Decide on it as on a divergence.

    Args:
        draws: (dataset, position, chain, draw, *event).
        support: as a model's `Variable` says it.
        applies: (dataset, position, *event), False where an entry is padding; None: nowhere.

    Raises:
        InputError: a support of another name.
        ShapeError: fewer than four axes, or an event of another shape than `applies` has.
    """
    if support not in SUPPORTS:
        raise InputError(f"one of the supports {', '.join(SUPPORTS)}", f"'{support}'")
    if draws.ndim < 4:
        raise ShapeError("draws (dataset, position, chain, draw, *event)", f"{draws.shape}")
    shape = (*draws.shape[:2], *draws.shape[4:])
    if applies is not None and applies.shape != shape:
        wanted = f"draws of an event of shape {applies.shape[2:]} for {applies.shape[:2]}"
        raise ShapeError(wanted, f"{draws.shape}")
    low, high = SUPPORTS[support]
    inside = np.isfinite(draws) & (draws >= low) & (draws <= high)
    outside = 1 - inside.mean((2, 3))
    masses = outside if applies is None else np.where(applies, outside, np.nan)
    return np.asarray(masses.reshape(*draws.shape[:2], -1))


def normal_kl(exact: Mapping[str, Array], candidate: Mapping[str, Array]) -> Array:
    """KL(exact || candidate) between normals with these moments, (dataset, position, entry), nats.

    NaN where the exact posterior is padding (not finite) or a point (sd 0). Infinite where only the
    candidate is not finite, or has no positive sd.

    Args:
        exact, candidate: `mean` and `sd`, (dataset, position, *event).

    Raises:
        ShapeError: arrays of other shapes than the exact mean.
    """
    _same_shapes(exact, candidate, ("mean", "sd"))
    mean, sd = _entries(exact)
    other_mean, other_sd = _entries(candidate)
    known = _is_normal(mean, sd)
    proper = known & _is_normal(other_mean, other_sd)
    values = np.where(known, np.inf, np.nan)
    law = Normal(mean[proper], sd[proper])
    other = Normal(other_mean[proper], other_sd[proper])
    values[proper] = normals(other, law)
    return values


def _entries(moments: Mapping[str, Array]) -> tuple[Array, Array]:
    """Mean and sd, (dataset, position, entry)."""
    mean, sd = moments["mean"], moments["sd"]
    lead = mean.shape[:2]
    return mean.reshape(*lead, -1), sd.reshape(*lead, -1)


def _is_normal(mean: Array, sd: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isfinite(mean) & np.isfinite(sd) & (sd > 0))


def probability_kl(exact: Array, candidate: Array) -> Array:
    """KL(exact || candidate) between probabilities of a latent's values, (dataset, position,
    entry), nats.

    NaN where the exact ones are padding (not finite); infinite where only the candidate's are not
    finite.

    Args:
        exact, candidate: (dataset, position, *event, value).

    Raises:
        InputError: finite probabilities that are negative or do not sum to one.
        ShapeError: another shape than the exact ones have.
    """
    _same_shapes({"probs": exact}, {"probs": candidate}, ("probs",))
    shape = (*exact.shape[:2], -1, exact.shape[-1])
    rows = exact.reshape(shape)
    others = candidate.reshape(shape)
    known = np.isfinite(rows).all(-1)
    proper = known & np.isfinite(others).all(-1)
    values = np.where(known, np.inf, np.nan)
    law = Categorical(rows[proper])
    other = Categorical(others[proper])
    values[proper] = categories(other, law)
    return values


def _same_shapes(
    exact: Mapping[str, Array], candidate: Mapping[str, Array], names: tuple[str, ...]
) -> None:
    for name in names:
        wanted = exact[names[0]].shape
        came = candidate[name].shape
        if came != wanted:
            expected = f"'{name}' of shape {wanted} (dataset, position, *event)"
            raise ShapeError(expected, f"{came}")
