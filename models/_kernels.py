"""Kernels and hyperpriors of Gaussian processes, by the name under which engines import them."""

from __future__ import annotations

from veribayes.models.gaussian_process._hyper import (
    Grid,
    Hyper,
    HyperPrior,
    LogNormal,
    LogUniform,
    Theta,
    below,
)
from veribayes.models.gaussian_process._kernels import (
    RBF,
    Kernel,
    Linear,
    Matern12,
    Matern32,
    Matern52,
    Periodic,
    Product,
    Sum,
    kernel_from_spec,
)

__all__ = [
    "RBF",
    "Grid",
    "Hyper",
    "HyperPrior",
    "Kernel",
    "Linear",
    "LogNormal",
    "LogUniform",
    "Matern12",
    "Matern32",
    "Matern52",
    "Periodic",
    "Product",
    "Sum",
    "Theta",
    "below",
    "kernel_from_spec",
]
