"""A plug-in that cannot be used is said by its distribution,
and nothing else fails because of it.
"""

from __future__ import annotations

import html
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from veribayes import cli, registry, report
from veribayes.cli import doctor
from veribayes.errors import PluginWarning

MODULES = {
    "explodes": "raise RuntimeError('no such device')\n",
    "leaves": "import sys\nsys.exit(0)\n",
    "misfits": (
        "number = 3\n\n\nclass Plain:\n    method = 'exact'\n\n\nclass Empty:\n    "
        "pass\n\n\nempty = Empty()\n"
    ),
    "fails": (
        "class Metric:\n    unit = '1'\n\n    def applies(self, candidate, reference):\n        "
        "return True\n\n"
        "    def score(self, *arrays, **options):\n        raise ZeroDivisionError('division by "
        "zero')\n\n\nPART = Metric()\n"
    ),
    "shows": (
        "class Notes:\n    order = 25\n    template = '<h3>Notes</h3><p>{{ note }}</p>'\n\n"
        "    def prepare(self, run, salt):\n"
        "        return {'note': f'{salt}: {run.candidate} <script>alert(1)</script>'}\n\n\n"
        "class Silent(Notes):\n    def prepare(self, run, salt):\n        return None\n\n\n"
        "class Failing(Notes):\n    def prepare(self, run, salt):\n        raise "
        "KeyError('nothing')\n\n\n"
        "class Garbled(Notes):\n    template = '{% if %}'\n\n\n"
        "notes, silent, failing, garbled = Notes(), Silent(), Failing(), Garbled()\n"
    ),
    "works": (
        "import numpy as np\n\n\nclass Metric:\n    unit = 'furlongs'\n\n    def applies(self, "
        "candidate, reference):\n"
        "        return True\n\n    def score(self, candidate, reference, outcome, *, "
        "index=None):\n"
        "        return np.where(np.isnan(outcome), np.nan, 2.0)\n\n\nPART = Metric()\n"
    ),
}
ENTRIES = {
    "veribayes.engine": (
        "broken_engine = explodes:PART",
        "odd-engine = misfits:Plain",
        "nuts = misfits:Plain",
    ),
    "veribayes.metric": (
        "broken_metric = leaves:PART",
        "failing_metric = fails:PART",
        "good_metric = works:PART",
    ),
    "veribayes.task": ("broken-task = nowhere:TASK", "odd-task = misfits:number"),
    "veribayes.construction": ("broken_construction = explodes:PART",),
    "veribayes.test": ("broken_test = misfits:empty",),
    "veribayes.section": (
        "broken_section = misfits:empty",
        "failing_section = shows:failing",
        "garbled_section = shows:garbled",
        "notes = shows:notes",
        "silent_section = shows:silent",
    ),
}
FAULTS = (
    *("broken_engine", "odd-engine", "nuts", "broken_metric", "broken-task", "odd-task"),
    *("broken_construction", "broken_test", "broken_section"),
)
pytestmark = pytest.mark.filterwarnings("always::veribayes.errors.PluginWarning")


def distribution(site: Path, name: str, entries: str) -> None:
    """What an installed distribution leaves beside its modules."""
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entries)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path of Python with a distribution of bad plug-ins, and one that works."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    groups = [f"[{group}]\n" + "\n".join(entries) for group, entries in ENTRIES.items()]
    distribution(folder, "acme_parts", "\n".join(groups))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    forget()
    yield folder
    forget()
    for name in MODULES:
        sys.modules.pop(name, None)


def forget() -> None:
    for read_once in (registry._entries, registry._unreadable, registry._part):
        read_once.cache_clear()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["veribayes", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_doctor_names_every_fault_and_its_distribution(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "actions", dict)  # tests/test_cli.py tries them
    assert run(monkeypatch, "doctor", "--json") == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    for name in FAULTS:
        assert [p for p in problems if f"'{name}'" in p and "'acme_parts'" in p], name
    assert len(problems) == len(FAULTS)


def test_a_damaged_list_of_entry_points_is_named(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system's own reader of all distributions fails for all of them because of one."""
    distribution(site, "damaged", "[veribayes.engine]\nthis is no entry\n")
    forget()
    assert [f.distribution for f in registry.faults() if f.name == "entry_points.txt"] == [
        "damaged"
    ]
    assert run(monkeypatch, "list", "metrics") == 0
    assert "good_metric" in capsys.readouterr().out


def test_a_run_goes_on_without_them(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each that the run would have used; the metric that works is scored."""
    arguments = (
        "verify",
        "bn-general5",
        "--candidate",
        "prior_only",
        "--datasets",
        "40",
        "--audit",
        "0",
    )
    assert run(monkeypatch, *arguments, "--tests", "none", "--json") == 1
    said = capsys.readouterr()
    scores = json.loads(said.out)["results"][0]["scores"]
    assert scores["good_metric"]["estimate"] == 2
    assert scores["good_metric"]["unit"] == "furlongs"
    assert not {"broken_metric", "failing_metric"} & set(scores)
    warned = said.err.strip().splitlines()
    for name in ("broken_metric", "failing_metric"):
        assert [
            line
            for line in warned
            if line.startswith("veribayes: warning: ") and f"'{name}'" in line
        ], name


def test_a_section_of_the_report_is_shown_escaped_and_in_its_place(site: Path) -> None:
    """One that fails, or whose template cannot be read, is said and left out;
    one may have nothing to show.
    """
    run = _fake_run().mtd(40)
    with pytest.warns(PluginWarning) as warned:
        page = report.build([run])
    text = html.unescape(page)
    assert "<h3>Notes</h3><p>1: my-network &lt;script&gt;alert(1)&lt;/script&gt;</p>" in page
    assert "<script" not in page
    places = [text.index(f"<h3>{title}") for title in ("Verdict", "Notes", "What else would pass")]
    assert places == sorted(places)
    said = [str(warning.message) for warning in warned]
    for name in ("broken_section", "failing_section", "garbled_section"):
        assert len([line for line in said if f"'{name}'" in line and "'acme_parts'" in line]) == 1
    assert len(said) == 3


def _fake_run() -> Any:
    path = Path(__file__).with_name("_fake_run.py")
    spec = importlib.util.spec_from_file_location("_fake_run", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["_fake_run"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("what", ["engines", "metrics", "tasks", "candidates", "tests"])
def test_list_leaves_them_out(
    what: str, site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "list", what) == 0
    said = capsys.readouterr()
    assert "broken" not in said.out
    assert "broken" in said.err
    assert "'acme_parts'" in said.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("verify", "bn-general5", "--candidate", "broken-engine"), "RuntimeError: no such device"),
        (("verify", "bn-general5", "--reference", "odd-engine"), "a dataclass of its options"),
        (("verify", "broken-task"), "ModuleNotFoundError"),
        (("verify", "odd-task"), "model, design"),
        (("verify", "mtd-q5-m3", "--candidate", "broken_construction"), "no such device"),
        (("calibrate-engine", "mtd-q5-m3", "--engine", "broken_engine"), "no such device"),
    ],
)
def test_asking_for_one_by_name_says_why(
    arguments: tuple[str, ...],
    reason: str,
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert "'acme_parts'" in said
    assert "unexpected" not in said
