"""train: a candidate whose files load without pickle and say all there is to know of it."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import logging
import platform
import re
import socket
import warnings
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np
import onnx
import pytest
import safetensors.numpy
from PIL import Image

from model_service import batches
from model_service.inference import Classifier
from model_service.inference.runtime import CORE
from model_service.ledger import read_head
from model_service.training import dataset
from tests.model_service.buckets import CLASSES, Buckets, make_buckets, square
from tests.model_service.conftest import Trained


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return make_buckets(tmp_path)


def step_for(buckets: Buckets, **arguments: Any) -> contract.Train:
    return contract.Train(
        run="r1", models=buckets.models, result="", image_size=32, epochs=1, batch_size=8, **arguments
    )


# What one training leaves behind


def test_the_result_names_the_candidate(trained: Trained) -> None:
    result = trained.result
    held = sum(row["split"] == "holdout" for row in trained.buckets.manifest())
    assert result["status"] == "ok"
    assert result["outputs"] == {"version": trained.folder.name}
    assert {name: result["counts"][name] for name in ("pictures", "classes", "epochs", "weights")} == {
        "pictures": 24 - held,
        "classes": 3,
        "epochs": 1,
        "weights": "none",
    }


def test_the_holdout_was_never_opened(trained: Trained) -> None:
    """The fixture filled its shard with garbage, and training did not notice."""
    held = {row["key"] for row in trained.buckets.manifest() if row["split"] == "holdout"}
    assert held
    assert list(trained.card["data"]["shards"]) == [uri for uri in trained.buckets.shards() if "/train-" in uri]


def test_the_log_tells_how_it_goes(trained: Trained) -> None:
    pictures = trained.card["data"]["pictures"]
    assert f"training resnet34 on {pictures} pictures of 3 classes at 32 px, epochs: 1, weights: none\n" in trained.log
    assert re.search(r"^epoch 1 of 1 done: train loss \d+\.\d+, validation loss \d+\.\d+, accuracy ", trained.log, re.M)
    assert re.search(rf"^train: candidate {trained.version}: [\d.]+% right on the validation part$", trained.log, re.M)
    assert "Traceback" not in trained.log
    assert "Warning" not in trained.log
    assert "constant folding" not in trained.log, "what the exporter tells itself"


def test_the_card_is_enough_to_rebuild_and_to_trust_the_model(trained: Trained) -> None:
    card, manifest = trained.card, trained.buckets.manifest()
    train = [row["label"] for row in manifest if row["split"] == "train"]
    assert card["version"] == trained.version
    assert (card["architecture"], card["weights"]) == ("resnet34", "none")
    assert card["classes"] == CLASSES
    assert card["preprocessing"] == {
        "version": "1",
        "size": 32,
        "resize": "shorter side, bilinear, antialiased",
        "crop": "centre",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    assert (
        contract.Train(run="r1", models=trained.step.models, result=trained.step.result, **card["training"])
        == trained.step
    )
    assert (card["run"], card["parent"], card["numbers"]) == ("r1", None, "f32")
    assert 0.1 <= card["temperature"] <= 10
    assert card["start"] == {"kind": "none", "name": "", "sha256": "", "fresh": CLASSES}
    (batch,) = read_head(trained.buckets.models).batches
    assert card["data"] == {
        "tag": "",
        "batches": [{"name": batch.name, "manifest": batch.manifest}],
        "pictures": len(train),
        "available": len(train),
        "by_class": {label: train.count(label) for label in CLASSES},
        "shards": batches.shards(trained.buckets.models, trained.buckets.batch(), "train"),
        "left_out": [],
    }
    assert card["libraries"]["python"] == platform.python_version()
    assert card["libraries"]["torch"] == installed("torch")
    assert set(card["metrics"]) == {"train_loss", "valid_loss", "accuracy"}
    assert card["created"].endswith("+00:00")


def test_every_file_has_its_hash_in_the_card(trained: Trained) -> None:
    files = trained.card["files"]
    there = {str(path.relative_to(trained.folder)) for path in trained.folder.rglob("*") if path.is_file()}
    assert there == {*files, "model.json"}
    assert set(files) == {
        *("model.safetensors", "model.onnx", "model.int8.onnx", "selftest.tar", "reference.parquet"),
        *("card.md", "card.html", "history.csv", "history.png", "tensorboard/events.out.tfevents.train"),
    }
    for name, entry in files.items():
        data = (trained.folder / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    assert re.fullmatch("r1-[0-9a-f]{8}", trained.version)


def test_no_file_is_a_pickle(trained: Trained) -> None:
    for path in trained.folder.rglob("*.*"):
        assert not path.read_bytes().startswith((b"\x80", b"PK")), "a pickle, or torch's zip of one"
    weights = safetensors.numpy.load((trained.folder / "model.safetensors").read_bytes())
    assert weights["0.0.weight"].shape == (64, 3, 7, 7)
    assert all(np.isfinite(array).all() for array in weights.values())


def test_the_onnx_file_is_whole_and_takes_any_number_of_pictures(trained: Trained) -> None:
    onnx.checker.check_model(onnx.load_from_string((trained.folder / "model.onnx").read_bytes()))
    compiled = CORE.compile_model(str(trained.folder / "model.onnx"), "CPU")
    for count in (1, 5):
        assert compiled(np.zeros((count, 3, 32, 32), np.float32))[0].shape == (count, len(CLASSES))


def test_the_history_has_a_row_an_epoch(trained: Trained) -> None:
    rows = list(csv.DictReader(io.StringIO((trained.folder / "history.csv").read_text())))
    assert [(row["epoch"], row["side"]) for row in rows] == [("1", "32")]
    assert float(rows[0]["accuracy"]) == pytest.approx(trained.card["metrics"]["accuracy"], rel=1e-4)
    with Image.open(trained.folder / "history.png") as picture:
        assert picture.format == "PNG"


def test_the_weights_rebuilt_in_torch_and_the_onnx_file_agree(trained: Trained) -> None:
    """On the pixels of real pictures, through the whole path that predict takes."""
    import torch

    from model_service.images import Limits, decode, pack, unpack, view

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        from fastai.vision.all import DataLoaders, resnet34, vision_learner

    rebuilt = vision_learner(
        DataLoaders.from_dsets([0] * 4, [0] * 4, bs=2, device=torch.device("cpu")),
        resnet34,
        pretrained=False,
        normalize=False,
        n_out=len(trained.card["classes"]),
        loss_func=torch.nn.CrossEntropyLoss(),
    ).model.eval()
    weights = safetensors.numpy.load((trained.folder / "model.safetensors").read_bytes())
    rebuilt.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    classifier = Classifier(trained.buckets.models, trained.version)
    mean, std = (np.array(trained.card["preprocessing"][name], np.float32) for name in ("mean", "std"))
    for label in CLASSES:
        seen = view(unpack(pack(decode(square(label, 5), Limits())), 32), 32)
        pixels = torch.from_numpy(((seen / np.float32(255) - mean) / std).transpose(2, 0, 1)[None])
        with torch.no_grad():
            expected = torch.softmax(rebuilt(pixels.float()), 1).numpy()[0]
        assert classifier.probabilities(seen) == pytest.approx(expected, abs=1e-3)


# How training is set up


def test_the_numbers_of_the_classes_are_their_places_in_the_card(buckets: Buckets, tmp_path: Path) -> None:
    from model_service.training import learner

    buckets.put_squares(6, labels=["zebra", "cat", "dog"])
    buckets.sorted(holdout=0.0)
    data = dataset.load(buckets.train_step(image_size=32), tmp_path)
    assert data.classes == ["cat", "dog", "zebra"]
    learn, start = learner.build(data, step_for(buckets, weights="none", validation=0.2))
    assert (start.kind, start.parent, str(start)) == ("none", None, "none")
    for part in (learn.dls.train_ds, learn.dls.valid_ds):
        for picture, number in part:
            assert picture.shape == (3, 32, 32)
            red_green_blue = int(picture[:, 20, 20].argmax())  # cat, dog and zebra have these colours
            assert int(number) == red_green_blue
    assert (len(learn.dls.train_ds), len(learn.dls.valid_ds)) == (14, 4)
    assert learn.model(learn.dls.one_batch()[0]).shape[1] == 3


def test_pictures_learned_from_are_augmented_and_those_watched_with_are_as_predict_sees_them(
    buckets: Buckets, tmp_path: Path
) -> None:
    from model_service.training import learner

    buckets.put_squares(6)
    buckets.sorted(holdout=0.0)
    data = dataset.load(buckets.train_step(image_size=32), tmp_path)
    loaders = learner.build(data, step_for(buckets, weights="none", validation=0.2, augment="on"))[0].dls
    mean, std = (np.array(values, np.float32) for values in (learner.MEAN, learner.STD))
    _, watched = data.parts(0.2, 42)
    views = np.stack(list(data.views))
    expected = ((views[watched] / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)
    for _ in range(2):
        (batch,) = loaders.valid
        assert np.allclose(batch[0].numpy(), expected, atol=1e-5)
    ours = {view.tobytes() for view in ((views / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)}
    assert not any(picture.numpy().tobytes() in ours for picture in loaders.train.one_batch()[0])


def test_the_validation_part_is_answered_picture_by_picture_as_the_exported_model_answers(
    trained: Trained, tmp_path: Path
) -> None:
    """What the card and TensorBoard tell is of these answers: in the part's order, as probabilities."""
    from model_service.training import candidate, learner

    step = dataclasses.replace(trained.step, champion=trained.version, validation=0.5)
    data = dataset.load(step, tmp_path)
    learn, start = learner.build(data, step)
    assert start.parent == trained.version
    targets, logits = candidate.validated(learn)
    _, watched = data.parts(0.5, step.seed)
    assert [data.classes[i] for i in targets] == [data.labels[i] for i in watched]
    classifier = Classifier(trained.buckets.models, trained.version)
    for i, said in zip(watched, logits.softmax(1).numpy(), strict=True):
        assert said == pytest.approx(classifier.probabilities(data.views[i]), abs=1e-3)


