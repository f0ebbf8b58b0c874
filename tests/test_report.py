"""The report: built from stored files alone, self-contained, safe with any name,
and true to the numbers of the run.
"""

from __future__ import annotations

import html.parser
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from markupsafe import Markup
from matplotlib.figure import Figure

from veribayes import registry, report
from veribayes.errors import InputError
from veribayes.models import BayesianNetwork, NumPyroModel
from veribayes.report import _cases, _panels, _svg, figures
from veribayes.report import _words as words
from veribayes.report._run import read
from veribayes.tree.shown import Example

HERE = Path(__file__).resolve().parent
HOSTILE = '<script>alert("x")</script>\'"&$\\frac{$`| ../../etc ✓\n漢'
SVG = {
    "svg",
    "g",
    "path",
    "use",
    "defs",
    "clippath",
    "rect",
    "line",
    "circle",
    "text",
    "tspan",
    "style",
}
HTML = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "main",
        "footer",
        "section",
        "article",
    ),
    *(
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "a",
        "b",
        "span",
        "div",
        "dl",
        "dt",
        "dd",
        "ul",
        "li",
        "br",
        "pre",
    ),
    *(
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "figure",
        "figcaption",
        "details",
        "summary",
    ),
}


def _module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


fake = _module("_fake_run")


@pytest.fixture(scope="module")
def trees() -> dict[str, xr.DataTree]:
    return {"bn": fake.bayesian_network(), "mtd": fake.mtd(), "gp": fake.gaussian_process()}


@pytest.fixture(scope="module")
def page(trees: dict[str, xr.DataTree]) -> str:
    return report.build(list(trees.values()))


