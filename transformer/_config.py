"""What every config of a network answers, and what every network does,
whatever its architecture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from veribayes.errors import InputError

LARGEST = 4096  # of any size in a config: a card must not be able to ask for all memory
UNIT = (0.0, 1.0)


class Config(Protocol):
    """A frozen dataclass of everything that shapes the tensors; it checks itself, and JSON goes in
    and out.

    Attributes:
        family: name of the token part that reads the data (older than token parts, hence its name
            in cards).
        head: name of the head that says what the outputs mean.
        states: number of states of each variable that is predicted; empty where outcomes are real.
        latents: name -> values of each latent that the network answers for; mostly none.
        unit: centre and spread of real outcomes, in which heads answer; 0 and 1 leave them as they
            are.
    """

    @property
    def family(self) -> str: ...

    @property
    def head(self) -> str: ...

    @property
    def states(self) -> tuple[int, ...]: ...

    @property
    def latents(self) -> Mapping[str, tuple[float, ...]]: ...

    @property
    def unit(self) -> tuple[float, float]: ...

    def to_dict(self) -> dict[str, Any]: ...


class InContext(nn.Module, ABC):
    """A network that answers queries from a context: arrays of its tokens in, outputs of its head
    out, (B, Q, K).
    """

    config: Any

    def with_latents(self, *arrays: Tensor) -> tuple[Tensor, Tensor | None]:
        """Outputs as in `forward`, and the log posterior (B, V) of the latents, side by side; None
        without latents.
        """
        return self(*arrays), None

    def attention(self, *arrays: Tensor) -> list[Tensor]:
        """Attention of every layer, (B, H, reader, read) or without the heads H.

        Raises:
            InputError: a network whose attention has no weights that sum to one.
        """
        raise InputError("a network with softmax attention", type(self).__name__)

    def residuals(self, *arrays: Tensor) -> list[Tensor]:
        """The residual stream where the head reads it, as tokens and behind every layer, (B,
        Q, D) each.

        Raises:
            InputError: a network without one.
        """
        raise InputError("a network with a residual stream", type(self).__name__)

    def matrices(self) -> list[nn.Parameter]:
        """Weights that are updated as matrices (by Muon); all others go to AdamW."""
        return []

    @abstractmethod
    def initialise(self, seed: int) -> InContext:
        """Write the first weights, a function of the seed; returns the network itself."""


def frozen(value: Any) -> Any:
    """Plain data with tuples for lists, so that what comes back from JSON is equal."""
    if isinstance(value, Mapping):
        return {key: frozen(entry) for key, entry in value.items()}
    return tuple(frozen(entry) for entry in value) if isinstance(value, list | tuple) else value


def plain(value: Any) -> Any:
    """Plain data with lists for tuples, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value
