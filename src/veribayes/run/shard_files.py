"""The file of one shard: its scores, what happened, and predictives; bound to a key of all that
they depend on.
"""

from __future__ import annotations

import json
from pathlib import Path

import xarray as xr

from veribayes.errors import InputError
from veribayes.predictive import Predictive
from veribayes.run.scored import Scored
from veribayes.storage import store
from veribayes.tree import DATASET, POSITION, QUERY


def path_of(out: Path, number: int) -> Path:
    """Where a shard of a run's folder is."""
    return out / "shards" / f"{number:05d}.nc"


def write(path: Path, key: str, rows: range, scored: Scored) -> None:
    """Store a shard whole or not at all.

    Raises:
        InputError: the file cannot be written there.
    """
    groups = {f"/scores/{role}": store.scores_dataset(s) for role, s in scored.scores.items()}
    groups["/observed_data"] = observed(scored)
    for role, predictive in scored.kept.items():
        groups[f"/predictions/{role}"] = store.predictive_dataset(predictive)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        "key": key,
        "start": rows.start,
        "stop": rows.stop,
        "forms": json.dumps(dict(scored.forms)),
        "levels": json.dumps(scored.levels),
        "certificate": json.dumps(store.certificate_json(scored.certificate)),
    }
    store.write_tree(tree, path)


def read(path: Path, key: str, rows: range) -> Scored | None:
    """A stored shard, or None when there is none that this run may use."""
    if not path.is_file():
        return None
    try:
        tree = store.read_tree(path)
        stored = (tree.attrs["key"], tree.attrs["start"], tree.attrs["stop"])
        return _scored(tree) if stored == (key, rows.start, rows.stop) else None
    except (InputError, LookupError, ValueError, TypeError):
        return None  # damaged: compute it again


def observed(scored: Scored) -> xr.Dataset:
    """What was seen and what happened, as a group."""
    context = ((DATASET, POSITION), scored.context)
    outcome = ((DATASET, POSITION, QUERY), scored.outcome)
    return xr.Dataset({"context": context, "outcome": outcome})


def _scored(tree: xr.DataTree) -> Scored:
    scores = {}
    for role, group in tree["scores"].children.items():
        scores[role] = {str(name): v.to_numpy() for name, v in group.data_vars.items()}
    levels = json.loads(tree.attrs["levels"])
    return Scored(
        scores,
        tree["observed_data"]["context"].to_numpy(),
        tree["observed_data"]["outcome"].to_numpy(),
        store.certificate_of(json.loads(tree.attrs["certificate"])),
        json.loads(tree.attrs["forms"]),
        None if levels is None else tuple(levels),
        _predictives(tree),
    )


def _predictives(tree: xr.DataTree) -> dict[str, Predictive]:
    if "predictions" not in tree.children:
        return {}
    groups = tree["predictions"].children
    return {role: store.predictive_of(group.to_dataset()) for role, group in groups.items()}
