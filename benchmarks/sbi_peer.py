"""sbi's diagnostics on our planted posteriors:
rejection rates at .05, 200 data sets with 100 draws each.

Run by `make sbi-table` in an environment of its own, which has sbi and no veribayes dependency
beyond NumPy and SciPy; writes runs/sbi-peer.json row by row and continues it after an interruption.
Columns, by their rule of decision:

    sbc        check_uniformity_frequentist, smallest p times their number (Bonferroni) at most .05
    sbc+       the same with the log-likelihood as a further quantity
    tarp       check_tarp, "ks prob" at most .05
    c2st       accuracy of c2st on (theta, x), truth against one draw, above the 95 % point of a
               fair coin: it has no p-value
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import sbi
import torch
from sbi.diagnostics import sbc, tarp
from sbi.utils.metrics import c2st
from scipy import stats

from veribayes.validation.checks import _planted
from veribayes.validation.checks._null import generator

DATASETS, REPLICATES = 200, 200
PATH = Path("runs/sbi-peer.json")
FORESTS = 20  # replicates of c2st, whose random forests take most of the time
COIN = float(stats.binom.ppf(0.95, 2 * DATASETS, 0.5)) / (2 * DATASETS)


def main() -> int:
    """Measure all posteriors, print, write."""
    torch.set_num_threads(1)
    document = {"schema": "veribayes.sbi-peer/1", "sbi": sbi.__version__, "torch": version("torch")}
    rows = kept(document)
    for defect in _planted.POSTERIORS:
        if defect not in {row["defect"] for row in rows}:
            rows.append(measured(defect))
            write(document | {"rows": rows})
    print(f"written: {PATH}")
    return 0


def kept(document: dict[str, str]) -> list[dict[str, object]]:
    """Rows of an earlier run with the same versions and numbers of replicates."""
    if not PATH.exists():
        return []
    before = json.loads(PATH.read_text(encoding="utf-8"))
    wanted = {"replicates": REPLICATES, "c2st_replicates": FORESTS}
    same = all(before[key] == value for key, value in document.items())
    return [row for row in before["rows"] if same and row.items() >= wanted.items()]


def write(document: dict[str, object]) -> None:
    """Whole or not at all."""
    PATH.parent.mkdir(exist_ok=True)
    temporary = PATH.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")
    temporary.replace(PATH)


def measured(defect: str) -> dict[str, object]:
    """Rejection rates of one planted posterior."""
    found = [rejections(defect, i) for i in range(REPLICATES)]
    rates = {name: float(np.mean([f[name] for f in found])) for name in ("sbc", "sbc+", "tarp")}
    rates["c2st"] = float(np.mean([accuracy(defect, i) > COIN for i in range(FORESTS)]))
    print(f"{defect:26s}", *(f"{name} {rate:.2f} " for name, rate in rates.items()), flush=True)
    return {"defect": defect, **rates, "replicates": REPLICATES, "c2st_replicates": FORESTS}


def rejections(defect: str, replicate: int) -> dict[str, bool]:
    """What SBC, SBC with the log-likelihood, and TARP say of one replicate."""
    truth, draws, x = tensors(defect, replicate)
    samples = draws.swapaxes(0, 1)  # (draw, dataset, d), as sbi has them
    quantities = [lambda theta, _: theta[:, 0], lambda theta, _: theta[:, 1], log_likelihood]
    ranks = sbc._run_sbc(truth, x, samples, quantities, show_progress_bar=False)
    p = sbc.check_uniformity_frequentist(ranks, draws.shape[1]).numpy()
    torch.manual_seed(replicate)
    curves = tarp._run_tarp(samples, truth, tarp.get_tarp_references(truth), z_score_theta=True)
    return {
        "sbc": 2 * p[:2].min() <= 0.05,
        "sbc+": 3 * p.min() <= 0.05,
        "tarp": tarp.check_tarp(*curves)[1] <= 0.05,
    }


def accuracy(defect: str, replicate: int) -> float:
    """Held-out accuracy between (truth, x) and (one draw, x) of other data sets:
    partners that share x would anti-learn.
    """
    truth, _, x = tensors(defect, replicate)
    _, draws, other = tensors(defect, REPLICATES + replicate)
    return float(c2st(torch.cat([truth, x], 1), torch.cat([draws[:, 0], other], 1), seed=replicate))


def tensors(defect: str, replicate: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Truth (dataset, 2), draws (dataset, draw, 2) and mean observation (dataset, 2)."""
    rng = generator(0, f"sbi/{defect}", DATASETS, replicate)
    scene, draws = _planted._draws(rng, DATASETS, defect)
    return tuple(torch.as_tensor(a, dtype=torch.float32) for a in (scene.truth, draws, scene.mean))


def log_likelihood(theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Of the mean of the observations, up to a constant."""
    return -0.5 * _planted.OBSERVATIONS * ((theta - x) ** 2).sum(-1)


if __name__ == "__main__":
    sys.exit(main())
