"""Which pictures a training is about: those of its dataset's batches, as their manifests say, or a draw of so many."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import menagerie_contract as contract
import pyarrow as pa
import pyarrow.compute as pc

from model_service import batches, versioning
from model_service.errors import StepError
from model_service.ledger import read_head
from model_service.retractions import doubts
from model_service.shards import BadShard
from model_service.training.replay import Reservoir, Row

_COLUMNS = ["key", "label", "shard", "width", "height"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """`batches` (name → sha256 of the manifest) in the order of their commits, `shards` (URI → sha256) all of their train
    split, `left_out` the keys of retracted pictures in those. `rows` are drawn of `available` pictures.
    """

    batches: dict[str, str]
    shards: dict[str, str]
    left_out: list[str]
    rows: list[Row]
    available: int

    @property
    def newest(self) -> set[str]:
        return _newest(self.batches)


def select(step: contract.Train, given: dict[str, str] | None) -> Selection:
    """Of the batches `given`, else of the tag's, else of the ledger's. Only manifests are read, one at a time.

    Raises StepError for a tag that nobody knows, and for one whose batches are not in the bucket as they were.
    """
    wanted = _wanted(step) if given is None else given
    newest, reservoir = _newest(wanted), Reservoir(step.max_pictures, step.seed)
    numbers = {name: number for number, name in enumerate(wanted)}
    shards: dict[str, dict[str, str]] = {}
    left_out: dict[str, list[str]] = {}
    with intact(step.dataset_tag):
        for name, manifest, doubted in doubts(batches.named(step.models, wanted)):
            shards[name] = batches.shards_in(step.models, name, manifest, "train")
            left_out[name] = []
            for place, row in enumerate(_packed(manifest)):
                if row["key"] in doubted:
                    left_out[name].append(row["key"])
                    continue
                label, shard = sys.intern(row["label"]), sys.intern(f"{name}/{row['shard']}")  # a million share a few
                found = Row(name, (numbers[name], place), shard, row["key"], label, row["width"], row["height"])
                reservoir.offer(found, newest=name in newest)
    rows = reservoir.drawn()
    if reservoir.offered > len(rows):
        new = sum(row.batch in newest for row in rows)
        log.info(
            "at most %d pictures: %d of the newest batch and %d of earlier ones are drawn of %d in all",
            *(step.max_pictures, new, len(rows) - new, reservoir.offered),
        )
    return Selection(
        wanted,
        {uri: sha256 for name in wanted for uri, sha256 in shards[name].items()},
        [key for name in wanted for key in left_out[name]],
        rows,
        reservoir.offered,
    )


@contextlib.contextmanager
def intact(tag: str) -> Iterator[None]:
    """While files of a tagged dataset are read: that one is gone or another names the tag, and the way to get it back."""
    try:
        yield
    except BadShard as error:
        if not tag:
            raise
        raise StepError(
            f"dataset {tag} is not in the bucket as it was tagged: {error.message}",
            remedy=f"bring its batch back with plain DVC: in a clone of the data registry, git checkout {tag} && dvc pull, "
            "then copy the batch's files to where the message says; or rebuild a model of it apart: "
            "python -m model_service reproduce",
        ) from error


def _wanted(step: contract.Train) -> dict[str, str]:
    if not step.dataset_tag:
        return {batch.name: batch.manifest for batch in read_head(step.models).batches}
    if not step.registry:
        raise StepError(
            f"--dataset-tag={step.dataset_tag} is given, but no data registry to look it up in",
            remedy="give --registry (the setting MENAGERIE_REGISTRY), or no tag: then all batches so far are trained on",
        )
    return versioning.dataset(step.registry, step.dataset_tag)


def _newest(wanted: dict[str, str]) -> set[str]:
    """The batches of the run that committed last."""
    runs = [name.split("/")[0] for name in wanted]
    return {name for name, run in zip(wanted, runs, strict=True) if run == runs[-1]}


def _packed(manifest: pa.Table) -> list[dict[str, Any]]:
    here = pc.and_(pc.equal(manifest["status"], "packed"), pc.equal(manifest["split"], "train"))
    rows: list[dict[str, Any]] = manifest.filter(here).select(_COLUMNS).to_pylist()
    return rows
