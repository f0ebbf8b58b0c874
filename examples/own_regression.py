"""The exact posterior of your own regression data under a Gaussian process.

Run: python examples/own_regression.py
"""

from pathlib import Path

import veribayes as vb

HERE = Path(__file__).with_name("own_data")


def main():
    """Twelve points in a file, the function asked for at five inputs."""
    kernel = {"kind": "rbf", "amplitude": 1.0, "lengthscale": 0.8}
    model = vb.models.GaussianProcess.from_spec({"kernel": kernel, "noise_sd": 0.2})
    queries = {"x_query": [[-1.5], [-0.5], [0.0], [0.5], [1.5]]}
    return vb.reference(model, HERE / "regression.csv", queries=queries)


if __name__ == "__main__":
    reference = main()
    print(reference, reference.certificate["error_bound"])
    print(reference.predictive())
