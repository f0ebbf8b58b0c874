"""Mixture-of-transition chains: Bayes at every prefix, smooth and sharp transition matrices,
time and accuracy.

No library computes these posteriors. The peer is NUTS, compiled once and run in lockstep, which
answers for one prefix only: its time for 128 symbols and three lags is multiplied by the number of
prefixes, which is less than it would take.
Sharp matrices are near a permutation, so that every symbol almost tells its lag.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks._timing import Row, cpu_seconds, row
from veribayes import registry
from veribayes.models._task import Design, Task
from veribayes.models.mtd import MTD
from veribayes.tree import Branch, Data

UNIT = "a sequence"

GRIDS = (
    (2, 1024, 1e-12, 100, 1.0),
    (3, 1024, 1e-6, 8, 10.0),
    (4, 256, 1e-6, 4, 10.0),
)  # lags, T, error, sequences, goal
LARGE = (
    (5, 2048),
    (8, 4096),
)  # lags and points of quasi-Monte Carlo at T = 1024; goal 40 ms a sequence, 1e-3 in the weights
SYMBOLS, NUTS_LENGTH, NUTS_SEQUENCES = 10, 128, 4


def matrix(kind: str) -> Any:
    """`smooth`: None, drawn from Dirichlet(1); `sharp`: near a permutation."""
    if kind == "smooth":
        return None
    rows = np.full((SYMBOLS, SYMBOLS), 1e-3)
    rows[np.arange(SYMBOLS), (3 * np.arange(SYMBOLS) + 1) % SYMBOLS] = 1 - 1e-3 * (SYMBOLS - 1)
    return rows.tolist()


def work(kind: str, lags: int, length: int, sequences: int) -> tuple[Task, Data]:
    """A task and its sequences at every prefix."""
    task = Task(
        "chains",
        MTD(SYMBOLS, lags, matrix=matrix(kind)),
        Design((length,)),
        "simplex_quadrature",
        "lag_counts",
    )
    return task, replace(
        task.simulate(range(sequences), seed=0).data, positions=np.arange(length + 1)
    )


def answer(task: Task, data: Data, engine: str, **options: Any) -> Branch:
    """One engine."""
    found: Branch = registry.load("engine", engine)(**options)(task, data, seed=0)
    return found


def nuts_seconds() -> float:
    """CPU seconds a sequence for one prefix of NUTS, three lags."""
    task, data = work("smooth", 3, NUTS_LENGTH, NUTS_SEQUENCES)
    last = data.select(positions=slice(-1, None))
    return cpu_seconds(lambda: answer(task, last, "nuts"), NUTS_SEQUENCES, rounds=1)


def rows() -> Iterator[Row]:
    """Every row; the goals are in seconds for 1,000 sequences."""
    nuts = nuts_seconds()
    for kind in ("smooth", "sharp"):
        for lags, length, error, sequences, goal in GRIDS:
            yield _by_grid(kind, lags, length, error, sequences, nuts) | {"goal_seconds": goal}
        for lags, points in LARGE:
            yield _by_points(kind, lags, points, nuts) | {"goal_seconds": 40.0}


def _by_grid(
    kind: str, lags: int, length: int, error: float, sequences: int, nuts: float
) -> dict[str, Any]:
    """Predictives alone; `error` is measured against a finer grid."""
    task, data = work(kind, lags, length, sequences)
    options = {"error": error, "latents": False}
    ours = cpu_seconds(lambda: answer(task, data, "simplex_quadrature", **options), sequences)
    few = data.select(datasets=slice(2))
    found = answer(task, few, "simplex_quadrature", **options)
    finer = answer(
        task,
        few,
        "simplex_quadrature",
        nodes=int(1.4 * found.certificate.diagnostics["nodes"]),
        latents=False,
    )
    away = float(np.abs(found.predictive.expectation() - finer.predictive.expectation()).max())
    return _against_nuts(
        kind,
        lags,
        length,
        "simplex_quadrature",
        ours,
        nuts,
        error=away,
        bound=found.certificate.error_bound,
    )


def _by_points(kind: str, lags: int, points: int, nuts: float) -> dict[str, Any]:
    """`error` is the standard error of a weight."""
    task, data = work(kind, lags, 1024, 8)
    ours = cpu_seconds(
        lambda: answer(task, data, "lag_quasi_monte_carlo", points=points), 8, rounds=2
    )
    found = answer(task, data, "lag_quasi_monte_carlo", points=points)
    error = float(np.sqrt((found.posterior["weights"]["mcse"] ** 2).mean()))
    ess = found.certificate.diagnostics["ess"]
    return _against_nuts(
        kind, lags, 1024, "lag_quasi_monte_carlo", ours, nuts, error=error, ess=ess
    )


def _against_nuts(
    kind: str, lags: int, length: int, engine: str, ours: float, nuts: float, **more: float
) -> dict[str, Any]:
    label, theirs = f"mtd m={lags} T={length} {kind}, every prefix", nuts * (length + 1)
    return dict(
        row(
            label,
            engine,
            ours,
            "NUTS, for each prefix",
            theirs,
            seconds_per_1000=1000 * ours,
            goal=1.0,
            **more,
        )
    )
