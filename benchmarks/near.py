"""Which verdict a defect gets whose size lies near the tolerance:
.5, .9, 1.1, 1.5 and 2 times as large.

Run: python -m benchmarks.near [--runs N] [--pool N] [--write]

One defect for each endpoint and family is scored on a pool of data sets. Runs are drawn from the
pool with replacement, and the tolerance is put where the mean of the pool is so many times as
large: the law of the divergences stays the defect's own. Primary endpoints are judged in runs of
400 and 1,000 data sets, endpoints that can only veto in runs of 200, as many as a run asks them
about. Below 1 every `different` is false, above 1 every `equivalent`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import _documents, acceptance
from veribayes import registry
from veribayes.models import _spec
from veribayes.validation import calibration, decision, questions

RATIOS = (0.5, 0.9, 1.1, 1.5, 2.0)
SIZES = (400, 1000)


@dataclass(frozen=True)
class Case:
    """A defect, and the endpoint that must see it.

    Attributes:
        draws: how many draws of the defect's predictive are given instead of it; none for 0.
    """

    task: str
    defect: str
    draws: int = 0


CASES = (
    Case("bn-general5", "temperature"),
    Case("bn-general5", "wrong_prior", draws=100),
    Case("bn-general5", "latent_leakage"),
    Case("mtd-q5-m3", "temperature"),
    Case("mtd-q5-m3", "wrong_prior", draws=100),
    Case("mtd-q5-m3", "latent_leakage"),
    Case("gp-rbf-1d", "temperature"),
    Case("gp-rbf-1d", "wrong_tails"),
    Case("gp-rbf-1d", "wrong_prior", draws=100),
    Case("gp-rbf-1d", "dropped_correlation"),
)


@dataclass(frozen=True)
class Row:
    """How often each verdict is given, by the ratio of the mean to the tolerance."""

    task: str
    candidate: str
    endpoint: str
    clusters: int
    runs: int
    equivalent: tuple[float, ...]
    different: tuple[float, ...]


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write runs/near.json; with --write also the table in docs/defects.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1_000, help="runs drawn from each pool")
    parser.add_argument("--pool", type=int, default=2_000, help="data sets in each pool")
    parser.add_argument("--write", action="store_true", help="put the table into docs/defects.md")
    given = parser.parse_args(arguments)
    rows = [row for case in CASES for row in measured(case, given.runs, given.pool)]
    text = _documents.table([shown(row) for row in rows])
    print(text)
    print(f"written: {_documents.keep('near', 'veribayes.near/1', [asdict(row) for row in rows])}")
    if given.write:
        print(f"written: {_documents.put('defects.md', 'near', text)}")
    return 0


def measured(case: Case, runs: int, pool: int) -> Iterator[Row]:
    """The rows of one defect."""
    task = _spec.load_task(case.task)
    defect = acceptance.spoiling(case.defect, task)
    engine = (
        defect
        if not case.draws
        else registry.load("engine", "finite_draws")(of=case.defect, draws=case.draws)
    )
    secondary = {} if case.draws else acceptance.SECONDARY
    name = f"finite_draws({case.draws}) of {case.defect}" if case.draws else case.defect
    if defect.seen_by in secondary:
        values, _, _ = secondary[defect.seen_by](task, engine, pool)
        yield _row(
            case,
            name,
            defect.seen_by,
            values,
            questions.ASKED,
            runs,
            prior=0.0,
            fewest=decision.FEWEST_SECONDARY,
        )
        return
    values, endpoint, _ = acceptance.divergences(task, engine, pool)
    for size in SIZES:
        yield _row(case, name, endpoint.metric, values, size, runs)


def _row(
    case: Case, name: str, endpoint: str, values: Any, size: int, runs: int, **rule: Any
) -> Row:
    """Verdicts at all ratios in runs of one size."""
    prior = {"prior": rule["prior"]} if "prior" in rule else {}
    fewest = rule.get("fewest", decision.FEWEST_EQUIVALENT)
    law = calibration.pool(values)
    trials = calibration.experiments(
        law, size, nulls=runs, seed=acceptance.SEED, ratios=RATIOS, **prior
    )
    rates = [trials.rates(ratio, fewest=fewest) for ratio in RATIOS]
    equivalent, different = tuple(r.equivalent for r in rates), tuple(r.different for r in rates)
    return Row(case.task, name, endpoint, size, runs, equivalent, different)


def shown(row: Row) -> dict[str, str]:
    """A row as it stands in the document: per cent equivalent and different at each ratio."""
    plain = {
        "task": row.task,
        "candidate": row.candidate,
        "endpoint": row.endpoint,
        "data sets": f"{row.clusters:,}",
    }
    cells = {
        f"{ratio:g} tolerances": f"{100 * same:.1f} / {100 * other:.1f}"
        for ratio, same, other in zip(RATIOS, row.equivalent, row.different, strict=True)
    }
    return {**plain, **cells}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
