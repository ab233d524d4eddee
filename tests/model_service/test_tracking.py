"""How a training is told of: TensorBoard's events, and the servers that may fail without it."""

from __future__ import annotations

import importlib.util
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from model_service.errors import StepError
from model_service.training.fastai import DataLoaders, Learner
from model_service.training.tracking import events, servers
from model_service.training.tracking.events import FILE
from model_service.training.tracking.secrets import scrubbed
from model_service.training.tracking.watch import Watch
from tests.model_service.buckets import CLASSES
from tests.model_service.conftest import Trained

VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_ALLOW_FILE_STORE", "WANDB_API_KEY", "WANDB_MODE")
STEP = contract.Train(run="r1", models="file:///m", result="", registry="https://joe:hush@git.example/r.git")
ROWS = [{"epoch": n, "side": 32, "train_loss": 1.0 / n, "valid_loss": 2.0 / n, "accuracy": 0.1 * n} for n in (1, 2, 3)]


@pytest.fixture(autouse=True)
def own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sets, and the code, is gone after it."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(name, "1")


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0, "images": 0})
    return found.Reload()


# TensorBoard


@pytest.fixture(scope="module")
def board(trained: Trained) -> EventAccumulator:
    return read((trained.folder / FILE).parent)


def test_a_model_has_its_events_beside_it_and_their_hash_in_its_card(trained: Trained) -> None:
    assert FILE in trained.card["files"]
    assert [path.name for path in (trained.folder / FILE).parent.iterdir()] == ["events.out.tfevents.train"]


