"""The ways that are compared on loose files, each in a process of its own, and ours on shards, by the step itself."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np

from bench.predicting.made import Model, Pictures, bucket, local
from bench.sorting.limit import CORES
from bench.sorting.server import REPO, environment
from model_service import images

Classify = Callable[[list[Path]], int]  # files → how many were classified

BATCH = 64  # pictures: fastai's own choice, and so the DataLoader's here
_classify: Classify | None = None  # of a way's process


class Way:
    """Has loaded its model, and classified a few pictures, before any clock starts. `make` gives what classifies."""

    def __init__(self, make: Callable[..., Classify], *given: Any, few: list[Path]) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._process = ProcessPoolExecutor(1, spawn, initializer=_begin, initargs=(make, *given))
        self.seconds(few)

    def seconds(self, files: list[Path]) -> float:
        return self._process.submit(_timed, files).result()

    def close(self) -> None:
        self._process.shutdown()


def _begin(make: Callable[..., Classify], *given: Any) -> None:
    global _classify
    # Loaders' processes are to begin as they do elsewhere on this system, by fork on Linux, not as this one began.
    multiprocessing.set_start_method(None, force=True)
    _classify = make(*given)


def _timed(files: list[Path]) -> float:
    assert _classify is not None
    begun = time.perf_counter()
    done = _classify(files)
    seconds = time.perf_counter() - begun
    if done != len(files):
        raise RuntimeError(f"{done} of {len(files)} pictures were classified")
    return seconds


def get_preds(model: Model, files: list[Path]) -> Classify:
    """fastai, many files at once. `files` are what its data loaders are made with, for their classes."""
    learn = _learner(model, files)
    return lambda files: len(learn.get_preds(dl=learn.dls.test_dl(files))[0])


def predict_loop(model: Model, files: list[Path]) -> Classify:
    """fastai, one file after the other: what the original did."""
    learn = _learner(model, files)
    return lambda files: len([learn.predict(file) for file in files])


def _learner(model: Model, files: list[Path]) -> Any:
    from fastai.vision.all import ImageDataLoaders, ProgressCallback, Resize, resnet34, vision_learner
    from safetensors.torch import load

    card = model.card
    labels = [path.name.rsplit("_", 1)[0] for path in files]
    resize = Resize(card["preprocessing"]["size"])
    loaders = ImageDataLoaders.from_lists(files[0].parent, files, labels, bs=BATCH, item_tfms=resize, device="cpu")
    learn = vision_learner(loaders, resnet34, pretrained=False, n_out=len(card["classes"]))
    learn.model.load_state_dict(load(model.file("model.safetensors")))
    learn.remove_cb(ProgressCallback)
    return learn


def data_loader(model: Model) -> Classify:
    """torch: a DataLoader with a worker a core, torchvision's transforms, the network as it is."""
    import torch
    from fastai.vision.learner import create_vision_model
    from PIL import Image
    from safetensors.torch import load
    from torchvision import transforms
    from torchvision.models import resnet34

    preprocessing, size = model.card["preprocessing"], model.card["preprocessing"]["size"]
    normalise = transforms.Normalize(preprocessing["mean"], preprocessing["std"])
    steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor(), normalise]
    transform = transforms.Compose(steps)
    network = create_vision_model(resnet34, len(model.card["classes"]), pretrained=False).eval()
    network.load_state_dict(load(model.file("model.safetensors")))

    class Files(torch.utils.data.Dataset[torch.Tensor]):
        def __init__(self, files: list[Path]) -> None:
            self._files = files

        def __len__(self) -> int:
            return len(self._files)

        def __getitem__(self, index: int) -> torch.Tensor:
            tensor: torch.Tensor = transform(Image.open(self._files[index]).convert("RGB"))
            return tensor

    def classify(files: list[Path]) -> int:
        loader = torch.utils.data.DataLoader(Files(files), batch_size=BATCH, num_workers=CORES)
        with torch.inference_mode():
            return sum(len(torch.softmax(network(batch), 1)) for batch in loader)

    return classify


def onnx_runtime(model: Model) -> Classify:
    """ONNX Runtime on all cores, in batches; our decoding beside it, a thread a core."""
    import onnxruntime

    preprocessing = model.card["preprocessing"]
    mean, std = (np.asarray(preprocessing[name], np.float32) for name in ("mean", "std"))
    session = onnxruntime.InferenceSession(model.file("model.onnx"), providers=["CPUExecutionProvider"])

    def pixels(path: Path) -> Any:
        return ((_view(path, preprocessing["size"]) / np.float32(255) - mean) / std).transpose(2, 0, 1)

    def classify(files: list[Path]) -> int:
        done = 0
        with ThreadPoolExecutor(CORES) as pool:
            decoded = pool.map(pixels, files)
            while some := list(itertools.islice(decoded, 8)):
                done += len(session.run(["logits"], {"pictures": np.stack(some)})[0])
        return done

    return classify


def ours(model: Model, precision: Any) -> Classify:
    """Our network and our decoding, on as many threads as predict has: its pipeline, fed with loose files."""
    from model_service.inference import Classifier

    network = Classifier(model.models, model.version, precision=precision)
    if network.precision != precision:
        raise RuntimeError(f"this machine computes with {network.precision}, not {precision}")

    def classify(files: list[Path]) -> int:
        with ThreadPoolExecutor(CORES + 1) as pool:
            return sum(1 for _ in pool.map(lambda path: network.infer(_view(path, network.size)), files))

    return classify


def _view(path: Path, size: int) -> Any:
    return images.view(images.decode(path.read_bytes(), images.Limits()), size)


class Step:
    """`python -m model_service predict` on shards, a process of its own."""

    def __init__(self, model: Model, precision: Any) -> None:
        self._model, self._precision, self._runs = model, precision, itertools.count()
        self.other: dict[
            str, list[tuple[float, float]]
        ] = {}  # by pictures: seconds with imports, and of the whole process

    def seconds(self, pictures: Pictures) -> float:
        """Its own seconds, with the loading of the model, but without the start of Python and the imports."""
        models, run = self._model.models, f"bench-{pictures.name}-{self._precision}-{next(self._runs)}"
        step = contract.Predict(
            run=run,
            models=models,
            result=contract.result(models, run, "predict"),
            model=self._model.version,
            shards=tuple(pictures.shards),
            predicted=bucket(local(models).parent / "predicted"),
            precision=self._precision,
        )
        words = [sys.executable, "-m", "model_service", *step.argv()]
        begun = time.perf_counter()
        done = subprocess.run(words, cwd=REPO, env=environment(), capture_output=True, text=True, check=False)
        whole = time.perf_counter() - begun
        document = json.loads(local(step.result).read_bytes()) if done.returncode == 0 else {"counts": {}}
        counts = document["counts"]
        if (counts.get("pictures"), counts.get("precision")) != (pictures.packed, self._precision):
            wanted = f"all {pictures.packed} pictures in {self._precision}"
            raise SystemExit(f"predict did not classify {wanted}:\n{done.stdout}{done.stderr}")
        self.other.setdefault(pictures.name, []).append((float(document["seconds"]), whole))
        return float(counts["seconds"])

    def rate(self, pictures: list[Pictures], which: int) -> float:
        """Pictures a second, of all sizes together, by one of the other seconds; by their medians."""
        medians = (statistics.median(both[which] for both in self.other[some.name]) for some in pictures)
        return sum(some.packed for some in pictures) / sum(medians)
