"""JAX never waits for itself, and who waits long is told where it stands."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from veribayes.storage import waiting

# Six factorisations and six solves, independent in pairs, of 400 matrices each:
# with a pool of two threads it hung every time.
FACTORISATIONS = """
import veribayes
import jax, jax.numpy as jnp, numpy as np

def total(a):
    def body(i, c):
        roots = [jnp.linalg.cholesky(a + (j + 0.0 * c) * jnp.eye(10)) for j in range(1, 7)]
        solve = jax.lax.linalg.triangular_solve
        return sum(solve(r, a, left_side=True, lower=True)[0, 0, 0] for r in roots)
    return jax.lax.fori_loop(0, 100, body, 0.0)

with jax.enable_x64(True):
    print(float(jax.jit(total)(np.broadcast_to(np.eye(10), (400, 10, 10)))))
"""


def test_batches_of_factorisations_do_not_wait_for_each_other() -> None:
    """Sum of 1 / sqrt(1 + j): the library alone sets what JAX needs to come to it. Five seconds;
    a hang takes all of 300.
    """
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PJRT_NPROC", "NPROC", "XLA_FLAGS")
    }
    run = subprocess.run(
        [sys.executable, "-c", FACTORISATIONS],
        env=environment,
        timeout=300,
        capture_output=True,
        text=True,
        check=True,
    )
    assert abs(float(run.stdout) - sum((1 + j) ** -0.5 for j in range(1, 7))) < 1e-12


def test_a_line_says_where_it_stands() -> None:
    """The thread speaks while the work waits, and is silent once the work is over."""
    lines: list[str] = []
    spoken = threading.Event()

    def say(text: str) -> None:
        lines.append(text)
        if "chunk" in text:
            spoken.set()

    with waiting.watched("gp [red]", 100, every=0.001, say=say) as advance:
        advance(40)
        waiting.at("hmc on chunk 3")
        assert spoken.wait(60)
    number = len(lines)
    assert "gp [red], at hmc on chunk 3; 40 of 100 done" in next(
        line for line in lines if "chunk" in line
    )
    assert len(lines) == number


def test_a_processor_that_stands_still_is_said() -> None:
    watch = waiting.Watch("gp", 10, 3)
    assert watch.line(120.0, 60.0, 59.0) == "still at work: gp; 3 of 10 done, 120 s elapsed"
    assert "processor time stands still" in watch.line(120.0, 60.0, 0.1)