class Parsed(html.parser.HTMLParser):
    """Tags, attributes and visible text of a page; unbalanced tags are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if self.open and self.open[-1] != "style" else ""

    def values(self, attribute: str) -> list[str]:
        return [str(a[attribute]) for _, a in self.tags if attribute in a]


def shown(text: str) -> str:
    """Visible text in one line; every kind of space is a plain one."""
    return " ".join(Parsed(text).text.split())


def test_the_page_stands_alone(page: str) -> None:
    parsed = Parsed(page)
    assert {tag for tag, _ in parsed.tags} <= HTML | SVG
    assert not [
        a for _, attributes in parsed.tags for a in attributes if a.startswith("on") or a == "src"
    ]
    assert set(re.findall(r"\w+://[^\s\"'<)]+", page)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in page
    assert "@font-face" not in page


def test_identifiers_are_unique_and_every_reference_resolves(page: str) -> None:
    parsed = Parsed(page)
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    targets = [
        v for v in (*parsed.values("href"), *parsed.values("xlink:href")) if v.startswith("#")
    ]
    targets += re.findall(r"url\((#[^)]+)\)", page)
    assert {t.removeprefix("#") for t in targets} <= set(ids)
    assert all(v.startswith("#") for v in parsed.values("href"))


def test_a_stranger_can_read_what_was_compared_and_decided(
    page: str, trees: dict[str, xr.DataTree]
) -> None:
    text = shown(page)
    for tree in trees.values():
        entry = json.loads(tree.attrs["result"])
        assert entry["description"] in text
        assert f"is {entry['verdict']} when compared with exact inference at a tolerance of" in text
    assert "Bayesian network of 5 nodes and 5 edges: A, B, C ← (A, B), D ← (A, C), E ← (D)" in text
    assert "mixture of transition distributions over 5 symbols and 3 lags" in text
    assert (
        "Gaussian process with kernel rbf (amplitude 1, lengthscale 0.8); noise standard "
        "deviation 0.2" in text
    )
    assert "conjugate; certificate: trusted: exact, error at most 1.0" in text
    assert (
        "Defects that show in fewer than ln 40/n = 3.7/n = 1.5 % of contexts are not excluded by "
        "240 data sets." in text
    )
    assert "The tolerance also lets pass: mirror descent." in text
    assert "there are too few data sets to call it equivalent" in text
    assert "About 200 data sets would settle it." in text
    assert "standard deviation of z 0.97" in text
    assert "New row with A = " in text
    assert "could not be read" not in text


def test_a_verdict_is_never_colour_alone(page: str) -> None:
    for verdict in words.VERDICTS.values():
        badge = (
            f'<span class="badge {verdict.word}"><span aria-hidden="true">{verdict.symbol}</span> '
            f"{verdict.word}"
        )
        assert badge in page


def test_figures_follow_the_theme_and_say_what_they_are(page: str) -> None:
    pictures = re.findall(r"<svg .*?</svg>", page, flags=re.DOTALL)
    assert len(pictures) > 20
    for picture in pictures:
        assert 'role="img" aria-label="' in picture
        assert not re.findall(r"#[0-9a-f]{6}\b", picture), "a colour that does not follow the theme"
    variables = set(re.findall(r"var\((--\w+)\)", page))
    assert variables <= set(re.findall(r"(--\w+):", page))


@pytest.fixture(scope="module")
def hostile() -> xr.DataTree:
    tree = fake.bayesian_network(60, nodes=(HOSTILE, "B", "C", "D", "<b>"))
    entry = json.loads(tree.attrs["result"])
    rivals = {HOSTILE: entry["rivals"]["wrong_prior"]}
    reference = {
        "engine": HOSTILE,
        "certificate": {"verdict": HOSTILE, "method": HOSTILE, "reasons": [HOSTILE]},
    }
    scores = {HOSTILE: {"estimate": 1.0, "low": 0.0, "high": 2.0, "unit": HOSTILE}}
    tree = fake.changed(
        tree,
        task=HOSTILE,
        task_hash=HOSTILE,
        candidate=HOSTILE,
        candidate_kind=HOSTILE,
        description=HOSTILE,
        rivals=rivals,
        reference=reference,
        scores=scores,
        findings=[{"name": HOSTILE, "text": HOSTILE}, HOSTILE],
        verdict=HOSTILE,
        primary={**entry["primary"], "unit": HOSTILE, "metric": HOSTILE},
        audit={"verdict": HOSTILE, "datasets": HOSTILE},
    )
    tree.attrs["provenance"] = json.dumps({HOSTILE: HOSTILE})
    return tree


def test_names_from_files_are_text_and_nothing_else(hostile: xr.DataTree) -> None:
    page = report.build([hostile])
    parsed = Parsed(page)
    assert {tag for tag, _ in parsed.tags} <= HTML | SVG
    assert not [a for _, attributes in parsed.tags for a in attributes if a.startswith("on")]
    assert " ".join(HOSTILE.split()) in shown(page)
    assert parsed.values("id").count("task-1") == 1


def test_markdown_keeps_names_inside_their_cells(
    hostile: xr.DataTree, trees: dict[str, xr.DataTree]
) -> None:
    lines = report.markdown([hostile, trees["mtd"]]).splitlines()
    assert len(lines) == 4
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {8}
    assert "<script>" not in lines[2]
    assert "≈ equivalent" in lines[3]
    assert "mirror descent" in lines[3]


def test_a_run_is_read_from_a_folder_a_file_or_a_tree(
    tmp_path: Path, trees: dict[str, xr.DataTree]
) -> None:
    tree = trees["bn"]
    tree.to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    for run in (read(tmp_path), read(tmp_path / "run.nc"), read(str(tmp_path))):
        assert (run.result, run.provenance) == (read(tree).result, read(tree).provenance)
        xr.testing.assert_equal(run.tree, tree)
        assert (
            _cases.cases(run, "worst", 3)[2].score == _cases.cases(read(tree), "worst", 3)[2].score
        )


def test_write_replaces_the_file_and_leaves_nothing_else(
    tmp_path: Path, trees: dict[str, xr.DataTree]
) -> None:
    path = tmp_path / "new" / "report.html"
    report.write([trees["mtd"]], path)
    first = path.read_text(encoding="utf-8")
    path.write_text("old", encoding="utf-8")
    report.write([trees["mtd"]], path)
    assert first.startswith("<!DOCTYPE html>")
    assert path.read_text(encoding="utf-8") == first, "the same run gives the same page"
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_what_is_no_run_is_refused(tmp_path: Path, trees: dict[str, xr.DataTree]) -> None:
    (tmp_path / "run.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40))
    other, garbled = trees["mtd"].copy(), trees["mtd"].copy()
    other.attrs = {**other.attrs, "schema": "veribayes.run/9"}
    garbled.attrs = {**garbled.attrs, "result": "{"}
    for source in (tmp_path, tmp_path / "none", other, garbled):
        with pytest.raises(InputError):
            report.build([source])
    with pytest.raises(InputError, match="at least one run"):
        report.build([])


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not rendered, which is most of the time of a page."""
    monkeypatch.setattr(_svg, "inline", lambda figure, label, salt: Markup("<svg></svg>"))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "absent",
    [
        ("/audit",),
        ("/examples",),
        ("/examples/observed",),
        ("/examples/prior_only",),
        ("/examples/reference",),
        ("/verdict",),
        ("/observed_data",),
        ("/scores",),
        ("/audit", "/examples", "/verdict", "/observed_data", "/scores"),
    ],
)
def test_every_group_is_optional(trees: dict[str, xr.DataTree], absent: tuple[str, ...]) -> None:
    assert "is different when compared" in shown(report.build([fake.without(trees["bn"], *absent)]))


