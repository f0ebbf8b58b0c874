"""Networks of kernel attention for the reference tables:
step sizes, scales and ridges of every layer are learned.

Each is trained by the package's own loop against exact predictives and kept in
runs/reference-tables/; a second call, or one after an interruption, goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from veribayes.models import _spec
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.predictive import Array
from veribayes.run.training import exact_targets
from veribayes.transformer._checkpoint import load
from veribayes.transformer._recipe import Recipe
from veribayes.transformer._training import train
from veribayes.transformer.architectures.kernel_solver import KernelSolver

FOLDER = Path("runs/reference-tables")
STEPS, BATCH, QUERIES, RATE = 600, 8, 16, 0.02
CELLS, REACH, TAIL = 256, 5.0, 0.3  # of the loss alone: the readout is a normal


class Solver:
    """A trained network of `layers` layers for a Gaussian process, n uniform between two sizes."""

    def __init__(
        self,
        name: str,
        model: GaussianProcess,
        layers: int,
        between: Sequence[int],
        normalised: bool,
    ) -> None:
        task = _spec.task_of(model, name=name, positions=tuple(between), queries=QUERIES)
        kernel = "linear" if model.kernel.spec()["kind"] == "linear" else "rbf"
        shape = {
            "architecture": "kernel_solver",
            "layers": layers,
            "kernel": kernel,
            "normalised": normalised,
        }
        cells = {"points": between[-1], "cells": CELLS, "reach": REACH, "tail_scale": TAIL}
        recipe = Recipe(
            STEPS,
            BATCH,
            RATE,
            {**shape, **cells},
            queries=QUERIES,
            weight_decay=0.0,
            evaluations=1,
            sizes="between",
        )
        out = FOLDER / f"{name}-{layers}"
        train(
            task,
            recipe,
            targets=exact_targets(task),
            evaluate=lambda candidate: {},
            out=out,
            device="cpu",
        )
        network = load(out, task)[0]
        assert isinstance(network, KernelSolver)
        self.network = network.double().eval()

    def moments(self, x: Array, y: Array, query: Array) -> tuple[Array, Array]:
        """Mean and variance (B, Q) of y at the queries: x (B, n, d), y (B, n), query (B, Q, d)."""
        with torch.no_grad():
            mean, variance = self.network.moments(
                *(torch.from_numpy(a.copy()) for a in (x, y, query))
            )
        return mean.numpy(), variance.numpy()
