"""Verdicts on draws that scatter in different ways:
with noise that is assumed, as before, and with noise that is measured.

Run: python -m benchmarks.draws [--runs N] [--write]

Simulated candidates of 400 data sets with one query. Each draws from the exact law, or from one
that is two or seven tolerances away, by independent, systematic, antithetic, doubled,
autoregressive (.5) or shared draws (one set of uniform numbers for all data sets of a request),
with a new start at every request; `fixed` answers both requests alike. *Assumed*: one answer,
scored as if its draws were independent. *Measured*: two answers, their product, and the tests of
independence at 1 %. With --write the table in docs/candidates.md is replaced.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.special import ndtr

from benchmarks import _documents
from veribayes import registry
from veribayes.predictive import Array, Categorical, Draws, Normal, NormalMixture, Predictive
from veribayes.validation import decision, independence

DATASETS = 400  # as many as `equivalent` needs
SHARD = 100
TOLERANCES = {
    "categories": 0.02,
    "reals": 0.01,
}  # four standard errors of ten independent draws, at the least
BLOCK = 100  # runs held at once
CORRELATION = 0.5


@dataclass(frozen=True)
class Row:
    """Shares of verdicts.

    Attributes:
        reference, law, kind, draws: of the simulation.
        assumed: shares of `equivalent` and `different` of one answer that is taken to be
            independent.
        measured: the same of two answers, after the tests.
        rejected: share of runs in which a test rejects independence.
        alone: the same for one answer.
    """

    reference: str
    law: str
    kind: str
    draws: int
    runs: int
    assumed: tuple[float, float]
    measured: tuple[float, float]
    rejected: float
    alone: float


def independent(rng: np.random.Generator, shape: tuple[int, ...], draws: int) -> Array:
    """Uniform numbers, (*shape, draw)."""
    return rng.random((*shape, draws))


def systematic(rng: np.random.Generator, shape: tuple[int, ...], draws: int) -> Array:
    """One random start, the rest at equal distances, shuffled."""
    return rng.permuted((np.arange(draws) + rng.random((*shape, 1))) / draws, axis=-1)


def antithetic(rng: np.random.Generator, shape: tuple[int, ...], draws: int) -> Array:
    """Each number with its complement."""
    half = rng.random((*shape, draws // 2))
    return np.concatenate([half, 1 - half], -1)


def doubled(rng: np.random.Generator, shape: tuple[int, ...], draws: int) -> Array:
    """Each number twice."""
    half = rng.random((*shape, draws // 2))
    return np.concatenate([half, half], -1)


def chain(rng: np.random.Generator, shape: tuple[int, ...], draws: int) -> Array:
    """A stationary autoregression."""
    noise = rng.standard_normal((*shape, draws))
    noise[..., 1:] *= np.sqrt(1 - CORRELATION**2)
    return np.asarray(ndtr(lfilter([1.0], [1.0, -CORRELATION], noise, axis=-1)))


def shared(rng: np.random.Generator, shape: tuple[int, ...], draws: int) -> Array:
    """One set of numbers for all data sets of a request; axes (run, data set)."""
    requests = rng.random((shape[0], DATASETS // SHARD, draws))
    return np.repeat(requests, SHARD, axis=1)


KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...], int], Array]] = {
    "independent": independent,
    "systematic": systematic,
    "antithetic": antithetic,
    "doubled": doubled,
    "chain": chain,
    "shared": shared,
    "fixed": independent,
}
LAWS = {"exact": 0.0, "2 tolerances": 2.0, "7 tolerances": 7.0}
ASKED = {
    "independent": tuple(LAWS),
    "doubled": ("exact",),
    "chain": ("exact",),
    "fixed": ("exact",),
}
REFERENCES = ("2 categories", "5 categories", "10 categories", "normal", "mixture")


def main(arguments: Sequence[str]) -> int:
    """Measure and print; with --write put the table into docs/candidates.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=1000, help="runs of each kind, a multiple of 100"
    )
    parser.add_argument("--draws", type=int, nargs="+", default=[10], help="draws of one answer")
    parser.add_argument(
        "--references",
        nargs="+",
        default=["2 categories", "10 categories", "normal"],
        choices=REFERENCES,
    )
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/candidates.md"
    )
    given = parser.parse_args(arguments)
    rows = []
    for row in measured(given.references, given.draws, given.runs):
        rows.append(row)
        print(shown(row), flush=True)
    print(
        f"written: {_documents.keep('draws', 'veribayes.draws/1', [asdict(row) for row in rows])}"
    )
    if given.write:
        table = _documents.table([shown(row) for row in rows])
        print(f"written: {_documents.put('candidates.md', 'draws', table)}")
    return 0


def measured(references: Sequence[str], draws: Sequence[int], runs: int) -> Iterator[Row]:
    """All rows; those whose noise is too large or fixed are asked of the exact law alone,
    where they could be wronged.
    """
    for reference in references:
        for kind in KINDS:
            for law in ASKED.get(kind, ("exact", "7 tolerances")):
                for count in draws:
                    yield row_of(reference, law, kind, count, runs)


