"""sort: read each new picture once; validate, label, hash, copy for people, pack into shards.

Order of writes, so that a kill at any instruction loses nothing and a retry repeats nothing: plan, copies and quarantine,
shards, manifest (the batch counts from here), ledger (these objects are never taken on again).
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import menagerie_contract as contract

from model_service import batches, ledger
from model_service.arrivals import Arrivals, Picture, read_all
from model_service.errors import StepError
from model_service.progress import progress
from model_service.results import Outcome
from model_service.shards import Sample, ShardWriter
from model_service.storage import Blob, Exists, NotFound, Store, name_in, open_store


def sort(step: contract.Sort) -> Outcome:
    source, to_predict, models = (open_store(uri) for uri in (step.source, step.to_predict, step.models))
    for store in (source, to_predict, models):
        store.check()
    _complete_ledger(step.models, models)
    if step.run in batches.finished(step.models):
        return _outcome(step)  # an attempt that was killed before its result: what is committed is not touched again
    plan = _plan(step, source, models)
    if not plan:
        counts = {"new": 0, "batches": len(batches.finished(step.models))}
        return Outcome(counts, {"batch": None, "shards": []}, f"nothing new in {step.source}")
    with tempfile.TemporaryDirectory() as folder:
        writers = {
            split: ShardWriter(Path(folder), split, int(step.shard_megabytes * 1e6)) for split in contract.SPLITS
        }
        known = batches.keys(step.models)
        rows = _pack(read_all(step, source, to_predict, plan), writers, len(plan), known)
        _refuse_if_bad(step, _counts(rows))
        paths = [path for writer in writers.values() for path in writer.paths]
        hashes = {path.name: _publish_shard(step, models, path) for path in paths}
        with contextlib.suppress(Exists):
            models.write_if_absent(
                name_in(models, contract.manifest(step.models, step.run)), batches.write_manifest(rows, hashes)
            )
    _complete_ledger(step.models, models)
    return _outcome(step)


def _outcome(step: contract.Sort) -> Outcome:
    """What the run's manifest says, whichever attempt wrote it."""
    counts = _counts(batches.manifest(step.models, step.run).to_pylist())
    counts["batches"] = len(batches.finished(step.models))
    uris = [uri for split in contract.SPLITS for uri in batches.shards(step.models, step.run, split)]
    message = f"{counts['new']} new: {counts['packed']} packed, {sum(counts['quarantined'].values())} quarantined"
    return Outcome(counts, {"batch": step.run, "shards": uris}, message)


def _plan(step: contract.Sort, source: Store, models: Store) -> list[Blob]:
    """The objects of this run that no ledger knows: of those an earlier attempt wrote down, or of all there are."""
    name = name_in(models, contract.plan(step.models, step.run))
    try:
        return list(ledger.unsorted(step.models, ledger.read(models.read(name))))
    except NotFound:
        listing = Arrivals(source)
        new = list(ledger.unsorted(step.models, listing))
    if listing.seen == 0:
        raise StepError(
            f"no pictures at all in {step.source}",
            remedy="put pictures there, or set MENAGERIE_BUCKETS to where your buckets are",
        )
    if new:
        with contextlib.suppress(Exists):
            models.write_if_absent(name, ledger.write(new))
    return new


def _pack(
    pictures: Iterator[Picture], writers: dict[str, ShardWriter], total: int, keys: set[str]
) -> list[dict[str, Any]]:
    """Fill the shards; returns the manifest's rows. A content that is among the `keys` packed so far is a duplicate."""
    rows: list[dict[str, Any]] = []
    for picture in progress(pictures, "sort", total):
        row = picture.row
        if picture.jpeg is not None:
            if row["key"] in keys:
                row |= {"status": "duplicate"}
            else:
                keys.add(row["key"])
                meta = {name: row[name] for name in ("uri", "generation", "sha256", "label", "split")}
                index, row["offset"] = writers[row["split"]].add(Sample(row["key"], picture.jpeg, meta))
                row["shard"] = f"{row['split']}-{index:05d}.tar"
        rows.append(row)
    for writer in writers.values():
        writer.close()
    return rows


def _counts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    packed = [row for row in rows if row["status"] == "packed"]
    return {
        "new": len(rows),
        "packed": len(packed),
        "duplicates": sum(row["status"] == "duplicate" for row in rows),
        "left": sum(row["status"] == "left" for row in rows),
        "quarantined": dict(sorted(collections.Counter(r["reason"] for r in rows if r.get("reason")).items())),
        "classes": dict(sorted(collections.Counter(row["label"] for row in packed).items())),
        "splits": {split: sum(row["split"] == split for row in packed) for split in contract.SPLITS},
        "bytes": sum(row.get("size") or 0 for row in rows),
    }


def _refuse_if_bad(step: contract.Sort, counts: dict[str, Any]) -> None:
    reasons = counts["quarantined"]
    bad = sum(n for reason, n in reasons.items() if reason != "vanished") + counts["left"]
    if bad <= step.max_bad * counts["new"]:
        return
    reasons = reasons | ({"not readable now (see the log)": counts["left"]} if counts["left"] else {})
    table = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
    share = f"{bad / counts['new']:.0%}, allowed are {step.max_bad:.0%}"
    raise StepError(
        f"{bad} of {counts['new']} new pictures cannot be used ({share}): {table}",
        remedy=f"look at {step.source}/{contract.QUARANTINE}/, remove or mend the originals and start a new run, "
        "or allow more with --max-bad (the DAG's Param max_bad)",
        retry=counts["left"] > 0,
    )


def _publish_shard(step: contract.Sort, models: Store, path: Path) -> str:
    """Upload a shard; returns its sha256. One that an unfinished attempt left with other content is replaced."""
    name = name_in(models, f"{contract.batches(step.models)}/{step.run}/{path.name}")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    try:
        models.write_if_absent(name, path)
    except Exists:
        there = models.stat(name)
        if there.size != path.stat().st_size or hashlib.sha256(models.read(name)).hexdigest() != digest:
            models.compare_and_swap(name, path, there.generation)
    return digest


def _complete_ledger(models_uri: str, models: Store) -> None:
    """Every finished batch goes into the ledger, also of a run that was killed before it could do so: its plan, but for
    what was left for the next run.
    """
    folder = name_in(models, contract.ledger(models_uri))
    entered = {PurePosixPath(blob.name).stem for blob in models.list(folder + "/")}
    for batch in batches.finished(models_uri):
        if batch not in entered:
            rows = batches.manifest(models_uri, batch).select(["uri", "generation", "status"]).to_pylist()
            left = {row["generation"]: row["uri"] for row in rows if row["status"] == "left"}
            plan = ledger.read(models.read(name_in(models, contract.plan(models_uri, batch))))
            taken = [blob for blob in plan if not left.get(blob.generation, "").endswith(f"/{blob.name}")]
            with contextlib.suppress(Exists):
                models.write_if_absent(f"{folder}/{batch}.parquet", ledger.write(taken))