@pytest.mark.usefixtures("undrawn")
def test_every_key_of_the_result_is_optional(trees: dict[str, xr.DataTree]) -> None:
    bare = xr.DataTree()
    bare.attrs = {**trees["bn"].attrs, "result": '{"task": "only a name"}'}
    assert "only a name" in shown(report.build([bare]))
    assert "only a name" in report.markdown([bare])
    empty = fake.changed(trees["mtd"], **dict.fromkeys(json.loads(trees["mtd"].attrs["result"])))
    text = Parsed(re.sub(r"<pre>.*?</pre>", "", report.build([empty]), flags=re.DOTALL)).text
    assert "unnamed task" in text
    assert "None" not in text


def test_what_stands_beside_the_endpoint_is_shown(trees: dict[str, xr.DataTree]) -> None:
    interval = {"estimate": 0.132, "low": 0.113, "high": 0.156, "unit": "nats a query"}
    band = [0.5, 0.6, 0.7]
    entry = json.loads(trees["gp"].attrs["result"])
    tree = fake.changed(
        trees["gp"],
        verdict="different",
        primary={**entry["primary"], "verdict": "equivalent"},
        secondary={
            "datasets": 200,
            "adjusted": {
                "joint_kl": 0.004,
                "rosenblatt": 0.0,
                "pit_uniform": 0.4,
                "hpd coverage 90%": 1.0,
                "reliability": 0.5,
            },
            "endpoints": {
                "joint_kl": {
                    **interval,
                    "label": "KL between the joint predictives of all queries",
                    "tolerance": 0.0106,
                    "verdict": "different",
                }
            },
            "tests": {
                "rosenblatt": {
                    "adjusted": 0.0,
                    "n": 200,
                    "worst": "correlation 1, 2",
                    "label": "joint draws are white under the exact predictive",
                },
                "pit_uniform": {"adjusted": 0.4, "n": 240, "worst": "KS"},
            },
            "joint": {
                "sliced_w2": {
                    **interval,
                    "unit": "unit of y",
                    "floor": 0.11,
                    "regret": interval,
                    "label": "sliced Wasserstein-2 distance",
                }
            },
        },
        calibration={
            "coverage": [
                {"kind": "hpd", "level": 0.9, "estimate": 0.902, "low": 0.88, "high": 0.92}
            ],
            "reliability": {
                **dict.fromkeys(("confidence", "hit", "low", "high"), band),
                **dict.fromkeys(
                    ("miscalibration", "discrimination", "uncertainty", "smooth_error", "floor"),
                    0.01,
                ),
            },
        },
        concentration={
            "searched": 12,
            "groups": [
                {
                    "group": "context size 64",
                    "ratio": 3.0,
                    "low": 2.5,
                    "share": 0.84,
                    "weight": 0.14,
                    "p_value": 5e-4,
                }
            ],
        },
        multiplicity={"secondary": "Holm over 5 p-values"},
    )
    text = shown(report.build([tree]))
    for words_shown in (
        "predictions of single queries are equivalent, but a secondary endpoint is significantly "
        "beyond",
        "KL between the joint predictives of all queries",
        "0.132 [0.113, 0.156]",
        "nats a query",
        "≠ different",
        "no: correlation 1, 2",
        "not refuted",
        "sliced Wasserstein-2 distance",
        "region of highest density",
        "Smooth calibration error",
        "context size 64",
        "all 12 groups",
        "Holm over 5 p-values",
    ):
        assert words_shown in text
    assert figures.reliability(tree).axes
    stopped = fake.changed(trees["gp"], verdict="different", sequential={"stopped": True})
    assert "The run ended early" in shown(report.build([stopped]))


