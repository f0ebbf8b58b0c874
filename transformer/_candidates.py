"""Adapters that make a network a candidate: (context, query) in NumPy -> one predictive form in NumPy float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array, to_float64
from veribayes.transformer._architectures import AnyNetwork
from veribayes.transformer._batches import edges_of, tensors
from veribayes.transformer._checkpoint import load
from veribayes.transformer.network import Network

Candidate = Callable[[Any, Any], dict[str, Array]]
TOKENS = 65_536  # tokens a forward pass: bounds memory at some 100 MiB for the widths used here


class NetworkCandidate:
    """A network as candidate; batches inside, so that memory does not grow with the number of data sets."""

    def __init__(self, network: AnyNetwork) -> None:
        self.network = network

    def __call__(self, context: Any, query: Any) -> dict[str, Array]:
        """Probabilities (dataset, query, category), bins with edges and tail scale, or normals."""
        config: Any = self.network.config
        arrays = tensors(config.family, context, query)
        head = getattr(config, "head", "bins")
        if head != "bins":
            return self._normals(arrays, head)
        probs = softmax(self._asked(self.network, arrays))
        if config.family != "points":
            return {"probs": probs}
        return {
            "probs": probs,
            "edges": edges_of(config),
            "tail_scale": np.full(2, config.tail_scale),
        }

    def posterior(self, context: Any, query: Any) -> dict[str, dict[str, Array]]:
        """Of every latent that the network answers for: `probs` (dataset, value), and their `mean` and `sd` (dataset,)."""
        values = getattr(self.network.config, "latents", {})
        if not values:
            return {}
        network = cast(Network, self.network)
        joined = np.exp(
            self._asked(
                lambda *a: network.with_latents(*a)[1], tensors("points", context, query[:, :1])
            )
        )
        parts = np.split(joined, np.cumsum([len(v) for v in values.values()])[:-1], axis=-1)
        return {
            name: latent_moments(probs, values[name])
            for name, probs in zip(values, parts, strict=True)
        }

    def attention(self, context: Any, query: Any) -> tuple[list[Array], int]:
        """Attention of every layer, (dataset, head, reader, read), and how many of the tokens read first are no observations.

        Raises:
            InputError: a network whose attention has no weights that sum to one.
        """
        network: Any = self.network
        if not hasattr(network, "attention"):
            raise InputError("a network with softmax attention", type(network).__name__)
        arrays = tensors(network.config.family, context, query)
        with torch.inference_mode():
            maps = network.attention(*arrays)
        leading = (
            maps[0].shape[-1] - arrays[0].shape[1]
        )  # the observations come last among the tokens that are read
        return [to_float64(m if m.ndim == 4 else m[:, None]) for m in maps], leading

    def _normals(self, arrays: tuple[Tensor, ...], head: str) -> dict[str, Array]:
        """A mixture, or its one component."""
        raw = self._asked(lambda *a: cast(Network, self.network).raw(*a)[0], arrays)
        weights, mean, log_sd = np.split(raw, 3, axis=-1)
        if head == "normal":
            return {"mean": mean[..., 0], "sd": np.exp(log_sd[..., 0])}
        return {"weights": softmax(weights), "mean": mean, "sd": np.exp(log_sd)}

    def _asked(self, ask: Callable[..., Any], arrays: tuple[Tensor, ...]) -> Array:
        """What the network says about all data sets, in float64; of a sequence the last position."""
        device = next(self.network.parameters()).device
        size = max(1, TOKENS // max(1, sum(a.shape[1] for a in arrays)))
        with torch.inference_mode():
            batches = zip(*(torch.split(a.to(device), size) for a in arrays), strict=True)
            parts = [ask(*batch) for batch in batches]
        last = slice(-1, None) if self.network.config.family == "symbols" else slice(None)
        return np.concatenate([to_float64(part[:, last]) for part in parts])


def latent_moments(probs: Array, values: Sequence[float]) -> dict[str, Array]:
    """A posterior over finitely many values, (..., value), as other posteriors are given: with its mean and sd (...)."""
    probs, at = probs / probs.sum(-1, keepdims=True), np.array(values)
    mean = probs @ at
    return {
        "mean": mean,
        "sd": np.sqrt((probs * (at - mean[..., None]) ** 2).sum(-1)),
        "probs": probs,
    }


def network_candidate(folder: Path, task: Task | None = None) -> NetworkCandidate:
    """The candidate in a checkpoint folder; refuses one trained for another model than the task's.

    Raises:
        CheckpointError: see `load`.
    """
    return NetworkCandidate(load(folder, task)[0])


def module_candidate(module: nn.Module) -> Callable[..., Any]:
    """Any torch module as candidate: called with (context, query) as tensors on its device; it returns a predictive form.

    Further keywords reach the module as they are.

    Integer arrays become int64 tensors, real ones the floating type of the module's parameters. Named tuples stay named tuples.
    """
    first = next(module.parameters(), torch.zeros(()))

    def candidate(context: Any, query: Any, **options: Any) -> Any:
        module.eval()
        with torch.inference_mode():
            return module(_to_tensors(context, first), _to_tensors(query, first), **options)

    return candidate


def softmax(logits: Array) -> Array:
    """exp(logits) normalised on the last axis; minus infinity gives exactly zero."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(odds / odds.sum(-1, keepdims=True))


def _to_tensors(value: Any, like: Tensor) -> Any:
    if value is None:
        return None
    if isinstance(value, tuple):
        return type(value)(*(_to_tensors(v, like) for v in value))
    array = np.array(value)  # a copy, since torch wants writable memory
    kind = torch.int64 if np.issubdtype(array.dtype, np.integer) else like.dtype
    return torch.from_numpy(array).to(like.device, kind)
