"""A run that an older version wrote opens, and its report says what it said then."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from veribayes.cli import main
from veribayes.report import _run

STORED = Path(__file__).resolve().parent / "documents" / "2026-11-22-run.nc.xz"


@pytest.fixture(scope="module")
def old_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`veribayes verify bn-general5 --datasets 30`, written on 22 November 2026."""
    path = tmp_path_factory.mktemp("old") / "run.nc"
    path.write_bytes(lzma.decompress(STORED.read_bytes()))
    return path


def test_it_is_read_without_words_of_its_family(old_run: Path) -> None:
    run = _run.read(old_run)
    assert run.result["task"] == "bn-general5"
    assert run.result["verdict"] == "undecided"
    assert run.result["primary"]["estimate"] == pytest.approx(2.54e-6, rel=1e-2)
    assert "words" not in run.result


def test_its_report_is_made(old_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "report.html"
    monkeypatch.setattr("sys.argv", ["veribayes", "report", str(old_run), "--out", str(page)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    text = page.read_text(encoding="utf-8")
    for shown in ("bn-general5", "undecided", "observations"):
        assert shown in text
