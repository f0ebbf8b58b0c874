"""Context switch: its data follow the model, its engines agree,
and a predictor that ignores the cue is found.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import veribayes as vb
from veribayes import registry
from veribayes.errors import InputError, ModelError
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.models.context_switch import ContextSwitch
from veribayes.predictive import Predictive

CUES = ("observed", "hidden")


def task_of(cue: str, **design: Any) -> Task:
    return _spec.task_of(ContextSwitch(cue=cue), name="switch", **design)


def answer(task: Task, engine: str, datasets: int, **options: Any) -> Predictive:
    data = task.simulate(range(datasets), seed=3).data
    predictive: Predictive = registry.engine(engine, options)(task, data, seed=3).predictive
    return predictive


@pytest.mark.parametrize("cue", CUES)
def test_spec_round_trip(cue: str) -> None:
    model = ContextSwitch(2.0, 0.5, 0.3, cue)
    assert ContextSwitch.from_spec(model.spec()) == model


@pytest.mark.parametrize(
    "fields",
    [
        {"prior_variance": 0.0},
        {"noise_variance": -1.0},
        {"cue_probability": 1.0},
        {"cue_probability": 0.0},
        {"cue": "guessed"},
    ],
)
def test_what_is_no_model_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        ContextSwitch(**fields)


@pytest.mark.parametrize("cue", CUES)
def test_data_follow_the_model(cue: str) -> None:
    """Variances A, B and A + B within four standard errors of 4,000 data sets."""
    task = task_of(cue, positions=(1, 4))
    simulation = task.simulate(range(4000), seed=1)
    c, mu = simulation.data.arrays["c"], simulation.latents["mu"]
    error = 4 * np.sqrt(2 / 4000)
    assert abs(mu.var() / 4.0 - 1) < error
    assert abs((c - mu[:, None])[:, 0].var() / 1.0 - 1) < error
    outcome = simulation.outcome[:, 0]
    assert abs(outcome[:, 0].var() / 5.0 - 1) < error
    if cue == "observed":
        on = simulation.data.arrays["cue"] == 1
        assert abs(on.mean() - 0.5) < 4 * np.sqrt(0.25 / 8000)
        residual = (outcome - mu[:, None])[on]
        assert abs(residual.var() - 1) < 4 * np.sqrt(2 / on.sum())
        assert (
            abs(np.corrcoef(outcome[~on], np.broadcast_to(mu[:, None], on.shape)[~on])[0, 1]) < 0.07
        )


def test_the_posterior_mean_counts_the_prior_as_so_many_zeros() -> None:
    """Of n values the mean is their sum over n + B / A:
    the mass of a sink is (B / A) / (n + B / A).
    """
    task = task_of("observed", positions=(1, 4, 32))
    data = task.simulate(range(5), seed=2).data
    branch = registry.engine("switch_conjugate")(task, data, seed=0)
    for k, n in enumerate((1, 4, 32)):
        expected = data.arrays["c"][:, :n].sum(axis=1) / (n + 0.25)
        np.testing.assert_allclose(branch.posterior["mu"]["mean"][:, k], expected, rtol=1e-13)


@pytest.mark.parametrize("cue", CUES)
def test_conditional_on_draws_averages_to_the_predictive(cue: str) -> None:
    """Given exact draws of mu the mixture's density is the predictive's,
    within the error of 20,000 draws.
    """
    task = task_of(cue, positions=(4,))
    data = task.simulate(range(3), seed=4).data
    branch = registry.engine("switch_conjugate")(task, data, seed=0)
    mean, sd = branch.posterior["mu"]["mean"], branch.posterior["mu"]["sd"]
    draws = mean + sd * np.random.default_rng(0).standard_normal((3, 20_000))
    averaged = task.model.conditional({"mu": draws}, data, 0)
    exact = branch.predictive[:, 0]
    points = np.broadcast_to(np.linspace(-4, 4, 9), (*exact.shape, 9))
    np.testing.assert_allclose(averaged.cdf(points), exact.cdf(points), atol=0.012)


@pytest.mark.parametrize("cue", CUES)
def test_both_routes_agree_within_the_bound_that_is_stated(cue: str) -> None:
    """KL of 40 data sets at all context sizes, and the moments of the mean."""
    task = task_of(cue)
    simulation = task.simulate(range(40), seed=5)
    exact = registry.engine("switch_conjugate")(task, simulation.data, seed=0)
    other = registry.engine("switch_quadrature")(task, simulation.data, seed=0)
    divergences = registry.load("metric", "kl").score(
        other.predictive, exact.predictive, simulation.outcome
    )
    assert np.abs(divergences).max() < other.certificate.error_bound
    for moment in ("mean", "sd"):
        np.testing.assert_allclose(
            other.posterior["mu"][moment], exact.posterior["mu"][moment], rtol=1e-11, atol=1e-12
        )


def test_places_are_counted_from_the_last_observation() -> None:
    """The default of every family without a distance of its own;
    places beyond the eighth are one class.
    """
    model = ContextSwitch()
    for context in (
        np.zeros((2, 10)),
        {"c": np.zeros((2, 10))},
        SimpleNamespace(c=np.zeros((2, 10))),
    ):
        found = model.distance(context, None)
        assert found.labels == ["1", "2", "3", "4", "5", "6", "7", "8+"]
        assert found.classes.tolist() == [[[7, 7, 7, 6, 5, 4, 3, 2, 1, 0]]]
    assert model.distance(np.zeros((2, 3)), None).labels == ["1", "2", "3+"]
    with pytest.raises(InputError, match="a context of observations"):
        model.distance(np.zeros(3), None)


def test_cues_that_are_none_are_refused() -> None:
    task = task_of("observed", positions=(1, 2))
    data = task.simulate(range(2), seed=0).data
    data.arrays["cue"][0, 0] = 2
    with pytest.raises(InputError, match="0 or 1"):
        registry.engine("switch_conjugate")(task, data, seed=0)


def test_a_rival_that_ignores_the_cue_is_the_hidden_task() -> None:
    """It answers an observed cue as exact Bayes answers a hidden one,
    and is far from exact there.
    """
    observed = task_of("observed", positions=(4,))
    blind = answer(observed, "cue_ignored", 4)
    seen = answer(observed, "switch_conjugate", 4)
    hidden = answer(task_of("hidden", positions=(4,)), "switch_conjugate", 4)
    point = np.full((4, 1, 1, 1), 0.7)
    np.testing.assert_allclose(blind[:, :, :1].cdf(point), hidden.cdf(point), rtol=1e-12)
    points = np.full((*seen.shape, 1), 0.7)
    assert np.abs(blind.cdf(points) - seen.cdf(points)).max() > 0.01


def test_verdicts() -> None:
    task = task_of("observed", positions=(2,))
    options = {"datasets": 400, "audit": 0}
    assert vb.verify(task, "switch_conjugate", **options).verdict == "equivalent"
    for defect in ("context_only", "order_dependent"):
        assert vb.verify(task, defect, **options).verdict == "different"


@pytest.mark.study
@pytest.mark.parametrize("cue", CUES)
def test_the_second_route_and_nuts_agree(cue: str) -> None:
    task = task_of(cue)
    result = vb.verify(task, "switch_quadrature", datasets=400, audit=4)
    assert result.verdict == "equivalent"
    assert result.entry["audit"]["verdict"] == "agrees"
