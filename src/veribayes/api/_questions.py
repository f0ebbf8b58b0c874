"""What else may be asked: which algorithm it is, what it reads, whether two posteriors agree; and a
stored run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from veribayes.api._tasks import task
from veribayes.api._verify import Result
from veribayes.candidates import resolve, with_tolerance
from veribayes.errors import InputError
from veribayes.posteriors import comparison
from veribayes.posteriors import saved as posteriors
from veribayes.posteriors.summary import summary as summary
from veribayes.run import identification, pipeline, probes
from veribayes.storage import store


def identify(
    what: str | Path | Any,
    candidate: object = None,
    *,
    datasets: int = 500,
    seed: int = 0,
    tolerance: float | None = None,
    against: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Which algorithm a candidate is: exact Bayes, another that is known, or none.

    Args:
        what, candidate, seed, tolerance: as for `verify`.
        datasets: that are compared.
        against: further engines to consider.
        options: of the candidate, by name.

    Returns:
        The entry of schema `veribayes.identify/1`.

    Raises:
        ReferenceRefused: exact Bayes did not earn trust.
        InputError: fewer than two data sets, or nothing of that name.
    """
    meant = with_tolerance(task(what), tolerance)
    frozen = pipeline.frozen_tolerance(meant, pipeline.Options(seed=seed))
    judged = resolve(candidate, frozen, options or {})
    return identification.identify(frozen, judged, datasets=datasets, seed=seed, against=against)


def probe(
    candidate: object,
    what: str | Path | Any = None,
    *,
    against: str | None = None,
    datasets: int = probes.DATASETS,
    seed: int = 0,
) -> dict[str, Any]:
    """What a candidate reads, and what it has learned; nothing is decided.

    Args:
        candidate: a checkpoint, a construction, `package.module:object`, or an object with
            attention.
        what: anything `task` understands; None: the task that a checkpoint was trained for.
        against: a construction; None: the one of the task's family.

    Returns:
        The document of schema `veribayes.probe/1`.

    Raises:
        InputError: nothing of that name, or nothing to look into.
    """
    if what is None and not isinstance(candidate, str):
        raise InputError("a task beside an object", "none", "name the task")
    meant = task(probes.task_name(str(candidate)) if what is None else what)
    return probes.probe(meant, candidate, against=against, datasets=datasets, seed=seed)


def compare(
    reference: Any,
    candidate: Any,
    *,
    tolerance: float = comparison.TOLERANCE,
    seed: int = 0,
    group: str | None = None,
) -> dict[str, Any]:
    """Two posteriors of the same latents, draw by draw.

    Args:
        reference, candidate: files (netCDF, posteriordb's JSON, npz, CSV of CmdStan: one file a
            chain in a list), arviz containers, or posteriors.
        tolerance: of means, log sds and correlations, in sds of the reference.
        group: of netCDF files that holds the draws; None: `posterior`.

    Returns:
        The document of schema `veribayes.comparison/1`.

    Raises:
        ReferenceRefused: the reference's chains have not converged.
        InputError: no draws, or no latents in common.
    """
    sides = [_posterior(side, group) for side in (reference, candidate)]
    return comparison.compare(*sides, tolerance=tolerance, seed=seed)


def open_run(run: str | Path) -> Result:
    """A stored run, from its folder or its file.

    Raises:
        InputError: no run there, several, or a file of another kind.
    """
    files = store.run_files(Path(run))
    if len(files) > 1:
        names = ", ".join(file.parent.name for file in files[:5])
        raise InputError("one run", f"{len(files)} in '{Path(run).name}': {names}", "name one")
    tree = store.read_tree(files[0])
    if tree.attrs.get("schema") != store.SCHEMA:
        got = f"schema {tree.attrs.get('schema')!r} in '{files[0].name}'"
        raise InputError(f"a run of schema {store.SCHEMA}", got)
    return Result(tree)


def _posterior(side: Any, group: str | None) -> Any:
    """What `comparison` understands; a container in memory is read here."""
    if isinstance(side, str | Path):
        return posteriors.read(side, group=group)
    if isinstance(side, list | tuple):
        return posteriors.read_chains(side)
    is_posterior = isinstance(side, posteriors.Posterior)
    return side if is_posterior else posteriors.from_arviz(side)
