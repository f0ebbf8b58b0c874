"""One comparison, built once and handed on whole: who was compared on what, with which scores, and
what else they said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import xarray as xr

from veribayes.models._task import Task
from veribayes.predictive import Predictive
from veribayes.run.batches import SEARCHED, Batch, first_branch, first_simulations
from veribayes.run.endpoint import Endpoint, endpoint
from veribayes.run.options import Options
from veribayes.run.plausibility import Plausibility
from veribayes.run.roles import JUDGED, TRUTH, Roles
from veribayes.run.scored import Scored, merge
from veribayes.run.sequential import Sequential, log_wealth
from veribayes.run.shards import Shard
from veribayes.tree import Branch, Simulation
from veribayes.validation import concentration, questions
from veribayes.validation.case import Case


@dataclass(frozen=True, eq=False)
class Comparison(Case):
    """Everything that a run knows before it decides.

    Of `Case` it has what the questions beside the primary endpoint need: task, judged, reference,
    scores, the first data sets and the seed. The answers about these are those that were scored;
    nobody is asked a second time for them.

    Attributes:
        primary: the endpoint that decides.
        options: with the number of data sets that there are.
        roles: who was asked.
        scored: scores of all data sets.
        batches: the data sets, and answers about the first of them.
        searched: the data sets in which a concentration is looked for.
        sequential: the bet of a run that may stop early; None for others.
        audit: NUTS beside the reference; None where it was not run.
        plausibility: of contexts that were given; None where the model drew them, or cannot say.
    """

    primary: Endpoint
    options: Options
    roles: Roles
    scored: Scored
    batches: Sequence[Batch]
    searched: Simulation
    sequential: Sequential | None
    audit: xr.Dataset | None
    plausibility: Plausibility | None = None

    @cached_property
    def said(self) -> Branch:
        """The candidate on the first data sets."""
        return first_branch(self.batches, JUDGED, len(self.simulation.context))

    @cached_property
    def truth(self) -> Branch | None:
        """The reference on the first data sets; None where it is sampled."""
        if self.reference is None:
            return None
        return first_branch(self.batches, TRUTH, len(self.simulation.context))

    @cached_property
    def exact(self) -> Predictive | None:
        """The reference's predictive at the context sizes that are asked about again."""
        return None if self.truth is None else self.truth.predictive[:, self.asked_positions]

    @cached_property
    def groups(self) -> concentration.Groups:
        """Groups of predictions, by what the contexts of the first data sets show."""
        return concentration.groups(self.task, self.searched)


def compared(
    task: Task,
    options: Options,
    roles: Roles,
    shards: Sequence[Shard],
    audit: xr.Dataset | None,
    plausibility: Plausibility | None = None,
) -> Comparison:
    """The comparison of a run whose shards are there.

    Args:
        task: with its tolerance.
    """
    scored = merge([shard.scored for shard in shards])
    batches = [shard.batch for shard in shards]
    datasets = len(scored.context)
    searched = first_simulations(batches, min(datasets, SEARCHED))
    wealth = log_wealth(task, [shard.scored for shard in shards]) if options.sequential else None
    return Comparison(
        task=task,
        judged=roles.judged,
        reference=roles.questioned,
        primary=endpoint(task, scored.form, scored.levels),
        scores=scored.of_candidate,
        simulation=first_simulations(batches, min(datasets, questions.ASKED)),
        seed=options.seed,
        options=replace(options, datasets=datasets),
        roles=roles,
        scored=scored,
        batches=batches,
        searched=searched,
        sequential=None if wealth is None else Sequential(wealth),
        audit=audit,
        plausibility=plausibility,
    )
