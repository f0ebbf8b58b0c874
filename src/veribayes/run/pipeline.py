"""Simulate, infer, certify, score, decide, store: one run from a task to a verdict.

The work is cut into shards over data sets (`shards`); what they hold becomes one value
(`comparison`), of which `results` makes the entry and the tree. `truth` computes a reference alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

import xarray as xr

from veribayes.candidates import made_for, resolve
from veribayes.checked import integer
from veribayes.errors import InputError, shown
from veribayes.models._task import Task
from veribayes.predictive import Predictive
from veribayes.run import examples, results
from veribayes.run.audit import audit_of
from veribayes.run.comparison import Comparison, compared
from veribayes.run.options import DEFAULT_AUDIT as DEFAULT_AUDIT
from veribayes.run.options import DEFAULT_DATASETS as DEFAULT_DATASETS
from veribayes.run.options import Options as Options
from veribayes.run.plausibility import plausibility_of
from veribayes.run.roles import JUDGED, plain_reference, roles_of
from veribayes.run.scoring import quantiles as quantiles
from veribayes.run.sequential import until_sure
from veribayes.run.shards import Progress, shards
from veribayes.run.tolerance import frozen_tolerance as frozen_tolerance
from veribayes.run.truth import reference as reference
from veribayes.storage import store
from veribayes.validation import questions

STREAMS = ["verify", "audit", "replicate"]


def run(
    task: Task,
    candidate: object,
    options: Options,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
) -> xr.DataTree:
    """Compare a candidate with the certified reference of a task and decide.

    Args:
        task: what is asked.
        candidate: anything `candidates.resolve` understands; None is the checkpoint shipped for the
            task.
        options: numbers of the run.
        out: folder for shards and run.nc; None keeps everything in memory.
        progress: called with the number of data sets done.

    Returns:
        The run tree; its attribute `result` is the JSON entry of this task.

    Raises:
        ReferenceRefused: the reference or its audit did not earn trust.
        InputError: the candidate does not answer in one of the seven forms.
    """
    started = time.perf_counter()
    options = on_contexts(task, options)
    integer("datasets", options.datasets, at_least=2)
    target = None if out is None else out / "run.nc"
    _require_another_file(candidate, target)
    comparison = _compared(task, candidate, options, out, progress)
    tree = _tree(comparison)
    seconds = round(time.perf_counter() - started, 2)
    tree.attrs["provenance"] = json.dumps(_provenance(comparison, seconds))
    if target:
        store.write_tree(tree, target)
    return tree


def on_contexts(task: Task, options: Options) -> Options:
    """The options of a run on contexts that are given: as many data sets as there are.

    Raises:
        InputError: another number is asked for, or a sequential run, whose order of data sets would
            count.
    """
    if task.contexts is None:
        return options
    count = len(task.contexts.keys)
    if options.datasets not in (DEFAULT_DATASETS, count):
        remedy = "leave it out, or give a file of fewer"
        wanted = f"the {count} data sets of {shown(task.contexts.name)}"
        raise InputError(wanted, f"{options.datasets}", remedy)
    if options.sequential:
        raise InputError("all given contexts", "a sequential run", "leave out --sequential")
    return replace(options, datasets=count)


def _require_another_file(candidate: object, target: Path | None) -> None:
    """Refuse to write a run over the predictions that it judges."""
    if target is None or not isinstance(candidate, str | Path):
        return
    if Path(candidate).resolve() == target.resolve():
        got = "the one that holds the predictions it judges"
        raise InputError("another folder for this run", got, "choose --out")


def _compared(
    task: Task, candidate: object, options: Options, out: Path | None, progress: Progress | None
) -> Comparison:
    """The candidate and everybody else, scored."""
    judged = resolve(candidate, task, options.candidate_options)
    roles = roles_of(task, options, judged)
    produced = shards(task, roles, options, out, progress)
    first = next(produced)  # before the tolerance, since here a bad candidate fails
    scored = first.scored
    task = frozen_tolerance(task, options, scored.levels, form=scored.form)
    finished = list(until_sure(task, chain([first], produced), options))
    audit = audit_of(task, roles.truth, options)
    plausible = plausibility_of(task, plain_reference(task, options), options.seed)
    return compared(task, options, roles, finished, audit, plausible)


def _tree(comparison: Comparison) -> xr.DataTree:
    """The whole run, decided, but for its provenance."""
    shown = examples.examples_of(comparison)
    asked = questions.examine(comparison, comparison.options.tests)
    differing = examples.differ(comparison, shown)
    if differing is not None:
        asked = replace(asked, notes=(*asked.notes, differing.entry()))
    decided = results.assemble(comparison, asked)
    groups = {"/": decided, "/examples": examples.tree_of(comparison, shown)}
    if comparison.options.keep_predictions:
        groups["/candidate"] = _kept(comparison, comparison.scored.kept[JUDGED])
    datasets = {}
    for place, part in groups.items():
        for node in part.subtree:
            datasets[f"{place.rstrip('/')}{node.path}"] = node.to_dataset()
    tree = xr.DataTree.from_dict(datasets)
    tree.attrs = dict(decided.attrs)
    return tree


def _kept(comparison: Comparison, predictive: Predictive) -> xr.DataTree:
    """The candidate's predictions that were scored, as a predictions file holds them."""
    answered = json.dumps(made_for(comparison.task, comparison.seed))
    return xr.DataTree(store.predictive_dataset(predictive).assign_attrs(made_for=answered))


def _provenance(comparison: Comparison, seconds: float) -> Mapping[str, object]:
    named = comparison.roles.named
    roles = {role: {"name": who.name, "identity": who.identity} for role, who in named.items()}
    return store.provenance(
        task=comparison.task.to_dict(),
        model_hash=comparison.task.model_hash,
        seed=comparison.seed,
        streams=STREAMS,
        roles=roles,
        card=comparison.judged.card,
        options=asdict(comparison.options),
        seconds=seconds,
        finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
