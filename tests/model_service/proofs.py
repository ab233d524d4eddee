"""What the proofs of sort share: how long they are, pictures of all kinds, and what must be true of sorted buckets."""

from __future__ import annotations

import collections
import hashlib
import os
import random
from collections.abc import Callable
from typing import Any

import menagerie_contract as contract
import pytest
from PIL import Image

from model_service import batches
from model_service.ledger import Parts, read_head
from model_service.storage import Store, open_store
from tests.model_service.buckets import Buckets, encoded

SOAK = float(os.environ.get("MENAGERIE_SOAK") or 0)  # make soak: 1 is the whole of each proof, 0 a taste
Tree = dict[str, bytes]
Row = dict[str, Any]


def many(taste: int, whole: int) -> int:
    return max(taste, round(SOAK * whole)) if SOAK else taste


def picture(seed: object, quality: int = 90, side: int = 64) -> bytes:
    """A JPEG with structure; another seed looks otherwise, another quality looks the same."""
    few = Image.frombytes("RGB", (6, 5), random.Random(str(seed)).randbytes(6 * 5 * 3))
    return encoded(few.resize((side, side * 3 // 4), Image.Resampling.BICUBIC), "JPEG", quality=quality)


def snapshot(buckets: Buckets) -> dict[str, Tree]:
    """All that a sort may change or make, but for results."""
    return {uri: buckets.tree(uri) for uri in (buckets.source, buckets.to_predict, buckets.models)}


def restore(buckets: Buckets, before: dict[str, Tree]) -> None:
    """Make them again as they were. What a sort never changes keeps its generation."""
    for uri, tree in before.items():
        store = open_store(uri)
        there: Tree = {}
        for blob in store.list():
            there[blob.name] = store.read(blob.name)
            if tree.get(blob.name) != there[blob.name]:
                store.delete_if_generation(blob.name, blob.generation)
                del there[blob.name]
        for name in tree.keys() - there.keys():
            store.write_if_absent(name, tree[name])


def do_before(
    buckets: Buckets, monkeypatch: pytest.MonkeyPatch, moment: tuple[str, str], act: Callable[[], object]
) -> list[str]:
    """Once, just before such a call of a store. Returns a list that has something in it as soon as it is done."""
    method, text = moment
    kind, done = type(open_store(buckets.source)), list[str]()
    real = getattr(kind, method)

    def acting(store: Any, *arguments: Any, **options: Any) -> Any:
        if not done and any(str(argument).startswith(text) for argument in arguments):
            done.append(method)
            act()
        return real(store, *arguments, **options)

    monkeypatch.setattr(kind, method, acting)
    return done


def manifests(buckets: Buckets) -> list[Row]:
    """The rows of all batches, in the order of the commits."""
    tables = (batches.manifest(buckets.models, name) for name in batches.finished(buckets.models))
    return [row for table in tables for row in table.to_pylist()]


def packed(buckets: Buckets) -> list[Row]:
    return [row for row in manifests(buckets) if row["status"] == "packed"]


def check_exactly_once(buckets: Buckets, *, stray_copies: bool = False, stray_batches: bool = False) -> None:
    """Every object that is in the source has been sorted once, and the buckets hold what the manifests say and nothing else.

    But for strays, which nothing names, where they are allowed: processes that failed or were killed leave some.
    """
    rows = manifests(buckets)
    done = [row for row in rows if row["status"] != "left"]
    _check_rows(buckets, done)
    _check_shards(buckets)
    _check_ledger(buckets, done)
    _check_copies(buckets, rows, stray_copies)
    _check_batches(buckets, stray_batches)
    _check_quarantine(buckets, rows)


def _check_rows(buckets: Buckets, done: list[Row]) -> None:
    source = open_store(buckets.source)
    times = collections.Counter((row["uri"].removeprefix(f"{buckets.source}/"), row["generation"]) for row in done)
    assert set(times.values()) <= {1}, "an object was sorted twice"
    ours = (f"{contract.QUARANTINE}/", f"{contract.HELD}/")
    live = {(blob.name, blob.generation) for blob in source.list() if not blob.name.startswith(ours)}
    assert live <= set(times), "an object was lost"
    keys = [row["key"] for row in done if row["status"] == "packed"]
    assert len(keys) == len(set(keys)), "a content was packed twice"
    for row in done:
        if row["status"] == "duplicate" and not row["text"]:
            assert row["key"] in keys, "a duplicate of nothing"


def _check_shards(buckets: Buckets) -> None:
    """Each is there with the bytes that were committed, and has the pictures of its manifest."""
    for name in batches.finished(buckets.models):
        rows = [row for row in batches.manifest(buckets.models, name).to_pylist() if row["status"] == "packed"]
        listed = {split: batches.shards(buckets.models, name, split) for split in contract.SPLITS}
        found = {
            split: [sample.meta for sample in batches.samples(buckets.models, uris)] for split, uris in listed.items()
        }
        for split, metas in found.items():
            expected = [{column: row[column] for column in metas[0]} for row in rows if row["split"] == split]
            assert metas == expected, f"{name}: {split} shards and manifest differ"
        assert {uri.rsplit("/", 1)[1] for uris in listed.values() for uri in uris} == {row["shard"] for row in rows}


def _check_ledger(buckets: Buckets, done: list[Row]) -> None:
    """It has what the manifests have."""
    with Parts(buckets.models, open_store(buckets.models)) as parts:
        entries = [tuple(entry) for entry in parts.entries(read_head(buckets.models).parts)]
    columns = ("key", "label", "split", "phash")
    expected = []
    for row in done:
        seen = {**row, **({} if row["status"] == "packed" else {"split": None, "phash": None})}
        name = row["uri"].removeprefix(f"{buckets.source}/")
        expected.append((name, row["generation"], *(seen[column] for column in columns)))
    assert entries == sorted(expected, key=lambda entry: (entry[0].encode(), entry[1]))


def _check_copies(buckets: Buckets, rows: list[Row], strays: bool) -> None:
    copies = buckets.tree(buckets.to_predict)
    named = {row["copy"]: row for row in rows if row["copy"] and row["status"] in ("packed", "duplicate")}
    assert named.keys() <= copies.keys(), "a copy is missing"
    assert strays or named.keys() == copies.keys(), f"copies that nothing names: {copies.keys() - named.keys()}"
    for name, row in named.items():
        assert hashlib.sha256(copies[name]).hexdigest() == row["sha256"]
        assert row["sha256"][:10] in name


def _check_batches(buckets: Buckets, strays: bool) -> None:
    files = {f"{buckets.models}/{blob.name}" for blob in open_store(buckets.models).list("batches/")}
    committed = set()
    for name in batches.finished(buckets.models):
        shards = [uri for split in contract.SPLITS for uri in batches.shards(buckets.models, name, split)]
        committed |= {contract.manifest(buckets.models, name), *shards}
    assert committed <= files
    assert strays or committed == files, f"files that the head does not name: {files - committed}"


def _check_quarantine(buckets: Buckets, rows: list[Row]) -> None:
    """Whoever is still there is there, too."""
    source, aside = open_store(buckets.source), buckets.tree(buckets.source, f"{contract.QUARANTINE}/")
    for row in rows:
        if row["status"] == "quarantined" and row["reason"] != "vanished" and _is_live(source, row):
            name = row["uri"].removeprefix(f"{buckets.source}/")
            assert aside[f"{contract.QUARANTINE}/{row['reason']}/{name}"] == source.read(name)


def _is_live(source: Store, row: Row) -> bool:
    name = row["uri"].removeprefix(f"{source.uri}/")
    return any(blob.name == name and blob.generation == row["generation"] for blob in source.list(name))
