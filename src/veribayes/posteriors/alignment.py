"""Which draws of one saved posterior are compared with which of another.

Latents are matched by name, their axes by the names of dimensions, their entries by labels.
Position decides only where one of the files says nothing else: labels that merely count from zero
or from one say no more than a position does. What is in one only is listed. What the files
contradict each other about (units, the number of axes, shapes without names) is not compared, with
the reason.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from veribayes.errors import InputError, shown
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
        InputError: a unit, or a label that stands twice, about which the files have to be mended;
            nothing in common.
    """
    sides = (reference, candidate)
    notes = [*reference.notes, *candidate.notes, *_data_notes(reference, candidate)]
    alignment = Alignment(notes=notes)
    reference_latents, candidate_latents = _latents(reference), _latents(candidate)
    for latent in reference_latents:
        if latent not in candidate_latents:
            continue
        reasons = [
            f"{side.unusable[latent]} in {shown(side.name)}"
            for side in sides
            if latent in side.unusable
        ]
        if reasons:
            alignment.not_compared[latent] = "; ".join(reasons)
        else:
            _check_units(latent, *sides)
            _align_latent(latent, *sides, alignment)
    lone = [latent for latent in reference_latents if latent not in candidate_latents]
    lone += [latent for latent in candidate_latents if latent not in reference_latents]
    alignment.left_out += lone
    alignment.notes += _lookalikes(lone)
    if not alignment.reference:
        raise _nothing_in_common(reference, candidate, alignment)
    return alignment


def _latents(posterior: Posterior) -> list[str]:
    """Names of all that has draws, usable or not, each once."""
    return list(dict.fromkeys([*posterior.draws, *posterior.unusable]))


def _nothing_in_common(
    reference: Posterior, candidate: Posterior, alignment: Alignment
) -> InputError:
    mine, theirs = _latents(reference), _latents(candidate)
    wanted = f"latents of {shown(reference.name)} ({_listed(mine)})"
    if alignment.not_compared:
        reasons = [f"{shown(latent)}: {why}" for latent, why in alignment.not_compared.items()]
        return InputError(wanted, "; ".join(reasons))
    if any(latent in theirs for latent in mine):
        wanted = f"an entry that both files have of {_listed(mine)}"
        return InputError(wanted, _listed(alignment.left_out), "labels are matched as text")
    held = f"{shown(candidate.name)} has {_listed(theirs)}"
    return InputError(wanted, held, "latents are matched by name")


def _listed(names: Sequence[str], most: int = 8) -> str:
    first = ", ".join(shown(name) for name in names[:most])
    more = len(names) - most
    return f"{first} and {more} more" if more > 0 else first


def _check_units(latent: str, reference: Posterior, candidate: Posterior) -> None:
    unit, other = reference.units.get(latent), candidate.units.get(latent)
    if unit is not None and other is not None and unit != other:
        both = f"{shown(unit)} and {shown(other)}"
        raise InputError(f"one unit of {shown(latent)}", both, "convert one of the files")


def _data_notes(reference: Posterior, candidate: Posterior) -> list[str]:
    """Observed data that differ between the files: these are posteriors of different questions."""
    differing = []
    for name, values in reference.data.items():
        others = candidate.data.get(name)
        if others is not None and not _same(np.asarray(values), np.asarray(others)):
            differing.append(name)
    return [f"the files hold different observed data: {_listed(differing)}"] if differing else []


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind in "iufb" and other.dtype.kind in "iufb":
        return bool(np.allclose(one.astype(float), other.astype(float), rtol=1e-5, equal_nan=True))
    return bool(np.array_equal(one.astype(str), other.astype(str)))


def _lookalikes(names: Sequence[str]) -> list[str]:
    """Names that look the same and are not."""
    by_appearance: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        by_appearance.setdefault(_appearance(name), []).append(name)
    groups = [" and ".join(map(ascii, group)) for group in by_appearance.values() if group[1:]]
    return [f"{group} look alike and are different names" for group in groups]


def _appearance(name: str) -> str:
    """What is seen of a name: composed, without characters that only steer the layout."""
    composed = unicodedata.normalize("NFKC", name)
    visible = [letter for letter in composed if unicodedata.category(letter) != "Cf"]
    return "".join(visible).strip()


@dataclass(eq=False)
class _Side:
    """One latent as one of the files has it."""

    draws: Array
    axes: list[Axis]

    @property
    def sizes(self) -> Entry:
        """Lengths of the axes behind chain and draw."""
        return self.draws.shape[2:]

    def labels(self, axis: int) -> tuple[str, ...]:
        """Labels along an axis, counted from zero where the file has none."""
        return self.axes[axis].labels or tuple(map(str, range(self.sizes[axis])))

    def reordered(self, order: Sequence[int]) -> _Side:
        """The same with its axes in this order."""
        behind = [2 + axis for axis in order]
        return _Side(np.transpose(self.draws, (0, 1, *behind)), [self.axes[i] for i in order])


def _align_latent(
    latent: str, reference: Posterior, candidate: Posterior, alignment: Alignment
) -> None:
    one = _bare(reference, latent, len(candidate.axes_of(latent)))
    other = _bare(candidate, latent, len(reference.axes_of(latent)))
    if len(one.axes) != len(other.axes):
        mine = f"{len(one.axes)} axes in {shown(reference.name)}"
        alignment.not_compared[latent] = f"{mine}, {len(other.axes)} in {shown(candidate.name)}"
        return
    _check_labels(latent, one.axes, reference)
    _check_labels(latent, other.axes, candidate)
    other = other.reordered(_axis_order(one.axes, other.axes))
    if len(one.axes) > 1 and _counts_differ(one, other):
        shapes = f"shapes {one.sizes} and {other.sizes}"
        alignment.not_compared[latent] = f"{shapes} without labels that say what is what"
        return
    for axis in range(len(one.axes)):
        alignment.notes += _axis_notes(latent, one, other, axis)
    _add_entries(latent, one, other, alignment)


