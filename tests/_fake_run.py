"""Synthetic run trees of the three families, laid out as the pipeline writes them.

The numbers are real divergences between a conjugate, Gaussian or mixture reference and a planted
candidate, so that figures look as they will; only the engines are missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from veribayes.models._spec import model_from_spec
from veribayes.predictive import Array, Bins, Categorical, Normal, Predictive
from veribayes.tree import DATASET, POSITION, QUERY, Data, IntArray, shown

EXAMPLE = "example"
CELL = (DATASET, POSITION, QUERY)
FIRST = 1000  # number of the first data set: numbers are not row indices
PROVENANCE = {
    "packages": {"veribayes": "0.1.0", "jax": "0.7.0", "torch": "2.13.0", "pgmpy": None},
    "commit": "0123abcd",
    "seed": 0,
    "streams": ["verify", "audit"],
    "seconds": 41.2,
    "options": {"datasets": 240, "reference": None, "candidate_options": {}},
    "card": None,
}


@dataclass(frozen=True)
class Made:
    """What a family contributes to a run."""

    task: str
    description: str
    engine: str
    model: Mapping[str, Any]
    positions: IntArray
    outcome: Array
    branches: Mapping[str, Predictive]
    observed: Mapping[str, npt.NDArray[Any]]
    queries: tuple[str, ...] = ("all",)
    extra: Mapping[str, Array] = field(default_factory=dict)  # further scores of the candidate


def bayesian_network(
    n: int = 240, nodes: tuple[str, ...] = ("A", "B", "C", "D", "E")
) -> xr.DataTree:
    """general5 with Dirichlet(1) rows; the candidate is overconfident at the last node,
    most so in short contexts.
    """
    rng, positions = np.random.default_rng(1), np.array([1, 2, 5, 10, 20, 50])
    parents: tuple[tuple[int, ...], ...] = ((), (), (0, 1), (0, 2), (3,))
    m = len(parents)
    rows = np.zeros((n, positions[-1] + 1, m), dtype=np.int64)
    for v, pa in enumerate(parents):
        table = rng.uniform(0.1, 0.9, (n, 2 ** len(pa)))
        rows[..., v] = rng.random(rows.shape[:2]) < np.take_along_axis(
            table, _configuration(rows, pa), 1
        )
    rows, last = rows[:, :-1], rows[:, -1]

    def exact(pseudo_count: float) -> Array:
        counted = [
            [_beta(rows[:, :p], last, v, parents[v], pseudo_count) for v in range(m)]
            for p in positions
        ]
        return np.stack(counted).transpose(2, 0, 1)

    reference = exact(1.0)
    strength = 0.02 + 0.08 * np.array([0.3, 0.3, 1, 1, 3.0]) * (4 / (3 + positions))[:, None]
    logit = np.log(reference / (1 - reference)) * (1 + strength) + strength * rng.standard_normal(
        reference.shape
    )
    laws = {
        "reference": reference,
        "candidate": 1 / (1 + np.exp(-logit)),
        "prior_only": np.full_like(reference, 0.5),
        "wrong_prior": exact(3.0),
    }
    model = {
        "kind": "bayesian_network",
        "nodes": list(nodes),
        "parents": {nodes[i]: [nodes[j] for j in pa] for i, pa in enumerate(parents) if pa},
        "states": {name: ["no", "yes"] for name in nodes},
        "prior": {"kind": "dirichlet", "concentration": 1.0},
    }
    query = np.where(np.arange(m) < np.arange(m)[:, None], last[:, None], -1)
    made = Made(
        task="bn-general5",
        description="A five-node network whose tables are learned from complete rows.",
        engine="conjugate",
        model=model,
        positions=positions,
        outcome=np.tile(last[:, None], (1, len(positions), 1)).astype(float),
        branches={name: Categorical(np.stack([1 - p, p], -1)) for name, p in laws.items()},
        observed={"rows": rows, "query": query, "target": np.arange(m)},
        queries=nodes,
    )
    return _run(made, latents=8)


def mtd(n: int = 240) -> xr.DataTree:
    """A chain of five symbols and three lags; the candidate's weights are a little too even."""
    rng, positions, q, lags = np.random.default_rng(2), np.array([4, 8, 16, 32, 64]), 5, 3
    length = int(positions[-1])
    matrix, weights = rng.dirichlet(np.full(q, 0.5), q), rng.dirichlet(np.ones(lags), n)
    y = rng.integers(0, q, (n, length + 1))
    for t in range(lags, length + 1):
        law = np.einsum("ng,ngq->nq", weights, matrix[y[:, t - lags : t][:, ::-1]])
        y[:, t] = (law.cumsum(1) < rng.random((n, 1))).sum(1).clip(0, q - 1)
    past = np.stack([y[:, p - lags : p][:, ::-1] for p in positions], 1)  # (dataset, position, lag)
    trust = (positions / (positions + 20))[:, None]
    mean = trust * weights[:, None] + (1 - trust) / lags
    believed = {
        "reference": mean,
        "candidate": 0.93 * mean + 0.07 / lags,
        "prior_only": np.full_like(mean, 1 / lags),
        "mirror_descent": 0.92 * mean + 0.08 / lags,
    }
    made = Made(
        task="mtd-q5-m3",
        description="The next symbol of a mixture-of-transition-distributions chain.",
        engine="simplex_quadrature",
        model={
            "kind": "mtd",
            "q": q,
            "m": lags,
            "concentration": 1.0,
            "per_lag": False,
            "matrix_seed": 2,
        },
        positions=positions,
        outcome=y[:, positions][..., None].astype(float),
        branches={
            n: Categorical(np.einsum("npg,npgq->npq", w, matrix[past])[:, :, None])
            for n, w in believed.items()
        },
        observed={"y": y[:, :length]},
    )
    return _run(made, latents=3)


