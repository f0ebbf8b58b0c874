"""The decision before laws that are made to pass it, by the rule of today and by the one before it.

Run: python -m benchmarks.hostile [--datasets N] [--runs N] [--write]

Each law has mean 1. At a tolerance of 1 every `equivalent` and `different` is false; at 2
`equivalent` is power. The rule of before: 200 data sets, H + 2 max K / n, nothing lifted, no
allowance for a tail below. Both see the same samples.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from unittest import mock

import numpy as np

from benchmarks import _documents, coverage
from veribayes.models import _spec
from veribayes.predictive import Array
from veribayes.validation import bootstrap, calibration
from veribayes.validation.decision import FEWEST_EQUIVALENT, PRIOR, Bounds, allowed, verdicts

SIZES = (200, 400, 1000)
BEFORE = 200  # data sets that `equivalent` needed
PRIOR_OF, NETWORK = "bn-general5", "bn-random7"  # whose pools are used


@dataclass(frozen=True)
class Row:
    """Shares of runs: covered; falsely equivalent, falsely different;
    equivalent at half the tolerance.
    """

    law: str
    clusters: int
    rule: str
    covered: float
    false_equivalent: float
    false_different: float
    power_at_half: float


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write runs/hostile.json; with --write also the table in docs/verdict.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=2_000, help="data sets in each pool")
    parser.add_argument("--runs", type=int, default=1_000, help="runs of each law")
    parser.add_argument("--write", action="store_true", help="put the table into docs/verdict.md")
    given = parser.parse_args(arguments)
    prior, network = (_pool(name, who, given.datasets) for name, who in _POOLS)
    rows = [
        row
        for n in SIZES
        for law in laws(n, prior, network)
        for row in measured(law, n, given.runs)
    ]
    pairs = zip(rows[::2], rows[1::2], strict=True)
    text = _documents.table([shown(before, now) for before, now in pairs])
    print(text)
    print(
        "written: "
        f"{_documents.keep('hostile', 'veribayes.hostile/1', [asdict(row) for row in rows])}"
    )
    if given.write:
        print(f"written: {_documents.put('verdict.md', 'hostile', text)}")
    return 0


_POOLS = ((PRIOR_OF, "prior_only"), (NETWORK, f"network {NETWORK}"))


def _pool(name: str, who: str, datasets: int) -> Array:
    """Divergences of one predictor of a task, their mean 1."""
    task = _spec.load_task(name)
    one = {who: coverage.predictors(task)[who]}
    (values,) = coverage.divergences(task, one, datasets).values()
    return np.asarray(values / values.mean())


def laws(n: int, prior: Array, network: Array) -> Iterator[calibration.Law]:
    """What is tried on n data sets."""

    def one_in_a_hundred(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.where(rng.random(shape) < 0.01, PRIOR * rng.choice(prior, shape), 0.0)

    yield calibration.Law("the prior in 1 % of contexts, else exact", 1.0, one_in_a_hundred)
    for elsewhere in (0.0, 1e-6):
        rare = calibration.rare(3 / n, elsewhere)
        yield calibration.Law(f"{elsewhere:g} but in 3/n of contexts", rare.mean, rare.draw)
    yield from (calibration.lognormal(sd) for sd in (1.0, 1.5, 2.0))
    yield from (calibration.left_tailed(sd) for sd in (1.0, 1.5))
    yield calibration.pool(network, f"network {NETWORK}")


def measured(law: calibration.Law, n: int, runs: int) -> Iterator[Row]:
    """The rule of before, and the rule of today."""
    blocks = [_block(law, n, runs, number) for number in range(-(-runs // calibration.COLUMNS))]
    for rule in ("before", "now"):
        parts = [block[rule] for block in blocks]
        yield Row(
            law.name,
            n,
            rule,
            *(float(np.concatenate(share).mean()) for share in zip(*parts, strict=True)),
        )


def _block(law: calibration.Law, n: int, runs: int, number: int) -> dict[str, tuple[Array, ...]]:
    """By rule: which runs of a block are covered, falsely equivalent, falsely different,
    rightly equivalent.
    """
    first = number * calibration.COLUMNS
    values = law.draw(
        np.random.default_rng([0, n, number]), (n, min(calibration.COLUMNS, runs - first))
    )
    before, limits = _before(values), bootstrap.limits(values)
    now, half = (allowed(values, *limits, PRIOR * tolerance, 0) for tolerance in (1.0, 2.0))
    return {
        "before": _counted(before, before, n, BEFORE),
        "now": _counted(now, half, n, FEWEST_EQUIVALENT),
    }


def _counted(at: Bounds, half: Bounds, n: int, fewest: int) -> tuple[Array, ...]:
    """Of bounds at the tolerance 1, which is the mean, and at twice that."""
    false = verdicts(at, n, 1.0, fewest=fewest)
    covered = (at.lower <= 1) & (at.high >= 1)
    return (
        covered,
        false == "equivalent",
        false == "different",
        verdicts(half, n, 2.0, fewest=fewest) == "equivalent",
    )


def _before(values: Array) -> Bounds:
    with mock.patch.object(bootstrap, "FLOOR", 0.0):
        low, high = bootstrap.limits(values)
    return Bounds(low, high, low, high + 2 * np.maximum(values.max(0), 0.0) / len(values))


def shown(before: Row, now: Row) -> dict[str, str]:
    """A row as it stands in the document."""
    names = {
        "coverage, %": "covered",
        "false equivalent": "false_equivalent",
        "false different": "false_different",
        "equivalent at half the tolerance": "power_at_half",
    }
    shares = {
        head: f"{100 * getattr(before, key):.1f} → {100 * getattr(now, key):.1f}"
        for head, key in names.items()
    }
    return {"divergences": before.law, "data sets": f"{before.clusters:,}", **shares}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
