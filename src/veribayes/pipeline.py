"""Simulate, infer, certify, score, decide, store: one run from a task to a verdict.

The work is cut into shards over data sets. A shard is a pure function of (task, engines, candidate, seed, range), is
written as it completes, and is read back instead of computed when its key is the same. Only scores survive a shard;
the predictives that the report shows are computed again from the numbers of their data sets.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from veribayes import checks, concentration, registry, results, store
from veribayes.audit import audited
from veribayes.candidates import Candidate, made_for, of_engine, resolve
from veribayes.checked import integer
from veribayes.errors import InputError, ReferenceRefused
from veribayes.models._task import Task, Tolerance
from veribayes.predictive import Array, Predictive, concatenate
from veribayes.references import remembered
from veribayes.results import Scored
from veribayes.secondary import Checked
from veribayes.tree import CHAIN, DATASET, DRAW, POSITION, QUERY, Branch, Simulation, merge_branches, merge_certificates
from veribayes.validation import decision, monte_carlo

DEFAULT_DATASETS = 1000
DEFAULT_AUDIT = 4
TOLERANCE_SHARE = 0.01  # of the prior predictive's mean divergence, i.e. 99 % recovery
SEARCHED = 2000  # data sets in which a concentration is looked for; they hold in memory what each group contains
TRUTHS = ("exact", "quadrature", "mcmc")  # methods that compute the posterior; no other engine may be a reference

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Options:
    """How a run is made; what it is about is the task and the candidate.

    Attributes:
        datasets: at most; a sequential run ends as soon as it is sure that the candidate is different.
        audit: data sets on which NUTS checks an exact reference.
        tests: how much is asked beside the primary endpoint: none, standard, or all (`checks`).
    """

    datasets: int = DEFAULT_DATASETS
    seed: int = 0
    audit: int = DEFAULT_AUDIT
    reference: str | None = None
    reference_options: Mapping[str, str] = field(default_factory=dict)
    candidate_options: Mapping[str, str] = field(default_factory=dict)
    audit_options: Mapping[str, str] = field(default_factory=dict)
    keep_predictions: bool = False
    tests: str = "standard"
    sequential: bool = False

    def __post_init__(self) -> None:
        for name, least in (("datasets", 1), ("seed", 0), ("audit", 0)):
            object.__setattr__(self, name, integer(name, getattr(self, name), at_least=least))
        if self.tests not in checks.LEVELS:
            raise InputError(f"tests: one of {', '.join(checks.LEVELS)}", f"'{self.tests}'")


def run(
    task: Task, candidate: object, options: Options, *, out: Path | None = None, progress: Progress | None = None
) -> xr.DataTree:
    """Compare a candidate with the certified reference of a task and decide.

    Args:
        task: what is asked.
        candidate: anything `candidates.resolve` understands; None is the checkpoint shipped for the task.
        options: numbers of the run.
        out: folder for shards and run.nc; None keeps everything in memory.
        progress: called with the number of data sets done.

    Returns:
        The run tree; its attribute `result` is the JSON entry of this task.

    Raises:
        ReferenceRefused: the reference or its audit did not earn trust.
        InputError: the candidate does not answer in one of the six forms.
    """
    started = time.perf_counter()
    integer("datasets", options.datasets, at_least=2)
    target = None if out is None else out / "run.nc"
    if target and isinstance(candidate, str | Path) and Path(candidate).resolve() == target.resolve():
        raise InputError("another folder for this run", "the one that holds the predictions it judges", "choose --out")
    judged = resolve(candidate, task, options.candidate_options)
    roles = _roles(task, options, judged)
    if options.sequential:
        task = frozen_tolerance(task, options)
    shards = list(_until_sure(task, _shards(task, roles, options, out, progress), options))
    scored = _merge(shards)  # first, since here a bad candidate fails
    task, truth, audit = frozen_tolerance(task, options), roles["reference"], None
    options = replace(options, datasets=len(scored.context))
    wealth = results.log_wealth(task, shards) if options.sequential else None
    if options.audit and truth.name != "nuts" and _sampled(task.model):
        audit = audited(task, truth, options.audit, seed=options.seed, nuts_options=options.audit_options)
    groups = {
        "/": results.assemble(task, roles, scored, audit, seed=options.seed, groups=_searched(task, options),
                              checked=_checked(task, judged, scored, options), wealth=wealth),
        "/examples": _examples(task, roles, scored, options),
    }
    if options.keep_predictions:
        groups["/candidate"] = _kept(task, judged, options)
    tree = xr.DataTree.from_dict(
        {f"{at.rstrip('/')}{node.path}": node.to_dataset() for at, part in groups.items() for node in part.subtree}
    )
    seconds = round(time.perf_counter() - started, 2)
    tree.attrs = {
        "schema": store.SCHEMA,
        **groups["/"].attrs,
        "provenance": json.dumps(_provenance(task, roles, options, seconds)),
    }
    if target:
        store.write_tree(tree, target)
    return tree


def reference(task: Task, options: Options, progress: Progress | None = None) -> xr.DataTree:
    """Compute and certify a reference alone; the tree holds /observed_data, /reference, /audit and the certificate.

    Raises:
        ReferenceRefused: the reference, or its audit, did not earn trust.
        InputError: an audit where there is nothing to audit, or NUTS beside NUTS.
    """
    made = _reference(task, _keeping(task, options))
    if options.audit and (made.name == "nuts" or not _sampled(task.model) or getattr(task.model, "given", False)):
        wanted = "another engine than nuts, on data that are simulated, with latents that a sampler serves"
        raise InputError(wanted, f"'{made.name}' on '{task.name}'", "leave out --audit")
    audit = None
    if options.audit:
        audit = audited(task, made, options.audit, seed=options.seed, nuts_options=options.audit_options)
    parts = []
    for rows in _ranges(task, options.datasets):
        simulation = task.simulate(rows, seed=options.seed)
        branch = made.infer(task, simulation.data, options.seed)
        branch.certificate.require(made.name)
        parts.append((simulation, branch))
        if progress:
            progress(rows.stop)
    whole = merge_branches([branch for _, branch in parts])
    groups = {
        "/observed_data": xr.Dataset(
            {
                "context": ((DATASET, POSITION), np.concatenate([s.context for s, _ in parts])),
                "index": ((DATASET,), np.arange(options.datasets)),
            }
        ),
        "/reference/posterior_predictive": store.predictive_dataset(whole.predictive),
        "/reference/posterior": _posterior_group(whole),
        **({"/posterior": draws} if (draws := _draws_group(whole)) else {}),
        **({} if audit is None else {"/audit": audit}),
    }
    tree = xr.DataTree.from_dict(groups)
    entry = {
        "task": task.name,
        "task_hash": task.hash,
        "datasets": options.datasets,
        "seed": options.seed,
        "reference": {"engine": made.name, "certificate": store.certificate_json(whole.certificate)},
        "audit": results.audit_entry(audit),
    }
    tree.attrs = {
        "schema": "veribayes.reference/1",
        "result": json.dumps(entry),
        "provenance": json.dumps(
            store.provenance(task=task.to_dict(), model_hash=task.model_hash, options=asdict(options))
        ),
    }
    return tree


def _posterior_group(branch: Branch) -> xr.Dataset:
    """Moments of the latents, each variable LATENT_MOMENT with its own event dimensions."""
    variables = {}
    for name, moments in branch.posterior.items():
        for moment, values in moments.items():
            if moment != "draws":
                variables[f"{plain(name)}_{moment}"] = ((DATASET, POSITION, *_events(name, values.ndim - 2)), values)
    return xr.Dataset(variables)


def _draws_group(branch: Branch) -> xr.Dataset | None:
    """Draws of the latents as arviz stores them, (chain, draw, *event), behind the data set and the position where several."""
    kept = {name: moments["draws"] for name, moments in branch.posterior.items() if "draws" in moments}
    variables = {}
    for name, values in kept.items():
        dims = (DATASET, POSITION, CHAIN, DRAW, *_events(name, values.ndim - 4))
        variables[plain(name)] = (dims, values)
    several = xr.Dataset(variables)
    return several.squeeze([d for d in (DATASET, POSITION) if several.sizes.get(d) == 1]) if kept else None


def _events(name: str, axes: int) -> tuple[str, ...]:
    return tuple(f"{plain(name)}_dim_{i}" for i in range(axes))


def plain(name: str) -> str:
    """A site's name as the name of a variable: a slash is a group to netCDF."""
    return name.replace("/", ".")


