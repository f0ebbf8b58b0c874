"""Judge predictions in a CSV file on contexts in another one.

Run: python examples/recorded_predictions.py
"""

import csv
from pathlib import Path

import veribayes as vb

HERE = Path(__file__).with_name("own_data")


def main(contexts=HERE / "switch-contexts.csv", out="switch-predictions.csv"):
    """Predict by the mean of what is seen, and ask how far that is from exact Bayes."""
    seen, rows = {}, []
    for row in csv.DictReader(contexts.read_text().splitlines()):
        if row["c"]:
            seen.setdefault(row["dataset"], []).append(float(row["c"]))
        else:
            rows.append({"dataset": row["dataset"], "query": row["query"]})
    for row in rows:
        values = seen[row["dataset"]]
        row |= {"mean": sum(values) / len(values), "sd": (1 + 1 / len(values)) ** 0.5}
    with open(out, "w", newline="") as file:
        writer = csv.DictWriter(file, ["dataset", "query", "mean", "sd"])
        writer.writeheader()
        writer.writerows(rows)
    return vb.verify("context-switch", vb.recorded(out), contexts=contexts)


if __name__ == "__main__":
    print(main())
