"""Judging: how two branches of predictives become a verdict, and what is said beside it.

    metrics/           a part a divergence, `score(candidate, reference, outcome) -> (dataset,
                       position, query)`
    checks/            a part a test of a point null, with measured size and power
    endpoints/         a part an endpoint beside the primary one: beyond its tolerance a run is
                       different
    probes/            a part a look inside a candidate; nothing is decided there
    monte_carlo.py     what Monte Carlo error adds to a divergence, and how it is taken away
    bootstrap.py       intervals and simultaneous bands that resample whole data sets
                       (resampling.py)
    decision.py        equivalent, different or undecided (verdict.py)
    clusters.py        one value a data set, which is the unit of replication
    profiles.py        the curve over context; where the candidate is worst
    questions.py       what is asked of a candidate beside the primary endpoint; secondary.py
                       corrects it together
    again.py           how a candidate is asked more than once (repeated.py says it)
    evidence.py        what each check is given
    identification.py  which known predictor a candidate is; nearness.py, lengths.py
    calibration.py     measured coverage, size and power of all that (intervals.py)

Nothing here knows how a posterior was made, nor any family of models:
no torch, JAX, NumPyro or pgmpy.
"""
