"""Endpoints are parts, as are checks and probes:
what they declare, and those of another distribution.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import veribayes as vb
from veribayes import registry
from veribayes.errors import InputError
from veribayes.models import _spec
from veribayes.models._task import Design
from veribayes.run import probes
from veribayes.validation import questions
from veribayes.validation.endpoints import Endpoint, Size
from veribayes.validation.endpoints._endpoint import NEEDS

SHIPPED = [
    "joint_kl",
    "leaked_mass",
    "latent_kl",
    "repeatability",
    "batch_dependence",
    "order_dependence",
]
STRANGER = '''"""Endpoints of another distribution:
one is a part like ours, one an object of its own, one fails.
"""
import numpy as np
from veribayes.validation.checks.pit_uniform import PART as PIT
from veribayes.validation.endpoints import Endpoint, Size
from veribayes.validation.probes import Probe

HASTE = Endpoint("haste", "how hasty it is", "it is too hasty", ("askable",),
                 lambda case: np.linspace(2, 3, case.datasets), unit="s")


class Plain:
    level, place, about = "all", 1, "it is plain"

    def ask(self, case):
        return Size(np.zeros(case.datasets), 1.0, "1")


class Fails(Plain):
    level = "standard"

    def ask(self, case):
        raise ZeroDivisionError("division by zero")


PLAIN, FAILS = Plain(), Fails()
SEED = lambda subject: {"seed": subject.seed}
LOOKS = Probe("looks", "what it looks like", "How it looks.", SEED)
OLD = NEW = PIT
'''
ENTRIES = """
[veribayes.endpoint]
haste = hasty:HASTE
plain = hasty:PLAIN
fails = hasty:FAILS
[veribayes.probe]
looks = hasty:LOOKS
[veribayes.check]
new = hasty:NEW
[veribayes.test]
old = hasty:OLD
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with the endpoints above, as an installation leaves it."""
    metadata = tmp_path / "acme_endpoints-1.0.dist-info"
    metadata.mkdir()
    (tmp_path / "hasty.py").write_text(STRANGER)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme_endpoints\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    _forget()
    yield
    _forget()
    sys.modules.pop("hasty", None)


def _forget() -> None:
    for read_once in (registry._entries, registry._unreadable, registry._part):
        read_once.cache_clear()


def parts() -> dict[str, Endpoint]:
    return {name: registry.load("endpoint", name) for name in registry.names("endpoint")}


def test_every_endpoint_says_what_it_is_and_is_listed_in_its_place() -> None:
    found = parts()
    assert sorted(found, key=lambda name: found[name].place) == SHIPPED
    for name, part in found.items():
        assert part.name == name
        assert part.label
        assert part.about
        assert registry.summary("endpoint", name)


def test_a_need_that_nobody_answers_is_refused() -> None:
    with pytest.raises(InputError, match="telepathy"):
        Endpoint("odd", "odd", "odd", ("telepathy",), lambda case: None)


@pytest.mark.parametrize("need", NEEDS)
def test_an_endpoint_is_not_asked_where_a_need_is_not_met(need: str) -> None:
    """A recorded candidate that says nothing but predictions, and a reference that is sampled."""
    bare: Any = SimpleNamespace(
        judged=SimpleNamespace(exposes=False, askable=False), truth=None, listed=()
    )
    asked = Endpoint("odd", "odd", "odd", (need,), lambda case: pytest.fail("it was asked"))
    assert asked.ask(bare) is None


def test_data_sets_that_say_nothing_are_no_answer() -> None:
    nowhere: Any = SimpleNamespace(primary=SimpleNamespace(tolerance=1.0, unit="nats"))
    for values in (None, np.empty(0), {}, {"one": np.empty(0)}):
        assert Endpoint("odd", "odd", "odd", (), lambda case: values).ask(nowhere) is None  # noqa: B023
    ways = {"one": np.empty(0), "two": np.ones(3)}
    size = Endpoint("odd", "odd", "odd", (), lambda case: ways).ask(nowhere)
    assert size is not None
    assert (size.variants, size.tolerance, size.unit) == ({"two": 1.0}, 1.0, "nats")


@pytest.mark.parametrize("wrong", [np.array([1.0, np.nan]), np.empty(0), np.ones((2, 2))])
def test_a_size_is_one_number_a_data_set(wrong: Any) -> None:
    with pytest.raises(InputError):
        Size(wrong, 1.0, "nats")


@pytest.mark.usefixtures("site")
@pytest.mark.filterwarnings("always::veribayes.errors.PluginWarning")
def test_endpoints_of_another_distribution_are_asked_in_a_run() -> None:
    """One that is beyond its tolerance makes the run different, in its own words;
    one that fails is left out and named.
    """
    assert {"haste", "plain", "fails", *SHIPPED} == set(registry.names("endpoint"))
    task = replace(_spec.load_task("bn-general5"), design=Design((2,), 1, 60))
    task = replace(task, rivals=(), wrong_prior={})
    with pytest.warns(vb.errors.PluginWarning, match=r"'fails'.*'acme_endpoints'"):
        entry = vb.verify(task, "conjugate", datasets=60, audit=0).entry
    assert entry["verdict"] == "different"
    asked = entry["secondary"]["endpoints"]
    assert list(asked)[-1] == "haste"
    assert asked["haste"]["unit"] == "s"
    assert "plain" not in asked  # it is asked only where everything is wanted
    (beyond,) = (f for f in entry["findings"] if f["name"] == "beyond_tolerance")
    assert beyond["text"].endswith("it is too hasty")


@pytest.mark.usefixtures("site")
def test_the_level_says_which_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    case: Any = SimpleNamespace(
        datasets=40,
        judged=SimpleNamespace(askable=True),
        primary=SimpleNamespace(tolerance=1.0, unit="nats"),
    )
    monkeypatch.setattr(registry, "usable", lambda kind: ["haste", "plain"])
    assert list(questions._sizes(case, "standard")) == ["haste"]
    assert list(questions._sizes(case, "all")) == ["plain", "haste"]


@pytest.mark.usefixtures("site")
def test_checks_were_called_tests_and_both_words_mean_them() -> None:
    assert registry.names("test") == registry.names("check")
    assert {"old", "new", "pit_uniform"} <= set(registry.usable("test"))
    for name in ("old", "new", "pit_uniform"):
        assert registry.load("check", name) is registry.load("check", name)
    with pytest.raises(InputError, match="veribayes list checks"):
        registry.load("check", "tea_leaves")


@pytest.mark.usefixtures("site")
def test_a_probe_of_another_distribution_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "usable", lambda kind: ["looks"])
    subject: Any = SimpleNamespace(seed=7)
    assert probes._answers(subject) == {"looks": {"seed": 7}, "shown": []}
