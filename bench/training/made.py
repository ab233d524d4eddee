"""What is learned from: the same pictures as files and as packed in shards, in the same three parts for all ways."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import menagerie_contract as contract

from bench.sorting import memory, pictures
from bench.sorting.limit import CORES
from model_service import batches
from model_service.training import dataset

SHAPE = 3 / 4  # of a picture's file: the shorter side's share of the longer one
HOLDOUT = 0.25  # on which both are scored when all is done, and which neither sees before
VALIDATION = 0.1  # of the rest: watched by both after each epoch
_RUN = "bench"


@dataclass(frozen=True)
class Picture:
    """A file, its label, its key in the shard, and whether it is held out."""

    path: Path
    label: str
    key: str
    held: bool


@dataclass(frozen=True)
class Pictures:
    """`models` is the bucket that has them in shards."""

    models: str
    all: list[Picture]

    @property
    def classes(self) -> list[str]:
        return sorted({picture.label for picture in self.all})

    @property
    def holdout(self) -> list[Picture]:
        return [picture for picture in self.all if picture.held]

    @property
    def shards(self) -> dict[str, str]:
        """The holdout's: URI → sha256."""
        names = batches.finished(self.models)
        return {uri: sha256 for name in names for uri, sha256 in batches.shards(self.models, name, "holdout").items()}

    def parts(self, seed: int) -> tuple[list[Picture], list[Picture]]:
        """What is learned from, and what is watched with, as train itself parts them by that seed."""
        rest = [picture for picture in self.all if not picture.held]
        learned, watched = dataset.parts([picture.key for picture in rest], VALIDATION, seed)
        return [rest[i] for i in learned], [rest[i] for i in watched]


def make(folder: Path, photographs: Path | None, count: int, width: int) -> Pictures:
    """Files `width` pixels wide, derived from so many different pictures at most, as one that is seen in two shapes would be
    learned by heart.
    """
    origins, what = pictures.origins(folder, photographs)
    source = folder / "animals_all"
    models = folder / "animals_models"
    for place in (source, models, folder / "to_predict"):
        place.mkdir()
    pictures.derive(source, origins, min(count, len(origins)), width, CORES, SHAPE, (1.0,))
    step = contract.Sort(
        run=_RUN,
        models=f"file://{models}",
        result=contract.result(f"file://{models}", _RUN, "sort-00000"),
        source=f"file://{source}",
        to_predict=f"file://{folder / 'to_predict'}",
        holdout=HOLDOUT,
    )
    memory.peak(step)
    rows = [row for name in batches.finished(step.models) for row in batches.manifest(step.models, name).to_pylist()]
    all_of_them = [
        Picture(Path(row["uri"].removeprefix("file://")), row["label"], row["key"], row["split"] == "holdout")
        for row in rows
        if row["status"] == "packed"
    ]
    made = Pictures(step.models, all_of_them)
    classes = ", ".join(f"{label} {number}" for label, number in sorted(Counter(p.label for p in all_of_them).items()))
    print(
        f"derived from {what}: {pictures.describe(source)}; {len(all_of_them)} packed, {len(made.holdout)} of them held out"
    )
    print(f"classes: {classes}", flush=True)
    return made
