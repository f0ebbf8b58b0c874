"""posteriordb's JSON (arXiv 2407.04967): a list of chains, each an object name -> draws.

`theta[1]` is an entry of the array `theta`, counted from zero or from one in a whole file;
`theta[Choate]` is one with a label. Null and NaN are missing values. What a file repeats or leaves
out is refused with its name.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from veribayes.errors import InputError, shown
from veribayes.posteriors.chains import KINDS, Axis, Posterior
from veribayes.predictive import Array

ENTRY = re.compile(r"(.+)\[([^\[\]]+)\]")
MAX_BYTES = 2**30
UNREADABLE = (  # what the readers of JSON and of archives raise on damaged files
    ValueError,
    OSError,
    RecursionError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
)
Place = tuple[str, ...]  # of an entry: what stands between the brackets


def document(path: Path) -> Any:
    """The JSON document of a file, or of the one file inside a zip."""
    try:
        return _parsed(_archived(path) if path.suffix.lower() == ".zip" else _plain(path))
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"readable JSON in {shown(path.name)}", reason) from None


def _plain(path: Path) -> bytes:
    _limit_size(path.stat().st_size, path)
    return path.read_bytes()


def _archived(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        inside = [info for info in files if info.filename.lower().endswith(".json")]
        if len(inside) != 1:
            found = f"{len(inside)} in {shown(path.name)}"
            raise InputError("one JSON file in the archive", found)
        _limit_size(inside[0].file_size, path)
        with archive.open(inside[0]) as file:
            return file.read(MAX_BYTES + 1)


def _parsed(text: bytes) -> Any:
    return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are different: of two with one name a reader would drop one in
    silence.
    """
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(twice)} twice in one object")
    return members


def _limit_size(size: int, path: Path) -> None:
    if size > MAX_BYTES:
        wanted = f"at most {MAX_BYTES >> 30} GiB of JSON"
        raise InputError(wanted, f"{size / 2**30:.1f} GiB in {shown(path.name)}")


def from_chains(chains: Any, name: str) -> Posterior:
    """Scalars by name, put together to arrays."""
    objects = isinstance(chains, list) and all(isinstance(chain, dict) for chain in chains)
    if not chains or not objects or not all(chains):
        wanted = f"a list of chains, each an object name -> draws, in {shown(name)}"
        raise InputError(wanted, type(chains).__name__)
    _check_names(chains, name)
    scalars, unusable = {}, {}
    for latent in chains[0]:
        values = _column(latent, [chain[latent] for chain in chains], name)
        if values is None:
            unusable[latent] = "text"
        else:
            scalars[latent] = values
    if not scalars:
        raise InputError(f"numbers in {shown(name)}", f"text in {shown(list(unusable))}")
    draws, axes = _assembled(scalars, name)
    return Posterior(name, draws, axes=axes, unusable=unusable)


def _check_names(chains: list[dict[str, Any]], name: str) -> None:
    every = set.intersection(*(set(chain) for chain in chains))
    odd = sorted({latent for chain in chains for latent in chain if latent not in every})
    if odd:
        wanted = f"the same latents in every chain of {shown(name)}"
        raise InputError(wanted, f"{shown(odd)} not in all")


def _column(latent: str, chains: list[Any], name: str) -> Array | None:
    """One latent, (chain, draw, *event); None for text."""
    wanted = f"numbers of {shown(latent)}, as many in every chain of {shown(name)}"
    try:
        values = np.array(chains)
        if values.dtype.kind == "U":
            return None
        if values.dtype == object and all(map(_is_number, values.flat)):
            values = values.astype(np.float64)  # null is a missing value
    except (ValueError, OverflowError):
        raise InputError(wanted, "ragged lists or numbers beyond 1e308") from None
    if values.ndim < 2 or values.dtype.kind not in KINDS:
        raise InputError(wanted, "ragged lists or text")
    return values.astype(np.float64)


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, int | float)


def _assembled(
    scalars: Mapping[str, Array], name: str
) -> tuple[dict[str, Array], dict[str, tuple[Axis, ...]]]:
    """`theta[1]`, `theta[2]`, … as one array `theta`, counted or with labels; and its axes."""
    entries_of = _entries(scalars, name)
    first = min(_firsts(entries_of), default=0)
    draws, axes = {}, {}
    for latent, entries in entries_of.items():
        shapes = {values.shape for values in entries.values()}
        ranks = {len(place) for place in entries}
        if len(shapes) > 1 or len(ranks) > 1:
            raise InputError(f"entries of {shown(latent)} of one shape in {shown(name)}", "others")
        if _is_counted(entries):
            draws[latent] = _counted(latent, entries, first, name)
        else:
            draws[latent], axes[latent] = _labelled(latent, entries, name)
    return draws, axes


def _entries(scalars: Mapping[str, Array], name: str) -> dict[str, dict[Place, Array]]:
    """Latent -> place -> draws; numbers in places without leading zeros."""
    entries_of: dict[str, dict[Place, Array]] = {}
    for key, values in scalars.items():
        match = ENTRY.fullmatch(key)
        latent = match[1] if match else key
        parts = [part.strip() for part in match[2].split(",")] if match else []
        place = tuple(str(int(part)) if part.isdecimal() else part for part in parts)
        entries = entries_of.setdefault(latent, {})
        if place in entries:
            raise InputError(f"every entry of {shown(latent)} once in {shown(name)}", shown(key))
        entries[place] = values
    return entries_of


def _is_counted(entries: Mapping[Place, Array]) -> bool:
    return all(part.isdecimal() for place in entries for part in place)


def _firsts(entries_of: Mapping[str, Mapping[Place, Array]]) -> Iterator[int]:
    """The least number of every place of a latent whose entries are counted."""
    for entries in entries_of.values():
        if _is_counted(entries):
            yield from (min(map(int, place)) for place in entries if place)


def _counted(latent: str, entries: Mapping[Place, Array], first: int, name: str) -> Array:
    by_number = {tuple(map(int, place)): values for place, values in entries.items()}
    shape: tuple[int, ...] = ()
    if all(by_number):
        shape = tuple(np.max(list(by_number), axis=0) - first + 1)
    _check_complete(latent, len(by_number), shape, first > 1, name)
    stacked = np.stack([by_number[place] for place in sorted(by_number)], axis=2)
    return stacked.reshape(*stacked.shape[:2], *shape, *stacked.shape[3:])


def _labelled(
    latent: str, entries: Mapping[Place, Array], name: str
) -> tuple[Array, tuple[Axis, ...]]:
    labels = [tuple(dict.fromkeys(column)) for column in zip(*entries, strict=True)]
    shape = tuple(map(len, labels))
    values = next(iter(entries.values()))
    _check_complete(latent, len(entries), shape, values.ndim > 2, name)
    array = np.empty((*values.shape, *shape))
    entries_first = np.moveaxis(array, (0, 1), (-2, -1))
    for place, drawn in entries.items():
        at = [column.index(part) for column, part in zip(labels, place, strict=True)]
        entries_first[tuple(at)] = drawn
    return array, tuple(Axis("", column) for column in labels)


def _check_complete(latent: str, count: int, shape: tuple[int, ...], odd: bool, name: str) -> None:
    size = int(np.prod(shape))
    if odd or count != size:
        wanted = f"every entry of {shown(latent)} in {shown(name)}"
        raise InputError(wanted, f"{count} of {size}")
