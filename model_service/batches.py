"""The batches sorted so far: their manifests and shards. A batch counts once its manifest is there."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pyarrow as pa
import pyarrow.parquet as pq

from model_service.shards import BadShard, Sample, read_shard
from model_service.storage import name_in, open_store

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
        ("split", pa.string()),
        ("key", pa.string()),
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("status", pa.string()),  # packed, duplicate, quarantined or left (for the next run: storage did not give it)
        ("reason", pa.string()),  # of a quarantine: a key of images.REASONS
        ("text", pa.string()),
    ]
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
    """Names of the finished batches, in name order."""
    store = open_store(models)
    root = name_in(store, contract.batches(models)) + "/"
    names = (blob.name.removeprefix(root).split("/") for blob in store.list(root))
    return [batch for batch, *rest in names if rest == ["manifest.parquet"]]


def manifest(models: str, batch: str) -> pa.Table:
    store = open_store(models)
    return pq.read_table(io.BytesIO(store.read(name_in(store, contract.manifest(models, batch)))))


def keys(models: str) -> set[str]:
    """The keys of every picture packed so far."""
    found: set[str] = set()
    for batch in finished(models):
        table = manifest(models, batch).select(["key", "status"])
        found.update(row["key"] for row in table.to_pylist() if row["status"] == "packed")
    return found


def shards(models: str, batch: str, split: str) -> dict[str, str]:
    """URI → sha256 of the batch's shards of a split."""
    found = {}
    for key, digest in (manifest(models, batch).schema.metadata or {}).items():
        name = key.removeprefix(_SHA256).decode()
        if key.startswith(_SHA256) and name.startswith(f"{split}-"):
            found[f"{contract.batches(models)}/{batch}/{name}"] = digest.decode()
    return dict(sorted(found.items()))


def samples(models: str, uris: dict[str, str]) -> Iterator[Sample]:
    """The pictures of shards (URI → sha256), in order; one shard at a time is on this machine's disk.

    Raises BadShard on other bytes than the manifest's.
    """
    store = open_store(models)
    for uri, expected in uris.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / uri.rsplit("/", 1)[1]
            store.download(name_in(store, uri), path)
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != expected:
                    raise BadShard(f"{uri} is not the shard its manifest describes: its sha256 differs")
            yield from read_shard(path)


def digests(models: str, uris: tuple[str, ...]) -> dict[str, str]:
    """URI → sha256 of the given shards, from their batches' manifests. Raises BadShard for one no manifest lists."""
    known: dict[str, str] = {}
    for batch in sorted({uri.rsplit("/", 2)[1] for uri in uris}):
        for split in contract.SPLITS:
            known |= shards(models, batch, split)
    unknown = [uri for uri in uris if uri not in known]
    if unknown:
        raise BadShard(f"no manifest lists {unknown[0]}")
    return {uri: known[uri] for uri in uris}