def test_every_section_has_its_place_and_its_partial() -> None:
    """A section is one file and its partial;
    two in one place would stand in the order of their names.
    """
    sections = {name: registry.load("section", name) for name in registry.names("section")}
    orders = [section.order for section in sections.values()]
    assert len(set(orders)) == len(orders)
    for name, section in sections.items():
        partial = Path(report.__file__).parent / "templates" / f"{name}.html"
        assert section.template == partial.read_text("utf-8"), name


@pytest.mark.usefixtures("undrawn")
def test_an_infinite_divergence_is_said_and_drawn(trees: dict[str, xr.DataTree]) -> None:
    entry = json.loads(trees["mtd"].attrs["result"])
    unknown = {"estimate": None, "low": None, "high": None}
    primary = {
        **entry["primary"],
        **unknown,
        "upper": None,
        "minimum_detectable": None,
        "infinite_share": 0.125,
    }
    tree = fake.changed(
        trees["mtd"],
        verdict="different",
        primary=primary,
        recovery=unknown,
        curve={**entry["curve"], "metric": "js"},
        scores={"kl_reverse": {**unknown, "unit": "nats", "infinite_share": 0.5}},
        findings=[
            {
                "name": "zero_probability",
                "text": "exact mass .02 on what the candidate calls impossible",
            }
        ],
    )
    tree["scores/candidate"]["kl"].values[:10] = np.inf
    text = shown(report.build([tree]))
    assert "The divergence is infinite in 12.5 % of the data sets" in text
    assert "infinite in 50 % of data sets" in text
    assert "exact mass .02" in text
    assert (
        "Mean Jensen–Shannon divergence by the number of symbols read, because the primary metric "
        "is infinite" in text
    )
    assert "∞ nats" in report.markdown([tree])
    assert np.isnan(figures._tolerance(read(tree))), (
        "the tolerance belongs to the primary metric, not to JS"
    )


def _example_laws(form: str, reference: xr.Dataset) -> dict[str, Any]:
    """The reference's predictives of /examples in another continuous form."""
    cell, (mean, sd) = (
        ("example", "position", "query"),
        (reference[n].values for n in ("mean", "sd")),
    )
    rng, levels = np.random.default_rng(0), np.linspace(0.05, 0.95, 19)
    z = np.quantile(rng.standard_normal(10_000), levels)
    return {
        "normal": {"mean": (cell, mean), "sd": (cell, sd)},
        "mixture": {
            "weights": ((*cell, "component"), np.full((*mean.shape, 2), 0.5)),
            "mean": ((*cell, "component"), np.stack([mean, mean + 0.1], -1)),
            "sd": ((*cell, "component"), np.stack([sd, sd], -1)),
        },
        "quantiles": {
            "levels": ("level", levels),
            "values": ((*cell, "level"), mean[..., None] + sd[..., None] * z),
        },
        "draws": {
            "draws": (
                (*cell, "draw"),
                mean[..., None] + sd[..., None] * rng.standard_normal((*mean.shape, 50)),
            )
        },
    }[form]


