"""Contexts read from tables: every family and format, and what is refused with its place."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import veribayes as vb
from veribayes.errors import InputError
from veribayes.models._contexts import Contexts, read_contexts
from veribayes.models._task import Task

SPEC = importlib.util.spec_from_file_location("_tables", Path(__file__).with_name("_tables.py"))
assert SPEC is not None
assert SPEC.loader is not None
tables = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tables)
drawn, rows_of, write = tables.drawn, tables.rows_of, tables.write
Row = dict[str, Any]

SIZES = {
    "bn-general5": 3,
    "bn-asia-inference": 0,
    "mtd-q3-m3": 5,
    "hmm-header-5x8": 4,
    "hmm-gaussian-3": 4,
    "gp-rbf-2d": 3,
    "context-switch": 3,
}
QUICK = ("bn-asia-inference", "gp-rbf-2d", "context-switch")  # the others compile for longer
STUDIED = [name if name in QUICK else pytest.param(name, marks=pytest.mark.study) for name in SIZES]
KEYS = [f"k{i}" for i in range(4)]


@cache
def task(name: str) -> Task:
    return vb.task(name)


@cache
def table(name: str) -> list[Row]:
    """Four data sets of one size and one of another."""
    rows = rows_of(task(name), drawn(task(name), SIZES[name], 4), KEYS)
    if not task(name).model.layout.listed:
        return rows
    longer = drawn(task(name), SIZES[name] + 1, 1, seed=9)
    return rows + rows_of(task(name), longer, ["one more"])


def read(name: str, rows: list[Row], path: Path) -> Contexts:
    return read_contexts(task(name), write(rows, path))


@pytest.mark.parametrize("name", STUDIED)
def test_formats_and_orders_of_rows_hold_the_same_contexts(name: str, tmp_path: Path) -> None:
    rows = table(name)
    first = read(name, rows, tmp_path / "a.csv")
    assert sorted(first.keys) == sorted({row["dataset"] for row in rows})
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    for path in ("b.csv.gz", "b.jsonl", "b.jsonl.gz"):
        assert read(name, shuffled, tmp_path / path).digest == first.digest
    import pandas as pd

    assert read_contexts(task(name), pd.DataFrame(shuffled)).digest == first.digest


@pytest.mark.parametrize("name", STUDIED)
def test_arrays_are_those_that_were_drawn(name: str, tmp_path: Path) -> None:
    simulation = drawn(task(name), SIZES[name], 4)
    rows = rows_of(task(name), simulation, KEYS)
    contexts = read(name, rows, tmp_path / "a.csv")
    order = [KEYS.index(key) for key in contexts.keys]
    data, whole = simulation.data, contexts.whole
    for column in task(name).model.layout.columns:
        values = data.arrays[column.name]
        wanted = values if column.shared else values[order]
        np.testing.assert_allclose(whole.data.arrays[column.name], wanted, rtol=1e-15)
    np.testing.assert_allclose(whole.outcome, simulation.outcome[order])
    np.testing.assert_array_equal(whole.context, simulation.context[order])


def arrays() -> dict[str, Any]:
    """A padded batch of the Gaussian process in two dimensions."""
    data = drawn(task("gp-rbf-2d"), 4, 3, queries=2).data
    return {
        "dataset": np.array(["a", "b", "c"]),
        "size": np.array([4, 2, 3]),
        "x": data.arrays["x"],
        "y": data.arrays["y"],
        "x_query": data.arrays["x_query"],
    }


def test_npz_netcdf_and_nested_lists_hold_the_same_contexts(tmp_path: Path) -> None:
    given = arrays()
    np.savez(tmp_path / "a.npz", **given)
    dims = {1: ("dataset",), 2: ("dataset", "observation")}
    variables: dict[str, Any] = {}
    for name, values in given.items():
        variables[name] = (
            dims.get(values.ndim, ("dataset", f"{name}_place", "coordinate")),
            values,
        )
    variables["x"] = (("coordinate", "dataset", "observation"), given["x"].transpose(2, 0, 1))
    xr.Dataset(variables).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    lines = []
    for row, size in enumerate(given["size"].tolist()):
        line = {"dataset": str(given["dataset"][row]), "x": given["x"][row, :size].tolist()}
        line |= {"y": given["y"][row, :size].tolist(), "x_query": given["x_query"][row].tolist()}
        lines.append(json.dumps(line))
    (tmp_path / "a.jsonl").write_text("\n".join(lines[::-1]))
    digests = {read_contexts(task("gp-rbf-2d"), tmp_path / f).digest for f in ("a.npz", "a.nc")}
    digests.add(read_contexts(task("gp-rbf-2d"), tmp_path / "a.jsonl").digest)
    digests.add(read_contexts(task("gp-rbf-2d"), given).digest)
    assert len(digests) == 1
    contexts = read_contexts(task("gp-rbf-2d"), given)
    assert dict(zip(contexts.keys, contexts.sizes.tolist(), strict=True)) == {
        "a": 4,
        "b": 2,
        "c": 3,
    }


def test_parquet_is_read_or_said_to_need_a_package(tmp_path: Path) -> None:
    rows, path = table("mtd-q3-m3"), tmp_path / "a.parquet"
    try:
        write(rows, path)
    except ImportError:
        path.write_bytes(b"PAR1")
        with pytest.raises(InputError, match="pyarrow"):
            read_contexts(task("mtd-q3-m3"), path)
        return
    digest = read("mtd-q3-m3", rows, tmp_path / "a.csv").digest
    assert read_contexts(task("mtd-q3-m3"), path).digest == digest


def test_names_of_nodes_and_states_stand_for_their_numbers(tmp_path: Path) -> None:
    """A row of a network as its owner has it: `asia`, `yes`."""
    name = "bn-asia-inference"
    lines = "dataset,asia,smoke,xray\nann,yes,,\nbob,,no,yes\n"
    (tmp_path / "a.csv").write_text(lines)
    contexts = read_contexts(task(name), tmp_path / "a.csv")
    nodes = task(name).model.asked
    evidence = contexts.whole.data.arrays["evidence"][contexts.keys.index("bob")]
    states = task(name).model.layout.states
    seen = {
        node: states[node][code] for node, code in zip(nodes, evidence, strict=True) if code >= 0
    }
    assert seen == {"smoke": "no", "xray": "yes"}
    asked = contexts.queries[contexts.keys.index("bob")]
    assert set(asked) - {""} == set(nodes) - {"smoke", "xray"}


def spoiled(change: Callable[[list[Row]], object], name: str) -> list[Row]:
    rows = [dict(row) for row in table(name)]
    change(rows)
    return rows


def put(row: int, column: str, value: object) -> Callable[[list[Row]], object]:
    return lambda rows: rows[row].__setitem__(column, value)


BAD = [
    ("mtd-q3-m3", put(2, "y", 3), r"code from 0 to 2 in column 'y' of row 3 of 'bad.csv', got '3'"),
    ("mtd-q3-m3", put(2, "y", None), r"column 'y' of row 3 .*an empty cell"),
    ("mtd-q3-m3", put(2, "y", 0.5), r"code from 0 to 2 .* got '0.5'"),
    ("mtd-q3-m3", put(2, "y", "two"), r"code from 0 to 2 .* got 'two'"),
    ("mtd-q3-m3", put(2, "observation", 1), r"each observation once .* number 1 a second time"),
    ("mtd-q3-m3", put(2, "observation", 20), r"consecutive numbers"),
    ("mtd-q3-m3", put(2, "observation", None), r"a key 'observation' .*never by their order"),
    ("mtd-q3-m3", put(2, "dataset", None), r"a key in column 'dataset' of row 3"),
    ("mtd-q3-m3", put(2, "yy", 1), r"columns of contexts in 'bad.csv', got 'yy'; did you mean"),
    ("gp-rbf-2d", put(1, "x.1", "nan"), r"number in column 'x.1' of row 2 of 'bad.csv', got 'nan'"),
    ("gp-rbf-2d", put(1, "y", "inf"), r"number in column 'y' of row 2 of 'bad.csv', got 'inf'"),
    ("gp-rbf-2d", put(1, "x.2", 1.0), r"got 'x.2'; did you mean"),
    ("gp-rbf-2d", put(1, "x.1", None), r"a number in column 'x.1' of row 2 .*an empty cell"),
    ("gp-rbf-2d", put(3, "outcome", None), r"outcome of every query in 'bad.csv', or of none"),
    ("gp-rbf-2d", lambda rows: rows.append(rows[3]), r"each query of a data set once .*'q0'"),
    pytest.param(
        "hmm-header-5x8",
        put(4, "initial.0", 0.9),
        r"rows of 'initial' .*in the data set 'k0'",
        marks=pytest.mark.study,
    ),
    ("context-switch", put(3, "cue", 2), r"0 or 1, in the data set 'k0' of 'bad.csv'"),
    pytest.param(
        "bn-general5",
        put(0, "rows.A", 7),
        r"one of the states .* in column 'rows.A' of row 1",
        marks=pytest.mark.study,
    ),
]


@pytest.mark.parametrize(("name", "change", "message"), BAD)
def test_what_cannot_be_is_refused_with_its_place(
    name: str, change: Callable[[list[Row]], object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read(name, spoiled(change, name), tmp_path / "bad.csv")


FILES = {
    "a.csv": (b"dataset,dataset\n1,2\n", "stands twice"),
    "b.csv": (b"dataset,y\n1\n", "row 1 has 1 cells, the header 2"),
    "c.csv": (b"dataset,y\n", "at least one row"),
    "d.csv": (b"", "column names"),
    "e.jsonl": (b'{"dataset": 1, "dataset": 2}\n', "stands twice"),
    "f.jsonl": (b'{"dataset": 1}\n[1]\n', "line 2 is no JSON object"),
    "g.npz": (b"PK\x03\x04damaged", "readable table"),
    "h.nc": (b"\x89HDF damaged", "readable table"),
    "i.csv.gz": (b"\x1f\x8b\x08cut", "readable file"),
    "j.txt": (b"dataset,y\n", "ends in .csv"),
    "k.csv": (b"y,observation\n1,0\n", "a key column 'dataset'"),
    "l.csv": (b"\xff\xfe\x00", "readable table"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused(name: str, tmp_path: Path) -> None:
    content, message = FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_contexts(task("mtd-q3-m3"), tmp_path / name)


def test_no_pickle_is_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", dataset=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="readable table"):
        read_contexts(task("mtd-q3-m3"), tmp_path / "a.npz")


PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-data.md"


def test_the_examples_of_the_page_hold_the_same_contexts(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```\n")]
    (tmp_path / "a.csv").write_text(next(b for b in blocks if b.startswith("dataset,")))
    (tmp_path / "a.jsonl").write_text(next(b for b in blocks if b.startswith('{"dataset"')))
    given = vb.task("gp-rbf-1d")
    contexts = read_contexts(given, tmp_path / "a.csv")
    assert read_contexts(given, tmp_path / "a.jsonl").digest == contexts.digest
    assert contexts.queries.tolist() == [["here"]]
    program = next(b for b in text.split("```python\n") if b.startswith("np.savez"))
    names = {"np": np, "xr": xr}
    exec(program.partition("```")[0].replace('"a.', f'"{tmp_path}/a.'), names)
    assert read_contexts(given, tmp_path / "a.npz").digest == contexts.digest
    arrays = read_contexts(given, tmp_path / "a.nc").whole.data.arrays
    for name, values in contexts.whole.data.arrays.items():
        np.testing.assert_array_equal(arrays[name], values)
