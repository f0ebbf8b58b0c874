"""Whether the exact posterior of a finite latent can be read off the residual stream by a linear
map, layer by layer.

The map is fitted by ridge regression on the first half of the data sets and judged on the other
half. Beside it stands a control: the same regression on beliefs that belong to other data sets at
the same context size. What a layer has beyond the tokens themselves, which know the last
observation alone, is what the layers before it have put together.
Of latents along a sequence the belief is the one about the last place that has been read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from veribayes.predictive import Array
from veribayes.tree import Posterior
from veribayes.validation.probes._probe import Probe, Subject, summary

# of the mean eigenvalue of the features: keeps the map finite, and explains nothing away
RIDGE = 1e-5


def _ask(subject: Subject) -> dict[str, Any] | None:
    """`unexplained` and `shuffled` of each layer, the tokens first; None where there is no finite
    latent, no sequence or no residual stream to look at.
    """
    layout = subject.task.model.layout
    if layout.order != "sequence" or not hasattr(subject.call, "residuals"):
        return None
    beliefs = beliefs_of(subject.posterior(subject.data))
    if beliefs is None or len(beliefs) < 8:
        return None
    data = subject.data
    context, query = subject.task.model.inputs(data, len(data.positions) - 1)
    streams = [stream[:, data.positions] for stream in subject.call.residuals(context, query)]
    order = np.random.default_rng(subject.seed).permutation(len(beliefs))
    layers = []
    for number, stream in enumerate(streams):
        found = {
            "unexplained": summary(unexplained(stream, beliefs), subject.seed, 0.0, np.inf),
            "shuffled": summary(unexplained(stream, beliefs[order]), subject.seed, 0.0, np.inf),
        }
        layers.append({"layer": number, **found})
    return {"datasets_judged": len(beliefs) // 2, "layers": layers}


def _rows(found: Mapping[str, Any]) -> list[list[Any]]:
    rows: list[list[Any]] = [["read behind", "unexplained", "shuffled"]]
    for layer in found["layers"]:
        name = f"layer {layer['layer']}" if layer["layer"] else "tokens"
        rows.append([name, layer["unexplained"], layer["shuffled"]])
    return rows


def beliefs_of(posterior: Posterior) -> Array | None:
    """Probabilities of the values of every finite latent, side by side, (dataset, position,
    value); None without one.
    """
    finite = [moments["probs"] for moments in posterior.values() if "probs" in moments]
    columns = [_last(probs) for probs in finite]
    return np.concatenate(columns, axis=-1) if columns else None


def _last(probs: Array) -> Array:
    """Of probabilities (dataset, position, *place,
    value) those at the last place that is no padding.
    """
    if probs.ndim == 3:
        return probs
    flat = probs.reshape(*probs.shape[:2], -1, probs.shape[-1])
    known = np.isfinite(flat[..., 0])
    last = np.maximum(known.cumsum(-1).argmax(-1), 0)
    return np.take_along_axis(flat, last[..., None, None], axis=2)[:, :, 0]


def unexplained(stream: Array, beliefs: Array) -> Array:
    """Squared error of the fitted map over the mean variance of beliefs,
    a value each data set that is judged.

    Args:
        stream: (dataset, position, width).
        beliefs: (dataset, position, value).
    """
    half = len(stream) // 2
    # both without what the context size alone says
    away = stream - stream[:half].mean(0)
    features = away / (away[:half].std((0, 1)) + 1e-12)
    centre = beliefs[:half].mean(0)
    fitted = _ridge(features[:half], beliefs[:half] - centre)
    errors = beliefs[half:] - centre - features[half:] @ fitted
    spread = ((beliefs[half:] - centre) ** 2).sum((1, 2)).mean()
    return np.asarray((errors**2).sum((1, 2)) / spread)


def _ridge(features: Array, targets: Array) -> Array:
    """Coefficients (width, value)."""
    flat = features.reshape(-1, features.shape[-1])
    wanted = targets.reshape(-1, targets.shape[-1])
    gram = flat.T @ flat
    penalty = RIDGE * np.trace(gram) / len(gram)
    return np.asarray(np.linalg.solve(gram + penalty * np.eye(len(gram)), flat.T @ wanted))


PART = Probe(
    name="belief_state",
    label="beliefs that its residual stream holds",
    about="Share of the variance of the exact belief at each context size that no linear map of "
    "the residual stream explains, on data sets that the map has not seen; 1 is nothing explained. "
    "Shuffled: the same with the beliefs of other data sets.",
    ask=_ask,
    place=60,
    rows=_rows,
)