@pytest.mark.parametrize("form", ["normal", "mixture", "quantiles", "draws"])
def test_every_continuous_form_is_drawn(trees: dict[str, xr.DataTree], form: str) -> None:
    laws = _example_laws(form, trees["gp"]["examples/reference"].to_dataset())
    run = read(fake.with_branch(trees["gp"], "candidate", laws, form))
    (case,) = _cases.cases(run, "worst", 1)
    function, density = figures.examples([case]).axes
    assert function.get_xlabel() == "x"
    (line,) = [a for a in density.lines if a.get_label() == "candidate"]
    area = float(np.trapezoid(*np.asarray(line.get_data())[::-1]))
    assert (
        0.85 < area < 1.01
    )  # quantiles say nothing beyond 5 % and 95 %; measured .90, draws .95, the others .998


def test_draws_of_categories_are_drawn_as_frequencies(trees: dict[str, xr.DataTree]) -> None:
    probs = trees["mtd"]["examples/reference"]["probs"].values
    draws = np.random.default_rng(0).integers(0, 5, (*probs.shape[:-1], 40)).astype(float)
    laws = {"draws": (("example", "position", "query", "draw"), draws)}
    (case,) = _cases.cases(
        read(fake.with_branch(trees["mtd"], "candidate", laws, "draws")), "worst", 1
    )
    (axes,) = figures.examples([case]).axes
    heights = [bar.get_height() for bar in axes.patches]
    assert sum(heights[5:]) == pytest.approx(1.0)


def test_the_worst_example_is_shown_at_its_worst_cell(trees: dict[str, xr.DataTree]) -> None:
    run = read(trees["bn"])
    (case,) = _cases.cases(run, "worst", 1)
    row = case.index - fake.FIRST
    scores = run.scores
    assert scores is not None
    assert case.score == scores[row].max()
    assert case.labels == ("no", "yes")
    context = case.shown
    assert list(context.head) == ["A", "B", "C", "D", "E", "rows"]
    assert sum(int(line[-1].split()[0]) for line in context.rows) == case.context
    assert context.text.endswith(f"asked: {'ABCDE'[case.query]}.")


def test_partial_evidence_is_written_as_known_values() -> None:
    """Inference in a known network."""
    model = BayesianNetwork(
        list("ABC"),
        {"C": ["A", "B"]},
        {n: ["no", "yes"] for n in "ABC"},
        cpts=[[0.4, 0.6], [0.3, 0.7], [[0.5, 0.5]] * 4],
    )
    arrays = {"evidence": np.array([1, 0, -1]), "target": np.arange(3)}
    assert model.show(Example(arrays, 2, 2)).text == "Observed: A = yes, B = no; asked: C."
    nothing = {**arrays, "evidence": np.full(3, -1)}
    assert model.show(Example(nothing, 0, 2)).text == "Observed: nothing; asked: C."
    assert model.layout.one == "node observed"


def test_a_run_without_words_is_shown_without_them(trees: dict[str, xr.DataTree]) -> None:
    """As older versions wrote it: no sentence, no words for observations, no examples as text."""
    tree = trees["gp"].copy(deep=True)
    entry = {k: v for k, v in json.loads(tree.attrs["result"]).items() if k != "words"}
    kept = tree["examples"].to_dataset().drop_vars(["shown", "worst_position", "worst_query"])
    tree = xr.DataTree.from_dict({**tree.to_dict(), "/examples": kept})
    tree.attrs = {**trees["gp"].attrs, "result": json.dumps(entry)}
    run = read(tree)
    (case,) = _cases.cases(run, "worst", 1)
    assert run.observations(8) == "8 observations"
    assert not _panels.is_line(case)
    assert "was not stored" in case.shown.text
    assert words.model(run.model_sentence, run.model).startswith("gaussian process: kernel rbf")


