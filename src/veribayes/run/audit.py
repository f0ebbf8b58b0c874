"""The audit: NUTS beside an exact reference on a few data sets, latent by latent."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import xarray as xr
from scipy.stats import norm

from veribayes import registry
from veribayes.candidates import Candidate
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.storage import store
from veribayes.tree import DATASET, Certificate

FALSE_ALARM = 1e-4  # chance that a correct engine fails the audit, over all latents together


def audited(
    task: Task,
    truth: Candidate,
    datasets: int,
    *,
    seed: int,
    nuts_options: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Run NUTS beside an exact reference on a few data sets and compare the posterior mean of every latent.

    z = (mean by NUTS - its mean) / Monte Carlo standard error, of both where the reference is Monte Carlo too. Disagreement
    (a z that a correct engine shows with probability below 1e-4 over all latents) refuses the reference; a NUTS run that
    fails its own gate is reported.

    Raises:
        InputError: the reference says nothing about the latents.
        ReferenceRefused: NUTS disagrees with it.
    """
    rows = np.arange(datasets, dtype=np.int64)
    simulation = task.model.simulate(task.design, seed, "audit", rows)
    middle = len(simulation.data.positions) // 2
    data = simulation.data.select(positions=np.array([middle]))
    exact = truth.infer(task, data, seed)
    if missing := {v.name for v in task.model.latents} - set(exact.posterior):
        wanted = f"a reference with the posterior of {', '.join(sorted(missing))}, to audit it"
        raise InputError(
            wanted, f"'{truth.name}' without it", f"use '{task.reference}', or --audit 0"
        )
    nuts = registry.engine("nuts", nuts_options)(task, data, seed=seed)
    columns = {k: _flat(nuts.posterior, k) for k in ("mean", "mcse", "rank_r_hat", "ess_bulk")}
    truth_mean = _flat({name: exact.posterior[name] for name in nuts.posterior}, "mean")
    sampled = {
        name: exact.posterior[name] for name in nuts.posterior if "mcse" in exact.posterior[name]
    }
    error = np.hypot(columns["mcse"], _flat(sampled, "mcse")) if sampled else columns["mcse"]
    z = np.divide(
        columns["mean"] - truth_mean, error, out=np.full(truth_mean.shape, np.nan), where=error > 0
    )
    limit = max(4.0, float(norm.isf(FALSE_ALARM / 2 / max(np.isfinite(z).sum(), 1))))
    worst = float(np.nanmax(np.abs(z))) if np.isfinite(z).any() else float("nan")
    verdict = (
        nuts.certificate.verdict
        if nuts.certificate.verdict == "refused"
        else ("agrees" if worst <= limit else "disagrees")
    )
    if verdict == "disagrees":
        reason = (
            f"NUTS disagrees with '{truth.name}': |z| = {worst:.1f}, at most {limit:.1f} expected"
        )
        Certificate("refused", "audit", float("inf"), reasons=(reason,)).require(truth.name)
    dims = (DATASET, "latent")
    variables = {
        "z": z,
        "exact_mean": truth_mean,
        "nuts_mean": columns["mean"],
        "mcse": columns["mcse"],
        "rank_r_hat": columns["rank_r_hat"],
        "ess_bulk": columns["ess_bulk"],
    }
    attrs = {
        "verdict": verdict,
        "limit": limit,
        "context": int(np.ravel(simulation.context[:, middle])[0]),
        "certificate": json.dumps(store.certificate_json(nuts.certificate)),
    }
    return xr.Dataset({k: (dims, v) for k, v in variables.items()}, attrs=attrs)


def _flat(posterior: Mapping[str, Mapping[str, Array]], key: str) -> Array:
    """Latents side by side: (dataset, latent)."""
    return np.concatenate(
        [np.asarray(p[key]).reshape(len(p[key]), -1) for p in posterior.values()], axis=1
    )
