"""The command line. Results go to standard output, everything else to standard error; exit codes are a contract.

0 equivalent · 1 different · 2 bad usage or input · 3 undecided · 4 reference refused · 70 unexpected error · 130 interrupted
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from veribayes import registry
from veribayes.cli import console, terminal
from veribayes.cli.arguments import MOST_PROCESSES, MOST_SEED, one_of, positive_number, whole_number
from veribayes.cli.claims import claims
from veribayes.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

EXIT_OF_VERDICT = {"equivalent": 0, "different": 1, "undecided": 3}
PRECEDENCE = (2, 70, 4, 1, 3)  # several tasks: the first of these that occurs
IDENTIFY_DATASETS, PROBE_DATASETS = 500, 64
DEVICES = ("auto", "cpu", "cuda")
PAGES = (".html", ".htm")
VERIFIED = Path("runs/verify")
LEVELS = (
    "none",
    "standard",
    "all",
)  # of --tests; `checks` has them too, and is too heavy for a list of options

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Is this transformer doing Bayesian inference, and if not, what is it doing and where does it go wrong?",
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
DATASETS_HELP = "Independent data sets; the unit of replication."
Datasets = Annotated[
    int, typer.Option("--datasets", parser=whole_number(1), metavar="N", help=DATASETS_HELP)
]
Compared = Annotated[
    int, typer.Option("--datasets", parser=whole_number(2), metavar="N", help=DATASETS_HELP)
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        parser=whole_number(0, MOST_SEED),
        metavar="N",
        help="Determines every number of the run.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="ROLE.OPTION=VALUE", help="An engine's option, e.g. reference.draws=20."
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="tasks, families, engines, candidates, metrics, tests, endpoints, probes or claims."
        ),
    ] = "all",
    as_json: Json = False,
) -> None:
    """What there is, by name."""
    kinds: tuple[str, ...] = ("tasks", "families", "engines", "candidates", "metrics")
    kinds += ("tests", "endpoints", "probes", "claims")
    if what not in (*kinds, "checks", "all"):  # checks were called tests, and are so here
        raise InputError(f"one of {', '.join(kinds)}", f"'{what}'")
    found = {kind: _listing(kind) for kind in (kinds if what == "all" else (what,))}
    if as_json:
        print(
            json.dumps(
                {
                    "schema": "veribayes.list/1",
                    **{
                        k: [{"name": n, "summary": s} for n, s in rows] for k, rows in found.items()
                    },
                },
                indent=1,
            )
        )
        return
    for kind, rows in found.items():
        print(f"{kind}:")
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            print(f"  {name:<{width}}  {text}".rstrip())


@app.command()
def verify(
    tasks: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK...", help="Shipped name, model file, or package.module:object."
        ),
    ],
    candidate: Annotated[
        str | None,
        typer.Option(
            "--candidate",
            metavar="C",
            help="Checkpoint, engine, predictions file, or package.module:callable.",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="ENGINE", help="Engine that computes the truth."),
    ] = None,
    datasets: Compared = 1000,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            parser=positive_number,
            metavar="X",
            help="Of the primary endpoint, instead of the task's.",
        ),
    ] = None,
    seed: Seed = 0,
    audit: Annotated[
        int,
        typer.Option(
            "--audit",
            parser=whole_number(0),
            metavar="N",
            help="Data sets on which NUTS checks an exact reference.",
        ),
    ] = 4,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder of shards, runs and the report; an interrupted run resumes from it. Default: runs/verify, and for "
            "another candidate or other options a folder beside it.",
        ),
    ] = None,
    set_: Set = None,
    keep_predictions: Annotated[
        bool, typer.Option("--keep-predictions", help="Store every prediction of the candidate.")
    ] = False,
    tests: Annotated[
        str,
        typer.Option(
            "--tests",
            parser=one_of(*LEVELS),
            metavar="|".join(LEVELS),
            help="How much is asked beside the primary endpoint.",
        ),
    ] = "standard",
    sequential: Annotated[
        bool,
        typer.Option(
            "--sequential", help="Stop as soon as it is sure that the candidate is different."
        ),
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare a candidate with the certified truth of one or several tasks, and decide."""
    from veribayes import api
    from veribayes.run import ownership, pipeline
    from veribayes.storage import folders

    given = _settings(set_)
    data, rest = api.split_data(given)
    settings = api.split_options(rest)
    options = pipeline.Options(
        datasets=datasets,
        seed=seed,
        audit=audit,
        reference=reference,
        reference_options=settings["reference"],
        candidate_options=settings["candidate"],
        audit_options=settings["audit"],
        keep_predictions=keep_predictions,
        tests=tests,
        sequential=sequential,
    )
    if out is None:
        out = ownership.folder_of_command(VERIFIED, candidate, options, tolerance, given)
    runs: dict[Path, xr.DataTree] = {}
    errors: list[dict[str, Any]] = []
    for name in dict.fromkeys(tasks):
        with console.caught(name, errors, debug), terminal.progress(name, datasets) as advance:
            folder, tree = _verify_one(name, data, candidate, options, tolerance, out, advance)
            runs[folder] = tree
    trees = list(runs.values())
    if trees:
        with console.caught("report", errors, debug), folders.locked(out, wait=True):
            api.write_folder(runs, out, errors)
    entries = [json.loads(tree.attrs["result"]) for tree in trees]
    if as_json:
        print(api.document(trees, errors))
    elif trees:
        print(terminal.table(entries))
        print(f"report: {out / 'report.html'}")
    codes = [e["exit_code"] for e in errors] + [EXIT_OF_VERDICT[e["verdict"]] for e in entries]
    raise typer.Exit(next((c for c in PRECEDENCE if c in codes), 0))


