"""How often a candidate that is asked again is called different, and by which endpoint:
size and power, on simulated answers.

Run: python -m benchmarks.again [--runs N] [--datasets N] [--write]

A prediction is exact + effect of its order or batch + noise, both normal in the mean, each scaled
to cost so many tolerances of the primary endpoint; what the endpoints then measure are the
estimators of `validation.repeats` and the decision of a run, Holm over the three. `today` is the
rule before: the divergence of two answers in two orders, noise and all. An effect belongs to a data
set, a position and an order, so that 200 data sets of two positions and three queries are not
1,200. Each row is kept in runs/again and read back while the sources are the same:
an interrupted study continues.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _documents
from veribayes.predictive import Array, Categorical, Draws, Normal, Predictive
from veribayes.validation import decision, repeats
from veribayes.validation.checks._null import generator, holm

LEVEL = 0.05
COUNTED = ("repeatability", "batch_dependence", "order_dependence", "any", "today")
POSITIONS, QUERIES = 2, 3
TOLERANCE = 0.01
DRAWS = 100
CASES = (  # noise, order, batch in tolerances
    (0.0, 0.0, 0.0),
    (0.6, 0.0, 0.0),
    (0.9, 0.0, 0.0),
    (1.0, 0.0, 0.0),
    (1.5, 0.0, 0.0),
    (10.0, 0.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.6, 1.0, 0.0),
    (0.6, 1.5, 0.0),
    (0.6, 2.0, 0.0),
    (2.0, 1.0, 0.0),
    (10.0, 2.0, 0.0),
    (0.0, 0.0, 1.0),
    (0.6, 0.0, 1.0),
    (0.6, 0.0, 1.5),
    (0.6, 0.0, 2.0),
)
Law = Callable[[Array, np.random.Generator], Predictive]


def main() -> int:
    """Measure, print, write runs/again.json; with --write also the table in docs/candidates.md."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.again", description=__doc__.partition("\n\n")[0]
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--datasets", type=int, default=200)
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/candidates.md"
    )
    asked = parser.parse_args()
    rows = []
    for form in FORMS:
        for case in CASES if form == "normal" else CASES[:1] + CASES[9:10]:
            row = kept(form, case, asked.datasets, asked.runs)
            print(row, flush=True)
            rows.append(row)
    text = _documents.table([shown(row) for row in rows])
    print(text)
    print(f"written: {_documents.keep('again', 'veribayes.again/1', rows)}")
    if asked.write:
        print(f"written: {_documents.put('candidates.md', 'again', text)}")
    return 0


def kept(form: str, case: tuple[float, float, float], datasets: int, runs: int) -> dict[str, Any]:
    """The row of a form and a case, measured once."""
    noise, order, batch = case
    lead = {"form": form, "noise": noise, "order": order, "batch": batch}
    path = Path("runs/again") / f"{form.replace(' ', '-')}-{noise:g}-{order:g}-{batch:g}.json"
    key = {**lead, "datasets": datasets, "runs": runs}
    return _documents.resumed(
        path, key, lambda: [{**lead, **frequencies(form, case, datasets, runs)}]
    )[0]


def frequencies(
    form: str, case: tuple[float, float, float], datasets: int, runs: int
) -> dict[str, float]:
    """Share of runs that are different by each endpoint, by any of them,
    and by the rule that this one replaces.
    """
    counts = dict.fromkeys(COUNTED, 0)
    for run in range(runs):
        p, today = one_run(form, case, datasets, run)
        rejected = {name for name, adjusted in holm(p).items() if adjusted <= LEVEL}
        for name in (
            rejected | ({"any"} if rejected else set()) | ({"today"} if today <= LEVEL else set())
        ):
            counts[name] += 1
    return {name: count / runs for name, count in counts.items()}


