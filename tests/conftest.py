"""Strict numerics for every test: JAX refuses silent rank promotion, warnings are errors,
NumPy raises on overflow.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two pytest workers share two cores
os.environ.setdefault("VERIBAYES_REFERENCES", "")  # nothing is stored between tests

os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

# What is compiled in a session is there for both workers and for every process that they start.
COMPILED = "JAX_COMPILATION_CACHE_DIR"
OWN = "" if COMPILED in os.environ else tempfile.mkdtemp(prefix="veribayes-compiled-")
os.environ.setdefault(COMPILED, OWN)
jax.config.update("jax_compilation_cache_dir", os.environ[COMPILED])


def pytest_unconfigure() -> None:
    """The process that made the folder of compiled programs removes it;
    its workers were given it.
    """
    if OWN:
        shutil.rmtree(OWN, ignore_errors=True)


@pytest.fixture(autouse=True)
def strict_numerics() -> Iterator[None]:
    """Invalid values and division by zero raise; the x64 flag of JAX is left as it was found."""
    before = jax.config.jax_enable_x64
    with np.errstate(invalid="raise", divide="raise", over="raise"):
        yield
    assert jax.config.jax_enable_x64 == before
