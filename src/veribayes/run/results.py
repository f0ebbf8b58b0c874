"""From scores to a decision, a tree and a JSON entry: what a run says, computed once and stored with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from veribayes import registry
from veribayes.candidates import Candidate
from veribayes.models._model import Model
from veribayes.models._task import Task
from veribayes.predictive import Array, Predictive
from veribayes.statistics import limits
from veribayes.storage import store
from veribayes.tree import DATASET, POSITION, QUERY, Certificate
from veribayes.validation import bootstrap, decision, draws, independence, profiles, secondary
from veribayes.validation.metrics._metric import deciding
from veribayes.validation.search import Mask
from veribayes.validation.secondary import Checked
from veribayes.validation.summaries import INGREDIENTS

SCHEMA = "veribayes.result/1"
EXAMPLES_FIRST, EXAMPLES_EACH = (
    32,
    8,
)  # stored predictives: the first 32; the worst, median and best 8
COMPARED = (
    "kl",
    "half_chi_square",
    "crps",
    "js",
)  # what others are compared by, and what is drawn where it is infinite
ALPHA = 0.025  # one-sided, as for the interval
ENOUGH = float(np.log(1 / ALPHA))  # log wealth at which a sequential run ends
HELD = ("kl", "kl_density")  # endpoints in which a zero that may be rounding costs nothing
SMALLEST = {
    2.0**-8: 2.0**-133,
    2.0**-11: 2.0**-24,
    2.0**-24: 2.0**-149,
    2.0**-53: 2.0**-1074,
}  # positive, by zero limit
SAME = 0.01  # of the tolerance: what batches of another size may change in an answer in float32, and more
TRUNCATED = 0.01  # exact mass that bins without tails may leave out: a distance of at most 1 % in total variation

Scores = Mapping[str, Array]


@dataclass(frozen=True)
class Scored:
    """Scores of a run, or of one range of its data sets, by role and metric.

    Attributes:
        forms: of the predictives, by role.
        levels: of a candidate that gives quantiles; None for other forms.
        kept: the candidate's predictives that were scored, where they are to be kept.
    """

    scores: Mapping[str, Scores]
    context: npt.NDArray[np.int64]
    outcome: Array
    certificate: Certificate
    forms: Mapping[str, str]
    levels: tuple[float, ...] | None = None
    kept: Predictive | None = None


@dataclass(frozen=True)
class Endpoint:
    """The primary comparison: which metric decides, against which tolerance, and what it is compared with for the others.

    A candidate with a density is judged by KL(exact || candidate), bins by that of densities: their masses alone do not
    see what lies inside a bin or a tail. Draws have no density: categories are judged by half the chi-square divergence,
    which is KL to second order and has an unbiased estimator, real values by the CRPS divergence. Quantiles are judged by
    the quantile divergence at their own levels, and others by their quantiles at these levels.
    """

    metric: str
    for_others: str  # the same quantity for a predictive that has a density
    unit: str
    tolerance: float


def endpoint(task: Task, form: str, levels: tuple[float, ...] | None = None) -> Endpoint:
    """The primary endpoint for a candidate of this form.

    Args:
        levels: of the candidate's quantiles, where the task's tolerance is theirs and others are scored at them too; without,
            quantiles are read as a distribution function and have the CRPS divergence.
    """
    assert task.tolerance is not None
    if levels is not None:
        assert task.tolerance.quantiles is not None
        return Endpoint("quantile_score", "quantile_score", "unit of y", task.tolerance.quantiles)
    metric = deciding(form, bool(task.model.n_categories))
    if metric in HELD:
        return Endpoint(metric, "kl", "nats", task.tolerance.kl)
    return Endpoint(
        metric, metric, "nats" if task.model.n_categories else "unit of y", task.tolerance.draws
    )


def assemble(
    task: Task,
    roles: Mapping[str, Candidate],
    run: Scored,
    audit: xr.Dataset | None,
    *,
    seed: int,
    groups: Mapping[str, Mask] | None = None,
    checked: Checked | None = None,
    wealth: float | None = None,
) -> xr.DataTree:
    """Decide and build the run tree (without /examples, which the pipeline adds).

    Args:
        groups: predictions of the first data sets by name, among which the divergence may concentrate.
        checked: what was asked beside the primary endpoint.
        wealth: log wealth of the bet against the tolerance; None where the run was not sequential.
    """
    primary = endpoint(task, run.forms["candidate"], run.levels)
    clusters, error, worst = (
        _clusters(run, primary),
        _reference_error(run),
        _prior_cost(run, primary),
    )
    decided = decision.decide(
        clusters,
        tolerance=primary.tolerance,
        reference_error=error,
        seed=seed,
        zero_mass=_zero_mass(run),
        worst=worst,
        unheld=_unheld(run) if primary.metric in HELD else 0.0,
    )
    if wealth is not None and wealth >= ENOUGH:
        decided = replace(decided, verdict="different", datasets_needed=None)
    drawn = draws.drawn(
        roles["candidate"], run.scores["candidate"], run.forms["candidate"], task.design.shard
    )
    if drawn is not None:
        drawn, decided = drawn.limited(drawn.withheld(decided), clusters, worst)
    finite = bool(np.isfinite(clusters).all())
    shown = _ranked(run, primary)
    names, labels = query_names(task, shown.shape[-1])
    where = profiles.where(shown, run.context, label=labels, worst=EXAMPLES_EACH, seed=seed)
    others = {
        r: _other(run, r, primary, error, seed)
        for r in roles
        if r not in ("reference", "candidate")
    }
    placed = {} if task.model.moments else run.scores["candidate"]  # moments state no region
    asked = checked or Checked()
    beside = len(asked.endpoints) + len(asked.outcomes)
    calibrated, p_values = secondary.calibration(
        placed, seed=seed, levels=run.levels, beside=beside
    )
    judged = secondary.family(asked, p_values, seed=seed)
    rounding = (
        finite and np.abs(clusters).max() <= error
    )  # is larger somewhere, too, and means nothing
    concentrated = secondary.concentration(shown, {} if rounding else groups or {}, seed=seed)
    by_query = _by_query(where.by_query, names)
    entry = {
        "task": task.name,
        "task_hash": task.hash,
        "description": task.description,
        "model": {"kind": task.model.kind, **task.model.spec()},
        "words": _words(task.model),
        "candidate": roles["candidate"].name,
        "candidate_kind": roles["candidate"].kind,
        "datasets": len(clusters),
        "seed": seed,
        "reference": {
            "engine": roles["reference"].name,
            "certificate": store.certificate_json(run.certificate),
        },
        "verdict": secondary.overall(decided.verdict, judged),
        "primary": _primary(primary, decided, error),
        "draws": None if drawn is None else drawn.entry(),
        "secondary": judged,
        "sequential": None if wealth is None else _sequential(wealth),
        "recovery": _recovery(clusters, run, primary, seed),
        "curve": {
            "metric": primary.metric if finite else "js",
            **_profile(where.by_context, "context"),
        },
        "scores": _score_entries(run, seed),
        "rivals": others,
        "by_query": by_query,
        "worst": [_worst(w, run, names, labels) for w in where.worst],
        "audit": audit_entry(audit),
        "calibration": {
            **calibrated,
            "adjusted": {name: judged["adjusted"][name] for name in p_values},
        },
        "concentration": concentrated,
        "multiplicity": secondary.multiplicity(
            where.by_context.key.size, len(by_query), judged, concentrated
        ),
        "findings": [
            *_findings(task, roles, run, decided, others, audit),
            *(_finding(name, text) for name, text in (drawn.findings(decided) if drawn else ())),
            *([_finding("levels", _at_levels(run.levels))] if run.levels else []),
            *(dict(note) for note in asked.notes),
            *secondary.findings(judged, concentrated),
        ],
    }
    branches = {
        f"/scores/{role}": store.scores_dataset(scores) for role, scores in run.scores.items()
    }
    branches["/observed_data"] = xr.Dataset(
        {
            "context": ((DATASET, POSITION), run.context),
            "outcome": ((DATASET, POSITION, QUERY), run.outcome),
            "index": ((DATASET,), np.arange(len(clusters))),
        }
    )
    branches["/verdict"] = _verdict_group(where.by_context, run, primary, finite, seed)
    if audit is not None:
        branches["/audit"] = audit
    tree = xr.DataTree.from_dict(branches)
    tree.attrs = {"schema": store.SCHEMA, "result": json.dumps(entry)}
    return tree


def log_wealth(task: Task, shards: Sequence[Scored]) -> float:
    """Largest log wealth so far of a bet that the mean divergence is above the tolerance (test `e_mean`); 0: no bet.

    None is possible where a divergence may be negative, the reference may be too wrong, or thirty data sets are not there yet.
    """
    primary = endpoint(task, shards[0].forms["candidate"], shards[0].levels)
    error = max(map(_reference_error, shards))
    values = np.concatenate([_clusters(shard, primary) for shard in shards])
    values = np.where(np.abs(values) <= error, np.abs(values), values)  # rounding
    if (
        len(values) < decision.FEWEST_DIFFERENT
        or values.min() < 0
        or error > decision.LARGEST_ERROR * primary.tolerance
    ):
        return 0.0
    found = registry.load("check", "e_mean").run(values, tolerance=primary.tolerance + error)
    return float(found.statistic)


def _sequential(wealth: float) -> dict[str, Any]:
    return {"level": ALPHA, "log_wealth": store.number(wealth), "stopped": wealth >= ENOUGH}


def _clusters(run: Scored, primary: Endpoint) -> Array:
    """The candidate's mean score by data set; infinite where too much exact mass lies outside its bins.

    Bins without tails are compared with the exact predictive inside their borders only, which could be anywhere.
    """
    clusters = decision.cluster_means(run.scores["candidate"][primary.metric])
    if run.forms["candidate"] != "bins":
        return clusters
    return np.where(
        decision.cluster_means(run.scores["candidate"]["missed_mass"]) > TRUNCATED, np.inf, clusters
    )


def _prior_cost(run: Scored, primary: Endpoint) -> float | None:
    """What the prior predictive costs on average, the most that unseen contexts may cost; None where it was not asked.

    None also for half the chi-square divergence, which is held to the tolerance of KL: a hundred tolerances are what the
    prior costs in KL, while its chi-square divergence is dominated by rare categories and may be infinite.
    """
    if primary.metric == "half_chi_square":
        return None
    scores = run.scores.get("prior_only", {}).get(primary.for_others)
    return None if scores is None else float(decision.cluster_means(scores).mean())


def _primary(primary: Endpoint, decided: decision.Decision, error: float) -> dict[str, Any]:
    return {
        "metric": primary.metric,
        "unit": primary.unit,
        "verdict": decided.verdict,
        **decided.plain(),
        **{name: store.number(getattr(decided, name)) for name in ("upper", "minimum_detectable")},
        "tolerance": primary.tolerance,
        "reference_error": error,
        "datasets_needed": decided.datasets_needed,
        "infinite_share": decided.infinite_share,
    }


def _reference_error(run: Scored) -> float:
    """Bound b (nats) on what the reference's own error can still contribute to the mean.

    Exact engines: their error bound. Monte Carlo: what the bias correction leaves, to the next order; for endpoints without
    such a correction the square of the error in posterior sds, the order of the divergence that it causes.
    """
    left = run.scores["candidate"].get("kl_remainder")
    if left is not None:
        return float(np.nanmean(decision.cluster_means(left)))
    bound = run.certificate.error_bound
    return bound**2 if run.certificate.bound_kind == "montecarlo" else bound


def _at_levels(levels: tuple[float, ...]) -> str:
    shown = ", ".join(f"{level:g}" for level in levels[:12]) + (", …" if len(levels) > 12 else "")
    return f"judged by its quantiles at {shown}: what lies between and beyond these levels is not its statement"


def _zero_mass(run: Scored) -> float | None:
    """Mean exact mass on outcomes that the candidate calls impossible, where there are such."""
    masses = run.scores["candidate"].get("missed_mass")
    return None if masses is None else float(np.nanmean(masses))


def _unheld(run: Scored) -> float:
    """What the candidate's number type may hide of the mean divergence, nats.

    Zeros that may be rounding are taken for the exact mass p, at no cost. Taken for the smallest number of the type instead
    they would cost p log(p / smallest), with p at most the limit.
    """
    scores = run.scores["candidate"]
    if "unheld_mass" not in scores:
        return 0.0
    mass, limit = float(np.nanmean(decision.cluster_means(scores["unheld_mass"]))), _limit(run)
    return mass * float(np.log(limit / SMALLEST[limit]))


def _limit(run: Scored) -> float:
    """The largest exact mass that a zero of the candidate may stand for."""
    return float(np.nanmax(run.scores["candidate"]["zero_limit"]))


def _ranked(run: Scored, primary: Endpoint) -> Array:
    """What orders the candidate's predictions: the primary score, or JS where that is infinite and tells no two apart."""
    mine = run.scores["candidate"][primary.metric]
    finite = np.isfinite(_clusters(run, primary)).all()
    return mine if finite else run.scores["candidate"].get("js", mine)


