"""sort: what arrives is read once, packed, or put aside with a reason; what is wrong is said clearly."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from demo.pictures.broken import BOMB_SIDE, bomb
from model_service import batches
from model_service.errors import StepError
from model_service.ledger import read_head
from model_service.plan import plan
from model_service.shards import read_shard
from model_service.sort import sort
from model_service.sorting import labels
from model_service.storage import BucketMissing, open_store
from tests.model_service.buckets import CLASSES, NAMES, Buckets, encoded, local, make_buckets, square
from tests.model_service.cloud import Cloud
from tests.support.gcs import Fault, GcsServer

REPOSITORY = Path(__file__).parents[2]
JPEG = square("cat", 9_999)


@pytest.fixture(params=["folders", "gcs"])
def buckets(request: pytest.FixtureRequest, tmp_path: Path) -> Buckets:
    if request.param == "folders":
        return make_buckets(tmp_path)
    remote: Buckets = request.getfixturevalue("remote")
    return remote


@pytest.fixture
def remote(cloud: Cloud, tmp_path: Path) -> Buckets:
    return Buckets(tmp_path, tuple(cloud.take() for _ in NAMES))


@pytest.fixture
def folders(tmp_path: Path) -> Buckets:
    """Where it matters that they are folders."""
    return make_buckets(tmp_path)


def quarantined(buckets: Buckets) -> dict[str, bytes]:
    return buckets.tree(buckets.source, f"{contract.QUARANTINE}/")


def said(counts: dict[str, Any]) -> dict[str, Any]:
    """What a sort says of its pictures, without what it cost."""
    cost = ("listed", "read", "copied", "bytes_in", "bytes_out", "class_a", "class_b", "usd", "seconds", "per_second")
    return {name: count for name, count in counts.items() if name not in cost}


def only(buckets: Buckets, run: str = "r1") -> str:
    """The name of a run's only batch."""
    (name,) = batches.of_run(buckets.models, run)
    return name


NOTHING = {
    "new": 0,
    "packed": 0,
    "duplicates": 0,
    "near_duplicates": 0,
    "left": 0,
    "held": {},
    "quarantined": {},
    "classes": {},
    "new_classes": [],
    "spellings": {},
    "splits": {"train": 0, "holdout": 0},
    "batches": 1,
}


# The road of a good picture


def test_every_new_picture_is_copied_packed_and_written_down(buckets: Buckets) -> None:
    buckets.put_squares(4)
    outcome = sort(buckets.sort_step(holdout=0.5))
    rows = buckets.manifest()
    splits = {split: sum(row["split"] == split for row in rows) for split in contract.SPLITS}
    assert said(outcome.counts) == NOTHING | {
        "new": 12,
        "packed": 12,
        "classes": {"cat": 4, "dog": 4, "zebra": 4},
        "new_classes": ["cat", "dog", "zebra"],
        "splits": splits,
    }
    batch = outcome.outputs["batch"]
    assert batch == only(buckets)
    assert outcome.outputs["shards"] == [contract.shard(buckets.models, batch, split, 0) for split in contract.SPLITS]
    assert all(contract.batch_of(uri) == batch for uri in outcome.outputs["shards"])
    assert outcome.message == "12 new: 12 packed, 0 quarantined"
    assert [row["uri"] for row in rows] == [f"{buckets.source}/{name}" for name in buckets.arrived()]


def test_a_manifest_row_leads_to_the_picture_in_its_shard(buckets: Buckets) -> None:
    buckets.put_squares(3)
    buckets.sorted(holdout=0.5)
    for row in buckets.manifest():
        data = buckets.fetched(row["uri"]).read_bytes()
        assert (row["status"], row["size"], row["reason"], row["text"]) == ("packed", len(data), None, None)
        assert row["split"] == labels.split_of(row["sha256"], 0.5)
        shard = buckets.fetched(f"{contract.batch(buckets.models, only(buckets))}/{row['shard']}")
        (sample,) = [sample for sample in read_shard(shard) if sample.key == row["key"]]
        assert shard.read_bytes()[row["offset"] :].startswith(sample.jpeg)
        assert sample.meta == {name: row[name] for name in ("uri", "generation", "sha256", "label", "split")}
        with Image.open(io.BytesIO(sample.jpeg)) as picture:
            assert picture.size == (row["width"], row["height"]) == (48, 48)


def test_people_find_a_copy_under_the_label(buckets: Buckets) -> None:
    buckets.put("2026/Polar Bear_1.JPG", JPEG)
    buckets.sorted()
    (row,) = buckets.manifest()
    assert row["copy"] == f"polar_bear/Polar Bear_1.{row['sha256'][:10]}.jpg"
    assert buckets.tree(buckets.to_predict) == {row["copy"]: JPEG}


