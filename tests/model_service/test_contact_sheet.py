"""Pictures for the report, each by a request for its part of a shard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from model_service import batches
from model_service.evaluation import contact_sheet
from model_service.storage import open_store
from model_service.storage.metered import Meter, Metered
from tests.model_service.buckets import Buckets, local, make_buckets


def packed(buckets: Buckets) -> list[dict[str, Any]]:
    """Rows as the report lists them."""
    return [
        {"key": row["key"], "batch": buckets.batch(), "shard": row["shard"], "offset": row["offset"]}
        for row in buckets.manifest()
    ]


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    buckets = make_buckets(tmp_path)
    buckets.put_squares(3)
    buckets.sorted(holdout=0.4)
    return buckets


def jpegs(buckets: Buckets) -> dict[str, bytes]:
    shards: dict[str, str] = {}
    for split in contract.SPLITS:
        shards |= batches.shards(buckets.models, buckets.batch(), split)
    return {sample.key: sample.jpeg for sample in batches.samples(buckets.models, shards)}


def test_each_is_the_very_picture_that_was_packed(stores: Buckets) -> None:
    stores.put_squares(2)
    stores.sorted(holdout=0.4)
    assert contact_sheet.pictures(open_store(stores.models), packed(stores)) == jpegs(stores)


def test_one_is_one_small_request(buckets: Buckets) -> None:
    meter = Meter()
    rows = packed(buckets)
    found = contact_sheet.pictures(Metered(open_store(buckets.models), meter), [rows[0], rows[0]])
    assert meter.counts()["read"] == len(found) == 1, "also for one that is listed twice"


def test_a_large_one_takes_two_requests(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet, "_MOSTLY", 100)
    assert contact_sheet.pictures(open_store(buckets.models), packed(buckets)) == jpegs(buckets)


@pytest.mark.parametrize("damage", ["gone", "cut short", "other bytes", "another picture", "too large"])
def test_one_that_is_not_where_the_manifest_says_is_left_out_and_named(
    buckets: Buckets, damage: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = packed(buckets)
    last = max((row for row in rows if row["shard"].startswith("train")), key=lambda row: int(row["offset"]))
    shard = local(f"{buckets.models}/batches/{last['batch']}/{last['shard']}")
    data = shard.read_bytes()
    match damage:
        case "gone":
            shard.unlink()
        case "cut short":
            shard.write_bytes(data[: last["offset"] + 5])
        case "other bytes":
            shard.write_bytes(bytes(last["offset"]) + data[last["offset"] :])
        case "another picture":
            last["offset"] = min(row["offset"] for row in rows if row["shard"] == last["shard"])
        case "too large":
            monkeypatch.setattr(contact_sheet, "LARGEST", 10)
    assert contact_sheet.pictures(open_store(buckets.models), [last]) == {}
    assert f"cannot show 1 of 1 pictures; the first: {last['key']} is not at" in caplog.text
