"""Convergence diagnostics: the published estimators, gates that fail closed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from veribayes.predictive import Array
from veribayes.statistics.diagnostics import (
    Gates,
    e_bfmi,
    ess,
    ess_bulk,
    ess_tail,
    measure,
    rank_r_hat,
    split,
)

CHAINS, DRAWS = 4, 400


def chains(rho: float, latents: int = 2, seed: int = 0) -> Array:
    """First-order autoregressions with unit variance, (3, latent, chain, draw)."""
    out = np.random.default_rng(seed).standard_normal((3, latents, CHAINS, DRAWS))
    for t in range(1, DRAWS):
        out[..., t] = rho * out[..., t - 1] + np.sqrt(1 - rho**2) * out[..., t]
    return out


def judged(draws: Array, energy: Array | None = None, diverging: Any = None) -> Gates:
    shape = (draws.shape[0], *draws.shape[2:])
    noise = np.random.default_rng(1).standard_normal(shape)
    return measure(
        draws,
        noise if energy is None else energy,
        np.zeros(shape, bool) if diverging is None else diverging,
    )[0]


@pytest.mark.parametrize(
    ("rho", "kept"), [(-0.5, 400), (0.0, 400), (0.5, 400), (0.9, 400), (0.9, 398)]
)
def test_agreement_with_arviz(rho: float, kept: int) -> None:
    """398 draws have halves of an odd length."""
    from arviz_stats.base import array_stats

    draws = chains(rho)[..., :kept]
    mine = rank_r_hat(draws), ess_bulk(draws), ess_tail(draws), ess(split(draws))
    axes = {"chain_axis": 0, "draw_axis": 1}
    for i, j in ((0, 0), (2, 1)):
        one = draws[i, j]
        theirs = (
            array_stats.rhat(one, **axes),
            array_stats.ess(one, method="bulk", **axes),
            array_stats.ess(one, method="tail", prob=(0.05, 0.95), **axes),
            array_stats.ess(one, method="mean", **axes),
        )
        np.testing.assert_allclose([m[i, j] for m in mine], theirs, rtol=1e-12)  # 4e-15


def test_effective_sample_size_of_an_autoregression() -> None:
    """N (1 - rho) / (1 + rho) = 533 of 1600 at rho = .5;
    the estimate has a standard error of about 6 %.
    """
    assert ess(split(chains(0.5, latents=20))).mean() == pytest.approx(1600 / 3, rel=0.06)


def test_good_chains_pass_and_the_moments_have_their_error() -> None:
    draws = chains(0.0, latents=40)
    gates, latent = measure(draws, draws[:, 0], np.zeros((3, CHAINS, DRAWS), bool))
    assert gates.passed.all()
    assert gates.reasons() == []
    assert (latent["mean"] / latent["mcse"]).std() == pytest.approx(
        1.0, abs=0.2
    )  # 120 latents with mean zero


def gates(**other: float) -> Gates:
    """One posterior that passes every gate by the least that it may, but for what is given."""
    least = {
        "rank_r_hat": 1.0099,
        "ess_bulk": 400.0,
        "ess_tail": 400.0,
        "divergences": 0.0,
        "e_bfmi": 0.3001,
    }
    return Gates(
        **{name: np.array([v]) for name, v in {**least, "split_r_hat": 5.0, **other}.items()}
    )


def test_who_passes_by_the_least_passes() -> None:
    assert gates().passed.tolist() == [True]
    assert gates().reasons() == []


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (
            {"rank_r_hat": 1.01},
            "rank R-hat: 1.01 at worst, in 1 of 1 data sets, must be below 1.01",
        ),
        (
            {"ess_bulk": 399.9},
            "bulk effective sample size: 399.9 at worst, in 1 of 1 data sets, must reach 400",
        ),
        (
            {"ess_tail": 399.9},
            "tail effective sample size: 399.9 at worst, in 1 of 1 data sets, must reach 400",
        ),
        (
            {"divergences": 1.0},
            "divergent transitions: 1 at worst, in 1 of 1 data sets, there must be none",
        ),
        ({"e_bfmi": 0.3}, "E-BFMI: 0.3 at worst, in 1 of 1 data sets, must exceed 0.3"),
    ],
)
def test_gates_at_their_limits(measured: dict[str, float], reason: str) -> None:
    """R-hat below 1.01, 400 effective draws, E-BFMI above .3: Vehtari et al.
    2021, Betancourt 2016.
    """
    assert gates(**measured).passed.tolist() == [False]
    assert gates(**measured).reasons() == [reason]
    assert not gates(**dict.fromkeys(measured, np.nan)).passed.any()


def test_moments_and_the_worst_latent_of_each_data_set() -> None:
    draws = np.random.default_rng(7).standard_normal((3, 2, CHAINS, 4))
    draws[1, 0, 2:] += 100.0
    found, latent = measure(
        draws, np.ones((3, CHAINS, 4)) * np.arange(4), np.zeros((3, CHAINS, 4), bool)
    )
    numbers = draws[2, 1].ravel()
    assert latent["mean"][2, 1] == pytest.approx(numbers.sum() / 16)
    assert latent["sd"][2, 1] == pytest.approx(
        (((numbers - numbers.mean()) ** 2).sum() / 15) ** 0.5
    )
    assert found.split_r_hat.shape == (3,)
    assert found.split_r_hat[1] > 20
    assert found.split_r_hat[[0, 2]].max() < 5
    assert "split R-hat" in " ".join(found.taken([1]).reasons())
    assert "split R-hat" not in " ".join(found.taken([0, 2]).reasons())


def spoiled(kind: str) -> Gates:
    draws = chains(0.2)
    if kind == "nan":
        draws[0, 1, 2, 3] = np.nan
    elif kind == "constant":
        draws[0, 0] = 1.7
    elif kind == "separated modes":
        draws[0, 0, 0] += 8.0
    elif kind == "different scales":
        draws[0, 1, 0] *= 5.0
    elif kind == "slow":
        draws[0] = chains(0.99)[0]
    elif kind == "one chain":
        return judged(draws[:1, :, :1])
    elif kind == "divergent":
        diverging = np.zeros((3, CHAINS, DRAWS), bool)
        diverging[0, 1, 5] = True
        return judged(draws, diverging=diverging)
    elif kind == "energy":
        return judged(
            draws,
            energy=np.where(
                np.arange(3)[:, None, None] == 0, chains(0.95)[:, 0], chains(0.0)[:, 0]
            ),
        )
    elif kind == "constant energy":
        return judged(
            draws, energy=np.where(np.arange(3)[:, None, None] == 0, 1.0, chains(0.0)[:, 0])
        )
    return judged(draws)


KINDS = {
    "nan": "rank R-hat",
    "constant": "rank R-hat",
    "separated modes": "rank R-hat",
    "different scales": "rank R-hat",
    "slow": "bulk effective sample size",
    "one chain": "rank R-hat",
    "divergent": "divergent transitions",
    "energy": "E-BFMI",
    "constant energy": "E-BFMI",
}


@pytest.mark.parametrize(("kind", "gate"), KINDS.items())
def test_gates_fail_closed(kind: str, gate: str) -> None:
    gates = spoiled(kind)
    assert not gates.passed[0]
    assert gates.passed[1:].all()  # a bad data set does not spoil its neighbours
    assert any(
        reason.startswith(gate) and f"in 1 of {gates.passed.size} data sets" in reason
        for reason in gates.reasons()
    )


def test_separated_modes_have_a_large_r_hat_with_few_draws_each() -> None:
    draws = chains(0.0)
    draws[:, :, 2:] += 40.0
    assert np.all(rank_r_hat(draws) > 1.5)


def test_e_bfmi_of_independent_energies_is_two() -> None:
    energy = np.random.default_rng(0).standard_normal((50, CHAINS, DRAWS))
    assert e_bfmi(energy).mean() == pytest.approx(2.0, rel=0.02)
