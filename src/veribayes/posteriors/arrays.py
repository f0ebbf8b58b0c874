"""Draws in a file of NumPy: an array (chain, draw, *event) a latent, by its name; arrays called
`diverging` and `energy` are what the sampler said.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from veribayes.errors import InputError, shown
from veribayes.posteriors.chains import Posterior

SAMPLER = ("diverging", "energy")


def read_arrays(path: Path) -> Posterior:
    """The posterior in a file.

    Raises:
        InputError: a damaged file, or arrays without axes of chains and draws.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception as error:  # what the library raises on damaged bytes is no closed list
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"readable arrays in {shown(path.name)}", reason) from None
    for name, values in arrays.items():
        if values.ndim < 2:
            wanted = f"an array (chain, draw, …) {shown(name)} in {shown(path.name)}"
            raise InputError(wanted, f"shape {values.shape}")
    statistics = {name: arrays.pop(name) for name in SAMPLER if name in arrays}
    return Posterior(path.stem, arrays, statistics)
