"""Wiring of a training run: the task's recipe, exact targets by its reference engine, and an honest
measurement.

    train_task    a task, a preset and a seed -> a checkpoint
    recipe_of     the recipe that a task holds, or the one that its layout suggests
    targets_for   what a network is to answer
    measurement   what a network scores, for its card

Imports only NumPy, SciPy, torch, JAX, NumPyro, safetensors, YAML, typer and rich, so that it runs
where the rest is missing.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes import registry
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.predictive import Array, Predictive, Quantiles, as_predictive, stack
from veribayes.tree import Branch, Data, Simulation
from veribayes.tree.method import Method
from veribayes.validation import bootstrap, decision
from veribayes.validation.metrics._metric import deciding

if TYPE_CHECKING:
    from veribayes.transformer._recipe import Recipe

MEASURE_DATASETS = 400  # on the stream `replicate`, which neither training nor `verify` uses
FEW_DATASETS = 40  # where the reference is a sampler, which takes seconds for each of them
QUICK = (Method.EXACT, Method.QUADRATURE)  # their answers are quick enough for every step

Targets = Callable[[Data], Predictive]
Candidate = Callable[[Any, Any], object]


def train_task(
    name: str | Task,
    *,
    preset: str,
    device: str,
    out: Path,
    seed: int = 0,
    threads: int | None = None,
    tensorboard: bool = False,
    keep: Sequence[int] = (),
) -> dict[str, Any]:
    """Train by a recipe of the task, which is given by name, file or itself, and return the card.

    Args:
        keep: steps after which the weights are also kept, in `out/steps`.

    Raises:
        InputError: the task has no such recipe.
        Interrupted: stopped; the same call continues bit-exactly.
    """
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch on import
    from veribayes.transformer._recipe import LABELS
    from veribayes.transformer._training import train

    task = name if isinstance(name, Task) else _spec.load_task(name)
    recipe = recipe_of(task, preset)
    out.mkdir(parents=True, exist_ok=True)  # fails now, not after the training
    called = task.name if isinstance(name, Task) else name
    command = f"veribayes train {shlex.quote(called)} --preset {preset} --seed {seed}"
    command += f" --threads {threads}" if threads else ""
    imitated = "" if recipe.targets == LABELS else recipe.targets
    datasets = MEASURE_DATASETS if is_exact(task) else FEW_DATASETS
    card = train(
        task,
        recipe,
        targets=targets_for(task, recipe.targets),
        evaluate=measurement(task, datasets, imitated),
        out=out,
        seed=seed,
        device=device,
        command=command,
        tensorboard=out / "tensorboard" if tensorboard else None,
        keep=keep,
    )
    return card.to_dict()


def recipe_of(task: Task, preset: str) -> Recipe:
    """The recipe under `training:` in the task; of a task without any, one that its layout and its
    exact law suggest.

    Raises:
        InputError: no such preset, or data that no network can read.
    """
    from veribayes.transformer._recipe import Recipe

    if task.training:
        return Recipe.of(task, preset)
    return Recipe.of(replace(task, training=suggested(task)), preset)


def suggested(task: Task) -> dict[str, dict[str, Any]]:
    """Presets for a task without any: targets are exact where its reference is, and else what was
    drawn.
    """
    from veribayes.transformer import _defaults
    from veribayes.transformer._recipe import LABELS

    if not is_exact(task):
        return _defaults.presets(task, law="", targets=LABELS)
    data = task.simulate(range(1), seed=0, stream="train").data
    law = exact_targets(task)(data)
    return _defaults.presets(task, law=law.form, targets="")


def is_exact(task: Task) -> bool:
    """Whether the task's reference is quick and exact, so that it can answer for every training
    batch.
    """
    return registry.engine(task.reference).method in QUICK


def targets_for(task: Task, name: str) -> Targets | None:
    """By the recipe's word: an engine's predictive, the reference's where it names none, or nothing
    but what was drawn.
    """
    from veribayes.transformer._recipe import LABELS

    if name == LABELS:
        return None
    return targets_of(task, name) if name else exact_targets(task)


def exact_targets(task: Task) -> Targets:
    """The reference engine's predictive, refused like any reference when its certificate is."""
    engine = registry.engine(task.reference)
    if hasattr(engine, "latents"):
        # targets are predictions; latents would cost more than they do
        engine = replace(engine, latents=False)

    def targets(data: Data) -> Predictive:
        branch = engine(task, data, seed=0)
        branch.certificate.require(task.reference)
        return branch.predictive

    return targets


def targets_of(task: Task, imitated: str) -> Targets:
    """The predictive of an engine that a network is to imitate, be it right or wrong."""
    engine = registry.engine(imitated)

    def targets(data: Data) -> Predictive:
        branch: Branch = engine(task, data, seed=0)
        return branch.predictive

    return targets


