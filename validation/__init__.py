"""Metrics, intervals and decisions: how two branches of predictives become a verdict.

    metrics/        one part a divergence, `score(candidate, reference, outcome) -> (dataset, position, query)`
    monte_carlo.py  what Monte Carlo error adds to a divergence, and how it is taken away
    bootstrap.py    intervals and simultaneous bands that resample whole data sets
    decision.py     equivalent, different or undecided; the curve over context; where the candidate is worst
    calibration.py  measured coverage, size and power of all that

Nothing here knows how a posterior was made: no torch, JAX, NumPyro or pgmpy.
"""
