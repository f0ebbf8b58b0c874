"""Posterior draws that somebody has saved: our own references, arviz containers, posteriordb's JSON.

    FILE.nc              a group `posterior` with variables (chain, draw, *event): arviz's InferenceData or DataTree, or what
                         `veribayes reference` wrote
    FILE.json[.zip]      posteriordb (arXiv 2407.04967): a list of chains, each an object name -> draws; `theta[1]` is an entry
                         of the array `theta`

In memory both generations of arviz are read and written (`from_arviz`, `to_arviz`).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from veribayes import store
from veribayes.errors import InputError, ShapeError
from veribayes.inference._diagnostics import Gates, measure
from veribayes.predictive import Array
from veribayes.tree import CHAIN, DRAW

ENTRY = re.compile(r"(.+)\[(\d+(?:,\d+)*)\]")
MAX_BYTES = 2**30
STATISTICS = {"energy": "e_bfmi", "diverging": "divergences"}  # of the sampler, as arviz calls them, and the gate of each


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of named latents.

    Attributes:
        name: for the reader.
        draws: latent -> (chain, draw, *event).
        statistics: of `STATISTICS`, (chain, draw) each; what is missing was not saved.

    Raises:
        ShapeError: latents with different numbers of chains or draws.
    """

    name: str
    draws: Mapping[str, Array]
    statistics: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "draws", {n: np.asarray(v, dtype=np.float64) for n, v in self.draws.items()})
        shapes = {v.shape[:2] for v in [*self.draws.values(), *self.statistics.values()]}
        if len(shapes) != 1 or any(v.ndim < 2 for v in self.draws.values()):
            raise ShapeError(f"draws (chain, draw, ...) of one size in '{self.name}'", f"{sorted(shapes)}")

    @property
    def scalars(self) -> dict[str, Array]:
        """Every entry by name, (chain, draw): `tau`, `theta[0]`, `omega[0,1]`."""
        return {
            name + (f"[{','.join(map(str, at))}]" if at else ""): values[(..., *at)]
            for name, values in self.draws.items()
            for at in np.ndindex(values.shape[2:])
        }

    def measured(self) -> tuple[Gates, Mapping[str, Array]]:
        """Gates, (1,) each, and the statistics of the scalars behind them, (scalar,).

        What the sampler did not save is unknown: its gates are open, and `unknown` names them. A constant entry of an array
        that varies elsewhere belongs to its form (the corner of a Cholesky factor); a latent that never varies has failed.
        """
        moving = {n for n, v in self.draws.items() if np.any(np.ptp(v, axis=(0, 1)) != 0)}
        judged = [v for n, v in self.scalars.items() if np.ptp(v) != 0 or n.partition("[")[0] not in moving]
        values = np.stack(judged)[None]
        shape = values.shape[2:]
        energy = self.statistics.get("energy", np.tile(np.arange(shape[1]) % 2, (shape[0], 1)))
        diverging = self.statistics.get("diverging", np.zeros(shape))
        gates, moments = measure(values, np.asarray(energy, dtype=np.float64)[None], np.asarray(diverging, dtype=bool)[None])
        return gates, {k: v[0] for k, v in moments.items()}

    @property
    def unknown(self) -> list[str]:
        """Gates about which the file says nothing."""
        return [gate for key, gate in STATISTICS.items() if key not in self.statistics]


def read(path: str | Path) -> Posterior:
    """A saved posterior, by the kind of its file.

    Raises:
        InputError: another kind of file, a damaged one, or one without draws.
    """
    path = Path(path)
    name = path.name.lower()
    if name.endswith(".nc"):
        return from_arviz(store.read_tree(path), path.stem)
    if name.endswith((".json", ".json.zip")):
        return _from_chains(_chains(path), path.name.split(".")[0])
    raise InputError("a saved posterior .nc, .json or .json.zip", f"'{path.name}'")


