"""Planted defects: each does what it says,
and the endpoint that must see it does (`benchmarks.acceptance` is the study).
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from veribayes import registry
from veribayes.errors import InputError, ShapeError
from veribayes.models._spec import load_task
from veribayes.models._task import Design, Task
from veribayes.predictive import Array
from veribayes.tree import Branch, Simulation
from veribayes.validation import decision
from veribayes.validation.latents import TOLERANCE, leaked_mass

TASKS = {
    "bn-general5": (1, 5, 20, 100),
    "mtd-q5-m3": (4, 16, 64),
    "gp-rbf-1d": (1, 4, 16),
    "bn-asia-inference": (0,),
}
FAMILIES = {load_task(name).model.kind for name in TASKS}
EVERY = ("temperature", "prior_only")
COUNTED = (*EVERY, "narrow", "wide", "forgets_context", "order_dependent", "wrong_prior")
MEANT = {
    "bn-general5": (*COUNTED, "permuted_classes", "ignores_parent", "latent_leakage"),
    "mtd-q5-m3": (
        *EVERY,
        "forgets_context",
        "wrong_prior",
        "permuted_classes",
        "off_by_one_lag",
        "dropped_mode",
        "latent_leakage",
    ),
    "gp-rbf-1d": (
        *COUNTED,
        "shifted",
        "heteroscedastic",
        "heavy_tails",
        "wrong_tails",
        "dropped_correlation",
    ),
    "bn-asia-inference": (*EVERY, "permuted_classes", "ignores_parent"),
}


@cache
def prepared(name: str) -> tuple[Task, Simulation, Branch]:
    task = load_task(name)
    task = replace(task, design=Design(TASKS[name], task.design.queries))
    simulation = task.simulate(range(250), seed=5)
    joint = {"joint": True} if task.model.kind == "gaussian_process" else {}
    return (
        task,
        simulation,
        registry.load("engine", task.reference)(**joint)(task, simulation.data, seed=0),
    )


def spoilt(defect: str, name: str, **options: Any) -> Branch:
    task, simulation, _ = prepared(name)
    part = registry.load("engine", defect)
    if any(f.name == "of" for f in fields(part)):
        options = {"of": task.reference, **options}
    branch: Branch = part(**options)(task, simulation.data, seed=0)
    return branch


def effect(defect: str, name: str) -> tuple[Array, float]:
    """What the endpoint that must see the defect measures on each data set, and its tolerance."""
    task, simulation, exact = prepared(name)
    branch, seen_by = spoilt(defect, name), registry.load("engine", defect).seen_by
    assert task.tolerance is not None
    if seen_by == "leaked_mass":
        (latent,) = task.model.latents
        posterior = branch.posterior[latent.name]
        masses = leaked_mass(posterior["draws"], latent.support, np.isfinite(posterior["mean"]))
        return decision.cluster_means(masses), TOLERANCE
    if seen_by == "joint_kl":
        assert exact.joint is not None
        assert branch.joint is not None
        return exact.joint.kl(branch.joint).mean(-1) / exact.joint.mean.shape[-1], task.tolerance.kl
    scores = registry.load("metric", seen_by).score(
        branch.predictive, exact.predictive, simulation.outcome
    )
    return decision.cluster_means(scores), task.tolerance.kl


@pytest.mark.parametrize(
    ("name", "defect"), [(name, defect) for name, defects in MEANT.items() for defect in defects]
)
def test_every_defect_is_found_by_who_must_see_it(name: str, defect: str) -> None:
    values, tolerance = effect(defect, name)
    assert (
        values.mean() >= 2 * tolerance
    )  # measured on all positions: 2.5 (gp wrong_prior) to 2,900 tolerances
    assert decision.decide(values, tolerance=tolerance).verdict == "different"


@pytest.mark.parametrize("defect", ["dropped_correlation", "latent_leakage"])
def test_what_no_single_prediction_shows(defect: str) -> None:
    name = "gp-rbf-1d" if defect == "dropped_correlation" else "mtd-q5-m3"
    _, simulation, exact = prepared(name)
    said = spoilt(defect, name).predictive
    assert (
        np.abs(
            registry.load("metric", "kl").score(said, exact.predictive, simulation.outcome)
        ).max()
        < 1e-9
    )


def test_every_defect_is_meant_for_some_task_and_others_are_refused() -> None:
    planted = set()
    for name in registry.names("engine"):
        part = registry.load("engine", name)
        own = part.families and not set(part.families) & FAMILIES  # its family's tests plant it
        if hasattr(part, "seen_by") and not own:
            planted.add(name)
    assert planted == {defect for defects in MEANT.values() for defect in defects}
    for defect in sorted(planted - {"temperature", "prior_only"}):
        refused = [name for name in TASKS if defect not in MEANT[name]]
        for name in refused:
            with pytest.raises(InputError):
                spoilt(defect, name)


@pytest.mark.parametrize(
    ("name", "defect"),
    [
        ("hmm-3x4", "forgets_context"),
        ("hmm-gaussian-3", "forgets_context"),
        ("hmm-header-5x8", "forgets_context"),
        ("context-switch", "forgets_context"),
        ("context-switch-hidden", "forgets_context"),
        ("context-switch-hidden", "narrow"),
    ],
)
def test_a_family_says_how_strong_a_defect_must_be(name: str, defect: str) -> None:
    task = load_task(name)
    simulation = task.simulate(range(100), seed=5)
    truth, other = (
        registry.engine(engine)(task, simulation.data, seed=5)
        for engine in (task.reference, defect)
    )
    scores = registry.load("metric", "kl").score(
        other.predictive, truth.predictive, simulation.outcome
    )
    assert task.tolerance is not None
    assert np.nanmean(scores) > 2 * task.tolerance.kl


def test_contexts_are_read_as_stated() -> None:
    """A defect that changes nothing at some position says exactly what the engine says there."""
    _, _, exact = prepared("bn-general5")
    probs = exact.predictive.variables()["probs"]
    kept = spoilt("forgets_context", "bn-general5", keep=20).predictive.variables()["probs"]
    np.testing.assert_allclose(kept[:, :3], probs[:, :3], atol=1e-13)
    assert np.abs(kept[:, 3] - probs[:, 3]).max() > 0.01
    none = spoilt("order_dependent", "bn-general5").predictive.variables()["probs"]
    np.testing.assert_allclose(none[:, 0], 0.5, atol=1e-13)  # nothing is read of a single row
    np.testing.assert_allclose(
        spoilt("narrow", "bn-general5", times=1).predictive.variables()["probs"], probs, atol=1e-13
    )


def test_heavy_tails_keep_mean_and_spread() -> None:
    _, _, exact = prepared("gp-rbf-1d")
    found = spoilt("heavy_tails", "gp-rbf-1d").predictive
    np.testing.assert_allclose(found.expectation(), exact.predictive.expectation(), atol=1e-12)
    np.testing.assert_allclose(
        found.standard_deviation(), exact.predictive.standard_deviation(), rtol=1e-12
    )


def test_tails_alone_are_wrong_and_only_densities_see_it() -> None:
    """The masses of all cells are exact, so are the bins;
    in acceptance `primary.metric` is `kl_density`.
    """
    task, simulation, exact = prepared("gp-rbf-1d")
    said = spoilt("wrong_tails", "gp-rbf-1d").predictive
    scores = {
        name: registry.load("metric", name).score(said, exact.predictive, simulation.outcome)
        for name in ("kl", "kl_density", "missed_mass")
    }
    assert np.abs(scores["kl"]).max() < 1e-12
    assert scores["missed_mass"].max() == 0
    wide, right = (
        spoilt("wrong_tails", "gp-rbf-1d", reach=6.0, times=times).predictive
        for times in (20.0, 1.0)
    )
    metric = registry.load("metric", "kl_density")
    bins_alone = [
        metric.score(law, exact.predictive, simulation.outcome).mean() for law in (wide, right)
    ]
    assert task.tolerance is not None
    assert (
        max(bins_alone) < 0.2 * task.tolerance.kl
    )  # with borders that nothing crosses the tails cost nothing
    assert scores["kl_density"].mean() > 2 * task.tolerance.kl


def test_leaked_mass() -> None:
    draws = np.array([-0.1, 0.2, 0.9, 1.2]).reshape(1, 1, 1, 4, 1)
    assert leaked_mass(draws, "simplex").item() == 0.5
    assert leaked_mass(draws, "positive").item() == 0.25
    assert leaked_mass(draws, "real").item() == 0
    nothing = np.full((1, 1, 1, 3, 1), np.nan)
    assert leaked_mass(nothing, "simplex").item() == 1  # padding is what the reference says
    assert np.isnan(leaked_mass(nothing, "simplex", np.zeros((1, 1, 1), dtype=bool))).all()
    with pytest.raises(InputError, match="supports"):
        leaked_mass(draws, "sphere")
    with pytest.raises(ShapeError):
        leaked_mass(draws[0, 0], "real")
