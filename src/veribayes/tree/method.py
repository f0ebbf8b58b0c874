"""How an engine comes by its answer, in one word:
a certificate prints it, and a run asks it before it trusts a reference.
"""

from __future__ import annotations

from enum import StrEnum


class Method(StrEnum):
    """The kinds of engines.

    A member equals the word that is printed,
    so that the engine of another distribution may give the word alone.
    """

    EXACT = "exact"  # sums and closed forms: rounding is all that is left
    QUADRATURE = "quadrature"  # an integral by nodes and weights, with a bound on its error
    QUASI_MONTE_CARLO = (
        "quasi_monte_carlo"  # randomised low-discrepancy points, with a standard error
    )
    MCMC = "mcmc"  # Markov chains and weighted draws, with gates on their effective number
    DRAWS = "draws"  # draws from the predictive of another engine
    ESTIMATOR = "estimator"  # what is done instead of Bayes
    PRIOR = "prior"  # the prior predictive, whatever the context says
    DEFECT = "defect"  # another engine's answer, spoiled in one stated way
    OTHER = "other"  # any word that another distribution has for its engine

    @classmethod
    def of(cls, word: str) -> Method:
        """The member with this word; `OTHER` where there is none."""
        return cls(word) if word in cls._value2member_map_ else cls.OTHER

    @property
    def computes_posterior(self) -> bool:
        """Whether the answer is the posterior up to a stated error,
        so that the engine may be a reference.
        """
        return self in (Method.EXACT, Method.QUADRATURE, Method.QUASI_MONTE_CARLO, Method.MCMC)

    @property
    def random(self) -> bool:
        """Whether the answer is itself drawn, so that it changes with the seed by a Monte Carlo
        error.
        """
        return self in (Method.QUASI_MONTE_CARLO, Method.MCMC, Method.DRAWS)