def from_arviz(container: Any, name: str = "posterior") -> Posterior:
    """An `arviz.InferenceData`, a DataTree with the group `posterior`, or that group alone.

    Raises:
        InputError: nothing of that kind, or several data sets in one file.
    """
    group = _group(container, "posterior")
    if group is None and isinstance(container, xr.Dataset):
        group = container
    if group is None or not {CHAIN, DRAW} <= set(group.dims):
        raise InputError("a group 'posterior' with the dimensions chain and draw", f"'{name}' without it",
                         "moments alone cannot be compared draw by draw")  # fmt: skip
    if "dataset" in group.dims:
        raise InputError("the posterior of one data set", f"{group.sizes['dataset']} in '{name}'")
    draws = {str(n): v.transpose(CHAIN, DRAW, ...).to_numpy() for n, v in group.data_vars.items() if DRAW in v.dims}
    extra = _group(container, "sample_stats")
    known = {} if extra is None else {s: extra[s].transpose(CHAIN, DRAW).to_numpy() for s in STATISTICS if s in extra}
    return Posterior(name, draws, known)


def to_arviz(posterior: Posterior, *, legacy: bool = False) -> Any:
    """A DataTree as arviz-base >= 0.8 and arviz >= 1 read it; with `legacy` an `arviz.InferenceData` of arviz 0.23."""
    both = {"posterior": dict(posterior.draws), "sample_stats": dict(posterior.statistics)}
    groups: dict[str, Any] = {k: v for k, v in both.items() if v}
    if legacy:
        import arviz

        return arviz.from_dict(**groups)
    import arviz_base

    return arviz_base.from_dict(groups)


def _group(container: Any, name: str) -> xr.Dataset | None:
    if isinstance(container, xr.DataTree):
        return container[name].to_dataset() if name in container.children else None
    found = getattr(container, name, None)  # arviz.InferenceData
    return found if isinstance(found, xr.Dataset) else None


def _chains(path: Path) -> Any:
    """The JSON document of a file, or of the one file inside a zip."""
    if not path.is_file():
        raise InputError("a saved posterior", f"no file '{path.name}'", "check the path")
    try:
        if path.suffix.lower() != ".zip":
            return json.loads(_limited(path.stat().st_size, path).read_bytes())
        with zipfile.ZipFile(path) as archive:
            inside = [i for i in archive.infolist() if i.filename.endswith(".json")]
            if len(inside) != 1:
                raise InputError("one JSON file in the archive", f"{len(inside)} in '{path.name}'")
            _limited(inside[0].file_size, path)
            return json.loads(archive.read(inside[0]))
    except (ValueError, OSError, RecursionError, zipfile.BadZipFile) as error:
        raise InputError(f"readable JSON in '{path.name}'", " ".join(str(error).split())[:200]) from None


def _limited(size: int, path: Path) -> Path:
    if size > MAX_BYTES:
        raise InputError(f"at most {MAX_BYTES >> 30} GiB of JSON", f"{size / 2**30:.1f} GiB in '{path.name}'")
    return path


def _from_chains(chains: Any, name: str) -> Posterior:
    """Scalars by name, put together to arrays."""
    if not isinstance(chains, list) or not chains or not all(isinstance(c, dict) and c for c in chains):
        raise InputError(f"a list of chains, each an object name -> draws, in '{name}'", type(chains).__name__)
    if any(c.keys() != chains[0].keys() for c in chains):
        raise InputError(f"the same latents in every chain of '{name}'", "different names")
    try:
        scalars = {str(n): np.array([c[n] for c in chains], dtype=np.float64) for n in chains[0]}
    except (TypeError, ValueError):
        raise InputError(f"numbers, as many in every chain of '{name}'", "ragged lists or text") from None
    return Posterior(name, _assembled(scalars, name))


def _assembled(scalars: Mapping[str, Array], name: str) -> dict[str, Array]:
    """`theta[1]`, `theta[2]`, … as one array `theta`, counted from zero or from one."""
    places: dict[str, dict[tuple[int, ...], Array]] = {}
    for key, values in scalars.items():
        match = ENTRY.fullmatch(key)
        at = tuple(int(i) for i in match[2].split(",")) if match else ()
        places.setdefault(match[1] if match else key, {})[at] = values
    first = min((min(at) for entries in places.values() for at in entries if at), default=0)
    out = {}
    for latent, entries in places.items():
        shape = tuple(np.max(list(entries), axis=0) - first + 1) if all(entries) else ()
        if first > 1 or len(entries) != int(np.prod(shape)) or len({len(at) for at in entries}) > 1:
            raise InputError(f"every entry of '{latent}' in '{name}'", f"{len(entries)} of {int(np.prod(shape))}")
        order = sorted(entries)
        stacked = np.stack([entries[at] for at in order], axis=-1)
        out[latent] = stacked.reshape(*stacked.shape[:2], *shape)
    return out