def test_the_folder_can_tell_the_label(buckets: Buckets) -> None:
    buckets.put("zoo/cat/1.jpg", square("cat"))
    buckets.put("zoo/dog/cat_1.jpg", square("dog"))
    assert buckets.sorted(label_rule="folder")["classes"] == {"cat": 1, "dog": 1}


def test_the_same_content_is_packed_once(buckets: Buckets) -> None:
    for name in ("a/cat_1.jpg", "b/cat_1.jpg", "cat_2.jpg"):
        buckets.put(name, JPEG)
    buckets.put("cat_3.jpg", square("cat", 3))
    counts = buckets.sorted()
    assert (counts["new"], counts["packed"], counts["duplicates"]) == (4, 2, 2)
    assert [row["status"] for row in buckets.manifest()] == ["packed", "duplicate", "duplicate", "packed"]
    assert sum(len(list(read_shard(buckets.fetched(uri)))) for uri in buckets.shards()) == 2


def test_shards_are_closed_at_their_size_and_hashed(buckets: Buckets) -> None:
    buckets.put_squares(4)
    buckets.sorted(holdout=0.0, shard_megabytes=0.01)
    assert len(buckets.shards()) > 2
    batch, count = only(buckets), len(buckets.shards())
    assert {contract.shard(buckets.models, batch, "train", i) for i in range(count)} == set(buckets.shards())
    described = batches.described(buckets.models, buckets.shards())
    hashes = {uri: shard.sha256 for uri, shard in described.items()}
    assert hashes == batches.shards(buckets.models, batch, "train")


def test_names_of_any_kind(buckets: Buckets) -> None:
    names = [
        "-option_1.jpg",
        "cat%25_2.jpg",
        "🐈/кот_4.jpg",
        "'q' \"_5.jpg",
        "#a?b=c_6.jpg",
        ".hid_7.jpg",
    ] + ["new\nline/cat_3.jpg"] * (not buckets.cloud)  # where there are no such names
    for n, name in enumerate(names):
        buckets.put(name, square("cat", n))
    assert buckets.sorted()["packed"] == len(names)
    assert {row["uri"].removeprefix(f"{buckets.source}/") for row in buckets.manifest()} == set(names)


def test_a_name_that_is_not_utf_8_is_skipped_and_said(folders: Buckets, caplog: pytest.LogCaptureFixture) -> None:
    folders.put("cat_1.jpg", JPEG)
    Path(os.fsdecode(os.fsencode(folders.arrivals) + b"/cat_\xff.jpg")).write_bytes(square("cat", 2))
    assert folders.sorted()["new"] == 1
    assert "is not UTF-8; rename it" in caplog.text


def test_the_longest_names_that_a_folder_can_have(buckets: Buckets) -> None:
    buckets.put("k" * 249 + "_1.jpg", JPEG)
    buckets.put("x" * 251 + ".txt", b"no picture")
    counts = buckets.sorted(max_bad=1.0)
    assert (counts["packed"], counts["quarantined"]) == (1, {"not-an-image": 1})
    notes = [json.loads(data) for name, data in quarantined(buckets).items() if name.endswith(".json")]
    assert [note["name"] for note in notes] == ["x" * 251 + ".txt"]
    assert b"no picture" in quarantined(buckets).values()


# What is new


