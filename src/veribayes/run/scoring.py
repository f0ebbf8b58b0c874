"""From two branches to scores: every metric that applies to their forms, corrected where a side is
Monte Carlo.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from veribayes import registry
from veribayes.predictive import Array, Draws, Point, Predictive, Quantiles
from veribayes.tree import Branch, Simulation
from veribayes.validation import independence, monte_carlo
from veribayes.validation.moments import UNSAID

# what others are compared by, and what is drawn where it is infinite
COMPARED = ("kl", "half_chi_square", "crps", "js")
OF_POINTS = "squared_error"  # what others are compared by where the candidate is a point


def all_scores(
    branch: Branch, truth: Branch, simulation: Simulation, *, moments: bool = False
) -> dict[str, Array]:
    """Every metric that applies, name -> (dataset, position, query).

    Args:
        moments: means and sds are compared and no shapes: without what reads these.
    """
    names = registry.usable("metric")
    if moments:
        names = [name for name in names if name not in UNSAID]
    return scores_in(names, branch, truth, simulation)


def scores_in(
    names: Sequence[str], branch: Branch, truth: Branch, simulation: Simulation
) -> dict[str, Array]:
    """The metrics among these that apply, and the Monte Carlo corrections where a side has
    replicates.
    """
    scores: dict[str, Array] = {}
    for name in names:
        if name == "kl_density" and "kl" in scores and branch.predictive.form != "bins":
            scores[name] = scores["kl"]  # the same by definition
            continue
        use = partial(_metric_scores, name, branch, truth, simulation)
        values = registry.attempted("metric", name, use)
        if values is not None:
            scores[name] = values
    if "kl" in scores and (truth.replicates or branch.replicates):
        scores |= _corrected(branch, truth, simulation.outcome)
    if OF_POINTS in scores and not isinstance(branch.predictive, Draws):
        scores |= _of_means(branch, truth, simulation.outcome, scores[OF_POINTS])
    if isinstance(branch.predictive, Draws):
        scores |= independence.scores(branch.predictive, truth.predictive, simulation.outcome)
    return scores


def score(name: str, guess: Predictive, exact: Predictive, simulation: Simulation) -> Array:
    """One metric, (dataset, position, query)."""
    return np.asarray(registry.load("metric", name).score(guess, exact, simulation.outcome))


def levels_of(predictive: Predictive) -> tuple[float, ...] | None:
    """The levels of quantiles; None for other forms."""
    return tuple(predictive.levels.tolist()) if isinstance(predictive, Quantiles) else None


def quantiles(law: Predictive, levels: Sequence[float]) -> Quantiles:
    """The quantiles of a law at these levels."""
    wanted = np.asarray(levels, dtype=np.float64)
    everywhere = np.broadcast_to(wanted, (*law.shape, wanted.size))
    return Quantiles(wanted, law.quantile(everywhere))


def unseen_metrics() -> tuple[str, ...]:
    """The metrics that need an outcome."""
    names = registry.usable("metric")
    return tuple(name for name in names if registry.load("metric", name).sees_outcome)


def _corrected(branch: Branch, truth: Branch, outcome: Array) -> dict[str, Array]:
    """KL without its Monte Carlo bias, between densities, and for bins between masses as well."""
    sides = (branch.replicates or branch.predictive, truth.replicates or truth.predictive)
    densities = masses = monte_carlo.corrected_kl(*sides, outcome)
    if branch.predictive.form == "bins":
        masses = monte_carlo.corrected_kl(*sides, outcome, masses=True)
    return {
        "kl": masses.value,
        "kl_density": densities.value,
        "kl_raw": densities.raw,
        "kl_remainder": densities.remainder,
    }


def _of_means(branch: Branch, truth: Branch, outcome: Array, raw: Array) -> dict[str, Array]:
    """Squared errors of the mean without their Monte Carlo bias; and for a point, which is judged
    by them, what the reference's own error may still add.
    """
    scores: dict[str, Array] = {}
    if truth.replicates or branch.replicates:
        sides = (branch.replicates or branch.predictive, truth.replicates or truth.predictive)
        scores[OF_POINTS] = monte_carlo.corrected_squares(*sides, outcome)
        scores[f"{OF_POINTS}_raw"] = raw
    if isinstance(branch.predictive, Point):
        scores[f"{OF_POINTS}_remainder"] = _mean_remainder(truth, raw)
    return scores


def _mean_remainder(truth: Branch, raw: Array) -> Array:
    """Bound on what the reference's own error adds to squared errors (dataset, position, query).

    A mean that is off by at most e moves the square d^2 by 2 |d| e + e^2 at most. The error of a
    Monte Carlo mean has no sign on average: e^2; nothing where two runs have taken it away.
    """
    if truth.replicates:
        return 0.0 * raw
    certificate = truth.certificate
    error = certificate.error_bound * truth.predictive.standard_deviation()
    if certificate.bound_kind == "montecarlo":
        return np.asarray(error**2 + 0.0 * raw)
    return np.asarray(2 * np.sqrt(raw) * error + error**2)


def _metric_scores(
    name: str, branch: Branch, truth: Branch, simulation: Simulation
) -> Array | None:
    """The scores of one metric, (dataset, position, query); None where it does not apply to the two
    forms.

    Raises:
        ArithmeticError: scores of another shape, or NaN where the query applies.
    """
    metric = registry.load("metric", name)
    guess, exact, outcome = branch.predictive, truth.predictive, simulation.outcome
    if not simulation.happened and metric.sees_outcome:
        return None
    if not metric.applies(guess.form, exact.form):
        return None
    scores = metric.score(guess, exact, outcome, index=simulation.data.index)
    values = np.asarray(scores)
    applies = ~np.isnan(outcome)
    if values.shape != outcome.shape or (np.isnan(values) & applies).any():
        wanted = f"scores without NaN of shape {outcome.shape}"
        raise ArithmeticError(f"{wanted} expected, got {values.shape}")
    return values
