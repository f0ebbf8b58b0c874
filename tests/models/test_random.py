"""Random numbers are functions of (seed, stream, index) and follow their laws."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from veribayes.errors import InputError
from veribayes.models._random import integers, keys, log_gamma, normal, uniforms


def words(seed: int, stream: str, index: list[int]) -> np.ndarray:
    return np.asarray(jax.random.key_data(keys(seed, stream, np.array(index))))


def test_a_key_depends_on_its_own_number_alone() -> None:
    alone, together = words(3, "verify", [7]), words(3, "verify", [0, 7, 2**32 - 1])
    assert np.array_equal(alone[0], together[1])
    with jax.enable_x64(True):
        assert np.array_equal(words(3, "verify", [7]), alone)


def test_seeds_streams_and_numbers_never_meet() -> None:
    found = {
        tuple(w)
        for seed in (0, 1, 2**32 - 1)
        for stream in ("train", "verify", "audit", "replicate")
        for w in words(seed, stream, list(range(200)))
    }
    assert len(found) == 3 * 4 * 200


@pytest.mark.parametrize(("seed", "index"), [(-1, [0]), (2**32, [0]), (0, [-1]), (0, [2**32])])
def test_numbers_that_would_wrap_round_are_refused(seed: int, index: list[int]) -> None:
    with pytest.raises(InputError, match="2\\*\\*32"):
        keys(seed, "train", np.array(index))


def test_inversions_follow_their_laws() -> None:
    with jax.enable_x64(True):
        key = jax.random.key(0)
        level, few = uniforms(key, (40_000,), (2, 3))
        draws = {
            "uniform": np.asarray(level) * 12**0.5 - 3**0.5,
            "normal": np.asarray(normal(level)),
            "exponential": np.exp(log_gamma(key, level, 1.0)) - 1,
        }
        level, few = np.asarray(level), np.asarray(few)
        counts = np.bincount(np.asarray(integers(level, 5)), minlength=5)
        gamma = np.exp(np.asarray(log_gamma(key, level, 0.1)))
    assert level.dtype == np.float64
    assert few.shape == (2, 3)
    assert 0 < level.min() < level.max() < 1
    for (
        name,
        x,
    ) in (
        draws.items()
    ):  # standardised to mean 0, variance 1: standard error of the mean .005 to .01
        assert abs(np.mean(x)) < 0.02, name  # measured at most .012
        assert abs(np.var(x) - 1) < 0.08, name  # measured at most .007
    assert np.abs(counts / 40_000 - 0.2).max() < 4.5 * (0.16 / 40_000) ** 0.5
    assert abs(gamma.mean() - 0.1) < 4.5 * (0.1 / 40_000) ** 0.5
