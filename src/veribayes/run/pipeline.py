"""Simulate, infer, certify, score, decide, store: one run from a task to a verdict.

The work is cut into shards over data sets. A shard is a pure function of (task, engines, candidate, seed, range), is
written as it completes, and is read back instead of computed when its key is the same. Only scores survive a shard;
the predictives that the report shows are computed again from the numbers of their data sets.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from veribayes import registry
from veribayes.candidates import Candidate, made_for, of_engine, resolve
from veribayes.checked import integer
from veribayes.errors import InputError, ReferenceRefused
from veribayes.models._task import Task, Tolerance
from veribayes.predictive import Array, Draws, Predictive, Quantiles, concatenate
from veribayes.run import results
from veribayes.run.audit import audited
from veribayes.run.references import remembered
from veribayes.run.results import Scored
from veribayes.storage import store
from veribayes.tree import (
    CHAIN,
    DATASET,
    DRAW,
    POSITION,
    QUERY,
    Branch,
    Simulation,
    merge_branches,
    merge_certificates,
    shown,
)
from veribayes.tree.method import Method
from veribayes.validation import (
    concentration,
    decision,
    draws,
    independence,
    monte_carlo,
    questions,
)
from veribayes.validation.case import Case
from veribayes.validation.secondary import Checked

DEFAULT_DATASETS = 1000
DEFAULT_AUDIT = 4
TOLERANCE_SHARE = 0.01  # of the prior predictive's mean divergence, i.e. 99 % recovery
SEARCHED = 2000  # data sets in which a concentration is looked for; they hold in memory what each group contains
EXAMPLES_OF = ("reference", "candidate", "prior_only")

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
        if self.tests not in questions.LEVELS:
            raise InputError(f"tests: one of {', '.join(questions.LEVELS)}", f"'{self.tests}'")


def run(
    task: Task,
    candidate: object,
    options: Options,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
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
    if (
        target
        and isinstance(candidate, str | Path)
        and Path(candidate).resolve() == target.resolve()
    ):
        raise InputError(
            "another folder for this run",
            "the one that holds the predictions it judges",
            "choose --out",
        )
    judged = resolve(candidate, task, options.candidate_options)
    roles = _roles(task, options, draws.twice(judged))
    produced = _shards(task, roles, options, out, progress)
    first = next(produced)  # before the tolerance, since here a bad candidate fails
    task = frozen_tolerance(task, options, first.levels)
    shards = list(_until_sure(task, chain([first], produced), options))
    scored, truth, audit = _merge(shards), roles["reference"], None
    options = replace(options, datasets=len(scored.context))
    wealth = results.log_wealth(task, shards) if options.sequential else None
    if options.audit and truth.name != "nuts" and _sampled(task.model):
        audit = audited(
            task, truth, options.audit, seed=options.seed, nuts_options=options.audit_options
        )
    examples, notes = _examples(task, roles, scored, options)
    checked = _checked(task, judged, scored, options)
    checked = replace(checked, notes=(*checked.notes, *notes))
    groups = {
        "/": results.assemble(
            task,
            roles,
            scored,
            audit,
            seed=options.seed,
            groups=_searched(task, options),
            checked=checked,
            wealth=wealth,
        ),
        "/examples": examples,
    }
    if scored.kept is not None:
        groups["/candidate"] = _kept(task, scored.kept, options)
    tree = xr.DataTree.from_dict(
        {
            f"{at.rstrip('/')}{node.path}": node.to_dataset()
            for at, part in groups.items()
            for node in part.subtree
        }
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
        InputError: an audit where there is nothing to audit, NUTS beside NUTS, or latents that one file cannot tell apart.
    """
    made = _reference(task, _keeping(task, options))
    require_names([v.name for v in task.model.latents])
    if options.audit and (made.name == "nuts" or not _sampled(task.model) or task.model.given):
        wanted = "another engine than nuts, on data that are simulated, with latents that a sampler serves"
        raise InputError(wanted, f"'{made.name}' on '{task.name}'", "leave out --audit")
    audit = None
    if options.audit:
        audit = audited(
            task, made, options.audit, seed=options.seed, nuts_options=options.audit_options
        )
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
        "reference": {
            "engine": made.name,
            "certificate": store.certificate_json(whole.certificate),
        },
        "audit": results.audit_entry(audit),
    }
    tree.attrs = {
        "schema": "veribayes.reference/1",
        "result": json.dumps(entry),
        "provenance": json.dumps(
            store.provenance(
                task=task.to_dict(), model_hash=task.model_hash, options=asdict(options)
            )
        ),
    }
    return tree


