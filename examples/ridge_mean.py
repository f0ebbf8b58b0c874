"""A mean alone against exact Bayesian linear regression, and what the same mean costs with the
noise's standard deviation.

Run: python examples/ridge_mean.py
"""

import numpy as np

import veribayes as vb

VARIANCES = np.array([2.0, 1.0, 1.0, 0.4, 0.4])  # of the weights in the task gp-blr-5d
NOISE = 0.2


def ridge(context, query, variances):
    """The posterior mean of the regression function at each query, (B, Q)."""
    x, y = context.x, context.y
    precision = np.einsum("bni,bnj->bij", x, x) / NOISE**2 + np.diag(1 / variances)
    moment = np.einsum("bni,bn->bi", x, y) / NOISE**2
    weights = np.linalg.solve(precision, moment[..., None])
    return (query @ weights)[..., 0]


def right(context, query):
    return {"mean": ridge(context, query, VARIANCES)}


def equal_variances(context, query):
    return {"mean": ridge(context, query, np.ones(5))}


def with_noise(context, query):
    mean = ridge(context, query, VARIANCES)
    return {"mean": mean, "sd": np.full(mean.shape, NOISE)}


if __name__ == "__main__":
    for predict in (right, equal_variances, with_noise):
        run = vb.verify("gp-blr-5d", predict, datasets=400, seed=0, audit=0, tests="none")
        size, tolerance = run.entry["primary"]["estimate"], run.entry["primary"]["tolerance"]
        print(f"{predict.__name__}: {run.verdict}, {size:.2g}, tolerance {tolerance:.2g}")
