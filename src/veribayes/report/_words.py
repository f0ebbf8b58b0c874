"""Numbers and sentences of the report. Every sentence states what was measured, nothing else.

Numbers carry the digits that their interval supports; a spread of 3e-4 shows four decimals.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from veribayes import registry
from veribayes.statistics import limits
from veribayes.tree.plain import plain as plain

MISSING = "–"
THIN = "\u202f"  # narrow no-break space between a number and its unit
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
PLAIN_FROM, PLAIN_TO = 1e-3, 1e6  # outside, a power of ten reads better than zeros
EMPTY: tuple[object, ...] = (None, "", [], {})
MISSED = math.log(40)  # as in validation/stability.py, which the report of a run does not need
LEAST_P = 1e-4  # p-values below are not told apart
LIMITS = ("estimate", "low", "high")
LEGIBLE = 1e-3  # a tolerance below this sets the power of ten of its task


@dataclass(frozen=True)
class Verdict:
    """How a verdict is shown: never by colour alone."""

    word: str
    symbol: str
    meaning: str


VERDICTS = {
    "equivalent": Verdict(
        "equivalent",
        "≈",
        "The upper limit of the interval lies below the tolerance, also after allowing for "
        "contexts that this many data sets can miss, each as bad as the prior, and for the error "
        "of the reference itself.",
    ),
    "different": Verdict(
        "different",
        "≠",
        "The lower limit of the interval lies above the tolerance, also after taking off the "
        "error of the reference itself.",
    ),
    "undecided": Verdict(
        "undecided",
        "?",
        "The interval, with its allowance for rare failures and for the error of the reference, "
        "reaches both sides of the tolerance, or there are too few data sets for a verdict.",
    ),
}

STOPPED = (
    "The run ended early: a bet that the mean lies above the tolerance was won. Where it lies "
    "below, that happens in at most 2.5 % of runs, however often one looks. The interval is that "
    "of a run planned with this many data sets."
)
BELOW_ZERO = (
    "The whole interval lies below zero, where no divergence can lie, so the estimate is wrong "
    "and decides nothing."
)
TOO_FEW = (
    "The upper limit lies below the tolerance, but there are too few data sets to call it "
    "equivalent."
)

METRICS = {
    "kl": "KL(exact ‖ candidate)",
    "kl_reverse": "KL(candidate ‖ exact)",
    "kl_draws": "KL(candidate ‖ exact), debiased for draws",
    "half_chi_square": "half the chi-square divergence",
    "kl_density": "KL(exact ‖ candidate) between densities",
    "kl_raw": "KL(exact ‖ candidate) before the Monte Carlo correction",
    "js": "Jensen–Shannon divergence",
    "jeffreys": "Jeffreys divergence, KL in both directions",
    "total_variation": "total variation distance",
    "hellinger": "Hellinger distance",
    "crps": "CRPS divergence",
    "log_score_regret": "log-score regret at the outcome",
    "pit": "probability integral transform",
    "max_error": "largest error of a probability",
    "missed_mass": "exact mass called impossible",
    "unheld_mass": "exact mass below what its number type holds",
    "impossible_mass": "mass on what is impossible",
    "squared_error": "squared error of the mean",
    "squared_error_raw": "squared error of the mean before the Monte Carlo correction",
    "entropy_error": "error of the entropy, blind to which outcome is likely",
    "mean_error": "error of the mean, in exact standard deviations",
    "sd_error": "log ratio of standard deviations",
    "quantile_score": "quantile divergence at the candidate's levels",
    "quantile_error": "largest error of five quantiles, in exact standard deviations",
    "wasserstein": "Wasserstein distance W1",
}


BOUNDS = {  # kinds of an error bound
    "bound": "error at most",
    "estimate": "error, measured by a second resolution, about",
    "montecarlo": "Monte Carlo error about",
}


@dataclass(frozen=True)
class Interval:
    """`estimate`, `bounds` in brackets and the power of ten that both share, ready to print."""

    estimate: str
    bounds: str = ""
    times: str = ""

    def __str__(self) -> str:
        return f"{self.estimate}{' ' if self.bounds else ''}{self.bounds}{self.times}"


def power_for(scale: object) -> int:
    """The power of ten for numbers of this scale: 0, or a multiple of three for small ones."""
    if not _real(scale) or not 0 < scale < LEGIBLE:
        return 0
    return 3 * math.floor((math.log10(scale) + 1) / 3)


def number(x: object, digits: int = 2, power: int | None = None) -> str:
    """A number at `digits` significant digits, in units of 10^power where that reads well."""
    if not isinstance(x, int | float) or isinstance(x, bool) or math.isnan(x):
        return MISSING
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if x == 0:
        return "0"
    power = _power(x, power)
    scaled = x / 10.0**power
    decimals = _decimals(scaled, abs(scaled), digits)
    return _fixed(scaled, decimals) + _times(power)


def interval(entry: Mapping[str, Any], power: int | None = None) -> Interval:
    """Estimate and limits with the decimals that the width supports, in units of 10^power where
    that reads well.
    """
    values = [entry.get(name) for name in LIMITS]
    if entry.get("reason") and _real(values[0]):
        return _unsupported(entry, lambda value: number(value, power=power))
    if not all(map(_real, values)):
        infinite = bool(entry.get("infinite_share"))
        return Interval("∞" if infinite else number(values[0], power=power))
    estimate, low, high = (float(value) for value in values if value is not None)
    power = _power(estimate or high, power)
    estimate, low, high = (value / 10.0**power for value in (estimate, low, high))
    decimals = _decimals(estimate, (high - low) / 2, _spread_digits(low, high))
    return _rounded(estimate, low, high, decimals, _times(power))


def percent(entry: Mapping[str, Any]) -> Interval:
    """Recovery as `98.7 % [98.6, 98.8]`."""
    values = [entry.get(name) for name in LIMITS]
    if entry.get("reason") and _real(values[0]):
        return _unsupported(entry, _percent)
    if not all(map(_real, values)):
        return Interval(_percent(values[0]) if _real(values[0]) else MISSING)
    estimate, low, high = (100.0 * float(value) for value in values if value is not None)
    half, decimals = (high - low) / 2, 1
    if half > 0:
        of_spread = _spread_digits(low, high) - 1 - _floor_log10(half)
        decimals = min(max(1, of_spread), 4)
    rounded = _rounded(estimate, low, high, decimals)
    return Interval(f"{rounded.estimate}{THIN}%", rounded.bounds)


def _percent(value: float) -> str:
    return f"{_fixed(100 * value, 1)}{THIN}%"


def _rounded(estimate: float, low: float, high: float, decimals: int, times: str = "") -> Interval:
    first, lower, upper = (_fixed(value, decimals) for value in (estimate, low, high))
    return Interval(first, f"[{lower}, {upper}]", times)


def _unsupported(entry: Mapping[str, Any], form: Callable[[float], str]) -> Interval:
    """An interval of which the sample supports one limit, or none."""
    low, high = (limits.side(entry, name, form) for name in ("low", "high"))
    return Interval(form(float(entry["estimate"])), f"[{low}, {high}]")


def share(value: object) -> str:
    """A share in percent, at three digits."""
    return f"{100 * value:.3g}{THIN}%" if _real(value) else MISSING


def p_value(p: object) -> str:
    """A p-value at two digits, 1 or less than what is told apart."""
    if not isinstance(p, int | float):
        return MISSING
    return f"<{THIN}{LEAST_P:g}" if p < LEAST_P else number(round(p, 4))


def as_json(value: object) -> str:
    """Plain data as indented JSON, letters as they are."""
    return json.dumps(value, indent=1, ensure_ascii=False)


def verdict(result: Mapping[str, Any]) -> Verdict:
    """The verdict of a result entry; an unknown word is shown as it is."""
    word = str(result.get("verdict") or "undecided")
    unknown = Verdict(word, "•", "This verdict is not one that this version knows.")
    return VERDICTS.get(word, unknown)


def explain(result: Mapping[str, Any]) -> str:
    """Why the verdict is what it is."""
    primary, found = result.get("primary") or {}, result.get("verdict")
    single = primary.get("verdict", "different")
    if found == "different" and single != "different":
        return (
            f"Its predictions of single queries are {single}, but a secondary endpoint is "
            "significantly beyond its own tolerance."
        )
    if (result.get("sequential") or {}).get("stopped"):
        return STOPPED
    if found == "undecided" and _is_below_zero(result):
        return BELOW_ZERO
    upper, tolerance = primary.get("upper"), primary.get("tolerance")
    if found == "undecided" and _real(upper) and _real(tolerance) and upper < tolerance:
        return TOO_FEW
    return verdict(result).meaning


def _is_below_zero(result: Mapping[str, Any]) -> bool:
    """Whether the run found its whole interval below zero."""
    findings = result.get("findings") or []
    names = [finding.get("name") for finding in findings if isinstance(finding, Mapping)]
    return "below_zero" in names


def metric(name: str) -> str:
    """A metric's name in words."""
    return METRICS.get(name, name.replace("_", " "))


