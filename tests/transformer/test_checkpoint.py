"""What a checkpoint is, and what is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from veribayes import cli, registry
from veribayes.errors import CheckpointError
from veribayes.models import _spec
from veribayes.predictive import as_predictive
from veribayes.transformer._candidates import module_candidate, network_candidate
from veribayes.transformer._checkpoint import CARD, WEIGHTS, decode, encode, load, read_card
from veribayes.transformer._training import train

MEBIBYTE = 2**20
SHIPPED = registry.names("checkpoint")
ASKED = {
    "bn-asia",
    "bn-asia-inference",
    "bn-general5",
    "bn-general5+mle",
    "gp-rbf-1d",
    "mtd-q5-m3",
}  # one of each kind


@pytest.fixture
def folder(make_case: Callable[..., Any], tmp_path: Path) -> Path:
    case = make_case("mtd", steps=1)
    train(
        case.task,
        case.recipe,
        targets=case.targets,
        evaluate=case.evaluate,
        out=tmp_path,
        device="cpu",
        progress=False,
    )
    return tmp_path


def rewrite_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, **changes}))


def rewrite_weights(folder: Path, content: bytes) -> None:
    """Other weights, and a card that says they are right."""
    (folder / WEIGHTS).write_bytes(content)
    rewrite_card(folder, weights_sha256=hashlib.sha256(content).hexdigest())


def tampered(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def without_card(folder: Path) -> None:
    (folder / CARD).unlink()


def pickled(folder: Path) -> None:
    without_card(folder)
    (folder / WEIGHTS).unlink()
    (folder / "model.pt").write_bytes(pickle.dumps({"weights": [1.0]}))


def not_finite(folder: Path) -> None:
    tensors = decode((folder / WEIGHTS).read_bytes())
    tensors["head.bias"][0] = torch.nan
    rewrite_weights(folder, encode(tensors))


def wrong_shape(folder: Path) -> None:
    tensors = decode((folder / WEIGHTS).read_bytes())
    rewrite_weights(folder, encode({**tensors, "head.bias": torch.zeros(7)}))


def missing_tensor(folder: Path) -> None:
    tensors = decode((folder / WEIGHTS).read_bytes())
    rewrite_weights(folder, encode({k: v for k, v in tensors.items() if k != "head.bias"}))


def linked(folder: Path, name: str) -> None:
    (folder / name).rename(folder / "elsewhere")
    (folder / name).symlink_to(folder / "elsewhere")


def truncated(folder: Path) -> None:
    rewrite_weights(folder, (folder / WEIGHTS).read_bytes()[:-100])


def huge_header(folder: Path) -> None:
    rewrite_weights(folder, (2**62).to_bytes(8, "little") + (folder / WEIGHTS).read_bytes()[8:])


def half_precision(folder: Path) -> None:
    tensors = decode((folder / WEIGHTS).read_bytes())
    rewrite_weights(folder, encode({k: t.half() for k, t in tensors.items()}))


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "tampered weights": (tampered, "changed"),
    "no card": (without_card, "card.json"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "beside the card"),
    "a pickle instead": (pickled, "never opened"),
    "a pickle under the right name": (
        lambda f: rewrite_weights(f, pickle.dumps([1.0] * 99)),
        "never opened",
    ),
    "no safetensors": (lambda f: rewrite_weights(f, b"weights"), "safetensors"),
    "NaN": (not_finite, "finite"),
    "a tensor of another shape": (wrong_shape, "fit"),
    "a tensor too few": (missing_tensor, "fit"),
    "another width": (
        lambda f: rewrite_card(f, network={**read_card(f).network, "width": 32}),
        "fit",
    ),
    "an impossible network": (lambda f: rewrite_card(f, network={"family": "rows"}), "fit"),
    "a network for all memory": (
        lambda f: rewrite_card(f, network={**read_card(f).network, "width": 2**40}),
        "fit",
    ),
    "a card in no JSON": (lambda f: (f / CARD).write_text("{"), "JSON"),
    "a card of another schema": (
        lambda f: rewrite_card(f, schema="veribayes.checkpoint/0"),
        "schema",
    ),
    "a card with an unknown key": (lambda f: rewrite_card(f, licence="mine"), "licence"),
    "a huge card": (lambda f: (f / CARD).write_text(" " * 2 * MEBIBYTE), "at most"),
    "a card as deep as memory": (lambda f: (f / CARD).write_text("[" * 500_000), "JSON"),
    "a card with a number for a hash": (
        lambda f: rewrite_card(f, weights_sha256=1),
        "text for 'weights_sha256'",
    ),
    "a card with no name of a task": (
        lambda f: rewrite_card(f, task="../../tasks/mine.yaml"),
        "name of a task",
    ),
    "a card with a module for a task": (
        lambda f: rewrite_card(f, task="os:abort"),
        "name of a task",
    ),
    "a card that colours the terminal": (
        lambda f: rewrite_card(f, task="\x1b[31mred"),
        "name of a task",
    ),
    "a card without numbers": (lambda f: rewrite_card(f, seconds=None), "a number for 'seconds'"),
    "a linked card": (lambda f: linked(f, CARD), "a link"),
    "linked weights": (lambda f: linked(f, WEIGHTS), "a link"),
    "a truncated file": (truncated, "safetensors"),
    "a huge header": (huge_header, "safetensors"),
    "another precision": (half_precision, "float32"),
    "another hash": (lambda f: rewrite_card(f, weights_sha256="0" * 64), "changed"),
    "another model": (lambda f: rewrite_card(f, model_hash="0" * 64), "model of task"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, folder: Path, make_case: Callable[..., Any]) -> None:
    spoil, message = REFUSED[name]
    load(folder, make_case("mtd").task)
    spoil(folder)
    with pytest.raises(CheckpointError, match=message):
        load(folder, make_case("mtd").task)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_ends_the_command(name: str, tmp_path: Path) -> None:
    """Exit code 2 and one line on standard error, before anything is computed."""
    shipped = registry.checkpoint_path("bn-general5")
    assert shipped is not None
    folder = tmp_path / "copy"
    shutil.copytree(shipped, folder)
    REFUSED[name][0](folder)
    done = CliRunner().invoke(
        cli.app,
        ["verify", "bn-general5", "--candidate", str(folder), "--out", str(tmp_path / "out")],
    )
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("veribayes: bn-general5: expected ")
    assert line.isprintable()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no folder"):
        load(tmp_path / "nothing")


def test_a_checkpoint_does_not_serve_another_model(
    folder: Path, make_case: Callable[..., Any]
) -> None:
    with pytest.raises(CheckpointError, match="small-gaussian_process"):
        network_candidate(folder, make_case("gaussian_process").task)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_checkpoints(name: str) -> None:
    """Loads, belongs to its task, is small, and one of each kind predicts;
    what it scores is measured by `verify`.
    """
    of, plus, variant = name.partition("+")
    folder, task, preset = (
        registry.checkpoint_path(name),
        _spec.load_task(of),
        f"full{plus}{variant}",
    )
    assert folder is not None
    network, card = load(folder, task)
    further = [entry["seed"] for entry in card.seeds]
    files = {CARD, WEIGHTS, *(f"seed-{seed}.safetensors" for seed in further)}
    assert {p.name for p in folder.iterdir()} == files
    assert sum(p.stat().st_size for p in folder.iterdir()) < 3 * MEBIBYTE
    for seed in further:
        assert load(folder, task, seed)[1].seed == seed
    assert card.command.startswith(f"veribayes train {of} --preset {preset}")
    assert {k: card.recipe[k] for k in task.training[preset]} == task.training[preset]
    assert card.parameters == sum(p.numel() for p in network.parameters()) <= 700_000
    if name not in ASKED:
        return
    data = task.simulate(range(20), seed=0, stream="replicate").data
    wanted = registry.engine(card.recipe.get("targets") or task.reference)(
        task, data, seed=0
    ).predictive
    middle = len(data.positions) // 2
    said = network_candidate(folder, task)(*task.model.inputs(data, middle))
    answer = as_predictive(said, wanted.shape[::2], task.model.n_categories)
    if task.model.n_categories:  # measured 6e-4 to 1e-3 over three
        assert np.abs(answer.probs - wanted.probs[:, middle]).mean() < 0.01
    else:
        off = (
            answer.expectation() - wanted.expectation()[:, middle]
        ) / wanted.standard_deviation()[:, middle]
        assert np.abs(off).mean() < 0.1  # posterior sds; .01 measured


def test_any_module_is_a_candidate(make_case: Callable[..., Any]) -> None:
    class Half(torch.nn.Module):
        def forward(self, context: Any, query: Any) -> dict[str, torch.Tensor]:
            assert context.x.dtype == torch.float32
            assert not torch.is_grad_enabled()
            return {"mean": query.sum(-1), "sd": torch.ones(query.shape[:2])}

    task = make_case("gaussian_process").task
    data = task.simulate(range(4), seed=0).data
    said = module_candidate(Half())(*task.model.inputs(data, 1))
    assert said["mean"].shape == said["sd"].shape == data.arrays["x_query"].shape[:2]