def _verify_one(
    name: str,
    data: dict[str, Any],
    candidate: str | None,
    options: Any,
    tolerance: float | None,
    out: Path,
    advance: Callable[[int], None],
) -> tuple[Path, xr.DataTree]:
    """The folder of one task, and its run."""
    from veribayes import api, candidates
    from veribayes.run import ownership, pipeline
    from veribayes.storage import folders

    task = candidates.with_tolerance(api.task(name, data=data, simulated=True), tolerance)
    folder = out / ownership.folder_name(name, task)
    with ownership.claimed(folder, task, candidate, options):
        for file in ("report.html", "result.json"):
            folders.require_writable(out / file)
        return folder, pipeline.run(task, candidate, options, out=folder, progress=advance)


@app.command()
def identify(
    task: Annotated[str, typer.Argument(metavar="TASK")],
    candidate: Annotated[
        str | None,
        typer.Option(
            "--candidate", metavar="C", help="As for verify; default: the shipped checkpoint."
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against", metavar="ENGINE", help="A further engine to consider; repeatable."
        ),
    ] = None,
    datasets: Compared = IDENTIFY_DATASETS,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            parser=positive_number,
            metavar="X",
            help="Predictors nearer to each other than this share a name.",
        ),
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for identify.json and identify.md; default runs/identify."
        ),
    ] = None,
    set_: Set = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Which algorithm is it? 0: exact Bayes, or nothing that the tolerance tells from it; 1: another, or none; 3: undecided."""
    del debug  # read by main, which catches what escapes
    from veribayes import api, candidates
    from veribayes.report.identification import markdown
    from veribayes.run import identification, ownership, pipeline
    from veribayes.storage import folders, store

    options = api.split_options(_settings(set_))["candidate"]
    made = candidates.with_tolerance(api.task(task), tolerance)
    numbers = {"datasets": datasets, "seed": seed, "tolerance": tolerance}
    choices = {"against": sorted(against or ()), "options": options}
    request = {"candidate": ownership.name_of(candidate, made), **numbers, **choices}
    if out is None:
        defaults: dict[str, Any] = {
            "datasets": IDENTIFY_DATASETS,
            "seed": 0,
            "tolerance": None,
            "against": [],
            "options": {},
        }
        usual = request == {"candidate": made.name, **defaults}
        out = ownership.default_folder(
            Path("runs/identify"), usual, candidate or "shipped", request
        )
    folder = out / ownership.folder_name(task, made)
    with ExitStack() as stack:
        stack.enter_context(folders.owned(folder, {"task": ownership.task_of(made), **request}))
        advance = stack.enter_context(terminal.progress(made.name, datasets))
        stack.enter_context(redirect_stdout(sys.stderr))
        made = pipeline.frozen_tolerance(made, pipeline.Options(seed=seed))
        judged = candidates.resolve(candidate, made, options)
        entry = identification.identify(
            made, judged, datasets=datasets, seed=seed, against=against or (), progress=advance
        )
        document = json.dumps(
            {"schema": identification.SCHEMA, "results": [entry]}, indent=1, allow_nan=False
        )
        store.write_text(folder / "identify.json", document + "\n")
        store.write_text(folder / "identify.md", markdown(entry))
    print(document if as_json else markdown(entry))
    raise typer.Exit(identification.exit_code(entry))


@app.command()
def probe(
    candidate: Annotated[
        str,
        typer.Argument(
            metavar="CANDIDATE",
            help="Checkpoint, construction, or package.module:object with attention.",
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option("--task", help="Default: the task that the checkpoint was trained for."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="CONSTRUCTION", help="Default: the one of the task's family."
        ),
    ] = None,
    datasets: Compared = PROBE_DATASETS,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for probe.json and probe.html; default runs/probe."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """What a candidate reads, beside what theory writes down, and what it has learned; nothing is decided."""
    del debug  # read by main
    from veribayes import api
    from veribayes.report import probe as pages
    from veribayes.run import ownership, probes
    from veribayes.storage import folders, store

    with redirect_stdout(sys.stderr):
        name = task or probes.task_name(candidate)
        made = api.task(name)
    request = {
        "candidate": ownership.name_of(candidate, made),
        "datasets": datasets,
        "seed": seed,
        "against": against,
    }
    if out is None:
        usual = request == {
            "candidate": made.name,
            "datasets": PROBE_DATASETS,
            "seed": 0,
            "against": None,
        }
        out = ownership.default_folder(Path("runs/probe"), usual, candidate, request)
    folder = out / ownership.folder_name(name, made)
    with (
        folders.owned(folder, {"task": ownership.task_of(made), **request}),
        redirect_stdout(sys.stderr),
    ):
        entry = probes.probe(made, candidate, against=against, datasets=datasets, seed=seed)
        text = json.dumps(entry, indent=1, allow_nan=False)
        store.write_text(folder / "probe.json", text + "\n")
        store.write_text(folder / "probe.html", pages.page(entry))
    print(text if as_json else f"{pages.markdown(entry)}\nreport: {folder / 'probe.html'}")


@app.command()
def reference(
    task: Annotated[str, typer.Argument(metavar="TASK")],
    engine: Annotated[
        str | None, typer.Option("--engine", help="Engine, instead of the task's.")
    ] = None,
    datasets: Annotated[
        int | None,
        typer.Option(
            "--datasets",
            parser=whole_number(1),
            metavar="N",
            help="Data sets to draw; default 1000, or the one that is given.",
        ),
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; default TASK-reference.nc.")
    ] = None,
    audit: Annotated[
        int,
        typer.Option(
            "--audit",
            parser=whole_number(0),
            metavar="N",
            help="Data sets that NUTS recomputes, latent by latent.",
        ),
    ] = 0,
    set_: Set = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compute, certify and store a reference."""
    del debug  # read by main, which catches what escapes
    from veribayes import api
    from veribayes.run import ownership, pipeline
    from veribayes.storage import store

    data, rest = api.split_data(_settings(set_))
    made = api.task(task, data=data, simulated=datasets is not None)
    if datasets is None:
        datasets = 1 if made.model.given else pipeline.DEFAULT_DATASETS
    given = api.split_options(rest)
    path = store.netcdf_path(out or Path(f"{ownership.folder_name(task, made)}-reference.nc"))
    options = pipeline.Options(datasets=datasets, seed=seed, audit=audit, reference=engine,
                               reference_options=given["reference"], audit_options=given["audit"])  # fmt: skip
    with terminal.progress(made.name, datasets) as advance, redirect_stdout(sys.stderr):
        tree = pipeline.reference(made, options, advance)
    store.write_tree(tree, path)
    entry = json.loads(tree.attrs["result"])
    certificate = entry["reference"]["certificate"]
    if as_json:
        print(json.dumps({"schema": "veribayes.reference/1", **entry}, indent=1))
    else:
        name, size = entry["reference"]["engine"], f"{datasets} data set{'s'[: datasets != 1]}"
        print(
            f"{made.name}: {size} by {name}, {certificate['verdict']} "
            f"({certificate['method']}, error {certificate['bound_kind']} {certificate['error_bound']:.2g}); {path}"
        )
        if checked := entry["audit"]:
            worst = math.nan if checked["max_abs_z"] is None else checked["max_abs_z"]
            where = f"NUTS on {checked['datasets']} more: {checked['verdict']}"
            print(f"{where}, largest |z| of {checked['latents']} is {worst:.2g}")