def test_the_curve_draws_the_stored_numbers(trees: dict[str, xr.DataTree]) -> None:
    verdict = trees["bn"]["verdict"]
    (axes,) = figures.curve(trees["bn"]).axes
    drawn = {line.get_label(): np.asarray(line.get_ydata()) for line in axes.lines}
    np.testing.assert_allclose(drawn["candidate, 95 % band"], verdict["estimate"].values)
    np.testing.assert_allclose(drawn["prior only"], verdict["prior_only_estimate"].values)
    tolerance = json.loads(trees["bn"].attrs["result"])["primary"]["tolerance"]
    np.testing.assert_allclose(drawn["tolerance (of the overall mean)"], tolerance)


def test_values_below_the_axis_are_drawn_at_its_end(trees: dict[str, xr.DataTree]) -> None:
    tree = trees["mtd"].copy(deep=True)
    for name in ("estimate", "low", "high"):
        tree["verdict"][name].values[:] = 0.0
    tolerance = json.loads(tree.attrs["result"])["primary"]["tolerance"]
    (axes,) = figures.curve(tree).axes
    lowest = min(np.asarray(line.get_ydata(), dtype=float).min() for line in axes.lines)
    assert lowest >= figures.LOWEST * tolerance


def test_pit_is_a_density_with_whiskers_over_data_sets(trees: dict[str, xr.DataTree]) -> None:
    values = trees["gp"]["scores/candidate"]["pit"].values
    height, half = figures._pit_heights(values)
    assert height.mean() == pytest.approx(1.0)
    assert half is not None
    assert np.all(half > 0)
    assert figures._pit_heights(values[:20])[1] is None


def test_figures_are_figures_and_leave_the_settings_alone(trees: dict[str, xr.DataTree]) -> None:
    before = dict(mpl.rcParams)
    runs = list(trees.values())
    made = [
        figures.overview(runs),
        *(f(runs[0]) for f in (figures.curve, figures.queries, figures.audit, figures.pit)),
    ]
    assert all(isinstance(figure, Figure) for figure in made)
    labels = [t.get_text() for t in made[0].axes[0].get_yticklabels()]
    assert labels == [
        "bn-general5",
        "wrong prior",
        "prior only",
        "mtd-q5-m3",
        "mirror descent",
        "prior only",
        "gp-rbf-1d",
        "wrong prior",
        "prior only",
    ]
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in Path(figures.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("entry", "power", "text"),
    [
        ((0.0031, 0.0028, 0.0034), 0, "0.0031 [0.0028, 0.0034]"),
        ((1.23, 0.7, 1.7), 0, "1.2 [0.7, 1.7]"),
        ((1.03e-4, 9.0e-5, 1.15e-4), 0, "1.03 [0.90, 1.15] × 10⁻⁴"),
        ((1.03e-4, 9.0e-5, 1.15e-4), -3, "0.103 [0.090, 0.115] × 10⁻³"),
        ((4.3e-29, 1e-29, 1.33e-28), -3, "4.3 [1.0, 13.3] × 10⁻²⁹"),
        ((-0.002, -0.005, 0.001), 0, "−0.0020 [−0.0050, 0.0010]"),
        ((0.0, 0.0, 0.0), 0, "0 [0, 0]"),
        ((None, None, None), 0, "–"),
        ((0.5, None, None), 0, "0.50"),
    ],
)
def test_intervals_carry_the_digits_they_support(
    entry: tuple[float | None, ...], power: int, text: str
) -> None:
    named = dict(zip(("estimate", "low", "high"), entry, strict=True))
    assert str(words.interval(named, power)).replace(words.THIN, " ") == text


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ((0.987, 0.986, 0.988), "98.70 % [98.60, 98.80]"),
        ((0.5, 0.3, 0.6), "50.0 % [30.0, 60.0]"),
        ((-2e-16, None, None), "0.0 %"),
        ((-0.25, -0.5, -0.1), "−25.0 % [−50.0, −10.0]"),
        ((1.0, 1.0, 1.0), "100.0 % [100.0, 100.0]"),
        ((None, None, None), "–"),
    ],
)
def test_recovery_in_percent(entry: tuple[float | None, ...], text: str) -> None:
    named = dict(zip(("estimate", "low", "high"), entry, strict=True))
    assert str(words.percent(named)).replace(words.THIN, " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (float("nan"), "–"),
        (float("inf"), "∞"),
        (None, "–"),
        (True, "–"),
        ("<b>", "–"),
        (1234567.0, "1.2 × 10⁶"),
        (0.0123, "0.012"),
        (99.96, "100"),
        (-3e-7, "−3.0 × 10⁻⁷"),
    ],
)
def test_numbers(value: object, text: str) -> None:
    assert words.number(value).replace(words.THIN, " ") == text


