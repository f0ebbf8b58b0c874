"""CPU seconds of the `pfns` package's training loop; the other side of benchmarks/training.py.

Run where pfns can be imported, which veribayes does not need: python -m benchmarks.pfns_peer FOLDER
MODE. FOLDER holds `batches.npz` and `network.json`. MODE: `default`, the package's network, which
attends between features, on data from its own `fast_gp` prior; `stored`, the same on our batches,
which cost nothing here; `plain`, those without attention between features.
Prints one line of JSON: the seconds of the second epoch, and the final loss.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pfns.batch_shape_sampler import BatchShapeSamplerConfig
from pfns.model.criterions import BarDistributionConfig
from pfns.model.transformer_config import TransformerConfig
from pfns.optimizer import OptimizerConfig
from pfns.priors import fast_gp
from pfns.priors.prior import Batch, PriorConfig
from pfns.train import MainConfig, train


class Stored:
    """The batches one after the other, again from the start in each epoch;
    notes when each is asked for.
    """

    def __init__(self, path: Path) -> None:
        self.batches: Any = np.load(path)
        self.steps = len(self.batches["sizes"])
        self.asked: list[float] = []

    def __call__(self, **_: object) -> Batch:
        step = len(self.asked) % self.steps
        self.asked.append(time.process_time())
        return self.batch(step)

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        x, y = (torch.from_numpy(self.batches[f"{name}{step}"]) for name in "xy")
        return Batch(x=x, y=y, target_y=y, single_eval_pos=int(self.batches["sizes"][step]))


class Drawn(Stored):
    """Batches of the same shapes and law, drawn by the package's own prior when they are asked
    for.
    """

    def __init__(self, path: Path, process: dict[str, float]) -> None:
        super().__init__(path)
        self.process = {**process, "sampling": "normal"}
        self.shapes = [self.batches[f"x{step}"].shape for step in range(self.steps)]

    def batch(self, step: int) -> Batch:
        batch = fast_gp.get_batch(*self.shapes[step], device="cpu", hyperparameters=self.process)
        return replace(batch, single_eval_pos=int(self.batches["sizes"][step]))


@dataclass(frozen=True)
class Prior(PriorConfig):
    """What the package asks for batches."""

    stored: Any
    strict_field_types: ClassVar[bool] = False

    def create_get_batch_method(self) -> Stored:
        return self.stored  # type: ignore[no-any-return]


def main(folder: Path, mode: str) -> int:
    """Train two epochs; the first one warms up."""
    torch.set_num_threads(1)
    network = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    path = folder / "batches.npz"
    stored = Drawn(path, network["process"]) if mode == "default" else Stored(path)
    with redirect_stdout(sys.stderr):
        done = train(config(stored, network, mode), device="cpu", reusable_config=False)
        seconds = time.process_time() - stored.asked[stored.steps]
    print(json.dumps({"seconds": seconds, "loss": float(done["total_loss"])}))
    return 0


def config(stored: Stored, network: dict[str, Any], mode: str) -> MainConfig:
    """The package's defaults, but the size of the network, single precision as here,
    and data in this process.
    """
    return MainConfig(
        priors=[Prior(stored)],
        optimizer=OptimizerConfig("adamw", lr=network["learning_rate"]),
        model=TransformerConfig(
            criterion=BarDistributionConfig(network["borders"], full_support=True),
            emsize=network["width"],
            nhid=network["hidden"],
            nlayers=network["layers"],
            nhead=network["heads"],
            features_per_group=network["inputs"],
            attention_between_features=mode != "plain",
        ),
        batch_shape_sampler=BatchShapeSamplerConfig(
            batch_size=network["batch"], max_num_features=network["inputs"]
        ),
        epochs=2,
        steps_per_epoch=stored.steps,
        warmup_epochs=1,
        num_workers=0,
        train_mixed_precision=False,
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