def _keeping(task: Task, options: Options) -> Options:
    """The one posterior of a user's own data is kept draw by draw."""
    if not getattr(task.model, "given", False):
        return options
    return replace(options, reference_options={"keep": "true", **options.reference_options})


def _sampled(model: Any) -> bool:
    """Whether NUTS can say anything about it: known tables leave nothing to sample, values on a grid are summed."""
    return bool(model.latents) and not getattr(model, "enumerated", False)


def frozen_tolerance(task: Task, options: Options) -> Task:
    """The task with its tolerance; a user's model gets one by the rule, from data sets that no comparison uses."""
    return task if task.tolerance is not None else replace(task, tolerance=compute_tolerance(task, options=options))


def compute_tolerance(task: Task, *, seed: int = 0, datasets: int = 2000, options: Options | None = None) -> Tolerance:
    """1 % of the mean divergence of the prior predictive from the exact predictive, on the stream `replicate`.

    Both endpoints at once: KL in nats for densities, and what replaces it for draws (`results.endpoint`).
    """
    given = options or Options()
    truth = _reference(task, given if given.reference is None else Options())
    prior = registry.engine("prior_only")
    totals: list[tuple[Array, Array]] = []
    for rows in _ranges(task, datasets):
        simulation = task.simulate(rows, seed=seed, stream="replicate")
        branch = truth.infer(task, simulation.data, seed)
        branch.certificate.require(truth.name)
        exact = branch.predictive
        guess = prior(task, simulation.data, seed=seed).predictive
        for_draws = "kl_reverse" if task.model.n_categories else "crps"
        totals.append(
            (
                decision.cluster_means(_score("kl", guess, exact, simulation)),
                decision.cluster_means(_score(for_draws, guess, exact, simulation)),
            )
        )
    kl, draws = (TOLERANCE_SHARE * float(np.mean(np.concatenate(t))) for t in zip(*totals, strict=True))
    if not kl > 0:
        raise InputError("a task whose context tells something", "a posterior that is the prior", "give a --tolerance")
    if not np.isfinite(draws):  # the prior holds possible what the truth excludes: the reverse divergence sets no scale
        draws = kl
    return Tolerance(kl=float(f"{kl:.4g}"), draws=float(f"{draws:.4g}"), seed=seed, datasets=datasets)


