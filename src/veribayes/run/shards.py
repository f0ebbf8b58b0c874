"""Shards of a run in order, each read back when it is there under the same key, else computed and
written.

A shard is a pure function of (task, engines, candidate, seed, range). Its scores survive it, and
its predictives where those of the whole run fit into memory: the report shows some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from veribayes import registry
from veribayes.models._task import Task
from veribayes.predictive import Array, Point, Predictive
from veribayes.run import scoring, shard_files
from veribayes.run.batches import Batch, ranges
from veribayes.run.options import Options
from veribayes.run.roles import JUDGED, PRIOR, TRUTH, Roles
from veribayes.run.scored import Scored
from veribayes.storage import store
from veribayes.tree import Branch, Simulation

EXAMPLES_OF = (TRUTH, JUDGED, PRIOR)
KEPT_BYTES = 2**26  # of a role's predictives in a run; larger ones are asked for again

Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Shard:
    """One range of data sets, and its scores."""

    batch: Batch
    scored: Scored


def shards(
    task: Task, roles: Roles, options: Options, out: Path | None, progress: Progress | None
) -> Iterator[Shard]:
    """The shards of a run.

    Args:
        out: folder of the run; None writes and reads nothing.
        progress: called with the number of data sets done.

    Raises:
        ReferenceRefused: the reference did not earn trust.
        InputError: the candidate does not answer in one of the seven forms.
    """
    key = _key(task, roles, options)
    for number, rows in enumerate(ranges(task, options.datasets)):
        path = None if out is None else shard_files.path_of(out, number)
        batch = Batch(task, roles, options, rows)
        scored = None if path is None or key is None else shard_files.read(path, key, rows)
        if scored is None or _misses_predictions(scored, options):
            scored = _compute(batch, task, roles, options)
            if path is not None:
                shard_files.write(path, key or "", rows, scored)
        batch.drop()
        yield Shard(batch, scored)
        if progress:
            progress(rows.stop)


def _misses_predictions(scored: Scored, options: Options) -> bool:
    """Whether a run that did not keep them scored predictions that are to be kept; asked again,
    they might be others.
    """
    return options.keep_predictions and JUDGED not in scored.kept


def _key(task: Task, roles: Roles, options: Options) -> str | None:
    """What a shard depends on; None when the candidate has no identity, and then nothing is
    resumed.
    """
    if roles.judged.identity is None:
        return None
    questioned = None if options.tests == "none" else roles.questioned
    parts = {
        "model": task.model_hash,
        "design": asdict(task.design),
        "wrong_prior": dict(task.wrong_prior),
        "contexts": None if task.contexts is None else task.contexts.digest,
        "seed": options.seed,
        "roles": {role: who.identity for role, who in roles.named.items()},
        "questioned": None if questioned is None else questioned.identity,
        "source": store.source_digest(),
        "versions": store.provenance()["packages"],
        "plug_ins": registry.plug_in_versions(),
    }
    return store.digest_of(parts)


def _compute(batch: Batch, task: Task, roles: Roles, options: Options) -> Scored:
    """Ask everybody about a batch, and score their answers against the truth."""
    simulation, truth = batch.simulation, batch.branch(TRUTH)
    candidate = batch.branch(JUDGED)
    levels = scoring.levels_of(candidate.predictive)
    forms = {TRUTH: truth.predictive.form, JUDGED: candidate.predictive.form}
    moments = task.model.moments
    scores = {JUDGED: scoring.all_scores(candidate, truth, simulation, moments=moments)}
    for role in roles.rivals:
        branch = batch.branch(role)
        forms[role] = branch.predictive.form
        scores[role] = _rival_scores(branch, truth, simulation, candidate.predictive)
    kept = {}
    for role in EXAMPLES_OF:
        predictive = batch.branch(role).predictive
        if _is_kept(predictive, role, task, options):
            kept[role] = predictive
    outcome = simulation.outcome
    if not simulation.happened:
        outcome = np.full(outcome.shape, np.nan)
    return Scored(scores, simulation.context, outcome, truth.certificate, forms, levels, kept)


def _rival_scores(
    branch: Branch, truth: Branch, simulation: Simulation, answer: Predictive
) -> dict[str, Array]:
    """What others are compared by; their means alone where the candidate gives a mean alone, and
    at its levels as well where it gives quantiles.
    """
    if isinstance(answer, Point):
        return scoring.scores_in([scoring.OF_POINTS], branch, truth, simulation)
    scores = scoring.scores_in(scoring.COMPARED, branch, truth, simulation)
    levels = scoring.levels_of(answer)
    if levels is not None:
        guess = scoring.quantiles(branch.predictive, levels)
        name = "quantile_score"
        scores[name] = scoring.score(name, guess, truth.predictive, simulation)
    return scores


def _is_kept(predictive: Predictive, role: str, task: Task, options: Options) -> bool:
    if role == JUDGED and options.keep_predictions:
        return True
    size = sum(values.nbytes for values in predictive.variables().values())
    count = len(range(0, options.datasets, task.design.shard))
    return size * count <= KEPT_BYTES
