"""Predict on ever more pictures: one shard again and again, under other names. Time ought to be linear, memory flat."""

from __future__ import annotations

import hashlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import menagerie_contract as contract
from matplotlib.figure import Figure

from bench.predicting.made import Model, Pictures, bucket, local
from bench.sorting import memory
from model_service import batches
from model_service.ledger import Batch, Head, read_head, swap_head
from model_service.shards import Sample, ShardWriter, read_shard
from model_service.storage import open_store

COUNTS = (100, 1_000, 10_000, 50_000)
SIDE = 64  # of the views, in pixels: a twelfth of the work of 224, or the largest count would take an hour
_EACH = 100  # pictures in the shard


@dataclass(frozen=True)
class Taken:
    """For so many pictures by the step: seconds of its own, and its process's largest resident memory in bytes."""

    pictures: int
    seconds: float
    peak: int


class Bucket:
    """The model's bucket, to which batches of the same pictures are added, in one shard that stands there many times."""

    def __init__(self, folder: Path, model: Model, pictures: Pictures) -> None:
        self._model, self._predicted = model, bucket(folder / "predicted-scale")
        writer = ShardWriter(folder, "train", limit=1 << 40)
        samples = itertools.cycle(itertools.chain.from_iterable(map(read_shard, pictures.paths)))
        self._rows: list[dict[str, Any]] = []
        for number, sample in enumerate(itertools.islice(samples, _EACH)):
            key = f"{number:020x}"  # of its own, also where there are fewer pictures than that
            _, offset = writer.add(Sample(key, sample.jpeg, sample.meta))
            known = {name: sample.meta[name] for name in ("uri", "generation", "label")}
            self._rows.append(known | {"key": key, "split": "train", "offset": offset, "status": "packed"})
        writer.close()
        (self._shard,) = writer.paths

    def measure(self, count: int) -> Taken:
        """One process on so many pictures, in int8."""
        run = f"scale-{count}"
        step = contract.Predict(
            run=run,
            models=self._model.models,
            result=contract.result(self._model.models, run, "predict"),
            model=self._model.version,
            shards=tuple(self._commit(run, count // _EACH)),
            predicted=self._predicted,
            precision="int8",
        )
        peak, document = memory.peak(step)
        done = (document["counts"]["pictures"], document["counts"]["precision"])
        if done != (count, "int8"):
            raise SystemExit(f"predict classified {done[0]} pictures in {done[1]}, not {count} in int8")
        return Taken(count, document["seconds"], peak)

    def _commit(self, run: str, times: int) -> list[str]:
        """A batch with the shard so many times; their URIs."""
        models = self._model.models
        digest = hashlib.sha256(self._shard.read_bytes()).hexdigest()
        names = [f"train-{number:05d}.tar" for number in range(times)]
        rows = [row | {"shard": name} for name in names for row in self._rows]
        manifest = batches.write_manifest(rows, dict.fromkeys(names, digest))
        sha256 = hashlib.sha256(manifest).hexdigest()
        batch = f"{run}/00000-{sha256[:12]}"
        folder = local(contract.batch(models, batch))
        folder.mkdir(parents=True)
        for name in names:
            os.link(self._shard, folder / name)
        (folder / "manifest.parquet").write_bytes(manifest)
        before = read_head(models)
        entry = Batch(batch, run, sha256, packed=len(rows), contested=0, classes={})
        swap_head(models, open_store(models), before, Head((*before.batches, entry), before.parts))
        return [f"{contract.batch(models, batch)}/{name}" for name in names]


def plot(taken: list[Taken], path: Path) -> None:
    """Seconds and megabytes by the number of pictures."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    seconds, megabytes = figure.subplots(1, 2)
    counts = [one.pictures for one in taken]
    seconds.plot(counts, [one.seconds for one in taken], marker="o")
    seconds.set(xlabel="pictures", ylabel="seconds of the step", xlim=(0, None), ylim=(0, None))
    megabytes.plot(counts, [one.peak / 1e6 for one in taken], marker="o", color="tab:green")
    megabytes.set(
        xlabel="pictures",
        ylabel="peak of resident memory, MB",
        xscale="log",
        ylim=(0, 1.2 * max(one.peak for one in taken) / 1e6),
    )
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