def row_of(reference: str, law: str, kind: str, draws: int, runs: int) -> Row:
    """Shares over seeded runs, in blocks."""
    place = [REFERENCES.index(reference), list(LAWS).index(law), list(KINDS).index(kind), draws]
    parts = [
        block(reference, law, kind, draws, np.random.default_rng([*place, i]))
        for i in range(runs // BLOCK)
    ]
    shares = np.concatenate(parts).mean(0)
    assumed, found = (float(shares[0]), float(shares[1])), (float(shares[2]), float(shares[3]))
    return Row(
        reference, law, kind, draws, runs, assumed, found, float(shares[4]), float(shares[5])
    )


def block(reference: str, law: str, kind: str, draws: int, rng: np.random.Generator) -> Array:
    """(run, what is counted): equivalent and different, assumed and measured;
    rejected by two answers, and by one.
    """
    shape = (BLOCK, DATASETS)
    exact, candidate, tolerance = laws(reference, LAWS[law], shape, rng)
    first = candidate.quantile(KINDS[kind](rng, shape, draws))
    second = first if kind == "fixed" else candidate.quantile(KINDS[kind](rng, shape, draws))
    one, two = Draws(first), Draws(first, second)
    names = ("kl_draws", "half_chi_square") if exact.form == "categorical" else ("crps", "crps")
    old, new = (
        verdicts(name, said, exact, tolerance) for name, said in zip(names, (one, two), strict=True)
    )
    tests, alone = rejections(two, exact), rejections(one, exact).any(-1)
    rejected = tests.any(-1)
    equivalent = (new == "equivalent") & ~rejected
    different = (new == "different") & ~tests[:, independence.TWO.index("draw_shift")]
    return np.stack(
        [old == "equivalent", old == "different", equivalent, different, rejected, alone], -1
    )


def laws(
    reference: str, distance: float, shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[Predictive, Predictive, float]:
    """Exact law and candidate, so many tolerances away on average."""
    if "categories" in reference:
        p = 0.8 * rng.dirichlet(np.ones(int(reference.split()[0])), shape) + 0.2 / int(
            reference.split()[0]
        )
        target = np.roll(p, 1, -1)
        scale = 0.5 * ((target - p) ** 2 / p).sum(-1).mean()
        share = np.sqrt(distance * TOLERANCES["categories"] / scale)
        return Categorical(p), Categorical(p + share * (target - p)), TOLERANCES["categories"]
    tolerance = TOLERANCES["reals"]
    mean, sd = rng.normal(size=shape), np.ones(shape)
    if reference == "normal":
        shift = np.sqrt(
            2 * np.sqrt(np.pi) * distance * tolerance
        )  # CRPS divergence: shift^2 / (2 sqrt(pi)), to second order
        return Normal(mean, sd), Normal(mean + shift, sd), tolerance
    shift = 2.6 * np.sqrt(distance * tolerance)
    parts = [np.stack([mean - 1.5, mean + 1.5], -1), np.stack([0.5 * sd, sd], -1)]
    weights = np.broadcast_to([0.4, 0.6], parts[0].shape)
    return (
        NormalMixture(weights, *parts),
        NormalMixture(weights, parts[0] + shift, parts[1]),
        tolerance,
    )


def verdicts(name: str, said: Draws, exact: Predictive, tolerance: float) -> npt.NDArray[Any]:
    """The verdict of each run."""
    scores = registry.load("metric", name).score(
        said[:, :, None], exact[:, :, None], np.zeros((*exact.shape, 1))
    )
    found = decision.bounds(scores[..., 0].T, 100 * tolerance)
    return np.asarray(decision.verdicts(found, DATASETS, tolerance))


def rejections(said: Draws, exact: Predictive) -> npt.NDArray[np.bool_]:
    """Which tests reject independence in each run, (run, statistic)."""
    found = independence.scores(said[:, :, None], exact[:, :, None], np.zeros((*exact.shape, 1)))
    runs = (
        {name: values[i, :, None] for name, values in found.items()} for i in range(exact.shape[0])
    )
    known = [independence.judge(run, SHARD) for run in runs]
    names = independence.TWO if said.again is not None else independence.ONE
    return np.array([[k is not None and name in k.rejected for name in names] for k in known])


def shown(row: Row) -> dict[str, str]:
    """A row as it stands in the document."""
    pairs = {
        "assumed: equivalent / different, %": row.assumed,
        "measured: equivalent / different, %": row.measured,
        "rejected: two answers / one, %": (row.rejected, row.alone),
    }
    lead = {
        "reference": row.reference,
        "law": row.law,
        "draws are": row.kind,
        "draws": str(row.draws),
    }
    return {**lead, **{name: f"{100 * a:.1f} / {100 * b:.1f}" for name, (a, b) in pairs.items()}}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
