"""How far several candidates of one task are from named predictors: a training run, step by step.

Data sets, reference and predictors are computed once for all candidates. A distance is the mean of
KL(predictor || candidate), as in `identify`; nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from veribayes import registry
from veribayes.candidates import resolve
from veribayes.checked import integer, sequence
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array
from veribayes.run import predictors
from veribayes.run.predictors import Predictor
from veribayes.validation import bootstrap, decision, lengths, nearness
from veribayes.validation.relative import Relative, relative

if TYPE_CHECKING:
    import pandas as pd

EXACT = "exact"  # the task's reference among the predictors
STEPS = "steps"  # folder of a training's kept weights
ALL = "all"  # of the context sizes


@dataclass(frozen=True, eq=False)
class Tracked:
    """Distances of every candidate from every predictor.

    Attributes:
        task: its name.
        steps: labels of the candidates: steps of a training, or names.
        predictors: names of what they are held against.
        positions: context sizes.
        divergences: KL(predictor || candidate), nats, (step, predictor, dataset, position); NaN
            where nothing was asked.
        between: names of the predictors at -1 and +1 of the relative distance; empty for none.
        places: of every step between these two.
        seed: of data sets and intervals.
    """

    task: str
    steps: tuple[Any, ...]
    predictors: tuple[str, ...]
    positions: tuple[int, ...]
    divergences: Array
    between: tuple[str, ...]
    places: tuple[Relative, ...]
    seed: int

    def table(self) -> pd.DataFrame:
        """A row for each step, predictor and context size, and one over `all` sizes: mean with 95 %
        limits by data set, simultaneous over sizes.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for step, of_step in zip(self.steps, self.divergences, strict=True):
            for name, values in zip(self.predictors, of_step, strict=True):
                frame = {"step": step, "predictor": name}
                overall = decision.cluster_means(values[..., None])
                whole = _whole(overall, self.seed)
                rows += self._rows(frame, whole, lengths.curve(values, self.seed))
        return pd.DataFrame(rows)

    def relative(self) -> pd.DataFrame:
        """A row for each step and context size, and one over `all`: the relative distance between
        the two predictors, with 95 % limits.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for step, place in zip(self.steps, self.places, strict=bool(self.between)):
            curve = place.curve(self.seed)
            rows += self._rows({"step": step}, place.overall(self.seed), curve)
        return pd.DataFrame(rows)

    def _rows(
        self, frame: Mapping[str, Any], whole: Mapping[str, Any], curve: Mapping[str, list[Any]]
    ) -> list[dict[str, Any]]:
        limits = {name: whole[name] for name in curve}
        rows = [{**frame, "context": ALL, **limits}]
        for place, context in enumerate(self.positions):
            limits = {name: values[place] for name, values in curve.items()}
            rows.append({**frame, "context": context, **limits})
        return rows


def track(
    task: Task,
    checkpoints: object,
    *,
    against: Sequence[str] = (),
    between: Sequence[str] = (),
    datasets: int = 200,
    seed: int = 0,
) -> Tracked:
    """Hold candidates against predictors.

    Args:
        checkpoints: a mapping from step to candidate, a list of candidates, or the folder of a
            training that has kept weights on the way (`veribayes train --keep-steps`).
        against: `exact`, and names of rivals and defects as `identify` prints them; an engine's
            name alone means all its variants. Empty: exact Bayes and all rivals.
        between: names of two predictors, the ends -1 and +1 of the relative distance.
        datasets: of the stream `verify`.

    Raises:
        InputError: no candidate, a name that is no predictor of the task, or a candidate whose
            answers have no divergence in nats.
    """
    datasets = integer("datasets", datasets, at_least=2)
    candidates = _candidates(checkpoints)
    chosen = _chosen(task, sequence("against", against), sequence("between", between))
    simulation = task.simulate(range(datasets), seed=seed)
    data, outcome = simulation.data, simulation.outcome
    laws = {name: each.answered(task, data, seed)[1] for name, each in chosen.items()}
    metric = registry.load("metric", "kl")
    divergences, places = [], []
    for label, thing in candidates:
        answer = resolve(thing, task).infer(task, data, seed).predictive
        if not all(metric.applies(answer.form, law.form) for law in laws.values()):
            wanted = f"answers with probabilities or densities at step {label}"
            raise InputError(wanted, f"'{answer.form}'")
        scores = [metric.score(answer, law, outcome) for law in laws.values()]
        divergences.append(np.stack([nearness.queries(each) for each in scores]))
        if between:
            far, near = (laws[name] for name in between)
            found = relative(answer, far, near, outcome)
            if found is None:
                raise InputError("probabilities for a relative distance", f"'{answer.form}'")
            places.append(found)
    return Tracked(
        task=task.name,
        steps=tuple(label for label, _ in candidates),
        predictors=tuple(laws),
        positions=tuple(task.design.positions),
        divergences=np.stack(divergences),
        between=tuple(between),
        places=tuple(places),
        seed=seed,
    )


def _candidates(checkpoints: object) -> list[tuple[Any, object]]:
    """Labels and candidates."""
    if isinstance(checkpoints, Mapping):
        listed = list(checkpoints.items())
    elif isinstance(checkpoints, str | Path):
        listed = list(_kept(Path(checkpoints)))
    else:
        things = sequence("checkpoints", checkpoints)
        listed = [(_label(thing, number), thing) for number, thing in enumerate(things)]
    if not listed:
        raise InputError("at least one candidate in 'checkpoints'", "none")
    return listed


def _kept(folder: Path) -> Iterator[tuple[int, str]]:
    """The weights that a training has kept, in the order of their steps."""
    inside = folder / STEPS
    if not inside.is_dir():
        remedy = "train with --keep-steps, or give a list of candidates"
        raise InputError(f"a folder with '{STEPS}'", f"'{folder.name}'", remedy)
    for path in sorted(inside.iterdir()):
        if path.name.isdecimal():
            yield int(path.name), str(path)


def _label(thing: object, number: int) -> Any:
    """The step that a folder is named by, a name, or the number in the list."""
    if isinstance(thing, str | Path):
        name = Path(thing).name
        return int(name) if name.isdecimal() else name
    return getattr(thing, "__name__", number)


def _chosen(task: Task, against: Sequence[str], between: Sequence[str]) -> dict[str, Predictor]:
    """Predictors by name; exact Bayes is called `exact`.

    Raises:
        InputError: an unknown name, or other than two ends.
    """
    if len(between) not in (0, 2):
        raise InputError("two predictors in 'between'", f"{len(between)}")
    wanted = [_called(name) for name in (*against, *between)]
    engines = set(registry.names("engine"))
    more = [name for name in wanted if name in engines]
    known = {EXACT: Predictor(task.reference)}
    known |= {each.name: each for each in predictors.known(task, more)[1:]}
    if not against:
        return known
    chosen: dict[str, Predictor] = {}
    for name in wanted:
        found = {key: each for key, each in known.items() if name in (key, each.engine)}
        if not found:
            remedy = f"known: {', '.join(known)}"
            raise InputError(f"a predictor of the task '{task.name}'", f"'{name}'", remedy)
        chosen |= {name: known[name]} if name in known else found
    return chosen


def _called(name: str) -> str:
    if not isinstance(name, str):
        raise InputError("names of predictors", f"{name!r}")
    return name


def _whole(overall: Array, seed: int) -> dict[str, Any]:
    """Mean over all positions with its limits; null where it is infinite."""
    if not np.isfinite(overall).all():
        return {"estimate": None, "low": None, "high": None}
    return bootstrap.interval(overall, seed=seed).plain()
