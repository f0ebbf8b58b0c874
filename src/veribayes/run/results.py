"""From a comparison to a decision, a tree and a JSON entry: what a run says, computed once and
stored with it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from veribayes.run import shard_files
from veribayes.run.audit import audit_entry
from veribayes.run.comparison import Comparison
from veribayes.run.endpoint import Endpoint as Endpoint
from veribayes.run.endpoint import endpoint as endpoint
from veribayes.run.sections.about import about_of
from veribayes.run.sections.beside import beside_of
from veribayes.run.sections.findings import findings_of
from veribayes.run.sections.given import findings_of_given, given_entry
from veribayes.run.sections.primary import Primary, primary_of
from veribayes.run.sections.recovery import recovery_of
from veribayes.run.sections.rivals import rivals_of
from veribayes.run.sections.scores import mean_scores
from veribayes.run.sections.where import Where, curves_group, where_of
from veribayes.storage import store
from veribayes.tree import DATASET
from veribayes.validation import secondary
from veribayes.validation.secondary import Checked

SCHEMA = "veribayes.result/1"


def assemble(comparison: Comparison, asked: Checked) -> xr.DataTree:
    """Decide and build the run tree (without /examples, which the pipeline adds).

    Args:
        asked: what was asked beside the primary endpoint.
    """
    primary = primary_of(comparison)
    where = where_of(comparison, primary)
    entry = _entry(comparison, asked, primary, where)
    tree = xr.DataTree.from_dict(_groups(comparison, primary, where))
    tree.attrs = {"schema": store.SCHEMA, "result": json.dumps(entry)}
    return tree


def _entry(
    comparison: Comparison, asked: Checked, primary: Primary, where: Where
) -> dict[str, Any]:
    """The sections of the entry, in their order."""
    rivals = rivals_of(comparison, primary)
    beside = beside_of(comparison, asked, primary, where)
    bet = comparison.sequential
    return {
        **about_of(comparison).entry(),
        "verdict": secondary.overall(primary.decided.verdict, beside.secondary.family),
        "primary": primary.entry(),
        "draws": None if primary.drawn is None else primary.drawn.entry(),
        "secondary": beside.secondary.entry(),
        "sequential": None if bet is None else bet.entry(),
        "recovery": recovery_of(comparison, primary.clusters).entry(),
        "curve": where.curve.entry(),
        "scores": {name: mean.entry() for name, mean in mean_scores(comparison).items()},
        "rivals": {name: rival.entry() for name, rival in rivals.items()},
        "by_query": where.by_query.entry(),
        "worst": where.worst.entry(),
        "audit": audit_entry(comparison.audit),
        "calibration": beside.calibration.entry(),
        "concentration": beside.concentration.entry(),
        "multiplicity": beside.multiplicity.entry(),
        "contexts": given_entry(comparison),
        "findings": [
            *(finding.entry() for finding in findings_of_given(comparison)),
            *findings_of(comparison, primary, rivals, beside),
        ],
    }


def _groups(comparison: Comparison, primary: Primary, where: Where) -> dict[str, xr.Dataset]:
    scored = comparison.scored
    groups = {f"/scores/{role}": store.scores_dataset(s) for role, s in scored.scores.items()}
    index = ((DATASET,), np.arange(comparison.datasets))
    groups["/observed_data"] = shard_files.observed(scored).assign(index=index)
    groups["/verdict"] = curves_group(comparison, primary, where.curve)
    if comparison.audit is not None:
        groups["/audit"] = comparison.audit
    return groups
