"""In which contexts a divergence might concentrate:
the context size, and what the model knows to tell its contexts apart.
"""

from __future__ import annotations

import numpy as np

from veribayes.models._task import Task
from veribayes.tree import Simulation
from veribayes.tree.parts import by_size
from veribayes.validation.search import Mask

Groups = dict[str, Mask]


def groups(task: Task, simulation: Simulation) -> Groups:
    """Name -> (dataset, position, query): which predictions belong to each group."""
    shape = simulation.outcome.shape
    sizes = {}
    for n in np.unique(simulation.context):
        here = simulation.context == n
        sizes[f"context size {n}"] = here[..., None]
    sizes = sizes if len(sizes) > 1 else {}
    found = {name: np.array(np.broadcast_to(mask, shape)) for name, mask in sizes.items()}
    for rows, data in by_size(simulation.data):
        inside = {name: mask[rows] for name, mask in sizes.items()}
        for name, mask in task.model.groups(data, inside).items():
            members = found.setdefault(name, np.zeros(shape, dtype=bool))
            members[rows] = np.broadcast_to(mask, (len(rows), *shape[1:]))
    return found
