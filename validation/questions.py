"""Questions beside the primary endpoint, each asked of every candidate that exposes what it needs.

    endpoint            needs                           one value a data set
    joint_kl            a joint of the queries          KL(exact || candidate) between the joints, nats a query
    leaked_mass         draws of the latents            posterior mass outside the support that the model declares
    latent_kl           moments of the latents, or      KL between normals that have them, or between the
                        their probabilities             probabilities, nats a latent
    repeatability       to be asked again               half the divergence of two answers to the same request
    batch_dependence    to be asked again               half of what answers in another batch, or to one data set alone,
                                                        differ by beyond that; what those given alone lose against the truth
    order_dependence    a context that is a list        half of what answers to a permutation of it differ by beyond that

    test                needs
    pit_uniform         places of outcomes in the predictive; one outcome a data set
    e_process           densities of outcomes; one outcome a data set
    rosenblatt          a joint of the queries
    martingale          a context that is a list; asked only where all tests are wanted

`pit_uniform` and `e_process` use the scores of the whole run. For everything else the candidate is asked again on the first
`ASKED` data sets (`again` says how), as many as an endpoint of this family needs to be called `equivalent`. A reference that
is sampled is not: `latent_kl` wants an exact one. What a candidate leaves undefined is infinitely wrong; padding is what the
reference says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from veribayes import registry
from veribayes.errors import InputError, ShapeError
from veribayes.predictive import Array, Predictive
from veribayes.predictive.joint import Joint
from veribayes.tree import Data
from veribayes.validation import bootstrap, decision, repeated
from veribayes.validation import joint as joints
from veribayes.validation.case import Case
from veribayes.validation.checks._null import generator
from veribayes.validation.checks._test import Outcome
from veribayes.validation.latents import SUPPORTS, TOLERANCE, leaked_mass, normal_kl, probability_kl
from veribayes.validation.secondary import Checked, Endpoint

ASKED = 200
LATENT_TOLERANCE = 0.005  # nats: a tenth of a posterior sd off, as 100 independent draws are
DRAWS = 50  # of a joint
PATHS = 4  # continuations of a prompt
LEVELS = ("none", "standard", "all")
MOMENTS = {"mean", "sd"}


def examine(case: Case, level: str) -> Checked:
    """Everything that applies."""
    if level == "none":
        return Checked(again={"reason": "nothing is asked beside the primary endpoint"})
    wanted = (
        TESTS
        if level == "all"
        else {name: ask for name, ask in TESTS.items() if name not in EXPENSIVE}
    )
    endpoints = {name: sized for name, ask in ENDPOINTS.items() if (sized := ask(case)) is not None}
    outcomes = {
        name: said
        for name, ask in wanted.items()
        if (said := _tested(name, ask(case), case.seed)) is not None
    }
    how = repeated.how(case)
    return Checked(
        endpoints, outcomes, joint_scores(case), len(case.simulation.data.index), how, _notes(case)
    )


def _notes(case: Case) -> tuple[dict[str, Any], ...]:
    """Findings of the asking itself."""
    missing = _missing_latents(case)
    text = f"its posterior says nothing about {', '.join(missing)}, which the reference has"
    latents = [{"name": "latents_missing", "text": text}] if missing else []
    return (*repeated.notes(case), *latents)


def _tested(name: str, arrays: tuple[Array, ...] | None, seed: int) -> Outcome | None:
    """The test's answer; None where it is not asked, or refuses the sample: too few data sets, nothing that varies."""
    try:
        return None if arrays is None else registry.load("test", name).run(*arrays, seed=seed)
    except InputError:
        return None


# -- endpoints -----------------------------------------------------------------------------------------------------------


def joint_kl(case: Case) -> Endpoint | None:
    """KL between the joints: closed between normals, else the mean difference of log densities over exact draws.

    Infinite where the candidate's is not finite, or no law.
    """
    if (pair := _joints(case)) is None or case.task.tolerance is None:
        return None
    exact, mine = pair
    proper = mine.proper()
    values = np.full(exact.shape, np.inf)
    if proper.any():
        values[proper] = _joint_divergence(exact[proper], mine[proper], case.seed)
    return Endpoint(values.mean(-1) / exact.mean.shape[-1], case.task.tolerance.kl, "nats a query")


def _joint_divergence(exact: Joint, mine: Joint, seed: int) -> Array:
    if exact.weights.shape[-1] == mine.weights.shape[-1] == 1:
        return exact.kl(mine)
    draws = exact.sample(generator(seed, "joint"), DRAWS)
    each = [
        exact.log_prob(draws[..., i, :]) - mine.log_prob(draws[..., i, :]) for i in range(DRAWS)
    ]
    return np.asarray(np.mean(each, axis=0))


