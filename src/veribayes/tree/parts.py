"""Batches in parts: consecutive ones as one, and a choice of data sets from one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from veribayes.tree import Branch, Data, IntArray, Simulation, merge_branches

Rows = slice | IntArray


def merge_data(parts: Sequence[Data]) -> Data:
    """Batches of one design, one behind the other; what all data sets share is the first's."""
    first = parts[0]
    arrays = {}
    for name, array in first.arrays.items():
        own = name not in first.shared
        arrays[name] = np.concatenate([part.arrays[name] for part in parts]) if own else array
    index = np.concatenate([part.index for part in parts])
    sizes = None
    if first.sizes is not None:
        sizes = np.concatenate([part.sizes for part in parts if part.sizes is not None])
    return replace(first, arrays=arrays, index=index, sizes=sizes)


def merge_simulations(parts: Sequence[Simulation]) -> Simulation:
    """Simulations of one design, one behind the other."""
    if len(parts) == 1:
        return parts[0]
    latents = {}
    for name in parts[0].latents:
        latents[name] = np.concatenate([part.latents[name] for part in parts])
    return Simulation(
        merge_data([part.data for part in parts]),
        latents,
        np.concatenate([part.outcome for part in parts]),
        np.concatenate([part.context for part in parts]),
        parts[0].happened,
    )


def select_simulation(simulation: Simulation, rows: Rows) -> Simulation:
    """Some data sets of a simulation."""
    latents = {name: values[rows] for name, values in simulation.latents.items()}
    outcome, context = simulation.outcome[rows], simulation.context[rows]
    data = simulation.data.select(rows)
    return Simulation(data, latents, outcome, context, simulation.happened)


def by_size(data: Data) -> list[tuple[IntArray, Data]]:
    """A batch in parts whose data sets have equally many observations: the rows of each, and its
    data at one position, their number.
    """
    if data.sizes is None:
        return [(np.arange(len(data.index)), data)]
    parts = []
    for size in np.unique(data.sizes):
        rows = np.flatnonzero(data.sizes == size)
        part = data.select(rows)
        parts.append((rows, replace(part, positions=np.array([size]), sizes=None)))
    return parts


def answered_by_size(infer: Callable[[Data], Branch], data: Data, *, padded: bool) -> Branch:
    """What is answered for a batch whose data sets differ in size, each part asked by itself.

    What is said of latents is left out where the parts are several: it has as many entries as there
    are observations.

    Args:
        padded: whether parts are filled up to a power of two, so that few shapes are compiled for;
            only for engines, whose answers do not depend on the batch.
    """
    if data.sizes is None:
        return infer(data)
    parts = by_size(data)
    if len(parts) == 1:
        return infer(parts[0][1])
    branches = []
    for rows, part in parts:
        if padded:
            most = 1 << (len(rows) - 1).bit_length()
            filled = part.select(np.minimum(np.arange(most), len(rows) - 1))
            branches.append(select_branch(infer(filled), slice(len(rows))))
        else:
            branches.append(infer(part))
    merged = merge_branches([replace(branch, posterior={}) for branch in branches])
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    return select_branch(merged, order)


def select_branch(branch: Branch, rows: Rows) -> Branch:
    """Some data sets of a branch; the certificate is that of all."""
    posterior = {}
    for name, moments in branch.posterior.items():
        posterior[name] = {moment: values[rows] for moment, values in moments.items()}
    replicates = None
    if branch.replicates is not None:
        replicates = (branch.replicates[0][rows], branch.replicates[1][rows])
    return replace(
        branch,
        predictive=branch.predictive[rows],
        posterior=posterior,
        replicates=replicates,
        joint=None if branch.joint is None else branch.joint[rows],
    )
