"""The reference tables of the three families beside the published figures.

Run: make reference-tables   (or: python -m benchmarks.reference_tables [--datasets N] [--seed S]
                             [--write] [SECTION...])

Every number is a mean over data sets that nothing was tuned on; its standard error comes from the
same data sets. Published figures and their sources are in published.yaml. A star marks a figure
whose published one is farther than three standard errors and its rounding.
--write also puts the sections that were made into docs/reference-tables.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.special import ndtr

from benchmarks import _documents
from benchmarks._solvers import Solver
from veribayes import registry
from veribayes.inference._gaussian import chebyshev_steps, kernels
from veribayes.inference._rows import (
    frequencies,
    inside,
    matching_counts,
    predecessor_counts,
    query_of,
    row_posterior,
)
from veribayes.inference.estimators.mirror_descent import best_etas
from veribayes.models import _spec
from veribayes.models._priors import Dirichlet, UniformMixture
from veribayes.models._task import Design, Model, Task
from veribayes.models.bayesian_network import BayesianNetwork, RowQuery
from veribayes.models.gaussian_process import GaussianProcess
from veribayes.models.gaussian_process._kernels import RBF
from veribayes.models.mtd import MTD
from veribayes.predictive import Array, Normal, as_predictive, stack
from veribayes.transformer._candidates import network_candidate
from veribayes.transformer.constructions.gp_gradient_descent import (
    GPGradientDescent,
    outer_quantile,
)
from veribayes.tree import IntArray, Simulation

PUBLISHED = Path(__file__).with_name("published.yaml")
POINTS_INSIDE = 16  # midpoints a bin at which densities are compared
LEARNABLE = "learnable"  # a row of trained networks
PAIRED = "plain − normalised, same data sets"  # a row of differences

Measured = dict[str, dict[str, Array]]  # table -> row -> (data set, column)


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write runs/reference-tables.json; with --write also the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all when left out"
    )
    parser.add_argument("--datasets", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--write", action="store_true", help="put the tables into docs/reference-tables.md"
    )
    given = parser.parse_args(arguments)
    published = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    for section in given.sections or SECTIONS:
        found = SECTIONS[section](published[section]["n"], given.datasets, given.seed)
        text, numbers = beside(published[section], found)
        print(text, flush=True)
        rows = [
            {"section": section, "datasets": given.datasets, "seed": given.seed, **n}
            for n in numbers
        ]
        print(_documents.keep(f"reference-tables-{section}", "veribayes.reference-tables/1", rows))
        if given.write:
            print(_documents.put("reference-tables.md", section, text))
    return 0


def beside(published: Mapping[str, Any], found: Measured) -> tuple[str, list[dict[str, Any]]]:
    """A Markdown section with each row twice, published and measured, and the numbers behind it."""
    rows: list[dict[str, str]] = []
    numbers: list[dict[str, Any]] = []
    columns = [str(n) for n in published["n"]]
    for name, table in found.items():
        for row, values in table.items():
            mean, error = values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values))
            figures = published["tables"].get(name, {}).get(row)
            heads = {"table": name, "predictor": row}
            if figures:
                rows.append(
                    {
                        **heads,
                        "from": "published",
                        **dict(zip(columns, map(shown, figures), strict=True)),
                    }
                )
            cells = map(
                measured, mean, error, figures or [np.nan] * len(mean), [row == PAIRED] * len(mean)
            )
            rows.append({**heads, "from": "here", **dict(zip(columns, cells, strict=True))})
            plain = [v if np.isfinite(v) else None for v in figures] if figures else None
            numbers.append(
                {
                    **heads,
                    "n": published["n"],
                    "published": plain,
                    "mean": mean.tolist(),
                    "standard_error": error.tolist(),
                }
            )
    most = max(len(values) for table in found.values() for values in table.values())
    title = f"{published['what']}; published: {published['source']}; {most} data sets a table."
    return f"{title}\n\n{_documents.table(rows)}", numbers


def shown(value: float) -> str:
    """Three digits; what the literature calls divergent is infinite,
    and what it does not give NaN.
    """
    return "–" if np.isnan(value) else "diverges" if np.isinf(value) else f"{value:.3g}"


def measured(mean: float, error: float, published: float, paired: bool) -> str:
    """A mean, of paired differences with its 95 % interval,
    and a star where the published figure is not near it.
    """
    if paired:
        return f"{shown(mean)} ± {shown(1.96 * error)}"
    rounding = 5e-4 if abs(mean) < 1 else 5e-3
    return shown(mean) + "*" * bool(
        np.isfinite(published) and abs(mean - published) > 3 * error + rounding
    )


# -- Bayesian networks -----------------------------------------------------------------------------


def networks(n: Sequence[int], datasets: int, seed: int) -> Measured:
    """Total variation to the truth of frequencies with and without the graph,
    and of the posterior predictive.
    """
    models: dict[str, BayesianNetwork] = {}
    for name in ("bn-chain7", "bn-tree7", "bn-general5", "bn-general7"):
        models[name] = _network(name)
    models["bn-tree7 Beta(.4,.4)"] = with_prior(models["bn-tree7"], Dirichlet(0.4))
    halves = UniformMixture(((0.15, 0.3), (0.7, 0.85)))
    models["bn-general5 bimodal"] = with_prior(models["bn-general5"], halves)
    return {name: _network_table(model, n, datasets, seed) for name, model in models.items()}


def _network(name: str) -> BayesianNetwork:
    model = _spec.load_task(name).model
    assert isinstance(model, BayesianNetwork)
    return model


def with_prior(model: BayesianNetwork, prior: Any) -> BayesianNetwork:
    """The same graph with another prior over its tables."""
    return BayesianNetwork.from_spec({**model.spec(), "prior": prior.spec()})


def _network_table(
    model: BayesianNetwork, n: Sequence[int], datasets: int, seed: int
) -> dict[str, Array]:
    task = _task(model, n, queries=1)
    simulation = task.simulate(range(datasets), seed=seed, stream="replicate")
    arrays = simulation.data.arrays
    rows = model.query_rows(RowQuery(arrays["query"], arrays["target"]))
    truth = np.take_along_axis(simulation.latents["theta"], rows[..., None], axis=1)[
        :, None
    ]  # (B, 1, Q, K)
    out = {}
    for name, engine in (("mle", "mle"), ("naive", "naive_mle"), ("bayes", "conjugate")):
        probs = _answer(engine, task, simulation).probs
        apart = 0.5 * np.abs(probs - truth).sum(-1)
        if name != "bayes":  # the engines answer uniformly where nothing was seen
            apart = np.where(_seen(model, simulation, naive=name == "naive"), apart, 1.0)
        out[name] = apart.mean(-1)
    return out


def _seen(model: BayesianNetwork, simulation: Simulation, naive: bool) -> Array:
    """Whether any row agrees with the query on its parents, or on all nodes before it;
    (dataset, position, query).
    """
    arrays = simulation.data.arrays
    nodes, target = np.arange(len(model.nodes)), arrays["target"]
    parents = np.array([np.isin(nodes, model.parents[t]) for t in target])
    relevant = nodes < target[:, None] if naive else parents
    agree = ((arrays["rows"][:, None] == arrays["query"][:, :, None]) | ~relevant[:, None]).all(
        -1
    )  # (B, Q, N)
    return np.asarray(agree.cumsum(-1)[..., simulation.data.positions - 1].swapaxes(1, 2) > 0)


def structures(n: Sequence[int], datasets: int, seed: int) -> Measured:
    """The same where a graph over seven nodes is drawn for each data set,
    every edge with a probability from U(.7, 1).
    """
    spec = _spec.load_task("bn-random7").model.spec()
    model = BayesianNetwork.from_spec({**spec, "edges": {"low": 0.7, "high": 1.0}})
    task = _task(model, n)
    simulation = task.simulate(range(datasets), seed=seed, stream="replicate")
    data, query = simulation.data, query_of(simulation.data)
    truth = np.take_along_axis(
        simulation.latents["theta"], model.query_rows(query)[..., None], axis=1
    )[:, None]
    graphs = simulation.latents["edges"][:, query.target].astype(bool)  # (B, Q, M)
    known = np.concatenate(
        [matching_counts(model, data.select(np.array([b])), g) for b, g in enumerate(graphs)]
    )
    naive = predecessor_counts(model, data)
    assert model.prior is not None
    answers = {
        "mle, known graph": frequencies(known, inside(model, query)),
        "naive": frequencies(naive, inside(model, query)),
        "bayes, known graph": row_posterior(model.prior, known, inside(model, query))[0],
        "bayes, averaged over graphs": _answer("structure_averaging", task, simulation).probs,
    }
    apart = {name: 0.5 * np.abs(probs - truth).sum(-1) for name, probs in answers.items()}
    for name, counts in (("mle, known graph", known), ("naive", naive)):
        apart[name] = np.where(counts.any(-1), apart[name], 1.0)
    return {"seven nodes": {name: values.mean(-1) for name, values in apart.items()}}


def losses(predictors: Sequence[str], datasets: int, seed: int) -> Measured:
    """Total variation of networks that differ in their loss from the posterior predictive and
    from the MLE, at n = 20.
    """
    task = _task(_network("bn-general5"), (20,))
    simulation = task.simulate(range(datasets), seed=seed, stream="replicate")
    wanted = [_answer(engine, task, simulation).probs[:, 0] for engine in ("conjugate", "mle")][
        : len(predictors)
    ]
    said = {
        "network, drawn labels": "bn-general5+labels",
        "network, exact targets": "bn-general5",
        "network, L1 on frequencies": "bn-general5+mle",
    }
    answers = {
        row: _shipped(name)(*task.model.inputs(simulation.data, 0))["probs"]
        for row, name in said.items()
    }
    answers["mle"] = wanted[1]
    apart = {
        row: [0.5 * np.abs(probs - other).sum(-1).mean(-1) for other in wanted]
        for row, probs in answers.items()
    }
    return {"bn-general5": {row: np.stack(columns, axis=1) for row, columns in apart.items()}}


def _shipped(name: str) -> Callable[[Any, Any], Mapping[str, Array]]:
    """A shipped network as candidate."""
    folder = registry.checkpoint_path(name)
    assert folder is not None
    return network_candidate(folder)


# -- mixtures of transitions -----------------------------------------------------------------------


LAGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "bayes": ("simplex_quadrature", {}),
    "one step, best eta": ("mirror_descent", {}),
    "one step, eta = 1/(m+1)": ("mirror_descent", {"eta": 0.25}),
    "two steps": ("mirror_descent", {"steps": 2}),
    "five steps": ("mirror_descent", {"steps": 5}),
    "mle": ("expectation_maximization", {}),
    "one EM step": ("expectation_maximization", {"steps": 1}),
    "equal weights": ("prior_only", {}),
}


def lags(n: Sequence[int], datasets: int, seed: int) -> Measured:
    """KL from the next symbol's true law, over four matrices;
    step sizes are tuned against Bayes.
    """
    table: dict[str, list[Array]] = {name: [] for name in LAGS}
    gaps: dict[str, list[Array]] = {
        name: [] for name in ("one step, best eta", "two steps", "five steps")
    }
    etas = []
    for matrix_seed in range(4):
        model = MTD(10, 3, 1.0, matrix_seed=matrix_seed)
        task = _task(model, n)
        simulation = task.simulate(
            range(datasets // 4), seed=seed, stream="audit"
        )  # step sizes come from `replicate`
        y, weights = simulation.data.arrays["y"], simulation.latents["weights"]
        truth = np.stack([model.next_symbol(weights, y, t) for t in n], axis=1)
        said = {
            name: _answer(e, task, simulation, **options).probs[:, :, 0]
            for name, (e, options) in LAGS.items()
        }
        for name, probs in said.items():
            table[name].append((truth * np.log(truth / probs)).sum(-1))
        for name, parts in gaps.items():
            parts.append((said["bayes"] * np.log(said["bayes"] / said[name])).sum(-1))
        etas.append(best_etas(model, tuple(n), 1, 0))
    joined = {name: np.concatenate(parts) for name, parts in table.items()}
    away = {name: np.concatenate(parts) for name, parts in gaps.items()}
    return {
        "mtd-q10-m3": joined | {"best eta, over matrices": np.array(etas)},
        "KL from bayes": away,
    }


# -- Gaussian processes ----------------------------------------------------------------------------


def points(layers: Sequence[int], datasets: int, seed: int) -> Measured:
    """Descent in the linear kernel, five dimensions, n uniform on 128..512;
    plain attention, whose kernel may be negative.
    """
    return _descents("linear-5d", _linear(), layers, (128, 512), {LEARNABLE: False}, datasets, seed)


def points_rbf(layers: Sequence[int], datasets: int, seed: int) -> Measured:
    """Descent in the RBF kernel, two dimensions, n uniform on 64..128."""
    model, both = (
        GaussianProcess(RBF(1.0, 0.8), 0.2, 2),
        {LEARNABLE: False, f"{LEARNABLE}, normalised": True},
    )
    return _descents("rbf-2d", model, layers, (64, 128), both, datasets, seed)


def _descents(
    name: str,
    model: GaussianProcess,
    layers: Sequence[int],
    between: tuple[int, int],
    learned: Mapping[str, bool],
    datasets: int,
    seed: int,
) -> Measured:
    """Log of the mean total variation of gradient descent whose steps are chosen,
    and of networks that learned them.

    theory: Chebyshev steps on one interval for all contexts, the best one for half of them.
    `learned`: row -> whether attention is normalised.
    """
    contexts = _spectra(max(datasets // 4, 8), seed, model, between)
    tuning, judged = contexts[: len(contexts) // 2], contexts[len(contexts) // 2 :]
    networks = {
        row: [
            Solver(f"{name}{'-normalised' * normal}", model, depth, between, normal)
            for depth in layers
        ]
        for row, normal in learned.items()
    }
    said = {
        row: [[c.said(network) for c in judged] for network in parts]
        for row, parts in networks.items()
    }
    out: Measured = {}
    for bins in (256, 64, 16):
        edges = _edges(bins, model)
        columns = {
            "theory": [
                [c.apart(edges, _tuned(tuning, edges, depth - 1)) for c in judged]
                for depth in layers
            ]
        }
        for row, parts in said.items():
            columns[row] = [
                [c.apart_from(edges, *m) for c, m in zip(judged, part, strict=True)]
                for part in parts
            ]
        out[f"{bins} bins"] = {row: log_mean(np.array(values).T) for row, values in columns.items()}
    return out


def log_mean(values: Array) -> Array:
    """Values whose mean is the log of the mean and whose spread gives its standard error:
    the delta method.
    """
    mean = values.mean(0)
    return np.asarray(np.log(mean) + (values - mean) / mean)


def floor(bins: Sequence[int], datasets: int, seed: int) -> Measured:
    """What bins cost the exact predictive itself."""
    contexts = _spectra(max(datasets // 4, 8), seed)
    columns = [np.array([c.exact_apart(_edges(n)) for c in contexts]) for n in bins]
    return {"bins": {"exact masses": log_mean(np.stack(columns, axis=1))}}


class Spectrum:
    """One context (x, y, queries), and gradient descent on it along the eigenvectors of K."""

    def __init__(
        self, k: Array, across: Array, prior: Array, seen: tuple[Array, Array, Array], noise: float
    ) -> None:
        self.seen, y = seen, seen[1]
        values, vectors = np.linalg.eigh(k)
        kept = (
            values > 1e-9 * values[-1]
        )  # the linear kernel has rank d; nothing is learned outside
        self.values, rotated = values[kept] + noise, vectors[:, kept].T @ across
        self.slope = rotated * (vectors[:, kept].T @ y)[:, None]
        self.square, self.prior, self.noise = rotated**2, prior, noise

    def moments(self, etas: Array | None) -> tuple[Array, Array]:
        """Mean and variance (query,) after the steps; None: the limit."""
        left = 0.0 if etas is None else np.prod(1 - etas[:, None] * self.values, axis=0)
        reached = (1 - left) / self.values
        return reached @ self.slope, self.noise + np.maximum(
            self.prior - reached @ self.square, 0.0
        )

    def apart(self, edges: Array, etas: Array) -> float:
        """Mean total variation between the bins of the readout after the steps and the exact
        density.
        """
        return self.apart_from(edges, *self.moments(etas))

    def said(self, network: Solver) -> tuple[Array, Array]:
        """A network's mean and variance (query,)."""
        mean, variance = network.moments(*(part[None] for part in self.seen))
        return mean[0], variance[0]

    def apart_from(self, edges: Array, mean: Array, variance: Array) -> float:
        """The same for any mean and variance (query,)."""
        middle = (edges[:-1] + edges[1:]) / 2
        logits = -((middle - mean[:, None]) ** 2) / (2 * variance[:, None])
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        return variation(odds / odds.sum(-1, keepdims=True), edges, *self.moments(None))

    def exact_apart(self, edges: Array) -> float:
        """The same for the exact masses of the bins."""
        mean, variance = self.moments(None)
        below = ndtr((edges - mean[:, None]) / np.sqrt(variance)[:, None])
        mass = np.diff(below)
        return variation(mass / mass.sum(-1, keepdims=True), edges, mean, variance)