def gaussian_process(n: int = 150) -> xr.DataTree:
    """RBF in one dimension; the reference is normal,
    the candidate bins that are a little too wide.
    """
    rng, positions, queries, noise = np.random.default_rng(3), np.array([1, 2, 4, 8, 16]), 8, 0.2
    x = rng.standard_normal((n, positions[-1] + queries, 1))
    root = np.linalg.cholesky(_rbf(x, x) + 1e-9 * np.eye(x.shape[1]))
    y = np.einsum(
        "nij,nj->ni", root, rng.standard_normal(x.shape[:2])
    ) + noise * rng.standard_normal(x.shape[:2])
    (x, x_query), (y, future) = np.split(x, [positions[-1]], 1), np.split(y, [positions[-1]], 1)
    reference = _regress(x, y, x_query, positions, noise, 0.8)
    shifted = reference.mean + 0.03 * rng.standard_normal(reference.shape)
    candidate = _binned(Normal(shifted, reference.sd * 1.03), np.linspace(-4, 4, 161))
    outcome = np.tile(future[:, None], (1, len(positions), 1))
    prior = Normal(np.zeros(reference.shape), np.full(reference.shape, np.sqrt(1 + noise**2)))
    kernel = {"kind": "rbf", "amplitude": 1.0, "lengthscale": 0.8}
    made = Made(
        task="gp-rbf-1d",
        description="A noisy value of a function drawn from a Gaussian process.",
        engine="cholesky",
        model={
            "kind": "gaussian_process",
            "kernel": kernel,
            "noise_sd": noise,
            "d": 1,
            "input_law": "normal",
        },
        positions=positions,
        outcome=outcome,
        branches={
            "reference": reference,
            "candidate": candidate,
            "prior_only": prior,
            "wrong_prior": _regress(x, y, x_query, positions, noise, 1.0),
        },
        observed={"x": x, "y": y, "x_query": x_query},
        extra={"pit": candidate.cdf(outcome[..., None])[..., 0]},
    )
    return _run(made, latents=16)


def changed(tree: xr.DataTree, **entry: Any) -> xr.DataTree:
    """A copy of a run whose result entry says something else."""
    out = tree.copy(deep=True)
    out.attrs["result"] = json.dumps({**json.loads(out.attrs["result"]), **entry})
    return out