def _other(run: Scored, role: str, primary: Endpoint, error: float, seed: int) -> dict[str, Any]:
    """How another predictor fares under the same endpoint and tolerance."""
    clusters = decision.cluster_means(run.scores[role][primary.for_others])
    worst = _prior_cost(run, primary)
    decided = decision.decide(
        clusters, tolerance=primary.tolerance, reference_error=error, seed=seed, worst=worst
    )
    return {
        "kl": decided.plain(),
        "recovery": _recovery(clusters, run, primary, seed),
        "verdict": decided.verdict,
        "infinite_share": decided.infinite_share,
        "passes": decided.verdict == "equivalent",
    }


def _recovery(clusters: Array, run: Scored, primary: Endpoint, seed: int) -> dict[str, Any]:
    prior = decision.cluster_means(run.scores["prior_only"][primary.for_others])
    return _limits(bootstrap.recovery(clusters, prior, seed=seed))


def _limits(found: bootstrap.Interval | None) -> dict[str, Any]:
    """Estimate and limits as JSON; null where they are undefined, infinite or without support."""
    return dict.fromkeys(("estimate", "low", "high")) if found is None else found.plain()


def _profile(profile: profiles.Profile, key: str) -> dict[str, list[Any]]:
    """Columns as JSON; `reason` beside them where a limit is not shown."""
    columns = {
        name: [store.number(v) for v in getattr(profile, name)]
        for name in ("estimate", "low", "high", "share")
    }
    reasons = {"reason": list(profile.reasons)} if any(profile.reasons) else {}
    return {key: [int(k) for k in profile.key], **columns, **reasons}