def _posterior_group(branch: Branch) -> xr.Dataset:
    """Moments of the latents, each variable LATENT_MOMENT with its own event dimensions."""
    variables = {}
    for name, moments in branch.posterior.items():
        for moment, values in moments.items():
            if moment != "draws":
                variables[f"{plain(name)}_{moment}"] = (
                    (DATASET, POSITION, *_events(name, values.ndim - 2)),
                    values,
                )
    return xr.Dataset(variables)


def _draws_group(branch: Branch) -> xr.Dataset | None:
    """Draws of the latents as arviz stores them, (chain, draw, *event), behind the data set and the position where several."""
    kept = {
        name: moments["draws"] for name, moments in branch.posterior.items() if "draws" in moments
    }
    variables = {}
    for name, values in kept.items():
        dims = (DATASET, POSITION, CHAIN, DRAW, *_events(name, values.ndim - 4))
        variables[plain(name)] = (dims, values)
    several = xr.Dataset(variables)
    return (
        several.squeeze([d for d in (DATASET, POSITION) if several.sizes.get(d) == 1])
        if kept
        else None
    )


def _events(name: str, axes: int) -> tuple[str, ...]:
    return tuple(f"{plain(name)}_dim_{i}" for i in range(axes))


def plain(name: str) -> str:
    """A site's name as the name of a variable: a slash is a group to netCDF. Injective after `require_names`."""
    return name.replace("/", ".")


def require_names(latents: Sequence[str]) -> None:
    """Refuse latents whose draws one file cannot hold side by side; what is called like a dimension is read as a coordinate.

    Raises:
        InputError: two names that differ in slashes and dots alone, or one that is a dimension of the file.
    """
    first: dict[str, str] = {}
    for name in latents:
        other = first.setdefault(plain(name), name)
        axis = re.sub(r"_dim_[0-9]+$", "", plain(name))
        if other != name:
            wanted, got = (
                "latents with different names in a netCDF file",
                f"'{other}' and '{name}', both '{plain(name)}' there",
            )
        elif plain(name) in (DATASET, POSITION, CHAIN, DRAW):
            wanted, got = "a latent that is not called like a dimension", f"'{name}'"
        elif axis != plain(name) and axis in map(plain, latents):
            wanted, got = (
                "a latent that is not called like an axis of another one",
                f"'{name}' beside '{axis}'",
            )
        else:
            continue
        raise InputError(wanted, got, "rename the site")


def _keeping(task: Task, options: Options) -> Options:
    """The one posterior of a user's own data is kept draw by draw."""
    if not task.model.given:
        return options
    return replace(options, reference_options={"keep": "true", **options.reference_options})


def _sampled(model: Any) -> bool:
    """Whether NUTS can say anything about it: known tables leave nothing to sample, values on a grid are summed."""
    return bool(model.latents) and not model.enumerated


def frozen_tolerance(task: Task, options: Options, levels: Sequence[float] | None = None) -> Task:
    """The task with its tolerance; what is not frozen comes by the rule, from data sets that no comparison uses.

    That is a user's model, and quantiles at `levels`: nobody can know before which levels a candidate has.
    """
    if task.tolerance is None:
        task = replace(task, tolerance=compute_tolerance(task, options=options))
    assert task.tolerance is not None
    if levels is None or task.tolerance.quantiles is not None:
        return task
    found = quantile_tolerance(task, levels, options=options)
    return replace(task, tolerance=replace(task.tolerance, quantiles=found))


def compute_tolerance(
    task: Task, *, seed: int = 0, datasets: int = 2000, options: Options | None = None
) -> Tolerance:
    """1 % of the mean divergence of the prior predictive from the exact predictive, on the stream `replicate`.

    Both endpoints at once: KL in nats for densities, and what replaces it for draws (`results.endpoint`). Half the
    chi-square divergence of categories is held to the tolerance of KL, which it is to second order. Its own mean over
    the prior predictive is dominated by rare categories: 1.2 to 22 times as large, and infinite where the truth
    excludes what the prior does not.
    """
    names = ("kl",) if task.model.n_categories else ("kl", "crps")
    values: dict[str, list[Array]] = {name: [] for name in names}
    for guess, exact, simulation in priors(task, seed, datasets, options):
        for name in names:
            values[name].append(decision.cluster_means(score(name, guess, exact, simulation)))
    sizes = {name: _share(values[name]) for name in names}
    if not np.isfinite(sizes["kl"]):
        raise InputError(
            "a prior that holds possible what the truth does",
            "an infinite divergence",
            "give --tolerance",
        )
    if not sizes["kl"] > 0:
        raise InputError(
            "a task whose context tells something",
            "a posterior that is the prior",
            "give a --tolerance",
        )
    return Tolerance(
        kl=sizes["kl"], draws=sizes.get("crps", sizes["kl"]), seed=seed, datasets=datasets
    )