def with_branch(
    tree: xr.DataTree, name: str, variables: Mapping[str, Any], form: str
) -> xr.DataTree:
    """A copy of a run with another predictive in /examples."""
    return xr.DataTree.from_dict(
        {**tree.to_dict(), f"/examples/{name}": xr.Dataset(dict(variables), attrs={"form": form})}
    )


def without(tree: xr.DataTree, *paths: str) -> xr.DataTree:
    """A copy of a run without some of its groups."""
    kept = {
        p: d
        for p, d in tree.to_dict().items()
        if not any(p == q or p.startswith(f"{q}/") for q in paths)
    }
    return xr.DataTree.from_dict(kept)


def _run(made: Made, latents: int) -> xr.DataTree:
    reference, n = made.branches["reference"], len(made.outcome)
    scores = {
        name: {"kl": _kl(reference, law), "kl_reverse": _kl(law, reference)}
        for name, law in made.branches.items()
        if name != "reference"
    }
    kl = {name: values["kl"] for name, values in scores.items()}
    scores["candidate"].update(made.extra)
    result = _result(made, kl)
    curve = {k: result["curve"][k] for k in ("context", "estimate", "low", "high")}
    means = {f"{name}_estimate": v.mean((0, 2)) for name, v in kl.items() if name != "candidate"}
    groups = {
        "/observed_data": xr.Dataset(
            {
                "context": (CELL[:2], np.tile(made.positions, (n, 1))),
                "outcome": (CELL, made.outcome),
                "index": (DATASET, np.arange(n) + FIRST),
            }
        ),
        **{
            f"/scores/{name}": xr.Dataset({k: (CELL, v) for k, v in s.items()})
            for name, s in scores.items()
        },
        "/verdict": xr.Dataset(
            {k: ("context_size", np.asarray(v)) for k, v in {**curve, **means}.items()}
        ),
        "/audit": _audit(latents),
        **_examples(made, kl["candidate"]),
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        "schema": "veribayes.run/1",
        "provenance": json.dumps(PROVENANCE),
        "result": json.dumps(result),
    }
    return tree


def _result(made: Made, kl: Mapping[str, Array]) -> dict[str, Any]:
    """The result entry; intervals are plain normal ones, since no decision is under test here."""
    means = {name: v.mean((1, 2)) for name, v in kl.items()}
    own, n = means["candidate"], len(made.outcome)
    tolerance, primary = 0.01 * float(means["prior_only"].mean()), _interval(own)
    below = "equivalent" if n >= 200 else "undecided"
    verdict = (
        below
        if primary["high"] < tolerance
        else "different"
        if primary["low"] > tolerance
        else "undecided"
    )
    curve = [_interval(column, 2.6) for column in kl["candidate"].mean(2).T]
    share = kl["candidate"].mean((0, 1)) / kl["candidate"].mean((0, 1)).sum()
    by_query = [
        {"query": name, **_interval(column, 2.6), "share": float(part)}
        for name, column, part in zip(made.queries, kl["candidate"].mean(1).T, share, strict=False)
    ]
    model = model_from_spec(made.model)
    bound = {
        "verdict": "trusted",
        "method": "exact",
        "error_bound": 1e-12,
        "bound_kind": "bound",
        "reasons": [],
    }
    return {
        "task": made.task,
        "task_hash": "5f" * 32,
        "description": made.description,
        "model": dict(made.model),
        "words": {
            "model": model.sentence(),
            "observation": [model.layout.one, model.layout.several],
        },
        "candidate": "my-network",
        "candidate_kind": "checkpoint",
        "datasets": n,
        "seed": 0,
        "reference": {"engine": made.engine, "certificate": bound},
        "verdict": verdict,
        "primary": {
            "metric": "kl",
            "unit": "nats",
            **primary,
            "upper": primary["high"] + 3 * float(own.max()) / n,
            "minimum_detectable": 2.8 * float(own.std(ddof=1)) / n**0.5,
            "tolerance": tolerance,
            "datasets_needed": 200 if verdict == "undecided" else None,
            "infinite_share": 0.0,
        },
        "recovery": _recovery(own, means["prior_only"]),
        "curve": {
            "metric": "kl",
            "context": made.positions.tolist(),
            **{k: [c[k] for c in curve] for k in ("estimate", "low", "high")},
            "share": [c["estimate"] / sum(d["estimate"] for d in curve) for c in curve],
        },
        "scores": {
            "kl": {**primary, "unit": "nats", "infinite_share": 0.0},
            "kl_reverse": {**_interval(own * 1.04), "unit": "nats", "infinite_share": 0.0},
            "total_variation": {**_interval(np.sqrt(own / 3)), "unit": "1", "infinite_share": 0.0},
        },
        "rivals": {
            name: {
                "kl": _interval(v),
                "recovery": _recovery(v, means["prior_only"]),
                "verdict": "equivalent" if v.mean() < tolerance else "different",
                "passes": bool(v.mean() < tolerance),
                "infinite_share": 0.0,
            }
            for name, v in means.items()
            if name != "candidate"
        },
        "by_query": by_query if len(made.queries) > 1 else [],
        "worst": [_worst(made, kl["candidate"], int(i)) for i in np.argsort(-own)[:8]],
        "audit": {
            "datasets": 4,
            "max_abs_z": 2.3,
            "sd_z": 0.97,
            "latents": 32,
            "limit": 4.7,
            "context": 8,
            "verdict": "agrees",
        },
        "findings": [
            {
                "name": "rule_of_three",
                "text": f"defects in fewer than {3 / n:.2%} of contexts are not excluded",
            }
        ],
    }


