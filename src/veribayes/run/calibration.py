"""Simulation-based calibration of an engine: is the truth behind simulated data one more draw from
its posteriors?

The rank of every latent among `DRAWS` thinned posterior draws is uniform for an engine that samples
the posterior. Where its predictive is a law of outcomes, the outcome's position in it is uniform
too; that can be asked of every engine. Ranks of parameters do not see a posterior that is the
prior, or that ignores half of the data; the rank of the likelihood of the data does, and the
predictive of a context that tells something. Talts et al. (2018), arXiv 1804.06788; Modrak et al.
(2023), arXiv 2211.02383 (quantities that depend on the data).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from veribayes import registry
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.storage import store
from veribayes.tree import Branch, Data, Simulation
from veribayes.validation.checks._null import attainable, holm
from veribayes.validation.checks._ranks import ranks
from veribayes.validation.checks._test import Outcome

SCHEMA = "veribayes.calibration/1"
DRAWS = 99  # thinned evenly from thousands: nearly independent, and ranks in a hundred classes
LEVEL = 0.01  # below which an engine is called miscalibrated


def calibrate(
    task: Task, engine: str, *, datasets: int, seed: int, options: dict[str, str] | None = None
) -> dict[str, Any]:
    """The JSON document of a calibration, schema `veribayes.calibration/1`; the middle design
    position is used.

    Raises:
        InputError: an engine that neither draws latents nor predicts outcomes, or fewer data sets
            than a test needs.
        ReferenceRefused: the engine's own gate refuses its output.
    """
    _require(datasets, seed)
    name = engine.replace("-", "_")
    keeps = "keep" in registry.load("engine", name).__dataclass_fields__
    kept = {"keep": "true"} if keeps else {}
    sampler = registry.engine(name, {**kept, **(options or {})})
    simulation = task.simulate(range(datasets), seed=seed, stream="audit")
    middle = len(simulation.data.positions) // 2
    data = simulation.data.select(positions=np.array([middle]))
    branch = sampler(task, data, seed=seed)
    branch.certificate.require(engine)
    outcomes: dict[str, Outcome] = {}
    tests: dict[str, Any] = {}
    if keeps:
        outcomes["sbc_rank"], names = _ranked(task, data, simulation, branch, seed)
        tests["sbc_rank"] = _ranks_entry(outcomes["sbc_rank"], names)
    if not task.model.moments:
        placed = _placed(simulation.outcome[:, [middle]], branch, data)
        outcomes["pit_uniform"] = placed
        tests["pit_uniform"] = {"p_value": placed.p_value, "n": placed.n}
    if not tests:
        wanted = "an engine that draws latents, or a task that predicts outcomes"
        raise InputError(f"{wanted}, for '{task.name}'", f"'{engine}'")
    attainable(LEVEL, {name: o.least for name, o in outcomes.items()})
    adjusted = holm({name: o.p_value for name, o in outcomes.items()})
    calibrated = all(p > LEVEL for p in adjusted.values())
    return {
        "schema": SCHEMA,
        "task": task.name,
        "engine": engine,
        "datasets": datasets,
        "seed": seed,
        "verdict": "calibrated" if calibrated else "miscalibrated",
        "tests": tests,
        "certificate": store.certificate_json(branch.certificate),
    }


def _require(datasets: int, seed: int) -> None:
    """Refuse numbers of data sets for which no test has a p-value, before anything is computed."""
    least = max(registry.load("check", name).minimum for name in ("sbc_rank", "pit_uniform"))
    if datasets < least:
        wanted = f"at least {least} data sets to calibrate an engine"
        raise InputError(wanted, f"{datasets}", f"use --datasets {least} or more")
    if seed < 0:
        raise InputError("a seed of at least 0", f"{seed}", "use --seed 0")


def _ranked(
    task: Task, data: Data, simulation: Simulation, branch: Branch, seed: int
) -> tuple[Outcome, list[str]]:
    """Ranks of all latents that have a meaning in every data set, and of the likelihood of the
    data; their names.
    """
    from veribayes.inference._likelihood import log_likelihood

    truth, draws, names, thinned = [], [], [], {}
    for name, used in task.model.latent_mask(data, 0).items():
        thinned[name] = _thinned(branch.posterior[name]["draws"][:, 0])
        datasets = len(thinned[name])
        columns = np.flatnonzero(used.all(0))
        flat_draws = thinned[name].reshape(datasets, DRAWS, -1)
        flat_truth = simulation.latents[name].reshape(datasets, -1)
        draws.append(flat_draws[..., columns])
        truth.append(flat_truth[:, columns])
        names += [name if used.ndim == 1 else f"{name}[{i}]" for i in columns]
    at_truth = {name: simulation.latents[name][:, None] for name in thinned}
    draws.append(log_likelihood(task.model, thinned, data, 0)[..., None])
    truth.append(log_likelihood(task.model, at_truth, data, 0))
    names.append("log likelihood")
    among_draws = ranks(np.concatenate(truth, -1), np.concatenate(draws, -1), seed)
    outcome = registry.load("check", "sbc_rank").run(among_draws, draws=DRAWS, seed=seed)
    return outcome, names


def _thinned(draws: Array) -> Array:
    """`DRAWS` of all chains, evenly: (dataset, chain, draw, *event) -> (dataset, draw, *event)."""
    whole = draws.reshape(len(draws), -1, *draws.shape[3:])
    places = np.linspace(0, whole.shape[1] - 1, DRAWS).astype(np.int64)
    return whole[:, places]


def _ranks_entry(outcome: Outcome, names: list[str]) -> dict[str, Any]:
    worst = min(outcome.components, key=outcome.components.__getitem__)
    return {
        "p_value": outcome.p_value,
        "n": outcome.n,
        "worst": names[int(worst.split()[-1])],
        "quantities": len(names),
    }


def _placed(outcome: Array, branch: Branch, data: Data) -> Outcome:
    """Positions of the outcomes of each data set's first query in the predictive, (dataset,): one a
    data set.
    """
    law = branch.predictive
    pit = registry.load("metric", "pit").score(law, law, outcome, index=data.index)
    flat = pit.reshape(len(pit), -1)
    applying = np.isfinite(flat).argmax(1)  # the first query that applies
    first = flat[np.arange(len(flat)), applying]
    tested: Outcome = registry.load("check", "pit_uniform").run(first[np.isfinite(first)])
    return tested
