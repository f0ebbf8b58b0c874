"""What endpoints about latents have in common:
which latents are compared, and how a fault is named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.validation import decision
from veribayes.validation.case import Case

MOMENTS = {"mean", "sd"}


def missing_latents(case: Case) -> list[str]:
    """Latents of the reference of which a candidate that speaks of latents gives no moments."""
    if case.truth is None or not case.judged.exposes or not case.said.posterior:
        return []
    mine = case.said.posterior
    return [name for name in case.truth.posterior if not set(mine.get(name, {})) >= MOMENTS]


def about(latent: str, measure: Callable[..., Array], *arrays: Any) -> Array:
    """The measure of some arrays; what is wrong with them is said with the latent's name."""
    try:
        return measure(*arrays)
    except InputError as error:
        wanted = f"of the latent '{latent}' {error.expected}"
        raise type(error)(wanted, error.got, error.remedy) from error


def known_means(values: Array) -> Array:
    """Means by data set, (dataset, position, entry) -> (dataset,), of those in which a latent has a
    meaning.
    """
    means = decision.cluster_means(values)
    return means[~np.isnan(means)]
