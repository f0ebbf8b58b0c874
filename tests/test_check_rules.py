"""The questions of `checks`, each asked of laws and answers made by hand:
no engine, no transformer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from veribayes import registry
from veribayes.errors import InputError, ShapeError
from veribayes.models import RBF, BayesianNetwork, Dirichlet, GaussianProcess
from veribayes.predictive import Array, Categorical, Normal, Predictive
from veribayes.predictive.joint import Joint
from veribayes.tree import Certificate, Data
from veribayes.validation import continuations, decision, evidence, joint_scores, questions
from veribayes.validation.case import Case
from veribayes.validation.checks._test import Test
from veribayes.validation.endpoints import latent_kl
from veribayes.validation.endpoints._latents import missing_latents
from veribayes.validation.endpoints.joint_kl import PART as JOINT
from veribayes.validation.endpoints.latent_kl import PART as LATENTS
from veribayes.validation.endpoints.leaked_mass import PART as LEAKED
from veribayes.validation.latents import TOLERANCE

DATASETS, POSITIONS, QUERIES = 30, 2, 3
NETWORK = BayesianNetwork(["a", "b", "c"], {}, prior=Dirichlet(1.0))
PROCESS = GaussianProcess(RBF(1.0, 1.0), 0.5)


def joint(shift: float = 0.0, scale: float = 1.0, components: int = 1) -> Joint:
    """Independent normals with one mean and sd, written with so many equal components."""
    shape = (DATASETS, POSITIONS, components)
    covariance = scale**2 * np.broadcast_to(np.eye(QUERIES), (*shape, QUERIES, QUERIES))
    return Joint(np.full(shape, 1 / components), np.full((*shape, QUERIES), shift), covariance)


def case(
    *,
    exact: Joint | None = None,
    mine: Joint | None = None,
    posteriors: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
    model: Any = None,
    scores: Mapping[str, Array] | None = None,
    exposes: bool = True,
) -> Any:
    """What the questions read of a case."""
    bound = Certificate("trusted", "exact", 1e-4)
    data = Data({}, np.arange(POSITIONS), np.arange(DATASETS))
    return SimpleNamespace(
        judged=SimpleNamespace(exposes=exposes),
        said=SimpleNamespace(joint=mine, posterior=posteriors[1]),
        truth=SimpleNamespace(joint=exact, posterior=posteriors[0], certificate=bound),
        task=SimpleNamespace(tolerance=SimpleNamespace(kl=0.03), model=model),
        simulation=SimpleNamespace(
            happened=True, data=data, outcome=np.zeros((DATASETS, POSITIONS, QUERIES))
        ),
        scores=scores or {},
        seed=0,
    )


def test_as_many_data_sets_are_asked_as_an_endpoint_needs() -> None:
    assert questions.ASKED == decision.FEWEST_SECONDARY


def test_nothing_is_asked_where_nothing_is_wanted_and_that_is_said() -> None:
    found = questions.examine(cast(Case, None), "none")
    assert found.again == {"reason": "nothing is asked beside the primary endpoint"}
    assert (found.endpoints, found.outcomes) == ({}, {})


def test_a_test_answers_where_it_is_asked() -> None:
    part: Test = registry.load("check", "pit_uniform")
    uniform = np.random.default_rng(0).random(200)
    nowhere = cast(Case, SimpleNamespace(seed=0))
    for arrays in (None, (uniform[:2],)):  # it cannot be asked; it refuses two data sets
        silent = replace(part, evidence=lambda case, arrays=arrays: arrays)
        assert questions._outcome(silent, nowhere) is None
    found = questions._outcome(replace(part, evidence=lambda case: (uniform,)), nowhere)
    assert found is not None
    assert found.n == 200


class TestJoints:
    def test_the_divergence_is_closed_between_normals_and_by_query(self) -> None:
        """KL(N(0, I) || N(m, I)) = 3 m^2 / 2 of three queries, m^2 / 2 of each."""
        found = JOINT.ask(case(exact=joint(), mine=joint(0.4)))
        assert found is not None
        np.testing.assert_allclose(found.values, np.full(DATASETS, 0.08), rtol=1e-12)
        assert (found.tolerance, found.unit) == (0.03, "nats a query")

    @pytest.mark.parametrize(("ours", "theirs"), [(2, 1), (1, 2), (2, 2)])
    def test_mixtures_are_compared_by_their_mean_over_draws(self, ours: int, theirs: int) -> None:
        """The same two laws written as mixtures: m^2 / 2 a query, with fifty draws at 60 places."""
        found = JOINT.ask(case(exact=joint(components=ours), mine=joint(1.0, components=theirs)))
        assert found is not None
        error = (3 / 50 / POSITIONS) ** 0.5 / 3  # of one data set
        assert found.values.mean() == pytest.approx(0.5, abs=5 * error / DATASETS**0.5)
        assert found.values.std() == pytest.approx(error, rel=0.6)

    def test_a_joint_that_is_no_law_is_infinitely_wrong_and_not_drawn_from(self) -> None:
        bad = joint(0.4)
        bad.mean[3, 1, 0, 0] = np.nan
        asked = case(exact=joint(), mine=bad)
        found = JOINT.ask(asked)
        assert found is not None
        assert np.flatnonzero(np.isinf(found.values)).tolist() == [3]
        assert joint_scores.joint_scores(asked) == {}
        assert evidence.whitened(asked) is None

    def test_nothing_is_said_where_one_side_has_no_joint(self) -> None:
        for asked in (
            case(exact=joint()),
            case(mine=joint()),
            case(exact=joint(), mine=joint(), exposes=False),
            SimpleNamespace(**{**vars(case(exact=joint(), mine=joint())), "truth": None}),
        ):
            assert JOINT.ask(asked) is None
            assert joint_scores.joint_scores(asked) == {}
            assert evidence.whitened(asked) is None

    @pytest.mark.parametrize("cut", ["queries", "positions"])
    def test_a_joint_of_other_queries_is_refused(self, cut: str) -> None:
        mine = joint()
        mine = (
            mine[:, :1]
            if cut == "positions"
            else Joint(mine.weights, mine.mean[..., :2], mine.covariance[..., :2, :2])
        )
        with pytest.raises(ShapeError, match="a joint of 3 queries"):
            JOINT.ask(case(exact=joint(), mine=mine))

    def test_draws_are_white_under_the_exact_joint_at_the_middle_size(self) -> None:
        """Draws of N(2, 9) less 1, over the exact sd 2, have mean 1/2 and sd 3/2."""
        exact, mine = joint(50.0, 2.0), joint(70.0, 3.0)
        exact.mean[:, 1], mine.mean[:, 1] = 1.0, 2.0
        found = evidence.whitened(case(exact=exact, mine=mine))
        assert found is not None
        z, means = found
        assert z.shape == (DATASETS, evidence.DRAWS, QUERIES)
        assert z.mean() == pytest.approx(0.5, abs=5 * 1.5 / z.size**0.5)
        assert z.std() == pytest.approx(1.5, rel=0.05)
        np.testing.assert_array_equal(means, np.ones((DATASETS, QUERIES)))

    def test_scores_of_draws_stand_beside_those_of_a_second_exact_sample(self) -> None:
        """sd 2 for 1: covariances of 4 for 1, over d = 3; W2 of each coordinate 1;
        energy scores 2 |m| E of chi laws.
        """
        found = joint_scores.joint_scores(case(exact=joint(), mine=joint(scale=2.0)))
        assert found["covariance_error"]["estimate"] == pytest.approx(3 * 3**0.5 / 3, rel=0.1)
        assert found["covariance_error"]["floor"] < 0.15
        assert found["sliced_w2"]["estimate"] == pytest.approx(1.0, abs=0.15)
        assert found["sliced_w2"]["floor"] < 0.4
        chi = 2 * (2 / np.pi) ** 0.5  # E |N(0, I_3)|
        assert found["energy_divergence"]["floor"] == pytest.approx(0.0, abs=0.05)
        divergence = chi * (2 * 5**0.5 - 2 * 2**0.5 - 2**0.5)
        assert found["energy_divergence"]["estimate"] == pytest.approx(divergence, rel=0.15)
        assert found["energy_score"]["estimate"] == pytest.approx(chi * (2 - 2**0.5), rel=0.1)
        assert found["energy_score"]["floor"] == pytest.approx(chi * (1 - 0.5**0.5), rel=0.1)
        for score in found.values():
            assert score["regret"]["estimate"] == pytest.approx(score["estimate"] - score["floor"])


class TestLatents:
    LATENTS = (
        SimpleNamespace(name="rate", support="positive"),
        SimpleNamespace(name="count", support="finite"),
    )

    def model(self, applies: Array) -> Any:
        return SimpleNamespace(
            latents=self.LATENTS, latent_mask=lambda data, k: {"rate": applies[:, k]}
        )

    def draws(self) -> Array:
        """(dataset, position, chain, draw, entry):
        entry 0 has a quarter of its mass below zero at position 1 of data set 2.
        """
        draws = np.ones((DATASETS, POSITIONS, 2, 4, 2))
        draws[2, 1, 0, :2, 0] = -1.0
        draws[:, :, :, :, 1] = -1.0  # padding, if the mask says so
        return draws

    def test_mass_below_zero_of_a_positive_latent_is_leaked(self) -> None:
        applies = np.zeros((DATASETS, POSITIONS, 2), dtype=bool)
        applies[..., 0] = True
        mine = {"rate": {"draws": self.draws()}, "count": {"draws": -self.draws()}}
        found = LEAKED.ask(case(posteriors=({}, mine), model=self.model(applies)))
        assert found is not None
        np.testing.assert_allclose(
            found.values, np.where(np.arange(DATASETS) == 2, 0.125, 0.0)
        )  # a quarter at one of two
        assert (found.tolerance, found.unit) == (TOLERANCE, "1")
        exact = {"rate": {"mean": np.where(applies, 1.0, np.nan)}}
        same = LEAKED.ask(case(posteriors=(exact, mine), model=self.model(~applies)))
        assert same is not None
        np.testing.assert_array_equal(same.values, found.values)

    def test_latents_are_weighed_by_entry(self) -> None:
        """Latents of one and two entries: their masses are joined along the entries."""
        other = SimpleNamespace(name="share", support="unit_interval")
        model = SimpleNamespace(latents=(self.LATENTS[0], other), latent_mask=None)
        mine = {
            "rate": {"draws": np.full((DATASETS, POSITIONS, 1, 4), -1.0)},
            "share": {"draws": self.draws() * 0 + 0.5},
        }
        exact = {
            "rate": {"mean": np.ones((DATASETS, POSITIONS))},
            "share": {"mean": np.ones((DATASETS, POSITIONS, 2))},
        }
        found = LEAKED.ask(case(posteriors=(exact, mine), model=model))
        assert found is not None
        np.testing.assert_allclose(found.values, 1 / 3)

    def test_no_draws_no_support_no_candidate_that_exposes_them(self) -> None:
        model = self.model(np.ones((DATASETS, POSITIONS, 2), dtype=bool))
        mine = {"rate": {"draws": self.draws()}}
        assert LEAKED.ask(case(posteriors=({}, mine), model=model, exposes=False)) is None
        assert (
            LEAKED.ask(case(posteriors=({}, {"rate": {"mean": np.ones(2)}}), model=model)) is None
        )
        assert (
            LEAKED.ask(case(posteriors=({}, {"count": {"draws": self.draws()}}), model=model))
            is None
        )

    def test_a_mean_that_is_a_tenth_of_an_sd_off_is_the_tolerance(self) -> None:
        lead = (DATASETS, POSITIONS)
        exact = {
            "rate": {"mean": np.ones(lead), "sd": np.full(lead, 2.0)},
            "count": {"mean": np.ones(lead)},
        }
        mine = {
            "rate": {"mean": np.full(lead, 1.2), "sd": np.full(lead, 2.0)},
            "count": {"mean": np.ones(lead)},
        }
        asked = case(posteriors=(exact, mine))
        found = LATENTS.ask(asked)
        assert found is not None
        np.testing.assert_allclose(found.values, latent_kl.TOLERANCE)
        assert (found.tolerance, found.unit, found.reference_error) == (
            0.005,
            "nats a latent",
            1e-4,
        )
        assert missing_latents(asked) == ["count"]
        for nothing in (
            case(posteriors=(exact, mine), exposes=False),
            case(posteriors=(exact, {})),
            SimpleNamespace(**{**vars(asked), "truth": None}),
            case(posteriors=({"count": exact["count"]}, mine)),
        ):
            assert LATENTS.ask(cast(Case, nothing)) is None

    def test_probabilities_of_a_finite_latent_are_compared_as_they_are(self) -> None:
        """KL((1/2, 1/2) || (1/4, 3/4)) = log(4 / 3) / 2;
        the data set without a value has none and says nothing.
        """
        moments = {"mean": np.ones((DATASETS, 1)), "sd": np.ones((DATASETS, 1))}
        exact = np.full((DATASETS, 1, 2), 0.5)
        exact[4] = np.nan
        mine = np.broadcast_to([0.25, 0.75], exact.shape)
        found = LATENTS.ask(
            case(posteriors=({"z": {**moments, "probs": exact}}, {"z": {**moments, "probs": mine}}))
        )
        assert found is not None
        np.testing.assert_allclose(found.values, np.full(DATASETS - 1, np.log(4 / 3) / 2))

    def test_what_is_wrong_with_a_posterior_is_said_with_the_name_of_the_latent(self) -> None:
        moments = {"mean": np.ones((DATASETS, POSITIONS)), "sd": np.ones((DATASETS, POSITIONS))}
        with pytest.raises(InputError, match="of the latent 'rate'"):
            LATENTS.ask(
                case(posteriors=({"rate": moments}, {"rate": {**moments, "sd": np.ones(3)}}))
            )


class TestOutcomes:
    PIT = np.array(
        [
            [[0.1, 0.2], [0.3, np.nan]],
            [[np.nan, 0.5], [0.6, 0.7]],
            [[np.nan] * 2] * 2,
            [[0.9, 0.8], [0.65, 0.4]],
        ]
    )

    def test_one_place_of_each_data_set_is_taken_in_turn(self) -> None:
        """The first of data set 0, the second of 1, none of 2, the fourth of 3."""
        model = SimpleNamespace(moments=False)
        found = evidence.outcomes_placed(case(scores={"pit": self.PIT}, model=model))
        assert found is not None
        assert found[0].tolist() == [0.1, 0.6, 0.4]
        assert evidence.outcomes_placed(case(scores={}, model=model)) is None
        assert (
            evidence.outcomes_placed(
                case(scores={"pit": self.PIT}, model=SimpleNamespace(moments=True))
            )
            is None
        )

    def test_the_exact_predictive_bets_what_it_gains_in_log_score(self) -> None:
        found = evidence.bets(
            case(scores={"log_score_regret": self.PIT}, model=SimpleNamespace(moments=False))
        )
        assert found is not None
        assert [side.tolist() for side in found] == [[0, 0, 0], [-0.1, -0.6, -0.4]]
        assert evidence.bets(case(model=SimpleNamespace(moments=False))) is None


class Continuing:
    """A predictor that keeps what it was asked;
    of points it says 100 x plus the mean of the last y, with sd 1.
    """

    seed = 5

    def __init__(
        self,
        arrays: dict[str, Array],
        positions: list[int],
        *,
        form: str = "normal",
        listed: bool = True,
    ) -> None:
        count = len(next(iter(arrays.values())))
        model = NETWORK if "rows" in arrays else PROCESS
        self.task = SimpleNamespace(model=model)
        data = Data(arrays, np.array(positions), np.arange(count), model.layout.shared)
        self.simulation = SimpleNamespace(data=data)
        self.listed = ("y",) if listed else ()
        self.said = SimpleNamespace(predictive=SimpleNamespace(form=form))
        self.asked: list[Data] = []

    def answers(self, data: Data) -> Predictive:
        self.asked.append(data)
        if "rows" in data.arrays:
            return self.network(data)
        (n,) = data.positions
        mean = 100 * data.arrays["x_query"][:, None, :, 0] + data.arrays["y"][:, None, None, n - 1]
        return Normal(mean, np.ones_like(mean))

    def network(self, data: Data) -> Predictive:
        """Node 0 is 1, node 1 what node 0 is not, node 2 what node 1 is not;
        of the last node if nothing is asked for.
        """
        row = data.arrays["query"][:, 0]
        node = int(data.arrays["target"][0])
        one = np.ones(len(row)) if node == 0 else 1.0 - row[:, node - 1]
        return Categorical(np.stack([1 - one, one], -1)[:, None, None])


class TestContinuations:
    def points(self) -> dict[str, Array]:
        rng = np.random.default_rng(3)
        return {
            "x": rng.random((6, 9, 1)),
            "y": rng.random((6, 9)),
            "x_query": rng.random((6, 2, 1)),
        }

    def test_its_own_draw_at_the_next_input_is_the_next_observation(self) -> None:
        asked = Continuing(self.points(), [4, 6, 9])
        found = continuations.continued(cast(Case, asked))
        assert found is not None
        before, at, after = asked.asked
        assert (before.positions.tolist(), after.positions.tolist()) == ([4], [5])
        assert after.arrays["x"].shape == (6 * continuations.PATHS, 5, 1)
        assert after.arrays["y"].shape == (6 * continuations.PATHS, 5)
        x, y = (np.repeat(self.points()[name], continuations.PATHS, axis=0) for name in ("x", "y"))
        np.testing.assert_array_equal(at.arrays["x_query"], x[:, 4:5])
        np.testing.assert_array_equal(after.arrays["x"], x[:, :5])
        np.testing.assert_array_equal(after.arrays["y"][:, :4], y[:, :4])
        noise = after.arrays["y"][:, 4] - 100 * x[:, 4, 0] - y[:, 3]
        assert np.abs(noise).max() < 4  # a standard normal each
        assert len(np.unique(noise)) == noise.size
        np.testing.assert_array_equal(self.points()["y"], asked.simulation.data.arrays["y"])

    def test_events_are_below_its_median_and_its_ninety_per_cent_point_of_before(self) -> None:
        """It moves by what it drew: d = y_5 - y_4 shifts the median,
        so P(below) = Phi(0 - d) and Phi(1.2816 - d).
        """
        from scipy.stats import norm

        asked = Continuing(self.points(), [4, 9])
        (found,) = cast(tuple[Array], continuations.continued(cast(Case, asked)))
        assert found.shape == (6, continuations.PATHS, 2, 4)  # two queries, two events
        np.testing.assert_allclose(
            found[:, :, 0], np.broadcast_to([0.5, 0.9] * 2, (6, continuations.PATHS, 4)), rtol=1e-9
        )
        y = asked.asked[-1].arrays["y"].reshape(6, continuations.PATHS, 5)
        moved = y[..., 4] - y[..., 3]
        wanted = norm.cdf(np.array([0.0, norm.ppf(0.9)] * 2) - moved[..., None])
        np.testing.assert_allclose(found[:, :, 1], wanted, rtol=1e-9, atol=1e-300)

    def test_a_row_of_a_network_is_drawn_node_by_node(self) -> None:
        arrays = {
            "rows": np.zeros((3, 5, 3), dtype=np.int64),
            "query": np.full((3, 1, 3), -1),
            "target": np.array([2]),
        }
        arrays["query"][:, 0, 1] = [0, 1, 0]
        asked = Continuing(arrays, [2, 5])
        found = continuations.continued(cast(Case, asked))
        assert found is not None
        seen = [data.arrays["query"][0, 0].tolist() for data in asked.asked[1:4]]
        assert [data.arrays["target"].tolist() for data in asked.asked[1:4]] == [[0], [1], [2]]
        assert seen == [[-1, -1, -1], [1, -1, -1], [1, 0, -1]]
        grown = asked.asked[-1].arrays["rows"]
        assert grown.shape == (3 * continuations.PATHS, 3, 3)
        np.testing.assert_array_equal(
            grown[:, 2], np.broadcast_to([1, 0, 1], (3 * continuations.PATHS, 3))
        )
        assert grown.dtype == np.int64
        before = np.array(
            [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
        )  # state of node 2, by what node 1 is said to be
        np.testing.assert_array_equal(
            found[0][:, :, 0], np.repeat(before[:, None], continuations.PATHS, axis=1)
        )

    def test_who_is_not_asked(self) -> None:
        for positions, options in (
            ([9], {}),
            ([4, 6], {"listed": False}),
            ([4, 6], {"form": "draws"}),
            ([4, 6], {"form": "quantiles"}),
        ):
            assert (
                continuations.continued(cast(Case, Continuing(self.points(), positions, **options)))
                is None
            )
        assert (
            continuations.continued(cast(Case, Continuing(self.points(), [8, 9]))) is not None
        )  # up to the largest size


def test_events_of_categories_are_their_probabilities() -> None:
    law = Categorical(np.array([[[[0.2, 0.8]]], [[[0.7, 0.3]]]]))
    np.testing.assert_array_equal(continuations._events(law, law), [[0.2, 0.8], [0.7, 0.3]])
