"""A reference alone: computed, certified, audited and laid out for one file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from veribayes.candidates import Candidate
from veribayes.errors import InputError
from veribayes.models._contexts import NONE, Contexts
from veribayes.models._task import Task
from veribayes.run.audit import audit_entry, audited, is_audited
from veribayes.run.batches import ranges
from veribayes.run.options import Options
from veribayes.run.roles import reference_of
from veribayes.run.shards import Progress
from veribayes.storage import store
from veribayes.tree import CHAIN, DATASET, DRAW, POSITION, QUERY, Branch, Simulation, merge_branches

SCHEMA = "veribayes.reference/1"
DIMENSIONS = (DATASET, POSITION, CHAIN, DRAW)


def reference(task: Task, options: Options, progress: Progress | None = None) -> xr.DataTree:
    """Compute and certify a reference alone; the tree holds /observed_data, /reference, /audit and
    the certificate.

    Raises:
        ReferenceRefused: the reference, or its audit, did not earn trust.
        InputError: an audit where there is nothing to audit, NUTS beside NUTS, or latents that one
            file cannot tell apart.
    """
    # the one posterior of a user's own data is kept draw by draw
    more = {"keep": "true"} if task.model.given else {}
    truth = reference_of(task, options, **more)
    require_names([latent.name for latent in task.model.latents])
    audit = _audit(task, truth, options)
    simulations, whole = _computed(task, truth, options, progress)
    predictive = store.predictive_dataset(whole.predictive)
    groups = {
        "/observed_data": _observed(simulations),
        "/reference/posterior_predictive": predictive,
        "/reference/posterior": _moments_group(whole),
    }
    if task.contexts is not None:
        groups["/observed_data"] = _named(groups["/observed_data"], task.contexts)
        if not (task.contexts.queries != NONE).any():
            del groups["/reference/posterior_predictive"]
    draws = _draws_group(whole)
    if draws is not None:
        groups["/posterior"] = draws
    if audit is not None:
        groups["/audit"] = audit
    tree = xr.DataTree.from_dict(groups)
    entry = _entry(task, truth, options, whole, audit)
    provenance = store.provenance(
        task=task.to_dict(), model_hash=task.model_hash, options=asdict(options)
    )
    tree.attrs = {
        "schema": SCHEMA,
        "result": json.dumps(entry),
        "provenance": json.dumps(provenance),
    }
    return tree


def require_names(latents: Sequence[str]) -> None:
    """Refuse latents whose draws one file cannot hold side by side; what is called like a dimension
    is read as a coordinate.

    Raises:
        InputError: two names that differ in slashes and dots alone, or one that is a dimension of
            the file.
    """
    first: dict[str, str] = {}
    for name in latents:
        other = first.setdefault(plain(name), name)
        if other != name:
            got = f"'{other}' and '{name}', both '{plain(name)}' there"
            _refuse("latents with different names in a netCDF file", got)
        if plain(name) in DIMENSIONS:
            _refuse("a latent that is not called like a dimension", f"'{name}'")
        axis_of = re.sub(r"_dim_[0-9]+$", "", plain(name))
        if axis_of != plain(name) and axis_of in map(plain, latents):
            got = f"'{name}' beside '{axis_of}'"
            _refuse("a latent that is not called like an axis of another one", got)


def plain(name: str) -> str:
    """A site's name as the name of a variable: a slash is a group to netCDF.

    Injective after `require_names`.
    """
    return name.replace("/", ".")


def _refuse(wanted: str, got: str) -> None:
    raise InputError(wanted, got, "rename the site")


def _audit(task: Task, truth: Candidate, options: Options) -> xr.Dataset | None:
    if not options.audit:
        return None
    if truth.name == "nuts" or not is_audited(task.model) or task.model.given:
        wanted = (
            "another engine than nuts, on data that are simulated, "
            "with latents that a sampler serves"
        )
        raise InputError(wanted, f"'{truth.name}' on '{task.name}'", "leave out --audit")
    nuts_options = options.audit_options
    return audited(task, truth, options.audit, seed=options.seed, nuts_options=nuts_options)


def _computed(
    task: Task, truth: Candidate, options: Options, progress: Progress | None
) -> tuple[list[Simulation], Branch]:
    """The data sets, range by range, and the reference on all of them."""
    simulations, branches = [], []
    for rows in ranges(task, options.datasets):
        simulation = task.simulate(rows, seed=options.seed)
        branch = truth.infer(task, simulation.data, options.seed)
        branch.certificate.require(truth.name)
        simulations.append(simulation)
        branches.append(branch)
        if progress:
            progress(rows.stop)
    return simulations, merge_branches(branches)


def _entry(
    task: Task, truth: Candidate, options: Options, whole: Branch, audit: xr.Dataset | None
) -> dict[str, Any]:
    certificate = store.certificate_json(whole.certificate)
    return {
        "task": task.name,
        "task_hash": task.hash,
        "datasets": options.datasets,
        "seed": options.seed,
        "reference": {"engine": truth.name, "certificate": certificate},
        "audit": audit_entry(audit),
        "not_asked": dict(task.model.unasked),
        "data": None if task.contexts is None else _about(task.contexts),
    }


def _about(contexts: Contexts) -> dict[str, Any]:
    return {"file": contexts.name, "digest": contexts.digest, "sizes": contexts.sizes.tolist()}


def _observed(simulations: Sequence[Simulation]) -> xr.Dataset:
    context = np.concatenate([simulation.context for simulation in simulations])
    index = np.arange(len(context))
    return xr.Dataset({"context": ((DATASET, POSITION), context), "index": ((DATASET,), index)})


def _named(observed: xr.Dataset, contexts: Contexts) -> xr.Dataset:
    """With the keys of the data sets and the labels of their queries."""
    keys = ((DATASET,), np.array(contexts.keys, dtype=object))
    labels = ((DATASET, QUERY), contexts.queries)
    return observed.assign(key=keys, query_label=labels)


def _moments_group(branch: Branch) -> xr.Dataset:
    """Moments of the latents, each variable LATENT_MOMENT with its own event dimensions."""
    variables = {}
    for name, moments in branch.posterior.items():
        for moment, values in moments.items():
            if moment != "draws":
                dims = (DATASET, POSITION, *_events(name, values.ndim - 2))
                variables[f"{plain(name)}_{moment}"] = (dims, values)
    return xr.Dataset(variables)


def _draws_group(branch: Branch) -> xr.Dataset | None:
    """Draws of the latents as arviz stores them, (chain, draw, *event), behind the data set and the
    position where several.
    """
    variables = {}
    for name, moments in branch.posterior.items():
        if "draws" in moments:
            values = moments["draws"]
            dims = (*DIMENSIONS, *_events(name, values.ndim - 4))
            variables[plain(name)] = (dims, values)
    if not variables:
        return None
    group = xr.Dataset(variables)
    single = [dim for dim in (DATASET, POSITION) if group.sizes.get(dim) == 1]
    return group.squeeze(single)


def _events(name: str, axes: int) -> tuple[str, ...]:
    return tuple(f"{plain(name)}_dim_{axis}" for axis in range(axes))
