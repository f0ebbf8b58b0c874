"""Questions beside the primary endpoint, each asked of every candidate that exposes what it needs.

    endpoint            needs                           one value a data set
    joint_kl            a joint of the queries          KL(exact || candidate) between the joints, nats a query
    leaked_mass         draws of the latents            posterior mass outside the support that the model declares
    latent_kl           moments of the latents, or      KL between normals that have them, or between the probabilities,
                        their probabilities             nats a latent
    order_dependence    a context that is a list        KL between answers to it and to a permutation of it, nats

    test                needs
    pit_uniform         places of outcomes in the predictive; one outcome a data set
    e_process           densities of outcomes; one outcome a data set
    rosenblatt          a joint of the queries
    martingale          a context that is a list; asked only where all tests are wanted

`pit_uniform` and `e_process` use the scores of the whole run. For everything else the candidate is asked again on the first
`ASKED` data sets, as many as an endpoint of this family needs to be called `equivalent`. A reference that is sampled is not:
`latent_kl` wants an exact one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.candidates import Candidate
from veribayes.errors import InputError
from veribayes.joint import Joint
from veribayes.models._task import Task
from veribayes.predictive import Array, Categorical, Normal, Predictive, stack
from veribayes.secondary import Checked, Endpoint
from veribayes.tree import Branch, Data, IntArray, Simulation
from veribayes.validation import bootstrap, decision
from veribayes.validation import joint as joints
from veribayes.validation.latents import SUPPORTS, TOLERANCE, leaked_mass
from veribayes.validation.metrics.kl import normals
from veribayes.validation.tests._null import generator
from veribayes.validation.tests._test import Outcome

ASKED = 200
LATENT_TOLERANCE = 0.005  # nats: a tenth of a posterior sd off, as 100 independent draws are
DRAWS = 50  # of a joint
PATHS = 4  # continuations of a prompt
LISTS = {"bayesian_network": ("rows",), "gaussian_process": ("x", "y")}  # contexts whose order means nothing
LEVELS = ("none", "standard", "all")


@dataclass(frozen=True, eq=False)
class Case:
    """What the questions are about.

    Attributes:
        reference: the truth, with the joint of the queries where its engine has one; None where it would be sampled again.
        scores: of the candidate on every data set of the run, by metric.
        simulation: the first data sets, on which both are asked again.
    """

    task: Task
    judged: Candidate
    reference: Candidate | None
    scores: Mapping[str, Array]
    simulation: Simulation
    seed: int

    @cached_property
    def said(self) -> Branch:
        """The candidate on the first data sets."""
        return self.judged.infer(self.task, self.simulation.data, self.seed)

    @cached_property
    def truth(self) -> Branch | None:
        """The reference on the first data sets."""
        return None if self.reference is None else self.reference.infer(self.task, self.simulation.data, self.seed)

    @property
    def exposes(self) -> bool:
        """Whether it can say more than predictions of single queries."""
        return self.judged.kind in ("engine", "checkpoint")

    @property
    def listed(self) -> tuple[str, ...]:
        """Arrays of a context whose order means nothing; none where it cannot be asked about another order."""
        names = LISTS.get(self.task.model.kind, ())
        askable = self.judged.kind != "predictions" and set(names) <= set(self.simulation.data.arrays)
        return names if askable else ()

    def answers(self, data: Data) -> Predictive:
        """The candidate's predictive, (dataset, position, query)."""
        return self.judged.infer(self.task, data, self.seed).predictive


def examine(case: Case, level: str) -> Checked:
    """Everything that applies."""
    if level == "none":
        return Checked()
    wanted = TESTS if level == "all" else {name: ask for name, ask in TESTS.items() if name not in EXPENSIVE}
    endpoints = {name: sized for name, ask in ENDPOINTS.items() if (sized := ask(case)) is not None}
    outcomes = {name: said for name, ask in wanted.items() if (said := _tested(name, ask(case), case.seed)) is not None}
    return Checked(endpoints, outcomes, joint_scores(case), len(case.simulation.data.index))


def _tested(name: str, arrays: tuple[Array, ...] | None, seed: int) -> Outcome | None:
    """The test's answer; None where it is not asked, or refuses the sample: too few data sets, nothing that varies."""
    try:
        return None if arrays is None else registry.load("test", name).run(*arrays, seed=seed)
    except InputError:
        return None


# -- endpoints -----------------------------------------------------------------------------------------------------------


