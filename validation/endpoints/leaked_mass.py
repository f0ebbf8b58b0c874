"""Posterior mass where the prior has none:
outside the support that the model declares of a latent.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from veribayes.predictive import Array
from veribayes.validation.case import Case
from veribayes.validation.endpoints._endpoint import Endpoint, constant
from veribayes.validation.endpoints._latents import about, known_means
from veribayes.validation.latents import SUPPORTS, TOLERANCE, leaked_mass


def _measure(case: Case) -> Array | None:
    posterior = case.said.posterior
    masses = []
    for latent in case.task.model.latents:
        draws = posterior.get(latent.name, {}).get("draws")
        if draws is None or latent.support not in SUPPORTS:
            continue
        applies = _applies(case, latent.name)
        masses.append(about(latent.name, leaked_mass, draws, latent.support, applies))
    return known_means(np.concatenate(masses, axis=-1)) if masses else None


def _applies(case: Case, name: str) -> npt.NDArray[np.bool_]:
    """(dataset, position, *event): False where the entry is padding, by the reference or else by
    the model.
    """
    exact = {} if case.truth is None else case.truth.posterior
    if "mean" in exact.get(name, {}):
        return np.isfinite(exact[name]["mean"])
    data = case.simulation.data
    model = case.task.model
    masks = [model.latent_mask(data, k)[name] for k in range(len(data.positions))]
    return np.stack(masks, axis=1)


PART = Endpoint(
    name="leaked_mass",
    label="posterior mass outside the support of the latents",
    about="its posterior has mass where the model allows none",
    needs=("latents",),
    measure=_measure,
    unit="1",
    tolerance=constant(TOLERANCE),
    place=20,
)