@app.command()
def compare(
    reference: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCE", help="Posterior that is trusted: .nc, .json, .json.zip."
        ),
    ],
    candidate: Annotated[
        Path, typer.Argument(metavar="CANDIDATE", help="Posterior that is judged.")
    ],
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            parser=positive_number,
            metavar="X",
            help="Of means, log sds and correlations, in sds of the reference.",
        ),
    ] = 0.1,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for comparison.json.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare two saved posteriors of the same latents, draw by draw."""
    del debug  # read by main
    from veribayes.posteriors import comparison
    from veribayes.storage import store

    found = comparison.compare(reference, candidate, tolerance=tolerance, seed=seed)
    text = json.dumps(found, indent=1, allow_nan=False)
    if out is not None:
        store.write_text(out / "comparison.json", text + "\n")
    print(text if as_json else comparison.summary(found))
    raise typer.Exit(EXIT_OF_VERDICT[found["verdict"]])


@app.command()
def train(
    task: Annotated[str, typer.Argument(metavar="TASK")],
    preset: Annotated[
        str, typer.Option("--preset", help="A recipe of the task: quick or full.")
    ] = "quick",
    device: Annotated[
        str,
        typer.Option(
            "--device", parser=one_of(*DEVICES), metavar="|".join(DEVICES), help="Where to train."
        ),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Checkpoint folder; an interrupted training resumes from it."),
    ] = None,
    seed: Seed = 0,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            parser=whole_number(1, MOST_PROCESSES),
            metavar="N",
            help="CPU threads of torch; bit-exact resume needs the same number.",
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Log to OUT/tensorboard.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Train a transformer on a task by one of its recipes; resumable."""
    del debug  # read by main
    from veribayes.run import training
    from veribayes.storage import folders

    folder = out or Path("runs/train") / f"{Path(task).name}-{preset}"
    with ExitStack() as stack:
        if os.environ.get("RANK", "0") == "0":  # processes that learn together have one writer
            stack.enter_context(folders.locked(folder))
        card = training.train_task(
            task,
            preset=preset,
            device=device,
            out=folder,
            seed=seed,
            threads=threads,
            tensorboard=tensorboard,
        )
    metric = card["scores"].get("metric", "kl")
    size = _measured(card["scores"], metric, terminal.number)
    recovery = _measured(card["scores"], "recovery", terminal.percent)
    print(
        f"{task}: {terminal.NAMES.get(metric, metric)} {size} nats, recovery {recovery} "
        f"on {card['scores']['datasets']} data sets; checkpoint in {folder}"
    )


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run.nc, or a folder with runs.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="HTML file; default report.html in the folder of the run."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Rebuild the report from stored runs; needs neither torch nor JAX."""
    del debug  # read by main
    from veribayes import report as pages
    from veribayes.storage import folders, store

    files = store.run_files(run)
    folder = run if run.is_dir() else run.parent
    path = out or folder / "report.html"
    if path.suffix.lower() not in PAGES:
        raise InputError(
            f"a file {' or '.join(PAGES)} for --out", f"'{path}'", "the report is a page"
        )
    folders.require_writable(path)
    with ExitStack() as stack:
        if path.parent == folder:  # a run that ends meanwhile writes the same page
            stack.enter_context(folders.locked(folder, wait=True))
        pages.write([store.read_tree(f) for f in files], path)
    print(f"report: {path}")


@app.command("calibrate-tests")
def calibrate_tests(
    nulls: Annotated[
        int,
        typer.Option(
            "--nulls",
            parser=whole_number(1),
            metavar="N",
            help="Null data for each test and sample size.",
        ),
    ] = 10_000,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder of finished parts; an interrupted run continues from it."
        ),
    ] = Path("runs/calibration"),
    seed: Seed = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            parser=whole_number(1, MOST_PROCESSES),
            metavar="N",
            help="Processes; default one a core.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how often every test rejects, under its null and under planted defects, and how often intervals cover."""
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # inherited by the workers, before they import NumPy
    from dataclasses import asdict

    from veribayes.report import calibration as drawn
    from veribayes.storage import folders, store
    from veribayes.validation import _shards, intervals
    from veribayes.validation.checks import _measure

    jobs, more = _measure.jobs(nulls, seed), intervals.jobs(nulls, seed)
    with folders.owned(out, {"seed": seed}):
        with terminal.progress("tests", _shards.blocks(jobs)) as advance:
            rates = _measure.run(jobs, out, advance, workers=workers)
        with terminal.progress("intervals", _shards.blocks(more)) as advance:
            covered = intervals.run(more, out, advance, workers=workers)
        waits = _measure.waiting(seed, min(nulls, _measure.POWER_REPLICATES))
        document = _measure.document(rates) | {
            "waiting": [asdict(w) for w in waits], "intervals": [found.plain() for found in covered]
        }  # fmt: skip
        text = "\n\n".join(
            (_measure.tables(rates), _measure.waiting_table(waits), intervals.tables(covered))
        )
        store.write_text(out / "calibration.json", json.dumps(document, indent=1))
        store.write_text(out / "calibration.md", text)
        store.write_text(out / "calibration.svg", drawn.svg(drawn.sizes(document)))
        store.write_text(out / "coverage.svg", drawn.svg(drawn.coverages(document)))
    print(json.dumps(document, indent=1) if as_json else text)