def test_nothing_new_is_said_in_a_moment_and_writes_no_batch(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted("r1")
    before = buckets.tree(buckets.models)
    outcome = sort(buckets.sort_step("r2"))
    assert (said(outcome.counts), outcome.outputs) == (NOTHING, {"batch": None, "shards": []})
    assert outcome.message == f"nothing new in {buckets.source}"
    assert buckets.tree(buckets.models) == before


def test_only_what_is_new_is_sorted(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted("r1")
    buckets.put_squares(1, first=3)
    counts = buckets.sorted("r2")
    assert (counts["new"], counts["batches"]) == (3, 2)
    assert {Path(row["uri"]).name for row in buckets.manifest("r2")} == {"cat_3.jpg", "dog_3.jpg", "zebra_3.jpg"}


def test_a_picture_that_was_replaced_is_new_again(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted("r1")
    buckets.put("cat_1.jpg", square("cat", 77))
    assert buckets.sorted("r2")["new"] == 1


def test_the_same_run_again_changes_nothing(buckets: Buckets) -> None:
    buckets.put_squares(2)
    first = sort(buckets.sort_step())
    before = buckets.tree(buckets.models), buckets.tree(buckets.to_predict)
    again = sort(buckets.sort_step())
    assert (said(again.counts), again.outputs) == (said(first.counts), first.outputs)
    assert (again.counts["copied"], again.counts["bytes_out"]) == (0, 0)
    assert (buckets.tree(buckets.models), buckets.tree(buckets.to_predict)) == before


def test_a_batch_that_is_finished_stays_as_it_is_when_its_source_changes(buckets: Buckets) -> None:
    """The ledger's head is the commit: an attempt that was killed after it may come again much later."""
    buckets.put_squares(2)
    first = sort(buckets.sort_step())
    before = buckets.tree(buckets.models)
    buckets.remove(f"{buckets.source}/cat_1.jpg")
    buckets.put("dog_1.jpg", square("dog", 55))
    again = sort(buckets.sort_step())
    assert (said(again.counts), again.outputs) == (said(first.counts), first.outputs)
    assert buckets.tree(buckets.models) == before


def test_a_plan_left_behind_does_not_sort_again_what_another_run_has_sorted(buckets: Buckets) -> None:
    buckets.put_squares(4, labels=["cat"])
    buckets.put("text_1.jpg", b"text")
    with pytest.raises(StepError):
        buckets.sorted("r1", max_bad=0.0)
    assert buckets.sorted("r2")["packed"] == 4
    assert said(buckets.sorted("r1", max_bad=0.0)) == NOTHING


def test_a_picture_that_vanishes_after_the_plan_is_written_down_and_not_blamed(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.put("text_1.jpg", b"text")
    with pytest.raises(StepError):
        buckets.sorted(max_bad=0.0)
    buckets.remove(f"{buckets.source}/text_1.jpg")
    counts = buckets.sorted(max_bad=0.0)
    assert (counts["packed"], counts["quarantined"]) == (6, {"vanished": 1})


# Bad input


BAD: dict[str, tuple[str, bytes, str]] = {
    "text named .jpg": ("cat_901.jpg", b"This is no picture.\n" * 9, "not-an-image"),
    "zero bytes": ("dog_902.jpg", b"", "not-an-image"),
    "truncated": ("zebra_903.jpg", encoded(Image.effect_noise((200, 200), 90), "JPEG")[:4000], "truncated"),
    "bomb": ("cat_904.png", bomb(), "bomb"),
    "no label": ("905.jpg", JPEG, "no-label"),
    "a label of nothing but signs": ("-+-_906.jpg", JPEG, "no-label"),
    "too long and thin": ("cat_907.png", encoded(Image.new("RGB", (32, 700)), "PNG"), "too-small"),
    "too small": ("cat_908.png", encoded(Image.new("RGB", (31, 400)), "PNG"), "too-small"),
    "too many bytes": ("cat_909.bmp", encoded(Image.new("RGB", (200, 200)), "BMP"), "too-large"),
    "in a folder": ("deep/Кот/cat_910.jpg", b"\xff\xd9\xff", "not-an-image"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_picture_is_put_aside_with_a_reason_of_one_line(buckets: Buckets, case: str) -> None:
    name, data, reason = BAD[case]
    buckets.put(name, data)
    buckets.put_squares(2)
    counts = buckets.sorted(max_megabytes=0.11)
    assert (counts["packed"], counts["quarantined"]) == (6, {reason: 1})
    (row,) = [row for row in buckets.manifest() if row["status"] == "quarantined"]
    assert (row["uri"], row["reason"], row["shard"]) == (f"{buckets.source}/{name}", reason, None)
    put_aside = f"{contract.QUARANTINE}/{reason}/{name}"
    found = quarantined(buckets)
    assert sorted(found) == [put_aside, f"{put_aside}.json"]
    assert found[put_aside] == data
    note = json.loads(found[f"{put_aside}.json"])
    assert note == {
        "name": name,
        "generation": row["generation"],
        "bytes": len(data),
        "reason": reason,
        "text": row["text"],
    }
    assert note["text"].count("\n") == 0 < len(note["text"])
    assert buckets.arrived()[name] == data, "the source is never touched"
    assert not any(Path(copy).name.startswith(Path(name).stem) for copy in buckets.tree(buckets.to_predict))


def put_bad(buckets: Buckets) -> None:
    for name, data, _ in BAD.values():
        buckets.put(name, data)


def test_below_the_threshold_a_run_is_green(buckets: Buckets) -> None:
    put_bad(buckets)
    buckets.put_squares(14)
    counts = buckets.sorted(max_megabytes=0.11)  # 10 of 52 are bad
    assert counts["packed"] == 42
    assert counts["quarantined"] == {
        "bomb": 1,
        "no-label": 2,
        "not-an-image": 3,
        "too-large": 1,
        "too-small": 2,
        "truncated": 1,
    }


def test_above_the_threshold_a_run_fails_with_the_counts_and_commits_nothing(buckets: Buckets) -> None:
    put_bad(buckets)
    buckets.put_squares(13)
    arrived = buckets.arrived()
    with pytest.raises(StepError) as failed:
        buckets.sorted(max_megabytes=0.11)
    assert failed.value.message == (
        "10 of 49 new pictures cannot be used (20%, allowed are 20%): "
        "1 bomb, 2 no-label, 3 not-an-image, 1 too-large, 2 too-small, 1 truncated"
    )
    assert f"{buckets.source}/{contract.QUARANTINE}/" in failed.value.remedy
    assert "max_bad" in failed.value.remedy
    assert not failed.value.retry
    written = buckets.tree(buckets.models)
    assert [name.rsplit("/", 1)[0] for name in written] == ["runs/r1/plan"], "no shard, no manifest, no ledger"
    assert batches.finished(buckets.models) == []
    assert len(quarantined(buckets)) == 2 * len(BAD), "a person can look at what was wrong"
    assert buckets.arrived() == arrived
    assert buckets.sorted("r2", max_megabytes=0.11, max_bad=0.21)["packed"] == 39, "and nothing was lost"


def test_exactly_the_threshold_is_allowed(buckets: Buckets) -> None:
    buckets.put_squares(4, labels=["cat"])
    buckets.put("dog_1.jpg", b"text")
    assert buckets.sorted(max_bad=0.2)["quarantined"] == {"not-an-image": 1}


def test_another_bad_content_under_the_same_name_is_put_aside_beside_the_first(buckets: Buckets) -> None:
    for run, data in (("r1", b"one"), ("r2", b"two")):
        buckets.put("cat_1.jpg", data)
        buckets.sorted(run, max_bad=1.0)
    kept = {name: data for name, data in quarantined(buckets).items() if not name.endswith(".json")}
    assert sorted(kept.values()) == [b"one", b"two"]
    assert len(quarantined(buckets)) == 4


def test_what_was_put_aside_is_not_sorted(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.put("cat_9.jpg", b"text")
    buckets.sorted("r1")
    assert buckets.sorted("r2")["new"] == 0


# Wrong places


def test_no_pictures_at_all_names_the_setting(buckets: Buckets) -> None:
    with pytest.raises(StepError, match=f"no pictures at all in {buckets.source}") as failed:
        buckets.sorted()
    assert "MENAGERIE_BUCKETS" in failed.value.remedy
    assert buckets.tree(buckets.models) == {}


@pytest.mark.parametrize("missing", ["source", "to_predict", "models"])
def test_a_missing_bucket_names_the_setting(buckets: Buckets, missing: str) -> None:
    buckets.put_squares(1)
    uri = f"{getattr(buckets, missing)}-none"
    with pytest.raises(BucketMissing, match=uri) as failed:
        sort(dataclasses.replace(buckets.sort_step(), **{missing: uri}))
    assert "MENAGERIE_BUCKETS" in failed.value.remedy
    with pytest.raises(BucketMissing):
        open_store(uri).check()


def test_a_bucket_that_is_none_names_the_setting(buckets: Buckets) -> None:
    step = contract.Sort(
        run="r1", models=buckets.models, result="", source="animals_all", to_predict=buckets.to_predict
    )
    with pytest.raises(StepError, match="'animals_all' is not a bucket") as failed:
        sort(step)
    assert "MENAGERIE_BUCKETS" in failed.value.remedy


def test_an_unreadable_folder_is_named() -> None:
    """As a user who is not root, whom no permission stops."""
    with tempfile.TemporaryDirectory() as folder:
        buckets = make_buckets(Path(folder))
        buckets.put_squares(1)
        Path(folder).chmod(0o755)
        for bucket in Path(folder).iterdir():
            bucket.chmod(0o777)
        buckets.arrivals.chmod(0o000)
        code = f"""
            import os, sys
            sys.path.insert(0, "plugins")
            from model_service.__main__ import main
            import model_service.sort, model_service.storage.folder
            os.geteuid() or os.setuid(65534)
            sys.exit(main({buckets.sort_step().argv()!r}))
        """
        refused = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        buckets.arrivals.chmod(0o755)
    output = refused.stdout + refused.stderr
    assert refused.returncode == 1
    assert f"{buckets.source} may not be read" in output
    assert str(buckets.arrivals) in output


def test_rows_have_the_manifests_schema(buckets: Buckets) -> None:
    buckets.put_squares(1)
    buckets.put("text_1.jpg", b"text")
    buckets.sorted(max_bad=1.0)
    table = pq.read_table(buckets.fetched(contract.manifest(buckets.models, only(buckets))))
    assert table.schema.remove_metadata() == batches.MANIFEST
    packed: list[dict[str, Any]] = [row for row in table.to_pylist() if row["status"] == "packed"]
    assert {row["label"] for row in packed} == set(CLASSES)
    assert len({row["key"] for row in packed}) == len(packed)


def test_the_bomb_is_as_large_as_it_is_said_to_be() -> None:
    with Image.open(io.BytesIO(bomb())) as picture:
        assert picture.size == (BOMB_SIDE, BOMB_SIDE) == (30_000, 30_000)


# One bad object never stops the others


def test_what_storage_does_not_take_now_is_left_for_the_next_run(folders: Buckets) -> None:
    folders.put_squares(4)
    in_the_way = local(folders.to_predict) / "cat"
    in_the_way.write_text("a file where the label's folder should be")

    first = folders.sorted("r1", max_bad=0.5)
    in_the_way.unlink()
    second = folders.sorted("r2")

    assert (first["packed"], first["left"]) == (8, 4)
    assert (second["new"], second["packed"], second["left"]) == (4, 4, 0)


def test_too_much_left_fails_the_step_and_may_be_tried_again(folders: Buckets) -> None:
    folders.put_squares(4)
    (local(folders.to_predict) / "cat").write_text("in the way")

    with pytest.raises(
        StepError, match=r"did not give or take 3 of 3 pictures \(of 12\); the last: .* needs a folder"
    ) as failed:
        folders.sorted()

    assert failed.value.retry


def test_what_cloud_storage_does_not_take_now_is_left_for_the_next_run(remote: Buckets, server: GcsServer) -> None:
    remote.put_squares(4)
    server.inject(Fault("rewrite .*/cat/", status=403, times=None))
    first = remote.sorted("r1", max_bad=0.5)
    server.forget()
    second = remote.sorted("r2")

    assert (first["packed"], first["left"]) == (8, 4)
    assert (second["new"], second["packed"], second["left"]) == (4, 4, 0)


def test_a_bad_day_of_cloud_storage_changes_nothing(remote: Buckets, server: GcsServer, tmp_path: Path) -> None:
    """One request in seven fails, in each of the ways there are, many of them after they took effect."""
    remote.put_squares(12)
    remote.put("text_1.jpg", b"text")
    ways = [{"status": s, "after": a} for s in (408, 429, 500, 502, 503, 504) for a in (False, True)]
    ways += [{"reset": True}, {"reset": True, "after": True}, {"short": True}]
    faults = [Fault(times=None, share=0.01, seed=n, **way) for n, way in enumerate(ways)]
    server.inject(*faults, Fault("media", corrupt=True, times=None, share=0.05))
    counts = remote.sorted()
    assert sum(fault.befell for fault in server.faults) > 10
    server.forget()

    (tmp_path / "quiet").mkdir()
    quiet = make_buckets(tmp_path / "quiet")
    for name, data in remote.arrived().items():
        quiet.put(name, data)
    assert said(counts) == said(quiet.sorted())
    assert remote.tree(remote.to_predict) == quiet.tree(quiet.to_predict)
    assert [row["key"] for row in remote.manifest()] == [row["key"] for row in quiet.manifest()]


def test_quarantined_names_that_get_in_each_others_way(buckets: Buckets) -> None:
    buckets.put("a", b"text")
    buckets.put("a.json/b.txt", b"text")

    assert buckets.sorted(max_bad=1.0)["quarantined"] == {"not-an-image": 2}

    names = {
        path["name"] for path in map(json.loads, (v for k, v in quarantined(buckets).items() if k.endswith(".json")))
    }
    assert names == {"a", "a.json/b.txt"}


def test_a_label_that_grows_too_long_when_normalised_is_none(buckets: Buckets) -> None:
    buckets.put_squares(4)
    buckets.put("ŉ" * 110 + "_1.jpg", square("cat", 99))

    assert buckets.sorted()["quarantined"] == {"no-label": 1}


def test_folders_nested_deeper_than_python_calls(folders: Buckets) -> None:
    folders.put_squares(2)
    here = os.getcwd()
    os.chdir(folders.arrivals)
    try:
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        Path("cat_9.jpg").write_bytes(square("cat", 9))
    finally:
        os.chdir(here)

    counts = folders.sorted()
    subprocess.run(["rm", "-rf", str(folders.root)], check=True)  # pytest's own clean-up calls itself for each folder

    assert counts["packed"] == 7


def test_the_same_content_in_a_later_batch_is_a_duplicate(buckets: Buckets) -> None:
    buckets.put_squares(3)
    buckets.sorted("r1")
    for name, data in buckets.arrived().items():
        buckets.put(name, data)  # another generation of the same content, as a restored backup has it

    counts = buckets.sorted("r2")

    assert (counts["new"], counts["packed"], counts["duplicates"]) == (9, 0, 9)


# Ranges


def test_a_range_is_sorted_as_planned_whatever_else_arrives(buckets: Buckets) -> None:
    buckets.put_squares(3)
    planned = plan(buckets.plan_step(range_size=4))
    assert (planned.counts["listed"], planned.counts["new"], planned.counts["ranges"]) == (9, 9, 3)
    buckets.put("cat_0.jpg", square("cat", 500))

    outcomes = [sort(buckets.sort_step(plan=uri)) for uri in planned.outputs["plans"]]

    assert [outcome.counts["new"] for outcome in outcomes] == [4, 4, 1]
    names = [outcome.outputs["batch"] for outcome in outcomes]
    assert [name.split("-")[0] for name in names] == ["r1/00000", "r1/00001", "r1/00002"]
    assert batches.of_run(buckets.models, "r1") == names
    sorted_names = [row["uri"] for name in names for row in batches.manifest(buckets.models, name).to_pylist()]
    assert sorted_names == [f"{buckets.source}/{name}" for name in buckets.arrived() if name != "cat_0.jpg"]
    assert plan(buckets.plan_step("r2")).counts["new"] == 1, "what came later waits for the next run"


def test_what_is_more_than_the_ranges_hold_waits_for_the_next_run(buckets: Buckets) -> None:
    buckets.put_squares(2)
    first = plan(buckets.plan_step(range_size=2, max_ranges=2))
    assert (first.counts["new"], first.counts["left_for_next_run"]) == (4, 2)
    for uri in first.outputs["plans"]:
        sort(buckets.sort_step(plan=uri))
    assert plan(buckets.plan_step("r2", range_size=2)).counts["new"] == 2


def test_planning_again_finds_the_same_and_when_all_is_sorted_nothing(buckets: Buckets) -> None:
    buckets.put_squares(2)
    assert plan(buckets.plan_step()).outputs == plan(buckets.plan_step()).outputs
    sort(buckets.sort_step())
    done = plan(buckets.plan_step("r2"))
    assert (done.outputs, done.message) == ({"plans": []}, f"nothing new in {buckets.source}")


def test_the_same_content_in_two_ranges_is_packed_once(buckets: Buckets) -> None:
    for name in ("cat_1.jpg", "cat_2.jpg"):
        buckets.put(name, JPEG)
    first, second = plan(buckets.plan_step(range_size=1)).outputs["plans"]
    assert sort(buckets.sort_step(plan=first)).counts["packed"] == 1
    counts = sort(buckets.sort_step(plan=second)).counts
    assert (counts["packed"], counts["duplicates"]) == (0, 1)


def test_a_damaged_plan_is_not_sorted(folders: Buckets) -> None:
    folders.put_squares(1)
    (uri,) = plan(folders.plan_step()).outputs["plans"]
    local(uri).write_bytes(local(uri).read_bytes() + b"x")
    with pytest.raises(StepError, match="is damaged"):
        sort(folders.sort_step(plan=uri))


# Labels, classes and near-duplicates


def test_labels_are_one_however_they_are_written_and_the_spellings_are_told(buckets: Buckets) -> None:
    for n, name in enumerate(("Polar Bear_1.jpg", "polar_bear 2.jpg", "POLAR  BEAR-3.jpg", "polar_bear_4.jpg")):
        buckets.put(name, square("cat", n))
    counts = buckets.sorted()
    assert counts["classes"] == {"polar_bear": 4}
    assert counts["spellings"] == {"polar_bear": ["POLAR  BEAR", "Polar Bear"]}


def test_a_pattern_of_ones_own_tells_the_label(buckets: Buckets) -> None:
    buckets.put("IMG-17--Okapi.jpg", JPEG)
    assert buckets.sorted(label_pattern=r"^IMG-\d+--(?P<label>\w+)$")["classes"] == {"okapi": 1}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "name,label\nIMG_1.jpg,Okapi\nIMG_2.jpg,Zebra\n"),
        ("labels.jsonl", '{"name": "IMG_1.jpg", "label": "Okapi"}\n{"uri": "SOURCE/IMG_2.jpg", "label": "zebra"}\n'),
    ],
)
def test_a_manifest_among_the_pictures_tells_the_labels(buckets: Buckets, name: str, text: str) -> None:
    buckets.put(name, text.replace("SOURCE", buckets.source).encode())
    for n in (1, 2, 3):
        buckets.put(f"IMG_{n}.jpg", square("cat", n))
    counts = buckets.sorted(label_rule="manifest", label_manifest=name, max_bad=0.5)
    assert counts["classes"] == {"okapi": 1, "zebra": 1}
    assert (counts["new"], counts["quarantined"]) == (3, {"no-label": 1})


def test_the_same_picture_under_two_labels_is_put_aside_under_both(buckets: Buckets) -> None:
    buckets.put_squares(4)
    for name in ("cat_99.jpg", "dog_99.jpg"):
        buckets.put(name, JPEG)
    counts = buckets.sorted()
    assert (counts["packed"], counts["quarantined"]) == (12, {"conflicting-label": 2})
    kept = {name for name in quarantined(buckets) if not name.endswith(".json")}
    assert kept == {f"{contract.QUARANTINE}/conflicting-label/{name}_99.jpg" for name in ("cat", "dog")}
    assert not any("_99" in name for name in buckets.tree(buckets.to_predict)), "nor is there a copy"
    buckets.put("cat_99.jpg", JPEG)
    assert buckets.sorted("r2", max_bad=1.0)["quarantined"] == {"conflicting-label": 1}, "the other one is still there"
    buckets.remove(f"{buckets.source}/dog_99.jpg")
    buckets.put("cat_99.jpg", JPEG)
    assert buckets.sorted("r3")["classes"] == {"cat": 1}
    assert batches.retracted(buckets.models) == {}


def test_a_picture_that_comes_again_under_another_label_is_not_used_any_more(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.put("cat_99.jpg", JPEG)
    buckets.sorted("r1")
    buckets.put("dog_99.jpg", JPEG)
    counts = buckets.sorted("r2", max_bad=1.0)
    assert (counts["packed"], counts["quarantined"]) == (0, {"conflicting-label": 1})
    (row,) = [row for row in buckets.manifest("r1") if row["uri"].endswith("cat_99.jpg")]
    assert batches.retracted(buckets.models) == {only(buckets, "r1"): {row["key"]}}
    buckets.remove(f"{buckets.source}/dog_99.jpg")
    buckets.put("cat_99.jpg", JPEG)
    assert buckets.sorted("r3")["duplicates"] == 1
    assert batches.retracted(buckets.models) == {}, "a person has seen to it"


def test_a_wrong_label_is_corrected_by_putting_the_picture_there_under_the_right_one(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.put("cat_99.jpg", JPEG)
    buckets.sorted("r1")
    buckets.remove(f"{buckets.source}/cat_99.jpg")
    buckets.put("dog_99.jpg", JPEG)
    counts = buckets.sorted("r2", max_bad=0.0)
    assert (counts["classes"], counts["quarantined"]) == ({"dog": 1}, {})
    (row,) = [row for row in buckets.manifest("r1") if row["uri"].endswith("cat_99.jpg")]
    assert batches.retracted(buckets.models) == {only(buckets, "r1"): {row["key"]}}
    described = batches.described(buckets.models, [*buckets.shards("r1"), *buckets.shards("r2")])
    shards = {uri: shard.sha256 for uri, shard in described.items()}
    sure = batches.sure(buckets.models, shards, batches.retracted(buckets.models))
    assert [sample.meta["label"] for sample in sure if sample.key == row["key"]] == ["dog"]


def test_a_sort_that_is_refused_takes_its_copies_back_and_shows_what_is_contested(buckets: Buckets) -> None:
    buckets.put_squares(1, labels=["cat"])
    for name in ("cat_99.jpg", "dog_99.jpg"):
        buckets.put(name, JPEG)
    with pytest.raises(StepError, match="2 conflicting-label"):
        buckets.sorted("r1")
    assert buckets.tree(buckets.to_predict) == {}
    assert len(quarantined(buckets)) == 4
    buckets.remove(f"{buckets.source}/dog_99.jpg")
    assert buckets.sorted("r2")["packed"] == 2
    assert {name.split("/")[0] for name in buckets.tree(buckets.to_predict)} == {"cat"}


def test_held_pictures_that_another_policy_planned_wait_on(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted("r1", new_classes="hold", allow="cat")
    (uri,) = plan(buckets.plan_step("r2", new_classes="accept")).outputs["plans"]
    assert sort(buckets.sort_step("r2", plan=uri, new_classes="hold")).counts["held"] == {"dog": 2, "zebra": 2}
    assert buckets.sorted("r3")["classes"] == {"dog": 2, "zebra": 2}


def test_what_was_held_and_is_gone_or_another_picture_now_is_not_packed(buckets: Buckets) -> None:
    buckets.put_squares(3, labels=["zebra"])
    buckets.sorted("r1", new_classes="hold")
    buckets.put("zebra_1.jpg", square("zebra", 500))
    buckets.remove(f"{buckets.source}/zebra_2.jpg")
    counts = buckets.sorted("r2", max_bad=0.0)
    assert (counts["packed"], counts["quarantined"]) == (2, {"vanished": 2})


def test_classes_never_seen_are_named(buckets: Buckets) -> None:
    buckets.put_squares(1, labels=["cat"])
    assert buckets.sorted("r1")["new_classes"] == ["cat"]
    buckets.put_squares(1, first=2)
    assert buckets.sorted("r2")["new_classes"] == ["dog", "zebra"]


def test_new_classes_are_held_until_they_are_allowed(buckets: Buckets) -> None:
    buckets.put_squares(2, labels=["cat"])
    buckets.sorted("r1")
    buckets.put_squares(2, first=3)
    counts = buckets.sorted("r2", new_classes="hold")
    assert (counts["packed"], counts["held"], counts["new_classes"]) == (2, {"dog": 2, "zebra": 2}, [])
    assert set(buckets.tree(buckets.source, f"{contract.HELD}/")) == {
        f"{contract.HELD}/{label}/{label}_{n}.jpg" for label in ("dog", "zebra") for n in (3, 4)
    }
    assert buckets.sorted("r3", new_classes="hold")["new"] == 0, "and are not read again each time"

    counts = buckets.sorted("r4", new_classes="hold", allow="Dog")
    assert (counts["packed"], counts["classes"], counts["new_classes"]) == (2, {"dog": 2}, ["dog"])
    counts = buckets.sorted("r5")
    assert counts["classes"] == {"zebra": 2}
    assert buckets.sorted("r6")["new"] == 0


def test_refused_classes_are_put_aside_and_are_nobodys_fault(buckets: Buckets) -> None:
    buckets.put_squares(2)
    counts = buckets.sorted("r1", allow="cat", new_classes="refuse", max_bad=0.0)
    assert (counts["classes"], counts["quarantined"]) == ({"cat": 2}, {"label-not-allowed": 4})
    buckets.put_squares(1, first=9)
    assert buckets.sorted("r2", new_classes="refuse")["classes"] == {"cat": 1}


def photograph(seed: int) -> Image.Image:
    """With structure: as two photographs differ, so do two of these."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    return Image.fromarray(noise).resize((200, 200), Image.Resampling.BICUBIC).convert("RGB")


def test_near_duplicates_are_on_one_side_also_in_later_batches(buckets: Buckets) -> None:
    originals = [photograph(n) for n in range(8)]
    for n, picture in enumerate(originals):
        for quality in (95, 60):
            buckets.put(f"cat_{n}{quality}.jpg", encoded(picture, "JPEG", quality=quality))
    counts = buckets.sorted("r1", holdout=0.5)
    assert counts["packed"] == 16
    assert counts["near_duplicates"] > 0
    for n, picture in enumerate(originals):
        buckets.put(f"later_{n}.jpg", encoded(picture.resize((150, 150)), "JPEG", quality=80))
    buckets.sorted("r2", holdout=0.5)

    sides: dict[str, set[str]] = {}
    for row in buckets.manifest("r1") + buckets.manifest("r2"):
        n = Path(row["uri"]).stem.split("_")[1][0]
        sides.setdefault(n, set()).add(row["split"])
    assert len(sides) == 8
    assert all(len(split) == 1 for split in sides.values())
    assert {side for split in sides.values() for side in split} == {"train", "holdout"}


# By content, and what is in the way


def test_a_picture_is_one_by_its_content_whatever_its_name_ends_in(buckets: Buckets) -> None:
    for name in ("cat_1.xyz", "cat_2", "cat_3.txt", "cat_4.PNG"):
        buckets.put(name, square("cat", int(name[4])))
    assert buckets.sorted()["packed"] == 4


def test_folder_placeholders_are_no_pictures(remote: Buckets) -> None:
    """What Google's console makes to show an empty folder."""
    remote.put("holidays/", b"")
    remote.put_squares(1)
    assert remote.sorted()["new"] == 3


def test_a_copy_that_is_there_already_is_left_as_it_is(buckets: Buckets) -> None:
    buckets.put("cat_1.jpg", JPEG)
    buckets.sorted("r1")
    (there,) = buckets.tree(buckets.to_predict)
    before = open_store(buckets.to_predict).stat(there)
    buckets.put("again/cat_1.jpg", JPEG)
    buckets.sorted("r2")
    assert open_store(buckets.to_predict).stat(there) == before


@pytest.mark.parametrize("content", [b"something else", bytes(len(JPEG))])
def test_where_another_content_has_the_copys_name_the_copy_has_a_longer_one(buckets: Buckets, content: bytes) -> None:
    digest = hashlib.sha256(JPEG).hexdigest()
    open_store(buckets.to_predict).write_if_absent(f"cat/cat_1.{digest[:10]}.jpg", content)
    buckets.put("cat_1.jpg", JPEG)
    assert buckets.sorted()["packed"] == 1
    there = {f"cat/cat_1.{digest[:10]}.jpg": content, f"cat/cat_1.{digest}.jpg": JPEG}
    assert buckets.tree(buckets.to_predict) == there
    assert buckets.manifest()[0]["copy"] == f"cat/cat_1.{digest}.jpg"


# What it cost


def test_the_cost_is_counted(buckets: Buckets) -> None:
    buckets.put_squares(2)
    counts = buckets.sorted(holdout=0.5)
    sizes = sum(map(len, buckets.arrived().values()))
    assert counts["copied"] == 6
    assert counts["bytes_in"] > sizes
    assert counts["bytes_out"] > 0
    assert counts["seconds"] > 0
    assert counts["per_second"] > 0
    if buckets.cloud:  # 6 copies, 2 shards, manifest, ledger, head, plan, and listings
        assert 12 <= counts["class_a"] <= 20
        assert 6 <= counts["class_b"] <= 14
        assert 0 < counts["usd"] < 0.001
    else:
        assert (counts["class_a"], counts["class_b"], counts["usd"]) == (0, 0, 0)


def test_the_head_names_what_there_is(buckets: Buckets) -> None:
    buckets.put_squares(2)
    buckets.sorted("r1")
    buckets.put_squares(1, first=3)
    buckets.sorted("r2")
    head = read_head(buckets.models)
    assert [(batch.run, batch.packed) for batch in head.batches] == [("r1", 6), ("r2", 3)]
    assert sum(part.rows for part in head.parts) == 9
