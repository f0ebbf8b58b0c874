"""Random numbers as a function of (seed, stream, index): never of call order, batch size or a
global state.

A simulator asks once for all uniforms of a data set and gets everything else by inversion: every
call of a generator costs half a second of compilation, an inversion next to nothing.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError

if TYPE_CHECKING:
    import jax

# keys are folded as 32-bit words; a larger number would wrap round and meet another stream
LIMIT = 2**32
LEAST = 2.0**-53  # in place of a uniform that is zero, whose logarithm is none


def keys(seed: int, stream: str, index: npt.ArrayLike) -> jax.Array:
    """One JAX key for each data set.

    Args:
        seed: 0 <= seed < 2**32.
        stream: `train`, `verify`, `audit` or `replicate`; streams never meet.
        index: numbers of the data sets in the stream, shape (dataset,).

    Returns:
        Typed threefry keys of shape (dataset,).
    """
    number = np.asarray(index, dtype=np.int64)
    outside = (number < 0) | (number >= LIMIT)
    if not 0 <= seed < LIMIT or number.ndim != 1 or outside.any():
        wanted = "a seed and one axis of data set numbers in [0, 2**32)"
        raise InputError(wanted, f"seed {seed}, index of shape {number.shape}")
    return _folded()(_base(seed, stream), number.astype(np.uint32))


@lru_cache(maxsize=64)
def _base(seed: int, stream: str) -> jax.Array:
    import jax

    root = jax.random.key(seed, impl="threefry2x32")
    return jax.random.fold_in(root, zlib.crc32(stream.encode()))


@cache
def _folded() -> Callable[..., jax.Array]:
    """Compiled: a batch of training asks for keys at every step, and op by op they took a quarter
    of making it.
    """
    import jax

    return jax.jit(jax.vmap(jax.random.fold_in, in_axes=(None, 0)))


def uniforms(key: jax.Array, *shapes: tuple[int, ...]) -> list[jax.Array]:
    """Independent uniforms strictly inside (0, 1), float64, one array for each shape."""
    import jax
    import jax.numpy as jnp

    sizes = [math.prod(shape) for shape in shapes]
    level = jax.random.uniform(key, (sum(sizes),), dtype=np.float64)
    level = jnp.maximum(level, LEAST)
    parts = jnp.split(level, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def normal(level: jax.Array) -> jax.Array:
    """Standard normals by inversion of uniforms."""
    import jax

    return math.sqrt(2) * jax.lax.erf_inv(2 * level - 1)


def integers(level: jax.Array, below: int) -> jax.Array:
    """Uniform integers in 0..below-1 by inversion of uniforms."""
    return (level * below).astype(np.int64)


def log_gamma(key: jax.Array, level: jax.Array, concentration: float) -> jax.Array:
    """Logarithms of Gamma(concentration) variables, shaped like the uniforms `level`; small ones do
    not underflow.

    Gamma(1) comes from `level` by inversion; any other from its own key, by rejection.
    """
    import jax
    import jax.numpy as jnp

    if concentration == 1:
        return jnp.log(-jnp.log(level))
    own = jax.random.fold_in(key, 1)
    return jax.random.loggamma(own, concentration, level.shape, dtype=np.float64)