@app.command("calibrate-engine")
def calibrate_engine(
    task: Annotated[str, typer.Argument(metavar="TASK")],
    engine: Annotated[str, typer.Option("--engine", help="Engine that is asked.")] = "hmc",
    datasets: Datasets = 200,
    seed: Seed = 0,
    set_: Set = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Simulation-based calibration of an engine; exit code 0 calibrated, 1 not."""
    del debug  # read by main
    from veribayes import api
    from veribayes.run import calibration

    data, rest = api.split_data(_settings(set_))
    options = api.split_options(rest)["reference"]
    with terminal.progress(task, datasets), redirect_stdout(sys.stderr):
        made = api.task(task, data=data, simulated=True)
        found = calibration.calibrate(made, engine, datasets=datasets, seed=seed, options=options)
    p_values = ", ".join(
        f"{name} p = {t['p_value']:.3g} (n = {t['n']})" for name, t in found["tests"].items()
    )
    text = f"{found['task']}: {found['engine']} is {found['verdict']} on {datasets} data sets; {p_values}"
    print(json.dumps(found, indent=1) if as_json else text)
    raise typer.Exit(0 if found["verdict"] == "calibrated" else 1)


app.command("claims")(claims)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Versions, devices, and what is missing."""
    from veribayes.cli import doctor

    found = doctor.examine()
    if as_json:
        print(json.dumps({"schema": "veribayes.doctor/1", **found}, indent=1))
    else:
        print(doctor.text(found))
    raise typer.Exit(0 if not found["problems"] else 2)


def _measured(scores: dict[str, Any], name: str, form: Callable[[float], str]) -> str:
    keys = {"estimate": name, **{key: f"{name}_{key}" for key in ("low", "high", "reason")}}
    return terminal.interval({key: scores.get(stored) for key, stored in keys.items()}, form)


def _listing(kind: str) -> list[tuple[str, str]]:
    """Names and what each is; plug-ins that cannot be used are said, and are not among them."""
    if kind == "tasks":
        return [(name, _description(name)) for name in registry.usable("task")]
    if kind == "candidates":
        shipped = [(n, "shipped checkpoint") for n in registry.names("checkpoint")]
        kinds = ("construction", "engine")
        return shipped + [
            (n, f"{kind}: {registry.summary(kind, n)}")
            for kind in kinds
            for n in registry.usable(kind)
        ]
    single = "family" if kind == "families" else kind.removesuffix("s")
    return [(name, registry.summary(single, name)) for name in registry.usable(single)]


def _description(name: str) -> str:
    """The description line of a task's YAML, without reading the rest."""
    path = registry.task_path(name)
    lines = path.read_text(encoding="utf-8").splitlines() if path else []
    return next(
        (
            line.removeprefix("description:").strip().strip("\"'")
            for line in lines
            if line.startswith("description:")
        ),
        "",
    )


def _settings(texts: list[str] | None) -> dict[str, str]:
    out = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(
                "ROLE.OPTION=VALUE", f"'{text}'", "for example --set reference.draws=20"
            )
        out[key] = value
    return out


def main() -> NoReturn:
    """Entry point: what the commands return or raise becomes an exit code of the contract, and at most one line."""
    sys.exit(console.run(app))