def quantile_tolerance(
    task: Task,
    levels: Sequence[float],
    *,
    seed: int = 0,
    datasets: int = 2000,
    options: Options | None = None,
) -> float:
    """The same for quantiles at these levels: 1 % of the mean quantile divergence of the prior predictive's."""
    values = []
    for guess, exact, simulation in priors(task, seed, datasets, options):
        said = quantiles(guess, levels)
        values.append(decision.cluster_means(score("quantile_score", said, exact, simulation)))
    found = _share(values)
    if not found > 0:
        wanted = f"levels at which the context tells something, not only {tuple(levels)}"
        raise InputError(
            wanted, "exact quantiles that are those of the prior", "give a --tolerance"
        )
    return found


def priors(
    task: Task, seed: int, datasets: int, options: Options | None = None
) -> Iterator[tuple[Predictive, Predictive, Simulation]]:
    """Prior predictive and exact predictive on data sets that no comparison uses."""
    given = options or Options()
    truth = _reference(task, given if given.reference is None else Options())
    prior = registry.engine("prior_only")
    for rows in _ranges(task, datasets):
        simulation = task.simulate(rows, seed=seed, stream="replicate")
        branch = truth.infer(task, simulation.data, seed)
        branch.certificate.require(truth.name)
        yield prior(task, simulation.data, seed=seed).predictive, branch.predictive, simulation


def _share(values: Sequence[Array]) -> float:
    """1 % of the mean, to four digits."""
    return float(f"{TOLERANCE_SHARE * float(np.mean(np.concatenate(values))):.4g}")


def quantiles(law: Predictive, levels: Sequence[float]) -> Quantiles:
    """The quantiles of a law at these levels."""
    wanted = np.asarray(levels, dtype=np.float64)
    return Quantiles(wanted, law.quantile(np.broadcast_to(wanted, (*law.shape, wanted.size))))


def _roles(task: Task, options: Options, judged: Candidate) -> dict[str, Candidate]:
    """Everything a run infers, by role: the reference, the candidate, and who else would pass."""
    roles = {"reference": _reference(task, options), "candidate": judged}
    for name in ("prior_only", *(("wrong_prior",) if task.wrong_prior else ()), *task.rivals):
        roles[name] = of_engine(name, registry.engine(name))
    return roles


def _reference(task: Task, options: Options) -> Candidate:
    name = (options.reference or task.reference).replace("-", "_")
    engine = registry.engine(name, options.reference_options)
    if not Method.of(engine.method).computes_posterior:
        raise ReferenceRefused(
            name, (f"its method is '{engine.method}', which does not compute the posterior",)
        )
    made = of_engine(name, engine)
    return (
        remembered(made) if engine.method == Method.MCMC else made
    )  # what is exact is computed faster than read


def _ranges(task: Task, datasets: int) -> Iterator[range]:
    for start in range(0, datasets, task.design.shard):
        yield range(start, min(start + task.design.shard, datasets))


def _searched(task: Task, options: Options) -> concentration.Groups:
    """Groups of predictions, by what the contexts of the first data sets show."""
    return concentration.groups(
        task, task.simulate(range(min(options.datasets, SEARCHED)), seed=options.seed)
    )


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
    truth = None if engine.method == Method.MCMC else _reference(task, asked)
    simulation = task.simulate(range(min(options.datasets, questions.ASKED)), seed=options.seed)
    primary = results.endpoint(task, run.forms["candidate"])
    case = Case(task, judged, truth, primary, run.scores["candidate"], simulation, options.seed)
    return questions.examine(case, options.tests)


def _examples(
    task: Task, roles: Mapping[str, Candidate], run: Scored, options: Options
) -> tuple[xr.DataTree, tuple[Mapping[str, Any], ...]]:
    """Predictives of a few data sets, and a finding where the candidate's are not those that were scored.

    What was not kept is computed again from the numbers of the data sets.
    """
    primary = results.endpoint(task, run.forms["candidate"], run.levels)
    index, why = results.example_indices(run, primary)
    simulation = task.model.simulate(task.design, options.seed, "verify", index)
    groups = {
        "/": _shown(task, simulation, results.worst_places(run, primary, index), why),
        "/observed": store.arrays_dataset(
            simulation.data.arrays, "example", len(index), simulation.data.shared
        ),
    }
    branches = {
        role: _again(roles[role], role, task, simulation, run, options) for role in EXAMPLES_OF
    }
    for role, branch in branches.items():
        groups[f"/{role}"] = store.predictive_dataset(branch.predictive, "example")
    notes: tuple[Mapping[str, Any], ...] = ()
    if run.kept is None:
        scores = _scores([primary.metric], branches["candidate"], branches["reference"], simulation)
        notes = results.examples_differ(run, primary, index, scores)
    return xr.DataTree.from_dict(groups), notes


