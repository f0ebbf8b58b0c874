"""Does the procedure say `equivalent` to what is exact,
and `different` to every planted defect? Measured over seeded runs.

Run: python -m benchmarks.acceptance [TASK...] [--runs N] [--pool N] [--write]     (make acceptance)

Exact: the second independent route, and 10, 100 and 1,000 draws of the exact predictive, which may
say too little but are never different. Defects: every engine that says who must see it (`seen_by`),
at its default strength. All in runs of 1,000 data sets drawn from a pool, and of as many as
`verify` asks where a secondary endpoint must see it.
A task's rows are kept in runs/acceptance and read back while the sources are the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from benchmarks import _documents
from veribayes import registry
from veribayes.candidates import of_engine
from veribayes.errors import InputError
from veribayes.inference._engine import serves
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.run import results
from veribayes.tree import Branch, Simulation
from veribayes.validation import calibration, decision, draws, questions
from veribayes.validation.latents import TOLERANCE, leaked_mass, probability_kl

SEED = 3_000  # of the pools: no run that is shown anywhere uses it
FINITE = (10, 100, 1000)  # draws of the exact predictive, as users bring them


@dataclass(frozen=True)
class Study:
    """How much is simulated.

    Attributes:
        runs: of each kind.
        exact: data sets in a run of an exact candidate.
        defect: data sets in a run of a planted defect that the primary endpoint must see.
        secondary: the same for endpoints beside the primary one: as many as `verify` asks.
        pool: data sets from which the runs are drawn, with replacement.
    """

    runs: int = 200
    exact: int = 1000
    defect: int = 1000
    secondary: int = questions.ASKED
    pool: int = 5_000


@dataclass(frozen=True)
class Row:
    """How often a candidate got the verdict that it must get.

    Attributes:
        endpoint: the primary metric, or the endpoint beside it that must see the defect.
        wanted: the verdict.
        effect: mean over the pool in units of the tolerance; infinite for an infinite divergence.
        hits, runs: runs with the wanted verdict, and all of them.
        equivalent: share of runs that are equivalent, of exact candidates:
            few draws say too little in so few data sets.
    """

    task: str
    candidate: str
    endpoint: str
    wanted: str
    effect: float
    hits: float
    runs: int
    clusters: int
    equivalent: float | None = None

    @property
    def share(self) -> float:
        """Share of runs with the wanted verdict."""
        return self.hits / self.runs

    @property
    def limits(self) -> tuple[float, float]:
        """Exact 95 % limits of the share (Clopper & Pearson 1934)."""
        low = beta.ppf(0.025, self.hits, self.runs - self.hits + 1) if self.hits else 0.0
        high = (
            beta.ppf(0.975, self.hits + 1, self.runs - self.hits) if self.hits < self.runs else 1.0
        )
        return float(low), float(high)


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write runs/acceptance.json;
    with --write also the table in docs/defects.md. 1 if a row misses 95 %.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", help="shipped tasks; all when left out")
    parser.add_argument("--write", action="store_true", help="put the table into docs/defects.md")
    parser.add_argument("--runs", type=int, default=Study.runs, help="runs of each kind")
    parser.add_argument(
        "--pool", type=int, default=Study.pool, help="data sets from which the runs are drawn"
    )
    given = parser.parse_args(arguments)
    study = Study(runs=given.runs, pool=given.pool)
    rows: list[Row] = []
    for name in given.tasks or registry.names("task"):
        found = kept(_spec.load_task(name), study, Path("runs/acceptance"))
        print(_documents.table([shown(row) for row in found]), flush=True)
        rows += found
    print(
        "written: "
        f"{_documents.keep('acceptance', 'veribayes.acceptance/1', [asdict(row) for row in rows])}"
    )
    if given.write:
        table = _documents.table([shown(row) for row in rows])
        print(f"written: {_documents.put('defects.md', 'acceptance', table)}")
    return int(any(row.share < 0.95 for row in rows))


def kept(task: Task, study: Study, folder: Path) -> list[Row]:
    """The rows of a task, measured once."""
    study = replace(study, pool=affordable(task, study.pool))
    key, path = {"task": task.hash, "study": asdict(study)}, folder / f"{task.name}.json"
    rows = _documents.resumed(path, key, lambda: [asdict(row) for row in measured(task, study)])
    return [Row(**row) for row in rows]


def affordable(task: Task, pool: int) -> int:
    """A tenth of the pool where the truth is dear: where the exact predictive is a mixture, each
    divergence is an integral by quadrature; where a sampler makes it, each data set is sampled.
    """
    engine = registry.engine(task.reference)
    exact = engine(task, task.simulate(range(1), seed=SEED).data, seed=SEED)
    dear = exact.predictive.form == "mixture" or exact.replicates is not None
    return pool // 10 if dear else pool


def measured(task: Task, study: Study) -> Iterator[Row]:
    """All rows of a task."""
    yield from exact_rows(task, study)
    yield from (defect_row(task, name, study) for name in defects(task))


def defects(task: Task) -> list[str]:
    """Planted defects that mean something for the task."""
    data = task.simulate(range(2), seed=SEED).data
    return [name for name in registry.usable("engine") if _can_spoil(name, task, data)]


def _can_spoil(name: str, task: Task, data: Any) -> bool:
    part = registry.load("engine", name)
    if not hasattr(part, "seen_by") or not serves(part, task.model):
        return False
    try:
        part()(task, data, seed=SEED)
    except InputError:
        return False
    return True


def exact_rows(task: Task, study: Study) -> Iterator[Row]:
    """The second route, and finite draws of the exact predictive,
    in runs drawn from one pool each.
    """
    finite = registry.load("engine", "finite_draws")
    engines = {f"finite_draws({count})": finite(of=task.reference, draws=count) for count in FINITE}
    for name, engine in {task.second_route: registry.engine(task.second_route), **engines}.items():
        values, endpoint, error = divergences(task, engine, study.pool)
        runs = np.random.default_rng(SEED).choice(values, (study.runs, study.exact))
        said = [
            decision.decide(
                run, tolerance=endpoint.tolerance, reference_error=error, seed=i
            ).verdict
            for i, run in enumerate(runs)
        ]
        effect, equal = float(values.mean()) / endpoint.tolerance, said.count("equivalent")
        wanted = "not different" if name in engines else "equivalent"
        hits = study.runs - said.count("different") if name in engines else equal
        yield Row(
            task.name,
            name,
            endpoint.metric,
            wanted,
            effect,
            hits,
            study.runs,
            study.exact,
            equal / study.runs,
        )


def defect_row(task: Task, name: str, study: Study) -> Row:
    """A defect before the endpoint that must see it, in runs drawn from one pool."""
    engine = spoiling(name, task)
    endpoint = SECONDARY.get(engine.seen_by, _kl)
    clusters = study.secondary if engine.seen_by in SECONDARY else study.defect
    values, tolerance, error = endpoint(task, engine, study.pool)
    ratio = float(values.mean()) / tolerance
    if np.isinf(values).any():
        share = _different_runs(values, tolerance, error, study)
    else:
        law = calibration.pool(values)
        found = calibration.experiments(law, clusters, nulls=study.runs, seed=SEED, ratios=[ratio])
        share = found.rates(ratio, error).different
    return Row(
        task=task.name,
        candidate=name,
        endpoint=engine.seen_by,
        wanted="different",
        effect=ratio,
        hits=share * study.runs,
        runs=study.runs,
        clusters=clusters,
    )


def _different_runs(values: Array, tolerance: float, error: float, study: Study) -> float:
    """Share of runs that are different, each decided as a run is:
    some hold an infinite divergence, others perhaps none.
    """
    runs = np.random.default_rng(SEED).choice(values, (study.runs, study.defect))
    verdicts = [
        decision.decide(run, tolerance=tolerance, reference_error=error).verdict for run in runs
    ]
    return verdicts.count("different") / study.runs


def spoiling(name: str, task: Task) -> Any:
    """The defect at its default strength, of the reference where it spoils another engine."""
    part = registry.load("engine", name)
    return part(of=task.reference) if any(f.name == "of" for f in fields(part)) else part()


def _kl(task: Task, engine: Any, datasets: int) -> tuple[Array, float, float]:
    values, endpoint, error = divergences(task, engine, datasets)
    return values, endpoint.tolerance, error


def divergences(task: Task, engine: Any, datasets: int) -> tuple[Array, results.Endpoint, float]:
    """Each data set's mean score under the primary endpoint of the engine's form,
    and the reference's error bound.
    """
    parts, error, endpoint, asked = (
        [],
        0.0,
        None,
        draws.twice(of_engine(type(engine).__name__, engine)).infer,
    )
    for simulation, truth in references(task, datasets):
        said = asked(task, simulation.data, SEED).predictive
        endpoint = results.endpoint(task, said.form)
        metric = registry.load("metric", endpoint.metric)
        parts.append(
            decision.cluster_means(metric.score(said, truth.predictive, simulation.outcome))
        )
        error = max(error, truth.certificate.error_bound)
    assert endpoint is not None
    return np.concatenate(parts), endpoint, error


def references(task: Task, datasets: int) -> Iterator[tuple[Simulation, Branch]]:
    """Shards of data sets with their exact posterior."""
    exact = registry.engine(task.reference)
    for rows in _shards(task, datasets):
        simulation = task.simulate(rows, seed=SEED)
        yield simulation, exact(task, simulation.data, seed=SEED)


def leaked(task: Task, engine: Any, datasets: int) -> tuple[Array, float, float]:
    """Each data set's mean posterior mass outside the support of its latents."""
    parts = []
    for rows in _shards(task, datasets):
        posterior = engine(task, task.simulate(rows, seed=SEED).data, seed=SEED).posterior
        masses = [
            leaked_mass(posterior[latent.name]["draws"], latent.support)
            for latent in task.model.latents
        ]
        parts.append(decision.cluster_means(np.concatenate(masses, axis=-1)))
    return np.concatenate(parts), TOLERANCE, 0.0


