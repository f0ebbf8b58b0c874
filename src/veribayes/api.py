"""The Python surface: `task`, `load`, `verify` and the `Result` they end in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import xarray as xr

from veribayes import report
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.models._arguments import parse_argument, read_arguments
from veribayes.models._callable import is_program
from veribayes.models._pgmpy import from_pgmpy, is_pgmpy_network
from veribayes.models._task import Task
from veribayes.models.numpyro_model import NumPyroModel, PredictedProgram
from veribayes.run import ownership, pipeline, results, tracking
from veribayes.storage import folders, store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval over data sets; None where it is infinite or undefined."""

    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class Result:
    """What a run says. `tree` is the whole run; the rest are views of it."""

    tree: xr.DataTree

    @property
    def entry(self) -> dict[str, Any]:
        """This task's entry of the JSON document (schema veribayes.result/1)."""
        return dict(json.loads(self.tree.attrs["result"]))

    @property
    def verdict(self) -> str:
        """`equivalent`, `different` or `undecided`."""
        return str(self.entry["verdict"])

    @property
    def primary(self) -> Estimate:
        """The primary endpoint, usually mean KL(exact || candidate) in nats."""
        return _estimate(self.entry["primary"])

    @property
    def recovery(self) -> Estimate:
        """Bayes recovery: 1 - KL(exact || candidate) / KL(exact || prior predictive)."""
        return _estimate(self.entry["recovery"])

    def table(self) -> pd.DataFrame:
        """One row a context size: the candidate's mean divergence with its band,
        and the rivals'.
        """
        curve = self.tree["verdict"].to_dataset()
        return curve.to_dataframe().set_index("context")

    def plot(self) -> Figure:
        """The curve over context size, with the rivals."""
        from veribayes.report import figures

        return figures.curve(self.tree)

    def save(self, folder: str | Path) -> Path:
        """Write `run.nc`, `result.json` and `report.html` into a folder; returns the folder.

        Raises:
            InputError: the folder holds another run, has a writer, or cannot be written.
        """
        folder = Path(folder)
        with ownership.saved(folder, self.tree):
            store.write_tree(self.tree, folder / "run.nc")
            write_reports([self.tree], folder)
        return folder

    def __repr__(self) -> str:
        entry = self.entry
        primary = entry["primary"]
        size = f"{primary['metric']}={primary['estimate']} {primary['unit']}"
        return f"Result({entry['task']!r}, {entry['candidate']!r}, {entry['verdict']}, {size})"


def task(
    what: str | Path | Any,
    *,
    data: Mapping[str, Any] | None = None,
    simulated: bool = False,
    predict: str | None = None,
    axis: int = 0,
    inputs: Sequence[str] | None = None,
    ask: Sequence[int | str] = (),
    **design: Any,
) -> Task:
    """A task by shipped name, from a file, from `package.module:object`, or around a model.

    Args:
        what: `gp-rbf-1d`, `asia.bif`, `mine.yaml`, `package.module:object`, a model (pgmpy's too),
            a NumPyro program, a Task.
        data: arguments of a NumPyro program by name.
        simulated: draw the outcomes of a program from its prior even where `data` holds them.
        predict: of a NumPyro program the site whose next entry is predicted behind the prefixes of
            `positions` entries, instead of the posterior of its latents.
        axis: of that site's values, along which entries are counted.
        inputs: observed sites that are drawn with each data set and seen with each entry; None:
            those whose argument defaults to None.
        ask: entries of that site that are queries at every position, and never seen; without
            `predict` names of the latents and deterministic sites that are asked for, by default
            all.
        design: for a model: `positions`, `queries`, `shard`, `budget` instead of its family's
            default design.

    Raises:
        InputError: nothing of that name, a file that does not describe a model, or a design for
            what is a task already.
    """
    predicted: dict[str, Any] = {"predict": predict, "axis": axis, "inputs": inputs, "ask": ask}
    if isinstance(what, str | Path):
        meant = _named(str(what))
        if not _is_program(meant):
            return task(meant, data=data, **predicted, **design)
        return _of_program(_program(meant, data, str(what), simulated, **predicted), design)
    if _is_program(what):
        return _of_program(_program(what, data, "", simulated, **predicted), design)
    if predict is not None:
        given = f"'{getattr(what, 'name', type(what).__name__)}'"
        raise InputError("a NumPyro program for 'predict'", given)
    if data:
        given = f"{', '.join(data)} for '{getattr(what, 'name', what)}'"
        raise InputError("data for a NumPyro program", given)
    if is_pgmpy_network(what):
        what = from_pgmpy(what)
    if hasattr(what, "default_design"):
        return _spec.task_of(what, **design)
    if not isinstance(what, Task):
        raise InputError("a task, a model, or the name or file of one", type(what).__name__)
    if design:
        given = f"{', '.join(design)} for the task '{what.name}'"
        raise InputError("a design for a model", given, "give task.model")
    return what


