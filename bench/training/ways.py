"""The ways that are compared, each training in a process of its own that has imported what it needs before any clock starts."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import menagerie_contract as contract
import numpy as np

from bench.training.made import VALIDATION, Picture, Pictures

Way = Callable[["Told"], "Took"]


@dataclass(frozen=True)
class Told:
    """What all ways are told, and what `ours` is: the share of epochs at smaller sides."""

    pictures: Pictures
    epochs: int
    side: int
    batch: int
    seed: int
    progressive: float


@dataclass(frozen=True)
class Took:
    """Seconds from the pictures at rest to a trained network, and for its exports; its share of right answers on the holdout;
    the pictures learned from an epoch.
    """

    seconds: float
    exports: float
    accuracy: float
    pictures: int


def run(way: Way, told: Told) -> Took:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=_begin) as process:
        return process.submit(way, told).result()


def _begin() -> None:
    import model_service.train  # noqa: F401 - imports all that either way needs

    # Loaders' processes are to begin as they do elsewhere on this system, by fork on Linux, not as this one began.
    multiprocessing.set_start_method(None, force=True)


def fastai(told: Told) -> Took:
    """As fastai's documentation begins: files in folders, a worker a core, one cycle, its defaults. From scratch."""
    from fastai.vision.all import (
        ImageDataLoaders,
        ProgressCallback,
        Resize,
        accuracy,
        get_image_files,
        resnet34,
        set_seed,
        vision_learner,
    )

    learned, watched = told.pictures.parts(told.seed)
    folder = _folders(told, {"train": learned, "valid": watched})
    set_seed(told.seed)
    begun = time.perf_counter()
    loaders = ImageDataLoaders.from_folder(folder, bs=told.batch, item_tfms=Resize(told.side), seed=told.seed)
    learn = vision_learner(loaders, resnet34, pretrained=False, metrics=accuracy)
    learn.remove_cb(ProgressCallback)
    with learn.no_logging():
        learn.fit_one_cycle(told.epochs)
    seconds = time.perf_counter() - begun
    files = get_image_files(_folders(told, {"test": told.pictures.holdout}) / "test")
    probabilities, _ = learn.get_preds(dl=loaders.test_dl(files))
    answers = [loaders.vocab[int(i)] for i in probabilities.argmax(1)]
    right = [answer == file.parent.name for answer, file in zip(answers, files, strict=True)]
    return Took(seconds, 0.0, float(np.mean(right)), len(learned))


def _folders(told: Told, parts: dict[str, list[Picture]]) -> Path:
    """`<part>/<label>/…jpg`: links to the files. Made before the clock starts."""
    root = Path(told.pictures.models.removeprefix("file://")).parent / f"folders-{told.seed}"
    for part, pictures in parts.items():
        for picture in pictures:
            place = root / part / picture.label
            place.mkdir(parents=True, exist_ok=True)
            link = place / picture.path.name
            if not link.exists():
                link.hardlink_to(picture.path)
    return root


def ours(told: Told) -> Took:
    """What the step train does, from shards: decoding them, training, and the exports, whose time is told apart."""
    from model_service import registry
    from model_service.training import candidate, cycles

    run, models = f"bench-{told.epochs}-{told.side}-{told.seed}", told.pictures.models
    step = contract.Train(
        run=run,
        models=models,
        result=contract.result(models, run, "train"),
        epochs=told.epochs,
        image_size=told.side,
        batch_size=told.batch,
        seed=told.seed,
        progressive=told.progressive,
        validation=VALIDATION,
        weights="none",  # as the other way: no network is needed
    )
    trained: list[float] = []
    fit = cycles.fit

    def timed(*given: object, **named: object) -> object:
        fitted = fit(*given, **named)  # type: ignore[arg-type]
        trained.append(time.perf_counter())
        return fitted

    cycles.fit = timed  # type: ignore[assignment]
    begun = time.perf_counter()
    made = candidate.make(step)
    exported = time.perf_counter()
    registry.save(models, made.name, made.files, made.card)
    made.kept.clear()
    learned, _ = told.pictures.parts(told.seed)
    return Took(trained[0] - begun, exported - trained[0], _accuracy(told, made.name), len(learned))


def _accuracy(told: Told, version: str) -> float:
    """On the holdout, by the path that predict takes."""
    from model_service import batches
    from model_service.inference import Classifier

    classifier = Classifier(told.pictures.models, version)
    labels: list[str] = []

    def jpegs() -> object:
        for sample in batches.samples(told.pictures.models, told.pictures.shards):
            labels.append(sample.meta["label"])
            yield sample.jpeg

    answers = [classifier.classes[int(np.argmax(p))] for p in classifier.classify(jpegs())]  # type: ignore[arg-type]
    return float(np.mean([answer == label for answer, label in zip(answers, labels, strict=True)]))
