"""Gaussian process regression: y_i = f(x_i) + e_i, f ~ GP(0, kernel), e_i ~ N(0, noise_sd^2).

Hyperparameters are fixed numbers or have a prior. Their names in `theta` are `noise_sd` and
`kernel.<name>`, for example `kernel.lengthscale`, or `kernel.0.lengthscale` inside a sum or
product.
"""

from __future__ import annotations

from veribayes.models.gaussian_process._hyper import Grid, LogNormal, LogUniform
from veribayes.models.gaussian_process._kernels import (
    RBF,
    Linear,
    Matern12,
    Matern32,
    Matern52,
    Periodic,
    Product,
    Sum,
)
from veribayes.models.gaussian_process._process import GaussianProcess
from veribayes.models.gaussian_process._process import PointsContext as PointsContext

__all__ = [
    "RBF",
    "GaussianProcess",
    "Grid",
    "Linear",
    "LogNormal",
    "LogUniform",
    "Matern12",
    "Matern32",
    "Matern52",
    "Periodic",
    "Product",
    "Sum",
]

PART = GaussianProcess
