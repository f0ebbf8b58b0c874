"""The likelihood of programs at given latents, against formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from veribayes import api
from veribayes.inference._likelihood import log_likelihood


def by_hand(task: Any, simulation: Any) -> Any:
    """log p(data | true latents) at the last position, (dataset,)."""
    data, latents, model = simulation.data, simulation.latents, task.model
    last = len(data.positions) - 1
    if model.kind == "mtd":
        a = model.program_data(data, last)["a"]
        return np.log(np.einsum("btg,bg->bt", a, latents["weights"])).sum(1)
    if model.kind == "bayesian_network":
        counts = model.program_data(data, last)["counts"]
        return np.where(
            counts > 0, counts * np.log(np.where(counts > 0, latents["theta"], 1.0)), 0.0
        ).sum((1, 2))
    n = data.positions[last]
    return norm.logpdf(data.arrays["y"][:, :n], latents["f"][:, :n], model.noise_sd).sum(1)


@pytest.mark.parametrize("name", ["mtd-q5-m3", "bn-general5", "gp-rbf-1d"])
def test_likelihood_at_the_truth(name: str) -> None:
    task = api.task(name)
    simulation = task.simulate(range(5), seed=0)
    latents = {
        v.name: np.repeat(simulation.latents[v.name][:, None], 2, 1) for v in task.model.latents
    }
    found = log_likelihood(task.model, latents, simulation.data, len(simulation.data.positions) - 1)
    np.testing.assert_allclose(
        found, np.repeat(by_hand(task, simulation)[:, None], 2, 1), rtol=1e-9
    )
