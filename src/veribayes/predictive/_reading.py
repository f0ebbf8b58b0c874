"""What a candidate returns, read as one of the seven forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from veribayes.errors import EntryError, InputError, ShapeError
from veribayes.predictive._arrays import to_float64
from veribayes.predictive._form import Predictive
from veribayes.predictive.bins import Bins
from veribayes.predictive.categorical import Categorical
from veribayes.predictive.draws import Draws
from veribayes.predictive.mixture import NormalMixture
from veribayes.predictive.normal import Normal
from veribayes.predictive.point import Point
from veribayes.predictive.quantiles import Quantiles

FORMS: Mapping[str, type[Predictive]] = {
    form.form: form for form in (Categorical, Normal, NormalMixture, Bins, Quantiles, Draws, Point)
}
BESIDE = ("form", "n_categories")  # what a dict may say besides its variables
HINTS = {  # names that are near to a variable's, and what to do about them
    ("var", "variance"): "a variance is not an sd: return sd",
    ("logits",): "return log_probs, after a log-softmax",
    ("log_prob", "logprobs"): "return log_probs",
}


def as_predictive(output: object, shape: tuple[int, ...], n_categories: int | None) -> Predictive:
    """Read a candidate's output: a `Predictive` or a dict with the variables of one of the
    seven forms.

    Args:
        output: what the candidate returned; torch, JAX and NumPy arrays are all accepted.
        shape: the leading shape it must have, (dataset, query) or (dataset, position, query).
        n_categories: number of categories of the support, or None for a real-valued support.

    Raises:
        ShapeError: an axis is missing, or there is one too many.
        InputError: unknown variables, a form that does not fit the support.
        EntryError: NaN, mass that is not one, and whatever else cannot be; with the first place.
    """
    try:
        predictive = output if isinstance(output, Predictive) else _from_mapping(output)
    except EntryError as error:
        if len(error.index) != len(shape):
            raise error from None
        raise error.placed(_place) from None
    _require_shape(predictive, shape)
    _require_support(predictive, n_categories)
    return predictive


def _from_mapping(output: object) -> Predictive:
    if not isinstance(output, Mapping):
        wanted = "a Predictive or a dict with probs, or mean and sd, or draws, …"
        raise InputError(wanted, type(output).__name__)
    given: dict[str, Any] = {}
    for key, value in output.items():
        if str(key) not in BESIDE:
            given[str(key)] = value
    if {"probs", "log_probs"} <= given.keys():
        raise InputError("probs or log_probs", "both", "return one of them")
    form = _form_of(given)
    if "log_probs" in given:
        logs = to_float64(given["log_probs"], "log_probs")
        with np.errstate(over="ignore"):
            given |= {"probs": np.exp(logs), "log_probs": logs}
    return form(**given)


def _form_of(given: Mapping[str, Any]) -> type[Predictive]:
    """The form whose variables these are; logarithms stand for their probabilities."""
    names = frozenset("probs" if name == "log_probs" else name for name in given)
    for form in FORMS.values():
        if form.is_meant_by(names):
            return form
    hint = "see the seven predictive forms"
    for near, remedy in HINTS.items():
        if not names.isdisjoint(near):
            hint = remedy
            break
    raise InputError("the variables of one predictive form", f"{sorted(given)}", hint)


def _require_shape(predictive: Predictive, shape: tuple[int, ...]) -> None:
    if predictive.shape == shape:
        return
    names = ("dataset", "position", "query") if len(shape) == 3 else ("dataset", "query")
    axes = ", ".join(f"{name}={size}" for name, size in zip(names, shape, strict=True))
    remedy = "return one distribution per data set and query; extra axes are never broadcast"
    raise ShapeError(
        f"'{predictive.form}' with leading axes ({axes})", f"{predictive.shape}", remedy
    )


def _require_support(predictive: Predictive, n_categories: int | None) -> None:
    """Refuse real values where there are categories, categories where there are none, or others."""
    discrete = n_categories is not None
    fits = isinstance(predictive, Draws) or isinstance(predictive, Categorical) == discrete
    if not fits:
        support = "(categories)" if discrete else "(real line)"
        remedy = "return mean and sd, a mixture, bins, quantiles, draws or a mean alone"
        if discrete:
            remedy = "return probs[category]"
        raise InputError(f"a form that fits the support {support}", f"'{predictive.form}'", remedy)
    if isinstance(predictive, Categorical) and predictive.probs.shape[-1] != n_categories:
        wanted = f"{n_categories} categories"
        got = f"probs of shape {predictive.probs.shape}"
        raise ShapeError(wanted, got, "pad variables with fewer categories by zeros")


def _place(index: tuple[int, ...]) -> str:
    """Where a distribution stands in a batch (dataset, query) or (dataset, position, query)."""
    names = ("data set", "position", "query") if len(index) == 3 else ("data set", "query")
    places = [f"{name} {i}" for name, i in zip(names, index, strict=True)]
    return "in " + ", ".join(places)
