"""What an effective draw costs: batched chains of ours and what people write.

The work: the posterior of the weights of an MTD chain (q = 5, m = 3, T = 64) for many sequences.
Counted is the smallest of bulk and tail effective sample size over the weights of a sequence, per
second of CPU. Compilation is left out where it happens once; `MCMC.run` pays for it with every data
set, as its users do. The cost of the certificate is shown beside.

The exact posterior is known: the sd of z = (mean - exact mean) / MCSE must be near one for every
method that is timed. Peers: NumPyro's NUTS compiled once,
blackjax's NUTS and its unadjusted MCLMC in the same frame, `MCMC.run` in a loop.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks._timing import Row, row
from veribayes import registry
from veribayes.inference._engine import float64
from veribayes.inference._mcmc import Mcmc, Rung, Sampler, judged
from veribayes.inference.hmc import Hmc
from veribayes.inference.nuts import Nuts
from veribayes.models._task import Design, Task
from veribayes.models.mtd import MTD
from veribayes.predictive import Array

UNIT = "an effective draw"

TASK = Task(
    "mtd-q5-m3", MTD(5, 3, matrix_seed=0), Design((64,)), "simplex_quadrature", "lag_counts"
)
ROUNDS = 3
CHAINS = 4


WARMUP, DRAWS = 500, 500  # of the peers' chains
MCLMC_DRAWS = 4000  # an unadjusted draw costs two gradients


@dataclass(frozen=True)
class Sampled:
    """What one method's chains cost and were worth.

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


