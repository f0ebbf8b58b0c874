"""Judge a predictor in under thirty lines:
kernel smoothing against the exact Gaussian-process posterior.

Run: python examples/nadaraya_watson.py
"""

import numpy as np

import veribayes as vb


def predict(context, query, bandwidth=0.3):
    """Kernel-weighted mean and spread of the context around each query."""
    distance = query[:, :, None, 0] - context.x[:, None, :, 0]  # (B, Q, n)
    weight = np.exp(-0.5 * (distance / bandwidth) ** 2) + 1e-12
    weight /= weight.sum(-1, keepdims=True)
    mean = (weight * context.y[:, None]).sum(-1)
    spread = (weight * (context.y[:, None] - mean[..., None]) ** 2).sum(-1)
    return {"mean": mean, "sd": np.sqrt(spread + 0.2**2 + 1.0 / (1.0 + context.x.shape[1]))}


if __name__ == "__main__":
    result = vb.verify("gp-rbf-1d", predict, datasets=200, seed=0)
    print(result)
    print(result.table())
