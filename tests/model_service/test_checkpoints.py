"""Checkpoints: whole or not there, of this very training or not taken, one at rest, and none when the model is saved."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import pytest
import torch

from model_service.storage import StoreError
from model_service.storage.folder import FolderStore
from model_service.training.checkpoints import Checkpoint, Checkpoints

ORIGIN = {"epochs": 3, "learning_rate": 3e-3, "torch": "2.15.0", "data": "abc"}


@pytest.fixture
def models(tmp_path: Path) -> str:
    return f"file://{tmp_path}"


@pytest.fixture
def kept(models: str) -> Checkpoints:
    return Checkpoints(models, "r1", ORIGIN)


def again(models: str, **other: Any) -> Checkpoint | None:
    """What another attempt finds."""
    return Checkpoints(models, "r1", ORIGIN | other).latest()


def at(epoch: int) -> Checkpoint:
    return Checkpoint({"weights": torch.full((2, 3), epoch / 3), "count": torch.tensor(epoch)}, {"epoch": epoch})


def files(models: str) -> list[Path]:
    folder = Path(contract.checkpoints(models, "r1").removeprefix("file://"))
    return sorted(path for path in folder.glob("*") if not path.name.startswith("."))


def put(models: str, number: int, data: bytes, digest: str | None = None) -> None:
    uri = contract.checkpoint(models, "r1", number, digest or hashlib.sha256(data).hexdigest())
    path = Path(uri.removeprefix("file://"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_another_attempt_finds_exactly_what_was_saved(models: str, kept: Checkpoints) -> None:
    tensors = {"w": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last), "n": torch.tensor(7)}
    facts = {"loss": 0.1 + 0.2, "rows": [[1 / 3, 2e-300]], "step": 5, "nothing": None}
    assert kept.save(Checkpoint(tensors, facts), wait=True)
    found = again(models)
    assert found is not None
    assert found.facts == facts
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())


def test_before_the_first_one_there_is_none(models: str) -> None:
    assert again(models) is None


# One at rest


def test_a_newer_one_replaces_the_older(models: str, kept: Checkpoints) -> None:
    for epoch in (1, 2, 3):
        kept.save(at(epoch), wait=True)
    assert len(files(models)) == 1
    assert (again(models) or at(0)).facts == {"epoch": 3}


def test_the_next_attempt_counts_on(models: str, kept: Checkpoints) -> None:
    kept.save(at(1), wait=True)
    Checkpoints(models, "r1", ORIGIN).save(at(2), wait=True)
    (path,) = files(models)
    assert path.name.startswith("00002-")


def test_the_older_one_stays_until_the_newer_one_is_whole(
    models: str, kept: Checkpoints, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise StoreError("no space left on device")

    kept.save(at(1), wait=True)
    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "write_if_absent", full)
        assert not kept.save(at(2), wait=True)
    assert "no checkpoint could be written, training goes on without: no space left on device" in caplog.text
    assert (again(models) or at(0)).facts == {"epoch": 1}
    assert kept.save(at(3), wait=True), "the next one is tried again"
    assert (again(models) or at(0)).facts == {"epoch": 3}


@pytest.mark.parametrize("place", ["before", "after"])
def test_killed_while_one_is_written_the_next_attempt_finds_a_whole_one(models: str, place: str) -> None:
    """Just before the file takes its name, and just after, when the older one is still there."""
    child = os.fork()
    if child == 0:
        kept = Checkpoints(models, "r1", ORIGIN)
        kept.save(at(1), wait=True)
        real = os.link

        def die(*args: Any, **kwargs: Any) -> None:
            if place == "after":
                real(*args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)

        os.link = die  # type: ignore[assignment]
        kept.save(at(2), wait=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(files(models)) == (1 if place == "before" else 2)
    assert (again(models) or at(0)).facts == {"epoch": 1 if place == "before" else 2}
    Checkpoints(models, "r1", ORIGIN).save(at(3), wait=True)
    assert len(files(models)) == 1


# While training goes on


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Storage that writes nothing until it is told to."""
    gate, real = threading.Event(), FolderStore.write_if_absent

    def write(*args: Any) -> Any:
        assert gate.wait(30)
        return real(*args)

    monkeypatch.setattr(FolderStore, "write_if_absent", write)
    yield gate
    gate.set()