def leaked(case: Case) -> Endpoint | None:
    """Mass of the posterior where the prior has none."""
    if not case.judged.exposes:
        return None
    posterior = case.said.posterior
    drawn = [
        v
        for v in case.task.model.latents
        if v.support in SUPPORTS and "draws" in posterior.get(v.name, {})
    ]
    if not drawn:
        return None
    masses = [
        _about(v.name, leaked_mass, posterior[v.name]["draws"], v.support, _applies(case, v.name))
        for v in drawn
    ]
    return _latent(np.concatenate(masses, axis=-1), TOLERANCE, "1")


def _applies(case: Case, name: str) -> npt.NDArray[np.bool_]:
    """(dataset, position, *event): False where the latent's entry is padding, by the reference or else by the model."""
    exact = {} if case.truth is None else case.truth.posterior
    if "mean" in exact.get(name, {}):
        return np.isfinite(exact[name]["mean"])
    data = case.simulation.data
    return np.stack(
        [case.task.model.latent_mask(data, k)[name] for k in range(len(data.positions))], axis=1
    )


def latent_kl(case: Case) -> Endpoint | None:
    """KL(exact || candidate) of each latent: of its values where both list them, else between normals with its mean and sd."""
    if case.truth is None or not case.judged.exposes or not case.said.posterior:
        return None
    exact, mine = case.truth.posterior, case.said.posterior
    names = [n for n in exact if n not in _missing_latents(case) and set(exact[n]) >= MOMENTS]
    if not names:
        return None
    values = np.concatenate([_about(n, _one_latent, exact[n], mine[n]) for n in names], axis=-1)
    return _latent(values, LATENT_TOLERANCE, "nats a latent", case.truth.certificate.error_bound)


def _missing_latents(case: Case) -> list[str]:
    """Latents of the reference of which a candidate that speaks of latents gives no moments."""
    if case.truth is None or not case.judged.exposes or not case.said.posterior:
        return []
    return [n for n in case.truth.posterior if not set(case.said.posterior.get(n, {})) >= MOMENTS]


def _one_latent(exact: Mapping[str, Array], mine: Mapping[str, Array]) -> Array:
    """(dataset, position, entry)."""
    if "probs" in exact and "probs" in mine:
        return probability_kl(exact["probs"], mine["probs"])
    return normal_kl(exact, mine)


def _about(latent: str, measure: Callable[..., Array], *arrays: Any) -> Array:
    """The measure; what is wrong with the arrays is said with the latent's name."""
    try:
        return measure(*arrays)
    except InputError as error:
        raise type(error)(
            f"of the latent '{latent}' {error.expected}", error.got, error.remedy
        ) from error


def _latent(values: Array, tolerance: float, unit: str, error: float = 0.0) -> Endpoint | None:
    """Data sets in which no latent has a meaning for the reference say nothing."""
    means = decision.cluster_means(values)
    known = means[~np.isnan(means)]
    return Endpoint(known, tolerance, unit, error) if known.size else None


# -- tests ---------------------------------------------------------------------------------------------------------------


def outcomes_placed(case: Case) -> tuple[Array, ...] | None:
    """PIT of one outcome a data set."""
    return _single(case, "pit")


def bets(case: Case) -> tuple[Array, ...] | None:
    """Log densities of one outcome a data set, as gains of the exact predictive over the candidate."""
    found = _single(case, "log_score_regret")
    return None if found is None else (np.zeros(len(found[0])), -found[0])


def _single(case: Case, metric: str) -> tuple[Array, ...] | None:
    """One score a data set, of contexts and queries in turn: several of one data set share its unknowns."""
    if metric not in case.scores or case.task.model.moments:
        return None
    flat = case.scores[metric].reshape(len(case.scores[metric]), -1)
    places = [np.flatnonzero(~np.isnan(row)) for row in flat]
    return (
        np.array(
            [
                row[at[i % len(at)]]
                for i, (row, at) in enumerate(zip(flat, places, strict=True))
                if len(at)
            ]
        ),
    )


def whitened(case: Case) -> tuple[Array, ...] | None:
    """Joint draws of the candidate, white under the exact joint, and the exact means; at the middle context size."""
    if (pair := _proper_joints(case)) is None:
        return None
    middle = len(case.simulation.data.positions) // 2
    exact, said = (joint[:, middle] for joint in pair)
    draws = said.sample(generator(case.seed, "rosenblatt"), DRAWS)
    z = np.stack([exact.whiten(draws[:, i]) for i in range(DRAWS)], axis=1)
    return z, exact.marginal().expectation()


