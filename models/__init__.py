"""Model specifications, their simulators and their NumPyro programs.

    family            fields                                      unknown (latents)
    BayesianNetwork   nodes, parents, states, cpts | prior        theta: rows of the tables; none when they are given
    MTD               q, m, concentration, matrix | matrix_seed   weights of the lags
    GaussianProcess   kernel, noise_sd, d, input_law              f at the context points, or hyperparameters with a prior
    NumPyroModel      function, data                              what the program samples and does not observe

>>> BayesianNetwork(["rain", "wet"], {"wet": ["rain"]}, prior=Dirichlet(1.0)).n_rows
3
>>> MTD(q=5, m=3).matrices.shape
(3, 5, 5)
>>> GaussianProcess(RBF(1.0, Grid((0.4, 0.8))) + Linear(), noise_sd=0.2).latents[0].name
'kernel.0.lengthscale'
"""

from veribayes.models._kernels import (
    RBF,
    Grid,
    Linear,
    LogNormal,
    LogUniform,
    Matern12,
    Matern32,
    Matern52,
    Periodic,
    Product,
    Sum,
)
from veribayes.models._priors import BIMODAL, Dirichlet, UniformInterval, UniformMixture
from veribayes.models._task import Design, Task
from veribayes.models.bayesian_network import BayesianNetwork
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.mtd import MTD
from veribayes.models.numpyro_model import NumPyroModel

__all__ = [
    "BIMODAL", "MTD", "RBF", "BayesianNetwork", "Design", "Dirichlet", "GaussianProcess", "Grid", "Linear", "LogNormal",
    "LogUniform", "Matern12", "Matern32", "Matern52", "NumPyroModel", "Periodic", "Product", "Sum", "Task",
    "UniformInterval", "UniformMixture",
]  # fmt: skip
