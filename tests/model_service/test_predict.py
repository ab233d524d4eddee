"""predict: a file a shard and a row a picture, by a model and from shards that are what they should be."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.build import tiny
from model_service import batches, images, inference, looks, predictions, registry, streams
from model_service.__main__ import main
from model_service.inference import Classifier
from model_service.predict import predict
from model_service.predictions import BadPredictions, writing
from model_service.registry import BadModel
from model_service.results import Outcome
from model_service.shards import BadShard
from model_service.storage import Exists, folder
from tests.model_service.buckets import CLASSES, Buckets, local, make_buckets, read_rows, square
from tests.model_service.conftest import REPOSITORY, Trained

Row = dict[str, Any]


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    """Twelve pictures in a train and a holdout shard, and the model v1."""
    buckets = make_buckets(tmp_path)
    buckets.put_squares(4)
    buckets.sorted(holdout=0.5)
    buckets.save_model("v1")
    return buckets


@pytest.fixture
def several(tmp_path: Path) -> Buckets:
    """Twelve pictures in more than two train shards, and the model v1."""
    buckets = make_buckets(tmp_path)
    buckets.put_squares(4)
    buckets.sorted(holdout=0.0, shard_megabytes=0.01)
    buckets.save_model("v1")
    assert len(buckets.shards()) > 2
    return buckets


def step(buckets: Buckets, model: str = "v1", shards: tuple[str, ...] = (), **other: Any) -> contract.Predict:
    return contract.Predict(
        run="r1",
        models=buckets.models,
        result=contract.result(buckets.models, "r1", "predict-00000"),
        model=model,
        shards=shards or buckets.shards(),
        predicted=buckets.predicted,
        **other,
    )


def run(buckets: Buckets, model: str = "v1", shards: tuple[str, ...] = (), **other: Any) -> Outcome:
    return predict(step(buckets, model, shards, **other))


def output(buckets: Buckets, shard: str) -> str:
    return contract.predictions(buckets.predicted, "r1", shard)


def rows(buckets: Buckets) -> list[Row]:
    return [row for _, table in predictions.tables(buckets.predicted, "r1") for row in table.to_pylist()]


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table], **metadata: str) -> None:
    """A file of predictions with its rows changed, or what its metadata says."""
    table = pq.read_table(path)
    said = table.schema.metadata | {name.encode(): value.encode() for name, value in metadata.items()}
    pq.write_table(change(table).replace_schema_metadata(said), path)


def damage(shard: str, how: str) -> None:
    path = local(shard)
    data = bytearray(path.read_bytes())
    match how:
        case "a byte of a picture":
            data[700] ^= 1
        case "a byte of a picture's data about itself":
            at = data.index(b'"label"')
            data[at + 1] ^= 1
        case "a header":
            data[:512] = b"\xff" * 512
        case "cut short":
            del data[-9000:]
        case "empty":
            data.clear()
    path.write_bytes(data)


DAMAGES = ["a byte of a picture", "a byte of a picture's data about itself", "a header", "cut short", "empty"]


# What it writes.


def test_every_picture_gets_a_row(buckets: Buckets) -> None:
    outcome = run(buckets, precision="f32")
    told = {name: outcome.counts[name] for name in ("pictures", "predicted", "shards", "skipped", "precision")}
    assert told == {
        "pictures": 12,
        "predicted": {"cat": 4, "dog": 4, "zebra": 4},
        "shards": 2,
        "skipped": 0,
        "precision": "f32",
    }
    assert outcome.outputs == {"predictions": [output(buckets, shard) for shard in buckets.shards()]}
    assert outcome.message == "12 pictures in 2 shards classified by v1; f32 as asked for"
    manifest = {row["key"]: row for row in buckets.manifest()}
    found = rows(buckets)
    assert sorted(row["key"] for row in found) == sorted(manifest)
    for row in found:
        for name in ("uri", "generation", "split", "label"):
            assert row[name] == manifest[row["key"]][name]
        assert row["predicted"] == row["label"] == row["top5"][0], "a square's colour is its class"
        assert sorted(row["top5"]) == CLASSES
        assert row["probability"] == max(row["probabilities"]) == row["probabilities"][CLASSES.index(row["label"])]
        assert row["top5_probabilities"] == sorted(row["probabilities"], reverse=True)
        assert row["margin"] == pytest.approx(row["top5_probabilities"][0] - row["top5_probabilities"][1])
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert (row["model"], row["preprocessing"], row["precision"]) == ("v1", images.PREPROCESSING, "f32")
        assert "embedding" not in row, "this model has none"


def test_a_shards_rows_are_in_its_order_in_a_file_of_its_own(buckets: Buckets) -> None:
    run(buckets)
    assert len(buckets.tree(buckets.predicted)) == 2
    for shard in buckets.shards():
        hashes = {shard: batches.described(buckets.models, [shard])[shard].sha256}
        keys = [sample.key for sample in batches.samples(buckets.models, hashes)]
        assert [row["key"] for row in read_rows(output(buckets, shard))] == keys


def test_a_real_model_is_told_with_its_embedding_and_how_the_pictures_look(trained: Trained, tmp_path: Path) -> None:
    buckets = Buckets(trained.buckets.root)
    (shard,) = (uri for uri in buckets.shards() if "/train-" in uri)
    predicted = make_buckets(tmp_path).predicted
    wanted = step(buckets, trained.version, (shard,), precision="f32")
    predict(dataclasses.replace(wanted, predicted=predicted))
    ((metadata, table),) = predictions.tables(predicted, "r1")
    network = Classifier(buckets.models, trained.version, precision="f32")
    assert int(metadata["dimensions"]) == network.dimensions
    embeddings = predictions.embeddings(table)
    assert embeddings.shape == (len(table), network.dimensions)
    samples = {s.key: s for s in batches.samples(buckets.models, {shard: metadata["shard_sha256"]})}
    assert len(samples) == len(table) > 9
    for row, embedding in zip(table.to_pylist(), embeddings, strict=True):
        view = images.view(images.unpack(samples[row["key"]].jpeg, network.size), network.size)
        inference = network.infer(view)
        assert row["probabilities"] == pytest.approx(inference.probabilities.tolist(), abs=1e-5)
        assert inference.embedding is not None
        np.testing.assert_allclose(embedding, inference.embedding, rtol=2e-3, atol=2e-3)
        assert (row["brightness"], row["sharpness"]) == pytest.approx(looks.look(view), rel=1e-5)

    (tmp_path / "without").mkdir()
    without = make_buckets(tmp_path / "without").predicted
    predict(dataclasses.replace(wanted, predicted=without, embedding=False))
    ((metadata, table),) = predictions.tables(without, "r1")
    assert (metadata["dimensions"], "embedding" in table.column_names) == ("", False)


def test_with_more_than_five_classes_the_best_five_are_told(buckets: Buckets) -> None:
    classes = [*CLASSES, "gnu", "ibex", "okapi", "yak"]
    buckets.save_model("v7", classes, [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 9.0])
    run(buckets, "v7")
    for row in rows(buckets):
        assert (row["predicted"], len(row["top5"]), len(row["probabilities"])) == ("yak", 5, 7)
        best = sorted(classes, key=lambda name: -row["probabilities"][classes.index(name)])[:5]
        assert row["top5"] == best
        assert row["top5_probabilities"] == [row["probabilities"][classes.index(name)] for name in best]


def test_a_label_the_model_does_not_know_is_predicted_as_any_other(buckets: Buckets) -> None:
    buckets.save_model("v0", ["cat", "dog"])
    assert run(buckets, "v0").counts["pictures"] == 12
    assert {row["label"] for row in rows(buckets)} == set(CLASSES)
    assert {row["predicted"] for row in rows(buckets)} <= {"cat", "dog"}


def test_a_single_picture_and_a_single_class(buckets: Buckets) -> None:
    buckets.put("dog_99.jpg", square("dog", 99))
    buckets.sorted("r2")
    buckets.save_model("v0", ["dog"])
    assert run(buckets, "v0", buckets.shards("r2")).counts["predicted"] == {"dog": 1}
    (row,) = rows(buckets)
    assert (row["top5"], row["probability"], row["margin"]) == (["dog"], 1.0, 1.0)


def test_many_pictures_are_written_in_parts(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "ROWS", 4)
    run(buckets)
    groups = [pq.ParquetFile(local(output(buckets, shard))).num_row_groups for shard in buckets.shards()]
    assert sum(groups) >= 3
    assert len(rows(buckets)) == 12


def test_it_tells_how_far_it_is(buckets: Buckets, caplog: pytest.LogCaptureFixture) -> None:
    from model_service import progress

    caplog.set_level("INFO")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "EVERY", 0.001)
        run(buckets)
    assert any("predict: " in line and " of 12" in line for line in caplog.messages)


def test_it_counts_what_it_asked_of_storage(buckets: Buckets) -> None:
    counts = run(buckets).counts
    shards = sum(local(shard).stat().st_size for shard in buckets.shards())
    written = sum(local(output(buckets, shard)).stat().st_size for shard in buckets.shards())
    assert (counts["bytes_in"], counts["bytes_out"]) == (shards, written)
    assert (counts["class_a"], counts["class_b"], counts["usd"]) == (0, 0, 0), "a folder costs nothing"
    assert counts["seconds"] > 0


def test_from_and_to_buckets_of_each_kind(stores: Buckets) -> None:
    stores.put_squares(2)
    stores.sorted(holdout=0.5)
    stores.save_model("v1")
    counts = run(stores).counts
    assert (counts["pictures"], counts["shards"]) == (6, len(stores.shards()))
    assert {row["label"] == row["predicted"] for row in rows(stores)} == {True}
    assert (counts["class_a"] > 0) == bool(stores.cloud)
    assert run(stores).counts["skipped"] == len(stores.shards())


# Which precision.


def test_int8_that_no_judge_accepted_is_not_used_and_that_is_said(
    buckets: Buckets, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = run(buckets, precision="int8")
    assert outcome.counts["precision"] in ("f32", "bf16")
    assert "instead of int8: no judge has scored the int8 variant of v1" in outcome.message
    assert any("instead of int8" in line for line in caplog.messages)
    assert {row["precision"] for row in rows(buckets)} == {outcome.counts["precision"]}


def test_int8_that_the_judge_accepted_is_used(buckets: Buckets) -> None:
    card = {"classes": CLASSES, "preprocessing": tiny.PREPROCESSING}
    registry.save(buckets.models, "v8", {"model.onnx": tiny.model(3), "model.int8.onnx": tiny.model(3)}, card)
    verdict = {
        "accepted": True,
        "reason": "as right as f32 on 40 pictures",
        "accuracy": {},
        "agreement": 1.0,
        "pictures": 40,
    }
    registry.save_int8(buckets.models, "v8", verdict)
    outcome = run(buckets, "v8", precision="int8")
    assert outcome.counts["precision"] == "int8"
    assert outcome.message.endswith("; int8 as asked for: as right as f32 on 40 pictures")
    assert {row["precision"] for row in rows(buckets)} == {"int8"}


# Once more.


def test_what_is_done_is_not_done_again(several: Buckets) -> None:
    first, *others = several.shards()
    run(several, shards=(first,))
    local(first).write_bytes(b"never opened again")
    before = several.tree(several.predicted)

    outcome = run(several)

    assert (outcome.counts["skipped"], outcome.counts["shards"]) == (1, len(others) + 1)
    assert outcome.counts["predicted"] == {"cat": 4, "dog": 4, "zebra": 4}, "of all shards"
    assert outcome.message.endswith("; done already: 1 shard")
    after = several.tree(several.predicted)
    assert before.items() <= after.items()
    assert len(after) == len(others) + 1
    again = run(several)
    assert (again.counts["skipped"], again.counts["bytes_out"]) == (len(others) + 1, 0)
    assert again.counts["predicted"] == outcome.counts["predicted"]
    assert several.tree(several.predicted) == after


def test_nothing_to_do_needs_no_model(buckets: Buckets) -> None:
    run(buckets, embedding=False)
    local(f"{contract.model(buckets.models, 'v1')}/model.onnx").unlink()
    assert run(buckets, embedding=False).counts["skipped"] == 2


def test_the_precision_told_is_that_of_the_files(several: Buckets) -> None:
    shards = several.shards()
    run(several, precision="f32")
    for shard in shards:
        rewrite(local(output(several, shard)), lambda table: table, precision="int8")
    outcome = run(several)
    assert outcome.counts["precision"] == "int8"
    assert "; its files are in int8; done already: " in outcome.message
    local(output(several, shards[0])).unlink()
    outcome = run(several)
    latest = inference.chosen(several.models, "v1", "auto")[0]
    assert outcome.counts["precision"] == ", ".join(sorted(["int8", latest]))
    assert f"; its files are in {outcome.counts['precision']} (this attempt: " in outcome.message


DAMAGED = {
    "fewer rows": lambda table: table.slice(3),
    "no rows": lambda table: table.slice(0, 0),
    "a column less": lambda table: table.drop_columns(["probabilities"]),
    "a column of another type": lambda table: table.set_column(0, "key", pa.array(range(len(table)))),
    "a null": lambda table: table.set_column(4, "label", pa.nulls(len(table), pa.string())),
    "no number": lambda table: table.set_column(6, "probability", pa.array(np.full(len(table), np.nan, np.float32))),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_finished_file_of_other_content_is_refused_and_left_as_it_is(buckets: Buckets, how: str) -> None:
    run(buckets)
    path = local(output(buckets, buckets.shards()[0]))
    rewrite(path, DAMAGED[how])
    before = buckets.tree(buckets.predicted)
    with pytest.raises(BadPredictions, match=rf"{path.name} (is damaged|is no file of predictions): ") as bad:
        run(buckets)
    assert bad.value.remedy == "remove it, and run predict again"
    assert buckets.tree(buckets.predicted) == before
    path.unlink()
    assert run(buckets).counts["skipped"] == 1


@pytest.mark.parametrize("asked", [True, False])
def test_a_runs_files_have_embeddings_all_or_none(trained: Trained, tmp_path: Path, asked: bool) -> None:
    buckets = Buckets(trained.buckets.root)
    shards = tuple(uri for uri in buckets.shards() if "/train-" in uri)[:1]
    one = dataclasses.replace(
        step(buckets, trained.version, shards, embedding=not asked), predicted=make_buckets(tmp_path).predicted
    )
    predict(one)
    with pytest.raises(BadPredictions, match=f"embeddings, but --embedding={str(asked).lower()}") as bad:
        predict(dataclasses.replace(one, embedding=asked))
    assert "another --run" in bad.value.remedy
    assert predict(one).counts["skipped"] == 1


@pytest.mark.parametrize("other", [{"model": ""}, {"shards": ("",)}])
def test_what_is_named_by_nothing_is_told(buckets: Buckets, other: Any) -> None:
    (name,) = other
    with pytest.raises((BadModel, BadShard), match=f"--{name} is empty"):
        run(buckets, **other)


def test_if_every_shard_failed_no_other_is_said_to_be_done(buckets: Buckets) -> None:
    for shard in buckets.shards():
        local(shard).unlink()
    with pytest.raises(BadShard, match=r"^all 2 shards failed\. The first: "):
        run(buckets)


def test_another_models_predictions_are_not_overwritten_nor_taken_for_ours(buckets: Buckets) -> None:
    run(buckets)
    before = buckets.tree(buckets.predicted)
    buckets.save_model("v2")
    with pytest.raises(BadPredictions, match="holds the predictions of v1") as bad:
        run(buckets, model="v2")
    assert "another --run" in bad.value.remedy
    assert buckets.tree(buckets.predicted) == before


def test_nor_are_those_of_other_bytes_or_of_another_precision(buckets: Buckets) -> None:
    run(buckets, precision="f32")
    shard = buckets.shards()[0]
    with pytest.MonkeyPatch.context() as patch:
        described = batches.described(buckets.models, buckets.shards())
        patch.setattr(batches, "described", lambda *_: described | {shard: described[shard]._replace(sha256="0" * 64)})
        with pytest.raises(BadPredictions, match="holds the predictions"):
            run(buckets, precision="f32")
    written = output(buckets, shard)
    table = pq.read_table(local(written))
    metadata = table.schema.metadata | {b"precision": b"bf16"}
    pq.write_table(table.replace_schema_metadata(metadata), local(written))
    with pytest.raises(BadPredictions, match=r"of v1 in bf16 .* not those of v1 in f32"):
        run(buckets, precision="f32")
    assert run(buckets, precision="auto").counts["skipped"] == 2, "each machine has its own: any of them will do"


def test_a_file_that_is_no_predictions_is_named(buckets: Buckets) -> None:
    path = local(output(buckets, buckets.shards()[0]))
    path.parent.mkdir(parents=True)
    for data in (b"", b"text", b"PAR1 and so on PAR1"):
        path.write_bytes(data)
        with pytest.raises(BadPredictions, match=rf"{path.name} is no file of predictions"):
            run(buckets)
    pq.write_table(pa.table({"key": ["a"]}), path)
    with pytest.raises(BadPredictions, match=rf"{path.name} is no file of predictions"):
        run(buckets)


def test_another_attempt_that_was_faster_is_as_good(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    real = folder.FolderStore.write_if_absent

    def late(self: folder.FolderStore, name: str, data: bytes | Path) -> Any:
        if name.endswith(".parquet"):
            real(self, name, data)
            raise Exists(name)
        return real(self, name, data)

    monkeypatch.setattr(folder.FolderStore, "write_if_absent", late)
    assert run(buckets).counts["pictures"] == 12


PROGRAM = """
import os, signal, sys
from model_service.__main__ import main
from model_service.storage.folder import FolderStore
real = FolderStore.write_if_absent
def write(self, name, data):
    if name.endswith(".parquet") and FolderStore.left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    FolderStore.left -= name.endswith(".parquet")
    return real(self, name, data)
