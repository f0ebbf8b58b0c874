"""Moments are compared as moments: nothing is read off the normal that only shares its mean and sd
with a skewed posterior.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist

import veribayes as vb
from veribayes import registry
from veribayes.errors import EntryError, InputError
from veribayes.predictive import (
    Array,
    Bins,
    Draws,
    Normal,
    NormalMixture,
    Point,
    Predictive,
    Quantiles,
)
from veribayes.run.scoring import scores_in
from veribayes.tree import Branch, Certificate, Data, Simulation
from veribayes.validation import secondary
from veribayes.validation.moments import UNSAID, moments_of

PRIOR = np.array([0.5, 1.0, 3.0])
THROWS = 12


def program(n: int = THROWS, y: Any = None) -> None:
    p = numpyro.sample("p", dist.Dirichlet(PRIOR))
    with numpyro.plate("throws", n):
        numpyro.sample("y", dist.Categorical(p), obs=y)


def dirichlet(counts: Array) -> tuple[Array, Array]:
    """Exact posterior mean and sd of each probability."""
    total = (counts + PRIOR).sum(-1, keepdims=True)
    mean = (counts + PRIOR) / total
    return mean, np.sqrt(mean * (1 - mean) / (total + 1))


def exact(context: Any, names: Any) -> dict[str, Array]:
    counts = np.stack([(np.asarray(context["y"]) == k).sum(-1) for k in range(3)], axis=-1)
    mean, sd = dirichlet(counts)
    return {"mean": mean, "sd": sd}


def test_an_exact_dirichlet_posterior_is_told_nothing_about_coverage() -> None:
    """With its mean and sd alone; a skewed posterior has the coverage that it has."""
    task = vb.task(program, data={"n": THROWS})
    entry = vb.verify(task, exact, datasets=30, audit=0, tolerance=0.05).entry
    assert entry["calibration"]["coverage"] == []
    assert "they state no region" in entry["calibration"]["reason"]
    assert entry["secondary"]["tests"] == {}
    assert "rejected" not in {finding["name"] for finding in entry["findings"]}
    assert not set(UNSAID) & set(entry["scores"])
    assert entry["primary"]["estimate"] < 0.01  # nats: the reference's noise, measured 1e-4


def test_without_the_guard_they_would_be_called_wrong() -> None:
    """Read as normals, exact moments of 2,000 posteriors have a coverage that is rejected."""
    rng = np.random.default_rng(0)
    theta = rng.dirichlet(PRIOR, 2000)
    counts = np.stack([rng.multinomial(3, probs) for probs in theta])
    mean, sd = dirichlet(counts)
    law = Normal(mean[:, None], sd[:, None])
    outcome = theta[:, None]
    index = np.arange(2000)
    data = Data({}, np.array([3]), index)
    simulation = Simulation(data, {}, outcome, np.full((2000, 1), 3))
    branch = Branch(law, Certificate("trusted", "exact", 0.0))
    scores = scores_in(["pit", "hpd"], branch, branch, simulation)
    entry, p_values = secondary.calibration(scores, seed=0)
    assert min(p_values.values()) < 1e-6
    assert len(entry["coverage"]) == 4
    entry, p_values = secondary.calibration(scores, seed=0, unasked="they are moments")
    assert p_values == {}
    assert entry == {"coverage": [], "reliability": None, "reason": "they are moments"}


def gamma_draws() -> Array:
    return np.random.default_rng(1).gamma(2.0, size=(1, 1, 100_000))


@pytest.mark.parametrize(
    "law",
    [
        Draws(gamma_draws()),
        NormalMixture([[[0.5, 0.5]]], [[[0.0, 2.0]]], [[[1.0, 1.0]]]),
        Bins([[[0.7, 0.2, 0.1]]], [0.0, 1.0, 2.0, 5.0]),
    ],
)
def test_a_shape_is_taken_for_its_mean_and_sd(law: Predictive) -> None:
    """Equal moments have no divergence, whatever the shape."""
    taken = moments_of(law)
    assert isinstance(taken, Normal)
    np.testing.assert_allclose(taken.mean, law.expectation())
    np.testing.assert_allclose(taken.sd, law.standard_deviation())
    alike = Normal(law.expectation(), law.standard_deviation())
    score = registry.load("metric", "kl").score(taken[:, None], alike[:, None], np.zeros((1, 1, 1)))
    assert score.item() == 0.0


def test_what_states_no_moments_is_refused() -> None:
    with pytest.raises(InputError, match="return mean and sd, or draws"):
        moments_of(Quantiles([0.1, 0.9], [[[0.0, 1.0]]]))
    with pytest.raises(EntryError, match="positive finite sd"):
        moments_of(Draws([[[1.0, 1.0]]]))
    point = Point([[0.0]])
    assert moments_of(point) is point
