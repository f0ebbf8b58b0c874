"""How far answers that were asked for again are from the truth,
in the unit of the primary endpoint.
"""

from __future__ import annotations

import numpy as np

from veribayes import registry
from veribayes.predictive import Array, Predictive
from veribayes.validation import decision
from veribayes.validation.case import Case


def from_truth(case: Case, answers: Predictive) -> Array | None:
    """Primary divergence of answers about the first data sets, (dataset, position, query).

    None where the reference is not known there, or the primary metric does not compare these forms.
    """
    name = case.primary.metric
    if case.exact is None or name not in registry.names("metric"):
        return None
    metric = registry.load("metric", name)
    datasets = answers.shape[0]
    truth = case.exact[:datasets]
    if not metric.applies(answers.form, truth.form):
        return None
    outcome = case.simulation.outcome[:datasets, case.asked_positions]
    index = case.simulation.data.index[:datasets]
    return np.asarray(metric.score(answers, truth, outcome, index=index))


def lost(later: Array, before: Array) -> Array:
    """By how much answers are further from the truth than others were, (dataset,).

    Nothing where those were infinitely far; NaN where nothing was asked.
    """
    known = np.isfinite(before)
    change = np.where(np.isnan(before), np.nan, 0.0)
    np.subtract(later, before, out=change, where=known)
    return decision.cluster_means(change)


def defined(means: Array) -> Array:
    """Of the data sets in which something was asked."""
    return means[~np.isnan(means)]
