"""Several candidates of one task against named predictors, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veribayes.api._tasks import task
from veribayes.run import tracking

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Track(tracking.Tracked):
    """What `track` found."""

    def plot(self, labels: Mapping[str, str] | None = None) -> Figure:
        """Distances by step, and by context size at the last one."""
        from veribayes.report import tracks

        return tracks.curves(self.table(), labels)


def track(
    what: str | Path | Any,
    checkpoints: object,
    *,
    against: Sequence[str] = (),
    between: Sequence[str] = (),
    datasets: int = 200,
    seed: int = 0,
) -> Track:
    """Distances of several candidates from named predictors; the reference is computed once.

    Args:
        what: anything `task` understands.
        checkpoints: a mapping from step to candidate, a list of candidates, or the folder of a
            training that has kept weights on the way (`veribayes train --keep-steps`).
        against: `exact`, and names of rivals and defects as `identify` prints them; an engine's
            name alone means all its variants. Empty: exact Bayes and all rivals.
        between: names of two predictors, the ends -1 and +1 of the relative distance.
        datasets: of the stream `verify`.
        seed: with it every number is determined.

    Raises:
        InputError: no candidate, a name that is no predictor of the task, or a candidate whose
            answers have no divergence in nats.
    """
    found = tracking.track(
        task(what), checkpoints, against=against, between=between, datasets=datasets, seed=seed
    )
    return Track(**vars(found))
