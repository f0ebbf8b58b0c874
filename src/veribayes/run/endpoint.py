"""The primary endpoint: which metric decides, against which tolerance, and the numbers that a
decision about it needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.run.roles import PRIOR
from veribayes.run.scored import Scored
from veribayes.run.scoring import OF_POINTS
from veribayes.validation import decision
from veribayes.validation.metrics._metric import deciding

HELD = ("kl", "kl_density")  # endpoints in which a zero that may be rounding costs nothing
# positive, by zero limit
SMALLEST = {2.0**-8: 2.0**-133, 2.0**-11: 2.0**-24, 2.0**-24: 2.0**-149, 2.0**-53: 2.0**-1074}
# exact mass that bins without tails may leave out: a distance of at most 1 % in total variation
TRUNCATED = 0.01
SQUARED = "squared unit of y"


@dataclass(frozen=True)
class Endpoint:
    """The primary comparison: which metric decides, against which tolerance, and what it is
    compared with for the others.

    A candidate with a density is judged by KL(exact || candidate), bins by that of densities: their
    masses alone do not see what lies inside a bin or a tail. Draws have no density: categories are
    judged by half the chi-square divergence, which is KL to second order and has an unbiased
    estimator, real values by the CRPS divergence. Quantiles are judged by the quantile divergence
    at their own levels, and others by their quantiles at these levels. A point has no spread: it is
    judged by the squared error of its mean, and others by their means.

    Attributes:
        metric: that decides.
        for_others: the same quantity for a predictive that has a density.
        unit: of both.
        tolerance: largest mean that is equivalent, in this unit.
    """

    metric: str
    for_others: str
    unit: str
    tolerance: float


def endpoint(task: Task, form: str, levels: tuple[float, ...] | None = None) -> Endpoint:
    """The primary endpoint for a candidate of this form.

    Args:
        levels: of the candidate's quantiles, where the task's tolerance is theirs and others are
            scored at them too; without, quantiles are read as a distribution function and have the
            CRPS divergence.
    """
    assert task.tolerance is not None
    if levels is not None:
        assert task.tolerance.quantiles is not None
        return Endpoint("quantile_score", "quantile_score", "unit of y", task.tolerance.quantiles)
    metric = deciding(form, bool(task.model.n_categories))
    if metric == OF_POINTS:
        assert task.tolerance.point is not None
        return Endpoint(metric, metric, SQUARED, task.tolerance.point)
    if metric in HELD:
        return Endpoint(metric, "kl", "nats", task.tolerance.kl)
    unit = "nats" if task.model.n_categories else "unit of y"
    return Endpoint(metric, metric, unit, task.tolerance.draws)


def clusters_of(scored: Scored, primary: Endpoint) -> Array:
    """The candidate's mean score by data set; infinite where too much exact mass lies outside its
    bins.

    Bins without tails are compared with the exact predictive inside their borders only, which could
    be anywhere.
    """
    clusters = decision.cluster_means(scored.of_candidate[primary.metric])
    if scored.form != "bins":
        return clusters
    missed = decision.cluster_means(scored.of_candidate["missed_mass"])
    return np.where(missed > TRUNCATED, np.inf, clusters)


def prior_cost(scored: Scored, primary: Endpoint) -> float | None:
    """What the prior predictive costs on average, the most that unseen contexts may cost; None
    where it was not asked.

    None also for half the chi-square divergence, which is held to the tolerance of KL: a hundred
    tolerances are what the prior costs in KL, while its chi-square divergence is dominated by rare
    categories and may be infinite.
    """
    if primary.metric == "half_chi_square":
        return None
    scores = scored.scores.get(PRIOR, {}).get(primary.for_others)
    return None if scores is None else float(decision.cluster_means(scores).mean())


def reference_error(scored: Scored) -> float:
    """Bound b (nats; of a point in its own unit) on what the reference's own error can still
    contribute to the mean.

    Exact engines: their error bound. Monte Carlo: what the bias correction leaves, to the next
    order; for endpoints without such a correction the square of the error in posterior sds, the
    order of the divergence that it causes.
    """
    name = f"{OF_POINTS}_remainder" if scored.form == "point" else "kl_remainder"
    remainder = scored.of_candidate.get(name)
    if remainder is not None:
        return float(np.nanmean(decision.cluster_means(remainder)))
    bound = scored.certificate.error_bound
    return bound**2 if scored.certificate.bound_kind == "montecarlo" else bound


def zero_mass(scored: Scored) -> float | None:
    """Mean exact mass on outcomes that the candidate calls impossible, where there are such."""
    masses = scored.of_candidate.get("missed_mass")
    return None if masses is None else float(np.nanmean(masses))


def unheld(scored: Scored) -> float:
    """What the candidate's number type may hide of the mean divergence, nats.

    Zeros that may be rounding are taken for the exact mass p, at no cost. Taken for the smallest
    number of the type instead they would cost p log(p / smallest), with p at most the limit.
    """
    if "unheld_mass" not in scored.of_candidate:
        return 0.0
    limit = zero_limit(scored)
    return unheld_mass(scored) * float(np.log(limit / SMALLEST[limit]))


def unheld_mass(scored: Scored) -> float:
    """Mean exact mass on the candidate's zeros that may be rounding."""
    return float(np.nanmean(decision.cluster_means(scored.of_candidate["unheld_mass"])))


def zero_limit(scored: Scored) -> float:
    """The largest exact mass that a zero of the candidate may stand for."""
    return float(np.nanmax(scored.of_candidate["zero_limit"]))


def ranking(scored: Scored, primary: Endpoint) -> Array:
    """What orders the candidate's predictions: the primary score, or JS where that is infinite and
    tells no two apart.
    """
    scores = scored.of_candidate[primary.metric]
    finite = np.isfinite(clusters_of(scored, primary)).all()
    return scores if finite else scored.of_candidate.get("js", scores)
