"""Gaussian processes with fixed hyperparameters:
every prefix, and single posteriors, against the usual libraries.

Peers get the same hyperparameters and do no fitting of their own. `error` is the largest difference
of means from the peer's, and `enclosed` a rigorous bound on our own error in predictive sds,
by ball arithmetic on one data set.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks._timing import Row, cpu_seconds, row
from veribayes import registry
from veribayes.models._task import Design, Task
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.gaussian_process._kernels import RBF
from veribayes.predictive import Array
from veribayes.tree import Data

UNIT = "a data set"

LENGTHSCALE, NOISE_SD, QUERIES = 0.8, 0.2, 8
PREFIXES = 128
SINGLE = ((32, 512), (128, 128), (512, 16))  # points, data sets
MODEL = GaussianProcess(RBF(1.0, LENGTHSCALE), NOISE_SD)


def data_of(points: int, datasets: int, positions: Array | None = None) -> tuple[Task, Data]:
    """A task, and data sets with these prefixes."""
    task = Task("points", MODEL, Design((points,), queries=QUERIES), "cholesky", "sequential")
    data = task.simulate(range(datasets), seed=0).data
    every = np.array([points]) if positions is None else positions
    return task, Data(data.arrays, every, data.index)


def ours(task: Task, data: Data, **options: Any) -> Any:
    """The Cholesky engine, predictives alone."""
    return registry.load("engine", "cholesky")(latents=False, **options)(task, data, seed=0)


def sklearn_mean(x: Array, y: Array, query: Array) -> Array:
    """scikit-learn without optimisation."""
    from sklearn.gaussian_process import GaussianProcessRegressor, kernels

    peer = GaussianProcessRegressor(
        kernels.RBF(LENGTHSCALE, "fixed"), alpha=NOISE_SD**2, optimizer=None
    ).fit(x, y)
    return np.asarray(peer.predict(query, return_std=True)[0])


def gpytorch_mean(x: Array, y: Array, query: Array) -> Array:
    """gpytorch's exact GP in float64; a leading axis of x, y, query is its batch."""
    import gpytorch
    import torch

    class Exact(gpytorch.models.ExactGP):
        def __init__(self, x: Any, y: Any, likelihood: Any) -> None:
            super().__init__(x, y, likelihood)
            self.mean_module, self.covar_module = (
                gpytorch.means.ZeroMean(),
                gpytorch.kernels.RBFKernel(),
            )

        def forward(self, x: Any) -> Any:
            return gpytorch.distributions.MultivariateNormal(
                self.mean_module(x), self.covar_module(x)
            )

    x, y, query = (torch.as_tensor(a, dtype=torch.float64) for a in (x, y, query))
    likelihood = gpytorch.likelihoods.GaussianLikelihood().double().eval()
    model = Exact(x, y, likelihood).double().eval()
    likelihood.noise, model.covar_module.lengthscale = (
        torch.tensor(v, dtype=torch.float64) for v in (NOISE_SD**2, LENGTHSCALE)
    )
    with torch.no_grad():
        found = likelihood(model(query))
        return np.asarray(found.mean if found.variance is not None else None)


def refits(mean: Any, data: Data) -> Array:
    """A peer's means at every prefix of the first data set."""
    x, y, query = (data.arrays[k][0] for k in ("x", "y", "x_query"))
    return np.stack([mean(x[:n], y[:n], query) for n in data.positions])


def rows() -> Iterator[Row]:
    """Every row; gpytorch's are left out where it is not installed."""
    if importlib.util.find_spec("gpytorch") is not None:
        importlib.import_module("torch").set_num_threads(1)
    yield from _every_prefix()
    yield from _single()


def _every_prefix() -> Iterator[Row]:
    task, data = data_of(PREFIXES, 256, np.arange(1, PREFIXES + 1))
    found = ours(task, data)
    time = cpu_seconds(lambda: ours(task, data), 256)
    enclosed = ours(
        task, data.select(slice(1), slice(-1, None)), enclosed=1
    ).certificate.diagnostics["enclosed_error"]
    for name, mean, goal in _peers(
        ("scikit-learn refits", sklearn_mean, 400.0), ("gpytorch refits", gpytorch_mean, 5000.0)
    ):
        theirs = cpu_seconds(lambda: refits(mean, data), 1, rounds=2)  # noqa: B023
        error = float(np.abs(refits(mean, data) - found.predictive.mean[0]).max())
        work = f"gp n=1..{PREFIXES}, every prefix"
        yield row(work, "cholesky", time, name, theirs, error=error, enclosed=enclosed, goal=goal)


def _single() -> Iterator[Row]:
    for points, datasets in SINGLE:
        task, data = data_of(points, datasets)
        found, (x, y, query) = ours(task, data), (data.arrays[k] for k in ("x", "y", "x_query"))
        time = cpu_seconds(lambda: ours(task, data), datasets)  # noqa: B023

        def loop(x: Array, y: Array, query: Array) -> Array:
            return np.stack([sklearn_mean(*one) for one in zip(x, y, query, strict=True)])

        for name, mean, goal in _peers(
            ("scikit-learn loop", loop, 1.0), ("gpytorch batch", gpytorch_mean, 3.0)
        ):
            theirs = cpu_seconds(lambda: mean(x, y, query), datasets)  # noqa: B023
            error = float(np.abs(mean(x, y, query) - found.predictive.mean[:, 0]).max())
            yield row(
                f"gp n={points}, one posterior",
                "cholesky",
                time,
                name,
                theirs,
                error=error,
                goal=goal,
            )


def _peers(*all_of_them: tuple[str, Any, float]) -> list[tuple[str, Any, float]]:
    present = importlib.util.find_spec("gpytorch") is not None
    return [peer for peer in all_of_them if present or "gpytorch" not in peer[0]]
