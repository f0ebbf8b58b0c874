"""A process as a reader meets it: in a sentence, in an example, in the groups and distances of its
contexts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from veribayes.models._layout import Column, Layout
from veribayes.models._model import Distance, Groups, Infer, plain
from veribayes.predictive import Array, Mask
from veribayes.tree import Data
from veribayes.tree.shown import Example, Line, Shown

if TYPE_CHECKING:
    from veribayes.models.gaussian_process import GaussianProcess

NEIGHBOURS_SHOWN, COORDINATES_SHOWN = 4, 6
STEP, STEPS = 0.5, 7  # classes of the distance in x; the last one is open
QUARTILES = (0.25, 0.75)
POINTS = Layout(
    (
        Column("x", "observation", ("point", "coordinate")),
        Column("y", "observation", ("point",)),
        Column("x_query", "query", ("query", "coordinate")),
    ),
    order="set",
    one="point in the context",
    several="points in the context",
    tokens="points",
)


def sentence(model: GaussianProcess) -> str:
    """Kernel, noise and the law of the inputs."""
    spec = model.spec()
    noise = f"noise standard deviation {plain(spec['noise_sd'])}"
    inputs = f"inputs {plain(spec['input_law'])}, {plain(spec['d'])}-dimensional"
    return f"Gaussian process with kernel {plain(spec['kernel'])}; {noise}; {inputs}"


def example(seen: Example) -> Shown:
    """In one dimension the points are a figure; otherwise the nearest ones are listed."""
    x, y = (seen.arrays[name][: seen.context] for name in ("x", "y"))
    asked = seen.arrays["x_query"]
    at = asked[seen.query]
    text = f"Query at x = {_vector(at)}."
    if x.shape[-1] == 1:
        return Shown(text, line=Line(x[:, 0], y, asked[:, 0]))
    if not len(x):
        return Shown(text)
    distance = np.sqrt(((x - at) ** 2).sum(-1))
    nearest = np.argsort(distance)[:NEIGHBOURS_SHOWN]
    rows = [[_number(distance[i]), _number(y[i])] for i in nearest]
    return Shown(text, ("distance", "y"), rows)


def _vector(x: npt.NDArray[Any]) -> str:
    parts = [_number(coordinate) for coordinate in x[:COORDINATES_SHOWN]]
    if x.size > COORDINATES_SHOWN:
        parts.append("…")
    return parts[0] if x.size == 1 else f"({', '.join(parts)})"


def _number(x: float) -> str:
    return f"{float(x):.3g}".replace("-", "−")


def groups(data: Data) -> Groups:
    """How far the query lies from the nearest input of the context, and from the middle."""
    x, query = data.arrays["x"], data.arrays["x_query"]
    apart = query[:, :, None] - x[:, None]
    distance = np.linalg.norm(apart, axis=-1)  # (dataset, query, observation)
    running = np.minimum.accumulate(distance, axis=-1)
    alone = np.full((*distance.shape[:2], 1), np.inf)
    by_size = np.concatenate([alone, running], -1)
    nearest = np.moveaxis(by_size[..., data.positions], -1, 1)
    from_origin = np.linalg.norm(query, axis=-1)[:, None]
    groups = _extremes("nearest input of the context", "away", nearest)
    groups |= _extremes("query", "from the origin", from_origin)
    for i in range(query.shape[-1]):
        groups[f"query with negative input {i + 1}"] = query[:, None, :, i] < 0
    return groups


def _extremes(what: str, how: str, size: Array) -> dict[str, Mask]:
    """The lowest and the highest quarter."""
    low, high = np.quantile(size[np.isfinite(size)], QUARTILES)
    return {
        f"{what} at most {low:.2g} {how}": size <= low,
        f"{what} more than {high:.2g} {how}": size > high,
    }


def distance(context: Any, query: Any) -> Distance:
    """Units between an input of the context and the query."""
    apart = query[:, :, None] - context.x[:, None]
    units = np.linalg.norm(apart, axis=-1)  # (B, Q, n)
    labels = [f"{STEP * i:g}–{STEP * (i + 1):g}" for i in range(STEPS - 1)]
    labels.append(f"{STEP * (STEPS - 1):g}+")
    classes = np.minimum(units // STEP, STEPS - 1).astype(np.int64)
    return Distance("distance in x", labels, classes)


def log_evidence(data: Data, infer: Infer) -> Array:
    """Log density of the values given their inputs, each given the points before it."""
    size = int(data.positions[0])
    if not size:
        return np.zeros(len(data.index))
    x, y = data.arrays["x"][:, :size], data.arrays["y"][:, :size]
    numbers = np.arange(size)
    asked = replace(data, arrays={**data.arrays, "x_query": x}, positions=numbers)
    following = infer(asked)[:, numbers, numbers]
    return np.asarray(following.log_prob(y[..., None])[..., 0].sum(-1))
