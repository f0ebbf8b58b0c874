"""What the two forms with probabilities share."""

from __future__ import annotations

import numpy as np

from veribayes.predictive._arrays import FLOAT64_LIMIT, Array, zero_limit_of
from veribayes.predictive._entries import log_normalised, normalised, require_same_shape
from veribayes.predictive._form import Predictive


class Masses(Predictive):
    """A form with probabilities; no dataclass, so that each of them orders its fields itself.

    Attributes:
        probs: (..., cell).
        log_probs: their logarithms, where those were given; probs are then exp of them.
        zero_limit: the largest mass that a zero in probs may stand for, (...,); None: that of
            float64.
    """

    probs: Array
    log_probs: Array | None
    zero_limit: Array | None

    def __post_init__(self) -> None:
        limit = zero_limit_of(self.probs)
        if self.zero_limit is None and limit > FLOAT64_LIMIT:
            leading = np.shape(self.probs)[:-1]
            object.__setattr__(self, "zero_limit", np.full(leading, limit))
        super().__post_init__()

    def _normalise(self) -> None:
        if self.log_probs is None:
            probs = normalised(self.probs, "probs", self.zero_limits)
        else:
            require_same_shape(probs=self.probs, log_probs=self.log_probs)
            logs = log_normalised(self.log_probs)
            object.__setattr__(self, "log_probs", logs)
            probs = np.exp(logs)
        object.__setattr__(self, "probs", probs)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.probs.shape[:-1]

    @property
    def log_masses(self) -> Array:
        """Logarithms of the probabilities, (..., cell); minus infinity for zeros, without a
        warning.
        """
        if self.log_probs is not None:
            return self.log_probs
        with np.errstate(divide="ignore"):
            return np.log(self.probs)

    @property
    def zero_limits(self) -> Array:
        """The largest mass that a zero may stand for, (...,)."""
        if self.zero_limit is not None:
            return self.zero_limit
        return np.full(self.shape, FLOAT64_LIMIT)

    def variable(self, name: str) -> Array:
        if name == "log_probs":
            return self.log_masses
        if name == "zero_limit":
            return self.zero_limits
        return super().variable(name)

    def total_mass(self) -> Array:
        return self.probs.sum(-1)
