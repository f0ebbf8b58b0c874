"""`python -m benchmarks.mcmc`: what an effective draw costs, by ours and by what people write, in one run.

The work: the posterior of the weights of an MTD chain (q = 5, m = 3, T = 64) for many sequences. Counted is the smallest of
bulk and tail effective sample size over the weights of a sequence, per second of CPU. Compilation is left out where it happens
once; `MCMC.run` pays for it with every data set, as its users do. The cost of the certificate is shown beside.

The exact posterior is known: the sd of z = (mean - exact mean) / MCSE must be near one for every method that is timed.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"  # before JAX
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np

from veribayes import registry, store
from veribayes.inference._engine import float64
from veribayes.inference._mcmc import Mcmc, judged
from veribayes.inference.hmc import Hmc
from veribayes.inference.nuts import Nuts
from veribayes.models._task import Design, Task
from veribayes.models.mtd import MTD
from veribayes.predictive import Array

TASK = Task("mtd-q5-m3", MTD(5, 3, matrix_seed=0), Design((64,)), "simplex_quadrature", "lag_counts")
ROUNDS = 3
CHAINS = 4


@dataclass(frozen=True)
class Row:
    """One method.

    Attributes:
        milliseconds: of CPU a data set, and `certificate` those of its diagnostics.
        ess: mean over data sets of the smallest effective sample size.
        per_second: ess per CPU second of sampling.
        passed: share of data sets that pass every gate at once.
        sd_z: of the errors of posterior means, in MCSE.
    """

    method: str
    datasets: int
    milliseconds: float
    certificate: float
    ess: float
    per_second: float
    passed: float
    sd_z: float


def engine(part: Mcmc, datasets: int) -> Row:
    """The first method of an engine's ladder, compiled once."""
    data = TASK.simulate(range(datasets), seed=0).data
    draws: list[Any] = []

    def work() -> None:
        draws[:] = part.draws_of(part.ladder(TASK)[0], TASK.model, data, 0, seed=0)

    work()
    return _row(type(part).__name__.lower(), datasets, min(_seconds(work) for _ in range(ROUNDS)), *_joined(draws, datasets))


def loop(datasets: int) -> Row:
    """A new MCMC object for each data set: NUTS, vectorised chains."""
    import jax
    from numpyro.infer import MCMC, NUTS

    data = TASK.simulate(range(datasets), seed=0).data
    a = TASK.model.program_data(data, 0)["a"]
    found: list[tuple[Mapping[str, Array], Array, Array]] = []

    def work() -> None:
        for i in range(datasets):
            sampler = MCMC(NUTS(TASK.model.program), num_warmup=500, num_samples=500, num_chains=CHAINS,
                           chain_method="vectorized", progress_bar=False)  # fmt: skip
            with float64(), jax.numpy_rank_promotion("allow"):
                sampler.run(jax.random.key(i), a=a[i], extra_fields=("energy", "diverging"))
                fields = sampler.get_extra_fields(group_by_chain=True)
                weights = np.asarray(sampler.get_samples(group_by_chain=True)["weights"])
            energy, diverging = (np.asarray(fields[name])[None] for name in ("energy", "diverging"))
            found.append(({"weights": weights[None]}, energy, diverging))

    return _row("MCMC.run in a loop", datasets, _seconds(work), *_joined(found, datasets))


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _joined(parts: Any, datasets: int) -> tuple[dict[str, Array], Array, Any]:
    latents = {n: np.concatenate([p[0][n] for p in parts])[:datasets] for n in parts[0][0]}
    energy, diverging = (np.concatenate([p[i] for p in parts])[:datasets] for i in (1, 2))
    return latents, energy, diverging


def _row(name: str, datasets: int, seconds: float, latents: dict[str, Array], energy: Array, diverging: Any) -> Row:
    data = TASK.simulate(range(datasets), seed=0).data
    exact = registry.load("engine", TASK.reference)()(TASK, data, seed=0).posterior["weights"]["mean"][:, 0]
    start = time.process_time()
    gates, moments = judged(latents, energy, diverging, TASK.model.latent_mask(data, 0))
    certificate = time.process_time() - start
    smallest = np.minimum(gates.ess_bulk, gates.ess_tail)
    z = (moments["weights"]["mean"] - exact) / moments["weights"]["mcse"]
    return Row(name, datasets, 1e3 * seconds / datasets, 1e3 * certificate / datasets, float(smallest.mean()),
               float(smallest.sum() / seconds), float(gates.passed.mean()), float(z.std()))  # fmt: skip


def main() -> int:
    """Run, print, write runs/benchmarks-mcmc.json."""
    warnings.simplefilter("ignore")
    rows = [engine(Hmc(), 512), engine(Nuts(chains=CHAINS // 2), 128), loop(8)]
    ours = rows[0].per_second
    for r in rows:
        print(f"{r.method:<20} {r.milliseconds:>9.2f} ms + {r.certificate:.2f} ms certificate   ESS {r.ess:>6.0f}", end="   ")
        print(f"{r.per_second:>9.0f} a second   passed {r.passed:.1%}   sd of z {r.sd_z:.2f}   x {ours / r.per_second:.0f}")
    path = Path("runs/benchmarks-mcmc.json")
    document = {"schema": "veribayes.benchmarks/1", "rows": [asdict(r) for r in rows], "provenance": store.provenance()}
    store.write_text(path, json.dumps(document, indent=1))
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
