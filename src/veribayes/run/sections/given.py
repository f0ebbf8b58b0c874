"""Contexts that somebody has: how many, of which sizes, and how plausible they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from veribayes.models._contexts import Contexts
from veribayes.run.comparison import Comparison
from veribayes.run.plausibility import IMPLAUSIBLE, Plausibility
from veribayes.run.scoring import unseen_metrics
from veribayes.run.sections.findings import Finding
from veribayes.validation import decision


def given_entry(comparison: Comparison) -> dict[str, Any] | None:
    """For the result's JSON; None where the model drew the contexts."""
    contexts = comparison.task.contexts
    if contexts is None:
        return None
    sizes, counts = np.unique(contexts.sizes, return_counts=True)
    plausible = comparison.plausibility
    return {
        "file": contexts.name,
        "digest": contexts.digest,
        "datasets": len(contexts.keys),
        "sizes": sizes.tolist(),
        "counts": counts.tolist(),
        "outcomes": contexts.whole.happened,
        "left_out": [] if contexts.whole.happened else list(unseen_metrics()),
        "plausibility": None if plausible is None else plausible.entry(contexts),
    }


def findings_of_given(comparison: Comparison) -> Sequence[Finding]:
    """What a reader must know of a run on contexts that were given."""
    contexts = comparison.task.contexts
    if contexts is None:
        return ()
    count = len(contexts.keys)
    text = (
        f"the {count:,} contexts are given ({contexts.name}): verdict and intervals are about "
        "contexts like these, and nothing is claimed about those that the model would draw"
    )
    findings = [Finding("contexts_given", text, {"datasets": count})]
    if count < decision.FEWEST_DIFFERENT:
        text = (
            f"{count:,} data sets are too few for a verdict, which needs "
            f"{decision.FEWEST_DIFFERENT} at least: the figures stand for themselves"
        )
        findings.append(Finding("few_contexts", text, {"datasets": count}))
    if not contexts.whole.happened:
        text = f"no outcomes are given: {', '.join(unseen_metrics())} are left out"
        findings.append(Finding("no_outcomes", text))
    findings.append(_plausible(comparison.plausibility, contexts))
    return findings


def _plausible(plausible: Plausibility | None, contexts: Contexts) -> Finding:
    if plausible is None:
        text = "how plausible the contexts are under the declared model is not known of this family"
        return Finding("plausibility", text)
    entry = plausible.entry(contexts)
    says = "are no surprise under the declared model"
    if plausible.p_value <= IMPLAUSIBLE:
        says = "are not what the declared model draws"
    text = (
        f"the contexts {says}: p = {plausible.p_value:.2g} (at least {entry['floor']:.2g}); the "
        f"log density of {plausible.contexts:,} contexts, each ranked among {entry['replicates']} "
        f"drawn in its place, exceeds {plausible.mean_rank:.0%} of these on average (50% expected)"
    )
    return Finding("plausibility", text, {"p_value": plausible.p_value})
