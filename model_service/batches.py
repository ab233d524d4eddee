"""The batches sorted so far: their manifests and shards. A batch counts once the ledger's head names it."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import menagerie_contract as contract
import pyarrow as pa
import pyarrow.parquet as pq

from model_service import streams
from model_service.ahead import Ahead
from model_service.ledger import read_head
from model_service.retractions import doubts
from model_service.scratch import scratch
from model_service.shards import BadShard, Sample, read_shard
from model_service.storage import NotFound, Store, name_in, open_store

# A row a picture. `shard` and `offset` (of the JPEG, in bytes) are null unless status is "packed"; width and height are
# the packed picture's.
MANIFEST = pa.schema(
    [
        ("uri", pa.string()),
        ("generation", pa.int64()),
        ("size", pa.int64()),
        ("crc32c", pa.string()),
        ("sha256", pa.string()),
        ("label", pa.string()),
        ("written", pa.string()),  # the label as it was written, before it was normalised
        ("split", pa.string()),
        ("key", pa.string()),
        ("phash", pa.uint64()),  # images.perceptual_hash
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        # packed, duplicate, quarantined, held (until its label is allowed) or left (for the next run: storage did not give it)
        ("status", pa.string()),
        ("reason", pa.string()),  # of a quarantine: a key of images.REASONS; or retractions.RELABELLED
        ("text", pa.string()),
        ("copy", pa.string()),  # name of the copy for people, in animals_to_predict
    ]
)
_RESTORE = (
    "Every batch's manifest is read, also those of other runs: restore this one. With plain DVC: in a clone of the data "
    "registry, dvc pull batches/<batch>.dvc, then copy its files to where the message says. Or from a backup, or the bucket's "
    "older generations (gcloud storage ls --all-versions tells them)."
)
_SHA256 = b"sha256:"  # prefix of the shards' hashes in the manifest's schema metadata


def write_manifest(rows: list[dict[str, Any]], shard_hashes: dict[str, str]) -> bytes:
    """The manifest as Parquet; `shard_hashes` maps each shard's file name to its sha256."""
    table = pa.Table.from_pylist(rows, MANIFEST)
    hashes = {_SHA256 + name.encode(): digest.encode() for name, digest in shard_hashes.items()}
    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(hashes), out, compression="zstd")
    return out.getvalue()


def finished(models: str) -> list[str]:
    """Names of the batches, in the order in which they were committed."""
    return [batch.name for batch in read_head(models).batches]


def of_run(models: str, run: str) -> list[str]:
    """Names of a run's batches: one a range that had anything to commit."""
    return [batch.name for batch in read_head(models).batches if batch.run == run]


def manifests(models: str, run: str | None = None, store: Store | None = None) -> Iterator[tuple[str, pa.Table]]:
    """Name and manifest of each batch (of a run), in the order of the commits. Raises BadShard, as `manifest` does."""
    store = store or open_store(models)
    for batch in read_head(models, store).batches:
        if run in (None, batch.run):
            yield batch.name, _read(store, models, batch.name, batch.manifest)


def manifest(models: str, batch: str) -> pa.Table:
    """A batch's manifest. Raises BadShard when it is missing, or of other bytes than were committed."""
    store = open_store(models)
    for one in read_head(models, store).batches:
        if one.name == batch:
            return _read(store, models, one.name, one.manifest)
    raise BadShard(f"there is no batch {batch} in {contract.batches(models)}")


def _read(store: Store, models: str, name: str, sha256: str) -> pa.Table:
    uri = contract.manifest(models, name)
    try:
        data = store.read(name_in(store, uri))
    except NotFound as error:
        raise BadShard(f"{uri} is missing", remedy=_RESTORE) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BadShard(f"{uri} is not the manifest that was committed: its sha256 differs", remedy=_RESTORE)
    return pq.read_table(io.BytesIO(data), use_threads=False)  # its threads may abort a process that ends soon


