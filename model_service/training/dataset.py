"""The training set: the train shards of every batch, decoded once into a memory-mapped cache. The holdout is never opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_service import batches, images
from model_service.errors import StepError
from model_service.progress import progress
from model_service.selftest import Picture
from model_service.shards import Sample

FEWEST = 8  # pictures; with fewer there is no batch to learn from


@dataclass
class Dataset:
    """Pictures as uint8 views [n, side, side, 3] in a file, their labels, and which shards (URI → sha256) they are from.

    `sizes` are their widths and heights as packed, in pixels. `kept` are a few of them as packed, in the order in which they
    were wanted; `left_out` the keys of pictures in the shards that are not among these, since nobody knows their label
    (batches.retracted).
    """

    views: NDArray[np.uint8]
    labels: list[str]
    keys: list[str]
    shards: dict[str, str] = field(default_factory=dict)
    kept: list[Sample] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)

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
    models: str, side: int, folder: Path, keep: Callable[[list[Picture]], list[str]] = lambda pictures: []
) -> Dataset:
    """Everything labelled `train` so far, resized to `side` pixels; of the keys that `keep` wants, the JPEGs too.

    Raises StepError when there are too few to learn from.
    """
    shards: dict[str, str] = {}
    pictures: list[Picture] = []
    left_out: list[str] = []
    sizes: dict[str, tuple[int, int]] = {}
    retracted = batches.retracted(models)
    for batch, manifest in batches.manifests(models):
        shards |= batches.shards_in(models, batch, manifest, "train")
        table = manifest.select(["key", "label", "split", "status", "width", "height"])
        rows = [row for row in table.to_pylist() if row["status"] == "packed" and row["split"] == "train"]
        doubted = retracted.get(batch, set())
        sizes |= {row["key"]: (row["width"], row["height"]) for row in rows}  # the key is the content's: one size each
        left_out += (row["key"] for row in rows if row["key"] in doubted)
        pictures += (
            Picture(row["key"], row["label"], min(row["width"], row["height"]))
            for row in rows
            if row["key"] not in doubted
        )
    if len({p.label for p in pictures}) < 2 or len(pictures) < FEWEST:
        raise StepError(
            f"nothing to tell apart: {len(pictures)} training pictures of {len({p.label for p in pictures})} class(es)",
            remedy=f"put at least {FEWEST} pictures of at least two classes into the source bucket",
        )
    wanted, kept = keep(pictures), dict[str, Sample]()
    cache = folder / "views.uint8"
    labels: list[str] = []
    keys: list[str] = []
    with cache.open("wb") as out:
        for sample in progress(batches.sure(models, shards, retracted), "decode", len(pictures)):
            out.write(images.view(images.unpack(sample.jpeg, side), side).tobytes())
            labels.append(sample.meta["label"])
            keys.append(sample.key)
            if sample.key in wanted:
                kept[sample.key] = sample
    views = np.memmap(cache, np.uint8, "r", shape=(len(labels), side, side, 3))
    return Dataset(views, labels, keys, shards, [kept[key] for key in wanted], left_out, [sizes[key] for key in keys])