def predictor(name: str) -> str:
    """A rival's name in words."""
    return registry.words("engine", name)[0] or name.replace("_", " ")


def about_predictor(name: str) -> str:
    """What a rival does, where it is a known one."""
    return registry.words("engine", name)[1]


def count(n: object) -> str:
    """A whole number with thousands separated."""
    return f"{n:,}" if isinstance(n, int) else MISSING


def unseen(n: object) -> str:
    """What n data sets cannot exclude: with probability 2.5 % a rate of ln 40 / n does not show."""
    if not isinstance(n, int) or n < 1:
        return ""
    if n < MISSED:
        return "With so few data sets no defect is excluded, however frequent."
    rate = f"ln{THIN}40/n = 3.7/n = {100 * MISSED / n:.2g}{THIN}%"
    defects = f"Defects that show in fewer than {rate} of contexts"
    return f"{defects} are not excluded by {n:,} data sets."


def settle(primary: Mapping[str, Any], power: int) -> str:
    """Minimum detectable effect, and how many data sets would decide."""
    effect, needed = primary.get("minimum_detectable"), primary.get("datasets_needed")
    parts = []
    if effect is not None:
        size = f"{number(effect, power=power)} {primary.get('unit', '')}"
        parts.append(
            f"With this many data sets a mean divergence of {size} would be told apart from zero "
            "(2.8 standard errors)."
        )
    if needed is not None:
        parts.append(f"About {count(needed)} data sets would settle it.")
    return " ".join(parts)