def named(models: str, wanted: dict[str, str], store: Store | None = None) -> Iterator[tuple[str, pa.Table]]:
    """The same of the `wanted` batches (name → sha256 of its manifest), the last first, whatever the ledger says. Raises
    BadShard, also for one that is missing.
    """
    store = store or open_store(models)
    for name in reversed(wanted):
        yield name, _read(store, models, name, wanted[name])


def retracted(models: str, store: Store | None = None) -> dict[str, set[str]]:
    """Batch → keys of the pictures it packed that neither train nor judge any more (see retractions.doubts)."""
    store = store or open_store(models)
    head = read_head(models, store)
    if not any(batch.contested for batch in head.batches):
        return {}
    wanted = {batch.name: batch.manifest for batch in head.batches}
    return {name: keys for name, _, keys in doubts(named(models, wanted, store)) if keys}


def sure(models: str, uris: dict[str, str], retracted: dict[str, set[str]]) -> Iterator[Sample]:
    """The pictures of shards (URI → sha256), as `samples` gives them, without those that are retracted."""
    of_batch = contract.batch_of
    return (sample for uri, sample in _samples(models, uris) if sample.key not in retracted.get(of_batch(uri), ()))


def chosen(models: str, uris: dict[str, str], keys: Mapping[str, Collection[str]]) -> Iterator[Sample]:
    """The same, but only those whose keys are named for their batch."""
    return (sample for uri, sample in _samples(models, uris) if sample.key in keys.get(contract.batch_of(uri), ()))


def shards(models: str, batch: str, split: str) -> dict[str, str]:
    """URI → sha256 of the batch's shards of a split."""
    return shards_in(models, batch, manifest(models, batch), split)


def shards_in(models: str, batch: str, manifest: pa.Table, split: str) -> dict[str, str]:
    """The same of a manifest at hand."""
    found = {}
    for key, digest in (manifest.schema.metadata or {}).items():
        name = key.removeprefix(_SHA256).decode()
        if key.startswith(_SHA256) and name.startswith(f"{split}-"):
            found[f"{contract.batch(models, batch)}/{name}"] = digest.decode()
    return dict(sorted(found.items()))


def samples(models: str, uris: dict[str, str]) -> Iterator[Sample]:
    """The pictures of shards (URI → sha256), in order; a shard is checked before any of its pictures is given, and the next
    one fetched meanwhile: two at a time are on this machine's disk.

    Raises BadShard for one that is missing or of other bytes than the manifest's.
    """
    return (sample for _, sample in _samples(models, uris))


def _samples(models: str, uris: dict[str, str]) -> Iterator[tuple[str, Sample]]:
    with (
        scratch("shards") as folder,
        contextlib.closing(Ahead(streams.fetched(open_store(models), uris, folder), 1)) as fetched,
    ):
        for uri, path in fetched:
            for sample in read_shard(path):
                yield uri, sample
            path.unlink()


class Described(NamedTuple):
    """A shard as its manifest has it."""

    sha256: str
    pictures: int


def described(models: str, uris: Iterable[str]) -> dict[str, Described]:
    """The given shards by their URI. Raises BadShard for one no manifest lists."""
    store = open_store(models)
    wanted: dict[str, list[str]] = {}
    for uri in uris:
        wanted.setdefault(contract.batch_of(uri), []).append(uri)
    found: dict[str, Described] = {}
    for batch in read_head(models, store).batches:
        if batch.name not in wanted:
            continue
        table = _read(store, models, batch.name, batch.manifest)
        known = {
            uri: sha for split in contract.SPLITS for uri, sha in shards_in(models, batch.name, table, split).items()
        }
        pictures = collections.Counter(table["shard"].to_pylist())
        for uri in wanted[batch.name]:
            if uri in known:
                found[uri] = Described(known[uri], pictures[uri.rsplit("/", 1)[1]])
    for uri in uris:
        if uri not in found:
            raise BadShard(f"no manifest lists {uri}", remedy="give shards that sort's result names")
    return {uri: found[uri] for uri in uris}
