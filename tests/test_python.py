"""What a command prints is also there from Python."""

from __future__ import annotations

import pytest

import veribayes as vb


@pytest.mark.study
def test_an_algorithm_is_identified_from_python() -> None:
    entry = vb.identify("mtd-q3-m3", "n_gram", datasets=40)
    assert entry["candidate"] == "n_gram"
    assert entry["datasets"] == 40
    assert entry["nearest"].startswith("n_gram")


@pytest.mark.study
def test_a_network_is_probed_from_python() -> None:
    document = vb.probe("mtd-q3-m3", "mtd-q3-m3")
    assert document["schema"] == "veribayes.probe/1"
    assert document["candidate"] == "mtd-q3-m3"
    assert document["attention"]["labels"][0] == "0"
