"""The four buckets, in a folder or on Cloud Storage, pictures to put there, and the steps that work on them."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pyarrow.parquet as pq
from PIL import Image

from model_service import batches, registry
from model_service.__main__ import main
from model_service.sort import sort
from model_service.storage import Exists, locate, open_store
from tests.model_service.tiny_model import save_tiny_model

# A picture of class i is a square of colour i, which is what the tiny model looks at.
CLASSES = ["cat", "dog", "zebra"]
COLOURS = {"cat": (230, 20, 20), "dog": (20, 200, 20), "zebra": (20, 20, 230)}


NAMES = ("animals_all", "animals_to_predict", "animals_models", "animals_predicted")


@dataclass(frozen=True)
class Buckets:
    """`root` is a folder for the test's own use, where the buckets are unless `cloud` has their URIs."""

    root: Path
    cloud: tuple[str, ...] = ()

    def _uri(self, name: str) -> str:
        return self.cloud[NAMES.index(name)] if self.cloud else f"file://{self.root}/{name}"

    @property
    def source(self) -> str:
        return self._uri("animals_all")

    @property
    def to_predict(self) -> str:
        return self._uri("animals_to_predict")

    @property
    def models(self) -> str:
        return self._uri("animals_models")

    @property
    def predicted(self) -> str:
        return self._uri("animals_predicted")

    @property
    def arrivals(self) -> Path:
        """The folder where pictures arrive, if it is one."""
        return local(self.source)

    def put(self, name: str, data: bytes) -> None:
        """As people do it: what was there is replaced."""
        if not self.cloud:
            path = self.arrivals / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return
        store = open_store(self.source)
        try:
            store.write_if_absent(name, data)
        except Exists:
            store.compare_and_swap(name, data, store.stat(name).generation)

    def remove(self, uri: str) -> None:
        store, name = locate(uri)
        store.delete_if_generation(name, store.stat(name).generation)

    def arrived(self) -> dict[str, bytes]:
        """What people put, in name order."""
        everything = self.tree(self.source)
        own = (f"{contract.QUARANTINE}/", f"{contract.HELD}/")
        return {name: data for name, data in everything.items() if not name.startswith(own)}

    def fetched(self, uri: str) -> Path:
        """An object as a local file."""
        if not self.cloud:
            return local(uri)
        store, name = locate(uri)
        path = self.root / f"fetched-{hashlib.sha256(uri.encode()).hexdigest()[:16]}"
        store.download(name, path)
        return path

    def put_squares(self, per_class: int, first: int = 1, labels: list[str] = CLASSES) -> None:
        """`<label>_<n>.jpg` for n from `first`, no two with the same content."""
        for label in labels:
            for n in range(first, first + per_class):
                self.put(f"{label}_{n}.jpg", square(label, n))

    def plan_step(self, run: str = "r1", **arguments: Any) -> contract.Plan:
        return contract.Plan(
            run=run,
            models=self.models,
            result=contract.result(self.models, run, "plan"),
            source=self.source,
            **arguments,
        )

    def sort_step(self, run: str = "r1", index: int = 0, **arguments: Any) -> contract.Sort:
        return contract.Sort(
            run=run,
            models=self.models,
            result=contract.result(self.models, run, f"sort-{index:05d}"),
            source=self.source,
            to_predict=self.to_predict,
            **arguments,
        )

    def train_step(self, run: str = "r1", **arguments: Any) -> contract.Train:
        """From scratch, on small pictures, once."""
        small: dict[str, Any] = {"image_size": 32, "batch_size": 8, "epochs": 1, "weights": "none"}
        return contract.Train(
            run=run, models=self.models, result=contract.result(self.models, run, "train"), **(small | arguments)
        )

    def sorted(self, run: str = "r1", **arguments: Any) -> dict[str, Any]:
        """Sort what arrived, all in one range; its counts."""
        return sort(self.sort_step(run, **arguments)).counts

    def sorted_in_ranges(self, size: int, run: str = "r1", **arguments: Any) -> list[dict[str, Any]]:
        """Plan what arrived in ranges of so many, and sort each; their counts. All results are written."""
        step = self.plan_step(run, range_size=size)
        assert main(step.argv()) == 0
        steps = [
            self.sort_step(run, index, plan=uri, **arguments)
            for index, uri in enumerate(self.result(step)["outputs"]["plans"])
        ]
        assert [main(step.argv()) for step in steps] == [0] * len(steps)
        return [self.result(step)["counts"] for step in steps]

    def result(self, step: contract.Batch) -> dict[str, Any]:
        store, name = locate(step.result)
        document: dict[str, Any] = json.loads(store.read(name))
        return document

    def batch(self, run: str = "r1") -> str:
        """The name of the one batch of a run."""
        (name,) = batches.of_run(self.models, run)
        return name

    def manifest(self, run: str = "r1") -> list[dict[str, Any]]:
        """The rows of all batches of a run, in the order of the commits."""
        tables = [batches.manifest(self.models, batch) for batch in batches.of_run(self.models, run)]
        return [row for table in tables for row in table.to_pylist()]

    def shards(self, run: str = "r1") -> tuple[str, ...]:
        """Of a run, the train split's first."""
        names = batches.of_run(self.models, run)
        return tuple(
            uri for split in contract.SPLITS for batch in names for uri in batches.shards(self.models, batch, split)
        )

    def tree(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """Every object of a bucket."""
        store = open_store(bucket)
        return {blob.name: store.read(blob.name) for blob in store.list(prefix)}

    def save_model(
        self,
        version: str,
        classes: list[str] = CLASSES,
        bias: list[float] | None = None,
        trained_on: tuple[str, ...] = (),
    ) -> None:
        """A tiny model that knows colours, with the part of the card that says what it was trained on."""
        scratch = self.root / f"scratch-{version}"
        scratch.mkdir()
        card = save_tiny_model(f"file://{scratch}", version, classes, bias)
        files = {name: registry.load(f"file://{scratch}", version, name) for name in card["files"]}
        card |= {"data": {"shards": dict.fromkeys(trained_on, "")}}
        registry.save(self.models, version, files, card)


def make_buckets(root: Path) -> Buckets:
    for name in NAMES:
        (root / name).mkdir()
    return Buckets(root)


def square(label: str, n: int = 0, side: int = 48) -> bytes:
    """A JPEG of the label's colour; n makes the content another one."""
    image = Image.new("RGB", (side, side), COLOURS[label])
    image.putpixel((n % side, n // side % side), (255, 255, 255))
    return encoded(image, "JPEG", quality=95)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def local(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


def read_json(uri: str) -> Any:
    return json.loads(local(uri).read_bytes())


def read_rows(uri: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(local(uri)).to_pylist()
    return rows
