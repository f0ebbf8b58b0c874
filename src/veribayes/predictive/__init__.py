"""The seven predictive forms: what a reference or a candidate may say about the next observation.

    form          variables (trailing axes)                           density  cdf
    categorical   probs[category], or log_probs[category]             yes      –
    normal        mean, sd                                            yes      yes
    mixture       weights, mean, sd [component]                       yes      yes
    bins          probs[bin] or log_probs[bin], edges[edge],          yes      yes
                  tail_scale[tail]
    quantiles     levels[level], values[level]                        no       yes
    draws         draws[draw]                                         no       yes
    point         mean                                                no       no

Every form is a file of its name. It has a leading shape (usually dataset, position, query). Methods
that take points `y` expect that leading shape plus one axis of points, `(*shape, points)`; nothing
broadcasts. All arithmetic is NumPy float64.

A zero among probabilities is a statement only as far as the type of the numbers can make it. Two
roundings give zeros: 1 - p and a sigmoid do below half an ulp of 1, and a softmax far below that.
So a zero may stand for any mass up to `zero_limit`: 1.1e-16 in float64, 6.0e-8 in float32, 4.9e-4
in float16, 3.9e-3 in bfloat16. Logarithms hold what probabilities cannot: minus infinity in
`log_probs` is zero, up to the rounding of the float64 numbers that it is compared with.
"""

from __future__ import annotations

from veribayes.predictive._arrays import (
    FLOAT64_LIMIT,
    LOG_SQRT_2PI,
    ZERO_LIMITS,
    Array,
    Mask,
    to_float64,
    zero_limit_of,
)
from veribayes.predictive._entries import MASS_TOLERANCE
from veribayes.predictive._form import Predictive, concatenate, stack
from veribayes.predictive._masses import Masses
from veribayes.predictive._reading import FORMS, as_predictive
from veribayes.predictive.bins import Bins
from veribayes.predictive.categorical import Categorical
from veribayes.predictive.draws import Draws
from veribayes.predictive.mixture import NormalMixture
from veribayes.predictive.normal import Normal, log_normal_interval
from veribayes.predictive.point import Point
from veribayes.predictive.quantiles import Quantiles

__all__ = [
    "FLOAT64_LIMIT",
    "FORMS",
    "LOG_SQRT_2PI",
    "MASS_TOLERANCE",
    "ZERO_LIMITS",
    "Array",
    "Bins",
    "Categorical",
    "Draws",
    "Mask",
    "Masses",
    "Normal",
    "NormalMixture",
    "Point",
    "Predictive",
    "Quantiles",
    "as_predictive",
    "concatenate",
    "log_normal_interval",
    "stack",
    "to_float64",
    "zero_limit_of",
]
