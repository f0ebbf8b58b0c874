"""The document of a run is what it was: six small runs against their stored `--json` output.

`python tests/test_result_documents.py` writes the stored documents again, after a change that is
meant to change them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import veribayes as vb
from veribayes import api

HERE = Path(__file__).resolve().parent / "documents"
DATASETS = 200
# Of numbers from float64 engines, and from networks in float32, whose divergences are a few
# rounding errors in size.
CLOSE, NETWORK = 1e-6, 1e-2
SEVERAL_DRAWS = 16
# How many data sets a candidate is asked about one by one is a matter of time.
TIMED = ("/secondary/again/alone", "/secondary/endpoints/batch_dependence")
# A sampler's chains, which of two equal sizes is the larger, and whether float32 gives the same in
# another batch, are a matter of the processor and of how XLA compiles.
COMPILED = (
    "/audit/max_abs_z",
    "/audit/sd_z",
    "/secondary/endpoints/repeatability/variant",
    "/secondary/endpoints/repeatability/variants",
)


def draws_of_frequencies(
    context: Any, query: Any, seed: int = 0
) -> dict[str, np.ndarray[Any, Any]]:
    """Draws of the asked node from its smoothed frequency, whatever its parents are."""
    counts = np.sum(context[:, :, query.target], axis=1)
    share = (counts + 1) / (context.shape[1] + 2)
    uniforms = np.random.default_rng(seed).random((*share.shape, SEVERAL_DRAWS))
    return {"draws": (uniforms < share[..., None]).astype(np.int64)}


def of_network(name: str, audit: int) -> xr.DataTree:
    return vb.verify(name, datasets=DATASETS, audit=audit, tests="all").tree


def of_defect() -> xr.DataTree:
    run = vb.verify(
        "bn-general5", "ignores_parent", datasets=DATASETS, audit=0, tests="all", seed=3
    )
    return run.tree


def of_draws() -> xr.DataTree:
    run = vb.verify("bn-general5", draws_of_frequencies, datasets=DATASETS, audit=0)
    return run.tree


def of_recorded() -> xr.DataTree:
    made = vb.verify(
        "mtd-q3-m3",
        "n_gram",
        datasets=DATASETS,
        audit=0,
        keep_predictions=True,
        sequential=True,
    )
    return vb.verify("mtd-q3-m3", made.tree, datasets=100, audit=0).tree


RUNS: dict[str, Callable[[], xr.DataTree]] = {
    "bn-general5": lambda: of_network("bn-general5", 2),
    "mtd-q5-m3": lambda: of_network("mtd-q5-m3", 0),
    "gp-rbf-1d": lambda: of_network("gp-rbf-1d", 2),
    "defect": of_defect,
    "draws": of_draws,
    "recorded": of_recorded,
}
QUICK = ("defect", "draws")
NETWORKS = ("bn-general5", "mtd-q5-m3", "gp-rbf-1d")


def differences(stored: Any, found: Any, close: float, where: str = "") -> list[str]:
    """Places at which two documents differ, as they are written: keys in their order, numbers up to
    `close`.
    """
    if where.endswith((*TIMED, *COMPILED)):
        return []
    if isinstance(stored, dict) and isinstance(found, dict):
        known = [key for key in found if key in stored]  # more keys may be added
        if known != list(stored):
            return [f"{where}: keys {list(stored)}, now {list(found)}"]
        pairs = [(f"{where}/{key}", stored[key], found[key]) for key in stored]
    elif isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        both = zip(stored, found, strict=True)
        pairs = [(f"{where}/{i}", one, other) for i, (one, other) in enumerate(both)]
    elif isinstance(stored, float) and isinstance(found, float):
        same = found == pytest.approx(stored, rel=close, abs=1e-12)
        return [] if same else [f"{where}: {stored!r}, now {found!r}"]
    else:
        same = type(stored) is type(found) and stored == found
        return [] if same else [f"{where}: {stored!r}, now {found!r}"]
    return [text for place, one, other in pairs for text in differences(one, other, close, place)]


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.study) for name in RUNS],
)
def test_the_document_is_what_it_was(name: str) -> None:
    stored = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    found = json.loads(api.document([RUNS[name]()]))
    assert differences(stored, found, NETWORK if name in NETWORKS else CLOSE) == []


if __name__ == "__main__":
    for run in sys.argv[1:] or RUNS:
        (HERE / f"{run}.json").write_text(api.document([RUNS[run]()]) + "\n", encoding="utf-8")
