"""train on datasets as the data registry has them: a tag is a set of batches for ever, and a champion is begun with."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest
import safetensors.numpy

from model_service import registry
from model_service.errors import StepError
from model_service.snapshot import snapshot
from model_service.train import train
from model_service.training import dataset
from tests.model_service.buckets import CLASSES, Buckets, local, make_buckets


@dataclass(frozen=True)
class Two:
    """Buckets with two batches, of runs r1 (cats and dogs) and r2 (zebras too), tagged dataset_v1 and dataset_v2."""

    buckets: Buckets
    registry: str
    tags: tuple[str, ...]
    first: str  # the version of a model that was trained on dataset_v1

    def step(self, run: str, tag: str, **arguments: Any) -> contract.Train:
        return self.buckets.train_step(run, registry=self.registry, dataset_tag=tag, **arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Two:
    root = tmp_path_factory.mktemp("two")
    buckets, place = make_buckets(root), f"file://{root}/registry.git"
    tags = []
    for run, first, labels in (("r1", 1, CLASSES[:2]), ("r2", 11, CLASSES)):
        buckets.put_squares(8, first=first, labels=labels)
        buckets.sorted(run, holdout=0.2)
        outcome = snapshot(contract.Snapshot(run=run, models=buckets.models, result="", registry=place))
        tags.append(outcome.outputs["tag"])
    for run in ("r1", "r2"):
        holdout = local(contract.shard(buckets.models, buckets.batch(run), "holdout", 0))
        holdout.write_bytes(b"garbage: whoever trains must not open it")
    step = buckets.train_step(registry=place, dataset_tag=tags[0], deterministic=True)
    return Two(buckets, place, tuple(tags), train(step).outputs["version"])


@pytest.fixture
def two(made: Two, tmp_path: Path) -> Two:
    """The same, to be changed."""
    shutil.copytree(made.buckets.root, tmp_path / "copy")
    return Two(Buckets(tmp_path / "copy"), made.registry, made.tags, made.first)


def keys(buckets: Buckets, *runs: str) -> list[str]:
    return [row["key"] for run in runs for row in buckets.manifest(run) if row["split"] == "train"]


def test_a_tag_is_the_batches_it_had_when_it_was_made(made: Two, tmp_path: Path) -> None:
    assert made.tags == ("dataset_v1", "dataset_v2")
    older = dataset.load(made.step("r9", "dataset_v1"), tmp_path)
    assert (older.tag, older.keys, older.classes) == ("dataset_v1", keys(made.buckets, "r1"), CLASSES[:2])
    assert [name.split("/")[0] for name in older.batches] == ["r1"]
    newer = dataset.load(made.step("r9", "dataset_v2"), tmp_path)
    assert (newer.tag, newer.keys) == ("dataset_v2", keys(made.buckets, "r1", "r2"))
    assert newer.newest == [key in keys(made.buckets, "r2") for key in newer.keys]


def test_the_holdout_of_tagged_batches_was_never_opened(made: Two) -> None:
    """The fixture filled its shards with garbage before it trained."""
    held = [row["key"] for run in ("r1", "r2") for row in made.buckets.manifest(run) if row["split"] == "holdout"]
    assert held
    shards = registry.card(made.buckets.models, made.first)["data"]["shards"]
    assert list(shards) == [uri for uri in made.buckets.shards("r1") if "/train-" in uri]


def test_an_unknown_tag_is_named(made: Two, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"no tag dataset_v7.*newest is dataset_v2") as failed:
        dataset.load(made.step("r9", "dataset_v7"), tmp_path)
    assert "git ls-remote --tags" in failed.value.remedy


def test_a_registry_that_is_not_there_is_named(made: Two, tmp_path: Path) -> None:
    step = made.buckets.train_step(registry=f"file://{tmp_path}/nowhere.git", dataset_tag="dataset_v1")
    with pytest.raises(StepError, match=r"nowhere\.git"):
        dataset.load(step, tmp_path)


def test_a_batch_that_is_gone_from_the_bucket_is_named_with_the_way_to_get_it_back(two: Two, tmp_path: Path) -> None:
    """What the way gives back is trained on again."""
    gone = local(contract.batch(two.buckets.models, two.buckets.batch("r1")))
    gone.rename(tmp_path / "gone")
    for tag in two.tags:
        with pytest.raises(
            StepError, match=rf"dataset {tag} is not in the bucket as it was tagged: .*{gone.name}/"
        ) as no:
            dataset.load(two.step("r9", tag), tmp_path)
        assert f"git checkout {tag} && dvc pull" in no.value.remedy
    (tmp_path / "gone").rename(gone)
    assert dataset.load(two.step("r9", "dataset_v1"), tmp_path).keys == keys(two.buckets, "r1")


def test_a_manifest_that_is_another_one_than_was_tagged_is_refused(two: Two, tmp_path: Path) -> None:
    other = local(contract.manifest(two.buckets.models, two.buckets.batch("r2")))
    other.write_bytes(local(contract.manifest(two.buckets.models, two.buckets.batch("r1"))).read_bytes())
    message = r"dataset_v2 is not in the bucket as it was tagged: .*is not the manifest that was committed"
    with pytest.raises(StepError, match=message):
        dataset.load(two.step("r9", "dataset_v2"), tmp_path)
    assert dataset.load(two.step("r9", "dataset_v1"), tmp_path).classes == CLASSES[:2]


def test_a_champion_trained_on_one_batch_is_what_training_on_two_begins_with(two: Two) -> None:
    """From one dataset to the next: its head keeps the rows of the classes it knows, and learns a new one."""
    models, first = two.buckets.models, two.first

    outcome = train(two.step("r2", "dataset_v2", champion=first, new_weight=2.0, balance="oversample", freeze_epochs=1))

    second = registry.card(models, outcome.outputs["version"])
    assert (second["parent"], second["weights"], outcome.counts["weights"]) == (first, first, first)
    assert second["start"] == {
        "kind": "champion",
        "name": first,
        "sha256": registry.card(models, first)["files"]["model.safetensors"]["sha256"],
        "fresh": ["zebra"],
    }
    assert second["classes"] == CLASSES
    assert outcome.counts["epochs"] == 2, "the head with its new row alone, then everything"
    data = second["data"]
    assert (data["tag"], data["pictures"]) == ("dataset_v2", len(keys(two.buckets, "r1", "r2")))
    assert [batch["name"].split("/")[0] for batch in data["batches"]] == ["r1", "r2"]
    assert (
        second["training"] | {"dataset_tag": "dataset_v2", "champion": first, "new_weight": 2.0} == second["training"]
    )
    before, after = (
        safetensors.numpy.load(registry.load(models, version, "model.safetensors"))
        for version in (first, outcome.outputs["version"])
    )
    assert after["0.0.weight"] == pytest.approx(before["0.0.weight"], abs=0.05), (
        "its features are the champion's, tuned"
    )


def test_an_old_tag_trains_the_same_model_whatever_came_since(two: Two) -> None:
    """Bit for bit, in another bucket, without the ledger and all that is not the tag's."""
    shutil.rmtree(local(contract.batch(two.buckets.models, two.buckets.batch("r2"))))
    local(contract.ledger_head(two.buckets.models)).unlink()
    again = train(two.step("again", "dataset_v1", deterministic=True)).outputs["version"]
    one, other = (registry.card(two.buckets.models, version) for version in (two.first, again))
    for name in ("model.safetensors", "model.onnx", "model.int8.onnx", "selftest.tar", "reference.parquet"):
        assert one["files"][name] == other["files"][name], name
    assert one["training"] == other["training"]
    assert one["data"]["batches"] == other["data"]["batches"]
