"""Strict numerics for every test: JAX refuses silent rank promotion, warnings are errors, NumPy raises on overflow."""

from __future__ import annotations

import os
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two pytest workers share two cores
os.environ.setdefault("VERIBAYES_REFERENCES", "")  # nothing is stored between tests

import jax
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def strict_numerics() -> Iterator[None]:
    """Invalid values and division by zero raise; the x64 flag of JAX is left as it was found."""
    before = jax.config.jax_enable_x64
    with np.errstate(invalid="raise", divide="raise", over="raise"):
        yield
    assert jax.config.jax_enable_x64 == before
