"""predict: a row a picture, by a model and from shards that are what they should be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pyarrow.parquet as pq
import pytest

from model_service.errors import StepError
from model_service.predict import predict, schema
from model_service.registry import BadModel
from model_service.results import Outcome
from model_service.shards import BadShard
from tests.model_service.buckets import CLASSES, Buckets, local, make_buckets, read_rows, square


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    buckets = make_buckets(tmp_path)
    buckets.put_squares(4)
    buckets.sorted(holdout=0.5)
    buckets.save_model("v1")
    return buckets


def run(buckets: Buckets, model: str = "v1", shards: tuple[str, ...] = (), index: int = 0, **other: Any) -> Outcome:
    return predict(
        contract.Predict(
            run="r1",
            models=buckets.models,
            result="",
            model=model,
            shards=shards or buckets.shards(),
            output=contract.predictions(buckets.predicted, "r1", index),
            **other,
        )
    )


def output(buckets: Buckets, index: int = 0) -> str:
    return contract.predictions(buckets.predicted, "r1", index)


def test_every_picture_gets_a_row(buckets: Buckets) -> None:
    outcome = run(buckets)
    assert outcome.counts == {"pictures": 12, "predicted": {"cat": 4, "dog": 4, "zebra": 4}}
    assert outcome.outputs == {"predictions": output(buckets)}
    manifest = {row["key"]: row for row in buckets.manifest()}
    rows = read_rows(output(buckets))
    assert {row["key"] for row in rows} == set(manifest)
    for row in rows:
        assert {name: row[name] for name in ("uri", "generation", "split", "label")} == {
            name: manifest[row["key"]][name] for name in ("uri", "generation", "split", "label")
        }
        assert row["predicted"] == row["label"] == row["top5"][0], "a square's colour is its class"
        assert sorted(row["top5"]) == CLASSES
        assert row["probability"] == max(row["probabilities"]) == row["probabilities"][CLASSES.index(row["label"])]
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert row["model"] == "v1"


def test_the_file_says_what_its_columns_mean(buckets: Buckets) -> None:
    run(buckets)
    found = pq.read_schema(local(output(buckets)))
    assert found.equals(schema(CLASSES, "v1", []), check_metadata=False)
    assert found.metadata[b"model"] == b"v1"
    assert found.metadata[b"classes"].decode().split("\n") == CLASSES


def test_another_models_predictions_are_not_overwritten_nor_taken_for_ours(buckets: Buckets) -> None:
    run(buckets)
    before = local(output(buckets)).read_bytes()
    buckets.save_model("v2")

    with pytest.raises(StepError, match="holds the predictions of v1"):
        run(buckets, model="v2")

    assert local(output(buckets)).read_bytes() == before


def test_only_the_given_shards_are_read(buckets: Buckets) -> None:
    train, holdout = buckets.shards()
    local(holdout).write_bytes(b"never opened")
    run(buckets, shards=(train,))
    assert {row["split"] for row in read_rows(output(buckets))} == {"train"}


def test_shards_of_several_batches(buckets: Buckets) -> None:
    buckets.put_squares(1, first=8)
    buckets.sorted("r2")
    assert run(buckets, shards=(*buckets.shards("r1"), *buckets.shards("r2"))).counts["pictures"] == 15


def test_with_more_than_five_classes_the_best_five_are_told(buckets: Buckets) -> None:
    classes = [*CLASSES, "gnu", "ibex", "okapi", "yak"]
    buckets.save_model("v7", classes, [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 9.0])
    run(buckets, "v7")
    for row in read_rows(output(buckets)):
        assert (row["predicted"], len(row["top5"]), len(row["probabilities"])) == ("yak", 5, 7)
        best = sorted(classes, key=lambda name: -row["probabilities"][classes.index(name)])[:5]
        assert row["top5"] == best


def test_the_same_again_changes_nothing(buckets: Buckets) -> None:
    first = run(buckets)
    before = buckets.tree(buckets.predicted)
    assert run(buckets) == first
    assert buckets.tree(buckets.predicted) == before


def test_a_damaged_shard_is_named_and_nothing_is_written(buckets: Buckets) -> None:
    shard = local(buckets.shards()[1])
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    with pytest.raises(BadShard, match=rf"{buckets.shards()[1]} is not the shard its manifest describes"):
        run(buckets)
    assert buckets.tree(buckets.predicted) == {}


def test_a_shard_that_no_manifest_lists_is_refused(buckets: Buckets) -> None:
    stray = contract.shard(buckets.models, buckets.batch(), "train", 99)
    local(stray).write_bytes(local(buckets.shards()[0]).read_bytes())
    with pytest.raises(BadShard, match=f"no manifest lists {stray}"):
        run(buckets, shards=(stray,))


def test_a_shard_of_a_batch_that_was_never_committed_is_refused(buckets: Buckets) -> None:
    committed = local(contract.batch(buckets.models, buckets.batch()))
    shutil.copytree(committed, committed.parent / "00000-000000000000")
    left = contract.shard(buckets.models, "r1/00000-000000000000", "train", 0)
    assert local(left).exists()
    with pytest.raises(BadShard, match=f"no manifest lists {left}"):
        run(buckets, shards=(left,))


def test_a_model_of_other_bytes_is_refused(buckets: Buckets) -> None:
    onnx = local(f"{contract.model(buckets.models, 'v1')}/model.onnx")
    onnx.write_bytes(onnx.read_bytes() + b"\0")
    with pytest.raises(BadModel, match=r"model\.onnx is not the file its card describes"):
        run(buckets)


def test_a_model_that_is_not_there_is_refused(buckets: Buckets) -> None:
    with pytest.raises(BadModel, match="no model v9"):
        run(buckets, "v9")


def test_a_model_whose_card_has_another_number_of_classes_is_refused(buckets: Buckets) -> None:
    card = local(f"{contract.model(buckets.models, 'v1')}/model.json")
    card.write_text(card.read_text().replace('"zebra"', '"zebra", "yak"'))
    with pytest.raises(BadModel, match="has 3 outputs but its card lists 4 classes"):
        run(buckets)


def test_a_model_made_for_other_preprocessing_is_refused(buckets: Buckets) -> None:
    card = local(f"{contract.model(buckets.models, 'v1')}/model.json")
    card.write_text(card.read_text().replace('"version": "1"', '"version": "0"'))
    with pytest.raises(BadModel, match="trained with preprocessing 0, this release has 1: retrain"):
        run(buckets)


def test_a_single_picture(buckets: Buckets) -> None:
    buckets.put("dog_99.jpg", square("dog", 99))
    buckets.sorted("r2")
    assert run(buckets, shards=buckets.shards("r2")).counts == {"pictures": 1, "predicted": {"dog": 1}}