def measurement(
    task: Task, datasets: int = MEASURE_DATASETS, imitated: str = ""
) -> Callable[[Candidate], dict[str, Any]]:
    """A function that measures a candidate by the metric that `verify` judges its form by, and its
    recovery.

    That is KL(exact || candidate) in nats; of bins `kl_density`, that between densities; of
    quantiles the divergence at their levels. The entries are called like their `metric`:
    `kl_density`, `kl_density_low`, …. Intervals are 95 %; a limit that the sample does not support
    is null, with a reason beside it (`kl_density_reason`).

    Of a network that imitates another engine, also the mean total variation from that; of one that
    answers for latents, the mean of KL(exact || network) over latents and context sizes.
    """
    simulation = task.simulate(range(datasets), seed=0, stream="replicate")
    data = simulation.data
    exact = exact_targets(task)(data)
    model = targets_of(task, imitated)(data) if imitated else None
    guess = registry.engine("prior_only")(task, data, seed=0).predictive
    # made once: every measurement compares with the same prior
    prior_in_nats = _clusters("kl", guess, exact, simulation)

    def evaluate(candidate: Candidate) -> dict[str, Any]:
        answer = answers_of(task, data, candidate, exact.shape[2])
        metric = _metric_of(task, answer)
        scores = _scores(metric, answer, exact, simulation)
        clusters = decision.cluster_means(scores)
        prior = prior_in_nats
        if isinstance(answer, Quantiles):
            prior = _clusters(metric, at_levels(guess, answer.levels), exact, simulation)
        entries = _named(metric, bootstrap.interval(clusters, seed=0))
        share = bootstrap.recovery(clusters, prior, seed=0)
        if share is not None:
            entries |= _named("recovery", share)
        entries["metric"] = metric
        if model is not None:
            variation = _scores("total_variation", answer, model, simulation)
            entries[f"tv_from_{imitated}"] = float(np.nanmean(variation))
        entries |= latent_scores(task, data, exact, candidate)
        by_position = np.nanmean(scores, axis=(0, 2))
        return {
            **entries,
            "datasets": datasets,
            "seed": 0,
            "stream": "replicate",
            "interval": "95 %, by data set",
            "positions": [int(p) for p in data.positions],
            f"{metric}_by_position": [float(v) for v in by_position],
        }

    return evaluate


def answers_of(task: Task, data: Data, candidate: Candidate, queries: int) -> Predictive:
    """What a candidate says about the data sets, (dataset, position, query)."""
    shape, categories = (len(data.index), queries), task.model.n_categories
    answers = []
    for k in range(len(data.positions)):
        output = candidate(*task.model.inputs(data, k))
        answers.append(as_predictive(output, shape, categories))
    return stack(answers, axis=1)


def at_levels(law: Predictive, levels: Array) -> Quantiles:
    """The quantiles of a law at these levels."""
    wanted = np.broadcast_to(levels, (*law.shape, levels.size))
    return Quantiles(levels, law.quantile(wanted))


def latent_scores(task: Task, data: Data, exact: Predictive, candidate: Any) -> dict[str, float]:
    """Mean over data sets, context sizes and latents of KL(exact || candidate), nats, where it has
    a posterior of them.
    """
    from veribayes.transformer._candidates import NetworkCandidate
    from veribayes.transformer._latents import exact_latents

    if not isinstance(candidate, NetworkCandidate) or not candidate.network.config.latents:
        return {}
    config = candidate.network.config
    said = []
    for k in range(len(data.positions)):
        posterior = candidate.posterior(*task.model.inputs(data, k))
        said.append(np.concatenate([posterior[name]["probs"] for name in config.latents], axis=-1))
    q = np.stack(said, axis=1)
    p = exact_latents(task, config, exact)
    log_ratio = np.log(p / q, out=np.zeros_like(q), where=p > 0)
    divergence = (p * log_ratio).sum(-1).mean() / len(config.latents)
    return {"latent_kl": float(divergence)}


def _metric_of(task: Task, answer: Predictive) -> str:
    """Name of the metric by which an answer is judged."""
    if isinstance(answer, Quantiles):
        return "quantile_score"
    return deciding(answer.form, bool(task.model.n_categories))


def _scores(name: str, answer: Predictive, truth: Predictive, simulation: Simulation) -> Array:
    """A metric at every (dataset, position, query)."""
    scores: Array = registry.load("metric", name).score(answer, truth, simulation.outcome)
    return scores


def _clusters(name: str, answer: Predictive, truth: Predictive, simulation: Simulation) -> Array:
    """A metric's mean of every data set."""
    return decision.cluster_means(_scores(name, answer, truth, simulation))


def _named(name: str, interval: bootstrap.Interval) -> dict[str, Any]:
    """An interval as flat entries of a card."""
    plain = interval.plain()
    estimate = plain.pop("estimate")
    return {name: estimate, **{f"{name}_{key}": value for key, value in plain.items()}}
