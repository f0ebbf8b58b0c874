"""Wiring of a training run: the task's recipe, exact targets by its reference engine, and an honest measurement.

Imports only NumPy, SciPy, torch, JAX, NumPyro, safetensors, YAML, typer and rich, so that it runs where the rest is missing.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from veribayes import registry
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.predictive import Predictive, as_predictive, stack
from veribayes.tree import Branch, Data
from veribayes.validation import bootstrap, decision
from veribayes.validation.metrics._metric import deciding

MEASURE_DATASETS = 400  # on the stream `replicate`, which neither training nor `verify` uses


def train_task(
    name: str,
    *,
    preset: str,
    device: str,
    out: Path,
    seed: int = 0,
    threads: int | None = None,
    tensorboard: bool = False,
) -> dict[str, Any]:
    """Train by a recipe of the task and return the card.

    Raises:
        InputError: the task has no such recipe.
        Interrupted: stopped; the same call continues bit-exactly.
    """
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch on import
    from veribayes.transformer._recipe import LABELS, Recipe
    from veribayes.transformer._training import train

    task = _spec.load_task(name)
    recipe = Recipe.of(task, preset)
    out.mkdir(parents=True, exist_ok=True)  # fails now, not after the training
    command = f"veribayes train {shlex.quote(name)} --preset {preset} --seed {seed}"
    command += f" --threads {threads}" if threads else ""
    card = train(
        task,
        recipe,
        targets=targets_for(task, recipe.targets),
        evaluate=measurement(task, imitated="" if recipe.targets == LABELS else recipe.targets),
        out=out,
        seed=seed,
        device=device,
        command=command,
        tensorboard=out / "tensorboard" if tensorboard else None,
    )
    return asdict(card)


def targets_for(task: Task, name: str) -> Callable[[Data], Predictive] | None:
    """By the recipe's word: an engine's predictive, the reference's where it names none, or nothing but what was drawn."""
    from veribayes.transformer._recipe import LABELS

    if name == LABELS:
        return None
    return targets_of(task, name) if name else exact_targets(task)


def exact_targets(task: Task) -> Callable[[Data], Predictive]:
    """The reference engine's predictive, refused like any reference when its certificate is."""
    engine = registry.engine(task.reference)
    if hasattr(engine, "latents"):
        engine = replace(
            engine, latents=False
        )  # targets are predictions; latents would cost more than they do

    def targets(data: Data) -> Predictive:
        branch = engine(task, data, seed=0)
        branch.certificate.require(task.reference)
        return branch.predictive

    return targets


def targets_of(task: Task, imitated: str) -> Callable[[Data], Predictive]:
    """The predictive of an engine that a network is to imitate, be it right or wrong."""
    engine = registry.engine(imitated)

    def targets(data: Data) -> Predictive:
        branch: Branch = engine(task, data, seed=0)
        return branch.predictive

    return targets


def measurement(
    task: Task, datasets: int = MEASURE_DATASETS, imitated: str = ""
) -> Callable[[Callable[[Any, Any], object]], dict[str, Any]]:
    """A function that measures a candidate by the metric that `verify` judges its form by, and its recovery.

    That is KL(exact || candidate) in nats; of bins `kl_density`, that between densities. The entries are called like their
    `metric`: `kl_density`, `kl_density_low`, …. Intervals are 95 %; a limit that the sample does not support is null, with a
    reason beside it (`kl_density_reason`).

    Of a network that imitates another engine, also the mean total variation from that; of one that answers for latents,
    the mean of KL(exact || network) over latents and context sizes.
    """
    simulation = task.simulate(range(datasets), seed=0, stream="replicate")
    data = simulation.data
    exact = exact_targets(task)(data)
    model = targets_of(task, imitated)(data) if imitated else None
    variation, guess = (
        registry.load("metric", "total_variation"),
        registry.engine("prior_only")(task, data, seed=0),
    )
    prior = decision.cluster_means(
        registry.load("metric", "kl").score(guess.predictive, exact, simulation.outcome)
    )

    def evaluate(candidate: Callable[[Any, Any], object]) -> dict[str, Any]:
        shape = (datasets, exact.shape[2])
        said = [
            as_predictive(candidate(*task.model.inputs(data, k)), shape, task.model.n_categories)
            for k in range(len(data.positions))
        ]
        answer = stack(said, axis=1)
        metric = registry.load("metric", deciding(answer.form, bool(task.model.n_categories)))
        scores = metric.score(answer, exact, simulation.outcome)
        clusters = decision.cluster_means(scores)
        apart = variation.score(answer, model, simulation.outcome) if model is not None else None
        mean, share = (
            bootstrap.interval(clusters, seed=0),
            bootstrap.recovery(clusters, prior, seed=0),
        )
        return {
            **_named(metric.name, mean),
            **({} if share is None else _named("recovery", share)),
            "metric": metric.name,
            **({} if apart is None else {f"tv_from_{imitated}": float(np.nanmean(apart))}),
            **latent_scores(task, data, exact, candidate),
            "datasets": datasets,
            "seed": 0,
            "stream": "replicate",
            "interval": "95 %, by data set",
            "positions": [int(p) for p in data.positions],
            f"{metric.name}_by_position": [float(v) for v in np.nanmean(scores, axis=(0, 2))],
        }

    return evaluate


def _named(name: str, found: bootstrap.Interval) -> dict[str, Any]:
    """An interval as flat entries of a card."""
    plain = found.plain()
    return {name: plain.pop("estimate"), **{f"{name}_{key}": value for key, value in plain.items()}}


def latent_scores(task: Task, data: Data, exact: Predictive, candidate: Any) -> dict[str, float]:
    """Mean over data sets, context sizes and latents of KL(exact || candidate), nats, where it has a posterior of them."""
    from veribayes.transformer._latents import exact_latents

    values = getattr(getattr(getattr(candidate, "network", None), "config", None), "latents", {})
    if not values:
        return {}
    said = [candidate.posterior(*task.model.inputs(data, k)) for k in range(len(data.positions))]
    q = np.stack(
        [np.concatenate([each[name]["probs"] for name in values], axis=-1) for each in said], axis=1
    )
    p = exact_latents(task, candidate.network.config, exact)
    return {
        "latent_kl": float(
            (p * np.log(p / q, out=np.zeros_like(q), where=p > 0)).sum(-1).mean() / len(values)
        )
    }
