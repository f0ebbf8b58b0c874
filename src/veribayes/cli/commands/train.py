"""`veribayes train`: a transformer on a task, by one of the task's recipes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from veribayes.cli import terminal
from veribayes.cli.arguments import MOST_PROCESSES, one_of, whole_number, whole_numbers
from veribayes.cli.options import Debug, Seed, TaskName

ORDER = 70
OUT = Path("runs/train")
DEVICES = ("auto", "cpu", "cuda")

PRESET_HELP = "A recipe of the task: quick or full."
DEVICE_HELP = "Where to train."
OUT_HELP = "Checkpoint folder; an interrupted training resumes from it."
THREADS_HELP = "CPU threads of torch; bit-exact resume needs the same number."
KEEP_HELP = "Keep the weights after these steps too, in OUT/steps: for example 0,100,200."
TENSORBOARD_HELP = "Log to OUT/tensorboard."


def command(
    task: TaskName,
    preset: Annotated[str, typer.Option("--preset", help=PRESET_HELP)] = "quick",
    device: Annotated[
        str,
        typer.Option(
            "--device", parser=one_of(*DEVICES), metavar="|".join(DEVICES), help=DEVICE_HELP
        ),
    ] = "auto",
    out: Annotated[Path | None, typer.Option("--out", help=OUT_HELP)] = None,
    seed: Seed = 0,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", parser=whole_number(1, MOST_PROCESSES), metavar="N", help=THREADS_HELP
        ),
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help=TENSORBOARD_HELP)] = False,
    keep_steps: Annotated[
        Any, typer.Option("--keep-steps", parser=whole_numbers, metavar="N,N,…", help=KEEP_HELP)
    ] = (),
    debug: Debug = False,
) -> None:
    """Train a transformer on a task by one of its recipes; it can be interrupted and resumed."""
    del debug  # read by main, which catches what escapes
    from veribayes.run import training
    from veribayes.storage import folders

    folder = out or OUT / f"{Path(task).name}-{preset}"
    with ExitStack() as stack:
        if os.environ.get("RANK", "0") == "0":  # processes that learn together have one writer
            stack.enter_context(folders.locked(folder))
        card = training.train_task(
            task,
            preset=preset,
            device=device,
            out=folder,
            seed=seed,
            threads=threads,
            tensorboard=tensorboard,
            keep=keep_steps,
        )
    print(f"{task}: {_scored(card['scores'])}; checkpoint in {folder}")


def _scored(scores: Mapping[str, Any]) -> str:
    metric = scores.get("metric", "kl")
    name = terminal.NAMES.get(metric, metric)
    size = _interval(scores, metric, terminal.number)
    recovery = _interval(scores, "recovery", terminal.percent)
    return f"{name} {size} nats, recovery {recovery} on {scores['datasets']} data sets"


def _interval(scores: Mapping[str, Any], name: str, form: Callable[[float], str]) -> str:
    """A score of a card, which stores limits and reasons under the score's name."""
    plain = {key: scores.get(f"{name}_{key}") for key in ("low", "high", "reason")}
    return terminal.interval({"estimate": scores.get(name), **plain}, form)
