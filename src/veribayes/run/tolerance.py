"""The tolerance of the primary endpoint by its rule, where a task has none: 1 % of what the prior
predictive costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from veribayes import registry
from veribayes.errors import InputError
from veribayes.models._task import Task, Tolerance
from veribayes.predictive import Array, Predictive
from veribayes.run.batches import ranges
from veribayes.run.options import Options
from veribayes.run.roles import reference_of
from veribayes.run.scoring import OF_POINTS, quantiles, score
from veribayes.tree import Simulation
from veribayes.validation import decision

TOLERANCE_SHARE = 0.01  # of the prior predictive's mean divergence, i.e. 99 % recovery


def frozen_tolerance(
    task: Task, options: Options, levels: Sequence[float] | None = None, *, form: str = ""
) -> Task:
    """The task with its tolerance; what is not frozen comes by the rule, from data sets that no
    comparison uses.

    That is a user's model; quantiles at `levels`, since nobody can know before which levels a
    candidate has; and the squared error of a point's mean.

    Args:
        levels: of a candidate that gives quantiles.
        form: of the candidate; only a point asks for more.
    """
    if form == "point":
        return _for_points(task, options)
    if task.tolerance is None:
        task = replace(task, tolerance=compute_tolerance(task, options=options))
    assert task.tolerance is not None
    if levels is None or task.tolerance.quantiles is not None:
        return task
    size = quantile_tolerance(task, levels, options=options)
    return replace(task, tolerance=replace(task.tolerance, quantiles=size))


def _for_points(task: Task, options: Options) -> Task:
    """The task with the tolerance of a mean alone. Where it has none at all the others are set to
    the same number, which nothing reads: divergences of the prior cost minutes for mixtures of a
    thousand components, and means do not.
    """
    given = task.tolerance
    if given is not None and given.point is not None:
        return task
    size = point_tolerance(task, options=options)
    others = Tolerance(size, size) if given is None else given
    return replace(task, tolerance=replace(others, point=size))


def compute_tolerance(
    task: Task, *, seed: int = 0, datasets: int = 2000, options: Options | None = None
) -> Tolerance:
    """1 % of the mean divergence of the prior predictive from the exact predictive, on the stream
    `replicate`.

    All endpoints at once: KL in nats for densities, and what replaces it for draws and for a mean
    alone (`endpoint`).
    Half the chi-square divergence of categories is held to the tolerance of KL, which it is to
    second order. Its own mean over the prior predictive is dominated by rare categories: 1.2 to 22
    times as large, and infinite where the truth excludes what the prior does not.

    Raises:
        InputError: that mean is infinite, or nothing.
    """
    names = ("kl",) if task.model.n_categories else ("kl", "crps", OF_POINTS)
    clusters: dict[str, list[Array]] = {name: [] for name in names}
    for guess, exact, simulation in priors(task, seed, datasets, options):
        for name in names:
            scores = score(name, guess, exact, simulation)
            clusters[name].append(decision.cluster_means(scores))
    sizes = {name: _share(clusters[name]) for name in names}
    if not np.isfinite(sizes["kl"]):
        wanted = "a prior that holds possible what the truth does"
        raise InputError(wanted, "an infinite divergence", "give --tolerance")
    if not sizes["kl"] > 0:
        wanted = "a task whose context tells something"
        raise InputError(wanted, "a posterior that is the prior", "give a --tolerance")
    draws = sizes.get("crps", sizes["kl"])
    of_points = sizes.get(OF_POINTS) or None  # nothing where the context tells nothing of the mean
    return Tolerance(sizes["kl"], draws, seed, datasets, point=of_points)


def quantile_tolerance(
    task: Task,
    levels: Sequence[float],
    *,
    seed: int = 0,
    datasets: int = 2000,
    options: Options | None = None,
) -> float:
    """The same for quantiles at these levels: 1 % of the mean quantile divergence of the prior
    predictive's.

    Raises:
        InputError: levels at which the context tells nothing.
    """
    clusters = []
    for guess, exact, simulation in priors(task, seed, datasets, options):
        scores = score("quantile_score", quantiles(guess, levels), exact, simulation)
        clusters.append(decision.cluster_means(scores))
    size = _share(clusters)
    if not size > 0:
        wanted = f"levels at which the context tells something, not only {tuple(levels)}"
        got = "exact quantiles that are those of the prior"
        raise InputError(wanted, got, "give a --tolerance")
    return size


def point_tolerance(
    task: Task, *, seed: int = 0, datasets: int = 2000, options: Options | None = None
) -> float:
    """The same for a mean alone: 1 % of the mean squared distance of the prior predictive's mean
    from the exact one.

    Raises:
        InputError: a context that tells nothing about the mean.
    """
    clusters = []
    for guess, exact, simulation in priors(task, seed, datasets, options):
        scores = score(OF_POINTS, guess, exact, simulation)
        clusters.append(decision.cluster_means(scores))
    size = _share(clusters)
    if not size > 0:
        wanted = "a task whose context tells something about the mean"
        got = "an exact mean that is that of the prior"
        raise InputError(wanted, got, "give a --tolerance, or return mean and sd")
    return size


def priors(
    task: Task, seed: int, datasets: int, options: Options | None = None
) -> Iterator[tuple[Predictive, Predictive, Simulation]]:
    """Prior predictive and exact predictive on data sets that no comparison uses."""
    if options is None or options.reference is not None:
        options = Options()  # the tolerance of a task is that of its own reference
    truth = reference_of(task, options)
    prior = registry.engine("prior_only")
    for rows in ranges(task, datasets):
        simulation = task.simulate(rows, seed=seed, stream="replicate")
        branch = truth.infer(task, simulation.data, seed)
        branch.certificate.require(truth.name)
        guess = prior(task, simulation.data, seed=seed).predictive
        yield guess, branch.predictive, simulation


def _share(clusters: Sequence[Array]) -> float:
    """1 % of the mean, to four digits."""
    mean = float(np.mean(np.concatenate(clusters)))
    return float(f"{TOLERANCE_SHARE * mean:.4g}")