def _verdict_group(
    candidate: profiles.Profile, run: Scored, primary: Endpoint, finite: bool, seed: int
) -> xr.Dataset:
    columns = {
        "context": candidate.key,
        "estimate": candidate.estimate,
        "low": candidate.low,
        "high": candidate.high,
    }
    for role, scores in run.scores.items():
        if role != "candidate":
            values = scores[primary.for_others if finite else "js"]
            columns[f"{role}_estimate"] = profiles.curve(values, run.context, seed=seed).estimate
    return xr.Dataset(
        {name: (("context_size",), np.asarray(values)) for name, values in columns.items()}
    )


def _score_entries(run: Scored, seed: int) -> dict[str, Any]:
    """Mean and interval of every metric of the candidate, clustered by data set; null where a value is infinite."""
    out = {}
    for name, values in run.scores["candidate"].items():
        if name in (
            *INGREDIENTS,
            *independence.TWO,
            *independence.ONE,
        ):  # no divergence: the mean says nothing
            continue
        clusters = decision.cluster_means(values)
        infinite = float(np.isinf(clusters).mean())
        found = None if infinite else bootstrap.interval(clusters, seed=seed)
        unit = registry.load("metric", name).unit if name in registry.names("metric") else "nats"
        out[name] = {**_limits(found), "unit": unit, "infinite_share": infinite}
    return out


