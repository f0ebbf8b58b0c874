"""Draws that CmdStan wrote: a CSV file a chain, with comments behind `#`, columns of the sampler
that end in `__`, and `theta.1.2` for an entry of an array, counted from one.

Draws of the warm-up are left out where the file says that it holds them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from veribayes.errors import InputError, shown
from veribayes.posteriors.chains import Posterior
from veribayes.predictive import Array

ENTRY = re.compile(r"(.+?)((?:\.[0-9]+)+)", re.ASCII)
SAMPLER = {"divergent__": "diverging", "energy__": "energy"}
SETTING = re.compile(r"#\s*(save_warmup|num_warmup|warmup|thin)\s*=\s*(\w+)", re.ASCII)
MAX_BYTES = 2**32  # of one file
Columns = dict[str, Array]


def read_chains(paths: Sequence[str | Path]) -> Posterior:
    """The posterior of which each file holds a chain.

    Raises:
        InputError: no file, one that is none of CmdStan's, or chains with other latents or lengths.
    """
    files = [Path(path) for path in paths]
    if not files:
        raise InputError("at least one file with a chain", "none")
    chains = [_columns(file) for file in files]
    first, name = chains[0], files[0].stem
    for file, chain in zip(files, chains, strict=True):
        if list(chain) != list(first):
            raise InputError(
                f"the columns of {shown(files[0].name)}", f"others in {shown(file.name)}"
            )
        if len(next(iter(chain.values()))) != len(next(iter(first.values()))):
            raise InputError("chains of one length", f"another in {shown(file.name)}")
    joined: dict[str, Any] = {}
    for column in first:
        joined[column] = np.stack([chain[column] for chain in chains])
    said = {name: joined[column] for column, name in SAMPLER.items() if column in joined}
    if "diverging" in said:
        said["diverging"] = said["diverging"] > 0
    latents = {column: v for column, v in joined.items() if not column.endswith("__")}
    return Posterior(name, _arrays(latents, name), said)


def _columns(path: Path) -> Columns:
    """The columns of one chain behind its warm-up."""
    if not path.is_file():
        raise InputError("a chain in a CSV file", f"no file {shown(path.name)}", "check the path")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"at most {MAX_BYTES >> 30} GiB in {shown(path.name)}", "more")
    settings: dict[str, str] = {}
    lines = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for line in file:
                if line.startswith("#"):
                    settings |= dict(SETTING.findall(line))
                elif line.strip():
                    lines.append(line)
        rows = list(csv.reader(lines))
        names, table = rows[0], np.array(rows[1:], dtype=np.float64)
    except (ValueError, OSError, IndexError, csv.Error) as error:
        reason = " ".join(str(error).split())[:200]
        remedy = "it may be cut off or damaged"
        raise InputError(f"draws of CmdStan in {shown(path.name)}", reason, remedy) from None
    if table.ndim != 2 or not len(table) or len(set(names)) < len(names):
        raise InputError(f"draws of CmdStan in {shown(path.name)}", "no table of draws")
    warmup = _warmup(settings)
    if warmup >= len(table):
        raise InputError(f"draws behind the {warmup} of the warm-up", f"{len(table)} in all")
    return {name: table[warmup:, i] for i, name in enumerate(names)}


def _warmup(settings: Mapping[str, str]) -> int:
    """How many of the draws that are saved belong to the warm-up."""
    if settings.get("save_warmup", "0") not in ("1", "true"):
        return 0
    draws = int(settings.get("num_warmup", settings.get("warmup", "1000")))
    return -(-draws // int(settings.get("thin", "1")))


def _arrays(columns: Mapping[str, Array], name: str) -> dict[str, Array]:
    """Latents (chain, draw, *event) from columns of entries.

    Raises:
        InputError: an array of which an entry is missing.
    """
    places: dict[str, dict[tuple[int, ...], Array]] = {}
    for column, values in columns.items():
        entry = ENTRY.fullmatch(column)
        latent = entry[1] if entry else column
        indices = entry[2].split(".")[1:] if entry else []
        places.setdefault(latent, {})[tuple(int(i) - 1 for i in indices)] = values
    arrays = {}
    for latent, entries in places.items():
        shape = (
            tuple(int(n) + 1 for n in np.max(list(entries), axis=0)) if () not in entries else ()
        )
        if len(entries) != int(np.prod(shape, dtype=int)):
            wanted = f"all entries of {shown(latent)} in {shown(name)}"
            raise InputError(wanted, f"{len(entries)} of {int(np.prod(shape, dtype=int))}")
        values = np.empty((*next(iter(entries.values())).shape, *shape))
        for place, column_values in entries.items():
            index: Any = (..., *place)
            values[index] = column_values
        arrays[latent] = values
    return arrays
