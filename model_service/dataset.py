"""The training set: the train shards of every batch, decoded once into a memory-mapped cache. The holdout is never opened."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_service import batches, images
from model_service.errors import StepError
from model_service.progress import progress

FEWEST = 8  # pictures; with fewer there is no batch to learn from


@dataclass
class Dataset:
    """Pictures as uint8 views [n, side, side, 3] in a file, their labels, and which shards (URI → sha256) they are from."""

    views: NDArray[np.uint8]
    labels: list[str]
    keys: list[str]
    shards: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        return sorted(set(self.labels))

    def parts(self, share: float, seed: int) -> tuple[list[int], list[int]]:
        """Indices to learn from and to watch with; the latter chosen by hash, at least one picture."""
        order = sorted(range(len(self.keys)), key=lambda i: hashlib.sha256(f"{seed}/{self.keys[i]}".encode()).digest())
        watched = max(1, round(share * len(order)))
        return sorted(order[watched:]), sorted(order[:watched])


def load(models: str, side: int, folder: Path) -> Dataset:
    """Everything labelled `train` so far, resized to `side` pixels. Raises StepError when there are too few to learn from."""
    shards: dict[str, str] = {}
    total = 0
    for batch in batches.finished(models):
        shards |= batches.shards(models, batch, "train")
        table = batches.manifest(models, batch)
        total += sum(
            status == "packed" and split == "train"
            for status, split in zip(table["status"].to_pylist(), table["split"].to_pylist(), strict=True)
        )
    cache = folder / "views.uint8"
    labels: list[str] = []
    keys: list[str] = []
    with cache.open("wb") as out:
        for sample in progress(batches.samples(models, shards), "decode", total):
            out.write(images.view(images.unpack(sample.jpeg, side), side).tobytes())
            labels.append(sample.meta["label"])
            keys.append(sample.key)
    if len(set(labels)) < 2 or len(labels) < FEWEST:
        raise StepError(
            f"nothing to tell apart: {len(labels)} training pictures of {len(set(labels))} class(es)",
            remedy=f"put at least {FEWEST} pictures of at least two classes into the source bucket",
        )
    views = np.memmap(cache, np.uint8, "r", shape=(len(labels), side, side, 3))
    return Dataset(views, labels, keys, shards)