FolderStore.write_if_absent, FolderStore.left = write, int(sys.argv.pop(1))
sys.exit(main(sys.argv[1:]))
"""


def test_killed_between_two_files_and_run_again_it_has_written_the_same(several: Buckets, tmp_path: Path) -> None:
    one = step(several, precision="f32")
    assert main(one.argv()) == 0
    expected = several.tree(several.predicted)
    shutil.rmtree(local(several.predicted))
    local(several.predicted).mkdir()
    local(one.result).unlink()

    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}", "TMPDIR": str(tmp_path)}
    for files in (1, 0):  # what the second one does before it is killed it finds done
        command = [sys.executable, "-c", PROGRAM, str(files), *one.argv()]
        killed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert len(several.tree(several.predicted)) == 1
        assert not local(one.result).exists()
    assert main(one.argv()) == 0
    assert several.result(one)["counts"]["skipped"] == 1
    assert several.tree(several.predicted) == expected


# Shards and models that are not what they should be.


def test_only_the_given_shards_are_read(buckets: Buckets) -> None:
    train, holdout = buckets.shards()
    local(holdout).write_bytes(b"never opened")
    run(buckets, shards=(train,))
    assert {row["split"] for row in rows(buckets)} == {"train"}


def test_shards_of_several_batches(buckets: Buckets) -> None:
    buckets.put_squares(1, first=8)
    buckets.sorted("r2")
    assert run(buckets, shards=(*buckets.shards("r1"), *buckets.shards("r2"))).counts["pictures"] == 15


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_shard_is_named_and_nothing_is_written_of_it(buckets: Buckets, how: str) -> None:
    shard = buckets.shards()[1]
    damage(shard, how)
    with pytest.raises(BadShard, match=rf"{shard} is not the shard its manifest describes") as bad:
        run(buckets, shards=(shard,))
    assert bad.value.remedy
    assert buckets.tree(buckets.predicted) == {}


def test_a_row_of_the_manifest_whose_shard_is_gone_is_named(buckets: Buckets) -> None:
    shard = buckets.shards()[0]
    local(shard).unlink()
    with pytest.raises(BadShard, match=rf"{shard} is missing, though its manifest lists it"):
        run(buckets)


def test_a_shard_with_fewer_pictures_than_its_manifest_lists_is_refused(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = buckets.shards()[0]
    described = batches.described(buckets.models, buckets.shards())
    count = described[shard].pictures
    more = described | {shard: described[shard]._replace(pictures=count + 1)}
    monkeypatch.setattr(batches, "described", lambda *_: more)
    with pytest.raises(BadShard, match=f"{shard} has {count} pictures, but its manifest lists {count + 1} in it"):
        run(buckets)
    assert len(buckets.tree(buckets.predicted)) == 1, "the other's"


def test_a_shard_as_committed_whose_picture_cannot_be_decoded_is_named(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(jpeg: bytes, size: int) -> Any:
        raise OSError("broken data stream")

    monkeypatch.setattr(images, "unpack", broken)
    with pytest.raises(BadShard, match=r"picture [0-9a-f]{20} cannot be decoded: .*broken data stream"):
        run(buckets, shards=buckets.shards()[:1])


def test_a_damaged_shard_does_not_keep_the_others_from_being_done_nor_repeats_them(several: Buckets) -> None:
    first, second, *others = several.shards()
    whole = {shard: local(shard).read_bytes() for shard in (first, second)}
    damage(second, "cut short")
    with pytest.raises(BadShard, match=f"{second} is not the shard"):
        run(several)
    done = several.tree(several.predicted)
    assert len(done) == len(others) + 1

    local(second).write_bytes(whole[second])
    local(first).write_bytes(b"not read again")
    assert run(several).counts["skipped"] == len(others) + 1
    assert done.items() <= several.tree(several.predicted).items()


def test_of_several_damaged_shards_the_first_and_their_number_are_told(several: Buckets) -> None:
    first, second, *others = several.shards()
    damage(first, "cut short")
    local(second).unlink()
    with pytest.raises(BadShard, match=f"2 of {len(others) + 2} shards failed, .* The first: {first} is not the shard"):
        run(several)


def test_a_shard_is_streamed_in_ranges(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "RANGE", 1000)
    assert run(buckets).counts["pictures"] == 12


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
    assert buckets.tree(buckets.predicted) == {}
