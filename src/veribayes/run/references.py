"""Posteriors that were computed once: a folder of files named by the hash of all that they depend
on.

The key holds the engine with its options and source, the model, the data sets themselves, the seed
and the versions of the packages. A file is written whole under another name and then renamed, so
that two writers leave one good file and a kill leaves none. What is read back must carry its key
and the digest of its own numbers; a damaged file counts as none.

The folder is `VERIBAYES_REFERENCES`; where that is not set, nothing is stored.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from veribayes.candidates import Candidate
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.storage import store
from veribayes.tree import Branch, Data

VARIABLE = "VERIBAYES_REFERENCES"
SCHEMA = "veribayes.posterior/1"


def remembered(engine: Candidate) -> Candidate:
    """The engine, which asks the store first; itself where nothing is stored or nothing tells it
    from another.
    """
    folder = os.environ.get(VARIABLE)
    if not folder or engine.identity is None:
        return engine

    def infer(task: Task, data: Data, seed: int) -> Branch:
        key = key_of(engine, task, data, seed)
        path = Path(folder) / key[:2] / f"{key}.nc"
        branch = read(path, key)
        if branch is None:
            branch = engine.infer(task, data, seed)
            write(path, key, branch)
        return branch

    return replace(engine, infer=infer)


def key_of(engine: Candidate, task: Task, data: Data, seed: int) -> str:
    """SHA-256 of everything that the engine's answer depends on."""
    parts = {
        "model": task.model_hash,
        "arrays": {name: _digest(values) for name, values in data.arrays.items()},
        "positions": data.positions.tolist(),
        "index": data.index.tolist(),
        "engine": engine.identity,
        "seed": seed,
        "versions": store.provenance()["packages"],
    }
    return store.digest_of(parts)


def write(path: Path, key: str, branch: Branch) -> None:
    """Store a branch whole or not at all."""
    groups = {"/predictive": store.predictive_dataset(branch.predictive)}
    for i, half in enumerate(branch.replicates or ()):
        groups[f"/replicate_{i}"] = store.predictive_dataset(half)
    for i, moments in enumerate(branch.posterior.values()):  # a site's name may be none for a group
        variables = {moment: _variable(moment, values) for moment, values in moments.items()}
        groups[f"/latent_{i}"] = xr.Dataset(variables)
    tree = xr.DataTree.from_dict(groups)
    certificate = store.certificate_json(branch.certificate)
    about = {"latents": list(branch.posterior), "certificate": certificate}
    tree.attrs = {"schema": SCHEMA, "key": key, "about": json.dumps(about)}
    tree.attrs["digest"] = _content(tree)
    store.write_tree(tree, path)


def read(path: Path, key: str) -> Branch | None:
    """A stored branch; None when there is none, or it is not what its name says."""
    if not path.is_file():
        return None
    try:
        tree = store.read_tree(path)
        if tree.attrs["key"] != key or tree.attrs["digest"] != _content(tree):
            return None
        return _branch(tree)
    except (InputError, LookupError, ValueError, TypeError):
        return None


def _branch(tree: xr.DataTree) -> Branch:
    about = json.loads(tree.attrs["about"])
    predictive = store.predictive_of(tree["predictive"].to_dataset())
    certificate = store.certificate_of(about["certificate"])
    posterior = {}
    for i, name in enumerate(about["latents"]):
        moments = tree[f"latent_{i}"].data_vars
        posterior[name] = {str(moment): v.to_numpy() for moment, v in moments.items()}
    replicates = None
    if "replicate_0" in tree.children:
        first, second = (tree[f"replicate_{i}"].to_dataset() for i in (0, 1))
        replicates = (store.predictive_of(first), store.predictive_of(second))
    return Branch(predictive, certificate, posterior, replicates)


def _variable(moment: str, values: Any) -> tuple[tuple[str, ...], Any]:
    return tuple(f"{moment}_{i}" for i in range(values.ndim)), values


def _content(tree: xr.DataTree) -> str:
    """SHA-256 of every array with its place, and of what is said about them."""
    digest = hashlib.sha256(f"{tree.attrs['key']} {tree.attrs['about']}".encode())
    for node in sorted(tree.subtree, key=lambda n: n.path):
        for name in sorted(map(str, node.data_vars)):
            content = _digest(node[name].to_numpy())
            digest.update(f"{node.path}/{name} {content}".encode())
    return digest.hexdigest()


def _digest(values: Any) -> str:
    layout = f"{values.dtype.str}{values.shape}".encode()
    return hashlib.sha256(layout + values.tobytes()).hexdigest()
