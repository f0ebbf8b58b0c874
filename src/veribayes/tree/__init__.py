"""Names that every stage shares, and the values that stages hand to each other.

A run is one tree that only grows: /prior and /observed_data, /reference, /candidate, /scores,
/verdict. Inside a process the branches travel as the small values below; on disk they are groups of
one netCDF file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from veribayes.errors import ReferenceRefused
from veribayes.predictive import Array, Predictive, concatenate
from veribayes.predictive.joint import Joint

DATASET, POSITION, QUERY = "dataset", "position", "query"
CHAIN, DRAW, CATEGORY = "chain", "draw", "category"
# random streams never meet: training cannot see evaluation data
STREAMS = ("train", "verify", "audit", "replicate")
LOWEST = frozenset(
    {"ess", "ess_bulk", "ess_tail", "e_bfmi"}
)  # diagnostics whose worst is the least

IntArray = npt.NDArray[np.int64]
Posterior = Mapping[str, Mapping[str, Array]]  # latent -> moment -> values


@dataclass(frozen=True)
class Data:
    """What an engine or a candidate may see of a batch of data sets.

    Attributes:
        arrays: the family's arrays, first axis `dataset`.
        positions: design positions (position,): context sizes at which a prediction is wanted.
        index: data set numbers (dataset,) in the stream they were drawn from.
        shared: names of the arrays that all data sets have in common, and that have no axis for
            them.
        sizes: observations of each data set (dataset,), where they differ. There is then one
            position, the largest of them, and nobody reads what stands behind a data set's own
            observations: `parts.by_size` cuts such a batch.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    positions: IntArray
    index: IntArray
    shared: frozenset[str] = frozenset()
    sizes: IntArray | None = None

    def select(
        self,
        datasets: slice | IntArray | None = None,
        positions: slice | IntArray | None = None,
    ) -> Data:
        """A part of the batch."""
        rows = slice(None) if datasets is None else datasets
        columns = slice(None) if positions is None else positions
        arrays = {}
        for name, array in self.arrays.items():
            arrays[name] = array if name in self.shared else array[rows]
        kept = self.positions[columns]
        sizes = None if self.sizes is None else self.sizes[rows]
        return replace(self, arrays=arrays, positions=kept, index=self.index[rows], sizes=sizes)


@dataclass(frozen=True)
class Simulation:
    """A batch drawn from a model: what may be seen, what is hidden, and what happened.

    Attributes:
        data: what engines and candidates see.
        latents: the parameters behind each data set, name -> (dataset, ...).
        outcome: realised value at every query, (dataset, position, query); NaN where a query does
            not apply.
        context: number of observations behind each prediction, (dataset, position).
        happened: whether anything happened; of contexts without outcomes `outcome` says by NaN
            where a query does not apply, and nothing else.
    """

    data: Data
    latents: Mapping[str, npt.NDArray[Any]]
    outcome: Array
    context: IntArray
    happened: bool = True


@dataclass(frozen=True)
class Certificate:
    """Why a reference may be trusted, or why it may not.

    Attributes:
        verdict: `trusted` or `refused`.
        method: `exact`, `quadrature`, `mcmc`, …
        error_bound: bound on the error of a probability, or of a mean in posterior-sd units;
            `bound_kind` says how it is known.
        bound_kind: `bound` (proved for these inputs), `estimate` (measured by a second resolution),
            `montecarlo`.
        reasons: one sentence for each thing that is wrong; empty when trusted.
        diagnostics: what was measured, name -> number.
    """

    verdict: Literal["trusted", "refused"]
    method: str
    error_bound: float
    bound_kind: Literal["bound", "estimate", "montecarlo"] = "bound"
    reasons: tuple[str, ...] = ()
    diagnostics: Mapping[str, float] = field(default_factory=dict)

    def require(self, engine: str) -> None:
        """Raise `ReferenceRefused` unless trusted."""
        if self.verdict != "trusted":
            raise ReferenceRefused(engine, self.reasons or ("no reason was given",))


@dataclass(frozen=True)
class Branch:
    """What an engine returns.

    Attributes:
        predictive: posterior predictive, leading shape (dataset, position, query).
        certificate: what the output earned.
        posterior: latent name -> {"mean": (dataset, position, *event), "sd": the same}; MCMC adds
            "mcse" and "rank_r_hat".
        replicates: two independent Monte Carlo runs whose average is `predictive`; None for a
            deterministic engine.
        joint: of all queries of a data set together, leading shape (dataset, position); None where
            it was not asked for.
    """

    predictive: Predictive
    certificate: Certificate
    posterior: Posterior = field(default_factory=dict)
    replicates: tuple[Predictive, Predictive] | None = None
    joint: Joint | None = None


def merge_certificates(parts: list[Certificate]) -> Certificate:
    """The certificate of a run from those of its shards: the worst of each."""
    worst = max(parts, key=lambda c: (c.verdict == "refused", c.error_bound))
    reasons: dict[str, None] = {}
    measured: dict[str, list[float]] = {}
    for part in parts:
        reasons |= dict.fromkeys(part.reasons)
        for name, value in part.diagnostics.items():
            measured.setdefault(name, []).append(float(value))
    diagnostics = {}
    for name, values in measured.items():
        diagnostics[name] = min(values) if name in LOWEST else max(values)
    bound = max(part.error_bound for part in parts)
    return replace(worst, reasons=tuple(reasons), diagnostics=diagnostics, error_bound=bound)


def merge_branches(parts: list[Branch]) -> Branch:
    """Join the branches of consecutive shards along `dataset`."""
    predictive = concatenate([part.predictive for part in parts])
    certificate = merge_certificates([part.certificate for part in parts])
    posterior = _merged_posterior([part.posterior for part in parts])
    replicates = _merged_replicates(parts)
    return Branch(predictive, certificate, posterior, replicates, _merged_joint(parts))


def _merged_posterior(parts: list[Posterior]) -> Posterior:
    """The moments of every latent of the first part."""
    merged: dict[str, dict[str, Array]] = {}
    for latent, moments in parts[0].items():
        merged[latent] = {}
        for moment in moments:
            merged[latent][moment] = np.concatenate([part[latent][moment] for part in parts])
    return merged


def _merged_replicates(parts: list[Branch]) -> tuple[Predictive, Predictive] | None:
    """Both runs of all parts; None where a part has none."""
    pairs = [part.replicates for part in parts if part.replicates is not None]
    if len(pairs) < len(parts):
        return None
    first = concatenate([pair[0] for pair in pairs])
    second = concatenate([pair[1] for pair in pairs])
    return first, second


def _merged_joint(parts: list[Branch]) -> Joint | None:
    """The joint of all parts; None where a part has none."""
    joints = [part.joint for part in parts if part.joint is not None]
    return Joint.concatenate(joints) if len(joints) == len(parts) else None
