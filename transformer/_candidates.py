"""Adapters that make a network a candidate: (context, query) in NumPy -> one predictive form in
NumPy float64.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from veribayes.models._task import Task
from veribayes.predictive import Array, to_float64
from veribayes.transformer import _parts
from veribayes.transformer._checkpoint import load
from veribayes.transformer._config import InContext
from veribayes.transformer._latents import moments

Candidate = Callable[[Any, Any], dict[str, Array]]
TOKENS = 65_536  # tokens a forward pass: bounds memory at some 100 MiB for the widths used here


class NetworkCandidate:
    """A network as candidate; batches inside, so that memory does not grow with the number of data
    sets.
    """

    def __init__(self, network: InContext) -> None:
        self.network = network
        self.tokens = _parts.tokens(network.config.family)
        self.head = _parts.head(network.config.head)

    def __call__(self, context: Any, query: Any) -> dict[str, Array]:
        """The form of the network's head, (dataset, query, …)."""
        outputs = self._answers(self.network, self.tokens.arrays(context, query))
        return self.head.form(self.network.config, outputs)

    def posterior(self, context: Any, query: Any) -> dict[str, dict[str, Array]]:
        """Of every latent that the network answers for: `probs` (dataset, value), and their `mean`
        and `sd` (dataset,).
        """
        values = self.network.config.latents
        if not values:
            return {}
        arrays = self.tokens.with_one_query(self.tokens.arrays(context, query))
        joined = np.exp(self._answers(self._log_posterior, arrays))
        ends = np.cumsum([len(numbers) for numbers in values.values()])
        parts = np.split(joined, ends[:-1], axis=-1)
        posterior = {}
        for name, probs in zip(values, parts, strict=True):
            posterior[name] = moments(probs, values[name])
        return posterior

    def attention(self, context: Any, query: Any) -> tuple[list[Array], int]:
        """Attention of every layer, (dataset, head, reader, read), and how many of the tokens read
        first are no observations.

        Raises:
            InputError: a network whose attention has no weights that sum to one.
        """
        arrays = self.tokens.arrays(context, query)
        with torch.inference_mode():
            maps = self.network.attention(*arrays)
        # the observations come last among the tokens that are read
        leading = maps[0].shape[-1] - arrays[0].shape[1]
        return [to_float64(m if m.ndim == 4 else m[:, None]) for m in maps], leading

    def residuals(self, context: Any, query: Any) -> list[Array]:
        """The residual stream where the head reads it, as tokens and behind every layer, (dataset,
        answer, width) each; of a sequence there is an answer after every prefix.

        Raises:
            InputError: a network without one.
        """
        arrays = self.tokens.arrays(context, query)
        with torch.inference_mode():
            return [to_float64(stream) for stream in self.network.residuals(*arrays)]

    def _log_posterior(self, *arrays: Tensor) -> Any:
        """(dataset, value)."""
        return self.network.with_latents(*arrays)[1]

    def _answers(self, ask: Callable[..., Any], arrays: tuple[Tensor, ...]) -> Array:
        """What the network says about all data sets, in float64;
        of a sequence the last position.
        """
        device = next(self.network.parameters()).device
        each = sum(array.shape[1] for array in arrays)
        size = max(1, TOKENS // max(1, each))
        split = [torch.split(array.to(device), size) for array in arrays]
        last = slice(-1, None) if self.tokens.causal else slice(None)
        with torch.inference_mode():
            answers = [ask(*batch) for batch in zip(*split, strict=True)]
        return np.concatenate([to_float64(answer[:, last]) for answer in answers])


def network_candidate(
    folder: Path, task: Task | None = None, seed: int | None = None
) -> NetworkCandidate:
    """The candidate in a checkpoint folder; refuses one trained for another model than the task's.

    Args:
        seed: of the training, where the checkpoint holds several networks; None: the first.

    Raises:
        CheckpointError, InputError: see `load`.
    """
    return NetworkCandidate(load(folder, task, seed)[0])


def module_candidate(module: nn.Module) -> Callable[..., Any]:
    """Any torch module as candidate: called with (context, query) as tensors on its device; it
    returns a predictive form.

    Further keywords reach the module as they are.

    Integer arrays become int64 tensors, real ones the floating type of the module's parameters.
    Named tuples stay named tuples.
    """
    first = next(module.parameters(), torch.zeros(()))

    def candidate(context: Any, query: Any, **options: Any) -> Any:
        module.eval()
        with torch.inference_mode():
            return module(_to_tensors(context, first), _to_tensors(query, first), **options)

    return candidate


def _to_tensors(value: Any, like: Tensor) -> Any:
    if value is None:
        return None
    if isinstance(value, tuple):
        return type(value)(*(_to_tensors(v, like) for v in value))
    array = np.array(value)  # a copy, since torch wants writable memory
    kind = torch.int64 if np.issubdtype(array.dtype, np.integer) else like.dtype
    return torch.from_numpy(array).to(like.device, kind)
