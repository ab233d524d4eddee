"""Predictions at rest: what the page about them says of every column is so, and its code reads them."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import duckdb
import menagerie_contract as contract
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_service import predictions
from model_service.inference import Inference
from model_service.looks import Look
from model_service.predictions import BadPredictions, Origin, Writer
from model_service.storage import open_store
from tests.model_service.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "predictions.md").read_text()
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COLUMNS = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([A-Z0-9]+(?: REPEATED)?) \|", PAGE, re.MULTILINE)
CLASSES = ["cat", "dog", "gnu", "ibex", "okapi", "zebra"]
DIMENSIONS = 4
# What a Parquet file's columns become in BigQuery, with lists inferred:
# https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#type_conversions
BIGQUERY = {
    ("BYTE_ARRAY", "String"): "STRING",
    ("INT64", "None"): "INT64",
    ("FLOAT", "None"): "FLOAT64",
    ("FIXED_LEN_BYTE_ARRAY", "None"): "BYTES",
}


@pytest.fixture
def predicted(tmp_path: Path) -> str:
    """A bucket with the predictions of a run of 30 pictures in three shards."""
    root = tmp_path / "animals_predicted"
    root.mkdir()
    random = np.random.default_rng(7)
    for index in range(3):
        write(f"file://{root}", index, random.dirichlet(np.ones(6), 10), random.normal(size=(10, DIMENSIONS)))
    return f"file://{root}"


def origin(index: int = 0, dimensions: int | None = DIMENSIONS) -> Origin:
    shard = contract.shard("gs://animals_models", "r1/00000-c0ff", "train", index)
    return Origin(CLASSES, "v1", "1", "bf16", shard, "ab" * 32, dimensions)


def write(bucket: str, index: int, probabilities: Any, embeddings: Any, dimensions: int | None = DIMENSIONS) -> Path:
    path = Path(contract.predictions(bucket, "r1", origin(index).shard).removeprefix("file://"))
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = Writer(path, origin(index, dimensions))
    for n, (one, embedding) in enumerate(zip(probabilities.astype(np.float32), embeddings, strict=True)):
        key = f"{10 * index + n:020x}"
        known = {"key": key, "uri": f"gs://animals_all/cat_{n}.jpg", "generation": 2**62 + n}
        inference = Inference(one, embedding.astype(np.float32))
        writer.add(known | {"split": "train", "label": CLASSES[n % 6]}, inference, Look(0.5, 0.01 * n))
    writer.close()
    return path


def tables(predicted: str) -> pa.Table:
    return pa.concat_tables(table for _, table in predictions.tables(predicted, "r1"))


def test_a_file_comes_back_with_its_origin_one_at_a_time_in_order(predicted: str) -> None:
    shards = []
    for number, (metadata, table) in enumerate(predictions.tables(predicted, "r1")):
        shards.append(metadata["shard"])
        assert predictions.origin(table.schema) == origin(number)
        assert metadata["classes"].split("\n") == CLASSES
        assert table["key"].to_pylist() == [f"{n:020x}" for n in range(10 * number, 10 * number + 10)]
    assert shards == [origin(number).shard for number in range(3)]


def test_only_the_columns_asked_for_are_read(predicted: str) -> None:
    for _, table in predictions.tables(predicted, "r1", ["key", "probabilities"]):
        assert table.column_names == ["key", "probabilities"]


def test_of_a_model_without_embeddings_there_is_no_such_column(predicted: str) -> None:
    write(predicted, 3, np.full((1, 6), 1 / 6), np.zeros((1, DIMENSIONS)), dimensions=None)
    *_, (metadata, table) = predictions.tables(predicted, "r1", ["key", "embedding"])
    assert (metadata["dimensions"], table.column_names) == ("", ["key"])


def test_a_run_that_predicted_nothing_has_no_files(predicted: str) -> None:
    assert list(predictions.tables(predicted, "another")) == []
    assert len(predictions.names(open_store(predicted), "r1")) == 3


def test_embeddings_come_back_as_numbers(predicted: str) -> None:
    random = np.random.default_rng(7)
    for _, table in predictions.tables(predicted, "r1", ["embedding"]):
        random.dirichlet(np.ones(6), 10)
        expected = random.normal(size=(10, DIMENSIONS)).astype(np.float32).astype(np.float16)
        np.testing.assert_array_equal(predictions.embeddings(table), expected)
        np.testing.assert_array_equal(predictions.embeddings(table.slice(3, 5)), expected[3:8])


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    rows = random.dirichlet(np.ones(6), 10), random.normal(size=(10, DIMENSIONS))
    one, two = (write(f"file://{tmp_path / name}", 0, *rows) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


# What is wrong with a file.


def test_no_changed_byte_of_a_file_is_read_as_a_prediction(predicted: str) -> None:
    """Every 7th byte: refused, or (of what nothing depends on, such as statistics) without effect. No other error."""
    path = Path(contract.predictions(predicted, "r1", origin().shard).removeprefix("file://"))
    whole = path.read_bytes()
    expected = predictions.File("it", whole).read()
    refused = 0
    for at in range(0, len(whole), 7):
        data = bytearray(whole)
        data[at] ^= 0xFF
        try:
            assert predictions.File("it", bytes(data)).read().equals(expected), at
        except BadPredictions:
            refused += 1
    assert refused > len(whole) / 7 / 2


def test_a_probability_that_is_no_number_is_neither_written_nor_read(predicted: str, tmp_path: Path) -> None:
    probabilities = np.full((1, 6), np.nan)
    with pytest.raises(BadPredictions, match="v1 gives probabilities that are no numbers"):
        write(f"file://{tmp_path}", 0, probabilities, np.zeros((1, DIMENSIONS)))
    path = Path(contract.predictions(predicted, "r1", origin().shard).removeprefix("file://"))
    table = pq.read_table(path)
    at = table.schema.get_field_index("probabilities")
    values = pa.array(np.full(6 * len(table), np.inf, np.float32))
    column = pa.FixedSizeListArray.from_arrays(values, 6)
    pq.write_table(table.set_column(at, table.schema.field(at), column), path)
    with pytest.raises(
        BadPredictions, match=f"{path.name} is damaged: column probabilities has values that are no num"
    ):
        list(predictions.tables(predicted, "r1"))


def test_what_else_lies_among_them_is_warned_of(predicted: str, caplog: pytest.LogCaptureFixture) -> None:
    stray = Path(contract.predictions(predicted, "r1", origin().shard).removeprefix("file://")).with_name("notes.txt")
    stray.write_text("mine")
    assert len(list(predictions.tables(predicted, "r1"))) == 3
    assert [line for line in caplog.messages if "r1/predictions/notes.txt is no file of predictions" in line]


# Other programs.


def test_pandas_reads_it(predicted: str) -> None:
    frame = pd.read_parquet(f"{predicted.removeprefix('file://')}/r1/predictions")
    expected = tables(predicted).to_pandas()
    pd.testing.assert_frame_equal(frame.sort_values("key", ignore_index=True), expected)
    assert frame["probability"].dtype == np.float32
    assert np.stack(frame["probabilities"]).shape == (30, 6)
    assert frame["generation"].dtype == np.int64
    assert all(len(value) == 2 * DIMENSIONS for value in frame["embedding"])


def test_duckdb_reads_it(predicted: str) -> None:
    with duckdb.connect() as database:
        found = database.execute(
            f"SELECT * FROM read_parquet('{predicted.removeprefix('file://')}/r1/predictions/*.parquet') ORDER BY key"
        )
        names = [column[0] for column in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    expected = tables(predicted).to_pylist()
    for row, wanted in zip(rows, expected, strict=True):
        assert {**row, **{name: list(row[name]) for name in ("top5", "top5_probabilities", "probabilities")}} == wanted


def test_bigquery_has_a_type_for_every_column_the_one_that_the_page_says(predicted: str) -> None:
    """Its own documentation of what it loads stands in for it here: it runs nowhere but in the cloud."""
    path = next(Path(predicted.removeprefix("file://")).glob("r1/predictions/*.parquet"))
    schema = pq.ParquetFile(path).schema
    loaded = {}
    for index in range(len(schema)):
        column = schema.column(index)
        name, *inner = column.path.split(".")
        assert inner in ([], ["list", "element"]), "lists of the form that list inference knows"
        logical = column.logical_type.type.title()
        loaded[name] = BIGQUERY[column.physical_type, logical] + (" REPEATED" if inner else "")
    assert loaded == {name: type_ for name, _, type_ in COLUMNS}


def test_the_page_has_every_column_in_order_with_its_type(predicted: str) -> None:
    schema = tables(predicted).schema
    assert schema.names == [name for name, *_ in COLUMNS]
    for name, written, _ in COLUMNS:
        found = re.sub(r"(item|element): ", "", str(schema.field(name).type)).replace("float", "float32")
        assert found == written.replace("[C]", "[6]").replace("[2·D]", "[8]"), name


def test_the_page_has_all_of_the_metadata(predicted: str) -> None:
    section = PAGE.split("## The file's metadata")[1].split("\n## ")[0]
    metadata, _ = next(predictions.tables(predicted, "r1"))
    assert sorted(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == sorted(metadata)


@pytest.mark.parametrize("number", range(len(CODE)))
def test_the_pages_code_runs(
    predicted: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(predicted.removeprefix("file://"))
    script = tmp_path / "code.py"
    script.write_text(CODE[number].replace("second", "r1"))
    runpy.run_path(str(script))
    assert capsys.readouterr().out, "it shows something"