def test_training_does_not_wait_for_storage(models: str, kept: Checkpoints, slow: threading.Event) -> None:
    assert kept.save(at(1))
    assert not kept.save(at(2)), "the first is still being written"
    assert files(models) == []
    threading.Timer(0.2, slow.set).start()
    assert kept.save(at(3), wait=True)
    assert (again(models) or at(0)).facts == {"epoch": 3}


def test_what_is_saved_is_what_stood_there_at_that_moment(
    models: str, kept: Checkpoints, slow: threading.Event
) -> None:
    """Training goes on, in the same memory, while the checkpoint is written."""
    checkpoint = at(1)
    kept.save(checkpoint)
    checkpoint.tensors["weights"].zero_()
    slow.set()
    kept.close()
    assert torch.equal((again(models) or at(0)).tensors["weights"], at(1).tensors["weights"])


def test_clearing_waits_for_what_is_being_written(models: str, kept: Checkpoints, slow: threading.Event) -> None:
    kept.save(at(1))
    threading.Timer(0.2, slow.set).start()
    kept.clear()
    assert files(models) == []


def test_clearing_deletes_checkpoints_and_nothing_else(models: str, kept: Checkpoints) -> None:
    kept.save(at(1), wait=True)
    put(models, 99, b"damaged", "0" * 64)
    beside = files(models)[0].with_name("note.txt")
    beside.write_text("a person's")
    kept.clear()
    assert files(models) == [beside]


# What is not taken for ours


def test_a_damaged_one_is_ignored_loudly(models: str, kept: Checkpoints, caplog: pytest.LogCaptureFixture) -> None:
    kept.save(at(1), wait=True)
    (path,) = files(models)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert again(models) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"WARNING: checkpoint 1 ({models}/runs/r1/checkpoints/{path.name}) is ignored" in record.message
    assert "damaged: its sha256 differs" in record.message


def test_behind_a_damaged_one_an_older_one_is_found(models: str, kept: Checkpoints) -> None:
    kept.save(at(1), wait=True)
    put(models, 2, b"cut short", "0" * 64)
    assert (again(models) or at(0)).facts == {"epoch": 1}


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"epochs": 4}, "epochs was 3, is 4"),
        ({"torch": "2.16.0", "data": "def"}, "data was abc, is def; torch was 2.15.0, is 2.16.0"),
        ({"new_argument": 1}, "new_argument was None, is 1"),
    ],
)
def test_one_of_another_training_is_ignored_loudly(
    models: str, kept: Checkpoints, caplog: pytest.LogCaptureFixture, other: dict[str, Any], text: str
) -> None:
    kept.save(at(1), wait=True)
    assert again(models, **other) is None
    assert f"it is of another training: {text}" in caplog.text


def test_nothing_is_ever_unpickled(models: str, caplog: pytest.LogCaptureFixture) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (print, ("unpickled",))

    out = io.BytesIO()
    torch.save({"weights": Evil()}, out)
    put(models, 1, out.getvalue())
    put(models, 2, b"")
    assert again(models) is None
    assert caplog.text.count("is ignored") == 2


@pytest.mark.parametrize("about", [None, {"menagerie": "{"}, {"menagerie": "[]"}, {"menagerie": '{"origin": 1}'}])
def test_a_safetensors_file_of_somebody_else_is_ignored(
    models: str, caplog: pytest.LogCaptureFixture, about: dict[str, str] | None
) -> None:
    from safetensors.torch import save

    put(models, 1, save({"weights": torch.zeros(1)}, about))
    assert again(models) is None
    assert "it is not one of ours" in caplog.text
