"""train after an attempt that was killed before it could say that it was done: nothing is lost and nothing doubled."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import menagerie_contract as contract
import pytest
import torch

from model_service.train import train
from tests.model_service.buckets import Buckets, local
from tests.model_service.conftest import Trained


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


@pytest.mark.usefixtures("one_thread")
def test_killed_after_its_last_file_the_next_attempt_ends_with_the_same_candidate(
    trained: Trained, left: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from another commit: when and by what a model was made does not make it another model."""
    card = local(contract.model(left.models, trained.version)) / "model.json"
    card.write_text(card.read_text().replace(trained.buckets.models, left.models))  # the copy's shards have other URIs
    before = left.tree(left.models)
    monkeypatch.setenv("MENAGERIE_COMMIT", "another-commit")
    outcome = train(dataclasses.replace(trained.step, models=left.models))
    assert outcome.outputs == trained.result["outputs"]
    assert outcome.counts == trained.result["counts"]
    assert left.tree(left.models) == before
