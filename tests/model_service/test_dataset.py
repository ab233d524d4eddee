"""The training set: which batches and pictures it has, and that no other is opened."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np
import pytest
from PIL import Image

from model_service import batches
from model_service.errors import StepError
from model_service.ledger import read_head
from model_service.selftest import Picture
from model_service.shards import BadShard
from model_service.storage import Store, folder
from model_service.training import dataset
from tests.model_service.buckets import CLASSES, COLOURS, Buckets, encoded, local, make_buckets, square


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return make_buckets(tmp_path)


def loaded(buckets: Buckets, given: dict[str, str] | None = None, **arguments: Any) -> dataset.Dataset:
    """Each time in a folder of its own."""
    place = buckets.root / f"loaded-{len(list(buckets.root.glob('loaded-*')))}"
    place.mkdir()
    return dataset.load(buckets.train_step(**arguments), place, given=given)


def committed(buckets: Buckets) -> dict[str, str]:
    return {batch.name: batch.manifest for batch in read_head(buckets.models).batches}


def three_batches(buckets: Buckets) -> None:
    """Of runs r1 to r3, each with a holdout: twelve, six and three pictures."""
    for run, per_class, first in (("r1", 4, 1), ("r2", 2, 11), ("r3", 1, 21)):
        buckets.put_squares(per_class, first=first)
        buckets.sorted(run, holdout=0.2)


def trained_on(buckets: Buckets, *runs: str) -> list[str]:
    return [row["key"] for run in runs for row in buckets.manifest(run) if row["split"] == "train"]


# Which pictures


def test_only_the_train_split_of_finished_batches_is_loaded(buckets: Buckets) -> None:
    for number, run in enumerate(("r1", "r2")):
        buckets.put_squares(4, first=10 * number + 1)
        buckets.put(f"dog_{10 * number}.jpg", encoded(Image.new("RGB", (90, 60 + number), COLOURS["dog"]), "JPEG"))
        buckets.sorted(run, holdout=0.3)
    committed = local(contract.batch(buckets.models, buckets.batch("r2")))
    shutil.copytree(committed, committed.parent / "00000-000000000000")  # as an attempt leaves it that was killed
    data = loaded(buckets, image_size=40)
    rows = [row for run in ("r1", "r2") for row in buckets.manifest(run) if row["split"] == "train"]
    assert data.keys == [row["key"] for row in rows]
    assert data.labels == [row["label"] for row in rows]
    assert data.sizes == [(row["width"], row["height"]) for row in rows]
    assert len(set(data.sizes)) > 1
    assert len(data.views) == len(rows)
    for view, label in zip(data.views, data.labels, strict=True):
        assert view.shape == (40, 40, 3)
        assert int(view[20, 20].argmax()) == CLASSES.index(label)


def test_the_batches_of_all_ranges_of_a_run_are_loaded(buckets: Buckets) -> None:
    buckets.put_squares(4)
    buckets.sorted_in_ranges(5, holdout=0.3)
    data = loaded(buckets, image_size=40)
    assert len(batches.finished(buckets.models)) == 3
    assert data.keys == [row["key"] for row in buckets.manifest() if row["split"] == "train"]
    assert list(data.shards) == [uri for uri in buckets.shards() if "/train-" in uri]


def test_a_picture_that_was_met_under_another_label_later_on_is_left_out(buckets: Buckets, tmp_path: Path) -> None:
    buckets.put_squares(4)
    buckets.sorted(holdout=0.0)
    buckets.put("dog_50.jpg", square("cat", 2))
    buckets.sorted("r2", holdout=0.0, max_bad=1.0)
    (doubted,) = (row["key"] for row in buckets.manifest() if row["uri"].endswith("/cat_2.jpg"))
    offered: list[str] = []

    def keep(pictures: list[Picture]) -> list[str]:
        offered.extend(picture.key for picture in pictures)
        return [offered[0]]

    data = dataset.load(buckets.train_step(image_size=40), tmp_path, keep)
    assert data.keys == offered == [row["key"] for row in buckets.manifest() if row["key"] != doubted]
    assert len(data.views) == len(data.labels) == 11
    assert data.left_out == [doubted]
    assert [sample.key for sample in data.kept] == [data.keys[0]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["cat"], r"nothing to tell apart: 3 training pictures of 1 class\(es\)"),
        (["cat", "dog"], r"nothing to tell apart: 6 training pictures of 2 class\(es\)"),
        ([], r"nothing to tell apart: 0 training pictures of 0 class\(es\)"),
    ],
)
def test_too_few_pictures_or_classes_are_an_error_that_says_so(
    buckets: Buckets, labels: list[str], message: str
) -> None:
    if labels:
        buckets.put_squares(3, labels=labels)
        buckets.sorted(holdout=0.0)
    with pytest.raises(StepError, match=message) as failed:
        loaded(buckets, image_size=40)
    assert "at least two classes" in failed.value.remedy


def test_what_was_trained_on_is_told_by_batch_in_the_order_of_the_commits(buckets: Buckets) -> None:
    three_batches(buckets)
    data = loaded(buckets)
    assert list(data.batches.items()) == list(committed(buckets).items())
    assert [name.split("/")[0] for name in data.batches] == ["r1", "r2", "r3"]
    assert data.tag == "", "no tag was asked for"
    assert data.available == len(data.keys)
    assert data.newest == [key in trained_on(buckets, "r3") for key in data.keys]
    assert any(data.newest)


def test_given_batches_are_all_there_is_and_no_ledger_is_asked(buckets: Buckets) -> None:
    """As reproduce does it, with the batches of a tag beside it and nothing else."""
    three_batches(buckets)
    names = list(committed(buckets))
    given = {name: committed(buckets)[name] for name in names[:2]}
    shutil.rmtree(local(contract.batch(buckets.models, names[2])))
    local(contract.ledger_head(buckets.models)).unlink()
    data = loaded(buckets, given)
    assert data.batches == given
    assert data.keys == trained_on_shards(buckets, given)
    assert {contract.batch_of(uri) for uri in data.shards} == set(given)
    assert {key for key, new in zip(data.keys, data.newest, strict=True) if new} == set(
        trained_on_shards(buckets, {names[1]: given[names[1]]})
    )


def trained_on_shards(buckets: Buckets, given: dict[str, str]) -> list[str]:
    uris = {
        uri: sha256
        for name, table in reversed(list(batches.named(buckets.models, given)))
        for uri, sha256 in batches.shards_in(buckets.models, name, table, "train").items()
    }
    return [sample.key for sample in batches.samples(buckets.models, uris)]


def test_an_older_dataset_has_the_same_pictures_whatever_came_after_it(buckets: Buckets) -> None:
    """A later batch meets one of its pictures under another label: datasets with that batch lose it, those before do not."""
    buckets.put_squares(4)
    buckets.sorted(holdout=0.0)
    older = committed(buckets)
    before = loaded(buckets, older)
    buckets.put("dog_50.jpg", square("cat", 2))
    buckets.sorted("r2", holdout=0.0, max_bad=1.0)
    after = loaded(buckets, older)
    assert after.keys == before.keys
    assert after.left_out == []
    assert [np.array_equal(a, b) for a, b in zip(before.views, after.views, strict=True)] == [True] * 12
    assert len(loaded(buckets).keys) == 11


@pytest.mark.parametrize("over", [False, True], ids=["within the budget", "past it"])
def test_no_holdout_shard_is_opened(buckets: Buckets, monkeypatch: pytest.MonkeyPatch, over: bool) -> None:
    """Not read, not listed, not asked the size of."""
    three_batches(buckets)
    given = committed(buckets)
    asked: list[str] = []

    def spied(name: str) -> Any:
        plain = getattr(folder.FolderStore, name)

        def spy(self: Store, path: str = "", *arguments: Any) -> Any:
            asked.append(path)
            return plain(self, path, *arguments)

        return spy

    for name in ("read", "read_range", "stat", "download", "list"):
        monkeypatch.setattr(folder.FolderStore, name, spied(name))
    loaded(buckets, given, cache_gigabytes=0.0 if over else 8.0)
    assert {path.rsplit("/", 1)[1] for path in asked} == {"manifest.parquet", "train-00000.tar"}


def test_each_shard_is_fetched_once_and_in_sequence(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    three_batches(buckets)
    fetched: list[str] = []
    plain = folder.FolderStore.read_range

    def spy(self: Any, name: str, start: int, length: int) -> bytes:
        fetched.append(name)
        return plain(self, name, start, length)

    monkeypatch.setattr(folder.FolderStore, "read_range", spy)
    data = loaded(buckets, cache_gigabytes=0.0)
    assert [uri.removeprefix(f"{buckets.models}/") for uri in data.shards] == fetched
    for _ in range(2):
        list(data.views)
    assert len(fetched) == len(data.shards), "epochs read what is on this disk"


# Replay


def test_at_most_so_many_pictures_are_drawn_new_ones_first(buckets: Buckets, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    three_batches(buckets)
    everything, new = trained_on(buckets, "r1", "r2", "r3"), trained_on(buckets, "r3")
    data = loaded(buckets, max_pictures=10)
    assert len(data.keys) == 10
    assert [key for key in everything if key in data.keys] == data.keys, "in their order"
    assert set(new) <= set(data.keys)
    assert data.available == len(everything)
    assert f"at most 10 pictures: {len(new)} of the newest batch and {10 - len(new)} of earlier ones" in caplog.text
    assert loaded(buckets, max_pictures=10).keys == data.keys
    assert any(loaded(buckets, max_pictures=10, seed=seed).keys != data.keys for seed in (1, 2))
    assert list(data.shards) == list(loaded(buckets).shards), "what was not drawn is no news either"
    colours = {"cat": 0, "dog": 1, "zebra": 2}
    assert all(
        int(view[16, 16].argmax()) == colours[label] for view, label in zip(data.views, data.labels, strict=True)
    )


def test_a_newest_batch_that_is_too_large_is_drawn_from_and_no_older_shard_fetched(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets.put_squares(2)
    buckets.sorted(holdout=0.0)
    buckets.put_squares(5, first=11)
    buckets.sorted("r2", holdout=0.0)
    local(contract.shard(buckets.models, buckets.batch("r1"), "train", 0)).unlink()
    data = loaded(buckets, max_pictures=9)
    assert set(data.keys) < set(trained_on(buckets, "r2"))
    assert len(data.keys) == 9


def test_new_pictures_and_small_classes_are_shown_more_often_when_asked(buckets: Buckets) -> None:
    three_batches(buckets)
    assert loaded(buckets).draws is None
    weighted = loaded(buckets, new_weight=4.0)
    assert weighted.draws is not None
    (old,) = {round(w, 9) for w, new in zip(weighted.draws, weighted.newest, strict=True) if not new}
    (new,) = {round(w, 9) for w, new in zip(weighted.draws, weighted.newest, strict=True) if new}
    assert new / old == pytest.approx(4.0)
    balanced = loaded(buckets, balance="oversample")
    learned, _ = balanced.parts(0.1, 42)
    if balanced.draws is not None:
        shown = [sum(balanced.draws[i] for i in learned if balanced.labels[i] == label) for label in CLASSES]
        assert shown == pytest.approx([shown[0]] * 3)


# The disk


def test_pictures_past_the_budget_are_decoded_anew_and_look_the_same(
    buckets: Buckets, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    three_batches(buckets)
    whole = loaded(buckets)
    assert "decoded anew" not in caplog.text
    part = loaded(buckets, cache_gigabytes=5.5 * 32 * 32 * 3 / 1e9)
    assert (
        f"5 pictures are kept decoded (cache_gigabytes=1.6896e-05), {len(whole.keys) - 5} are decoded anew"
        in caplog.text
    )
    assert part.keys == whole.keys
    assert all(np.array_equal(a, b) for a, b in zip(part.views, whole.views, strict=True))


def test_too_little_disk_is_said_before_anything_is_fetched(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    three_batches(buckets)
    usage = shutil.disk_usage(buckets.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    monkeypatch.setattr(batches, "chosen", lambda *_: pytest.fail("something was fetched"))
    with pytest.raises(StepError, match="does not fit on this machine's disk"):
        loaded(buckets, cache_gigabytes=0.0)


# What is not there


def test_a_tag_without_a_registry_is_refused(buckets: Buckets) -> None:
    three_batches(buckets)
    with pytest.raises(StepError, match=r"--dataset-tag=dataset_v1 is given, but no data registry") as failed:
        loaded(buckets, dataset_tag="dataset_v1")
    assert "MENAGERIE_REGISTRY" in failed.value.remedy


@pytest.mark.parametrize("file", ["manifest.parquet", "train-00000.tar"])
@pytest.mark.parametrize("gone", [True, False], ids=["gone", "another"])
def test_a_batch_that_is_not_there_as_it_was_is_named(buckets: Buckets, file: str, gone: bool) -> None:
    three_batches(buckets)
    path = local(contract.batch(buckets.models, buckets.batch("r2"))) / file
    path.unlink() if gone else path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BadShard, match=rf"{buckets.batch('r2')}/{file} is (missing|not the)"):
        loaded(buckets)
    with pytest.raises(
        StepError, match=rf"dataset_v7 is not in the bucket as it was tagged: .*{buckets.batch('r2')}/{file}"
    ) as no:
        loaded(buckets, committed(buckets), dataset_tag="dataset_v7")
    for way_out in ("git checkout dataset_v7", "dvc pull", "reproduce"):
        assert way_out in no.value.remedy


# Its parts


def make_dataset(pictures: int) -> dataset.Dataset:
    views = np.zeros((pictures, 4, 4, 3), np.uint8)
    return dataset.Dataset(views, ["cat", "dog"] * (pictures // 2), [f"{n:020x}" for n in range(pictures)])


@pytest.mark.parametrize(("share", "watched"), [(0.1, 10), (0.0, 1), (0.5, 50)])
def test_a_part_is_kept_back_to_watch_with(share: float, watched: int) -> None:
    data = make_dataset(100)
    learn, watch = data.parts(share, seed=42)
    assert len(watch) == watched
    assert sorted(learn + watch) == list(range(100))
    assert data.parts(share, seed=42) == (learn, watch)
    assert data.parts(share, seed=43) != (learn, watch)