def variation(probs: Array, edges: Array, mean: Array, variance: Array) -> float:
    """Half the integral of |bins - normal density given that y is inside the bins|,
    mean over queries.
    """
    width = edges[1] - edges[0]
    inside = (
        edges[:-1, None] + width * (np.arange(POINTS_INSIDE) + 0.5) / POINTS_INSIDE
    )  # (bin, point)
    z = (inside - mean[:, None, None]) / np.sqrt(variance)[:, None, None]
    held = np.diff(
        ndtr((edges[[0, -1]] - mean[:, None]) / np.sqrt(variance)[:, None])
    )  # (query, 1)
    density = np.exp(-0.5 * z**2) / (np.sqrt(2 * np.pi * variance)[:, None] * held)[..., None]
    return float(0.5 * (np.abs(probs[..., None] / width - density).mean(-1).sum(-1) * width).mean())


def _spectra(
    contexts: int,
    seed: int,
    model: GaussianProcess | None = None,
    sizes_between: tuple[int, int] = (128, 512),
) -> list[Spectrum]:
    """Contexts, by default of the linear kernel in five dimensions, n uniform between two sizes,
    four queries each.
    """
    model, (fewest, most) = model or _linear(), sizes_between
    data = (
        _task(model, (most,), queries=4)
        .simulate(range(contexts), seed=seed, stream="replicate")
        .data
    )
    k, across, prior = kernels(model, data)
    sizes = np.random.default_rng(seed).integers(fewest, most + 1, contexts)
    noise = float(model.noise_sd) ** 2 if isinstance(model.noise_sd, float) else 0.0
    x, y, query = (data.arrays[name] for name in ("x", "y", "x_query"))
    seen = [(x[i, :n], y[i, :n], query[i]) for i, n in enumerate(sizes)]
    return [
        Spectrum(k[i, :n, :n], across[i, :n], prior[i], seen[i], noise) for i, n in enumerate(sizes)
    ]