def test_each_batch_and_each_epoch_has_its_figures(board: EventAccumulator, trained: Trained) -> None:
    learned = trained.card["data"]["pictures"] - 2  # one in ten watches
    for tag in ("batch/loss", "batch/learning_rate"):
        assert [event.step for event in board.Scalars(tag)] == list(range(1, learned // 8 + 1))
        assert all(np.isfinite(event.value) for event in board.Scalars(tag))
    (accuracy,) = board.Scalars("epoch/accuracy")
    assert (accuracy.step, accuracy.value) == (1, pytest.approx(trained.card["metrics"]["accuracy"]))
    assert {"epoch/train_loss", "epoch/valid_loss"} <= set(board.Tags()["scalars"])
    assert abs(time.time() - accuracy.wall_time) < 3600


def test_what_the_model_answers_is_drawn(board: EventAccumulator) -> None:
    for tag in ("validation/confusion", "validation/pictures"):
        (picture,) = board.Images(tag)
        assert picture.encoded_image_string.startswith(b"\x89PNG")
        assert min(picture.width, picture.height) > 100
    curves = {tag.removeprefix("precision_recall/") for tag in board.Tags()["tensors"] if "recall" in tag}
    assert curves
    assert curves <= set(CLASSES), "of the classes that the validation part has"
    assert "card/text_summary" in board.Tags()["tensors"]


def test_the_network_is_drawn_as_a_graph(board: EventAccumulator) -> None:
    operations = {node.op for node in board.Graph().node}
    assert {"aten::_convolution", "aten::batch_norm"} <= operations


def test_the_grid_of_pictures_shows_them() -> None:
    from model_service.evaluation.metrics import Predictions
    from model_service.training.tracking import figures

    red = np.zeros((40, 8, 8, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    labels = ["猫", "a $dollar$ of_cats" * 9] * 20  # nothing that is drawn may warn, or be taken for mathematics
    told = Predictions(labels, ["猫"] * 40, np.full((40, 2), 0.5, np.float32))
    picture = figures.samples(red, list(range(40)), [str(n) for n in range(40)], told)
    assert (picture == [255, 0, 0]).all(axis=2).mean() > 0.4
    assert (picture == [255, 0, 0]).all(axis=2).any(axis=0).mean() > 0.7


def test_of_more_batches_than_can_be_drawn_the_curve_has_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils.tensorboard import SummaryWriter

    monkeypatch.setattr(events, "POINTS", 4)
    batches = torch.tensor([[1, float(n), 0.1, 1000.0 + n] for n in range(10)], dtype=torch.float64)
    with SummaryWriter(str(tmp_path)) as writer:
        events._curves(writer, batches, ROWS[:1])
    assert [(e.step, e.value, e.wall_time) for e in read(tmp_path).Scalars("batch/loss")] == [
        (3, 1.0, 1001.0),
        (6, 4.0, 1004.0),
        (9, 7.0, 1007.0),
    ]
    assert [(e.step, e.wall_time) for e in read(tmp_path).Scalars("epoch/accuracy")] == [(1, 1009.0)]


# The callback


def learner() -> Learner:
    torch.manual_seed(0)
    pictures = [(torch.rand(3), torch.rand(1)) for _ in range(8)]
    return Learner(
        DataLoaders.from_dsets(pictures, pictures, bs=4, device=torch.device("cpu")),
        torch.nn.Linear(3, 1),
        loss_func=torch.nn.MSELoss(),
    )


def fitted(watch: Watch, epochs: int) -> None:
    learn = learner()
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, cbs=[watch])


def test_a_training_that_goes_on_has_the_batches_of_before_in_its_curves() -> None:
    told: list[dict[str, float]] = []
    whole = Watch(told.append)
    fitted(whole, 2)
    state = whole.state()
    assert state.shape == (4, 4)
    assert state[:, 0].tolist() == [1, 1, 2, 2]
    assert (state[:, 1] > 0).all()
    assert [row["epoch"] for row in told] == [1, 2]
    assert set(told[0]) == {"epoch", "train_loss", "valid_loss"}

    later = Watch(told.append)
    later.put_back(state[:3], 1)  # killed in the second epoch, after one of its batches
    fitted(later, 1)
    assert torch.equal(later.state()[:3], state[:3])
    assert later.state()[:, 0].tolist() == [1, 1, 2, 2, 2]
    assert told[-1]["epoch"] == 2


# Servers


def tell(step: contract.Train, folder: Path, rows: list[dict[str, float]], error: BaseException | None = None) -> None:
    """A training as Tracking tells of it."""
    told = servers.wanted(step, folder)
    told.begin()
    for row in rows:
        told.epoch(row)
    if error is None:
        told.saved("r1-1234abcd", {"ece": 0.25}, {"card.md": b"# Card", "tensorboard/events": b"events"})
    told.end(error)


def runs(store: Path, experiment: str = "menagerie") -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(store.as_uri())
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def history(store: Path, run: Any, metric: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    return [(m.step, m.value) for m in MlflowClient(store.as_uri()).get_metric_history(run.info.run_id, metric)]


def test_without_a_server_set_nobody_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = threading.active_count()
    tell(STEP, tmp_path, ROWS)
    assert threading.active_count() == before
    assert caplog.records == []


def test_mlflow_has_arguments_figures_by_epoch_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.as_uri())
    tell(STEP, tmp_path, ROWS)
    assert caplog.records == []
    (run,) = runs(store)
    assert run.info.status == "FINISHED"
    assert (run.data.params["epochs"], run.data.params["network"]) == ("10", "resnet34")
    assert run.data.params["registry"] == "https://***@git.example/r.git"
    assert history(store, run, "valid_loss") == [(1, 2.0), (2, 1.0), (3, pytest.approx(2 / 3))]
    assert run.data.metrics["validation_ece"] == 0.25
    assert run.data.tags["menagerie.version"] == "r1-1234abcd"
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (artifacts / "card.md").read_bytes() == b"# Card"
    assert (artifacts / "tensorboard/events").read_bytes() == b"events"
    assert "hush" not in "".join(p.read_text(errors="replace") for p in store.rglob("*") if p.is_file())


def test_another_attempt_goes_on_with_mlflow_s_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "pets")
    tell(STEP, tmp_path, ROWS[:2], SystemExit(143))
    assert [run.info.status for run in runs(store, "pets")] == ["KILLED"]
    tell(STEP, tmp_path, ROWS[1:])  # the second epoch anew: its end was not in the checkpoint
    (run,) = runs(store, "pets")
    assert run.info.status == "FINISHED"
    assert [step for step, _ in history(store, run, "valid_loss")] == [1, 2, 3]


def test_a_training_that_failed_is_told_of_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.as_uri())
    tell(STEP, tmp_path, ROWS[:1], StepError("training diverged"))
    assert [run.info.status for run in runs(store)] == ["FAILED"]


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a server that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_server_out_of_reach_is_said_loudly_once_and_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # nobody listens there, once it is closed
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://joe:hush-hush@127.0.0.1:{port}")
    tell(STEP, tmp_path, ROWS)
    first, last = (record.getMessage() for record in caplog.records)
    assert first.startswith("WARNING: MLflow cannot be told of this training, which goes on: ")
    assert last == "WARNING: MLflow was not told everything of this training, which is whole without it"
    assert "hush-hush" not in caplog.text


def test_a_server_that_hangs_keeps_nobody_waiting(
    tmp_path: Path, deaf: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(servers, "PATIENCE", 0.3)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{deaf}")
    begun = time.monotonic()
    tell(STEP, tmp_path, ROWS)
    assert time.monotonic() - begun < 5
    assert "MLflow was not told everything" in caplog.text


def test_what_a_server_did_not_take_it_is_told_again() -> None:
    class Flaky:
        name = "flaky"
        took: list[float] = []  # noqa: RUF012
        down = True

        def begin(self) -> None:
            if self.down:
                self.down = False
                raise ConnectionError("not yet")

        def epoch(self, figures: Any) -> None:
            self.took.append(figures["epoch"])

        def saved(self, version: str, metrics: Any, files: Any) -> None: ...
        def end(self, how: str) -> None: ...

    told = servers.Servers([Flaky()])
    told.begin()
    for row in ROWS:
        told.epoch(row)
    told.end(None)
    assert Flaky.took == [1, 2, 3]


@pytest.mark.parametrize(
    ("variable", "value", "package", "added"),
    [
        ("MLFLOW_TRACKING_URI", "http://mlflow", "mlflow", "mlflow-skinny"),
        ("MLFLOW_TRACKING_URI", "postgresql+psycopg2://joe:hush@db/mlflow", "sqlalchemy", "mlflow"),
        ("WANDB_API_KEY", "0" * 40, "wandb", "wandb"),
    ],
)
def test_a_missing_package_is_said_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, package: str, added: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name, *rest))
    monkeypatch.setenv(variable, value)
    with pytest.raises(StepError, match=f"{variable} ") as failed:
        servers.wanted(STEP, tmp_path)
    assert f"add {added} to requirements.txt" in failed.value.remedy
    assert value not in failed.value.message + failed.value.remedy


