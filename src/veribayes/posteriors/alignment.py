"""Which draws of one saved posterior are to be compared with which of another, by what both files say about them.

Latents are matched by name, their axes by the names of dimensions, their entries by labels. Position decides only where
one of the files says nothing else: labels that merely count from zero or from one say no more than a position does.
What is in one only is listed. What the files contradict each other about (units, the number of axes, shapes without
names) is not compared, with the reason.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from veribayes.checked import shown
from veribayes.errors import InputError
from veribayes.posteriors.chains import Axis, Posterior, entry_name
from veribayes.predictive import Array

Entry = tuple[int, ...]


@dataclass(eq=False)
class Alignment:
    """What two posteriors have in common.

    Attributes:
        reference, candidate: name of an entry -> draws (chain, draw), under one name in both.
        reference_names, candidate_names: name of an entry -> what each file calls it.
        left_out: latents and entries that only one file has.
        not_compared: latents of both -> why they cannot be compared.
        notes: what was matched by less than names, a sentence each.
    """

    reference: dict[str, Array] = field(default_factory=dict)
    candidate: dict[str, Array] = field(default_factory=dict)
    reference_names: dict[str, str] = field(default_factory=dict)
    candidate_names: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    not_compared: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def align(reference: Posterior, candidate: Posterior) -> Alignment:
    """Entries that both posteriors have, by their names.

    Raises:
        InputError: a unit, or a label that stands twice, about which the files have to be mended; nothing in common.
    """
    found = Alignment(
        notes=[*reference.notes, *candidate.notes, *_data_notes(reference, candidate)]
    )
    sides = (reference, candidate)
    known = [{**dict.fromkeys(p.draws), **dict.fromkeys(p.unusable)} for p in sides]
    for latent in known[0]:
        if latent not in known[1]:
            continue
        reasons = [f"{why} in {shown(p.name)}" for p in sides if (why := p.unusable.get(latent))]
        if reasons:
            found.not_compared[latent] = "; ".join(reasons)
        else:
            _check_units(latent, *sides)
            _align_latent(latent, *sides, found)
    only = [n for n in (*known[0], *known[1]) if (n in known[0]) != (n in known[1])]
    found.left_out += only
    found.notes += _lookalikes(only)
    if not found.reference:
        raise _nothing_in_common(reference, candidate, known, found)
    return found


def _nothing_in_common(
    reference: Posterior, candidate: Posterior, known: Sequence[dict[str, None]], found: Alignment
) -> InputError:
    wanted = f"latents of {shown(reference.name)} ({_listed(known[0])})"
    if found.not_compared:
        return InputError(
            wanted, "; ".join(f"{shown(n)}: {why}" for n, why in found.not_compared.items())
        )
    if any(n in known[1] for n in known[0]):
        return InputError(
            f"an entry that both files have of {_listed(known[0])}",
            _listed(found.left_out),
            "labels are matched as text",
        )
    return InputError(
        wanted, f"{shown(candidate.name)} has {_listed(known[1])}", "latents are matched by name"
    )


def _listed(names: Sequence[str] | dict[str, None], most: int = 8) -> str:
    some = [shown(n) for n in list(names)[:most]]
    return ", ".join(some) + (f" and {len(names) - most} more" if len(names) > most else "")


def _check_units(latent: str, reference: Posterior, candidate: Posterior) -> None:
    units = [p.units.get(latent) for p in (reference, candidate)]
    if None not in units and units[0] != units[1]:
        raise InputError(
            f"one unit of {shown(latent)}",
            f"{shown(units[0])} and {shown(units[1])}",
            "convert one of the files",
        )


def _data_notes(reference: Posterior, candidate: Posterior) -> list[str]:
    """Observed data of which the files hold different values: these are posteriors of different questions."""
    both = [n for n in reference.data if n in candidate.data]
    differ = [
        n for n in both if not _same(np.asarray(reference.data[n]), np.asarray(candidate.data[n]))
    ]
    return [f"the files hold different observed data: {_listed(differ)}"] if differ else []


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind in "iufb" and other.dtype.kind in "iufb":
        return bool(np.allclose(one.astype(float), other.astype(float), rtol=1e-5, equal_nan=True))
    return bool(np.array_equal(one.astype(str), other.astype(str)))


def _lookalikes(names: Sequence[str]) -> list[str]:
    """Names that look the same and are not."""
    forms: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        visible = "".join(
            c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf"
        ).strip()
        forms.setdefault(visible, []).append(name)
    return [
        f"{' and '.join(map(ascii, same))} look alike and are different names"
        for same in forms.values()
        if len(same) > 1
    ]


# -- one latent ----------------------------------------------------------------------------------------------------------


def _align_latent(
    latent: str, reference: Posterior, candidate: Posterior, found: Alignment
) -> None:
    sides = [
        _bare(p, latent, len(q.axes_of(latent)))
        for p, q in ((reference, candidate), (candidate, reference))
    ]
    (draws, axes), (others, other_axes) = sides
    if len(axes) != len(other_axes):
        found.not_compared[latent] = (
            f"{len(axes)} axes in {shown(reference.name)}, {len(other_axes)} in {shown(candidate.name)}"
        )
        return
    for side, p in zip((axes, other_axes), (reference, candidate), strict=True):
        _check_labels(latent, side, p)
    order = _axis_order(axes, other_axes)
    others, other_axes = (
        np.transpose(others, (0, 1, *(2 + i for i in order))),
        [other_axes[i] for i in order],
    )
    sizes, other_sizes = draws.shape[2:], others.shape[2:]
    counted = [a.labels is None or b.labels is None for a, b in zip(axes, other_axes, strict=True)]
    if len(axes) > 1 and any(
        c and m != n for c, m, n in zip(counted, sizes, other_sizes, strict=True)
    ):
        found.not_compared[latent] = (
            f"shapes {sizes} and {other_sizes} without labels that say what is what"
        )
        return
    _add_notes(latent, axes, other_axes, sizes, other_sizes, found)
    keys = [
        _keys(a, b, m, n) for a, b, m, n in zip(axes, other_axes, sizes, other_sizes, strict=True)
    ]
    _add_entries(latent, (draws, axes), (others, other_axes), keys, found)


def _bare(posterior: Posterior, latent: str, wanted: int) -> tuple[Array, list[Axis]]:
    """Draws and axes, without axes of length one that the other file does not have."""
    draws, axes = posterior.draws[latent], list(posterior.axes_of(latent))
    for i in reversed(range(len(axes))):
        if len(axes) > wanted and draws.shape[2 + i] == 1:
            draws, axes = np.squeeze(draws, 2 + i), [*axes[:i], *axes[i + 1 :]]
    return draws, axes


def _check_labels(latent: str, axes: Sequence[Axis], posterior: Posterior) -> None:
    for axis in axes:
        if axis.labels is not None and len(set(axis.labels)) < len(axis.labels):
            twice = next(x for x in axis.labels if axis.labels.count(x) > 1)
            along = f" along {shown(axis.name)}" if axis.name else ""
            raise InputError(
                f"different labels of {shown(latent)}{along} in {shown(posterior.name)}",
                f"{shown(twice)} twice",
            )


def _axis_order(axes: Sequence[Axis], others: Sequence[Axis]) -> list[int]:
    """Which axis of the other file each axis is: by name, else by its set of labels, else the next one that is left."""
    order: list[int | None] = [None] * len(axes)
    left = list(range(len(others)))
    for same in (_same_name, _same_labels):
        for i, axis in enumerate(axes):
            fitting = [j for j in left if order[i] is None and same(axis, others[j])]
            if len(fitting) == 1:
                order[i] = fitting[0]
                left.remove(fitting[0])
    return [left.pop(0) if j is None else j for j in order]


def _same_name(one: Axis, other: Axis) -> bool:
    return bool(one.name) and one.name == other.name


def _same_labels(one: Axis, other: Axis) -> bool:
    if one.labels is None or other.labels is None or _counts(one.labels) is not None:
        return False
    return set(one.labels) == set(other.labels)


def _counts(labels: tuple[str, ...]) -> int | None:
    """Where labels that merely count begin: zero or one; None for labels that say more."""
    for first in (0, 1):
        if set(labels) == {str(first + i) for i in range(len(labels))}:
            return first
    return None


def _keys(one: Axis, other: Axis, size: int, other_size: int) -> tuple[list[str], list[str]]:
    """Labels of both sides under which entries are matched."""
    mine = one.labels or tuple(map(str, range(size)))
    theirs = other.labels or tuple(map(str, range(other_size)))
    if set(mine) == set(theirs):
        return list(mine), list(theirs)
    first, other_first = _counts(mine), _counts(theirs)
    if first is not None and other_first is not None:  # counted from zero, and from one
        return _from_zero(mine, first), _from_zero(theirs, other_first)
    if first is not None and size == other_size:  # one side counts what the other one names
        return [theirs[int(x) - first] for x in mine], list(theirs)
    if other_first is not None and size == other_size:
        return list(mine), [mine[int(x) - other_first] for x in theirs]
    return list(mine), list(theirs)


def _from_zero(labels: Sequence[str], first: int) -> list[str]:
    return [str(int(x) - first) for x in labels]


def _add_notes(
    latent: str,
    axes: Sequence[Axis],
    others: Sequence[Axis],
    sizes: Entry,
    other_sizes: Entry,
    found: Alignment,
) -> None:
    for one, other, m, n in zip(axes, others, sizes, other_sizes, strict=True):
        mine, theirs = (x.labels or tuple(map(str, range(k))) for x, k in ((one, m), (other, n)))
        if one.name and other.name and one.name != other.name:
            found.notes.append(
                f"the dimension {shown(one.name)} of {shown(latent)} is {shown(other.name)} in the candidate"
            )
        if (
            set(mine) != set(theirs)
            and m == n
            and (_counts(mine) is None) != (_counts(theirs) is None)
        ):
            found.notes.append(
                f"entries of {shown(latent)} are matched by position: one file counts what the other one names"
            )
        starts = (_counts(mine), _counts(theirs))
        if (
            one.labels is not None
            and other.labels is not None
            and None not in starts
            and starts[0] != starts[1]
            and min(m, n) > 1
        ):
            found.notes.append(
                f"entries of {shown(latent)} are counted from {starts[0]} and from {starts[1]}"
            )


def _add_entries(
    latent: str, one: tuple[Array, list[Axis]], other: tuple[Array, list[Axis]],
    keys: Sequence[tuple[list[str], list[str]]], found: Alignment,
) -> None:  # fmt: skip
    (draws, axes), (others, other_axes) = one, other
    places = {
        tuple(theirs[i] for (_, theirs), i in zip(keys, at, strict=True)): at
        for at in np.ndindex(others.shape[2:])
    }
    for at in np.ndindex(draws.shape[2:]):
        name = entry_name(latent, tuple(axes), at)
        there = places.pop(tuple(mine[i] for (mine, _), i in zip(keys, at, strict=True)), None)
        if there is None:
            found.left_out.append(name)
            continue
        shown_as = _better_name(latent, (axes, at), (other_axes, there))
        found.reference[shown_as], found.candidate[shown_as] = (
            draws[(..., *at)],
            others[(..., *there)],
        )
        found.reference_names[shown_as] = name
        found.candidate_names[shown_as] = entry_name(latent, tuple(other_axes), there)
    found.left_out += [entry_name(latent, tuple(other_axes), at) for at in places.values()]


def _better_name(
    latent: str, one: tuple[list[Axis], Entry], other: tuple[list[Axis], Entry]
) -> str:
    """The name by labels that say something, whichever file has them."""
    axes = [
        b if a.labels is None and b.labels is not None else a
        for a, b in zip(one[0], other[0], strict=True)
    ]
    at = [
        j if a.labels is None and b.labels is not None else i
        for a, b, i, j in zip(one[0], other[0], one[1], other[1], strict=True)
    ]
    return entry_name(latent, tuple(axes), tuple(at))
