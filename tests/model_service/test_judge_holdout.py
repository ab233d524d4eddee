"""What judges: held-out pictures of every batch, none that either model was trained on, and none like one of these."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np
import pytest

from model_service import batches, registry
from model_service.judge import judge
from model_service.judging.holdout import held_out
from model_service.ledger import Batch, read_head, swap_head
from model_service.registry import BadModel
from model_service.shards import Sample, ShardWriter
from model_service.storage import open_store
from tests.model_service.buckets import CLASSES, Buckets, local, make_buckets, square


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return make_buckets(tmp_path)


def commit(buckets: Buckets, run: str, *pictures: tuple[str, str, int | None]) -> str:
    """A batch as sort commits it, of pictures (split, key, phash) that sort itself would not let stand beside each other."""
    folder = buckets.root / f"written-{run}"
    folder.mkdir()
    writers = {split: ShardWriter(folder, split, 10**9) for split in contract.SPLITS}
    rows: list[dict[str, Any]] = []
    for number, (split, key, phash) in enumerate(pictures):
        label = CLASSES[number % len(CLASSES)]
        writers[split].add(Sample(key, square(label, number), {"label": label}))
        rows.append(
            {
                "key": key,
                "label": label,
                "split": split,
                "phash": phash,
                "status": "packed",
                "shard": f"{split}-00000.tar",
            }
        )
    paths = []
    for writer in writers.values():
        writer.close()
        paths += writer.paths
    manifest = batches.write_manifest(
        rows, {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    )
    digest = hashlib.sha256(manifest).hexdigest()
    name = f"{run}/00000-{digest[:12]}"
    place = local(contract.batch(buckets.models, name))
    place.mkdir(parents=True)
    for path in paths:
        path.rename(place / path.name)
    (place / "manifest.parquet").write_bytes(manifest)
    head = read_head(buckets.models)
    added = Batch(name, run, digest, len(rows), 0, {})
    swap_head(buckets.models, open_store(buckets.models), head, type(head)((*head.batches, added), head.parts))
    return name


def trained(buckets: Buckets, version: str, *names: str, parent: str | None = None, by_name: bool = False) -> None:
    """A model whose card says that it was trained on these batches, as cards of this release do or as earlier ones did."""
    buckets.save_model(f"{version}-plain")
    card = registry.card(buckets.models, f"{version}-plain")
    files = {name: registry.load(buckets.models, f"{version}-plain", name) for name in card["files"]}
    shards = {f"{contract.batch(buckets.models, name)}/train-00000.tar": "" for name in names}
    named = [{"name": name, "manifest": ""} for name in names]
    card["data"] = {"shards": {}, "batches": named} if by_name else {"shards": shards}
    registry.save(buckets.models, version, files, card | {"parent": parent})


PHASH = 0b1011 << 40


@pytest.mark.parametrize("by_name", [False, True])
def test_near_duplicates_of_training_pictures_are_left_out(buckets: Buckets, by_name: bool) -> None:
    first = commit(buckets, "r1", ("train", "a", PHASH), ("train", "b", None), ("holdout", "c", None))
    second = commit(
        buckets,
        "r2",
        ("holdout", "d", PHASH),
        ("holdout", "e", PHASH ^ 0b1111),
        ("holdout", "f", PHASH ^ 0b11111),
        ("holdout", "b", 7),
        ("train", "g", 7),
    )
    trained(buckets, "v1", first, by_name=by_name)
    found = held_out(buckets.models, ["v1"])
    assert found.left_out == {second: {"b", "d", "e"}}
    assert (found.pictures, found.retracted, found.same, found.alike) == (2, 0, 1, 2)
    assert found.unknown == []
    assert sorted(uri.removeprefix(f"{contract.batches(buckets.models)}/") for uri in found.shards) == [
        f"{name}/holdout-00000.tar" for name in (first, second)
    ]
    outcome = judge(contract.Judge(run="r9", models=buckets.models, result="", candidate="v1"))
    assert outcome.counts["pictures"] == 2
    assert outcome.counts["left_out"] == {"retracted": 0, "same": 1, "alike": 2}


def test_what_either_was_trained_on_counts_and_what_their_weights_began_with(buckets: Buckets) -> None:
    far = [0xFF << 50 | (0b111111 << 8 * n) for n in range(4)]  # more than four bits from each other
    assert all((a ^ b).bit_count() > 4 for a in far for b in far if a != b)
    names = [commit(buckets, f"s{n}", ("train", f"st{n}", far[n])) for n in range(4)]
    held = commit(buckets, "s9", *(("holdout", f"sh{n}", far[n]) for n in range(4)))
    trained(buckets, "oldest", names[0])
    trained(buckets, "older", names[1], parent="oldest")
    trained(buckets, "champion", names[2], parent="older")
    trained(buckets, "candidate", names[3], parent="champion")
    assert held_out(buckets.models, ["champion"]).left_out[held] == {"sh0", "sh1", "sh2"}
    assert held_out(buckets.models, ["candidate"]).left_out[held] == {"sh0", "sh1", "sh2", "sh3"}
    assert held_out(buckets.models, ["oldest", "older"]).left_out[held] == {"sh0", "sh1"}


def test_an_ancestor_that_was_removed_is_told(buckets: Buckets, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    commit(buckets, "r1", ("holdout", "a", None))
    trained(buckets, "v2", parent="v1")
    assert held_out(buckets.models, ["v2"]).pictures == 1
    assert "what v1 was trained on" in caplog.text
    with pytest.raises(BadModel, match="no model v1"):
        held_out(buckets.models, ["v2", "v1"])


def test_batches_that_are_not_here_are_warned_of(buckets: Buckets, caplog: pytest.LogCaptureFixture) -> None:
    commit(buckets, "r1", ("holdout", "a", None))
    trained(buckets, "v1", "elsewhere/00000-aaaaaaaaaaaa")
    found = held_out(buckets.models, ["v1"])
    assert (found.pictures, found.unknown) == (1, ["elsewhere/00000-aaaaaaaaaaaa"])
    assert "WARNING" in caplog.text
    outcome = judge(contract.Judge(run="r9", models=buckets.models, result="", candidate="v1"))
    assert outcome.counts["unknown_batches"] == found.unknown


def test_a_picture_packed_once_more_in_the_other_split_judges_nobody_who_saw_it(buckets: Buckets) -> None:
    buckets.put("cat_1.jpg", square("dog"))
    buckets.put("dog_2.jpg", square("dog", 2))
    buckets.sorted(holdout=0.0)
    buckets.remove(f"{buckets.source}/cat_1.jpg")
    buckets.put("dog_1.jpg", square("dog"))
    buckets.put("zebra_1.jpg", square("zebra"))
    buckets.sorted("r2", holdout=1.0)
    trained(buckets, "v1", buckets.batch())
    trained(buckets, "v0")
    assert held_out(buckets.models, ["v0"]).pictures == 2
    found = held_out(buckets.models, ["v1"])
    assert (found.pictures, found.same) == (1, 1)


def test_without_batches_there_is_nothing(buckets: Buckets) -> None:
    trained(buckets, "v1")
    found = held_out(buckets.models, ["v1"])
    assert (found.shards, found.left_out, found.pictures) == ({}, {}, 0)


def test_the_verdict_is_json_whatever_is_left_out(buckets: Buckets) -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 60, dtype=np.uint64).tolist()
    first = commit(buckets, "r1", *(("train", f"t{n}", phash) for n, phash in enumerate(hashes)))
    commit(buckets, "r2", *(("holdout", f"h{n}", phash ^ 1) for n, phash in enumerate(hashes[:40])))
    trained(buckets, "v1", first)
    outcome = judge(contract.Judge(run="r9", models=buckets.models, result="", candidate="v1", champion="v1"))
    assert outcome.counts["left_out"]["alike"] == 40
    assert outcome.counts["pictures"] == 0
    assert json.loads(json.dumps(outcome.counts, allow_nan=False)) == outcome.counts
    assert "not enough evidence: 0 held-out pictures" in outcome.message