def _linear() -> GaussianProcess:
    model = _spec.load_task("gp-blr-5d").model
    assert isinstance(model, GaussianProcess)
    return model


def _edges(bins: int, model: GaussianProcess | None = None) -> Array:
    reach = outer_quantile(model or _linear())
    return np.linspace(-reach, reach, bins + 1)


def _tuned(contexts: Sequence[Spectrum], edges: Array, steps: int) -> Array:
    """The Chebyshev steps of the interval that is best for these contexts,
    over a grid of its ends.
    """
    top = max(c.values[-1] for c in contexts)
    choices = [
        chebyshev_steps(np.array(low), np.array(high), steps)
        for high in top * np.geomspace(0.5, 1.4, 8)
        for low in high * np.geomspace(0.01, 0.9, 12)
    ]
    losses = [np.mean([c.apart(edges, etas) for c in contexts]) for etas in choices]
    return choices[int(np.argmin(losses))]


def oracle(n: Sequence[int], datasets: int, seed: int) -> Measured:
    """CRPS of the exact predictive at fresh noisy observations."""
    model = GaussianProcess(RBF(1.0, 0.8), 0.2, 16)
    task = _task(model, n, queries=8)
    simulation = task.simulate(range(max(datasets // 10, 8)), seed=seed, stream="replicate")
    said = _answer("cholesky", task, simulation, latents=False)
    z = (simulation.outcome - said.mean) / said.sd
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    crps = said.sd * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return {"gp-rbf-16d": {"bayes": crps.mean(-1)}}


def depth(n: Sequence[int], datasets: int, seed: int) -> Measured:
    """CRPS at fresh noisy observations, and coverage,
    of networks of 8 to 32 layers that learned on at most 256 points.
    """
    grid: Any = {"kind": "grid"}
    fixed = GaussianProcess(RBF(1.0, 0.8), 0.2, 16)
    kernel = {"kind": "rbf", "amplitude": 1.0, "lengthscale": {**grid, "values": [0.4, 0.8, 1.2]}}
    spec = {"kernel": kernel, "noise_sd": {**grid, "values": [0.1, 0.2, 0.3]}, "d": 16}
    models = {
        "length-scale .8": fixed,
        "grid of length-scales and noises": GaussianProcess.from_spec(spec),
    }
    out: Measured = {}
    for (title, model), level in zip(models.items(), (0.9, 0.5), strict=True):
        simulation = _task(model, n, queries=8).simulate(
            range(max(datasets // 4, 8)), seed=seed, stream="replicate"
        )
        exact = _answer("cholesky", _task(model, n, queries=8), simulation, latents=False)
        answers: dict[str, Any] = {"bayes": exact}
        for layers in (8, 16, 32):
            network = Solver(
                f"rbf-16d{'' if model.fixed else '-grid'}",
                model,
                layers,
                (64, 256),
                normalised=True,
            )
            answers[f"{layers} layers"] = _normal(network, simulation)
        crps, pit = (registry.load("metric", name) for name in ("crps", "pit"))
        seen = Normal(
            simulation.outcome, np.full(simulation.outcome.shape, 1e-9)
        )  # all mass at what was observed
        scores = {
            row: crps.score(said, seen, simulation.outcome).mean(-1)
            for row, said in answers.items()
        }
        placed = {row: pit.score(said, exact, simulation.outcome) for row, said in answers.items()}
        out[f"{title}: CRPS"] = scores
        inside = {row: (np.abs(2 * place - 1) <= level).mean(-1) for row, place in placed.items()}
        out[f"{title}: coverage of {level:.0%} intervals"] = inside
    return out


def _normal(network: Solver, simulation: Simulation) -> Normal:
    """What a network says at every position."""
    x, y, query = (simulation.data.arrays[name] for name in ("x", "y", "x_query"))
    said = [network.moments(x[:, :n], y[:, :n], query) for n in simulation.data.positions]
    mean, variance = (np.stack(part, axis=1) for part in zip(*said, strict=True))
    return Normal(mean, np.sqrt(variance))


ONE_STEP, CHEBYSHEV = "one step size", "Chebyshev steps"
TUNED = (64, 128)  # sizes for which step sizes are chosen


def extrapolation(n: Sequence[int], datasets: int, seed: int) -> Measured:
    """Total variation from the exact predictive of 31 steps of kernel attention that are tuned
    on small contexts.
    """
    model = GaussianProcess(RBF(1.0, 0.8), 0.2, 8)
    choices = {
        f"plain, {ONE_STEP}": [
            GPGradientDescent(32, False, float(e)) for e in np.geomspace(0.01, 0.1, 10)
        ],
        f"normalised, {ONE_STEP}": [
            GPGradientDescent(32, True, float(e)) for e in np.linspace(0.5, 1.9, 8)
        ],
        f"normalised, {CHEBYSHEV}": [
            GPGradientDescent(32, True, "chebyshev", float(e)) for e in np.geomspace(1e-3, 0.3, 8)
        ],
    }
    tuning = _Descent(model, TUNED, max(datasets // 5, 8), seed, "audit")
    judged = _Descent(model, n, datasets, seed, "replicate")
    out = {
        name: judged.apart(min(parts, key=lambda part: tuning.apart(part).mean()))
        for name, parts in choices.items()
    }
    return {
        "RBF, d = 8": out | {PAIRED: out[f"plain, {ONE_STEP}"] - out[f"normalised, {ONE_STEP}"]}
    }


class _Descent:
    """Contexts with one query each, and their exact predictives."""

    def __init__(
        self, model: GaussianProcess, n: Sequence[int], datasets: int, seed: int, stream: str
    ) -> None:
        self.task = _task(model, n)
        self.simulation = self.task.simulate(range(datasets), seed=seed, stream=stream)
        self.truth = _answer("cholesky", self.task, self.simulation, latents=False)

    def apart(self, part: GPGradientDescent) -> Array:
        """Total variation of a construction from the exact predictive, (data set, column)."""
        data, call = self.simulation.data, part(self.task)
        each = [
            as_predictive(call(*self.task.model.inputs(data, k)), (len(data.index), 1), None)
            for k in range(len(data.positions))
        ]
        score = registry.load("metric", "total_variation").score(
            stack(each, axis=1), self.truth, self.simulation.outcome
        )
        return np.asarray(score[..., 0])


# -- all of them -----------------------------------------------------------------------------------


def _task(model: Model, n: Sequence[int], queries: int = 1) -> Task:
    task = _spec.task_of(model, name="table", queries=queries)
    return replace(task, design=Design(tuple(n), queries))


def _answer(engine: str, task: Task, simulation: Simulation, **options: Any) -> Any:
    """Predictive of an engine, in batches of bounded size."""
    made, index = registry.load("engine", engine)(**options), np.arange(len(simulation.data.index))
    parts: list[IntArray] = np.array_split(index, max(1, len(index) // 50))
    answers = [made(task, simulation.data.select(part), seed=0).predictive for part in parts]
    first = answers[0]
    columns = {
        name: np.concatenate([a.variables()[name] for a in answers]) for name in first.variables()
    }
    return type(first)(**columns)


SECTIONS: Mapping[str, Callable[[Sequence[int], int, int], Measured]] = {
    "networks": networks,
    "structures": structures,
    "losses": losses,
    "lags": lags,
    "points": points,
    "points-rbf": points_rbf,
    "floor": floor,
    "oracle": oracle,
    "depth": depth,
    "extrapolation": extrapolation,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
