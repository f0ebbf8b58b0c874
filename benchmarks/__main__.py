"""`make benchmarks`: each engine and a named peer on the same work in one process; prints ratios, writes JSON.

CPU seconds a data set, after compilation, best of three rounds. The peers do the same job: a predictive at every design
position (MTD, GP) or every single-node posterior (BN). A ratio under 1.3 is a tie.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from veribayes import registry, store
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.models.bayesian_network import BayesianNetwork

ROUNDS = 3
PEER_DATASETS = 4


def seconds(work: Callable[[], object], units: int) -> float:
    """Best CPU time a unit over the rounds; the first call (compilation) is not counted."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times) / units


def engine_seconds(task: Task, name: str, datasets: int) -> float:
    """CPU seconds a data set of one of our engines on a batch."""
    data = task.simulate(range(datasets), seed=0).data
    engine = registry.engine(name)
    return seconds(lambda: engine(task, data, seed=0), datasets)


def gp() -> dict[str, float | str]:
    """All prefixes of a GP against scikit-learn, refitted at every design position with fixed hyperparameters."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    task = _spec.load_task("gp-rbf-1d")
    data = task.simulate(range(PEER_DATASETS), seed=0).data
    x, y, query = (data.arrays[k] for k in ("x", "y", "x_query"))

    def refits() -> None:
        for i in range(PEER_DATASETS):
            for n in data.positions:
                peer = GaussianProcessRegressor(RBF(0.8, "fixed"), alpha=0.04, optimizer=None).fit(x[i, :n], y[i, :n])
                peer.predict(query[i], return_std=True)

    return compare(
        "gp-rbf-1d, every position",
        "cholesky",
        engine_seconds(task, "cholesky", 1000),
        "scikit-learn refits",
        seconds(refits, PEER_DATASETS),
    )


def bn() -> dict[str, float | str]:
    """All single-node posteriors in the asia network given random evidence, against pgmpy's variable elimination."""
    import pgmpy
    from pgmpy.inference import VariableElimination
    from pgmpy.utils import get_example_model

    task = _spec.load_task(str(Path(pgmpy.__file__).parent / "utils" / "example_models" / "asia.bif.gz"))
    model = task.model
    assert isinstance(model, BayesianNetwork)
    data = task.simulate(range(2000), seed=0).data
    peer = VariableElimination(get_example_model("asia"))
    evidence = data.arrays["evidence"][:PEER_DATASETS]

    def loop() -> None:
        for row in evidence:
            seen = {n: s[v] for n, s, v in zip(model.nodes, model.states, row, strict=True) if v >= 0}
            for node in model.nodes:
                if node not in seen:
                    peer.query([node], evidence=seen, show_progress=False)

    return compare(
        "asia, all single-node posteriors",
        "elimination",
        engine_seconds(task, "elimination", 2000),
        "pgmpy elimination",
        seconds(loop, PEER_DATASETS),
    )


def mtd() -> dict[str, float | str]:
    """Every design position of an MTD chain: quadrature against our own second route (no library computes this)."""
    task = _spec.load_task("mtd-q5-m3")
    return compare(
        "mtd-q5-m3, every position",
        "simplex_quadrature",
        engine_seconds(task, "simplex_quadrature", 250),
        "lag_counts (second route)",
        engine_seconds(task, "lag_counts", 10),
    )


def compare(work: str, ours: str, our_seconds: float, peer: str, peer_seconds: float) -> dict[str, float | str]:
    """One row."""
    return {
        "work": work,
        "engine": ours,
        "microseconds": our_seconds * 1e6,
        "peer": peer,
        "peer_microseconds": peer_seconds * 1e6,
        "ratio": peer_seconds / our_seconds,
    }


def main() -> int:
    """Run all, print, write runs/benchmarks.json."""
    warnings.simplefilter("ignore")  # peers warn about their own future
    rows = [part() for part in (gp, bn, mtd)]
    for r in rows:
        print(f"{r['work']:<34} {r['engine']:<20} {r['microseconds']:>10.1f} us", end="   ")
        print(f"{r['peer']:<28} {r['peer_microseconds']:>12.1f} us   x {r['ratio']:.0f}")
    path = Path("runs/benchmarks.json")
    store.write_text(
        path, json.dumps({"schema": "veribayes.benchmarks/1", "rows": rows, "provenance": store.provenance()}, indent=1)
    )
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
