"""How a candidate was asked again, and what is said of that:
it cannot be asked, or does not keep to its seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from veribayes.predictive import Array
from veribayes.validation import again
from veribayes.validation.case import Case, Primary

RECORDED = (
    "recorded predictions cannot be asked again: whether batch, order or asking twice change them "
    "is not known"
)
BROKEN = {
    "name": "seed_not_repeated",
    "text": "it takes a seed, and one seed gives two answers",
}


def how(case: Case) -> dict[str, Any]:
    """How the candidate was asked again, for the JSON; `reason` where it was not."""
    if case.measured is None:
        return {"reason": RECORDED}
    return again.summary(*case.measured)


def notes(case: Case) -> list[dict[str, Any]]:
    """Findings that are no endpoint: it cannot be asked, it does not keep to its seed, its seeds
    scatter.
    """
    if case.measured is None:
        return [{"name": "not_asked_again", "text": RECORDED}]
    requests, _, changes = case.measured
    if not requests.candidate.takes_seed:
        return []
    noise = changes.noise[~np.isnan(changes.noise)]
    scatter = _scatter(noise, case.primary)
    return scatter if changes.exact else [dict(BROKEN), *scatter]


def _scatter(noise: Array, primary: Primary) -> list[dict[str, Any]]:
    mean = noise.mean() if noise.size else 0.0
    if not noise.size or mean <= primary.tolerance:
        return []
    size = f"{mean:.3g} {primary.unit}" if np.isfinite(mean) else "infinitely"
    text = (
        f"its answers under two seeds scatter by {size}, tolerance {primary.tolerance:.3g}: noise"
    )
    return [{"name": "seed_noise", "text": text}]