def _shown(
    task: Task, simulation: Simulation, places: npt.NDArray[np.int64], why: Sequence[str]
) -> xr.Dataset:
    """Which data sets are the examples, where each is worst, and how the family writes what is seen and asked there."""
    data, texts = simulation.data, []
    for i, (position, query) in enumerate(places.tolist()):
        arrays = {
            name: values if name in data.shared else values[i]
            for name, values in data.arrays.items()
        }
        seen = shown.Example(arrays, int(simulation.context[i, position]), query)
        texts.append(shown.to_json(task.model.show(seen), task.model.labels(data, query)))
    columns = {
        "index": data.index,
        "why": np.array(why, dtype="U6"),
        "worst_position": places[:, 0],
        "worst_query": places[:, 1],
        "shown": np.array(texts, dtype=object),
    }
    return xr.Dataset({name: (("example",), values) for name, values in columns.items()})


def _again(
    who: Candidate, role: str, task: Task, simulation: Simulation, run: Scored, options: Options
) -> Branch:
    """A role on the examples: what was kept of it, else its answer to another request."""
    if role == "candidate" and run.kept is not None:
        return Branch(run.kept[simulation.data.index], run.certificate)
    return who.infer(task, simulation.data, options.seed)


def _kept(task: Task, predictive: Predictive, options: Options) -> xr.DataTree:
    """The candidate's predictions that were scored, as a predictions file holds them."""
    answered = json.dumps(made_for(task, options.seed))
    return xr.DataTree(store.predictive_dataset(predictive).assign_attrs(made_for=answered))


def _provenance(
    task: Task, roles: Mapping[str, Candidate], options: Options, seconds: float
) -> dict[str, object]:
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
    task: Task,
    roles: Mapping[str, Candidate],
    options: Options,
    out: Path | None,
    progress: Progress | None,
) -> Iterator[Scored]:
    """Shards in order, each read back when it is there under the same key, else computed and written."""
    key = _key(task, roles, options)
    for number, rows in enumerate(_ranges(task, options.datasets)):
        path = None if out is None else out / "shards" / f"{number:05d}.nc"
        shard = _read_shard(path, key, rows) if path is not None and key is not None else None
        if shard is not None and options.keep_predictions and shard.kept is None:
            shard = (
                None  # scored by a run that did not keep them; asked again, they might be others
            )
        elif shard is not None and not options.keep_predictions:
            shard = replace(shard, kept=None)
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
    mine = roles["candidate"].infer(task, simulation.data, options.seed)
    said = mine.predictive
    levels = tuple(said.levels.tolist()) if isinstance(said, Quantiles) else None
    scores = {"candidate": _scores(registry.usable("metric"), mine, truth, simulation)}
    forms = {"reference": truth.predictive.form, "candidate": said.form}
    for role, who in roles.items():
        if role not in forms:
            branch = who.infer(task, simulation.data, options.seed)
            scores[role], forms[role] = (
                _scores(results.COMPARED, branch, truth, simulation),
                branch.predictive.form,
            )
            if levels is not None:
                guess = quantiles(branch.predictive, levels)
                scores[role]["quantile_score"] = score(
                    "quantile_score", guess, truth.predictive, simulation
                )
    kept = said if options.keep_predictions else None
    return Scored(
        scores, simulation.context, simulation.outcome, truth.certificate, forms, levels, kept
    )


def _scores(
    names: Sequence[str], branch: Branch, truth: Branch, simulation: Simulation
) -> dict[str, Array]:
    """The metrics that apply to the two forms, and the Monte Carlo corrections where a side has replicates."""
    scores: dict[str, Array] = {}
    for name in names:
        if name == "kl_density" and "kl" in scores and branch.predictive.form != "bins":
            scores[name] = scores["kl"]  # the same by definition
            continue
        values = registry.attempted(
            "metric", name, partial(_metric_scores, name, branch, truth, simulation)
        )
        if values is not None:
            scores[name] = values
    if "kl" in scores and (truth.replicates or branch.replicates):
        scores |= _corrected(branch, truth, simulation.outcome)
    if isinstance(branch.predictive, Draws):
        scores |= independence.scores(branch.predictive, truth.predictive, simulation.outcome)
    return scores


