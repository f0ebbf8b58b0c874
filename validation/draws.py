"""Candidates that answer with draws: asked twice,
and no verdict where draws scatter otherwise than independent ones.

Two answers show how far answers scatter, so that no score subtracts noise that it only assumes.
What the two
cannot show is that they are independent of each other: a candidate that takes `seed` is asked with
two seeds; of one that takes none, it is its own word.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Array, Draws
from veribayes.tree import Branch, Data
from veribayes.validation import decision, independence, stability
from veribayes.validation.candidate import Candidate
from veribayes.validation.decision import Decision

MEANINGS = {
    "draw_scatter": "two answers differ by another amount than independent draws do",
    "draw_shift": (
        "the data sets of one request move together: they share their random numbers, and are not "
        "independent"
    ),
    "draw_order": "neighbouring draws depend on each other",
    "draw_halves": "its first and second half differ by another amount than independent draws do",
}
ROOM = 2  # times the data sets that an exact candidate without noise needs
REMEDY = "return independent draws, each data set with its own"
WORD = {
    1: (
        "its draws were seen once; draws that depend on each other and were shuffled cannot be "
        "told from independent ones"
    ),
    2: "without a keyword `seed`, that its two answers are independent",
}


@dataclass(frozen=True)
class Drawn:
    """What a run knows about the draws that it was given.

    Attributes:
        known: answers seen, tests and their p-values; None where one answer was too short for any.
        seeded: whether the two answers belong to two seeds.
        times, on: how many times as many draws would settle an undecided run, on so many data sets;
            None where draws are not what limits it.
    """

    known: independence.Independence | None
    seeded: bool
    times: int | None = None
    on: int | None = None

    @property
    def rejected(self) -> tuple[str, ...]:
        """Tests that say that the draws are not what a score of draws needs."""
        return () if self.known is None else self.known.rejected

    def entry(self) -> dict[str, Any]:
        """For the result's JSON."""
        if self.known is None:
            found = {
                "answers": 1,
                "seeded": False,
                "statement": False,
                "level": independence.LEVEL,
                "tests": {},
            }
        else:
            k = self.known
            found = {
                "answers": k.answers,
                "seeded": self.seeded,
                "statement": k.statement,
                "level": independence.LEVEL,
                "tests": dict(k.p_values),
            }
        return {**found, "times_needed": self.times}

    def findings(self, decided: Decision) -> list[tuple[str, str]]:
        """(name, sentence) of what a reader must know."""
        if self.known is not None and self.known.statement:
            return [
                (
                    "draws_repeat",
                    "both answers hold the same draws: they are judged as they stand, coarseness "
                    "included",
                )
            ]
        if self.rejected:
            return [("draws_dependent", self._dependent())]
        if self.times is not None:
            wanted = (
                f"about {self.times:,} times as many draws would settle it on {self.on:,} data sets"
            )
            return [
                (
                    "more_draws",
                    "the noise of its draws hides a divergence as large as the tolerance: "
                    f"{wanted}",
                )
            ]
        if decided.verdict == "equivalent" and not self.seeded:
            word = WORD[1 if self.known is None else self.known.answers]
            return [("draws_on_trust", f"'equivalent' rests on the candidate's word: {word}")]
        return []

    def _dependent(self) -> str:
        assert self.known is not None
        reasons = []
        for name in self.rejected:
            p = self.known.p_values[name]
            reasons.append(f"{MEANINGS[name]} ({name}, p = {p:.2g})")
        listed = "; ".join(reasons)
        return f"no verdict 'equivalent', whatever the estimate: {listed}; {REMEDY}"

    def withheld(self, decided: Decision) -> Decision:
        """The decision, with no verdict where the draws do not allow it.

        `different` stays where every error in it would be on the other side: two seeds make the
        score unbiased whatever happens inside an answer, unless data sets share their noise; an
        impossible category is impossible in any law.
        """
        unbiased = self.seeded and "draw_shift" not in self.rejected
        settled = decided.verdict == "different" and (unbiased or decided.infinite_share > 0)
        if not self.rejected or settled:
            return decided
        return replace(decided, verdict="undecided", datasets_needed=None)

    def limited(
        self, decided: Decision, values: Array, worst: float | None
    ) -> tuple[Drawn, Decision]:
        """The same with the number of draws that an undecided run needs, in place of data sets,
        where draws are what limits.

        Args:
            values: one mean score a data set, (dataset,).
            worst: what a context that was not seen may cost.
        """
        statement = self.known is not None and self.known.statement
        if decided.verdict != "undecided" or self.rejected or statement:
            return self, decided
        found = times_needed(values, decided.tolerance, worst)
        if found is None:
            return self, decided
        return replace(self, times=found[0], on=found[1]), replace(decided, datasets_needed=None)


def times_needed(
    values: Array, tolerance: float, worst: float | None = None
) -> tuple[int, int] | None:
    """How many times as many draws settle an exact candidate with probability 80 %, and on how many
    data sets.

    None where draws are not what limits.

    Scores of draws are unbiased and no divergence is negative: twice the mean square of their
    negative part is the noise of the draws, or less. Where that alone hides a divergence as large
    as the tolerance, the mean says nothing of how many data sets are needed. The noise of a product
    of two answers falls with the number of draws.

    Args:
        values: one mean score a data set, (dataset,); finite.
    """
    if values.size < 2 or not np.isfinite(values).all():
        return None
    negative = np.minimum(values, 0.0)
    noise = 2 * float((negative**2).mean())
    if stability.DETECTABLE * (noise / values.size) ** 0.5 <= tolerance:
        return None
    centred = values - values.mean()
    least = decision.datasets_needed(np.zeros(2), tolerance, worst=worst)
    enough = max(values.size, ROOM * (least or 0))

    def settles(times: int) -> bool:
        needed = decision.datasets_needed(centred / times, tolerance, worst=worst)
        return needed is not None and needed <= enough

    times = stability.smallest_number(settles, 2)
    return None if times is None else (times, enough)


def twice(candidate: Candidate) -> Candidate:
    """The candidate, asked a second time with another seed wherever it answers with draws.

    What was recorded cannot be asked: it keeps the second answer that it holds, if any.

    Raises:
        InputError: the second answer has another form.
    """
    if not candidate.askable:
        return candidate

    def infer(task: Task, data: Data, seed: int) -> Branch:
        branch = candidate.infer(task, data, seed)
        if branch.predictive.form != Draws.form:
            return branch
        second = candidate.infer(task, data, another(seed)).predictive
        if second.form != Draws.form:
            raise InputError(
                "draws again when asked again",
                f"'{second.form}'",
                "return the same form at every request",
            )
        return replace(branch, predictive=joined(branch.predictive, second))

    return replace(candidate, infer=infer)


def joined(first: Any, second: Any) -> Draws:
    """Two answers as one predictive."""
    return Draws(first.draws, second.draws)


def another(seed: int) -> int:
    """The seed of the second request."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(b"again")])
    return int(sequence.generate_state(1)[0]) >> 1


def drawn(candidate: Candidate, scores: Mapping[str, Array], form: str, shard: int) -> Drawn | None:
    """What a run's scores say about the draws; None for every other form."""
    if form != Draws.form:
        return None
    known = independence.judge(scores, shard)
    return Drawn(known, candidate.takes_seed and known is not None and known.answers == 2)
