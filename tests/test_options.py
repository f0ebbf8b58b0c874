"""Options of engines and constructions: whatever is typed after `--set` is a value of the
option's type, or bad input.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from veribayes import registry
from veribayes.errors import InputError

HOSTILE = (
    "",
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "1e308",
    "1e400",
    "x",
    "true",
    "9" * 20,
    "9" * 5000,
    "0x10",
    " ",
    "None",
)
PARTS = [(kind, name) for kind in ("engine", "construction") for name in registry.names(kind)]


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_hostile_options_are_values_or_refused(kind: str, name: str) -> None:
    for option in fields(registry.load(kind, name)):
        for text in HOSTILE:
            try:
                value = getattr(registry.configured(kind, name, {option.name: text}), option.name)
            except InputError:
                continue
            assert value is None or isinstance(value, bool | int | float | str), (option.name, text)
            assert not isinstance(value, float) or np.isfinite(value), (option.name, text)
            assert not isinstance(value, str) or "str" in str(option.type), (option.name, text)


@pytest.mark.parametrize(
    ("name", "option", "text", "message"),
    [
        ("nuts", "draws", "99999999999999999999", "a whole number of at most"),
        ("nuts", "draws", "2.5", "a whole number"),
        ("shifted", "by", "nan", "a finite number for shifted.by"),
        ("simplex_quadrature", "nodes", "many", "a whole number"),
        ("mirror_descent", "eta", "fast", "eta"),
        ("hmc", "draws", "0", "positive"),
    ],
)
def test_what_is_refused_says_the_option(name: str, option: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        registry.engine(name, {option: text})


def test_a_name_that_looks_like_a_number_stays_a_name() -> None:
    assert registry.engine("finite_draws", {"of": "1e308"}).of == "1e308"