def _worst(made: Made, kl: Array, row: int) -> dict[str, Any]:
    position, query = np.unravel_index(int(kl[row].argmax()), kl[row].shape)
    return {
        "index": row + FIRST,
        "mean": float(kl[row].mean()),
        "context": int(made.positions[position]),
        "query": made.queries[int(query) % len(made.queries)],
        "kl": float(kl[row].max()),
    }


def _examples(made: Made, kl: Array) -> dict[str, xr.Dataset]:
    order, n = np.argsort(-kl.mean((1, 2))), len(kl)
    chosen = {
        "worst": order[:8],
        "median": order[n // 2 - 4 : n // 2 + 4],
        "best": order[::-1][:8],
        "first": np.arange(8),
    }
    index = np.concatenate(list(chosen.values()))
    why = np.repeat(np.array(list(chosen)), 8)
    observed = {
        name: (_dims(name, v), v if name == "target" else v[index])
        for name, v in made.observed.items()
    }
    places = [np.unravel_index(int(np.argmax(kl[i])), kl[i].shape) for i in index]
    texts = [_shown(made, int(i), *map(int, place)) for i, place in zip(index, places, strict=True)]
    columns = {
        "index": index + FIRST,
        "why": why,
        "worst_position": [place[0] for place in places],
        "worst_query": [place[1] for place in places],
        "shown": np.array(texts, dtype=object),
    }
    return {
        "/examples": xr.Dataset({name: (EXAMPLE, values) for name, values in columns.items()}),
        "/examples/observed": xr.Dataset(observed),
        **{
            f"/examples/{b}": _stored(made.branches[b], index)
            for b in ("reference", "candidate", "prior_only")
        },
    }


def _shown(made: Made, row: int, position: int, query: int) -> str:
    """As the pipeline writes it, by the family itself."""
    model = model_from_spec(made.model)
    shared = model.layout.shared
    arrays = {
        name: values if name in shared else values[row] for name, values in made.observed.items()
    }
    data = Data(made.observed, made.positions, np.array([row]), shared)
    seen = shown.Example(arrays, int(made.positions[position]), query)
    return shown.to_json(model.show(seen), model.labels(data, query))


def _dims(name: str, array: npt.NDArray[Any]) -> tuple[str, ...]:
    dims = tuple(f"{name}_{i}" for i in range(array.ndim))
    return dims if name == "target" else (EXAMPLE, *dims[1:])


def _stored(law: Predictive, index: IntArray) -> xr.Dataset:
    variables = {}
    for name, values in law.variables().items():
        last = law.trailing[name]
        own = () if last is None else (last,)
        variables[name] = (
            (own, values)
            if name in law.shared
            else ((EXAMPLE, POSITION, QUERY, *own), values[index])
        )
    return xr.Dataset(variables, attrs={"form": law.form})


def _audit(latents: int, datasets: int = 4) -> xr.Dataset:
    rng = np.random.default_rng(4)
    z, mean, mcse = (
        rng.standard_normal((datasets, latents)),
        rng.uniform(0.1, 0.9, (datasets, latents)),
        0.003,
    )
    values = {
        "z": z,
        "exact_mean": mean,
        "nuts_mean": mean + z * mcse,
        "mcse": np.full_like(z, mcse),
        "rank_r_hat": 1 + 0.004 * rng.random(z.shape),
        "ess_bulk": 1000 + 800 * rng.random(z.shape),
    }
    return xr.Dataset({k: ((DATASET, "latent"), v) for k, v in values.items()})


def _interval(v: Array, errors: float = 1.96) -> dict[str, float]:
    half = errors * v.std(ddof=1) / np.sqrt(len(v))
    return {
        "estimate": float(v.mean()),
        "low": float(max(v.mean() - half, 1e-9)),
        "high": float(v.mean() + half),
    }


def _recovery(v: Array, prior: Array) -> dict[str, float | None]:
    ratio = v.mean() / prior.mean()
    if v is prior:
        return {"estimate": float(1 - ratio), "low": None, "high": None}
    half = float(1.96 * (v - ratio * prior).std() / prior.mean() / np.sqrt(len(v)))
    return {
        "estimate": float(1 - ratio),
        "low": float(1 - ratio - half),
        "high": float(1 - ratio + half),
    }


def _kl(p: Predictive, q: Predictive) -> Array:
    """KL(p || q): exact for categories, on a grid for densities."""
    if isinstance(p, Categorical) and isinstance(q, Categorical):
        return np.asarray((p.probs * np.log(p.probs / q.probs)).sum(-1))
    grid = np.tile(np.linspace(-5, 5, 401), (*p.shape, 1))
    lp, lq = np.maximum(p.log_prob(grid), -60), np.maximum(q.log_prob(grid), -60)
    return np.asarray(np.trapezoid(np.exp(lp) * (lp - lq), grid, axis=-1)).clip(1e-9)


def _configuration(rows: npt.NDArray[np.int64], parents: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return sum(
        (rows[..., p] * 2**i for i, p in enumerate(parents)),
        np.zeros(rows.shape[:-1], dtype=np.int64),
    )


def _beta(
    rows: IntArray, query: IntArray, node: int, parents: tuple[int, ...], pseudo_count: float
) -> Array:
    """Posterior predictive of a binary node from the rows that match the query's parents."""
    same = _configuration(rows, parents) == _configuration(query, parents)[:, None]
    return np.asarray(
        ((same * rows[..., node]).sum(1) + pseudo_count) / (same.sum(1) + 2 * pseudo_count)
    )


def _rbf(a: Array, b: Array, length: float = 0.8) -> Array:
    return np.asarray(np.exp(-((a[:, :, None] - b[:, None]) ** 2).sum(-1) / (2 * length**2)))


def _regress(
    x: Array, y: Array, x_query: Array, positions: IntArray, noise: float, length: float
) -> Normal:
    means, variances = [], []
    for p in positions:
        cross = _rbf(x[:, :p], x_query, length)
        gain = np.linalg.solve(_rbf(x[:, :p], x[:, :p], length) + noise**2 * np.eye(p), cross)
        means.append(np.einsum("npq,np->nq", gain, y[:, :p]))
        variances.append(1 + noise**2 - (gain * cross).sum(1))
    return Normal(np.stack(means, 1), np.sqrt(np.stack(variances, 1)))


def _binned(law: Normal, edges: Array) -> Bins:
    inner = np.diff(law.cdf(np.tile(edges, (*law.shape, 1))), axis=-1) + 1e-9
    tail = np.full((*law.shape, 1), 1e-6)
    probs = np.concatenate([tail, inner, tail], -1)
    return Bins(probs / probs.sum(-1, keepdims=True), edges, np.array([0.5, 0.5]))
