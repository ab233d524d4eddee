"""A model trained once for all tests, on pictures that are easy to tell apart; buckets on Cloud Storage."""

from __future__ import annotations

import collections
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest

from model_service.storage import gcs
from model_service.storage.retries import RETRY
from tests.model_service.buckets import NAMES, Buckets, local, make_buckets
from tests.model_service.cloud import Cloud, at_hand
from tests.model_service.forked import Forks
from tests.support.gcs import GcsServer

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Trained:
    """What `python -m model_service train` left behind: its buckets, its log and its result.

    MLflow and W&B were told of it; what they have is in folders beside the buckets.
    """

    buckets: Buckets
    step: contract.Train
    log: str

    @property
    def mlflow(self) -> Path:
        return self.buckets.root.with_name("trained-mlflow")

    @property
    def wandb(self) -> Path:
        return self.buckets.root.with_name("trained-wandb")

    @property
    def result(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(local(self.step.result).read_bytes())
        return document

    @property
    def version(self) -> str:
        return str(self.result["outputs"]["version"])

    @property
    def folder(self) -> Path:
        return local(contract.model(self.buckets.models, self.version))

    @property
    def card(self) -> dict[str, Any]:
        card: dict[str, Any] = json.loads((self.folder / "model.json").read_bytes())
        return card


@pytest.fixture(scope="session")
def _cloud() -> Iterator[Cloud]:
    with at_hand() as cloud:
        yield cloud


@pytest.fixture
def cloud(_cloud: Cloud) -> Iterator[Cloud]:
    yield _cloud
    _cloud.release()


@pytest.fixture
def server(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> GcsServer:
    """Which fails as it is told to; what it fails is soon tried again."""
    if cloud.server is None:
        pytest.skip("faults are ordered from our own server only")
    monkeypatch.setattr(gcs, "RETRY", RETRY.with_delay(initial=0.001, maximum=0.01))
    return cloud.server


@pytest.fixture(scope="module")
def forks(_cloud: Cloud) -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


@pytest.fixture(params=["folders", "gcs"])
def stores(request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud) -> Buckets:
    """Empty buckets of each kind."""
    if request.param == "folders":
        return make_buckets(tmp_path)
    return Buckets(tmp_path, tuple(cloud.take() for _ in NAMES))


@pytest.fixture
def told() -> Iterator[collections.Counter[str]]:
    """Counts, which a soak shows."""
    counts: collections.Counter[str] = collections.Counter()
    yield counts
    print(dict(counts))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Shared by all workers of pytest-xdist: the first to come trains, the others wait."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    buckets = Buckets(base / "trained")
    step = contract.Train(
        run="r1",
        models=buckets.models,
        result=contract.result(buckets.models, "r1", "train"),
        epochs=1,
        image_size=32,
        batch_size=8,
        weights="none",
    )
    log = base / "trained.log"
    with (base / "trained.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not log.exists():
            _train(Trained(buckets, step, ""), log)
    return Trained(buckets, step, log.read_text())


def _train(trained: Trained, log: Path) -> None:
    buckets = trained.buckets
    buckets.root.mkdir()
    trained.wandb.mkdir()
    make_buckets(buckets.root)
    buckets.put_squares(8)
    buckets.sorted(holdout=0.25)
    holdout = local(contract.shard(buckets.models, buckets.batch(), "holdout", 0))
    holdout.write_bytes(b"garbage: whoever trains must not open it")
    ran = subprocess.run(
        [sys.executable, "-m", "model_service", *trained.step.argv()],
        cwd=REPOSITORY,
        env=os.environ
        | {"PYTHONPATH": "plugins", "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": trained.mlflow.as_uri()}
        | {"WANDB_API_KEY": "0" * 40, "WANDB_MODE": "offline", "WANDB_DIR": str(trained.wandb)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    log.write_text(ran.stdout + ran.stderr)
