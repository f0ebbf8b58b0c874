"""Synthetic run trees of the three families, laid out as the pipeline writes them.

The numbers are real divergences between a conjugate (or Gaussian, or mixture) reference and a planted candidate, so that
figures look as they will; only the engines are missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from veribayes.predictive import Array, Bins, Categorical, Normal, Predictive
from veribayes.tree import DATASET, POSITION, QUERY

EXAMPLE = "example"
CELL = (DATASET, POSITION, QUERY)
PROVENANCE = {
    "versions": {"veribayes": "0.1.0", "jax": "0.7.0", "numpyro": "0.19.0", "torch": "2.13.0"}, "commit": "0123abcd", "seed": 0,
    "streams": ["verify", "audit"], "device": "cpu", "seconds": 41.2, "checkpoint_hash": "9f86d081884c7d65", "resumed": False, "finished": None,
}  # fmt: skip


def bayesian_network(
    n: int = 240, *, defect: float = 0.08, nodes: tuple[str, ...] = ("A", "B", "C", "D", "E")
) -> xr.DataTree:
    """general5 with Dirichlet(1) rows; the candidate is overconfident at the last node, most so in short contexts."""
    rng, parents, positions = np.random.default_rng(1), ((), (), (0, 1), (0, 2), (3,)), np.array([1, 2, 5, 10, 20, 50])
    m = len(parents)
    rows = np.zeros((n, positions[-1] + 1, m), dtype=np.int64)
    for v, pa in enumerate(parents):
        table = rng.uniform(0.1, 0.9, (n, 2 ** len(pa)))
        rows[..., v] = rng.random(rows.shape[:2]) < np.take_along_axis(table, _configuration(rows, pa), 1)
    rows, last = rows[:, :-1], rows[:, -1]
    reference = np.stack(
        [[_beta(rows[:, :p], last, v, parents[v], 1.0) for v in range(m)] for p in positions]
    ).transpose(2, 0, 1)
    wrong = np.stack([[_beta(rows[:, :p], last, v, parents[v], 3.0) for v in range(m)] for p in positions]).transpose(
        2, 0, 1
    )
    strength = defect * np.array([0.3, 0.3, 1, 1, 3.0]) * (4 / (3 + positions))[:, None] + 0.02
    candidate = _logistic(_logit(reference) * (1 + strength) + strength * rng.standard_normal(reference.shape))
    query = np.where(np.arange(m) < np.arange(m)[:, None], last[:, None], -1)
    spec = {
        "kind": "bayesian_network",
        "nodes": list(nodes),
        "parents": {nodes[i]: [nodes[j] for j in pa] for i, pa in enumerate(parents) if pa},
        "states": {name: ["no", "yes"] for name in nodes},
        "prior": {"kind": "dirichlet", "concentration": 1.0},
    }
    return _run(
        {"task": "bn-general5", "description": "Learn the tables of a five-node Bayesian network from complete rows, then predict a node of a new row.", "model": spec,
         "reference": _exact("conjugate", 1e-13)},
        context=np.tile(positions, (n, 1)), outcome=np.tile(last[:, None], (1, len(positions), 1)).astype(float),
        reference=_binary(reference), candidate=_binary(candidate), prior_only=_binary(np.full_like(reference, 0.5)),
        rivals={"wrong_prior": _binary(wrong)}, observed={"rows": rows, "query": query, "target": np.arange(m)},
        queries=list(nodes), latents=8,
    )  # fmt: skip


def mtd(n: int = 240) -> xr.DataTree:
    """A chain of five symbols and three lags; the candidate uses weights that are a little too even."""
    rng, positions, q, lags, length = np.random.default_rng(2), np.array([4, 8, 16, 32, 64]), 5, 3, 64
    matrix = rng.dirichlet(np.full(q, 0.5), q)
    weights = rng.dirichlet(np.ones(lags), n)
    y = rng.integers(0, q, (n, length + 1))
    for t in range(lags, length + 1):
        law = np.einsum("ng,ngq->nq", weights, matrix[y[:, t - lags : t][:, ::-1]])
        y[:, t] = (law.cumsum(1) < rng.random((n, 1))).sum(1).clip(0, q - 1)
    past = np.stack([y[:, p - lags : p][:, ::-1] for p in positions], 1)  # (dataset, position, lag)
    trust = (positions / (positions + 20))[:, None]
    mean = trust * weights[:, None] + (1 - trust) / lags
    laws = [
        np.einsum("npg,npgq->npq", w, matrix[past])[:, :, None]
        for w in (mean, 0.93 * mean + 0.07 / lags, np.full_like(mean, 1 / lags), 0.8 * mean + 0.2 * mean**2)
    ]
    reference, candidate, even, step = (Categorical(p / p.sum(-1, keepdims=True)) for p in laws)
    spec = {"kind": "mtd", "q": q, "m": lags, "concentration": 1.0, "per_lag": False, "matrix_seed": 2}
    return _run(
        {"task": "mtd-q5-m3", "description": "Predict the next symbol of a mixture-of-transition-distributions chain.", "model": spec, "reference": _exact("simplex_quadrature", 3e-15)},
        context=np.tile(positions, (n, 1)), outcome=y[:, positions][..., None].astype(float), reference=reference, candidate=candidate, prior_only=even,
        rivals={"mirror_descent": step}, observed={"y": y[:, :length]}, queries=[], latents=3,
    )  # fmt: skip


def gaussian_process(n: int = 150) -> xr.DataTree:
    """RBF in one dimension; the reference is normal, the candidate bins that are a little too wide."""
    rng, positions, queries, noise = np.random.default_rng(3), np.array([1, 2, 4, 8, 16]), 8, 0.2
    x, x_query = rng.standard_normal((n, positions[-1], 1)), rng.standard_normal((n, queries, 1))
    every = np.concatenate([x, x_query], 1)
    gram = _rbf(every, every) + 1e-9 * np.eye(every.shape[1])
    y = np.einsum(
        "nij,nj->ni", np.linalg.cholesky(gram), rng.standard_normal(every.shape[:2])
    ) + noise * rng.standard_normal(every.shape[:2])
    reference = _regress(x, y, x_query, positions, noise, 0.8)
    wrong = _regress(x, y, x_query, positions, noise, 1.0)
    edges = np.linspace(-4, 4, 161)
    widened = Normal(reference.mean + 0.03 * rng.standard_normal(reference.shape), reference.sd * 1.03)
    inner = np.diff(widened.cdf(np.tile(edges, (*reference.shape, 1))), axis=-1) + 1e-9
    probs = np.concatenate([np.full((*reference.shape, 1), 1e-6), inner, np.full((*reference.shape, 1), 1e-6)], -1)
    candidate = Bins(probs / probs.sum(-1, keepdims=True), edges, np.array([0.5, 0.5]))
    spec = {
        "kind": "gaussian_process",
        "kernel": {"kind": "rbf", "amplitude": 1.0, "lengthscale": 0.8},
        "noise_sd": noise,
        "d": 1,
        "input_law": "normal",
    }
    outcome = np.tile(y[:, None, -queries:], (1, len(positions), 1))
    return _run(
        {"task": "gp-rbf-1d", "description": "Predict a noisy value of a function drawn from a Gaussian process.", "model": spec, "reference": _exact("cholesky", 1e-12)},
        context=np.tile(positions, (n, 1)), outcome=outcome, reference=reference, candidate=candidate,
        prior_only=Normal(np.zeros(reference.shape), np.full(reference.shape, np.sqrt(1 + noise**2))), rivals={"wrong_prior": wrong},
        observed={"x": x, "y": y[:, : positions[-1]], "x_query": x_query}, queries=[], latents=16,
        pit=candidate.cdf(outcome[..., None])[..., 0],
    )  # fmt: skip


def changed(tree: xr.DataTree, **entry: Any) -> xr.DataTree:
    """A copy of a run whose result entry says something else."""
    out = tree.copy(deep=True)
    out.attrs["result"] = json.dumps({**json.loads(out.attrs["result"]), **entry})
    return out


def _run(
    about: Mapping[str, Any], *, context: npt.NDArray[np.int64], outcome: Array, reference: Predictive, candidate: Predictive, prior_only: Predictive,
    rivals: Mapping[str, Predictive], observed: Mapping[str, npt.NDArray[Any]], queries: list[str], latents: int, pit: Array | None = None,
) -> xr.DataTree:  # fmt: skip
    n, judged = len(context), {"candidate": candidate, "prior_only": prior_only, **rivals}
    scores = {name: {"kl": _kl(reference, p), "kl_reverse": _kl(p, reference)} for name, p in judged.items()}
    kl = {name: s["kl"] for name, s in scores.items()}
    if pit is not None:
        scores["candidate"]["pit"] = pit
    result = {**_result(kl, context, queries), **about}
    order = np.argsort(kl["candidate"].mean((1, 2)))
    chosen = {
        "first": np.arange(8),
        "worst": order[::-1][:8],
        "median": order[n // 2 - 4 : n // 2 + 4],
        "best": order[:8],
    }
    index = np.concatenate(list(chosen.values()))
    groups = {
        "/": xr.Dataset(attrs={"schema": "veribayes.run/1", "provenance": json.dumps(PROVENANCE), "result": json.dumps(result)}),
        "/observed_data": xr.Dataset({"context": (CELL[:2], context), "outcome": (CELL, outcome), "index": (DATASET, np.arange(n) + 1000)}),
        **{f"/scores/{name}": xr.Dataset({m: (CELL, v) for m, v in s.items()}) for name, s in scores.items()},
        "/verdict": xr.Dataset({**{k: ("context_size", np.asarray(result["curve"][k])) for k in ("context", "estimate", "low", "high")},
                                **{f"{name}_estimate": ("context_size", v.mean((0, 2))) for name, v in kl.items() if name != "candidate"}}),
        "/examples": xr.Dataset({"index": (EXAMPLE, index + 1000), "why": (EXAMPLE, np.repeat(np.array(list(chosen), dtype=object), [len(v) for v in chosen.values()]))}),
        "/examples/observed": xr.Dataset({k: _observed(k, v, index) for k, v in observed.items()}),
        **{f"/examples/{name}": _stored(p, index) for name, p in (("reference", reference), ("candidate", candidate), ("prior_only", prior_only))},
        "/audit": _audit(latents),
    }  # fmt: skip
    return xr.DataTree.from_dict(groups)


def _result(kl: Mapping[str, Array], context: npt.NDArray[np.int64], queries: list[str]) -> dict[str, Any]:
    mean = {name: v.mean((1, 2)) for name, v in kl.items()}
    prior, n = mean["prior_only"].mean(), len(context)
    tolerance, primary, spread = 0.01 * prior, _interval(mean["candidate"]), mean["candidate"].std(ddof=1) / np.sqrt(n)
    verdict = (
        "equivalent"
        if primary["high"] < tolerance and n >= 200
        else "different"
        if primary["low"] > tolerance
        else "undecided"
    )
    worst = np.argsort(kl["candidate"], axis=None)[::-1][:8]
    cells = np.unravel_index(worst, kl["candidate"].shape)
    by_position = kl["candidate"].mean(2)
    error = by_position.std(0, ddof=1) / np.sqrt(n)
    return {
        "candidate": "my-network", "candidate_kind": "checkpoint", "datasets": n, "seed": 0, "task_hash": "5f" * 32, "verdict": verdict,
        "primary": {"metric": "kl", "unit": "nats", **primary, "tolerance": tolerance, "upper": primary["high"] + 3 * mean["candidate"].max() / n, "infinite_share": 0.0, "minimum_detectable": 2.8 * spread, "datasets_needed": 900 if verdict == "undecided" else None},
        "recovery": _recovery(mean["candidate"], mean["prior_only"]),
        "curve": {"metric": "kl", "context": context[0].tolist(), "estimate": by_position.mean(0).tolist(), "low": np.maximum(by_position.mean(0) - 2.6 * error, 1e-7).tolist(),
                  "high": (by_position.mean(0) + 2.6 * error).tolist()},
        "scores": {"kl_reverse": {**_interval(mean["candidate"] * 1.04), "unit": "nats"}, "total_variation": {**_interval(np.sqrt(mean["candidate"] / 3)), "unit": "1"}},
        "rivals": {name: {"kl": _interval(v), "recovery": _recovery(v, mean["prior_only"]), "verdict": "equivalent" if v.mean() < tolerance else "different", "passes": bool(v.mean() < tolerance), "infinite_share": 0.0} for name, v in mean.items() if name != "candidate"},
        "by_query": [{"query": q, **_interval(kl["candidate"].mean(1)[:, i])} for i, q in enumerate(queries)],
        "worst": [{"index": int(i) + 1000, "context": int(context[i, p]), "query": queries[q] if queries else int(q), "kl": float(kl["candidate"][i, p, q])} for i, p, q in zip(*cells, strict=True)],
        "audit": {"datasets": 4, "max_abs_z": 2.3, "sd_z": 0.97, "latents": 32, "limit": 4.7, "context": 8, "verdict": "agrees"},
        "findings": [{"name": "rule_of_three", "text": f"defects in fewer than {3 / n:.2%} of contexts (3/n) are not excluded"}],
    }  # fmt: skip


def _audit(latents: int, datasets: int = 4) -> xr.Dataset:
    rng = np.random.default_rng(4)
    z, mean = rng.standard_normal((datasets, latents)), rng.uniform(0.1, 0.9, (datasets, latents))
    mcse = np.full_like(z, 0.003)
    values = {
        "z": z,
        "exact_mean": mean,
        "nuts_mean": mean + z * mcse,
        "mcse": mcse,
        "rank_r_hat": 1 + 0.004 * rng.random(z.shape),
        "ess_bulk": 1000 + 800 * rng.random(z.shape),
    }
    return xr.Dataset({k: (("dataset", "latent"), v) for k, v in values.items()})


def _observed(
    name: str, array: npt.NDArray[Any], index: npt.NDArray[np.int64]
) -> tuple[tuple[str, ...], npt.NDArray[Any]]:
    if name == "target":
        return (QUERY,), array
    return (EXAMPLE, *(f"{name}_{i}" for i in range(1, array.ndim))), array[index]


def _stored(p: Predictive, index: npt.NDArray[np.int64]) -> xr.Dataset:
    lead = (EXAMPLE, POSITION, QUERY)
    own = {name: (dim,) if dim else () for name, dim in p.trailing.items()}
    variables = {
        name: (own[name], v) if name in p.shared else (lead + own[name], v[index]) for name, v in p.variables().items()
    }
    return xr.Dataset(variables, attrs={"form": p.form})


def _exact(engine: str, bound: float) -> dict[str, Any]:
    return {
        "engine": engine,
        "certificate": {
            "verdict": "trusted",
            "method": "exact",
            "error_bound": bound,
            "bound_kind": "bound",
            "reasons": [],
        },
    }


def _interval(v: Array) -> dict[str, float]:
    half = 1.96 * v.std(ddof=1) / np.sqrt(len(v))
    return {"estimate": float(v.mean()), "low": float(max(v.mean() - half, 1e-9)), "high": float(v.mean() + half)}


def _recovery(v: Array, prior: Array) -> dict[str, float]:
    centre, half = (
        1 - v.mean() / prior.mean(),
        float(1.96 * (v - v.mean() / prior.mean() * prior).std() / prior.mean() / np.sqrt(len(v))),
    )
    return {"estimate": float(centre), "low": float(centre - half), "high": float(centre + half)}


def _kl(p: Predictive, q: Predictive) -> Array:
    if isinstance(p, Categorical) and isinstance(q, Categorical):
        return np.asarray((p.probs * np.log(p.probs / q.probs)).sum(-1))
    grid = np.tile(np.linspace(-5, 5, 401), (*p.shape, 1))
    lp, lq = np.maximum(p.log_prob(grid), -60), np.maximum(q.log_prob(grid), -60)
    return np.asarray(np.trapezoid(np.exp(lp) * (lp - lq), grid, axis=-1)).clip(1e-9)


def _configuration(rows: npt.NDArray[np.int64], parents: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return sum((rows[..., p] * 2**i for i, p in enumerate(parents)), np.zeros(rows.shape[:-1], dtype=np.int64))


def _beta(
    rows: npt.NDArray[np.int64], query: npt.NDArray[np.int64], node: int, parents: tuple[int, ...], a: float
) -> Array:
    same = _configuration(rows, parents) == _configuration(query, parents)[:, None]
    return np.asarray(((same * rows[..., node]).sum(1) + a) / (same.sum(1) + 2 * a))


def _binary(p: Array) -> Categorical:
    return Categorical(np.stack([1 - p, p], -1))


def _logit(p: Array) -> Array:
    return np.log(p / (1 - p))


def _logistic(v: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-v)))


def _rbf(a: Array, b: Array, length: float = 0.8) -> Array:
    return np.asarray(np.exp(-((a[:, :, None] - b[:, None]) ** 2).sum(-1) / (2 * length**2)))


def _regress(
    x: Array, y: Array, x_query: Array, positions: npt.NDArray[np.int64], noise: float, length: float
) -> Normal:
    means, variances = [], []
    for p in positions:
        gain = np.linalg.solve(_rbf(x[:, :p], x[:, :p], length) + noise**2 * np.eye(p), _rbf(x[:, :p], x_query, length))
        means.append(np.einsum("npq,np->nq", gain, y[:, :p]))
        variances.append(1 + noise**2 - (gain * _rbf(x[:, :p], x_query, length)).sum(1))
    return Normal(np.stack(means, 1), np.sqrt(np.stack(variances, 1)))
