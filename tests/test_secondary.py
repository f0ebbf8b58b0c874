"""The family of endpoints and tests beside the primary one:
values made by hand, no candidate and no engine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from veribayes.errors import InputError
from veribayes.validation import decision, secondary, summaries
from veribayes.validation.checks._test import Outcome
from veribayes.validation.endpoints import Size
from veribayes.validation.secondary import Checked

SMALL = np.random.default_rng(0).gamma(2.0, 0.01, 200)  # mean .02


def judged(
    endpoints: dict[str, Any], adjusted: dict[str, float | None], **tests: Any
) -> dict[str, Any]:
    return {"endpoints": endpoints, "adjusted": adjusted, "tests": tests}


def entry(verdict: str, **more: Any) -> dict[str, Any]:
    return {"verdict": verdict, "estimate": 0.25, "tolerance": 0.1, "unit": "nats a query", **more}


def test_a_family_is_corrected_together_and_each_endpoint_has_its_verdict() -> None:
    """Four p-values: 1 / 2,000 and 1 of the endpoints, .02 of the test, .03 of the calibration;
    Holm by hand.
    """
    endpoints = {
        "joint_kl": Size(100 * SMALL, 1.0, "nats a query"),
        "leaked_mass": Size(SMALL, 1.0, "1", 0.1),
    }
    checked = Checked(
        endpoints, {"pit_uniform": Outcome(3.0, 0.02, 200, {"mean": 0.5, "ks": 0.02})}, datasets=200
    )
    found = secondary.family(checked, {"reliability": 0.03}, seed=0)
    assert found["adjusted"] == pytest.approx(
        {"joint_kl": 0.002, "leaked_mass": 1.0, "pit_uniform": 0.06, "reliability": 0.06}
    )
    assert [e["verdict"] for e in found["endpoints"].values()] == ["different", "equivalent"]
    assert found["endpoints"]["joint_kl"]["p_value"] == 1 / 2000
    assert found["endpoints"]["leaked_mass"]["tolerance"] == 1.0
    assert found["endpoints"]["leaked_mass"]["not_excluded"] == pytest.approx(
        np.log(40) / 200, rel=1e-3
    )
    assert found["tests"]["pit_uniform"] == {
        "statistic": 3.0,
        "p_value": 0.02,
        "adjusted": pytest.approx(0.06),
        "n": 200,
        "worst": "ks",
        "label": "outcomes fall where the candidate says (uniform PIT)",
    }
    assert (found["level"], found["datasets"]) == (0.05, 200)
    assert secondary.overall("equivalent", found) == "different"
    assert (
        secondary.overall("undecided", judged({"joint_kl": entry("undecided")}, {})) == "undecided"
    )


def test_a_limit_on_the_wrong_side_is_no_verdict_where_the_family_does_not_allow_it() -> None:
    """A mean of .76 for .68 with p = .006: of one endpoint that is different,
    of ten p-values it is not.
    """
    alone = Checked({"joint_kl": Size(40 * SMALL, 0.68, "nats a query")})
    assert 0.005 < alone.endpoints["joint_kl"].p_value(0) < 0.025
    assert secondary.family(alone, {}, seed=0)["endpoints"]["joint_kl"]["verdict"] == "different"
    crowd = secondary.family(alone, {f"coverage {i}": 1.0 for i in range(9)}, seed=0)
    assert crowd["endpoints"]["joint_kl"]["verdict"] == "undecided"
    assert crowd["endpoints"]["joint_kl"]["adjusted"] > 0.05


def test_an_endpoint_of_several_ways_is_that_of_the_largest_and_pays_for_the_choice() -> None:
    ways = {"one": 40 * SMALL, "two": 50 * SMALL, "three": SMALL}
    found = Size.largest(ways, 0.85, "nats")
    assert found.variants == pytest.approx({name: v.mean() for name, v in ways.items()})
    np.testing.assert_array_equal(found.values, ways["two"])
    alone = Size(ways["two"], 0.85, "nats").p_value(0)
    assert found.p_value(0) == pytest.approx(3 * alone)
    assert Size.largest({"a": SMALL, "b": SMALL}, 1.0, "nats").p_value(0) == 1.0
    shown = secondary.family(Checked({"repeatability": found}), {}, seed=0)["endpoints"][
        "repeatability"
    ]
    assert shown["variant"] == "two"
    assert shown["variants"]["three"] == pytest.approx(SMALL.mean())


def test_the_reference_error_counts_in_the_p_value_of_an_endpoint() -> None:
    p, less_sure = (Size(40 * SMALL, 0.68, "nats", error).p_value(3) for error in (0.0, 0.02))
    assert p == decision.exceeds(40 * SMALL, tolerance=0.68, seed=3)
    assert (
        less_sure == decision.exceeds(40 * SMALL, tolerance=0.68, reference_error=0.02, seed=3) > p
    )


def test_a_hundred_ways_can_still_be_rejected_and_one_more_cannot() -> None:
    """1,999 resamples: p-values from 1 / 2,000 on, a hundred times that is .05."""
    for ways, refused in ((100, False), (101, True)):
        endpoint = Size(SMALL, 1.0, "nats", variants={str(i): 0.0 for i in range(ways)})
        if refused:
            with pytest.raises(InputError, match="can reject"):
                secondary.family(Checked({"repeatability": endpoint}), {}, seed=0)
        else:
            secondary.family(Checked({"repeatability": endpoint}), {}, seed=0)


def test_calibration_has_reliability_where_there_is_confidence() -> None:
    rng = np.random.default_rng(1)
    said = rng.uniform(0.4, 1.0, (60, 2, 1))
    hit = (rng.random(said.shape) < said).astype(float)
    scores = {"pit": rng.random(said.shape)}
    shown, p = secondary.calibration(scores, seed=7)
    assert shown["reliability"] is None
    assert list(p) == ["central coverage 50%", "central coverage 90%"]
    both, with_reliability = secondary.calibration(
        {**scores, "confidence": said, "hit": hit}, seed=7
    )
    direct = summaries.reliability(said, hit, seed=7)
    assert both["reliability"]["p_value"] == with_reliability["reliability"] == direct.p_value
    assert both["reliability"]["floor"] == direct.floor
    assert both["reliability"]["hit"] == direct.hit.tolist()
    assert [c["kind"] for c in both["coverage"]] == ["central", "central"]


def test_the_twenty_most_significant_groups_are_kept_of_those_that_were_searched() -> None:
    scores = np.random.default_rng(2).gamma(1.0, 1.0, (50, 1, 25))
    scores[:40, :, 3] *= 9
    groups = {str(q): np.broadcast_to(np.arange(25) == q, (40, 1, 25)) for q in range(25)}
    found = secondary.concentration(scores, groups, seed=0)
    assert (found["searched"], found["datasets"], len(found["groups"])) == (25, 40, 20)
    assert found["groups"][0]["group"] == "3"
    inside, outside = scores[:40, 0, 3], scores[:40, 0, np.arange(25) != 3]
    assert found["groups"][0]["ratio"] == pytest.approx(inside.mean() / outside.mean())
    assert secondary.concentration(scores, {}, seed=0) == {
        "searched": 0,
        "datasets": 0,
        "groups": [],
    }


def group(name: str, p: float, ratio: float | None) -> dict[str, Any]:
    return {"group": name, "p_value": p, "ratio": ratio, "low": 1.1, "share": 0.4, "weight": 0.2}


def test_what_is_significant_and_worth_saying_is_a_finding() -> None:
    adjusted = {
        "joint_kl": 0.01,
        "pit_uniform": 0.05,
        "e_process": 0.051,
        "martingale": 0.0,
        "central coverage 50%": 0.01,
        "hpd coverage 90%": 0.04,
    }
    said = judged(
        {"joint_kl": entry("different", variant="alone")}, adjusted, pit_uniform={"worst": "ks"}
    )
    groups = [
        group("a", 0.05, 1.5),
        group("b", 0.06, 9.0),
        group("c", 0.01, 1.4),
        group("d", 0.01, None),
    ]
    found = secondary.findings(said, {"groups": groups, "searched": 6})
    assert [f["name"] for f in found] == ["beyond_tolerance", *["rejected"] * 3, "concentration"]
    assert [f["by"] for f in found[:-1]] == [
        "joint_kl",
        "pit_uniform",
        "martingale",
        "central coverage 50%",
    ]
    assert found[0]["text"].startswith(
        "joint_kl (alone) is 0.25 nats a query, tolerance 0.1: the queries of a data set"
    )
    assert found[1]["text"].endswith("p = 0.05, by Holm over 6")
    assert "pit_uniform (ks)" in found[1]["text"]
    assert (
        "p < 1e-06"
        in secondary.findings(judged({}, {"e_process": 9e-7}), {"groups": [], "searched": 0})[0][
            "text"
        ]
    )
    assert "central coverage 50%, hpd coverage 90%: outcomes lie" in found[3]["text"]
    assert found[4]["text"].startswith(
        "a: the divergence is 1.5 times as large as elsewhere (at least 1.1), 40% of it on 20%"
    )
    assert (
        len(
            secondary.findings(
                judged({}, {}), {"groups": [group("a", 0.01, 2.0)] * 5, "searched": 5}
            )
        )
        == 3
    )


def test_an_infinite_endpoint_is_said_to_be_infinite() -> None:
    said = judged(
        {"leaked_mass": {**entry("different"), "estimate": None, "unit": "1"}},
        {"leaked_mass": 1e-3},
    )
    (found,) = secondary.findings(said, {"groups": [], "searched": 0})
    assert found["text"].startswith("leaked_mass is infinite, tolerance 0.1: its posterior")


def test_each_number_of_a_result_says_what_it_is_corrected_for() -> None:
    made = secondary.multiplicity(3, 0, judged({}, {"a": 0.1, "b": 0.2}), {"searched": 7})
    assert made["secondary"] == "Holm over 2 p-values at 0.05: a, b"
    assert made["by_query"] == "not divided"
    assert secondary.multiplicity(3, 2, judged({}, {}), {"searched": 7})["by_query"].startswith(
        "simultaneous 95 % over 2 q"
    )
    assert (made["curve"], made["concentration"]) == (
        "simultaneous 95 % over 3 context sizes (maxT)",
        "maxT over 7 groups",
    )
