"""Processes that learn together make the steps of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from veribayes.errors import InputError
from veribayes.transformer._batches import Group
from veribayes.transformer._checkpoint import decode, read_card
from veribayes.transformer._parallel import Ranks

TRAINS = """
import sys
from pathlib import Path
import torch
from veribayes import registry
from veribayes.models import _spec
from veribayes.transformer._batches import Recipe, make_batch
from veribayes.transformer._checkpoint import encode
from veribayes.transformer._parallel import ranks
from veribayes.transformer._run import Run
from veribayes.transformer._training import train
model = _spec.model_from_spec({"kind": "mtd", "q": 3, "m": 2, "matrix_seed": 0})
task = _spec.task_of(model, positions=(2, 8))
network = {"width": 16, "layers": 2, "heads": 2}
recipe = Recipe(steps=8, batch=8, learning_rate=0.01, evaluations=2, network=network)
engine, out = registry.engine(task.reference), Path(sys.argv[1])
targets = lambda data: engine(task, data, seed=0).predictive
nothing = lambda candidate: {}
train(task, recipe, targets=targets, evaluate=nothing, out=out, device="cpu", progress=False)
with ranks(torch.device("cpu")) as together:
    run = Run.start(task, recipe, 0, torch.device("cpu"), together)
    run.learn(make_batch(task, recipe, run.network.config, targets, 0, 0))
    if together.first:
        gradients = {name: p.grad for name, p in run.network.named_parameters()}
        (out / "gradients").write_bytes(encode(gradients))
"""


@pytest.mark.study
def test_two_processes_make_the_steps_of_one(tmp_path: Path) -> None:
    """The same gradients, and the same losses along the way;
    weights with no gradient to speak of go their own ways in Adam.
    """
    (tmp_path / "trains.py").write_text(TRAINS)
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, start in (("one", []), ("two", together)):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, *start, str(tmp_path / "trains.py"), str(tmp_path / name)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (decode((tmp_path / name / "gradients").read_bytes()) for name in ("one", "two"))
    apart = max(float((one[k] - two[k]).abs().max()) for k in one)
    assert apart < 1e-6  # 4e-8, of gradients whose norm is one
    (first, second) = (
        [(p["step"], p["training"]) for p in read_card(tmp_path / name).curve]
        for name in ("one", "two")
    )
    assert [step for step, _ in first] == [step for step, _ in second] == [4]
    assert first[0][1] == pytest.approx(second[0][1], rel=1e-5)  # 5e-8


def test_shares_of_a_group_are_all_of_it() -> None:
    group = Group(
        (torch.arange(8).view(4, 2),),
        slice(None),
        torch.arange(4.0).view(4, 1, 1),
        torch.arange(4.0).view(4, 1),
    )
    parts = [Ranks(rank, 2).share(group) for rank in range(2)]
    rows = torch.cat([part.target for part in parts]).flatten()
    assert sorted(rows.tolist()) == [0, 1, 2, 3]
    assert all(
        part.latents is not None and torch.equal(part.latents.flatten(), part.target.flatten())
        for part in parts
    )
    assert [part.arrays[0][:, 0].tolist() for part in parts] == [[0, 4], [2, 6]]
    with pytest.raises(InputError, match="divides 4 data sets"):
        Ranks(0, 3).share(group)
