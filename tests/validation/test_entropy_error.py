"""The error of the entropy: nothing for any relabelling, and the size of a temperature's effect."""

from __future__ import annotations

import numpy as np
import pytest

from veribayes import registry
from veribayes.predictive import Categorical

METRIC = registry.load("metric", "entropy_error")


def score(candidate: list[float], reference: list[float]) -> float:
    laws = (Categorical(np.array(law)[None, None, None]) for law in (candidate, reference))
    return float(METRIC.score(*laws, np.zeros((1, 1, 1))).item())


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0), (0, 2, 1)])
def test_a_relabelling_is_not_seen(order: tuple[int, ...]) -> None:
    probs = [0.7, 0.2, 0.1]
    assert score([probs[k] for k in order], probs) < 1e-15  # roundings of a sum in another order


def test_values() -> None:
    """Bits: of an even law of three log2 3, of a fair coin one, of a certainty nothing."""
    assert METRIC.unit == "bits"
    assert score([1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]) == pytest.approx(np.log2(3))
    assert score([0.5, 0.5, 0.0], [1.0, 0.0, 0.0]) == pytest.approx(1.0)
    # -(.25 log2 .25 + .75 log2 .75) = .5 + .311278
    assert score([0.25, 0.75], [1.0, 0.0]) == pytest.approx(0.8112781244591328)
