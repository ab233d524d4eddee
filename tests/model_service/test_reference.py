"""What a model keeps of the pictures it was trained on, for others to be compared with."""

from __future__ import annotations

import io
import json

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper

from infra.build import tiny
from model_service import registry
from model_service.evaluation import reference
from model_service.inference import Network
from model_service.looks import look
from model_service.training.dataset import Dataset
from tests.model_service.conftest import Trained

CLASSES = ["cat", "dog", "zebra"]


def network(*, embedding: bool = True) -> Network:
    """The tiny model; its embedding is the mean colour, three numbers."""
    model = onnx.load_model_from_string(tiny.model(len(CLASSES)))
    if embedding:
        model.graph.output.append(helper.make_tensor_value_info("colour", TensorProto.FLOAT, ["batch", 3]))
    card = {"classes": CLASSES, "preprocessing": tiny.PREPROCESSING}
    return Network("v1", card, model.SerializeToString())


def pictures(n: int) -> Dataset:
    """Cats, dogs and zebras in turn, each with more of its class's colour."""
    views = np.random.default_rng(0).integers(0, 80, (n, tiny.SIZE, tiny.SIZE, 3), np.uint8)
    views[np.arange(n), :, :, np.arange(n) % 3] += np.uint8(150)
    sizes = [(100 + i, 50 + 2 * i) for i in range(n)]
    return Dataset(views, [CLASSES[i % 3] for i in range(n)], [f"{i:020x}" for i in range(n)], sizes=sizes)


def test_the_validation_part_comes_first_and_is_all_that_the_network_is_asked_about() -> None:
    asked: list[int] = []

    class Counted(Network):
        def infer(self, view):  # type: ignore[no-untyped-def]
            asked.append(1)
            return super().infer(view)

    model = Counted("v1", {"classes": CLASSES, "preprocessing": tiny.PREPROCESSING}, tiny.model(3))
    asked.clear()
    kept = reference.read(reference.build(model, pictures(20), [1, 5, 9, 13], seed=0))
    assert len(asked) == kept.watched == len(kept.probabilities) == 4
    assert len(kept.labels) == len(kept.brightness) == 20


def test_a_row_is_what_the_network_says_and_how_the_picture_looks() -> None:
    data, model = pictures(12), network()
    rows = pq.read_table(io.BytesIO(reference.build(model, data, [2, 7], seed=0))).to_pylist()
    assert [row["part"] for row in rows] == ["validation"] * 2 + ["train"] * 10
    assert {row["key"] for row in rows[:2]} == {data.keys[2], data.keys[7]}
    for row in rows:
        i = data.keys.index(row["key"])
        assert row["label"] == data.labels[i]
        assert (row["width"], row["height"]) == data.sizes[i]
        assert (row["brightness"], row["sharpness"]) == pytest.approx(look(data.views[i]), rel=1e-6)
        if row["part"] == "train":
            assert row["predicted"] is row["probabilities"] is row["embedding"] is None
            continue
        said = model.infer(data.views[i])
        assert said.embedding is not None
        assert row["predicted"] == row["label"]
        np.testing.assert_allclose(row["probabilities"], said.probabilities, rtol=1e-6)
        np.testing.assert_allclose(np.frombuffer(row["embedding"], "<f2"), said.embedding, rtol=1e-3)


def test_it_reads_back() -> None:
    data, model = pictures(30), network()
    kept = reference.read(reference.build(model, data, range(0, 30, 4), seed=0))
    assert kept.classes == CLASSES
    assert kept.counts == {"cat": 10, "dog": 10, "zebra": 10}
    assert (kept.probabilities.shape, kept.probabilities.dtype) == ((8, 3), np.float32)
    assert kept.embeddings is not None
    assert (kept.embeddings.shape, kept.embeddings.dtype) == ((8, 3), np.float16)
    assert [CLASSES[i] for i in kept.probabilities.argmax(1)] == kept.labels[:8]
    assert sorted(zip(kept.width.tolist(), kept.height.tolist(), strict=True)) == sorted(data.sizes)


def test_a_model_without_embeddings_keeps_none() -> None:
    data = reference.build(network(embedding=False), pictures(12), [0, 1], seed=0)
    assert "embedding" not in pq.read_schema(io.BytesIO(data)).names
    assert reference.read(data).embeddings is None


@pytest.mark.parametrize(("most", "watched"), [(10, 6), (6, 6), (4, 4)])
def test_no_more_than_so_many_are_kept_and_the_counts_are_of_all(most: int, watched: int) -> None:
    kept = reference.read(reference.build(network(), pictures(24), range(6), seed=0, most=most))
    assert (len(kept.labels), kept.watched) == (most, watched)
    assert sum(kept.counts.values()) == 24


def test_the_metadata_says_it_to_other_programs() -> None:
    metadata = pq.read_schema(io.BytesIO(reference.build(network(), pictures(12), [0], seed=0))).metadata
    assert metadata[b"classes"] == b"cat\ndog\nzebra"
    assert json.loads(metadata[b"counts"]) == {"cat": 4, "dog": 4, "zebra": 4}
    assert metadata[b"dimensions"] == b"3"


def test_the_same_training_gives_the_same_file_and_another_seed_other_pictures() -> None:
    model, data = network(), pictures(30)
    one, same, other = (reference.build(model, data, range(12), seed, most=6) for seed in (0, 0, 1))
    assert one == same
    assert set(pq.read_table(io.BytesIO(one))["key"].to_pylist()) != set(
        pq.read_table(io.BytesIO(other))["key"].to_pylist()
    )


def test_without_a_validation_part_there_is_nothing_the_network_said() -> None:
    kept = reference.read(reference.build(network(), pictures(12), [], seed=0))
    assert kept.probabilities.shape == (0, 3)
    assert kept.embeddings is not None
    assert kept.embeddings.shape == (0, 3)
    assert len(kept.sharpness) == 12


def other_parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"key": ["a"]}), out)
    return out.getvalue()


@pytest.mark.parametrize("data", [b"", b"no parquet", other_parquet()], ids=["empty", "junk", "other"])
def test_anything_else_is_refused_with_a_remedy(data: bytes) -> None:
    with pytest.raises(registry.BadModel, match=r"reference\.parquet is damaged") as caught:
        reference.read(data)
    assert "retrain=always" in caught.value.remedy


def test_a_trained_model_has_one(trained: Trained) -> None:
    kept = reference.read(registry.load(trained.buckets.models, trained.version, reference.FILE))
    assert kept.counts == trained.card["data"]["by_class"]
    assert kept.watched >= 1
    assert kept.embeddings is not None
    assert kept.embeddings.shape == (kept.watched, 512)
    np.testing.assert_allclose(kept.probabilities.sum(1), 1, atol=1e-5)