def _is_program(what: Any) -> bool:
    """What can be called and is no task, model or network is a NumPyro program."""
    known = isinstance(what, Task) or hasattr(what, "default_design") or is_pgmpy_network(what)
    return not known and is_program(what)


def _program(
    function: Any,
    data: Mapping[str, Any] | None,
    name: str,
    simulated: bool,
    *,
    predict: str | None,
    axis: int,
    inputs: Sequence[str] | None,
    ask: Sequence[int | str],
) -> NumPyroModel:
    """A program that is asked for its latents, or for the next entry of a site."""
    if predict is None:
        if axis or inputs is not None:
            raise InputError("the name of a site in 'predict' beside axis or inputs", "none")
        return NumPyroModel(function, data or {}, name, simulated, cast(Any, ask))
    drawn = None if inputs is None else tuple(inputs)
    return PredictedProgram(
        function,
        data or {},
        name,
        predict=predict,
        axis=axis,
        inputs_drawn=drawn,
        ask=cast(Any, tuple(ask)),  # whole numbers, or it says so
    )


def _of_program(program: NumPyroModel, design: Mapping[str, Any]) -> Task:
    """The task around a program, under the program's name where the design has none."""
    return task(program, **{"name": _program_name(program), **design})


def _program_name(program: NumPyroModel) -> str:
    """The name of its task: what follows the module, in the letters that a task's name may have."""
    last = program.shown.rpartition(":")[2]
    allowed = re.sub(r"[^A-Za-z0-9._+-]+", "-", last).strip("-._+")
    return allowed[-64:].lstrip("-._+") or "program"


def _named(text: str) -> Any:
    """The task of that name or in that file, or whatever is behind `package.module:object`."""
    if ":" in text and not Path(text).exists():
        from veribayes.candidates import import_object

        return import_object(text)
    return _spec.load_task(text)


def load(path: str | Path) -> Task:
    """A task from a model file: `.bif` (inference in the known network) or a veribayes `.yaml`."""
    if not Path(path).is_file():
        raise InputError("a model file", f"no file '{Path(path).name}'", "check the path")
    return _spec.load_task(str(path))


def verify(
    what: str | Path | Any,
    candidate: object = None,
    *,
    datasets: int = pipeline.DEFAULT_DATASETS,
    seed: int = 0,
    tolerance: float | None = None,
    reference: str | None = None,
    audit: int = pipeline.DEFAULT_AUDIT,
    out: str | Path | None = None,
    options: Mapping[str, str] | None = None,
    keep_predictions: bool = False,
    tests: str = "standard",
    sequential: bool = False,
) -> Result:
    """Compare a candidate with the certified truth of a task, as distributions.

    Args:
        what: anything `task` understands.
        candidate: a callable (context, query) -> one of the seven predictive forms, a torch module,
            an engine, recorded predictions (a DataTree or its file), or the name of a checkpoint or
            engine; None is the task's own checkpoint.
        datasets: independent data sets; they are the unit of replication. A verdict `equivalent`
            needs 400.
        seed: with it every number of the run is determined.
        tolerance: of the primary endpoint, instead of the task's.
        reference: engine that computes the truth, instead of the task's.
        audit: data sets on which NUTS checks an exact reference; 0 for none.
        out: folder for shards, run and report; the run resumes from it.
        options: `reference.NAME`, `candidate.NAME` and `audit.NAME` options of engines.
        keep_predictions: keep all answers of the candidate in the tree; it is then a candidate
            itself.
        tests: how much is asked beside the primary endpoint: `none`, `standard` or `all`.
        sequential: stop as soon as it is sure that the candidate is different.

    Returns:
        Result with verdict, recovery, table, plot and save.
    """
    from veribayes.candidates import with_tolerance

    meant = with_tolerance(task(what), tolerance)
    of_role = split_options(options or {})
    chosen = pipeline.Options(
        datasets=datasets,
        seed=seed,
        audit=audit,
        reference=reference,
        reference_options=of_role["reference"],
        candidate_options=of_role["candidate"],
        audit_options=of_role["audit"],
        keep_predictions=keep_predictions,
        tests=tests,
        sequential=sequential,
    )
    if out is None:
        return Result(pipeline.run(meant, candidate, chosen))
    folder = Path(out)
    with ownership.claimed(folder, meant, candidate, chosen):
        for file in ("report.html", "result.json"):
            folders.require_writable(folder / file)
        tree = pipeline.run(meant, candidate, chosen, out=folder)
        write_reports([tree], folder)
    return Result(tree)


