"""A candidate where means and standard deviations are compared and no shapes:
the latents of a program.

The exact posterior is a normal there in name alone: it has the right mean and sd, and may be
bounded, skewed or discrete. So an answer with a shape is taken for its own mean and sd: a shape
that is right would be held against the normal. Nothing that reads regions, levels or densities at
what happened is asked (`UNSAID`).
"""

from __future__ import annotations

from dataclasses import replace

from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Bins, Draws, Normal, NormalMixture, Predictive, Quantiles
from veribayes.tree import Branch, Data
from veribayes.validation.candidate import Candidate

# metrics that read the shape of a law where only its moments are stated
UNSAID = ("pit", "hpd", "log_score_regret", "quantile_error")


def as_moments(candidate: Candidate) -> Candidate:
    """The candidate, each of its answers taken for its mean and sd; a point stays one.

    Raises:
        InputError: quantiles, which state neither.
    """

    def infer(task: Task, data: Data, seed: int) -> Branch:
        branch = candidate.infer(task, data, seed)
        return replace(branch, predictive=moments_of(branch.predictive))

    return replace(candidate, infer=infer)


def moments_of(law: Predictive) -> Predictive:
    """A normal with the mean and sd of a law, which is the same where that is a normal or a point.

    Raises:
        InputError: quantiles.
        EntryError: draws that are all the same: an sd has to be positive.
    """
    if isinstance(law, Quantiles):
        wanted = "means and standard deviations of latents, whose shape is not compared"
        raise InputError(wanted, f"'{law.form}'", "return mean and sd, or draws")
    if isinstance(law, Bins | Draws) or (isinstance(law, NormalMixture) and law.mean.shape[-1] > 1):
        return Normal(law.expectation(), law.standard_deviation())
    return law
