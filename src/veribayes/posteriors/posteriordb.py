"""posteriordb's JSON (arXiv 2407.04967): a list of chains, each an object name -> draws.

`theta[1]` is an entry of the array `theta`, counted from zero or from one in a whole file; `theta[Choate]` is one with a label.
Null and NaN are missing values. What a file repeats or leaves out is refused with its name.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from veribayes.checked import shown
from veribayes.errors import InputError
from veribayes.posteriors.chains import KINDS, Axis, Posterior
from veribayes.predictive import Array

ENTRY = re.compile(r"(.+)\[([^\[\]]+)\]")
MAX_BYTES = 2**30


def document(path: Path) -> Any:
    """The JSON document of a file, or of the one file inside a zip."""
    try:
        if path.suffix.lower() != ".zip":
            return _parsed(_limited(path.stat().st_size, path).read_bytes())
        with zipfile.ZipFile(path) as archive:
            inside = [
                i
                for i in archive.infolist()
                if i.filename.lower().endswith(".json") and not i.is_dir()
            ]
            if len(inside) != 1:
                raise InputError(
                    "one JSON file in the archive", f"{len(inside)} in {shown(path.name)}"
                )
            _limited(inside[0].file_size, path)
            with archive.open(inside[0]) as file:
                return _parsed(file.read(MAX_BYTES + 1))
    except (
        ValueError,
        OSError,
        RecursionError,
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
    ) as error:
        raise InputError(
            f"readable JSON in {shown(path.name)}", " ".join(str(error).split())[:200]
        ) from None


def _parsed(text: bytes) -> Any:
    return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are different: of two with one name a reader would drop one in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [n for n, _ in pairs]
        twice = next(n for n in names if names.count(n) > 1)
        raise ValueError(f"{shown(twice)} twice in one object")
    return found


def _limited(size: int, path: Path) -> Path:
    if size > MAX_BYTES:
        raise InputError(
            f"at most {MAX_BYTES >> 30} GiB of JSON",
            f"{size / 2**30:.1f} GiB in {shown(path.name)}",
        )
    return path


def from_chains(chains: Any, name: str) -> Posterior:
    """Scalars by name, put together to arrays."""
    if (
        not isinstance(chains, list)
        or not chains
        or not all(isinstance(c, dict) and c for c in chains)
    ):
        raise InputError(
            f"a list of chains, each an object name -> draws, in {shown(name)}",
            type(chains).__name__,
        )
    if any(c.keys() != chains[0].keys() for c in chains):
        odd = sorted({n for c in chains for n in c.keys() ^ chains[0].keys()})
        raise InputError(
            f"the same latents in every chain of {shown(name)}", f"{shown(odd)} not in all"
        )
    scalars, unusable = {}, {}
    for latent in chains[0]:
        values = _column(latent, [c[latent] for c in chains], name)
        if values is None:
            unusable[latent] = "text"
        else:
            scalars[latent] = values
    if not scalars:
        raise InputError(f"numbers in {shown(name)}", f"text in {shown(list(unusable))}")
    draws, axes = _assembled(scalars, name)
    return Posterior(name, draws, axes=axes, unusable=unusable)


def _column(latent: str, chains: list[Any], name: str) -> Array | None:
    """One latent, (chain, draw, *event); None for text."""
    wanted = f"numbers of {shown(latent)}, as many in every chain of {shown(name)}"
    try:
        values = np.array(chains)
        if values.dtype.kind == "U":
            return None
        if values.dtype == object and all(
            v is None or isinstance(v, int | float) for v in values.flat
        ):
            values = values.astype(np.float64)  # null is a missing value
    except (ValueError, OverflowError):
        raise InputError(wanted, "ragged lists or numbers beyond 1e308") from None
    if values.ndim < 2 or values.dtype.kind not in KINDS:
        raise InputError(wanted, "ragged lists or text")
    return values.astype(np.float64)


def _assembled(
    scalars: Mapping[str, Array], name: str
) -> tuple[dict[str, Array], dict[str, tuple[Axis, ...]]]:
    """`theta[1]`, `theta[2]`, … as one array `theta`, counted from zero or from one, or with labels; and its axes."""
    places: dict[str, dict[tuple[str, ...], Array]] = {}
    for key, values in scalars.items():
        match = ENTRY.fullmatch(key)
        at = tuple(part.strip() for part in match[2].split(",")) if match else ()
        entries = places.setdefault(match[1] if match else key, {})
        at = tuple(str(int(p)) if p.isdecimal() else p for p in at)
        if at in entries:
            raise InputError(
                f"every entry of {shown(match[1] if match else key)} once in {shown(name)}",
                shown(key),
            )
        entries[at] = values
    numbered = {n: e for n, e in places.items() if all(p.isdecimal() for at in e for p in at)}
    first = min((min(map(int, at)) for e in numbered.values() for at in e if at), default=0)
    draws, axes = {}, {}
    for latent, entries in places.items():
        if (
            len({values.shape for values in entries.values()}) > 1
            or len({len(at) for at in entries}) > 1
        ):
            raise InputError(f"entries of {shown(latent)} of one shape in {shown(name)}", "others")
        if latent in numbered:
            draws[latent] = _counted(
                latent, {tuple(map(int, at)): v for at, v in entries.items()}, first, name
            )
        else:
            draws[latent], axes[latent] = _labelled(latent, entries, name)
    return draws, axes


def _counted(latent: str, entries: Mapping[tuple[int, ...], Array], first: int, name: str) -> Array:
    shape = tuple(np.max(list(entries), axis=0) - first + 1) if all(entries) else ()
    if first > 1 or len(entries) != int(np.prod(shape)):
        raise InputError(
            f"every entry of {shown(latent)} in {shown(name)}",
            f"{len(entries)} of {int(np.prod(shape))}",
        )
    stacked = np.stack([entries[at] for at in sorted(entries)], axis=2)
    return stacked.reshape(*stacked.shape[:2], *shape, *stacked.shape[3:])


def _labelled(
    latent: str, entries: Mapping[tuple[str, ...], Array], name: str
) -> tuple[Array, tuple[Axis, ...]]:
    labels = [tuple(dict.fromkeys(column)) for column in zip(*entries, strict=True)]
    shape = tuple(map(len, labels))
    values = next(iter(entries.values()))
    if values.ndim > 2 or len(entries) != int(np.prod(shape)):
        raise InputError(
            f"every entry of {shown(latent)} in {shown(name)}",
            f"{len(entries)} of {int(np.prod(shape))}",
        )
    out = np.empty((*values.shape, *shape))
    for at, drawn in entries.items():
        place = tuple(column.index(part) for column, part in zip(labels, at, strict=True))
        np.moveaxis(out, (0, 1), (-2, -1))[place] = drawn
    return out, tuple(Axis("", column) for column in labels)