def model(sentence: str, spec: Mapping[str, Any]) -> str:
    """The model's own sentence; in a run without one its specification as a list of fields."""
    if sentence:
        return sentence
    kind = str(spec.get("kind", "model")).replace("_", " ")
    fields = {name: value for name, value in spec.items() if name != "kind"}
    return f"{kind}: {plain(fields)}"


def certificate(reference: Mapping[str, Any]) -> str:
    """One sentence on why the reference may be trusted."""
    found = reference.get("certificate") or {}
    verdict, method = found.get("verdict", "no certificate"), found.get("method", "unknown method")
    bound, kind = found.get("error_bound"), str(found.get("bound_kind", "bound"))
    sentence = f"{verdict}: {method}"
    if isinstance(bound, int | float):
        sentence += f", {BOUNDS.get(kind, 'error')} {number(bound)}"
    return sentence


def _real(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _power(x: float, wanted: int | None) -> int:
    """The wanted power, unless the number would then be mostly zeros."""
    power = wanted or 0
    if x == 0 or PLAIN_FROM <= abs(x) / 10.0**power < PLAIN_TO:
        return power
    return _floor_log10(x)


def _decimals(x: float, spread: float, digits: int) -> int:
    """Decimals for `digits` digits of the spread and at least two of the number itself."""
    of_spread = digits - 1 - _floor_log10(spread) if spread > 0 else 0
    of_number = 1 - _floor_log10(x) if x else 0
    return min(max(of_spread, of_number, 0), 6)


def _spread_digits(low: float, high: float) -> int:
    """Digits of a half width: two where it begins with 1 or 2, as one would round too coarsely."""
    first = f"{(high - low) / 2:.6e}"[0]  # six digits: a width of .0003 may come as .00029999999
    return 2 if first in "12" else 1


def _floor_log10(x: float) -> int:
    return int(f"{abs(x):.6e}".split("e")[1])


def _times(power: int) -> str:
    return f"{THIN}×{THIN}10{str(power).translate(SUPERSCRIPT)}" if power else ""


def _fixed(x: float, decimals: int) -> str:
    """Fixed decimals with a real minus sign, and no minus before zero."""
    return f"{round(x, decimals) + 0.0:,.{decimals}f}".replace("-", "−")