def continued(case: Case) -> tuple[Array, ...] | None:
    """Its predictions before and after one observation that it draws itself, (prompt, path, step, event)."""
    data = case.simulation.data
    position = max(len(data.positions) // 2 - 1, 0)
    n = int(data.positions[position])
    if (
        not case.listed
        or n + 1 > data.positions.max()
        or case.said.predictive.form in ("quantiles", "draws")
    ):
        return None
    many = data.select(np.repeat(np.arange(len(data.index)), PATHS), np.array([position]))
    many = replace(many, index=np.arange(len(many.index)))
    before, grown = case.answers(many), _grown(case, many, n)
    if grown is None:
        return None
    after = case.answers(grown)
    steps = np.stack([_events(p, before) for p in (before, after)], axis=1)
    steps[:, 0] = np.repeat(
        steps[::PATHS, 0], PATHS, axis=0
    )  # what it says twice it may have rounded twice
    return (steps.reshape(len(data.index), PATHS, *steps.shape[1:]),)


def _grown(case: Case, data: Data, n: int) -> Data | None:
    """The contexts with one more observation, drawn from the candidate; None where the model does not say how."""
    rng = generator(case.seed, "paths")

    def draw(asked: Data) -> Array:
        return case.answers(asked).sample(rng, 1)[:, 0, :, 0]

    return case.task.model.extended(data, n, draw)


def _events(predictive: Predictive, before: Predictive) -> Array:
    """Probabilities of fixed events, (dataset, event): of categories, or below the median and the 90 % point of `before`."""
    probs = predictive.variables().get("probs") if predictive.form == "categorical" else None
    if probs is None:
        probs = predictive.cdf(before.quantile(np.broadcast_to([0.5, 0.9], (*before.shape, 2))))
    return np.asarray(probs.reshape(len(probs), -1))


# -- joints --------------------------------------------------------------------------------------------------------------


def _joints(case: Case) -> tuple[Joint, Joint] | None:
    """The exact joint and the candidate's, where both are known."""
    if (
        not case.judged.exposes
        or case.said.joint is None
        or case.truth is None
        or case.truth.joint is None
    ):
        return None
    exact, mine = case.truth.joint, case.said.joint
    if mine.shape != exact.shape or mine.mean.shape[-1] != exact.mean.shape[-1]:
        wanted = f"a joint of {exact.mean.shape[-1]} queries for (dataset, position) {exact.shape}"
        raise ShapeError(wanted, f"{mine.mean.shape[-1]} queries for {mine.shape}")
    return exact, mine


def _proper_joints(case: Case) -> tuple[Joint, Joint] | None:
    """The same, where the candidate's is a law everywhere; else `joint_kl` is infinite, and draws of it mean nothing."""
    pair = _joints(case)
    return pair if pair is not None and pair[1].proper().all() else None


def joint_scores(case: Case) -> dict[str, Any]:
    """Scores of joint draws; `floor` is what a second exact sample has, `regret` the difference of the two."""
    if (pair := _proper_joints(case)) is None:
        return {}
    rng, (mean, covariance) = generator(case.seed, "joint scores"), pair[0].moments()
    exact, again, said = (joint.sample(rng, DRAWS) for joint in (pair[0], pair[0], pair[1]))
    outcome, found = case.simulation.outcome, {}
    for name, (score, unit) in SCORES.items():
        mine, floor = (
            np.mean([score(side[:, k], exact[:, k], outcome[:, k], mean[:, k], covariance[:, k])
                     for k in range(side.shape[1])], axis=0)
            for side in (said, again)
        )  # fmt: skip
        found[name] = _beside(mine, floor, unit, case.seed)
    return found


def _beside(mine: Array, floor: Array, unit: str, seed: int) -> dict[str, Any]:
    """Mean over data sets with its 95 % limits, the floor, and the difference."""
    found, regret = (
        bootstrap.interval(mine, seed=seed),
        bootstrap.difference(mine, floor, seed=seed),
    )
    return {**found.plain(), "unit": unit, "floor": float(floor.mean()), "regret": regret.plain()}


SCORES: dict[
    str, tuple[Callable[..., Array], str]
] = {  # of (draws, exact draws, outcome, exact mean, exact covariance)
    "energy_score": (
        lambda draws, exact, y, mean, covariance: joints.energy_score(draws, y),
        "unit of y",
    ),
    "energy_divergence": (
        lambda draws, exact, y, mean, covariance: joints.energy_divergence(draws, exact),
        "unit of y",
    ),
    "sliced_w2": (
        lambda draws, exact, y, mean, covariance: joints.sliced_wasserstein(draws, exact),
        "unit of y",
    ),
    "covariance_error": (
        lambda draws, exact, y, mean, covariance: joints.covariance_error(draws, mean, covariance),
        "1",
    ),
}
ENDPOINTS: dict[str, Callable[[Case], Endpoint | None]] = {
    "joint_kl": joint_kl,
    "leaked_mass": leaked,
    "latent_kl": latent_kl,
    "repeatability": repeated.repeatability,
    "batch_dependence": repeated.batch_dependence,
    "order_dependence": repeated.order_dependence,
}
TESTS: dict[str, Callable[[Case], tuple[Array, ...] | None]] = {
    "pit_uniform": outcomes_placed,
    "e_process": bets,
    "rosenblatt": whitened,
    "martingale": continued,
}
EXPENSIVE = ("martingale",)
