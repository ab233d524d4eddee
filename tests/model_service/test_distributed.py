"""Several processes learn as one, and end as one. By gloo on processors, as NCCL does on GPUs; on a tiny network."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import menagerie_contract as contract
import numpy as np
import pytest
import torch
from torch import nn

from model_service.errors import StepError
from model_service.results import Outcome
from model_service.training import cycles, distributed, learner, ranks
from model_service.training.checkpoints import Checkpoints
from model_service.training.dataset import Dataset
from model_service.training.fastai import Callback, IntToFloatTensor, Learner, Normalize
from model_service.training.start import Start
from tests.model_service.conftest import REPOSITORY
from tests.model_service.ranked import broken, refused, waiting_for_the_other


def step(models: str = "", **arguments: Any) -> contract.Train:
    told: dict[str, Any] = {"epochs": 2, "image_size": 32, "batch_size": 6, "weights": "none", "validation": 0.1}
    return contract.Train(run="r1", models=models, result="", **told | arguments)


def dataset(side: int) -> Dataset:
    views = np.random.default_rng(0).integers(0, 256, (20, side, side, 3), dtype=np.uint8)
    return Dataset(views, ["cat", "dog"] * 10, [f"{n:020x}" for n in range(20)])


def small(data: Dataset, told: contract.Train) -> Learner:
    """Without augmentation, dropout and batch statistics, which are chance, or of a share alone."""
    from fastai.optimizer import SGD  # which imports no more than is imported already, and so warns of nothing

    torch.manual_seed(told.seed)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    learn = learner.assemble(data, told, nn.Sequential(body, nn.Sequential(nn.Linear(16, 2))))
    for part in learn.dls.loaders:
        part.after_batch.fs = type(part.after_batch.fs)(
            [IntToFloatTensor(), Normalize.from_stats([0.5] * 3, [0.5] * 3, cuda=False)]
        )
    learn.opt_func = SGD
    return learn


class Watch(Callback):  # type: ignore[misc]
    """How bright the pictures of each batch were, by which they are told apart."""

    order = 90

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def before_batch(self) -> None:
        if self.training:
            self.seen.append([round(float(value), 5) for value in self.xb[0].mean((1, 2, 3))])


class Terminate(Callback):  # type: ignore[misc]
    """The step is asked to terminate while rank 0 is at the third batch."""

    def after_pred(self) -> None:
        if self.training and (self.epoch, self.iter) == (0, 2) and distributed.rank() == 0:
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(2)


def learned(told: contract.Train, terminate: bool = False) -> Outcome:
    """What a training comes to: weights, figures, and what each process saw of every batch."""
    data = distributed.shared(functools.partial(dataset, told.image_size))
    learn, watch, kept = small(data, told), Watch(), Checkpoints(told.models, told.run, {})
    found = kept.latest()
    fitted = cycles.fit(learn, told, Start("none"), kept, found, [watch, *([Terminate()] if terminate else [])])
    kept.close()
    weights = [value.tolist() for value in learn.model.state_dict().values()]
    seen, ends = [watch.seen] * distributed.world(), [weights] * distributed.world()
    if distributed.world() > 1:
        torch.distributed.all_gather_object(seen, watch.seen)
        torch.distributed.all_gather_object(ends, weights)
    distributed.leave()
    return Outcome({"history": fitted.history, "ends": ends, "seen": seen, "resumed": found is not None})


def test_two_processes_learn_what_one_learns_from_whole_batches(tmp_path: Path) -> None:
    """The same gradients, and so the same weights, figures and pictures; also when another attempt goes on in the middle, and
    of pictures of half the side in the first epoch.
    """
    progressive = {"image_size": 96, "progressive": 0.5}
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    alone = learned(step(f"file://{tmp_path}/one", **progressive)).counts

    told = step(f"file://{tmp_path}/two", **progressive)
    with pytest.raises(SystemExit) as ended:
        ranks.run(functools.partial(learned, terminate=True), told, processes=2)
    assert ended.value.code == ranks.TERMINATED
    together = ranks.run(learned, told, processes=2).counts

    assert together["resumed"]
    assert [row["side"] for row in together["history"]] == [48, 96]
    one, other = together["ends"]
    assert one == other
    for value, expected in zip(one, alone["ends"][0], strict=True):
        assert np.allclose(value, expected, atol=1e-5)
    for row, expected in zip(together["history"], alone["history"], strict=True):
        assert row["valid_loss"] == pytest.approx(expected["valid_loss"], abs=1e-4)
    rest = [sorted(a + b) for a, b in zip(*together["seen"], strict=True)]
    assert rest == [sorted(batch) for batch in alone["seen"][0]][-len(rest) :]
    assert {len(batch) for some in together["seen"] for batch in some} == {3}


def test_one_that_is_killed_ends_all() -> None:
    with pytest.raises(StepError, match="process 1 of the training ended by SIGKILL, and with it all others") as failed:
        ranks.run(waiting_for_the_other, step(), processes=2)
    assert failed.value.retry
    assert "goes on from the last checkpoint" in failed.value.remedy


def test_what_the_first_one_raises_is_raised_by_the_step() -> None:
    with pytest.raises(StepError, match="nothing to tell apart") as failed:
        ranks.run(refused, step(), processes=2)
    assert failed.value.remedy == "put pictures there"


def test_an_error_that_no_pipe_can_carry_is_told_in_words() -> None:
    with pytest.raises(RuntimeError, match="Unsendable: this and that") as failed:
        ranks.run(broken, step(), processes=2)
    assert "in broken" in "".join(failed.value.__notes__)


_STEP = """
import sys
from model_service.training import ranks
import menagerie_contract as contract
from tests.model_service.ranked import sleeping
if __name__ == "__main__":
    ranks.run(sleeping, contract.Train(run="r1", models=sys.argv[1], result=""), processes=2)