def test_powers_of_ten_follow_the_tolerance() -> None:
    assert [words.power_for(t) for t in (0.02, 1e-3, 8e-4, 1.2e-4, 2e-5, 0.0, None)] == [
        0,
        0,
        -3,
        -3,
        -6,
        0,
        0,
    ]


WITHOUT = """
import sys
from pathlib import Path
for name in ("torch", "jax", "numpyro", "pgmpy"):
    sys.modules[name] = None  # importing it is an error
from veribayes import report
report.write([Path(sys.argv[1])], Path(sys.argv[2]))
print(report.markdown([Path(sys.argv[1])]))
print(sorted(m for m in sys.modules if m.split(".")[0] in ("arviz", "matplotlib.pyplot")))
"""


def test_the_report_needs_neither_torch_nor_jax(
    tmp_path: Path, trees: dict[str, xr.DataTree]
) -> None:
    trees["gp"].to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    command = [sys.executable, "-c", WITHOUT, str(tmp_path), str(tmp_path / "report.html")]
    path = str(HERE.parent / "src")
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONPATH": path, "PATH": ""}
    )
    assert done.returncode == 0, done.stderr
    assert "gp-rbf-1d" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
    assert "undecided" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_family_without_words_says_names_types_and_shapes() -> None:
    """A program's `y` is no sequence of symbols, nor its `x` and `x_query` points."""
    arrays = {
        "y": np.array([0.5, 1.5]),
        "x": np.zeros((2, 1)),
        "x_query": np.arange(3),
        "target": np.arange(1),
    }
    model = NumPyroModel(_program, {"y": arrays["y"]})
    found = model.show(Example(arrays, 2, 0))
    assert [tuple(row) for row in found.rows] == [
        ("x", "real", "2 × 1"),
        ("x_query", "integer", "3"),
        ("y", "real", "2"),
    ]
    assert found.line is None


def _program(y: object = None) -> None:
    import numpyro
    from numpyro import distributions as dist

    numpyro.sample(
        "y", dist.Normal(numpyro.sample("mu", dist.Normal(0.0, 1.0)), 1.0).expand([2]), obs=y
    )


def test_moments_have_no_histogram_of_where_outcomes_fall(trees: dict[str, xr.DataTree]) -> None:
    """What a program's latents are predicted by are moments;
    a normal with these is no statement of the candidate.
    """
    said, drawn = "moments and state no region", "Where outcomes fall in the candidate"
    tree = trees["gp"].copy()
    assert drawn in report.build([tree])
    assert said not in report.build([tree])
    result = json.loads(tree.attrs["result"])
    tree.attrs = {
        **tree.attrs,
        "result": json.dumps({**result, "words": {**result["words"], "moments": True}}),
    }
    assert drawn not in report.build([tree])
    assert said in report.build([tree])