def _roles(task: Task, options: Options, judged: Candidate) -> dict[str, Candidate]:
    """Everything a run infers, by role: the reference, the candidate, and who else would pass."""
    roles = {"reference": _reference(task, options), "candidate": judged}
    for name in ("prior_only", *(("wrong_prior",) if task.wrong_prior else ()), *task.rivals):
        roles[name] = of_engine(name, registry.engine(name))
    return roles


def _reference(task: Task, options: Options) -> Candidate:
    name = (options.reference or task.reference).replace("-", "_")
    engine = registry.engine(name, options.reference_options)
    if engine.method not in TRUTHS:
        raise ReferenceRefused(name, (f"its method is '{engine.method}', which does not compute the posterior",))
    made = of_engine(name, engine)
    return remembered(made) if engine.method == "mcmc" else made  # what is exact is computed faster than read


def _ranges(task: Task, datasets: int) -> Iterator[range]:
    for start in range(0, datasets, task.design.shard):
        yield range(start, min(start + task.design.shard, datasets))


def _searched(task: Task, options: Options) -> concentration.Groups:
    """Groups of predictions, by what the contexts of the first data sets show."""
    return concentration.groups(task, task.simulate(range(min(options.datasets, SEARCHED)), seed=options.seed))


def _until_sure(task: Task, shards: Iterator[Scored], options: Options) -> Iterator[Scored]:
    """All shards; of a sequential run those until a bet against the tolerance is won."""
    seen: list[Scored] = []
    for shard in shards:
        yield shard
        seen.append(shard)
        if options.sequential and results.log_wealth(task, seen) >= results.ENOUGH:
            return