def test_secrets_are_taken_out_of_what_a_server_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    monkeypatch.setenv("WANDB_API_KEY", "k3y")
    text = "401 for https://joe:pass@host/api with Bearer t0ken, not k3y; see https://docs"
    assert scrubbed(text) == "401 for https://***@host/api with Bearer ***, not ***; see https://docs"


def test_a_whole_training_is_told_to_both(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's store is a folder, and W&B is without its cloud."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (run,) = runs(trained.mlflow)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "r1")
    assert run.data.tags["menagerie.version"] == trained.version
    assert [step for step, _ in history(trained.mlflow, run, "accuracy")] == [1]
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    for name in ("card.html", "card.md", "history.csv", FILE):
        assert (artifacts / name).read_bytes() == (trained.folder / name).read_bytes()
    (kept,) = trained.wandb.glob("wandb/offline-run-*")
    assert (kept / "files/card.html").read_bytes() == (trained.folder / "card.html").read_bytes()
    (record,) = kept.glob("run-*.wandb")
    assert b"valid_loss" in record.read_bytes()


def test_the_servers_say_nothing_in_the_log_of_a_training(trained: Trained) -> None:
    assert not [line for line in trained.log.splitlines() if "WARNING" in line and "from scratch" not in line.lower()]
    for word in ("wandb", "mlflow", "0" * 40):
        assert word not in trained.log