def _words(model: Model) -> dict[str, Any]:
    """What a report says of the family, which it does not know."""
    layout = model.layout
    return {
        "model": model.sentence(),
        "observation": [layout.one, layout.several],
        "moments": model.moments,
    }


def query_names(task: Task, queries: int) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Names of what is asked for, and for each query the number of its name.

    Queries about one node of a network share a name; the queries of other families are exchangeable and share one too.
    """
    nodes = list(task.model.asked)
    return nodes or ["all"], np.arange(queries) % max(len(nodes), 1)


def _by_query(profile: profiles.Profile, names: list[str]) -> list[dict[str, Any]]:
    """Mean by what is asked for, with simultaneous limits and the share of the endpoint that comes from there."""
    columns = _profile(profile, "query")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [{**row, "query": names[row["query"]]} for row in rows] if len(names) > 1 else []


def _worst(
    w: profiles.Worst, run: Scored, names: list[str], labels: npt.NDArray[np.int64]
) -> dict[str, Any]:
    return {
        "index": w.dataset,
        "mean": store.number(w.mean),
        "context": int(run.context[w.dataset, w.position]),
        "position": w.position,
        "query": names[labels[w.query]] if len(names) > 1 else w.query,
        "query_index": w.query,
        "kl": store.number(w.score),
    }


def example_indices(run: Scored, primary: Endpoint) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Data sets whose predictives are stored: the first 32, and the worst, median and best 8 by their mean score."""
    clusters = decision.cluster_means(_ranked(run, primary))
    order = np.argsort(clusters, kind="stable")[
        : int((~np.isnan(clusters)).sum())
    ]  # NaN, where nothing was asked, comes last
    middle = max(len(order) // 2 - EXAMPLES_EACH // 2, 0)
    groups = {
        "worst": order[::-1][:EXAMPLES_EACH],
        "median": order[middle : middle + EXAMPLES_EACH],
        "best": order[:EXAMPLES_EACH],
        "first": np.arange(min(EXAMPLES_FIRST, len(clusters))),
    }
    index = np.concatenate(list(groups.values())).astype(np.int64)
    return index, [why for why, members in groups.items() for _ in members]


def worst_places(
    run: Scored, primary: Endpoint, index: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Position and query at which each of these data sets has its largest score, (data set, 2).

    Among several infinite ones that with the largest Jensen-Shannon divergence.
    """
    scores, ranks = run.scores["candidate"][primary.metric][index], _ranked(run, primary)[index]
    places = []
    for score, rank in zip(scores, ranks, strict=True):
        applies = ~np.isnan(score)
        top = applies & (score == np.max(score, where=applies, initial=-np.inf))
        first = int(np.argmax(np.where(top, np.nan_to_num(rank), -np.inf)))
        places.append(np.unravel_index(first, score.shape))
    return np.array(places, dtype=np.int64).reshape(-1, 2)


def examples_differ(
    run: Scored, primary: Endpoint, index: npt.NDArray[np.int64], scores: Scores
) -> tuple[dict[str, Any], ...]:
    """A finding where the candidate, asked again for its examples, scores otherwise than when it was judged.

    Args:
        index: numbers of the examples.
        scores: of the answers that are stored, (example, position, query).
    """
    name = f"{primary.metric}_raw" if f"{primary.metric}_raw" in scores else primary.metric
    before, now = (
        decision.cluster_means(values)
        for values in (run.scores["candidate"][name][index], scores[name])
    )
    both = np.isfinite(before) & np.isfinite(now)
    same = (before == now) | (np.isnan(before) & np.isnan(now))
    apart = np.subtract(now, before, out=np.where(same, 0.0, np.inf), where=both)
    changed = np.abs(apart) > SAME * primary.tolerance
    if not changed.any():
        return ()
    text = (
        f"the predictives shown as examples are not those that were scored: asked again, {int(changed.sum())} of "
        f"{len(index)} differ by more than {SAME:.0%} of the tolerance; --keep-predictions keeps the ones that were scored"
    )
    return (_finding("examples_differ", text, examples=int(changed.sum())),)


def audit_entry(audit: xr.Dataset | None) -> dict[str, Any] | None:
    """What an audit found, for the JSON; None without one."""
    if audit is None:
        return None
    z = audit["z"].to_numpy()
    finite = z[np.isfinite(z)]
    return {
        "datasets": int(z.shape[0]),
        "latents": int(finite.size),
        "max_abs_z": store.number(float(np.abs(finite).max()) if finite.size else None),
        "sd_z": store.number(float(finite.std()) if finite.size > 1 else None),
        "limit": float(audit.attrs["limit"]),
        "context": int(audit.attrs["context"]),
        "verdict": str(audit.attrs["verdict"]),
    }


def _findings(
    task: Task,
    roles: Mapping[str, Candidate],
    run: Scored,
    decided: decision.Decision,
    others: Mapping[str, Any],
    audit: xr.Dataset | None,
) -> list[dict[str, Any]]:
    """What a reader must not miss, each with a stable name."""
    found = [_finding("model_repaired", note) for note in task.model.notes]
    if roles["candidate"].identity == roles["reference"].identity:
        found.append(
            _finding(
                "same_engine",
                "the candidate is the reference itself: that they agree proves nothing",
            )
        )
    found += [_finding(*sentence.split(": ", 1)) for sentence in decided.findings]
    for role, other in others.items():
        if other["passes"]:
            text = f"'{role}' is equivalent too at this tolerance: it cannot tell the candidate from that"
            found.append(_finding("tolerance_passes_rival", text, rival=role))
    scores = run.scores["candidate"]
    if "kl_density" in scores and run.forms["candidate"] == "bins" and not decided.infinite_share:
        text = "{} nats of KL between densities are the price of the bins; the rest is KL between their masses"
        found.append(_floor("discretisation_floor", text, scores["kl_density"], scores["kl"]))
    unheld = _unheld(run)
    if unheld > 0:
        found.append(_number_type(run, unheld))
    if "kl_raw" in scores:
        text = "Monte Carlo error alone would show as {} nats between two runs; it is taken off"
        found.append(_floor("noise_floor", text, scores["kl_raw"], scores["kl_density"]))
    if audit is not None and audit.attrs["verdict"] == "refused":
        reasons = json.loads(str(audit.attrs["certificate"]))["reasons"]
        found.append(
            _finding(
                "audit_inconclusive", "NUTS failed its own gate in the audit: " + "; ".join(reasons)
            )
        )
    return [*found, *(_finding("rule_of_three", sentence) for sentence in decided.statements)]


def _finding(name: str, text: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "text": text, **more}


def _number_type(run: Scored, unheld: float) -> dict[str, Any]:
    """Zeros that the type of the candidate's numbers may have made."""
    mass, limit = (
        float(np.nanmean(decision.cluster_means(run.scores["candidate"]["unheld_mass"]))),
        _limit(run),
    )
    text = (
        f"zeros of the candidate at outcomes of exact mass up to {limit:.2g} may be rounding of its number type and are not "
        f"held against it; the exact mass concerned is {mass:.2g} on average, and may hide {unheld:.2g} nats: return "
        "log_probs, which have no such limit"
    )
    return _finding("number_type", text, limit=limit, mass=mass, hidden=unheld)


def _floor(name: str, text: str, larger: Array, smaller: Array) -> dict[str, Any]:
    """A finding whose number is a mean difference over data sets, with its 95 % limits."""
    apart = np.full(larger.shape, np.nan)
    np.subtract(larger, smaller, out=apart, where=np.isfinite(larger) & np.isfinite(smaller))
    clusters = decision.cluster_means(apart)
    plain = bootstrap.interval(clusters[~np.isnan(clusters)]).plain()
    shown = limits.words(plain, "{:.3g}".format)
    return _finding(name, text.format(shown), value=plain.pop("estimate"), **plain)
