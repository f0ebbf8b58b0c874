"""The audit: NUTS beside an exact reference on a few data sets, latent by latent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import norm

from veribayes import registry
from veribayes.candidates import Candidate
from veribayes.errors import InputError
from veribayes.models._model import Model
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.run.options import Options
from veribayes.storage import store
from veribayes.tree import DATASET, Branch, Certificate, IntArray, Simulation
from veribayes.tree.plain import number

FALSE_ALARM = 1e-4  # chance that a correct engine fails the audit, over all latents together
LEAST_LIMIT = 4.0  # of |z|; Monte Carlo errors are estimates themselves
MEASURED = ("mean", "mcse", "rank_r_hat", "ess_bulk")

Posterior = Mapping[str, Mapping[str, Array]]


def is_audited(model: Model) -> bool:
    """Whether NUTS can say anything about it: known tables leave nothing to sample, values on a
    grid are summed.
    """
    return bool(model.latents) and not model.enumerated


def audit_of(task: Task, truth: Candidate, options: Options) -> xr.Dataset | None:
    """The audit of a run; None where none is wanted, or NUTS has nothing to say.

    Raises:
        InputError: the reference says nothing about the latents.
        ReferenceRefused: NUTS disagrees with it.
    """
    has_gaps = task.contexts is not None and task.contexts.has_gaps
    if has_gaps or not options.audit or truth.name == "nuts" or not is_audited(task.model):
        return None
    nuts_options = options.audit_options
    return audited(task, truth, options.audit, seed=options.seed, nuts_options=nuts_options)


def audited(
    task: Task,
    truth: Candidate,
    datasets: int,
    *,
    seed: int,
    nuts_options: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Run NUTS beside an exact reference on a few data sets and compare the posterior mean of every
    latent.

    z = (mean by NUTS - its mean) / Monte Carlo standard error, of both where the reference is Monte
    Carlo too. Disagreement (a z that a correct engine shows with probability below 1e-4 over all
    latents) refuses the reference; a NUTS run that fails its own gate is reported.

    Raises:
        InputError: the reference says nothing about the latents.
        ReferenceRefused: NUTS disagrees with it.
    """
    simulation = _audited_on(task, datasets, seed)
    middle = len(simulation.data.positions) // 2
    data = simulation.data.select(positions=np.array([middle]))
    exact = truth.infer(task, data, seed)
    _require_latents(task, truth, exact)
    nuts = registry.engine("nuts", nuts_options)(task, data, seed=seed)
    columns = _columns(nuts.posterior, exact.posterior)
    limit = _limit(columns["z"])
    verdict = _verdict(nuts.certificate, columns["z"], limit, truth.name)
    return _dataset(columns, nuts.certificate, verdict, limit, simulation.context[:, middle])


def _audited_on(task: Task, datasets: int, seed: int) -> Simulation:
    """Data sets of a stream of their own, or the first of the contexts that are given."""
    if task.contexts is not None:
        return task.contexts.commonest(datasets)
    rows = np.arange(datasets, dtype=np.int64)
    return task.model.simulate(task.design, seed, "audit", rows)


def audit_entry(audit: xr.Dataset | None) -> dict[str, Any] | None:
    """What an audit found, for the JSON; None without one."""
    if audit is None:
        return None
    z = audit["z"].to_numpy()
    finite = z[np.isfinite(z)]
    largest = float(np.abs(finite).max()) if finite.size else None
    spread = float(finite.std()) if finite.size > 1 else None
    return {
        "datasets": int(z.shape[0]),
        "latents": int(finite.size),
        "max_abs_z": number(largest),
        "sd_z": number(spread),
        "limit": float(audit.attrs["limit"]),
        "context": int(audit.attrs["context"]),
        "verdict": str(audit.attrs["verdict"]),
    }


def _require_latents(task: Task, truth: Candidate, exact: Branch) -> None:
    missing = {latent.name for latent in task.model.latents} - set(exact.posterior)
    if missing:
        names = ", ".join(sorted(missing))
        wanted = f"a reference with the posterior of {names}, to audit it"
        remedy = f"use '{task.reference}', or --audit 0"
        raise InputError(wanted, f"'{truth.name}' without it", remedy)


def _columns(sampled: Posterior, exact: Posterior) -> dict[str, Array]:
    """What is stored of every latent, (dataset, latent): z, both means, the standard error, and how
    NUTS mixed.
    """
    measured = {name: _flat(sampled, name) for name in MEASURED}
    known = {name: exact[name] for name in sampled}
    means = _flat(known, "mean")
    with_error = {name: moments for name, moments in known.items() if "mcse" in moments}
    error = measured["mcse"]
    if with_error:
        error = np.hypot(error, _flat(with_error, "mcse"))
    undefined = np.full(means.shape, np.nan)
    z = np.divide(measured["mean"] - means, error, out=undefined, where=error > 0)
    return {
        "z": z,
        "exact_mean": means,
        "nuts_mean": measured["mean"],
        "mcse": measured["mcse"],
        "rank_r_hat": measured["rank_r_hat"],
        "ess_bulk": measured["ess_bulk"],
    }


def _limit(z: Array) -> float:
    """Largest |z| that agrees, over all latents together."""
    latents = max(np.isfinite(z).sum(), 1)
    return max(LEAST_LIMIT, float(norm.isf(FALSE_ALARM / 2 / latents)))


def _verdict(certificate: Certificate, z: Array, limit: float, name: str) -> str:
    """Whether NUTS agrees, or is refused itself.

    Raises:
        ReferenceRefused: it disagrees.
    """
    if certificate.verdict == "refused":
        return certificate.verdict
    worst = float(np.nanmax(np.abs(z))) if np.isfinite(z).any() else float("nan")
    if worst <= limit:
        return "agrees"
    reason = f"NUTS disagrees with '{name}': |z| = {worst:.1f}, at most {limit:.1f} expected"
    Certificate("refused", "audit", float("inf"), reasons=(reason,)).require(name)
    raise AssertionError("a refused certificate is never what is required")


def _dataset(
    columns: Mapping[str, Array],
    certificate: Certificate,
    verdict: str,
    limit: float,
    context: IntArray,
) -> xr.Dataset:
    attrs = {
        "verdict": verdict,
        "limit": limit,
        "context": int(np.ravel(context)[0]),
        "certificate": json.dumps(store.certificate_json(certificate)),
    }
    dims = (DATASET, "latent")
    return xr.Dataset({name: (dims, v) for name, v in columns.items()}, attrs=attrs)


def _flat(posterior: Posterior, moment: str) -> Array:
    """Latents side by side: (dataset, latent)."""
    arrays = [np.asarray(moments[moment]) for moments in posterior.values()]
    return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)