def _checked(task: Task, judged: Candidate, run: Scored, options: Options) -> Checked:
    """What is asked beside the primary endpoint; the reference with its joint, where it can say it."""
    engine = registry.load("engine", (options.reference or task.reference).replace("-", "_"))
    more = {"joint": "true"} if any(f.name == "joint" for f in fields(engine)) else {}
    asked = replace(options, reference_options={**more, **options.reference_options})
    truth = None if engine.method == "mcmc" else _reference(task, asked)
    simulation = task.simulate(range(min(options.datasets, checks.ASKED)), seed=options.seed)
    return checks.examine(checks.Case(task, judged, truth, run.scores["candidate"], simulation, options.seed), options.tests)


def _examples(task: Task, roles: Mapping[str, Candidate], run: Scored, options: Options) -> xr.DataTree:
    """Predictives of a few data sets, computed again from their numbers."""
    index, why = results.example_indices(run, results.endpoint(task, run.forms["candidate"]))
    simulation = task.model.simulate(task.design, options.seed, "verify", index)
    groups = {
        "/": xr.Dataset({"index": (("example",), index), "why": (("example",), np.array(why, dtype="U6"))}),
        "/observed": store.arrays_dataset(simulation.data.arrays, "example", len(index), results.SHARED),
    }
    for role in ("reference", "candidate", "prior_only"):
        branch = roles[role].infer(task, simulation.data, options.seed)
        groups[f"/{role}"] = store.predictive_dataset(branch.predictive, "example")
    return xr.DataTree.from_dict(groups)


def _kept(task: Task, judged: Candidate, options: Options) -> xr.DataTree:
    """All predictions of the candidate, as a predictions file holds them."""
    parts = [
        judged.infer(task, task.simulate(rows, seed=options.seed).data, options.seed).predictive
        for rows in _ranges(task, options.datasets)
    ]
    answered = json.dumps(made_for(task, options.seed))
    return xr.DataTree(store.predictive_dataset(concatenate(parts)).assign_attrs(made_for=answered))


def _provenance(task: Task, roles: Mapping[str, Candidate], options: Options, seconds: float) -> dict[str, object]:
    return store.provenance(
        task=task.to_dict(),
        model_hash=task.model_hash,
        seed=options.seed,
        streams=["verify", "audit", "replicate"],
        roles={r: {"name": c.name, "identity": c.identity} for r, c in roles.items()},
        card=roles["candidate"].card,
        options=asdict(options),
        seconds=seconds,
        finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _shards(
    task: Task, roles: Mapping[str, Candidate], options: Options, out: Path | None, progress: Progress | None
) -> Iterator[Scored]:
    """Shards in order, each read back when it is there under the same key, else computed and written."""
    key = _key(task, roles, options)
    for number, rows in enumerate(_ranges(task, options.datasets)):
        path = None if out is None else out / "shards" / f"{number:05d}.nc"
        shard = _read_shard(path, key, rows) if path is not None and key is not None else None
        if shard is None:
            shard = _compute(task, roles, options, rows)
            if path is not None:
                _write_shard(path, key or "", rows, shard)
        yield shard
        if progress:
            progress(rows.stop)


def _key(task: Task, roles: Mapping[str, Candidate], options: Options) -> str | None:
    """What a shard depends on; None when the candidate has no identity, and then nothing is resumed."""
    if roles["candidate"].identity is None:
        return None
    model = {
        "model": task.model_hash,
        "design": asdict(task.design),
        "wrong_prior": dict(task.wrong_prior),
        "seed": options.seed,
    }
    return store.digest_of(
        {
            **model,
            "roles": {r: c.identity for r, c in roles.items()},
            "source": store.source_digest(),
            "versions": store.provenance()["packages"],
            "plug_ins": registry.plug_in_versions(),
        }
    )


def _compute(task: Task, roles: Mapping[str, Candidate], options: Options, rows: range) -> Scored:
    simulation = task.simulate(rows, seed=options.seed)
    truth = roles["reference"].infer(task, simulation.data, options.seed)
    truth.certificate.require(roles["reference"].name)
    scores: dict[str, dict[str, Array]] = {}
    forms = {"reference": truth.predictive.form}
    for role, who in roles.items():
        if role != "reference":
            branch = who.infer(task, simulation.data, options.seed)
            names = registry.usable("metric") if role == "candidate" else results.COMPARED
            scores[role], forms[role] = _scores(names, branch, truth, simulation), branch.predictive.form
    return Scored(scores, simulation.context, simulation.outcome, truth.certificate, forms)


def _scores(names: Sequence[str], branch: Branch, truth: Branch, simulation: Simulation) -> dict[str, Array]:
    """The metrics that apply to the two forms, and the Monte Carlo corrections where a side has replicates."""
    scores = {}
    for name in names:
        values = registry.attempted("metric", name, partial(_metric_scores, name, branch, truth, simulation))
        if values is not None:
            scores[name] = values
    if "kl" in scores and (truth.replicates or branch.replicates):
        sides = (branch.replicates or branch.predictive, truth.replicates or truth.predictive)
        corrected = monte_carlo.corrected_kl(*sides, simulation.outcome)
        scores |= {"kl": corrected.value, "kl_raw": corrected.raw, "kl_remainder": corrected.remainder}
    return scores


def _metric_scores(name: str, branch: Branch, truth: Branch, simulation: Simulation) -> Array | None:
    """The scores of one metric, (dataset, position, query); None where it does not apply to the two forms.

    Raises:
        ArithmeticError: scores of another shape, or NaN where the query applies.
    """
    metric = registry.load("metric", name)
    if not metric.applies(branch.predictive.form, truth.predictive.form):
        return None
    values = np.asarray(
        metric.score(branch.predictive, truth.predictive, simulation.outcome, index=simulation.data.index)
    )
    if values.shape != simulation.outcome.shape or (np.isnan(values) & ~np.isnan(simulation.outcome)).any():
        raise ArithmeticError(f"scores without NaN of shape {simulation.outcome.shape} expected, got {values.shape}")
    return values


def _score(name: str, guess: Predictive, exact: Predictive, simulation: Simulation) -> Array:
    return np.asarray(registry.load("metric", name).score(guess, exact, simulation.outcome))


def _write_shard(path: Path, key: str, rows: range, shard: Scored) -> None:
    groups = {f"/scores/{role}": store.scores_dataset(scores) for role, scores in shard.scores.items()}
    groups["/observed_data"] = xr.Dataset(
        {"context": ((DATASET, POSITION), shard.context), "outcome": ((DATASET, POSITION, QUERY), shard.outcome)}
    )
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        "key": key,
        "start": rows.start,
        "stop": rows.stop,
        "forms": json.dumps(dict(shard.forms)),
        "certificate": json.dumps(store.certificate_json(shard.certificate)),
    }
    store.write_tree(tree, path)


