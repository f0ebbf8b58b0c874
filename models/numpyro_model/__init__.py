"""Any NumPyro program as a model: what is asked are the posterior moments of its latents.

    def program(x, sigma, y=None):                 data by name or position; what is observed may
                                                   default to None
        slope = numpyro.sample("slope", dist.Normal(0, 1))
        numpyro.sample("obs", dist.Normal(slope * x, sigma), obs=y)

An *outcome* is an argument that an observed site takes whole: the site holds the argument's value,
and another one when it is another. Where all outcomes are given there is one data set, the user's;
otherwise data sets are drawn from the program, in the shape of what is given (`_drawing`). Discrete
latents are summed out (parallel enumeration). A program is run a few times on its own data to learn
this; nothing about it has to be declared.
"""

from __future__ import annotations

from veribayes.models.numpyro_model._model import NumPyroModel
from veribayes.models.numpyro_model._prediction import PredictedProgram

__all__ = ["NumPyroModel", "PredictedProgram"]

PART = NumPyroModel
