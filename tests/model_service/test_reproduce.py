"""reproduce: a model rebuilt from its tag is the original bit for bit, if training was deterministic; whatever is gone."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import menagerie_contract as contract
import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from model_service import backbone, registry
from model_service.__main__ import main
from model_service.inference import WEIGHTS
from model_service.reproducing import distance, table
from model_service.reproducing.distance import Answers, Weights
from model_service.reproducing.gathered import gather
from model_service.training import export
from tests.model_service.buckets import CLASSES, Buckets, local, make_buckets
from tests.model_service.versioned import Registry, content


@dataclass(frozen=True)
class Past:
    """A champion, whose child was trained from its weights on a dataset with a tag, and which has a tag itself."""

    kept: Registry
    champion: str
    version: str

    @property
    def buckets(self) -> Buckets:
        return self.kept.buckets

    def step(self, tag: str = "model_v2", save: bool = False) -> contract.Reproduce:
        return contract.Reproduce(tag=tag, registry=self.kept.url, models=self.buckets.models, save=save)


def trained(kept: Registry, run: str, **arguments: object) -> str:
    step = kept.buckets.train_step(run, registry=kept.url, deterministic=True, **arguments)
    assert main(step.argv()) == 0
    return str(kept.buckets.result(step)["outputs"]["version"])


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    kept = Registry(make_buckets(tmp_path_factory.mktemp("past")))
    champion = untrained(kept.buckets)
    kept.snapshot("r1", model=champion)
    for run, first in (("r1", 1), ("r2", 21)):
        kept.buckets.put_squares(4, first)
        kept.buckets.sorted(run, holdout=0.3)
    kept.snapshot("r2")
    version = trained(kept, "r2", dataset_tag="dataset_v1", champion=champion)
    kept.snapshot("r2", model=version)
    kept.buckets.put_squares(3, first=41)  # later pictures, which the models of before never saw
    kept.buckets.sorted("r3", holdout=0.3)
    return Past(kept, champion, version)


def untrained(buckets: Buckets) -> str:
    """A champion to begin from, with the weights of chance and nothing else: to train and export it would take long."""
    network = backbone.build("resnet34", 32).network(len(CLASSES))
    card = {
        "architecture": "resnet34",
        "classes": CLASSES,
        "preprocessing": {"version": "1", "size": 32, "mean": [0.0] * 3, "std": [1.0] * 3},
        "data": {"shards": {}},
    }
    registry.save(buckets.models, "r0-champion", {WEIGHTS: export.safetensors(network)}, card)
    return "r0-champion"


@pytest.fixture
def original(past: Past) -> dict[str, bytes]:
    """The files of the version."""
    return content(local(contract.model(past.buckets.models, past.version)))


@pytest.fixture
def bare(past: Past, original: dict[str, bytes]) -> Iterator[Past]:
    """The bucket has nothing left but its ledger; all is as it was afterwards."""
    models = local(past.buckets.models)
    shutil.move(models, aside := models.with_name("aside"))
    models.mkdir()
    shutil.copytree(aside / "ledger", models / "ledger")
    shutil.copytree(aside / "dvc", models / "dvc")
    yield past
    shutil.rmtree(models)
    aside.rename(models)


def test_it_is_the_same_bit_for_bit_though_the_bucket_has_nothing_any_more_and_is_kept_if_asked(
    bare: Past, original: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    models = bare.buckets.models
    before = bare.buckets.tree(models)
    with caplog.at_level(logging.INFO):
        assert main(bare.step(save=True).argv()) == 0
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert re.search("weights' sha256 +the same", said)
    assert re.search("weights, difference +largest 0, mean 0", said)
    assert re.search(r"held-out pictures, \d+ +the same answer to \d+ \(100.0%\)", said)
    assert re.search(r"held-out accuracy +original [\d.]+%, rebuilt [\d.]+%", said)

    (pulled,) = re.findall("^from the data registry, as the bucket did not have it: (.*)$", said, re.M)
    for what in (f"model {bare.version}", f"model {bare.champion}", "batch r1/00000-", "batch r2/00000-"):
        assert what in pulled
    assert "r3" not in pulled

    kept = re.search(
        r"identical: every weight is the same, bit for bit; kept as (reproduce-model_v2-[0-9a-f]{8})", said
    )
    assert kept
    assert registry.load(models, kept[1], WEIGHTS) == original[WEIGHTS]
    card = registry.card(models, kept[1])
    assert card["reproduces"] == {"tag": "model_v2", "version": bare.version}
    assert card["parent"] == bare.champion
    assert card["data"] == json.loads(original["model.json"])["data"]
    after = bare.buckets.tree(models)
    assert {name: after[name] for name in before} == before
    assert all(name.startswith(f"resnet34/{kept[1]}/") for name in set(after) - set(before))


def test_what_the_bucket_has_is_taken_from_there_unless_it_was_changed(past: Past, tmp_path: Path) -> None:
    shard = next(uri for uri in past.buckets.shards("r2") if "/holdout-" in uri)
    whole = local(shard).read_bytes()
    local(shard).write_bytes(whole[:-1] + b"-")
    try:
        found = gather(past.step(), tmp_path)
    finally:
        local(shard).write_bytes(whole)
    assert found.pulled == [f"batch {past.buckets.batch('r2')}"]
    assert list(found.batches) == [past.buckets.batch("r1"), past.buckets.batch("r2")]
    for name in found.batches:
        folders = (local(contract.batch(models, name)) for models in (found.models, past.buckets.models))
        assert content(next(folders)) == content(next(folders))


def test_what_can_be_had_nowhere_is_an_error_that_says_so(bare: Past, capfd: pytest.CaptureFixture[str]) -> None:
    dvc = local(bare.buckets.models) / "dvc"
    shutil.rmtree(dvc)
    dvc.mkdir()
    assert main(bare.step().argv()) == 1
    error = capfd.readouterr().err
    assert error.startswith("menagerie reproduce: dvc pull failed")
    assert "failed to pull data from the cloud" in error
    assert f"check that {dvc} is there and has the data, and let this account read it" in error


def test_a_tag_that_is_not_there_is_an_error_that_names_the_newest(
    past: Past, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(past.step("model_v7").argv()) == 1
    assert "has no tag model_v7; its newest is model_v2" in capfd.readouterr().err


def test_a_model_of_a_release_with_other_arguments_is_an_error_that_names_its_commit(
    past: Past, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = local(contract.model(past.buckets.models, past.version)) / "model.json"
    text = path.read_text()
    card = json.loads(text)
    del card["training"]["patience"]
    path.write_text(json.dumps(card | {"commit": "0123abc"}))
    try:
        assert main(past.step().argv()) == 1
    finally:
        path.write_text(text)
    error = capfd.readouterr().err
    assert "by a release whose arguments were others: patience" in error
    assert "check out its commit, 0123abc" in error


# The distance of two models


def test_the_distance_of_weights_is_of_single_numbers(tmp_path: Path) -> None:
    models = f"file://{tmp_path}"
    numbers: dict[str, NDArray[np.float32]] = {"a": np.zeros(3, np.float32), "b": np.ones((1, 1), np.float32)}
    near = numbers | {"a": np.array([0, 0.5, -1.5], np.float32)}
    other: dict[str, NDArray[np.float32]] = {"a": np.zeros(4, np.float32)}
    for version, arrays in {"one": numbers, "near": near, "other": other}.items():
        registry.save(models, version, {WEIGHTS: safetensors.numpy.save(arrays)}, {})
    assert distance.weights(models, "one", "one") == Weights(True, 0.0, 0.0)
    assert distance.weights(models, "one", "near") == Weights(False, 1.5, 0.5)
    assert distance.weights(models, "one", "other") == Weights(False, None, None)


def test_the_distance_of_answers_is_over_the_self_test_and_the_holdout(tmp_path: Path, past: Past) -> None:
    batches = {b["name"]: b["manifest"] for b in registry.card(past.buckets.models, past.version)["data"]["batches"]}
    test, held = distance.answers(past.buckets.models, past.version, past.version, batches)
    rows = [row for run in ("r1", "r2") for row in past.buckets.manifest(run)]
    assert held.pictures == sum(row["split"] == "holdout" for row in rows)
    assert test.pictures == test.agreed == 8
    assert held.agreed == held.pictures
    assert test.largest == held.largest == held.mean == 0
    assert held.right[0] == held.right[1] <= held.pictures


def test_a_difference_is_told_with_what_may_explain_it() -> None:
    original = {
        "libraries": {"torch": "2.14.0", "numpy": "2.4"},
        "machine": {"threads": 8},
        "commit": "a",
        "training": {"deterministic": False},
    }
    rebuilt = original | {"libraries": {"torch": "2.15.0", "numpy": "2.4"}, "machine": {"threads": 2}}
    assert table.reasons(original, rebuilt) == [
        ("torch", "was 2.14.0, is 2.15.0"),
        ("threads", "was 8, is 2"),
        ("deterministic", "it was not trained with --deterministic: threads may add up in another order"),
    ]
    assert table.reasons(original | {"training": {"deterministic": True}}, original) == []


def test_the_table_says_what_is_the_same() -> None:
    other, none = Weights(False, 0.25, 1e-3), Answers()
    held = Answers(pictures=200, agreed=199, right=[180, 181], largest=0.5, total=2.0)
    assert dict(table.rows(other, none, held)) == {
        "weights' sha256": "others",
        "weights, difference": "largest 0.25, mean 0.001",
        "self test": "there are none",
        "held-out pictures, 200": "the same answer to 199 (99.5%)",
        "held-out pictures, softmax": "difference at most 0.5, mean 0.01",
        "held-out accuracy": "original 90.0%, rebuilt 90.5%",
    }
    assert table.verdict(other, none, held) == "different: some answers are others"
    assert table.verdict(other, none, none) == "not identical, but it answers the same to every picture"
    assert dict(table.rows(Weights(False, None, None), none, held))["weights"].startswith("cannot be compared")