def _bare(posterior: Posterior, latent: str, wanted: int) -> _Side:
    """Draws and axes, without axes of length one that the other file does not have."""
    draws, axes = posterior.draws[latent], list(posterior.axes_of(latent))
    for i in reversed(range(len(axes))):
        if len(axes) > wanted and draws.shape[2 + i] == 1:
            draws = np.squeeze(draws, 2 + i)
            del axes[i]
    return _Side(draws, axes)


def _counts_differ(one: _Side, other: _Side) -> bool:
    """Whether an axis that one of the files only counts has another length in the other."""
    for axis in range(len(one.axes)):
        counted = one.axes[axis].labels is None or other.axes[axis].labels is None
        if counted and one.sizes[axis] != other.sizes[axis]:
            return True
    return False


def _check_labels(latent: str, axes: Sequence[Axis], posterior: Posterior) -> None:
    for axis in axes:
        labels = axis.labels or ()
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            along = f" along {shown(axis.name)}" if axis.name else ""
            wanted = f"different labels of {shown(latent)}{along} in {shown(posterior.name)}"
            raise InputError(wanted, f"{shown(twice)} twice")


def _axis_order(axes: Sequence[Axis], others: Sequence[Axis]) -> list[int]:
    """Which axis of the other file each axis is: by name, by labels, or the next that is left."""
    order: dict[int, int] = {}
    left = list(range(len(others)))
    for same in (_same_name, _same_labels):
        for i, axis in enumerate(axes):
            fitting = [j for j in left if same(axis, others[j])]
            if i not in order and len(fitting) == 1:
                order[i] = fitting[0]
                left.remove(fitting[0])
    for i in range(len(axes)):
        if i not in order:
            order[i] = left.pop(0)
    return [order[i] for i in range(len(axes))]


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


def _keys(one: _Side, other: _Side, axis: int) -> tuple[list[str], list[str]]:
    """Labels of both sides along an axis, under which entries are matched."""
    mine, theirs = one.labels(axis), other.labels(axis)
    if set(mine) == set(theirs):
        return list(mine), list(theirs)
    first, other_first = _counts(mine), _counts(theirs)
    if first is not None and other_first is not None:  # counted from zero, and from one
        return _from_zero(mine, first), _from_zero(theirs, other_first)
    if len(mine) == len(theirs) and first is not None:  # one counts what the other one names
        return [theirs[int(label) - first] for label in mine], list(theirs)
    if len(mine) == len(theirs) and other_first is not None:
        return list(mine), [mine[int(label) - other_first] for label in theirs]
    return list(mine), list(theirs)


def _from_zero(labels: Sequence[str], first: int) -> list[str]:
    return [str(int(label) - first) for label in labels]


def _axis_notes(latent: str, one: _Side, other: _Side, axis: int) -> list[str]:
    """What of an axis was matched by less than names."""
    notes = []
    name, other_name = one.axes[axis].name, other.axes[axis].name
    if name and other_name and name != other_name:
        dimension = f"the dimension {shown(name)} of {shown(latent)}"
        notes.append(f"{dimension} is {shown(other_name)} in the candidate")
    mine, theirs = one.labels(axis), other.labels(axis)
    first, other_first = _counts(mine), _counts(theirs)
    one_counts = (first is None) != (other_first is None)
    if set(mine) != set(theirs) and len(mine) == len(theirs) and one_counts:
        matched = f"entries of {shown(latent)} are matched by position"
        notes.append(f"{matched}: one file counts what the other one names")
    labelled = one.axes[axis].labels is not None and other.axes[axis].labels is not None
    both_count = first is not None and other_first is not None
    if labelled and both_count and first != other_first and min(len(mine), len(theirs)) > 1:
        counted = f"entries of {shown(latent)} are counted from {first}"
        notes.append(f"{counted} and from {other_first}")
    return notes


def _add_entries(latent: str, one: _Side, other: _Side, alignment: Alignment) -> None:
    """Entries of both sides under one name, and what only one side has."""
    keys = [_keys(one, other, axis) for axis in range(len(one.axes))]
    axes, other_axes = tuple(one.axes), tuple(other.axes)
    places: dict[tuple[str, ...], tuple[Any, ...]] = {}
    for at in np.ndindex(other.sizes):
        key = tuple(theirs[i] for (_, theirs), i in zip(keys, at, strict=True))
        places[key] = at
    for at in np.ndindex(one.sizes):
        name = entry_name(latent, axes, at)
        key = tuple(mine[i] for (mine, _), i in zip(keys, at, strict=True))
        there = places.pop(key, None)
        if there is None:
            alignment.left_out.append(name)
            continue
        common = _common_name(latent, (axes, at), (other_axes, there))
        alignment.reference[common] = one.draws[(..., *at)]
        alignment.candidate[common] = other.draws[(..., *there)]
        alignment.reference_names[common] = name
        alignment.candidate_names[common] = entry_name(latent, other_axes, there)
    alignment.left_out += [entry_name(latent, other_axes, at) for at in places.values()]


def _common_name(
    latent: str, one: tuple[Sequence[Axis], Entry], other: tuple[Sequence[Axis], Entry]
) -> str:
    """The name by labels that say something, whichever file has them."""
    axes, at = [], []
    for axis, other_axis, i, j in zip(one[0], other[0], one[1], other[1], strict=True):
        theirs = axis.labels is None and other_axis.labels is not None
        axes.append(other_axis if theirs else axis)
        at.append(j if theirs else i)
    return entry_name(latent, tuple(axes), tuple(at))
