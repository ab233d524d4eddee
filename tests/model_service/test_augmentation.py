"""augmentation: which trainings vary their pictures, and that those watched with never are varied."""

from __future__ import annotations

import dataclasses
import logging

import menagerie_contract as contract
import numpy as np
import pytest
import torch

from model_service.training import augmentation, learner
from model_service.training.dataset import Dataset
from model_service.training.learner import MEAN, STD, Learner
from model_service.training.loader import loaders
from tests.model_service.test_resume import IMAGENET, SCRATCH

STEP = contract.Train(
    run="r1", models="", result="", epochs=2, image_size=32, batch_size=4, weights="none", validation=0.1
)


@pytest.fixture
def data() -> Dataset:
    views = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    return Dataset(views, ["cat", "dog"] * 10, [f"{n:020x}" for n in range(20)])


@pytest.mark.parametrize(
    ("augment", "epochs", "pictures", "start", "expected"),
    [
        ("auto", 10, 119, SCRATCH, False),
        ("auto", 10, 120, SCRATCH, True),
        ("auto", 75, 19, SCRATCH, True),
        ("auto", 74, 19, SCRATCH, False),
        ("auto", 299, 3, SCRATCH, False),
        ("auto", 1, 4, IMAGENET, True),
        ("on", 1, 4, SCRATCH, True),
        ("off", 99, 999, IMAGENET, False),
    ],
)
def test_short_trainings_from_scratch_take_pictures_as_they_are(
    augment: str, epochs: int, pictures: int, start: learner.Start, expected: bool
) -> None:
    """In steps of four pictures, of which less than four are left out; of fewer it is one."""
    step = contract.parse([*dataclasses.replace(STEP, epochs=epochs).argv(), f"--augment={augment}"])
    assert isinstance(step, contract.Train)
    assert augmentation.wanted(step, start, pictures) is expected


def normalised(data: Dataset, indices: list[int]) -> torch.Tensor:
    pictures = torch.from_numpy(np.stack([data.views[i] for i in indices])).permute(0, 3, 1, 2) / 255
    return (pictures - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def first(part: object) -> torch.Tensor:
    pictures, _ = next(iter(part))  # type: ignore[call-overload]
    return torch.Tensor(pictures)


@pytest.mark.parametrize("augmented", [True, False])
def test_only_those_learned_from_are_varied(data: Dataset, augmented: bool) -> None:
    dls = loaders(data, STEP, augmented=augmented)
    learned, watched = data.parts(STEP.validation, STEP.seed)
    dls.train.begin("42/0/0", 0)
    dls.train.randomize()  # fastai does, as a pass begins
    order = dls.train.get_idxs()
    dls.train.begin("42/0/0", 0)
    as_they_are = normalised(data, [learned[n] for n in order[:4]])
    assert torch.allclose(first(dls.train), as_they_are, atol=1e-5) is not augmented
    assert torch.allclose(first(dls.valid), normalised(data, watched), atol=1e-4)


def steps(learn: Learner) -> set[str]:
    return {type(one).__name__ for one in learn.dls.train.after_batch.fs}


def test_a_learner_has_what_its_step_and_its_weights_want(data: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        short, _ = learner.build(data, STEP)
    assert "pictures are not varied before they are learned from" in caplog.text
    long, start = learner.build(data, dataclasses.replace(STEP, epochs=75))
    again, _ = learner.build(data, STEP, IMAGENET.card())  # from a checkpoint, whose weights knew something
    assert start.kind == "none"
    assert steps(long) == steps(again) > steps(short)
