"""Recorded predictions as a candidate, from a file or a tree that `--keep-predictions` has left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import xarray as xr

from veribayes.candidates._adapter import BY_NAME, Adapter
from veribayes.candidates._asking import TRUSTED, queries_of
from veribayes.candidates._identity import predictive_digest
from veribayes.candidates.tables import recorded_rows
from veribayes.errors import EntryError, InputError
from veribayes.models._contexts import read_table
from veribayes.models._task import Task
from veribayes.predictive import Predictive, as_predictive
from veribayes.storage.store import by_labels, digest_of, predictive_of, read_tree
from veribayes.tree import DATASET, POSITION, Branch, Data, IntArray
from veribayes.validation.candidate import Candidate

GROUPS = {"candidate", "observed_data"}


def made_for(task: Task, seed: int) -> dict[str, Any]:
    """The data sets that recorded predictions answer; for others they mean nothing."""
    design = {"positions": list(task.design.positions), "queries": task.design.queries}
    answered: dict[str, Any] = {"model_hash": task.model_hash, **design, "seed": seed}
    if task.contexts is not None:
        answered["contexts"] = task.contexts.digest
    return answered


def recorded(tree: xr.DataTree, name: str) -> Candidate:
    """Predictions stored by `--keep-predictions`, matched to data sets by their number.

    Raises:
        InputError: the tree holds no predictions, or (when they are asked for) holds them for other
            data sets.
    """
    if not set(tree.children) >= GROUPS or "index" not in tree["observed_data"]:
        wanted = "predictions with the groups 'candidate' and 'observed_data'"
        remedy = "write them with 'veribayes verify --keep-predictions'"
        raise InputError(wanted, f"'{name}' without them", remedy)
    index = _numbers(tree, name)
    answered = _made_for(tree, name)
    stored = _stored(tree, name, index, answered)
    row_of = {int(number): row for row, number in enumerate(index)}

    def infer(task: Task, data: Data, seed: int) -> Branch:
        _require_made_for(name, answered, made_for(task, seed))
        _require_numbers(data.index, row_of)
        rows = np.array([row_of[int(number)] for number in data.index])
        shape = (len(data.index), len(data.positions), queries_of(task, data))
        return Branch(as_predictive(stored[rows], shape, task.model.n_categories), TRUSTED)

    answers = predictive_digest(stored)
    identity = digest_of({"answers": answers, "index": index.tolist(), "made_for": answered})
    return Candidate(name, identity, infer, "predictions", askable=False)


def _stored(tree: xr.DataTree, name: str, index: IntArray, answered: dict[str, Any]) -> Predictive:
    """The recorded predictive, its data sets in the order of `index` and its positions in that of
    the design.
    """
    labels: dict[str, npt.ArrayLike] = {DATASET: index}
    if "positions" in answered and "contexts" not in answered:
        labels[POSITION] = answered["positions"]
    group = tree["candidate"].to_dataset()
    try:
        stored = predictive_of(by_labels(group, labels, name))
    except EntryError as error:
        raise error.placed(lambda at: _recorded_place(at, index)) from None
    if stored.shape[0] != len(index):
        wanted = f"predictions for {len(index)} data sets in '{name}'"
        raise InputError(wanted, f"{stored.shape[0]}")
    return stored


def _require_made_for(name: str, answered: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse predictions that were made for other data sets."""
    for key, wanted in {"contexts": None, **asked}.items():
        if answered.get(key) != wanted:
            recorded_for = f"those of '{name}' for {answered.get(key)}"
            raise InputError(f"predictions made for {key} {wanted}", recorded_for)


def _require_numbers(index: IntArray, row_of: dict[int, int]) -> None:
    """Refuse to be asked about data sets that were not recorded."""
    missing = [int(number) for number in index if int(number) not in row_of]
    if missing:
        count = len(row_of)
        remedy = f"use --datasets {count} at most and the seed they were made with"
        wanted = f"predictions for data set {missing[0]}"
        raise InputError(wanted, f"{count} recorded data sets", remedy)


def _numbers(tree: xr.DataTree, name: str) -> IntArray:
    """Numbers of the recorded data sets, (dataset,): whole and different."""
    index = tree["observed_data/index"].to_numpy()
    whole = index.ndim == 1 and index.dtype.kind in "iu"
    if not whole or np.unique(index).size < index.size:
        wanted = f"whole and different numbers of data sets in '{name}'"
        raise InputError(wanted, f"{index.ravel()[:8].tolist()}")
    return np.asarray(index, dtype=np.int64)


def _made_for(tree: xr.DataTree, name: str) -> dict[str, Any]:
    """What the predictions say they were made for."""
    text = str(tree["candidate"].attrs.get("made_for", "{}"))
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        wanted = f"a JSON object as attribute 'made_for' in '{name}'"
        raise InputError(wanted, repr(text[:60])) from None


def _recorded_place(at: tuple[int, ...], index: IntArray) -> str:
    """Where a recorded distribution stands, in the number of its data set."""
    if len(at) != 3 or at[0] >= len(index):
        return f"at index {at}"
    return f"in data set {int(index[at[0]])}, position {at[1]}, query {at[2]}"


class Predictions(Adapter):
    """A file of predictions by its ending, or a tree."""

    order = BY_NAME + 3

    def accepts(self, thing: object) -> bool:
        return isinstance(thing, xr.DataTree) or (isinstance(thing, str) and thing.endswith(".nc"))

    def candidate(self, thing: object, task: Task) -> Candidate:
        if isinstance(thing, xr.DataTree):
            return recorded(thing, "predictions")
        path = Path(cast(str, thing))
        tree = read_tree(path)
        if task.contexts is not None and not set(tree.children):  # a table, not a run
            return recorded_rows(read_table(path), task)
        return recorded(tree, path.stem)


PART = Predictions()