def joint_kl(case: Case) -> Endpoint | None:
    """KL between the joints: closed between normals, else the mean difference of log densities over exact draws."""
    if (pair := _joints(case)) is None or case.task.tolerance is None:
        return None
    exact, said = pair
    if exact.weights.shape[-1] == said.weights.shape[-1] == 1:
        found = exact.kl(said)
    else:
        draws = exact.sample(generator(case.seed, "joint"), DRAWS)
        found = np.mean([exact.log_prob(draws[..., i, :]) - said.log_prob(draws[..., i, :]) for i in range(DRAWS)], axis=0)
    return Endpoint(found.mean(-1) / exact.mean.shape[-1], case.task.tolerance.kl, "nats a query")


def leaked(case: Case) -> Endpoint | None:
    """Mass of the posterior where the prior has none."""
    if not case.exposes:
        return None
    posterior = case.said.posterior
    drawn = [v for v in case.task.model.latents if v.support in SUPPORTS and "draws" in posterior.get(v.name, {})]
    if not drawn:
        return None
    masses = [leaked_mass(posterior[v.name]["draws"], v.support) for v in drawn]
    return _latent(np.concatenate(masses, axis=-1), TOLERANCE, "1")


def latent_kl(case: Case) -> Endpoint | None:
    """KL(exact || candidate) of each latent: of its values where both list them, else between normals with its mean and sd."""
    if not case.exposes or not case.said.posterior or case.truth is None:
        return None
    exact, said = case.truth.posterior, case.said.posterior
    names = [n for n in exact if n in said and all({"mean", "sd"} <= set(p[n]) for p in (exact, said))]
    if not names:
        return None
    found = np.concatenate([_one_latent(exact[n], said[n]) for n in names], axis=-1)
    return _latent(found, LATENT_TOLERANCE, "nats a latent", case.truth.certificate.error_bound)


def _one_latent(exact: Any, said: Any) -> Array:
    """(dataset, position, entry)."""
    if "probs" in exact and "probs" in said:
        metric = registry.load("metric", "kl")
        p, q = (Categorical(side["probs"]) for side in (exact, said))
        return np.asarray(metric.score(q, p, np.zeros(p.shape)))[..., None]
    return _normal_kl(exact, said)


def _normal_kl(exact: Any, said: Any) -> Array:
    """(dataset, position, entry); NaN where the exact posterior is padding or a point."""
    lead = exact["mean"].shape[:2]
    moments = [side[k].reshape(*lead, -1) for side in (said, exact) for k in ("mean", "sd")]
    known = np.isfinite(moments).all(0) & (moments[3] > 0)
    proper = known & (moments[1] > 0)
    mine, theirs = (Normal(*(m[proper] for m in pair)) for pair in (moments[:2], moments[2:]))
    found = np.where(known, np.inf, np.nan)
    found[proper] = normals(mine, theirs)
    return found


def _latent(values: Array, tolerance: float, unit: str, error: float = 0.0) -> Endpoint:
    """Data sets in which no latent has a meaning say nothing."""
    means = decision.cluster_means(values)
    return Endpoint(means[~np.isnan(means)], tolerance, unit, error)


