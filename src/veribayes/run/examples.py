"""A few data sets that the report shows: the first, the worst, the median and the best, with what
was said about each.

Their predictives are those that were scored. Where they were not kept, because all of them are
larger than `shards.KEPT_BYTES`, they come from the same requests again (`batches`); a candidate
that then says something else is found out. Of data sets beyond the first `batches.SEARCHED` the
contexts are simulated again, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from veribayes.predictive import Array, Predictive
from veribayes.run.batches import predictive_of, simulation_of
from veribayes.run.comparison import Comparison
from veribayes.run.endpoint import Endpoint, ranking
from veribayes.run.roles import JUDGED, TRUTH
from veribayes.run.scored import Scored, Scores
from veribayes.run.scoring import scores_in
from veribayes.run.sections.findings import Finding
from veribayes.run.shards import EXAMPLES_OF
from veribayes.storage import store
from veribayes.tree import Branch, IntArray, Simulation, shown
from veribayes.validation import decision

FIRST, EACH = 32, 8  # stored predictives: the first 32; the worst, median and best 8
# of the tolerance: what batches of another size may change in an answer in float32, and more
SAME = 0.01


@dataclass(frozen=True, eq=False)
class Examples:
    """Data sets that are shown, with every predictive about them.

    Attributes:
        why: worst, median, best or first, (example,).
        simulation: the data sets.
        predictives: by role.
        places: position and query at which each is worst, (example, 2).
    """

    why: Sequence[str]
    simulation: Simulation
    predictives: Mapping[str, Predictive]
    places: IntArray


def examples_of(comparison: Comparison) -> Examples:
    """The examples of a run."""
    scored, primary = comparison.scored, comparison.primary
    numbers, why = example_indices(scored, primary)
    predictives = {role: _predictive(comparison, role, numbers) for role in EXAMPLES_OF}
    simulation = simulation_of(comparison.batches, numbers)
    return Examples(why, simulation, predictives, worst_places(scored, primary, numbers))


def example_indices(scored: Scored, primary: Endpoint) -> tuple[IntArray, list[str]]:
    """Data sets whose predictives are stored: the first 32, and the worst, median and best 8 by
    their mean score.
    """
    clusters = decision.cluster_means(ranking(scored, primary))
    known = int((~np.isnan(clusters)).sum())
    order = np.argsort(clusters, kind="stable")[:known]  # NaN, where nothing was asked, comes last
    middle = max(len(order) // 2 - EACH // 2, 0)
    groups = {
        "worst": order[::-1][:EACH],
        "median": order[middle : middle + EACH],
        "best": order[:EACH],
        "first": np.arange(min(FIRST, len(clusters))),
    }
    numbers = np.concatenate(list(groups.values())).astype(np.int64)
    return numbers, [why for why, members in groups.items() for _ in members]


def worst_places(scored: Scored, primary: Endpoint, numbers: IntArray) -> IntArray:
    """Position and query at which each of these data sets has its largest score, (data set, 2).

    Among several infinite ones that with the largest Jensen-Shannon divergence.
    """
    scores = scored.of_candidate[primary.metric][numbers]
    ranks = ranking(scored, primary)[numbers]
    places = []
    for score, rank in zip(scores, ranks, strict=True):
        applies = ~np.isnan(score)
        largest = np.max(score, where=applies, initial=-np.inf)
        top = np.where(applies & (score == largest), np.nan_to_num(rank), -np.inf)
        places.append(np.unravel_index(int(np.argmax(top)), score.shape))
    return np.array(places, dtype=np.int64).reshape(-1, 2)


def tree_of(comparison: Comparison, examples: Examples) -> xr.DataTree:
    """The examples as the group /examples of a run."""
    data = examples.simulation.data
    count = len(examples.why)
    groups = {
        "/": _shown(comparison, examples),
        "/observed": store.arrays_dataset(data.arrays, "example", count, data.shared),
    }
    for role, predictive in examples.predictives.items():
        groups[f"/{role}"] = store.predictive_dataset(predictive, "example")
    return xr.DataTree.from_dict(groups)


def differ(comparison: Comparison, examples: Examples) -> Finding | None:
    """A finding where the candidate, asked again for its examples, scores otherwise than when it
    was judged.
    """
    if JUDGED in comparison.scored.kept:
        return None
    certificate = comparison.scored.certificate
    answers = Branch(examples.predictives[JUDGED], certificate)
    truth = Branch(examples.predictives[TRUTH], certificate)
    scores = scores_in([comparison.primary.metric], answers, truth, examples.simulation)
    numbers = examples.simulation.data.index
    return examples_differ(comparison.scored, comparison.primary, numbers, scores)


def examples_differ(
    scored: Scored, primary: Endpoint, numbers: IntArray, scores: Scores
) -> Finding | None:
    """A finding where the examples' scores are others than those of the run.

    Args:
        numbers: of the examples.
        scores: of the answers that are stored, (example, position, query), without corrections.
    """
    scored_before = scored.of_candidate
    raw = scored_before.get(f"{primary.metric}_raw", scored_before[primary.metric])
    before = decision.cluster_means(raw[numbers])
    now = decision.cluster_means(scores[primary.metric])
    changed = np.abs(_apart(before, now)) > SAME * primary.tolerance
    if not changed.any():
        return None
    count = int(changed.sum())
    text = (
        "the predictives shown as examples are not those that were scored: asked again, "
        f"{count} of {len(numbers)} differ by more than {SAME:.0%} of the tolerance; "
        "--keep-predictions keeps the ones that were scored"
    )
    return Finding("examples_differ", text, {"examples": count})


def _apart(before: Array, now: Array) -> Array:
    """Differences; nothing where both are the same infinity or undefined, else infinite where one
    is.
    """
    finite = np.isfinite(before) & np.isfinite(now)
    same = (before == now) | (np.isnan(before) & np.isnan(now))
    return np.subtract(now, before, out=np.where(same, 0.0, np.inf), where=finite)


def _predictive(comparison: Comparison, role: str, numbers: IntArray) -> Predictive:
    """A role on the examples: what was kept of it, else its answer to the same request."""
    if role in comparison.scored.kept:
        return comparison.scored.kept[role][numbers]
    return predictive_of(comparison.batches, role, numbers)


def _shown(comparison: Comparison, examples: Examples) -> xr.Dataset:
    """Which data sets are the examples, where each is worst, and how the family writes what is seen
    and asked there.
    """
    texts = [_text(comparison, examples, number) for number in range(len(examples.why))]
    columns: dict[str, npt.NDArray[Any]] = {
        "index": examples.simulation.data.index,
        "why": np.array(examples.why, dtype="U6"),
        "worst_position": examples.places[:, 0],
        "worst_query": examples.places[:, 1],
        "shown": np.array(texts, dtype=object),
    }
    return xr.Dataset({name: (("example",), values) for name, values in columns.items()})


def _text(comparison: Comparison, examples: Examples, number: int) -> str:
    """One example as its family writes it, as JSON."""
    data, model = examples.simulation.data, comparison.task.model
    position, query = examples.places[number].tolist()
    arrays = {}
    for name, values in data.arrays.items():
        arrays[name] = values if name in data.shared else values[number]
    context = int(examples.simulation.context[number, position])
    example = shown.Example(arrays, context, query)
    return shown.to_json(model.show(example), model.labels(data, query))