def rows() -> Iterator[Row]:
    """Our batched HMC against each peer."""
    ours = timed(Hmc(), Hmc().ladder(TASK)[0], 512)
    nuts = Nuts(chains=CHAINS // 2)
    yield _row(ours, timed(nuts, nuts.ladder(TASK)[0], 128), 30.0)
    if importlib.util.find_spec("blackjax") is not None:
        for name, draws, goal in (("nuts", DRAWS, 1.0), ("mclmc", MCLMC_DRAWS, 3.0)):
            method = Rung(
                f"blackjax {name}", partial(blackjax, name=name), draws, nuts.ladder(TASK)[0].lanes
            )
            yield _row(ours, timed(nuts, method, 128), goal)
    yield _row(ours, loop(8), 800.0)


def _row(ours: Sampled, peer: Sampled, goal: float) -> Row:
    more: dict[str, Any] = {
        f"{whose}_{name}": getattr(one, name)
        for whose, one in (("our", ours), ("peer", peer))
        for name in ("milliseconds", "certificate", "ess", "passed", "sd_z")
    }
    return row(
        "an effective draw, mtd-q5-m3",
        ours.method,
        1 / ours.per_second,
        peer.method,
        1 / peer.per_second,
        error=abs(ours.sd_z - 1),
        goal=goal,
        **more,
    )


def timed(frame: Mcmc, method: Rung, datasets: int) -> Sampled:
    """One method of sampling all data sets in lockstep, compiled once."""
    data = TASK.simulate(range(datasets), seed=0).data
    draws: list[Any] = []

    def work() -> None:
        draws[:] = frame.draws_of(method, TASK.model, data, 0, seed=0)

    work()
    return _sampled(
        method.name, datasets, min(_seconds(work) for _ in range(ROUNDS)), *_joined(draws, datasets)
    )


def blackjax(model: Any, *, name: str) -> Sampler:
    """Chains of a blackjax sampler in the frame of ours:
    starts, warm-up, draws on the same density.
    """
    import blackjax as peer
    import jax
    from numpyro.infer import init_to_uniform
    from numpyro.infer.util import initialize_model

    def chain(
        key: jax.Array, data: dict[str, jax.Array]
    ) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
        for_start, for_warmup, for_chain = jax.random.split(key, 3)
        made = initialize_model(
            for_start,
            model.program,
            init_strategy=init_to_uniform(radius=2.0),
            dynamic_args=True,
            model_kwargs=data,
            validate_grad=False,
        )

        def density(z: Any) -> jax.Array:
            return -made.potential_fn(**data)(z)

        if name == "nuts":
            adapt = peer.window_adaptation(peer.nuts, density)
            (state, tuned), _ = adapt.run(for_warmup, made.param_info.z, num_steps=WARMUP)
            step, count = peer.nuts(density, **tuned).step, DRAWS
        else:
            kernel, begin = (
                peer.mcmc.mclmc.build_kernel(),
                peer.mcmc.mclmc.init(made.param_info.z, density, for_start),
            )
            state, tuned, _ = peer.mclmc_find_L_and_step_size(
                kernel, MCLMC_DRAWS, begin, for_warmup, density
            )
            options = {"inverse_mass_matrix": tuned.inverse_mass_matrix}
            step, count = (
                peer.mclmc(density, L=tuned.L, step_size=tuned.step_size, **options).step,
                MCLMC_DRAWS,
            )

        def move(state: Any, key: jax.Array) -> Any:
            state, info = step(key, state)
            return state, (state.position, -state.logdensity, getattr(info, "is_divergent", False))

        _, (z, energy, diverging) = jax.lax.scan(move, state, jax.random.split(for_chain, count))
        values = jax.vmap(made.postprocess_fn(**data))(z)
        return {latent.name: values[latent.name] for latent in model.latents}, energy, diverging

    return jax.jit(jax.vmap(jax.vmap(chain, in_axes=(0, None))))


def loop(datasets: int) -> Sampled:
    """A new MCMC object for each data set: NUTS, vectorised chains."""
    import jax
    from numpyro.infer import MCMC, NUTS

    data = TASK.simulate(range(datasets), seed=0).data
    a = TASK.model.program_data(data, 0)["a"]
    found: list[tuple[Mapping[str, Array], Array, Array]] = []

    def work() -> None:
        for i in range(datasets):
            sampler = MCMC(
                NUTS(TASK.model.program),
                num_warmup=WARMUP,
                num_samples=DRAWS,
                num_chains=CHAINS,
                chain_method="vectorized",
                progress_bar=False,
            )
            with float64(), jax.numpy_rank_promotion("allow"):
                sampler.run(jax.random.key(i), a=a[i], extra_fields=("energy", "diverging"))
                fields = sampler.get_extra_fields(group_by_chain=True)
                weights = np.asarray(sampler.get_samples(group_by_chain=True)["weights"])
            energy, diverging = (np.asarray(fields[name])[None] for name in ("energy", "diverging"))
            found.append(({"weights": weights[None]}, energy, diverging))

    return _sampled("MCMC.run in a loop", datasets, _seconds(work), *_joined(found, datasets))


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _joined(parts: Any, datasets: int) -> tuple[dict[str, Array], Array, Any]:
    latents = {n: np.concatenate([p[0][n] for p in parts])[:datasets] for n in parts[0][0]}
    energy, diverging = (np.concatenate([p[i] for p in parts])[:datasets] for i in (1, 2))
    return latents, energy, diverging


def _sampled(
    name: str,
    datasets: int,
    seconds: float,
    latents: dict[str, Array],
    energy: Array,
    diverging: Any,
) -> Sampled:
    data = TASK.simulate(range(datasets), seed=0).data
    exact = registry.load("engine", TASK.reference)()(TASK, data, seed=0).posterior["weights"][
        "mean"
    ][:, 0]
    start = time.process_time()
    gates, moments = judged(latents, energy, diverging, TASK.model.latent_mask(data, 0))
    certificate = time.process_time() - start
    smallest = np.minimum(gates.ess_bulk, gates.ess_tail)
    z = (moments["weights"]["mean"] - exact) / moments["weights"]["mcse"]
    return Sampled(
        name,
        datasets,
        1e3 * seconds / datasets,
        1e3 * certificate / datasets,
        float(smallest.mean()),
        float(smallest.sum() / seconds),
        float(gates.passed.mean()),
        float(z.std()),
    )