def order_dependence(case: Case) -> Endpoint | None:
    """KL between its answers to the context as it came and to one permutation of it, at the middle and the largest size."""
    data, metric = case.simulation.data, registry.load("metric", "kl")
    sizes = np.flatnonzero(data.positions >= 2)
    if not case.listed or not sizes.size or case.task.tolerance is None or "kl" not in case.scores:
        return None
    asked = sizes[sorted({len(sizes) // 2, len(sizes) - 1})]
    given = case.said.predictive[:, asked] if case.exposes else case.answers(data.select(positions=asked))
    turned = stack([case.answers(_permuted(case, k))[:, 0] for k in asked], axis=1)
    found = metric.score(turned, given, case.simulation.outcome[:, asked], index=data.index)
    return Endpoint(decision.cluster_means(found), case.task.tolerance.kl, "nats")


def _permuted(case: Case, position: int) -> Data:
    """The data sets at one position, each context in an order of its own."""
    data = case.simulation.data
    n = int(data.positions[position])
    order = np.stack([generator(case.seed, "order", i).permutation(n) for i in data.index.tolist()])
    rows = np.arange(len(order))[:, None]
    arrays = {**data.arrays, **{name: data.arrays[name][rows, order] for name in case.listed}}
    return replace(data, arrays=arrays, positions=data.positions[[position]])


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
    if metric not in case.scores or getattr(case.task.model, "moments", False):
        return None
    flat = case.scores[metric].reshape(len(case.scores[metric]), -1)
    places = [np.flatnonzero(~np.isnan(row)) for row in flat]
    return (np.array([row[at[i % len(at)]] for i, (row, at) in enumerate(zip(flat, places, strict=True)) if len(at)]),)


def whitened(case: Case) -> tuple[Array, ...] | None:
    """Joint draws of the candidate, white under the exact joint, and the exact means; at the middle context size."""
    if (pair := _joints(case)) is None:
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
    if not case.listed or n + 1 > data.positions.max() or case.said.predictive.form in ("quantiles", "draws"):
        return None
    many = data.select(np.repeat(np.arange(len(data.index)), PATHS), np.array([position]))
    many = replace(many, index=np.arange(len(many.index)))
    before = case.answers(many)
    after = case.answers(_grown(case, many, n))
    steps = np.stack([_events(p, before) for p in (before, after)], axis=1)
    steps[:, 0] = np.repeat(steps[::PATHS, 0], PATHS, axis=0)  # what it says twice it may have rounded twice
    return (steps.reshape(len(data.index), PATHS, *steps.shape[1:]),)


def _grown(case: Case, data: Data, n: int) -> Data:
    """The contexts with one more observation, drawn from the candidate."""
    rng, arrays = generator(case.seed, "paths"), dict(data.arrays)
    if "rows" in arrays:
        arrays["rows"] = np.concatenate([arrays["rows"][:, :n], _row(case, data, rng)[:, None]], axis=1)
    else:
        at = replace(data, arrays={**arrays, "x_query": arrays["x"][:, n : n + 1]})
        arrays |= {"x": arrays["x"][:, : n + 1], "y": arrays["y"][:, : n + 1].copy()}
        arrays["y"][:, n] = case.answers(at).sample(rng, 1)[:, 0, 0, 0]
    return replace(data, arrays=arrays, positions=np.array([n + 1]))


def _row(case: Case, data: Data, rng: np.random.Generator) -> IntArray:
    """One row of each network, node by node."""
    rows = data.arrays["rows"]
    row = np.full((len(rows), rows.shape[-1]), -1, dtype=np.int64)
    for node in range(row.shape[1]):
        asked = {**data.arrays, "query": row[:, None].copy(), "target": np.array([node])}
        row[:, node] = case.answers(replace(data, arrays=asked)).sample(rng, 1)[:, 0, 0, 0]
    return row


def _events(predictive: Predictive, before: Predictive) -> Array:
    """Probabilities of fixed events, (dataset, event): of categories, or below the median and the 90 % point of `before`."""
    probs = predictive.variables().get("probs") if predictive.form == "categorical" else None
    if probs is None:
        probs = predictive.cdf(before.quantile(np.broadcast_to([0.5, 0.9], (*before.shape, 2))))
    return np.asarray(probs.reshape(len(probs), -1))


# -- joints --------------------------------------------------------------------------------------------------------------


def _joints(case: Case) -> tuple[Joint, Joint] | None:
    """The exact joint and the candidate's, where both are known."""
    if not case.exposes or case.said.joint is None or case.truth is None or case.truth.joint is None:
        return None
    return case.truth.joint, case.said.joint


def joint_scores(case: Case) -> dict[str, Any]:
    """Scores of joint draws; `floor` is what a second exact sample has, `regret` the difference of the two."""
    if (pair := _joints(case)) is None:
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
    found, regret = bootstrap.interval(mine, seed=seed), bootstrap.difference(mine, floor, seed=seed)
    return {**found.plain(), "unit": unit, "floor": float(floor.mean()), "regret": regret.plain()}


SCORES: dict[str, tuple[Callable[..., Array], str]] = {  # of (draws, exact draws, outcome, exact mean, exact covariance)
    "energy_score": (lambda draws, exact, y, mean, covariance: joints.energy_score(draws, y), "unit of y"),
    "energy_divergence": (lambda draws, exact, y, mean, covariance: joints.energy_divergence(draws, exact), "unit of y"),
    "sliced_w2": (lambda draws, exact, y, mean, covariance: joints.sliced_wasserstein(draws, exact), "unit of y"),
    "covariance_error": (lambda draws, exact, y, mean, covariance: joints.covariance_error(draws, mean, covariance), "1"),
}
ENDPOINTS: dict[str, Callable[[Case], Endpoint | None]] = {
    "joint_kl": joint_kl,
    "leaked_mass": leaked,
    "latent_kl": latent_kl,
    "order_dependence": order_dependence,
}
TESTS: dict[str, Callable[[Case], tuple[Array, ...] | None]] = {
    "pit_uniform": outcomes_placed,
    "e_process": bets,
    "rosenblatt": whitened,
    "martingale": continued,
}
EXPENSIVE = ("martingale",)
