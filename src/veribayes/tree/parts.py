"""Batches in parts: consecutive ones as one, and a choice of data sets from one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from veribayes.tree import Branch, Data, IntArray, Simulation

Rows = slice | IntArray


def merge_data(parts: Sequence[Data]) -> Data:
    """Batches of one design, one behind the other; what all data sets share is the first's."""
    first = parts[0]
    arrays = {}
    for name, array in first.arrays.items():
        own = name not in first.shared
        arrays[name] = np.concatenate([part.arrays[name] for part in parts]) if own else array
    return replace(first, arrays=arrays, index=np.concatenate([part.index for part in parts]))


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
    )


def select_simulation(simulation: Simulation, rows: Rows) -> Simulation:
    """Some data sets of a simulation."""
    latents = {name: values[rows] for name, values in simulation.latents.items()}
    outcome, context = simulation.outcome[rows], simulation.context[rows]
    return Simulation(simulation.data.select(rows), latents, outcome, context)


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
