"""The Bayesian Geometry of Transformer Attention: what it says, on hidden Markov models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veribayes.predictive import Array
from veribayes.tree import Branch
from veribayes.validation.claims._claim import (
    FAILS,
    HOLDS,
    Claim,
    Lab,
    Measurement,
    Paper,
    Threshold,
    clusters,
    exactly,
    mean,
    means,
)

KNOWN, HEADER = "hmm-3x4", "hmm-header-5x8"
# nats, 1 % of the prior's divergence: frozen in the tasks
KNOWN_TOLERANCE, HEADER_TOLERANCE = 6.147e-4, 3.283e-4
SEEDS = (0, 1, 2)
QUICK, FULL = 400, 2000  # data sets
LENGTHS = (20, 30, 50)  # symbols: 1, 1.5 and 2.5 times as many as in training


def _datasets(lab: Lab) -> int:
    return FULL if lab.full else QUICK


def _by_seed(lab: Lab, metric: str) -> list[Measurement]:
    """A metric of each seed's network under known parameters, on the same data sets."""
    task = lab.task(KNOWN)
    data = lab.simulate(task, _datasets(lab)).data
    truth = lab.truth(task, data)
    networks = [lab.ask(task, KNOWN, data, seed=seed) for seed in SEEDS]
    columns = [clusters(lab.score(metric, truth, network)) for network in networks]
    return means([f"seed {seed}" for seed in SEEDS], np.stack(columns, axis=1), seed=lab.seed)


def filtered(lab: Lab) -> list[Measurement]:
    """KL(exact || network), nats."""
    return _by_seed(lab, "kl")


def entropy(lab: Lab) -> list[Measurement]:
    """Error of the predictive entropy, bits."""
    return _by_seed(lab, "entropy_error")


def _planted(lab: Lab) -> tuple[Branch, Branch]:
    task = lab.task(KNOWN)
    data = lab.simulate(task, _datasets(lab)).data
    return lab.truth(task, data), lab.ask(task, "permuted_classes", data)


def blind(lab: Lab) -> list[Measurement]:
    """The largest entropy error of a predictor whose classes are permuted."""
    errors = lab.score("entropy_error", *_planted(lab))
    return [exactly("permuted classes", np.abs(errors).max(), len(errors))]


def sufficient(lab: Lab) -> list[Measurement]:
    """KL(exact || the same predictor)."""
    return [mean("permuted classes", clusters(lab.score("kl", *_planted(lab))), seed=lab.seed)]


def longer(lab: Lab) -> list[Measurement]:
    """KL(exact || network) at and beyond the length of the training, each seed's network."""
    task = lab.task(HEADER, positions=LENGTHS)
    data = lab.simulate(task, _datasets(lab)).data
    truth = lab.truth(task, data)
    settings: list[str] = []
    columns: list[Array] = []
    for seed in SEEDS:
        scores = lab.score("kl", truth, lab.ask(task, HEADER, data, seed=seed))[:, :, 0]
        settings += _settings(seed, LENGTHS)
        columns += list(scores.T)
    return means(settings, np.stack(columns, axis=1), seed=lab.seed)


def _settings(seed: int, lengths: Sequence[int]) -> list[str]:
    return [f"seed {seed}, {length} symbols" for length in lengths]


PART = Paper(
    source="arXiv 2512.22471",
    title="The Bayesian Geometry of Transformer Attention",
    claims=(
        Claim(
            name="fixed-model",
            statement="A small transformer filters a fixed hidden Markov model of three states "
            "and four symbols within 1e-5 nats of exact Bayes.",
            read_in="ours",
            statistic="KL(exact || network), nats",
            threshold=Threshold(at_most=1e-5),
            expected=HOLDS,
            measure=filtered,
            tasks=(KNOWN,),
        ),
        Claim(
            name="filtering-accuracy",
            statement="Small transformers reproduce the exact posterior of a filter with an "
            "accuracy of 1e-3 bits or better.",
            read_in="abstract",
            statistic="mean absolute error of the predictive entropy, bits",
            threshold=Threshold(at_most=1e-3),
            expected=HOLDS,
            measure=entropy,
            tasks=(KNOWN,),
            note="Here the parameters are the same for all sequences; in the paper they stand in "
            "the prompt.",
        ),
        Claim(
            name="entropy-is-blind",
            statement="A permutation of the classes leaves the predictive entropy where it is.",
            read_in="ours",
            statistic="largest error of the predictive entropy, nats",
            threshold=Threshold(at_most=1e-12),
            expected=HOLDS,
            measure=blind,
            tasks=(KNOWN,),
        ),
        Claim(
            name="entropy-suffices",
            statement="A predictor whose entropy agrees with exact Bayes on every context is "
            "within 1 % of exact Bayes.",
            read_in="ours",
            statistic="KL(exact || predictor), nats",
            threshold=Threshold(at_most=KNOWN_TOLERANCE),
            expected=FAILS,
            measure=sufficient,
            tasks=(KNOWN,),
            note="The paper measures the error of the entropy; this predictor's is zero.",
        ),
        Claim(
            name="longer-than-trained",
            statement="A network that filters with the parameters in a header is within 1 % of "
            "exact Bayes, also beyond the length of its training.",
            read_in="ours",
            statistic="KL(exact || network), nats",
            threshold=Threshold(at_most=HEADER_TOLERANCE),
            expected=FAILS,
            measure=longer,
            tasks=(HEADER,),
            note="20 symbols are the length of the training, 30 and 50 are 1.5 and 2.5 times that.",
        ),
    ),
)
