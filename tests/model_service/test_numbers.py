"""numbers: what training computes with, kept over a resume, and the same bits again when that is asked for."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from typing import Any

import menagerie_contract as contract
import numpy as np
import pytest
import torch

from model_service.training import cycles, export, learner, numbers, resume
from model_service.training.checkpoints import Checkpoint
from model_service.training.dataset import Dataset
from model_service.training.numbers import Mixed
from tests.model_service.test_resume import SCRATCH, STEP, Memory, small

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> Dataset:
    pictures = np.random.default_rng(0).integers(0, 256, (18, 32, 32, 3), dtype=np.uint8)
    return Dataset(pictures, ["cat", "dog"] * 9, [f"{n:020x}" for n in range(18)])


def test_auto_is_bf16_where_the_machine_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, expected in ((True, "bf16"), (False, "f32")):
        monkeypatch.setattr(numbers, "has_bf16", lambda has=has: has)
        assert numbers.chosen(STEP, CPU) == expected
    for has, expected in ((True, "bf16"), (False, "f16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has, **_: has)
        assert numbers.chosen(STEP, torch.device("cuda")) == expected
    assert numbers.chosen(dataclasses.replace(STEP, numbers="f32"), torch.device("cuda")) == "f32"


def test_in_bf16_the_network_computes_with_16_bits_and_weights_and_losses_have_32(data: Dataset) -> None:
    step = dataclasses.replace(STEP, numbers="bf16", epochs=1)
    learn, seen = small(data, step), []
    learn.model[0][0].register_forward_hook(lambda _m, _given, out: seen.append(out.dtype))
    fitted = cycles.fit(learn, step, SCRATCH, Memory())  # type: ignore[arg-type]
    assert set(seen) == {torch.bfloat16}, "learned from, and watched with"
    assert fitted.numbers == "bf16"
    assert {tensor.dtype for tensor in learn.model.state_dict().values()} == {torch.float32, torch.int64}
    exact = small(data)
    assert cycles.fit(exact, dataclasses.replace(STEP, epochs=1, numbers="f32"), SCRATCH, Memory()).numbers == "f32"  # type: ignore[arg-type]
    assert fitted.history[0]["train_loss"] == pytest.approx(exact.recorder.values[0][0], rel=0.02)


def test_in_f16_the_scale_of_the_losses_is_kept_over_a_resume(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on GPUs without bf16. The first scale is too much for these gradients: some steps are left out, and it is lowered."""
    monkeypatch.setattr(numbers, "chosen", lambda step, device: "f16")
    monkeypatch.setattr(resume, "EVERY", 0.0)

    def run(found: Checkpoint | None = None) -> tuple[Any, ...]:
        learn, kept = small(data), Memory()
        fitted = cycles.fit(learn, STEP, SCRATCH, kept, copy.deepcopy(found))  # type: ignore[arg-type]
        return fitted, learn.model.state_dict(), kept.all

    def low(mixed: Mixed, *arguments: Any) -> None:
        begin(mixed, *arguments)
        mixed._scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40, growth_interval=3)

    begin = Mixed.__init__
    monkeypatch.setattr(Mixed, "__init__", low)
    fitted, trained, taken = run()
    scales = [checkpoint.facts["scale"]["scale"] for checkpoint in taken]
    assert len(set(scales)) > 2
    assert all(np.isfinite(row["train_loss"]) for row in fitted.history)
    for checkpoint in taken[::3]:
        again, ended, _ = run(checkpoint)
        assert again == fitted
        assert all(torch.equal(ended[name], trained[name]) for name in trained)


def test_deterministic_gives_the_same_weights_bit_for_bit_however_many_threads_there_are(data: Dataset) -> None:
    step = contract.Train(
        run="r1",
        models="",
        result="",
        network="shufflenet_v2_x0_5",
        epochs=1,
        image_size=32,
        batch_size=4,
        weights="none",
        mixup=0.2,
        deterministic=True,
    )

    def trained(threads: int, seed: int = 42) -> str:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            ours = dataclasses.replace(step, seed=seed)
            learn, start = learner.build(data, ours)
            cycles.fit(learn, ours, start, Memory())  # type: ignore[arg-type]
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        return hashlib.sha256(export.safetensors(learn.model)).hexdigest()

    assert trained(1) == trained(2)
    assert trained(1, seed=43) != trained(1)
    assert not torch.are_deterministic_algorithms_enabled(), "what else this process does is left alone"


def test_what_is_deterministic_is_put_back_also_after_an_error(data: Dataset) -> None:
    def fails(*_: Any) -> None:
        assert torch.are_deterministic_algorithms_enabled()
        raise ZeroDivisionError

    step = dataclasses.replace(STEP, deterministic=True)
    learn = small(data, step)
    learn.model[0].register_forward_hook(fails)
    with pytest.raises(ZeroDivisionError):
        cycles.fit(learn, step, SCRATCH, Memory())  # type: ignore[arg-type]
    assert not torch.are_deterministic_algorithms_enabled()