def _corrected(branch: Branch, truth: Branch, outcome: Array) -> dict[str, Array]:
    """KL without its Monte Carlo bias, between densities, and for bins between masses as well."""
    sides = (branch.replicates or branch.predictive, truth.replicates or truth.predictive)
    found = monte_carlo.corrected_kl(*sides, outcome)
    masses = (
        monte_carlo.corrected_kl(*sides, outcome, masses=True)
        if branch.predictive.form == "bins"
        else found
    )
    return {
        "kl": masses.value,
        "kl_density": found.value,
        "kl_raw": found.raw,
        "kl_remainder": found.remainder,
    }


def _metric_scores(
    name: str, branch: Branch, truth: Branch, simulation: Simulation
) -> Array | None:
    """The scores of one metric, (dataset, position, query); None where it does not apply to the two forms.

    Raises:
        ArithmeticError: scores of another shape, or NaN where the query applies.
    """
    metric = registry.load("metric", name)
    if not metric.applies(branch.predictive.form, truth.predictive.form):
        return None
    values = np.asarray(
        metric.score(
            branch.predictive, truth.predictive, simulation.outcome, index=simulation.data.index
        )
    )
    if (
        values.shape != simulation.outcome.shape
        or (np.isnan(values) & ~np.isnan(simulation.outcome)).any()
    ):
        raise ArithmeticError(
            f"scores without NaN of shape {simulation.outcome.shape} expected, got {values.shape}"
        )
    return values


def score(name: str, guess: Predictive, exact: Predictive, simulation: Simulation) -> Array:
    """One metric, (dataset, position, query)."""
    return np.asarray(registry.load("metric", name).score(guess, exact, simulation.outcome))


def _write_shard(path: Path, key: str, rows: range, shard: Scored) -> None:
    groups = {
        f"/scores/{role}": store.scores_dataset(scores) for role, scores in shard.scores.items()
    }
    groups["/observed_data"] = xr.Dataset(
        {
            "context": ((DATASET, POSITION), shard.context),
            "outcome": ((DATASET, POSITION, QUERY), shard.outcome),
        }
    )
    if shard.kept is not None:
        groups["/candidate"] = store.predictive_dataset(shard.kept)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        "key": key,
        "start": rows.start,
        "stop": rows.stop,
        "forms": json.dumps(dict(shard.forms)),
        "levels": json.dumps(shard.levels),
        "certificate": json.dumps(store.certificate_json(shard.certificate)),
    }
    store.write_tree(tree, path)


def _read_shard(path: Path, key: str, rows: range) -> Scored | None:
    """A stored shard, or None when there is none that this run may use."""
    if not path.is_file():
        return None
    try:
        tree = store.read_tree(path)
        same = tree.attrs["key"] == key and (tree.attrs["start"], tree.attrs["stop"]) == (
            rows.start,
            rows.stop,
        )
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
    levels = json.loads(tree.attrs["levels"])
    return Scored(
        scores, seen["context"].to_numpy(), seen["outcome"].to_numpy(), certificate, json.loads(tree.attrs["forms"]),
        None if levels is None else tuple(levels),
        store.predictive_of(tree["candidate"].to_dataset()) if "candidate" in tree.children else None,
    )  # fmt: skip


def _scored_by_all(shards: list[Scored], role: str) -> list[str]:
    """Metrics of a role that every shard has: a plug-in may fail in one of them."""
    return [m for m in shards[0].scores[role] if all(m in s.scores[role] for s in shards)]


def _merge(shards: list[Scored]) -> Scored:
    first = shards[0]
    if any(s.forms != first.forms for s in shards):
        found = sorted({s.forms["candidate"] for s in shards})
        raise InputError(
            "one predictive form throughout a run",
            f"{found}",
            "return the same form for every batch",
        )
    if any(s.levels != first.levels for s in shards):
        raise InputError("the same 'levels' throughout a run", "different ones")
    kept = [s.kept for s in shards if s.kept is not None]
    scores = {
        role: {
            m: np.concatenate([s.scores[role][m] for s in shards])
            for m in _scored_by_all(shards, role)
        }
        for role in first.scores
    }
    return Scored(
        scores,
        np.concatenate([s.context for s in shards]),
        np.concatenate([s.outcome for s in shards]),
        merge_certificates([s.certificate for s in shards]),
        first.forms,
        first.levels,
        concatenate(kept) if kept else None,
    )
