"""Exact predictive of a program whose probabilities have Beta or Dirichlet posteriors, read off its
density.

    log p(p, y) = sum_k c_k log p_k + constant,     entry | p with probabilities linear in p

The coefficients are solved for at random probabilities and checked at others for every data set;
so is that the entry's law is linear. A program that is anything else is refused. Then each row is
Dirichlet(c + 1), and the entry has its law at the posterior mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from veribayes.errors import ReferenceRefused
from veribayes.inference._engine import certify, name_of
from veribayes.inference._programs import (
    at_positions,
    mapped,
    predicted_program,
    refuse_unless_close,
)
from veribayes.models._task import Task
from veribayes.models.numpyro_model import PredictedProgram
from veribayes.predictive import Array, Categorical
from veribayes.tree import Branch, Data
from veribayes.tree.method import Method

EXTRA = 4  # places where the form is checked


@dataclass(frozen=True)
class ProgramCounts:
    """Beta and Dirichlet posteriors of a program that counts."""

    method: ClassVar[Method] = Method.EXACT
    families: ClassVar[tuple[str, ...]] = ("numpyro",)

    def __call__(self, task: Task, data: Data, *, seed: int) -> Branch:
        del seed  # deterministic
        model = predicted_program(self, task, data)
        self._require_probabilities(model)
        parts = at_positions(model, data, _compiled(model))
        probs, latents, residual = zip(*parts, strict=True)
        worst = refuse_unless_close(self, residual, "one of counts with conjugate priors")
        posterior = {}
        for name in model.outline.continuous:
            means = [part[name]["mean"] for part in latents]
            sds = [part[name]["sd"] for part in latents]
            posterior[name] = {"mean": np.stack(means, axis=1), "sd": np.stack(sds, axis=1)}
        certificate = certify(self.method, worst, kind="estimate")
        return Branch(Categorical(np.stack(probs, axis=1)), certificate, posterior)

    def _require_probabilities(self, model: PredictedProgram) -> None:
        wanted = "the program is not one of counts with conjugate priors: "
        if model.outline.has_discrete or model.n_categories is None:
            raise ReferenceRefused(name_of(self), [wanted + "its outcome, or a latent"])
        for name in model.outline.continuous:
            if _form(model, name) is None:
                raise ReferenceRefused(name_of(self), [f"{wanted}'{name}' is no probability"])


def _form(model: PredictedProgram, name: str) -> str | None:
    """`simplex` or `unit interval`; None for other supports."""
    from numpyro.distributions import constraints

    support = model.joint.sites[name]["fn"].support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if support is constraints.simplex:
        return "simplex"
    return "unit interval" if support is constraints.unit_interval else None


def _places(model: PredictedProgram) -> dict[str, Array]:
    """Random probabilities, name -> (place, row, category); a Beta has two categories."""
    rng = np.random.default_rng(0)
    rows = {}
    for name in model.outline.continuous:
        shape = model.outline.shapes[name]
        is_simplex = _form(model, name) == "simplex"
        categories = shape[-1] if is_simplex else 2
        number = int(np.prod(shape[:-1] if is_simplex else shape))
        rows[name] = (number, categories)
    unknown = 1 + sum(number * categories for number, categories in rows.values())
    places = {}
    for name, (number, categories) in rows.items():
        size = (unknown + EXTRA, number)
        places[name] = rng.dirichlet(np.full(categories, 2.0), size)
    return places


@lru_cache(maxsize=16)
def _compiled(model: PredictedProgram) -> Any:
    """Probabilities of the queries, moments of the latents, and how far the form is missed."""
    places = _places(model)
    count = len(next(iter(places.values())))
    columns = [np.log(rows).reshape(count, -1) for rows in places.values()]
    design = np.concatenate([*columns, np.ones((count, 1))], axis=1)
    inverse = np.linalg.inv(design[:-EXTRA])

    def as_latents(rows: Mapping[str, Any]) -> dict[str, Any]:
        latents = {}
        for name, values in rows.items():
            kept = values if _form(model, name) == "simplex" else values[..., 0]
            latents[name] = kept.reshape(model.outline.shapes[name])
        return latents

    def of_data_set(seen: Any, entries: Any) -> Any:
        def density(rows: Mapping[str, Any]) -> jax.Array:
            return model.joint.log_joint(as_latents(rows), seen)

        def law(rows: Mapping[str, Any], entry: Any) -> jax.Array:
            return model.joint.law(as_latents(rows), seen, entry).laws["probs"][0, 0]

        heights = jax.vmap(density)(places)
        coefficients = inverse @ heights[:-EXTRA]
        misses = jnp.abs(design[-EXTRA:] @ coefficients - heights[-EXTRA:])
        off = (misses / (1 + jnp.abs(heights[-EXTRA:]))).max()
        mean, sd, start = {}, {}, 0
        for name, rows in places.items():
            size = rows[0].size
            counts = coefficients[start : start + size].reshape(rows.shape[1:]) + 1
            start += size
            total = counts.sum(-1, keepdims=True)
            mean[name] = counts / total
            sd[name] = jnp.sqrt(mean[name] * (1 - mean[name]) / (total + 1))
        one = {name: rows[0] for name, rows in places.items()}
        two = {name: rows[1] for name, rows in places.items()}
        half = {name: (one[name] + two[name]) / 2 for name in places}

        def of_query(entry: Any) -> tuple[jax.Array, jax.Array]:
            missed = jnp.abs(law(half, entry) - (law(one, entry) + law(two, entry)) / 2).max()
            return law(mean, entry), missed

        probs, missed = jax.vmap(of_query)(entries)
        means, sds = as_latents(mean), as_latents(sd)
        moments = {name: {"mean": means[name], "sd": sds[name]} for name in means}
        return probs, moments, off + missed.max()

    return mapped(model, of_data_set)


PART = ProgramCounts
