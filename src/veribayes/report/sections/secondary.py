"""What was asked beside the primary endpoint: further endpoints, tests, and joint scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veribayes.report import _words as words
from veribayes.report._run import Run, mapping
from veribayes.report._section import Section, shipped_template

LEVEL = 0.05  # of an adjusted p-value that rejects


def prepare(run: Run, salt: str) -> Mapping[str, Any] | None:
    del salt  # no figure
    secondary = mapping(run.result.get("secondary"))
    endpoints, tests = mapping(secondary.get("endpoints")), mapping(secondary.get("tests"))
    if not endpoints and not tests:
        return None
    scores = mapping(secondary.get("joint"))
    endpoint_rows = [_endpoint(name, mapping(e), run.power) for name, e in endpoints.items()]
    return {
        "endpoints": endpoint_rows,
        "tests": [_test(name, mapping(test)) for name, test in tests.items()],
        "joint": [_joint(name, mapping(score)) for name, score in scores.items()],
        "asked": words.count(secondary.get("datasets")),
    }


def _endpoint(name: str, endpoint: Mapping[str, Any], power: int) -> dict[str, Any]:
    scale = power if "nats" in str(endpoint.get("unit")) else 0
    verdict = str(endpoint.get("verdict"))
    return {
        "name": _label(name, endpoint),
        "size": words.interval(endpoint, scale),
        "unit": _unit(endpoint),
        "tolerance": words.number(endpoint.get("tolerance"), power=scale),
        "verdict": words.VERDICTS.get(verdict, words.VERDICTS["undecided"]),
    }


def _test(name: str, test: Mapping[str, Any]) -> dict[str, str]:
    answer = "not refuted"
    if _rejected(test.get("adjusted")):
        answer = f"no: {test['worst']}" if test.get("worst") else "no"
    return {
        "name": _label(name, test),
        "n": words.count(test.get("n")),
        "p": words.p_value(test.get("adjusted")),
        "answer": answer,
    }


def _joint(name: str, score: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": _label(name, score),
        "size": words.interval(score),
        "floor": words.number(score.get("floor")),
        "regret": words.interval(mapping(score.get("regret"))),
        "unit": _unit(score),
    }


def _label(name: str, entry: Mapping[str, Any]) -> str:
    """What the run calls it; older runs have names only."""
    return str(entry.get("label") or name.replace("_", " "))


def _unit(entry: Mapping[str, Any]) -> Any:
    unit = entry.get("unit")
    return "" if unit == "1" else unit


def _rejected(p: object) -> bool:
    return isinstance(p, int | float) and p <= LEVEL


PART = Section(order=70, template=shipped_template("secondary.html"), prepare=prepare)
