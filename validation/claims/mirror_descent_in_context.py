"""Transformers Learn Latent Mixture Models In-Context via Mirror Descent:
what it says, on mixtures of transitions.
"""

from __future__ import annotations

import numpy as np

from veribayes.predictive import Array
from veribayes.tree import Data
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
    probabilities,
)

TASK = "mtd-q5-m3"
LAGS, SYMBOLS = 3, 5
QUICK, FULL = 200, 2000  # data sets
STEP = 0.1  # any step size shows the identity
THEOREM = 1 / (
    LAGS + 1
)  # the step size that agrees with Bayes to first order under a uniform prior
EVIDENCE = (0.05, 0.0125)  # how far the transition matrix is from one that says nothing
SHORT = (8, 16)  # prefix lengths at which evidence is small
MATRICES = {False: 1, True: 5}  # transition matrices, by `lab.full`


def construction(lab: Lab) -> list[Measurement]:
    """The largest difference of a probability between the three layers and one step of mirror
    descent.
    """
    task = lab.task(TASK)
    data = lab.simulate(task, FULL if lab.full else QUICK).data
    layers = probabilities(lab.ask(task, "mtd_mirror_descent", data, eta=STEP))
    step = probabilities(lab.ask(task, "mirror_descent", data, eta=STEP))
    return [exactly(TASK, np.abs(layers - step).max(), len(data.index))]


def first_order(lab: Lab) -> list[Measurement]:
    """The order in which the relative error of one step vanishes with the evidence,
    one value a data set.
    """
    data = lab.simulate(lab.task(TASK, positions=SHORT), FULL if lab.full else QUICK).data
    matrices = MATRICES[lab.full]
    return [_order(lab, data, number, matrices) for number in range(matrices)]


def _order(lab: Lab, data: Data, number: int, matrices: int) -> Measurement:
    matrix = np.random.default_rng([lab.seed, number]).dirichlet(np.ones(SYMBOLS), SYMBOLS)
    errors = [_relative_error(lab, data, matrix, evidence) for evidence in EVIDENCE]
    orders = np.log(errors[0] / errors[1]) / np.log(EVIDENCE[0] / EVIDENCE[1])
    return mean(f"transition matrix {number + 1}", orders, of=matrices, seed=lab.seed)


def _relative_error(lab: Lab, data: Data, matrix: Array, evidence: float) -> Array:
    """Distance of one step from Bayes over the distance of equal weights from Bayes, (dataset,)."""
    mixed = evidence * matrix + (1 - evidence) / SYMBOLS
    spec = {"q": SYMBOLS, "m": LAGS, "matrix": mixed.tolist()}
    task = lab.model_task("mtd", spec, positions=SHORT)
    bayes = probabilities(lab.truth(task, data))
    one_step = probabilities(lab.ask(task, "mirror_descent", data, eta=THEOREM))
    equal_weights = probabilities(lab.ask(task, "prior_only", data))
    return _size(one_step - bayes) / _size(equal_weights - bayes)


def _size(differences: Array) -> Array:
    """Sum of absolute differences of probabilities, (dataset,)."""
    return np.abs(differences).sum(axis=(1, 2, 3))


def theorem_at_length(lab: Lab) -> list[Measurement]:
    """KL(Bayes || one step) - KL(Bayes || equal weights) at long prefixes,
    with the step size of the theorem.
    """
    task = lab.task(TASK)
    data = lab.simulate(task, FULL if lab.full else QUICK).data
    truth = lab.truth(task, data)
    one_step = lab.score("kl", truth, lab.ask(task, "mirror_descent", data, eta=THEOREM))
    equal_weights = lab.score("kl", truth, lab.ask(task, "prior_only", data))
    long = data.positions >= 64
    settings = [f"prefix of {n}" for n in data.positions[long]]
    excess = (one_step - equal_weights)[:, long, 0]
    return means(settings, excess, seed=lab.seed)


def trained(lab: Lab) -> list[Measurement]:
    """KL(one step || network) - KL(Bayes || network) of a trained network of three layers."""
    task = lab.task(TASK)
    data = lab.simulate(task, FULL if lab.full else QUICK).data
    network = lab.ask(task, f"{TASK}+disentangled", data)
    from_one_step = lab.score("kl", lab.ask(task, "mirror_descent", data), network)
    from_bayes = lab.score("kl", lab.truth(task, data), network)
    return [mean("three layers", clusters(from_one_step - from_bayes), seed=lab.seed)]


def deeper(lab: Lab) -> list[Measurement]:
    """KL(Bayes || network) - KL(Bayes || two steps) of a trained network of four layers."""
    task = lab.task(TASK)
    data = lab.simulate(task, FULL if lab.full else QUICK).data
    truth = lab.truth(task, data)
    network = lab.score("kl", truth, lab.ask(task, TASK, data))
    two_steps = lab.score("kl", truth, lab.ask(task, "mirror_descent", data, steps=2))
    return [mean("four layers", clusters(network - two_steps), seed=lab.seed)]


PART = Paper(
    source="arXiv 2604.10848",
    title="Transformers Learn Latent Mixture Models In-Context via Mirror Descent",
    claims=(
        Claim(
            name="construction",
            statement=(
                "A transformer of three layers makes exactly one step of mirror descent on the "
                "mixture weights."
            ),
            read_in="abstract",
            statistic="largest difference of a probability from one step of mirror descent",
            threshold=Threshold(at_most=1e-10),
            expected=HOLDS,
            measure=construction,
            tasks=(TASK,),
            note=(
                "The tables are exact at the last position of the one length that they are "
                "written for."
            ),
        ),
        Claim(
            name="first-order",
            statement=(
                "One step is a first-order approximation of the Bayes predictor: its error "
                "vanishes one order faster than the evidence does."
            ),
            read_in="abstract",
            statistic="order in the evidence of the error relative to that of equal weights",
            threshold=Threshold(at_least=0.9, at_most=1.1),
            expected=HOLDS,
            measure=first_order,
            tasks=(TASK,),
            note="This is so for the step size 1 / (m + 1); with twice that size the order is 0.",
        ),
        Claim(
            name="theorem-at-length",
            statement=(
                "The step size at which one step agrees with Bayes to first order is a good one "
                "for long prefixes too: it does not do worse than equal weights."
            ),
            read_in="ours",
            statistic="KL(Bayes || one step) - KL(Bayes || equal weights), nats",
            threshold=Threshold(at_most=0.0),
            expected=FAILS,
            measure=theorem_at_length,
            tasks=(TASK,),
            note="A step size that stays stable falls like 1 / T.",
        ),
        Claim(
            name="trained-network-is-one-step",
            statement=(
                "The predictive distributions of a trained transformer of three layers match the "
                "construction: they are nearer to one step than to exact Bayes."
            ),
            read_in="abstract",
            statistic="KL(one step || network) - KL(Bayes || network), nats",
            threshold=Threshold(at_most=0.0),
            expected=HOLDS,
            measure=trained,
            tasks=(TASK,),
            note=(
                "One step is taken with the best step size at each length. One network; it "
                "started near the construction."
            ),
        ),
        Claim(
            name="deeper-is-more-steps",
            statement=(
                "Deeper transformers do as well as several steps: four layers are at least as "
                "near to Bayes as two steps."
            ),
            read_in="abstract",
            statistic="KL(Bayes || network) - KL(Bayes || two steps), nats",
            threshold=Threshold(at_most=0.0),
            expected=HOLDS,
            measure=deeper,
            tasks=(TASK,),
            note=(
                "The shipped network is nearer to Bayes than to two steps: what it does better "
                "need not be mirror descent."
            ),
        ),
    ),
)
