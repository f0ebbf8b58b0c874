"""KL(exact || candidate) of each latent:
of its values where both list them, else between normals with its mean and sd.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from veribayes.predictive import Array
from veribayes.validation.case import Case
from veribayes.validation.endpoints._endpoint import Endpoint, constant
from veribayes.validation.endpoints._latents import MOMENTS, about, known_means, missing_latents
from veribayes.validation.latents import normal_kl, probability_kl

TOLERANCE = 0.005  # nats: a tenth of a posterior sd off, as 100 independent draws are


def _measure(case: Case) -> Array | None:
    assert case.truth is not None  # a need of this endpoint
    exact = case.truth.posterior
    mine = case.said.posterior
    missing = missing_latents(case)
    compared = [name for name in exact if name not in missing and set(exact[name]) >= MOMENTS]
    if not compared:
        return None
    divergences = [about(name, _divergence, exact[name], mine[name]) for name in compared]
    return known_means(np.concatenate(divergences, axis=-1))


def _divergence(exact: Mapping[str, Array], mine: Mapping[str, Array]) -> Array:
    """Of one latent, (dataset, position, entry)."""
    if "probs" in exact and "probs" in mine:
        return probability_kl(exact["probs"], mine["probs"])
    return normal_kl(exact, mine)


def _reference_error(case: Case) -> float:
    assert case.truth is not None
    return case.truth.certificate.error_bound


PART = Endpoint(
    name="latent_kl",
    label="KL between the posteriors of the latents, as normals",
    about="its posterior of the latents is another",
    needs=("reference", "latents"),
    measure=_measure,
    unit="nats a latent",
    tolerance=constant(TOLERANCE),
    reference_error=_reference_error,
    place=30,
)
