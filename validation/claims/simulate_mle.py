"""Transformers Simulate MLE for Sequence Generation in Bayesian Networks:
what it says, on networks learnt from complete rows.

The distance is total variation, averaged over queries and context sizes within a data set: maximum
likelihood calls outcomes impossible, so that Kullback-Leibler divergences from it are infinite.
Where no row has the query's parent configuration, maximum likelihood is undefined; the construction
then averages the rows that agree with the query on the most parents,
and so does the estimator it is compared with.
"""

from __future__ import annotations

import numpy as np

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
    probabilities,
)

TASK = "bn-general5"
FURTHER_TASKS = ("bn-tree7", "bn-chain7")  # of the long form
QUICK, FULL = 200, 2000  # data sets


def construction(lab: Lab) -> list[Measurement]:
    """The largest difference of a probability between the construction and maximum likelihood."""
    names = (TASK, *FURTHER_TASKS) if lab.full else (TASK,)
    return [_construction(lab, name) for name in names]


def _construction(lab: Lab, name: str) -> Measurement:
    task = lab.task(name)
    data = lab.simulate(task, FULL if lab.full else QUICK).data
    constructed = probabilities(lab.ask(task, "bn_maximum_likelihood", data))
    estimated = probabilities(lab.ask(task, "mle", data, backoff="nearest"))
    largest = np.abs(constructed - estimated).max()
    return exactly(name, largest, len(data.index))


def trained_on_estimates(lab: Lab) -> list[Measurement]:
    """Distance of the network that was trained on the estimates from them,
    less its distance from exact Bayes.
    """
    return [_preference(lab, f"{TASK}+mle")]


def trained_on_outcomes(lab: Lab) -> list[Measurement]:
    """Distance of the network that was trained on outcomes from maximum likelihood,
    less its distance from exact Bayes.
    """
    return [_preference(lab, f"{TASK}+labels")]


def _preference(lab: Lab, checkpoint: str) -> Measurement:
    """TV(network, maximum likelihood) - TV(network, Bayes), one value a data set."""
    task = lab.task(TASK)
    data = lab.simulate(task, FULL if lab.full else QUICK).data
    network = lab.ask(task, checkpoint, data)
    estimated = lab.ask(task, "mle", data, backoff="nearest")
    from_estimates = clusters(lab.score("total_variation", estimated, network))
    from_bayes = clusters(lab.score("total_variation", lab.truth(task, data), network))
    return mean(checkpoint, from_estimates - from_bayes, seed=lab.seed)


PART = Paper(
    source="arXiv 2501.02547",
    title="Transformers Simulate MLE for Sequence Generation in Bayesian Networks",
    claims=(
        Claim(
            name="construction",
            statement=(
                "A simple transformer exists that estimates the conditional probabilities of a "
                "Bayesian network from a context of complete rows, by maximum likelihood."
            ),
            read_in="abstract",
            statistic="largest difference of a probability from maximum likelihood",
            threshold=Threshold(at_most=1e-9),
            expected=HOLDS,
            measure=construction,
            tasks=(TASK, *FURTHER_TASKS),
            note=(
                "The difference is bounded by exp(-beta) (N - n) / n, where n of N rows have the "
                "parent configuration."
            ),
        ),
        Claim(
            name="found-by-training",
            statement=(
                "Training finds such a transformer: it is nearer to maximum likelihood than to "
                "exact Bayes."
            ),
            read_in="abstract",
            statistic="TV(network, maximum likelihood) - TV(network, Bayes)",
            threshold=Threshold(at_most=0.0),
            expected=HOLDS,
            measure=trained_on_estimates,
            tasks=(TASK,),
            note="The shipped network was trained with an L1 loss on the estimates themselves.",
        ),
        Claim(
            name="found-by-cross-entropy",
            statement=(
                "A transformer that is trained by cross-entropy on outcomes is nearer to maximum "
                "likelihood than to exact Bayes."
            ),
            read_in="ours",
            statistic="TV(network, maximum likelihood) - TV(network, Bayes)",
            threshold=Threshold(at_most=0.0),
            expected=FAILS,
            measure=trained_on_outcomes,
            tasks=(TASK,),
            note=(
                "The minimiser of the expected cross-entropy is the posterior predictive, not the "
                "estimate."
            ),
        ),
    ),
)
