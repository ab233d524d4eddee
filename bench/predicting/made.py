"""What is predicted, and with what: pictures as files and as packed in shards, and a model with its int8 variant.

The pipeline's own steps sort and train make them. How well the model knows animals makes no difference to its speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import menagerie_contract as contract

from bench.sorting import memory, pictures
from bench.sorting.limit import CORES
from model_service import registry

# Judge says whether int8 may be used, by its accuracy on pictures held out, and predict refuses one that it did not
# accept. A model of one epoch says nothing about accuracy, and int8 takes the same time either way: here it is accepted.
_ACCEPTED = {
    "accepted": True,
    "reason": "a bench of speed, which says nothing of accuracy",
    "accuracy": {"f32": None, "int8": None},
    "agreement": None,
    "pictures": 0,
}


class Size(NamedTuple):
    """Of so many pictures, in pixels."""

    number: int
    width: int
    height: int


FULL = (Size(500, 640, 480), Size(250, 1920, 1080))
QUICK = (Size(60, 640, 480), Size(30, 1920, 1080))


@dataclass(frozen=True)
class Pictures:
    """Those of one size: as loose files, and the URIs of the shards into which sort packed them."""

    name: str
    files: list[Path]
    shards: list[str]
    packed: int  # sort leaves out what looks like another

    @property
    def paths(self) -> list[Path]:
        """The shards on this machine's disk."""
        return [local(uri) for uri in self.shards]


@dataclass(frozen=True)
class Model:
    """A version, and the bucket that has it and the shards."""

    models: str
    version: str

    def file(self, name: str) -> bytes:
        return registry.load(self.models, self.version, name)

    @property
    def card(self) -> dict[str, Any]:
        return registry.card(self.models, self.version)


def make(folder: Path, photographs: Path | None, sizes: tuple[Size, ...], side: int) -> tuple[list[Pictures], Model]:
    """The pictures of each size, and a model for views of `side` pixels, trained for one epoch on the last size's."""
    origins, what = pictures.origins(folder, photographs)
    models, model, made = bucket(folder / "models"), None, list[Pictures]()
    print(f"derived from {len(origins)} {what}:")
    for size in reversed(sizes):
        made.insert(0, _pictures(folder, models, origins, size))
        model = model or train(models, side)
        origins = origins[size.number :] + origins[: size.number]  # two sizes are not to show the same
    assert model is not None
    return made, model


def train(models: str, side: int) -> Model:
    """On all that the bucket has so far."""
    run = f"bench-{side}"
    result = contract.result(models, run, "train")
    # Without ImageNet's weights, so that no network is needed.
    step = contract.Train(run=run, models=models, result=result, epochs=1, image_size=side, weights="none")
    _, document = memory.peak(step)
    model = Model(models, document["outputs"]["version"])
    registry.save_int8(models, model.version, _ACCEPTED)
    return model


def bucket(folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    return f"file://{folder}"


def local(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


def _pictures(folder: Path, models: str, origins: list[tuple[str, Path]], size: Size) -> Pictures:
    name = f"{size.width}x{size.height}"
    source = folder / name
    source.mkdir()
    pictures.derive(source, origins, size.number, size.width, CORES, size.height / size.width, (1.0,))
    run = f"bench-{name}"
    step = contract.Sort(
        run=run,
        models=models,
        result=contract.result(models, run, "sort-00000"),
        source=f"file://{source}",
        to_predict=bucket(folder / f"to_predict-{name}"),
    )
    _, document = memory.peak(step)
    packed = document["counts"]["packed"]
    shards = sorted(f"file://{path}" for path in local(contract.batches(models)).glob(f"{run}/*/*.tar"))
    print(f"{pictures.describe(source)}; {packed} packed in {len(shards)} shards", flush=True)
    return Pictures(name, sorted(source.iterdir()), shards, packed)
