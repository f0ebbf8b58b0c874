"""KL(candidate || exact) of a candidate that gives draws of categories,
debiased as if they were independent, in nats.

A second line only: draws that scatter less than independent ones do get too much taken off, so no
verdict rests on it (`half_chi_square` measures the noise instead of assuming it).

With frequencies f of S draws, sum f log(f / p) overstates the divergence by about (k - 1) / (2 S);
Miller and Madow's correction takes that away with k the number of categories seen. A category with
L expected draws still adds .29 / S at L = .3, .26 / S at 1, .07 / S at 3 and .01 / S from 10 on.
The estimate may be negative: it is not clipped. Infinite where a draw is impossible under the
reference. The other direction is infinite on every unseen category and has no unbiased estimator.
"""

from __future__ import annotations

from veribayes.predictive import Array, Categorical, Draws
from veribayes.validation.metrics._cells import log
from veribayes.validation.metrics._metric import Metric
from veribayes.validation.metrics.kl import relative_entropy


def _kernel(candidate: Draws, reference: Categorical) -> Array:
    counts, draws = candidate.frequencies(reference.probs.shape[-1])
    seen = (counts > 0).sum(-1)
    plain = relative_entropy(reference.log_masses, log(counts / draws))
    return plain - (seen - 1) / (2 * draws)


PART = Metric(
    name="kl_draws",
    symbol="KL(candidate‖exact), draws",
    unit="nats",
    ideal=0.0,
    needs="draws of categories, and a categorical reference",
    citation=(
        "Miller 1955, in Information Theory in Psychology; Paninski 2003, "
        "doi:10.1162/089976603321780272"
    ),
    kernels={("draws", "categorical"): _kernel},
)
