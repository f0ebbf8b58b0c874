"""A stored run as the report sees it: a result entry, provenance, and groups that may be absent.

Everything in the file is data from elsewhere: names are shown, never used as paths or markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from veribayes.errors import InputError
from veribayes.predictive import Array
from veribayes.report import _words as words

SCHEMA = "veribayes.run/1"
RUN_FILE = "run.nc"
OBSERVATION = ("observation", "observations")  # in a run that has no words of its family


@dataclass(frozen=True, eq=False)
class Run:
    """One task's run: the tree, and its two JSON attributes as plain data."""

    tree: xr.DataTree
    result: Mapping[str, Any]
    provenance: Mapping[str, Any]

    def group(self, path: str) -> xr.Dataset | None:
        """The variables of a group (`/scores/candidate`), or None where the run has none."""
        return self.tree[path].to_dataset() if path in self.tree.groups else None

    def array(self, path: str, variable: str) -> Array | None:
        """One variable as float64, or None where the run has none.

        Coordinates count: a variable that bears a dimension's name (`context`, `query`) comes back
        as one.
        """
        group = self.group(path)
        if group is None or variable not in group.variables:
            return None
        return np.asarray(group[variable].values, dtype=np.float64)

    @property
    def primary(self) -> Mapping[str, Any]:
        """The primary endpoint: metric, unit, estimate, low, high, tolerance, …"""
        return mapping(self.result.get("primary"))

    @property
    def metric(self) -> str:
        """What decides."""
        return str(self.primary.get("metric", "kl"))

    @property
    def unit(self) -> str:
        """Unit of what decides; empty where it has none."""
        return str(self.primary.get("unit", ""))

    @property
    def power(self) -> int:
        """The power of ten in which divergences of this run are shown."""
        return words.power_for(self.primary.get("tolerance"))

    @property
    def task(self) -> str:
        """The task's name."""
        return str(self.result.get("task") or "unnamed task")

    @property
    def candidate(self) -> str:
        """The candidate's name."""
        return str(self.result.get("candidate") or "candidate")

    @property
    def reference(self) -> Mapping[str, Any]:
        """The engine that computed the truth, and its certificate."""
        return mapping(self.result.get("reference"))

    @property
    def engine(self) -> str:
        """The name of that engine."""
        return str(self.reference.get("engine") or "unknown engine")

    @property
    def recovery(self) -> Mapping[str, Any]:
        """Bayes recovery: estimate, low, high."""
        return mapping(self.result.get("recovery"))

    @property
    def curve_metric(self) -> str:
        """What the curve shows: the primary metric, or JS where that is infinite."""
        return str(mapping(self.result.get("curve")).get("metric", self.metric))

    @property
    def model(self) -> Mapping[str, Any]:
        """The model's specification."""
        return mapping(self.result.get("model"))

    @property
    def moments(self) -> bool:
        """Whether predictives are moments of latents,
        which say nothing of where an outcome falls.
        """
        return bool(mapping(self.result.get("words")).get("moments"))

    @property
    def rivals(self) -> dict[str, Rival]:
        """Rivals by name, best first."""
        rivals = {}
        for name, entry in mapping(self.result.get("rivals")).items():
            rivals[str(name)] = Rival.read(mapping(entry), self.metric)
        return dict(sorted(rivals.items(), key=lambda item: item[1].rank))

    @property
    def best_rival(self) -> str | None:
        """The rival nearest to the truth; none where all are infinitely far,
        which orders nothing.
        """
        for name, rival in self.rivals.items():
            if name != "prior_only" and np.isfinite(rival.rank):
                return name
        return None

    @property
    def scores(self) -> Array | None:
        """The candidate's primary score (dataset, position, query), or the first that is stored."""
        group = self.group("/scores/candidate")
        names = [] if group is None else [str(v) for v in group.data_vars if v != "pit"]
        wanted = self.metric if self.metric in names else next(iter(names), "")
        return self.array("/scores/candidate", wanted)

    @property
    def model_sentence(self) -> str:
        """The model in a sentence; empty in a run that has none."""
        return str(mapping(self.result.get("words")).get("model", ""))

    def observations(self, n: int | None = None) -> str:
        """What a context is counted in, with the count where there is one."""
        stored = mapping(self.result.get("words")).get("observation")
        one, several = OBSERVATION
        if isinstance(stored, list) and len(stored) == len(OBSERVATION):
            one, several = map(str, stored)
        if n is None:
            return several
        return f"{n:,} {one if n == 1 else several}"


@dataclass(frozen=True)
class Rival:
    """A predictor scored beside the candidate, with its verdict at the same tolerance."""

    divergence: Mapping[str, Any]
    recovery: Mapping[str, Any]
    verdict: str

    @staticmethod
    def read(entry: Mapping[str, Any], metric: str) -> Rival:
        """From the result entry; the divergence has the primary metric's name there, or is `kl`."""
        divergence = dict(mapping(entry.get(metric, entry.get("kl"))))
        divergence["infinite_share"] = entry.get("infinite_share")
        by_passing = "equivalent" if entry.get("passes") else "different"
        verdict = str(entry.get("verdict", by_passing))
        return Rival(divergence, mapping(entry.get("recovery")), verdict)

    @property
    def rank(self) -> float:
        """Smaller is closer to the reference; without an estimate, last."""
        estimate = self.divergence.get("estimate")
        return np.inf if estimate is None else float(estimate)


def read(source: Run | Path | str | xr.DataTree) -> Run:
    """Open a run: a folder with `run.nc`, the file, or a tree in memory; the file is closed again.

    Raises:
        InputError: there is no such file, or it is not a run of a schema that this version reads.
    """
    if isinstance(source, Run):
        return source
    tree = source if isinstance(source, xr.DataTree) else _load(Path(source))
    schema = tree.attrs.get("schema")
    if schema != SCHEMA:
        remedy = "give what 'veribayes verify' wrote"
        raise InputError(f"a run of schema '{SCHEMA}'", f"schema {schema!r}", remedy)
    return Run(tree, _json(tree, "result"), _json(tree, "provenance"))


def mapping(value: object) -> Mapping[str, Any]:
    """The value itself where it is a JSON object, otherwise an empty one."""
    return value if isinstance(value, Mapping) else {}


def _load(path: Path) -> xr.DataTree:
    file = path / RUN_FILE if path.is_dir() else path
    if not file.is_file():
        wanted = f"a run folder with {RUN_FILE}, or the file"
        raise InputError(wanted, f"'{path}'", "see 'veribayes verify --out'")
    try:
        with xr.open_datatree(file, engine="h5netcdf", decode_times=False) as tree:
            return tree.load()
    except (OSError, ValueError) as error:
        remedy = f"run again ({error})"
        raise InputError("a netCDF file that can be read", f"'{file}'", remedy) from None


def _json(tree: xr.DataTree, name: str) -> Mapping[str, Any]:
    try:
        return mapping(json.loads(str(tree.attrs[name])))
    except (KeyError, ValueError) as error:
        wanted = f"a root attribute '{name}' with one JSON object"
        raise InputError(wanted, type(error).__name__, "run again") from None