def _read_shard(path: Path, key: str, rows: range) -> Scored | None:
    """A stored shard, or None when there is none that this run may use."""
    if not path.is_file():
        return None
    try:
        tree = store.read_tree(path)
        same = tree.attrs["key"] == key and (tree.attrs["start"], tree.attrs["stop"]) == (rows.start, rows.stop)
        return _shard_of(tree) if same else None
    except (InputError, LookupError, ValueError, TypeError):
        return None  # damaged: compute it again


def _shard_of(tree: xr.DataTree) -> Scored:
    scores = {
        role: {str(n): v.to_numpy() for n, v in group.data_vars.items()}
        for role, group in tree["scores"].children.items()
    }
    seen = tree["observed_data"]
    certificate = store.certificate_of(json.loads(tree.attrs["certificate"]))
    return Scored(
        scores, seen["context"].to_numpy(), seen["outcome"].to_numpy(), certificate, json.loads(tree.attrs["forms"])
    )


def _scored_by_all(shards: list[Scored], role: str) -> list[str]:
    """Metrics of a role that every shard has: a plug-in may fail in one of them."""
    return [m for m in shards[0].scores[role] if all(m in s.scores[role] for s in shards)]


def _merge(shards: list[Scored]) -> Scored:
    first = shards[0]
    if any(s.forms != first.forms for s in shards):
        found = sorted({s.forms["candidate"] for s in shards})
        raise InputError("one predictive form throughout a run", f"{found}", "return the same form for every batch")
    scores = {
        role: {m: np.concatenate([s.scores[role][m] for s in shards]) for m in _scored_by_all(shards, role)}
        for role in first.scores
    }
    return Scored(
        scores,
        np.concatenate([s.context for s in shards]),
        np.concatenate([s.outcome for s in shards]),
        merge_certificates([s.certificate for s in shards]),
        first.forms,
    )