def joint_divergences(task: Task, engine: Any, datasets: int) -> tuple[Array, float, float]:
    """Each data set's mean KL between the joints of all queries, by query;
    the tolerance is that of one query.
    """
    assert task.tolerance is not None
    exact, parts = registry.load("engine", task.reference)(joint=True), []
    for rows in _shards(task, datasets):
        data = task.simulate(rows, seed=SEED).data
        truth, said = (made(task, data, seed=SEED).joint for made in (exact, engine))
        parts.append(truth.kl(said).mean(-1) / truth.mean.shape[-1])
    return np.concatenate(parts), task.tolerance.kl, 0.0


def latent_divergences(task: Task, engine: Any, datasets: int) -> tuple[Array, float, float]:
    """Each data set's mean KL between the posteriors of finite latents, as the endpoint does."""
    endpoint = registry.load("endpoint", "latent_kl")
    parts, error, tolerance = [], 0.0, endpoint.tolerance(None)
    for simulation, truth in references(task, datasets):
        said = engine(task, simulation.data, seed=SEED).posterior
        values = [
            probability_kl(exact["probs"], said[name]["probs"])
            for name, exact in truth.posterior.items()
        ]
        parts.append(decision.cluster_means(np.concatenate(values, axis=-1)))
        error = max(error, truth.certificate.error_bound)
    return np.concatenate(parts), tolerance, error


def _shards(task: Task, datasets: int) -> Iterable[range]:
    size = task.design.shard
    return (range(start, min(start + size, datasets)) for start in range(0, datasets, size))


SECONDARY = {
    "joint_kl": joint_divergences,
    "leaked_mass": leaked,
    "latent_kl": latent_divergences,
}


def shown(row: Row) -> dict[str, str]:
    """A row as it stands in the document."""
    low, high = row.limits
    effect = "∞" if np.isinf(row.effect) else f"{row.effect:.2g}"
    return {
        "task": row.task,
        "candidate": row.candidate,
        "endpoint": row.endpoint,
        "effect / tolerance": effect,
        "data sets": f"{row.clusters:,}",
        "must be": row.wanted,
        "runs": str(row.runs),
        "share of runs, %": f"{100 * row.share:.1f}",
        "95 % limits": f"{100 * low:.1f} to {100 * high:.1f}",
        "equivalent, %": "" if row.equivalent is None else f"{100 * row.equivalent:.1f}",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