def test_what_is_exported_is_as_sure_as_the_temperature_makes_it(
    buckets: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_service.inference import ONNX, Network
    from model_service.training import calibrate, candidate

    buckets.put_squares(6)
    buckets.sorted(holdout=0.0)
    step = buckets.train_step(validation=0.3)
    logits = []
    monkeypatch.setattr(calibrate, "temperature", lambda said, targets: logits.append(said) or 4.0)
    made = candidate.make(step)
    assert made.card["temperature"] == 4.0
    data = dataset.load(step, tmp_path)
    network = Network(made.name, made.card, made.files[ONNX])
    _, watched = data.parts(0.3, step.seed)
    for i, expected in zip(watched, (logits[0] / 4).softmax(1).numpy(), strict=True):
        assert network.probabilities(data.views[i]) == pytest.approx(expected, abs=1e-4)


def test_weights_at_hand_are_what_the_body_starts_from(
    buckets: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from torchvision.models import ResNet34_Weights, resnet34

    from model_service.training import cycles, learner
    from model_service.training.checkpoints import Checkpoints

    fetched = resnet34()  # stands for ImageNet's, where torchvision keeps what it has fetched
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(fetched.state_dict(), cache / ResNet34_Weights.DEFAULT.url.rsplit("/", 1)[1])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    buckets.put_squares(4)
    buckets.sorted(holdout=0.0)
    data = dataset.load(buckets.train_step(image_size=32), tmp_path)

    learn, start = learner.build(data, step_for(buckets, weights="auto"))

    assert str(start) == "ResNet34_Weights.IMAGENET1K_V1"
    assert torch.equal(learn.model[0][0].weight, fetched.conv1.weight)
    fitted = cycles.fit(learn, step_for(buckets, weights="auto"), start, Checkpoints(buckets.models, "r1", {}))
    assert [row["epoch"] for row in fitted.history] == [1, 2]  # the head alone, then everything


def test_weights_out_of_reach_are_said_loudly_and_training_starts_from_scratch(
    buckets: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from model_service.training import learner

    def no_network(*_: object, **__: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-cache"))
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    buckets.put_squares(3)
    buckets.sorted(holdout=0.0)
    data = dataset.load(buckets.train_step(image_size=32), tmp_path)
    before = socket.getdefaulttimeout()
    with caplog.at_level(logging.WARNING):
        learn, start = learner.build(data, step_for(buckets, weights="auto"))
    assert str(start) == "none"
    assert learn.model(learn.dls.one_batch()[0]).shape[1] == 3
    (record,) = [r for r in caplog.records if "FROM SCRATCH" in r.message]
    assert record.levelno == logging.WARNING
    assert "Name or service not known" in record.message
    assert "https://download.pytorch.org/" in record.message
    assert "none to say that this is meant" in record.message
    assert socket.getdefaulttimeout() == before


def test_importing_the_learner_warns_of_nothing() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import model_service.training.learner  # noqa: F401
    assert caught == []
