"""Scores of a run, or of one shard of its data sets, and what else outlives the shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError
from veribayes.predictive import Array, Predictive, concatenate
from veribayes.run.roles import JUDGED
from veribayes.tree import Certificate, merge_certificates

Scores = Mapping[str, Array]


@dataclass(frozen=True)
class Scored:
    """Scores of a run, or of one range of its data sets, by role and metric.

    Attributes:
        scores: role -> metric -> (dataset, position, query).
        context: number of observations behind each prediction, (dataset, position).
        outcome: what happened, (dataset, position, query).
        certificate: of the reference, the worst of its shards.
        forms: of the predictives, by role.
        levels: of a candidate that gives quantiles; None for other forms.
        kept: predictives that were scored, by role, where they are kept.
    """

    scores: Mapping[str, Scores]
    context: npt.NDArray[np.int64]
    outcome: Array
    certificate: Certificate
    forms: Mapping[str, str]
    levels: tuple[float, ...] | None = None
    kept: Mapping[str, Predictive] = field(default_factory=dict)

    @property
    def of_candidate(self) -> Scores:
        """The candidate's scores by metric."""
        return self.scores[JUDGED]

    @property
    def form(self) -> str:
        """In which the candidate answers."""
        return self.forms[JUDGED]


def merge(shards: Sequence[Scored]) -> Scored:
    """The scores of consecutive shards as one.

    Raises:
        InputError: the candidate answered in other forms, or at other levels, for some of them.
    """
    first = shards[0]
    if any(shard.forms != first.forms for shard in shards):
        forms = sorted({shard.form for shard in shards})
        remedy = "return the same form for every batch"
        raise InputError("one predictive form throughout a run", f"{forms}", remedy)
    if any(shard.levels != first.levels for shard in shards):
        raise InputError("the same 'levels' throughout a run", "different ones")
    scores = {role: _merged_scores(shards, role) for role in first.scores}
    kept = {role: _merged_predictives(shards, role) for role in _kept_by_all(shards)}
    return Scored(
        scores,
        np.concatenate([shard.context for shard in shards]),
        np.concatenate([shard.outcome for shard in shards]),
        merge_certificates([shard.certificate for shard in shards]),
        first.forms,
        first.levels,
        kept,
    )


def _merged_scores(shards: Sequence[Scored], role: str) -> Scores:
    """Scores in the metrics that every shard has: a plug-in may fail in one of them."""
    names = set.intersection(*(set(shard.scores[role]) for shard in shards))
    merged = {}
    for name in shards[0].scores[role]:
        if name in names:
            merged[name] = np.concatenate([shard.scores[role][name] for shard in shards])
    return merged


def _kept_by_all(shards: Sequence[Scored]) -> list[str]:
    common = set(shards[0].kept).intersection(*(shard.kept for shard in shards))
    return [role for role in shards[0].kept if role in common]


def _merged_predictives(shards: Sequence[Scored], role: str) -> Predictive:
    return concatenate([shard.kept[role] for shard in shards])
