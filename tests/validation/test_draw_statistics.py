"""Statistics of draws and their tests, by slow transcription and by hand."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from veribayes.predictive import Array, Categorical, Draws, Normal
from veribayes.validation import independence
from veribayes.validation.independence import Independence

RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.normal(size=(2, 3, 1, 1, 6))
LAW = Normal(np.full((3, 1, 1), 0.2), np.full((3, 1, 1), 1.5))
OUTCOME = np.zeros((3, 1, 1))


def scatter(one: Array, other: Array) -> float:
    """Half of the mean distance of pairs, less half of that within either side,
    over pairs of different draws.
    """
    across = np.mean([abs(a - b) for a, b in product(one, other)])
    inside = [np.mean([abs(a - b) for a, b in combinations(side, 2)]) for side in (one, other)]
    return float(0.5 * (across - 0.5 * sum(inside)))


def places(draws: Array) -> Array:
    return np.asarray(stats.norm.cdf((draws[:, 0, 0] - 0.2) / 1.5))


def test_two_answers() -> None:
    found = independence.scores(Draws(FIRST, SECOND), LAW, OUTCOME)
    assert list(found) == ["draw_scatter", "draw_shift", "draw_repeat"]
    u, v = places(FIRST), places(SECOND)
    np.testing.assert_allclose(
        found["draw_scatter"].ravel(), [scatter(a, b) for a, b in zip(u, v, strict=True)]
    )
    np.testing.assert_allclose(found["draw_shift"].ravel(), (u**2).sum(1) / 6 - (v**2).sum(1) / 6)
    assert found["draw_repeat"].ravel().tolist() == [0, 0, 0]
    shuffled = FIRST[..., ::-1].copy()
    shuffled[1, 0, 0, 2] += 1.0
    assert independence.scores(Draws(FIRST, shuffled), LAW, OUTCOME)[
        "draw_repeat"
    ].ravel().tolist() == [1, 0, 1]
    shorter = independence.scores(Draws(FIRST[..., :3], SECOND), LAW, OUTCOME)
    assert shorter["draw_repeat"].ravel().tolist() == [0, 0, 0]


def test_one_answer() -> None:
    """Neighbours' covariance less its mean over all orders; the first half against the second."""
    found = independence.scores(Draws(FIRST), LAW, OUTCOME)
    assert list(found) == ["draw_order", "draw_halves"]
    u = places(FIRST)
    np.testing.assert_allclose(
        found["draw_halves"].ravel(), [scatter(row[:3], row[3:]) for row in u]
    )
    for row, order in zip(u, found["draw_order"].ravel(), strict=True):
        centred = row - row.mean()
        neighbours = np.mean([centred[i] * centred[(i + 1) % 6] for i in range(6)])
        pairs = np.mean([a * b for a, b in combinations(centred, 2)])  # of two draws at random
        assert order == pytest.approx(neighbours - pairs)
    assert independence.scores(Draws(FIRST[..., :3]), LAW, OUTCOME) == {}


def test_categories_lie_in_the_middle_of_their_step() -> None:
    law = Categorical(np.array([[0.2, 0.5, 0.3]] * 2))
    np.testing.assert_allclose(
        independence.places(np.array([[0.0, 2.0], [1.0, 1.0]]), law), [[0.1, 0.85], [0.45, 0.45]]
    )


def statistics(n: int, **other: Array) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    made = {
        "draw_scatter": rng.normal(0.1, 0.3, n),
        "draw_shift": rng.normal(size=n),
        "draw_repeat": np.arange(n) % 2.0,
        **other,
    }
    return {name: values[:, None, None] for name, values in made.items()}


def test_scatter_is_tested_by_t_and_shift_by_the_sums_of_requests() -> None:
    found = statistics(70)
    judged = independence.judge(found, 30)
    assert judged is not None
    t = stats.ttest_1samp(found["draw_scatter"].ravel(), 0.0).pvalue
    shift = found["draw_shift"].ravel()
    requests = [shift[:30], shift[30:60], shift[60:]]
    together = stats.chi2.sf(sum(r.sum() ** 2 / (r**2).sum() for r in requests), 3)
    small, large = sorted([t, together])
    assert sorted(judged.p_values.values()) == pytest.approx([2 * small, max(2 * small, large)])
    assert (judged.answers, judged.statement) == (2, False)
    assert judged.scatter == pytest.approx(found["draw_scatter"].mean())


def test_one_answer_is_tested_by_t_twice() -> None:
    rng = np.random.default_rng(2)
    found = {name: rng.normal(0.05, 0.3, (50, 1, 1)) for name in independence.ONE}
    judged = independence.judge(found, 30)
    assert judged is not None
    p = sorted(stats.ttest_1samp(found[name].ravel(), 0.0).pvalue for name in independence.ONE)
    assert sorted(judged.p_values.values()) == pytest.approx([2 * p[0], max(2 * p[0], p[1])])
    assert (judged.answers, judged.statement) == (1, False)
    assert judged.scatter == pytest.approx(found["draw_halves"].mean())
    assert independence.judge({}, 30) is None


def test_equal_answers_everywhere_are_a_statement_and_nothing_is_tested() -> None:
    judged = independence.judge(statistics(40, draw_repeat=np.ones(40)), 30)
    assert judged is not None
    assert (judged.statement, judged.p_values) == (True, {})


def test_from_thirty_data_sets_on_and_where_something_varies() -> None:
    for n, names in ((29, set[str]()), (30, {"draw_scatter", "draw_shift"})):
        judged = independence.judge(statistics(n), 30)
        assert judged is not None
        assert set(judged.p_values) == names
    constant = independence.judge(
        statistics(40, draw_scatter=np.zeros(40), draw_shift=np.zeros(40)), 30
    )
    assert constant is not None
    assert constant.p_values == {}


def test_a_p_value_of_one_per_cent_is_rejected() -> None:
    assert Independence(2, False, {"a": 0.01, "b": 0.011, "c": 0.0}, 0.0).rejected == ("a", "c")
