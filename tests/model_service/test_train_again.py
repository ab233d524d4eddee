"""train after an attempt that was killed before it could say that it was done: nothing is lost and nothing doubled."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest
import torch

from model_service.train import train
from model_service.training import dataset, provenance
from model_service.training.checkpoints import Checkpoints
from tests.model_service.buckets import Buckets, local, make_buckets, read_json, square
from tests.model_service.conftest import REPOSITORY, Trained


@pytest.fixture
def left(trained: Trained, tmp_path: Path) -> Buckets:
    """The buckets as an attempt leaves them that was killed just before its result."""
    shutil.copytree(trained.buckets.root, tmp_path / "left")
    buckets = Buckets(tmp_path / "left")
    local(contract.result(buckets.models, "r1", "train")).unlink()
    return buckets


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the attempt before had: sums in another order would be other weights, and another version."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def put_checkpoint(buckets: Buckets, data: bytes) -> None:
    path = local(contract.checkpoint(buckets.models, "r1", 1, "0" * 64))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.usefixtures("one_thread")
def test_killed_after_its_last_file_the_next_attempt_ends_with_the_same_candidate(
    trained: Trained, left: Buckets, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also from another commit: when and by what a model was made does not make it another model.

    And with a damaged checkpoint in its way, which it does not take for one.
    """
    caplog.set_level(logging.INFO)
    card = local(contract.model(left.models, trained.version)) / "model.json"
    card.write_text(card.read_text().replace(trained.buckets.models, left.models))  # the copy's shards have other URIs
    before = left.tree(left.models)
    monkeypatch.setenv("MENAGERIE_COMMIT", "another-commit")
    put_checkpoint(left, b"damaged")
    outcome = train(dataclasses.replace(trained.step, models=left.models))
    assert outcome.outputs == trained.result["outputs"]
    assert outcome.counts == trained.result["counts"]
    assert left.tree(left.models) == before
    assert "is ignored: it is damaged: its sha256 differs" in caplog.text
    assert "epoch 1 of 1 done" in caplog.text