def one_run(
    form: str, case: tuple[float, float, float], datasets: int, run: int
) -> tuple[Mapping[str, float], float]:
    """p-values of the three endpoints, and of the rule before."""
    rng, (noise, order, batch) = generator(run, "again"), case
    law, categories = FORMS[form]
    shape = (datasets, POSITIONS, QUERIES)
    own_order, own_batch = effect(rng, shape, order), effect(rng, shape, batch)

    def answer(in_order: Array, in_batch: Array) -> Predictive:
        return law(
            in_order + in_batch + np.sqrt(2 * noise * TOLERANCE) * rng.standard_normal(shape), rng
        )

    def apart(one: Predictive, other: Predictive) -> Array:
        return repeats.divergence(one, other, np.ones(shape, dtype=bool), categories)

    first, again = (answer(own_order, own_batch) for _ in range(2))
    ways = {
        "order_dependence": (effect(rng, shape, order), own_batch),
        "batch_dependence": (own_order, effect(rng, shape, batch)),
    }
    floor = [apart(first, again)]
    values = {"repeatability": repeats.repeat(floor[0])}
    twice = values["repeatability"].mean() > 2 * TOLERANCE
    for name, effects in ways.items():
        others = [answer(*effects) for _ in range(2 if twice else 1)]
        across = [apart(side, other) for side in (first, again) for other in others]
        values[name] = repeats.beyond_repeat(across, [*floor, apart(*others)] if twice else floor)
        if name == "order_dependence":
            before = decision.cluster_means(apart(first, others[0]))
    p = {name: p_value(decision.cluster_means(v)) for name, v in values.items()}
    return p, p_value(before)


def p_value(values: Array) -> float:
    """All runs share their resamples, as runs of one seed do: these are drawn once."""
    return decision.exceeds(values, tolerance=TOLERANCE, seed=0)


def effect(rng: np.random.Generator, shape: tuple[int, ...], tolerances: float) -> Array:
    """Of an order or a batch on the means of one data set and position,
    the same for its queries.
    """
    return (
        np.sqrt(2 * tolerances * TOLERANCE)
        * rng.standard_normal(shape[:2])[..., None]
        * np.ones(shape)
    )


def normal(shift: Array, rng: np.random.Generator) -> Predictive:
    del rng
    return Normal(shift, np.ones(shift.shape))


def categorical(shift: Array, rng: np.random.Generator) -> Predictive:
    """Two categories at one half; a logit that is off by 2 d costs d^2 / 2 nats,
    as a mean that is off by d.
    """
    del rng
    odds = np.exp(2 * shift)
    return Categorical(np.stack([1 / (1 + odds), odds / (1 + odds)], -1))


def category_draws(shift: Array, rng: np.random.Generator) -> Predictive:
    return Draws(categorical(shift, rng).sample(rng, DRAWS))


def real_draws(shift: Array, rng: np.random.Generator) -> Predictive:
    """The CRPS divergence of two unit normals d apart is d^2 / (2 sqrt pi):
    so much larger shifts cost the tolerance.
    """
    return Draws(shift[..., None] * np.pi**0.25 + rng.standard_normal((*shift.shape, DRAWS)))


FORMS: dict[str, tuple[Law, int | None]] = {
    "normal": (normal, None),
    "categorical": (categorical, 2),
    "draws of categories": (category_draws, 2),
    "draws of reals": (real_draws, None),
}


def shown(row: Mapping[str, object]) -> dict[str, str]:
    """A row as it stands in the document, in per cent."""
    percent = {name: f"{100 * float(str(row[name])):.1f}" for name in COUNTED[:-1]}
    return {
        "form": str(row["form"]),
        "noise / order / batch, tolerances": " / ".join(
            f"{row[name]:g}" for name in ("noise", "order", "batch")
        ),
        **{name.replace("_", " "): value for name, value in percent.items()},
        "order alone, before": f"{100 * float(str(row['today'])):.1f}",
    }


if __name__ == "__main__":
    raise SystemExit(main())
