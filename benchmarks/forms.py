"""What the form of an answer costs: CPU seconds of `verify`, beside an answer as a normal.

Run: python -m benchmarks.forms [--task NAME] [--datasets N] [--write]

The exact predictive of a Gaussian process is given in the forms that it can take: a normal, a
mixture whose components lie within a tenth of its standard deviation, quantiles, draws. What is
computed about them is the same run; the ratio to the normal says what the form costs. One
thread; the first run, which imports and compiles, is not counted.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}

import numpy as np

import veribayes as vb
from benchmarks import _documents
from veribayes.models._task import Task
from veribayes.predictive import Array, Normal

Answer = dict[str, Any]
Form = Callable[[Normal], Answer]
LEVELS = np.linspace(0.05, 0.95, 19)
MIXTURES = (2, 9, 65)


def main(arguments: Sequence[str]) -> int:
    """Measure, print; with --write also the table in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="gp-rbf-1d", help="a task whose predictive is a normal")
    parser.add_argument("--datasets", type=int, default=400)
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    given = parser.parse_args(arguments)
    task = vb.task(given.task)
    forms: dict[str, Form] = {"normal": as_normal}
    forms |= {f"mixture of {size}": mixture(size) for size in MIXTURES}
    forms |= {"19 quantiles": as_quantiles, "100 draws": as_draws}
    measured(task, as_normal, given.datasets)
    seconds = {name: measured(task, form, given.datasets) for name, form in forms.items()}
    rows = [shown(name, taken, seconds["normal"]) for name, taken in seconds.items()]
    text = _documents.table(rows)
    print(text)
    if given.write:
        print(f"written: {_documents.put('benchmarks.md', 'forms', text)}")
    return 0


def measured(task: Task, form: Form, datasets: int) -> float:
    """CPU seconds of one run."""
    start = time.process_time()
    vb.verify(task, candidate(task, form), datasets=datasets, audit=0)
    return time.process_time() - start


def candidate(task: Task, form: Form) -> Callable[..., Answer]:
    """The exact predictive in another form, by the textbook's formulas."""
    kernel = task.model.kernel
    noise = task.model.noise_sd**2

    def covariance(x: Array, z: Array) -> Array:
        apart = (x[:, :, None] - z[:, None]) / kernel.lengthscale
        return np.asarray(kernel.amplitude**2 * np.exp(-0.5 * (apart**2).sum(-1)))

    def predict(context: Any, query: Array) -> Answer:
        own = covariance(context.x, context.x) + noise * np.eye(context.x.shape[1])
        across = covariance(context.x, query)
        weights = np.linalg.solve(own, across)
        mean = np.einsum("bnq,bn->bq", weights, context.y)
        explained = np.einsum("bnq,bnq->bq", weights, across)
        variance = kernel.amplitude**2 - explained + noise
        return form(Normal(mean, np.sqrt(variance)))

    return predict


def as_normal(law: Normal) -> Answer:
    """Mean and standard deviation."""
    return {"mean": law.mean, "sd": law.sd}


def mixture(size: int) -> Form:
    """Components around the mean whose mixture has the law's mean and variance."""
    offsets = np.linspace(-0.1, 0.1, size)
    left = np.sqrt(1 - (offsets**2).mean())

    def form(law: Normal) -> Answer:
        mean = law.mean[..., None] + law.sd[..., None] * offsets
        sd = np.broadcast_to(left * law.sd[..., None], mean.shape)
        return {"weights": np.full(mean.shape, 1 / size), "mean": mean, "sd": sd}

    return form


def as_quantiles(law: Normal) -> Answer:
    """Nineteen quantiles."""
    levels = np.broadcast_to(LEVELS, (*law.shape, LEVELS.size))
    return {"levels": LEVELS, "values": law.quantile(levels)}


def as_draws(law: Normal) -> Answer:
    """A hundred draws, always the same ones."""
    return {"draws": law.sample(np.random.default_rng(0), 100)}


def shown(name: str, seconds: float, normal: float) -> dict[str, str]:
    """One row of the table."""
    return {
        "answer": name,
        "CPU s": f"{seconds:.1f}",
        "beside a normal": f"{seconds / normal:.2f} x",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