class Track(tracking.Tracked):
    """What `track` found."""

    def plot(self, labels: Mapping[str, str] | None = None) -> Figure:
        """Distances by step, and by context size at the last one."""
        from veribayes.report import tracks

        return tracks.curves(self.table(), labels)


def track(what: str | Path | Any, checkpoints: object, **options: Any) -> Track:
    """Distances of several candidates from named predictors; see `run.tracking.track`."""
    return Track(**vars(tracking.track(task(what), checkpoints, **options)))


OF_TASK = (
    "predict",
    "axis",
    "inputs",
    "ask",
    "positions",
    "budget",
)  # what --set says of a program


def split_program(options: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What `task` takes of a program, and the other options.

    `data=FILE` and `data.NAME=VALUE` are its arguments; `predict=SITE`, `positions=0,1,2`, `axis`,
    `inputs`, `ask` (entries, or names of latents) and `budget` say what is asked of it.
    """
    arguments: dict[str, Any] = {}
    of_task: dict[str, Any] = {"data": arguments}
    others: dict[str, str] = {}
    if "data" in options:
        arguments.update(read_arguments(options["data"]))
    for key, value in options.items():
        if key.startswith("data."):
            arguments[key.removeprefix("data.")] = parse_argument(value)
        elif key in OF_TASK:
            of_task[key] = _of_task(key, value)
        elif key != "data":
            others[key] = value
    return of_task, others


def _of_task(key: str, value: str) -> Any:
    """A name, a whole number, or a list of them between commas."""
    if key == "predict":
        return value
    if key in ("axis", "budget"):
        return parse_argument(value)
    parts = [part.strip() for part in value.strip("[] ").split(",") if part.strip()]
    if key == "inputs" or (key == "ask" and not all(map(_is_whole, parts))):
        return tuple(parts)
    return tuple(parse_argument(part) for part in parts)


def _is_whole(part: str) -> bool:
    return part.removeprefix("-").isdigit()


def split_options(options: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """`reference.draws=20` -> {"reference": {"draws": "20"}}."""
    of_role: dict[str, dict[str, str]] = {"reference": {}, "candidate": {}, "audit": {}}
    for key, value in options.items():
        role, _, name = key.partition(".")
        if role not in of_role or not name:
            wanted = "ROLE.OPTION with the role reference, candidate or audit"
            raise InputError(wanted, f"'{key}'", "for example reference.draws=20")
        of_role[role][name] = value
    return of_role


def document(trees: Sequence[xr.DataTree], errors: Sequence[Mapping[str, Any]] = ()) -> str:
    """The JSON document of several runs, and of the tasks that came to no result."""
    entries = [json.loads(tree.attrs["result"]) for tree in trees]
    content = {"schema": results.SCHEMA, "results": entries, "errors": [*errors]}
    return json.dumps(content, indent=1, allow_nan=False)


def write_reports(
    trees: list[xr.DataTree], folder: Path, errors: Sequence[Mapping[str, Any]] = ()
) -> None:
    """`result.json` and `report.html`, each written whole or not at all."""
    store.write_text(folder / "result.json", document(trees, errors) + "\n")
    report.write(trees, folder / "report.html")


def write_folder(
    runs: Mapping[Path, xr.DataTree], out: Path, errors: Sequence[Mapping[str, Any]] = ()
) -> None:
    """The reports of a folder: the runs of this command, by their folders, and those of other tasks
    that are there.

    A run that cannot be read is left out, as `veribayes report` would refuse it.
    """
    trees = list(runs.values())
    for file in store.run_files(out):
        if file.parent not in runs:
            tree = _readable(file)
            if tree is not None:
                trees.append(tree)
    write_reports(trees, out, errors)


def _readable(path: Path) -> xr.DataTree | None:
    try:
        tree = store.read_tree(path)
    except InputError:
        return None
    return tree if tree.attrs.get("schema") == store.SCHEMA else None


def _estimate(plain: Mapping[str, Any]) -> Estimate:
    return Estimate(plain["estimate"], plain["low"], plain["high"])
