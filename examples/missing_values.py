"""Tables of a Bayesian network from rows of which some cells are empty.

Run: python examples/missing_values.py
"""

from pathlib import Path

import veribayes as vb

HERE = Path(__file__).with_name("own_data")


def main():
    """Does rain wet the grass? Six days, four cells unknown; their states are summed over."""
    nodes = ["rain", "sprinkler", "wet"]
    parents = {"sprinkler": ["rain"], "wet": ["rain", "sprinkler"]}
    states = {node: ["no", "yes"] for node in nodes}
    model = vb.models.BayesianNetwork(nodes, parents, states, prior=vb.models.Dirichlet(1.0))
    queries = {"query": ["dry day", "rain"], "target": ["wet", "wet"]}
    queries |= {"rain": ["no", "yes"], "sprinkler": ["no", "no"]}
    return vb.reference(model, HERE / "days.csv", queries=queries)


if __name__ == "__main__":
    reference = main()
    print(reference)
    print(reference.predictive())