def test_killed_when_its_model_is_saved_the_next_attempt_trains_nothing_again(
    left: Buckets, trained: Trained, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The checkpoint of the end is still there, since it is deleted only then."""
    caplog.set_level(logging.INFO)
    step = dataclasses.replace(trained.step, models=left.models, run="r2")

    def die(kept: Checkpoints) -> None:
        kept.close()
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "clear", die)
        with pytest.raises(SystemExit):
            train(step)
    (file,) = checkpoints(left, "r2")
    card = {path: data for path, data in left.tree(left.models).items() if "/r2-" in path}
    caplog.clear()
    outcome = train(step)
    assert "going on from its end" in caplog.text
    assert "epoch 1 of 1" not in caplog.text
    assert not file.exists()
    after = {path: data for path, data in left.tree(left.models).items() if "/r2-" in path}
    assert after == card
    assert all(outcome.outputs["version"] in path for path in after)


def test_a_training_on_other_pictures_is_another_one(tmp_path: Path) -> None:
    """Another sort met a picture under another label meanwhile, say: no checkpoint of before is gone on from."""
    buckets = make_buckets(tmp_path)

    def origin(**arguments: Any) -> dict[str, Any]:
        step = buckets.train_step("r2", **arguments)
        return provenance.origin(step, dataset.load(step, tmp_path))

    buckets.put_squares(4)
    buckets.sorted(holdout=0.0)
    before, weighted = origin(), origin(new_weight=2.0)
    assert before == origin(cache_gigabytes=0.0), "where pictures are held changes nothing"
    assert before != origin(max_pictures=11)
    assert before != weighted
    buckets.put("zebra_9.jpg", square("zebra", 9))
    buckets.sorted("r3", holdout=0.9)
    assert [row["split"] for row in buckets.manifest("r3")] == ["holdout"]
    assert origin() == before, "nothing to train on has come"
    buckets.put_squares(1, first=31)
    buckets.sorted("r5", holdout=0.0)
    assert origin(new_weight=2.0) != weighted, "other pictures are new"
    after = origin()
    buckets.put("dog_9.jpg", square("cat", 1))
    buckets.sorted("r4", max_bad=1.0)
    assert before != after != origin()


# Killed in the middle: in processes of its own, with the very network, in both cycles of pretrained weights.


def checkpoints(buckets: Buckets, run: str) -> list[Path]:
    return list(local(contract.checkpoints(buckets.models, run)).glob("*.safetensors"))


class Attempt:
    """`python -m model_service train`, whose log can be followed and which can be killed."""

    def __init__(self, step: contract.Train, weights: Path) -> None:
        self.log = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "model_service", *step.argv()],
            cwd=REPOSITORY,
            env=os.environ
            | {"PYTHONPATH": "plugins", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "TORCH_HOME": str(weights)}
            | {"MENAGERIE_COMMIT": "the same"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def follow(self, until: str = "") -> Attempt:
        """Read its log until a line has that in it; without, to its end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log += line
            if until and until in line:
                return self
        assert not until, self.log
        self.process.stdout.close()
        self.process.wait()
        return self

    @property
    def epochs(self) -> list[str]:
        """Those that it trained to their end."""
        return re.findall(r"^epoch (\d of \d) done", self.log, re.M)


@pytest.fixture
def attempt() -> Iterator[Callable[[contract.Train, Path], Attempt]]:
    """Starts one; none outlives the test."""
    begun: list[Attempt] = []

    def begin(step: contract.Train, weights: Path) -> Attempt:
        begun.append(Attempt(step, weights))
        return begun[-1]

    yield begin
    for one in begun:
        with one.process:
            one.process.kill()


def test_killed_in_the_head_s_cycle_and_evicted_in_the_next_it_ends_with_the_very_same_model(
    tmp_path: Path, attempt: Callable[[contract.Train, Path], Attempt]
) -> None:
    from torchvision.models import ResNet34_Weights, resnet34

    cache = tmp_path / "weights/hub/checkpoints"  # where torchvision keeps what it has fetched: here, made up
    cache.mkdir(parents=True)
    torch.save(resnet34().state_dict(), cache / ResNet34_Weights.DEFAULT.url.rsplit("/", 1)[1])
    buckets = make_buckets(tmp_path)
    buckets.put_squares(6)
    buckets.sorted(holdout=0.0)

    def step(run: str) -> contract.Train:
        result = contract.result(buckets.models, run, "train")
        return contract.Train(
            run=run, models=buckets.models, result=result, epochs=2, image_size=32, batch_size=8, weights="auto"
        )

    whole = attempt(step("whole"), tmp_path / "weights").follow()
    assert whole.process.returncode == 0, whole.log
    assert whole.epochs == ["1 of 1", "1 of 2", "2 of 2"], "the head alone, then everything"

    killed = attempt(step("cut"), tmp_path / "weights").follow("epoch 1 of 1 done")
    until = time.monotonic() + 60
    while not checkpoints(buckets, "cut"):
        assert time.monotonic() < until
        time.sleep(0.01)
    killed.process.kill()
    killed.follow()

    evicted = attempt(step("cut"), tmp_path / "no-weights").follow("going on from cycle 2, ")
    evicted.process.terminate()
    evicted.follow()
    assert evicted.process.returncode == 143
    place = re.findall(r"asked to terminate: the next attempt goes on at (.*)", evicted.log)
    assert len(checkpoints(buckets, "cut")) == 1

    last = attempt(step("cut"), tmp_path / "no-weights").follow()
    assert last.process.returncode == 0, last.log
    assert [f"going on from {place[0]}"] == re.findall(r"going on from .*", last.log)
    assert "FROM SCRATCH" not in evicted.log + last.log, "the weights were fetched once"
    assert "1 of 1" not in evicted.epochs + last.epochs
    assert last.epochs[-1] == "2 of 2"
    assert checkpoints(buckets, "cut") == []

    results = [read_json(step(run).result) for run in ("whole", "cut")]
    assert [result["counts"].pop("resumed") for result in results] == [False, True]
    assert results[0]["counts"] == results[1]["counts"]
    models = [local(contract.model(buckets.models, result["outputs"]["version"])) for result in results]
    for name in ("model.safetensors", "model.onnx", "selftest.tar", "history.csv"):
        assert (models[0] / name).read_bytes() == (models[1] / name).read_bytes(), name
