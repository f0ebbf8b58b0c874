"""What is said of draws, and which verdict they allow: by hand. And limits in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from veribayes.candidates import Candidate
from veribayes.errors import InputError
from veribayes.models._task import Task
from veribayes.predictive import Draws, Normal, Predictive
from veribayes.statistics import limits
from veribayes.tree import Branch, Certificate, Data
from veribayes.validation import draws
from veribayes.validation.decision import Decision
from veribayes.validation.draws import Drawn
from veribayes.validation.independence import LEVEL, Independence


def decision(verdict: Any, infinite: float = 0.0) -> Decision:
    return Decision(verdict, 0.1, 0.05, 0.2, 0.2, 1.0, 0.1, 500, 400, infinite)


def known(answers: int = 2, statement: bool = False, **p: float) -> Independence:
    return Independence(answers, statement, {"draw_scatter": 1.0, **p}, 0.0)


def test_what_the_json_holds() -> None:
    assert Drawn(None, False).entry() == {
        "answers": 1,
        "seeded": False,
        "statement": False,
        "level": LEVEL,
        "tests": {},
        "times_needed": None,
    }
    assert Drawn(known(draw_shift=0.3), True).entry() == {
        "answers": 2,
        "seeded": True,
        "statement": False,
        "level": LEVEL,
        "tests": {"draw_scatter": 1.0, "draw_shift": 0.3},
        "times_needed": None,
    }


@pytest.mark.parametrize(
    ("made", "verdict", "name", "text"),
    [
        (
            Drawn(known(), False),
            "equivalent",
            "draws_on_trust",
            "that its two answers are independent",
        ),
        (Drawn(known(1), False), "equivalent", "draws_on_trust", "its draws were seen once"),
        (Drawn(None, False), "equivalent", "draws_on_trust", "its draws were seen once"),
        (
            Drawn(known(draw_shift=0.01), True),
            "different",
            "draws_dependent",
            "(draw_shift, p = 0.01); return independent",
        ),
        (
            Drawn(known(statement=True), False),
            "equivalent",
            "draws_repeat",
            "both answers hold the same draws",
        ),
    ],
)
def test_what_is_said(made: Drawn, verdict: str, name: str, text: str) -> None:
    ((found, sentence),) = made.findings(decision(verdict))
    assert found == name
    assert text in sentence


def test_nothing_is_said_of_two_seeds_or_without_a_verdict() -> None:
    assert Drawn(known(), True).findings(decision("equivalent")) == []
    assert Drawn(known(), False).findings(decision("different")) == []


@pytest.mark.parametrize(
    ("made", "verdict", "infinite", "left"),
    [
        (Drawn(known(draw_scatter=0.001), True), "equivalent", 0.0, "undecided"),
        (
            Drawn(known(draw_scatter=0.001), True),
            "different",
            0.0,
            "different",
        ),  # two seeds: unbiased whatever is inside
        (Drawn(known(draw_scatter=0.001), False), "different", 0.0, "undecided"),
        (
            Drawn(known(draw_shift=0.001), True),
            "different",
            0.0,
            "undecided",
        ),  # data sets share their noise
        (
            Drawn(known(draw_shift=0.001), False),
            "different",
            0.1,
            "different",
        ),  # impossible in any law
        (Drawn(known(draw_shift=0.02), False), "equivalent", 0.0, "equivalent"),
        (Drawn(None, False), "equivalent", 0.0, "equivalent"),
    ],
)
def test_dependent_draws_have_no_verdict_that_their_dependence_could_make(
    made: Drawn, verdict: str, infinite: float, left: str
) -> None:
    found = made.withheld(decision(verdict, infinite))
    assert found.verdict == left
    assert found.datasets_needed == (500 if left == verdict else None)


def answering(*said: Predictive) -> tuple[Candidate, list[int]]:
    """A candidate that gives one answer after the other, and the seeds that it was asked with."""
    seeds: list[int] = []

    def infer(task: Task, data: Data, seed: int) -> Branch:
        seeds.append(seed)
        return Branch(said[len(seeds) - 1], Certificate("trusted", "candidate", 0.0))

    return Candidate("said", None, infer, "callable", takes_seed=True), seeds


def test_draws_are_asked_for_twice_with_two_seeds_and_kept_apart() -> None:
    task, data = cast(Task, None), cast(Data, None)
    one, other = Draws(np.zeros((1, 1, 1, 3))), Draws(np.ones((1, 1, 1, 3)))
    candidate, seeds = answering(one, other)
    both = draws.twice(candidate).infer(task, data, 7).predictive
    assert isinstance(both, Draws)
    assert both.again is not None
    np.testing.assert_array_equal([both.draws, both.again], [one.draws, other.draws])
    assert seeds == [7, draws.another(7)]
    law = Normal(np.zeros((1, 1, 1)), np.ones((1, 1, 1)))
    candidate, seeds = answering(law)
    assert draws.twice(candidate).infer(task, data, 7).predictive is law
    assert seeds == [7]
    with pytest.raises(InputError, match="draws again"):
        draws.twice(answering(one, law)[0]).infer(task, data, 7)


def test_the_second_seed_is_another_number_of_thirty_one_bits() -> None:
    found = [draws.another(seed) for seed in range(300)]
    assert len(set(found)) == 300
    assert 0 <= min(found) < 2**24
    assert 2**30 < max(found) < 2**31


def test_only_draws_are_judged() -> None:
    candidate = cast(Candidate, SimpleNamespace(takes_seed=True))
    assert draws.drawn(candidate, {}, "normal", 10) is None
    assert draws.drawn(candidate, {}, "draws", 10) == Drawn(None, False)
    rng = np.random.default_rng(0)
    scores = {
        name: rng.normal(size=(40, 1, 1)) for name in ("draw_scatter", "draw_shift", "draw_repeat")
    }
    two = draws.drawn(candidate, scores, "draws", 10)
    assert two is not None
    assert two.seeded


def test_limits_in_words() -> None:
    plain = {"estimate": 0.2, "low": 0.1, "high": 0.3}
    assert limits.words(plain, "{:.1f}".format) == "0.2 [0.1, 0.3]"
    assert (
        limits.words({**plain, "high": None, "reason": "too few"}, "{:.1f}".format)
        == "0.2 [0.1, no stable limit]"
    )
    assert limits.words({**plain, "low": None, "high": 0.0}, "{:.1f}".format) == "0.2 [–, 0.0]"