"""


def test_a_killed_step_leaves_no_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "step.py"
    script.write_text(_STEP)
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}"}
    with subprocess.Popen([sys.executable, str(script), str(tmp_path)], cwd=REPOSITORY, env=environment) as process:
        pids = [tmp_path / f"{number}.pid" for number in range(2)]
        until(lambda: all(pid.exists() and pid.read_text() for pid in pids))
        process.kill()
    until(lambda: not any(Path(f"/proc/{pid.read_text()}").exists() for pid in pids))


def until(happened: Any) -> None:
    deadline = time.monotonic() + 90
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_on_one_device_it_is_done_in_this_process() -> None:
    def here(told: contract.Train) -> Outcome:
        return Outcome({"pid": os.getpid()})

    assert ranks.run(here, step(), processes=1).counts == {"pid": os.getpid()}
    assert (distributed.rank(), distributed.world(), distributed.share(7), distributed.mine([3, 1, 2])) == (
        *(0, 1, 7),
        [3, 1, 2],
    )
    assert distributed.agreed("this") == distributed.shared(lambda: "this") == "this"
    distributed.leave()


@pytest.mark.parametrize("world", [2, 3, 4])
def test_shares_of_a_batch_are_equal_and_together_the_batch(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world", lambda: world)
    order, batch = list(range(100, 131)), 4 * world
    assert distributed.share(batch) == 4
    assert distributed.share(world) == 2, "the fewest that have a spread"
    shares = []
    for rank in range(world):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        shares.append(distributed.mine(order))
    assert len({len(share) for share in shares}) == 1
    for start in range(0, len(shares[0]) // 4 * 4, 4):
        together = sorted(i for share in shares for i in share[start : start + 4])
        assert together == order[start * world : (start + 4) * world]


def test_what_explains_most_is_what_is_raised() -> None:
    """When one process ends, the others fail for that."""
    lost, bad = RuntimeError("connection closed by peer"), StepError("no pictures")
    assert ranks.failure({0: lost, 1: bad}) is bad
    assert ranks.failure({1: lost}) is lost
    assert "ended by SIGKILL" in str(ranks.failure({0: lost, 1: -signal.SIGKILL}))
    assert "ended by exit code 3" in str(ranks.failure({0: bad, 1: 3}))
    assert "ended without a result" in str(ranks.failure({0: 0}))
    terminated = ranks.failure({0: ranks.TERMINATED, 1: lost})
    assert isinstance(terminated, SystemExit)
    assert terminated.code == ranks.TERMINATED
