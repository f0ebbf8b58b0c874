"""The training loop: from a task, a recipe and a seed to a checkpoint; it may be killed at any step
and continued.

train        the loop
prefetched   the next batch, made while the network learns from this one
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import torch

from veribayes.checked import integer, sequence
from veribayes.errors import CheckpointError, InputError, Interrupted
from veribayes.models._task import Task
from veribayes.transformer._batches import Group, Targets, make_batch
from veribayes.transformer._checkpoint import CARD, Card, read_card
from veribayes.transformer._parallel import ranks
from veribayes.transformer._recipe import Recipe
from veribayes.transformer._run import Evaluate, Run, kept_folder

STATE = "state.safetensors"
SAVE_SECONDS = 60.0


def train(
    task: Task,
    recipe: Recipe,
    *,
    targets: Targets | None,
    evaluate: Evaluate,
    out: Path,
    seed: int = 0,
    device: str = "auto",
    command: str = "",
    progress: bool = True,
    tensorboard: Path | None = None,
    save_seconds: float = SAVE_SECONDS,
    keep: Sequence[int] = (),
) -> Card:
    """Train the recipe's network on the task, or continue where a run in `out` stopped.

    Args:
        targets: what the network is to answer for a batch of data sets, (dataset, position, query);
            None: what was drawn.
        evaluate: measures a candidate on data sets of its own; plain data, stored in the card.
        out: checkpoint folder; holds the resumable state while the run lasts.
        device: `cpu`, `cuda` or `auto`.
        command: what makes this checkpoint again, for the card.
        tensorboard: folder for TensorBoard events.
        keep: steps after which the weights are also kept, each as a checkpoint `steps/STEP` of
            `out`; 0 is the untrained network.

    Returns:
        The card of the finished checkpoint. A folder that already holds this run's checkpoint is
        left as it is.

    Raises:
        Interrupted: stopped by SIGINT; the state is saved.
        CheckpointError: `out` holds another run, or this one without the steps to keep.
        InputError: a step to keep that the recipe does not have.
    """
    keep = _kept(keep, recipe)
    where = _device(device)
    with ranks(where) as together:
        run = Run.start(task, recipe, seed, where, together)
        card = run.finished(Path(out))
        if card is not None:
            _require_kept(Path(out), keep)
            return card
        run.resume(Path(out) / STATE)
        _require_kept(Path(out), [step for step in keep if step < run.step])
        keeper = partial(_keep, run, task, Path(out), command, keep)
        keeper()
        shown, events = progress and together.first, tensorboard if together.first else None
        with _stop_flag() as stop, _bar(recipe, run.step, shown) as tick, _events(events) as log:
            _learn(task, run, targets, evaluate, Path(out), stop, tick, log, save_seconds, keeper)
        if together.first:
            run.finish(task, Path(out), command, evaluate)
            (Path(out) / STATE).unlink(missing_ok=True)
        together.wait()
    return read_card(Path(out))


def _learn(
    task: Task,
    run: Run,
    targets: Targets | None,
    evaluate: Evaluate,
    out: Path,
    stop: threading.Event,
    tick: Callable[[int, float], None],
    log: Callable[[str, float, int], None],
    save_seconds: float,
    keeper: Callable[[], None],
) -> None:
    """The remaining steps; measured and saved on the way."""
    where, saved = next(run.network.parameters()).device, time.monotonic()
    for groups in prefetched(task, run, targets):
        value = run.learn([g.to(where) for g in groups])
        tick(run.step, value)
        log("loss", value, run.step)
        keeper()
        if run.ranks.first and run.step in run.milestones:
            run.measure(evaluate, log)
        stopping = run.ranks.any(stop.is_set(), where)
        if run.ranks.first and (stopping or time.monotonic() - saved > save_seconds):
            run.save(out / STATE)
            saved = time.monotonic()
        if stopping and run.step < run.recipe.steps:
            raise Interrupted(
                f"stopped after step {run.step} of {run.recipe.steps}; the same command continues"
            )


def _keep(run: Run, task: Task, out: Path, command: str, keep: Sequence[int]) -> None:
    """Keep the weights where the present step is one of those to keep."""
    if run.ranks.first and run.step in keep:
        run.keep(task, out, command)


def _kept(keep: Sequence[int], recipe: Recipe) -> tuple[int, ...]:
    """The steps to keep, in their order."""
    steps = sorted({integer("keep", step, at_least=0) for step in sequence("keep", keep)})
    if steps and steps[-1] > recipe.steps:
        wanted = f"steps to keep of at most {recipe.steps}, the recipe's last"
        raise InputError(wanted, f"{steps[-1]}")
    return tuple(steps)


def _require_kept(out: Path, keep: Sequence[int]) -> None:
    """Refuse to go on where a step that is wanted has passed and was not kept."""
    missing = [step for step in keep if not (kept_folder(out, step) / CARD).is_file()]
    if missing:
        wanted = f"a run in '{out}' that kept its weights after step {missing[0]}"
        raise CheckpointError(wanted, "one that did not", "choose another --out")


def prefetched(task: Task, run: Run, targets: Targets | None) -> Iterator[list[Group]]:
    """Batches from the run's step on; the next is simulated and solved in a thread of its own."""
    config, last = run.network.config, run.recipe.steps

    def make(step: int) -> list[Group]:
        return make_batch(task, run.recipe, config, targets, run.seed, step)

    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(make, run.step)
        for step in range(run.step, last):
            groups = coming.result()
            if step + 1 < last:
                coming = worker.submit(make, step + 1)
            yield groups


def _device(name: str) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise InputError("device auto, cpu or cuda", repr(name))
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("a CUDA device", "none visible to torch", "use --device cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device(
        "cuda", int(os.environ.get("LOCAL_RANK", "0"))
    )  # torchrun gives each process a GPU of its own


@contextmanager
def _stop_flag() -> Iterator[threading.Event]:
    """SIGINT sets the flag instead of raising anywhere; a step is never cut in half."""
    stop = threading.Event()
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only the main thread may set handlers
        yield stop
        return

    def note(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)  # a second one interrupts at once

    before = signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _bar(recipe: Recipe, done: int, shown: bool) -> Iterator[Callable[[int, float], None]]:
    """A progress bar on standard error; yields what moves it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    value = TextColumn(
        "{task.fields[value]:.5f} " + ("nats" if recipe.loss == "kl" else recipe.loss)
    )
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        value,
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr), disable=not shown) as bar:
        job = bar.add_task("training", total=recipe.steps, completed=done, value=math.nan)
        yield lambda step, value: bar.update(job, completed=step, value=value)


def _events(folder: Path | None) -> AbstractContextManager[Callable[[str, float, int], None]]:
    """A TensorBoard writer, or nothing."""
    return nullcontext(lambda name, value, step: None) if folder is None else _tensorboard(folder)


@contextmanager
def _tensorboard(folder: Path) -> Iterator[Callable[[str, float, int], None]]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "the package tensorboard", "not installed", "pip install tensorboard, or leave it out"
        ) from None
    with SummaryWriter(str(folder)) as writer:
        yield writer.add_scalar
