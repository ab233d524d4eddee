"""The training set: its pictures, from their shards once onto this machine's disk. The holdout is never opened."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import menagerie_contract as contract
import numpy as np
from numpy.typing import NDArray

from model_service import batches
from model_service.errors import StepError
from model_service.progress import progress
from model_service.selftest import Picture
from model_service.shards import Sample
from model_service.storage import NotFound, name_in, open_store
from model_service.training import views
from model_service.training.replay import Row, draws
from model_service.training.selection import intact, select
from model_service.training.views import Views

FEWEST = 8  # pictures; with fewer there is no batch to learn from

log = logging.getLogger(__name__)


@dataclass
class Dataset:
    """Pictures as views (uint8 [side, side, 3] each), their labels, and which shards (URI → sha256) they are from.

    `sizes` are their widths and heights as packed, in pixels. `kept` are a few of them as packed, in the order in which they
    were wanted; `left_out` the keys of pictures in the shards that are not among these, since nobody knows their label
    (see retractions). `batches` are the names and the sha256 of the manifests of all that was `available`, in the order of
    their commits, and `tag` is what they are called. `newest`: whether a picture came with the last run. `draws` is how often
    each is shown (see replay.draws).
    """

    views: Views | NDArray[np.uint8]
    labels: list[str]
    keys: list[str]
    shards: dict[str, str] = field(default_factory=dict)
    kept: list[Sample] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    batches: dict[str, str] = field(default_factory=dict)
    tag: str = ""
    newest: list[bool] = field(default_factory=list)
    draws: NDArray[np.float64] | None = None
    available: int = 0

    @property
    def classes(self) -> list[str]:
        return sorted(set(self.labels))

    def parts(self, share: float, seed: int) -> tuple[list[int], list[int]]:
        return parts(self.keys, share, seed)


def parts(keys: Sequence[str], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices to learn from and to watch with; the latter chosen by hash, at least one picture."""
    order = sorted(range(len(keys)), key=lambda i: hashlib.sha256(f"{seed}/{keys[i]}".encode()).digest())
    watched = max(1, round(share * len(order)))
    return sorted(order[watched:]), sorted(order[:watched])


def load(
    step: contract.Train,
    folder: Path,
    keep: Callable[[list[Picture]], list[str]] = lambda pictures: [],
    given: dict[str, str] | None = None,
) -> Dataset:
    """What the step trains on, held in the folder; of the keys that `keep` wants, the JPEGs too.

    The batches are those `given` (name → sha256 of the manifest, in the order of their commits), else those of the step's
    tag, else all of the ledger. Raises StepError when there are too few pictures to learn from, when a tag's batches cannot
    be had as they were, and when the disk has no room.
    """
    selected = select(step, given)
    _check(selected.rows)
    rows = {row.key: row for row in selected.rows}  # a key is of the content: only one of its pictures is not retracted
    wanted, kept = keep([Picture(row.key, row.label, min(row.width, row.height)) for row in rows.values()]), {}
    taken: list[Row] = []

    def coming() -> Iterator[Sample]:
        pictures = batches.chosen(step.models, _shards(step, selected.shards, selected.rows), _keys(selected.rows))
        for sample in progress(pictures, "decode", len(rows)):
            taken.append(rows[sample.key])
            if sample.key in wanted:
                kept[sample.key] = sample
            yield sample

    with intact(step.dataset_tag):
        decoded = _decoded(step, folder, selected.shards, selected.rows)
        pictures = views.write(coming(), folder, step.image_size, decoded)
    labels, keys = [row.label for row in taken], [row.key for row in taken]
    newest = [row.batch in selected.newest for row in taken]
    learned, _ = parts(keys, step.validation, step.seed)
    return Dataset(
        views=pictures,
        labels=labels,
        keys=keys,
        shards=selected.shards,
        kept=[kept[key] for key in wanted],
        left_out=selected.left_out,
        sizes=[(row.width, row.height) for row in taken],
        batches=selected.batches,
        tag=step.dataset_tag,
        newest=newest,
        draws=draws(labels, newest, learned, step.new_weight, step.balance == "oversample"),
        available=selected.available,
    )


def _check(rows: list[Row]) -> None:
    labels = {row.label for row in rows}
    if len(labels) < 2 or len(rows) < FEWEST:
        raise StepError(
            f"nothing to tell apart: {len(rows)} training pictures of {len(labels)} class(es)",
            remedy=f"put at least {FEWEST} pictures of at least two classes into the source bucket",
        )


def _decoded(step: contract.Train, folder: Path, shards: dict[str, str], rows: list[Row]) -> int:
    """How many of the pictures, the first ones, are kept decoded; checks that the disk has room for all."""
    decoded = views.fits(len(rows), step.image_size, step.cache_gigabytes)
    over = rows[decoded:]
    store = open_store(step.models)
    size = 0  # at most, and nearly
    for uri in _shards(step, shards, over):
        with contextlib.suppress(NotFound):  # that is told when it is fetched
            size += store.stat(name_in(store, uri)).size
    views.check_room(folder, step.image_size, decoded, len(over), size)
    if over:
        log.info(
            "%d pictures are kept decoded (cache_gigabytes=%g), %d are decoded anew each epoch",
            *(decoded, step.cache_gigabytes, len(over)),
        )
    return decoded


def _shards(step: contract.Train, shards: dict[str, str], rows: list[Row]) -> dict[str, str]:
    """Those that hold any of the pictures."""
    needed = {contract.batch(step.models, row.shard) for row in rows}
    return {uri: sha256 for uri, sha256 in shards.items() if uri in needed}


def _keys(rows: list[Row]) -> dict[str, set[str]]:
    """By batch."""
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.batch, set()).add(row.key)
    return found
