"""Training: tokens a second against the `pfns` package's loop,
and the share that making data takes.

Run: make benchmarks   (or: python -m benchmarks.training FOLDER [--write], a folder with the
                       packages pfns and einops)

Both sides learn `gp-rbf-1d` with a network of the same width, depth and heads, the same number of
data sets a step, the same context sizes, one thread, single precision. Ours simulates its data and
computes the exact predictive on the way. The peer by default draws its data too, with the prior for
Gaussian processes that it comes with; in two further modes it is handed stored batches for nothing.
A token is a context point or a query. Rounds alternate, so that a loaded machine slows both; the
ratio of CPU time has a 95 % t interval over rounds, on the log scale.

Data take a share of the CPU time. In training they are made in a thread beside the one that learns,
so what they cost where there are two cores is the time that learning waits for them:
a second share, of the time that passes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from benchmarks import _documents
from veribayes.models import _spec
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.run.training import exact_targets
from veribayes.transformer._batches import Group, Recipe, context_sizes, make_batch
from veribayes.transformer._run import Run
from veribayes.transformer._training import prefetched

TASK, FOLDER = "gp-rbf-1d", Path("runs/pfns")
WARM, STEPS, ROUNDS = 4, 12, 5
MODES = {"default": 3.0, "stored": 3.0, "plain": 1.3}  # goals
SHARES = ("bn-general5", "bn-asia-inference", "mtd-q5-m3", "gp-rbf-1d")
GOAL = 0.1  # of the time of a step, for its data
CPU = torch.device("cpu")


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write runs/benchmarks-training.json."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training", description=__doc__.partition("\n\n")[0]
    )
    parser.add_argument(
        "packages", nargs="?", type=Path, metavar="FOLDER", help="packages pfns and einops"
    )
    parser.add_argument(
        "--write", action="store_true", help="put the tables into docs/benchmarks.md"
    )
    given = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    for row in chain(map(share, SHARES), against(given.packages) if given.packages else ()):
        print(line(row), flush=True)
        rows.append(row)
    print(_documents.keep("benchmarks-training", "veribayes.benchmarks-training/1", rows))
    if given.write:
        print(f"written: {_documents.put('benchmarks.md', 'training', tables(rows))}")
    return 0


def tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """Both kinds of rows in Markdown."""
    shares = [
        {
            "task": r["task"],
            "tokens a CPU second": f"{r['tokens_per_second']:,.0f}",
            "waits for data": f"{r['waiting_share']:.1%}",
            "goal": f"{GOAL:.0%}",
            "CPU time of data": f"{r['data_share']:.1%}",
            "cores": str(r["cores"]),
        }
        for r in rows
        if "peer" not in r
    ]
    peers = [
        {
            "peer": r["peer"],
            "tokens a CPU second": f"{r['tokens_per_second']:,.0f}",
            "peer's": f"{r['peer_tokens_per_second']:,.0f}",
            "ratio [95 %]": f"{r['ratio']:.2f} [{r['low']:.2f}, {r['high']:.2f}]",
            "goal": f"{r['goal']:g}",
            "rounds": str(r["rounds"]),
        }
        for r in rows
        if "peer" in r
    ]
    return "\n\n".join(_documents.table(part) for part in (shares, peers) if part)


def line(row: dict[str, Any]) -> str:
    """A row as it is printed."""
    speed = f"{row['task']:<18} {row['tokens_per_second']:>7.0f} tokens/s"
    if "peer" not in row:
        return (
            f"{speed}   waits for data {row['waiting_share']:.1%}, goal {GOAL:.0%}; CPU time of "
            f"data {row['data_share']:.1%}"
        )
    ratio = f"x {row['ratio']:.2f} [{row['low']:.2f}, {row['high']:.2f}], goal {row['goal']:g}"
    return f"{speed}   {row['peer']:<14} {row['peer_tokens_per_second']:>6.0f} tokens/s   {ratio}"


def share(name: str) -> dict[str, Any]:
    """Our loop on a task by its full recipe."""
    task = _spec.load_task(name)
    recipe = Recipe.of(task, "full")
    tokens, data, learning = loop(task, recipe)
    return {
        "task": name,
        "tokens_per_second": tokens / (data + learning),
        "data_share": data / (data + learning),
        "waiting_share": waiting(task, recipe),
        "cores": os.cpu_count(),
    }


def waiting(task: Task, recipe: Recipe) -> float:
    """Share of the time in which the loop of a training run waits for the next batch."""
    run = Run.start(task, replace(recipe, steps=WARM + STEPS + 1), 0, CPU)
    spent, batches = np.zeros(2), prefetched(task, run, exact_targets(task))
    for step in range(WARM + STEPS):
        times = [time.perf_counter()]
        groups = next(batches)
        times.append(time.perf_counter())
        run.learn(groups)
        if step >= WARM:
            spent += np.diff([*times, time.perf_counter()])
    batches.close()
    return float(spent[0] / spent.sum())


def loop(task: Task, recipe: Recipe) -> tuple[int, float, float]:
    """Tokens, and CPU seconds of making data and of learning,
    over some steps after a few that warm up.
    """
    torch.set_num_threads(1)
    run, targets = Run.start(task, recipe, 0, CPU), exact_targets(task)
    tokens, spent = 0, np.zeros(2)
    for step in range(WARM + STEPS):
        times = [time.process_time()]
        groups = make_batch(task, recipe, run.network.config, targets, 0, step)
        times.append(time.process_time())
        run.learn(groups)
        if step >= WARM:
            spent += np.diff([*times, time.process_time()])
            tokens += sum(tokens_of(group, run.network.config.family) for group in groups)
    return tokens, float(spent[0]), float(spent[1])


def tokens_of(group: Group, family: str) -> int:
    """Context and queries; of a sequence or a network its symbols or nodes."""
    first, last = group.arrays[0], group.arrays[-1]
    return len(first) * (first.shape[1] + (last.shape[1] if family in ("rows", "points") else 0))


def against(packages: Path) -> Iterator[dict[str, Any]]:
    """Alternate rounds of ours and of all modes of the peer."""
    task = _spec.load_task(TASK)
    recipe = replace(Recipe.of(task, "full+bins"), groups=1)  # the peer has bins
    count = write_batches(task, recipe)
    ours: list[float] = []
    peers: dict[str, list[float]] = {mode: [] for mode in MODES}
    for _ in range(ROUNDS):
        tokens, data, learning = loop(task, recipe)
        ours.append(tokens / (data + learning))
        for mode, found in peers.items():
            found.append(count / peer_seconds(packages, mode))
    yield from (compared(mode, np.array(ours), np.array(found)) for mode, found in peers.items())


def compared(mode: str, ours: Array, peer: Array) -> dict[str, Any]:
    """The ratio with its interval over rounds."""
    logs = np.log(ours / peer)
    half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    low, middle, high = np.exp(logs.mean() + half * np.array([-1, 0, 1]))
    return {
        "task": TASK,
        "peer": f"pfns, {mode}",
        "tokens_per_second": float(np.median(ours)),
        "peer_tokens_per_second": float(np.median(peer)),
        "ratio": float(middle),
        "low": float(low),
        "high": float(high),
        "rounds": len(logs),
        "steps": STEPS,
        "goal": MODES[mode],
    }


def write_batches(task: Task, recipe: Recipe) -> int:
    """What the peer learns from: our data with drawn labels, and the size of our network;
    returns the number of tokens.
    """
    largest = task.design.positions[-1]
    design = replace(task.design, positions=(largest,), queries=recipe.queries)
    arrays: dict[str, Array] = {}
    sizes = []
    for step in range(STEPS):
        drawn = task.model.simulate(
            design, 0, "train", np.arange(step * recipe.batch, (step + 1) * recipe.batch)
        )
        n = max(
            1, context_sizes(largest, 1, 0, WARM + step)[0]
        )  # as in our measured steps; the peer needs a context
        seen = drawn.data.arrays
        arrays[f"x{step}"] = np.concatenate([seen["x"][:, :n], seen["x_query"]], axis=1).astype(
            np.float32
        )
        arrays[f"y{step}"] = np.concatenate([seen["y"][:, :n], drawn.outcome[:, 0]], axis=1).astype(
            np.float32
        )
        sizes.append(n)
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.savez(FOLDER / "batches.npz", allow_pickle=False, sizes=np.array(sizes), **arrays)
    shape, config = recipe.network, Run.start(task, recipe, 0, CPU).network.config.to_dict()
    model: Any = task.model
    process = {
        "noise": model.noise_sd**2,
        "outputscale": model.kernel.amplitude**2,
        "lengthscale": model.kernel.lengthscale,
    }
    network = {
        "process": process,
        "width": shape["width"],
        "hidden": config["expansion"] * shape["width"],
        "layers": shape["layers"],
        "heads": shape["heads"],
        "inputs": config["inputs"],
        "batch": recipe.batch,
        "learning_rate": recipe.learning_rate,
        "borders": np.linspace(-shape["reach"], shape["reach"], shape["cells"] + 3).tolist(),
    }
    (FOLDER / "network.json").write_text(json.dumps(network), encoding="utf-8")
    return recipe.batch * sum(n + recipe.queries for n in sizes)


def peer_seconds(packages: Path, mode: str) -> float:
    """CPU seconds of the peer's epoch, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.pfns_peer", str(FOLDER), mode]
    environment = {
        **os.environ,
        "PYTHONPATH": str(packages),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
